"""Energies of pairs of sites: the Boltzmann machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

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
        d, x = self.dim, rows(x, self.dim)
        _require(self, theta)
        upper = beside(stop_gradient(theta["W"]), *_pairs(d))
        U = ops.scatter(theta["W"], upper, (d, d))
        return -ops.sum((x @ U + theta["b"]) * x, axis=1)

    def site_logits(self, theta: Tree, x: Array, sites: Array, values: tuple) -> Array:
        """log P(x_i = a | the others) of some sites (`tinyebm.energies`): a (Σ_j W_ij x_j + b_i)."""
        return of_slope(x @ _matrix(self, theta)[:, sites] + theta["b"][sites], values)

    def in_turn(self, theta: Tree, x: Array, values: tuple) -> Iterator[Array]:
        """`site_logits` of one site after the other, while x changes (`tinyebm.energies`).

        The fields of a block of sites are one product with W.  When a site changes by δ, the fields
        of the later sites i of its block change by W_i δ.  A sweep costs about one product x @ W.
        """
        W, s = _matrix(self, theta), x.T
        for start in range(0, self.dim, BLOCK):
            block = slice(start, start + BLOCK)
            near, old = W[block, block], s[block].copy()
            field = W[block] @ s + theta["b"][block, None]  # (block, n)
            for k in range(len(field)):
                yield of_slope(field[k], values)
                field[k + 1 :] += near[k + 1 :, k, None] * (s[start + k] - old[k])


def _require(model, theta):
    d = model.dim
    require_parameters(model, theta, W=(d * (d - 1) // 2,), b=(d,))


def _matrix(model, theta):
    """W (d, d), symmetric with zero diagonal."""
    _require(model, theta)
    d, (i, j) = model.dim, _pairs(model.dim)
    U = np.zeros_like(theta["W"], shape=d * d)
    U[d * i + j] = theta["W"]
    U = U.reshape(d, d)
    return U + U.T


@lru_cache(maxsize=4)
def _pairs(d):
    """The rows and the columns of the strict upper triangle, in row order."""
    pairs = np.triu_indices(d, 1)
    for numbers in pairs:
        numbers.flags.writeable = False  # they are kept
    return pairs
