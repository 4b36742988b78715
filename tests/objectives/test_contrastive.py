"""Contrastive divergence: given noise against an oracle, its mean against the exact one, where chains start, alpha; no chains."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm.common.tree import ravel, tree_map
from tinyebm.objectives import contrastive
from tinyebm.objectives.contrastive import contrast
from tinyebm.samplers.metropolis import Move

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)
FAR = te.Box(100, 101, 1)  # where fresh chains start, to tell them from data and from old chains
LINEAR = te.Density(lambda theta, x: theta["w"] * x[:, 0], {"w": np.array(2.0)}, FAR)  # ∂E/∂w = x


@dataclass(frozen=True)
class Count:
    """A kernel without chance: adds 1 to every coordinate."""

    def step(self, p, x, rng):
        return Move(x + 1)


class Given:
    """A generator that hands out listed normals in turn, and uniforms so close to 1 that every proposal is accepted."""

    def __init__(self, *normals):
        self.normals = iter(normals)

    def standard_normal(self, shape, dtype):
        return next(self.normals)

    def random(self, n):
        return np.full(n, 1 - 2.0**-53)


OBJECTIVES = {"cd": te.ContrastiveDivergence, "pcd": te.PersistentContrastiveDivergence, "short": te.ShortRun}


@pytest.mark.parametrize("kernel", [te.ULA, te.MALA])
@pytest.mark.parametrize("k", [1, 2])
def test_cd_with_given_noise(oracle, kernel, k):
    """Catches the ascent direction, negatives of another step, one phase not divided by its size; and wrong metrics."""
    case = oracle("mlp2d_tanh_langevin_cd_mala")
    t, x, z = (np.array(case["parameters"][name]) for name in ("theta", "data", "z"))
    p = te.Density(NET, [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}], te.Reals(2))
    step = te.ContrastiveDivergence(kernel(case["parameters"]["eps"] / 2), k).gradient(p, x, Given(z, z[::-1]))
    first, last = step.gradient

    flat = np.concatenate([first["W"].T.ravel(), first["b"], last["W"][:, 0]])
    np.testing.assert_allclose(flat, case["expected"][f"cd{k}_gradient"], rtol=0, atol=1e-13)

    data, model = (NET(p.theta, rows).mean() for rows in (x, np.array(case["expected"][f"x{k}"])))
    expected = {"loss": data - model, "energy_data": data, "energy_model": model}
    assert step.metrics == pytest.approx(expected | ({"acceptance": 1.0} if kernel == te.MALA else {}), abs=1e-13)
    assert step.state is None


@pytest.mark.parametrize("kernel, k, space", [(te.ULA(0.1), 1, te.Reals(2)), (te.ULA(0.1), 3, te.Reals(2)),
                                              (te.ULA(0.1), 3, te.Box(-1.5, 1.2, 2)), (te.MALA(0.2), 1, te.Reals(2)),
                                              (te.MALA(0.2), 3, te.Reals(2))])  # fmt: skip
def test_cd_is_the_exact_expectation_on_average(kernel, k, space):
    """Over 50 gradients of 4 000 chains each the mean of every parameter's gradient has |z| < 5, rms z about 1.

    Catches k off by one, negatives that start at noise, noise 1.5 times too large, a wall that clips.
    """
    p, x = te.Density(NET, NET.init(rng(3)), space), rng(4).uniform(-1.4, 1.1, (5, 2))
    objective, rows = te.ContrastiveDivergence(kernel, k), np.tile(x, (800, 1))
    draws = np.stack([ravel(objective.gradient(p, rows, rng(seed)).gradient)[0] for seed in range(50)])[:, :-1]
    exact = ravel(te.exact_cd_gradient(p, x, kernel, k, nodes=60))[0][:-1]  # the last bias has gradient 0 - 0

    z = (draws.mean(axis=0) - exact) / (draws.std(axis=0) / math.sqrt(49))
    assert np.abs(z).max() < 5
    assert 0.4 < math.sqrt(np.mean(z**2)) < 1.8


@pytest.mark.parametrize("n, m", [(4, 4), (2, 7), (7, 2)])
def test_each_phase_is_divided_by_its_own_size(n, m):
    """Mean of x minus mean of y.  Catches both divided by n, or by n + m."""
    x, y = rng(0).standard_normal((n, 1)), rng(1).standard_normal((m, 1))
    gradient, metrics = contrast(LINEAR, x, y)

    assert abs(gradient["w"] - (x.mean() - y.mean())) < 1e-14
    assert abs(metrics["loss"] - 2 * (x.mean() - y.mean())) < 1e-14


@pytest.mark.parametrize("n, m", [(4, 4), (2, 7), (7, 2)])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_gradient_of_the_regularised_loss(n, m, alpha):
    """Against differences of mean E(x) - mean E(y) + alpha (mean E(x)² + mean E(y)²), negatives held still.

    Catches a regulariser on the data only, one without the 2, and one divided by the size of the other batch.
    """
    x, y, theta = rng(0).standard_normal((n, 2)), rng(1).standard_normal((m, 2)), NET.init(rng(2))
    flat, unravel = ravel(theta)

    def loss(flat):
        a, b = NET(unravel(flat), x), NET(unravel(flat), y)
        return a.mean() - b.mean() + alpha * (np.mean(a**2) + np.mean(b**2))

    differences = [(loss(flat + step) - loss(flat - step)) / 2e-5 for step in 1e-5 * np.eye(len(flat))]
    gradient, _ = contrast(te.Density(NET, theta, te.Reals(2)), x, y, alpha)
    np.testing.assert_allclose(ravel(gradient)[0], differences, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_regularised(name):
    """With a kernel without chance alpha adds 2 alpha (mean E ∂E over data, plus the same over negatives).

    Catches alpha that is not passed on.
    """
    x = np.array([[1.0], [4.0]])
    plain, regular = (OBJECTIVES[name](Count(), k=3, alpha=alpha).gradient(LINEAR, x, rng(0)) for alpha in (0.0, 0.25))

    y = {"cd": lambda: x + 3, "short": lambda: FAR.initial(2, rng(0)) + 3,
         "pcd": lambda: regular.state["chains"][~FAR.contains(regular.state["chains"])]}[name]()
    extra = 2 * 0.25 * 2.0 * (np.mean(x**2) + np.mean(y**2))  # E = 2x, ∂E/∂w = x
    assert abs(regular.gradient["w"] - plain.gradient["w"] - extra) < 1e-10


# ------------------------------------------------------------------ where the chains start

def test_cd_starts_at_the_data():
    """Negatives are the data, k steps on: the gradient of a linear energy is -k.  Catches chains that start elsewhere."""
    assert te.ContrastiveDivergence(Count(), k=4).gradient(LINEAR, np.array([[1.0], [7.0]]), None).gradient["w"] == -4


def test_short_run_starts_at_the_initial_law():
    """As many fresh points as data, k steps on.  Catches chains that start at the data or that persist."""
    x, space = rng(0).standard_normal((50, 1)), te.Reals(1, base_scale=3.0)
    p = te.Density(LINEAR.energy, LINEAR.theta, space)
    step = te.ShortRun(Count(), k=4).gradient(p, x, rng(1), state=None)

    assert abs(step.gradient["w"] - (x.mean() - (3 * rng(1).standard_normal((50, 1)) + 4).mean())) < 1e-13
    assert step.state is None


def test_pcd_starts_with_a_fresh_pool():
    """All 10 chains from the initial law; the 2 lent ones are k steps on."""
    objective = te.PersistentContrastiveDivergence(Count(), k=4, chains=10, restart=0.0)
    step = objective.gradient(LINEAR, np.zeros((2, 1)), rng(0))
    moved = ~FAR.contains(step.state["chains"])

    assert step.state["chains"].shape == (10, 1) and moved.sum() == 2
    assert FAR.contains(step.state["chains"] - 4 * moved[:, None]).all()
    assert abs(step.gradient["w"] + step.state["chains"][moved].mean()) < 1e-12


@pytest.mark.parametrize("batch", [3, 10, 25])
def test_pcd_uses_its_pool_and_writes_it_back(batch):
    """Chains numbered 0, 10, ..., 90: those lent are k further, in their own slots, and were the negatives.

    Catches chains returned to the data, a pool left as it was or shuffled, a pool changed in place, and a batch larger
    than the pool (which then lends all it has).
    """
    pool = 10 * np.arange(10.0)[:, None]
    objective = te.PersistentContrastiveDivergence(Count(), k=4, chains=10, restart=0.0)
    step = objective.gradient(LINEAR, np.full((batch, 1), 5.0), rng(0), {"chains": pool})
    change = (step.state["chains"] - 10 * np.arange(10.0)[:, None])[:, 0]

    assert sorted(change) == [0] * (10 - min(batch, 10)) + [4] * min(batch, 10)
    assert abs(step.gradient["w"] - (5 - step.state["chains"][change == 4].mean())) < 1e-12
    np.testing.assert_array_equal(pool[:, 0], 10 * np.arange(10))


def test_pcd_with_restart_1_never_persists():
    """Every lent chain comes from the initial law, whatever the pool says: catches the complement of the rate."""
    objective = te.PersistentContrastiveDivergence(Count(), k=4, chains=10, restart=1.0)
    step = objective.gradient(LINEAR, np.zeros((10, 1)), rng(0), {"chains": np.zeros((10, 1))})

    assert FAR.contains(step.state["chains"] - 4).all()


# ------------------------------------------------------------------------------------- general

@pytest.mark.parametrize("alpha", [0.0, 0.25])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_nan_is_not_hidden(name, alpha):
    """A nan θ: loss and gradient are nan.  A nan in the energy of one datum: the loss, and through alpha the gradient too.

    Catches NaN behind a finite loss, and a `nan_to_num` anywhere between the energies and the optimiser.
    """
    objective, x = OBJECTIVES[name](Count(), k=2, alpha=alpha), np.array([[1.0], [7.0]])
    square = te.Density(lambda theta, x: theta["w"] * theta["w"] * x[:, 0], {"w": np.array(math.nan)}, FAR)
    step = objective.gradient(square, x, rng(0))
    assert np.isnan(step.gradient["w"]) and np.isnan(step.metrics["loss"])

    hole = lambda theta, x: theta["w"] * x[:, 0] + np.where(x[:, 0] == 7, math.nan, 0.0)
    step = objective.gradient(te.Density(hole, {"w": np.array(2.0)}, FAR), x, rng(0))
    assert np.isnan(step.metrics["loss"]) and np.isnan(step.metrics["energy_data"])
    assert np.isnan(step.gradient["w"]) == (alpha > 0)


def test_defaults_are_the_documented_ones():
    """Catches a pool, a rate or a number of steps that changes without its docstring."""
    kernel = te.ULA(0.1)

    assert te.ContrastiveDivergence(kernel) == te.ContrastiveDivergence(kernel, k=1, alpha=0.0)
    assert te.PersistentContrastiveDivergence(kernel) == te.PersistentContrastiveDivergence(kernel, 1, 1024, 0.05, 0.0)
    assert te.ShortRun(kernel) == te.ShortRun(kernel, k=100, alpha=0.0)


@pytest.mark.parametrize("kernel", [te.ULA(0.1), te.MALA(0.1)])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_float32_stays_float32(name, kernel):
    """Gradient and chains.  Catches float64 weights, pools or starting points."""
    theta = tree_map(lambda leaf: leaf.astype("float32"), NET.init(rng(0)))
    x = rng(1).standard_normal((9, 2)).astype("float32")
    step = OBJECTIVES[name](kernel, k=2, alpha=0.1).gradient(te.Density(NET, theta, te.Reals(2)), x, rng(2))

    assert {leaf.dtype for layer in step.gradient for leaf in layer.values()} == {np.dtype("float32")}
    assert name != "pcd" or step.state["chains"].dtype == np.float32


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("options", [{"k": 0}, {"k": -1}, {"k": 1.5}, {"k": True}, {"alpha": -0.1}, {"alpha": math.nan}])
def test_impossible_options(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        OBJECTIVES[name](Count(), **options)


@pytest.mark.parametrize("options", [{"chains": 0}, {"restart": 1.5}, {"restart": -0.1}])
def test_impossible_pools(options):
    with pytest.raises(ValueError, match="must be"):
        te.PersistentContrastiveDivergence(Count(), **options)


# ----------------------------------------------------------------------------- perfect samples

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
    assert np.abs(z).max() < 5 and 0.4 < math.sqrt(np.mean(z**2)) < 1.8
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
    seen, quadrature = [], contrastive.quadrature
    monkeypatch.setattr(contrastive, "quadrature", lambda p, rtol: seen.append(float(p.theta["barrier"])) or quadrature(p, rtol))
    state, well = None, te.DoubleWell()
    for barrier in range(2, 10):
        p = te.Density(well, {"barrier": np.array(float(barrier))}, te.Reals(1))
        before = state
        state = te.PerfectSamples(10, refresh=3).gradient(p, np.zeros((4, 1)), rng(0), state).state
        assert before is None or before["age"] in (1, 2, 3)  # a state is not changed in place

    assert seen == [2.0, 5.0, 8.0]


def test_cells_left_out_have_no_mass():
    """Of N(1, 4) the cells kept are fewer than the grid's and hold all but rtol / 100.  Catches a cut by height or by 1 / N²."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.ones(1), "precision": np.array([[0.25]])}, te.Reals(1))
    for rtol in (1e-3, 0.5):
        state = te.PerfectSamples(10, rtol).gradient(p, np.zeros((4, 1)), rng(0)).state
        inside = stats.norm(1, 2).cdf(state["high"]).sum() - stats.norm(1, 2).cdf(state["low"]).sum()
        grid = contrastive.quadrature(p, rtol).grid
        assert 1 - 0.01 * rtol < inside <= 1 + 1e-12 and len(state["low"]) < 0.8 * grid.size


def test_perfect_samples_stay_float32():
    """Catches float64 draws beside float32 data."""
    theta = tree_map(lambda leaf: leaf.astype("float32"), NET.init(rng(0)))
    step = te.PerfectSamples(7, alpha=0.1).gradient(te.Density(NET, theta, te.Reals(2)), np.ones((9, 2), "float32"), rng(2))

    assert {leaf.dtype for layer in step.gradient for leaf in layer.values()} == {np.dtype("float32")}


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
