"""Score matching: slopes against differences, exact rationals, closed forms, and at rest where the truth is."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import ravel, tree_map
from tinyebm.density import score

rng = np.random.default_rng  # every test makes its own
OBJECTIVES = [te.ScoreMatching(), te.SlicedScoreMatching(2), te.DenoisingScoreMatching(0.4)]
CASES = [(te.MLP((1, 5, 1), "silu"), te.Reals(1)), (te.MLP((2, 5, 1), "tanh", confinement=0.3), te.Reals(2)),
         (te.MLP((3, 4, 3, 1), "softplus"), te.Reals(3)), (te.MLP((2, 4, 1), "silu"), te.Reals(2, base_scale=0.7)),
         (te.MLP((2, 4, 1), "softplus"), te.Box(-2, 2, 2)), (te.GaussianEnergy(2), te.Reals(2)), (te.Banana(), te.Reals(2)),
         (te.GaussianMixtureEnergy(2, 2), te.Reals(2)), (te.Quartic(), te.Reals(1, base_scale=2.0)),
         (te.Ring(), te.Reals(2))]  # fmt: skip
POWERS = lambda t, x: t[0] * ops.square(x[:, 0]) / 2 + t[1] * ops.square(ops.square(x[:, 0])) / 4 + t[2] * x[:, 0]


def flat(tree):
    return ravel(tree)[0]


def drawn(energy, space):
    theta = tree_map(lambda leaf: leaf + rng(1).normal(0, 0.2, leaf.shape), energy.init(rng(0)))
    return te.Density(energy, theta, space)


def at(p, theta):
    return te.Density(p.energy, theta, p.space)


def given(*normals):
    """A generator that hands out these normals."""
    arrays = iter(normals)
    return SimpleNamespace(standard_normal=lambda shape, dtype: next(arrays))


def weighted(objective, p, x, mass):
    """(loss, gradient) of a population of weighted rows: both are means, so the rows may come one by one."""
    steps = [objective.gradient(p, row[None], rng(0)) for row in x]
    return sum(w * s.metrics["loss"] for w, s in zip(mass, steps, strict=True)), sum(
        w * flat(s.gradient) for w, s in zip(mass, steps, strict=True))


def moments(mean, covariance):
    """Rows of equal mass with this mean and covariance, exactly: mean ± √d times the columns of its root."""
    root = math.sqrt(len(mean)) * np.linalg.cholesky(covariance).T
    return np.concatenate([mean + root, mean - root])


# ----------------------------------------------------------------------- the loss and its slope


@pytest.mark.parametrize(("energy", "space"), CASES, ids=repr)
def test_losses_from_scores_alone(energy, space):
    """The trace from differences of scores; the noise from its formula.

    Catches the sign of the trace, a missing ½, a sum over rows, σ z for z / σ, and a base measure without a slope.
    """
    p, x, z, h = drawn(energy, space), rng(2).uniform(-1.5, 1.5, (6, space.dim)), rng(3).standard_normal((6, space.dim)), 1e-3
    near = lambda e: (8 * (score(p, x + e) - score(p, x - e)) - score(p, x + 2 * e) + score(p, x - 2 * e)) / (12 * h)
    trace = sum(near(h * e)[:, i] for i, e in enumerate(np.eye(space.dim)))
    exact = np.mean(0.5 * (score(p, x) ** 2).sum(axis=1) + trace)
    denoised = np.mean(0.5 * ((score(p, x + 0.4 * z) + z / 0.4) ** 2).sum(axis=1))

    assert te.ScoreMatching().gradient(p, x, None).metrics["loss"] == pytest.approx(exact, abs=1e-7)
    assert te.DenoisingScoreMatching(0.4).gradient(p, x, given(z)).metrics["loss"] == pytest.approx(denoised, abs=1e-12)


@pytest.mark.parametrize(("energy", "space"), CASES[:5], ids=repr)
def test_sliced_over_all_signs_is_exact(energy, space):
    """2^d projections that are all different give the trace.  Catches |v|², a sum over projections, and v that are not ±1."""
    p, x, d = drawn(energy, space), rng(2).uniform(-1.5, 1.5, (6, space.dim)), space.dim
    signs = iter(itertools.product((0.25, 0.75), repeat=d))  # below and above one half
    every = SimpleNamespace(random=lambda shape: np.zeros(shape) + next(signs))
    sliced, exact = te.SlicedScoreMatching(2**d).gradient(p, x, every), te.ScoreMatching().gradient(p, x, None)

    assert abs(sliced.metrics["loss"] - exact.metrics["loss"]) < 1e-13
    np.testing.assert_allclose(flat(sliced.gradient), flat(exact.gradient), atol=1e-13)


@pytest.mark.parametrize("projections", [1, 3])
def test_sliced_is_exact_on_average(projections):
    """|z| < 5 over 40 000 rows, of which each has its own v.  Catches one sign for all coordinates, or for all rows."""
    P = np.array([[2.0, 0.7, -0.4], [0.7, 1.0, 0.3], [-0.4, 0.3, 1.5]])
    p = te.Density(te.GaussianEnergy(3), {"mean": np.zeros(3), "precision": P}, te.Reals(3))
    n, x = 40_000, np.zeros((40_000, 3))
    off_diagonal = 4 * (P[np.triu_indices(3, 1)] ** 2).sum()  # the variance of vᵀ P v
    loss = te.SlicedScoreMatching(projections).gradient(p, x, rng(0)).metrics["loss"]

    assert abs(loss + np.trace(P)) < 5 * math.sqrt(off_diagonal / (n * projections))
    losses = [te.SlicedScoreMatching(projections).gradient(p, x[:1], rng(seed)).metrics["loss"] for seed in range(400)]
    assert np.var(losses) == pytest.approx(off_diagonal / projections, rel=0.4)


# ------------------------------------------------------------------------------- oracles

def test_exact_rationals_on_the_line(oracle):
    """Hyvärinen's loss of a quartic and its slope.  Catches the trace's sign, the ½, and means that are sums."""
    case = oracle("cd1_langevin_to_score_matching_1d")
    p = te.Density(POWERS, np.array(case["parameters"]["theta"]), te.Reals(1))
    step = te.ScoreMatching().gradient(p, np.array(case["parameters"]["data"])[:, None], None)

    assert abs(step.metrics["loss"] - case["expected"]["sm_loss"]) < 1e-13
    np.testing.assert_allclose(step.gradient, case["expected"]["sm_gradient"], rtol=0, atol=1e-13)


def test_infinitesimal_contrastive_divergence(oracle):
    """Exact CD-1 by Langevin steps, divided by the step, has this gradient as its limit, and an error linear in the step."""
    case = oracle("cd1_langevin_to_score_matching_1d")
    x, p = np.array(case["parameters"]["data"])[:, None], te.Density(POWERS, np.array(case["parameters"]["theta"]), te.Reals(1))
    limit = te.ScoreMatching().gradient(p, x, None).gradient
    for eps in ("1/10", "1/100", "1/1000"):
        step_size = 0.5 / float(eps.partition("/")[2])  # half the oracle's
        scaled = te.exact_cd_gradient(p, x, te.ULA(step_size), 1) / step_size
        np.testing.assert_allclose(scaled, case["expected"]["ratio_cd1_over_half_eps"][eps], atol=1e-9)
        assert np.abs(scaled - limit).max() < 3 * step_size


def net(oracle, name):
    """(density, data, the oracle's order of a gradient, its numbers) of a network in the plane."""
    case = oracle(name)
    t = np.array(case["parameters"]["theta"])
    theta = [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}]
    order = lambda g: np.concatenate([g[0]["W"].T.ravel(), g[0]["b"], g[1]["W"][:, 0]])
    p = te.Density(te.MLP((2, 4, 1), "tanh", confinement=1.0), theta, te.Reals(2))
    return p, np.array(case["parameters"]["data"]), order, case


