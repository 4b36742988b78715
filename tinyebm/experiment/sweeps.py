"""`sweep`: the same run for many settings and seeds, on any executor."""

import itertools
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.checks import require_choice, require_count, whole
from tinyebm.common.estimate import mean_of
from tinyebm.common.progress import Progress
from tinyebm.common.tree import compared
from tinyebm.experiment.results import Results
from tinyebm.experiment.workers import Failed, outcomes


@compared
class Sweep(NamedTuple):
    """The result of `te.sweep`: `results[j][i]` is that of run at points[j] for seeds[i].

    >>> Sweep([{"a": 1}], [0, 1], [[{"error": 2.0}, {"error": 4.0}]]).means()
    [{'error': Estimate(value=3.0, error=1.0)}]
    """

    points: list
    seeds: list
    results: list

    @property
    def failed(self) -> list:
        """(point, number of the seed, error) of each run that failed, with `errors="keep"`.

        >>> Sweep([{"a": 1}], [0, 1], [[2.0, Failed("ValueError", "no")]]).failed
        [({'a': 1}, 1, 'ValueError: no')]
        """
        return [
            (point, number, str(found))
            for point, row in zip(self.points, self.results, strict=True)
            for number, found in zip(self.seeds, row, strict=True)
            if isinstance(found, Failed)
        ]

    def means(self) -> list:
        """For every point the mean over seeds with its standard error, an Estimate.

        If results are dicts, it is a dict of Estimates.  Runs that failed do not count: the mean is
        over the others, and the standard error is that of so many.  Where all failed, it is None.

        >>> Sweep([{}], [0, 1, 2], [[2.0, Failed("ValueError", "no"), 4.0]]).means()
        [Estimate(value=3.0, error=1.0)]
        """
        means: list = []
        for row in self.results:
            ended = [found for found in row if not isinstance(found, Failed)]
            if not ended:
                means.append(None)
            elif isinstance(ended[0], Mapping):
                names = ended[0]
                means.append({name: mean_of([found[name] for found in ended]) for name in names})
            else:
                means.append(mean_of(ended))
        return means


