"""Exact maximum likelihood to convergence: L-BFGS on the exact gradient."""

import contextlib
import math
import warnings

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.checks import require_count, require_positive
from tinyebm.common.errors import ConvergenceWarning
from tinyebm.common.kinds import AnyData, Energy, Space, Tree
from tinyebm.common.progress import Progress
from tinyebm.common.tree import ravel, tree_map
from tinyebm.density import Density, exponents
from tinyebm.exact.gradient import exact_phase, weighted_energy_gradient
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import population
from tinyebm.replay.door import remembering
from tinyebm.spaces.own import complete
from tinyebm.training.fit import Fit
from tinyebm.training.optimize import lbfgs
from tinyebm.training.start import space_of, start_of, unstandardised

SIGNS = 16  # random signs, which give a standard deviation to about a sixth
LISTED = 2**8  # weighted states that it is taken over
CONSTANT = 1e-12  # standard deviations, next to the root mean square, that are rounding
# nats between NLLs that are as good as equal, and how far apart they may lie at a maximum
TIED, FAR = 1e-5, 1.0
AT_INFINITY = (
    "the maximum lies at infinity: parameters grow without end to give no probability to what the "
    "data never show (a constant column, values that never meet), and the NLL tends to a limit"
)
# nats: how dense a model may be at a row, in units of the data's widths, or on a flat next to
# beside it
SPIKE = 12.0
ASIDE = 0.1  # how far beside it, in units of the largest deviation from the mean


def mle(
    energy: Energy,
    data: AnyData,
    space: Space | None = None,
    theta: Tree = None,
    seed: int = 0,
    gtol: float = 1e-6,
    max_steps: int = 2000,
    rtol: float = 1e-8,
    progress: bool | str = True,
) -> Fit:
    """Maximise the exact likelihood by L-BFGS until no component of its gradient exceeds gtol.

    The data are all rows of an array or Data, or a whole population, by
    quadrature.  The quadrature's grid is chosen anew for every θ that is tried, so
    that no step can leave the grid or slip between its nodes.

    Neither start nor end depends on the units of x.  An energy that can starts near the data
    (`init_from_data`).  A parameter whose statistic ∂E/∂θ_i has a standard deviation under
    the model that is far from 1 (below 0.01, above 100) is measured in units in which it is 1; on
    states all units are natural.

    Parameters
    ----------
    energy, data, space, theta, seed, progress
        As in `fit`; without theta an energy with `init_from_data` starts near the data.
    gtol : float
        Largest component of the gradient of the mean negative log-likelihood: by how much the means
        of ∂E/∂θ_i under the data and under the model may differ, in the units above.
    max_steps : int
        Iterations of L-BFGS in all.
    rtol : float
        Relative error of Z.

    Returns
    -------
    Fit
        `history` holds "nll" (nats) at every θ that was tried and, last, at the result; the number
        of steps, whether the run "converged" and if not the "cause", and "kl" = KL(data‖model) for
        a population.

    Warns
    -----
    ConvergenceWarning
        If it has not converged, saying why: steps ran out, or there is no maximum to be found.

    >>> from tinyebm import GaussianEnergy
    >>> x = np.array([[0.0], [1.0], [5.0]])
    >>> mle(GaussianEnergy(1), x).theta["mean"].round(6)
    array([2.])
    """
    data = population(data)
    x, mass = data_law(data)
    space = complete(space or space_of(data, x, energy))
    if x.shape[1] != space.dim or not np.all(space.contains(x)):
        raise ValueError(f"some rows of the data lie outside {space}")
    require_positive("gtol", gtol)
    require_count(max_steps, "max_steps must be a positive number of iterations")
    theta = tree_map(
        lambda leaf: leaf.astype("float64"), start_of(energy, theta, Stream(seed), (x, mass))
    )

    @np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a line search may go anywhere
    def value_and_gradient(theta):
        p = Density(energy, theta, space)
        u = exponents(p, x)
        try:
            log_z, model = exact_phase(p, rtol, finer=True, rows=x)
        except ValueError:  # where Z is infinite, or out of reach: the start itself was not refused
            return math.inf, theta
        value = log_z - float(mass @ u)
        if (
            flat
            and value < min(history["nll"], default=-math.inf)
            and exponents(p, x + flat[1]).max() < u.max() - SPIKE
        ):
            raise StopIteration  # from here the NLL falls for ever
        history["nll"].append(value)
        trail.extend([(value, ravel(theta)[0])] * space.discrete)
        bar(min(len(history["nll"]), max_steps - 1), f"nll {value:.6f}")
        return value, tree_map(lambda a, b: a - b, weighted_energy_gradient(p, x, mass), model)

    flat = flat_of(space, x)
    history: dict = {"nll": []}
    trail: list = []  # on states, where units are natural: (NLL, θ)
    bar = Progress("mle", max_steps, progress)
    spread = (
        None
        if space.discrete
        else lambda theta: spread_of_statistics(Density(energy, theta, space), x, mass)
    )
    with remembering(energy, space) as require_unchanged:
        # where the start itself is refused, say why
        log_partition(Density(energy, theta, space), rtol, rows=x)
        theta, value, steps, converged = lbfgs(value_and_gradient, theta, max_steps, gtol, spread)
        require_unchanged()
        p = Density(energy, theta, space)
        # at a maximum all close together
        tied = [where for nll, where in trail if nll < value + TIED]
        cause = None if converged else why_not(p, x, mass, value, steps, max_steps)
        cause = AT_INFINITY if tied and np.ptp(tied, axis=0).max() > FAR else cause
    bar(max_steps, f"nll {value:.6f}")
    history |= {"nll": [*history["nll"], value], "step": [steps], "converged": [cause is None]}
    if cause:
        history["cause"] = [cause]
        warnings.warn(f"mle has not converged: {cause}", ConvergenceWarning, stacklevel=2)
    if hasattr(data, "entropy"):
        history["kl"] = [value - data.entropy]
    return Fit(theta, p, history, {"step": np.array(steps), "theta": theta})


