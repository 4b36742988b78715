"""Optimisers against their published updates, written out by hand for one number at a time."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel, tree_map
from tinyebm.training.optimize import clip_norm, lbfgs

rng = np.random.default_rng  # every test makes its own
THETA = {"W": rng(0).standard_normal((2, 3)), "b": [rng(1).standard_normal(3), np.array(0.5)]}


def gradients(n):
    return [tree_map(lambda leaf, i=i: rng(i).standard_normal(leaf.shape), THETA) for i in range(2, n + 2)]


def descend(optimizer, steps=6, theta=THETA):
    state = optimizer.init(theta)
    for g in gradients(steps):
        theta, state = optimizer.update(g, state, theta)
    return theta, state


def flat(tree):
    return ravel(tree)[0]


def test_sgd():
    """θ - η Σ g.  Catches ascent, and a gradient paired with another leaf."""
    expected = flat(THETA) - 0.1 * sum(flat(g) for g in gradients(6))

    np.testing.assert_allclose(flat(descend(te.sgd(0.1))[0]), expected, rtol=1e-14)


def test_momentum():
    """v ← β v + g, θ ← θ - η v.  Catches v ← β v + (1 - β) g, and Nesterov's look-ahead."""
    theta, v = flat(THETA), 0.0
    for g in gradients(6):
        v = 0.7 * v + flat(g)
        theta = theta - 0.1 * v

    np.testing.assert_allclose(flat(descend(te.momentum(0.1, decay=0.7))[0]), theta, rtol=1e-14)


def test_adam():
    """Algorithm 1 of Kingma & Ba.  Catches moments left biased, bias corrected with t - 1, ε inside the root."""
    theta, m, v, epsilon = flat(THETA), 0.0, 0.0, 0.3  # an ε large enough to see where it stands
    for t, g in enumerate(map(flat, gradients(6)), start=1):
        m = 0.8 * m + (1 - 0.8) * g
        v = 0.95 * v + (1 - 0.95) * g**2
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.95**t)
        theta = theta - 0.1 * m_hat / (np.sqrt(v_hat) + epsilon)

    np.testing.assert_allclose(flat(descend(te.adam(0.1, 0.8, 0.95, epsilon))[0]), theta, rtol=1e-14)


def test_first_step_of_adam_has_the_length_of_the_learning_rate():
    """Whatever the gradient's scale; with the published constants as defaults."""
    for scale in (1e-3, 1.0, 1e6):
        theta, gradient = {"w": np.zeros(2)}, {"w": np.array([scale, -scale])}
        theta, _ = te.adam(0.1).update(gradient, te.adam(0.1).init(theta), theta)
        np.testing.assert_allclose(theta["w"], [-0.1, 0.1], rtol=2e-5)

    default, published = te.adam(0.1), te.adam(0.1, 0.9, 0.999, 1e-8)
    np.testing.assert_array_equal(flat(descend(default)[0]), flat(descend(published)[0]))


@pytest.mark.parametrize("make", [te.sgd, te.momentum, te.adam])
def test_learning_rates_may_change(make):
    """A schedule is asked at steps 0, 1, 2, ... in turn.  Catches a count from 1, and a rate asked only once."""
    asked = []
    descend(make(lambda step: asked.append(step) or 0.1), steps=4)
    assert sorted(set(asked)) == [0, 1, 2, 3]

    np.testing.assert_array_equal(flat(descend(make(lambda step: 0.1))[0]), flat(descend(make(0.1))[0]))
    only_third = descend(te.sgd(lambda step: 0.1 if step == 2 else 0.0))[0]
    np.testing.assert_allclose(flat(only_third), flat(THETA) - 0.1 * flat(gradients(3)[2]), rtol=1e-14)


@pytest.mark.parametrize("optimizer", [te.sgd(0.1), te.momentum(0.1), te.adam(0.1)])
def test_updates_are_pure(optimizer):
    """Twice the same update gives the same numbers, from untouched arguments.  Catches moments changed in place."""
    theta, state, (g,) = tree_map(np.copy, THETA), optimizer.init(THETA), gradients(1)
    before = tree_map(np.copy, state)
    first, second = optimizer.update(g, state, theta), optimizer.update(g, state, theta)

    tree_map(np.testing.assert_array_equal, list(first), list(second))
    tree_map(np.testing.assert_array_equal, theta, THETA)
    tree_map(np.testing.assert_array_equal, state, before)


@pytest.mark.parametrize("optimizer", [te.sgd(0.1), te.momentum(0.1), te.adam(0.1), te.adam(lambda step: 0.1 / (1 + step))])
def test_float32_stays_float32(optimizer):
    """Catches a NumPy scalar beside the arrays, or moments started in float64."""
    half = lambda tree: tree_map(lambda leaf: leaf.astype("float32"), tree)
    theta, state = optimizer.update(half(gradients(1)[0]), optimizer.init(half(THETA)), half(THETA))
    step = state.pop("step")

    assert step == 1
    assert flat([theta, state]).dtype == np.float32


@pytest.mark.parametrize("make", [te.sgd, te.momentum, te.adam])
@pytest.mark.parametrize("rate", [0, -0.1, math.nan, math.inf])
def test_impossible_learning_rates(make, rate):
    with pytest.raises(ValueError, match="learning_rate must be positive and finite"):
        make(rate)


@pytest.mark.parametrize("make", [lambda d: te.momentum(0.1, d), lambda d: te.adam(0.1, d), lambda d: te.adam(0.1, 0.9, d)])
@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_impossible_decays(make, decay):
    with pytest.raises(ValueError, match=r"decay\d? must be in \[0, 1\)"):
        make(decay)


