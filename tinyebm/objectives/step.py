"""What every objective returns."""

from typing import Any, NamedTuple

from tinyebm.density import require_rows


class Step(NamedTuple):
    """A descent direction of the loss (a tree like theta), numbers worth watching, and what the next step needs.

    `metrics` maps names to scalars; `state` is a tree of arrays, or None.
    """

    gradient: Any
    metrics: dict
    state: Any


def require_batch(p, x):
    """Raise ValueError unless x is a batch: floating-point rows (n, d), at least one."""
    require_rows(p, x)
    if len(x) == 0 or x.dtype.kind != "f":
        raise ValueError(f"a batch has one row at least, of floating-point numbers, got {x.dtype} of shape {x.shape}")
