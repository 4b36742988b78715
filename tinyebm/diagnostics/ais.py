"""Annealed importance sampling: log Z where no sum can be had, and a bracket that says how far to trust it.

Between a base q that is known exactly (β = 0) and p (β = 1) lie the densities

    f_β(x) = q(x)^{1-β} (e^{-E(x)} μ(x))^β.                                 (1)

A chain starts at an exact draw x_0 of q and goes through them by kernels that leave each invariant; its weight

    w = Π_t f_{β_t}(x_{t-1}) / f_{β_{t-1}}(x_{t-1}),        E[w] = Z        (2)

is unbiased whatever the chain forgets on the way (Neal 2001, Statistics and Computing 11:125).  By Jensen's inequality
E[log mean w] ≤ log Z: a lower bound on average.  The same walk from exact draws of p down to q has E[w] = 1/Z, so
-log mean w is an *upper* bound on average, and the two bracket log Z (Grosse, Ghahramani & Adams 2015, arXiv:1511.02543).

Of an RBM from independent bits, layers are mixed rather than free energies (`RBM.tempered`), and moves are block Gibbs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm import ops
from tinyebm.density import Density, exponent
from tinyebm.estimate import Estimate
from tinyebm.exact.sampling import Exact
from tinyebm.laws import initial_law
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.langevin import MALA

TARGET = 0.6  # acceptance that the pilot run steers towards: between the optima of MALA, 0.574, and HMC, 0.651
PILOT = 50  # temperatures of the pilot run
SETTLE, FOLLOW = 40, 4  # its steps at the first temperature, and at each later one


def ais(p, n, rng, temperatures=1000, base=None, kernel=None):
    """log Z of p by annealed importance sampling, eq. (2): an Estimate in nats, a lower bound on average.

    Parameters
    ----------
    p : Density
        In any dimension.
    n : int
        Chains, at least 2.
    temperatures : int or array
        T steps from β = 0 to β = 1 at β = (t/T)², denser near the base where tails change most; or the β themselves,
        increasing from 0 to 1.  1 is importance sampling.
    base : a law with `sample` and `log_prob`, or a Density, optional
        By default the law of `p.space.initial`.  It must reach all of p: thin tails make heavy weights.
    kernel : a kernel, or a function from a step size to one, optional
        By default `te.MALA`; on states Gibbs (block Gibbs for an RBM from independent bits).  The step size of a
        function is adapted by a pilot run of chains of its own to an acceptance of 0.6 at every β, and then frozen.

    Returns
    -------
    Estimate
        The error is the standard error of log mean w from the spread of the weights; with few effective weights it is too
        small.  `details` holds "ess", the effective number (Σw)² / Σw² of the n weights, "log_weights" (n,),
        and "acceptance".

    Cost: per temperature a kernel step and two energies per chain.

    >>> from tinyebm import DoubleWell, Reals
    >>> well = DoubleWell()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> found = ais(p, 200, np.random.default_rng(0), temperatures=100)
    >>> from tinyebm import log_partition
    >>> abs(found - log_partition(p)) < 4 * found.error, found.error < 0.05
    (True, True)
    """
    path, kernels, betas = _plan(p, n, rng, temperatures, base, kernel)
    return _estimate(path, 1, *_anneal(path, kernels, betas, path.base.sample(n, rng), rng))


def reverse_ais(p, x, rng, temperatures=1000, base=None, kernel=None):
    """log Z of p by annealing draws of p itself to the base: an Estimate in nats, an *upper* bound on average.

    Parameters
    ----------
    x : array (n, d)
        Draws of p, one a chain: exact ones (`te.sample`), or ends of long runs; the bound is as good as they are.
    p, rng, temperatures, base, kernel
        As in `ais`.

    >>> from tinyebm import DoubleWell, Reals, log_partition, sample
    >>> well, rng = DoubleWell(), np.random.default_rng(0)
    >>> p = Density(well, well.init(rng), Reals(1))
    >>> found = reverse_ais(p, sample(p, 200, rng), rng)
    >>> abs(found - log_partition(p)) < 4 * found.error, found.error < 0.05
    (True, True)
    """
    path, kernels, betas = _plan(p, len(x), rng, temperatures, base, kernel)
    return _estimate(path, -1, *_anneal(path, kernels, betas[::-1], x, rng))


@dataclass(frozen=True)
class _Path:
    """Eq. (1): `at(beta)` is the Density f_β / const, with p's own space; `log_z` is log Z at β = 0."""

    p: Density
    base: Any

    def at(self, beta):
        return Density(lambda theta, x: self._energy(theta, x, beta), self.p.theta, self.p.space)

    def _energy(self, theta, x, beta):
        u = exponent(Density(self.p.energy, theta, self.p.space), x)
        return self.p.space.log_base(x) - beta * u - (1 - beta) * self.base.log_prob(x)

    log_z = 0.0


