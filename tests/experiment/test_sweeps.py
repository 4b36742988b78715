"""Sweeps: the same numbers on every executor, seeds by (seed, point, i), refusals in words."""

import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import sweep_runs
import tinyebm as te
from tinyebm.experiment import replicas
from tinyebm.experiment.sweeps import Sweep
from tinyebm.experiment.workers import Failed, worker_pool

GRID = {"method": ["cd", "pcd"]}


@contextlib.contextmanager
def processes():
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


@contextlib.contextmanager
def dask():
    distributed = pytest.importorskip("distributed")
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
          distributed.Client(cluster) as client):
        yield client.get_executor()


@contextlib.contextmanager
def pool():
    with get_context("spawn").Pool(2) as found:
        yield found


def threads():
    return ThreadPoolExecutor(2)


def workers():
    return worker_pool(2)


def serial():
    return contextlib.nullcontext()


EVERY = [serial, threads, processes, workers, pool, dask]


def test_seeds_are_numpys_children_of_seed_point_and_number():
    found = te.sweep(lambda seed, a: seed, {"a": [5, 7, 9]}, 4, seed=3, progress=False)
    expected = [[int(np.random.SeedSequence(3, spawn_key=(j, i)).generate_state(1, np.uint64)[0]) for i in range(4)]
                for j in range(3)]

    assert found.results == expected and len({seed for row in expected for seed in row}) == 12
    assert found.points == [{"a": 5}, {"a": 7}, {"a": 9}] and found.seeds == [0, 1, 2, 3]


def test_a_run_does_not_depend_on_the_others():
    """More seeds, or more points behind it, change nothing; and single runs can be repeated by number."""
    few = te.sweep(sweep_runs.draw, {"scale": [1.0, 2.0]}, 2, progress=False)
    many = te.sweep(sweep_runs.draw, {"scale": [1.0, 2.0, 3.0]}, 5, progress=False)
    again = te.sweep(sweep_runs.draw, {"scale": [1.0, 2.0]}, [4], progress=False)

    np.testing.assert_array_equal(few.results, [row[:2] for row in many.results[:2]])
    np.testing.assert_array_equal([row[0] for row in again.results], [row[4] for row in many.results[:2]])


def test_grids_are_all_combinations_or_what_is_listed():
    points = lambda grid: te.sweep(lambda seed, **point: None, grid, 1, progress=False).points

    assert points({"a": [1, 2], "b": "xy".split()}) == [{"a": 1, "b": "xy"}, {"a": 2, "b": "xy"}]
    assert points({"a": [1, 2], "b": [3, 4]}) == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]
    assert points([{"a": 1}, {"b": 2}]) == [{"a": 1}, {"b": 2}]
    assert points({}) == [{}]


def test_means_carry_standard_errors():
    """Of n draws of N(0, 1): 1/√n, by the textbook's formula."""
    numbers = te.sweep(lambda seed: float(np.random.default_rng(seed).standard_normal()), {}, 50, progress=False)
    named = te.sweep(lambda seed: {"x": float(seed % 7)}, {}, 50, progress=False)
    values = np.array(numbers.results[0])

    assert numbers.means()[0] == pytest.approx(values.mean(), rel=1e-14)
    assert numbers.means()[0].error == pytest.approx(math.sqrt(values.var(ddof=1) / 50), rel=1e-12)
    assert named.means()[0]["x"] == pytest.approx(np.mean([found["x"] for found in named.results[0]]))
    assert math.isnan(te.sweep(lambda seed: 1.0, {}, 1, progress=False).means()[0].error)


@pytest.mark.parametrize("executor", [processes, workers, pool, dask])
def test_executors_give_the_numbers_of_a_serial_run(executor):
    """To the last bit: training too, whatever threads and processes do."""
    serial = te.sweep(sweep_runs.trained, GRID, 3, progress=False)
    with executor() as found:
        spread = te.sweep(sweep_runs.trained, GRID, 3, found, progress=False)

    assert spread == serial
    assert len({row["sum"] for results in serial.results for row in results}) == 6


ONE_THREAD = """
import sweep_runs, tinyebm as te
from test_sweeps import EVERY
if __name__ == "__main__":
    print(sweep_runs.threads(0))
    for executor in EVERY[:4]:
        with executor() as found:
            print(te.sweep(sweep_runs.threads, {}, 2, found).results)
"""


def test_runs_have_one_thread_of_linear_algebra(tmp_path):
    """In an interpreter with two, on every executor.  Catches runs side by side that share the threads of the machine."""
    (tmp_path / "two.py").write_text(ONE_THREAD)
    here = pathlib.Path(__file__).parent
    path = os.pathsep.join(map(str, [here, here.parent, pathlib.Path(te.__file__).parent.parent]))
    settings = os.environ | {"OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": path}
    run = subprocess.run([sys.executable, str(tmp_path / "two.py")], env=settings, capture_output=True, text=True)
    before, *found = run.stdout.splitlines()
    if before == "1":
        pytest.skip("linear algebra has no second thread here")

    assert found == ["[[1, 1]]"] * 4, run.stderr


