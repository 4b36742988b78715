"""`mle`: the maximum of the exact likelihood, by L-BFGS on the exact gradient.

`why_not` says why a run has not converged, `flat_of` finds rows that do not span their space, and
`spread_of_statistics` gives units in which all parameters have a similar effect.
"""

import contextlib
import math
import warnings

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.checks import require_count, require_fraction, require_positive
from tinyebm.common.errors import ConvergenceWarning
from tinyebm.common.kinds import AnyData, Energy, Space, Tree, is_population
from tinyebm.common.progress import Progress
from tinyebm.common.tree import ravel, tree_map
from tinyebm.density import Density, exponents
from tinyebm.exact.gradient import exact_phase, weighted_energy, weighted_energy_gradient
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.nodes.follow import follow
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.sampling import population
from tinyebm.exact.structure import has_formula, require_normalisable
from tinyebm.exact.sums import model_phase
from tinyebm.replay.door import remembering, still
from tinyebm.spaces.own import complete
from tinyebm.training.fit import Fit
from tinyebm.training.optimize import lbfgs
from tinyebm.training.start import space_of, start_of, unstandardised

SIGNS = 16  # vectors of random signs, which give a standard deviation to about a sixth
# The tolerance of log Z at the start, and later as a fraction of the smallest decrease of the NLL
COARSE, PART = 1e-3, 1e-4
# In units of rtol: the last tolerance, as L-BFGS compares values whose differences are far smaller
LAST = 1e-2
SAME = 10  # in units of rtol: two values of the NLL that differ by less are the same
LISTED = 2**8  # most states over which it is taken
FEW = 2**17  # most nodes of a quadrature for it
CONSTANT = 1e-12  # a standard deviation below this fraction of the root mean square is rounding
# Runs on states: θ whose NLLs differ by less than TIED nats are as good as the result.  If they lie
# farther apart than FAR, the NLL is flat in some direction, and the maximum at infinity.
TIED, FAR = 1e-5, 1.0
AT_INFINITY = (
    "the maximum lies at infinity: parameters grow without end to give no probability to what the "
    "data never show (a constant column, values that never meet), and the NLL tends to a limit"
)
# nats of log density at a row above that of other places, which only a likelihood without a maximum
# reaches; ASIDE is the distance of such a place, in units of the largest deviation from the mean
SPIKE, ASIDE = 12.0, 0.1


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
    """The model of maximal exact likelihood, found by L-BFGS, as a Fit.

    The data are all rows of an array or of Data, or a whole population, by quadrature.  The grid of
    log Z follows θ; it is coarse at first, and rtol holds at the result, which is compared with a
    search for all peaks.  The run ends when no component of the gradient exceeds gtol.

    Neither the start nor the result depends on the units of x.  An energy with `init_from_data`
    starts near the data.  If the standard deviation of ∂E/∂θ_i under the model is below 0.01 or
    above 100, θ_i is measured in units in which it is 1 (not on discrete spaces).

    Parameters
    ----------
    energy, data, space, theta, seed, progress
        As in `fit`.
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
        `history` holds "nll" (nats) at every θ that was tried, there on coarser grids (to 1e-3 at
        the start, and 1e-4 of the smallest decrease), and last, to rtol, at the result; the number
        of steps, whether the run "converged" and if not the "cause", and "kl" = KL(data‖model) for
        a population.

    Warns
    -----
    ConvergenceWarning
        If the run has not converged; the message names the cause.  Either max_steps was too small,
        or no maximum exists.

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
    require_fraction("rtol", rtol)
    require_count(max_steps, "max_steps must be a positive number of iterations")
    theta = start_of(energy, theta, Stream(seed), (x, mass))
    theta = tree_map(lambda leaf: leaf.astype("float64"), theta)
    model = lambda theta: Density(energy, theta, space)
    bar = Progress("mle", max_steps, progress)
    note = lambda nlls: bar(min(len(nlls), max_steps - 1), f"nll {nlls[-1]:.6f}")
    nll = _Likelihood(model, theta, x, mass, rtol, note)
    spread = None if space.discrete else lambda theta: spread_of_statistics(model(theta), x, mass)
    with still(), remembering(energy, space) as require_unchanged:
        steps, at = 0, theta
        while at is not None:
            theta, value, more, converged = lbfgs(nll, at, max_steps - steps, gtol, spread)
            steps += more
            at = nll.again(theta, value, converged or steps >= max_steps)
        require_unchanged()
        p = model(theta)
        cause = None if converged else why_not(p, x, mass, value, steps, max_steps)
        tied = [at for value_there, at in nll.tried if value_there < value + TIED]
        if tied and np.ptp(tied, axis=0).max() > FAR:
            cause = AT_INFINITY
    bar(max_steps, f"nll {value:.6f}")

    history = {"nll": [*nll.values, value], "step": [steps], "converged": [cause is None]}
    if cause:
        history["cause"] = [cause]
        warnings.warn(f"mle has not converged: {cause}", ConvergenceWarning, stacklevel=2)
    if is_population(data):
        history["kl"] = [value - data.entropy]
    return Fit(theta, p, history, {"step": np.array(steps), "theta": theta})


class _Likelihood:
    """The mean NLL of rows x of probability mass m, and its gradient, as a function of θ.

    The nodes follow the θ that are tried (`exact.nodes.follow`).  At first they are coarse: the
    tolerance of log Z is COARSE, then the fraction PART of the smallest decrease of the NLL so far,
    and finally the fraction LAST of rtol.  `again` compares the result with a search for all peaks.

    It lists its `values`, and on states what was `tried`: (NLL, θ).
    """

    def __init__(self, model, start, x, mass, rtol, note):
        self.model, self.start, self.x, self.mass = model, start, x, mass
        self.rtol, self.note = rtol, note
        self.values, self.tried, self.lowest = [], [], math.inf
        self.memory, self.follows, self.tolerance = None, True, max(COARSE, rtol)
        space = model(start).space
        self.flat, self.base = flat_of(space, x), float(np.sum(mass * space.log_base(x)))

    @np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a line search may reach any θ
    def __call__(self, theta):
        """NLL = log Z + E_data[E], and its gradient E_data[∂E] - E_model[∂E]."""
        p, x = self.model(theta), self.x
        try:
            log_z, negative = self._phase(p)
        except ValueError:  # Z is infinite, or out of reach: the line search steps back
            if not self.values:  # from the start there is no way back
                raise
            return math.inf, theta
        energy, positive = weighted_energy(p, x, self.mass)
        value = log_z + energy - self.base
        if self.flat and value < self.lowest < math.inf:
            if exponents(p, x + self.flat[1]).max() < exponents(p, x).max() - SPIKE:
                raise StopIteration  # beyond this θ the NLL falls without end
        self.values.append(value)
        if p.space.discrete:
            self.tried.append((value, ravel(theta)[0]))
        self.note(self.values)
        if value < self.lowest:
            wanted = max(PART * (self.lowest - value), LAST * self.rtol)
            self.lowest, self.tolerance = value, min(wanted, self.tolerance)
        return value, tree_map(lambda a, b: a - b, positive, negative)

    def _phase(self, p):
        """(log Z, E_model[∂E])."""
        if self.follows and not has_formula(p):
            found, self.memory = follow(
                require_normalisable(p), self.tolerance, self.x, self.memory
            )
            if found:
                return model_phase(p, found.atoms(p))
        return exact_phase(p, self.rtol, finer=True, rows=self.x)

    def again(self, theta, value, done):
        """The θ from which to continue with stricter nodes, or None.

        It is None if the run is `done` and the NLL at θ is this value after a search for all peaks.
        If not, with the strictest nodes, then all peaks are searched at every θ from now on.  If a
        search fails at θ, the run begins again at its start.
        """
        if not self.follows or has_formula(self.model(theta)):
            return None
        if self.tolerance > LAST * self.rtol:
            self.tolerance = LAST * self.rtol
            return theta
        self.follows = False
        try:
            searched = self(theta)[0]
        except StopIteration:
            return None
        if searched == math.inf:
            self.values, self.lowest = [], math.inf
            return self.start
        return None if done and abs(searched - value) <= SAME * self.rtol else theta


def spread_of_statistics(p, x, mass):
    """The standard deviation under the model of every ∂E/∂θ_i, as a tree like theta.

    It is the root of the diagonal of the Fisher information.  With independent signs s_j the mean
    square of Σ_j s_j √m_j (t_j - t̄) is Σ_j m_j (t_j - t̄)², a variance.  So a few vectors of
    random signs replace one derivative per state.  If the states of the model cannot be listed, the
    rows x of probability mass m are used instead.
    """
    rng = Stream(0).at(0)
    with contextlib.suppress(ValueError):
        found = follow(p, 0.1, x)[0] or quadrature(p, 0.1, FEW)
        x, log_w = found.grid.all()
        u = exponents(p, x) + log_w
        mass = np.exp(u - u.max())
    if len(x) > LISTED:
        x, mass = x[rng.choice(len(x), LISTED, p=mass / mass.sum())], np.ones(LISTED)
    mass = mass / mass.sum()
    mean, unravel = ravel(weighted_energy_gradient(p, x, mass))
    square = variance = 0.0
    for _ in range(SIGNS):
        weights = np.sqrt(mass) * np.where(rng.random(len(x)) < 0.5, -1.0, 1.0)
        sums = ravel(weighted_energy_gradient(p, x, weights))[0]
        square = square + sums**2
        variance = variance + (sums - float(weights.sum()) * mean) ** 2
    return unravel(np.where(variance > CONSTANT**2 * square, np.sqrt(variance / SIGNS), 0.0))


def why_not(p, x, mass, value, steps, max_steps):
    """The reason why a run has not converged, in one line."""
    if flat := flat_of(p.space, x):
        return (
            f"{flat[0]}: a density may rise there without bound, and the likelihood has no maximum"
        )
    u = exponents(p, x)
    widths = np.ones(1) if p.space.discrete else np.sqrt(mass @ np.square(x - mass @ x))
    # log p at the row where it is largest, in units of the data's widths: log Z = value + E_data[u]
    height = float(u.max() - mass @ u - value + np.log(widths).sum())
    if height > SPIKE:
        return (
            f"the model has a spike of density e^{height:.0f}, in units of the data's widths, at "
            f"the row {x[u.argmax()].tolist()}: the narrower it grows the larger the likelihood, "
            "which has no maximum"
        )
    if steps >= max_steps:
        return f"the {max_steps} steps of max_steps were not enough"
    advice = unstandardised(p.space, x, mass)
    more = f"; {advice}" if advice else ""
    return f"no lower NLL was found, within its rounding and the reach of quadrature{more}"


def flat_of(space, x):
    """If rows (n, d) of R^d or a box do not span it: (how, a step away from their line or plane).

    None if they span it, or on a discrete space.
    """
    if space.discrete:
        return None
    z = x - x.mean(axis=0)
    unit = np.abs(z).max(axis=0)
    unit[unit <= 1e-13 * np.abs(x).max(axis=0)] = 0.0  # a constant column, but for rounding
    scaled = z / np.where(unit > 0, unit, np.inf)
    _, lengths, axes = np.linalg.svd(scaled, full_matrices=len(z) < space.dim)
    rank = int((lengths > 1e-9 * math.sqrt(len(x))).sum())
    if rank == space.dim:
        return None
    words = ("all rows are equal", "the rows lie on a line", "the rows lie on a plane")[rank]
    return words, ASIDE * axes[-1] * np.where(unit > 0, unit, unit.max() or 1.0)
