"""What every objective returns."""

from typing import Any, NamedTuple


class Step(NamedTuple):
    """A descent direction of the loss (a tree like theta), numbers worth watching, and what the next step needs.

    `metrics` maps names to scalars; `state` is a tree of arrays, or None; `negatives` are the samples (m, d) that stood for
    the model, if there were any.
    """

    gradient: Any
    metrics: dict
    state: Any
    negatives: Any = None
