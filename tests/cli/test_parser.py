"""The command line: every command does its job (what users get wrong: `test_mistakes.py`)."""

import importlib
import json
import shlex

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tinyebm as te
from tinyebm.cli import parser as cli
from tinyebm.common.backend import Stream
from tinyebm.storage.models import load_model

COMMANDS = ("compare", "fit", "sample", "evaluate", "plot")
TINY = "--hidden 8,8 --steps 20 --batch-size 32 --step-size 0.05 --seed 3"
ROWS = np.random.default_rng(0).normal([3.0, -1.0], [1.5, 0.2], size=(40, 2))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def tinyebm(line):
    """The exit status of a command line."""
    try:
        return cli.main(shlex.split(line))
    except SystemExit as left:  # argparse's way
        return left.code


def theta(path):
    return [leaf for layer in load_model(path)[0].theta for leaf in layer.values()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def strict(path):
    """What a JSON file says; NaN and Infinity are not JSON."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with data of one's own, and two fitted models."""
    folder = tmp_path_factory.mktemp("workshop")
    np.savetxt(folder / "mine.csv", ROWS, delimiter=",", header="length (m),width (m)", comments="", fmt="%.17g")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tinyebm(f"fit --data bimodal --method pcd-2 --out line {TINY}") == 0
        assert tinyebm(f"fit --data mine.csv --method cd-1 --out plane {TINY}") == 0
    plt.close("all")
    return folder


@pytest.fixture
def here(workshop, monkeypatch):
    monkeypatch.chdir(workshop)
    return workshop


# ------------------------------------------------------------------------ the commands

def test_fit_is_the_fit_of_the_library(here):
    """Catches an option that does not arrive, θ before its average, and a history of another run."""
    p, notes = load_model("line/model.npz")
    halving = lambda step: 0.03 * min(1.0, 2 * (1 - step / 20))
    objective = te.PersistentContrastiveDivergence(te.ULA(0.05), 2, restart=0.0)
    found = te.fit(te.MLP((1, 8, 8, 1), "silu", 1.0), te.datasets.load("bimodal"), objective=objective, steps=20,
                   batch_size=32, seed=3, ema=0.99, optimizer=te.adam(halving), progress=False)

    assert p.energy == found.density.energy and p.space == te.Reals(1) and notes["data"] == "bimodal"
    assert same(theta("line/model.npz"), [leaf for layer in found.theta for leaf in layer.values()])
    history = strict(here / "line" / "history.json")
    assert list(history) == list(found.history) and all(history[name][1:] == found.history[name][1:] for name in history)
    assert plt.imread("line/fit.png").std() > 0.05


def test_every_option_of_fit_arrives(here):
    """Catches an option that is parsed and forgotten."""
    options = "--activation tanh --confinement 0.5 --ema 0 --learning-rate 0.5 --method short-3 --raw --steps 4"
    assert tinyebm(f"fit --data mine.csv --out options {TINY} {options}") == 0
    found = te.fit(te.MLP((2, 8, 8, 1), "tanh", 0.5), te.datasets.load("mine.csv", standardise=False), steps=4,
                   objective=te.ShortRun(te.ULA(0.05), 3), batch_size=32, seed=3, ema=None, progress=False,
                   optimizer=te.adam(lambda step: 0.5 * min(1.0, 2 * (1 - step / 4))))

    assert np.array_equal(theta("options/model.npz")[0], found.theta[0]["W"])


def test_fit_goes_on_where_it_was_interrupted(here, monkeypatch, capsys):
    """Catches a resumed run that begins anew, loses its chains, or repeats the random numbers of its first steps."""
    history = importlib.import_module("tinyebm.training.history")
    save, saved = history.save_tree, []

    def interrupted(*arguments, **notes):
        save(*arguments, **notes)
        saved.append(1)
        if len(saved) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(history, "save_tree", interrupted)
    command = f"fit --data bimodal --method pcd-2 {TINY} --out again"
    assert tinyebm(command) == 130
    assert capsys.readouterr().err == "\ntinyebm fit: interrupted: go on with --resume from again/checkpoint.npz\n"
    assert not (here / "again" / "model.npz").exists()
    assert tinyebm(command + " --resume") == 0

    assert len(saved) == 21 and same(theta("again/model.npz"), theta("line/model.npz"))
    assert (here / "again" / "history.json").read_text() == (here / "line" / "history.json").read_text()


def test_fit_to_convergence(here, capsys):
    """Catches L-BFGS that stops early: at the optimum the gradient of the likelihood is 0."""
    assert tinyebm("fit --data mine.csv --method lbfgs --hidden 2 --steps 2000 --out converged") == 0
    p, _ = load_model("converged/model.npz")
    gradient = te.nll_gradient(p, te.datasets.load("mine.csv").x)

    assert max(abs(leaf).max() for layer in gradient for leaf in layer.values()) < 2e-6
    assert f"nll {te.nll(p, te.datasets.load('mine.csv')):.5g}" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["draws.csv", "draws.npy"])