def test_network_in_the_plane(oracle):
    """Hyvärinen's gradient, and the denoising loss with given noise.  Catches axes of the trace confused, z with a minus."""
    p, x, order, case = net(oracle, "mlp2d_tanh_langevin_cd_mala")
    gradient = order(te.ScoreMatching().gradient(p, x, None).gradient)
    np.testing.assert_allclose(gradient, case["expected"]["sm_gradient"], rtol=0, atol=1e-12)

    p, x, order, case = net(oracle, "mlp2d_tanh_nce_dsm")
    step = te.DenoisingScoreMatching(0.5).gradient(p, x, given(np.array(case["parameters"]["noise"])))
    assert abs(step.metrics["loss"] - case["expected"]["dsm_loss"]) < 1e-12


def test_optima_by_moments(oracle):
    """Rows with m2 = 1, m4 = 2.5, m6 = 9 (two nodes of Gauss in x²): optima of x², x⁴ and both; likelihood's is another.

    Catches any of J's two terms with another factor.
    """
    known = oracle("score_matching_closed_forms")["expected"]
    u = np.roots([1, -13 / 3, 11 / 6])  # the polynomial orthogonal to 1 and u
    mass = np.array([1 - u[1], u[0] - 1]) / (u[0] - u[1])
    x, mass = np.sqrt(np.concatenate([u, u]))[:, None] * np.array([[1], [1], [-1], [-1]]), np.concatenate([mass, mass]) / 2
    np.testing.assert_allclose([mass @ x[:, 0] ** k for k in (0, 2, 4, 6)], [1, 1, 2.5, 9], atol=1e-13)
    slope = lambda *t: weighted(te.ScoreMatching(), te.Density(POWERS, np.array([*t, 0.0]), te.Reals(1)), x, mass)[1]

    for axis, name in ((0, "a_sm"), (1, "b_sm")):
        best = np.eye(2)[axis] * known[name]
        assert abs(slope(*best)[axis]) < 1e-13
        assert slope(*(best * 1.1))[axis] > 1e-2 and slope(*(best * 0.9))[axis] < -1e-2
    np.testing.assert_allclose(slope(*known["c_sm"]), 0, atol=1e-13)

    likely = te.Density(lambda t, x: POWERS(t * np.array([0.0, 1.0, 0.0]), x), np.array([0.0, known["b_ml"], 0.0]), te.Reals(1))
    ml = sum(w * te.nll_gradient(likely, row[None])[1] for w, row in zip(mass, x, strict=True))
    assert abs(ml) < 1e-7 and slope(0, known["b_ml"])[1] > 0.1


