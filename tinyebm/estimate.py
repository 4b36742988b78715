"""A number and its error."""


class Estimate(float):
    """A number that carries its error: `.value`, `.error`, and what else there is to say of it: `.details`, a dict.

    A float, so it goes wherever a number goes (and loses its error there).

    >>> z = Estimate(1.25, 1e-9)
    >>> z, z.error, z + 1
    (Estimate(value=1.25, error=1e-09), 1e-09, 2.25)
    """

    def __new__(cls, value, error, details=None):
        self = super().__new__(cls, value)
        self.error, self.details = float(error), details or {}
        return self

    @property
    def value(self):
        """The number without its error."""
        return float(self)

    def __getnewargs__(self):
        return self.value, self.error, self.details

    def __repr__(self):
        return f"Estimate(value={self.value!r}, error={self.error!r})"

    def __str__(self):
        return f"{self.value:.10g} ± {self.error:.1g}"
