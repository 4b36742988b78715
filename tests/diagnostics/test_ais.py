"""Annealed importance sampling: weights without bias against exact Z, bounds from both sides, a pilot that keeps apart."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

import tinyebm as te
from tinyebm.diagnostics import ais as module

rng = np.random.default_rng  # every test makes its own


def well(barrier=3.0, space=None):
    return te.Density(te.DoubleWell(), {"barrier": np.array(barrier)}, space or te.Reals(1))


def network(space, seed=0, confinement=0.5):
    energy = te.MLP((space.dim, 6, 1), "tanh", confinement)
    theta = [{"W": 2 * layer["W"], "b": layer["b"] + 0.3} for layer in energy.init(rng(seed))]
    return te.Density(energy, theta, space)


def boltzmann(space, seed=0, scale=0.7):
    r, d = rng(seed), space.dim
    return te.Density(te.BoltzmannMachine(d), {"W": r.normal(0, scale, d * (d - 1) // 2), "b": r.normal(0, 1, d)}, space)


def rbm(visible, hidden, seed=0, space=None):
    r = rng(seed)
    theta = {"W": r.normal(0, 1, (visible, hidden)), "b": r.normal(0, 1, visible), "c": r.normal(0, 1, hidden)}
    return te.Density(te.RBM(visible, hidden), theta, space or te.Bits(visible))


def coins(space, seed=5):
    first = rng(seed).uniform(0.2, 0.8, space.dim)
    return te.Independent(space, np.stack([first, 1 - first], axis=1))


def log_mean_weight(found):
    """log mean w / Z_0 and its standard error, from the weights themselves."""
    w = np.exp(found.details["log_weights"] - found.details["log_weights"].max())
    return w.std(ddof=1) / w.mean() / math.sqrt(len(w))


BITS, SPINS, LINE, BIMODAL = te.Bits(5), te.Spins(4), network(te.Reals(1), confinement=0.8), te.datasets.load("bimodal")
WAVES = te.Density(lambda theta, x: BIMODAL.energy(theta, x) + 0.7 * te.ops.sin(3 * x[:, 0]), {}, te.Reals(1))
CASES = {
    "a line": (LINE, {}), "a plane": (network(te.Reals(2)), {}), "a box": (network(te.Box(-1, 3, 2)), {}),
    "a base measure": (network(te.Reals(2, base_scale=1.7), confinement=0.0), {}),
    "HMC": (LINE, {"kernel": lambda step: te.HMC(step, 3)}), "a fixed step": (LINE, {"kernel": te.MALA(0.05)}),
    "no move accepted": (LINE, {"kernel": te.MALA(200.0)}), "given β": (LINE, {"temperatures": np.array([0, 0.02, 0.3, 1])}),
    "a normal base": (LINE, {"base": te.Normal(np.array([0.4]), np.array([[1.2]]))}),
    "a Density as base": (LINE, {"base": network(te.Reals(1), 4, 0.8)}), "a Target as base": (WAVES, {"base": BIMODAL}),
    "bits": (boltzmann(BITS), {}), "bits from coins": (boltzmann(BITS), {"base": coins(BITS)}),
    "random scan": (boltzmann(BITS), {"kernel": te.Gibbs("random")}), "spins": (boltzmann(SPINS, scale=0.4), {}),
    "spins from coins": (boltzmann(SPINS, scale=0.4), {"base": coins(SPINS)}),
    "bits from a Density": (boltzmann(BITS), {"base": boltzmann(BITS, 3)}),
    "cells": (te.Density(te.Potts(3, (2, 2)), {"coupling": np.array(0.8)}, te.Cells(3, 4)), {}),
    "layers": (rbm(6, 4), {}), "layers from coins": (rbm(6, 4), {"base": coins(te.Bits(6))}),
    "layers from a Density": (rbm(5, 3), {"base": boltzmann(te.Bits(5))}), "layers of spins": (rbm(4, 3, space=te.Spins(4)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_weights_are_unbiased(name):
    """E[w] = Z and E of the reverse weights = 1/Z, |z| < 5 with few temperatures, far from what the chains would need.

    Catches a weight taken after the move, f_0 without the base's normaliser, a base measure counted twice or not at all, β not
    of the kernel's own density, a mean of log weights, and 2^hidden left out of the layers' Z.
    """
    p, options = CASES[name]
    exact, options = float(te.log_partition(p)), {"temperatures": 6} | options
    found = te.ais(p, 1500, rng(1), **options)
    back = te.reverse_ais(p, te.sample(p, 1500, rng(2)), rng(3), **options)

    assert abs(math.expm1(found - exact)) < 5 * log_mean_weight(found)
    assert abs(math.expm1(exact - back)) < 5 * log_mean_weight(back)
    assert max(found.error, back.error) < 0.2


def test_importance_sampling(oracle):
    """One temperature: E[w] and E[w²] / E[w]² in closed form, |z| < 5, and no kernel moves.  Catches ESS = Σw² / (Σw)²."""
    case = oracle("importance_sampling_gaussian")
    s0, s1, n = case["parameters"]["s0"], case["parameters"]["s1"], 20_000
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1) / s1}, te.Reals(1))
    found = te.ais(p, n, rng(0), temperatures=1, base=te.Normal(np.zeros(1), s0 * np.eye(1)), kernel=lambda step: te.MALA(step))
    ratio = math.exp(found) / math.sqrt(2 * math.pi * s0)
    second = [np.exp(2 * half).mean() / np.exp(half).mean() ** 2 for half in found.details["log_weights"].reshape(40, -1)]

    assert abs(ratio / case["expected"]["ratio"] - 1) < 5 * found.error
    assert found.error == pytest.approx(math.sqrt((case["expected"]["rel_second_moment"] - 1) / n), rel=0.03)
    assert abs(n / found.details["ess"] - case["expected"]["rel_second_moment"]) < 5 * np.std(second, ddof=1) / math.sqrt(40)
    assert found.details["acceptance"] is None
    x = math.sqrt(s0) * rng(0).standard_normal(n)  # no pilot has drawn before
    log_w = -(x**2) / (2 * s1) - stats.norm.logpdf(x, 0, math.sqrt(s0))
    np.testing.assert_allclose(found.details["log_weights"], log_w, atol=1e-12)


def test_details():
    """ESS, error and value from the weights.  Catches n for n - 1, weights without their constant, acceptance of the pilot."""
    p = boltzmann(BITS)
    found = te.ais(p, 50, rng(0), temperatures=4)
    w = np.exp(found.details["log_weights"])

    assert found == pytest.approx(math.log(w.mean()), abs=1e-12)
    assert found.details["ess"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    assert found.error == pytest.approx(w.std(ddof=1) / w.mean() / math.sqrt(50), rel=1e-9)
    assert found.details["acceptance"] is None
    path = te.ais(rbm(6, 4), 50, rng(0), temperatures=4)
    assert path == pytest.approx(special.logsumexp(path.details["log_weights"]) - math.log(50) + 10 * math.log(2), abs=1e-12)
    assert te.ais(p, 50, rng(0), np.array([0, 1, 4, 9, 16]) / 16).value == found.value  # 4 temperatures are β = (t/4)²
    assert 0.5 < te.ais(well(), 300, rng(0), temperatures=40).details["acceptance"] < 0.7
    assert te.ais(well(), 300, rng(0), 40, kernel=te.MALA(200.0)).details["acceptance"] < 0.01


@pytest.mark.parametrize("name", ["a line", "a plane", "a box", "bits", "layers", "spins"])
def test_the_two_ways_bracket_log_z(name):
    """Badly annealed, over 200 runs of 2 chains: below on average, above on average, both by more than 5 standard errors.

    Catches the two exchanged, and an average of weights over all runs passed off as a bound.
    """
    p = {"a line": network(te.Reals(1), 3, confinement=1.6), "layers": rbm(6, 4, seed=3), "spins": boltzmann(SPINS, scale=0.6),
         "bits": boltzmann(BITS, scale=2.0), "a plane": network(te.Reals(2), 1, confinement=1.5),
         "a box": network(te.Box(-3, 3, 2), confinement=1.0)}[name]  # fmt: skip
    options, exact, r = {"temperatures": 2, "kernel": te.MALA(0.02) if not p.space.discrete else None}, te.log_partition(p), rng(0)
    below = np.array([te.ais(p, 2, r, **options) for _ in range(200)])
    above = np.array([te.reverse_ais(p, x, r, **options) for x in te.sample(p, 400, r).reshape(200, 2, -1)])
    se = lambda values: values.std(ddof=1) / math.sqrt(200)

    assert below.mean() < exact < above.mean()
    assert above.mean() - below.mean() > 5 * math.hypot(se(below), se(above))
    slow = te.ais(p, 100, r, temperatures=150), te.reverse_ais(p, te.sample(p, 100, r), r, temperatures=150)
    assert slow[0] - 5 * slow[0].error < exact < slow[1] + 5 * slow[1].error
    assert max(s.error for s in slow) < 0.1 and abs(slow[1] - slow[0]) < 0.5


def test_the_mean_of_log_weights_is_no_estimate():
    """The trap: it lies below log Z by half the variance of log w, far more than log mean w errs."""
    p = well(6.0)
    found, exact = te.ais(p, 4000, rng(0), temperatures=40, kernel=te.MALA(0.01)), te.log_partition(p)
    log_w = found.details["log_weights"]

    assert abs(found - exact) < 5 * found.error
    assert exact - log_w.mean() > 10 * log_w.std() / math.sqrt(len(log_w))


@dataclasses.dataclass(frozen=True)
class Watched:
    """A law that remembers what it gave."""

    law: object
    given: list

    @property
    def space(self):
        return self.law.space

    def log_prob(self, x):
        return self.law.log_prob(x)

    def sample(self, n, rng):
        self.given.append(self.law.sample(n, rng))
        return self.given[-1]


def test_the_pilot_keeps_apart():
    """Its chains are others, and its steps frozen: a kernel that tells all.

    Catches weights of chains that chose their own step size, which are biased, and steps still steered on the way.
    """
    calls, base = [], Watched(te.Normal(np.zeros(1), np.eye(1)), [])

    @dataclasses.dataclass(frozen=True)
    class Spy:
        step_size: float
        invariant = True

        def step(self, p, x, rng):
            calls.append((self.step_size, x))
            return te.MALA(self.step_size).step(p, x, rng)

    found = te.ais(well(8.0), 40, rng(0), temperatures=30, base=base, kernel=Spy)
    pilot, own = calls[:-29], calls[-29:]

    assert len(base.given) == 2 and len(pilot) >= module.FEWEST * 30
    assert np.array_equal(pilot[0][1], base.given[0]) and np.array_equal(own[0][1], base.given[1])
    assert not np.intersect1d(base.given[0], base.given[1]).size
    assert own[0][0] > 2 * own[-1][0]  # 8 nats are steeper than the base
    again = te.ais(well(8.0), 40, rng(0), temperatures=30, base=base.law, kernel=te.MALA)
    assert (found.value, found.error) == pytest.approx((again.value, again.error), rel=1e-9)


def test_steps_follow_the_temperature():
    """Of N(0, s²), any step is optimal in units of s²: the frozen steps scale with the variance of f_β, within a factor 2."""
    steps, s2 = [], 0.01
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1) / s2}, te.Reals(1))
    path, kernels, _ = module._plan(p, 500, rng(0), 10, te.Normal(np.zeros(1), np.eye(1)), lambda step: te.MALA(step))
    for beta in (0.0, 0.01, 0.1, 0.5, 1.0):
        variance = 1 / ((1 - beta) + beta / s2)
        steps.append(kernels(beta).step_size / variance)
    assert max(steps[2:]) / min(steps[2:]) < 2 and steps[-1] == pytest.approx(steps[0], rel=1.0)
    assert 0.5 < steps[-1] < 6


def test_the_path_between():
    """f_β = q^{1-β} (e^{-E} μ)^β at any β, to a constant; of layers, from sums over h.  Catches a path of free energies there."""
    x, beta, base = rng(0).normal(0, 1, (7, 2)), 0.3, te.Normal(np.array([1.0, 0.0]), 2 * np.eye(2))
    p = network(te.Reals(2, base_scale=1.7))
    log_f = beta * (stats.norm.logpdf(x, 0, 1.7).sum(axis=1) - p.energy(p.theta, x)) + 0.7 * base.log_prob(x)
    path, _, _ = module._plan(p, 2, rng(0), 1, base, te.MALA(0.1))
    between = path.at(beta)
    np.testing.assert_allclose(p.space.log_base(x) - between.energy(between.theta, x), log_f, atol=1e-12)

    machine, law = rbm(3, 2), coins(te.Bits(3))
    v, h = (np.array(list(itertools.product((0.0, 1.0), repeat=n))) for n in (3, 2))
    joint = -v @ machine.theta["W"] @ h.T - (v @ machine.theta["b"])[:, None] - h @ machine.theta["c"]
    log_f = special.logsumexp(0.7 * law.log_prob(v)[:, None] - beta * joint, axis=1)
    path, _, _ = module._plan(machine, 2, rng(0), 1, law, None)
    u = -path.at(beta).energy(path.at(beta).theta, v)
    np.testing.assert_allclose(u - u[0], log_f - log_f[0], atol=1e-12)
    assert path.log_z == pytest.approx(special.logsumexp(-path.at(0.0).energy(path.at(0.0).theta, v)), abs=1e-12)


@pytest.mark.parametrize(("change", "message"), [
    ({"n": 1}, "at least 2 chains"), ({"temperatures": 0}, "a positive number of steps, or β increasing from 0 to 1"),
    ({"temperatures": 2.5}, "temperatures is a positive number of steps"),
    ({"temperatures": [0, 0.5]}, "β increasing"), ({"temperatures": [0.1, 1]}, "β increasing"),
    ({"temperatures": [0, 0.7, 0.7, 1]}, "β increasing"), ({"base": te.Normal(np.zeros(2), np.eye(2))}, "the base lives on"),
    ({"base": te.Uniform(te.Box(-1, 1, 1))}, "the base lives on Box.*, the density on Reals"),
    ({"kernel": te.ULA(0.1)}, "leaves its density invariant: ULA"), ({"kernel": te.ULA}, "leaves its density invariant"),
    ({"p": well(space=te.Box(-1, 1, 1)), "base": te.Normal(np.zeros(1), np.eye(1))}, "lives on Reals.*, the density on Box"),
    ({"p": well(space=te.Box(-1, 1, 1)), "base": te.Uniform(te.Box(-2, 1, 1))}, "the base lives on"),
    ({"p": boltzmann(BITS), "base": te.Uniform(te.Spins(5))}, "lives on Spins.*, the density on Bits")])
def test_refusals(change, message):
    """Catches Z of another space, 90 standard errors off: draws of the base outside p's space have no weight."""
    given = {"p": well(), "n": 20, "temperatures": 5} | change
    p, n = given.pop("p"), given.pop("n")
    with pytest.raises(ValueError, match=message):
        te.ais(p, n, rng(0), **given)
    with pytest.raises(ValueError, match=message):
        te.reverse_ais(p, te.sample(p, n, rng(0)), rng(0), **given)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_and_draws_that_are_none():
    """Catches nan for an answer, and rows that p cannot have drawn."""
    p = te.Density(lambda theta, x: te.ops.where(x[:, 0] > 40.0, 0.0, math.inf), {}, te.Reals(1))
    with pytest.raises(FloatingPointError, match="the logarithm of the weights' sum is -inf: does the base reach p"):
        te.ais(p, 5, rng(0), temperatures=1)
    blind = te.ais(network(te.Reals(1), 3, 30.0), 40, rng(0), temperatures=1, base=te.Normal(np.array([3.0]), np.eye(1)))
    assert blind.details["ess"] < 5 and blind.error == math.inf  # a spread of few weights says nothing
    with pytest.raises(ValueError, match="some rows of x lie outside Bits"):
        te.reverse_ais(boltzmann(BITS), np.full((9, 5), 0.5), rng(0))
    with pytest.raises(ValueError, match="some rows of x lie outside Box"):
        te.reverse_ais(well(space=te.Box(-1, 1, 1)), np.full((9, 1), 1.5), rng(0))


