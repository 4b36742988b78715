"""`sweep`: the same run for many settings and seeds, on any executor."""

import itertools
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.checks import require_count, whole
from tinyebm.common.estimate import mean_of
from tinyebm.common.progress import Progress
from tinyebm.replay.door import one_thread


class Sweep(NamedTuple):
    """The result of `te.sweep`: `results[j][i]` is that of run at points[j] for seeds[i].

    >>> Sweep([{"a": 1}], [0, 1], [[{"error": 2.0}, {"error": 4.0}]]).means()
    [{'error': Estimate(value=3.0, error=1.0)}]
    """

    points: list
    seeds: list
    results: list

    def means(self) -> list:
        """For every point the mean over seeds with its standard error, an Estimate.

        If results are dicts, it is a dict of Estimates.
        """
        return [
            {name: mean_of([found[name] for found in row]) for name in row[0]}
            if isinstance(row[0], Mapping)
            else mean_of(row)
            for row in self.results
        ]


def _work(job):
    """The result of one run, perhaps in another process."""
    run, point, seed = job
    with one_thread():
        return run(seed, **point)


def sweep(
    run: Callable,
    grid: Mapping[str, Sequence] | Sequence[Mapping[str, Any]],
    seeds: int | Sequence[int],
    executor: Any = None,
    seed: int = 0,
    progress: bool | str = True,
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
    executor : any object with `map`, optional
        ProcessPoolExecutor, Dask's `client.get_executor()`, mpi4py's MPIPoolExecutor, ...; by
        default one run after the other.
    seed : int
        The seed of run i at point j is drawn from `np.random.SeedSequence(seed, spawn_key=(j, i))`.
        So the runs are independent, and their seeds depend neither on the executor nor on the
        numbers of points and runs.
    progress : bool

    Returns
    -------
    Sweep
        (points, seeds, results) in the order of the grid; the same on every executor, because each
        run has one thread of linear algebra.

    Raises
    ------
    ValueError
        If the grid is empty, or if run or its settings cannot be sent to the executor.

    >>> draw = lambda seed, a: a * np.random.default_rng(seed).standard_normal()
    >>> found = sweep(draw, {"a": [1.0, 10.0]}, 100)
    >>> [bool(abs(mean) < 4 * mean.error) for mean in found.means()], round(found.means()[1].error)
    ([True, True], 1)
    """
    if not callable(run):
        raise ValueError(
            f"run must be a function of a seed and the settings of a point, got {run!r}"
        )
    require_count(seed, "seed must be an integer >= 0", least=0)
    if executor is not None and not callable(getattr(executor, "map", None)):
        raise ValueError(
            "an executor has a method map, like concurrent.futures.ProcessPoolExecutor: "
            f"{executor!r} has none"
        )
    points, numbers, jobs = _points(grid), _numbers(seeds), []
    for j, point in enumerate(points):
        for i in numbers:
            child = np.random.SeedSequence(seed, spawn_key=(j, i)).generate_state(1, np.uint64)
            jobs.append((run, point, int(child[0])))
    if executor is not None:
        _require_portable(jobs[0])
    bar, results = Progress("sweep", len(jobs), progress), []
    for found in (map if executor is None else executor.map)(_work, jobs):
        results.append(found)
        bar(len(results))
    n = len(numbers)
    return Sweep(points, numbers, [results[j : j + n] for j in range(0, len(jobs), n)])


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
