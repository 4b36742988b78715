"""Functions of many points, replayed tile by tile.

A *tile* is a few hundred points, so few that what a function computes on the way stays in the
cache.  Tiles are cut by the number of points and the width of the model alone, never by the number
of threads, and what they add up to is added in one order: the same call gives the same numbers on
any number of cores.

by_rows   one result per point
fold      results added up over points, or joined in another way
(`replay.chains`: a Markov chain per point, all steps of a tile before the next tile.)
Each runs `function(p, ...)` for a Density p as NumPy code would, to rounding, and refuses nothing: what cannot be
replayed is run as it stands.
"""

from functools import reduce

import numpy as np

from tinyebm.autodiff.ops import concatenate
from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import ravel, tree_flatten, tree_map
from tinyebm.replay import plans
from tinyebm.replay.plans import plan

UNTILED = 4096  # rows at a time where a function runs as it stands
LANES = 8  # partial sums, whatever the number of threads
_UNDECIDED = object()


def by_rows(function, p, *rows, settings=()):
    """function(p, *rows, *settings), a tree of arrays (n, ...) that come row by row from rows of
    x."""
    settings, leaves = as_arrays(settings, rows[0]), tree_flatten(p.theta)[0]
    found = plan(function, p, leaves, rows, settings)
    n = len(rows[0])
    if found is None:
        parts = [function(p, *block, *settings) for block in blocks_of(rows)]
        return (
            parts[0] if len(parts) == 1 else tree_map(lambda *pieces: concatenate(pieces), *parts)
        )
    tiles = tiles_of(n, found.size)
    outputs = [np.empty((n, *o.shape[1:]), o.value.dtype) for o in found.traced[2]]

    def take(program, _, start, stop):
        program.run()
        for out, tile in zip(outputs, program.outputs, strict=True):
            out[start:stop] = tile[: stop - start]

    found.each([*leaves, *settings], rows, [[tile] for tile in tiles], take)
    return found.structure(outputs)


def fold(function, combine, p, chunks, padding, settings=()):
    """The results of function(p, *rows, *settings) on tiles of all chunks of rows, combined: a tree
    of arrays.

    combine(before, tile) joins two results, each flattened to one vector, and returns what they
    make together; it may overwrite both.  Tiles are filled up by repeating their last row, whose
    entry in the last array is `padding`.
    """
    with plans.LOCK:  # to the end: totals lie in a program's buffers
        return _fold(function, combine, p, chunks, padding, settings)


def _fold(function, combine, p, chunks, padding, settings):
    lanes, found, rebuild, leaves = [None] * LANES, _UNDECIDED, None, tree_flatten(p.theta)[0]
    for rows in chunks:
        arrays = as_arrays(settings, rows[0])
        if found is _UNDECIDED:  # the first chunk decides for all
            found = plan(function, p, leaves, rows, arrays, padding=padding)
        if found is None:
            for block in blocks_of(rows):
                flat, rebuild = ravel(function(p, *block, *arrays))
                lanes[0] = flat if lanes[0] is None else combine(lanes[0], flat)
            continue

        def take(program, lane, start, stop):
            program.run()
            lanes[lane] = (
                program.total.copy() if lanes[lane] is None else combine(lanes[lane], program.total)
            )

        tiles = tiles_of(len(rows[0]), found.size)
        jobs = [tiles[lane::LANES] for lane in range(min(LANES, len(tiles)))]
        found.each([*leaves, *arrays], rows, jobs, take)
    total = reduce(combine, [lane for lane in lanes if lane is not None])
    return rebuild(total) if found is None else found.structure(found.programs[0].finish(total))


def add(before, tile):
    """Sums: the usual `combine`."""
    return np.add(before, tile, before)


def tiles_of(n, size):
    """(start, stop) of every tile of n points."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def blocks_of(rows):
    """Rows a few thousand at a time; on a GPU, whose cost is that of launches, all of them."""
    n = max(len(rows[0]), 1)
    size = n if on_gpu(rows[0]) else UNTILED
    return [[a[i : i + size] for a in rows] for i in range(0, n, size)]


def as_arrays(settings, x):
    """Numbers as arrays of no dimension, of the type of x; beside CuPy's arrays, as numbers."""
    return list(settings) if on_gpu(x) else [np.asarray(s, x.dtype) for s in settings]
