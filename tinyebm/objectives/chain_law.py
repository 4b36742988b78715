"""The exact distribution of a Markov chain after k steps, p_k = p_0 P^k.

On a discrete space p_k is a vector of probabilities over all states, and k pushes give it
(`samplers.flows`).  In a continuous space it is

    p_k = Σ_i s_i δ(x - x_i) + Σ_j m_j δ(x - t_j),                          (1)

with masses s_i at the rows x_i where the chain starts, and masses m_j at the atoms t_j of a grid,
which represent a density.  A step moves both:

    m ← push(m) + moved,      (moved, s) ← spread(s).                       (2)

The first step from a row uses the kernel's density around the row, so data are not smoothed onto a
grid.  The mass that a Metropolis kernel rejects stays at its row.  If p_0 has a density, s = 0 from
the start, and only pushes are needed.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinyebm.autodiff.blocks import is_differentiated
from tinyebm.common.errors import QuadratureError
from tinyebm.common.progress import Progress
from tinyebm.density import exponents, rows_of
from tinyebm.exact.likelihood import data_law, density_of
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.partition import log_partition
from tinyebm.samplers.flows import (
    grid_of,
    is_smooth,
    operator_of,
    require_conserved,
    require_noise,
    require_push,
    require_spread,
    takes_any_grid,
    takes_minutes,
    work_of,
)
from tinyebm.spaces.grids import Grid, trapezoid
from tinyebm.spaces.rows import double

MAX_ATOMS = 2**20
KINKED = 2048  # nodes on a line for a kernel with a kink, whose error falls only like nodes^-2
# distance of nodes in standard deviations σ of the noise.  A push sums a product of two densities
# of width σ, itself of width σ/√2, by the trapezoidal rule: an error of
# 2 exp(-2π² (0.707 / 0.5)²) = 1e-17
SPACING = 0.5
DERIVATIVE = 8  # times the cost of the steps: theirs and that of their derivatives
NEGATIVE = -1e-12  # how far below 0 rounding may take a probability


class Masses(NamedTuple):
    """A distribution as masses (n,) at the rows of x (n, d); x is None for the atoms of a grid."""

    x: Any
    mass: Any


class Chain(NamedTuple):
    """The data, the start of the chain, and the grid on which its distribution is computed."""

    data: Masses
    start: Masses
    grid: Any


def chain_from(p, data, kernel, k, nodes=None, start=None):
    """The Chain of some data: k steps of a kernel from the data, or from another start.

    Raises
    ------
    ValueError
        If the data are not rows or probabilities of p's space, or the kernel cannot move them.
    QuadratureError
        If the grid would need too many nodes for the kernel's noise.
    """
    require_push(kernel)
    space, grid = p.space, p.space.grid(nodes)
    if space.discrete:
        of_data = Masses(None, state_masses(space, data))
        of_start = of_data if start is None else Masses(None, state_masses(space, start))
        return Chain(of_data, of_start, grid)
    data = density_of(data)
    of_data = _masses(data)
    of_start = of_data if start is None else Masses(*data_law(start))
    for name, (x, _) in {"data": of_data, "start": of_start}.items():
        if x is not None and not np.all(space.contains(rows_of(p, x))):
            raise ValueError(f"some of the {name} lie outside {space}")
    # a Density can be evaluated on every grid; a Target has rows
    known = start is None and hasattr(data, "energy") and not hasattr(data, "grid")
    if of_start.x is not None and not known:
        require_spread(kernel, space)
    if of_data.x is None:
        return Chain(of_data, of_start, grid_of(p, of_data.mass))
    if takes_any_grid(kernel):
        grid = _grid_for(p, of_start.x, kernel, k, nodes and grid.shape)
    if known:
        x, log_w = grid.all()
        of_data = Masses(None, np.exp(exponents(data, x) + log_w - log_partition(data)))
        require_conserved(1.0, float(of_data.mass.sum()))
        of_start = of_data
    return Chain(of_data, of_start, grid)


def after_steps(p, kernel, k, start, grid):
    """Yield eq. (1) after 1, ..., k steps (2) from the Masses `start`: (on the grid, still at rows).

    Steps that take minutes are announced, and show their progress; QuadratureError if they would
    take more than about an hour (`samplers.flows.takes_minutes`).
    """
    at_rows = start.x is not None
    on_grid, stay = (0.0, start.mass) if at_rows else (start.mass, 0.0)
    push = operator_of(kernel, p, grid) if k > 1 or not at_rows else None
    work = work_of(kernel, p, grid, grid.size, k - at_rows)
    if at_rows and not p.space.discrete:
        spreads = 1 if is_smooth(kernel) else k  # a smooth kernel rejects nothing
        work += spreads * work_of(kernel, p, grid, len(start.mass), 1)
    work *= DERIVATIVE if is_differentiated(p) else 1
    steps = f"{k} steps of {kernel!r} over {grid.size} atoms"
    bar = Progress("chain", k, takes_minutes(steps, work))
    for i in range(k):
        if i > 0 or not at_rows:
            on_grid = push(on_grid)
        if np.any(stay != 0):
            moved, stay = kernel.spread(p, start.x, stay, grid)
            on_grid = on_grid + moved
        bar(i + 1)
        yield on_grid, stay


def state_masses(space, data):
    """Data on a discrete space as probabilities over its states, (N,).

    Raises
    ------
    ValueError
        If a row is not a state, or if the number or the sum of the probabilities is wrong.
    """
    x, mass = _masses(data)
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
    total = np.zeros_like(mass, shape=grid.size)
    np.add.at(total, grid.index(x), mass)
    return total


def _masses(data):
    """Data as Masses: rows with their masses, or probabilities, which belong to atoms."""
    if getattr(data, "ndim", 2) != 1:
        return Masses(*data_law(data))
    if not abs(float(data.sum()) - 1) < 1e-6:
        raise ValueError(f"probabilities must sum to 1, got {float(data.sum())!r}")
    if float(data.min()) < NEGATIVE:
        raise ValueError(f"probabilities must not be negative, got {float(data.min())!r}")
    return Masses(None, double(data))


def _grid_for(p, x, kernel, k, wanted=None):
    """A product grid for k steps from x, fine enough for the noise and for the model.

    `wanted` are the numbers of nodes per axis, if they are given.
    """
    space, noise = p.space, kernel.noise_scale
    require_noise(noise)
    if space.bounded:
        low, high = space.low, space.high
        counts = (math.ceil(0.5 * math.pi * (high - low) / (SPACING * noise)),) * space.dim
    else:
        window, ends = find_window(p), np.concatenate([x, kernel.drift(p, x)])
        low, high = ends.min(axis=0) - 10 * noise, ends.max(axis=0) + 10 * noise
        if k > 1:
            low, high = np.minimum(low, window.low), np.maximum(high, window.high)
        spacing = SPACING * np.minimum(noise, window.scale / (2 if k == 1 else 1))
        counts = tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
    if wanted:
        counts = wanted
    elif space.dim == 1 and not is_smooth(kernel):
        counts = (max(counts[0], KINKED),)
    # a push of N atoms in the plane takes 2 N² flops
    if math.prod(counts) > (MAX_ATOMS if k == 1 else MAX_ATOMS // 4):
        raise QuadratureError(
            f"steps with noise of standard deviation {noise:.3g} need a grid of "
            f"{' x '.join(map(str, counts))} nodes: use a larger step_size, or nodes="
        )
    if space.bounded:
        return space.grid(counts)
    return Grid(tuple(trapezoid(n, a, b) for n, a, b in zip(counts, low, high, strict=True)))
