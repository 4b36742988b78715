"""Maximum mean discrepancy: normal laws in closed form, all samples of a small law enumerated, errors beside true spreads."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

import tinyebm as te
from tinyebm.diagnostics import mmd as module
from tinyebm.exact.likelihood import data_law

rng = np.random.default_rng  # every test makes its own


def normal(mean, covariance):
    theta = {"mean": np.array(mean, float), "precision": np.linalg.inv(np.array(covariance, float))}
    return te.Density(te.GaussianEnergy(len(mean)), theta, te.Reals(len(mean)))


def kernel_mean(m, S, n, T, h):
    """E k(x, y) for x ~ N(m, S), y ~ N(n, T): x - y ~ N(m - n, C), so det(1 + C/h²)^{-1/2} e^{-δᵀ (C + h²)⁻¹ δ / 2}."""
    delta, C = np.subtract(m, n), np.add(S, T)
    scale = np.linalg.det(np.eye(len(delta)) + C / h**2) ** -0.5
    return scale * math.exp(-0.5 * delta @ np.linalg.solve(C + h**2 * np.eye(len(delta)), delta))


def of_normals(p, q, h):
    return kernel_mean(*p, *p, h) + kernel_mean(*q, *q, h) - 2 * kernel_mean(*p, *q, h)


def by_definition(x, y, h):
    """Eq. (1) in loops over pairs of different rows."""
    k = lambda a, b: math.exp(-sum((a - b) ** 2) / (2 * h**2))
    same = [np.mean([k(z[i], z[j]) for i, j in itertools.permutations(range(len(z)), 2)]) for z in (x, y)]
    return sum(same) - 2 * np.mean([k(a, b) for a in x for b in y])


PAIRS = [(([0.0], [[1.0]]), ([1.5], [[0.5]])), (([0.3], [[2.0]]), ([0.3], [[2.0]])), (([0.0], [[0.2]]), ([9.0], [[0.1]])),
         (([0.0, 0.0], [[1.0, 0.4], [0.4, 0.5]]), ([1.0, -0.5], [[0.7, 0.0], [0.0, 1.5]]))]  # fmt: skip


@pytest.mark.parametrize("h", [0.6, 1.0, 5.0])
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_normal_laws_in_closed_form(p, q, h):
    """Populations both, without noise.  Catches h² for 2h², a cross term counted once, and pairs left out of a population."""
    found, back = te.mmd(normal(*p), normal(*q), h), te.mmd(normal(*q), normal(*p), h)

    assert abs(found - of_normals(p, q, h)) < 1e-8 and abs(found - back) < 1e-14
    assert found.error == 0.0


def test_populations_of_every_kind():
    """A Target is the law it is, a space of states too: by sums over both laws.  Catches weights of atoms that are lost."""
    target, bars = te.datasets.load("bimodal"), te.datasets.load("bars_and_stripes_3x3")
    coins = te.Density(te.BoltzmannMachine(9), {"W": np.zeros(36), "b": np.linspace(-1, 1, 9)}, te.Bits(9))
    x, mass = target.law
    for one, other, (y, rest) in ((target, normal([0.0], [[1.0]]), te.Reals(1, extent=9.0).atoms()),
                                  (bars, coins, te.Bits(9).atoms())):  # fmt: skip
        x, mass = one.law
        other_mass = np.exp(te.log_prob(other, y) + rest)
        k = lambda a, b: np.exp(-cdist(a, b) ** 2 / 8)
        exact = mass @ k(x, x) @ mass + other_mass @ k(y, y) @ other_mass - 2 * mass @ k(x, y) @ other_mass
        assert abs(te.mmd(one, other, 2.0) - exact) < 1e-9 and abs(te.mmd(one, one, 2.0)) < 1e-12


def test_samples_by_the_definition():
    """In loops; symmetric; the same in blocks.  Catches pairs of a row with itself, a transposed mean, blocks that are lost."""
    x, y = rng(0).normal(0, 1, (9, 2)), rng(1).normal(0.5, 2, (14, 2))
    found, back = te.mmd(x, y, 1.3), te.mmd(y, x, 1.3)

    assert found == pytest.approx(by_definition(x, y, 1.3), abs=1e-14)
    assert (found.value, found.error) == pytest.approx((back.value, back.error), rel=1e-12)


def test_the_error_by_its_definition():
    """Hoeffding's decomposition in explicit matrices, h(x_i; .) = k(x_i, x') - k(x_i, y'): catches any of its parts lost."""
    x, y, h = rng(0).normal(0, 1, (9, 1)), rng(1).normal(1, 1, (14, 1)), 1.1
    k = {(i, j): np.exp(-cdist(a, b) ** 2 / (2 * h**2)) for i, a in enumerate((x, y)) for j, b in enumerate((x, y))}
    means = {}
    for (i, j), table in k.items():
        others = np.where(np.eye(len(table)) == 1, np.nan, table) if i == j else table
        means[i, j] = np.nanmean(others, axis=1)
    spread = {}
    for (i, j), table in k.items():
        centred = table - means[i, j][:, None] - means[j, i] + means[i, j].mean()
        spread[i, j] = np.mean(centred[~np.eye(len(table), dtype=bool)] ** 2 if i == j else centred**2)
    variance = 4 * spread[0, 1] / (9 * 14)
    for i, n, m in ((0, 9, 14), (1, 14, 9)):
        first = np.var(means[i, i] - means[i, 1 - i], ddof=1) - spread[i, i] / (n - 1) - spread[0, 1] / m
        assert first > 0
        variance += 4 * first / n + 2 * spread[i, i] / (n * (n - 1))

    assert te.mmd(x, y, h).error == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_blocks(monkeypatch):
    """Of 5 rows at a time: value and error stay.  Catches a diagonal taken out of the wrong block."""
    x, y = rng(0).normal(0, 1, (23, 2)), rng(1).normal(0.5, 2, (11, 2))
    whole = te.mmd(x, y, 1.3)
    monkeypatch.setattr(module, "ROWS", 5)
    parts = te.mmd(x, y, 1.3)

    assert (parts.value, parts.error) == pytest.approx((whole.value, whole.error), rel=1e-12)


STATES, P, Q = np.array([[0.0], [1.0], [2.5]]), np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.1, 0.3])


