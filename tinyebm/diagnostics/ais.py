"""Annealed importance sampling: log Z where no sum can be had, and a bracket that says how far to
trust it.

Between a base q that is known exactly (β = 0) and p (β = 1) lie the densities

    f_β(x) = q(x)^{1-β} (e^{-E(x)} μ(x))^β.                                 (1)

A chain starts at an exact draw x_0 of q and goes through them by kernels that leave each invariant;
its weight

    w = Π_t f_{β_t}(x_{t-1}) / f_{β_{t-1}}(x_{t-1}),        E[w] = Z        (2)

is unbiased whatever the chain forgets on the way (Neal 2001, Statistics and Computing 11:125).  By
Jensen's inequality E[log mean w] ≤ log Z: a lower bound on average.  The same walk from exact draws
of p down to q has E[w] = 1/Z, so -log mean w is an *upper* bound on average, and the two bracket
log Z (Grosse, Ghahramani & Adams 2015, arXiv:1511.02543).

Of an RBM from independent bits, layers are mixed rather than free energies (`RBM.tempered`), and
moves are block Gibbs.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import (
    ENERGY,
    KERNEL,
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
from tinyebm.samplers.kernels import require_start
from tinyebm.samplers.langevin import MALA
from tinyebm.samplers.metropolis import require_possible
from tinyebm.spaces.laws import initial_law, support
from tinyebm.spaces.rows import double

# acceptance that the pilot run steers towards: between the optima of MALA, 0.574, and HMC, 0.651
TARGET = 0.6
NEAR = 0.2  # how far from it a stage of that run may end
PILOT = 50  # its stages
SETTLE, FOLLOW = 60, 4  # the most steps at a stage, and the fewest
FEW = 5  # effective weights, below which their spread says nothing about the error


def ais(
    p: AnyDensity,
    n: int,
    rng: Generator,
    temperatures: int | Array = 1000,
    base: Law | AnyDensity | None = None,
    kernel: Kernel | Callable[[float], Kernel] | None = None,
) -> Estimate:
    """log Z of p by annealed importance sampling, eq. (2): an Estimate in nats, a lower bound on
    average.

    Parameters
    ----------
    p : Density
        In any dimension.
    n : int
        Chains, at least 2.
    temperatures : int or array
        T steps from β = 0 to β = 1 at β = (t/T)², denser near the base where tails change most; or
        the β themselves, increasing from 0 to 1.  1 is importance sampling.
    base : a law with `sample` and `log_prob`, or a Density, optional
        By default the law of `p.space.initial`.  It lives where p does, and must reach all of p:
        thin tails make heavy weights.
    kernel : a kernel that leaves p invariant, or a function from a step size to one, optional
        By default `te.MALA`; on states Gibbs (block Gibbs for an RBM from independent bits).  The
        step size of a function is adapted by a pilot run of chains of its own to an acceptance of
        0.6 along β, and then frozen.

    Returns
    -------
    Estimate
        The error is the standard error of log mean w from the spread of the weights; inf with fewer
        than five effective ones, whose spread says nothing.  `details` holds "ess", the effective
        number (Σw)² / Σw² of the n weights, "log_weights" (n,), and "acceptance".

    Cost: per temperature an energy and its gradient per chain with MALA; with another kernel its
    step and an energy (of an RBM two).

    >>> from tinyebm import Density, DoubleWell, Reals
    >>> well = DoubleWell()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> found = ais(p, 200, np.random.default_rng(0), temperatures=100)
    >>> from tinyebm import log_partition
    >>> abs(found - log_partition(p)) < 4 * found.error, found.error < 0.05
    (True, True)
    """
    law = _base(p, base)
    with remembering(p.energy, p.space, law) as require_unchanged:
        path, kernels, betas = _plan(p, n, rng, temperatures, law, kernel)
        x = law.sample(n, rng)
        # no kernel moves the others, and no weight is theirs
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
    """log Z of p by annealing draws of p itself to the base: an Estimate in nats, an *upper* bound
    on average.

    Parameters
    ----------
    x : array (n, d)
        Draws of p, one a chain: exact ones (`te.sample`), or ends of long runs; the bound is as
        good as they are. ValueError where p is 0 or nan.
    p, rng, temperatures, base, kernel
        As in `ais`.

    Where p is 0 but the base is not, E[w] is 1/Z times the base's probability of all other points:
    it is estimated from as many draws of the base, and enters value and error.

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
    law = _base(p, base)
    with remembering(p.energy, p.space, law) as require_unchanged:
        path, kernels, betas = _plan(p, len(x), rng, temperatures, law, kernel)
        log_w, acceptance = _anneal(path, kernels, betas[::-1], x, rng)
        found = _estimate(
            path, -1, log_w, acceptance, float(_reached(p, law.sample(len(x), rng)).mean())
        )
        require_unchanged()
    return found


def _reached(p, x):
    """Which draws x (n, d) of the base p could have given, too, (n,)."""
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
    """The law to anneal from, on the space of p."""
    require_density(p)
    base = initial_law(p.space) if base is None else law_of(base)
    if support(getattr(base, "space", p.space)) != support(p.space):
        raise ValueError(
            f"the base lives on {base.space}, the density on {p.space}: annealing needs one space "
            "for both"
        )
    return base


