"""Functions of many rows, replayed tile by tile.

A *tile* is a few hundred rows, so few that the intermediate results of a function stay in the
cache.  The size of tiles depends only on the number of rows and the width of the model, not on the
number of threads, and sums over tiles are added in a fixed order.  So the same call gives the same
numbers on any number of cores.  Each function returns None if a function cannot be replayed.
"""

from functools import reduce
from itertools import chain

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import tree_flatten
from tinyebm.replay import plans
from tinyebm.replay.plans import plan

LANES = 8  # partial sums, for any number of threads


def by_rows(function, p, rows, settings):
    """`door.by_rows`, replayed."""
    settings, leaves = as_arrays(settings, rows[0]), tree_flatten(p.theta)[0]
    found = plan(function, p, leaves, rows, settings)
    if found is None:
        return None
    n = len(rows[0])
    tiles = tiles_of(n, found.size)
    outputs = [np.empty((n, *o.shape[1:]), o.value.dtype) for o in found.traced[2]]

    def take(program, _, start, stop):
        program.run()
        for out, tile in zip(outputs, program.outputs, strict=True):
            out[start:stop] = tile[: stop - start]

    found.each([*leaves, *settings], rows, [[tile] for tile in tiles], take)
    return found.structure(outputs)


def reduce_rows(function, combine, p, first, chunks, padding, settings):
    """`door.reduce_rows`, replayed, of the first chunk and of those that follow."""
    leaves, settings = tree_flatten(p.theta)[0], as_arrays(settings, first[0])
    with plans.LOCK:  # to the end: totals lie in a program's buffers
        found = plan(function, p, leaves, first, settings, padding=padding)
        if found is None:
            return None
        lanes = [None] * LANES

        def take(program, lane, start, stop):
            program.run()
            before = lanes[lane]
            total = program.total
            lanes[lane] = total.copy() if before is None else combine(before, total)

        for rows in chain([first], chunks):
            tiles = tiles_of(len(rows[0]), found.size)
            jobs = [tiles[lane::LANES] for lane in range(min(LANES, len(tiles)))]
            found.each([*leaves, *settings], rows, jobs, take)
        total = reduce(combine, [lane for lane in lanes if lane is not None])
        return found.structure(found.programs[0].finish(total))


def tiles_of(n, size):
    """(start, stop) of every tile of n points."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def as_arrays(settings, x):
    """Numbers as arrays of no dimension, of the type of x; beside CuPy's arrays, as numbers."""
    return list(settings) if on_gpu(x) else [np.asarray(s, x.dtype) for s in settings]
