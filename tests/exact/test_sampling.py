"""Exact draws of states: counts against probabilities, and that draws are independent."""

import math

import numpy as np
import pytest

import tinyebm as te

rng = np.random.default_rng  # every test makes its own


def drawn(energy, space):
    r = rng(0)
    theta = {name: r.normal(0, 0.8, leaf.shape) for name, leaf in energy.init(rng(0)).items()}
    return te.Density(energy, theta, space)


DENSITIES = [drawn(te.BoltzmannMachine(5), te.Bits(5)), drawn(te.BoltzmannMachine(4), te.Spins(4)), drawn(te.RBM(5, 2), te.Bits(5)),
             drawn(te.RBM(3, 4), te.Bits(3)), drawn(te.Potts(3, (2, 2)), te.Cells(3, 4)), drawn(te.Ising((2, 3)), te.Spins(6)),
             te.Density(te.TabularEnergy(5), {"energy": np.array([0.3, -1.0, 2.0, 0.0, 5.0])}, te.Cells(5)),
             drawn(te.BoltzmannMachine(12), te.Bits(12))]  # fmt: skip


@pytest.mark.parametrize("p", DENSITIES, ids=lambda p: repr(p.energy))
def test_counts_are_probabilities(p, chi_square):
    """|z| < 5 over all states; the last has four blocks of them.  Catches a state off by one, and mass lost between blocks."""
    n = 40_000
    x = te.sample(p, n, rng(1))
    counts = np.bincount(p.space.grid().index(x), minlength=p.space.grid().size)

    assert x.shape == (n, p.space.dim) and p.space.contains(x).all()
    assert abs(chi_square(counts, te.probabilities(p))) < 5


@pytest.mark.parametrize("p", DENSITIES, ids=lambda p: repr(p.energy))
def test_draws_are_independent(p):
    """The correlation of neighbouring draws' energies is 0 ± 1/√n.  Catches draws in the order of their states."""
    n = 10_000
    energy = p.energy(p.theta, te.sample(p, n, rng(2)))
    energy = (energy - energy.mean()) / energy.std()

    assert abs(energy[1:] @ energy[:-1]) < 5 * math.sqrt(n)
    trend = np.arange(n) - (n - 1) / 2
    assert abs(trend @ energy) < 5 * np.linalg.norm(trend)


def test_states_without_mass_are_never_drawn():
    """Energies +inf at either end and in the middle.  Catches a draw at the edge of the distribution function."""
    energies = np.array([np.inf, 0.0, np.inf, np.inf, 1.0, np.inf])
    p = te.Density(te.TabularEnergy(6), {"energy": energies}, te.Cells(6))

    assert set(te.sample(p, 5000, rng(0))[:, 0]) == {1.0, 4.0}


def test_levels_at_the_very_ends():
    """Uniform numbers 0 and 1 - 2⁻⁵³ draw the first and the last state.  Catches a level that rounding leaves above."""
    class Ends:
        def random(self, n):
            return np.array([1 - 2.0**-53, 0.0, 0.5])

    for a in range(1, 21):  # the sum of all probabilities is rounded below the highest level for some of them
        x = te.sample(te.Density(lambda theta, x: theta * x[:, 0], np.array(a / 7), te.Bits(11)), 3, Ends())
        assert x[0].tolist() == [1.0] * 11 and x[1].tolist() == [0.0] * 11 and x[2, 0] == 0.0

    first = te.Density(te.TabularEnergy(3), {"energy": np.array([np.inf, 0.0, 1.0])}, te.Cells(3))
    assert te.sample(first, 3, Ends())[:, 0].tolist() == [2.0, 1.0, 1.0]  # state 0 has no mass


def test_gaussian_visible_units_by_hidden_ones():
    """Moments of a mixture, |z| < 5, in five dimensions.  Catches hidden states drawn uniformly."""
    p, n = drawn(te.GaussianBernoulliRBM(5, 3), te.Reals(5)), 40_000
    h, _ = te.Bits(3).atoms()
    weight = np.exp(-p.energy.hidden_energy(p.theta, h))
    sigma = math.exp(p.theta["log_scale"])
    means = p.theta["b"] + sigma * h @ p.theta["W"].T
    mean = weight @ means / weight.sum()
    second = (weight[:, None, None] * means[:, :, None] * means[:, None]).sum(axis=0) / weight.sum() + sigma**2 * np.eye(5)
    x = te.sample(p, n, rng(0))
    products = x[:, :, None] * x[:, None]

    assert np.abs((x.mean(axis=0) - mean) / (x.std(axis=0) / math.sqrt(n))).max() < 5
    assert np.abs((products.mean(axis=0) - second) / (products.std(axis=0) / math.sqrt(n))).max() < 5


@pytest.mark.parametrize("p", [DENSITIES[0], DENSITIES[2]], ids=lambda p: repr(p.energy))
def test_numbers_of_draws(p):
    """Catches n = 0 that fails, and a fraction that is rounded."""
    assert te.sample(p, 0, rng(0)).shape == (0, 5) and te.sample(p, 1, rng(0)).shape == (1, 5)
    np.testing.assert_array_equal(te.sample(p, 50, rng(3)), te.sample(p, 50, rng(3)))
    for n in (-1, 2.5):
        with pytest.raises(ValueError, match="n must be a number of draws >= 0"):
            te.sample(p, n, rng(0))
