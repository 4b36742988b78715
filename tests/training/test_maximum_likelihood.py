"""Maximum likelihood to convergence: where the answer has a formula, and where the exact gradient must vanish."""

import functools
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import ravel
from tinyebm.exact.nodes import follow
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.sums import model_phase
from tinyebm.training import maximum_likelihood
from tinyebm.training.maximum_likelihood import spread_of_statistics

rng = np.random.default_rng  # every test makes its own
PLANE = rng(0).standard_normal((60, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]]) + [1.0, -2.0]


def mle(energy, data, space=None, **options):
    return te.mle(energy, data, space, progress=False, **options)


def gradient_at(found, data):
    """The largest component of the gradient of the NLL, by a quadrature of its own."""
    return np.abs(ravel(te.nll_gradient(found.density, data, rtol=1e-10))[0]).max()


@pytest.mark.parametrize("x", [PLANE[:, :1], PLANE, PLANE[:4]], ids=["line", "plane", "four points"])
def test_a_gaussian_recovers_mean_and_covariance(x):
    """Of the sample, divided by n.  Catches n - 1, a precision taken for a covariance, and a run stopped too soon."""
    found = mle(te.GaussianEnergy(x.shape[1]), x, gtol=1e-7)  # below, values of the NLL differ by rounding alone

    np.testing.assert_allclose(found.theta["mean"], x.mean(axis=0), rtol=0, atol=1e-6)
    covariance = np.cov(x.T, ddof=0).reshape(x.shape[1], -1)
    np.testing.assert_allclose(np.linalg.inv(found.theta["precision"]), covariance, rtol=0, atol=1e-6)
    assert found.history["converged"][-1] is True

    entropy = 0.5 * (math.log(np.linalg.det(covariance)) + x.shape[1] * math.log(2 * math.pi * math.e))
    assert found.history["nll"][-1] == pytest.approx(entropy, abs=1e-8)  # at the maximum
    assert found.history["nll"][-1] == pytest.approx(te.nll(found.density, x), abs=1e-8)


