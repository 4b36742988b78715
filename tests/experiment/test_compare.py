"""The comparison: every number of a row against an independent one, and that the race is fair."""

import dataclasses
import importlib
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm.common.backend import Stream
from tinyebm.common.tree import tree_map
from tinyebm.diagnostics import divergences
from tinyebm.exact.nodes import follow, quadrature
from tinyebm.exact.nodes.window import find_window
from tinyebm.experiment import judging, race, setups
from tinyebm.objectives import chain_law
from tinyebm.storage.checkpoint import load_tree
from tinyebm.storage.models import load_model
from tinyebm.storage.origin import trained_rows

TRAIN = importlib.import_module("tinyebm.experiment.train")  # where `adam` and `fit` are called
METHODS = ("mle", "cd-2", "pcd-2", "short-2")
SMALL = {"steps": 12, "hidden": (8, 8), "batch_size": 64, "step_size": 0.05, "ema": 0.9, "seed": 3, "progress": False}
T = np.linspace(-9, 9, 20001)  # log densities are below -80 at its ends
ROWS = np.random.default_rng(0).normal(0.5, 1.2, size=(41, 1))


def integral(f):
    """∫ f by the trapezoidal rule on T."""
    return float(np.sum((f[1:] + f[:-1]) / 2) * (T[1] - T[0]))


def log_density(found, x=T):
    """log p of a fit, by NumPy alone: the network written out, and Z by `integral`."""
    def energy(x):
        h = x[:, None]
        for layer in found.theta[:-1]:
            h = h @ layer["W"] + layer["b"]
            h = h / (1 + np.exp(-h))
        return (h @ found.theta[-1]["W"] + found.theta[-1]["b"])[:, 0] + x**2 / 2

    return -energy(x) - math.log(integral(np.exp(-energy(T))))


def log_joint(x):
    """log p(x, mode) of the population `bimodal`, from its description."""
    return np.stack([np.log(0.65) + stats.norm.logpdf(x, -1.5, 0.5), np.log(0.35) + stats.norm.logpdf(x, 1.5, 0.4)])


def strict(path):
    """What a JSON file says; NaN and Infinity are not JSON."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def numbers(found):
    return [row | {"seconds": None} for row in found.rows]


def flat(tree):
    return np.concatenate([leaf.reshape(-1) for layer in tree for _, leaf in sorted(layer.items())])


@pytest.fixture(scope="module")
def found():
    return te.compare("bimodal", METHODS, **SMALL)


@pytest.fixture(scope="module")
def finite():
    return te.compare(ROWS, ["cd-1", "mle"], **SMALL)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize("i", range(len(METHODS)))
def test_nll_kl_and_tv_on_a_population(found, i):
    """Catches KL with its arguments exchanged, TV without its half, NLL of a batch, θ instead of its running average."""
    row, log_q, log_p = found.rows[i], log_density(found.fits[METHODS[i]]), np.logaddexp(*log_joint(T))
    p = np.exp(log_p)

    assert row["method"] == METHODS[i] and row["status"] == "ok" and row["updates"] == 12
    assert row["nll"] == pytest.approx(-integral(p * log_q), abs=1e-8 + row["nll_error"])
    assert row["kl"] == pytest.approx(integral(p * (log_p - log_q)), abs=1e-8 + row["kl_error"])
    assert row["tv"] == pytest.approx(integral(abs(p - np.exp(log_q))) / 2, abs=1e-8 + row["tv_error"])
    assert 0 < row["nll_error"] < 1e-5 and 0 < row["kl_error"] < 1e-5 and 0 < row["tv_error"] < 0.03


@pytest.mark.parametrize("i", range(len(METHODS)))
def test_mode_masses(found, i):
    """Catches modes in the wrong order, and masses of a sample or of the population instead of the model's."""
    q, k = np.exp(log_density(found.fits[METHODS[i]])), log_joint(T).argmax(axis=0)

    assert found.rows[i]["modes"] == pytest.approx([integral(q * (k == 0)), integral(q * (k == 1))], abs=1e-3)
    assert abs(sum(found.rows[i]["modes"]) - 1) < 1e-12


def test_truth_of_a_population(found):
    """Catches an entropy of the wrong sign, and mode weights of the generator instead of the masses of the regions."""
    p, k = np.exp(np.logaddexp(*log_joint(T))), log_joint(T).argmax(axis=0)

    assert found.truth["entropy"] == pytest.approx(-integral(p * np.logaddexp(*log_joint(T))), abs=1e-8)
    assert found.truth["modes"] == pytest.approx([integral(p * (k == 0)), integral(p * (k == 1))], abs=1e-3)
    assert (found.name, found.reference) == ("bimodal", "the population bimodal")