@pytest.mark.parametrize(("p", "q", "sizes"), [(P, Q, (4, 2)), (P, P, (3, 3)), (P, Q, (4, None))])
def test_all_samples_of_a_small_law(p, q, sizes):
    """Exactly unbiased: the mean over all samples, each with its probability, is MMD² of the laws.

    Catches a V-statistic, whose bias is 1/n, and pairs left out of the side that is a population.
    """
    k = np.exp(-cdist(STATES, STATES) ** 2 / 2)
    exact = (p - q) @ k @ (p - q)
    population = te.Density(te.TabularEnergy(3), {"energy": -np.log(q)}, te.Cells(3))
    if sizes[1] is None:  # the states of Cells are 0, 1, 2
        states, k = np.arange(3.0)[:, None], np.exp(-cdist(*[np.arange(3.0)[:, None]] * 2) ** 2 / 2)
        exact = (p - q) @ k @ (p - q)
    else:
        states = STATES
    total = 0.0
    for i in itertools.product(range(3), repeat=sizes[0]):
        for j in itertools.product(range(3), repeat=sizes[1] or 0):
            y = population if sizes[1] is None else states[list(j)]
            total += np.prod(p[list(i)]) * np.prod(q[list(j)]) * te.mmd(states[list(i)], y, 1.0)

    assert abs(total - exact) < 1e-13


@pytest.mark.parametrize(("shift", "sizes"), [(0.0, (40, 60)), (0.0, (25, None)), (0.7, (40, 60)), (3.0, (40, 60)),
                                              (0.7, (30, None)), (0.2, (100, 20))])  # fmt: skip
def test_errors_are_those_of_many_samples(shift, sizes):
    """Unbiased within 5 standard errors, and the reported error 0.8 to 1.25 times the true spread, equal laws or not.

    Between equal laws that is the median error: a first-order part of 0 is never estimated below 0, so large ones are too large.
    Catches one of the four parts of the variance left out, n for m, and an error of 0 between samples of equal laws.
    """
    r, p, q = rng(3), ([0.0], [[1.0]]), ([shift], [[1.0]])
    population, found = normal(*q), []
    for _ in range(400 if sizes[1] else 80):
        y = population if sizes[1] is None else r.normal(shift, 1, (sizes[1], 1))
        found.append(te.mmd(r.normal(0, 1, (sizes[0], 1)), y, 1.0))
    values, errors = np.array(found), np.array([f.error for f in found])

    assert abs(values.mean() - of_normals(p, q, 1.0)) < 5 * values.std(ddof=1) / math.sqrt(len(values))
    typical = math.sqrt((errors**2).mean()) if shift else np.median(errors)
    assert 0.8 < typical / values.std(ddof=1) < 1.25


