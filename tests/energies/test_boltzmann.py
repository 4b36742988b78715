"""The Boltzmann machine: its energy in loops, the exact numbers of a small one, and mean-field ferromagnets of any size."""

import itertools
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.datasets.targets import PatternTarget

rng = np.random.default_rng  # every test makes its own


@pytest.fixture
def machine(oracle):
    """Three spins, the counts of 31 data as rows, and the oracle's numbers."""
    case = oracle("vbm3_pm1_exact")
    W = np.array(case["parameters"]["W_upper"])[np.triu_indices(3, 1)]
    p = te.Density(te.BoltzmannMachine(3), {"W": W, "b": np.zeros(3)}, te.Spins(3))
    counts = np.array(case["parameters"]["counts"])
    return p, np.repeat(p.space.atoms()[0], counts, axis=0), counts / counts.sum(), case["expected"]


def features(x):
    """What W and b multiply: x_i x_j for i < j in row order, then x."""
    i, j = np.triu_indices(x.shape[1], 1)
    return np.concatenate([x[:, i] * x[:, j], x], axis=1)


@pytest.mark.parametrize("space", [te.Bits(1), te.Bits(4), te.Spins(5)], ids=repr)
def test_energy_in_loops(space):
    """Catches pairs counted twice, in column order, with a diagonal, or a sign."""
    d = space.dim
    theta, x = {"W": rng(0).standard_normal(d * (d - 1) // 2), "b": rng(1).standard_normal(d)}, space.initial(6, rng(2))
    W = dict(zip(itertools.combinations(range(d), 2), theta["W"], strict=True))
    energy = [-sum(W[i, j] * row[i] * row[j] for i, j in W) - sum(theta["b"] * row) for row in x]

    np.testing.assert_allclose(te.BoltzmannMachine(d)(theta, x), energy, atol=1e-13)


def test_exact_numbers_of_three_spins(machine):
    """Oracle.  Catches a lost constant in Z or the likelihood, KL reversed, and moments of the data."""
    p, x, law, expected = machine
    population = PatternTarget("counts", p.space, p.space.atoms()[0], law, None, 1)

    assert abs(te.log_partition(p) - expected["logZ"]) < 1e-12
    np.testing.assert_allclose(te.probabilities(p), expected["probs"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(te.expectation(p, features), expected["model_moments"], rtol=0, atol=1e-12)
    for data in (x, population):
        assert abs(te.nll(p, data) - expected["nll"]) < 1e-12
    assert abs(te.kl(population, p) - expected["kl_p0_p"]) < 1e-12


def test_likelihood_gradient_of_three_spins(machine):
    """Oracle, which points uphill.  Catches phases exchanged, and W and b in another order."""
    p, x, law, expected = machine
    for data in (x, PatternTarget("counts", p.space, p.space.atoms()[0], law, None, 1)):
        gradient = te.nll_gradient(p, data)
        np.testing.assert_allclose(-np.r_[gradient["W"], gradient["b"]], expected["ml_gradient"], rtol=0, atol=1e-12)


def test_fisher_information_of_three_spins(machine):
    """As the covariance of the features, and as the Hessian of log Z.  Catches E[f fᵀ] that is not centred."""
    p, _, _, expected = machine
    mean = te.expectation(p, features)
    covariance = te.expectation(p, lambda x: (features(x) - mean)[:, :, None] * (features(x) - mean)[:, None])
    log_z = lambda t: ops.logsumexp(-p.energy({"W": t[:3], "b": t[3:]}, p.space.atoms()[0]))
    hessian = [te.hvp(log_z, np.r_[p.theta["W"], p.theta["b"]], v) for v in np.eye(6)]

    np.testing.assert_allclose(covariance, expected["fisher"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(hessian, expected["fisher"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_curie_weiss(oracle, i):
    """Every pair bound alike: E = -βJ/N Σ_{i<j} s_i s_j - h Σ s_i; the last has 2^20 states.

    Catches pairs bound twice or not at all, and blocks of states that are lost.
    """
    expected = oracle("curie_weiss")["expected"][i]
    N = expected["N"]
    theta = {"W": np.full(N * (N - 1) // 2, expected["betaJ"] / N), "b": np.full(N, expected["h"])}
    p = te.Density(te.BoltzmannMachine(N), theta, te.Spins(N))
    m = te.expectation(p, lambda s: np.stack([s.mean(axis=1), s.mean(axis=1) ** 2], axis=1))

    assert abs(te.log_partition(p) - expected["logZ_without_self_terms"]) < 1e-11
    np.testing.assert_allclose(m, [expected["mean_m"], expected["mean_m2"]], rtol=0, atol=1e-11)


def test_curie_weiss_as_an_integral(oracle):
    """A hundred spins by Hubbard and Stratonovich: with a = βJ/N and M = Σ s,

        e^{a M²/2} = ∫ e^{-y²/2a + yM} dy / √(2πa),  so  E(y) = y²/2a - N log 2cosh(y + h),  m = tanh(y + h).

    Catches sums over states and integrals that disagree about Z.
    """
    for expected in oracle("curie_weiss")["expected"]:
        N, h, a = expected["N"], expected["h"], expected["betaJ"] / expected["N"]
        log_2cosh = lambda y, h=h: ops.softplus(2 * (y + h)) - (y + h)
        energy = lambda theta, y, N=N, a=a, f=log_2cosh: y[:, 0] * y[:, 0] / (2 * a) - N * f(y[:, 0])
        p = te.Density(energy, {}, te.Reals(1))
        m = lambda y, N=N, h=h: np.stack([np.tanh(y[:, 0] + h), np.tanh(y[:, 0] + h) ** 2 * (1 - 1 / N) + 1 / N], axis=1)

        assert abs(te.log_partition(p, rtol=1e-12) - math.log(2 * math.pi * a) / 2 - expected["logZ"]) < 1e-11
        mean = te.expectation(p, m, rtol=1e-12)
        np.testing.assert_allclose(mean, [expected["mean_m"], expected["mean_m2"]], rtol=0, atol=1e-11)


def test_maximum_likelihood_matches_moments():
    """At the maximum the model's means and pair moments are the data's.  Catches a gradient that is not that of the value."""
    x = te.Bits(5).initial(40, rng(0))
    found = te.mle(te.BoltzmannMachine(5), x, te.Bits(5), gtol=1e-9, progress=False)

    np.testing.assert_allclose(te.expectation(found.density, features), features(x).mean(axis=0), atol=1e-8)


def test_a_machine_starts_near_independence():
    """Couplings N(0, 1/100): mean and variance, |z| < 5.  Catches 0.1 as a variance."""
    theta = te.BoltzmannMachine(100).init(rng(0))

    assert not theta["b"].any() and theta["b"].shape == (100,) and theta["W"].shape == (4950,)
    assert abs(theta["W"].mean()) < 5 * 0.1 / math.sqrt(4950)
    assert abs(theta["W"].var() / 0.01 - 1) < 5 * math.sqrt(2 / 4950)


@pytest.mark.parametrize("dim", [0, -3, 1.5, True])
def test_impossible_sizes(dim):
    with pytest.raises(ValueError, match="dim must be a positive integer"):
        te.BoltzmannMachine(dim)
