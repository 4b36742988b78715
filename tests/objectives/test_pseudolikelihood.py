"""Pseudolikelihood and ratio matching: against a loss in loops and its finite differences, and at rest where the truth is."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import ravel, tree_map
from tinyebm.objectives import pseudolikelihood

rng = np.random.default_rng  # every test makes its own
OBJECTIVE = te.Pseudolikelihood()
CASES = [(te.BoltzmannMachine(4), te.Bits(4)), (te.BoltzmannMachine(3), te.Spins(3)), (te.RBM(4, 3), te.Bits(4)),
         (te.Ising((2, 3)), te.Spins(6)), (te.Potts(3, (2, 2)), te.Cells(3, 4)), (te.Potts(4, (1, 3)), te.Cells(4, 3)),
         (te.MLP((4, 5, 1), activation="tanh"), te.Bits(4)), (te.TabularEnergy(5), te.Cells(5)),
         (te.BoltzmannMachine(1), te.Bits(1))]  # fmt: skip


def drawn(energy, space):
    theta = tree_map(lambda leaf: leaf + rng(1).normal(0, 1, leaf.shape), energy.init(rng(0)))
    return te.Density(energy, theta, space)


def require_slopes(objective, loss, p):
    """The metric is the loss of six rows, the gradient its finite differences."""
    x, h = p.space.initial(6, rng(2)), 1e-5
    step = objective.gradient(p, x, None)
    flat, unravel = ravel(p.theta)
    at = lambda theta: loss(te.Density(p.energy, unravel(theta), p.space), x)
    numeric = [(at(flat + h * e) - at(flat - h * e)) / (2 * h) for e in np.eye(len(flat))]

    assert step.metrics["loss"] == pytest.approx(loss(p, x), abs=1e-12) and step.state is None
    np.testing.assert_allclose(ravel(step.gradient)[0], numeric, rtol=0, atol=1e-8)


def require_rest(objective, p):
    """The gradient of every state as a row of its own, weighted by p, sums to 0."""
    parts = [w * ravel(objective.gradient(p, x[None], None).gradient)[0]
             for x, w in zip(p.space.atoms()[0], te.probabilities(p), strict=True)]

    assert np.abs(sum(parts)).max() < 1e-13


def loss(p, rows):
    """-1/n Σ_x Σ_i log of e^{-E(x)} over the sum of e^{-E} over all values of site i."""
    total = 0.0
    for x in rows:
        for i in range(len(x)):
            weights = {}
            for value in p.space.values:
                y = x.copy()
                y[i] = value
                weights[value] = math.exp(-p.energy(p.theta, y[None])[0])
            total -= math.log(weights[x[i]] / sum(weights.values()))
    return total / len(rows)


@pytest.mark.parametrize(("energy", "space"), CASES, ids=repr)
def test_gradient_is_the_finite_difference_of_the_loss(energy, space):
    """Catches a site of another row, a value counted twice or left out, a mean over sites, the ascent direction."""
    require_slopes(OBJECTIVE, loss, drawn(energy, space))


@pytest.mark.parametrize(("energy", "space"), CASES, ids=repr)
def test_the_truth_is_at_rest(energy, space):
    """The gradient of every state as a row of its own, weighted by p, sums to 0.  Catches conditionals that are not p's."""
    require_rest(OBJECTIVE, drawn(energy, space))


@pytest.mark.parametrize("space", [te.Bits(2), te.Spins(2)], ids=repr)
def test_a_population_of_ten_rows(space):
    """The law 1/10, 2/10, 3/10, 4/10 on two sites is a Boltzmann machine's, exactly: gradient 0 at its θ, not beside it."""
    x = np.repeat(space.atoms()[0], [1, 2, 3, 4], axis=0)
    log_p = np.log(np.array([1, 2, 3, 4]) / 10)
    features = np.array([[s * t, s, t, 1.0] for s, t in space.atoms()[0]])
    W, b0, b1, _ = np.linalg.solve(features, log_p)
    gradient = lambda W: OBJECTIVE.gradient(te.Density(te.BoltzmannMachine(2), {"W": np.array([W]), "b": np.array([b0, b1])},
                                                       space), x, None).gradient  # fmt: skip

    assert np.abs(ravel(gradient(W))[0]).max() < 1e-15
    assert gradient(W + 0.1)["W"][0] > 1e-3 and gradient(W - 0.1)["W"][0] < -1e-3


