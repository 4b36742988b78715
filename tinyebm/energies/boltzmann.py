"""Energies of pairs of sites: the Boltzmann machine."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import beside
from tinyebm.common.checks import require_count, require_parameters
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.energies.conditionals import of_slope
from tinyebm.spaces.rows import rows

BLOCK = 32  # sites whose fields are computed by one matrix product

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
    multilinear = True

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """Couplings N(0, 1/100), no fields."""
        W = rng.standard_normal((self.dim * (self.dim - 1) // 2,)) * 0.1
        return {"W": W, "b": np.zeros_like(W, shape=(self.dim,))}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        U, x = self._upper(theta), rows(x, self.dim)
        return -ops.sum((x @ U + theta["b"]) * x, axis=1)

    def site_logits(self, theta: Tree, x: Array, sites: Array, values: tuple) -> Array:
        """log P(x_i = a | the others) of some sites (`tinyebm.energies`): a (Σ_j W_ij x_j + b_i)."""
        U = self._upper(theta)
        return of_slope(x @ (U[:, sites] + U[sites].T) + theta["b"][sites], values)

    def in_turn(self, theta: Tree, x: Array, values: tuple) -> Iterator[Array]:
        """`site_logits` of one site after the other, while x changes (`tinyebm.energies`).

        A block of fields is one product with W.  When a site changes by δ, the fields of the later
        sites i of its block change by W_i δ.  A sweep costs about one product x @ W.
        """
        U, s = self._upper(theta), x.T
        W = U + U.T
        for start in range(0, self.dim, BLOCK):
            block = slice(start, start + BLOCK)
            near, old = W[block, block], s[block].copy()
            field = W[block] @ s + theta["b"][block, None]  # (block, n)
            for k in range(len(field)):
                yield of_slope(field[k], values)
                field[k + 1 :] += near[k + 1 :, k, None] * (s[start + k] - old[k])

    def _upper(self, theta):
        """The strict upper triangle of W, (d, d)."""
        d = self.dim
        require_parameters(self, theta, W=(d * (d - 1) // 2,), b=(d,))
        i = np.arange(d)
        upper = beside(stop_gradient(theta["W"]), *np.nonzero(i[:, None] < i))  # in row order
        return ops.scatter(theta["W"], upper, (d, d))
