"""Exact maximum likelihood to convergence: L-BFGS on the exact gradient."""

import numpy as np

from tinyebm.backend import Stream
from tinyebm.density import Density
from tinyebm.exact.gradient import model_phase, weighted_energy_gradient
from tinyebm.exact.likelihood import data_law, exponents
from tinyebm.exact.partition import log_sum, quadrature
from tinyebm.optimize import lbfgs
from tinyebm.progress import Progress
from tinyebm.spaces import Reals
from tinyebm.train import Fit
from tinyebm.tree import tree_map


def mle(energy, data, space=None, theta=None, seed=0, gtol=1e-6, max_steps=2000, rtol=1e-8, progress=True):
    """Maximise the exact likelihood by L-BFGS until no component of its gradient exceeds gtol.

    The data are all rows of an array or Data, or the population of a Target, by
    quadrature.  L-BFGS runs on a fixed grid; afterwards log Z is checked on a grid
    chosen anew, and the run goes on from there until the two agree to rtol.

    Parameters
    ----------
    energy, data, space, theta, seed, progress
        As in `fit`.
    gtol : float
        Largest component of the gradient of the mean negative log-likelihood.
    max_steps : int
        Iterations of L-BFGS in all.
    rtol : float
        Relative error of Z.

    Returns
    -------
    Fit
        `history` has an entry per grid: "step", "nll" (nats), "converged".

    >>> from tinyebm import GaussianEnergy
    >>> x = np.array([[0.0], [1.0], [5.0]])
    >>> mle(GaussianEnergy(1), x).theta["mean"].round(6)
    array([2.])
    """
    x, mass = data_law(data)
    space = space or getattr(data, "space", None) or Reals(x.shape[1])
    theta = energy.init(Stream(seed).at(0)) if theta is None else theta
    theta = tree_map(lambda leaf: leaf.astype("float64"), theta)

    def nll_on(grid):
        def value_and_gradient(theta):
            p = Density(energy, theta, space)
            log_z, model = model_phase(p, grid)
            value = log_z - float(mass @ exponents(p, x))
            return value, tree_map(lambda a, b: a - b, weighted_energy_gradient(p, x, mass), model)
        return value_and_gradient

    history, steps, bar = {"step": [], "nll": [], "converged": []}, 0, Progress("mle", max_steps, progress)
    q = quadrature(Density(energy, theta, space), rtol)
    stretch = 25  # steps on one grid, while the grid still changes
    while True:
        theta, value, taken, converged = lbfgs(nll_on(q.grid), theta, min(stretch, max_steps - steps), gtol)
        steps, stretch = steps + taken, 2 * stretch
        p = Density(energy, theta, space)
        seen = log_sum(p, q.grid)
        q = quadrature(p, rtol)
        agree = abs(seen - q.log_z) <= 10 * rtol
        for name, entry in (("step", steps), ("nll", value - seen + q.log_z), ("converged", converged and agree)):
            history[name].append(entry)
        bar(min(steps, max_steps - 1), f"nll {history['nll'][-1]:.6f}")
        if (converged and agree) or steps >= max_steps or (taken == 0 and agree):
            break
    bar(max_steps, f"nll {history['nll'][-1]:.6f}")
    return Fit(theta, p, history, {"step": np.array(steps), "theta": theta})
