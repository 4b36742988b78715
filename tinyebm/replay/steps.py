"""Replay of Markov chains whose step is a function of normal noise.

All steps of one tile of chains run before those of the next tile.
"""

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import tree_flatten
from tinyebm.replay.normals import normals
from tinyebm.replay.plans import TILE, plan
from tinyebm.replay.tiles import as_arrays, tiles_of


def many_steps(move, p, x, schedule, rng, record=None):
    """`door.many_steps`, replayed.

    `schedule` lists the settings of every step.  Each tile has a generator of normal numbers of its
    own; one draw from rng seeds them all.
    """
    steps, settings = len(schedule), as_arrays(schedule[0], x)
    leaves, end = tree_flatten(p.theta)[0], np.empty_like(x)
    found = None if on_gpu(x) else plan(move, p, leaves, (x, x), settings, steps)
    if (
        found is None
        or found.traced[2][0].value.dtype != x.dtype
        or not isinstance(rng, np.random.Generator)
    ):
        return None
    n, d = x.shape
    tiles = tiles_of(n, found.size)
    seeds = rng.integers(0, 2**63, size=len(tiles))
    trajectory = None if record is None else np.empty((1 + steps // record, n, d), x.dtype)
    if record is not None:
        trajectory[0] = x
    ahead = min(steps, max(1, 2 * TILE // (d * found.size)))  # steps whose noise is drawn together
    loaded = {}  # program -> the settings it holds

    def take(program, tile, start, stop):
        own = np.random.Generator(np.random.SFC64(seeds[tile]))
        (state, shaken), (moved,) = program.rows, program.outputs
        noise = np.empty((ahead, d, found.size), x.dtype)  # in the order of memory
        for i in range(steps):
            if i % ahead == 0:
                normals(own, noise)
            if loaded.get(program, schedule[0]) != schedule[i]:
                program.load([*leaves, *as_arrays(schedule[i], x)])
                loaded[program] = schedule[i]
            shaken[...] = noise[i % ahead].T
            program.run()
            state[...] = p.space.fold(moved)
            if record is not None and (i + 1) % record == 0:
                trajectory[(i + 1) // record, start:stop] = state[: stop - start]
        end[start:stop] = state[: stop - start]

    found.each([*leaves, *settings], (x, x), [[tile] for tile in tiles], take, steps=steps)
    return end, trajectory