def test_denoising_optimum(oracle):
    """Data ±√v and noise ±1 have all moments that the loss sees: the optimum is 1 / (v + n), the loss there is not 0."""
    case = oracle("score_matching_closed_forms")
    v, n = case["parameters"]["v"], case["parameters"]["n"]
    x, z = (np.array(list(itertools.product((-1, 1), repeat=2)), dtype=float)[:, [i]] for i in (0, 1))
    step = lambda t: te.DenoisingScoreMatching(math.sqrt(n)).gradient(
        te.Density(POWERS, np.array([t, 0.0, 0.0]), te.Reals(1)), math.sqrt(v) * x, given(z))
    best = step(case["expected"]["d_theta"])

    assert abs(best.gradient[0]) < 1e-13 and abs(best.metrics["loss"] - case["expected"]["d_loss"]) < 1e-13
    assert step(0.6).gradient[0] > 1e-2 and step(0.54).gradient[0] < -1e-2


# ----------------------------------------------------------------- where the population is at rest

MEAN, COVARIANCE = np.array([0.5, -1.0]), np.array([[1.5, 0.6], [0.6, 0.8]])


def normal(covariance):
    return te.Density(te.GaussianEnergy(2), {"mean": MEAN, "precision": np.linalg.inv(covariance)}, te.Reals(2))


@pytest.mark.parametrize("sigma", [None, 0.3, 1.0])
def test_a_normal_population(sigma):
    """At rest at N(m, C); denoising at N(m, C + σ² I).  On either side the slope leads back.

    Catches a denoising loss whose optimum is the data's law, or one smoothed by σ.
    """
    x, z = moments(MEAN, COVARIANCE), moments(np.zeros(2), np.eye(2))
    pairs = np.array([(i, j) for i in range(len(x)) for j in range(len(z))])
    truth = COVARIANCE + (sigma or 0) ** 2 * np.eye(2)
    if sigma is None:
        gradient = lambda p: te.ScoreMatching().gradient(p, x, None).gradient
    else:
        gradient = lambda p: te.DenoisingScoreMatching(sigma).gradient(p, x[pairs[:, 0]], given(z[pairs[:, 1]])).gradient

    assert np.abs(flat(gradient(normal(truth)))).max() < 1e-13
    along = [np.sum(gradient(normal(truth / (1 + t)))["precision"] * np.linalg.inv(truth)) for t in (-0.1, 0.1)]
    assert along[0] < -1e-2 and along[1] > 1e-2
    aside = at(normal(truth), {**normal(truth).theta, "mean": MEAN + 0.1})
    assert gradient(aside)["mean"] @ np.full(2, 0.1) > 1e-3


@pytest.mark.parametrize(("energy", "space"), [
    (te.MLP((1, 5, 1), "tanh", confinement=1.0), te.Reals(1, extent=9)), (te.Quartic(), te.Reals(1, extent=3.5)),
    (te.MLP((1, 4, 1), "silu"), te.Reals(1, base_scale=0.8))], ids=repr)