def test_default_bandwidth(monkeypatch):
    """The median distance of all pairs together; of at most SAMPLE points from all of x and y.  Catches distances of 0."""
    x, y = rng(0).normal(0, 1, (31, 2)), rng(1).normal(3, 2, (20, 2))
    h = np.median(pdist(np.concatenate([x, y])))

    assert te.mmd(x, y) == pytest.approx(te.mmd(x, y, h), rel=1e-12) and te.mmd(x, y).error > 0
    assert te.mmd(10 * x, 10 * y) == pytest.approx(te.mmd(x, y), rel=1e-12)  # no unit is left
    monkeypatch.setattr(module, "SAMPLE", 20)
    thin = np.median(pdist(np.concatenate([x[::3], y[::2]])))
    assert te.mmd(x, y) == pytest.approx(te.mmd(x, y, thin), rel=1e-12)


def test_a_population_is_not_seen_through_too_small_a_hole():
    """Refused where its nodes are farther apart than h; above, right to 1e-7.  Catches 0.138 ± 0 for 0.093."""
    p, q = PAIRS[0]
    with pytest.raises(te.QuadratureError, match=r"nodes of Reals.* are 0\.37 apart, too coarse for a bandwidth of 0\.1"):
        te.mmd(normal(*p), rng(0).normal(0, 1, (9, 1)), 0.1)
    for h in (0.4, 0.6):
        assert abs(te.mmd(normal(*p), normal(*q), h) - of_normals(p, q, h)) < 1e-8
    assert te.mmd(rng(0).normal(0, 1, (9, 1)), rng(1).normal(0, 1, (9, 1)), 0.01).error > 0
    bars = te.datasets.load("bars_and_stripes_3x3")
    assert te.mmd(bars, bars, 0.01) == pytest.approx(0.0, abs=1e-14)  # states are no nodes


def test_laws_that_differ_are_told_apart():
    """Same mean and covariance, other shape: |z| > 5, where the wrong sign or a linear kernel would see nothing."""
    x, y = rng(0).standard_normal((600, 1)), rng(1).choice([-0.95, 0.95], (600, 1)) + rng(3).normal(0, 0.3, (600, 1))
    found, same = te.mmd(x, y, 0.5), te.mmd(x, rng(2).standard_normal((600, 1)), 0.5)

    assert found > 5 * found.error > 0 and abs(same) < 4 * same.error


@pytest.mark.parametrize(("x", "y", "bandwidth", "message"), [
    (np.zeros((4, 1)), np.zeros((4, 2)), 1.0, "x has 1 columns, y has 2"),
    (np.zeros((1, 1)), np.zeros((4, 1)), 1.0, "two rows at least"), (np.zeros((4, 1)), np.zeros((1, 1)), 1.0, "two rows"),
    (np.zeros((4, 1)), np.ones((4, 1)), -1.0, "bandwidth must be positive and finite, got -1.0"),
    (np.zeros((4, 1)), np.ones((4, 1)), math.nan, "bandwidth must be positive"),
    (np.zeros((4, 1)), np.ones((4, 1)), 0.0, "bandwidth must be positive and finite, got 0.0"),
    (np.zeros((4, 1)), np.zeros((4, 1)), None, r"the median distance is 0.0"), (np.zeros(4), np.zeros(4), 1.0, "rows"),
    (np.full((4, 1), math.nan), np.zeros((4, 1)), 1.0, "nan or inf")])
def test_refusals(x, y, bandwidth, message):
    """Catches a bandwidth of 0 taken for none given."""
    with pytest.raises(ValueError, match=message):
        te.mmd(x, y, bandwidth)


def test_many_points_are_compared_in_smaller_blocks(monkeypatch):
    """Catches pairs that are lost between blocks, and a kernel matrix whose size grows with both samples."""
    x, y = np.random.default_rng(0).standard_normal((2, 300, 2))
    whole, sizes = te.mmd(x, y), []
    kernel = module._kernel
    monkeypatch.setattr(module, "_kernel", lambda x, y, h: sizes.append(len(x) * len(y)) or kernel(x, y, h))
    monkeypatch.setattr(module, "NUMBERS", 2000)
    few = te.mmd(x, y)

    assert (few, few.error) == (pytest.approx(whole, abs=1e-13), pytest.approx(whole.error, rel=1e-10))
    assert max(sizes) <= 2000


@pytest.mark.parametrize("nodes, refused", [(1.1, True), (0.9, False)])
def test_nodes_farther_apart_than_the_bandwidth_are_refused(nodes, refused):
    """Just beyond and just below the limit.  Catches a gap that is compared with a multiple of the bandwidth."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    gap = float(np.median(np.diff(data_law(p)[0][:, 0])))
    y = np.random.default_rng(0).standard_normal((50, 1))
    if refused:
        with pytest.raises(te.QuadratureError, match="too coarse for a bandwidth"):
            te.mmd(p, y, gap / nodes)
    else:
        assert te.mmd(p, y, gap / nodes).error > 0
