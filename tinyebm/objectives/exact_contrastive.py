"""Contrastive divergence without Monte Carlo: what CD-k does on average.

The negatives of CD-k have the law P^k p_data.  Pushing the data through the
kernel k times gives that law itself, and so the expected gradient

    E_data[∇_θ E_θ] - E_{P^k data}[∇_θ E_θ],                                (1)

to set beside the exact one.  In a discrete space a law is a vector over
all states.  In a continuous space each datum makes its first step on its own, by
the kernel's density around it: nothing is smoothed, and what a Metropolis kernel
rejects stays at the datum.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.common.checks import require_count
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyData, Array, Generator, Nodes, PushKernel, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, exponents, in_double, rows_of
from tinyebm.exact.gradient import weighted_energy_gradient
from tinyebm.exact.likelihood import data_law, density_of
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.partition import log_partition
from tinyebm.objectives.step import Step
from tinyebm.samplers.chains import require_steps
from tinyebm.samplers.flows import grid_of, require_conserved, require_noise, require_push
from tinyebm.spaces.grids import Grid, trapezoid
from tinyebm.spaces.rows import as_data, double

MAX_ATOMS = 2**20
KINKED = 2048  # nodes on a line for a kernel with a kink: its error falls like nodes^-2 only
# of the noise's standard deviation σ.  A push sums a product of two laws of width σ, itself of
# width σ/√2, by the trapezoidal rule: 2 exp(-2π² (0.707 / 0.5)²) = 1e-17
SPACING = 0.5


def exact_cd_gradient(
    p: Density,
    data: AnyData,
    kernel: PushKernel,
    k: int,
    nodes: Nodes = None,
    start: AnyData = None,
) -> Tree:
    """Eq. (1), a tree like theta: a descent direction of the loss.

    Parameters
    ----------
    p : Density
        The model, in dimension ≤ 3.
    data : rows (n, d), probabilities (N,) over `p.space.atoms(...)`, or a population
    kernel : ULA, MALA, ...
    k : int
    nodes : int, optional
        Nodes per axis of the grid the laws live on; by default fine enough for
        the kernel's noise.
    start : like data, but not probabilities; optional
        Where the chains start, if not at the data: a persistent pool, say.

    Raises
    ------
    QuadratureError
        If the grid needs too many nodes for that noise.

    Errors: 1e-9 and better with ULA.  MALA's acceptance has a kink, which the rule sees with an
    error of about (h/σ)² / 12, h the distance of nodes and σ the noise: 1e-5 on the line, 1e-3 of a
    gradient's size and less in the plane.

    Cost of a push of N atoms: O(N²), for ULA as one matrix product; the first step of n data costs
    O(n N).
    """
    p, data, start = in_double(p), as_data(data), as_data(start)
    require_push(kernel)
    if p.space.discrete:
        p.space.grid(nodes)
        return _between_states(p, data, kernel, k, start)
    x, mass, y, y_mass, grid = laws_on_grid(p, data, kernel, k, nodes, start)
    on_grid, stay = push_rows(p, y, y_mass, kernel, k, grid)
    require_conserved(1.0, float(on_grid.sum() + stay.sum()))
    if start is None:
        positive = weighted_energy_gradient(p, x, mass - stay)
    else:
        positive = tree_map(
            lambda a, b: a - b,
            weighted_energy_gradient(p, x, mass),
            weighted_energy_gradient(p, y, stay),
        )
    return tree_map(
        lambda a, b: a - b, positive, weighted_energy_gradient(p, grid.all()[0], on_grid)
    )


def laws_on_grid(p, data, kernel, k, nodes=None, start=None):
    """(x, mass, y, y_mass, grid) on a continuous space: the data and the start as weighted rows,
    and where their laws will live.

    A law given as probabilities or as a Density lives on the atoms of the grid from the first: y is
    then `grid.all()[0]`.
    """
    require_steps(k)
    if p.space.dim > 3:
        raise ValueError(
            f"exact laws need a grid, which is for dim <= 3, and {p.space} has {p.space.dim}"
        )
    require_push(kernel, "spread")
    if not all(hasattr(kernel, name) for name in ("noise_scale", "drift", "spread")):
        raise ValueError(f"{kernel!r} has no exact law on {p.space}: use ULA, MALA or HMC")
    require_noise(kernel.noise_scale)
    if nodes is not None:
        require_count(nodes, "nodes must be an integer >= 2 per axis", least=2)
    data = density_of(data)
    x, mass = _rows(data)
    if x is None:
        grid = grid_of(p, mass)
        x = grid.all()[0]
    y, y_mass = (x, mass) if start is None else data_law(start)
    for name, rows in {"data": x, "start": y}.items():
        if not np.all(p.space.contains(rows_of(p, rows))):
            raise ValueError(f"some of the {name} lie outside {p.space}")
    if getattr(data, "ndim", 2) != 1:
        grid = _grid_for(p, y, kernel, k, nodes)
        # no Target: known on that grid too
        if start is None and hasattr(data, "energy") and not hasattr(data, "grid"):
            x, log_w = grid.all()
            mass = np.exp(exponents(data, x) + log_w - log_partition(data))
            require_conserved(1.0, float(mass.sum()))
            y, y_mass = x, mass
    return x, mass, y, y_mass, grid


def _between_states(p, data, kernel, k, start):
    """Eq. (1) on a discrete space: the law of the negatives is a vector over all states."""
    require_steps(k)
    grid = p.space.grid()
    law = state_law(p.space, data)
    negatives, push = law if start is None else state_law(p.space, start), kernel.operator(p, grid)
    for _ in range(k):
        negatives = push(negatives)
    gradient, done = tree_map(np.zeros_like, p.theta), 0
    for x, _ in grid.blocks():
        weights = (law - negatives)[done : done + len(x)]
        part = weighted_energy_gradient(p, x, weights)
        gradient, done = tree_map(lambda a, b: a + b, gradient, part), done + len(x)
    return gradient


def state_law(space, data):
    """The law of data on a discrete space as probabilities over its states, (N,).

    Raises
    ------
    ValueError
        If a row is no state, or probabilities are of the wrong number or do not sum to one.
    """
    x, mass = _rows(data)
    grid = space.grid()
    grid.require_listable()
    if x is None:
        if len(mass) != grid.size:
            raise ValueError(
                f"{len(mass)} probabilities do not belong to the {grid.size} states of {space}"
            )
        return mass
    if x.shape[1] != space.dim or not space.contains(x).all():
        raise ValueError(f"some rows of the data are no states of {space}")
    law = np.zeros_like(mass, shape=grid.size)
    np.add.at(law, grid.index(x), mass)
    return law


def push_rows(p, x, mass, kernel, k, grid):
    """The law k steps after `mass` at the rows of x: (mass of the grid's atoms, mass still at
    x)."""
    on_grid, stay, push = 0.0, mass, None
    for i in range(k):
        if i > 0:
            push = push or kernel.operator(p, grid)
            on_grid = push(on_grid)
        if np.any(stay != 0):
            moved, stay = kernel.spread(p, x, stay, grid)
            on_grid = on_grid + moved
    return on_grid, stay


def _rows(data):
    """A law as rows and masses; (None, mass) for probabilities over atoms."""
    if getattr(data, "ndim", 2) != 1:
        return data_law(data)
    if not abs(float(data.sum()) - 1) < 1e-6:
        raise ValueError(f"probabilities must sum to 1, got {float(data.sum())!r}")
    if float(data.min()) < -1e-3:  # what HMC pushes may have ripples
        raise ValueError(f"probabilities must not be negative, got {float(data.min())!r}")
    return None, double(data)


def _grid_for(p, x, kernel, k, nodes):
    """A product grid that holds what k steps from x can reach, fine enough for the noise and the
    model."""
    reach = 10 * kernel.noise_scale
    if p.space.bounded:
        width = p.space.high - p.space.low
        counts = (
            nodes or math.ceil(0.5 * math.pi * width / (SPACING * kernel.noise_scale)),
        ) * p.space.dim
        if not getattr(kernel, "smooth", False) and not nodes and p.space.dim == 1:
            counts = (max(counts[0], KINKED),)
        _check_size(counts, kernel, k)
        return p.space.grid(counts)
    window = find_window(p)
    ends = np.concatenate([x, kernel.drift(p, x)])
    low, high = ends.min(axis=0) - reach, ends.max(axis=0) + reach
    if k > 1:
        low, high = np.minimum(low, window.low), np.maximum(high, window.high)
    spacing = SPACING * np.minimum(kernel.noise_scale, window.scale / (2 if k == 1 else 1))
    counts = (
        (nodes,) * p.space.dim
        if nodes
        else tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
    )
    if not getattr(kernel, "smooth", False) and not nodes and p.space.dim == 1:
        counts = (max(counts[0], KINKED),)
    _check_size(counts, kernel, k)
    return Grid(tuple(trapezoid(n, a, b) for n, a, b in zip(counts, low, high, strict=True)))


def _check_size(counts, kernel, k):
    # a push of N atoms in the plane takes 2 N² flops
    if math.prod(counts) > (MAX_ATOMS if k == 1 else MAX_ATOMS // 4):
        raise QuadratureError(
            f"steps with noise of standard deviation {kernel.noise_scale:.3g} need a grid of "
            f"{' x '.join(map(str, counts))} nodes: use a larger step_size, or nodes="
        )


@dataclass(frozen=True)
class ExactContrastiveDivergence:
    """CD-k in the limit of infinitely many chains per datum: eq. (1) at every step.  Metrics: none;
    no state."""

    kernel: Any
    k: int = 1

    def __post_init__(self):
        require_push(self.kernel)
        require_steps(self.k)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        gradient = exact_cd_gradient(p, x, self.kernel, self.k)
        return Step(tree_map(lambda g, t: g.astype(t.dtype), gradient, p.theta), {}, None)
