"""The runs of a sweep on an executor; and `worker_pool`, whose processes end with their parent."""

import os
import pickle
import signal
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
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
    except BaseException as error:
        if not isinstance(error, BrokenExecutor):  # which ends the futures itself
            for future in futures:
                future.cancel()
        raise


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
    ends the block.  When one of them is killed, only its run has failed, with BrokenExecutor, and
    another one takes its place.

    >>> with worker_pool(2) as executor:
    ...     executor.submit(abs, -3).result()
    3
    """
    pool = _Pool(count)
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.close()


class _Pool:
    """Processes, each with a thread that sends it one call after the other."""

    def __init__(self, count):
        self.calls, self.processes, self.stopped = SimpleQueue(), [], False
        self.threads = [Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def submit(self, function, /, *args):
        """The Future of function(*args)."""
        future = Future()
        self.calls.put((future, function, args))
        return future

    def stop(self):
        """End the processes now."""
        self.stopped = True
        for process in self.processes:
            if process.pid is not None:
                process.terminate()

    def close(self):
        """Wait for the calls, and end the processes."""
        for _ in self.threads:
            self.calls.put(None)
        for thread in self.threads:
            thread.join()
        for process in self.processes:
            if process.pid is not None:
                process.join()

    def _serve(self):
        """Send calls to a process; start one for the first call, and another if it has ended."""
        pipe = None
        while (call := self.calls.get()) is not None:
            future, function, args = call
            if self.stopped or not future.set_running_or_notify_cancel():
                continue
            try:
                pipe = pipe or self._started()
                pipe.send_bytes(pickle.dumps((function, args)))
                ended, value = pickle.loads(pipe.recv_bytes())
            except (EOFError, OSError):
                pipe = None
                future.set_exception(BrokenExecutor("a worker ended"))
            except Exception as error:  # the call cannot be sent
                future.set_exception(error)
            else:
                (future.set_result if ended else future.set_exception)(value)
        if pipe:
            pipe.close()  # ends the process

    def _started(self):
        """The pipe of a new process, which does not see a Ctrl-C while it starts."""
        if hasattr(signal, "pthread_sigmask"):  # not on Windows
            resource_tracker.ensure_running()  # it unblocks the signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new process inherits it
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_answer, args=(theirs,))
        self.processes.append(process)
        process.start()
        theirs.close()  # so that the end of the process closes the pipe
        if self.stopped:
            process.terminate()
        return ours


def _answer(pipe):
    """In a worker: answer one call after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError):
        while True:
            pipe.send_bytes(_reply(pipe.recv_bytes()))


def _reply(call):
    """(True, result) or (False, error) of a call, pickled."""
    try:
        function, args = pickle.loads(call)
        return pickle.dumps((True, function(*args)))
    except Exception as error:
        with suppress(Exception):
            reply = pickle.dumps((False, error))
            pickle.loads(reply)  # fails for some classes of errors
            return reply
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_parent():
    parent_process().join()
    os._exit(1)
