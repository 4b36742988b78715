"""The matrix of a kernel and its eigenvalues: oracles, closed forms, and the decay of the bias of CD-k."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel

rng = np.random.default_rng  # every test makes its own


def machine(space, scale=1.0, seed=0):
    d = space.dim
    theta = {"W": rng(seed).normal(0, scale, d * (d - 1) // 2), "b": rng(seed + 1).normal(0, scale, d)}
    return te.Density(te.BoltzmannMachine(d), theta, space)


def layers(visible, hidden, seed=0):
    r = rng(seed)
    theta = {"W": r.normal(0, 1.5, (visible, hidden)), "b": r.normal(0, 1, visible), "c": r.normal(0, 1, hidden)}
    return te.Density(te.RBM(visible, hidden), theta, te.Bits(visible))


def gaussian(mean, variance, extent):
    theta = {"mean": np.array([mean]), "precision": np.array([[1 / variance]])}
    return te.Density(te.GaussianEnergy(1), theta, te.Reals(1, extent=extent))


KERNELS = [(machine(te.Spins(5)), te.Gibbs()), (machine(te.Bits(6)), te.Gibbs("random")),
           (machine(te.Spins(4)), te.GibbsWithGradients()), (layers(5, 3), te.BlockGibbs())]  # fmt: skip


def test_spectra_of_three_spins(oracle):
    """Oracle.  Catches a random scan that sweeps, and moduli out of order."""
    case = oracle("vbm3_pm1_exact")
    W = np.array(case["parameters"]["W_upper"])[np.triu_indices(3, 1)]
    p, expected = te.Density(te.BoltzmannMachine(3), {"W": W, "b": np.zeros(3)}, te.Spins(3)), case["expected"]
    one, sweep = te.spectrum(p, te.Gibbs("random")), te.spectrum(p, te.Gibbs())

    np.testing.assert_allclose(one[:4], expected["eigvals_random_scan"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.abs(sweep[:4]), expected["abs_eigvals_systematic"], rtol=0, atol=1e-12)
    assert abs(te.spectral_gap(p, te.Gibbs("random")) - (1 - expected["eigvals_random_scan"][1])) < 1e-12
    assert abs(te.spectral_gap(p, te.Gibbs()) - (1 - expected["abs_eigvals_systematic"][1])) < 1e-12


@pytest.mark.parametrize(("p", "kernel"), KERNELS)
def test_spectrum_is_that_of_the_matrix(p, kernel):
    """Traces of the powers of P, without an eigenvalue; rows sum to one, p is left alone.

    Catches a symmetrisation by the wrong side of p, which keeps the matrix's shape and loses its spectrum.
    """
    P, values = te.transition_matrix(p, kernel), te.spectrum(p, kernel)
    law = te.probabilities(p)

    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-13)
    np.testing.assert_allclose(law @ P, law, atol=1e-14)
    for k in range(1, 6):
        assert abs((values**k).sum() - np.trace(np.linalg.matrix_power(P, k))) < 1e-11
    assert abs(values[0] - 1) < 1e-12 and (np.diff(np.abs(values)) < 1e-12).all()
    assert (values.dtype == float) == (kernel != te.Gibbs())  # the others are reversible


@pytest.mark.parametrize("d", [1, 2, 5])
def test_independent_spins(d):
    """Without couplings a random scan has the eigenvalues 1 - m/d, each C(d, m) times; a sweep forgets everything."""
    p = te.Density(te.BoltzmannMachine(d), {"W": np.zeros(d * (d - 1) // 2), "b": rng(0).normal(0, 1, d)}, te.Spins(d))
    exact = [1 - m / d for m in range(d + 1) for _ in range(math.comb(d, m))]

    np.testing.assert_allclose(te.spectrum(p, te.Gibbs("random")), exact, atol=1e-12)
    assert abs(te.spectral_gap(p, te.Gibbs("random")) - 1 / d) < 1e-12
    assert abs(te.spectral_gap(p, te.Gibbs()) - 1) < 1e-3  # defective zeros: eigenvalues to eps^(1/d)


def test_langevin_on_a_gaussian():
    """ULA is an autoregression: eigenvalues a^k, a = 1 - ε / s².  Catches `nodes` ignored, and atoms' weights left out."""
    p = gaussian(0.4, 0.8, extent=9.0)

    np.testing.assert_allclose(te.spectrum(p, te.ULA(0.2), nodes=160)[:5].real, 0.75 ** np.arange(5), atol=1e-8)
    assert abs(te.spectral_gap(p, te.ULA(0.2), nodes=160) - 0.25) < 1e-8
    assert te.transition_matrix(p, te.ULA(0.2), nodes=40).shape == (40, 40)


