"""Noise contrast: given noise against oracles, population losses by quadrature, and c that learns log Z."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import ravel, tree_map
from tinyebm.exact.sampling import Exact

rng = np.random.default_rng  # every test makes its own
LINEAR = lambda theta, x: theta["w"] * x[:, 0]


@dataclass(frozen=True)
class Given:
    """Noise that hands out these rows, whose log density is another law's."""

    rows: Any
    law: Any

    def sample(self, n, rng):
        assert n == len(self.rows)
        return self.rows

    def log_prob(self, x):
        return self.law.log_prob(x)


def flat(tree):
    return ravel(tree)[0]


def normal(variance, dim=1):
    return te.Normal(np.zeros(dim), variance * np.eye(dim))


def gaussian(precision):
    return te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.array([[precision]])}, te.Reals(1))


def at_c(c):
    return {"log_normaliser": np.array(c)}


# ------------------------------------------------------------------------------- the loss

def test_given_noise(oracle):
    """The oracle's loss, gradient by θ and by c.  Catches + c for - c, an ascent of c, and noise left out of the gradient."""
    case = oracle("mlp2d_tanh_nce_dsm")
    known, given = case["expected"], case["parameters"]
    t, noise = np.array(given["theta"]), Given(np.array(given["noise"]), normal(1.5, 2))
    theta = [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}]
    p = te.Density(te.MLP((2, 4, 1), "tanh", confinement=1.0), theta, te.Reals(2))
    step = te.NoiseContrastive(noise, rate=0.25).gradient(p, np.array(given["data"]), None, at_c(given["c"]))
    first, last = step.gradient

    assert abs(step.metrics["loss"] - known["nce_loss"]) < 1e-12
    gradient = np.concatenate([first["W"].T.ravel(), first["b"], last["W"][:, 0]])
    np.testing.assert_allclose(gradient, known["nce_grad_theta"], rtol=0, atol=1e-12)
    assert abs(step.state["log_normaliser"] - (given["c"] - 0.25 * known["nce_grad_c"])) < 1e-13
    assert step.metrics["log_normaliser"] == step.state["log_normaliser"]


CASES = [(te.MLP((2, 5, 1), "silu"), te.Reals(2), normal(2.0, 2)), (te.MLP((3, 4, 1), "softplus"), te.Reals(3), normal(1.0, 3)),
         (te.MLP((1, 5, 1), "tanh"), te.Reals(1, base_scale=0.7), normal(1.0)), (te.Banana(), te.Reals(2), normal(3.0, 2)),
         (te.GaussianMixtureEnergy(2, 2), te.Box(-2, 2, 2), te.Uniform(te.Box(-2, 2, 2))),
         (te.RBM(4, 3), te.Bits(4), te.Uniform(te.Bits(4))), (te.BoltzmannMachine(3), te.Spins(3), te.Uniform(te.Spins(3))),
         (te.Potts(3, (2, 2)), te.Cells(3, 4), te.Independent(te.Cells(3, 4), np.tile([0.2, 0.3, 0.5], (4, 1))))]  # fmt: skip


@pytest.mark.parametrize("ratio", [1, 3])
@pytest.mark.parametrize(("energy", "space", "noise"), CASES, ids=lambda case: repr(case)[:40])
def test_gradient_is_the_finite_difference_of_the_loss(energy, space, noise, ratio):
    """By θ and by c, and the loss itself from probabilities.  Catches ν missing in G or in the mean, a base measure left out."""
    theta = tree_map(lambda leaf: leaf + rng(1).normal(0, 0.2, leaf.shape), energy.init(rng(0)))
    objective, x = te.NoiseContrastive(noise, ratio, rate=1.0), space.initial(6, rng(2))
    flat_theta, unravel = ravel(theta)
    at = lambda flat, c: objective.gradient(te.Density(energy, unravel(flat), space), x, rng(5), at_c(c))
    step, h = at(flat_theta, 0.3), 1e-4
    slope = lambda f: (8 * (f(h) - f(-h)) - f(2 * h) + f(-2 * h)) / (12 * h)
    loss = lambda flat, c: at(flat, c).metrics["loss"]

    numeric = [slope(lambda t, e=e: loss(flat_theta + t * e, 0.3)) for e in np.eye(len(flat_theta))]
    np.testing.assert_allclose(flat(step.gradient), numeric, rtol=1e-7, atol=1e-7)
    assert 0.3 - step.state["log_normaliser"] == pytest.approx(slope(lambda t: loss(flat_theta, 0.3 + t)), abs=1e-8)

    y = noise.sample(6 * ratio, rng(5))
    model = lambda x: np.exp(-energy(theta, x) - 0.3 + space.log_base(x))
    noisy = lambda x: ratio * np.exp(noise.log_prob(x))
    expected = -np.mean(np.log(model(x) / (model(x) + noisy(x)))) - ratio * np.mean(np.log(noisy(y) / (model(y) + noisy(y))))
    assert step.metrics["loss"] == pytest.approx(expected, abs=1e-12)


