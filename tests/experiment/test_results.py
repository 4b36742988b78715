"""Results in a file: what comes back, what a torn or damaged line costs, and which files are refused."""

import math

import numpy as np
import pytest

import sweep_runs
import tinyebm as te
from tinyebm.experiment.results import OtherSweepError, decoded, encoded

VALUES = {
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan],
    "others": [None, True, False, 0, -(10**40), "", "ü\n\ud800\0", [], (), {}],
    "nested": {"a": [(1, [2.5, (None,)]), {"b": ()}], "!tuple": 1, 3: "x", (1, 2): {None: math.nan}},
    "scalars": [np.float32(0.1), np.float64(math.nan), np.int8(-3), np.bool_(True), np.complex64(1 + 2j), np.str_("ab")],
    "arrays": [np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)), np.array(2.5), np.array([math.nan, -0.0, math.inf]),
               np.arange(3, dtype=">i2"), np.array(["a", "bc"]), np.array(["2020-01-01"], "M8[D]"), np.array([True])],
    "an estimate": te.log_partition(te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))),
}  # fmt: skip


def spelled(value):
    """A value with its types and bits, as text."""
    kind = type(value).__name__
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{kind} {value.dtype.str} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, te.Estimate):
        return f"{kind} {value.value!r} {value.error!r} {spelled(value.details)}"
    if isinstance(value, dict):
        return f"{kind} {[(spelled(key), spelled(child)) for key, child in value.items()]}"
    return f"{kind} {[spelled(child) for child in value] if isinstance(value, (list, tuple)) else repr(value)}"


@pytest.mark.parametrize("name", VALUES)
def test_a_result_comes_back_as_it_was(name, tmp_path):
    """Class, dtype, shape and bits.  Catches rounding, tuples that become lists, and keys that become texts."""
    run = lambda seed: VALUES[name]
    first, second = (te.sweep(run, {}, 1, progress=False, file=tmp_path / "f").results[0][0] for _ in range(2))

    assert spelled(second) == spelled(first) == spelled(VALUES[name]) == spelled(decoded(encoded(VALUES[name])))


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array([object()]), np.ma.array([1.0]), 1j, b"x", [[lambda: 1]]],
                         ids=["set", "object", "objects", "masked", "complex", "bytes", "function"])  # fmt: skip
@pytest.mark.parametrize("errors", ["raise", "keep"])
def test_what_a_file_cannot_hold(value, errors, tmp_path):
    """Catches a result that would come back as another one."""
    with pytest.raises(ValueError, match="a results file holds numbers, texts, .*: a run returned an object of "):
        te.sweep(lambda seed: value, {}, 1, progress=False, errors=errors, file=tmp_path / "f")


def test_a_line_cut_off_anywhere_costs_one_run(tmp_path):
    """At every byte of the last line.  Catches half a result, and a new line that is glued to a half one."""
    file, grid = tmp_path / "f", {"scale": [1.0, 2.0]}
    whole = te.sweep(sweep_runs.draw, grid, 2, progress=False, file=file)
    content = file.read_bytes()
    last = content[:-1].rindex(b"\n") + 1
    for size in range(last, len(content)):
        file.write_bytes(content[:size])
        again = te.sweep(sweep_runs.draw, grid, 2, progress=False, file=file)
        assert np.array_equal(again.results, whole.results) and file.read_bytes() == content


def settings(**changes):
    return dict(run=sweep_runs.draw, grid={"scale": [1.0, 2.0], "n": [3]}, seeds=2, seed=0) | changes


@pytest.mark.parametrize("changes, message", [
    (dict(run=sweep_runs.failing), "its run is 'sweep_runs.draw', and here it is 'sweep_runs.failing'"),
    (dict(seed=1), "its seed is 0, and here it is 1"),
    (dict(grid={"scale": [1.0, 3.0], "n": [3]}), "its point.scale is 2.0, and here it is 3.0"),
    (dict(grid={"scale": [1.0, 2.0], "n": [4]}), "its point.n is 3, and here it is 4"),
])  # fmt: skip
def test_another_sweep_is_refused(changes, message, tmp_path):
    """Catches results of other settings.  The file is as it was."""
    file = tmp_path / "f"
    te.sweep(**settings(), progress=False, file=file)
    before = file.read_bytes()
    with pytest.raises(OtherSweepError, match=f"f is of another sweep: {message}"):
        te.sweep(**settings(**changes), progress=False, file=file)

    assert file.read_bytes() == before


@pytest.mark.parametrize("change", [dict(seeds=1), dict(seeds=5), dict(seeds=[7]), dict(grid={"scale": [2.0], "n": [3]}),
    dict(grid={"scale": [1.0, 2.0], "n": [3, 4]}), dict(grid=[{"n": 3, "scale": 1.0}, {"scale": 2.0, "n": 3}, {}])])  # fmt: skip
def test_more_or_fewer_runs_are_those_of_their_own_sweep(change, tmp_path):
    """Catches a result that is known by its place in the grid: behind a new point another one stands there, with another seed."""
    te.sweep(**settings(), progress=False, file=tmp_path / "f")
    found = te.sweep(**settings(**change), progress=False, file=tmp_path / "f")
    alone = te.sweep(**settings(**change), progress=False)

    for one, other in zip(found.results, alone.results, strict=True):
        np.testing.assert_array_equal(one, other)
    te.sweep(**settings(**change), progress=False, file=tmp_path / "f")  # the new points belong to the file


@pytest.mark.parametrize("content, message", [
    ("hello", "is not a results file of te.sweep"), ("{}\n", "is not a results file"), ("[1]\n", "is not a results file"),
    ('{"point": {}, "seed": 1, "result": 2}\n', "is not a results file"), ('{"run": "x"', "is not a results file"),
    ("¤{ \n§", "damaged: line 2"), ("¤{}\n§", "damaged: line 2"),
])  # fmt: skip
def test_other_and_damaged_files_are_refused(content, message, tmp_path):
    """Catches a file of something else that is overwritten, and a damaged one that is taken for a short one."""
    file = tmp_path / "f"
    te.sweep(sweep_runs.draw, {}, 1, progress=False, file=file)
    first, second = file.read_text().splitlines(keepends=True)
    file.write_text(content.replace("¤", first).replace("§", second), encoding="utf-8")
    before = file.read_bytes()
    with pytest.raises(ValueError, match=message):
        te.sweep(sweep_runs.draw, {}, 1, progress=False, file=file)

    assert file.read_bytes() == before


def test_arrays_among_the_settings(tmp_path):
    """Known by their content.  Catches two arrays of one shape taken for each other."""
    x, file, calls = np.arange(100.0), tmp_path / "f", []
    run = lambda seed, x: calls.append(1) or float(x.sum())
    for array in (x, x.copy()):
        assert te.sweep(run, [{"x": array}], 1, progress=False, file=file).results == [[4950.0]]
    with pytest.raises(OtherSweepError, match="its point.x"):
        te.sweep(run, [{"x": x + (x == 99)}], 1, progress=False, file=file)

    assert len(calls) == 1
