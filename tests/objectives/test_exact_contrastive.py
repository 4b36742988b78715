"""Expected contrastive divergence: against closed forms, exact rationals, and its limits in step size and in k."""

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import ravel, tree_map
from tinyebm.objectives import chain_law, exact_contrastive
from tinyebm.samplers import flows

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)
ROWS = np.array([[-1.4], [-0.5], [0.3], [1.1], [2.0]])


def normal(mean, variance, space=None):
    theta = {"mean": np.array([mean]), "precision": np.array([[1 / variance]])}
    return te.Density(te.GaussianEnergy(1), theta, space or te.Reals(1, extent=10))


def flat(tree):
    return ravel(tree)[0]


@pytest.fixture
def net(oracle):
    """The oracle's network and data; a function that puts a gradient into the oracle's order; its numbers."""
    case = oracle("mlp2d_tanh_langevin_cd_mala")
    t, x = (np.array(case["parameters"][name]) for name in ("theta", "data"))
    theta = [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}]
    order = lambda g: np.concatenate([g[0]["W"].T.ravel(), g[0]["b"], g[1]["W"][:, 0]])
    return te.Density(NET, theta, te.Reals(2)), x, order, case["expected"]


@pytest.fixture
def quartic(oracle):
    """E(x) = t₁ x² / 2 + t₂ x⁴ / 4 + t₃ x, a plain function, with the exact rationals for it."""
    case = oracle("cd1_langevin_to_score_matching_1d")
    energy = lambda t, x: t[0] * ops.square(x[:, 0]) / 2 + t[1] * ops.square(ops.square(x[:, 0])) / 4 + t[2] * x[:, 0]
    x = np.array(case["parameters"]["data"])[:, None]
    return te.Density(energy, np.array(case["parameters"]["theta"]), te.Reals(1)), x, case["expected"]


# ------------------------------------------------------------------------------------ oracles

@pytest.mark.parametrize("eps", ["0.1", "0.01", "0.001"])
def test_first_step_of_ula_in_the_plane(net, eps):
    """By Gauss-Hermite quadrature over the noise.  Catches laws smoothed over a grid cell: their error is O(1) here."""
    p, x, order, expected = net
    gradient = order(te.exact_cd_gradient(p, x, te.ULA(float(eps) / 2), 1))

    np.testing.assert_allclose(gradient / (float(eps) / 2), expected["expected_cd1_over_half_eps"][eps], rtol=0, atol=1e-9)


@pytest.mark.parametrize("eps", ["1/10", "1/100", "1/1000", "1/1000000"])
def test_first_step_of_ula_on_the_line(quartic, eps):
    """Exact rationals.  Catches noise or drift of another scale, and the ascent direction."""
    p, x, expected = quartic
    gradient = te.exact_cd_gradient(p, x, te.ULA(0.5 / float(eps.partition("/")[2])), 1)

    np.testing.assert_allclose(gradient, expected["cd1_gradient"][eps], rtol=0, atol=1e-12)


def test_infinitesimal_cd_is_score_matching(net):
    """CD-1 / ε → ∇ of Hyvärinen's loss, with an error O(ε): Hyvärinen (2007)."""
    p, x, order, expected = net
    scaled = lambda step_size: order(te.exact_cd_gradient(p, x, te.ULA(step_size), 1)) / step_size
    errors = [np.abs(scaled(step_size) - expected["sm_gradient"]).max() for step_size in (1e-3, 1e-4)]

    assert errors[1] < 3e-3 and abs(errors[0] / errors[1] - 10) < 0.2


@pytest.mark.parametrize("k", [1, 5])
def test_cd_of_a_gaussian_mean_is_unbiased_but_shrunk(oracle, k):
    """By 1 - a^k with a = 1 - ε / s² (Yuille 2004): 0.2262190625 at k = 5.

    Catches k - 1 or k + 1 pushes, and a grid that a long drift leaves.
    """
    case = oracle("yuille_eigenfunction_unbiased")
    factor = 1 - (1 - case["parameters"]["eps"] / 2) ** k
    p, x = normal(0.0, case["parameters"]["s2"]), ROWS + 100
    gradient = te.exact_cd_gradient(p, x, te.ULA(case["parameters"]["eps"] / 2), k)["mean"]

    np.testing.assert_allclose(gradient, factor * te.nll_gradient(p, x)["mean"], rtol=1e-9)
    if k == case["parameters"]["k"]:
        assert abs(factor - case["expected"]["mean_factor_ula"]) < 1e-13


# --------------------------------------------------------------------------- closed form, any k

