"""Expected contrastive divergence on states: oracles, the classic theorems about its bias, and sampled CD around it."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel
from tinyebm.datasets.targets import PatternTarget
from tinyebm.objectives.chain_law import state_masses

rng = np.random.default_rng  # every test makes its own
FISCHER_IGEL = "rbm_4x3_fischer_igel_bound"


def spins(W, b=None):
    d = len(b) if b is not None else round((1 + math.sqrt(1 + 8 * len(W))) / 2)
    theta = {"W": np.array(W), "b": np.zeros(d) if b is None else np.array(b)}
    return te.Density(te.BoltzmannMachine(d), theta, te.Spins(d))


def flat(tree):
    """Couplings in row order, then biases: the oracles' order, W, b, c."""
    return ravel({name: leaf.reshape(-1) for name, leaf in tree.items()})[0]


@pytest.fixture
def three(oracle):
    """Three spins, the law of the data, and the oracle's numbers."""
    case = oracle("vbm3_pm1_exact")
    counts = np.array(case["parameters"]["counts"])
    return spins(np.array(case["parameters"]["W_upper"])[np.triu_indices(3, 1)]), counts, case["expected"]


@pytest.fixture
def layers(oracle):
    case = oracle("rbm_4x3_exact")
    theta = {name: np.array(case["parameters"][name]) for name in "Wbc"}
    return te.Density(te.RBM(4, 3), theta, te.Bits(4)), np.array(case["parameters"]["data"], dtype=float), case["expected"]


# ------------------------------------------------------------------------------------ oracles

