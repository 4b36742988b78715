"""What kernels share when they move laws: the grid of a law, and how mass flows on it.

A kernel that may reject is a matrix of *flows*: flow[i, j] is the probability of going from point i
to atom j of a grid, and stay[i] that of a rejection.
"""

import math

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.checks import KERNEL, require_own
from tinyebm.common.errors import QuadratureError
from tinyebm.density import require_density

COARSEST = 0.8  # distance of atoms, in standard deviations of the noise
LARGEST_MATRIX = 2**22  # entries of a matrix of flows: 32 MiB


def flow_operator(flows, grid):
    """A function that moves masses on a grid's atoms by one step; `flows(x)` yields (flow (m, N),
    stay (m,), slice of rows)."""
    x = grid.all()[0]
    if len(x) ** 2 > LARGEST_MATRIX:
        return lambda mass: sum(flow_spread(flows(x), mass))
    flow, stay = (
        ops.concatenate(parts)
        for parts in zip(*((flow, stay) for flow, stay, _ in flows(x)), strict=True)
    )
    return lambda mass: mass @ flow + mass * stay


def flow_spread(flows, mass):
    """Masses at rows, one step later: (masses of the grid's atoms (N,), what stays at the rows
    (m,))."""
    moved, left = 0.0, []
    for flow, stay, rows in flows:
        moved = moved + mass[rows] @ flow
        left.append(mass[rows] * stay)
    return moved, ops.concatenate(left)


def row_blocks(n, width):
    """Slices of n rows such that a block of them by `width` is a quarter of the largest matrix."""
    size = max(1, LARGEST_MATRIX // (4 * width))
    return [slice(start, start + size) for start in range(0, n, size)]


def require_push(kernel, part="operator"):
    """Raise ValueError unless the kernel can move laws, by a method of that name, as its step moves
    points."""
    if isinstance(kernel, type) or not hasattr(kernel, "operator"):
        raise ValueError(
            "a kernel that can push laws is wanted, like te.Gibbs() or te.MALA(0.1), got "
            f"{kernel!r}"
        )
    require_own(kernel, part, KERNEL)


def push(kernel, probabilities, p):
    """The law after one step of a kernel from `probabilities` over the atoms of p's space."""
    grid = grid_of(p, probabilities)
    require_push(kernel)
    return kernel.operator(p, grid)(probabilities)


def grid_of(p, probabilities):
    """The grid of the space whose atoms a vector of probabilities belongs to."""
    require_density(p)
    if p.space.discrete:
        p.space.grid().require_listable()
    if np.ndim(probabilities) != 1:
        raise ValueError(f"probabilities must have shape (N,), got {np.shape(probabilities)}")
    grid = p.space.grid(
        None if p.space.discrete else max(2, round(len(probabilities) ** (1 / p.space.dim)))
    )
    if grid.size != len(probabilities):
        raise ValueError(
            f"{len(probabilities)} probabilities do not belong to atoms of {p.space}: use "
            "te.probabilities(p) or space.atoms(nodes)"
        )
    return grid


def require_noise(noise_scale):
    """Refuse steps without noise, which take atoms to points between them."""
    if noise_scale == 0:
        raise QuadratureError(
            "without noise (temperature 0) a law does not stay on atoms: only `step` can follow it"
        )


def require_resolution(noise_scale, grid):
    """Refuse a grid whose nodes are farther apart than 0.8 standard deviations of the noise.

    A push sums a product of two laws of width σ, itself of width σ/√2; the
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
    """Refuse a law that lost more than a millionth of its mass beyond the grid."""
    if not abs(after - before) <= 1e-6 * abs(before):
        raise QuadratureError(
            f"the steps take a mass of {abs(after - before):.1e} off the grid: use a larger "
            "extent, more nodes, or a smaller step_size"
        )