def test_angle_and_norm_ratio(found):
    """Catches PCD or a short run pushed from the data, k lost, radians, a ratio upside down, θ before the average."""
    starts = {"cd-2": None, "pcd-2": found.fits["pcd-2"].state["objective"]["chains"],
              "short-2": found.fits["short-2"].density.space.initial(4096, Stream(0).at(0))}
    for row in found.rows[1:]:
        p = found.fits[row["method"]].density
        exact = flat(te.nll_gradient(p, found.data))
        followed = flat(te.exact_cd_gradient(p, found.data, te.ULA(0.05), 2, start=starts[row["method"]]))
        cosine = followed @ exact / np.linalg.norm(followed) / np.linalg.norm(exact)
        assert math.cos(math.radians(row["angle"])) == pytest.approx(cosine, abs=1e-4)
        assert row["norm_ratio"] == pytest.approx(np.linalg.norm(followed) / np.linalg.norm(exact), rel=1e-4)
    assert (found.rows[0]["angle"], found.rows[0]["norm_ratio"]) == (0.0, 1.0)


@pytest.mark.parametrize("factor, angle", [(-2.0, 180.0), (0.5, 0.0), (0.0, None)])
def test_a_gradient_that_points_the_other_way(monkeypatch, factor, angle):
    """Made of the exact one.  Catches an angle that is never obtuse, and a ratio upside down; nothing has no direction."""
    pushed = lambda p, data, kernel, k, start=None: tree_map(lambda g: factor * g, te.nll_gradient(p, data, judging.RTOL))
    monkeypatch.setattr(judging, "exact_cd_gradient", pushed)
    with np.errstate(invalid="ignore"):
        row = te.compare("bimodal", ["cd-1"], **SMALL).rows[0]

    assert row["norm_ratio"] == pytest.approx(abs(factor), rel=1e-9)
    assert math.isnan(row["angle"]) if angle is None else row["angle"] == pytest.approx(angle, abs=1e-5)


def test_the_fits_are_the_librarys(found):
    """θ and its average, to the bit.  Catches an option of the setting that never reaches `fit`."""
    rate = setups.schedule(None, found.data, SMALL["steps"])
    for method in METHODS:
        alone = te.fit(te.MLP((1, 8, 8, 1), "silu", 1.0), found.data, objective=setups.named_objective(method, te.ULA(0.05)),
                       optimizer=te.adam(rate), steps=12, batch_size=64, ema=0.9, seed=3, exact=False, progress=False)
        assert np.array_equal(flat(found.fits[method].theta), flat(alone.theta))
        assert np.array_equal(flat(found.fits[method].state["theta"]), flat(alone.state["theta"]))


def test_errors_are_those_of_the_numbers(found):
    """Catches an error that is halved, dropped, or of another number."""
    for row in found.rows:
        p = found.fits[row["method"]].density
        for name, number in (("nll", te.nll(p, found.data, judging.RTOL)), ("kl", te.kl(found.data, p, judging.RTOL)),
                             ("tv", te.total_variation(found.data, p))):
            assert (row[name], row[f"{name}_error"]) == pytest.approx((float(number), number.error), rel=1e-6)


def test_one_search_serves_all_numbers_about_a_model(monkeypatch):
    """Catches a search for all peaks for every number, and at every log point of a curve: most of the time of a comparison."""
    searches = []
    count = lambda *rest, **more: searches.append(0) or find_window(*rest, **more)
    for module in (quadrature, follow, divergences, judging, chain_law):
        monkeypatch.setattr(module, "find_window", count)
    found = te.compare("two_moons", ["mle", "cd-1"], steps=20, hidden=(8,), race=False, progress=False)

    curves = sum(len(curve) for curve in found.curves.values())
    assert curves == 40
    # per method: the nodes of the curve at log points 1, 5 and 21, one quadrature, modes; and those of training and of exact CD
    assert len(searches) <= 2 * (3 + 1 + 1) + 6


def test_an_infinite_partition_function_is_a_number():
    """A bounded energy on the line: its likelihood is infinitely bad, not unknown.  Catches nan, and a lost row."""
    row = te.compare("bimodal", ["cd-1"], **SMALL | {"activation": "tanh", "confinement": 0.0}).rows[0]

    assert row["status"] == "ok" and row["nll"] == row["kl"] == math.inf
    assert math.isnan(row["angle"]) and math.isnan(row["norm_ratio"])