@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("form", ["rows", "Data", "probabilities", "Density"])
def test_all_forms_of_data_against_the_closed_form(form, temperature, k):
    """Any law under ULA on a Gaussian has mean and variance

        m_k = m + a^k (m_0 - m),    v_k = a^{2k} v_0 + 2εT (1 - a^{2k}) / (1 - a²),    a = 1 - ε / s².

    Catches data that are read in the wrong form, and atoms of p taken for atoms of the data.
    """
    m, s2, kernel = -0.3, 0.7, te.ULA(0.2, temperature)
    mean, variance, law = 0.8, 0.5, normal(0.8, 0.5)
    data = {"rows": ROWS, "Data": te.datasets.Data("toy", ROWS, "", "", ("x",), 0.0, 1.0),
            "probabilities": te.probabilities(law), "Density": law}[form]
    if form in ("rows", "Data"):
        mean, variance = ROWS.mean(), ROWS.var()

    a = 1 - kernel.step_size / s2
    mean_k = m + a**k * (mean - m)
    variance_k = a ** (2 * k) * variance + 2 * kernel.step_size * temperature * (1 - a ** (2 * k)) / (1 - a**2)
    gradient = te.exact_cd_gradient(normal(m, s2), data, kernel, k)

    second = lambda mean, variance: ((mean - m) ** 2 + variance) / 2
    np.testing.assert_allclose(gradient["mean"], (mean_k - mean) / s2, rtol=1e-7)
    np.testing.assert_allclose(gradient["precision"], second(mean, variance) - second(mean_k, variance_k), rtol=1e-7)