@pytest.mark.parametrize("mean, scale", [(5.0, 3.0), (30.0, 1.0), (0.0, 30.0), (0.0, 0.1), (0.0, 0.03)])
def test_data_in_other_units(mean, scale):
    """Far from the standard normal that `init` starts from, or much wider, or much narrower.

    Catches a likelihood that is good on the grid of the step before, and nowhere else.
    """
    x = mean + scale * PLANE[:, :1]
    theta = mle(te.GaussianEnergy(1), x).theta

    np.testing.assert_allclose(theta["mean"], x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(1 / theta["precision"][0], x.var(axis=0), rtol=1e-3)


def test_a_mixture_recovers_a_mixture():
    """The population itself, by quadrature: KL = 0, and its weights, means and widths.  Catches a sample taken for it."""
    target = te.datasets.load("bimodal")
    found = mle(te.GaussianMixtureEnergy(2, 1), target)

    assert found.history["converged"][-1]
    assert abs(te.kl(target, found.density)) < 1e-9
    assert found.history["nll"][-1] == pytest.approx(target.entropy, abs=1e-9)


def test_a_quartic_recovers_the_double_well():
    """2 (x² - 1)² is a x² + b x⁴ with a = -4, b = 2."""
    theta = mle(te.Quartic(), te.datasets.load("double_well"), gtol=1e-8).theta

    assert theta["a"] == pytest.approx(-4, abs=1e-6) and theta["b"] == pytest.approx(2, abs=1e-6)


NET = te.MLP((1, 2, 1), confinement=1.0)
WELLS = np.array([[-1.1], [-0.8], [0.3], [0.9], [1.2]])
CLUSTERS = np.array([[-2.0], [-1.5], [-1.2], [1.0], [1.4], [2.2], [2.3]])

@pytest.mark.parametrize("energy, space, data", [
    (te.DoubleWell(), None, WELLS), (te.Quartic(), None, WELLS), (te.GaussianEnergy(2), te.Box(-3, 3, 2), PLANE[:20] / 2),
    (te.GaussianMixtureEnergy(2, 1), None, CLUSTERS), (NET, None, rng(2).standard_normal((100, 1))),
], ids=["double well", "quartic", "gaussian in a box", "mixture", "network"])  # fmt: skip
def test_the_gradient_vanishes(energy, space, data):
    """Where no formula is known.  Catches convergence reported on a grid that the model has outgrown."""
    found = mle(energy, data, space, gtol=1e-6, theta={"barrier": np.array(0.5)} if energy == te.DoubleWell() else None)

    assert found.history["converged"][-1]
    assert gradient_at(found, data) < 2e-6


FLOWER = te.MLP((2, 8, 1), confinement=1.0)


@pytest.mark.parametrize("energy, space, data", [
    (NET, None, CLUSTERS), (FLOWER, None, PLANE), (FLOWER, te.Box(-6, 6, 2), PLANE), (te.Quartic(), None, WELLS),
    (te.MLP((1, 4, 1), "relu", confinement=1.0), None, WELLS)], ids=["line", "plane", "box", "quartic", "kinks"])  # fmt: skip
@pytest.mark.parametrize("steps", [1, 4])
def test_the_result_is_exact_wherever_the_run_ends(energy, space, data, steps):
    """Long before the end grids are coarse.  Catches their NLL as the result's."""
    with pytest.warns(te.ConvergenceWarning):
        found = mle(energy, data, space, max_steps=steps)
    assert found.history["step"][-1] <= steps
    assert found.history["nll"][-1] == pytest.approx(float(te.nll(found.density, data, rtol=1e-10)), abs=3e-8)


@pytest.mark.parametrize("off", [1e-6, 1e-3, 0.1])
def test_nodes_that_miss_mass_are_found_out(off, monkeypatch):
    """log Z too small by a peak, and in a way that grows with θ.  Catches a result that no search has confirmed."""
    wrong = lambda p, grid: ((found := model_phase(p, grid))[0] - off, found[1])
    monkeypatch.setattr(maximum_likelihood, "model_phase", wrong)
    found = mle(te.Quartic(), WELLS)
    assert found.history["converged"][-1] and gradient_at(found, WELLS) < 2e-6
    assert found.history["nll"][-1] == pytest.approx(float(te.nll(found.density, WELLS)), abs=1e-8)


def test_nodes_follow_the_parameters(monkeypatch):
    """Catches a search for all peaks at every θ, which takes six times as long."""
    searches = []
    monkeypatch.setattr(follow, "find_window", lambda *args: searches.append(0) or find_window(*args))
    with pytest.warns(te.ConvergenceWarning):
        found = mle(FLOWER, PLANE, max_steps=60)
    assert len(found.history["nll"]) > 60 and len(searches) < 12


def test_a_table_reaches_the_frequencies():
    """Catches states that are never seen together, and energies that run away by a constant."""
    x = rng(0).choice(4, size=(200, 1), p=[0.4, 0.3, 0.2, 0.1]) * 1.0
    found = mle(te.TabularEnergy(4), x, te.Cells(4), gtol=1e-9)

    np.testing.assert_allclose(te.probabilities(found.density), np.bincount(x[:, 0].astype(int)) / 200, rtol=0, atol=1e-8)
    assert abs(found.theta["energy"].mean()) < 1e-9


def test_where_it_starts_does_not_matter():
    """A convex problem from afar.  Catches θ that is ignored, or changed in place."""
    start = {"mean": np.array([-1.0, 2.0]), "precision": np.array([[2.0, 0.5], [0.5, 0.7]])}
    found = mle(te.GaussianEnergy(2), PLANE, theta=start, gtol=1e-9)

    np.testing.assert_allclose(found.theta["mean"], PLANE.mean(axis=0), atol=1e-6)
    assert start["mean"].tolist() == [-1.0, 2.0]
    already = mle(te.GaussianEnergy(2), PLANE, theta=found.theta, gtol=1e-8)
    assert already.history["step"] == [0] and already.history["converged"] == [True]
    one, two = already.history["nll"]  # at the start, which was tried, and at the result
    assert one == two == found.history["nll"][-1] == min(found.history["nll"])


def test_running_out_of_steps_is_said():
    """Catches converged = True after three steps of many."""
    with pytest.warns(te.ConvergenceWarning, match="mle has not converged: the 3 steps of max_steps were not enough"):
        found = mle(te.GaussianEnergy(2), PLANE, max_steps=3, theta=te.GaussianEnergy(2).init(rng(0)))

    assert found.history["converged"][-1] is False and found.history["step"][-1] == 3
    assert found.history["cause"] == ["the 3 steps of max_steps were not enough"]
    assert gradient_at(found, PLANE) > 1e-3


@pytest.mark.parametrize("data, message", [(np.zeros(5), "rows"), (np.array([[np.nan]]), "nan"), (np.zeros((0, 1)), "rows")])
def test_impossible_data(data, message):
    with pytest.raises(ValueError, match=message):
        mle(te.GaussianEnergy(1), data)


# ------------------------------------------------------------------------------------------------------ units of x, and of θ

def standard(n=80, seed=0):
    """Rows (n, 1) of mean 0 and standard deviation 1, exactly."""
    z = rng(seed).standard_normal((n, 1))
    return (z - z.mean()) / z.std()


def line(theta, x):
    """A normal law as a user would write it."""
    return theta["P"] * ops.square(x[:, 0] - theta["m"]) / 2


@pytest.mark.parametrize("mean, sd", [(1000, 1), (0, 1e-3), (1e6, 1e-2), (0, 1e3), (-50, 7), (1e-5, 1e-8)])
@pytest.mark.parametrize("energy", [te.GaussianEnergy(1), line], ids=["own", "user"])
def test_a_normal_law_in_any_units(energy, mean, sd):
    """Mean, precision and NLL, from the data's moments or from (0, 1).

    Catches a start a thousand units off, a line search that ends at its first wall, and a gradient that is small because
    its unit is large.
    """
    x = mean + sd * standard()
    theta = {"m": np.array(0.0), "P": np.array(1.0)} if energy is line else None
    found = mle(energy, x, theta=theta)
    m, P = (float(np.squeeze(found.theta[name])) for name in (("m", "P") if energy is line else ("mean", "precision")))

    assert found.history["converged"] == [True] and "cause" not in found.history
    assert abs(m - mean) < 1e-5 * sd + 1e-15 * abs(mean) and P * sd**2 == pytest.approx(1, abs=1e-5)
    assert found.history["nll"][-1] == pytest.approx(0.5 * math.log(2 * math.pi * math.e) + math.log(sd), abs=1e-8)


def test_axes_of_different_units():
    """Standard deviations 1 and 1e-4, from the standard normal: a condition of 1e8.  Catches one unit for all parameters."""
    x = np.concatenate([standard(60, 1), 1e-4 * standard(60, 2)], axis=1)
    found = mle(te.GaussianEnergy(2), x, theta=te.GaussianEnergy(2).init(rng(0)))

    root = np.linalg.cholesky(np.cov(x.T, ddof=0))
    np.testing.assert_allclose(root.T @ found.theta["precision"] @ root, np.eye(2), atol=1e-5)
    assert found.history["converged"] == [True]


POINTS = np.concatenate([rng(3).normal(-2, 0.5, (60, 1)), rng(4).normal(1, 0.3, (40, 1)), rng(5).normal(4, 1, (50, 1))])
WELL = te.datasets.load("double_well").sample(100, rng(0))


FAMILIES = {
    "two": (te.GaussianMixtureEnergy(2, 1), POINTS), "three": (te.GaussianMixtureEnergy(3, 1), POINTS),
    "gaussian-bernoulli": (te.GaussianBernoulliRBM(1, 2), POINTS), "quartic": (te.Quartic(), WELL), "ring": (te.Ring(), 3 * PLANE)}


@functools.cache
def in_its_own_units(family):
    return mle(*FAMILIES[family]).history


@pytest.mark.parametrize(("family", "shift", "scale"), [
    *((family, 0.0, scale) for family in FAMILIES for scale in (1e-3, 1e4)),
    ("two", 1000.0, 1.0), ("three", 1000.0, 1.0)])  # the others have no location, or not by it alone
def test_what_starts_near_the_data_ends_in_the_same_place_in_any_units(family, shift, scale):
    """The NLL of a + b x is that of x plus d log b.  Catches starts and ends that depend on units, for a single seed."""
    energy, x = FAMILIES[family]
    plain, moved = in_its_own_units(family), mle(energy, shift + scale * x).history

    assert plain["converged"] == moved["converged"] == [True]
    assert moved["nll"][-1] == pytest.approx(plain["nll"][-1] + x.shape[1] * math.log(scale), abs=1e-7)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_scale_of_ones_own(scale):
    """a |x|^1.5 has its maximum at a = 1 / (1.5 mean |x|^1.5).  Catches an end that is far off where a is large, or small."""
    x = scale * rng(0).standard_normal((100, 1))
    found = mle(lambda theta, x: theta["a"] * ops.abs(x[:, 0]) ** 1.5, x, theta={"a": np.array(1.0)})

    assert found.theta["a"] * 1.5 * np.mean(np.abs(x) ** 1.5) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("P", [0.01, 1.0, 1e6])
def test_spread_of_statistics(P):
    """Of ½ P (x - m)² under N(m, 1/P): √P by m, √½ / P by P, and 0 by a constant.

    Signs of some number give it to a third.  Catches a mean square instead of a variance, and the data's instead of the model's.
    """
    theta = {"P": np.array(P), "m": np.array(3.0), "c": np.array(1.0)}
    p = te.Density(lambda theta, x: line(theta, x) + theta["c"], theta, te.Reals(1))
    spread = spread_of_statistics(p, np.zeros((1, 1)), np.ones(1))

    assert spread["m"] == pytest.approx(math.sqrt(P), rel=0.6) and spread["P"] == pytest.approx(math.sqrt(0.5) / P, rel=0.6)
    assert spread["c"] == 0


# ---------------------------------------------------------------------------------------------- where there is no maximum

Z = rng(0).standard_normal((30, 1))

@pytest.mark.parametrize("energy, x, cause", [
    (te.GaussianEnergy(1), np.full((5, 1), 0.1), "all rows are equal"),
    (te.GaussianEnergy(2), np.full((5, 2), 3.0), "all rows are equal"),
    (te.GaussianEnergy(2), np.concatenate([Z, 2 * Z + 1], axis=1), "the rows lie on a line"),
    (te.GaussianEnergy(2), np.concatenate([Z, 0 * Z + 0.1], axis=1), "the rows lie on a line"),
    (te.GaussianMixtureEnergy(2, 1), np.full((5, 1), 3.0), "all rows are equal"),
    (line, np.full((5, 1), 3.0), "all rows are equal"),
])  # fmt: skip
def test_a_likelihood_without_bound_is_named(energy, x, cause):
    """Catches convergence reported on the way to -infinity, and an evaluation that fails there and ends the run in its words."""
    theta = {"m": np.array(0.0), "P": np.array(1.0)} if energy is line else None
    with pytest.warns(te.ConvergenceWarning, match=f"{cause}: .* no maximum"):
        found = mle(energy, x, theta=theta)

    assert found.history["converged"] == [False] and cause in found.history["cause"][0]


@pytest.mark.parametrize("rows", [np.array([[0.9]]), np.full((4, 1), 0.9)])
def test_equal_rows_may_have_a_maximum(rows):
    """A barrier, and a scale about 0.  Catches a warning for rows that lie on a flat, whatever the energy."""
    assert mle(te.DoubleWell(), rows).history["converged"] == [True]
    found = mle(lambda theta, x: theta["a"] * ops.abs(x[:, 0]) ** 1.5, rows, theta={"a": np.array(1.0)})
    assert found.history["converged"] == [True] and found.theta["a"] == pytest.approx(1 / (1.5 * 0.9**1.5), rel=1e-6)


BITS = (rng(0).random((60, 4)) < 0.5) * 1.0

@pytest.mark.parametrize("energy, space, x", [
    (te.BoltzmannMachine(4), te.Bits(4), BITS * [1, 0, 1, 1]),
    (te.BoltzmannMachine(4), te.Bits(4), BITS[:, [0, 0, 1, 2]]),
    (te.BoltzmannMachine(3), te.Spins(3), 2 * BITS[:, [0, 0, 1]] - 1),
    (te.RBM(4, 1), te.Bits(4), BITS * [1, 0, 1, 1]),
    (te.TabularEnergy(4), te.Cells(4), np.array([[0.0], [1.0], [1.0], [3.0]])),
], ids=["constant bit", "equal bits", "equal spins", "machine", "cell"])  # fmt: skip
def test_a_maximum_at_infinity_is_named(energy, space, x):
    """What the data never show gets no probability.  Catches an end on a slope that is too flat to be seen, called a maximum."""
    with pytest.warns(te.ConvergenceWarning, match="the maximum lies at infinity"):
        found = mle(energy, x, space)

    assert found.history["converged"] == [False]


def test_a_maximum_on_states_is_none_at_infinity():
    """Catches a warning about every machine."""
    assert mle(te.BoltzmannMachine(4), BITS, te.Bits(4)).history["converged"] == [True]


def test_a_component_that_shrinks_onto_a_row_is_named():
    """Five rows, three components.  Catches a likelihood that grows without end, reported as a number."""
    with pytest.warns(te.ConvergenceWarning, match="the model has a spike .* at the row .* no maximum"):
        mle(te.GaussianMixtureEnergy(3, 1), np.array([[-2.0], [-1.5], [1.0], [1.4], [2.2]]), max_steps=200)


def test_an_end_for_lack_of_numbers_is_named():
    """A kinked energy that is known to 1e-3 only.  Catches a run that ends in silence, and no advice for data far from 0."""
    with pytest.warns(te.ConvergenceWarning, match="no lower NLL was found, .*; column 1 .* has mean 900 and .* standardise it"):
        mle(te.Quartic(), 900 + standard(), theta={"a": np.array(1.0), "b": np.array(1.0)})


@pytest.mark.parametrize("energy, theta, error", [
    (te.MLP((2, 8, 1)), None, te.DivergentPartitionError),
    (lambda theta, x: theta["a"] * ops.sum(x * x, axis=1), {"a": np.array(-1.0)}, te.QuadratureError)],
    ids=["network", "function"])  # fmt: skip
def test_a_start_without_a_likelihood_is_refused(energy, theta, error):
    """Z of the start is infinite.  Catches a search that begins at a likelihood of minus infinity."""
    with pytest.raises(error, match="Z is infinite"):
        te.mle(energy, np.random.default_rng(0).standard_normal((50, 2)), te.Reals(2), theta=theta, progress=False)


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-5, 5, 1)], ids=repr)
@pytest.mark.parametrize("rtol, error, words", [
    (0, ValueError, "rtol must be between 0 and 1"), (1.5, ValueError, "rtol must be between 0 and 1"),
    (1e-15, te.QuadratureError, "rtol=1e-15 is too small")])  # fmt: skip