def test_curves(found):
    """Catches curves of NLL where KL is promised, seconds that run backwards, and a curve of θ, not of its average."""
    for row in found.rows:
        steps, seconds, kls = map(list, zip(*found.curves[row["method"]], strict=True))
        assert steps == list(range(1, 13)) and seconds == sorted(seconds) and row["seconds"] == seconds[-1] > 0
        assert kls[-1] == pytest.approx(row["kl"], abs=2e-3)


def test_every_method_has_the_same_start_and_the_same_batches():
    """Catches a seed that moves on from method to method: a race decided by luck."""
    batches, target = [], te.datasets.load("bimodal")
    recorded = dataclasses.replace(target, sample=lambda n, rng: batches.append(target.sample(n, rng)) or batches[-1])
    found = te.compare(recorded, METHODS, **SMALL | {"learning_rate": 1e-300})  # nobody moves

    start = te.MLP((1, 8, 8, 1), confinement=1.0).init(Stream(3).at(0))
    assert all(np.allclose(flat(fit.theta), flat(start), rtol=0, atol=1e-15) for fit in found.fits.values())
    assert len(batches) >= 4 * 12 and all(len(x) == 64 for x in batches)  # more in the runs of equal seconds
    assert all(np.array_equal(batches[i], batches[i % 12]) for i in range(48))
    assert not np.array_equal(batches[0], batches[1])


@pytest.mark.parametrize(("target", "given", "rate"), [("bimodal", None, 0.03), (ROWS, None, 0.01), (ROWS, 0.5, 0.5)])
def test_learning_rate_falls_over_the_second_half(monkeypatch, target, given, rate):
    """Catches a schedule that starts falling at once or never ends, and the defaults exchanged."""
    schedules = []
    monkeypatch.setattr(TRAIN, "adam", lambda schedule: schedules.append(schedule) or te.adam(schedule))
    found = te.compare(target, ["cd-1"], **SMALL | {"learning_rate": given})

    assert [schedules[0](step) for step in (0, 3, 6)] == [rate] * 3
    assert [schedules[0](step) for step in (9, 11)] == pytest.approx([rate / 2, rate / 6])
    assert found.settings["learning_rate"] == rate


def test_a_quarter_of_finite_data_is_held_out(monkeypatch):
    """Catches held-out rows that are trained on, another split for every method, a test NLL of training rows."""
    trained = []
    monkeypatch.setattr(TRAIN, "fit", lambda energy, data, *rest, **more: (
        trained.append(data) or te.fit(energy, data, *rest, **more)))
    found = te.compare(ROWS, ["cd-1", "mle"], **SMALL)

    kept, held = trained[0][:, 0], np.setdiff1d(ROWS, trained[0])
    assert np.array_equal(trained[0], trained[1]) and (len(kept), len(held)) == (31, 10)
    for row in found.rows:
        fit = found.fits[row["method"]]
        assert row["nll"] == pytest.approx(-log_density(fit, kept).mean(), abs=1e-8 + row["nll_error"])
        assert row["test_nll"] == pytest.approx(-log_density(fit, held).mean(), abs=1e-8 + row["test_nll_error"])
    te.compare(ROWS, ["cd-1"], **SMALL | {"seed": 4})
    assert not np.array_equal(trained[-1], trained[0])  # the split depends on the seed


