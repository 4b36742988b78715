"""Laws to draw from: log densities against scipy, sums and integrals; draws against log densities; laws that are none."""

import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm import ops
from tinyebm.spaces.laws import SPREAD, initial_law, moments_of

rng = np.random.default_rng  # every test makes its own
COVARIANCES = {1: [[0.3]], 2: [[4.0, -1.2], [-1.2, 0.5]], 3: [[1.0, 0.6, 0.0], [0.6, 0.5, -0.1], [0.0, -0.1, 4.0]]}
NORMALS = [te.Normal(np.arange(1.0, d + 1), np.array(C)) for d, C in COVARIANCES.items()]
SITES = {te.Bits(3): [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]], te.Spins(2): [[0.3, 0.7], [0.6, 0.4]],
         te.Cells(3, 2): [[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]], te.Cells(4): [[0.1, 0.2, 0.3, 0.4]]}  # fmt: skip
INDEPENDENTS = [te.Independent(space, np.array(law)) for space, law in SITES.items()]
UNIFORMS = [te.Uniform(space) for space in (te.Box(-1, 3, 2), te.Bits(3), te.Spins(2), te.Cells(3, 2))]
BY_SPACE = {"ids": lambda law: repr(law.space)}


@pytest.mark.parametrize("law", NORMALS, **BY_SPACE)
def test_normal_density(law):
    """Against scipy, and its slope against -C⁻¹ (x - m).  Catches det C for its root, C for C⁻¹, a whitening transposed."""
    x = law.mean + rng(0).normal(0, 2, (20, len(law.mean)))

    np.testing.assert_allclose(law.log_prob(x), stats.multivariate_normal(law.mean, law.covariance).logpdf(x), atol=1e-12)
    slope = te.grad(lambda x: ops.sum(law.log_prob(x)))(x)
    np.testing.assert_allclose(slope, -(x - law.mean) @ np.linalg.inv(law.covariance), atol=1e-12)


@pytest.mark.parametrize("law", NORMALS, **BY_SPACE)
def test_normal_draws(law):
    """Means, variances and covariances, |z| < 5.  Catches x Lᵀ with L for Lᵀ, and the covariance for its root."""
    n, d = 40_000, len(law.mean)
    z = (law.sample(n, rng(1)) - law.mean) @ np.linalg.inv(np.linalg.cholesky(law.covariance)).T

    assert z.shape == (n, d) and np.abs(z.mean(axis=0)).max() < 5 / math.sqrt(n)
    assert np.abs((z.T @ z / n - np.eye(d)) / np.sqrt(1 + np.eye(d))).max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("law", INDEPENDENTS, **BY_SPACE)
def test_independent_sites(law, chi_square):
    """Products by loops; counts of all states, |z| < 5.

    Catches sites and values confused, a level off by one, and one random number for all sites.
    """
    states = law.space.atoms()[0]
    index = [[law.space.values.index(value) for value in x] for x in states]
    expected = np.array([math.prod(law.probabilities[i, a] for i, a in enumerate(row)) for row in index])
    np.testing.assert_allclose(np.exp(law.log_prob(states)), expected, atol=1e-15)

    x = law.sample(40_000, rng(0))
    assert law.space.contains(x).all()
    assert abs(chi_square(np.bincount(law.space.grid().index(x), minlength=len(states)), expected)) < 5


@pytest.mark.parametrize("law", INDEPENDENTS[:2], **BY_SPACE)
def test_slope_of_two_values(law):
    """`slope` is the gradient by x, and differences of log P over differences of values.  Catches logits on Spins."""
    x = law.space.atoms()[0]
    slope = te.grad(lambda x: ops.sum(law.log_prob(x)))(x)
    np.testing.assert_allclose(slope, np.broadcast_to(law.slope, x.shape), atol=1e-14)

    width = law.space.values[1] - law.space.values[0]
    np.testing.assert_allclose(law.slope * width, np.log(law.probabilities[:, 1] / law.probabilities[:, 0]), atol=1e-14)
    np.testing.assert_array_equal(te.Uniform(law.space).slope, np.zeros(law.space.dim))


@pytest.mark.parametrize("law", UNIFORMS, **BY_SPACE)
def test_uniform_is_normalised_in_its_space_and_nothing_outside(law):
    """Catches 2 for the volume 4² or the 3² states, and a density that goes on beyond the walls."""
    x, log_w = law.space.atoms(None if law.space.discrete else 5)
    assert abs(np.exp(law.log_prob(x) + log_w).sum() - 1) < 1e-13
    outside = np.array([x[0], x[0] + 100.0, x[0] - 0.25 * (np.arange(law.space.dim) == 0)])
    outside[2, 0] = -1.5
    np.testing.assert_array_equal(np.isfinite(law.log_prob(outside)), [True, False, False])
    np.testing.assert_array_equal(te.grad(lambda x: ops.sum(law.log_prob(x)))(x[:3]), np.zeros((3, law.space.dim)))


