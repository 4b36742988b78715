"""Threads of ours: the library's number is held at one and restored; every job is done once, and errors are heard."""

import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

from tinyebm.replay import blas
from tinyebm.replay.blas import in_parallel, one_blas_thread


@pytest.fixture
def library(monkeypatch):
    """A library with four threads: [the number now, every number it was set to]."""
    state = [4]
    monkeypatch.setattr(blas, "_library", lambda: (lambda: state[-1], state.append))
    return state


def test_held_to_one_and_restored(library):
    """Catches a number that is yielded after it was changed, and one that is not given back."""
    with one_blas_thread() as threads:
        assert threads == 4 and library[-1] == 1

    assert library == [4, 1, 4]


def test_restored_after_an_exception(library):
    """Catches a `yield` outside of `try`: one failed energy would slow NumPy down for the rest of the process."""
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018

    assert library[-1] == 4


def test_nested_use(library):
    """Inside, one thread is all there is; the outer block still restores its own."""
    with one_blas_thread() as outer, one_blas_thread() as inner:
        assert (outer, inner, library[-1]) == (4, 1, 1)

    assert library[-1] == 4


def test_another_library_keeps_its_threads(monkeypatch):
    """Catches None taken for a pair of functions."""
    monkeypatch.setattr(blas, "_library", lambda: None)
    with one_blas_thread() as threads:
        assert threads == 1


def test_what_numpy_loaded():
    """The real one, where NumPy uses OpenBLAS.  Catches a setter taken for a getter."""
    if blas._library() is None:
        pytest.skip("NumPy uses another library")
    get, set_ = blas._library()
    before = get()
    try:
        set_(2)
        with one_blas_thread() as threads:
            assert (threads, get()) == (2, 1)
        assert get() == 2
    finally:
        set_(before)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("jobs", [1, 2, 7, 100])
def test_each_job_is_done_once(threads, jobs):
    """By workers numbered below `threads`.  Catches jobs dealt to every worker, and one left over."""
    done = []
    in_parallel(lambda worker, job: done.append((worker, job)), range(jobs), threads)

    assert sorted(job for _, job in done) == list(range(jobs))
    assert {worker for worker, _ in done} <= set(range(min(threads, jobs)))


def test_workers_work_at_the_same_time():
    """Three that wait for each other.  Catches a pool in which they queue."""
    together = threading.Barrier(3, timeout=120)
    names = []
    in_parallel(lambda worker, job: (together.wait(), names.append(worker)), range(3), 3)

    assert sorted(names) == [0, 1, 2]


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_an_error_reaches_the_caller(guilty):
    """Whichever worker met it, and when the others are done.  Catches an error that a thread keeps to itself."""
    together, done = threading.Barrier(3, timeout=120), []

    def work(worker, job):
        together.wait()
        if worker == guilty:
            raise KeyError("mine")
        done.append(worker)

    with pytest.raises(KeyError, match="mine"):
        in_parallel(work, range(3), 3)
    assert sorted(done) == [worker for worker in range(3) if worker != guilty]


def test_no_worker_warns():
    """Overflow on the way is judged by its result.  Catches settings of the caller's thread alone."""
    out, together = [], threading.Barrier(2, timeout=120)
    with np.errstate(all="raise"):
        in_parallel(lambda worker, job: (together.wait(), out.append(np.exp(np.array([1000.0])))), range(2), 2)
        with pytest.raises(FloatingPointError):
            np.exp(np.array([1000.0]))

    assert np.isinf(out).all() and len(out) == 2


FORKED = """
import os, numpy as np, tinyebm as te
from contextlib import contextmanager
from tinyebm.replay import plans

plans.one_blas_thread, plans.WORTH = contextmanager(lambda: (yield 2)), 0.0
net = te.MLP((2, 64, 1))
p, x = te.Density(net, net.init(np.random.default_rng(0)), te.Reals(2)), np.ones((4000, 2))
ask = lambda: te.run(te.ULA(0.1), p, x, 3, np.random.default_rng(0))[0].sum()
before, child = ask(), os.fork()
if child == 0:
    os._exit(0 if ask() == before else 1)
print(os.waitpid(child, 0)[1] == 0 and ask() == before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own():
    """Catches a child that waits for ever for its parent's threads: what a pool of processes would do."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


def test_blocks_that_overlap(library):
    """Of two threads, the first to begin ends first.  Catches a number that is set back within a block, or never."""
    inside, ended, numbers = threading.Event(), threading.Event(), []

    def other():
        with one_blas_thread() as threads:
            numbers.append(threads)
            inside.set()
            assert ended.wait(120)
            numbers.append(library[-1])

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert inside.wait(120)
    ended.set()
    thread.join()
    assert numbers == [4, 1] and library == [4, 1, 4]


def test_still_blocks_let_tiles_have_the_threads(library):
    """Catches a fit that holds the library at one thread and works with one."""
    with blas.still() as former, blas.still(), one_blas_thread() as threads:
        assert former == threads == 4 and library == [4, 1]
    assert library == [4, 1, 4]


def test_threadpoolctl_is_preferred(monkeypatch):
    """Where it is installed, for it knows libraries that are not found here.  Catches the number of one library of two."""
    class Library:
        def __init__(self, threads):
            self.num_threads = threads

        def set_num_threads(self, threads):
            self.num_threads = threads

    class Controller:
        lib_controllers = [Library(2), Library(3)]

        def select(self, user_api):
            assert user_api == "blas"
            return self

    monkeypatch.setitem(sys.modules, "threadpoolctl", types.SimpleNamespace(ThreadpoolController=Controller))
    blas._library.cache_clear()
    try:
        get, set_ = blas._library()
        assert get() == 3
        set_(1)
        assert [library.num_threads for library in Controller.lib_controllers] == [1, 1]
        monkeypatch.setattr(Controller, "lib_controllers", [])
        blas._library.cache_clear()
        assert blas._library() is None
    finally:
        blas._library.cache_clear()


def test_files_beside_numpy(monkeypatch):
    """As on Windows, where a file does not give the functions of the libraries that it links to."""
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    first, *others = blas._files()
    if blas._library.__wrapped__() is None or not others:
        pytest.skip("NumPy has no OpenBLAS of its own")
    get, set_ = blas._library.__wrapped__()
    monkeypatch.setattr(blas, "_files", lambda: ["no such file", os.__file__, *others])
    found, _ = blas._library.__wrapped__()
    before = get()
    try:
        for n in (1, 2):
            set_(n)
            assert found() == n
    finally:
        set_(before)
