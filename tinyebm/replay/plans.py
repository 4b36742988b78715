"""Programs, and which of them are remembered.

A plan is a function of a Density and of rows of points, compiled for tiles of one size: one program
per thread. Between calls only those of this package's own energies on its own spaces are
remembered, which read nothing but their fields.  While a model is trained, those of any energy are,
and are compared with the function itself now and then.
"""

import math
import os
import time
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from threading import RLock, local
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.errors import ChangedEnergyError
from tinyebm.common.tree import numbered, tree_flatten, tree_structure
from tinyebm.replay.blas import in_parallel, one_blas_thread
from tinyebm.replay.names import ids, names_of
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace

# points that a tile of many holds; twice as many from a width on whose weights leave the cache
LEAST, WIDE = 128, 512
TILE = 2**15  # numbers in the widest array of a tile: 128 KiB in single precision
ROWS = 32  # tiles are multiples of so many points, so that few sizes need a program
MEMORY = 32  # plans remembered
WORTH = 1e-3  # seconds of work, from which on a thread is worth its waking
# points times steps, from which on a program that cannot be remembered is worth its making
SMALL = 4096

# a program's buffers serve one call at a time; a process forked from a busy one starts with a free
# lock
LOCK = RLock()
_PLANS: OrderedDict = OrderedDict()  # key -> Plan or Unplanned, the latest last
_TRUSTED: list = []
_THREAD = local()  # whether this thread compares, and runs every function as it stands


def _renew_lock():
    global LOCK
    LOCK = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def remembering(*parts):
    """Remember the programs of an energy, a space, a law of any kind until the end of the block.

    Gives a function that raises ChangedEnergyError if one of those programs, as last used, differs
    from the function it stands for: then a part reads what has changed since.  With `all=False` of
    every function one program alone is compared.
    """
    # of others programs are remembered anyway
    parts = [part for part in parts if names_of((part,), ()) is None]
    with LOCK:
        _TRUSTED.extend(parts)
    try:
        yield partial(_require_unchanged, parts)
    finally:
        with LOCK:  # another thread may have energies of its own
            for part in parts:
                del _TRUSTED[next(i for i, trusted in enumerate(_TRUSTED) if trusted is part)]
            for key, plan in list(_PLANS.items()):
                if names_of((plan.model.energy, plan.model.space), ids(_TRUSTED)) is None:
                    del _PLANS[key]


def _require_unchanged(parts, all=True):
    """Compare the programs that the parts alone let be remembered, and that ran since they were
    compared last."""
    with LOCK:
        ran = [
            plan
            for plan in _PLANS.values()
            if plan.last and names_of((plan.model.energy, plan.model.space), ids(parts))
        ]
        for plan in ran if all else {plan.function: plan for plan in ran}.values():
            plan.require_unchanged(*plan.last)


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
    """What stands for a Density while a function is traced."""

    energy: Any
    theta: Any
    space: Any


class Unplanned(NamedTuple):
    """What is remembered of a function that cannot be replayed."""

    model: Model
    last: Any = None


class Plan:
    """A function compiled for tiles of `size` points of given arrays: one program per thread, made
    when first needed."""

    def __init__(self, function, p, settings, rows, size, padding):
        leaves, (_, rebuild) = tree_flatten(p.theta)[0], tree_flatten(numbered(p.theta))
        self.model, n, m = Model(p.energy, None, p.space), len(leaves), len(leaves) + len(settings)

        def flat(*arrays):
            answer = function(
                self.model._replace(theta=rebuild(arrays[:n])), *arrays[m:], *arrays[n:m]
            )
            found, self.structure = tree_flatten(answer)
            return found

        self.function, self.flat, self.size, self.padding, self.linear = (
            function,
            flat,
            size,
            padding,
            padding is not None,
        )
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
        self.watched = names_of((p.energy, p.space), ()) is None
        if self.watched:
            self.require_unchanged(fixed, rows)

    def _answer(self, fixed, rows):
        """What the program gives for at most a tile of rows."""
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
        """Raise RuntimeError unless the program gives, on a few of the rows, what its function
        gives now."""
        self.last = None
        few = [a[:: max(1, len(a) // ROWS)][:ROWS] for a in rows]
        with np.errstate(all="ignore"), _as_it_stands(), one_blas_thread():
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
        """Call take(program, job, start, stop), with a tile loaded and not yet run, for every tile
        of every job.

        By more than one thread if each has a millisecond of work, `steps` runs a tile.
        """
        with LOCK, one_blas_thread() as threads:
            self.last = (fixed, rows) if self.watched else None
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
                    _fill(program, rows, start, stop, self.padding)
                    take(program, job, start, stop)

            in_parallel(work, range(len(jobs)), threads)


def _agree(found, value, scale=None):
    """Whether an array is another, where that is finite, to half the digits of its largest entry,
    or of `scale`."""
    sound, scale = np.isfinite(value), _size(value) if scale is None else scale
    return (np.abs(found - value)[sound] <= math.sqrt(np.finfo(value.dtype).eps) * scale).all()


def _size(value):
    return np.abs(value[np.isfinite(value)]).max(initial=0.0)


@contextmanager
def _as_it_stands():
    """Whatever this thread calls in the block runs without replay."""
    _THREAD.plain = True
    try:
        yield
    finally:
        _THREAD.plain = False


def _first(a, size):
    """The first rows of an array, repeated if there are fewer."""
    return np.resize(a[:size], (size, *a.shape[1:]))


def _fill(program, rows, start, stop, padding):
    """Write points start, ..., stop-1 into a program; the rest of the tile repeats the last, or is
    `padding` in the last array."""
    m = stop - start
    for i, (buffer, a) in enumerate(zip(program.rows, rows, strict=True)):
        buffer[:m] = a[start:stop]
        if m < len(buffer):
            buffer[m:] = a[stop - 1] if padding is None or i < len(rows) - 1 else padding


def plan(function, p, leaves, rows, settings=(), steps=1, padding=None):
    """The Plan of function(p, *rows, *settings), remembered or new; None where the function has to
    run as it stands."""
    if getattr(_THREAD, "plain", False) or not replayable(leaves, (*rows, *settings)):
        return None
    trusted = ids(_TRUSTED)
    names = names_of((p.energy, p.space), trusted)
    if names is None and len(rows[0]) * steps < SMALL:
        return None
    size = tile_size(leaves, len(rows[0]), rows[0].shape[-1])
    shapes = [(a.shape, a.dtype.str) for a in (*leaves, *settings)] + [
        (a.shape[1:], a.dtype.str) for a in rows
    ]
    with LOCK:
        if trusted:  # which another thread may have ended
            names = names_of((p.energy, p.space), ids(_TRUSTED))
        key = names and (function, names, tree_structure(p.theta, tuple), size, padding, *shapes)
        found = _PLANS.pop(key, None)
        if found is None:
            try:
                found = Plan(function, p, settings, rows, size, padding)
            # what cannot be traced is run as it stands, and there says for itself what is wrong
            except Exception as error:
                if names and isinstance(error, ChangedEnergyError):
                    raise
                found = Unplanned(Model(p.energy, None, p.space))
        if names:
            _PLANS[key] = found
            if len(_PLANS) > MEMORY:
                _PLANS.popitem(last=False)
    return None if isinstance(found, Unplanned) else found
