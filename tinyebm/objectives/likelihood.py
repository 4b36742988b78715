"""Exact maximum likelihood as an objective: its only noise is that of the minibatch.

∇_θ (-mean_i log p(x_i)) = mean_i ∇_θ E_θ(x_i) - E_p[∇_θ E_θ]            (1)
"""

from dataclasses import dataclass

import numpy as np

from tinyebm.common.checks import require_count, require_fraction
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, in_double
from tinyebm.exact.gradient import exact_phase, weighted_energy
from tinyebm.exact.nodes.follow import follow_atoms
from tinyebm.exact.sums import model_phase
from tinyebm.objectives.step import Step, require_batch
from tinyebm.spaces.grids import Atoms
from tinyebm.spaces.rows import double


@dataclass(frozen=True)
class ExactLikelihood:
    """The gradient of the mean negative log-likelihood, eq. (1), by quadrature or a sum over states.

    Parameters
    ----------
    rtol : float
        Relative error of Z for which the atoms are chosen.  On a discrete space the atoms are
        all states.
    refresh : int
        The atoms, the state, are kept for at most so many steps; then they follow the model
        (`exact.nodes.follow`).  Atoms that hold less than rtol / 100 of the mass are left out.

    Metrics: "loss", the exact mean negative log-likelihood of the rows of x, in nats.  It is
    computed in double precision, and the gradient has the type of θ.

    >>> from tinyebm import Cells, Density, TabularEnergy
    >>> p = Density(TabularEnergy(2), {"energy": np.zeros(2)}, Cells(2))
    >>> ExactLikelihood().gradient(p, np.array([[0.0], [0.0], [1.0]]), None).gradient["energy"].round(3)
    array([ 0.167, -0.167])
    """

    rtol: float = 1e-4
    refresh: int = 10

    def __post_init__(self):
        require_fraction("rtol", self.rtol)
        require_count(self.refresh, "refresh must be a positive number of steps")

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        x, theta, p = double(require_batch(p, x)), p.theta, in_double(p)
        if p.space.discrete:
            log_z, model = exact_phase(p)
        else:
            state = follow_atoms(p, self.rtol, self.refresh, x, state)
            log_z, model = model_phase(p, Atoms(state["states"], state["log_weights"]))
        weights = np.zeros_like(x, shape=len(x)) + 1 / len(x)
        energy, data = weighted_energy(p, x, weights)
        loss = log_z + energy - np.mean(p.space.log_base(x))
        gradient = tree_map(lambda a, b, t: (a - b).astype(t.dtype), data, model, theta)
        return Step(gradient, {"loss": loss}, state)