def test_sample_draws_in_the_units_of_the_data(here, out):
    """Catches standardised draws, a scale without its centre, columns exchanged or nameless, and a seed not used."""
    assert tinyebm(f"sample plane/model.npz -n 50 --seed 4 --out {out}") == 0
    x = np.load(out) if out.endswith("npy") else np.loadtxt(out, delimiter=",", skiprows=1)
    exact = te.sample(load_model("plane/model.npz")[0], 50, Stream(4).at(0)) * ROWS.std(axis=0) + ROWS.mean(axis=0)

    assert x.shape == (50, 2) and np.allclose(x, exact, rtol=1e-8)
    assert out.endswith("npy") or (here / out).read_text().splitlines()[0] == "length (m),width (m)"


def test_a_model_keeps_its_units_wherever_it_goes(here, tmp_path, monkeypatch):
    """Catches draws in standard deviations once the data are moved, changed or not loaded with the same options."""
    assert tinyebm(f"compare --data mine.csv --methods cd-1 --out a --raw {TINY}") == 0
    assert tinyebm(f"compare --data mine.csv --methods cd-1 --out b {TINY}") == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name, centre, scale in (("a/cd-1.npz", 0, 1), ("b/cd-1.npz", ROWS.mean(axis=0), ROWS.std(axis=0)),
                                ("plane/model.npz", ROWS.mean(axis=0), ROWS.std(axis=0))):
        assert tinyebm(f"sample {here}/{name} -n 5") == 0
        exact = te.sample(load_model(here / name)[0], 5, Stream(0).at(0)) * scale + centre
        assert np.allclose(np.loadtxt("samples.csv", delimiter=",", skiprows=1), exact, rtol=1e-8)


@pytest.mark.parametrize("model", ["line", "plane"])
def test_evaluate(here, capsys, model):
    """Catches a number under another's name, without its error, or of other data."""
    assert tinyebm(f"evaluate {model}/model.npz --out numbers.json") == 0
    p, data = load_model(f"{model}/model.npz")[0], te.datasets.load({"line": "bimodal", "plane": "mine.csv"}[model])
    exact = {"log_z": te.log_partition(p), "entropy": te.entropy(p), "nll": te.nll(p, data)}
    if model == "line":
        exact |= {"kl": te.kl(data, p), "tv": te.total_variation(data, p)}
    read = strict(here / "numbers.json")
    out = capsys.readouterr().out

    assert list(read) == list(exact)
    for (name, number), line in zip(exact.items(), out.splitlines(), strict=False):
        assert read[name]["value"] == pytest.approx(float(number), abs=2e-6 + read[name]["error"])
        assert f"{read[name]['value']:.10g} ± {read[name]['error']:.1g}" in line
        assert {"log_z": "log Z", "nll": "NLL", "kl": "KL", "tv": "TV", "entropy": "entropy"}[name] in line
    assert tinyebm(f"evaluate {model}/model.npz --data {'mine.csv' if model == 'plane' else 'double_well'} --rtol 1e-3") == 0


