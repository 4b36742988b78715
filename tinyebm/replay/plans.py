"""Programs, and which of them are remembered.

A plan is a function of a Density and of rows of points, compiled for tiles of one size: one program per thread.
It is remembered with the energy it was made for, if that is known to be a function of (theta, x) alone.
"""

import dataclasses
import math
import os
import time
from collections import OrderedDict
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from tinyebm.replay.blas import in_parallel, one_blas_thread
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace
from tinyebm.tree import structure, tree_flatten

LEAST, WIDE = 128, 512  # points that a tile of many holds; twice as many from a width on whose weights leave the cache
TILE = 2**15  # numbers in the widest array of a tile: 128 KiB in single precision
ROWS = 32  # tiles are multiples of so many points, so that few sizes need a program
MEMORY = 32  # plans remembered
WORTH = 1e-3  # seconds of work, from which on a thread is worth its waking
_UNPLANNED = object()
SMALL = 4096  # points times steps, from which on a program that cannot be remembered is worth its making

LOCK = RLock()  # a program's buffers serve one call at a time; a process forked from a busy one starts with a free lock
_PLANS: OrderedDict = OrderedDict()
_TRUSTED: list = []


def _renew_lock():
    global LOCK
    LOCK = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def remembering(energy):
    """Take an energy for a function of (theta, x) alone, until the end of the block: its programs are remembered.

    A frozen dataclass promises that by itself.  Any other callable may read what changes between calls.
    """
    with LOCK:
        _TRUSTED.append(energy)
    try:
        yield
    finally:
        with LOCK:  # another thread may have energies of its own
            del _TRUSTED[next(i for i, trusted in enumerate(_TRUSTED) if trusted is energy)]
            for key in [key for key in _PLANS if not _lasting(key[1])]:
                del _PLANS[key]


def _lasting(energy):
    """Whether programs of an energy may be remembered: it is trusted, or a frozen dataclass, and so is any energy it holds."""
    if any(trusted is energy for trusted in _TRUSTED):
        return True
    if not (dataclasses.is_dataclass(energy) and energy.__dataclass_params__.frozen and _has_hash(energy)):
        return False
    parts = (getattr(energy, field.name) for field in dataclasses.fields(energy))
    return all(_lasting(part) for part in parts if callable(part))


def _has_hash(energy):
    try:
        hash(energy)
    except TypeError:  # it may change, or holds an array
        return False
    return True


def replayable(p, leaves, rows, steps=1):
    """Whether the parameters and the rows are plain NumPy arrays, and replay pays."""
    if not all(type(a) is np.ndarray and a.dtype.kind == "f" for a in (*leaves, *rows)) or not rows[0].size:
        return False
    return len(rows[0]) * steps >= SMALL or _lasting(p.energy)


def tile_size(leaves, n, d):
    """Points in a tile, for n points of dimension d: by the widest matrix among the parameters."""
    width = max([d, *(max(a.shape) for a in leaves if a.ndim > 1)])
    most = min(max(TILE // width, LEAST * (1 + (width >= WIDE))), 1024)
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
            start = time.perf_counter()
            self.programs[0].run()
            self.seconds = time.perf_counter() - start  # of a tile
        self.traced[0].forget()

    def each(self, fixed, rows, jobs, take, padding=None, steps=1):
        """Call take(program, job, start, stop), with a tile loaded and not yet run, for every tile of every job.

        By more than one thread if each has a millisecond of work, `steps` runs a tile.
        """
        with LOCK, one_blas_thread() as threads:
            threads, loaded = min(threads, len(jobs)), {0}
            if self.seconds * steps * sum(map(len, jobs)) < WORTH * threads:
                threads = 1
            while len(self.programs) < threads:
                self.programs.append(Program(*self.traced, self.linear))
            self.programs[0].load(fixed)  # whoever does the work: it puts sums together at the end

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
        if not (np.abs(found - value)[sound] <= math.sqrt(np.finfo(value.dtype).eps) * scale).all():
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
    name = p.energy if _has_hash(p.energy) else id(p.energy)  # of a trusted one, which lives as long as its programs
    key = (function, name, p.space, structure(p.theta), size, linear, *shapes)
    keep = _lasting(p.energy)
    with LOCK:
        found = _PLANS.get(key) if keep else None
        if found is None:
            try:
                found = Plan(function, p, settings, rows, size, linear)
            except Exception:  # what cannot be traced is run as it stands, and there says for itself what is wrong
                found = _UNPLANNED
            if keep:
                _PLANS[key] = found
                if len(_PLANS) > MEMORY:
                    _PLANS.popitem(last=False)
        elif keep:
            _PLANS.move_to_end(key)
    return None if found is _UNPLANNED else found
