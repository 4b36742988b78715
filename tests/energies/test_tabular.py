"""A table is every law on its states: log Z, gradients and probabilities are sums."""

import numpy as np
import pytest
from scipy import special

from tinyebm import ops
from tinyebm.autodiff.tape import grad
from tinyebm.density import Density
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.exact.normalised import entropy, expectation, log_prob, probabilities
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.discrete import Cells

ENERGIES = np.array([0.3, -1.0, 2.0, 0.0, 5.0])


@pytest.fixture
def p():
    return Density(TabularEnergy(5), {"energy": ENERGIES}, Cells(5))


def test_states_look_up_their_energy(p):
    """Catches states shifted by one, and rounding of an index."""
    x = np.array([[4.0], [0.0], [0.0], [3.0]])

    np.testing.assert_array_equal(p.energy(p.theta, x), [5.0, 0.3, 0.3, 0.0])
    assert not TabularEnergy(5).init(np.random.default_rng(0))["energy"].any()


def test_gradient_counts_visits(p):
    """Catches a gradient that overwrites where a state is visited twice."""
    x = np.array([[4.0], [0.0], [0.0], [3.0]])
    weights = np.array([1.0, 10.0, 100.0, 1000.0])

    by = grad(lambda theta: ops.sum(p.energy(theta, x) * weights))(p.theta)
    np.testing.assert_array_equal(by["energy"], [110.0, 0.0, 0.0, 1000.0, 1.0])


def test_exact_answers_are_sums(p):
    """Against scipy's softmax.  Catches weights on Cells, energies for log probabilities, bits for nats."""
    law = special.softmax(-ENERGIES)

    assert log_partition(p) == pytest.approx(special.logsumexp(-ENERGIES), abs=1e-14)
    np.testing.assert_allclose(probabilities(p), law, rtol=1e-13)
    np.testing.assert_allclose(log_prob(p, np.array([[2.0], [7.0], [1.5]])), [np.log(law[2]), -np.inf, -np.inf])
    assert entropy(p) == pytest.approx(special.entr(law).sum(), abs=1e-13)
    assert expectation(p, lambda x: x[:, 0] ** 2) == pytest.approx(law @ np.arange(5) ** 2, abs=1e-12)


def test_a_constant_changes_nothing_but_log_z():
    """Catches a table normalised in secret."""
    q, shifted = (Density(TabularEnergy(5), {"energy": ENERGIES + c}, Cells(5)) for c in (0.0, 700.0))

    np.testing.assert_allclose(probabilities(shifted), probabilities(q), rtol=1e-12)
    assert log_partition(shifted) == pytest.approx(log_partition(q) - 700.0, abs=1e-12)
