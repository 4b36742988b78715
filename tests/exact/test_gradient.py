"""The two-phase gradient is the gradient of the logsumexp, streamed or not; and rows it has no meaning for are refused."""

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.autodiff.tape import grad
from tinyebm.common.tree import ravel, tree_map
from tinyebm.density import exponent
from tinyebm.exact.gradient import exact_phase
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.sums import log_sum

rng = np.random.default_rng
MODELS = [
    te.Density(te.MLP((1, 9, 1), "tanh", 0.5), None, te.Reals(1)),
    te.Density(te.MLP((2, 7, 5, 1), "silu", 1.0), None, te.Reals(2)),
    te.Density(te.MLP((2, 6, 1), "softplus"), None, te.Reals(2, base_scale=1.5)),
    te.Density(te.MLP((2, 6, 1), "relu"), None, te.Box(-1, 2, 2)),
    te.Density(te.MLP((3, 5, 1), "tanh", 2.0), None, te.Reals(3)),
    te.Density(te.TabularEnergy(5), None, te.Cells(5)),
    te.Density(te.MLP((6, 8, 1)), None, te.Bits(6)),
    te.Density(te.BoltzmannMachine(7), None, te.Spins(7)),
    te.Density(te.RBM(7, 3), None, te.Bits(7)),
    te.Density(te.RBM(3, 7), None, te.Bits(3)),
    te.Density(te.Ising((2, 4)), None, te.Spins(8)),
    te.Density(te.Potts(3, (2, 3), periodic=False), None, te.Cells(3, dim=6)),
]


@pytest.mark.parametrize("p", MODELS, ids=lambda p: f"{type(p.energy).__name__} on {p.space}")
def test_two_phases_are_one_logsumexp(p):
    """Against `grad` through all atoms at once.  Catches a phase of the other sign, a block lost, Z of the wrong layer."""
    theta = p.energy.init(rng(0))
    p = te.Density(p.energy, theta, p.space)
    x = p.space.initial(9, rng(1))
    atoms, log_w = quadrature(p, 1e-5).grid.all()

    def nll(theta):
        q = te.Density(p.energy, theta, p.space)
        return ops.logsumexp(exponent(q, atoms) + log_w) - ops.mean(exponent(q, x))

    found, exact = (ravel(g)[0] for g in (te.nll_gradient(p, x, 1e-5), grad(nll)(theta)))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12 * max(1, np.abs(exact).max()))


@pytest.mark.parametrize("p", MODELS[5:], ids=lambda p: f"{type(p.energy).__name__} on {p.space}")
def test_exact_phase_knows_z(p):
    """Catches a log Z that belongs to another grid than the gradient beside it."""
    p = te.Density(p.energy, p.energy.init(rng(0)), p.space)

    assert exact_phase(p)[0] == pytest.approx(float(te.log_partition(p)), abs=1e-12)


def test_a_finer_grid_has_a_smaller_error():
    """Both numbers of a loose tolerance, against a strict one.  Catches `finer` that is not asked for."""
    p = te.Density(te.MLP((1, 9, 1), "tanh", 0.5), te.MLP((1, 9, 1), "tanh", 0.5).init(rng(0)), te.Reals(1))
    numbers = lambda **options: np.concatenate([[found := exact_phase(p, **options)][0][:1], ravel(found[1])[0]])
    truth = numbers(rtol=1e-12)
    coarse, finer = (np.abs(numbers(rtol=0.3, finer=finer) - truth).max() for finer in (False, True))
    q = quadrature(p, 0.3)

    assert 0 < finer < coarse / 100
    assert exact_phase(p, 0.3, finer=True)[0] == log_sum(p, q.finer()) != q.log_z


def test_rows_that_have_no_likelihood_are_refused():
    """Catches a row of another width read as energies all the same, and a finite gradient of an infinite NLL."""
    line = te.Density(te.GaussianEnergy(1), te.GaussianEnergy(1).init(rng(0)), te.Box(-1, 1, 1))
    with pytest.raises(ValueError, match=r"shape \(n, 1\), got \(2, 2\)"):
        te.nll_gradient(line, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="outside Box"):
        te.nll_gradient(line, np.array([[0.5], [1.5]]))
    bits = te.Density(te.RBM(2, 1), te.RBM(2, 1).init(rng(0)), te.Bits(2))
    with pytest.raises(ValueError, match="outside Bits"):
        te.nll_gradient(bits, np.array([[0.5, 1.0]]))


@pytest.mark.parametrize("p", MODELS[5:], ids=lambda p: f"{type(p.energy).__name__} on {p.space}")
def test_at_the_truth_the_gradient_is_zero(p):
    """The model as its own population.  Catches phases over different states."""
    theta = tree_map(lambda leaf: leaf + rng(1).normal(0, 1, leaf.shape), p.energy.init(rng(0)))
    p = te.Density(p.energy, theta, p.space)

    assert np.abs(ravel(te.nll_gradient(p, p))[0]).max() < 1e-13


def test_large_energies_are_rescaled():
    """A later block that is e^2000 times as heavy.  Catches a running maximum that is not carried to the gradient."""
    energy = lambda theta, x: -theta * x[:, 0] * 2000 - x[:, -1] * theta
    p = te.Density(energy, np.array(1.0), te.Bits(12))
    log_z, model = exact_phase(p)

    assert log_z == pytest.approx(2000 + 10 * np.log(2) + np.log1p(np.e), rel=1e-14)
    assert model == pytest.approx(-2000 - np.e / (1 + np.e), rel=1e-14)
