"""Functions of many points, replayed tile by tile.

A *tile* is a few hundred points, so few that what a function computes on the way stays in the cache.  Tiles are cut by
the number of points and the width of the model alone, never by the number of threads, and what they add up to is added
in one order: the same call gives the same numbers on any number of cores.

by_rows   one result per point
fold      results added up over points, or joined in another way
(`replay.chains`: a Markov chain per point, all steps of a tile before the next tile.)
Each runs `function(p, ...)` for a Density p as NumPy code would, to rounding, and refuses nothing: what cannot be
replayed is run as it stands.
"""

import dataclasses
from collections import OrderedDict
from contextlib import contextmanager
from functools import reduce
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from tinyebm.ops import concatenate
from tinyebm.replay.blas import in_parallel, one_blas_thread
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace
from tinyebm.tree import ravel, structure, tree_flatten, tree_map

LEAST = 128  # points that a tile of many holds
TILE = 2**15  # numbers in the widest array of a tile: 128 KiB in single precision
ROWS = 32  # tiles are multiples of so many points, so that few sizes need a program
UNTILED = 4096  # rows at a time where a function runs as it stands
LANES = 8  # partial sums, whatever the number of threads
MEMORY = 64  # programs remembered
UNPLANNED = object()
SMALL = 4096  # points times steps, from which on a program that cannot be remembered is worth its making

_LOCK = RLock()  # a program's buffers serve one call at a time
_PLANS = OrderedDict()
_TRUSTED = []


@contextmanager
def remembering(energy):
    """Take an energy for a function of (theta, x) alone, until the end of the block: its programs are remembered.

    A frozen dataclass promises that by itself.  Any other callable may read what changes between calls.
    """
    _TRUSTED.append(energy)
    try:
        yield
    finally:
        _TRUSTED.pop()
        for key in [key for key in _PLANS if not _lasting(key[1])]:
            del _PLANS[key]


def _lasting(energy):
    """Whether programs of an energy may be remembered: it is trusted, or a frozen dataclass, and so is any energy it holds."""
    if any(trusted is energy for trusted in _TRUSTED):
        return True
    if not (dataclasses.is_dataclass(energy) and energy.__dataclass_params__.frozen):
        return False
    try:
        hash(energy)
    except TypeError:  # it holds an array, say
        return False
    parts = (getattr(energy, field.name) for field in dataclasses.fields(energy))
    return all(_lasting(part) for part in parts if callable(part))


def replayable(p, leaves, rows, steps=1):
    """Whether the parameters and the rows are plain NumPy arrays, and replay pays."""
    if not all(type(a) is np.ndarray and a.dtype.kind == "f" for a in (*leaves, *rows)) or not rows[0].size:
        return False
    return len(rows[0]) * steps >= SMALL or _lasting(p.energy)


