"""Populations on bits with known probabilities of all states.

Every function returns the fields of a `tinyebm.datasets.PatternTarget` after its name: (space,
states (m, d), probabilities (m,), mode, modes, and a cell if a state represents a square of the
plane).
"""

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.checks import whole
from tinyebm.datasets.toys import TOYS
from tinyebm.spaces.discrete import Bits

PLANAR = (
    "two_moons",
    "eight_gaussians",
    "circles",
    "rings",
    "checkerboard",
    "pinwheel",
    "swissroll",
    "two_spirals",
)
GRAY_BITS = 8  # per axis: 256 x 256 cells
REACH = 4.0  # the cells tile [-4, 4]²; at most 2e-4 of the mass of a toy lies outside


def bars_and_stripes(side, weighted=False):
    """Images of side² pixels; either every row or every column is all on or all off.

    There are 2^(side+1) - 2 of them, equally probable here.  If `weighted`, they have the
    probabilities of the usual generator (a coin for rows or columns, fair bits for each), which
    make the all-on and the all-off image twice as probable (Hinton & Sejnowski 1986; MacKay 2003,
    section 43.3).  The patterns are one mode.
    """
    if not (whole(side, 1) and side <= 5):
        raise ValueError(
            f"side must be an integer from 1 to 5, got {side!r}: 2^(side²) states are listed"
        )
    bits, _ = Bits(side).atoms()
    rows = np.repeat(bits, side, axis=1)  # (2^side, side²)
    columns = np.tile(bits, (1, side))
    states, counts = np.unique(np.concatenate([rows, columns]), axis=0, return_counts=True)
    counts = counts if weighted else np.ones(len(states))
    space = Bits(side * side)
    known = space.grid().index(states)
    mode = lambda x: np.where(space.contains(x) & np.isin(space.grid().index(x), known), 0, -1)
    return space, states, counts / counts.sum(), mode, 1


def gray_coded(toy):
    """A toy of the plane on 256 x 256 cells of [-4, 4]²: 16 bits, the Gray codes of the cell's two
    coordinates.

    p(cell) ∝ the toy's density at the centre of the cell.  In a Gray code neighbouring cells differ
    in one bit (Dai, Singh, Dai, Sutton & Schuurmans 2020, NeurIPS, section 5.1, with 32 bits).
    `plane` is the inverse map.
    """
    space = Bits(2 * GRAY_BITS)
    states, _ = space.atoms()
    states = states[np.argsort(cell(states))]
    _, log_joint, _, modes, _ = TOYS[toy]()
    parts = np.array_split(plane(states), 1024)
    joint = np.concatenate([log_joint(part) for part in parts])  # (cells, modes)
    log_p = logsumexp(joint, axis=1)
    mass = np.exp(log_p - log_p.max())
    kept = mass > 0
    label = np.where(kept, joint.argmax(axis=1), -1)
    mode = lambda x: np.where(space.contains(x), label[cell(x)], -1)
    return space, states[kept], mass[kept] / mass.sum(), mode, modes, cell


def cell(x):
    """The number of the cell of each row of bits x (n, 16), (n,), counted row by row of the
    square."""
    ones = (x > 0.5).astype(int).reshape(len(x), 2, GRAY_BITS)
    binary = np.cumsum(ones, axis=2) % 2  # decodes a Gray code
    i, j = (binary @ (1 << np.arange(GRAY_BITS)[::-1])).T
    return i * 2**GRAY_BITS + j


def plane(x):
    """The centre in the plane of the cell of each row of bits x (n, 16), (n, 2)."""
    corner = np.stack(np.divmod(cell(x), 2**GRAY_BITS), axis=1)
    return (corner + 0.5) * (2 * REACH / 2**GRAY_BITS) - REACH