def _plan(p, n, rng, temperatures, base, kernel):
    """(path, kernel of every β but the ends, β from 0 to 1)."""
    require_count(n, "at least 2 chains are needed to see a spread of weights", least=2)
    p = in_double(p)
    require_generator(rng)
    base, counted = _base(p, base), np.ndim(temperatures) == 0
    if counted:
        require_count(
            temperatures, "temperatures is a positive number of steps, or β increasing from 0 to 1"
        )
    betas = np.linspace(0, 1, int(temperatures) + 1) ** 2 if counted else np.asarray(temperatures)
    if (
        betas.ndim != 1
        or betas.dtype.kind not in REAL
        or len(betas) < 2
        or (betas[0], betas[-1]) != (0, 1)
        or not (np.diff(betas) > 0).all()
    ):
        raise ValueError(
            "temperatures is a positive number of steps, or β increasing from 0 to 1, got "
            f"{temperatures!r}"
        )
    layered = (
        hasattr(base, "slope")
        and part_of(p.energy, "tempered", ENERGY)
        and other_layer(p.energy, p.space)
    )
    path = LayeredPath(p, base) if layered else Path(p, base)
    kernel = kernel or ((BlockGibbs() if layered else Gibbs()) if p.space.discrete else MALA)
    try:
        made = kernel(1.0) if callable(kernel) else kernel
    except (TypeError, ValueError):
        made = None
    require_own(made, "step", ("drift",))
    if not part_of(made, "invariant", KERNEL):
        raise ValueError(
            f"weights are right only if every kernel leaves its density invariant: {kernel!r} does "
            "not say `invariant = True`; use MALA, HMC, Gibbs or their relatives"
        )
    if not callable(kernel):
        return path, lambda beta: kernel, betas
    if len(betas) == 2:
        return path, None, betas
    stages, log_steps = _pilot(path, betas, kernel, n, rng)
    return path, lambda beta: kernel(math.exp(np.interp(beta, stages, log_steps))), betas


def _pilot(path, betas, make, n, rng):
    """(β, log step size) at some of the β: the mean of the last step sizes tried there, steered by
    the acceptance of n chains.

    A stage ends when the last acceptances average near the target, at the latest after SETTLE
    steps.
    """
    x, log_step, found = path.base.sample(n, rng), math.log(0.1), []
    stages = betas[np.unique(np.linspace(0, len(betas) - 1, min(PILOT, len(betas))).astype(int))]
    for i, beta in enumerate(stages):
        if i == 1:  # from here on p has its word: what it cannot reach would never move
            x = x[_reached(path.p, x)]
        q, tried, rates = path.at(beta), [], []
        while len(rates) < FOLLOW or (
            abs(sum(rates[-FOLLOW:]) / FOLLOW - TARGET) > NEAR and len(rates) < SETTLE
        ):
            x, accepted, _ = make(math.exp(log_step)).step(q, x, rng)
            rates.append(float(accepted.mean()))
            log_step += rates[-1] - TARGET
            tried.append(log_step)
        found.append(sum(tried[-FOLLOW:]) / FOLLOW)
    return stages, found


def _anneal(path, kernels, betas, x, rng):
    """(log weights (n,) of eq. (2) along these β, mean acceptance or None)."""
    if (
        len(betas) > 2
        and hasattr(path, "parts")
        and part_of(kernels(betas[1]), "step_from", KERNEL)
    ):
        return _anneal_from(path, kernels, betas, x, rng)
    log_w, accepted = 0.0, []
    for i, (before, beta) in enumerate(itertools.pairwise(betas), 2):
        log_w = log_w + path.gain(x, before, beta)
        if i < len(betas):
            x, taken, _ = kernels(beta).step(path.at(beta), x, rng)
            accepted += [] if taken is None else [taken.mean()]
    return log_w, sum(accepted) / len(accepted) if accepted else None


def _anneal_from(path, kernels, betas, x, rng):
    """`_anneal` with one evaluation of p a temperature, at the proposals: f_β is known where p and
    the base are."""
    log_w, accepted, known = 0.0, [], path.parts(x)
    at = lambda parts, beta: (
        beta * parts[0] + (1 - beta) * parts[2],
        beta * parts[1] + (1 - beta) * parts[3],
    )
    for i, (before, beta) in enumerate(itertools.pairwise(betas), 2):
        log_w = log_w + (known[0] - known[2]) * (beta - before)
        if i < len(betas):
            proposed = []

            def evaluate(y, beta=beta, proposed=proposed):
                proposed.append(path.parts(y))
                return at(proposed[0], beta)

            x, taken, _ = kernels(beta).step_from(x, at(known, beta), evaluate, path.p.space, rng)
            known = [
                np.where(taken if old.ndim == 1 else taken[:, None], new, old)
                for new, old in zip(proposed[0], known, strict=True)
            ]
            accepted.append(taken.mean())
    return log_w, sum(accepted) / len(accepted)


def _estimate(path, sign, log_w, acceptance, share=1.0):
    """The Estimate of log Z from weights whose mean is Z (sign 1) or share / Z (sign -1), up to the
    base's constant."""
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