# ----------------------------------------------------------------- where the population is at rest

def population(precision, c, variance, noise_variance, ratio):
    """(loss, gradient by the precision, new c at rate 1) of N(0, variance) against N(0, noise_variance), all rows.

    Data √v t and noise √u t have equal weights at the nodes t of a standard normal: they may come in pairs.
    """
    t = 0.16 * np.arange(-60, 61)
    mass = 0.16 * np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
    steps = [te.NoiseContrastive(Given(np.full((ratio, 1), math.sqrt(noise_variance) * s), normal(noise_variance)), ratio, rate=1.0)
             .gradient(gaussian(precision), np.array([[math.sqrt(variance) * s]]), None, at_c(c)) for s in t]  # fmt: skip
    parts = np.array([[step.metrics["loss"], step.gradient["precision"].item(), step.state["log_normaliser"]] for step in steps])
    return mass @ parts


@pytest.mark.parametrize("which", [0, 1, 2])
def test_population_loss_and_its_minimum(oracle, which):
    """At θ and log Z of the data: the oracle's loss, slopes of 0; beside them slopes that lead back.

    Catches log ν left out (c is off by it), ν missing before the noise's mean, and c that learns -log Z.
    """
    case = oracle("nce_optimal_population_loss")["expected"][which]
    setting = case["data_var"], case["noise_var"], case["nu"]
    precision, log_z = 1 / case["data_var"], 0.5 * math.log(2 * math.pi * case["data_var"])
    loss, slope, c = population(precision, log_z, *setting)

    assert abs(loss - case["optimal_loss"]) < 1e-12
    assert abs(slope) < 1e-13 and abs(c - log_z) < 1e-13
    for sign in (-1, 1):
        assert sign * population(precision + 0.1 * sign, log_z, *setting)[1] > 1e-3
        assert sign * (population(precision, log_z + 0.1 * sign, *setting)[2] - (log_z + 0.1 * sign)) < -1e-3


@pytest.mark.parametrize("ratio", [1, 3])
@pytest.mark.parametrize("space", [te.Bits(2), te.Spins(2)], ids=repr)
def test_a_population_of_ten_rows(space, ratio):
    """The law 1/10, ..., 4/10 is a Boltzmann machine's, the noise 4/10, ..., 1/10: at rest at its θ and log Z, not beside."""
    states, law = space.atoms()[0], np.array([1, 2, 3, 4]) / 10
    W, b0, b1, minus_log_z = np.linalg.solve(np.array([[s * t, s, t, 1.0] for s, t in states]), np.log(law))
    machine = te.BoltzmannMachine(2)
    noise = te.Density(lambda theta, x: -ops.log(law[::-1][space.grid().index(x)]), {}, space)
    noise = Given(np.repeat(states, ratio * np.array([4, 3, 2, 1]), axis=0), Exact(noise))
    x = np.repeat(states, [1, 2, 3, 4], axis=0)
    step = lambda W, c: te.NoiseContrastive(noise, ratio).gradient(
        te.Density(machine, {"W": np.array([W]), "b": np.array([b0, b1])}, space), x, None, at_c(c))
    best = step(W, -minus_log_z)

    assert np.abs(flat(best.gradient)).max() < 1e-15 and abs(best.state["log_normaliser"] + minus_log_z) < 1e-15
    assert step(W + 0.1, -minus_log_z).gradient["W"][0] > 1e-3 and step(W - 0.1, -minus_log_z).gradient["W"][0] < -1e-3
    assert step(W, 0.1 - minus_log_z).state["log_normaliser"] < 0.1 - minus_log_z - 1e-3


# ------------------------------------------------------------------- the normaliser is learned

def test_c_starts_by_importance_sampling():
    """Without a state: as with the state log mean e^u(y) / q(y).  Catches a mean of logarithms, and one over data too."""
    p, y, x = gaussian(2.0), rng(0).normal(0, 2, (30, 1)), rng(1).normal(size=(10, 1))
    objective = te.NoiseContrastive(Given(y, normal(4.0)), ratio=3)
    c = math.log(np.mean(np.exp(-(y[:, 0] ** 2)) / np.exp(normal(4.0).log_prob(y))))
    first, known = objective.gradient(p, x, None), objective.gradient(p, x, None, at_c(c))

    assert abs(first.state["log_normaliser"] - known.state["log_normaliser"]) < 1e-13
    np.testing.assert_allclose(flat(first.gradient), flat(known.gradient), atol=1e-14)


