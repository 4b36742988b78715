"""Pseudolikelihood: every site predicted from all others, so that Z cancels."""

from dataclasses import dataclass

import numpy as np

from tinyebm import ops
from tinyebm.autodiff import value_and_grad
from tinyebm.density import Density, exponent
from tinyebm.objectives.step import Step
from tinyebm.tree import tree_map

NUMBERS = 2**20  # in the neighbouring states held at a time: 8 MiB


@dataclass(frozen=True)
class Pseudolikelihood:
    """The gradient of the mean negative log-pseudolikelihood of the rows of x,

        -1/n Σ_x Σ_i log p(x_i | x_-i) = 1/n Σ_x Σ_i log Σ_a e^{u(x with x_i = a) - u(x)},    u = log p + const

    (Besag 1975, The Statistician 24:179), on Bits, Spins or Cells; no state, no randomness.  Consistent:
    if the model can be the truth, the truth is its minimum, but in a model that cannot it differs from the likelihood's.

    Metrics: "loss", that mean in nats.  Cost: 1 + d (q - 1) energies per row, q the number of values of a site.
    """

    def gradient(self, p, x, rng, state=None):
        """A Step for the rows of x (n, d); rng is not used."""
        if not p.space.discrete:
            raise ValueError(f"Pseudolikelihood sums over the values of a site: {p.space} is not discrete")
        rows = max(1, NUMBERS // (p.space.dim**2 * len(p.space.values)))
        loss, gradient = 0.0, tree_map(np.zeros_like, p.theta)
        for i in range(0, len(x), rows):
            part = lambda theta, i=i: _loss(Density(p.energy, theta, p.space), x[i : i + rows]) * (1 / len(x))
            value, slope = value_and_grad(part)(p.theta)
            loss, gradient = loss + value, tree_map(lambda a, b: a + b, gradient, slope)
        return Step(gradient, {"loss": loss}, None)


def _loss(p, x):
    """Σ_x Σ_i log Σ_a e^{u(x with x_i = a) - u(x)}, a scalar."""
    n, d = x.shape
    sites = np.arange(d, like=x)
    here = sites[:, None] == sites  # (d, d)
    others = p.space.others(x)[..., None, :]  # (q - 1, n, 1, d)
    neighbours = np.where(here, others, x[:, None, :])  # (q - 1, n, d, d): row i has another x_i
    u = exponent(p, np.concatenate([x, neighbours.reshape(-1, d)]))
    gain = ops.reshape(u[n:], (len(others), n, d)) - ops.reshape(u[:n], (1, n, 1))
    return ops.sum(ops.logsumexp(ops.concatenate([gain, np.zeros_like(x, shape=(1, n, d))]), axis=0))