def tile_size(leaves, n, d):
    """Points in a tile, for n points of dimension d: by the widest matrix among the parameters."""
    width = max([d, *(max(a.shape) for a in leaves if a.ndim > 1)])
    most = min(max(TILE // width, LEAST), 1024)
    tiles = max(-(-n // most), min(2, 2 * n * width // TILE))
    return -(-n // (tiles * ROWS)) * ROWS


class Model(NamedTuple):
    """What stands for a Density while a function is traced."""

    energy: Any
    theta: Any
    space: Any


class Plan:
    """A function compiled for tiles of `size` points of given arrays: one program per thread, made when first needed."""

    def __init__(self, function, p, settings, rows, size, linear):
        leaves, rebuild = tree_flatten(p.theta)

        def flat(*arrays):
            theta, rest = rebuild(arrays[: len(leaves)]), arrays[len(leaves) :]
            answer = function(Model(p.energy, theta, p.space), *rest[len(settings) :], *rest[: len(settings)])
            found, self.structure = tree_flatten(answer)
            return found

        self.size, self.linear = size, linear
        fixed, example = [*leaves, *settings], [_first(a, size) for a in rows]
        with np.errstate(all="ignore"):
            self.traced = trace(flat, fixed, example)
            self.programs = [Program(*self.traced, linear)]
            require_agreement(self.programs[0], fixed, example, [node.value for node in self.traced[2]])
        self.traced[0].forget()

    def each(self, fixed, rows, jobs, take, padding=None):
        """Call take(program, job, tile), with a tile = (start, stop) loaded and not yet run, for every tile of every job."""
        with _LOCK, one_blas_thread() as threads:
            threads, loaded = min(threads, len(jobs)), set()
            while len(self.programs) < threads:
                self.programs.append(Program(*self.traced, self.linear))

            def work(worker, job):
                program = self.programs[worker]
                if worker not in loaded:
                    program.load(fixed)
                    loaded.add(worker)
                for start, stop in jobs[job]:
                    _fill(program, rows, start, stop, padding)
                    take(program, job, start, stop)

            in_parallel(work, range(len(jobs)), threads)


def require_agreement(program, fixed, rows, truth):
    """Raise ArithmeticError unless a program gives what the function gave while it was traced."""
    program.load(fixed)
    for buffer, a in zip(program.rows, rows, strict=True):
        buffer[...] = a
    program.run()
    for found, value in zip(program.finish(program.total.copy()) if program.linear else program.outputs, truth, strict=True):
        sound = np.isfinite(value)
        scale = np.abs(value[sound]).max(initial=0.0)
        if not (np.abs(found - value)[sound] <= 1e6 * np.finfo(value.dtype).eps * scale).all():
            raise ArithmeticError("a replayed function differs from itself")


def _first(a, size):
    """The first rows of an array, repeated if there are fewer."""
    return np.resize(a[:size], (size, *a.shape[1:]))


def _fill(program, rows, start, stop, padding):
    """Write points start, ..., stop-1 into a program; the rest of the tile repeats the last, or is `padding` in the last array."""
    m = stop - start
    for i, (buffer, a) in enumerate(zip(program.rows, rows, strict=True)):
        buffer[:m] = a[start:stop]
        if m < len(buffer):
            buffer[m:] = a[stop - 1] if padding is None or i < len(rows) - 1 else padding


def plan(function, p, leaves, rows, settings=(), steps=1, linear=False):
    """The Plan of function(p, *rows, *settings), remembered or new; None where the function has to run as it stands."""
    if not replayable(p, leaves, (*rows, *settings), steps):
        return None
    size = tile_size(leaves, len(rows[0]), rows[0].shape[-1])
    shapes = [(a.shape, a.dtype.str) for a in (*leaves, *settings)] + [(a.shape[1:], a.dtype.str) for a in rows]
    key = (function, p.energy, p.space, structure(p.theta), size, *shapes)
    keep = _lasting(p.energy)
    with _LOCK:
        found = _PLANS.get(key) if keep else None
        if found is None:
            try:
                found = Plan(function, p, settings, rows, size, linear)
            except Exception:  # what cannot be traced is run as it stands, and there says for itself what is wrong
                found = UNPLANNED
            if keep:
                _PLANS[key] = found
                if len(_PLANS) > MEMORY:
                    _PLANS.popitem(last=False)
        elif keep:
            _PLANS.move_to_end(key)
    return None if found is UNPLANNED else found


# ------------------------------------------------------------------- what others call


def by_rows(function, p, *rows, settings=()):
    """function(p, *rows, *settings), a tree of arrays (n, ...) that come row by row from rows of x."""
    settings, leaves = as_arrays(settings, rows[0]), tree_flatten(p.theta)[0]
    found = plan(function, p, leaves, rows, settings)
    n = len(rows[0])
    if found is None:
        parts = [function(p, *[a[i : i + UNTILED] for a in rows], *settings) for i in range(0, max(n, 1), UNTILED)]
        return tree_map(lambda *pieces: concatenate(pieces), *parts)
    tiles = tiles_of(n, found.size)
    outputs = [np.empty((n, *o.shape[1:]), o.value.dtype) for o in found.traced[2]]

    def take(program, _, start, stop):
        program.run()
        for out, tile in zip(outputs, program.outputs, strict=True):
            out[start:stop] = tile[: stop - start]

    found.each([*leaves, *settings], rows, [[tile] for tile in tiles], take)
    return found.structure(outputs)


def fold(function, combine, p, chunks, padding=None, settings=()):
    """The results of function(p, *rows, *settings) on tiles of all chunks of rows, combined: a tree of arrays.

    combine(before, tile) joins two results, each flattened to one vector, and returns what they make together; it may
    overwrite both.  Tiles are filled up by repeating their last row, whose entry in the last array is `padding`.
    """
    lanes, found, rebuild, leaves = [None] * LANES, None, None, tree_flatten(p.theta)[0]
    for rows in chunks:
        arrays = as_arrays(settings, rows[0])
        found = found or plan(function, p, leaves, rows, arrays, linear=True)
        if found is None:
            flat, rebuild = ravel(function(p, *rows, *arrays))
            lanes[0] = flat if lanes[0] is None else combine(lanes[0], flat)
            continue

        def take(program, lane, start, stop):
            program.run()
            lanes[lane] = program.total.copy() if lanes[lane] is None else combine(lanes[lane], program.total)

        tiles = tiles_of(len(rows[0]), found.size)
        jobs = [tiles[lane::LANES] for lane in range(min(LANES, len(tiles)))]
        found.each([*leaves, *arrays], rows, jobs, take, padding)
    total = reduce(combine, [lane for lane in lanes if lane is not None])
    return rebuild(total) if found is None else found.structure(found.programs[0].finish(total))


def add(before, tile):
    """Sums: the usual `combine`."""
    return np.add(before, tile, before)


def tiles_of(n, size):
    """(start, stop) of every tile of n points."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def as_arrays(settings, x):
    """Numbers as arrays of no dimension, of the type of x."""
    return [np.asarray(s, x.dtype) for s in settings]
