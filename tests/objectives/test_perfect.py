"""Perfect samples: unbiased, independent of the data, and drawn from cells that follow the model."""

import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm.common.tree import ravel, tree_map
from tinyebm.exact.nodes import follow as nodes
from tinyebm.exact.nodes.window import find_window
from tinyebm.objectives import perfect

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)
LINEAR = te.Density(lambda theta, x: theta["w"] * x[:, 0], {"w": np.array(2.0)}, te.Box(100, 101, 1))  # ∂E/∂w = x


def drawn(energy, space):
    theta = tree_map(lambda leaf: leaf + rng(6).normal(0, 0.5, leaf.shape), energy.init(rng(5)))
    return te.Density(energy, theta, space)


PERFECT = [drawn(NET, te.Reals(2)), drawn(te.MLP((2, 4, 1), "silu"), te.Box(-1.5, 1.2, 2)),
           drawn(te.MLP((1, 6, 1), "relu"), te.Box(-2, 2, 1)), drawn(te.MLP((1, 5, 1), "tanh"), te.Reals(1, base_scale=0.7)),
           drawn(te.BoltzmannMachine(4), te.Bits(4)), drawn(te.RBM(40, 3), te.Bits(40)),
           drawn(te.GaussianBernoulliRBM(5, 2), te.Reals(5))]  # fmt: skip


@pytest.mark.parametrize("p", PERFECT, ids=lambda p: f"{p.energy!r} {p.space!r}")
def test_perfect_samples_are_unbiased(p):
    """Over 30 gradients of 2 000 negatives: the exact likelihood's, |z| < 5 for every parameter, rms z about 1.

    Catches negatives of a chain, cells that miss mass or are drawn without their volume, each phase divided by the other's size.
    """
    x, state, draws = p.space.initial(5, rng(4)), None, []
    for seed in range(30):
        step = te.PerfectSamples(2000, refresh=30).gradient(p, x, rng(seed), state)
        state = step.state
        draws.append(ravel(step.gradient)[0])
    draws, exact = np.stack(draws), ravel(te.nll_gradient(p, x))[0]
    varies = draws.std(axis=0) > 1e-12  # the last bias of a network has gradient 0

    z = (draws.mean(axis=0) - exact)[varies] / (draws.std(axis=0)[varies] / math.sqrt(29))
    assert np.abs(z).max() < 5 and 0.1 < math.sqrt(np.mean(z**2)) < 1.8  # few of them may be independent
    np.testing.assert_allclose(draws.mean(axis=0)[~varies], exact[~varies], atol=1e-9)
    assert (state is None) == (p.space.discrete or p.space.dim == 5)


@pytest.mark.parametrize("p", PERFECT, ids=lambda p: f"{p.energy!r} {p.space!r}")
def test_perfect_samples_know_no_data(p):
    """Another batch, the same generator: the same negatives.  Catches negatives that start at the data."""
    step = lambda x: te.PerfectSamples(20).gradient(p, x, rng(0))
    one, other = (step(p.space.initial(n, rng(n))).metrics for n in (4, 9))

    assert one["energy_model"] == pytest.approx(other["energy_model"], abs=1e-12) and one["energy_data"] != other["energy_data"]
    assert step(p.space.initial(4, rng(7))).metrics["energy_model"] == pytest.approx(one["energy_model"], abs=1e-12)


@pytest.mark.parametrize("draws", [None, 3, 50])
@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_numbers_of_perfect_samples(draws, alpha):
    """All negatives are 1 where E = -60 x: mean x minus 1, whatever `draws`, plus alpha's part.  Catches sums and alpha lost."""
    p, x = te.Density(LINEAR.energy, {"w": np.array(-60.0)}, te.Bits(1)), np.array([[1.0], [0.0], [0.0], [0.0]])
    step = te.PerfectSamples(draws, alpha=alpha).gradient(p, x, rng(0))

    assert step.gradient["w"] == pytest.approx(0.25 - 1 + 2 * alpha * -60 * (0.25 + 1), abs=1e-12)
    asked = []
    te.PerfectSamples(draws).gradient(te.Density(lambda theta, x: asked.append(len(x)) or theta["w"] * x[:, 0], p.theta, p.space),
                                      x, rng(0))  # fmt: skip
    assert asked[-1] == 4 + (draws or 4)