def test_one_state_is_always_forgotten():
    p = te.Density(te.TabularEnergy(1), {"energy": np.array([3.0])}, te.Cells(1))

    assert te.transition_matrix(p, te.Gibbs()).tolist() == [[1.0]] and te.spectral_gap(p, te.Gibbs()) == 1.0


@pytest.mark.parametrize(("p", "kernel"), [(machine(te.Spins(5), 0.5), te.Gibbs("random")),
                                           (machine(te.Bits(5), 1.0), te.Gibbs("random")),
                                           (machine(te.Spins(5), 0.5), te.GibbsWithGradients()),
                                           (layers(5, 3), te.BlockGibbs())])  # fmt: skip
def test_bias_of_cd_falls_like_the_second_eigenvalue(p, kernel):
    """Slope of log |CD-k - ML| over k against log |λ₂|, to 1 %, once λ₃^k has died out, and before rounding.

    Catches a gap that is not the kernel's, k off by one, and a gradient whose limit is not maximum likelihood.
    """
    data = p.space.initial(3, rng(7))
    values = np.abs(te.spectrum(p, kernel))
    late = math.ceil(math.log(1e-9) / math.log(values[1]))  # λ₂^k = 1e-9, far above rounding
    exact = ravel(te.nll_gradient(p, data))[0]
    bias = lambda k: np.linalg.norm(ravel(te.exact_cd_gradient(p, data, kernel, k))[0] - exact)
    early = late - max(4, late // 4)

    slope = (math.log(bias(late)) - math.log(bias(early))) / (late - early)
    assert abs(slope / math.log(1 - te.spectral_gap(p, kernel)) - 1) < 0.01
    assert bias(1) < np.abs(exact).sum()


def test_bias_of_a_sweep_falls_like_its_second_eigenvalue():
    """A sweep is not reversible; here λ₂ is real and apart.  Catches the spectrum of the reversed or symmetrised sweep."""
    p = machine(te.Spins(4), 0.7, seed=3)
    data, values = p.space.initial(3, rng(7)), te.spectrum(p, te.Gibbs())
    exact = ravel(te.nll_gradient(p, data))[0]
    bias = [np.linalg.norm(ravel(te.exact_cd_gradient(p, data, te.Gibbs(), k))[0] - exact) for k in (9, 13)]

    assert abs(values[1].imag) < 1e-12 and abs(values[2]) < 0.8 * abs(values[1])
    assert abs(math.log(bias[1] / bias[0]) / 4 / math.log(abs(values[1])) - 1) < 0.01


def test_matrices_that_are_too_large():
    """Catches a matrix of gigabytes."""
    p = machine(te.Bits(13))
    for ask in (te.transition_matrix, te.spectrum, te.spectral_gap):
        with pytest.raises(te.QuadratureError, match="would be 8192 x 8192; it is for at most 4096 atoms: use kernel.push"):
            ask(p, te.Gibbs())


@pytest.mark.parametrize("ask", [te.transition_matrix, te.spectrum, te.spectral_gap])
def test_matrices_that_take_hours(ask):
    """1024 pushes, each over 2^26 states of the other layer.  Catches a cost that is asked of one push alone."""
    with pytest.raises(te.QuadratureError, match="1024 steps of BlockGibbs.* minutes on one core, and at most"):
        ask(layers(10, 26), te.BlockGibbs())
