"""The runs of a sweep on an executor; and `worker_pool`, whose processes end with their parent."""

import os
import signal
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext
from queue import Empty, SimpleQueue
from threading import Thread

from tinyebm.replay.door import one_thread


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a run that raised an error: the error's class and its message."""

    error: str
    message: str

    def __str__(self):
        return f"{self.error}: {self.message}"


def _work(job, keep):
    """The result of one run, perhaps in another process."""
    run, point, seed = job
    try:
        with one_thread():
            return run(seed, **point)
    except Exception as error:
        if not keep:
            raise
        return Failed(type(error).__name__, str(error))


def outcomes(executor, jobs, keep):
    """(k, result) of every job {k: (run, point, seed)}, in the order in which they end."""
    work = partial(_work, keep=keep)
    if not callable(getattr(executor, "submit", None)):
        results = (map if executor is None else executor.map)(work, jobs.values())
        yield from zip(jobs, results, strict=True)
        return
    ended, futures = SimpleQueue(), {}
    try:
        for k, job in jobs.items():
            future = _submitted(executor, work, job)
            futures[future] = k
            future.add_done_callback(ended.put)
        for _ in jobs:
            future = _next(ended)
            yield futures[future], _result(future, keep)
    finally:
        for future in futures:
            future.cancel()


def _submitted(executor, work, job):
    """The future of one job; one that has failed if the executor is broken already."""
    try:
        return executor.submit(work, job)
    except BrokenExecutor as error:
        future = Future()
        future.set_exception(error)
        return future


def _next(queue):
    """The next item of a queue.  On Windows Ctrl-C has no effect during a wait, so waits end."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=0.5)


def _result(future, keep):
    """The result of a future, or Failed."""
    try:
        return future.result()
    except Exception as error:
        if not keep:
            raise
        lost = "a worker ended before the run did"
        message = lost if isinstance(error, BrokenExecutor) else str(error)
        return Failed(type(error).__name__, message)


@contextmanager
def worker_pool(count):
    """An executor of `count` processes for `te.sweep`.

    The processes ignore Ctrl-C, which is for the process that started them.  They end at once if
    that process ends, in whatever way, and if an error, such as the KeyboardInterrupt of Ctrl-C,
    ends the block.

    >>> with worker_pool(2) as executor:
    ...     executor.submit(abs, -3).result()
    3
    """
    context, workers = SpawnContext(), []
    new_process = context.Process

    def listed(*args, **settings):
        workers.append(new_process(*args, **settings))
        return workers[-1]

    context.Process = listed
    pool = _Pool(count, context, _begin)
    try:
        yield pool
    except BaseException:
        for process in workers:
            if process.pid is not None:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """Processes that do not see a Ctrl-C while they start."""

    def submit(self, function, /, *args, **settings):
        """As that of ProcessPoolExecutor; a process that it starts inherits the blocked signal."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().submit(function, *args, **settings)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(function, *args, **settings)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin():
    """In a worker: ignore Ctrl-C, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent_process().join()
    os._exit(1)