def test_finite_data_are_judged_against_the_maximum_likelihood_fit(finite):
    """Catches KL measured from the data, from the method itself or in the wrong direction, and one to nothing at all."""
    log_p, log_q = (log_density(finite.fits[method]) for method in ("mle", "cd-1"))
    first, second = finite.rows
    assert finite.reference == "the model of row mle" and finite.truth == {}
    assert first["kl"] == pytest.approx(integral(np.exp(log_p) * (log_p - log_q)), abs=1e-8 + first["kl_error"])
    assert abs(second["kl"]) < 1e-12 and abs(second["tv"]) < 1e-12
    assert "modes" not in first
    alone = te.compare(ROWS, ["cd-1"], **SMALL)
    assert alone.reference == "nothing" and not {"kl", "tv"} & set(alone.rows[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("change", "lost"), [
    ({"step_size": 1e20}, {"cd-9", "pcd-9"}), ({"step_size": 1e300}, {"cd-9", "pcd-9"}),
    ({"learning_rate": 1e300}, {"mle", "cd-9", "pcd-9"}), ({"confinement": 0.0, "seed": 0}, {"mle"})])
def test_a_method_that_diverges_is_a_row_and_the_others_survive(tmp_path, change, lost):
    """Catches an experiment of an hour that is lost because its last method overflows, or Z is infinite."""
    found = te.compare("bimodal", ("mle", "cd-9", "pcd-9"), **SMALL | {"steps": 30} | change)
    failed = {row["method"] for row in found.rows if row["status"] != "ok"}
    assert [row["method"] for row in found.rows] == ["mle", "cd-9", "pcd-9"]
    assert failed == lost and failed.isdisjoint(found.fits)
    assert all(row["status"] in found.table() for row in found.rows if row["method"] in failed)
    found.save(tmp_path)
    assert len(strict(tmp_path / "compare.json")["rows"]) == 3


@pytest.mark.parametrize("method", ["", "foo", "MLE", "mle-1", "cd", "cd-0", "cd--1", "cd-1.5", "cd-01", "cd-1 ", "xcd-1"])
def test_unknown_methods_are_refused(method):
    """Catches a name that is silently read as another method, and training before the names are checked."""
    with pytest.raises(ValueError, match="unknown method .*mle, perfect, cd-K, .* on bits pl, rm"):
        te.compare("bimodal", ["mle", method], **SMALL)


def test_method_names():
    """Catches PCD that restarts chains, and a k that is lost or given to another kind."""
    kernel, named = te.ULA(0.1), setups.named_objective
    assert named("cd-12", kernel) == te.ContrastiveDivergence(kernel, 12)
    assert named("pcd-3", kernel) == te.PersistentContrastiveDivergence(kernel, 3, restart=0.0)
    assert named("short-40", kernel) == te.ShortRun(kernel, 40) and isinstance(named("mle", kernel), te.ExactLikelihood)
    assert named("pl", kernel) == te.Pseudolikelihood()


def test_the_seed_decides_everything(finite):
    """Catches a global generator, and a seed that is not used."""
    again, other = (te.compare(ROWS, ["cd-1", "mle"], **SMALL | {"seed": seed}) for seed in (3, 4))
    assert numbers(again) == numbers(finite) != numbers(other)


def test_targets_of_every_kind(tmp_path):
    """Catches a csv file, Data or an array that is read, named or split otherwise than the same rows."""
    path = tmp_path / "mine.csv"
    np.savetxt(path, ROWS, fmt="%.17g")
    data = te.datasets.load(path)
    one, two, three, four = (numbers(te.compare(target, ["cd-1"], **SMALL)) for target in (path, str(path), data, data.x))

    assert one == two == three == four
    with pytest.raises(ValueError, match="too few"):
        te.compare(ROWS[:2], ["cd-1"], **SMALL)


def test_save(found, tmp_path):
    """Catches a model file of another method or of θ before the average, numbers that are rounded, a file left out."""
    paths = found.save(tmp_path / "new" / "folder")
    names = ["compare.txt", "compare.json", "compare.png", *(f"{method}.npz" for method in METHODS)]

    assert [path.name for path in paths] == names and all(path.stat().st_size > 0 for path in paths)
    assert paths[0].read_text(encoding="utf-8") == found.table() + "\n"
    read = strict(paths[1])
    assert read["rows"] == found.rows and read["settings"] == found.settings and read["truth"] == found.truth
    assert {name: list(map(tuple, curve)) for name, curve in read["curves"].items()} == found.curves
    for method, path in zip(METHODS, paths[3:], strict=True):
        assert np.array_equal(flat(load_model(path)[0].theta), flat(found.fits[method].theta))
    assert not plt.get_fignums()  # the figure is closed


def test_the_plane_has_a_figure(tmp_path):
    """Catches a picture for one dimension only."""
    found = te.compare(np.random.default_rng(1).standard_normal((8, 2)), ["cd-1"], **SMALL | {"steps": 2, "hidden": (4,)})

    assert tmp_path / "compare.png" in found.save(tmp_path) and plt.imread(tmp_path / "compare.png").std() > 0.05


def test_three_dimensions(tmp_path):
    """Catches models and numbers that are lost because there is no density to draw."""
    x = np.random.default_rng(1).standard_normal((8, 3))
    found = te.compare(x, ["cd-1"], **SMALL | {"steps": 2, "hidden": (4,)})

    assert {path.name for path in found.save(tmp_path)} >= {"compare.txt", "compare.json", "cd-1.npz"}
    assert strict(tmp_path / "compare.json")["rows"] == found.rows


def test_states_too_many_to_list(tmp_path):
    """64 bits: the exact NLL stays, by the hidden layer.  Catches an experiment lost to 2^64 numbers asked of memory."""
    found = te.compare("binary_digits", ["mle", "cd-1", "pcd-1"], steps=3, batch_size=32, hidden=(4,), progress=False)
    for row in found.rows:
        exact = te.nll(found.fits[row["method"]].density, np.concatenate([te.datasets.load("binary_digits").x]))
        assert row["status"] == "ok" and abs(row["nll"] - exact) < 0.5 and math.isnan(row["kl"])
        assert math.isnan(row["angle"]) or row["method"] == "mle"
    assert (tmp_path / "compare.png") in found.save(tmp_path)

    blind = te.compare("binary_digits", ["pl"], steps=1, batch_size=8, energy="boltzmann", progress=False)
    assert {path.name for path in blind.save(tmp_path / "blind")} == {"compare.txt", "compare.json", "pl.npz"}


# --------------------------------------------------------------- every method, and what equal seconds give

def every(target, energy=None, **options):
    return te.compare(target, "all", **SMALL | {"steps": 4, "hidden": (4,), "energy": energy} | options)


@pytest.fixture(scope="module")
def all_on_the_line():
    return every("bimodal")


@pytest.fixture(scope="module")
def all_on_bits():
    return every(te.datasets.bars_and_stripes(2))


@pytest.mark.parametrize("name", ["all_on_the_line", "all_on_bits"])
def test_all_methods(name, request):
    """Every kind runs, is judged, and is judged again in equal seconds.  Catches a method that trains another model."""
    found = request.getfixturevalue(name)
    last = found.fits["mle"].density
    names = [row["method"] for row in found.rows]

    assert names == list(setups.all_methods(last.energy, last.space)) == list(found.in_time["methods"])
    for row in found.rows:
        fit, reached = found.fits[row["method"]], found.in_time["methods"][row["method"]]
        assert row["status"] == "ok" and row["updates"] == 4
        assert row["kl"] == pytest.approx(te.kl(found.data, fit.density, judging.RTOL), rel=1e-9)
        assert row["consistent"] == setups.consistency(setups.named_objective(row["method"], setups.default_kernel(
            last.energy, last.space), lambda: te.Uniform(te.Bits(4))), last.space)  # fmt: skip
        assert set(reached) == {"updates", "nll", "nll_error", "kl", "kl_error"} and math.isfinite(reached["kl"])
        assert {"angle", "norm_ratio"} < set(row)
    same = {"sm", "ssm-1"} <= set(names)  # on the line vᵀ ∇s v is the trace; no two others are the same method
    assert len({round(row["kl"], 13) for row in found.rows}) == len(names) - same
    assert [(row["angle"], row["norm_ratio"]) for row in found.rows[:2]] == [(0.0, 1.0)] * 2
    assert all(math.isnan(row["angle"]) for row in found.rows if row["method"][:2] in ("sm", "ss", "ds", "nc", "pl", "rm"))


def test_rows_do_not_depend_on_the_clock(all_on_bits, monkeypatch):
    """Ten times the time, spent as it likes: the same rows to the bit.  Catches a seed or a state carried from run to run."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(race.time, "perf_counter", lambda: next(ticks) ** 1.01)
    again = every(te.datasets.bars_and_stripes(2), seconds=1.0)

    assert repr(numbers(again)) == repr(numbers(all_on_bits))  # nan equals nan
    assert again.in_time["seconds"] == 1.0 != all_on_bits.in_time["seconds"]


def test_the_learned_normaliser(all_on_the_line):
    """Beside exact log Z of the last θ, not of its average.  Catches Z of another method, or of other parameters."""
    row = next(row for row in all_on_the_line.rows if row["method"] == "nce-1")
    state = all_on_the_line.fits["nce-1"].state
    p = dataclasses.replace(all_on_the_line.fits["nce-1"].density, theta=state["theta"])

    assert row["log_normaliser"] == float(state["objective"]["log_normaliser"])
    assert row["log_z"] == pytest.approx(te.log_partition(p), abs=1e-6)
    assert abs(row["log_z"] - te.log_partition(all_on_the_line.fits["nce-1"].density)) > 1e-4
    line = f"nce-1: the learned log normaliser is {row['log_normaliser']:.4f}, the exact log Z of the last parameters"
    assert line in all_on_the_line.table() and "in time" in all_on_the_line.table()
    assert not any("log_normaliser" in row for row in all_on_the_line.rows if row["method"] != "nce-1")


def test_what_equal_seconds_reached(found):
    """Against the library's own fit of as many updates.  Catches a number of the long run, or of another method."""
    for method, reached in found.in_time["methods"].items():
        n = reached["updates"]
        alone = te.fit(te.MLP((1, 8, 8, 1), "silu", 1.0), found.data, objective=setups.named_objective(method, te.ULA(0.05)),
                       optimizer=te.adam(setups.schedule(None, found.data, n)), steps=n, batch_size=64,
                       ema=max(0.0, 1 - 0.1 * 12 / n), seed=3, exact=False, progress=False)
        assert reached["nll"] == pytest.approx(te.nll(alone.density, found.data, judging.RTOL), rel=1e-12)
        assert reached["kl"] == pytest.approx(te.kl(found.data, alone.density, judging.RTOL), rel=1e-9)
    fastest = min(found.rows, key=lambda row: row["seconds"])
    assert found.in_time["seconds"] == fastest["seconds"] and found.in_time["methods"][fastest["method"]]["updates"] == 12


# ------------------------------------------------------------------------------- objectives of one's own

class Half:
    """A factor times the gradient of the likelihood; a state that is an array, and attributes that others have."""

    kernel, k = te.MALA(0.1), 2

    def __init__(self, factor=0.5):
        self.factor = factor

    def gradient(self, p, x, rng, state=None):
        count = np.zeros(3) if state is None else state
        gradient = tree_map(lambda g: self.factor * g, te.nll_gradient(p, x))
        return gradient, {"calls": count[0]}, count + 1


def test_objectives_of_ones_own(tmp_path):
    """Adam divides a factor away: the rows of ½ and ¼ of the likelihood's gradient are those of `mle`, to rounding.

    Catches an objective that is replaced by a named one, or judged as if it were one, and a name that is lost.
    """
    quick = {"steps": 4, "hidden": (4,), "progress": False, "seconds": 1e-9}
    mixed = {"half": Half(), "mle": None, "other": "cd-2", "mine": te.ContrastiveDivergence(te.MALA(0.1), 2), "quarter": Half(0.25)}
    found = te.compare("bimodal", mixed, **quick)
    rows = {row["method"]: row for row in found.rows}
    named = {row["method"]: row for row in te.compare("bimodal", ["mle", "cd-2"], **quick).rows}

    assert list(rows) == list(mixed) == list(found.fits) == list(found.in_time["methods"])
    for name in ("half", "quarter"):
        row = rows[name]
        assert row["consistent"] == "-" and math.isnan(row["angle"]) and math.isnan(row["norm_ratio"])
        for key in ("nll", "kl", "tv"):
            assert row[key] == pytest.approx(named["mle"][key], abs=1e-2)
        assert row["kl"] == pytest.approx(te.kl(found.data, found.fits[name].density, judging.RTOL), rel=1e-9)
        assert found.fits[name].state["objective"].tolist() == [4.0] * 3
    for name, same in (("mle", "mle"), ("other", "cd-2")):
        assert rows[name] | {"method": same, "seconds": 0} == named[same] | {"seconds": 0}
    assert rows["mine"]["consistent"] == "at rest" and 0 <= rows["mine"]["angle"] <= 180
    cells = next(line.split() for line in found.table().splitlines() if line.startswith("half"))
    assert cells[1] == "-" and cells[-2:] == ["-", "-"]
    assert tmp_path / "half.npz" in found.save(tmp_path)


def test_an_objective_named_mle_is_no_reference():
    """Finite data are judged against the maximum of the exact likelihood.  Catches KL to whatever bears the name."""
    found = te.compare(ROWS, {"mle": Half()}, **SMALL | {"steps": 2}, race=False)
    assert found.reference == "nothing" and "kl" not in found.rows[0]


def test_replicas_of_objectives_of_ones_own():
    found = te.replicate(2, target="double_well", methods={"half": Half(), "cd-1": None}, steps=2, hidden=(4,), progress=False)
    assert [row["consistent"] for row in found.rows["half"]] == ["-", "-"] and list(found.rows) == ["half", "cd-1"]


@pytest.mark.parametrize(("methods", "message"), [
    ("mle", "methods is a list of names, like .*, none twice, got 'mle'"), ([], "none twice, got"), ({}, "none twice, got"),
    (["mle", "mle"], "none twice, got"), ([Half()], "given as {name: objective}"), ({1: Half()}, "given as {name: objective}"),
    ({"mine": Half}, "unknown method <class"), ({"mine": 3}, "unknown method 3"), ({"mine": None}, "unknown method 'mine'"),
    ({"my/own": Half()}, "without a folder: 'my/own'")])
def test_methods_are_names_or_objectives(methods, message):
    with pytest.raises(ValueError, match=message):
        te.compare("bimodal", methods, **SMALL)


def test_arrays_of_states(tmp_path):
    """Bits, spins, and cells of an energy of one's own, as plain arrays: to the last figure and file.  Catches a run on R^d."""
    rng = np.random.default_rng(0)
    bits, quick = rng.integers(0, 2, (40, 4)), {"steps": 3, "methods": ["mle", "pl"], "race": False, "progress": False}
    data = te.datasets.Data("data", bits * 1.0, "", "", tuple("abcd"), np.zeros(4), np.ones(4), space=te.Bits(4))
    named = te.compare(data, **quick)
    for rows, space in ((bits, te.Bits(4)), (bits > 0, te.Bits(4)), (2 * bits - 1, te.Spins(4))):
        found = te.compare(rows, **quick)
        assert found.settings["space"] == repr(space) and found.fits["mle"].density.space == space
        assert f"all entries are {space.values[0]:g} or 1: taken for states of {space}" in found.table()
        assert space != te.Bits(4) or [row["nll"] for row in found.rows] == [row["nll"] for row in named.rows]
        assert (tmp_path / "compare.png") in found.save(tmp_path)
        p, notes = load_model(tmp_path / "pl.npz")
        assert p.space == space and len(notes["trained_on"].split()) == 30 and "data" not in notes

    potts = te.compare(rng.integers(0, 3, (40, 4)), energy=te.Potts(3, (2, 2)), **quick)
    assert potts.fits["mle"].density.space == te.Cells(3, 4) and potts.save(tmp_path)
    plane = te.compare(bits[:, :2], space=te.Reals(2), **quick | {"methods": ["mle"], "hidden": (3,)})
    assert plane.fits["mle"].density.space == te.Reals(2) and plane.save(tmp_path)
    with pytest.raises(ValueError, match=r"is for Bits\(dim=4\) or Spins\(dim=4\), and not all rows"):
        te.compare(rng.standard_normal((20, 4)), energy=te.RBM(4, 2), **quick)


def test_models_remember_the_rows_they_were_trained_on(tmp_path):
    """Three quarters, the same for every method.  Catches all rows, or those held out."""
    found = te.compare(ROWS, ["cd-1"], **SMALL | {"steps": 2})
    found.save(tmp_path)
    p, notes = load_model(tmp_path / "cd-1.npz")
    trained = trained_rows(p, notes, found.data)
    assert trained.sum() == 31 and found.settings["rows"] == [31, 10]
    assert te.nll(p, found.data.x[trained], judging.RTOL) == pytest.approx(found.rows[0]["nll"], rel=1e-12)
    assert te.nll(p, found.data.x[~trained], judging.RTOL) == pytest.approx(found.rows[0]["test_nll"], rel=1e-12)


# --------------------------------------------------------------- what fails costs nothing else

class Failing:
    """An objective that works for some updates, and then does not."""

    def __init__(self, updates, error=None):
        self.left, self.error = updates, error or KeyError("gone")

    def gradient(self, p, x, rng, state=None):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return te.ExactLikelihood().gradient(p, x, rng)


def test_an_objective_that_fails_costs_its_row_only(tmp_path):
    """At once or later, by any error.  Catches an hour of training that is lost with the third method."""
    methods = {"mle": None, "now": Failing(0), "later": Failing(5, ZeroDivisionError("by zero\nhere")), "cd-1": None}
    found = te.compare(ROWS, methods, **SMALL | {"steps": 40})
    status = {row["method"]: row["status"] for row in found.rows}
    assert status == {"mle": "ok", "now": "KeyError: 'gone'", "later": "ZeroDivisionError: by zero here", "cd-1": "ok"}
    assert [*found.fits] == ["mle", "cd-1"] and "later: ZeroDivisionError: by zero here" in found.table()
    assert {path.name for path in found.save(tmp_path)} >= {"mle.npz", "cd-1.npz", "compare.txt"}


def test_a_first_objective_that_fails_at_once_is_a_mistake():
    """Nothing is lost yet, and the setting may be wrong.  Catches a table of failures in the place of a message."""
    with pytest.raises(KeyError, match="gone"):
        te.compare(ROWS, {"now": Failing(0), "mle": None}, **SMALL)
    with pytest.raises(ValueError, match="is not discrete"):  # before mle is trained
        te.compare(ROWS, {"own": Failing(0), "pl": None}, **SMALL)


class Unpushed(te.MALA):
    """A kernel whose exact distribution fails."""

    def spread(self, *arguments):
        raise NotImplementedError("not written yet")


def test_a_number_that_cannot_be_had_costs_no_other(tmp_path):
    """A kernel, a population and a figure with mistakes.  Catches what is trained and then lost in judging."""
    found = te.compare(ROWS, ["mle", "cd-1"], kernel=Unpushed(0.05), **SMALL | {"race": False})
    mle, cd = found.rows
    assert mle["status"] == cd["status"] == "ok" and math.isfinite(cd["nll"]) and math.isnan(cd["angle"])
    assert cd["unknown"] == {"angle": "NotImplementedError: not written yet"} and "unknown" not in mle
    assert "cd-1: angle is unknown: NotImplementedError: not written yet" in found.table()
    assert strict(found.save(tmp_path)[1])["rows"][1]["unknown"] == cd["unknown"]


def test_judging_goes_on(monkeypatch, tmp_path):
    """Each number fails in turn: all others are there."""
    names = {"nll": "nll", "kl": "kl", "total_variation": "tv", "mode_masses": "modes"}
    for function, key in names.items():
        with monkeypatch.context() as patch:
            patch.setattr(judging, function, lambda *args: 1 / 0)
            row, = te.compare("bimodal", ["cd-1"], **SMALL | {"race": False}).rows
        assert math.isnan(row[key]) and row["unknown"] == {key: "ZeroDivisionError: division by zero"}
        others = set(names.values()) - {key}
        assert all(np.isfinite(row[other]).all() for other in others)


def test_a_figure_that_fails_costs_no_file(monkeypatch, tmp_path, found):
    """Catches models that are written after the figure."""
    monkeypatch.setattr(te.Comparison, "plot", lambda self: 1 / 0)
    with pytest.warns(UserWarning, match="there is no .*compare.png: ZeroDivisionError"):
        paths = found.save(tmp_path)
    assert {path.name for path in paths} == {"compare.txt", "compare.json", *(f"{method}.npz" for method in METHODS)}


def test_an_energy_of_ones_own_leaves_its_parameters(tmp_path):
    """Catches a table and a figure without the fits that they are of."""
    @dataclasses.dataclass(frozen=True)
    class Spring:
        def init(self, rng):
            return {"k": rng.uniform(1, 2, size=1)}

        def __call__(self, theta, x):
            return theta["k"] * x[:, 0] ** 2

    found = te.compare(ROWS, ["mle", "cd-1"], energy=Spring(), **SMALL | {"race": False})
    found.save(tmp_path)
    for method, fit in found.fits.items():
        theta, notes = load_tree(tmp_path / f"{method}.npz")
        assert theta["k"] == fit.theta["k"] and "trained_on" in notes


def test_results_are_compared_without_an_error():
    """Fits, sweeps and comparisons hold arrays.  Catches NumPy's "truth value of an array is ambiguous"."""
    quick = {"steps": 2, "hidden": (2,), "race": False, "progress": False, "seed": 0}
    one, two, three = (te.compare("bimodal", ["cd-1"], **quick | change) for change in ({}, {}, {"seed": 1}))
    fits = [found.fits["cd-1"] for found in (one, two, three)]
    assert fits[0] == fits[1] != fits[2] and one != three and (one == two) in (True, False)  # seconds differ
    sweeps = [te.sweep(lambda seed, x=x: np.arange(3.0) + x, {}, 2, progress=False) for x in (0, 0, 1)]
    assert sweeps[0] == sweeps[1] != sweeps[2]


def test_peaks_at_the_test_rows_are_seen():
    """Half the mass is in a peak of width 10^-5 at a test row.  Catches a search that knows the rows of training alone."""
    def two(theta, x):
        wide, narrow = x[:, 0] ** 2 / 2, ((x[:, 0] - 3.03717) / theta["w"]) ** 2 / 2 + te.ops.log(theta["w"])
        return -te.ops.logsumexp(-te.ops.concatenate([wide[:, None], narrow[:, None]], axis=1), axis=1)

    p, rows, test = te.Density(two, {"w": np.array(1e-5)}, te.Box(-10, 10, 1)), np.zeros((2, 1)), np.full((2, 1), 3.03717)
    found = te.Fit(p.theta, p, {}, {"objective": ()})
    row = judging.judge(found, te.PerfectSamples(), rows, rows, test, None)
    assert abs(row["nll"] - np.log(2 * np.sqrt(2 * np.pi))) < 1e-4 and row["test_nll"] < row["nll"] - 5