def test_a_population_on_the_line(energy, space):
    """All atoms of p as rows: the truth is at rest, and losses differ as half the mean squared distances of scores do.

    The identity J(θ) - J(θ') = ½ E|s_θ - s|² - ½ E|s_θ' - s|² is Hyvärinen's theorem.  Catches each of its terms.
    """
    p = drawn(energy, space)
    x, mass = space.atoms(140)[0], te.probabilities(p, 140)
    assert np.abs(weighted(te.ScoreMatching(), p, x, mass)[1]).max() < 1e-11

    others = [at(p, tree_map(lambda leaf, f=f: leaf * f + 0.05, p.theta)) for f in (0.7, 1.2)]
    J = [weighted(te.ScoreMatching(), q, x, mass)[0] for q in others]
    distance = [0.5 * mass @ ((score(q, x) - score(p, x)) ** 2)[:, 0] for q in others]
    assert distance[0] > 1e-3 and J[0] - J[1] == pytest.approx(distance[0] - distance[1], abs=1e-11)


def test_loss_of_a_normal_in_the_plane():
    """J = ½ tr P C P - tr P, whatever the mean.  Catches rows or axes that are counted once too often."""
    P = np.array([[2.0, -0.3], [-0.3, 0.5]])
    p = te.Density(te.GaussianEnergy(2), {"mean": MEAN, "precision": P}, te.Reals(2))
    J = te.ScoreMatching().gradient(p, moments(MEAN, COVARIANCE), None).metrics["loss"]

    assert abs(J - (0.5 * np.trace(P @ COVARIANCE @ P) - np.trace(P))) < 1e-13


# ------------------------------------------------------------------------------------- general


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
@pytest.mark.parametrize("space", [te.Bits(2), te.Spins(2), te.Cells(3, 2)], ids=repr)
def test_states_have_no_slopes(objective, space):
    """Catches a loss of a polynomial between the states."""
    p = te.Density(te.BoltzmannMachine(2), {"W": np.ones(1), "b": np.zeros(2)}, space)
    with pytest.raises(ValueError, match=f"{type(objective).__name__} matches slopes, and .* has none: use Pseudolikelihood"):
        objective.gradient(p, space.initial(3, rng(0)), rng(0))


@pytest.mark.parametrize("projections", [0, -1, 1.5, True])
def test_impossible_projections(projections):
    with pytest.raises(ValueError, match="projections must be a positive number of directions"):
        te.SlicedScoreMatching(projections)


@pytest.mark.parametrize("sigma", [0, -0.1, math.inf, math.nan])
def test_impossible_noise(sigma):
    with pytest.raises(ValueError, match="sigma must be positive and finite"):
        te.DenoisingScoreMatching(sigma)


@pytest.mark.parametrize("objective", [te.ScoreMatching(), te.SlicedScoreMatching()], ids=repr)
def test_kinks_are_refused(objective):
    """A relu network's Laplacian is a spike at every kink, which the trace misses: the truth would not be at rest.

    Denoising needs no second derivative.
    """
    net = te.MLP((1, 8, 1), "relu", 1.0)
    p, x = te.Density(net, net.init(np.random.default_rng(0)), te.Reals(1)), np.ones((3, 1))
    with pytest.raises(ValueError, match=f"{type(objective).__name__} needs second derivatives, .*relu.* has kinks"):
        objective.gradient(p, x, np.random.default_rng(0))
    assert np.isfinite(te.DenoisingScoreMatching(0.3).gradient(p, x, np.random.default_rng(0)).metrics["loss"])


def test_rows_of_many_columns_come_a_few_at_a_time(monkeypatch):
    """Blocks of 32 rows against one block.  Catches a block lost, and a mean of blocks of different sizes."""
    energy = lambda theta, x: ops.sum(ops.softplus(x @ theta), axis=1) + 0.5 * ops.sum(x * x, axis=1)
    p = te.Density(energy, np.random.default_rng(0).standard_normal((5, 3)), te.Reals(5))
    x = np.random.default_rng(1).standard_normal((70, 5))
    whole, laplacian = te.ScoreMatching().gradient(p, x, None), te.laplacian(p, x)
    monkeypatch.setattr("tinyebm.autodiff.blocks.SLOPES", 25)
    found = te.ScoreMatching().gradient(p, x, None)

    np.testing.assert_allclose(found.gradient, whole.gradient, rtol=1e-12)
    assert found.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=1e-12)
    np.testing.assert_allclose(te.laplacian(p, x), laplacian, rtol=1e-12)