def truncated():
    """A normal density on a half line: log Z = log √(π/2); states of which no two neighbours are on."""
    half = lambda theta, x: te.ops.where(x[:, 0] > 0.5, 0.5 * x[:, 0] ** 2, math.inf)
    hard = lambda theta, x: te.ops.where(te.ops.sum(x[:, 1:] * x[:, :-1], axis=1) > 0.5, math.inf, -0.3 * te.ops.sum(x, axis=1))
    return te.Density(half, {}, te.Reals(1)), te.Density(hard, {}, te.Bits(6))


@pytest.mark.parametrize("kernel", [None, te.MALA(0.3), lambda step: te.HMC(step, 3), te.GibbsWithGradients()])
def test_densities_that_are_0_where_the_base_is_not(kernel):
    """log Z by both ways, |z| < 5: draws of the base where p is 0 weigh nothing, and reverse weights miss their share of it.

    Catches a reverse estimate that is too large by -log of that share (here 1.2 nats, with an error bar of 1e-9), a pilot
    that shrinks its steps for chains which cannot move, and 0 weights left out of n.
    """
    half, hard = truncated()
    for p, exact in ((half, math.log(math.sqrt(2 * math.pi) * stats.norm.sf(0.5))), (hard, float(te.log_partition(hard)))):
        if p.space.discrete and not (kernel is None or isinstance(kernel, te.GibbsWithGradients)):
            continue
        if isinstance(kernel, te.GibbsWithGradients) and not p.space.discrete:
            continue
        x = te.sample(p, 2000, rng(0)) if p.space.discrete else stats.norm.isf(stats.norm.sf(0.5) * rng(0).random((2000, 1)))
        found, back = te.ais(p, 2000, rng(1), 30, kernel=kernel), te.reverse_ais(p, x, rng(2), 30, kernel=kernel)

        for estimate in (found, back):
            assert abs(estimate - exact) < 5 * estimate.error < 0.3
        dead = (found.details["log_weights"] == -math.inf).mean()
        assert dead > 0.3 and found.details["ess"] < 2000 * (1 - dead) + 1e-6
        if kernel is None and not p.space.discrete:
            assert 0.45 < found.details["acceptance"] < 0.9


