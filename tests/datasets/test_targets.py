"""Populations on states: a PatternTarget is a density with Z = 1, and its samples have its law."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import datasets
from tinyebm.datasets.targets import PatternTarget

rng = np.random.default_rng  # every test makes its own
LAW = np.array([0.5, 0.125, 0.25, 0.125])
STATES = {te.Bits(3): [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 1]], te.Spins(3): [[1, -1, 1], [-1, -1, -1], [1, 1, 1], [-1, 1, 1]],
          te.Cells(3, 2): [[2, 0], [0, 0], [1, 2], [2, 2]]}  # fmt: skip


@pytest.fixture(params=STATES, ids=repr)
def target(request):
    space = request.param
    states = np.array(STATES[space], dtype=float)
    return PatternTarget("four", space, states, LAW, lambda x: (x[:, 0] > 0).astype(int), 2)


def test_log_prob_by_looking_up(target):
    """Catches states numbered in another order, and log 0 that is large and finite."""
    rows = [tuple(state) for state in target.states]
    expected = [math.log(LAW[rows.index(tuple(x))]) if tuple(x) in rows else -math.inf for x in target.space.atoms()[0]]

    np.testing.assert_array_equal(target.log_prob(target.space.atoms()[0]), expected)
    np.testing.assert_array_equal(target.energy({}, target.states), -np.log(LAW))
    assert target.entropy == pytest.approx(1.75 * math.log(2), abs=1e-15)
    np.testing.assert_array_equal(target.law[0], target.states)
    np.testing.assert_array_equal(target.law[1], LAW)


def test_a_target_is_a_density(target):
    """Z = 1, its entropy, its NLL and KL against itself and the uniform law.  Catches a table that is not normalised."""
    uniform = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, target.space)
    log_n = math.log(target.space.grid().size)

    assert abs(te.log_partition(target)) < 1e-15
    np.testing.assert_allclose(te.probabilities(target)[target.space.grid().index(target.states)], LAW, atol=1e-15)
    assert abs(te.nll(target, target) - target.entropy) < 1e-14 and abs(te.kl(target, target)) < 1e-14
    assert abs(te.nll(uniform, target) - log_n) < 1e-14
    assert abs(te.kl(target, uniform) - (log_n - target.entropy)) < 1e-14
    assert te.total_variation(target, uniform) == pytest.approx(np.abs(te.probabilities(target) - math.exp(-log_n)).sum() / 2)


def test_samples_are_the_law(target, chi_square):
    """|z| < 5, and nothing else.  Catches a state off by one, and draws in the order of the list."""
    x = target.sample(20_000, rng(0))
    counts = (x[:, None] == target.states).all(axis=2).sum(axis=0)

    assert counts.sum() == 20_000 and abs(chi_square(counts, LAW)) < 5
    heavy = (x == target.states[0]).all(axis=1) - 0.5
    assert abs(heavy[1:] @ heavy[:-1]) < 5 * 0.25 * math.sqrt(20_000)
    np.testing.assert_array_equal(x, target.sample(20_000, rng(0)))


def test_exact_draws_of_a_target(target, chi_square):
    """te.sample of the target as a density.  Catches energies of +inf that are drawn."""
    x = te.sample(target, 20_000, rng(1))
    counts = (x[:, None] == target.states).all(axis=2).sum(axis=0)

    assert counts.sum() == 20_000 and abs(chi_square(counts, LAW)) < 5


def test_training_draws_from_the_population(target):
    """A machine's exact fit to the population has its moments.  Catches a Target that is read as four equal rows."""
    if len(target.space.values) == 2:
        with pytest.warns(te.ConvergenceWarning, match="the maximum lies at infinity"):  # four states have no probability
            found = te.mle(te.BoltzmannMachine(3), target, progress=False)
        mean = te.expectation(found.density, lambda x: x)
        np.testing.assert_allclose(mean, LAW @ target.states, atol=1e-3)
        assert found.density.space == target.space


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((2, 5)), np.zeros((1, 1, 3))])
def test_wrong_shapes(target, x):
    with pytest.raises(ValueError, match=r"x must have shape \(n, "):
        target.log_prob(x)


def test_named_patterns_are_targets(chi_square):
    """Catches a name whose samples are another's, or a weighted law by default."""
    for name, n in (("bars_and_stripes", 30), ("bars_and_stripes_3x3", 14)):
        target = datasets.load(name)
        counts = np.unique(target.sample(3000, rng(0)), axis=0, return_counts=True)[1]
        assert len(counts) == len(target.states) == n and abs(chi_square(counts, np.full(n, 1 / n))) < 5
        assert abs(target.entropy - math.log(n)) < 1e-14
    assert datasets.load("bars_and_stripes") is datasets.load("bars_and_stripes")
    assert abs(datasets.bars_and_stripes(3, weighted=True).probabilities.max() - 1 / 8) < 1e-15


@pytest.mark.parametrize("name", ["bars_and_stripes_3x3", "two_moons_bits"])
def test_what_is_no_state_has_no_probability(name):
    """Catches a row rounded to the nearest state, an index out of range, and the number of another state."""
    target = te.datasets.load(name)
    rows = np.stack([target.states[0], target.states[0] + 0.3, target.states[0] * 0 + 2.0, -target.states[-1]])

    assert np.isfinite(target.log_prob(rows)).tolist() == [True, False, False, False]
    assert (target.mode(rows) >= 0).tolist() == [True, False, False, False]
