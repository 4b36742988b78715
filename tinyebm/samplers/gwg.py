"""Gibbs with gradients: the gradient of log p proposes the site to flip."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import over_blocks, recomputed
from tinyebm.common.checks import ENERGY, part_of, require_memory
from tinyebm.common.kinds import Array, Generator
from tinyebm.density import Density, atom_exponents, exponent_and_score
from tinyebm.samplers import flows
from tinyebm.samplers.kernels import Move, require_start
from tinyebm.samplers.metropolis import accept
from tinyebm.samplers.sites import logits_of, offers_sites


@dataclass(frozen=True)
class GibbsWithGradients:
    """A site i is drawn with q(i|x) = softmax_i(δ_i(x) / 2), and its flip y accepted or not.

        δ_i(x) = (y_i - x_i) ∂_i log p(x) ≈ log p(y) - log p(x),                          (1)
        acceptance min(1, p(y) q(i|y) / p(x) q(i|x))                                      (2)

    (Grathwohl, Swersky, Hashemi, Duvenaud & Maddison 2021, ICML, algorithm 1).  It leaves p
    invariant and is reversible.  It is for Bits and Spins, and for energies that are differentiable
    between the states.  A step costs two energies and their gradients per chain, and a push O(d N)
    for N states.  If an energy is linear in every site (Ising, BoltzmannMachine), (1) is exact, and
    its `site_logits` give it without energies and gradients, about twice as fast.

    >>> from tinyebm import Bits, BoltzmannMachine, Density, run
    >>> rng, machine = np.random.default_rng(0), BoltzmannMachine(4)
    >>> p = Density(machine, machine.init(rng), Bits(4))
    >>> x, info = run(GibbsWithGradients(), p, np.zeros((100, 4)), 10, rng)
    >>> x.shape, bool(info["acceptance"] > 0.5)
    ((100, 4), True)
    """

    invariant = True
    push, work = flows.push, flows.work

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move: one proposal per row of x (n, d), accepted or not."""
        low, high = _two_values(p)
        x = require_start(p, x, rng)
        sites = np.arange(p.space.dim, like=x)
        exact = offers_sites(p, x) and part_of(p.energy, "multilinear", ENERGY)
        changes = _by_sites if exact else _by_gradient
        u, delta = changes(p, x)
        log_q = _log_q(delta)
        uniform = rng.random((len(x), 1), dtype=log_q.dtype)
        below = np.cumsum(np.exp(log_q), axis=1)[:, :-1] <= uniform
        site = sites == below.sum(axis=1)[:, None]  # (n, d), one True a row
        y = np.where(site, low + high - x, x)
        u_y, delta_y = changes(p, y)
        at_site = lambda values: np.where(site, values, 0.0).sum(axis=1)
        rise = at_site(delta) if exact else u_y - u  # log p(y) - log p(x)
        log_ratio = rise + at_site(_log_q(delta_y) - log_q)
        return accept(x, y, log_ratio, rng, p)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` as a function of masses: site by site, mass moves between the two values."""
        _two_values(p)
        require_memory(f"a push over the states of {p.space}", 4 * grid.size * p.space.dim)
        u, sites = atom_exponents(p, grid), [(i,) for i in range(p.space.dim)]
        log_q = over_blocks(lambda p, x, _: _log_q(_by_gradient(p, x)[1]), p, grid.blocks)  # (N, d)
        shape = lambda i: (2**i, 2, grid.size // 2 ** (i + 1))  # site i in the middle

        def accepted(u, log_q, i):  # flips of site i, (1, N)
            u_i, q_i = u.reshape(shape(i)), log_q[:, i].reshape(shape(i))
            log_ratio = (u_i + q_i)[:, ::-1] - u_i - q_i
            return ops.exp(q_i + ops.minimum(0.0, log_ratio)).reshape(1, -1)

        flips = recomputed(accepted, lambda: sites, joined=True)(u, log_q)  # (d, N)

        def change(mass, flips, i=None):
            if i is None:
                return mass
            out = (flips[i] * mass).reshape(shape(i))
            return (out[:, ::-1] - out).reshape(-1)

        return lambda mass: recomputed(change, lambda: [(), *sites])(mass, flips)


def _by_gradient(p, x):
    """(log p + const (n,), δ (n, d)) of eq. (1)."""
    u, slope = exponent_and_score(p, x)
    low, high = p.space.values
    return u, (low + high - 2 * x) * slope


def _by_sites(p, x):
    """(None, δ (n, d)) of eq. (1), by what each site sees."""
    low, high = p.space.values
    logits = logits_of(p, x, np.arange(p.space.dim))
    return None, (low + high - 2 * x) * (logits / (high - low))


def _log_q(delta):
    """log q(i|x), (n, d)."""
    return delta / 2 - ops.logsumexp(delta / 2, axis=1, keepdims=True)


def _two_values(p):
    if len(getattr(p.space, "values", ())) != 2:
        raise ValueError(
            f"GibbsWithGradients flips sites with two values (Bits, Spins), not those of {p.space}"
        )
    return p.space.values