def test_energies_of_nan_and_starts_of_no_weight_are_refused():
    """Catches nan that counts as 0, and rows that p cannot have drawn."""
    half, hard = truncated()
    holed = te.Density(lambda theta, x: te.ops.where(x[:, 0] > 0, 0.5 * x[:, 0] ** 2, math.nan), {}, te.Reals(1))
    poled = te.Density(lambda theta, x: te.ops.where(x[:, 0] > 0, 0.5 * x[:, 0] ** 2, -math.inf), {}, te.Reals(1))
    for p, value in ((holed, "nan"), (poled, "-inf")):
        with pytest.raises(ValueError, match=f"the energy is {value} at x = .-.*, a draw of the base"):
            te.ais(p, 20, rng(0), 5)
        with pytest.raises(ValueError, match=f"the energy is {value} at x = .-.*, a draw of the base"):
            te.reverse_ais(p, np.ones((20, 1)), rng(0), 5)
    with pytest.raises(ValueError, match="the density is 0 at row 3 of x"):
        te.reverse_ais(half, np.array([[1.0], [2.0], [0.6], [0.4]]), rng(0), 5)
    with pytest.raises(ValueError, match="the density is 0 at row 1 of x"):
        te.reverse_ais(hard, np.array([[1.0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]), rng(0), 5)


class Called(te.MALA):
    """A kernel whose instances can also be called."""

    def __call__(self, step_size):
        raise AssertionError("a kernel is no function of the step size")


class Silent:
    """A function of the step size whose kernels do not say what they accepted."""

    invariant = True

    def __init__(self, step_size):
        self.step_size = step_size

    def step(self, p, x, rng):
        return te.Move(te.MALA(0.3).step(p, x, rng).x)


@pytest.mark.parametrize("kernel", [Called(0.1), Silent])
def test_kernels_of_ones_own(kernel):
    """Catches an instance with a `step` that is taken for a function of the step size, and a pilot that needs acceptances."""
    p = te.Density(te.DoubleWell(), {"barrier": np.array(1.0)}, te.Reals(1))
    found = te.ais(p, 300, np.random.default_rng(0), temperatures=100, kernel=kernel)

    assert abs(found - te.log_partition(p)) < 5 * found.error < 0.5
