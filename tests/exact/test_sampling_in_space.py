"""Exact draws: frequencies in cells against the density, independence, and bounds that are disproved; cells; exact laws."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm import ops
from tinyebm.exact import sampling

rng = np.random.default_rng  # every test makes its own
N = 40_000


def network(sizes, activation, space):
    net = te.MLP(sizes, activation)
    return te.Density(net, [{"W": 2 * layer["W"], "b": layer["b"] + 0.3} for layer in net.init(rng(2))], space)


SCALARS = lambda **values: {name: np.array(value) for name, value in values.items()}
MODELS = {  # density, half-width of the histogram, its bins per axis
    "two wells": (te.Density(te.Quartic(), SCALARS(a=-4.0, b=2.0), te.Reals(1)), 2.5, 50),
    "ring": (te.Density(te.Ring(), SCALARS(radius=1.5, scale=0.2), te.Reals(2)), 3.0, 25),
    "square": (te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Box(-2, 2, 2)), 2.0, 40),
    "slope": (te.Density(lambda theta, x: 3.0 * x[:, 0] - x[:, 1], {}, te.Box(-1, 1, 2)), 1.0, 20),
    "kinks": (network((1, 8, 1), "relu", te.Box(-2, 2, 1)), 2.0, 50),
    "kinks in the plane": (network((2, 6, 1), "relu", te.Box(-2, 2, 2)), 2.0, 20),
    "base measure": (te.Density(lambda theta, x: ops.tanh(3 * x[:, 0]), {}, te.Reals(1, base_scale=0.7)), 3.5, 50)}


def compare_counts(counts, mass):
    """Every |z| < 5, and χ² within five of its standard deviations; rare cells are put together."""
    n = counts.sum()
    many = n * mass >= 10
    expected, counts = np.append(n * mass[many], n * mass[~many].sum()), np.append(counts[many], counts[~many].sum())
    expected, counts = expected[expected > 1], counts[expected > 1]
    z = (counts - expected) / np.sqrt(expected * (1 - expected / n))
    dof = len(expected) - 1

    assert np.abs(z).max() < 5
    assert abs(((counts - expected) ** 2 / expected).sum() - dof) < 5 * math.sqrt(2 * dof)


def compare_draws(x, p, reach, bins):
    fine = -reach + 2 * reach * (np.arange(bins * 20) + 0.5) / (bins * 20)
    points = np.stack(np.meshgrid(*[fine] * p.space.dim, indexing="ij"), axis=-1).reshape(-1, p.space.dim)
    mass = np.exp(te.log_prob(p, points)) * (reach / bins / 10) ** p.space.dim
    mass = mass.reshape((bins, 20) * p.space.dim).sum(axis=tuple(range(1, 2 * p.space.dim, 2))).reshape(-1)
    counts, _ = np.histogramdd(x, bins=bins, range=[(-reach, reach)] * p.space.dim)

    assert p.space.contains(x).all()
    compare_counts(np.append(counts.reshape(-1), len(x) - counts.sum()), np.append(mass, max(0.0, 1 - mass.sum())))


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_the_density(name):
    """Catches every candidate kept, cells drawn without their volume, and one random number for both coordinates."""
    p, reach, bins = MODELS[name]
    x = te.sample(p, N, rng(0))

    assert x.shape == (N, p.space.dim)
    compare_draws(x, p, reach, bins)


def test_three_dimensions():
    """Mean and covariance of a correlated Gaussian, |z| < 5.  Catches axes of cells and nodes in another order."""
    C = np.array([[1.0, 0.6, 0.0], [0.6, 0.5, -0.1], [0.0, -0.1, 4.0]])
    mean = np.array([1.0, -2.0, 0.5])
    p = te.Density(te.GaussianEnergy(3), {"mean": mean, "precision": np.linalg.inv(C)}, te.Reals(3))
    z = (te.sample(p, N, rng(0)) - mean) @ np.linalg.inv(np.linalg.cholesky(C)).T

    assert np.abs(z.mean(axis=0)).max() < 5 / math.sqrt(N)
    second = z.T @ z / N - np.eye(3)
    assert np.abs(second / np.sqrt(1 + np.eye(3))).max() < 5 / math.sqrt(N)
    assert stats.kstest(z.reshape(-1), "norm").pvalue > 1e-6


@pytest.mark.parametrize("name", ["two wells", "ring"])
def test_draws_come_in_no_order(name):
    """Serial correlation of x and of |x|, |z| < 5.  Catches draws that are sorted, or all of one cell together."""
    x = te.sample(MODELS[name][0], N, rng(0))
    for t in (x[:, 0], np.linalg.norm(x, axis=1)):
        t = (t - t.mean()) / t.std()
        assert abs(np.mean(t[1:] * t[:-1])) < 5 / math.sqrt(N)


def test_states_are_drawn_by_their_probabilities():
    """Catches a uniform draw, and a state without probability that is reached when the random number is exactly 0."""
    p = te.Density(te.TabularEnergy(5), {"energy": np.array([np.inf, 0.0, 3.0, 1000.0, -1.0])}, te.Cells(5))
    x = te.sample(p, N, rng(0))[:, 0].astype(int)
    assert not np.isin(x, [0, 3]).any()
    compare_counts(np.bincount(x, minlength=5), te.probabilities(p))

    zeros = SimpleNamespace(random=lambda n: np.zeros(n))
    assert te.sample(p, 2, zeros).tolist() == [[1.0], [1.0]]
    ones = SimpleNamespace(random=lambda n: np.full(n, 1 - 2.0**-53))
    assert te.sample(p, 1, ones).tolist() == [[4.0]]


@pytest.mark.parametrize("waves", [1, 2.3])
def test_a_bound_that_is_disproved_is_raised(waves, monkeypatch):
    """Three cells for waves of 4 nats: every cell's bound is too low.  Catches a peak that is cut off at its bound."""
    p = te.Density(lambda theta, x: 2.0 * ops.cos(2 * math.pi * waves * x[:, 0] + 1), {}, te.Box(-1, 1, 1))
    monkeypatch.setattr(sampling, "quadrature", lambda p, rtol: SimpleNamespace(grid=p.space.grid(3)))

    compare_draws(te.sample(p, N, rng(0)), p, 1.0, 50)


