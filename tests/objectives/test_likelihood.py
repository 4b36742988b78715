"""Exact likelihood as an objective: the exact gradient at every step, on atoms that are kept for a while."""

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel, tree_map
from tinyebm.exact.nodes import follow as nodes
from tinyebm.exact.nodes.follow import follow

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)


def relative_error(gradient, reference):
    gradient, reference = ravel(gradient)[0], ravel(reference)[0]
    return np.abs(gradient - reference).max() / np.abs(reference).max()


def line(precision=1.0):
    return te.Density(te.GaussianEnergy(1), {"mean": np.array([0.5]), "precision": np.array([[precision]])}, te.Reals(1))


def test_gradient_and_nll_of_the_oracle(oracle):
    """An independent quadrature.  Catches the gradient of the log-likelihood (the other sign), and log Z left out of nll."""
    case = oracle("mlp2d_tanh_partition_and_mle")
    t, x = (np.array(case["parameters"][name]) for name in ("theta", "data"))
    theta = [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}]
    step = te.ExactLikelihood(rtol=1e-9).gradient(te.Density(NET, theta, te.Reals(2)), x, None)
    (first, last) = step.gradient

    flat = np.concatenate([first["W"].T.ravel(), first["b"], last["W"][:, 0]])
    np.testing.assert_allclose(flat, case["expected"]["nll_gradient"], rtol=0, atol=1e-8)
    assert abs(last["b"][0]) < 1e-12  # a constant in the energy is no parameter of p
    assert abs(step.metrics["loss"] - case["expected"]["nll"]) < 1e-8


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("space", [te.Reals(2), te.Box(-2, 3, 2), te.Reals(2, base_scale=1.5)])
def test_gradient_is_the_exact_one_to_rtol(space, rtol):
    """Catches atoms left out that do carry mass, and a base measure that is forgotten."""
    p, x = te.Density(NET, NET.init(rng(3)), space), rng(4).uniform(-1.5, 1.5, (9, 2))
    step = te.ExactLikelihood(rtol).gradient(p, x, None)

    assert relative_error(step.gradient, te.nll_gradient(p, x, 1e-10)) < rtol
    assert abs(step.metrics["loss"] - te.nll(p, x)) < 2 * rtol


def test_the_truth_has_gradient_zero():
    """On three states, with data in proportions 3 : 2 : 1.  Catches a negative phase that is not normalised."""
    p = te.Density(te.TabularEnergy(3), {"energy": -np.log([3.0, 2.0, 1.0])}, te.Cells(3))
    x = np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [2.0]])

    assert np.abs(te.ExactLikelihood().gradient(p, x, None).gradient["energy"]).max() < 1e-15


def test_atoms_without_mass_are_left_out():
    """In the plane most atoms of a product grid carry nothing: a Gaussian fills π/4 of a square at best."""
    p, x = te.Density(NET, NET.init(rng(3)), te.Reals(2)), np.zeros((1, 2))
    state = te.ExactLikelihood(1e-6).gradient(p, x, None).state
    grid = follow(p, 1e-6, x)[0].grid

    assert len(state["states"]) == len(state["log_weights"]) < 0.8 * grid.size


def test_atoms_are_kept_and_then_checked(monkeypatch):
    """After 1, 3, 3, ... steps with refresh = 3.  Catches atoms never chosen anew, or at every step."""
    checked, check = [], nodes.follow
    monkeypatch.setattr(nodes, "follow", lambda *arguments: checked.append(i) or check(*arguments))
    objective, state, x = te.ExactLikelihood(refresh=3), None, np.array([[0.0], [2.0]])

    for i in range(12):
        p = line(precision=1.0 + i / 200)
        gradient, _, state = objective.gradient(p, x, None, state)
        assert relative_error(gradient, te.nll_gradient(p, x)) < 1e-3

    assert checked == [0, 1, 4, 7, 10]


def test_the_state_is_what_is_summed_over():
    """Given the atoms {1, 2, 3} the model is a law on three points: catches a state that is saved but never read."""
    p, x = line(), np.array([[0.0], [2.0]])
    state = {"states": np.array([[1.0], [2.0], [3.0]]), "log_weights": np.log([1.0, 2.0, 1.0]), "age": np.array(0),
             "every": np.array(9)}  # fmt: skip
    before = tree_map(np.copy, state)
    gradient, metrics, after = te.ExactLikelihood().gradient(p, x, None, state)

    mass = np.exp(-0.5 * (state["states"][:, 0] - 0.5) ** 2) * [1, 2, 1]
    np.testing.assert_allclose(gradient["mean"], mass @ state["states"] / mass.sum() - 1.0, rtol=1e-14)
    assert abs(metrics["loss"] - (np.log(mass.sum()) + np.mean((x - 0.5) ** 2) / 2)) < 1e-14
    assert after["age"] == 1
    tree_map(np.testing.assert_array_equal, state, before)  # and it is not changed


@pytest.mark.parametrize("options", [{"rtol": 0}, {"rtol": 1.0}, {"rtol": np.nan}, {"refresh": 0}, {"refresh": 1.5}])
def test_impossible_options(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        te.ExactLikelihood(**options)


def test_defaults_are_the_documented_ones():
    """Catches atoms chosen anew at every step, ten times the work, or a coarser Z."""
    assert te.ExactLikelihood() == te.ExactLikelihood(rtol=1e-4, refresh=10)


@pytest.mark.parametrize("value, message", [(np.nan, r"the energy is nan at x = \[2.0\]"), (np.inf, r"\+inf everywhere")])
def test_a_model_that_breaks_on_its_kept_atoms_is_refused(value, message):
    """Between two refreshes nobody integrates.  Catches NaN in the gradient, or a logarithm of 0 that does not say why."""
    state = {"states": np.array([[1.0], [2.0]]), "log_weights": np.zeros(2), "age": np.array(1), "every": np.array(9)}
    broken = lambda theta, x: theta["w"] * x[:, 0] + np.where((x[:, 0] == 2) | np.isinf(value), value, 0.0)
    p = te.Density(broken, {"w": np.array(1.0)}, te.Reals(1))

    with pytest.raises(te.QuadratureError, match=message):
        te.ExactLikelihood().gradient(p, np.zeros((1, 1)), None, state)
