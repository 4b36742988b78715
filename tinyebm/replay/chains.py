"""Markov chains that drift and are shaken, replayed: all steps of a tile of chains before the next tile."""

import numpy as np

from tinyebm.backend import on_gpu
from tinyebm.replay.normals import normals
from tinyebm.replay.plans import TILE, plan
from tinyebm.replay.tiles import as_arrays, tiles_of
from tinyebm.tree import tree_flatten


def chains(drift, p, x, schedule, rng, record=None):
    """Run x ← fold(drift(p, x, *settings) + scale ξ), ξ ~ N(0, I), on every row of x: (x, trajectory or None).

    None if it cannot be replayed.  `schedule` lists (scale, *settings) for every step.  The normals of a tile come from
    a generator of its own, seeded by one draw of rng.
    """
    steps, settings = len(schedule), [as_arrays(numbers, x) for _, *numbers in schedule]
    leaves, end = tree_flatten(p.theta)[0], np.empty_like(x)
    found = None if on_gpu(x) else plan(drift, p, leaves, (x,), settings[0], steps)
    if found is None or found.traced[2][0].value.dtype != x.dtype or not isinstance(rng, np.random.Generator):
        return None
    n, d = x.shape
    tiles = tiles_of(n, found.size)
    seeds = rng.integers(0, 2**63, size=len(tiles))
    trajectory = None if record is None else np.empty((1 + steps // record, n, d), x.dtype)
    if record is not None:
        trajectory[0] = x
    ahead = min(steps, max(1, 2 * TILE // (d * found.size)))  # steps whose noise is drawn together
    scales = np.array([scale for scale, *_ in schedule], x.dtype)[:, None, None]
    loaded = {}  # program -> the settings it holds

    def take(program, tile, start, stop):
        own, (state,), (moved,) = np.random.Generator(np.random.SFC64(seeds[tile])), program.rows, program.outputs
        state, moved, noise = state.T, moved.T, np.empty((ahead, d, found.size), x.dtype)  # in the order of memory
        for i in range(steps):
            if i % ahead == 0:
                normals(own, noise)
                np.multiply(noise[: steps - i], scales[i : i + ahead], noise[: steps - i])
            if loaded.get(program, schedule[0][1:]) != schedule[i][1:]:
                program.load([*leaves, *settings[i]])
                loaded[program] = schedule[i][1:]
            program.run()
            np.add(moved, noise[i % ahead], state)
            if p.space.bounded:
                state[...] = p.space.fold(state)
            if record is not None and (i + 1) % record == 0:
                trajectory[(i + 1) // record, start:stop] = state.T[: stop - start]
        end[start:stop] = state.T[: stop - start]

    found.each([*leaves, *settings[0]], (x,), [[tile] for tile in tiles], take, steps=steps)
    return end, trajectory
