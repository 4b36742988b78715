"""What goes wrong with a partition function, by name."""


class DivergentPartitionError(ValueError):
    """Z is infinite: the energy does not grow fast enough to be a density's."""


class QuadratureError(ValueError):
    """An integral could not be computed to the accuracy asked for."""


class EmptyError(QuadratureError):
    """The density is zero wherever it was looked at."""