def test_three_dimensions():
    """A correlated Gaussian: the mean moves by the matrix (1 - εP)^k.  Catches axes mixed up."""
    P, x, space = np.array([[1.0, 0.3, 0.0], [0.3, 1.5, -0.2], [0.0, -0.2, 0.8]]), rng(0).uniform(-1, 1, (4, 3)), te.Reals(3)
    p = te.Density(te.GaussianEnergy(3), {"mean": np.zeros(3), "precision": P}, space)
    gradient = te.exact_cd_gradient(p, x, te.ULA(0.8), 2, nodes=30)["mean"]

    A = np.eye(3) - 0.8 * P
    np.testing.assert_allclose(gradient, -P @ (x.mean(axis=0) - A @ A @ x.mean(axis=0)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel, rtol", [(te.ULA(0.15), 1e-6), (te.MALA(0.15), 5e-4)])
def test_rows_and_probabilities_in_the_plane(kernel, rtol):
    """Rows that happen to be atoms, as rows and as probabilities, three steps: catches masses put on other atoms.

    The two use different grids, and the min(1, ...) in MALA has a kink.
    """
    space = te.Reals(2, extent=5)
    p, atoms = te.Density(NET, NET.init(rng(5)), space), space.atoms(41)[0]
    where = np.flatnonzero((np.abs(atoms) < 1.5).all(axis=1))[::13]
    mass = np.bincount(where, minlength=len(atoms)) / len(where)
    rows = flat(te.exact_cd_gradient(p, atoms[where], kernel, 3, nodes=48))
    law = flat(te.exact_cd_gradient(p, mass, kernel, 3))

    assert np.abs(rows - law).max() < rtol * np.abs(law).max()


# --------------------------------------------------------------------- chains that start elsewhere

@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("kernel", [te.ULA(0.2), te.MALA(0.4)])
def test_a_start_at_the_data_is_no_start(kernel, k):
    """The same gradient by two routes.  Catches what MALA rejects lost, or counted by halves, where `start` is given."""
    p = normal(-0.3, 0.7)
    given, usual = (flat(te.exact_cd_gradient(p, ROWS, kernel, k, start=start)) for start in (ROWS.copy(), None))

    np.testing.assert_allclose(given, usual, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["rows", "Data", "Density"])
def test_start_is_where_the_chains_start(form):
    """ULA on a Gaussian: E_data minus the closed form of chains from the start, far from the data.

    Catches chains that start at the data whatever they are told, a grid around the data, and a start read in another form.
    """
    m, s2, kernel, k = -0.3, 0.7, te.ULA(0.2), 2
    rows = ROWS[:3] + 20
    table = te.datasets.Data("toy", rows, "", "", ("x",), 0.0, 1.0)
    start = {"rows": rows, "Data": table, "Density": normal(7.0, 0.5)}[form]
    mean, variance = (7.0, 0.5) if form == "Density" else (rows.mean(), rows.var())
    a = 1 - kernel.step_size / s2
    mean_k = m + a**k * (mean - m)
    variance_k = a ** (2 * k) * variance + 2 * kernel.step_size * (1 - a ** (2 * k)) / (1 - a**2)
    gradient = te.exact_cd_gradient(normal(m, s2), ROWS, kernel, k, start=start)

    second = lambda mean, variance: ((mean - m) ** 2 + variance) / 2
    np.testing.assert_allclose(gradient["mean"], (mean_k - ROWS.mean()) / s2, rtol=1e-7)
    expected = second(ROWS.mean(), ROWS.var()) - second(mean_k, variance_k)
    np.testing.assert_allclose(gradient["precision"], expected, rtol=1e-7)


@pytest.mark.parametrize("k", [2, 5])
def test_the_default_grid_is_as_fine_as_it_says(k):
    """To 1e-12: the default grid's error is 1e-17 a push.  Catches nodes 0.8 noise scales apart: 1e-7."""
    m, s2, kernel = -0.3, 0.7, te.ULA(0.2)
    a = 1 - kernel.step_size / s2
    gradient = te.exact_cd_gradient(normal(m, s2), ROWS, kernel, k)
    variance_k = a ** (2 * k) * ROWS.var() + 2 * kernel.step_size * (1 - a ** (2 * k)) / (1 - a**2)
    before, after = (ROWS.mean() - m) ** 2 + ROWS.var(), (a**k * (ROWS.mean() - m)) ** 2 + variance_k

    np.testing.assert_allclose(gradient["precision"], (before - after) / 2, rtol=0, atol=1e-12)


def test_the_default_grid_resolves_the_model():
    """E = x² / 2 + a cos(wx), noise far wider than its waves: ∂E/∂a averages to e^{-w²σ²/2} = 0 after a step.

    Catches nodes half a noise scale apart, or half a scale of the model, which meet every wave at the same phase.
    """
    w, a = 8 * np.pi, 3 / (8 * np.pi) ** 2  # the finest scale is (1 + a w²)^{-1/2} = 1/2
    wavy = lambda theta, x: 0.5 * x[:, 0] * x[:, 0] + theta["a"] * ops.cos(w * x[:, 0])
    x = np.array([[-0.31], [0.05], [0.4]])
    gradient = te.exact_cd_gradient(te.Density(wavy, {"a": np.array(a)}, te.Reals(1)), x, te.ULA(0.5), 1)

    assert abs(gradient["a"] - np.cos(w * x).mean()) < 1e-12


@pytest.mark.parametrize("k", [1, 2])
def test_the_default_grid_of_a_box_is_fine_enough(k):
    """As on a grid of three times as many nodes.  Catches Gauss-Legendre nodes counted as if they were equidistant."""
    net = te.MLP((1, 6, 1), activation="tanh")
    p = te.Density(net, net.init(rng(1)), te.Box(-2, 1.5, 1))
    usual, finer = (flat(te.exact_cd_gradient(p, ROWS[1:4], te.ULA(0.02), k, nodes=nodes)) for nodes in (None, 165))

    assert np.abs(usual - finer).max() < 2e-13


def test_many_steps_in_the_plane_may_take_fewer_atoms():
    """600 x 600 nodes are within reach of one step, not of two.  Catches minutes of silence: a push is 2 N² flops."""
    p = te.Density(NET, NET.init(rng(5)), te.Reals(2))
    te.exact_cd_gradient(p, np.eye(2), te.ULA(0.1), 1, nodes=600)
    with pytest.raises(te.QuadratureError, match="need a grid of 600 x 600 nodes"):
        te.exact_cd_gradient(p, np.eye(2), te.ULA(0.1), 2, nodes=600)


# ------------------------------------------------------------------------------------- limits

@pytest.mark.parametrize("form", ["rows", "probabilities", "Density"])
def test_many_steps_of_mala_give_maximum_likelihood(form):
    """Its bias dies out with k.  Catches mass that stays at the data for ever."""
    p, law = normal(-0.3, 0.7), normal(ROWS.mean(), ROWS.var())
    data = {"rows": ROWS, "probabilities": te.probabilities(law), "Density": law}[form]

    gradient = flat(te.exact_cd_gradient(p, data, te.MALA(0.3), 100))
    np.testing.assert_allclose(gradient, flat(te.nll_gradient(p, ROWS)), atol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_mala_at_the_data_is_at_rest_and_ula_is_not(k):
    """At p = data CD with an invariant kernel has gradient 0: its population minimiser is the truth.  ULA's is not.

    Catches a kernel that loses its invariance between the grids of data and model.
    """
    p = normal(0.2, 0.8)
    gradient = lambda data, kernel: np.abs(flat(te.exact_cd_gradient(p, data, kernel, k))).max()

    assert gradient(te.probabilities(p), te.MALA(0.3)) < 1e-13
    assert gradient(p, te.MALA(0.3)) < 1e-4  # two grids
    assert gradient(p, te.ULA(0.3)) > 0.03


# ------------------------------------------------------------------------------- several k at once

CHAINS = {"ula": (normal(-0.3, 0.7), ROWS, te.ULA(0.2), None), "mala": (normal(-0.3, 0.7), ROWS, te.MALA(0.3), None),
          "box": (normal(-0.3, 0.7, te.Box(-2, 2.5, 1)), ROWS, te.MALA(0.3), None),
          "law": (normal(-0.3, 0.7), normal(0.1, 0.5), te.ULA(0.2), None),
          "masses": (normal(-0.3, 0.7), te.probabilities(normal(0.1, 0.5)), te.MALA(0.3), None),
          "pool": (normal(-0.3, 0.7), ROWS, te.ULA(0.2), ROWS[:2]),
          "plane": (te.Density(NET, NET.init(rng(5)), te.Reals(2)), np.eye(2), te.MALA(0.5), None)}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_several_k_are_the_single_calls(name, form, monkeypatch):
    """To the bit, in the order of the list, with one walk.  Catches a list that is sorted, a k that repeats, one step off."""
    p, data, kernel, start = CHAINS[name]
    single = [te.exact_cd_gradient(p, data, kernel, k, start=start) for k in (2, 3, 5)]
    calls, after = [], exact_contrastive.after_steps
    monkeypatch.setattr(exact_contrastive, "after_steps", lambda *args: calls.append(args) or after(*args))
    several = te.exact_cd_gradient(p, data, kernel, form([3, 5, 2, 3]), start=start)

    assert len(several) == 4 and len(calls) == 1
    for found, i in zip(several, (1, 2, 0, 1), strict=True):
        tree_map(np.testing.assert_array_equal, found, single[i])


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-2, 2.5, 1)])
def test_one_step_beside_many(space):
    """k = 1 has the grid of the largest k there, as accurate.  Catches a grid for one step under a chain of many."""
    p = normal(-0.3, 0.7, space)
    one, nine = te.exact_cd_gradient(p, ROWS, te.ULA(0.2), [1, 9])

    for k, found in ((1, one), (9, nine)):
        np.testing.assert_allclose(flat(found), flat(te.exact_cd_gradient(p, ROWS, te.ULA(0.2), k)), rtol=0, atol=1e-9)
    (only,) = te.exact_cd_gradient(p, ROWS, te.ULA(0.2), [1])
    tree_map(np.testing.assert_array_equal, only, te.exact_cd_gradient(p, ROWS, te.ULA(0.2), 1))