def test_a_population_of_twelve_rows():
    """Potts's model of two sites with three colours, J = log 2: equal pairs twice as often.  Catches q - 1 for q values."""
    states, _ = te.Cells(3, 2).atoms()
    x = np.repeat(states, np.where(states[:, 0] == states[:, 1], 2, 1), axis=0)
    pair = te.Potts(3, (1, 2))
    slope = lambda J: float(OBJECTIVE.gradient(te.Density(pair, {"coupling": np.array(J)}, te.Cells(3, 2)), x, None)
                            .gradient["coupling"])  # fmt: skip

    assert abs(slope(math.log(2))) < 1e-15 and slope(0.8) > 1e-3 and slope(0.6) < -1e-3


def test_one_site_is_the_likelihood():
    """With one site there is nothing to condition on.  Catches anything that is not -log p."""
    p, x = drawn(te.TabularEnergy(5), te.Cells(5)), te.Cells(5).initial(9, rng(2))
    step = OBJECTIVE.gradient(p, x, None)

    assert abs(step.metrics["loss"] - te.nll(p, x)) < 1e-13
    np.testing.assert_allclose(step.gradient["energy"], te.nll_gradient(p, x)["energy"], atol=1e-14)


def test_three_spins(oracle):
    """The oracle's mean log-pseudolikelihood of 31 data.  Catches log₂, a lost site, the sum over data."""
    case = oracle("vbm3_pm1_exact")
    W = np.array(case["parameters"]["W_upper"])[np.triu_indices(3, 1)]
    p = te.Density(te.BoltzmannMachine(3), {"W": W, "b": np.zeros(3)}, te.Spins(3))
    x = np.repeat(p.space.atoms()[0], case["parameters"]["counts"], axis=0)

    assert abs(OBJECTIVE.gradient(p, x, None).metrics["loss"] + case["expected"]["mean_log_pseudolikelihood"]) < 1e-12


@pytest.mark.parametrize("numbers", [1, 100, 200])
def test_rows_in_parts(monkeypatch, numbers):
    """Parts of one row, of 3, of 6, of 20 rows.  Catches a mean of means, and the last part lost."""
    p, x = drawn(te.BoltzmannMachine(4), te.Bits(4)), te.Bits(4).initial(20, rng(2))
    whole = OBJECTIVE.gradient(p, x, None)
    monkeypatch.setattr(pseudolikelihood, "NUMBERS", numbers)
    parts = OBJECTIVE.gradient(p, x, None)

    assert abs(parts.metrics["loss"] - whole.metrics["loss"]) < 1e-13
    np.testing.assert_allclose(ravel(parts.gradient)[0], ravel(whole.gradient)[0], atol=1e-14)


def test_more_bits_than_can_be_listed():
    """60 independent bits: the pseudolikelihood is the likelihood.  Catches a normalisation that lists states."""
    p, x = drawn(te.BoltzmannMachine(60), te.Bits(60)), te.Bits(60).initial(30, rng(2))
    p = te.Density(p.energy, {**p.theta, "W": 0 * p.theta["W"]}, p.space)
    step = OBJECTIVE.gradient(p, x, None)

    on = 1 / (1 + np.exp(-p.theta["b"]))
    assert step.metrics["loss"] == pytest.approx(-(x @ np.log(on) + (1 - x) @ np.log(1 - on)).mean(), rel=1e-13)
    np.testing.assert_allclose(step.gradient["b"], on - x.mean(axis=0), atol=1e-13)


def test_energies_far_apart_stay_finite():
    """Catches e^{E} that overflows: the loss is 1000 nats, its slope exact."""
    p = te.Density(te.BoltzmannMachine(1), {"W": np.zeros(0), "b": np.array([1000.0])}, te.Bits(1))
    step = OBJECTIVE.gradient(p, np.array([[0.0]]), None)

    assert step.metrics["loss"] == 1000.0 and step.gradient["b"].tolist() == [1.0]


def test_real_lines_are_refused():
    """Catches a sum over values that are none."""
    with pytest.raises(ValueError, match="Pseudolikelihood sums over the values of a site: Reals.* is not discrete"):
        OBJECTIVE.gradient(te.Density(te.Quartic(), te.Quartic().init(rng(0)), te.Reals(1)), np.zeros((2, 1)), None)


