"""Restricted Boltzmann machines: either layer summed out in loops, the exact numbers of a small one, Gaussian visible units."""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

import tinyebm as te
from tinyebm import ops
from tinyebm.exact.structure import hidden_layer

rng = np.random.default_rng  # every test makes its own
SIZES = [(3, 5), (5, 3), (4, 4), (8, 11), (1, 1), (9, 2)]


def rbm(visible, hidden, seed=0, scale=1.0):
    r = rng(seed)
    theta = {"W": r.normal(0, scale, (visible, hidden)), "b": r.normal(0, scale, visible), "c": r.normal(0, scale, hidden)}
    return te.Density(te.RBM(visible, hidden), theta, te.Bits(visible))


def gaussian(visible, hidden, seed=0, log_scale=-0.3):
    r = rng(seed)
    theta = {"W": r.normal(0, 1, (visible, hidden)), "b": r.normal(0, 1, visible), "c": r.normal(0, 1, hidden),
             "log_scale": np.array(log_scale)}  # fmt: skip
    return te.Density(te.GaussianBernoulliRBM(visible, hidden), theta, te.Reals(visible))


def bits(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def plain(p):
    """The same density without its structure: Z is a sum over visible states, or an integral."""
    return te.Density(lambda theta, x: p.energy(theta, x), p.theta, p.space)


def joint(theta, v, h):
    """E(v, h) in loops."""
    pairs = sum(v[i] * theta["W"][i, j] * h[j] for i in range(len(v)) for j in range(len(h)))
    return -sum(theta["b"] * v) - sum(theta["c"] * h) - pairs


@pytest.fixture
def small(oracle):
    case = oracle("rbm_4x3_exact")
    theta = {name: np.array(case["parameters"][name]) for name in "Wbc"}
    return te.Density(te.RBM(4, 3), theta, te.Bits(4)), np.array(case["parameters"]["data"], dtype=float), case["expected"]


# ------------------------------------------------------------------------------------- RBM

@pytest.mark.parametrize(("visible", "hidden"), [(3, 2), (2, 4), (1, 1)])
def test_free_energies_are_sums_over_the_other_layer(visible, hidden):
    """-log Σ e^{-E(v,h)}, either way, in loops.  Catches a bias on the wrong layer, W transposed, a lost sign."""
    p = rbm(visible, hidden)
    table = np.array([[joint(p.theta, v, h) for h in bits(hidden)] for v in bits(visible)])

    np.testing.assert_allclose(p.energy(p.theta, bits(visible)), -special.logsumexp(-table, axis=1), atol=1e-13)
    np.testing.assert_allclose(p.energy.hidden_energy(p.theta, bits(hidden)), -special.logsumexp(-table, axis=0), atol=1e-13)
    for logits, law in ((p.energy.hidden_logits(p.theta, bits(visible)), special.softmax(-table, axis=1) @ bits(hidden)),
                        (p.energy.visible_logits(p.theta, bits(hidden)), special.softmax(-table, axis=0).T @ bits(visible))):
        np.testing.assert_allclose(special.expit(logits), law, atol=1e-13)


def test_exact_numbers_of_a_small_machine(small):
    """Oracle.  Catches a lost constant in Z or the likelihood."""
    p, x, expected = small

    np.testing.assert_allclose(p.energy(p.theta, p.space.atoms()[0]), expected["free_energy"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(te.probabilities(p), expected["p_v"], rtol=0, atol=1e-12)
    for q in (p, plain(p)):
        assert abs(te.log_partition(q) - expected["logZ"]) < 1e-12
        assert abs(te.nll(q, x) - expected["nll_mean"]) < 1e-12


def test_likelihood_gradient_of_a_small_machine(small):
    """Oracle, which points uphill, by either layer.  Catches phases exchanged, and W by columns."""
    p, x, expected = small
    for q in (p, plain(p)):
        gradient = te.nll_gradient(q, x)
        flat = np.r_[gradient["W"].ravel(), gradient["b"], gradient["c"]]
        np.testing.assert_allclose(-flat, expected["ml_gradient"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("visible", "hidden"), [*SIZES, (12, 8), (8, 12), (14, 6)])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_z_by_either_layer(visible, hidden, scale):
    """Σ_h over hidden energies, Σ_v over free energies, and what log_partition chooses.  Catches Z of the wrong layer."""
    p = rbm(visible, hidden, scale=scale)
    by_hidden = te.log_partition(te.Density(p.energy.hidden_energy, p.theta, te.Bits(hidden)))

    assert abs(by_hidden - te.log_partition(plain(p))) < 1e-12 * max(1, by_hidden)
    assert abs(te.log_partition(p) - by_hidden) < 1e-12 * max(1, by_hidden)


def test_the_machine_upside_down_has_the_same_z():
    """v and h exchanged: W transposed, b and c exchanged.  Catches a layer of which the biases count twice."""
    p = rbm(6, 9)
    turned = {"W": p.theta["W"].T, "b": p.theta["c"], "c": p.theta["b"]}

    assert abs(te.log_partition(p) - te.log_partition(te.Density(te.RBM(9, 6), turned, te.Bits(9)))) < 1e-12


def test_many_visible_units():
    """784 × 10 by 2^10 hidden states, against NumPy.  Catches a sum over the 2^784 visible ones, and overflow."""
    p = rbm(784, 10, scale=0.5)
    h = bits(10)
    log_z = special.logsumexp(h @ p.theta["c"] + np.logaddexp(0, h @ p.theta["W"].T + p.theta["b"]).sum(axis=1))

    assert abs(te.log_partition(p) - log_z) < 1e-12 * log_z
    x = te.sample(p, 3, rng(1))
    assert x.shape == (3, 784) and p.space.contains(x).all() and np.isfinite(te.nll(p, x))


def test_other_spaces_have_no_hidden_layer():
    """Of spins, or of R^d with a base measure or in a box, other sums and integrals are wanted.  Catches Z of bits for them."""
    energy, theta = te.RBM(3, 2), rbm(3, 2).theta
    spins = te.Density(energy, theta, te.Spins(3))
    box = te.Density(te.GaussianBernoulliRBM(1, 2), gaussian(1, 2).theta, te.Box(-1, 1, 1))
    base = te.Density(box.energy, box.theta, te.Reals(1, base_scale=2.0))

    assert all(hidden_layer(p) is None for p in (spins, box, base))
    assert abs(te.log_partition(spins) - special.logsumexp(-energy(theta, 2 * bits(3) - 1))) < 1e-12
    t, w = np.polynomial.legendre.leggauss(60)
    assert abs(te.log_partition(box) - special.logsumexp(-box.energy(box.theta, t[:, None]), b=w)) < 1e-8


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_machines_between(beta):
    """E_β(v, h) = β E(v, h) - (1 - β) a·v, in loops.  Catches a bias that stays cold, and a path of free energies.

    At 0 the visible units are coins with the logits a, whatever h; at 1 it is the machine itself.
    """
    p, a = rbm(3, 2), np.array([0.5, -1.0, 2.0])
    q = te.Density(p.energy, p.energy.tempered(p.theta, a, beta), p.space)
    table = np.array([[beta * joint(p.theta, v, h) - (1 - beta) * a @ v for h in bits(2)] for v in bits(3)])

    np.testing.assert_allclose(q.energy(q.theta, bits(3)), -special.logsumexp(-table, axis=1), atol=1e-13)
    np.testing.assert_allclose(q.energy.hidden_energy(q.theta, bits(2)), -special.logsumexp(-table, axis=0), atol=1e-13)
    if beta == 0:
        np.testing.assert_allclose(te.probabilities(q) @ bits(3), special.expit(a), atol=1e-13)
    if beta == 1:
        assert all(np.array_equal(q.theta[name], p.theta[name]) for name in "Wbc")


def test_visible_units_given_hidden_ones(chi_square):
    """Every unit by its own probability, all states counted.  Catches draws of h's own logits, and a shared uniform."""
    p, h = rbm(3, 2), np.array([[1.0, 0.0]])
    table = special.softmax([-joint(p.theta, v, h[0]) for v in bits(3)])
    x = p.energy.draw_visible(p.theta, np.repeat(h, 20_000, axis=0), rng(0))

    assert abs(chi_square(np.bincount(p.space.grid().index(x), minlength=8), table)) < 5


# -------------------------------------------------------------------------- Gaussian visible units

@pytest.mark.parametrize("log_scale", [-0.8, 0.0, 0.5])
@pytest.mark.parametrize(("visible", "hidden"), [(1, 1), (1, 3), (2, 2)])
def test_gaussian_machines_are_mixtures(visible, hidden, log_scale):
    """p(v) = Σ_h π_h N(v; b + σWh, σ²), against scipy; Z, energies and log p.  Catches σ for σ², a lost 1/σ, |Wh|² twice."""
    p = gaussian(visible, hidden, log_scale=log_scale)
    h, sigma = bits(hidden), math.exp(log_scale)
    log_weight = -p.energy.hidden_energy(p.theta, h)
    v = rng(1).normal(0, 2, (7, visible))
    normals = [stats.norm.logpdf(v, p.theta["b"] + sigma * p.theta["W"] @ row, sigma).sum(axis=1) for row in h]
    log_p = special.logsumexp(np.transpose(normals) + log_weight - special.logsumexp(log_weight), axis=1)

    assert abs(te.log_partition(p) - special.logsumexp(log_weight)) < 1e-12
    np.testing.assert_allclose(te.log_prob(p, v), log_p, atol=1e-12)
    np.testing.assert_allclose(p.energy(p.theta, v), -special.logsumexp(np.transpose(normals) + log_weight, axis=1), atol=1e-12)


@pytest.mark.parametrize("hidden", [1, 3])
@pytest.mark.parametrize("visible", [1, 2])
def test_gaussian_machines_by_quadrature(visible, hidden):
    """Z and its gradient by hidden states and by an integral over the plane.  Catches a volume (2πσ²)^{d/2} of another d."""
    p = gaussian(visible, hidden)
    x = rng(1).normal(0, 1, (5, visible))

    assert hidden_layer(p) and abs(te.log_partition(p) - te.log_partition(plain(p))) < 1e-8
    structure, integral = te.nll_gradient(p, x), te.nll_gradient(plain(p), x)
    for name, leaf in structure.items():
        np.testing.assert_allclose(leaf, integral[name], rtol=0, atol=1e-6)


def test_hidden_energy_of_a_gaussian_machine():
    """-log ∫ e^{-E(v,h)} dv for every h by quadrature, E(v,h) = |v - b|²/2σ² - c·h - v·Wh/σ.  Catches b·Wh without 1/σ."""
    p = gaussian(2, 2, seed=3)
    sigma, (W, b, c) = math.exp(-0.3), (p.theta[name] for name in "Wbc")
    for h in bits(2):
        energy = lambda theta, v, h=h: ops.sum((v - b) * (v - b), axis=1) / (2 * sigma**2) - c @ h - v @ (W @ h) / sigma
        log_z = te.log_partition(te.Density(energy, {}, te.Reals(2)))
        assert abs(p.energy.hidden_energy(p.theta, h[None])[0] + log_z) < 1e-8


def test_gaussian_units_given_hidden_ones():
    """N(b + σWh, σ² 1): mean and covariance, |z| < 5.  Catches noise of variance σ, and a mean Wh without σ."""
    n, p, h = 40_000, gaussian(2, 3), np.array([1.0, 0.0, 1.0])
    x, sigma = p.energy.draw_visible(p.theta, np.repeat(h[None], n, axis=0), rng(0)), math.exp(-0.3)

    z = (x - p.theta["b"] - sigma * p.theta["W"] @ h) / sigma
    assert np.abs(z.mean(axis=0)).max() < 5 / math.sqrt(n)
    assert np.abs((z.T @ z / n - np.eye(2)) / np.sqrt(1 + np.eye(2))).max() < 5 / math.sqrt(n)


def test_many_gaussian_units():
    """Thirty dimensions, beyond any quadrature: E[v] = b + σ W E[h].  Catches an answer that needs visible atoms."""
    p = gaussian(30, 4)
    log_weight = -p.energy.hidden_energy(p.theta, bits(4))
    by_b = te.nll_gradient(p, np.zeros((1, 30)))["b"]  # (E[v] - 0 + b - b) / σ²

    mean = p.theta["b"] + math.exp(-0.3) * p.theta["W"] @ (special.softmax(log_weight) @ bits(4))
    np.testing.assert_allclose(by_b, mean * math.exp(0.6), rtol=1e-10)


# --------------------------------------------------------------------------------- beginnings

@pytest.mark.parametrize("kind", [te.RBM, te.GaussianBernoulliRBM])
def test_starts(kind):
    """Weights N(0, 1/100), |z| < 5, and zeros.  Catches 0.1 as a variance, and layers exchanged."""
    theta = kind(60, 40).init(rng(0))

    assert theta["W"].shape == (60, 40) and theta["b"].shape == (60,) and theta["c"].shape == (40,)
    assert abs(theta["W"].var() / 0.01 - 1) < 5 * math.sqrt(2 / 2400) and abs(theta["W"].mean()) < 0.5 / math.sqrt(2400)
    assert not any(np.any(theta[name]) for name in set(theta) - {"W"})


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (2.5, 1), (True, 2), (3, -1)])
@pytest.mark.parametrize("kind", [te.RBM, te.GaussianBernoulliRBM])
def test_impossible_sizes(kind, sizes):
    with pytest.raises(ValueError, match="(visible|hidden) must be a positive number of units"):
        kind(*sizes)