@pytest.mark.parametrize("ratio", [1, 4])
def test_c_becomes_log_z_on_the_line(ratio):
    """Data N(1, ½), whose energy knows no constant: θ, and with it c, come to the truth.  Catches c that stays, or runs away."""
    x = 1 + math.sqrt(0.5) * rng(0).standard_normal((20_000, 1))
    found = te.fit(te.GaussianEnergy(1), x, objective=te.NoiseContrastive(normal(4.0), ratio), optimizer=te.adam(0.03), steps=400,
                   batch_size=400, progress=False, ema=0.97, exact=False, theta=gaussian(1.0).theta)

    c, log_z = found.history["log_normaliser"][-1], float(te.log_partition(found.density))
    assert abs(c - log_z) < 0.08 and abs(log_z - 0.5 * math.log(math.pi)) < 0.08
    assert abs(found.theta["mean"].item() - 1) < 0.05 and abs(found.theta["precision"].item() - 2) < 0.2


def test_c_becomes_log_z_on_states():
    """A Boltzmann machine learns from independent noise, and its log Z with it."""
    truth = te.Density(te.BoltzmannMachine(3), {"W": np.array([1.0, -0.5, 0.8]), "b": np.array([0.3, 0.0, -1.0])}, te.Bits(3))
    x = te.sample(truth, 20_000, rng(0))
    noise = te.Independent(te.Bits(3), np.array([[0.3, 0.7], [0.4, 0.6], [0.6, 0.4]]))
    found = te.fit(te.BoltzmannMachine(3), x, te.Bits(3), te.NoiseContrastive(noise, 2), te.adam(0.03), steps=400, batch_size=400,
                   progress=False, ema=0.97, exact=False)

    log_z = float(te.log_partition(found.density))
    assert abs(found.history["log_normaliser"][-1] - log_z) < 0.1 and log_z > math.log(8) + 0.2
    assert te.kl(truth, found.density) < 2e-3


# ---------------------------------------------------------------------------------- supports

def test_noise_outside_the_box_counts_nothing():
    """Two of four draws fall outside: loss, gradient and c from the others, but divided by all.

    Catches e^{-E} counted where p is 0 (Z of the line), and outside draws thrown away (Z of a noise cut off).
    """
    p, x = te.Density(LINEAR, {"w": np.array(0.7)}, te.Box(-1, 1, 1)), np.array([[0.2], [-0.4]])
    y = np.array([[0.5], [3.0], [-0.9], [-1.2]])
    G = lambda x: -0.7 * x[:, 0] - 0.4 - normal(4.0).log_prob(x) - math.log(2)
    sigma = lambda t: 1 / (1 + np.exp(-t))
    step = te.NoiseContrastive(Given(y, normal(4.0)), 2).gradient(p, x, None, at_c(0.4))
    inside = y[[0, 2]]
    loss = -np.log(sigma(G(x))).sum() / 2 - np.log(sigma(-G(inside))).sum() / 2

    assert abs(step.metrics["loss"] - loss) < 1e-13
    gradient = (sigma(-G(x)) @ x[:, 0] - sigma(G(inside)) @ inside[:, 0]) / 2
    assert abs(step.gradient["w"] - gradient) < 1e-14

    grid = -2 + 4 * (np.arange(4000)[:, None] + 0.5) / 4000  # noise uniform on twice the box
    cut = te.Density(LINEAR, {"w": np.array(0.0)}, te.Box(-1, 1, 1))
    wide = te.NoiseContrastive(Given(grid, te.Uniform(te.Box(-2, 2, 1))), 4000, rate=1e-12)
    assert abs(wide.gradient(cut, x[:1], None).state["log_normaliser"] - math.log(2)) < 1e-10


def test_data_that_the_noise_cannot_reach():
    """They are data for sure: no loss, no gradient.  Catches a uniform noise with density outside its box."""
    p, x = te.Density(LINEAR, {"w": np.array(0.7)}, te.Box(-1, 1, 1)), np.array([[0.2], [-0.8]])
    noise = Given(np.array([[0.1], [0.3]]), te.Uniform(te.Box(-0.5, 0.5, 1)))
    step = te.NoiseContrastive(noise).gradient(p, x, None, at_c(0.4))
    softplus = lambda t: math.log1p(math.exp(t))

    loss = softplus(0.7 * 0.2 + 0.4) / 2 + sum(softplus(-0.7 * y - 0.4) for y in (0.1, 0.3)) / 2
    assert abs(step.metrics["loss"] - loss) < 1e-13


