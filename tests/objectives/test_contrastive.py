"""Contrastive divergence: given noise against an oracle, its mean against the exact one, where chains start, alpha."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel
from tinyebm.objectives.step import contrast
from tinyebm.samplers.kernels import Move

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


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("options", [{"k": 0}, {"k": -1}, {"k": 1.5}, {"k": True}, {"alpha": -0.1}, {"alpha": math.nan}])
def test_impossible_options(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        OBJECTIVES[name](Count(), **options)


@pytest.mark.parametrize("options", [{"chains": 0}, {"restart": 1.5}, {"restart": -0.1}])
def test_impossible_pools(options):
    with pytest.raises(ValueError, match="must be"):
        te.PersistentContrastiveDivergence(Count(), **options)


@pytest.mark.parametrize("chains", [8, 40])
def test_chains_are_checked_when_they_are_new(chains):
    """The whole pool at the first update, then those that moved; one outside stops a fit.  Catches a check of all of them."""
    class Counting(te.Reals):
        seen = []

        def contains(self, x):
            self.seen.append(len(x))
            return super().contains(x)

    class Jump:
        def step(self, p, x, rng):
            return te.Move(x + (1.0 if len(Counting.seen) < 4 else np.inf))

    objective = te.PersistentContrastiveDivergence(Jump(), chains=chains)
    energy = lambda theta, x: theta["w"] * x[:, 0]
    fit = lambda: te.fit(energy, np.zeros((8, 1)), Counting(1), objective, theta={"w": np.zeros(())}, steps=9, batch_size=8,
                         exact=False, progress=False)  # fmt: skip
    with pytest.raises(FloatingPointError, match="some persistent chains are nan or outside"):
        fit()
    assert Counting.seen[-3:] == [8, 8, 8] and Counting.seen.count(chains) == (1 if chains == 40 else len(Counting.seen))