@pytest.mark.parametrize("rtol", ["1e-3", "1e-6"])
def test_evaluate_to_the_accuracy_asked_for(here, rtol):
    """The library's numbers and errors at that rtol, to the bit.  Catches an option that reaches some of them."""
    assert tinyebm(f"evaluate line/model.npz --rtol {rtol} --out numbers.json") == 0
    p, data, r = load_model("line/model.npz")[0], te.datasets.load("bimodal"), float(rtol)
    exact = {"log_z": te.log_partition(p, r), "entropy": te.entropy(p, r), "nll": te.nll(p, data, r),
             "kl": te.kl(data, p, r), "tv": te.total_variation(data, p, r)}

    assert strict(here / "numbers.json") == {name: {"value": float(e), "error": e.error} for name, e in exact.items()}


def test_models_of_raw_data_are_judged_by_raw_data(here, monkeypatch):
    """By evaluate and plot.  Catches data that come back standardised beside a model that never saw them so."""
    figures = importlib.import_module("tinyebm.experiment.figures")
    model, seen = figures.model, []
    monkeypatch.setattr(figures, "model", lambda *arguments: seen.append(arguments) or model(*arguments))
    assert tinyebm(f"fit --data mine.csv --method cd-1 --raw --out raw {TINY}") == 0
    assert tinyebm("evaluate raw/model.npz --out raw.json") == 0
    assert tinyebm("plot raw/model.npz --out raw.png") == 0

    exact = te.nll(load_model("raw/model.npz")[0], te.datasets.load("mine.csv", standardise=False), 1e-6)
    assert strict(here / "raw.json")["nll"]["value"] == pytest.approx(float(exact), abs=1e-5)
    assert all(np.allclose(points.x, ROWS, rtol=1e-15) for _, points in seen) and len(seen) == 2


def test_lbfgs_starts_where_the_seed_says(here, capsys):
    """Catches one start for every seed, and a run without an end that is taken for one with it, or warned of twice."""
    for seed in (3, 4):
        assert tinyebm(f"fit --data bimodal --method lbfgs --hidden 2 --steps 1 --seed {seed} --out start{seed}") == 0
        assert "not converged: the 1 steps of max_steps" in capsys.readouterr().out
        with pytest.warns(te.ConvergenceWarning):
            found = te.mle(te.MLP((1, 2, 1), "silu", 1.0), te.datasets.load("bimodal"), seed=seed, max_steps=1, rtol=1e-6,
                           progress=False)
        assert np.array_equal(theta(f"start{seed}/model.npz")[0], found.theta[0]["W"])
    assert not np.array_equal(theta("start3/model.npz")[0], theta("start4/model.npz")[0])


def test_plot(here, monkeypatch):
    """Catches a picture of other data, or of standardised beside raw ones."""
    figures = importlib.import_module("tinyebm.experiment.figures")
    model, seen = figures.model, []
    monkeypatch.setattr(figures, "model", lambda *arguments: seen.append(arguments) or model(*arguments))
    np.savetxt("far.csv", ROWS + 50, delimiter=",", header="length (m),width (m)", comments="", fmt="%.17g")
    assert tinyebm("plot plane/model.npz --out own.png") == 0
    assert tinyebm("plot plane/model.npz --data far.csv --out far.pdf") == 0

    far = (ROWS + 50 - ROWS.mean(axis=0)) / ROWS.std(axis=0)
    assert np.array_equal(seen[0][1].x, te.datasets.load("mine.csv").x) and np.array_equal(seen[1][1].x, far)
    assert plt.imread("own.png").std() > 0.05 and (here / "far.pdf").read_bytes()[:4] == b"%PDF"


