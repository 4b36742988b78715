"""Rounding decides nothing: energies that differ in the 15th digit have the same grids, and the same draws for one seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinyebm as te
from examples import network, plain
from tinyebm import ops
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.nodes.quadrature import quadrature

rng = np.random.default_rng  # every test makes its own


@dataclass(frozen=True)
class Rounded:
    """An energy whose values and slopes differ from another energy's as if they were computed in another order."""

    energy: Any
    seed: int

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "energy"), name)

    def __call__(self, theta, x):
        at = ops.stop_gradient(x)
        noise = 1e-15 * np.sin(1e6 * (at @ [1.0, 0.75, 0.57][: at.shape[1]]) + self.seed)
        slope = 1e-15 * np.sin(1.3e6 * at[:, ::-1] + np.arange(at.shape[1]) + self.seed)
        return self.energy(theta, x) * (1 + noise) + 0.1 * noise + ops.sum((x - at) * slope, axis=1)


@dataclass(frozen=True)
class Kinked:
    """An energy of x alone that is integrated by boxes."""

    function: Any
    smooth = False

    def __call__(self, theta, x):
        return self.function(x)


def kinked(function, space):
    return te.Density(Kinked(function), {}, space)


def analytic(energy, space):
    return te.Density(energy, energy.init(rng(0)), space)


def mixture(means, scale):
    means = np.asarray(means, dtype=float)
    square = lambda x: ops.sum((ops.reshape(x, (len(x), 1, means.shape[1])) - means) ** 2, axis=2)
    return plain(lambda x: -ops.logsumexp(-0.5 * square(x) / scale**2, axis=1), te.Reals(means.shape[1]))


def relu(space, seed):
    net = te.MLP((space.dim, 6, 1), "relu", confinement=1.0)
    return te.Density(net, [{"W": 2 * layer["W"], "b": layer["b"] + 0.3} for layer in net.init(rng(seed))], space)


SHEET = [(a, b) for a in (-2, 0, 2) for b in (-2, 0, 2)]
RADIUS = lambda x: ops.sqrt(ops.sum(x * x, axis=1))
DENSITIES = {
    "normal": analytic(te.GaussianEnergy(2), te.Reals(2)), "normal in space": analytic(te.GaussianEnergy(3), te.Reals(3)),
    "normal in a box": analytic(te.GaussianEnergy(2), te.Box(-3, 3, 2)),
    "two wells": analytic(te.DoubleWell(), te.Reals(1)), "two wells in a box": analytic(te.DoubleWell(), te.Box(-3, 3, 1)),
    "quartic": analytic(te.Quartic(), te.Reals(1)), "quartic in a box": analytic(te.Quartic(), te.Box(-3, 3, 1)),
    "ring": analytic(te.Ring(), te.Reals(2)), "ring in a box": analytic(te.Ring(), te.Box(-3, 3, 2)),
    "banana": analytic(te.Banana(), te.Reals(2)), "banana in a box": analytic(te.Banana(), te.Box(-3, 3, 2)),
    "funnel": analytic(te.Funnel(2), te.Reals(2)), "funnel in a box": analytic(te.Funnel(2), te.Box(-3, 3, 2)),
    "two peaks": mixture([[-2], [2]], 0.5), "peaks at 0 and 2": mixture([[0], [2]], 0.3), "nine peaks": mixture(SHEET, 0.2),
    "flat": plain(lambda x: 0.0 * x[:, 0], te.Box(-2, 2, 1)), "waves": plain(lambda x: 2 * ops.cos(3 * x[:, 0]), te.Box(-1, 1, 1)),
    "shell": plain(lambda x: 20 * (ops.sum(x * x, axis=1) - 1) ** 2, te.Reals(3)),
    "network": network(te.Reals(2)), "network in a box": network(te.Box(-2, 2, 2), seed=1),
    "network on a line": network(te.Reals(1)), "network on a piece of it": network(te.Box(-2, 2, 1), seed=2),
    "relu": relu(te.Reals(2), 0), "relu in a box": relu(te.Box(-2, 2, 2), 1), "relu on a line": relu(te.Reals(1), 2),
    "roof": kinked(lambda x: 4 * ops.abs(x[:, 0]), te.Reals(1)),
    "two roofs": kinked(lambda x: 10 * ops.abs(ops.abs(x[:, 0]) - 1), te.Reals(1)),
    "cone": kinked(lambda x: 5 * RADIUS(x), te.Reals(2)), "pyramid": kinked(lambda x: 5 * ops.sum(ops.abs(x), axis=1), te.Reals(2)),
    "pyramid in a box": kinked(lambda x: 5 * ops.sum(ops.abs(x), axis=1), te.Box(-3, 3.2, 2)),
    "crater": kinked(lambda x: 10 * ops.abs(RADIUS(x) - 1), te.Box(-2, 2, 2)),
    "diagonals": kinked(lambda x: 5 * ops.abs(x[:, 0] - x[:, 1]) + ops.abs(x[:, 0] + x[:, 1]), te.Box(-3, 3, 2)),
}  # fmt: skip


def also_rounded(p, others=2):
    """The density, and some that differ from it by rounding."""
    return [p, *(te.Density(Rounded(p.energy, seed), p.theta, p.space) for seed in range(1, others + 1))]


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_do_not_depend_on_rounding(name):
    """Catches peaks of equal height in the order of rounding, starts that stay on a plane of symmetry or leave it, a box
    that is halved along either of two equal axes, and a face at which log p has fallen by just what is asked.
    """
    with te.plain():
        found = [(quadrature(p, 1e-3).grid.size, te.sample(p, 100, rng(1))) for p in also_rounded(DENSITIES[name])]

    (size, x), others = found[0], found[1:]
    for other_size, other in others:
        assert other_size == size
        np.testing.assert_allclose(other, x, rtol=0, atol=1e-6 * x.std())


@pytest.mark.parametrize("name", ["two wells in a box", "quartic in a box", "flat", "waves", "network on a piece of it"])
def test_a_refinement_ends_with_a_margin(name):
    """Twenty times rounded, the same nodes.  Catches a refinement that goes on until two sums agree to the last bit."""
    with te.plain():
        assert len({quadrature(p, 1e-3).grid.shape for p in also_rounded(DENSITIES[name], others=20)}) == 1


@pytest.mark.parametrize("name", ["two wells in a box", "two peaks", "relu on a line", "pyramid", "ring"])
def test_populations_and_perfect_negatives_do_not_depend_on_rounding(name):
    """Catches cells whose corners are shared, or not, by rounding; and the nodes of a population likewise."""
    perfect = te.PerfectSamples(draws=50)
    with te.plain():
        found = []
        for p in also_rounded(DENSITIES[name]):
            state = perfect.gradient(p, np.zeros((10, p.space.dim)), rng(0)).state
            found.append((len(data_law(p)[0]), len(state["low"]), len(state["corners"]), int(state["outer"].sum())))

    assert found[1:] == found[:1] * 2
