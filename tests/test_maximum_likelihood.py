"""Maximum likelihood to convergence: where the answer has a formula, and where the exact gradient must vanish."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.tree import ravel

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


def test_running_out_of_steps_is_said():
    """Catches converged = True after three steps of many."""
    found = mle(te.GaussianEnergy(2), PLANE, max_steps=3)

    assert found.history["converged"][-1] is False and found.history["step"][-1] == 3
    assert gradient_at(found, PLANE) > 1e-3


@pytest.mark.parametrize("data, message", [(np.zeros(5), "rows"), (np.array([[np.nan]]), "nan"), (np.zeros((0, 1)), "rows")])
def test_impossible_data(data, message):
    with pytest.raises(ValueError, match=message):
        mle(te.GaussianEnergy(1), data)
