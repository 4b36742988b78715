"""What every objective returns."""

from typing import Any, NamedTuple

from tinyebm.density import rows_of
from tinyebm.spaces.rows import clean


class Step(NamedTuple):
    """A descent direction of the loss (a tree like theta), numbers worth watching, and what the
    next step needs.

    `metrics` maps names to scalars; `state` is a tree of arrays, or None.
    """

    gradient: Any
    metrics: dict
    state: Any


def require_batch(p, x):
    """x as a batch: floating-point rows (n, d), at least one, without nan; ValueError if it is
    none."""
    x = rows_of(p, x)
    if len(x) == 0:
        raise ValueError(
            f"a batch has one row at least, of floating-point numbers, got {x.dtype} of shape "
            f"{x.shape}"
        )
    return clean(x)