@pytest.mark.parametrize("k", [[], [1, 0], [2, -1], [1.5], [True], ["1"], "12", None, [[1]], np.eye(2)])
def test_lists_that_hold_no_numbers_of_steps(k):
    with pytest.raises(ValueError, match="k must be a positive number of kernel steps, got"):
        te.exact_cd_gradient(normal(0.0, 1.0), ROWS, te.ULA(0.1), k)


# ------------------------------------------------------------------------------- what takes minutes

NETS = te.Density(NET, NET.init(rng(5)), te.Reals(2))
BITS = te.Density(te.BoltzmannMachine(12), te.BoltzmannMachine(12).init(rng(0)), te.Bits(12))
SLOW = {"mala": (NETS, np.eye(2), te.MALA(0.01)), "mala law": (NETS, NETS, te.MALA(0.01)), "ula": (NETS, np.eye(2), te.ULA(0.01)),
        "gibbs": (BITS, np.eye(12), te.Gibbs()), "random": (BITS, np.eye(12), te.Gibbs("random")),
        "gradients": (BITS, np.eye(12), te.GibbsWithGradients()),
        "layers": (te.Density(te.RBM(9, 9), te.RBM(9, 9).init(rng(0)), te.Bits(9)), np.eye(9), te.BlockGibbs())}  # fmt: skip
CALLS = {"gradient": lambda p, data, kernel, k: te.exact_cd_gradient(p, data, kernel, k),
         "list": lambda p, data, kernel, k: te.exact_cd_gradient(p, data, kernel, [1, k]),
         "objective": lambda p, data, kernel, k: te.ExactContrastiveDivergence(kernel, k).gradient(p, data, None),
         "neglected": lambda p, data, kernel, k: te.neglected_term(p, data, kernel, k),
         "full": lambda p, data, kernel, k: te.full_cd_gradient(p, data, kernel, k)}


@pytest.mark.parametrize(("name", "call"), [(name, "gradient") for name in SLOW] + [("gibbs", call) for call in CALLS]
                         + [("mala law", call) for call in CALLS if call not in ("objective", "gradient")])