def sweep(
    run: Callable,
    grid: Mapping[str, Sequence] | Sequence[Mapping[str, Any]],
    seeds: int | Sequence[int],
    executor: Any = None,
    seed: int = 0,
    progress: bool | str = True,
    errors: str = "raise",
    file: str | os.PathLike | None = None,
) -> Sweep:
    """The results of run(seed, **point) for every point of a grid and every seed, as a Sweep.

    Parameters
    ----------
    run : callable
        With an executor it has to be a function at the top level of a module, which other processes
        can import.
    grid : dict of lists, or list of dicts
        All combinations of the lists' items; or the points themselves.  {} is one point without
        settings.
    seeds : int, or integers
        How many runs per point (0, 1, ...), or their numbers.
    executor : any object with `submit` or `map`, optional
        ProcessPoolExecutor, Dask's `client.get_executor()`, mpi4py's MPIPoolExecutor, ...; by
        default one run after the other.  With `submit`, which returns futures, results are taken
        in the order in which runs end, and after an error the runs that wait are cancelled.
    seed : int
        The seed of run i at point j is drawn from `np.random.SeedSequence(seed, spawn_key=(j, i))`.
        So the runs are independent, and their seeds depend neither on the executor nor on the
        numbers of points and runs.
    progress : bool
    errors : "raise" or "keep"
        Whether an error in a run ends the sweep, or is kept as the result of this run, Failed(class
        of the error, message).  A run on a worker that was killed has failed, too.
    file : path, optional
        Every result is appended to this file when its run ends.  A second call with the same
        arguments reads these results, and does the runs that are missing, among them those that
        failed; points and seeds may be added.  The Sweep is equal to that of one uninterrupted
        call.  Results are numbers, texts, None, NumPy arrays, Estimates, and lists, tuples and
        dicts of these.  The file knows a function `run` by its name alone, and the settings by
        their content, an array by a digest of it.  Two processes must not use one file at the same
        time.

    Returns
    -------
    Sweep
        (points, seeds, results) in the order of the grid; the same on every executor, because each
        run has one thread of linear algebra.

    Raises
    ------
    ValueError
        If the grid is empty, if run or its settings cannot be sent to the executor, or if the file
        is of another sweep or cannot hold a result.
    BrokenExecutor
        If a worker was killed, with `errors="raise"`.

    >>> draw = lambda seed, a: a * np.random.default_rng(seed).standard_normal()
    >>> found = sweep(draw, {"a": [1.0, 10.0]}, 100)
    >>> [bool(abs(mean) < 4 * mean.error) for mean in found.means()], round(found.means()[1].error)
    ([True, True], 1)
    >>> found = sweep(lambda seed, a: 1 / a, {"a": [0, 2]}, 2, errors="keep")
    >>> found.means(), len(found.failed), found.failed[0]
    ([None, Estimate(value=0.5, error=0.0)], 2, ({'a': 0}, 0, 'ZeroDivisionError: division by zero'))
    """
    _require_arguments(run, executor, seed, errors, file)
    points, numbers, jobs = _points(grid), _numbers(seeds), []
    for j, point in enumerate(points):
        for i in numbers:
            child = np.random.SeedSequence(seed, spawn_key=(j, i)).generate_state(1, np.uint64)
            jobs.append((run, point, int(child[0])))
    if executor is not None:
        _require_portable(jobs[0])
    n = len(numbers)
    kept = None if file is None else Results(file, run, points, seed)
    found = {} if kept is None else kept.of([(k // n, jobs[k][2]) for k in range(len(jobs))])
    todo = {k: job for k, job in enumerate(jobs) if k not in found}

    bar = Progress("sweep", len(jobs), progress)
    try:
        with closing(outcomes(executor, todo, keep=errors == "keep")) as ended:
            for k, outcome in ended:
                if kept is not None and not isinstance(outcome, Failed):
                    kept.add(k // n, jobs[k][2], outcome)
                found[k] = outcome
                bar(len(found))
    except (KeyboardInterrupt, BrokenExecutor) as error:
        error.args = (_count(error, found.values(), len(jobs), file),)
        raise
    return Sweep(
        points, numbers, [[found[j + i] for i in range(n)] for j in range(0, len(jobs), n)]
    )


def _count(error, results, total, file):
    """A sentence on how many runs have ended, and where they are."""
    ended = sum(not isinstance(found, Failed) for found in results)
    where = "lost, as no file was given" if file is None else f"kept in {file}"
    cause = "a worker ended before its run did: " if isinstance(error, BrokenExecutor) else ""
    return f"{cause}{ended} of {total} runs have ended and are {where}"


def _require_arguments(run, executor, seed, errors, file):
    if not callable(run):
        raise ValueError(
            f"run must be a function of a seed and the settings of a point, got {run!r}"
        )
    require_count(seed, "seed must be an integer >= 0", least=0)
    offers = [callable(getattr(executor, name, None)) for name in ("map", "submit")]
    if executor is not None and not any(offers):
        raise ValueError(
            "an executor has a method map, like concurrent.futures.ProcessPoolExecutor: "
            f"{executor!r} has none"
        )
    require_choice("errors", errors, ["raise", "keep"])
    if file is not None and not isinstance(file, (str, os.PathLike)):
        raise ValueError(f"file is the path of a results file, got {file!r}")


def _points(grid):
    """The points of a grid, as a list of dicts."""
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise ValueError(
                    f"grid[{name!r}] is a list of values, like [{values!r}], not {values!r}"
                )
        combinations = itertools.product(*grid.values())
        grid = [dict(zip(grid, values, strict=True)) for values in combinations]
    points = list(grid) if np.ndim(grid) else [grid]
    if not points or not all(isinstance(point, Mapping) for point in points):
        raise ValueError(
            f"a grid is a dict of lists or a list of dicts, none of them empty, got {points!r}"
        )
    return points


def _numbers(seeds):
    """The numbers of the runs at a point."""
    numbers = list(range(seeds) if whole(seeds, 1) else seeds if np.ndim(seeds) else [])
    if not numbers or not all(whole(i, 0) for i in numbers) or len(set(numbers)) < len(numbers):
        raise ValueError(
            "seeds is a positive number of runs, or their numbers, all different and >= 0, got "
            f"{seeds!r}"
        )
    return numbers


def _require_portable(job):
    try:
        pickle.dumps(job)
    except Exception as error:
        raise ValueError(
            f"another process cannot be sent {getattr(job[0], '__qualname__', job[0])} and its "
            f"settings ({error}): run must be a function at the top level of a module, not a "
            "lambda or a function within a function, and its settings must be picklable"
        ) from error