def test_compare(here, capsys):
    """Catches an option that does not arrive, and a table that is not the one of the library."""
    options = "--activation tanh --ema 0.5 --learning-rate 0.2 --confinement 0.7"
    assert tinyebm(f"compare --data double_well --methods mle,short-2 --out race {TINY} {options}") == 0
    out = capsys.readouterr().out
    found = te.compare("double_well", ["mle", "short-2"], steps=20, batch_size=32, step_size=0.05, hidden=(8, 8), seed=3,
                       activation="tanh", ema=0.5, learning_rate=0.2, confinement=0.7, progress=False)

    read = strict(here / "race" / "compare.json")
    assert read["settings"] == found.settings
    assert [row | {"seconds": 0} for row in read["rows"]] == [row | {"seconds": 0} for row in found.rows]
    assert out.startswith((here / "race" / "compare.txt").read_text()) and "wrote race/compare.txt" in out
    assert np.array_equal(theta("race/short-2.npz")[0], found.fits["short-2"].theta[0]["W"])


def test_compare_with_seeds(here, capsys):
    """Catches seeds or options that do not arrive, rows of another data set, and workers that change the numbers."""
    options = f"--data mine.csv --raw --methods cd-1,mle --seeds 2 {TINY} --hidden 4 --steps 4"
    assert tinyebm(f"compare {options} --out alone") == 0
    out = capsys.readouterr().out
    assert tinyebm(f"compare {options} --workers 2 --out spread") == 0
    found = te.replicate(2, seed=3, target="mine.csv", standardise=False, methods=["cd-1", "mle"], steps=4, batch_size=32,
                         step_size=0.05, hidden=(4,), progress=False)

    timeless = lambda rows: {method: [row | {"seconds": 0} for row in many] for method, many in rows.items()}
    for folder in ("alone", "spread"):
        assert timeless(strict(here / folder / "replicas.json")["rows"]) == timeless(found.rows)
    assert out.startswith((here / "alone" / "replicas.txt").read_text()) and "mean over 2 seeds" in out


def test_three_dimensions_have_no_picture_but_a_model(here, capsys):
    """Catches a run that ends in an error after all its work is done."""
    np.save("three.npy", np.random.default_rng(0).standard_normal((30, 3)))
    assert tinyebm(f"fit --data three.npy --method cd-1 --out three {TINY}") == 0
    assert "wrote three/model.npz, three/history.json" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    """Catches help without an example, and an example that does not parse."""
    assert tinyebm(f"{command} --help") == 0
    text = " ".join(capsys.readouterr().out.split())
    example = text[text.index("example: tinyebm") + len("example: tinyebm "):]

    assert cli._parser().parse_args(shlex.split(example)).command == command
    assert tinyebm("--help") == 0 and all(name in capsys.readouterr().out for name in [command])


def test_version(capsys):
    assert tinyebm("--version") == 0 and capsys.readouterr().out.strip() == f"tinyebm {te.__version__}"


def test_bits(here, capsys):
    """From patterns to a model and back to patterns.  Catches a space that is lost on the way to the file."""
    assert tinyebm("fit --data bars_and_stripes_3x3 --hidden 3 --steps 30 --batch-size 20 --method pcd-2 --out bits") == 0
    assert tinyebm("evaluate bits/model.npz --out bits.json") == 0
    assert tinyebm("sample bits/model.npz -n 50 --out bits.csv") == 0
    capsys.readouterr()

    p, _ = load_model("bits/model.npz")
    read = strict(here / "bits.json")
    assert p.space == te.Bits(9) and p.energy == te.RBM(9, 3) and (here / "bits" / "fit.png").stat().st_size > 0
    assert read["kl"]["value"] == pytest.approx(te.kl(te.datasets.load("bars_and_stripes_3x3"), p), abs=1e-12)
    np.testing.assert_array_equal(np.loadtxt("bits.csv", delimiter=",", skiprows=1), te.sample(p, 50, Stream(0).at(0)))


