"""The window holds the mass it says it holds, wherever and however wide the density is; or it says what is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from tinyebm import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.density import Density
from tinyebm.energies.analytic import Funnel, GaussianEnergy, GaussianMixtureEnergy
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Reals

LAWS = {
    "normal": (lambda z: 0.5 * z * z, stats.norm()),
    "logistic": (lambda z: 2 * ops.softplus(z) - z, stats.logistic()),
    "laplace": (ops.abs, stats.laplace()),
    "gumbel": (lambda z: z + ops.exp(-z), stats.gumbel_r()),
    "sech": (lambda z: ops.softplus(2 * z) - z, stats.hypsecant()),
    "student 30": (lambda z: 15.5 * ops.log(1 + z * z / 30), stats.t(30)),
    "student 5": (lambda z: 3 * ops.log(1 + z * z / 5), stats.t(5)),
    "student 2": (lambda z: 1.5 * ops.log(1 + z * z / 2), stats.t(2))}


def line(energy):
    """A density on the real line of an energy of one number."""
    return Density(lambda theta, x: energy(x[:, 0]), {}, Reals(1))


@pytest.mark.parametrize("name", LAWS)
def test_the_mass_outside_is_bounded(name):
    """By the law's distribution function, at scales 1e-2 to 1e2 and shifts up to 50.

    Catches faces placed by the distance from the origin, a tail of a Gaussian
    taken for every tail, and a density lost between the starting points.
    """
    energy, law = LAWS[name]
    rng = np.random.default_rng(5)
    for rtol in (1e-8, 1e-4):
        for s, m in zip(10 ** rng.uniform(-2, 2, 12), rng.uniform(-50, 50, 12), strict=True):
            window = find_window(line(lambda x, s=s, m=m: energy((x - m) / s)), rtol)
            low, high = (window.low[0] - m) / s, (window.high[0] - m) / s

            assert law.cdf(low) + law.sf(high) <= window.tail + 1e-17
            assert window.tail <= rtol / 10
            assert max(-low, high) < 60 or "student" in name  # and not wildly too wide


def test_heavier_tails_need_wider_windows():
    """Catches one drop for all: 40 nats leave 1e-8 of a Student law with 2 degrees of freedom outside."""
    p = line(LAWS["student 2"][0])
    widths = [float(np.max(find_window(p, rtol).high)) for rtol in (1e-3, 1e-8, 1e-12)]

    assert widths[0] <= widths[1] < widths[2]


@pytest.mark.parametrize("name", ["student 30", "student 5", "student 2"])
def test_a_tenth_of_what_is_asked_may_be_left_out(name):
    """Catches a window that leaves out all of rtol: nothing would remain for the quadrature."""
    p = line(LAWS[name][0])
    left_out = find_window(p, 1e-3).tail

    assert find_window(p, 10.1 * left_out).tail == left_out
    assert find_window(p, 9.9 * left_out).tail < 0.9 * left_out


@pytest.mark.parametrize("nu", [2, 3, 5])
@pytest.mark.parametrize("s", [0.01, 1.0, 40.0])
def test_the_mass_outside_is_not_far_from_its_bound(nu, s):
    """On power laws log p falls as assumed, and only the peak's mass is approximate: scale · height for ∫ p.

    Catches a bound that is halved or doubled, and tails summed as |x|^-ν instead of |x|^-(ν + 1).
    """
    law = stats.t(nu)
    window = find_window(line(lambda x: 0.5 * (nu + 1) * ops.log(1 + (x / s) ** 2 / nu)), 1e-7)
    true = law.cdf(window.low[0] / s) + law.sf(window.high[0] / s)
    narrow = math.sqrt(nu / (nu + 1))  # (-∂² log p)^{-1/2} at the peak

    assert window.tail == pytest.approx(true / (law.pdf(0) * narrow), rel=0.02)


@pytest.mark.parametrize("s", [1e-3, 0.2, 30.0])
def test_scale_is_the_standard_deviation_of_a_gaussian(s):
    """Catches second derivatives taken for scales, and axes exchanged."""
    theta = {"mean": np.array([3.0, -2.0]), "precision": np.diag([1 / s**2, 1 / 9])}
    window = find_window(Density(GaussianEnergy(2), theta, Reals(2)))

    np.testing.assert_allclose(window.scale, [s, 3.0], rtol=1e-6)
    np.testing.assert_allclose(window.peak, theta["mean"], atol=0.1 * min(s, 3))
    reach = np.stack([window.peak - window.low, window.high - window.peak]) / window.scale
    assert reach.min() > 8.5 and reach.max() < 14


@pytest.mark.parametrize("correlation", [0.5, 0.9, -0.98])
def test_correlated_faces(correlation):
    """The highest point of a face is off its middle: catches faces judged along the axes through the peak."""
    cov = np.array([[1.0, correlation], [correlation, 1.0]])
    window = find_window(Density(GaussianEnergy(2), {"mean": np.zeros(2), "precision": np.linalg.inv(cov)}, Reals(2)))

    assert stats.norm.sf(window.high).sum() + stats.norm.cdf(window.low).sum() <= window.tail + 1e-17
    assert stats.norm.sf(window.high).max() < 1e-16


def test_every_mode_is_inside():
    """Unequal modes, twelve widths apart.  Catches a window around the best peak alone, and a scale of the widest."""
    theta = {"logits": np.array([0.0, -9.0, 2.0]), "mean": np.array([[-12.0, 3.0], [9.0, 9.0], [0.0, -14.0]]),
             "log_scale": np.log([1.0, 0.5, 2.0])}  # fmt: skip
    window = find_window(Density(GaussianMixtureEnergy(3, 2), theta, Reals(2)))

    for mean, s in zip(theta["mean"], np.exp(theta["log_scale"]), strict=True):
        assert np.all(window.low < mean - 8 * s) and np.all(mean + 8 * s < window.high)
    assert np.all(window.scale < 0.51) and np.all(window.scale > 0.3)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_narrow_modes_far_apart_are_inside(seed):
    """Two modes, up to a thousand widths apart.  Catches climbers that all move out along rays from the best peak.

    Then none of them is near the other one, and a face that cuts off a part of it looks low.
    """
    rng = np.random.default_rng([3, seed])
    s = 10 ** rng.uniform(-4, -1) * np.array([1.0, 10 ** rng.uniform(-1.5, -0.5)])
    means = np.array([[0.0, 0.0], rng.normal(0, 1, 2)])
    theta = {"logits": np.zeros(2), "mean": means, "log_scale": np.log(s)}
    window = find_window(Density(GaussianMixtureEnergy(2, 2), theta, Reals(2)))

    z = [((window.low - mean) / width, (window.high - mean) / width) for mean, width in zip(means, s, strict=True)]
    assert sum(0.5 * (stats.norm.cdf(low) + stats.norm.sf(high)).sum() for low, high in z) <= window.tail + 1e-15


@pytest.mark.parametrize("s", [1e-6, 1.0, 1e6])
def test_a_base_measure_sets_the_unit(s):
    """Catches starting points at a fixed distance where the space knows its scale."""
    window = find_window(Density(lambda theta, x: 0.0 * x[:, 0], {}, Reals(2, base_scale=s)))

    np.testing.assert_allclose(window.scale, s, rtol=1e-6)
    assert np.all(window.high < 14 * s) and np.all(window.high > 8.5 * s)


def test_grids_cover_the_window():
    """Catches a graded axis that is not graded, and nodes that do not grow with the refinement."""
    window = find_window(Density(Funnel(2), {"scale": np.array(1.2)}, Reals(2)))
    graded = type(window)(**{**vars(window), "graded": True})

    for rule in (window, graded):
        for refinement in (0.5, 1.0, 2.0):
            counts = rule.counts(refinement)
            for (nodes, _), low, high in zip(rule.grid(counts).axes, window.low, window.high, strict=True):
                np.testing.assert_allclose(nodes[[0, -1]], [low, high], rtol=1e-9)
            assert rule.grid(counts).shape == counts and min(counts) >= math.ceil(24 * refinement)
    assert np.prod(graded.counts(1.0)) < np.prod(window.counts(1.0)) / 10
    spacing = np.diff(graded.grid(graded.counts(1.0)).axes[1][0])
    assert spacing.max() > 100 * spacing.min()


# ------------------------------------------------------------------------------- no window

PLANE = Reals(2)
WITHOUT = {  # name: (energy, space, message)
    "flat": (lambda theta, x: 0.0 * x[:, 0], Reals(1), "does not decay along axis 0"),
    "flat along one axis": (lambda theta, x: 0.5 * x[:, 0] ** 2, PLANE, "does not decay along axis 1"),
    "flat along the diagonal": (lambda theta, x: (x[:, 0] - x[:, 1]) ** 2, PLANE, "does not decay along axis"),
    "flat to the left": (lambda theta, x: ops.softplus(x[:, 0]), Reals(1), "axis 0 towards -infinity: 0 nats below"),
    "flat to the right": (lambda theta, x: ops.relu(-x[:, 0]), Reals(1), r"axis 0 towards \+infinity"),
    "falling": (lambda theta, x: x[:, 0], Reals(1), "rises without end.* unbounded below, so Z is infinite"),
    "upside down": (lambda theta, x: -ops.sum(x * x, axis=1), PLANE, "unbounded below, so Z is infinite"),
    "a cubic": (lambda theta, x: x[:, 0] ** 3, Reals(1), "unbounded below, so Z is infinite"),
    "tails |x|^-0.8": (lambda theta, x: 0.4 * ops.log(1 + x[:, 0] ** 2), Reals(1), "does not decay along axis 0"),
    "tails |x|^-2 in the plane": (lambda theta, x: ops.log(1 + ops.sum(x * x, axis=1)), PLANE, "does not decay"),
    "nowhere": (lambda theta, x: 0.0 * x[:, 0] + math.inf, Reals(1), "-inf at every starting point")}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_window_is_refused(name):
    """Catches a finite Z for a measure that is not: a box cut off at an arbitrary distance."""
    energy, space, message = WITHOUT[name]
    with pytest.raises(QuadratureError, match=message):
        find_window(Density(energy, {}, space))


def test_too_heavy_a_tail_for_the_accuracy():
    """Catches a mass outside that is not compared with rtol: 1.3 degrees of freedom, 1e12 wide, leave out 1e-15."""
    p = line(lambda z: 1.15 * ops.log(1 + z * z / 1.3))
    find_window(p, 1e-8)
    with pytest.raises(QuadratureError, match="does not decay along axis 0|tails are too heavy"):
        find_window(p, 1e-14)


def test_nan_is_named():
    """Catches NaN that loses every comparison and so goes unseen."""
    with pytest.raises(ValueError, match=r"the energy is nan at x = \["):
        find_window(line(lambda x: ops.where(x > 2, math.nan, x * x)))


# ------------------------------------------------------------------------- modes far apart

def mixture(means, sigmas, weights):
    """A mixture of isotropic normals: log Z = 0."""
    theta = {"logits": np.log(weights), "mean": np.array(means, dtype=float), "log_scale": np.log(sigmas)}
    dim = theta["mean"].shape[1]
    return Density(GaussianMixtureEnergy(len(weights), dim), theta, Reals(dim))


@pytest.mark.parametrize("means, sigmas", [
    ([[-5.5], [5.6]], [0.7, 0.1]), ([[0.0], [150.0]], [1.0, 1.0]), ([[-7.0], [-218.0]], [1.0, 1.0]),
    ([[0.0], [10.75]], [1.0, 0.05]), ([[0.0], [13.0]], [1.0, 0.1]), ([[1e8]], [1.0]),
    ([[0.0, 0.0], [60.0, -80.0]], [1.0, 0.5]), ([[0.0, 0.0], [0.5, 0.3]], [1.0, 0.2])])  # fmt: skip
def test_modes_wherever_they_are(means, sigmas):
    """Catches a window around the modes that climbers from near the origin reach: log Z is then the log of their share."""
    z = log_partition(mixture(means, sigmas, np.full(len(sigmas), 1 / len(sigmas))))

    assert abs(z) < z.error + 1e-15 < 1e-8


@pytest.mark.parametrize("dim, reach, narrowest, runs", [(1, 300.0, 1.0, 20), (1, 10.0, 0.03, 20), (2, 10.0, 0.15, 4)])
def test_random_mixtures(dim, reach, narrowest, runs):
    """The error bounds the truth whatever the modes are.  Catches a mode that no scan sees."""
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n = rng.integers(2, 7)
        sigmas = np.exp(rng.uniform(np.log(narrowest) - 1e-9, 0.0, n))
        weights = rng.uniform(0.1, 1.0, n)
        z = log_partition(mixture(rng.uniform(-reach, reach, (n, dim)), sigmas, weights / weights.sum()))
        assert abs(z) <= z.error < 1e-8, seed
