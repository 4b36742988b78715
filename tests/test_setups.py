"""From names to things: every name that `compare` knows, and what is refused."""

import dataclasses

import numpy as np
import pytest

import tinyebm as te
from tinyebm import datasets, setups

BITS, PLANE = te.Bits(5), te.Reals(2)


@pytest.mark.parametrize(("name", "space", "hidden", "energy"), [
    (None, PLANE, None, te.MLP((2, 64, 64, 1), "silu", 1.0)), ("mlp", te.Reals(1), (8,), te.MLP((1, 8, 1), "silu", 1.0)),
    (None, BITS, None, te.RBM(5, 8)), ("rbm", BITS, (3,), te.RBM(5, 3)), ("boltzmann", BITS, None, te.BoltzmannMachine(5)),
    ("boltzmann", te.Spins(4), (9,), te.BoltzmannMachine(4)), ("mlp", BITS, (8, 4), te.MLP((5, 8, 4, 1), "silu", 0.0))])
def test_energies(name, space, hidden, energy):
    """Catches a network on bits that is confined, widths of another model, and a default that is not the documented one."""
    found = setups.named_energy(name, space, hidden)

    assert found == energy and repr(found) == repr(energy)
    if name == "mlp":
        assert setups.named_energy(name, space, hidden, "tanh", 2.0) == dataclasses.replace(
            energy, activation="tanh", confinement=0.0 if space.discrete else 2.0)  # fmt: skip


@pytest.mark.parametrize(("name", "space", "hidden", "message"), [
    ("rmb", BITS, None, "unknown energy 'rmb': the names are mlp, rbm, boltzmann"),
    ("rbm", PLANE, None, "the energy 'rbm' is for bits, and the data live on Reals"),
    ("boltzmann", PLANE, None, "is for bits"), ("rbm", BITS, (8, 8), "an RBM has one hidden layer, got widths")])
def test_energies_that_do_not_fit(name, space, hidden, message):
    with pytest.raises(ValueError, match=message):
        setups.named_energy(name, space, hidden)


@pytest.mark.parametrize(("energy", "space", "kernel"), [
    (te.MLP((2, 8, 1)), PLANE, te.ULA(0.07)), (te.Quartic(), te.Box(-1, 1, 1), te.ULA(0.07)),
    (te.GaussianBernoulliRBM(2, 3), PLANE, te.ULA(0.07)), (te.RBM(5, 3), BITS, te.BlockGibbs()),
    (te.BoltzmannMachine(5), te.Spins(5), te.Gibbs()), (te.MLP((5, 8, 1)), BITS, te.GibbsWithGradients()),
    (te.Potts(3, (2, 2)), te.Cells(3, 4), te.Gibbs()), (lambda theta, x: x[:, 0], BITS, te.Gibbs())])
def test_kernels_suit_their_energies(energy, space, kernel):
    """Each leaves p alone where it can be asked.  Catches Langevin steps between bits, and a step size that is lost."""
    found = setups.default_kernel(energy, space, 0.07)

    assert found == kernel
    if space.discrete and hasattr(energy, "init"):
        p = te.Density(energy, energy.init(np.random.default_rng(0)), space)
        assert np.abs(found.push(te.probabilities(p), p) - te.probabilities(p)).max() < 1e-14


def test_default_step_size():
    assert setups.default_kernel(te.Quartic(), te.Reals(1)) == te.ULA(0.01)


@pytest.mark.parametrize(("name", "objective"), [
    ("mle", te.ExactLikelihood(rtol=1e-3)), ("pl", te.Pseudolikelihood()), ("cd-1", te.ContrastiveDivergence(te.Gibbs(), 1)),
    ("cd-25", te.ContrastiveDivergence(te.Gibbs(), 25)), ("short-100", te.ShortRun(te.Gibbs(), 100)),
    ("pcd-3", te.PersistentContrastiveDivergence(te.Gibbs(), 3, restart=0.0))])
def test_objectives(name, objective):
    """Catches k read from one digit, PCD with restarts, and CD for PCD."""
    assert setups.named_objective(name, te.Gibbs()) == objective


@pytest.mark.parametrize("name", ["cd", "cd-0", "cd-", "cd--1", "pcd1", "mle-2", "CD-1", "cd-1 ", "xcd-1", "cd-1.5", ""])
def test_unknown_objectives(name):
    """Catches a name that is matched in part."""
    with pytest.raises(ValueError, match="unknown method .*the methods are mle, perfect, cd-K, .* on bits pl, rm"):
        setups.named_objective(name, te.Gibbs())


def test_schedule():
    """Constant over the first half, then on a line to zero; 0.03 on a population, 0.01 on data.  Catches a rate that is 0 first."""
    population, rows = datasets.load("bars_and_stripes"), np.zeros((3, 2))
    for data, rate, top in ((population, None, 0.03), (rows, None, 0.01), (rows, 0.5, 0.5), (population, 0.5, 0.5)):
        learning_rate = setups.schedule(rate, data, 200)
        steps = np.array([0, 50, 100, 101, 150, 199, 200])
        np.testing.assert_allclose([learning_rate(step) for step in steps],
                                   top * np.array([1, 1, 1, 0.99, 0.5, 0.01, 0]), atol=1e-15)  # fmt: skip


def test_words():
    """Catches input and output among the widths, and a sampler without its step size."""
    assert setups.describe(te.MLP((2, 64, 32, 1), "tanh"), te.ULA(0.05)) == ("64-32 tanh network", "Langevin step size 0.05")
    assert setups.describe(te.RBM(16, 8), te.BlockGibbs()) == ("RBM(visible=16, hidden=8)", "BlockGibbs()")


@pytest.mark.parametrize(("data", "dim", "space"), [
    ("bars_and_stripes", None, te.Bits(16)), ("digit_patches", 16, te.Bits(16)), ("two_moons", None, te.Reals(2)),
    ("faithful", 2, te.Reals(2)), (np.zeros((4, 3)), 3, te.Reals(3))])
def test_spaces(data, dim, space):
    """Catches bits that are taken for real numbers."""
    assert setups.space_of(datasets.load(data) if isinstance(data, str) else data, dim) == space
