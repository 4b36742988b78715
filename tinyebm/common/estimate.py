"""A number and its error."""

import numpy as np


class Estimate(float):
    """A number with its error: `.value`, `.error`, and a dict of more numbers, `.details`.

    It is a float.  Arithmetic with it gives plain floats without an error.

    >>> z = Estimate(1.25, 1e-9)
    >>> z, z.error, z + 1
    (Estimate(value=1.25, error=1e-09), 1e-09, 2.25)
    """

    error: float
    details: dict

    def __new__(cls, value, error, details=None):
        self = super().__new__(cls, value)
        self.error, self.details = float(error), details or {}
        return self

    @property
    def value(self) -> float:
        """The number without its error."""
        return float(self)

    def __getnewargs__(self):
        return self.value, self.error, self.details

    def __repr__(self):
        return f"Estimate(value={self.value!r}, error={self.error!r})"

    def __str__(self):
        return f"{self.value:.10g} ± {self.error:.1g}"


def mean_of(values):
    """The mean of independent numbers with its standard error s / √n (nan for one number).

    >>> mean_of([1.0, 3.0])
    Estimate(value=2.0, error=1.0)
    """
    values = np.asarray(values, dtype=float)
    with np.errstate(invalid="ignore"):  # infinite ones
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        return Estimate(values.mean(), error)
