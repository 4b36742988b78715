"""Threads over tiles instead of threads inside matrix products.

Two threads that each work on a tile of their own are faster than one matrix product split in two,
because neither waits for the other.  So during a computation the linear algebra library uses one
thread, and as many threads as it would have used work on tiles.  Their number is the setting of
OpenBLAS: that of OPENBLAS_NUM_THREADS, of the cores of the process, or of a caller.
"""

import ctypes
import os
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

NAMES = (
    "scipy_openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads64_",
    "openblas_{}_num_threads",
)


@lru_cache
def _library():
    """(get, set): OpenBLAS's functions for its number of threads; None for another library."""
    try:
        loaded = ctypes.CDLL(np._core._multiarray_umath.__file__)
    except (AttributeError, OSError):
        return None
    for name in NAMES:
        if hasattr(loaded, name.format("get")) and hasattr(loaded, name.format("set")):
            return getattr(loaded, name.format("get")), getattr(loaded, name.format("set"))
    return None


@contextmanager
def one_blas_thread():
    """Set OpenBLAS to one thread; yield its former number, or 1 for another library."""
    if _library() is None:
        yield 1
        return
    get, set_ = _library()
    threads = max(1, int(get()))
    if threads > 1:
        set_(1)
    try:
        yield threads
    finally:
        if threads > 1:
            set_(threads)


@contextmanager
def one_thread():
    """Set linear algebra to one thread: OpenBLAS, or another library by threadpoolctl."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        threadpool_limits = None
    with one_blas_thread() if threadpool_limits is None else threadpool_limits(1):
        yield


@lru_cache
def _pool(threads):
    from concurrent.futures import ThreadPoolExecutor  # takes 10 ms to load: only when used

    return ThreadPoolExecutor(threads, thread_name_prefix="tinyebm")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


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
