"""Sweeps: the same numbers on every executor, seeds by (seed, point, i), refusals in words."""

import contextlib
import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import sweep_runs
import tinyebm as te

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


@pytest.mark.parametrize("executor", [processes, pool, dask])
def test_executors_give_the_numbers_of_a_serial_run(executor):
    """To the last bit: training too, whatever threads and processes do."""
    serial = te.sweep(sweep_runs.trained, GRID, 3, progress=False)
    with executor() as found:
        spread = te.sweep(sweep_runs.trained, GRID, 3, found, progress=False)

    assert spread == serial
    assert len({row["sum"] for results in serial.results for row in results}) == 6


def test_workers_have_one_thread_of_linear_algebra():
    assert te.sweep(sweep_runs.threads, {}, 1, progress=False).results == [[1]]
    with processes() as executor:
        assert te.sweep(sweep_runs.threads, {}, 2, executor, progress=False).results == [[1, 1]]


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
    ((sweep_runs.draw, {}, [-1]), ">= 0"),
])  # fmt: skip
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        te.sweep(*arguments, progress=False)


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
    row = {"method": "cd-1", "status": "ok", "consistent": "no", "seconds": 1.0, "nll": 2.0}
    lost = {"method": "cd-1", "status": "the gradient is not finite", "consistent": "no", "seconds": 0.0}
    settings = {"steps": 5, "model": "m", "batch_size": 3, "sampler": "s", "runs": 3}
    text = te.Replicas("toy", "nothing", {"entropy": 1.0}, settings, {"cd-1": [row, lost, row | {"nll": 3.0}]}).table()

    assert " 2/3 " in text and "2.5000 ± 0.5000" in text


def test_replicas_are_saved(tmp_path):
    found = te.replicate(2, target="double_well", methods=["cd-1"], steps=2, progress=False)
    paths = found.save(tmp_path / "new")

    assert paths[0].read_text(encoding="utf-8") == found.table() + "\n"
    assert '"cd-1"' in paths[1].read_text(encoding="utf-8")