def test_corners_bound_a_steep_cell(monkeypatch):
    """E = -80 x on two cells: all the mass lies at a corner.  Catches a bound from the node alone: it takes 2^9 slacks."""
    seen = []
    p = te.Density(lambda theta, x: seen.append(len(x)) or -80.0 * x[:, 0], {}, te.Box(0, 1, 1))
    monkeypatch.setattr(sampling, "quadrature", lambda p, rtol: SimpleNamespace(grid=p.space.grid(2)))
    x = te.sample(p, 1000, rng(0))[:, 0]

    assert abs(80 * (1 - x).mean() - 1) < 5 / math.sqrt(1000)
    assert sum(seen) < 200_000  # 40 candidates a draw, one bound


def test_a_bound_below_the_density_is_noticed():
    """Catches candidates above their bound that are kept in silence."""
    p = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Box(0, 1, 1))
    low, high = np.zeros((1, 1)), np.ones((1, 1))

    assert sampling._reject(p, low, high, np.array([-0.01]), np.ones(1), 10, rng(0)) is None
    assert sampling._reject(p, low, high, np.array([0.0]), np.ones(1), 10, rng(0)).shape == (10, 1)


@pytest.mark.parametrize("n", [-1, 2.5])
def test_impossible_numbers_of_draws(n):
    with pytest.raises(ValueError, match="n must be a number of draws >= 0"):
        te.sample(MODELS["square"][0], n, rng(0))


def test_no_draws_and_the_same_draws():
    """Catches a generator other than the one given."""
    p = MODELS["ring"][0]

    assert te.sample(p, 0, rng(0)).shape == (0, 2)
    np.testing.assert_array_equal(te.sample(p, 50, rng(7)), te.sample(p, 50, rng(7)))


# -------------------------------------------------------------------------------------- cells