def test_evaluate_puts_a_file_into_the_units_of_the_model(here, capsys):
    """In the model's units and in the file's, which are told.  Catches a file far away with the NLL of the training file."""
    np.savetxt("far.csv", ROWS[:7] + [30, 0], delimiter=",", header="length (m),width (m)", comments="", fmt="%.17g")
    assert tinyebm("evaluate plane/model.npz --data far.csv --out far.json") == 0
    p, read, shift = load_model("plane/model.npz")[0], strict(here / "far.json"), np.log(ROWS.std(axis=0)).sum()
    exact = te.nll(p, (ROWS[:7] + [30, 0] - ROWS.mean(axis=0)) / ROWS.std(axis=0), 1e-6)
    out = capsys.readouterr().out

    assert list(read) == ["log_z", "entropy", "nll"] and read["nll"]["rows"] == 7
    assert read["nll"]["value"] == pytest.approx(float(exact), rel=1e-12) and read["nll"]["value"] > 100
    for name in read:
        assert read[name]["original_units"] == pytest.approx(read[name]["value"] + shift, rel=1e-14)
        assert f"nats, in original units {read[name]['original_units']:.10g}" in out
    assert "7 rows, none of them trained on" in out and f"= {shift:.10g}" in out
    assert "units: standardised columns of mine.csv" in out


def test_evaluate_tells_rows_trained_on_from_others(here, capsys):
    """The training and test NLL of the comparison that wrote the model, apart.  Catches one number for both, and exchanged ones."""
    assert tinyebm(f"compare --data mine.csv --methods cd-1 --out apart {TINY}") == 0
    row = strict(here / "apart" / "compare.json")["rows"][0]
    np.savetxt("mixed.csv", np.vstack([ROWS, ROWS + 1]), delimiter=",", header="length (m),width (m)", comments="", fmt="%.17g")
    for name, others in (("mine.csv", 10), ("mixed.csv", 50)):
        assert tinyebm(f"evaluate apart/cd-1.npz --data {name} --out apart.json") == 0
        read, out = strict(here / "apart.json"), capsys.readouterr().out
        whole = 30 * read["nll_trained_on"]["value"] + others * read["nll_held_out"]["value"]

        assert (read["nll_trained_on"]["rows"], read["nll_held_out"]["rows"]) == (30, others)
        assert read["nll_trained_on"]["value"] == pytest.approx(row["nll"], abs=1e-4)
        assert name != "mine.csv" or read["nll_held_out"]["value"] == pytest.approx(row["test_nll"], abs=1e-4)
        assert read["nll"]["value"] == pytest.approx(whole / (30 + others), rel=1e-10)
        assert "30 rows it was trained on" in out and f"{others} rows held out" in out
    assert tinyebm("evaluate plane/model.npz") == 0 and "40 rows, all trained on" in capsys.readouterr().out


def test_units_without_standardising(here, capsys):
    """Catches units of a population that are called standardised, and a sum of logs where nothing was divided."""
    assert tinyebm(f"fit --data mine.csv --method cd-1 --raw --out raw {TINY}") == 0
    assert tinyebm("evaluate raw/model.npz") == 0
    assert "units: those of mine.csv, length (m), width (m)\n" in capsys.readouterr().out
    assert tinyebm("evaluate line/model.npz") == 0
    out = capsys.readouterr().out
    assert out.endswith("units: those of bimodal\n") and "original" not in out
    assert tinyebm("evaluate raw/model.npz --data two_moons --rtol 0.01") == 0
    out, err = capsys.readouterr()
    assert "KL" in out and "its units are taken for those of mine.csv" in err


