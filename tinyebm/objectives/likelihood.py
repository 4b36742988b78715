"""Exact maximum likelihood: no sampler, no noise but the minibatch's."""

from dataclasses import dataclass

import numpy as np

from tinyebm.exact.adapt import Patches
from tinyebm.exact.gradient import model_phase, weighted_energy_gradient
from tinyebm.exact.partition import quadrature
from tinyebm.objectives.step import Step
from tinyebm.spaces import Grid
from tinyebm.tree import tree_map


@dataclass(frozen=True)
class ExactLikelihood:
    """The gradient of the mean negative log-likelihood, E_data[∇E] - E_p[∇E], by quadrature.

    Parameters
    ----------
    rtol : float
        Relative error of Z to which the quadrature's grid is chosen.
    refresh : int
        Steps for which a grid is kept before it is chosen anew; the state.

    Metrics: "nll", the exact mean negative log-likelihood of the rows of x, nats.
    """

    rtol: float = 1e-6
    refresh: int = 10

    def __post_init__(self):
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol must be between 0 and 1, got {self.rtol!r}")
        if int(self.refresh) != self.refresh or self.refresh < 1:
            raise ValueError(f"refresh must be a positive number of steps, got {self.refresh!r}")

    def gradient(self, p, x, rng, state=None):
        """A Step for the rows of x (n, d); rng is not used."""
        if state is None or state["age"] >= self.refresh:
            state = {"grid": _arrays(quadrature(p, self.rtol).grid), "age": np.array(0)}
        log_z, model = model_phase(p, _grid(state["grid"]))
        data = weighted_energy_gradient(p, x, np.zeros_like(x, shape=len(x)) + 1 / len(x))
        nll = p.energy(p.theta, x).mean() - np.mean(p.space.log_base(x)) + log_z
        gradient = tree_map(lambda a, b: (a - b).astype(a.dtype), data, model)
        return Step(gradient, {"nll": nll}, {**state, "age": state["age"] + 1})


def _arrays(grid):
    """A grid as a tree of arrays, for a state that can be saved."""
    if isinstance(grid, Grid):
        return {"axes": [list(axis) for axis in grid.axes]}
    return {"low": grid.low, "high": grid.high}


def _grid(arrays):
    return Grid(tuple(map(tuple, arrays["axes"]))) if "axes" in arrays else Patches(arrays["low"], arrays["high"])
