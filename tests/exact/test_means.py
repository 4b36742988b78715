"""E_p[f] where f jumps: the error bounds the truth wherever the jump lies, and boxes are halved until it is small."""

import math

import numpy as np
import pytest
from scipy import special, stats

from tinyebm import ops
from tinyebm.density import Density
from tinyebm.exact.means import RULES
from tinyebm.exact.normalised import expectation
from tinyebm.spaces.continuous import Box, Reals

LAPLACE = Density(lambda theta, x: ops.abs(x[:, 0]), {}, Reals(1))
NORMAL = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(1))


def below(p, t):
    """P(x_0 < t), an Estimate."""
    return expectation(p, lambda x: x[:, 0] < t)


def sums_below(rule, n, t):
    """The sums of a rule on [0, 1] over its nodes below each of t."""
    nodes, weights = rule(n)
    cumulative = np.concatenate([[0.0], np.cumsum(weights / 2)])
    return cumulative[np.searchsorted((nodes + 1) / 2, t)]


def test_at_every_place_the_rules_differ_by_twice_the_error_of_their_mean():
    """Half a million places of a jump in [0, 1].

    Catches rules that share a blind spot: Gauss-Legendre rules alone agree on a jump beside a face.
    """
    t = np.linspace(0, 1, 500_003)[1:-1] + 1e-9
    error = np.stack([sums_below(rule, n, t) - t for n, rule in RULES])

    assert np.all(2 * np.abs(error.mean(axis=0)) < np.ptp(error, axis=0))
    alone = error[[rule.__wrapped__.__name__ == "legendre" for _, rule in RULES]]
    assert np.any(np.abs(alone.mean(axis=0)) > 100 * np.ptp(alone, axis=0))


def test_a_threshold_beside_a_face_of_the_boxes():
    """P(x < -0.02) of a Laplace density is 0.4901: its boxes have a face at 0.  Catches 0.5 ± 5e-12."""
    found = below(LAPLACE, -0.02)

    assert abs(found - 0.5 * math.exp(-0.02)) <= found.error < 1e-7


@pytest.mark.parametrize("p, law", [(LAPLACE, stats.laplace()), (NORMAL, stats.norm()), (
    Density(NORMAL.energy, {}, Box(-2, 2, 1)), stats.truncnorm(-2, 2))], ids=["laplace", "normal", "normal in a box"])
def test_random_thresholds(p, law):
    """None of 60 beyond its error.  Catches grids of other nodes that agree by chance: one to four of 60."""
    for t in np.random.default_rng(3).uniform(-1.9, 1.9, 60):
        found = below(p, t)
        assert abs(found - law.cdf(t)) <= found.error < 1e-7, t


@pytest.mark.parametrize("at", [1e-6, 1e-4, 0.0003])
def test_a_threshold_beside_a_wall(at):
    """A uniform density, P(x < at) = at.  Catches a jump between a wall and the first node of every grid."""
    found = below(Density(lambda theta, x: 0.0 * x[:, 0], {}, Box(0, 1, 1)), at)

    assert abs(found - at) <= found.error < 1e-7


def test_thresholds_in_the_plane():
    """Along an axis and along the diagonal, to three decimals.  Catches errors of boxes that are added up with signs."""
    p = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(2))
    for t in (-1.3, 0.1234, 0.9):
        straight, turned = below(p, t), expectation(p, lambda x, t=t: x[:, 0] + x[:, 1] < t)
        assert abs(straight - special.ndtr(t)) <= straight.error < 0.01
        assert abs(turned - special.ndtr(t / math.sqrt(2))) <= turned.error < 0.01


def test_a_smooth_function_needs_no_boxes():
    """Rounding alone.  Catches a function of mean 0 taken for one that jumps, and the rules' own error in a smooth mean."""
    found = expectation(NORMAL, lambda x: x[:, 0])

    assert abs(found) <= found.error < 1e-10


def test_a_vector_of_indicators():
    """Three thresholds at once, and values of f of other types.  Catches boxes split for the first of them alone."""
    t = np.array([-1.0, 0.02, 1.5])
    found = expectation(NORMAL, lambda x: x < t)

    np.testing.assert_allclose(found, special.ndtr(t), atol=1e-7)


def test_an_interval_in_a_large_mean():
    """f is 1000 nearly everywhere and jumps by 1 within.  Catches an accuracy relative to the jump instead of to E|f|."""
    found = expectation(NORMAL, lambda x: 1000 + (np.abs(x[:, 0]) < 0.4))

    assert abs(found - 1000 - 2 * (special.ndtr(0.4) - 0.5)) <= found.error < 1e-4
