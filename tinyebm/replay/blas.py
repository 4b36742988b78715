"""Threads over tiles instead of threads inside matrix products.

Two threads that each work on a tile of their own are faster than one matrix product split in two,
because neither waits for the other.  So during a computation the linear algebra library uses one
thread, and as many threads as it would have used work on tiles.  Their number is the setting of the
library: for OpenBLAS that of OPENBLAS_NUM_THREADS, of the cores of the process, or of a caller.

The last digits of a product may depend on the number of threads that share it.  With one thread
they do not, so results are the same for every number of threads.  The library is found by
threadpoolctl, if that is installed.  Otherwise only the OpenBLAS of NumPy's wheels is found: then
other libraries, like Accelerate and MKL, keep their threads, and tiles get one.
"""

import ctypes
import os
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from tinyebm.replay.mode import THREAD

NAMES = (
    "scipy_openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads64_",
    "openblas_{}_num_threads",
)


@lru_cache
def _library():
    """(get, set): the functions of NumPy's linear algebra for its number of threads, or None."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        pass
    else:
        found = ThreadpoolController().select(user_api="blas").lib_controllers
        get = lambda: max(library.num_threads for library in found)
        return (get, lambda n: [library.set_num_threads(n) for library in found]) if found else None
    for file in _files():
        try:
            loaded = ctypes.CDLL(str(file))
        except OSError:
            continue
        for name in NAMES:
            if hasattr(loaded, name.format("get")) and hasattr(loaded, name.format("set")):
                return getattr(loaded, name.format("get")), getattr(loaded, name.format("set"))
    return None


def _files():
    """Files whose functions include those of OpenBLAS, if NumPy uses it.

    On Linux and macOS a file gives the functions of the libraries that it links to; on Windows only
    its own.  There NumPy's wheels hold OpenBLAS in a folder beside the package.
    """
    package = Path(np.__file__).parent
    yield np._core._multiarray_umath.__file__
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        yield from sorted(folder.glob("*openblas*"))


class _Blocks:
    """How many blocks hold linear algebra at one thread, and its number of threads outside them."""

    lock, count, former = Lock(), 0, 1


@contextmanager
def still():
    """Hold linear algebra at one thread; yield its former number, or 1 if it cannot be held.

    Blocks may overlap in several threads: the last one to end restores the number.
    """
    if _library() is None:
        yield 1
        return
    get, set_ = _library()
    with _Blocks.lock:
        if _Blocks.count == 0:
            _Blocks.former = max(1, int(get()))
            if _Blocks.former > 1:
                set_(1)
        _Blocks.count += 1
    try:
        yield _Blocks.former
    finally:
        with _Blocks.lock:
            _Blocks.count -= 1
            if _Blocks.count == 0 and _Blocks.former > 1:
                set_(_Blocks.former)


@contextmanager
def one_blas_thread():
    """Hold linear algebra at one thread; yield how many threads may work here in its place.

    This is its former number, but 1 in a thread that is already inside such a block.
    """
    with still() as threads:
        before, THREAD.alone = THREAD.alone, True
        try:
            yield 1 if before else threads
        finally:
            THREAD.alone = before


@lru_cache
def _pool(threads):
    from concurrent.futures import ThreadPoolExecutor  # takes 10 ms to load: only when used

    return ThreadPoolExecutor(threads, thread_name_prefix="tinyebm")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=lambda: setattr(_Blocks, "lock", Lock()))


def in_parallel(work, jobs, threads):
    """Call work(worker, job) once for every job, by up to `threads` workers 0, 1, ..."""
    todo = iter(jobs)

    def worker(number):
        with np.errstate(all="ignore"):  # what overflows on the way is judged by its result
            for job in todo:
                work(number, job)

    others = [
        _pool(threads - 1).submit(worker, number) for number in range(1, min(threads, len(jobs)))
    ]
    try:
        worker(0)
    finally:
        for other in others:
            other.result()