@pytest.mark.parametrize("space", [te.Box(-1, 2, 1), te.Box(-1, 2, 2), te.Box(-1, 2, 3), te.Reals(2)], ids=repr)
def test_cells_tile_and_share_their_corners(space):
    """Corners listed once, found again by index; volumes add up; every node in its own cell.

    Catches a corner taken for another with an equal coordinate, and low and high of different axes.
    """
    d, grid = space.dim, space.grid(6)
    cells = sampling.boxes_of(grid)
    ends = np.stack([np.where(corner, cells.high, cells.low) for corner in itertools.product((False, True), repeat=d)])

    np.testing.assert_array_equal(cells.corners[cells.index], ends)
    assert len(cells.corners) == 7**d and len(np.unique(cells.corners, axis=0)) == 7**d
    assert np.prod(cells.high - cells.low, axis=1).sum() == pytest.approx(np.prod(cells.high.max(axis=0) - cells.low.min(axis=0)))
    assert ((cells.low <= cells.states) & (cells.states <= cells.high)).all()


def test_some_cells_draw_the_law_restricted_to_them():
    """Two cells of four, of E = 3 x - y: kept cells' histogram.  Catches corners of cells that were left out, or all cells."""
    p, kept = MODELS["slope"][0], np.array([True, False, False, True])
    cells = sampling.boxes_of(p.space.grid(2), kept)
    x = cells.sample(p, N, rng(0))

    lower = (x < 0).all(axis=1)
    assert (lower | (x > 0).all(axis=1)).all() and len(cells.corners) == 7
    each = lambda slope, low, high: abs(math.exp(-slope * high) - math.exp(-slope * low)) / abs(slope)
    mass = np.array([each(3, a, a + 1) * each(-1, a, a + 1) for a in (-1, 0)])
    compare_counts(np.array([lower.sum(), N - lower.sum()]), mass / mass.sum())
    inner = x[lower]
    assert stats.kstest(inner[:, 0], lambda t: (np.exp(3) - np.exp(-3 * t)) / (np.exp(3) - 1)).pvalue > 1e-6
    assert stats.kstest(inner[:, 1], lambda t: (np.exp(t) - np.exp(-1)) / (1 - np.exp(-1))).pvalue > 1e-6


# ------------------------------------------------------------------------------- exact laws

LAWS = [MODELS["two wells"][0], MODELS["ring"][0], MODELS["slope"][0], MODELS["base measure"][0],
        te.Density(te.BoltzmannMachine(3), {"W": np.array([1.0, -0.5, 0.8]), "b": np.array([0.3, 0.0, -1.0])}, te.Spins(3)),
        te.Density(te.GaussianBernoulliRBM(5, 2), te.GaussianBernoulliRBM(5, 2).init(rng(3)), te.Reals(5))]  # fmt: skip


@pytest.mark.parametrize("p", LAWS, ids=lambda p: repr(p.space))
def test_an_exact_law_is_its_density(p):
    """log_prob and slope of te.log_prob and te.score, draws of te.sample; in five dimensions by structure.

    Catches -E for log p, a base measure left out, and a quadrature where te.sample needs none.
    """
    law, x = sampling.Exact(p), te.sample(p, 200, rng(1))

    assert law.space is p.space
    np.testing.assert_allclose(law.log_prob(x), te.log_prob(p, x), atol=1e-12)
    np.testing.assert_array_equal(law.sample(200, rng(1)), x)
    if not p.space.discrete:
        np.testing.assert_allclose(te.grad(lambda x: ops.sum(law.log_prob(x)))(x), te.score(p, x), atol=1e-12)


@pytest.mark.parametrize("p", [MODELS["slope"][0], LAWS[4]], ids=lambda p: repr(p.space))
def test_an_exact_law_is_nothing_outside(p):
    """Catches a density that goes on behind the walls, or between the states."""
    x = np.concatenate([te.sample(p, 1, rng(1)), np.full((1, p.space.dim), 1.5)])
    np.testing.assert_array_equal(sampling.Exact(p).log_prob(x), te.log_prob(p, x))


def test_an_exact_law_looks_once(monkeypatch):
    """log Z and cells of one quadrature each, for any number of draws.  Catches a quadrature at every batch."""
    seen = []
    for name in ("quadrature", "log_partition"):
        ask = getattr(sampling, name)
        monkeypatch.setattr(sampling, name, lambda *args, ask=ask, name=name, **options: seen.append(name) or ask(*args, **options))
    law = sampling.Exact(MODELS["two wells"][0])
    for seed in range(3):
        law.log_prob(law.sample(5, rng(seed)))

    assert sorted(seen) == ["log_partition", "quadrature"]
