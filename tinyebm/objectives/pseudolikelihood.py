"""Pseudolikelihood and ratio matching: every site is predicted from all others, so Z cancels.

Both need only differences of u = log p + const between a state and its neighbours, the states that
differ from it at one site:

    gain_i(a) = u(x with x_i = a) - u(x).                                   (1)
"""

from dataclasses import dataclass, replace

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient, value_and_grad
from tinyebm.common.backend import on_gpu
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, exponent
from tinyebm.objectives.step import Step, require_batch

NUMBERS = 2**20  # in the neighbouring states held at a time: 8 MiB


@dataclass(frozen=True)
class Pseudolikelihood:
    """The gradient of the mean negative log-pseudolikelihood of the rows of x,

        -1/n Σ_x Σ_i log p(x_i | x_-i) = 1/n Σ_x Σ_i log Σ_a e^{gain_i(a)}                  (2)

    (Besag 1975, The Statistician 24:179), on Bits, Spins or Cells; no state, no randomness.  It is
    consistent: if the model contains the true distribution, this is the minimum.  If not, the
    minimum differs from that of the likelihood.

    Metrics: "loss", this mean in nats.  Cost: 1 + d (q - 1) energies per row, where q is the number
    of values of a site.

    >>> from tinyebm import Bits, BoltzmannMachine
    >>> p = Density(BoltzmannMachine(3), {"W": np.zeros(3), "b": np.zeros(3)}, Bits(3))
    >>> step = Pseudolikelihood().gradient(p, np.ones((4, 3)), None)
    >>> round(float(step.metrics["loss"] / np.log(2)), 6)  # three fair coins
    3.0
    """

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        if not p.space.discrete:
            raise ValueError(
                f"Pseudolikelihood sums over the values of a site: {p.space} is not discrete"
            )

        def loss(gain):
            stay = np.zeros_like(stop_gradient(gain), shape=(1, *gain.shape[1:]))
            return ops.sum(ops.logsumexp(ops.concatenate([gain, stay]), axis=0))

        return _descend(loss, p, x)


@dataclass(frozen=True)
class RatioMatching:
    """The gradient of the ratio matching loss, with a the other value of a site,

        1/n Σ_x Σ_i σ(gain_i(a))²,    σ(t) = 1 / (1 + e^-t)                                 (3)

    (Hyvärinen 2007, Computational Statistics & Data Analysis 51:2499: the analogue of score
    matching for two values), on Bits and Spins; no state, no randomness.  It is consistent, like
    the pseudolikelihood.

    Metrics: "loss", between 0 and d.  Cost: 1 + d energies per row.

    >>> from tinyebm import Bits, BoltzmannMachine
    >>> p = Density(BoltzmannMachine(3), {"W": np.zeros(3), "b": np.zeros(3)}, Bits(3))
    >>> float(RatioMatching().gradient(p, np.ones((4, 3)), None).metrics["loss"])  # 3 σ(0)²
    0.75
    """

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        if not p.space.discrete or len(p.space.values) != 2:
            raise ValueError(
                f"RatioMatching flips sites with two values (Bits, Spins), not those of {p.space}"
            )
        return _descend(lambda gain: ops.sum(ops.square(ops.sigmoid(gain))), p, x)


def _descend(loss, p, x):
    """The Step of the mean over rows of `loss`, a function of their gains (1), in blocks."""
    x = require_batch(p, x)
    if not on_gpu(x) and not p.space.contains(x).all():
        raise ValueError(f"some rows of x are no states of {p.space}")
    size = max(1, NUMBERS // (p.space.dim**2 * len(p.space.values)))
    total, gradient = 0.0, tree_map(np.zeros_like, p.theta)
    for start in range(0, len(x), size):
        rows = x[start : start + size]
        of = lambda theta, rows=rows: loss(_gains(replace(p, theta=theta), rows)) * (1 / len(x))
        value, slope = value_and_grad(of)(p.theta)
        total, gradient = total + value, tree_map(np.add, gradient, slope)
    return Step(gradient, {"loss": total}, None)


def _gains(p, x):
    """Eq. (1) for every other value, row and site: (q - 1, n, d)."""
    n, d = x.shape
    sites = np.arange(d, like=x)
    here = sites[:, None] == sites  # (d, d)
    others = p.space.others(x)[..., None, :]  # (q - 1, n, 1, d)
    neighbours = np.where(here, others, x[:, None, :])  # (q - 1, n, d, d): row i has another x_i
    u = exponent(p, np.concatenate([x, neighbours.reshape(-1, d)]))
    return ops.reshape(u[n:], (len(others), n, d)) - ops.reshape(u[:n], (1, n, 1))