def test_what_a_run_raises_reaches_the_caller():
    with pytest.raises(ArithmeticError, match="a is two"):
        te.sweep(sweep_runs.failing, {"a": [1, 2]}, 1, progress=False)
    with processes() as executor, pytest.raises(ArithmeticError, match="a is two"):
        te.sweep(sweep_runs.failing, {"a": [1, 2]}, 1, executor, progress=False)


@pytest.mark.parametrize("arguments, message", [
    ((lambda seed: 1, {}, 1, ThreadPoolExecutor(1)), "run must be a function at the top level of a module, not a lambda"),
    ((sweep_runs.draw, {"scale": [lambda: 1]}, 1, ThreadPoolExecutor(1)), "its settings must be picklable"),
    ((sweep_runs.draw, {}, 1, 2), "an executor has a method map"),
    ((sweep_runs.draw, {"scale": 1.0}, 1), r"grid\['scale'\] is a list of values, like \[1.0\]"),
    ((sweep_runs.draw, {"scale": "abc"}, 1), "is a list of values"),
    ((sweep_runs.draw, {"scale": []}, 1), "none of them empty"), ((sweep_runs.draw, [], 1), "none of them empty"),
    ((sweep_runs.draw, [1.0], 1), "a list of dicts"), ((sweep_runs.draw, {}, 0), "seeds is a positive number"),
    ((sweep_runs.draw, {}, []), "seeds is a positive number"), ((sweep_runs.draw, {}, [1, 1]), "all different"),
    ((sweep_runs.draw, {}, [-1]), ">= 0"), ((sweep_runs.draw, {}, 1, None, 0, False, "skip"), "errors must be one of raise, keep"),
    ((sweep_runs.draw, {}, 1, None, 0, False, "keep", 3), "file is the path of a results file"),
])  # fmt: skip
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        te.sweep(*arguments)


def test_replicas_are_comparisons_with_the_seeds_of_a_sweep():
    """Row by row those of `compare`; means and standard errors in the table, and the same from two processes."""
    settings = dict(target="double_well", methods=["mle", "cd-2"], steps=6, hidden=(8,), batch_size=32)
    found = te.replicate(3, progress=False, **settings)
    seeds = [int(np.random.SeedSequence(0, spawn_key=(0, i)).generate_state(1, np.uint64)[0]) for i in range(3)]
    alone = [te.compare(**settings, seed=seed, progress=False) for seed in seeds]
    timeless = lambda row: {name: value for name, value in row.items() if name != "seconds"}
    with processes() as executor:
        spread = te.replicate(3, executor, progress=False, **settings)

    for i, method in enumerate(settings["methods"]):
        assert [timeless(row) for row in found.rows[method]] == [timeless(one.rows[i]) for one in alone]
        assert [timeless(row) for row in spread.rows[method]] == [timeless(row) for row in found.rows[method]]
        nll = np.array([one.rows[i]["nll"] for one in alone])
        assert f"{nll.mean():.4f} ± {nll.std(ddof=1) / math.sqrt(3):.4f}" in found.table()
    assert "mean over 3 seeds ± its standard error" in found.table() and " 3/3 " in found.table()


def test_a_failed_run_is_counted_and_not_averaged():
    """Catches a mean over numbers of failed runs: a failed one has a time, and may have a likelihood."""
    row = {"method": "cd-1", "status": "ok", "consistent": "no", "seconds": 1.0, "nll": 2.0}
    lost = {"method": "cd-1", "status": "the gradient is not finite", "consistent": "no", "seconds": 70.0, "nll": 50.0}
    settings = {"steps": 5, "model": "m", "batch_size": 3, "sampler": "s", "runs": 3}
    text = te.Replicas("toy", "nothing", {"entropy": 1.0}, settings, {"cd-1": [row, lost, row | {"nll": 3.0}]}).table()

    assert " 2/3  1.0 ± 0.0  2.5000 ± 0.5000" in text


def test_replicas_are_saved(tmp_path):
    found = te.replicate(2, target="double_well", methods=["cd-1"], steps=2, progress=False)
    paths = found.save(tmp_path / "new")

    assert paths[0].read_text(encoding="utf-8") == found.table() + "\n"
    assert '"cd-1"' in paths[1].read_text(encoding="utf-8")


# ------------------------------------------------------------------------ runs that fail


