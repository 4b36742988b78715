"""Annealed importance sampling: log Z in any dimension, with a lower and an upper bound.

Between a base q that is known exactly (β = 0) and p (β = 1) lie the densities

    f_β(x) = q(x)^{1-β} (e^{-E(x)} μ(x))^β.                                 (1)

A chain starts at an exact draw x_0 of q.  At each β it takes a step of a kernel that leaves f_β
invariant.  Its weight

    w = Π_t f_{β_t}(x_{t-1}) / f_{β_{t-1}}(x_{t-1}),        E[w] = Z        (2)

is unbiased, however badly the chain mixes (Neal 2001, Statistics and Computing 11:125).  By
Jensen's inequality E[log mean w] ≤ log Z: a lower bound on average.  A chain from an exact draw of
p down to q has E[w] = 1/Z, so -log mean w is an upper bound on average (Grosse, Ghahramani & Adams
2015, arXiv:1511.02543).

For an RBM whose base is independent bits, the path goes through RBMs (`RBM.tempered`) instead of
eq. (1), and the kernel is block Gibbs sampling.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import (
    ENERGY,
    REAL,
    part_of,
    require_count,
    require_generator,
    require_own,
)
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity, Array, Generator, Kernel, Law
from tinyebm.density import exponents, in_double, require_density
from tinyebm.diagnostics.paths import LayeredPath, Path
from tinyebm.exact.sampling import law_of
from tinyebm.exact.structure import other_layer
from tinyebm.replay.door import remembering
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.kernels import is_kernel, offers, require_start
from tinyebm.samplers.langevin import MALA
from tinyebm.samplers.metropolis import require_possible
from tinyebm.spaces.laws import initial_law, support
from tinyebm.spaces.rows import double

# acceptance rate that the pilot run aims at, between the optima of MALA, 0.574, and HMC, 0.651
TARGET = 0.6
NEAR = 0.2  # the largest difference to it at the end of a stage of the pilot run
PILOT = 50  # stages of the pilot run
MOST, FEWEST = 60, 4  # steps at a stage
FEW = 5  # with fewer effective weights, their spread says nothing about the error


def ais(
    p: AnyDensity,
    n: int,
    rng: Generator,
    temperatures: int | Array = 1000,
    base: Law | AnyDensity | None = None,
    kernel: Kernel | Callable[[float], Kernel] | None = None,
) -> Estimate:
    """log Z of p by annealed importance sampling, eq. (2), an Estimate in nats.

    It is a lower bound on average.

    Parameters
    ----------
    p : Density
        In any dimension.
    n : int
        Chains, at least 2.
    temperatures : int or array
        T, for the steps β = (t/T)², t = 0, ..., T, which are denser near the base, where the tails
        change most; or the β themselves, increasing from 0 to 1.  1 is importance sampling.
    base : a distribution with `sample` and `log_prob`, or a Density, optional
        By default that of `p.space.initial`.  It has the space of p.  Where its tails are thinner
        than those of p, a few weights are very large.
    kernel : a kernel that leaves p invariant, or a function from a step size to one, optional
        By default `te.MALA`, on discrete spaces `te.Gibbs` (for an RBM from independent bits
        `te.BlockGibbs`).  For a function the step size is adapted along β to an acceptance rate of
        0.6, by other chains, and then kept.

    Returns
    -------
    Estimate
        The error is the standard error of log mean w from the spread of the weights.  It is inf if
        the effective number of weights is below five.  `details` holds "ess", this number
        (Σw)² / Σw², "log_weights" (n,), and "acceptance", the mean rate.

    Cost: per temperature and chain a step of the kernel and an energy (of an RBM two energies).

    >>> from tinyebm import Density, DoubleWell, Reals
    >>> well = DoubleWell()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> found = ais(p, 200, np.random.default_rng(0), temperatures=100)
    >>> from tinyebm import log_partition
    >>> abs(found - log_partition(p)) < 4 * found.error, found.error < 0.05
    (True, True)
    """
    q = _base(p, base)
    with remembering(p.energy, p.space, q) as require_unchanged:
        path, kernels, betas = _plan(p, n, rng, temperatures, q, kernel)
        x = q.sample(n, rng)
        # draws at which p is 0 have weight 0
        alive, log_w = _reached(p, x), np.zeros_like(x, shape=n) - math.inf
        log_w[alive], acceptance = _anneal(path, kernels, betas, x[alive], rng)
        found = _estimate(path, 1, log_w, acceptance)
        require_unchanged()
    return found


def reverse_ais(
    p: AnyDensity,
    x: Array,
    rng: Generator,
    temperatures: int | Array = 1000,
    base: Law | AnyDensity | None = None,
    kernel: Kernel | Callable[[float], Kernel] | None = None,
) -> Estimate:
    """log Z of p by annealing draws of p down to the base, an Estimate in nats.

    It is an *upper* bound on average, if x are exact draws.

    Parameters
    ----------
    x : array (n, d)
        Draws of p, one per chain: exact ones (`te.sample`), or the ends of long runs.
    p, rng, temperatures, base, kernel
        As in `ais`.

    If p is 0 on a part of the base's support, E[w] is 1/Z times the base's probability of the rest.
    That probability is estimated from n draws of the base; value and error account for it.

    Raises
    ------
    ValueError
        If p is 0 or nan at a row of x.

    >>> from tinyebm import Density, Reals, Ring, log_partition, sample
    >>> ring, rng = Ring(), np.random.default_rng(0)
    >>> p = Density(ring, ring.init(rng), Reals(2))
    >>> found = reverse_ais(p, sample(p, 200, rng), rng)
    >>> abs(found - log_partition(p)) < 4 * found.error, found.error < 0.05
    (True, True)
    """
    x = double(require_start(p, x, rng))
    if not p.space.contains(x).all():
        raise ValueError(f"some rows of x lie outside {p.space}: they are no draws of p")
    if not on_gpu(x):
        require_possible(p, x)
    q = _base(p, base)
    with remembering(p.energy, p.space, q) as require_unchanged:
        path, kernels, betas = _plan(p, len(x), rng, temperatures, q, kernel)
        log_w, acceptance = _anneal(path, kernels, betas[::-1], x, rng)
        share = float(_reached(p, q.sample(len(x), rng)).mean())
        found = _estimate(path, -1, log_w, acceptance, share)
        require_unchanged()
    return found


def _reached(p, x):
    """At which draws x (n, d) of the base p is not 0, a mask (n,)."""
    with np.errstate(all="ignore"):
        u = exponents(p, x)
    if not (u < math.inf).all():
        i = int(np.argmin(u < math.inf))
        raise ValueError(
            f"the energy is {-float(u[i])} at x = {x[i].tolist()}, a draw of the base: it must be "
            "a number, or +inf where the density is 0"
        )
    if not (u > -math.inf).any():
        raise FloatingPointError(
            "the logarithm of the weights' sum is -inf: does the base reach p? No draw of "
            f"{len(x)} does"
        )
    return u > -math.inf


def _base(p, base):
    """The distribution at β = 0, on the space of p."""
    require_density(p)
    base = initial_law(p.space) if base is None else law_of(base)
    if support(getattr(base, "space", p.space)) != support(p.space):
        raise ValueError(
            f"the base lives on {base.space}, the density on {p.space}: annealing needs one space "
            "for both"
        )
    return base


def _plan(p, n, rng, temperatures, base, kernel):
    """(path, a function from β to its kernel, the β from 0 to 1)."""
    require_count(n, "at least 2 chains are needed to see a spread of weights", least=2)
    p = in_double(p)
    require_generator(rng)
    betas = _betas(temperatures)
    layers = part_of(p.energy, "tempered", ENERGY) and other_layer(p.energy, p.space)
    layered = hasattr(base, "slope") and layers
    path = LayeredPath(p, base) if layered else Path(p, base)
    if kernel is None:
        kernel = MALA
        if p.space.discrete:
            kernel = BlockGibbs() if layered else Gibbs()
    _require_invariant(kernel)
    if is_kernel(kernel):
        return path, lambda beta: kernel, betas
    if len(betas) == 2:  # importance sampling takes no steps
        return path, None, betas
    stages, log_steps = _pilot(path, betas, kernel, n, rng)
    return path, lambda beta: kernel(math.exp(np.interp(beta, stages, log_steps))), betas


def _betas(temperatures):
    """The β, an array (T + 1,)."""
    wanted = "temperatures is a positive number of steps, or β increasing from 0 to 1"
    if np.ndim(temperatures) == 0:
        require_count(temperatures, wanted)
        return np.linspace(0, 1, int(temperatures) + 1) ** 2
    betas = np.asarray(temperatures)
    sound = betas.ndim == 1 and betas.dtype.kind in REAL and len(betas) > 1
    if not sound or (betas[0], betas[-1]) != (0, 1) or not (np.diff(betas) > 0).all():
        raise ValueError(f"{wanted}, got {temperatures!r}")
    return betas


def _require_invariant(kernel):
    """Raise ValueError unless a kernel (or that of a function) leaves its density invariant."""
    try:
        made = kernel if is_kernel(kernel) else kernel(1.0)
    except (TypeError, ValueError):
        made = None
    require_own(made, "step", ("drift",))
    if not offers(made, "invariant"):
        raise ValueError(
            f"weights are right only if every kernel leaves its density invariant: {kernel!r} does "
            "not say `invariant = True`; use MALA, HMC, Gibbs or their relatives"
        )


def _pilot(path, betas, make, n, rng):
    """(β, log step size) at some of the β, from n chains.

    After every step log step_size moves by the acceptance rate minus TARGET.  A stage ends when the
    last FEWEST rates average near TARGET, at the latest after MOST steps.  Its result is the mean
    of the last FEWEST log step sizes.
    """
    x, log_step, found = path.base.sample(n, rng), math.log(0.1), []
    stages = betas[np.unique(np.linspace(0, len(betas) - 1, min(PILOT, len(betas))).astype(int))]
    for i, beta in enumerate(stages):
        if i == 1:  # chains at which p is 0 would never move
            x = x[_reached(path.p, x)]
        q, tried, rates = path.at(beta), [], []
        while len(rates) < FEWEST or (
            abs(sum(rates[-FEWEST:]) / FEWEST - TARGET) > NEAR and len(rates) < MOST
        ):
            x, accepted, _ = make(math.exp(log_step)).step(q, x, rng)
            rates.append(TARGET if accepted is None else float(accepted.mean()))
            log_step += rates[-1] - TARGET
            tried.append(log_step)
        found.append(sum(tried[-FEWEST:]) / FEWEST)
    return stages, found


def _anneal(path, kernels, betas, x, rng):
    """(log weights (n,) of eq. (2) along these β, mean acceptance rate or None)."""
    if len(betas) > 2 and isinstance(path, Path) and offers(kernels(betas[1]), "step_from"):
        return _anneal_from(path, kernels, betas, x, rng)
    log_w, accepted = 0.0, []
    for i, (before, beta) in enumerate(itertools.pairwise(betas), 2):
        log_w = log_w + path.gain(x, before, beta)
        if i < len(betas):
            x, taken, _ = kernels(beta).step(path.at(beta), x, rng)
            accepted += [] if taken is None else [taken.mean()]
    return log_w, sum(accepted) / len(accepted) if accepted else None


def _anneal_from(path, kernels, betas, x, rng):
    """`_anneal` with one evaluation of p at every β instead of three.

    The exponents and scores of p and of the base at x are kept: those of f_β are their means with
    weights β and 1 - β, and a step evaluates them at its proposals only.
    """
    log_w, accepted, here = 0.0, [], path.parts(x)

    def at(parts, beta):
        u, s, u_base, s_base = parts
        return beta * u + (1 - beta) * u_base, beta * s + (1 - beta) * s_base

    for i, (before, beta) in enumerate(itertools.pairwise(betas), 2):
        log_w = log_w + (here[0] - here[2]) * (beta - before)
        if i == len(betas):
            break
        there = []

        def evaluate(y, beta=beta, there=there):
            there.extend(path.parts(y))
            return at(there, beta)

        move = kernels(beta).step_from(x, at(here, beta), evaluate, path.p.space, rng)
        x, taken = move.x, move.accepted
        for k, new in enumerate(there):
            there[k] = np.where(taken if new.ndim == 1 else taken[:, None], new, here[k])
        here = there
        accepted.append(taken.mean())
    return log_w, sum(accepted) / len(accepted)


def _estimate(path, sign, log_w, acceptance, share=1.0):
    """log Z from weights whose mean is Z (sign 1) or share / Z (sign -1), over Z at β = 0."""
    n, total = len(log_w), float(ops.logsumexp(log_w))
    if not math.isfinite(total):
        raise FloatingPointError(
            f"the logarithm of the weights' sum is {total}: does the base reach p?"
        )
    ess = math.exp(2 * total - float(ops.logsumexp(2 * log_w)))
    details = {"ess": ess, "log_weights": log_w, "acceptance": acceptance}
    error = math.sqrt(max(0.0, n / ess - 1) / (n - 1)) if ess >= FEW else math.inf
    error = math.hypot(error, math.sqrt((1 - share) / (n * share)))
    return Estimate(path.log_z + sign * (total - math.log(n)) + math.log(share), error, details)
