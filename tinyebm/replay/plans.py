"""Compiled functions, and how long they are kept.

A Plan is a function of a Density and of rows of points, compiled for tiles of one size: one program
per thread.  Plans of the package's own energies and spaces are kept between calls, because these
depend only on their fields.  Plans of other energies are kept inside `remembering` blocks, during a
fit.  There they are compared with the function itself from time to time, because such an energy may
read something that changes.
"""

import math
import os
import time
from collections import OrderedDict
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.errors import ChangedEnergyError
from tinyebm.common.tree import numbered, tree_flatten, tree_structure
from tinyebm.replay.blas import in_parallel, one_blas_thread
from tinyebm.replay.mode import THREAD, plain
from tinyebm.replay.names import ids, names_of
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace

LEAST, WIDE = 128, 512  # points of a tile; twice as many for networks at least this wide
TILE = 2**15  # numbers in the widest array of a tile: 128 KiB in single precision
ROWS = 32  # the size of a tile is a multiple of this, so that few sizes need a program
MEMORY = 32  # plans kept between calls
WORTH = 1e-3  # seconds of work for which it pays to wake a thread
SMALL = 4096  # points times steps for which it pays to compile a program that is used once

# A program's buffers serve one call at a time.
LOCK = RLock()
_PLANS: OrderedDict = OrderedDict()  # key -> Plan or Unplanned, the latest last


def _renew_lock():
    global LOCK
    LOCK = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Scope:
    """The programs of parts (an energy, a space) that may change, kept until a block ends."""

    def __init__(self, parts):
        self.parts = [part for part in parts if names_of((part,), ()) is None]
        self.plans = OrderedDict()  # key -> Plan or Unplanned

    def require_unchanged(self, all=True):
        """Compare programs that ran since they were last compared with their functions.

        With `all=False` one program of every function is compared.
        """
        with LOCK:
            ran = [plan for plan in self.plans.values() if plan.last]
            for plan in ran if all else {plan.function: plan for plan in ran}.values():
                plan.require_unchanged(*plan.last)


@contextmanager
def remembering(*parts):
    """Keep the programs of an energy, a space or a distribution until the end of the block.

    Yields a function that raises ChangedEnergyError if the last result of a program differs from
    its function.  Then a part reads something that has changed.
    """
    scope = Scope(parts)
    THREAD.scopes = (*THREAD.scopes, scope)
    try:
        yield scope.require_unchanged
    finally:  # blocks need not end in the order in which they began
        THREAD.scopes = tuple(other for other in THREAD.scopes if other is not scope)


def replayable(leaves, rows):
    """Whether the parameters and the rows are plain NumPy arrays."""
    return (
        all(type(a) is np.ndarray and a.dtype.kind == "f" for a in (*leaves, *rows))
        and rows[0].size > 0
    )