@pytest.mark.parametrize("k", [1, 2, 10])
@pytest.mark.parametrize("scan", ["systematic", "random"])
def test_three_spins(three, scan, k):
    """Oracle, which points uphill.  Catches k off by one, a sweep from the last site, and the ascent direction."""
    p, counts, expected = three
    gradient = te.exact_cd_gradient(p, counts / 31, te.Gibbs(scan), k)

    np.testing.assert_allclose(-flat(gradient), expected[f"cd{k}_{scan}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_two_layers(layers, k):
    """Oracle.  Catches free energies whose hidden units are drawn again, and layers exchanged."""
    p, x, expected = layers

    np.testing.assert_allclose(-flat(te.exact_cd_gradient(p, x, te.BlockGibbs(), k)), expected[f"cd{k}"], rtol=0, atol=1e-12)


def test_two_spins_forget_at_once(oracle):
    """E[x₁ x₂] = tanh w after a sweep, or after one site, whatever the data: CD-1 is maximum likelihood.

    Not so if they have fields: catches a gradient that is maximum likelihood anyway.
    """
    case = oracle("vbm2_cd1_equals_ml")
    p, law = spins([case["parameters"]["w"]]), np.array(case["parameters"]["p0"])
    data = PatternTarget("four", p.space, p.space.atoms()[0], law, None, 1)

    assert abs(-te.nll_gradient(p, data)["W"][0] - case["expected"]["ml"]) < 1e-13
    for kernel in (te.Gibbs(), te.Gibbs("random")):
        assert abs(-te.exact_cd_gradient(p, law, kernel, 1)["W"][0] - case["expected"]["cd1"]) < 1e-13
        q = spins([case["parameters"]["w"]], [0.5, -0.3])
        assert abs(te.exact_cd_gradient(q, law, kernel, 1)["W"][0] - te.nll_gradient(q, data)["W"][0]) > 1e-3


def test_bias_lies_below_the_bounds(oracle, layers):
    """Fischer & Igel (2011): |CD-k - ML| <= ½ |p₀ - p|₁ (1 - e^{-(m+n)Δ})^k; Bengio & Delalleau (2009) for the bias' size.

    Catches a bias that does not die out, or is another one than the oracle's.
    """
    (p, x, _), case = layers, oracle(FISCHER_IGEL)["expected"]
    W, b, c = (p.theta[name] for name in "Wbc")
    reach = lambda W, b: np.maximum(np.maximum(W, 0).sum(axis=1) + b, np.maximum(-W, 0).sum(axis=1) - b).max()
    Delta = max(reach(W, b), reach(W.T, c))
    distance = np.abs(state_masses(p.space, x) - te.probabilities(p)).sum()
    sigm = lambda t: 1 / (1 + math.exp(-t))
    alpha, beta = (np.abs(W).sum(axis=0) + np.abs(c)).max(), (np.abs(W).sum(axis=1) + np.abs(b)).max()

    assert abs(Delta - case["Delta"]) < 1e-11 and abs(distance - case["l1"]) < 1e-11
    for k in (1, 2, 5, 10, 20, 50):
        bias = np.abs(flat(te.exact_cd_gradient(p, x, te.BlockGibbs(), k)) - flat(te.nll_gradient(p, x))).max()
        fischer_igel = distance / 2 * (1 - math.exp(-7 * Delta)) ** k
        bengio_delalleau = 2**4 * (1 - 2**7 * sigm(-alpha) ** 3 * sigm(-beta) ** 4) ** k
        assert abs(bias - case["true_worst_abs_bias"][str(k)]) < 1e-11
        assert abs(fischer_igel - case["fischer_igel"][str(k)]) < 1e-11
        assert abs(bengio_delalleau - case["bengio_delalleau"][str(k)]) < 1e-11
        assert bias <= fischer_igel and bias <= bengio_delalleau


def test_what_cd_drops(oracle, layers):
    """∂ log p(v) = CD-k(v) + E[∂ log p(v_k) | v] (Bengio & Delalleau 2009): both sides, and the oracle's.

    Catches a truncated term that is not the one that CD leaves out.
    """
    (p, _, _), case = layers, oracle("rbm_4x3_bengio_delalleau_residual")
    v = np.array([case["parameters"]["v1"]], dtype=float)
    slope = -flat(te.nll_gradient(p, v))
    each = np.array([-flat(te.nll_gradient(p, row[None])) for row in p.space.atoms()[0]])

    np.testing.assert_allclose(slope, case["expected"]["dlogp"], rtol=0, atol=1e-12)
    law = state_masses(p.space, v)
    for k in range(1, 6):
        law = te.BlockGibbs().push(law, p)
        residual = slope + flat(te.exact_cd_gradient(p, v, te.BlockGibbs(), k))
        np.testing.assert_allclose(residual, law @ each, rtol=0, atol=1e-12)
        if str(k) in case["expected"]["residual"]:
            np.testing.assert_allclose(residual, case["expected"]["residual"][str(k)], rtol=0, atol=1e-12)


def small_rbm(visible):
    """An RBM with one hidden unit as a function of w, b, c in one vector."""
    return lambda t: te.Density(te.RBM(visible, 1), {"W": t[:visible, None], "b": t[visible:-1], "c": t[-1:]}, te.Bits(visible))


COUNTS = np.array([3, 1, 4, 1, 5, 9, 2, 6]) / 31
FIELDS = [(spins, [0.5, -0.8, 1.2], COUNTS, te.Gibbs()), (spins, [0.5, -0.8, 1.2], COUNTS, te.Gibbs("random")),
          (small_rbm(1), [1, 0.5, -0.5], np.array([0.3, 0.7]), te.BlockGibbs()),
          (small_rbm(2), [1, -0.5, 0, 0, 0.25], np.array([0.1, 0.2, 0.3, 0.4]), te.BlockGibbs())]  # fmt: skip


@pytest.mark.parametrize("i", range(4))
def test_cd_is_no_gradient(oracle, i):
    """Sutskever & Tieleman (2010): the Jacobian of CD-1 is not symmetric, but for a random scan; that of ML is.

    Catches a term of the kernel's own dependence on θ that is lost: by central differences, of fourth order.
    """
    make, theta, law, kernel = FIELDS[i]
    expected, theta, h = oracle("sutskever_tieleman_asymmetry")["expected"][i], np.array(theta, dtype=float), 1e-3
    n = len(theta)
    field = lambda t: -flat(te.exact_cd_gradient(make(t), law, kernel, 1))[:n]

    def jacobian(field):
        differ = lambda e, h: (field(theta + h * e) - field(theta - h * e)) / (2 * h)
        return np.stack([(4 * differ(e, h) - differ(e, 2 * h)) / 3 for e in np.eye(n)], axis=1)

    J, odd = jacobian(field), lambda J: np.linalg.norm(J - J.T) / 2
    np.testing.assert_allclose(J, expected["jacobian_cd1"], rtol=0, atol=1e-9)
    assert abs(odd(J) - expected["antisymmetric_frobenius"]) < 1e-9
    assert abs(odd(J) / np.linalg.norm(J) - expected["relative"]) < 1e-9

    data = PatternTarget("data", make(theta).space, make(theta).space.atoms()[0], law, None, 1)
    assert odd(jacobian(lambda t: -flat(te.nll_gradient(make(t), data))[:n])) < 1e-10


# ------------------------------------------------------------------------------ laws of states

def test_all_forms_of_data(three):
    """Rows, rows in another order, probabilities, a Data, a Target, a Density: one gradient.  Catches a row counted once."""
    p, counts, _ = three
    states, law = p.space.atoms()[0], counts / 31
    rows = np.repeat(states, counts, axis=0)
    forms = [rows, rows[rng(0).permutation(31)], law, te.datasets.Data("toy", rows, "", "", ("x",), 0.0, 1.0),
             PatternTarget("toy", p.space, states[::-1], law[::-1], None, 1),
             te.Density(lambda theta, x: -np.log(law)[p.space.grid().index(x)], {}, p.space)]  # fmt: skip

    expected = flat(te.exact_cd_gradient(p, rows, te.Gibbs(), 2))
    for data in forms:
        np.testing.assert_allclose(state_masses(p.space, data), law, atol=1e-15)
        np.testing.assert_allclose(flat(te.exact_cd_gradient(p, data, te.Gibbs(), 2)), expected, atol=1e-14)


def test_other_starts(three):
    """E_data - E_{start P^k}: linear in both.  Catches chains that start at the data all the same."""
    p, counts, _ = three
    law, start, states = counts / 31, np.array([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]]), p.space.atoms()[0]
    pushed = state_masses(p.space, start)
    for _ in range(3):
        pushed = te.Gibbs().push(pushed, p)
    i, j = np.triu_indices(3, 1)
    features = np.concatenate([states[:, i] * states[:, j], states], axis=1)

    gradient = flat(te.exact_cd_gradient(p, law, te.Gibbs(), 3, start=start))
    np.testing.assert_allclose(gradient, (pushed - law) @ features, atol=1e-14)


@pytest.mark.parametrize("kernel", [te.Gibbs(), te.Gibbs("random"), te.GibbsWithGradients()])
def test_at_rest_at_the_truth_only(three, kernel):
    """At p = data exact CD-k has gradient 0 for every k; two laws are told apart.  Catches a kernel of another model."""
    p, counts, _ = three
    for k in (1, 3):
        assert np.abs(flat(te.exact_cd_gradient(p, te.probabilities(p), kernel, k))).max() < 1e-14
        assert np.abs(flat(te.exact_cd_gradient(p, counts / 31, kernel, k))).max() > 0.1


def test_many_blocks_of_states():
    """2^12 states, four blocks: many steps of a mixing kernel give maximum likelihood.  Catches weights of another block."""
    machine = te.BoltzmannMachine(12)
    p, x = te.Density(machine, machine.init(rng(0)), te.Bits(12)), te.Bits(12).initial(9, rng(1))

    np.testing.assert_allclose(flat(te.exact_cd_gradient(p, x, te.Gibbs(), 30)), flat(te.nll_gradient(p, x)), atol=1e-12)


@pytest.mark.parametrize(("data", "message"), [
    (np.array([[0.0, 1.0, 1.0]]), "some rows of the data are no states of Spins"),
    (np.array([[1.0, 1.0]]), "some rows of the data are no states"), (np.full(4, 0.25), "4 probabilities do not belong to the 8"),
    (np.full(8, 0.25), "probabilities must sum to 1"), (np.array([[1.0, np.nan, 1.0]]), "data holds nan")])  # fmt: skip
def test_data_that_are_no_states(three, data, message):
    """Catches a row that is rounded to a state, and probabilities of another space."""
    with pytest.raises(ValueError, match=message):
        te.exact_cd_gradient(three[0], data, te.Gibbs(), 1)


# --------------------------------------------------------------------------------- sampled CD

@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", ["sweep", "random", "gradients", "layers"])
def test_sampled_cd_has_this_mean(three, layers, name, k):
    """400 gradients of sampled CD-k: their mean less the exact one in standard errors, all |z| < 5.

    Catches negatives that are not k steps away, and a phase that is summed and not averaged.
    """
    p, rows = (layers[0], layers[1]) if name == "layers" else (three[0], np.repeat(three[0].space.atoms()[0], three[1], axis=0))
    kernel = {"sweep": te.Gibbs(), "random": te.Gibbs("random"), "gradients": te.GibbsWithGradients(), "layers": te.BlockGibbs()}
    objective, x = te.ContrastiveDivergence(kernel[name], k), np.tile(rows, (5, 1))
    draws = np.array([flat(objective.gradient(p, x, rng(seed)).gradient) for seed in range(400)])

    z = (draws.mean(axis=0) - flat(te.exact_cd_gradient(p, x, kernel[name], k))) / (draws.std(axis=0) / 20)
    assert np.abs(z).max() < 5
    exact = te.ExactContrastiveDivergence(kernel[name], k).gradient(p, x, None)
    np.testing.assert_array_equal(flat(exact.gradient), flat(te.exact_cd_gradient(p, x, kernel[name], k)))
