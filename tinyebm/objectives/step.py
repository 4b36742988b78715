"""What every objective returns."""

from typing import Any, NamedTuple


class Step(NamedTuple):
    """A descent direction of the loss (a tree like theta), numbers worth watching, and what the next step needs.

    `metrics` maps names to scalars; `state` is a tree of arrays, or None.
    """

    gradient: Any
    metrics: dict
    state: Any