def spread_of_statistics(p, x, mass):
    """The standard deviation under the model of every ∂E/∂θ_i, a tree like theta: the root of the
    Fisher information's diagonal.

    For signs s_j, independent, the mean square of Σ_j s_j √m_j (t_j - t̄) is Σ_j m_j (t_j - t̄)².
    Under the rows x of weight mass where the model's states cannot be listed.
    """
    rng = Stream(0).at(0)
    with contextlib.suppress(ValueError):
        q = quadrature(p, 1e-3)
        x, log_w = q.grid.all()
        mass = np.exp(exponents(p, x) + log_w - q.log_z)
    if len(x) > LISTED:
        x, mass = x[rng.choice(len(x), LISTED, p=mass / mass.sum())], np.ones(LISTED)
    mass = mass / mass.sum()
    mean, square, variance = weighted_energy_gradient(p, x, mass), 0.0, 0.0
    for _ in range(SIGNS):
        weights = np.sqrt(mass) * np.where(rng.random(len(x)) < 0.5, -1.0, 1.0)
        flat, unravel = ravel(weighted_energy_gradient(p, x, weights))
        square = square + flat**2
        variance = variance + (flat - float(weights.sum()) * ravel(mean)[0]) ** 2
    return unravel(np.where(variance > CONSTANT**2 * square, np.sqrt(variance / SIGNS), 0.0))


def why_not(p, x, mass, value, steps, max_steps):
    """Why a run has not converged, in one line."""
    advice = unstandardised(p.space, x, mass)
    if flat := flat_of(p.space, x):
        return (
            f"{flat[0]}: a density may rise there without bound, and the likelihood has no maximum"
        )
    u = exponents(p, x)
    widths = np.ones(1) if p.space.discrete else np.sqrt(mass @ np.square(x - mass @ x))
    # of log p at a row, in units of the data's widths
    height = float(u.max() - mass @ u - value + np.log(widths).sum())
    if height > SPIKE:
        return (
            f"the model has a spike of density e^{height:.0f}, in units of the data's widths, at "
            f"the row {x[u.argmax()].tolist()}: the narrower it grows the larger the likelihood, "
            "which has no maximum"
        )
    if steps >= max_steps:
        return f"the {max_steps} steps of max_steps were not enough"
    more = f"; {advice}" if advice else ""
    return f"no lower NLL was found, within its rounding and the reach of quadrature{more}"


def flat_of(space, x):
    """(how rows (n, d) of R^d or a box fail to span it, a step away from the flat that they lie
    on), or None."""
    if space.discrete:
        return None
    z = x - x.mean(axis=0)
    unit = np.abs(z).max(axis=0)
    unit[unit <= 1e-13 * np.abs(x).max(axis=0)] = 0.0  # a constant column, seen through rounding
    _, lengths, axes = np.linalg.svd(
        z / np.where(unit > 0, unit, np.inf), full_matrices=len(z) < space.dim
    )
    rank = int((lengths > 1e-9 * math.sqrt(len(x))).sum())
    if rank == space.dim:
        return None
    words = ("all rows are equal", "the rows lie on a line", "the rows lie on a plane")[rank]
    return words, ASIDE * axes[-1] * np.where(unit > 0, unit, unit.max() or 1.0)
