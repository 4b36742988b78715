"""The least growth of a ReLU network: against scans, far points, and the count known for random networks."""

import itertools

import numpy as np
import pytest

from tinyebm.energies.mlp import MLP
from tinyebm.energies.recession import min_recession


def relu_net(weights, x):
    """The bias-free ReLU network at the rows of x."""
    for W in weights[:-1]:
        x = np.maximum(x @ W, 0.0)
    return (x @ weights[-1])[:, 0]


def random_weights(sizes, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((m, n)) / np.sqrt(m) for m, n in itertools.pairwise(sizes)]


def circle(n):
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_361_of_400_random_networks_diverge():
    """Found by scanning 100 000 directions.  Catches a wrong sign, a lost layer or a bias that takes part."""
    net = MLP((2, 32, 32, 1), "silu")
    growth = [net.min_recession(net.init(np.random.default_rng(seed)))[0] for seed in range(400)]

    assert sum(value <= 0 for value in growth) == 361


@pytest.mark.parametrize("sizes", [(2, 1), (2, 3, 1), (2, 16, 1), (2, 12, 8, 1), (2, 9, 7, 5, 1)])
def test_in_the_plane_it_is_the_least_of_all_directions(sizes):
    """Dense scans never go below, and come near.  Catches a kink that is skipped, and a missing interior minimum."""
    u = circle(100_000)
    for seed in range(10):
        weights = random_weights(sizes, seed)
        value, direction = min_recession(weights)
        scanned = relu_net(weights, u).min()

        assert scanned - 1e-4 * (1 + abs(value)) < value <= scanned + 1e-12
        assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-12)
        assert relu_net(weights, direction[None])[0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("activation", ["relu", "silu", "softplus"])
def test_it_is_the_growth_of_the_energy_far_away(activation):
    """E(tu)/t at t = 1e5 along the direction.  Catches an activation taken for ReLU that is not one at infinity."""
    t = 1e5
    for seed in range(20):
        net = MLP((2, 10, 10, 1), activation)
        rng = np.random.default_rng(seed)
        theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
        value, direction = net.min_recession(theta)

        assert net(theta, t * direction[None])[0] / t == pytest.approx(value, abs=20 / t)
        assert (net(theta, t * circle(500)) / t).min() > value - 20 / t


def test_on_the_line_there_are_two_directions():
    """Catches the left side forgotten, and a direction without its sign."""
    for seed in range(50):
        weights = random_weights((1, 6, 4, 1), seed)
        value, direction = min_recession(weights)
        sides = relu_net(weights, np.array([[1.0], [-1.0]]))

        assert value == pytest.approx(sides.min(), abs=1e-14)
        assert direction[0] == (1.0, -1.0)[sides.argmin()]


@pytest.mark.parametrize("dim", [3, 5])
def test_in_space_it_is_an_attained_value_below_any_scan(dim):
    """An upper bound that random directions do not beat.  Catches great circles that are not orthonormal."""
    u = np.random.default_rng(0).standard_normal((20_000, dim))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    for seed in range(4):
        weights = random_weights((dim, 12, 8, 1), seed)
        value, direction = min_recession(weights)

        assert value <= relu_net(weights, u).min() + 1e-9
        assert relu_net(weights, direction[None])[0] == pytest.approx(value, abs=1e-10)
        assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e3, 1e150])
def test_it_is_homogeneous(scale):
    """Catches thresholds that are not relative: a small network diverges as surely as a large one."""
    weights = random_weights((2, 8, 1), 7)
    value, direction = min_recession(weights)
    scaled, same = min_recession([scale * weights[0], weights[1]])

    assert scaled == pytest.approx(scale * value, rel=1e-12)
    np.testing.assert_allclose(same, direction, atol=1e-12)


def test_known_networks():
    """A box's gauge grows everywhere, a half-space's stays flat, a plane falls: catches <= for <, and strictness."""
    last = np.ones((4, 1))
    box = [np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]), last]  # |x| + |y|
    value, direction = min_recession(box)
    assert value == pytest.approx(1.0, abs=1e-15) and np.abs(direction).max() == pytest.approx(1.0, abs=1e-15)

    assert min_recession([np.array([[1.0], [0.0]]), np.ones((1, 1))])[0] == 0.0  # max(x, 0)
    assert min_recession([np.array([[3.0], [4.0]])])[0] == pytest.approx(-5.0, abs=1e-14)  # 3 x + 4 y
    kinked = [np.eye(2), np.array([[1.0], [-1.0]])]  # max(x, 0) - max(y, 0)
    assert min_recession(kinked)[0] == pytest.approx(-1.0, abs=1e-14)