@pytest.mark.parametrize("executor", EVERY)
def test_a_failed_run_takes_no_other_with_it(executor):
    """Catches a sweep that ends with its first error, and one that shifts the results behind it."""
    with executor() as found:
        kept = te.sweep(sweep_runs.failing, {"a": [1, 2, 3]}, 2, found, progress=False, errors="keep")
    error = Failed("ArithmeticError", "a is two")

    assert kept.results == [[1, 1], [error, error], [3, 3]]
    assert kept.failed == [({"a": 2}, 0, "ArithmeticError: a is two"), ({"a": 2}, 1, "ArithmeticError: a is two")]
    assert kept.means() == [1.0, None, 3.0]


def test_failed_runs_do_not_count():
    """Neither in the mean nor in the standard error s / √n.  Catches n of all runs, and a failed first run without names."""
    rows = [[Failed("E", ""), 2.0, 4.0], [Failed("E", ""), {"x": 2.0}, {"x": 4.0}]]
    numbers, named = Sweep([{}, {}], [0, 1, 2], rows).means()

    assert (numbers, numbers.error) == (named["x"], named["x"].error) == (3.0, 1.0)


@pytest.mark.parametrize("executor", [processes, workers])
def test_a_killed_worker(executor, tmp_path):
    """Whatever ended is in the file, and a second call does the rest.  Catches finished runs that are lost."""
    grid, file = {"a": [1, 3, 2, 4]}, tmp_path / "sweep.jsonl"
    with executor() as found, pytest.raises(BrokenExecutor, match=r"a worker ended before its run did: \d of 8 .* kept in .*jsonl"):
        te.sweep(sweep_runs.killed, grid, 2, found, progress=False, file=file)
    with executor() as found:
        kept = te.sweep(sweep_runs.killed, grid, 2, found, progress=False, errors="keep", file=file)
    lost = [(point["a"], number) for point, number, _ in kept.failed]

    assert {(2, 0), (2, 1)} <= set(lost)
    assert all(message.endswith("a worker ended before the run did") for *_, message in kept.failed)
    assert executor is processes or len(lost) == 2  # another worker takes the place of a killed one
    assert len(file.read_text().splitlines()) == 1 + 8 - len(lost)
    rest = te.sweep(sweep_runs.killed, {"a": [1, 3]}, 2, progress=False, file=file)
    assert rest.results == [[1, 1], [3, 3]]


def test_an_error_that_cannot_be_sent():
    """Catches a worker that dies of its answer."""
    with workers() as found:
        with pytest.raises(RuntimeError, match="Picky: picky"):
            te.sweep(sweep_runs.picky, {}, 1, found, progress=False)
        assert te.sweep(sweep_runs.picky, {}, 1, found, progress=False, errors="keep").results == [[Failed("Picky", "picky")]]


class ByHand:
    """An executor whose futures end when and how a test says."""

    def __init__(self, end):
        self.futures, self.end = [], end

    def submit(self, work, job):
        self.futures.append(Future())
        if len(self.futures) == 3:
            self.end(self.futures)
        return self.futures[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError])
def test_after_an_error_nothing_waits(error):
    """Catches runs that are still to come after Ctrl-C."""
    by_hand = ByHand(lambda futures: futures[1].set_exception(error()))
    with pytest.raises(error):
        te.sweep(sweep_runs.draw, {}, 3, by_hand, progress=False)

    assert [future.cancelled() for future in by_hand.futures] == [True, False, True]


def test_results_are_kept_in_the_order_in_which_runs_end(tmp_path):
    """Catches a long first run before whose end nothing is kept, and results in that order in the Sweep."""
    by_hand = ByHand(lambda futures: [futures[i].set_result(i) for i in (1, 0, 2)])
    found = te.sweep(sweep_runs.draw, {}, 3, by_hand, progress=False, file=tmp_path / "f")

    assert found.results == [[0, 1, 2]]
    assert [json.loads(line)["result"] for line in (tmp_path / "f").read_text().splitlines()[1:]] == [1, 0, 2]


# ------------------------------------------------------------------------ results in a file


def same(one, other):
    """Whether two Sweeps of `noted` are equal to the bit."""
    plain = lambda found: [[run | {"draws": run["draws"].tobytes()} for run in row] for row in found.results]
    return (one.points, one.seeds, plain(one)) == (other.points, other.seeds, plain(other))


