"""The interface between the formulas of the package and their fast replay.

Each function here calls a formula on blocks of rows and joins the results.  Its lines run inside
`with te.plain():`, on a GPU, and for functions that cannot be replayed.  Otherwise the same NumPy
calls are repeated from a list, tile by tile.  The numbers agree up to rounding, and the time is
several times shorter.

    by_rows       one result per row
    reduce_rows   results added up over all rows, or joined in another way
    many_steps    all steps of Langevin chains
    remembering   keep the programs of an energy until the end of a block
    still         hold linear algebra at one thread, so that its number changes no digit
"""

import numpy as np

from tinyebm.autodiff.ops import concatenate
from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import ravel, tree_map
from tinyebm.replay import steps, tiles
from tinyebm.replay.blas import one_blas_thread as one_thread
from tinyebm.replay.blas import still
from tinyebm.replay.mode import THREAD, plain
from tinyebm.replay.plans import remembering

__all__ = [
    "add",
    "by_rows",
    "many_steps",
    "one_thread",
    "plain",
    "reduce_rows",
    "remembering",
    "still",
]

UNTILED = 4096  # rows at a time without replay


def by_rows(function, p, *rows, settings=()):
    """function(p, *rows, *settings), arrays (n, ...); result i depends only on row i of each."""
    if not THREAD.plain:
        replayed = tiles.by_rows(function, p, rows, settings)
        if replayed is not None:
            return replayed
    blocks = blocks_of(rows)
    if len(blocks) == 1:
        return function(p, *rows, *settings)
    parts = [function(p, *block, *settings) for block in blocks]
    return tree_map(lambda *pieces: concatenate(pieces), *parts)


def reduce_rows(function, combine, p, chunks, padding, settings=()):
    """The results of function(p, *rows, *settings) over blocks of all chunks of rows, combined.

    combine(before, block) joins two results, each flattened to one vector; it may overwrite both.
    A tile that is not full repeats its last row, whose entry in the last array is `padding`.
    """
    chunks = iter(chunks)
    first = next(chunks)
    if not THREAD.plain:
        replayed = tiles.reduce_rows(function, combine, p, first, chunks, padding, settings)
        if replayed is not None:
            return replayed
    total = None
    while first is not None:
        for block in blocks_of(first):
            found = function(p, *block, *settings)
            total = found if total is None else _joined(combine, total, found)
        first = next(chunks, None)
    return total


def many_steps(move, p, x, schedule, rng, record=None):
    """x ← space.fold(move(p, x, ξ, *settings)), ξ ~ N(0, I), for the settings of every step.

    Returns (x, trajectory or None); None if it cannot or should not be replayed.
    """
    return None if THREAD.plain else steps.many_steps(move, p, x, schedule, rng, record)


def add(before, block):
    """Sums: the usual `combine`."""
    return np.add(before, block, before)


def blocks_of(rows):
    """Rows a few thousand at a time; on a GPU all of them, because each launch costs time."""
    n = len(rows[0])
    if n <= UNTILED or on_gpu(rows[0]):
        return [rows]
    return [[a[i : i + UNTILED] for a in rows] for i in range(0, n, UNTILED)]


def _joined(combine, total, found):
    """Two trees of one structure, combined as vectors."""
    vector, rebuild = ravel(total)
    return rebuild(combine(vector, ravel(found)[0]))
