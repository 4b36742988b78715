"""Gibbs with gradients: `push` against a transition matrix written out in loops, `step` against `push`, both against p."""

import itertools
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops

rng = np.random.default_rng  # every test makes its own
KERNEL = te.GibbsWithGradients()
A, C = np.array([0.9, -0.7, 0.4]), np.array([0.5, 0.8, -0.6])


def curved(space):
    """E = (a·x)² - (c·x)³ on three sites: slopes are no differences, so that the Hastings ratio is not 1 - and its slope."""
    energy = lambda theta, x: ops.square(x @ A) - ops.power(x @ C, 3)
    return te.Density(energy, {}, space), lambda x: 2 * (x @ A) * A - 3 * (x @ C) ** 2 * C


def machine(space):
    """A Boltzmann machine and the slope of its energy."""
    d = space.dim
    theta = {"W": rng(0).normal(0, 1, d * (d - 1) // 2), "b": rng(1).normal(0, 1, d)}
    full = np.zeros((d, d))
    full[np.triu_indices(d, 1)] = theta["W"]
    return te.Density(te.BoltzmannMachine(d), theta, space), lambda x: -(full + full.T) @ x - theta["b"]


def network(space):
    net = te.MLP((space.dim, 6, 1), activation="tanh")
    return te.Density(net, [{name: 3 * leaf for name, leaf in layer.items()} for layer in net.init(rng(0))], space)


def by_definition(p, slope):
    """The transition matrix: q(i|x) ∝ e^{-(y_i - x_i) ∂_i E / 2}, accepted with min(1, p(y) q(i|y) / p(x) q(i|x))."""
    values = p.space.values
    states = list(itertools.product(values, repeat=p.space.dim))
    energy = {s: p.energy(p.theta, np.array([s]))[0] for s in states}

    def q(s):
        g = slope(np.array(s))
        weights = [math.exp(-(sum(values) - 2 * s[i]) * g[i] / 2) for i in range(len(s))]
        return [w / sum(weights) for w in weights]

    T = np.zeros((len(states), len(states)))
    for row, s in enumerate(states):
        for i in range(len(s)):
            y = s[:i] + (sum(values) - s[i],) + s[i + 1 :]
            move = q(s)[i] * min(1.0, math.exp(energy[s] - energy[y]) * q(y)[i] / q(s)[i])
            T[row, states.index(y)] += move
            T[row, row] += q(s)[i] - move
    return T


def uneven(n):
    return np.arange(1.0, n + 1) / (n * (n + 1) / 2)


CASES = [(make, space) for make in (curved, machine) for space in (te.Bits(3), te.Spins(3))]
CASES += [(machine, te.Bits(1)), (machine, te.Spins(4))]


@pytest.mark.parametrize(("make", "space"), CASES)
def test_push_is_the_matrix_of_the_definition(make, space):
    """Catches a lost half in the proposal, slopes uphill, a missing or inverted Hastings term, rejected mass that is lost."""
    p, slope = make(space)
    T, law = by_definition(p, slope), uneven(2**space.dim)

    np.testing.assert_allclose(T.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(KERNEL.push(law, p), law @ T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(te.transition_matrix(p, KERNEL), T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("p", [machine(te.Bits(8))[0], machine(te.Spins(11))[0], network(te.Bits(6)), network(te.Spins(6)),
                               curved(te.Spins(3))[0], te.Density(te.Ising((2, 3)), {"coupling": np.array(0.9),
                               "field": np.array(0.1)}, te.Spins(6))])  # fmt: skip
def test_push_keeps_p(p):
    """To 1e-14, in detail (p_i T_ij = p_j T_ji) where T is small, and the mass of any law.  Catches a missing correction."""
    law = te.probabilities(p)

    assert np.abs(KERNEL.push(law, p) - law).max() < 1e-14
    assert abs(KERNEL.push(uneven(len(law)), p).sum() - 1) < 1e-13
    if len(law) <= 64:
        flow = law[:, None] * te.transition_matrix(p, KERNEL)
        np.testing.assert_allclose(flow, flow.T, rtol=0, atol=1e-15)


def test_log_ratio_is_the_hastings_ratio():
    """log p(y) q(x|y) / p(x) q(y|x), of every accepted move.  Catches an acceptance that is right on average only."""
    p, slope = curved(te.Spins(3))
    x = te.Spins(3).initial(300, rng(0))
    move = KERNEL.step(p, x, rng(1))

    def log_q(s):
        delta = s * slope(s)  # (y_i - x_i) = -2 x_i, times -∂E, halved
        return delta - np.log(np.exp(delta).sum())

    taken = np.flatnonzero(move.accepted)
    assert len(taken) > 100 and ((move.x != x).sum(axis=1) == move.accepted).all()
    for s, y, log_ratio in zip(x[taken], move.x[taken], move.log_ratio[taken], strict=True):
        i = int(np.flatnonzero(s != y)[0])
        expected = p.energy({}, s[None])[0] - p.energy({}, y[None])[0] + log_q(y)[i] - log_q(s)[i]
        assert log_ratio == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("space", [te.Cells(3, dim=2), te.Reals(2), te.Box(0, 1, 2)], ids=repr)
def test_sites_must_have_two_values(space):
    """Catches a flip of what has no other side."""
    p = te.Density(lambda theta, x: ops.sum(x, axis=1), {}, space)
    for ask in (lambda: KERNEL.step(p, np.zeros((3, 2)), rng(0)), lambda: KERNEL.push(np.ones(9) / 9, p)):
        with pytest.raises(ValueError, match=r"flips sites with two values \(Bits, Spins\), not those of"):
            ask()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_from_an_impossible_state_is_no_rejection():
    """Two neighbours that are both on: E = +inf.  Catches a chain that stays there and looks like one that rejects."""
    pair = lambda x: ops.sum(x[:, 1:] * x[:, :-1], axis=1)
    p = te.Density(lambda theta, x: ops.where(pair(x) > 0.5, math.inf, 0.3 * ops.sum(x, axis=1)), {}, te.Bits(4))
    x = np.repeat([[0.0, 1, 0, 0], [1, 1, 1, 1]], 300, axis=0)
    with pytest.raises(ValueError, match="the density is 0 at row 300 of x, .* .300 such rows of 600"):
        KERNEL.step(p, x, rng(0))
    good = KERNEL.step(p, x[:300], rng(0)).x

    assert p.space.contains(good).all() and (pair(good) == 0).all()


@pytest.mark.parametrize("energy, space", [
    (te.Ising((3, 4)), te.Spins(12)), (te.Ising((1, 3), simple=False), te.Spins(3)), (te.Ising((2, 3), False), te.Bits(6)),
    (te.BoltzmannMachine(9), te.Bits(9)), (te.BoltzmannMachine(9), te.Spins(9)), (te.RBM(6, 3), te.Bits(6))], ids=repr)
def test_the_proposals_of_gradients(energy, space):
    """The same draws, decisions and ratios as by gradients of whole energies, which a bare energy needs.

    Catches formulas that are no slopes (RBM, a spin joined to itself), fields of the state before the flip, and a lost sign.
    """
    theta = energy.init(rng(0))
    p = te.Density(energy, {name: leaf + rng(1).normal(0, 0.5, leaf.shape) for name, leaf in theta.items()}, space)
    bare, x = te.Density(lambda theta, x: energy(theta, x), p.theta, space), space.initial(300, rng(2))
    for _ in range(3):
        found, expected = KERNEL.step(p, x, rng(3)), KERNEL.step(bare, x, rng(3))
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.accepted, expected.accepted)
        np.testing.assert_allclose(found.log_ratio, expected.log_ratio, atol=1e-12)
        x = found.x


def test_linear_energies_are_not_differentiated(monkeypatch):
    """Catches the offers of an energy that are not used."""
    monkeypatch.setattr(te.samplers.gwg, "exponent_and_score", None)
    KERNEL.step(machine(te.Bits(8))[0], te.Bits(8).initial(5, rng(0)), rng(1))
    with pytest.raises(TypeError):
        KERNEL.step(network(te.Bits(6)), te.Bits(6).initial(5, rng(0)), rng(1))