@pytest.mark.parametrize("executor", [serial, threads, workers])
@pytest.mark.parametrize("broken", ["error", "stop"])
def test_a_second_call_does_what_is_missing(executor, broken, tmp_path):
    """Equal to one uninterrupted call.  Catches runs that are done again, and results that come back as something else."""
    grid, file = {"a": [1, 3, 2], "folder": [str(tmp_path)]}, tmp_path / "sweep.jsonl"
    notes = lambda: len(list(tmp_path.glob("*.note")))
    whole, runs = te.sweep(sweep_runs.noted, grid, 2, progress=False), notes()
    (tmp_path / "broken").write_text(broken)
    with executor() as found, pytest.raises((ArithmeticError, KeyboardInterrupt, BrokenExecutor)):
        te.sweep(sweep_runs.noted, grid, 2, found, progress=False, file=file)
    kept = len(file.read_text().splitlines()) - 1
    (tmp_path / "broken").unlink()
    before = notes()
    with executor() as found:
        again = te.sweep(sweep_runs.noted, grid, 2, found, progress=False, file=file)

    assert same(again, whole) and runs == 6
    assert notes() - before == 6 - kept and (executor is not serial or kept == 4)
    more = te.sweep(sweep_runs.noted, {"a": [1, 3, 2, 7], "folder": [str(tmp_path)]}, 3, progress=False, file=file)
    assert notes() - before == 6 - kept + 6 and len(more.results) == 4
    assert same(more, te.sweep(sweep_runs.noted, {"a": [1, 3, 2, 7], "folder": [str(tmp_path)]}, 3, progress=False))


def test_an_interrupt_says_what_is_kept(tmp_path):
    grid, file = {"a": [1, 2], "folder": [str(tmp_path)]}, tmp_path / "sweep.jsonl"
    (tmp_path / "broken").write_text("stop")
    with pytest.raises(KeyboardInterrupt, match="^1 of 2 runs have ended and are kept in .*sweep.jsonl$"):
        te.sweep(sweep_runs.noted, grid, 1, progress=False, file=file)
    with pytest.raises(KeyboardInterrupt, match="^1 of 2 runs have ended and are lost, as no file was given$"):
        te.sweep(sweep_runs.noted, grid, 1, progress=False)


def test_failed_runs_are_tried_again(tmp_path):
    grid, file = {"a": [1, 2], "folder": [str(tmp_path)]}, tmp_path / "sweep.jsonl"
    (tmp_path / "broken").write_text("error")
    assert len(te.sweep(sweep_runs.noted, grid, 2, progress=False, errors="keep", file=file).failed) == 2
    (tmp_path / "broken").unlink()

    assert te.sweep(sweep_runs.noted, grid, 2, progress=False, errors="keep", file=file).failed == []


# ------------------------------------------------------------------------ comparisons that fail


def test_a_comparison_that_fails_is_counted(monkeypatch, tmp_path):
    """Means are over the others.  Catches a study that one comparison ends, and an error that the table hides."""
    compare, calls, settings = replicas.compare, [], dict(target="double_well", methods=["cd-1"], steps=3, hidden=(4,))
    whole = te.replicate(3, progress=False, **settings)

    def sometimes(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("no\nroom")
        return compare(*arguments, **options)

    monkeypatch.setattr(replicas, "compare", sometimes)
    found = te.replicate(3, progress=False, errors="keep", file=tmp_path / "f", **settings)
    nll = np.array([whole.rows["cd-1"][i]["nll"] for i in (0, 2)])

    assert [row["nll"] for row in found.rows["cd-1"]] == nll.tolist()
    assert f"{nll.mean():.4f} ± {nll.std(ddof=1) / math.sqrt(2):.4f}" in found.table() and " 2/3 " in found.table()
    assert found.failed == [(1, "MemoryError: no room")] and "seed 1 failed: MemoryError: no room" in found.table()
    assert "mean over the runs that ended" in found.table() and found.settings["runs"] == 3
    assert json.loads(found.save(tmp_path)[1].read_text(encoding="utf-8"))["failed"] == [[1, "MemoryError: no room"]]
    again = te.replicate(3, progress=False, errors="keep", file=tmp_path / "f", **settings)
    assert len(calls) == 4 and [row["nll"] for row in again.rows["cd-1"]] == [row["nll"] for row in whole.rows["cd-1"]]


def test_comparisons_of_a_file_that_changes(monkeypatch, tmp_path):
    """Catches results of other rows under the same name."""
    settings = dict(methods=["cd-1"], steps=1, hidden=(2,), file=tmp_path / "f", progress=False)
    for rows in (np.random.default_rng(0).standard_normal((20, 1)), np.random.default_rng(1).standard_normal((20, 1))):
        np.savetxt(tmp_path / "mine.csv", rows)
        refused = pytest.raises(ValueError, match="of another sweep: its point.target")
        with refused if (tmp_path / "f").exists() else contextlib.nullcontext():
            te.replicate(2, target=str(tmp_path / "mine.csv"), **settings)


def test_all_comparisons_fail():
    with pytest.raises(ValueError, match="all comparisons failed, that of seed 0 by ValueError: unknown method 'x'"):
        te.replicate(2, target="double_well", methods=["x"], errors="keep", progress=False)
