"""An energy as a table: one free parameter per state."""

from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.checks import require_count, require_parameters
from tinyebm.common.kinds import Array, Generator, Space, Tree
from tinyebm.spaces.rows import rows


@dataclass(frozen=True)
class TabularEnergy:
    """E(x) = theta["energy"][x] on Cells(n): every distribution on n states.

    theta = {"energy": (n,)}; adding a constant to it changes nothing.

    >>> table = TabularEnergy(3)
    >>> table({"energy": np.array([0.0, 1.0, 5.0])}, np.array([[2.0], [0.0]]))
    array([5., 0.])
    """

    n: int
    dim = 1

    def __post_init__(self):
        require_count(self.n, "n must be a positive number of states")

    @property
    def sites(self) -> tuple:
        """The values of the one site: 0, ..., n-1."""
        return (tuple(map(float, range(self.n))),)

    def init(self, rng: Generator) -> Tree:
        """All energies zero: the uniform distribution."""
        return {"energy": rng.standard_normal((self.n,)) * 0.0}

    def require_normalisable(self, theta: Tree, space: Space) -> None:
        """Raise ValueError on a space whose states are not the numbers 0, ..., n-1."""
        if getattr(space, "values", None) != tuple(map(float, range(self.n))):
            raise ValueError(
                f"a table of {self.n} energies is for Cells({self.n}), not for {space}"
            )

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the states x (n, 1)."""
        require_parameters(self, theta, energy=(self.n,))
        return theta["energy"][stop_gradient(rows(x, 1))[:, 0].astype(np.intp)]
