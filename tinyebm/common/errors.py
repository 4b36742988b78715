"""What goes wrong, by name."""

import math


class DivergentPartitionError(ValueError):
    """Z is infinite: the energy does not grow fast enough to be a density's."""


class QuadratureError(ValueError):
    """An integral could not be computed to the accuracy asked for."""


class ConvergenceWarning(UserWarning):
    """An optimisation ended before it was at a maximum, or there is none."""


class EmptyError(QuadratureError):
    """The density is zero wherever it was looked at."""


class ChangedEnergyError(RuntimeError):
    """An energy gives other values than before, at the same parameters and points."""


def or_nan(function, *args, infinite=math.inf):
    """The number, inf (or what is given) where Z is infinite, or nan where quadrature fails: an
    honest entry for a table."""
    try:
        return function(*args)
    except DivergentPartitionError:
        return infinite
    except QuadratureError:
        return math.nan