def test_uniform_draws(chi_square):
    """Counts on 16 squares and on 9 states, |z| < 5.  Catches draws over another box."""
    box, cells = UNIFORMS[0], UNIFORMS[3]
    i, j = np.floor(box.sample(20_000, rng(0)).T + 1).astype(int)
    assert abs(chi_square(np.bincount(4 * i + j, minlength=16), np.full(16, 1 / 16))) < 5
    states = cells.space.grid().index(cells.sample(20_000, rng(0)))
    assert abs(chi_square(np.bincount(states, minlength=9), np.full(9, 1 / 9))) < 5


@pytest.mark.parametrize("space", [te.Reals(2), te.Reals(3, base_scale=0.3), te.Box(-1, 3, 2), te.Spins(3),
                                   te.Cells(3, 2)], ids=repr)  # fmt: skip
def test_initial_law_is_that_of_initial(space):
    """The same draws from the same generator.  Catches the scale for the variance, and a law of a unit scale."""
    law = initial_law(space)
    np.testing.assert_allclose(law.sample(50, rng(0)), space.initial(50, rng(0)), rtol=1e-15)
    if not (space.discrete or space.bounded):
        x = rng(1).standard_normal((9, space.dim))
        expected = stats.norm(scale=space.base_scale or 1.0).logpdf(x).sum(axis=1)
        np.testing.assert_allclose(law.log_prob(x), expected, atol=1e-12)


def test_moments_of_weighted_rows():
    """Against NumPy's weighted mean and covariance.  Catches weights left out, or n - 1."""
    x, mass = rng(0).normal(1, 2, (30, 3)), rng(1).dirichlet(np.ones(30))
    law = moments_of(x, mass, te.Reals(3))

    np.testing.assert_allclose(law.mean, mass @ x, atol=1e-14)
    np.testing.assert_allclose(law.covariance, np.cov(x.T, aweights=mass, ddof=0), atol=1e-13)
    assert moments_of(x, mass, te.Box(-9, 9, 3)) == te.Uniform(te.Box(-9, 9, 3))


@pytest.mark.parametrize("space", [te.Bits(3), te.Spins(3), te.Cells(4, 3)], ids=repr)
def test_frequencies_of_weighted_states(space):
    """One row of mass ¾, one of ¼, 5 % of the uniform law: every state can be drawn.  Catches counts without their mass."""
    x, mass = np.array([space.atoms()[0][0], space.atoms()[0][-1]]), np.array([0.75, 0.25])
    law, q = moments_of(x, mass, space), len(space.values)
    expected = np.full(q, SPREAD / q)
    expected[[0, -1]] += (1 - SPREAD) * mass

    np.testing.assert_allclose(law.probabilities, np.tile(expected, (3, 1)), atol=1e-15)
    assert np.isfinite(law.log_prob(space.atoms()[0])).all()


@pytest.mark.parametrize(("mean", "covariance", "complaint"), [
    (np.zeros(2), np.eye(3), r"needs a covariance of shape \(2, 2\)"), (np.zeros(2), np.ones(2), "shape"),
    (np.zeros((2, 1)), np.eye(2), r"has the shape \(2,\)"), (np.zeros(2), np.diag([1.0, -1.0]), "positive definite"),
    (np.zeros(2), np.ones((2, 2)), "positive definite"), (np.zeros(2), np.array([[1.0, 0.9], [0.0, 1.0]]), "symmetric"),
    (np.zeros(2), np.diag([1.0, math.inf]), "finite"), (np.zeros(1), np.array([[math.nan]]), "finite"),
    (np.array([0.0, math.nan]), np.eye(2), "a mean is finite")])  # fmt: skip
def test_no_normal_laws(mean, covariance, complaint):
    """Catches a covariance of which one half only is read, and laws whose log density is nan."""
    with pytest.raises(ValueError, match=complaint):
        te.Normal(mean, covariance)


@pytest.mark.parametrize("space", [te.Reals(2), te.Reals(1, base_scale=1.0)], ids=repr)
def test_no_uniform_law_on_the_line(space):
    with pytest.raises(ValueError, match="there is no uniform law on Reals.*take a Normal"):
        te.Uniform(space)


@pytest.mark.parametrize("law", [[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5]], [[0.5, 0.6], [0.5, 0.5]], [[1.2, -0.2], [0.5, 0.5]],
                                 [[math.nan, 0.5], [0.5, 0.5]], [[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]])  # fmt: skip
def test_no_independent_laws(law):
    """Catches a value without probability: what noise cannot reach, contrast cannot learn."""
    with pytest.raises(ValueError, match=r"probabilities have shape \(2, 2\), are positive and sum to 1 in every row"):
        te.Independent(te.Bits(2), np.array(law))
