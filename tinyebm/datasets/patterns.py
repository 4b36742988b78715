"""Populations on bits, known exactly: patterns listed state by state.

Every function returns (space, states (m, d), probabilities (m,), mode, modes, and a cell where a
state stands for one of the plane), the fields of a `tinyebm.datasets.PatternTarget` after its name.
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
# of the square that the cells tile, [-4, 4]²; at most 2e-4 of a toy's mass lies outside
REACH = 4.0


def bars_and_stripes(side, weighted=False):
    """Images of side² pixels whose rows, or whose columns, are each all on or all off.

    There are 2^(side+1) - 2 of them, equally probable here.  If `weighted`, they come as from the
    usual generator (a coin for rows or columns, fair bits for each), which makes the all-on and the
    all-off image twice as probable (Hinton & Sejnowski 1986; MacKay 2003, section 43.3).  One mode:
    the patterns.
    """
    if not (whole(side, 1) and side <= 5):
        raise ValueError(
            f"side must be an integer from 1 to 5, got {side!r}: 2^(side²) states are listed"
        )
    bits, _ = Bits(side).atoms()
    rows = np.repeat(bits, side, axis=1)  # (2^side, side²)
    columns = np.tile(bits, (1, side))
    states, counts = np.unique(np.concatenate([rows, columns]), axis=0, return_counts=True)
    probabilities = counts / counts.sum() if weighted else np.full(len(states), 1 / len(states))
    known = Bits(side * side).grid().index(states)  # in increasing order
    space = Bits(side * side)
    mode = lambda x: np.where(space.contains(x) & np.isin(space.grid().index(x), known), 0, -1)
    return space, states, probabilities, mode, 1


def gray_coded(toy):
    """A toy in the plane on 256 x 256 cells of [-4, 4]²: 16 bits, the Gray code of each
    coordinate's cell.

    p(cell) ∝ the toy's density at the cell's centre.  In a Gray code neighbouring cells differ in
    one bit (Dai, Singh, Dai, Sutton & Schuurmans 2020, NeurIPS, section 5.1, with 32 bits).
    `plane` leads back.
    """
    axis = (np.arange(2**GRAY_BITS) + 0.5) * (2 * REACH / 2**GRAY_BITS) - REACH
    centres = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    _, log_joint, _, modes, _ = TOYS[toy]()
    parts = [log_joint(part) for part in np.array_split(centres, 1024)]
    log_p = np.concatenate([logsumexp(part, axis=1) for part in parts])
    mass = np.exp(log_p - log_p.max())
    label = np.concatenate([part.argmax(axis=1) for part in parts])
    label[mass == 0] = -1

    number = np.arange(2**GRAY_BITS)
    bits = (((number ^ (number >> 1))[:, None] >> np.arange(GRAY_BITS)[::-1]) & 1) * 1.0  # (256, 8)
    states = np.concatenate(
        [np.repeat(bits, len(bits), axis=0), np.tile(bits, (len(bits), 1))], axis=1
    )
    kept = mass > 0
    space = Bits(2 * GRAY_BITS)
    mode = lambda x: np.where(space.contains(x), label[cell(x)], -1)
    return space, states[kept], mass[kept] / mass.sum(), mode, modes, cell


def cell(x):
    """The number of the cell of each row of bits x (n, 16), row by row of the square, (n,): Gray
    code undone."""
    ones = (x > 0.5).astype(int).reshape(len(x), 2, GRAY_BITS)
    binary = np.cumsum(ones, axis=2) % 2  # a Gray code's prefix sums
    i, j = (binary @ (1 << np.arange(GRAY_BITS)[::-1])).T
    return i * 2**GRAY_BITS + j


def plane(x):
    """The centre in the plane of the cell of each row of bits x (n, 16), (n, 2)."""
    number = cell(x)
    return (np.stack([number >> GRAY_BITS, number % 2**GRAY_BITS], axis=1) + 0.5) * (
        2 * REACH / 2**GRAY_BITS
    ) - REACH
