"""One library in a process of its own: `python worker.py <module> <threads>` answers lines of JSON.

A module of jobs has a dictionary JOBS: name -> setup(**problem) -> (call, answer): `call()` does the work once,
`answer()` returns the numbers on which all libraries have to agree, as a list of arrays.
"""

import os
import sys

THREADS = sys.argv[2]
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = THREADS
if THREADS == "1":
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})

import importlib  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402

import numpy as np  # noqa: E402


def main():
    """Serve until told to quit."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    start = time.perf_counter()
    jobs = importlib.import_module(sys.argv[1]).JOBS
    calls, say = {}, lambda **reply: print(json.dumps(reply), file=out, flush=True)
    say(import_s=time.perf_counter() - start)
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            say(**serve(ask, jobs, calls))
        except Exception as error:
            traceback.print_exc()
            say(error=f"{type(error).__name__}: {str(error)[:200]}")


def serve(ask, jobs, calls):
    """The reply to one line."""
    if ask["do"] == "setup":
        start = time.perf_counter()
        call, answer = jobs[ask["job"]](**ask["problem"])
        numbers = [np.asarray(a, float) for a in answer()]
        np.savez(ask["file"], *numbers)
        ready = time.perf_counter()
        call()
        first = time.perf_counter()
        call()
        calls[0] = call
        return {"setup_s": ready - start, "first_s": first - ready, "second_s": time.perf_counter() - first}
    if ask["do"] == "run":
        for _ in range(ask["repeat"] // 2):  # wakes the cores, which have slept while others worked
            calls[0]()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(ask["repeat"]):
            calls[0]()
        n = ask["repeat"]
        return {"wall": (time.perf_counter() - wall) / n, "cpu": (time.process_time() - cpu) / n}
    if ask["do"] == "memory":
        return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    raise ValueError(f"unknown request {ask['do']}")


if __name__ == "__main__":
    main()
