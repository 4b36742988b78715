"""Exact maximum likelihood to convergence: L-BFGS on the exact gradient."""


import numpy as np

from tinyebm.backend import Stream
from tinyebm.checks import require_count, require_positive, require_space
from tinyebm.density import Density, exponents
from tinyebm.errors import DivergentPartitionError, QuadratureError
from tinyebm.exact.gradient import exact_phase, weighted_energy_gradient
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.partition import log_partition
from tinyebm.kinds import AnyData, Energy, Space, Tree
from tinyebm.optimize import lbfgs
from tinyebm.progress import Progress
from tinyebm.replay.plans import remembering
from tinyebm.rows import as_data
from tinyebm.start import space_of, start_of
from tinyebm.train import Fit
from tinyebm.tree import tree_map


def mle(energy: Energy, data: AnyData, space: Space | None = None, theta: Tree = None, seed: int = 0, gtol: float = 1e-6,
        max_steps: int = 2000, rtol: float = 1e-8, progress: bool | str = True) -> Fit:
    """Maximise the exact likelihood by L-BFGS until no component of its gradient exceeds gtol.

    The data are all rows of an array or Data, or the population of a Target, by
    quadrature.  The quadrature's grid is chosen anew for every θ that is tried, so
    that no step can leave the grid or slip between its nodes.

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
        `history` holds "nll" (nats) at every θ that was tried and, last, at the result; the
        number of steps, whether the run "converged", and "kl" = KL(data‖model) for a population.

    >>> from tinyebm import GaussianEnergy
    >>> x = np.array([[0.0], [1.0], [5.0]])
    >>> mle(GaussianEnergy(1), x).theta["mean"].round(6)
    array([2.])
    """
    data = as_data(data)
    x, mass = data_law(data)
    space = space or space_of(data, x, energy)
    require_space(space)
    if x.shape[1] != space.dim or not np.all(space.contains(x)):
        raise ValueError(f"some rows of the data lie outside {space}")
    require_positive("gtol", gtol)
    require_count(max_steps, "max_steps must be a positive number of iterations")
    theta = tree_map(lambda leaf: leaf.astype("float64"), start_of(energy, theta, Stream(seed)))

    seen = {"worst": 0.0}

    def value_and_gradient(theta):
        p = Density(energy, theta, space)
        try:
            log_z, model = exact_phase(p, rtol, finer=True, rows=x)
        except (DivergentPartitionError, QuadratureError):  # a line search went where Z is infinite or out of reach:
            return seen["worst"] + 1e3, tree_map(np.zeros_like, theta)  # a wall, higher than anything seen
        value = log_z - float(mass @ exponents(p, x))
        seen["worst"] = max(seen["worst"], abs(value))
        history["nll"].append(value)
        bar(min(len(history["nll"]), max_steps - 1), f"nll {value:.6f}")
        return value, tree_map(lambda a, b: a - b, weighted_energy_gradient(p, x, mass), model)

    history: dict = {"nll": []}
    bar = Progress("mle", max_steps, progress)
    with remembering(energy, space) as require_unchanged:
        log_partition(Density(energy, theta, space), rtol, rows=x)  # where the start itself is refused, say why
        theta, value, steps, converged = lbfgs(value_and_gradient, theta, max_steps, gtol)
        require_unchanged()
    bar(max_steps, f"nll {value:.6f}")
    history |= {"nll": [*history["nll"], value], "step": [steps], "converged": [converged]}
    if hasattr(data, "entropy"):
        history["kl"] = [value - data.entropy]
    return Fit(theta, Density(energy, theta, space), history, {"step": np.array(steps), "theta": theta})