def test_bits_of_ones_own(here, capsys):
    """From a table of 0 and 1 to a model of bits and back.  Catches bits that are standardised, and silence about them."""
    x = np.random.default_rng(0).integers(0, 2, (40, 4))
    np.savetxt("own.csv", x, "%d", ",", header="a,b,c,2019", comments="")
    np.savetxt("five.csv", np.hstack([x, x[:, :1]]), "%d", ";")
    for line, energy in (("--energy rbm --hidden 3", te.RBM(4, 3)), ("--energy boltzmann", te.BoltzmannMachine(4)),
                         ("--energy mlp --hidden 3", te.MLP((4, 3, 1))), ("--method pl", te.RBM(4, 8))):
        assert tinyebm(f"fit --data own.csv --steps 3 --out own {line}") == 2
        err = capsys.readouterr().err
        assert "line 1, column 4: '2019'" in err or "line 1, column 1: 'a'" in err
        assert tinyebm(f"fit --data own.csv --header yes --steps 3 --out own {line}") == 0
        assert capsys.readouterr().err.startswith("tinyebm fit: own.csv: all entries are 0 or 1: taken for states of Bits(dim=4)")
        p, notes = load_model("own/model.npz")
        assert p.space == te.Bits(4) and p.energy == energy and notes["columns"] == ["a", "b", "c", "2019"]
    assert tinyebm("evaluate own/model.npz --out own.json") == 0 and strict(here / "own.json")["nll"]["rows"] == 40
    assert tinyebm("sample own/model.npz -n 6 --out draws.csv") == 0
    assert (here / "draws.csv").read_text().startswith('"a","b","c","2019"\n')
    capsys.readouterr()
    assert tinyebm("evaluate own/model.npz --data draws.csv") == 0
    out, err = capsys.readouterr()
    assert "6 rows" not in out and "which of its rows the model was trained on is not known" in err
    assert tinyebm("compare --data own.csv --header yes --methods mle --steps 3 --out own") == 0
    assert "all entries are 0 or 1" in (here / "own" / "compare.txt").read_text() and (here / "own" / "compare.png").exists()
    assert tinyebm("compare --data own.csv --header yes --methods mle --steps 3 --out own --seeds 2") == 0
    assert tinyebm("fit --data five.csv --steps 3 --out five") == 0 and not (here / "five" / "fit.png").exists()  # no square


def test_space_may_be_said(here):
    """Catches an option that does not arrive."""
    np.savetxt("two.csv", np.random.default_rng(0).integers(0, 2, (40, 2)), "%d", ",", header="a,b", comments="")
    for option, space in (("reals", te.Reals(2)), ("bits", te.Bits(2))):
        assert tinyebm(f"fit --data two.csv --space {option} --out said --method cd-1 --steps 2") == 0
        assert load_model("said/model.npz")[0].space == space
        assert tinyebm("evaluate said/model.npz") == 0


def test_a_file_is_read_as_it_was_found(here, capsys):
    """Catches an index column that becomes data, names that are lost on the way, and silence about what was assumed."""
    rows = "\n".join(f"{i};{a!r};{b!r}".replace(".", ",") for i, (a, b) in enumerate(ROWS.tolist()))
    (here / "pandas.csv").write_text(f";2019;2020\n{rows}\n")
    assert tinyebm(f"fit --data pandas.csv --method cd-1 --out pandas {TINY}") == 0
    said = "semicolons between the columns; column 1 numbers the rows, or names them, and is left out; decimal commas"
    assert capsys.readouterr().err == f"tinyebm fit: pandas.csv: {said}\n"
    assert same(theta("pandas/model.npz"), theta("plane/model.npz"))
    assert tinyebm("sample pandas/model.npz -n 9 --out again.csv") == 0
    again = te.datasets.load("again.csv", standardise=False)
    assert again.columns == ("2019", "2020") and again.x.shape == (9, 2) and again.notes == ()
    assert tinyebm("evaluate pandas/model.npz --data again.csv") == 0


def test_data_that_are_gone_are_missed_aloud(here, capsys):
    """Catches an evaluation without a likelihood that does not say why."""
    np.savetxt("passing.csv", ROWS, fmt="%.17g", delimiter=",")
    assert tinyebm(f"fit --data passing.csv --out passing {TINY}") == 0
    (here / "passing.csv").unlink()
    capsys.readouterr()

    assert tinyebm("evaluate passing/model.npz") == 0
    out, err = capsys.readouterr()
    assert "NLL" not in out and err.count("\n") == 1 and "passing.csv" in err and "--data" in err


def test_other_data_are_not_resumed(here, capsys):
    """Catches the numbers of the old run under the name of the new data."""
    assert tinyebm(f"fit --data double_well --method cd-1 --out twice {TINY}") == 0
    assert tinyebm(f"fit --data bimodal --method cd-1 --out twice --resume {TINY}") == 2
    assert "its data is 'double_well', not 'bimodal'" in capsys.readouterr().err