def test_a_density_as_noise():
    """N(0, 2) as a Density: its log Z is found, its draws exact.  Catches an energy taken for a log density."""
    p, x = gaussian(2.0), rng(1).normal(size=(50, 1))
    objective = te.NoiseContrastive(gaussian(0.5))
    y = Exact(gaussian(0.5)).sample(50, rng(3))
    step = objective.gradient(p, x, rng(3), at_c(0.3))
    same = te.NoiseContrastive(Given(y, normal(2.0))).gradient(p, x, None, at_c(0.3))

    np.testing.assert_allclose(objective.law.log_prob(x), normal(2.0).log_prob(x), atol=1e-9)
    assert abs(step.metrics["loss"] - same.metrics["loss"]) < 1e-9
    np.testing.assert_allclose(flat(step.gradient), flat(same.gradient), atol=1e-9)


def test_a_target_as_noise():
    """A population's own draws and log density.  Catches its exact sampler in place of its own."""
    target, x = te.datasets.load("two_moons"), rng(1).normal(size=(5, 2))
    p = te.Density(te.GaussianEnergy(2), te.GaussianEnergy(2).init(rng(0)), te.Reals(2))
    step = te.NoiseContrastive(target).gradient(p, x, rng(3), at_c(0.3))
    same = te.NoiseContrastive(Given(target.sample(5, rng(3)), target)).gradient(p, x, None, at_c(0.3))

    assert step.metrics["loss"] == same.metrics["loss"]


# ------------------------------------------------------------------------------------- general


def test_resumed_runs_keep_c(tmp_path):
    """Three updates and three more are six, to the bit.  Catches c that starts anew."""
    x, objective = rng(0).normal(1, 1, (40, 1)), te.NoiseContrastive(normal(4.0))
    run = lambda steps, **options: te.fit(te.GaussianEnergy(1), x, objective=objective, optimizer=te.adam(0.1), steps=steps,
                                          batch_size=10, progress=False, exact=False, log_every=1, **options)  # fmt: skip
    whole = run(6)
    run(3, checkpoint=tmp_path / "run")
    again = run(6, checkpoint=tmp_path / "run", resume=True)

    assert again.history["log_normaliser"][1:] == whole.history["log_normaliser"][1:]
    np.testing.assert_array_equal(flat(again.theta), flat(whole.theta))


@pytest.mark.parametrize(("options", "complaint"), [
    ({"noise": 3.0}, "noise is a distribution to draw from"), ({"noise": lambda x: x}, "noise is a distribution to draw from"),
    ({"ratio": 0}, "ratio must be"), ({"ratio": 1.5}, "ratio must be"), ({"ratio": True}, "ratio must be"),
    ({"rate": 0}, "rate must be"), ({"rate": 1.5}, "rate must be"), ({"rate": math.nan}, "rate must be")])  # fmt: skip
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        te.NoiseContrastive(**({"noise": normal(1.0)} | options))


@pytest.mark.parametrize(("noise", "space", "fine"), [
    (te.Uniform(te.Box(-2, 2, 1)), te.Box(-1, 1, 1), True), (te.Uniform(te.Box(-1, 1, 1)), te.Box(-1, 1, 1), True),
    (normal(4.0), te.Box(-1, 1, 1), True), (te.Uniform(te.Box(-0.5, 1, 1)), te.Box(-1, 1, 1), False),
    (te.Uniform(te.Box(-9, 9, 1)), te.Reals(1), False), (te.Uniform(te.Bits(1)), te.Reals(1), False)], ids=repr)
def test_noise_must_reach_the_space(noise, space, fine):
    """Noise may be wider than the space, never narrower: where it is 0 the model is not told what to do.

    Catches supports that must be equal, or that are not looked at.
    """
    p, x = te.Density(LINEAR, {"w": np.array(0.7)}, space), np.array([[0.2], [-0.4]])
    if fine:
        assert np.isfinite(te.NoiseContrastive(noise).gradient(p, x, rng(0)).metrics["loss"])
    else:
        with pytest.raises(ValueError, match="does not reach all of"):
            te.NoiseContrastive(noise).gradient(p, x, rng(0))


def test_noise_that_all_falls_outside():
    """Catches log 0 for a first c."""
    p = te.Density(LINEAR, {"w": np.array(0.7)}, te.Box(-1, 1, 1))
    with pytest.raises(ValueError, match="none of 4 draws of noise lies in Box"):
        te.NoiseContrastive(te.Normal(np.array([50.0]), np.eye(1)), 2).gradient(p, np.array([[0.2], [-0.4]]), rng(0))