def test_cells_are_refreshed(monkeypatch):
    """Every third step, and by θ of that step.  Catches cells found at every step, or once and for all."""
    seen, follow = [], perfect.follow
    monkeypatch.setattr(perfect, "follow", lambda p, *rest: seen.append(float(p.theta["barrier"])) or follow(p, *rest))
    state, well = None, te.DoubleWell()
    for barrier in range(2, 10):
        p = te.Density(well, {"barrier": np.array(float(barrier))}, te.Reals(1))
        before = state
        state = te.PerfectSamples(10, refresh=3).gradient(p, np.zeros((4, 1)), rng(0), state).state
        assert before is None or before["age"] in (1, 2, 3)  # a state is not changed in place

    assert seen == [2.0, 5.0, 8.0]


def test_cells_follow_the_model(monkeypatch):
    """Catches a search for all peaks at every refresh, which takes most of the time of training."""
    searches = []
    monkeypatch.setattr(nodes, "find_window", lambda *rest: searches.append(0) or find_window(*rest))
    x, objective = PERFECT[0].space.initial(40, rng(0)), te.PerfectSamples(5, refresh=2)
    te.fit(NET, x, objective=objective, steps=40, progress=False, exact=False)
    assert 0 < len(searches) < 6  # of 20


def test_cells_left_out_have_no_mass():
    """Of N(1, 4) the cells kept are fewer than the grid's and hold all but rtol / 100.  Catches a cut by height or by 1 / N²."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.ones(1), "precision": np.array([[0.25]])}, te.Reals(1))
    for rtol in (1e-3, 0.5):
        state = te.PerfectSamples(10, rtol).gradient(p, np.zeros((4, 1)), rng(0)).state
        inside = stats.norm(1, 2).cdf(state["high"]).sum() - stats.norm(1, 2).cdf(state["low"]).sum()
        nodes = np.ceil((state["nodes"]["high"] - state["nodes"]["low"]) / state["nodes"]["step"] * perfect.FINER)
        assert 1 - 0.01 * rtol < inside <= 1 + 1e-12 and len(state["low"]) < 0.8 * nodes


def test_resumed_runs_keep_their_cells(tmp_path):
    """Four updates and three more are seven, to the bit, between two refreshes.  Catches cells or an age that are lost."""
    run = lambda steps, **options: te.fit(te.DoubleWell(), rng(0).normal(0, 1, (40, 1)), objective=te.PerfectSamples(20, refresh=3),
                                          optimizer=te.adam(0.1), steps=steps, batch_size=10, progress=False, exact=False,
                                          log_every=1, **options)  # fmt: skip
    whole = run(7)
    run(4, checkpoint=tmp_path / "run")
    again = run(7, checkpoint=tmp_path / "run", resume=True)

    assert again.theta["barrier"] == whole.theta["barrier"] and again.history["loss"][1:] == whole.history["loss"][1:]


@pytest.mark.parametrize("options", [{"draws": 0}, {"draws": 2.5}, {"draws": True}, {"refresh": 0}, {"refresh": 1.5}, {"rtol": 0},
                                     {"rtol": 1.0}, {"rtol": math.nan}, {"alpha": -0.1}])  # fmt: skip
def test_impossible_perfect_samples(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        te.PerfectSamples(**options)


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-6, 6, 1)], ids=repr)
def test_cells_that_the_model_outgrows(space):
    """From precision 100 to 1 within one step: draws of the wide model, not of the old cells.

    Catches cells kept by age alone (a variance of 0.4), and walls of a box taken for an edge: then nothing is ever kept.
    """
    gaussian = lambda k: te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": k * np.eye(1)}, space)
    x, objective = np.zeros((20000, 1)) + 0.5, te.PerfectSamples()
    state = objective.gradient(gaussian(100.0), x, np.random.default_rng(0)).state
    step = objective.gradient(gaussian(1.0), x, np.random.default_rng(1), state)
    variance = x.var() + 0.25 - 2 * step.gradient["precision"][0, 0]  # of the negatives, for ∂E/∂k = x²/2

    assert abs(variance - 1) < 5 * math.sqrt(2 / len(x)) and step.state["age"] == 1
    flat = te.Density(lambda theta, x: 0.0 * theta["w"] * x[:, 0], {"w": np.array(1.0)}, te.Box(-1, 1, 1))
    kept = objective.gradient(flat, x, np.random.default_rng(0)).state
    assert objective.gradient(flat, x, np.random.default_rng(0), kept).state["age"] == 2 and not kept["outer"].any()


@pytest.mark.parametrize("thin", [0, 1])
def test_the_mass_of_a_cell_counts_its_volume(thin):
    """A density of 1 on two cells, of which one is thin; the second is at the edge.  Catches densities in the place of masses."""
    low, high = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    high[thin] = low[thin] + 1e-4
    state = {"low": low, "high": high, "outer": np.array([False, True])}
    assert perfect._outgrown(np.zeros(2), state, 1e-3) == (thin == 0)