def tile_size(leaves, n, d):
    """Points in a tile, for n points of dimension d: by the widest matrix among the parameters."""
    width = max([d, *(max(a.shape) for a in leaves if a.ndim > 1)])
    most = min(max(TILE // width, LEAST * (1 + (width >= WIDE))), 1024)
    tiles = max(-(-n // most), min(2, 2 * n * width // TILE))
    return -(-n // (tiles * ROWS)) * ROWS


class Model(NamedTuple):
    """A placeholder for a Density while a function is traced."""

    energy: Any
    theta: Any
    space: Any


class Unplanned(NamedTuple):
    """The entry of a function that cannot be replayed."""

    model: Model
    last: Any = None


class Plan:
    """A function compiled for tiles of `size` points: one program per thread, made on demand."""

    def __init__(self, function, p, settings, rows, size, padding, watched):
        leaves, (_, rebuild) = tree_flatten(p.theta)[0], tree_flatten(numbered(p.theta))
        self.model, n, m = Model(p.energy, None, p.space), len(leaves), len(leaves) + len(settings)

        def flat(*arrays):
            answer = function(
                self.model._replace(theta=rebuild(arrays[:n])), *arrays[m:], *arrays[n:m]
            )
            found, self.structure = tree_flatten(answer)
            return found

        self.function, self.flat, self.size, self.padding = function, flat, size, padding
        self.linear = padding is not None
        fixed, example = [*leaves, *settings], [_first(a, size) for a in rows]
        with np.errstate(all="ignore"):
            self.traced = trace(flat, fixed, example)
            self.programs = [Program(*self.traced, self.linear)]
            found = self._answer(fixed, example)
            if not all(map(_agree, found, [node.value for node in self.traced[2]])):
                raise ArithmeticError("a replayed function differs from itself")
            start = time.perf_counter()
            self.programs[0].run()
            self.seconds = time.perf_counter() - start  # of a tile
        self.traced[0].forget()
        # of a program that is compared: the parameters and rows that it ran on since then
        self.last = None
        self.watched = watched
        if watched:
            self.require_unchanged(fixed, rows)

    def _answer(self, fixed, rows):
        """The results of the program for at most a tile of rows."""
        program, n = self.programs[0], len(rows[0])
        program.load(fixed)
        _fill(program, rows, 0, n, self.padding)
        program.run()
        return (
            program.finish(program.total.copy())
            if self.linear
            else [out[:n] for out in program.outputs]
        )

    def require_unchanged(self, fixed, rows):
        """Raise ChangedEnergyError unless program and function agree on a few of the rows."""
        self.last = None
        few = [a[:: max(1, len(a) // ROWS)][:ROWS] for a in rows]
        with np.errstate(all="ignore"), plain(), one_blas_thread():
            found = self._answer(fixed, few)
            truth = [np.asarray(value) for value in self.flat(*fixed, *few)]
            scale = max(map(_size, truth))  # of all: some may be sums that cancel
            same = [
                _agree(a, b, scale) and not (np.isinf(b) & np.isfinite(a)).any()
                for a, b in zip(found, truth, strict=True)
            ]
        if not all(same):
            raise ChangedEnergyError(
                f"the energy {self.model.energy!r} (or its space) gives other values than when it "
                "was compiled: it reads something that changes (a global, an attribute, a random "
                "number). Pass that through theta: an energy is a function of theta and x alone, "
                "which does not ask whether they are NumPy's arrays"
            )

    def each(self, fixed, rows, jobs, take, steps=1):
        """Call take(program, job, start, stop) for every tile of every job, the tile loaded.

        `take` runs the program, `steps` times for each tile.  More than one thread works if each
        has a millisecond of work.
        """
        with LOCK, one_blas_thread() as threads:
            self.last = (fixed, rows) if self.watched else None
            threads, loaded = min(threads, len(jobs)), {0}
            if self.seconds * steps * sum(map(len, jobs)) < WORTH * threads:
                threads = 1
            while len(self.programs) < threads:
                self.programs.append(Program(*self.traced, self.linear))
            self.programs[0].load(fixed)  # it also puts sums together at the end

            def work(worker, job):
                program = self.programs[worker]
                if worker not in loaded:
                    program.load(fixed)
                    loaded.add(worker)
                for start, stop in jobs[job]:
                    _fill(program, rows, start, stop, self.padding)
                    take(program, job, start, stop)

            in_parallel(work, range(len(jobs)), threads)


def _agree(found, value, scale=None):
    """Whether two arrays agree to half of their digits, relative to the largest finite entry."""
    sound, scale = np.isfinite(value), _size(value) if scale is None else scale
    return (np.abs(found - value)[sound] <= math.sqrt(np.finfo(value.dtype).eps) * scale).all()


def _size(value):
    return np.abs(value[np.isfinite(value)]).max(initial=0.0)


def _first(a, size):
    """The first rows of an array, repeated if there are fewer."""
    return np.resize(a[:size], (size, *a.shape[1:]))


def _fill(program, rows, start, stop, padding):
    """Write points start, ..., stop-1 into a program.

    The rest of the tile repeats the last point, or is `padding` in the last array.
    """
    m = stop - start
    for i, (buffer, a) in enumerate(zip(program.rows, rows, strict=True)):
        buffer[:m] = a[start:stop]
        if m < len(buffer):
            buffer[m:] = a[stop - 1] if padding is None or i < len(rows) - 1 else padding


def plan(function, p, leaves, rows, settings=(), steps=1, padding=None):
    """The Plan of function(p, *rows, *settings), remembered or new; None if it cannot be replayed."""
    if not replayable(leaves, (*rows, *settings)):
        return None
    names, store = _memory_of(p)
    if names is None and len(rows[0]) * steps < SMALL:
        return None
    size = tile_size(leaves, len(rows[0]), rows[0].shape[-1])
    shapes = [(a.shape, a.dtype.str) for a in (*leaves, *settings)]
    shapes += [(a.shape[1:], a.dtype.str) for a in rows]
    with LOCK:
        key = names and (function, names, tree_structure(p.theta, tuple), size, padding, *shapes)
        found = store.pop(key, None) if key else None
        if found is None:
            try:
                found = Plan(function, p, settings, rows, size, padding, store is not _PLANS)
            except Exception as error:  # the function itself will raise its error
                if names and isinstance(error, ChangedEnergyError):
                    raise
                found = Unplanned(Model(p.energy, None, p.space))
        if key:
            store[key] = found
            if len(store) > MEMORY:
                store.popitem(last=False)
    return None if isinstance(found, Unplanned) else found


def _memory_of(p):
    """(A key of the energy and the space of p, the place where their programs are kept)."""
    parts = p.energy, p.space
    names = names_of(parts, ())
    if names is not None:
        return names, _PLANS
    if not THREAD.scopes:
        return None, None
    kept = ids(part for scope in THREAD.scopes for part in scope.parts)
    return names_of(parts, kept), THREAD.scopes[-1].plans