def test_hours_are_refused_at_once(name, call, monkeypatch):
    """Before the first step, with the cost and what to change.  Catches hours of silence."""
    p, data, kernel = SLOW[name]
    pushed = lambda *args: pytest.fail("it began")
    for part in (te.MALA, te.ULA):
        monkeypatch.setattr(part, "spread", pushed)
    if name == "gibbs" and call in ("neglected", "full"):
        monkeypatch.setattr("tinyebm.common.checks.MEMORY", 2**60)  # of the derivatives

    with pytest.raises(te.QuadratureError, match=r"\d steps of .* over \d+ atoms: .* take about \d+ minutes .* larger step_size"):
        CALLS[call](p, data, kernel, 10**9)


def test_mala_in_the_plane_with_a_small_step(monkeypatch):
    """10 steps with noise of 0.1 over 130,000 atoms, an hour and more.  Catches a bound that counts atoms alone."""
    monkeypatch.setattr(te.MALA, "spread", lambda *args: pytest.fail("it began"))
    with pytest.raises(te.QuadratureError, match="10 steps of MALA.* over 1[0-9]{5} atoms: .* at most 1.4e"):
        te.exact_cd_gradient(NETS, np.eye(2), te.MALA(0.005), 10)


@pytest.mark.parametrize(("name", "call"), [
    *((name, "gradient") for name in ("mala", "ula", "gibbs", "layers")), ("gibbs", "neglected")])
def test_minutes_are_announced(name, call, monkeypatch):
    """With their cost, counted from atoms and steps, not from the clock, and with a bar; the numbers stay as they are.

    Catches a cost that does not grow with k, and a warning without need.
    """
    p, data, kernel = SLOW[name]
    kernel = kernel if p.space.discrete else type(kernel)(0.3)
    usual = CALLS[call](p, data, kernel, 2)
    monkeypatch.setattr(flows, "LONG", 4_000)
    shown = []
    bar = lambda title, total, show: shown.append((total, show)) or shown.append
    monkeypatch.setattr(chain_law, "Progress", bar)
    with pytest.warns(UserWarning, match=r"2 steps of .* over \d+ atoms: .* minutes on one core"):
        slow = CALLS[call](p, data, kernel, 2)

    tree_map(np.testing.assert_array_equal, slow, usual)
    assert shown == [(2, True), 1, 2]


# ------------------------------------------------------------------- the objective, and refusals

def test_the_objective_returns_the_function():
    """Catches k or the kernel lost on the way."""
    p, kernel = normal(-0.3, 0.7), te.ULA(0.2)
    step = te.ExactContrastiveDivergence(kernel, 3).gradient(p, ROWS, None)

    tree_map(np.testing.assert_array_equal, step.gradient, te.exact_cd_gradient(p, ROWS, kernel, 3))
    assert step[1:] == ({}, None)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_impossible_numbers_of_steps(k):
    """Catches k = 0, which would compare the data with nothing."""
    with pytest.raises(ValueError, match="k must be a positive number"):
        te.ExactContrastiveDivergence(te.ULA(0.1), k)
    with pytest.raises(ValueError, match="k must be a positive number"):
        te.exact_cd_gradient(normal(0.0, 1.0), ROWS, te.ULA(0.1), k)


def test_noise_too_fine_for_a_grid():
    """Catches an array of 10^12 atoms, and a grid that is coarser than the noise."""
    with pytest.raises(te.QuadratureError, match=r"need a grid of \d+ x \d+ nodes"):
        te.exact_cd_gradient(te.Density(NET, NET.init(rng(5)), te.Reals(2)), np.eye(2), te.ULA(1e-8), 1)


@pytest.mark.parametrize("mass", [np.ones(256), np.zeros(256), np.full(256, np.nan)])
def test_probabilities_that_are_none(mass):
    with pytest.raises(ValueError, match="probabilities must sum to 1"):
        te.exact_cd_gradient(normal(0.0, 1.0), mass, te.ULA(0.2), 1)


@pytest.mark.parametrize("k", [1, 3])
def test_enough_nodes_for_the_kink_of_an_acceptance(k):
    """The accuracy on the line that the docstring states, against six times as many nodes.  Catches a coarse grid for MALA."""
    p, kernel = normal(0.3, 1.7, te.Reals(1)), te.MALA(1.5)
    usual, finer = (flat(te.exact_cd_gradient(p, ROWS, kernel, k, nodes=nodes)) for nodes in (None, 12_289))

    assert 0 < np.abs(usual - finer).max() < 1e-5