def test_an_rtol_out_of_reach_is_refused(rtol, error, words, space):
    """log Z is known to its rounding.  Catches a maximum where the search for all peaks fails, with an NLL of inf."""
    theta = {"a": np.array(0.3), "b": np.array(0.1)}
    with pytest.raises(error, match=words):
        mle(te.Quartic(), standard()[:40], space, theta=theta, rtol=rtol)


@pytest.mark.filterwarnings("ignore::tinyebm.ConvergenceWarning")
def test_steps_of_all_rounds_are_counted_and_masses_weigh():
    """One step for a population, under a base measure.  Catches the steps of the last round alone, and a mean over nodes."""
    space, wide = te.Reals(1, base_scale=1.5), {"mean": np.array([0.7]), "precision": np.eye(1)}
    data = te.Density(te.GaussianEnergy(1), wide, te.Reals(1))
    found = mle(te.MLP((1, 3, 1), "silu"), data, space, max_steps=1)

    assert found.history["step"] == [1] and "the 1 steps of max_steps" in found.history["cause"][0]
    assert found.history["nll"][-1] == pytest.approx(float(te.nll(found.density, data)), abs=1e-7)


@pytest.mark.filterwarnings("ignore::tinyebm.ConvergenceWarning")
def test_rounds_share_their_steps_and_nodes_grow_stricter(monkeypatch):
    """Catches rounds of max_steps each, a tolerance that grows again, and a search for peaks that does not know the rows."""
    rounds, tolerances, rows = [], [], []
    lbfgs, nodes, phase = maximum_likelihood.lbfgs, maximum_likelihood.follow, maximum_likelihood.exact_phase
    monkeypatch.setattr(maximum_likelihood, "lbfgs", lambda *given: rounds.append(lbfgs(*given)) or rounds[-1])
    monkeypatch.setattr(maximum_likelihood, "follow", lambda p, rtol, *given: tolerances.append(rtol) or nodes(p, rtol, *given))
    monkeypatch.setattr(maximum_likelihood, "exact_phase", lambda *given, **how: rows.append(how["rows"]) or phase(*given, **how))
    x = standard()[:40]
    found = mle(te.MLP((1, 3, 1), "silu", confinement=1.0), x, te.Reals(1), max_steps=6)

    assert [sum(steps for _, _, steps, _ in rounds)] == found.history["step"] == [6]
    kept = [rtol for rtol in tolerances if rtol != 0.1]  # that of the spread of statistics
    assert kept == sorted(kept, reverse=True) and len(set(kept)) > 2
    assert rows and all(some is rows[0] for some in rows) and np.array_equal(rows[0], x)
