"""The errors and warnings of this package."""

import math


class DivergentPartitionError(ValueError):
    """Z is infinite: the energy does not grow fast enough to be that of a density.

    >>> import numpy as np
    >>> import tinyebm as te
    >>> net = te.MLP((1, 4, 1), "tanh")  # bounded
    >>> try:
    ...     te.log_partition(te.Density(net, net.init(np.random.default_rng(0)), te.Reals(1)))
    ... except te.DivergentPartitionError as error:
    ...     print(str(error)[:14])
    Z is infinite:
    """


class QuadratureError(ValueError):
    """An integral could not be computed to the required accuracy, or a sum has too many terms.

    >>> import tinyebm as te
    >>> try:
    ...     te.Bits(40).atoms()
    ... except te.QuadratureError as error:
    ...     print(str(error)[:32])
    2^40 states are too many to list
    """


class ConvergenceWarning(UserWarning):
    """An optimisation ended before it reached a maximum, or no maximum exists.

    >>> import warnings
    >>> warnings.simplefilter("ignore", ConvergenceWarning)  # in a test, say
    """


class EmptyError(QuadratureError):
    """The density is zero at every point where it was evaluated."""


class ChangedEnergyError(RuntimeError):
    """An energy has changed: it has other values at the same parameters and points."""


def or_nan(function, *args, infinite=math.inf):
    """function(*args) for a table: inf (or `infinite`) if Z is infinite, nan if quadrature fails.

    >>> or_nan(math.sqrt, 4.0)
    2.0
    """
    try:
        return function(*args)
    except DivergentPartitionError:
        return infinite
    except QuadratureError:
        return math.nan
