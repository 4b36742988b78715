"""An energy that is a table: one free number per state."""

from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff import stop_gradient


@dataclass(frozen=True)
class TabularEnergy:
    """E(x) = theta["energy"][x] on Cells(n): every law on n states, no approximation.

    theta = {"energy": (n,)}; adding a constant to it changes nothing.

    >>> table = TabularEnergy(3)
    >>> table({"energy": np.array([0.0, 1.0, 5.0])}, np.array([[2.0], [0.0]]))
    array([5., 0.])
    """

    n: int
    dim = 1

    def init(self, rng):
        """All energies zero: the uniform law."""
        return {"energy": rng.standard_normal((self.n,)) * 0.0}

    def __call__(self, theta, x):
        """Energies (n,) of the states x (n, 1)."""
        return theta["energy"][stop_gradient(x)[:, 0].astype(np.intp)]
