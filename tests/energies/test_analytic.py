"""Energies with a formula: their log Z, moments and derivatives for many parameters, each by another route."""

import math

import numpy as np
import pytest
from scipy import special, stats

from tinyebm.autodiff.tape import grad
from tinyebm.common.errors import QuadratureError
from tinyebm.density import Density, score
from tinyebm.energies.analytic import (
    Banana,
    DoubleWell,
    Funnel,
    GaussianEnergy,
    GaussianMixtureEnergy,
    Quartic,
    Ring,
)
from tinyebm.exact.normalised import expectation, log_prob
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Box, Reals

# ---------------------------------------------------------------------- formulas, by scipy

@pytest.mark.parametrize("dim", [1, 2, 5])
def test_gaussian_is_scipys(dim):
    """Catches a lost ½, and a precision taken for a covariance."""
    rng = np.random.default_rng(dim)
    A = rng.standard_normal((dim, dim))
    theta = {"mean": rng.standard_normal(dim), "precision": A @ A.T + np.eye(dim)}
    x = rng.standard_normal((20, dim))
    law = stats.multivariate_normal(theta["mean"], np.linalg.inv(theta["precision"]))
    log_z = dim / 2 * math.log(2 * math.pi) - np.linalg.slogdet(theta["precision"])[1] / 2

    np.testing.assert_allclose(-GaussianEnergy(dim)(theta, x) - log_z, law.logpdf(x), atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_mixture_is_scipys_and_normalised(dim):
    """Catches σ^-1 for σ^-d, logits that are not normalised, and a mean paired with another weight."""
    rng = np.random.default_rng(dim)
    theta = {"logits": rng.standard_normal(3), "mean": 2 * rng.standard_normal((3, dim)),
             "log_scale": rng.uniform(-1, 0.5, 3)}  # fmt: skip
    x = rng.standard_normal((20, dim))
    mixture = GaussianMixtureEnergy(3, dim)
    parts = zip(special.softmax(theta["logits"]), theta["mean"], np.exp(theta["log_scale"]), strict=True)
    pdf = sum(w * stats.norm(m, s).pdf(x).prod(axis=1) for w, m, s in parts)

    np.testing.assert_allclose(np.exp(-mixture(theta, x)), pdf, rtol=1e-12)
    assert abs(log_partition(Density(mixture, theta, Reals(dim)))) < 1e-10


@pytest.mark.parametrize("barrier", [0.3, 2.0, 8.0])
def test_double_well_has_its_bessel_functions(barrier):
    """Catches a barrier of another height: E(0) = h, minima at ±1; and its documented Z."""
    theta, u = {"barrier": np.array(barrier)}, barrier / 2
    p = Density(DoubleWell(), theta, Reals(1))

    np.testing.assert_allclose(p.energy(theta, np.array([[-1.0], [0.0], [1.0]])), [0, barrier, 0], atol=1e-15)
    z = math.pi / 2 * math.exp(-u) * (special.iv(-0.25, u) + special.iv(0.25, u))
    assert abs(log_partition(p) - math.log(z)) < 1e-10


@pytest.mark.parametrize(("a", "b"), [(0.4, 2.0), (3.0, 0.05), (-1.5, 0.3), (0.0, 5.0)])
def test_quartic_obeys_the_virial_theorem(a, b):
    """2a<x²> + 4b<x⁴> = 1 (integration by parts).  Catches a and b exchanged, b x³, and a wrong sign."""
    p = Density(Quartic(), {"a": np.array(a), "b": np.array(b)}, Reals(1))
    x2, x4 = (expectation(p, lambda x, k=k: x[:, 0] ** k) for k in (2, 4))

    assert 2 * a * x2 + 4 * b * x4 == pytest.approx(1, abs=1e-8)


def test_ring_by_radius():
    """Radial Simpson's rule for <r>.  Catches a ring of another radius, scale or half."""
    R, s = 1.7, 0.4
    p = Density(Ring(), {"radius": np.array(R), "scale": np.array(s)}, Reals(2))
    r = np.linspace(0, 8, 200_001)
    weight = r * np.exp(-(((r - R) / s) ** 2) / 2)

    assert float(log_partition(p)) == pytest.approx(math.log(2 * math.pi * np.trapezoid(weight, r)), abs=1e-9)
    mean = np.trapezoid(r * weight, r) / np.trapezoid(weight, r)
    assert expectation(p, lambda x: np.hypot(*x.T), rtol=1e-6) == pytest.approx(mean, abs=1e-6)


def test_ring_is_flat_at_its_centre():
    """Catches NaN from 0/0 in the slope of |x|, by x and by theta."""
    ring, theta = Ring(), Ring().init(np.random.default_rng(0))
    centre = np.zeros((1, 2))

    assert ring(theta, centre).item() == pytest.approx((2 / 0.3) ** 2 / 2)
    np.testing.assert_array_equal(score(Density(ring, theta, Reals(2)), centre), 0.0)
    by = grad(lambda theta: ring(theta, centre)[0])(theta)
    assert by["radius"] == pytest.approx(2 / 0.09) and by["scale"] == pytest.approx(-4 / 0.3**3)


@pytest.mark.parametrize(("b", "s1", "s2"), [(0.3, 4.0, 0.5), (-0.8, 0.5, 1.0), (0.0, 2.0, 3.0)])
def test_banana_is_a_sheared_gaussian(b, s1, s2):
    """E[y] = 0 and E[y | x] = b (x² - s₁).  Catches a shear without its shift, and scales for variances."""
    p = Density(Banana(), {"b": np.array(b), "s1": np.array(s1), "s2": np.array(s2)}, Reals(2))
    x = np.random.default_rng(0).standard_normal((9, 2))
    law = stats.norm(0, math.sqrt(s1)).logpdf(x[:, 0])
    law += stats.norm(b * (x[:, 0] ** 2 - s1), math.sqrt(s2)).logpdf(x[:, 1])

    np.testing.assert_allclose(log_prob(p, x), law, atol=1e-10)
    moments = expectation(p, lambda x: np.stack([x[:, 1], x[:, 1] ** 2, x[:, 1] * x[:, 0] ** 2], axis=1))
    np.testing.assert_allclose(moments, [0, s2 + 2 * b**2 * s1**2, 2 * b * s1**2], atol=1e-7)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_funnel_is_neals(dim):
    """v ~ N(0, s²), x | v ~ N(0, e^v).  Catches e^v for e^-v, and v/2 once instead of once per coordinate."""
    s = 1.3
    theta, x = {"scale": np.array(s)}, np.random.default_rng(dim).standard_normal((9, dim))
    law = stats.norm(0, s).logpdf(x[:, 0])
    law += stats.norm(0, np.exp(x[:, :1] / 2)).logpdf(x[:, 1:]).sum(axis=1)
    log_z = 0.5 * math.log(2 * math.pi * s**2) + (dim - 1) / 2 * math.log(2 * math.pi)

    np.testing.assert_allclose(-Funnel(dim)(theta, x) - log_z, law, atol=1e-12)


@pytest.mark.parametrize(("energy", "theta", "log_z"), [
    (Banana(), {"b": 0.7, "s1": 2.0, "s2": 0.3}, math.log(2 * math.pi * math.sqrt(2.0 * 0.3))),
    *((Funnel(d), {"scale": s}, d / 2 * math.log(2 * math.pi) + math.log(1.3)) for d in (1, 2, 5, 9) for s in (1.3, -1.3))])
def test_normalisation_by_formula(energy, theta, log_z):
    """log Z in any dimension, its slopes by the difference quotient, and none on other measures.

    Catches a variance for a standard deviation, the logarithm of a negative s, a formula that is a
    constant for the derivative, and one that is used in a box.
    """
    theta = {name: np.array(value) for name, value in theta.items()}
    known = lambda theta: energy.log_partition(theta, Reals(energy.dim))
    found = log_partition(Density(energy, theta, Reals(energy.dim)))

    assert abs(found - log_z) <= found.error < 1e-13
    slopes = grad(known)(theta)
    for name, value in theta.items():
        up, down = (float(known({**theta, name: value + step})) for step in (1e-6, -1e-6))
        assert slopes[name] == pytest.approx((up - down) / 2e-6, abs=1e-8)
    for space in (Reals(energy.dim, base_scale=2.0), Box(-1, 1, energy.dim)):
        assert energy.log_partition(theta, space) is None


@pytest.mark.parametrize(("energy", "theta"), [
    (Banana(), {"b": 0.0, "s1": -1.0, "s2": 1.0}), (Banana(), {"b": 0.0, "s1": 1.0, "s2": 0.0}), (Funnel(2), {"scale": 0.0})])
def test_no_formula_where_z_is_infinite_or_zero(energy, theta):
    """The quadrature finds the reason.  Catches log Z = nan, and a finite one for a density that is none."""
    p = Density(energy, {name: np.array(value) for name, value in theta.items()}, Reals(2))

    assert energy.log_partition(p.theta, p.space) is None
    with np.errstate(all="ignore"), pytest.raises(QuadratureError):
        log_partition(p)


# ------------------------------------------------------------------------------ parameters

@pytest.mark.parametrize(("energy", "known"), [
    (GaussianEnergy(2), {"mean": np.zeros(2), "precision": np.eye(2)}), (DoubleWell(), {"barrier": 2.0}),
    (Quartic(), {"a": 1.0, "b": 1.0}), (Ring(), {"radius": 2.0, "scale": 0.3}),
    (Banana(), {"b": 0.3, "s1": 4.0, "s2": 0.5}), (Funnel(3), {"scale": 3.0})])  # fmt: skip
def test_initial_parameters(energy, known):
    """Catches a default that drifts from its docstring, and Python numbers that cannot be differentiated."""
    theta = energy.init(np.random.default_rng(0))

    assert theta.keys() == known.keys()
    for name, value in known.items():
        assert isinstance(theta[name], np.ndarray) and theta[name].dtype == float
        np.testing.assert_array_equal(theta[name], value)


def test_initial_mixtures_differ():
    """Catches means that coincide: no gradient would ever part them."""
    theta = GaussianMixtureEnergy(400, 2).init(np.random.default_rng(0))

    assert not theta["logits"].any() and not theta["log_scale"].any()
    assert stats.kstest(theta["mean"].reshape(-1), "norm").pvalue > 1e-4


X = np.array([[0.0, 1.0], [2.0, 1.0], [2.0, 5.0], [0.0, 3.0]])
MASS = np.array([0.1, 0.4, 0.3, 0.2])


def test_starts_near_the_data():
    """Moments of weighted rows.  Catches weights ignored, a covariance for a precision, and ddof = 1."""
    normal = GaussianEnergy(2).init_from_data(X, MASS, np.random.default_rng(0))
    np.testing.assert_allclose(normal["mean"], [1.4, 2.6], rtol=1e-15)
    np.testing.assert_allclose(np.linalg.inv(normal["precision"]), np.cov(X.T, aweights=MASS, ddof=0), rtol=1e-12)

    quartic = Quartic().init_from_data(X[:, 1:], MASS, None)
    m2, m4 = MASS @ X[:, 1] ** 2, MASS @ X[:, 1] ** 4
    assert 2 * quartic["a"] * m2 + 4 * quartic["b"] * m4 == pytest.approx(1, rel=1e-15)

    r = np.hypot(*X.T)
    ring = Ring().init_from_data(X, MASS, None)
    assert ring["radius"] == pytest.approx(MASS @ r) and ring["scale"] == pytest.approx(np.sqrt(MASS @ (r - MASS @ r) ** 2))


def test_a_normal_law_of_rows_without_volume():
    """Its start has a precision all the same.  Catches an inverse of what is singular, exactly or but for rounding."""
    for x in (X * [1, 0], X * [0, 0] + 0.1, X[:, :1] * [1, 0.1] + 0.1):
        theta = GaussianEnergy(2).init_from_data(x, MASS, None)
        assert np.linalg.cond(theta["precision"]) == 1 and np.abs(theta["precision"]).max() < 1e3


def test_mixtures_start_at_rows_far_apart():
    """Two clusters, two components: one in each, whatever the seed; other seeds take other rows.

    Catches both in one cluster, and a row that nobody drew.
    """
    x = np.concatenate([np.linspace(0, 1, 9), np.linspace(1e4, 1e4 + 1, 9)])[:, None]
    starts = [GaussianMixtureEnergy(2, 1).init_from_data(x, np.full(18, 1 / 18), np.random.default_rng(i)) for i in range(20)]

    for theta in starts:
        assert sorted(theta["mean"][:, 0] > 100) == [False, True] and np.isin(theta["mean"], x).all()
        np.testing.assert_allclose(np.exp(theta["log_scale"]), x.std() / 2)
    assert len({float(theta["mean"].min()) for theta in starts}) > 3
