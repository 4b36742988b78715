"""Moving distributions by a kernel: the methods of a kernel for it, and the grids they need.

A *push* maps probabilities over the N atoms of a grid to the probabilities after one step.  It is
a product with the kernel's transition matrix P (N, N),

    p'_j = Σ_i p_i P_ij.                                                    (1)

Most kernels never form P.  A kernel has a push if it has `operator(p, grid)`, which returns the
function (1) for any grid, or only `push(probabilities, p)`, for the grids of the space.
"""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import in_one_array, is_differentiated, recomputed
from tinyebm.common.checks import KERNEL, require_own
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array
from tinyebm.common.progress import Progress
from tinyebm.density import Density, exponent_and_score, require_density
from tinyebm.samplers.kernels import is_kernel, offers

COARSEST = 0.8  # distance of atoms, in standard deviations of the noise
# transition probabilities that one call may compute, about an hour, and from how many on it says so
MOST, LONG = 2**37, 2**32
PER_MINUTE = 2**31  # on one core, 28 ns each


def require_push(kernel):
    """Raise a ValueError that says what to write, unless the kernel can move distributions."""
    if not is_kernel(kernel):
        raise ValueError(
            "a kernel that can push distributions is wanted, like te.Gibbs() or te.MALA(0.1), got "
            f"{kernel!r}"
        )
    if offers(kernel, "operator") or offers(kernel, "push"):
        return
    require_own(kernel, "operator", KERNEL)
    require_own(kernel, "push", KERNEL)
    raise ValueError(
        f"{kernel!r} has no push: write push(probabilities, p) -> probabilities for it, or use "
        "te.ULA, te.MALA or te.Gibbs"
    )


def follows_rows(kernel, space):
    """Whether exact contrastive divergence can start this kernel at rows of data on a space."""
    if space.discrete:
        return bool(offers(kernel, "operator") or offers(kernel, "push"))
    return bool(offers(kernel, "operator") and offers(kernel, "spread"))


def takes_any_grid(kernel):
    """Whether the kernel pushes on any grid, chosen by its drift and its noise."""
    parts = offers(kernel, "operator"), hasattr(kernel, "drift"), hasattr(kernel, "noise_scale")
    return all(parts)


def is_smooth(kernel):
    """Whether the density of a step has no kink, so that a few nodes integrate it."""
    return getattr(kernel, "smooth", False)


def require_spread(kernel, space):
    """Raise ValueError unless the kernel can follow single rows of a continuous space."""
    require_own(kernel, "spread", KERNEL)
    if not hasattr(kernel, "spread"):
        raise ValueError(
            f"{kernel!r} has no spread for rows of data on {space}: use te.ULA or te.MALA, or give "
            "probabilities over the atoms"
        )


def operator_of(kernel, p, grid):
    """Eq. (1) on a grid as a function of probabilities (N,), by `operator` or by `push`."""
    require_push(kernel)
    if offers(kernel, "operator"):
        return kernel.operator(p, grid)
    if not is_differentiated(p):
        return lambda mass: kernel.push(mass, p)
    vector, back = in_one_array(p.theta)
    push = recomputed(lambda mass, vector: kernel.push(mass, replace(p, theta=back(vector))))
    return lambda mass: push(mass, vector)


def push(kernel: Any, probabilities: Array, p: Density) -> Array:
    """Probabilities (N,) after one step from `probabilities` over the atoms of p's space.

    The atoms are those of `p.space.atoms()`, on continuous spaces of `p.space.atoms(nodes)` for
    any number of nodes per axis.

    Raises
    ------
    ValueError
        If the probabilities do not belong to such atoms.
    QuadratureError
        If the atoms are too coarse for the kernel's noise, if the chain leaves them, or if there
        are so many that the step would take more than about an hour.
    """
    require_own(kernel, "operator", ("step", "drift"))
    grid = grid_of(p, probabilities)
    move = kernel.operator(p, grid)
    step = f"a step of {kernel!r} over {grid.size} atoms"
    takes_minutes(step, work_of(kernel, p, grid, grid.size, 1))
    pushed = move(probabilities)
    total = float(np.abs(probabilities).sum())
    require_conserved(total, total + float(pushed.sum() - probabilities.sum()))
    return pushed


def grid_of(p, probabilities):
    """The grid of p's space whose atoms a vector of probabilities belongs to."""
    require_density(p)
    space = p.space
    if space.discrete:
        space.grid().require_listable()
    if np.ndim(probabilities) != 1:
        raise ValueError(f"probabilities must have shape (N,), got {np.shape(probabilities)}")
    nodes = None if space.discrete else max(2, round(len(probabilities) ** (1 / space.dim)))
    grid = space.grid(nodes)
    if grid.size != len(probabilities):
        raise ValueError(
            f"{len(probabilities)} probabilities do not belong to atoms of {space}: use "
            "te.probabilities(p) or space.atoms(nodes)"
        )
    return grid