# ---------------------------------------------------------------------------------- clip_norm

def test_clipping_shortens_and_keeps_the_direction():
    """(3, 4) and 12 have length 13 together.  Catches leaves clipped one by one, numbers clipped, and a squared length."""
    g = {"a": np.array([3.0, 4.0]), "b": np.array(12.0)}

    np.testing.assert_allclose(flat(clip_norm(g, 1.0)), np.array([3, 4, 12]) / 13, rtol=1e-15)
    for largest in (13.0, 1e9):
        np.testing.assert_array_equal(flat(clip_norm(g, largest)), [3, 4, 12])
    np.testing.assert_array_equal(clip_norm({"a": np.zeros(2)}, 1.0)["a"], [0, 0])


def test_clipping_keeps_float32():
    assert clip_norm({"a": np.ones(4, "float32")}, 1.0)["a"].dtype == np.float32


# -------------------------------------------------------------------------------------- lbfgs

def rosenbrock(theta):
    """Σ 100 (b - a²)² + (1 - a)², with a and b in different leaves; least, 0, at ones."""
    a, b = theta["a"], theta["b"][0]
    gradient = {"a": -400 * a * (b - a**2) - 2 * (1 - a), "b": [200 * (b - a**2)]}
    return float(np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)), gradient


def test_lbfgs_finds_the_minimum_of_a_function_of_a_tree():
    """Catches leaves ravelled in one order and unravelled in another."""
    start = {"a": np.array([[-1.2, 0.0], [2.0, 1.0]]), "b": [np.array([[1.0, 3.0], [-1.0, 0.0]])]}
    theta, value, steps, converged = lbfgs(rosenbrock, start, gtol=1e-9)

    assert converged and 10 < steps < 1000 and value < 1e-16
    tree_map(lambda leaf: np.testing.assert_allclose(leaf, np.ones((2, 2)), atol=1e-8), theta)
    assert max(np.abs(leaf).max() for leaf in (rosenbrock(theta)[1]["a"], rosenbrock(theta)[1]["b"][0])) <= 1e-9


def test_lbfgs_says_when_it_has_not_converged():
    """After three steps.  Catches success reported for running out of steps."""
    theta, value, steps, converged = lbfgs(rosenbrock, {"a": np.array([-1.2]), "b": [np.array([1.0])]}, max_steps=3)

    assert not converged and steps == 3
    assert value == rosenbrock(theta)[0]


def test_lbfgs_at_the_minimum_stays():
    theta, value, steps, converged = lbfgs(rosenbrock, {"a": np.ones(1), "b": [np.ones(1)]})

    assert (converged, steps, value) == (True, 0, 0.0)


def test_lbfgs_that_can_see_no_descent_has_not_converged():
    """x² on top of 1e20: no step changes the value.  Catches SciPy's "success" taken for a small gradient."""
    function = lambda theta: (1e20 + float(theta["a"][0] ** 2), {"a": 2 * theta["a"]})
    theta, _, _, converged = lbfgs(function, {"a": np.array([3.0])})

    assert not converged and abs(2 * theta["a"][0]) > 1e-8


def barrier(theta):
    """x - log x, least, 1, at x = 1; inf from 0 down."""
    x = float(theta["x"][0])
    return (x - math.log(x), {"x": np.array([1 - 1 / x])}) if x > 0 else (math.inf, theta)


@pytest.mark.parametrize("start", [1e-6, 3.0, 1e6])
def test_lbfgs_steps_back_from_a_wall(start):
    """Catches a run that ends at its first wall, and a wall whose height is added to."""
    theta, value, _, converged = lbfgs(barrier, {"x": np.array([start])}, gtol=1e-9)

    assert converged and abs(theta["x"][0] - 1) < 1e-8 and value == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_lbfgs_in_units_of_the_spread(unit):
    """cosh of (a - b) and of b, in other units: their minimum to a millionth of a unit, by a gradient in those units.

    Catches a small gradient in large units, and a unit taken for its inverse.
    """
    def function(theta):
        a, b = theta["a"] / unit, theta["b"]
        slope = np.sinh(a - b)
        return float(np.cosh(a - b) + np.cosh(b - 2)), {"a": slope / unit, "b": np.sinh(b - 2) - slope}

    spread = lambda theta: {"a": np.array(1 / unit), "b": np.array(1.0)}
    theta, _, _, converged = lbfgs(function, {"a": np.array(-unit), "b": np.array(0.0)}, gtol=1e-7, spread=spread)

    assert converged and abs(theta["a"] / unit - 2) < 1e-6 and abs(theta["b"] - 2) < 1e-6


def test_lbfgs_ends_where_it_is_told_to():
    """A StopIteration on the way of Rosenbrock's function.  Catches a best θ that is lost with it."""
    values = []

    def function(theta):
        value, gradient = rosenbrock(theta)
        if value < 1:
            raise StopIteration
        values.append(value)
        return value, gradient

    theta, value, _, converged = lbfgs(function, {"a": np.array([-1.2]), "b": [np.array([1.0])]})

    assert not converged and value == min(values) == rosenbrock(theta)[0]


def test_lbfgs_goes_on_by_the_gradient_where_values_are_rounded():
    """A parabola on top of 1, rounded to 1e-9.  Catches the line search's end taken for the run's."""
    A = np.array([[2.0, 0.5], [0.5, 1.0]])

    def function(theta):
        return 1 + round(float(theta["x"] @ A @ theta["x"] / 2), 9), {"x": A @ theta["x"]}

    _, _, _, converged = lbfgs(function, {"x": np.array([3.0, -1.0])}, gtol=1e-9)
    assert converged