@dataclass(frozen=True)
class _LayeredPath:
    """Restricted Boltzmann machines between independent bits and p."""

    p: Density
    base: Any

    def at(self, beta):
        return Density(self.p.energy, self.p.energy.tempered(self.p.theta, self.base.slope, beta), self.p.space)

    @property
    def log_z(self):
        return self.p.energy.hidden * math.log(2) + float(ops.softplus(self.base.slope).sum())


def _plan(p, n, rng, temperatures, base, kernel):
    """(path, kernel of every β but the ends, β from 0 to 1)."""
    if n < 2:
        raise ValueError(f"at least 2 chains are needed to see a spread of weights, got {n}")
    betas = np.linspace(0, 1, temperatures + 1) ** 2 if np.ndim(temperatures) == 0 else np.asarray(temperatures)
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not (np.diff(betas) > 0).all():
        raise ValueError(f"temperatures is a positive number of steps, or β increasing from 0 to 1, got {temperatures!r}")
    base = initial_law(p.space) if base is None else base if hasattr(base, "sample") else Exact(base)
    if base.space.dim != p.space.dim:
        raise ValueError(f"the base has dimension {base.space.dim}, the density {p.space.dim}")
    layered = hasattr(p.energy, "tempered") and hasattr(base, "slope") and p.energy.other_layer(p.space)
    path = _LayeredPath(p, base) if layered else _Path(p, base)
    kernel = kernel or ((BlockGibbs() if layered else Gibbs()) if p.space.discrete else MALA)
    if not callable(kernel):
        return path, lambda beta: kernel, betas
    if len(betas) == 2:
        return path, None, betas
    stages, log_steps = _pilot(path, kernel, n, rng)
    return path, lambda beta: kernel(math.exp(np.interp(beta, stages, log_steps))), betas


def _pilot(path, make, n, rng):
    """(β, log step size): at each β the mean of the log step sizes tried there, steered by the acceptance of n chains."""
    x, log_step, found = path.base.sample(n, rng), math.log(0.1), []
    stages = np.linspace(0, 1, PILOT)
    for beta in stages:
        q, tried = path.at(beta), []
        for i in range(FOLLOW if found else SETTLE):
            x, accepted, _ = make(math.exp(log_step)).step(q, x, rng)
            log_step += (0.5 if found or i > SETTLE // 2 else 1.0) * (float(accepted.mean()) - TARGET)
            tried.append(log_step)
        found.append(sum(tried[-FOLLOW:]) / FOLLOW)
    return stages, found


def _anneal(path, kernels, betas, x, rng):
    """(log weights (n,) of eq. (2) along these β, mean acceptance or None)."""
    log_w, accepted, here = 0.0, [], path.at(betas[0])
    for i, beta in enumerate(betas[1:], 1):
        there = path.at(beta)
        log_w = log_w + (exponent(there, x) - exponent(here, x))
        if i + 1 < len(betas):
            x, taken, _ = kernels(beta).step(there, x, rng)
            accepted += [] if taken is None else [taken.mean()]
        here = there
    return log_w, sum(accepted) / len(accepted) if accepted else None


def _estimate(path, sign, log_w, acceptance):
    """The Estimate of log Z from weights whose mean is Z (sign 1) or 1/Z (sign -1), up to the base's constant."""
    n, total = len(log_w), float(ops.logsumexp(log_w))
    if not math.isfinite(total):
        raise FloatingPointError(f"the weights' sum is {math.exp(min(total, 700.0))}: does the base reach p, and is every energy "
                                 f"finite there?")
    ess = math.exp(2 * total - float(ops.logsumexp(2 * log_w)))
    details = {"ess": ess, "log_weights": log_w, "acceptance": acceptance}
    return Estimate(path.log_z + sign * (total - math.log(n)), math.sqrt(max(0.0, n / ess - 1) / (n - 1)), details)