# ------------------------------------------------------------------------------ ratio matching

RATIO = te.RatioMatching()
TWO_VALUES = [case for case in CASES if len(case[1].values) == 2] + [(te.Potts(2, (2, 2)), te.Cells(2, 4))]


def ratio_loss(p, rows):
    """1/n Σ_x Σ_i P(x_i flipped | x_-i)², from ratios of e^{-E}."""
    total = 0.0
    for x in rows:
        for i in range(len(x)):
            y = x.copy()
            y[i] = sum(p.space.values) - x[i]
            here, there = np.exp(-p.energy(p.theta, np.stack([x, y])))
            total += (there / (here + there)) ** 2
    return total / len(rows)


@pytest.mark.parametrize(("energy", "space"), TWO_VALUES, ids=repr)
def test_ratio_matching_is_the_finite_difference_of_its_loss(energy, space):
    """Catches σ for σ², σ of the other sign, a ½, a mean over sites, and a flip of another row's site."""
    require_slopes(RATIO, ratio_loss, drawn(energy, space))


@pytest.mark.parametrize(("energy", "space"), TWO_VALUES, ids=repr)
def test_ratio_matching_rests_at_the_truth(energy, space):
    """The gradient of every state, weighted by p, sums to 0.  Catches σ, σ³, or any loss whose score is not proper."""
    require_rest(RATIO, drawn(energy, space))


@pytest.mark.parametrize("space", [te.Bits(1), te.Spins(1)], ids=repr)
def test_ratio_matching_of_one_site(space):
    """Rows 1, 1, 1, 0: the loss is ¾ q² + ¼ (1 - q)², q = P(0): least at q = ¼, 3/16 there.  On either side it leads back."""
    x = np.array([[space.values[a]] for a in (1, 1, 1, 0)])
    width = space.values[1] - space.values[0]
    step = lambda b: RATIO.gradient(te.Density(te.BoltzmannMachine(1), {"W": np.zeros(0), "b": np.array([b])}, space), x, None)
    best = step(math.log(3) / width)

    assert abs(best.gradient["b"][0]) < 1e-15 and best.metrics["loss"] == pytest.approx(3 / 16, abs=1e-15)
    assert step(math.log(4) / width).gradient["b"][0] > 1e-3 and step(math.log(2) / width).gradient["b"][0] < -1e-3


def test_ratio_matching_in_parts_of_many_bits(monkeypatch):
    """40 rows of 60 independent bits, in parts of 3 rows: Σ_i of one-site losses.  Catches lost parts and means of means."""
    monkeypatch.setattr(pseudolikelihood, "NUMBERS", 3 * 60**2 * 2)
    p, x = drawn(te.BoltzmannMachine(60), te.Bits(60)), te.Bits(60).initial(40, rng(2))
    p = te.Density(p.energy, {**p.theta, "W": 0 * p.theta["W"]}, p.space)
    step = RATIO.gradient(p, x, None)
    other = 1 / (1 + np.exp((2 * x - 1) * p.theta["b"]))  # P(x_i flipped)

    assert step.metrics["loss"] == pytest.approx((other**2).sum() / 40, rel=1e-13)
    np.testing.assert_allclose(step.gradient["b"], (2 * other**2 * (1 - other) * (1 - 2 * x)).mean(axis=0), atol=1e-14)


def test_ratio_matching_far_apart_is_finite():
    """Catches e^{E} that overflows, in single precision."""
    p = te.Density(te.BoltzmannMachine(1), {"W": np.zeros(0, "float32"), "b": np.array([1000.0], "float32")}, te.Bits(1))
    step = RATIO.gradient(p, np.array([[0.0], [1.0]], "float32"), None)

    assert step.metrics["loss"] == 0.5 and step.gradient["b"].tolist() == [0.0]


@pytest.mark.parametrize("space", [te.Reals(2), te.Box(0, 1, 2), te.Cells(3, 2)], ids=repr)
def test_ratio_matching_needs_two_values(space):
    """Catches a flip to the next of three colours, and a real number that is flipped."""
    p = te.Density(lambda theta, x: theta * x[:, 0], np.array(1.0), space)
    with pytest.raises(ValueError, match="RatioMatching flips sites with two values .*, not those of"):
        RATIO.gradient(p, np.zeros((2, 2)), None)
