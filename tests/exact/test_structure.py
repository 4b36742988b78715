"""Z by structure: which road is taken, and that every road leads to the same numbers."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.exact.structure import closed_form, hidden_layer

rng = np.random.default_rng  # every test makes its own


def drawn(energy, space, seed=0):
    """A density whose parameters are all drawn, biases too."""
    r = rng(seed)
    theta = {name: r.normal(0, 0.8, leaf.shape) for name, leaf in energy.init(rng(0)).items()}
    return te.Density(energy, theta, space)


def plain(p):
    """The same density without its structure."""
    return te.Density(lambda theta, x: p.energy(theta, x), p.theta, p.space)


STRUCTURED = [drawn(te.RBM(7, 3), te.Bits(7)), drawn(te.Ising((3, 3)), te.Spins(9)), drawn(te.Potts(3, (2, 3)), te.Cells(3, 6)),
              drawn(te.Ising((2, 4), periodic=False), te.Spins(8))]  # fmt: skip


def test_the_cheaper_layer_is_chosen():
    """Fewer hidden than visible bits, or any number of them for R^d.  Catches a larger sum, and a tie that costs twice."""
    for visible, hidden in ((5, 4), (5, 5), (5, 9)):
        found = hidden_layer(drawn(te.RBM(visible, hidden), te.Bits(visible)))
        assert (found is not None) == (hidden < visible)
        assert found is None or found.space == te.Bits(hidden)
    assert hidden_layer(drawn(te.GaussianBernoulliRBM(1, 3), te.Reals(1))).space == te.Bits(3)
    for p in (drawn(te.BoltzmannMachine(3), te.Bits(3)), plain(STRUCTURED[0]), te.Density(te.Quartic(), {}, te.Reals(1))):
        assert hidden_layer(p) is None and closed_form(p) is None


@pytest.mark.parametrize("p", STRUCTURED, ids=lambda p: repr(p.energy))
def test_all_roads_agree(p):
    """log Z, gradient, probabilities, log p, NLL, entropy, expectations, with and without structure.

    Catches E_p[∇E] of hidden states for that of visible ones, and a weight of atoms that are no states.
    """
    q, x = plain(p), p.space.initial(4, rng(1))

    assert abs(te.log_partition(p) - te.log_partition(q)) < 1e-12
    assert abs(te.nll(p, x) - te.nll(q, x)) < 1e-12 and abs(te.entropy(p) - te.entropy(q)) < 1e-12
    np.testing.assert_allclose(te.probabilities(p), te.probabilities(q), rtol=1e-12)
    np.testing.assert_allclose(te.log_prob(p, x), te.log_prob(q, x), atol=1e-12)
    np.testing.assert_allclose(te.expectation(p, lambda x: x), te.expectation(q, lambda x: x), atol=1e-12)
    ours, theirs = te.nll_gradient(p, x), te.nll_gradient(q, x)
    for name in p.theta:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", STRUCTURED, ids=lambda p: repr(p.energy))
def test_the_objective_takes_the_same_road(p):
    """ExactLikelihood's gradient and its NLL, of unequal rows.  Catches a metric of the batch before, and of another Z."""
    x = p.space.initial(5, rng(2))
    step = te.ExactLikelihood().gradient(p, x, None)

    assert abs(step.metrics["loss"] - te.nll(plain(p), x)) < 1e-12
    expected = te.nll_gradient(plain(p), x)
    for name in p.theta:
        np.testing.assert_allclose(step.gradient[name], expected[name], rtol=0, atol=1e-12)


def test_a_machine_of_many_bits_can_be_trained_exactly():
    """64 visible bits, 6 hidden: E_p[v] = -∂ log Z by b, by central differences.  Catches enumeration of 2^64 states."""
    p, x = drawn(te.RBM(64, 6), te.Bits(64)), te.Bits(64).initial(5, rng(0))
    gradient, h = te.nll_gradient(p, x), 1e-5
    for name, index in (("b", 3), ("c", 2), ("W", (10, 4))):
        nll = []
        for shift in (h, -h):
            leaf = p.theta[name].copy()
            leaf[index] += shift
            nll.append(float(te.nll(te.Density(p.energy, {**p.theta, name: leaf}, p.space), x)))
        assert gradient[name][index] == pytest.approx((nll[0] - nll[1]) / (2 * h), abs=1e-8)


def test_estimates_know_that_sums_are_exact():
    """Errors of rounding only.  Catches an error that quadrature would have, and a sum over states that has none."""
    for p in STRUCTURED:
        for q in (p, plain(p)):
            log_z = te.log_partition(q)
            assert 0 < log_z.error < 1e-13 * (1 + abs(log_z)) and math.isfinite(log_z)
