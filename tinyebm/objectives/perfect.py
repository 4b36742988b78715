"""Contrastive learning without a chain: the negatives are exact draws of the model.

On R^d and in a box draws come by rejection from the cells of the quadrature's grid
(`exact.sampling`).  The cells are kept as the state for a few steps, since θ moves little in them.
"""

from dataclasses import dataclass

import numpy as np

from tinyebm.common.backend import beside, host_generator, to_host
from tinyebm.common.checks import require_count, require_fraction, require_nonnegative
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.density import Density, exponents, on_host
from tinyebm.exact.nodes.follow import follow
from tinyebm.exact.nodes.quadrature import Quadrature, heavy_atoms, quadrature
from tinyebm.exact.sampling import Boxes, boxes_of, sample
from tinyebm.exact.structure import hidden_layer
from tinyebm.objectives.step import Step, contrast, require_batch

FINER = 2  # nodes per axis, in units of those for log Z: smaller cells accept more draws
CELLS = "low", "high", "states", "corners", "index"  # what `exact.sampling.Boxes` holds


@dataclass(frozen=True)
class PerfectSamples:
    """Independent, exact draws of p as negatives, as of a chain that mixes in one step.

    The gradient has no bias: its expectation is the exact gradient of the likelihood (on R^d and in
    a box up to the mass of the cells that are left out).  It differs from `ExactLikelihood` by the
    noise of finitely many negatives.  Contrastive divergence differs from it by its chains.

    Parameters
    ----------
    draws : int, optional
        Negatives per step, by default as many as data.
    rtol, refresh : float, int
        On R^d and in a box the cells of the rejection sampling follow the model every `refresh`
        steps, and at once when the outermost cells hold a mass of rtol.  Cells that together hold
        less than rtol / 100 of the mass are left out.
    alpha : float
        Strength of the regulariser of `objectives.step`.

    It is for dimension ≤ 3, for states that can be listed, and for restricted Boltzmann machines
    with few hidden units (see `te.sample`).  The state is the list of cells, empty on states.  It
    costs one energy for every cell, and two for every draw.

    >>> from tinyebm import Bits, Density, RBM
    >>> rng, machine = np.random.default_rng(0), RBM(4, 2)
    >>> p = Density(machine, machine.init(rng), Bits(4))
    >>> step = PerfectSamples(draws=100).gradient(p, np.ones((10, 4)), rng)
    >>> sorted(step.metrics), step.gradient["W"].shape
    (['energy_data', 'energy_model', 'loss'], (4, 2))
    """

    draws: int | None = None
    rtol: float = 1e-3
    refresh: int = 10
    alpha: float = 0.0

    def __post_init__(self):
        if self.draws is not None:
            require_count(self.draws, "draws must be a positive number of negatives")
        require_count(self.refresh, "refresh must be a positive number of steps")
        require_nonnegative("alpha", self.alpha)
        require_fraction("rtol", self.rtol)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d) whose state is the cells."""
        x = require_batch(p, x)
        n = self.draws or len(x)
        if p.space.discrete or hidden_layer(p):
            negatives = sample(p, n, rng)
        else:
            host, state = on_host(p), None if state is None else to_host(state)
            kept = state is not None and state["age"] < self.refresh
            u = exponents(host, state["states"]) if kept else None
            if not kept or _outgrown(u, state, self.rtol):
                state, u = _heavy_cells(host, self.rtol, state and state["nodes"]), None
            cells = Boxes(**{name: state[name] for name in CELLS})
            (negatives,) = beside(p.theta, cells.sample(host, n, host_generator(rng), u))
            state = {**state, "age": state["age"] + 1}
        return Step(*contrast(p, x, negatives.astype(x.dtype), self.alpha), state)


def _heavy_cells(p, rtol, nodes):
    """The cells that carry mass, a tree of arrays.

    They are those of a grid with FINER nodes than log Z needs, which follows p
    (`exact.nodes.follow`; `nodes` is its memory), or of p's quadrature.  "outer" marks cells that
    have a neighbour without mass, "age" counts the steps for which they have been used.
    """
    found, nodes = follow(p, rtol, np.zeros((0, p.space.dim)), nodes)
    if found:
        rule, counts = found.box._replace(step=found.box.step / FINER).rule(p.space)
        q = Quadrature(rule.grid(counts), found.log_z, found.error, None)
    else:
        q = quadrature(p, rtol)
    heavy = heavy_atoms(p, q, rtol)[2]
    every, cells = boxes_of(q.grid), boxes_of(q.grid, heavy)
    around = np.bincount(every.index.reshape(-1))  # cells that share each corner
    kept = np.bincount(every.index[:, heavy].reshape(-1), minlength=len(every.corners))
    outer = (around > kept)[every.index[:, heavy]].any(axis=0)
    return {**vars(cells), "outer": outer, "nodes": nodes, "age": np.array(0)}


def _outgrown(u, state, rtol):
    """Whether the cells at the edge hold a mass of rtol; u are the exponents at their atoms."""
    log_mass = u + np.log(state["high"] - state["low"]).sum(axis=1)
    mass = np.exp(log_mass - log_mass.max())
    return float(mass[state["outer"]].sum()) > rtol * float(mass.sum())
