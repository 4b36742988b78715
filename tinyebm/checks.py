"""Refusals that many files share."""

import math


def require_count(value, wanted):
    """Raise ValueError, saying what is `wanted`, unless the value is a positive integer.

    >>> require_count(3, "k must be a positive number of steps")
    """
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{wanted}, got {value!r}")


def require_positive(name, value):
    """Raise ValueError unless the value is a positive, finite number.

    >>> require_positive("step_size", 0.1)
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
