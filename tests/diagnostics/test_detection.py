"""The area under the ROC curve: pairs counted in two loops, its error by DeLong's sums, normal scores in closed form."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te

rng = np.random.default_rng  # every test makes its own


def pairs(x, y):
    """ψ(x_i, y_j): 1 if x_i > y_j, ½ if equal, else 0, (n, m), in loops."""
    return np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])


SCORES = [(rng(0).normal(0.5, 1, 40), rng(1).normal(0, 1, 25)), (rng(2).integers(0, 4, 30) * 1.0, rng(3).integers(0, 5, 50) * 1.0),
          (np.array([1.0, 1.0]), np.array([1.0, 1.0, 1.0])), (np.array([2.0, -math.inf, 3.0]), np.array([-math.inf, 1.0])),
          (np.array([5, 6, 7]), np.array([1, 2])), (np.array([0.0, 1.0]), np.array([3.0, 2.0]))]  # fmt: skip


@pytest.mark.parametrize(("x", "y"), SCORES)
def test_pairs_are_counted(x, y):
    """Value and error against O(nm) loops.  Catches ties that win or lose, orientation, and variances of the wrong side.

    DeLong et al., eqs. (2)-(5): S10 / n + S01 / m, with the sample covariances of the row and column means of ψ.
    """
    psi, n, m = pairs(x, y), len(x), len(y)
    area = psi.sum() / (n * m)
    s10 = sum((psi[i].mean() - area) ** 2 for i in range(n)) / (n - 1)
    s01 = sum((psi[:, j].mean() - area) ** 2 for j in range(m)) / (m - 1)
    found = te.auroc(x, y)

    assert found == pytest.approx(area, abs=1e-14)
    assert found.error == pytest.approx(math.sqrt(s10 / n + s01 / m), abs=1e-14)
    assert te.auroc(y, x) == pytest.approx(1 - area, abs=1e-14) and te.auroc(-1.0 * x, -1.0 * y) == pytest.approx(1 - area)
    assert found == pytest.approx(stats.mannwhitneyu(x, y).statistic / (n * m), abs=1e-14)


def test_only_the_order_of_scores_counts():
    """Catches a threshold or a scale."""
    x, y = SCORES[0]
    changed = te.auroc(np.exp(x) - 9, np.exp(y) - 9)

    assert (changed.value, changed.error) == (te.auroc(x, y).value, te.auroc(x, y).error)


@pytest.mark.parametrize("d", [0.0, 0.5, 2.0])
def test_normal_scores(d):
    """N(d, 1) against N(0, 1): Φ(d / √2), |z| < 5 over 400 samples, whose spread the errors report.  Catches an error of n + m."""
    r = rng(0)
    found = [te.auroc(r.normal(d, 1, 60), r.normal(0, 1, 25)) for _ in range(400)]
    values, errors = np.array(found), np.array([f.error for f in found])

    assert abs(values.mean() - stats.norm.cdf(d / math.sqrt(2))) < 5 * values.std(ddof=1) / 20
    assert 0.9 < math.sqrt((errors**2).mean()) / values.std(ddof=1) < 1.1


def test_all_samples_of_a_small_law():
    """Exactly unbiased with ties: the mean over all samples is P(x > y) + P(x = y) / 2."""
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.1, 0.3])
    exact = p @ pairs(range(3), range(3)) @ q
    total = sum(np.prod(p[list(i)]) * np.prod(q[list(j)]) * te.auroc(np.array(i) * 1.0, np.array(j) * 1.0)
                for i in itertools.product(range(3), repeat=3) for j in itertools.product(range(3), repeat=2))  # fmt: skip

    assert abs(total - exact) < 1e-14


def test_log_densities_and_energies():
    """Data score high under their model: log p and -E agree, and E itself is the other way round."""
    p = te.Density(te.DoubleWell(), {"barrier": np.array(4.0)}, te.Reals(1))
    inside, outside = te.sample(p, 300, rng(0)), rng(1).uniform(-3, 3, (300, 1))
    log_p = te.auroc(te.log_prob(p, inside), te.log_prob(p, outside))
    energy = [p.energy(p.theta, x) for x in (inside, outside)]

    assert log_p > 0.8 and te.auroc(-energy[0], -energy[1]) == log_p
    assert te.auroc(*energy) == pytest.approx(1 - log_p, abs=1e-14)


def test_one_score_has_no_spread():
    """Catches an error of 0 where nothing is known of it."""
    found = te.auroc(np.array([1.0]), np.array([0.0, 2.0, 3.0]))

    assert found == pytest.approx(1 / 3) and math.isnan(found.error)


@pytest.mark.parametrize(("x", "y", "name"), [
    (np.zeros((3, 1)), np.zeros(3), "scores_in"), (np.zeros(3), np.zeros(0), "scores_out"),
    (np.array([0.0, math.nan]), np.zeros(3), "scores_in"), (np.zeros(3), np.array([math.nan]), "scores_out")])
def test_what_is_no_score(x, y, name):
    with pytest.raises(ValueError, match=rf"{name} is an array \(n,\), n > 0, without nan"):
        te.auroc(x, y)