def require_noise(noise_scale):
    """Refuse steps without noise, which move atoms to points between the atoms."""
    if noise_scale == 0:
        raise QuadratureError(
            "without noise (temperature 0) a distribution does not stay on atoms: only `step` can "
            "follow it"
        )


def require_resolution(noise_scale, grid):
    """Refuse a grid whose nodes are farther apart than 0.8 standard deviations of the noise.

    A push sums a product of two densities of width σ, itself of width σ/√2; the
    trapezoidal rule with steps h does so to a relative error of
    2 exp(-2π² (σ/√2 h)²): 4e-7 at h = 0.8 σ, 3e-17 at h = σ/2.
    """
    require_noise(noise_scale)
    widest = max(float(np.diff(nodes).max()) for nodes, _ in grid.axes)
    if widest > COARSEST * noise_scale:
        wanted = math.ceil(1.1 * max(grid.shape) * widest / (COARSEST * noise_scale))
        raise QuadratureError(
            f"the atoms are {widest:.3g} apart, too coarse for steps with noise of standard "
            f"deviation {noise_scale:.3g}: use about {wanted} nodes per axis (space.atoms(nodes)), "
            "or a larger step_size"
        )


def require_conserved(before, after):
    """Refuse masses of which more than a millionth was lost beyond the ends of the grid."""
    if not abs(after - before) <= 1e-6 * abs(before):
        raise QuadratureError(
            f"the steps take a mass of {abs(after - before):.1e} off the grid: use a larger "
            "extent, more nodes, or a smaller step_size"
        )


def work(kernel: Any, p: Density, grid: Any, rows: int) -> float:
    """About how many transition probabilities a step of masses at so many rows computes.

    On states it is one for every site; elsewhere one for every pair of a row and an atom, or for a
    smooth kernel one for every axis and node, and products of matrices.
    """
    if p.space.discrete:
        return rows * p.space.dim
    return rows * (sum(grid.shape) + grid.size / 256 if is_smooth(kernel) else grid.size)


def work_of(kernel, p, grid, rows, steps):
    """About how many transition probabilities the steps compute; 0 if the kernel does not say."""
    once = kernel.work(p, grid, rows) if offers(kernel, "work") else 0
    kept = once <= 2**24 and not p.space.discrete  # a small matrix, to multiply by
    return once * (1 + steps / 16 if kept else steps)


def takes_minutes(what, numbers):
    """Whether so many transition probabilities take minutes to compute; a warning then says so.

    Raises QuadratureError if they are more than 2^37.

    >>> takes_minutes("a push", 2**20)
    False
    """
    if numbers <= LONG:
        return False
    cost = (
        f"{what}: {numbers:.1e} transition probabilities take about {numbers / PER_MINUTE:.0f} "
        "minutes on one core"
    )
    if numbers > MOST:
        raise QuadratureError(
            f"{cost}, and at most {MOST:.1e} are computed: use a larger step_size, fewer nodes, or "
            "fewer steps"
        )
    warnings.warn(cost, stacklevel=3)
    return True


def slopes(p, x):
    """The exponent and the score at the rows of x, side by side, (n, 1 + d)."""
    u, s = exponent_and_score(p, x)
    return ops.concatenate([ops.reshape(u, (-1, 1)), s], axis=1)


def row_blocks(most, rows, columns):
    """Blocks of the rows of a matrix, of `most` / 4 entries: a function that yields (slice,) of
    each.  If all of them take minutes it draws a progress bar."""
    size = max(1, most // (4 * columns))

    def blocks():
        bar = Progress("push", rows, rows * columns > LONG)
        for i in range(0, rows, size):
            stop = min(i + size, rows)
            yield (slice(i, stop),)
            bar(stop)

    return blocks


def contract(mass, factors):
    """Σ_i mass_i Π_a G_a[i, j_a] for every atom j."""
    if len(factors) == 1:
        return mass @ factors[0]
    first = factors[0] * mass[:, None]  # (m, n_1)
    if len(factors) == 2:
        return (first.T @ factors[1]).reshape(-1)
    return ops.concatenate([contract(first[:, j], factors[1:]) for j in range(first.shape[1])])


def normal(t, mean, scale):
    """N(t_j; mean_i, scale²), (m, n)."""
    return ops.exp(-0.5 * ((t - mean[:, None]) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
