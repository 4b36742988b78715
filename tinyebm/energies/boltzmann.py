"""Energies of pairs of sites: the Boltzmann machine."""

from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import beside
from tinyebm.common.checks import require_count, require_parameters
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.spaces.rows import rows


@dataclass(frozen=True)
class BoltzmannMachine:
    """E(x) = -½ xᵀ W x - b·x on Bits or Spins, W symmetric with zero diagonal.

    theta = {"W": (d(d-1)/2,), "b": (d,)}: W holds the strict upper triangle in row order, (0,1),
    (0,2), ..., (d-2,d-1).  The energy is linear in θ, so the log-likelihood is concave, and at its
    maximum the model has the means and pair moments of the data (Ackley, Hinton & Sejnowski 1985,
    Cognitive Science 9:147).

    >>> machine = BoltzmannMachine(2)
    >>> theta = {"W": np.array([3.0]), "b": np.array([0.5, 0.0])}
    >>> machine(theta, np.array([[1.0, 1.0], [1.0, 0.0]]))
    array([-3.5, -0.5])
    """

    dim: int
    sites = (0.0, 1.0), (-1.0, 1.0)

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """Couplings N(0, 1/100), no fields."""
        W = rng.standard_normal((self.dim * (self.dim - 1) // 2,)) * 0.1
        return {"W": W, "b": np.zeros_like(W, shape=(self.dim,))}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        d, x = self.dim, rows(x, self.dim)
        require_parameters(self, theta, W=(d * (d - 1) // 2,), b=(d,))
        i = np.arange(d)
        upper = beside(stop_gradient(theta["W"]), *np.nonzero(i[:, None] < i))  # in row order
        U = ops.scatter(theta["W"], upper, (d, d))
        return -ops.sum((x @ U + theta["b"]) * x, axis=1)
