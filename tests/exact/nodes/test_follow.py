"""Nodes that follow a model: the error is at most what is asked for and reported, and no new peak is missed for long."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import special

import tinyebm as te
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.exact.nodes import follow as nodes
from tinyebm.exact.nodes.follow import follow, follow_atoms
from tinyebm.exact.sums import log_sum
from tinyebm.spaces.grids import Atoms

rng = np.random.default_rng  # every test makes its own
RTOL = 1e-3


def net(d, seed=0, activation="silu"):
    energy = te.MLP((d, 16, 16, 1), activation, confinement=1.0)
    return energy, energy.init(rng(seed))


def path(energy, theta, space, steps, size=0.01, seed=1):
    """Densities on a random walk of the parameters, in which every step goes on in nearly the same direction."""
    drift = tree_map(lambda leaf: size * rng(seed).standard_normal(leaf.shape), theta)
    for i in range(steps):
        yield te.Density(energy, tree_map(lambda t, v, i=i: t + i * v, theta, drift), space)


SPACES = {"line": te.Reals(1), "plane": te.Reals(2), "space": te.Reals(3), "base": te.Reals(2, base_scale=1.5),
          "interval": te.Box(-2, 3, 1), "square": te.Box(-2, 3, 2), "panels": te.Box(-2, 2, 2, panels=2)}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_log_z_has_the_error_that_is_reported(name):
    """Along a path of 40 models, against quadrature to 1e-9.  Catches atoms that stay behind, and the error of another grid."""
    space = SPACES[name]
    rows, state, errors = rng(2).uniform(-1, 1, (20, space.dim)), None, []
    for i, p in enumerate(path(*net(space.dim), space, 40 if space.dim < 3 else 12)):
        state = follow_atoms(p, RTOL, 10, rows, state)
        if i % 3 == 0:
            off = log_sum(p, Atoms(state["states"], state["log_weights"])) - te.log_partition(p, 1e-9)
            errors.append((abs(off), float(state["error"])))
    errors = np.array(errors)

    assert (errors[:, 0] <= RTOL).all() and (errors[:, 0] <= errors[:, 1]).all() and (errors[:, 1] < 3 * RTOL).all()
    assert int(state["calls"]) < 20


def test_few_nodes_are_enough():
    """Catches a grid that is as fine as that of a single integral."""
    energy, theta = net(2)
    p = te.Density(energy, theta, te.Reals(2))
    found, memory = follow(p, RTOL, np.zeros((1, 2)))
    again, _ = follow(p, RTOL, np.zeros((1, 2)), memory)

    assert again.grid.size < te.exact.nodes.quadrature.quadrature(p, RTOL).grid.size / 3
    assert again.heavy.sum() < 0.8 * again.grid.size and again.error <= RTOL / 4


@dataclass(frozen=True)
class Two:
    """A normal peak of width 1 at 0, and a second one whose log mass and place are parameters."""

    width: float = 1.0
    smooth: Any = True

    def __call__(self, theta, x):
        first = -0.5 * te.ops.sum(x * x, axis=1)
        second = -0.5 * te.ops.sum((x - theta["place"]) ** 2, axis=1) / self.width**2 + theta["log_mass"]
        return -te.ops.logsumexp(te.ops.concatenate([te.ops.reshape(u, (-1, 1)) for u in (first, second)], axis=1), axis=1)


def grown(place, masses, width=1.0, rows=None, d=1):
    """Models in which a second peak grows at a place: the errors of log Z, and the numbers of the searches."""
    state, errors = None, []
    for mass in masses:
        theta = {"place": np.full(d, place), "log_mass": np.array(mass)}
        p = te.Density(Two(width), theta, te.Reals(d))
        state = follow_atoms(p, RTOL, 1, np.zeros((1, d)) if rows is None else rows, state)
        off = log_sum(p, Atoms(state["states"], state["log_weights"])) - te.log_partition(p, 1e-9, rows=np.full((1, d), place))
        errors.append(abs(float(off)))
    return np.array(errors)


@pytest.mark.parametrize("place, d", [(8.0, 1), (12.0, 1), (40.0, 1), (12.0, 2)])
def test_a_peak_that_grows_elsewhere_is_noticed(place, d):
    """From e^-40 to as much as the first, 0.5 nats a step; no row of data is there.  Catches a mode that training never sees."""
    errors = grown(place, np.arange(-40.0, 0.5, 0.5), d=d)
    assert (errors > RTOL).mean() < 0.05 and errors[-1] < RTOL


@pytest.mark.parametrize("place", [30.0, 2.96])
def test_a_narrow_peak_at_the_data_is_noticed_at_once(place):
    """Far too narrow for the nodes, in the box or outside; rows of data lie in it.  Catches rows that are not asked."""
    errors = grown(place, [-40.0, -40.0, 5.0, 5.0], width=0.001, rows=np.array([[0.0], [place]]))
    assert (errors < RTOL).all()


def test_many_rows_are_seen_in_turn():
    """A peak inside the box, at the last of 4097 rows, which one check of two sees.  Catches rows that are never seen."""
    errors = grown(2.96, [-40.0, -40.0, 5.0, 5.0], width=0.001, rows=np.repeat([[0.0], [2.96]], [nodes.ROWS, 1], axis=0))
    assert errors[-1] < RTOL


def test_searches_become_rare(monkeypatch):
    """At the checks 1, 5, 21, 85, 149.  Catches a search at every check, and a model that is never searched again."""
    searched, search = [], nodes._searched
    monkeypatch.setattr(nodes, "_searched", lambda *arguments: searched.append(calls) or search(*arguments))
    p, memory = te.Density(te.GaussianEnergy(1), te.GaussianEnergy(1).init(rng(0)), te.Reals(1)), None
    for calls in range(1, 151):  # noqa: B007
        _, memory = follow(p, RTOL, np.zeros((1, 1)), memory)
    assert searched == [1, 5, 21, 85, 149]


@pytest.mark.parametrize("space", [te.Reals(2), te.Box(-2, 2, 2)])
def test_kinks_take_the_boxes_of_the_quadrature(space):
    """relu has no smooth density.  Catches a product grid that never converges."""
    energy, theta = net(2, activation="relu")
    state = None
    for p in path(energy, theta, space, 4):
        state = follow_atoms(p, 1e-2, 2, np.zeros((1, 2)), state)
        off = log_sum(p, Atoms(state["states"], state["log_weights"])) - te.log_partition(p, 1e-4)
        assert abs(off) < 1e-2 and np.isnan(state["step"]).all()


@pytest.mark.parametrize("d, width", [(1, 0.001), (2, 0.03)])
def test_a_narrow_peak_in_a_box_is_found(d, width):
    """Half the mass is in a peak far narrower than the first nodes' gaps.  Catches a search in a box that is none."""
    def two(theta, x):
        narrow = te.ops.sum((x - 3.03717) ** 2, axis=1) / (2 * theta["w"] ** 2) + d * te.ops.log(theta["w"])
        wide = te.ops.sum(x * x, axis=1) / 2
        return -te.ops.logsumexp(-te.ops.concatenate([wide[:, None], narrow[:, None]], axis=1), axis=1)

    p, rows = te.Density(two, {"w": np.array(width)}, te.Box(-10, 10, d)), np.full((3, d), 3.03717)
    exact = math.log(2) + d / 2 * math.log(2 * math.pi)
    for state in None, follow_atoms(p, RTOL, 1, rows):
        state = follow_atoms(p, RTOL, 1, rows, state)
        assert abs(log_sum(p, Atoms(state["states"], state["log_weights"])) - exact) < RTOL


def test_a_model_that_moves_away_is_followed():
    """A peak that moves by a hundred of its widths and grows narrow.  Catches a box that stays."""
    state = None
    for i in range(60):
        theta = {"mean": np.array([2.0 * i]), "precision": np.array([[1.0 + i]])}
        p = te.Density(te.GaussianEnergy(1), theta, te.Reals(1))
        state = follow_atoms(p, RTOL, 1, np.array([[2.0 * i]]), state)
        assert abs(log_sum(p, Atoms(state["states"], state["log_weights"])) - te.log_partition(p)) < RTOL


def test_the_state_is_a_tree_of_arrays():
    """It is saved with a run, and the run goes on from it to the bit.  Catches memory outside of the state."""
    energy, theta = net(2)
    states = [None]
    for p in path(energy, theta, te.Reals(2), 12):
        states.append(follow_atoms(p, RTOL, 3, np.zeros((1, 2)), states[-1]))
    again = tree_map(np.copy, states[6])
    for p in list(path(energy, theta, te.Reals(2), 12))[6:]:
        again = follow_atoms(p, RTOL, 3, np.zeros((1, 2)), again)
    for one, other in zip(tree_flatten(again)[0], tree_flatten(states[-1])[0], strict=True):
        assert isinstance(one, np.ndarray) and np.array_equal(one, other)


@pytest.mark.parametrize("value, message", [(np.nan, "nan"), (-np.inf, "inf")])
def test_a_model_that_breaks_is_refused(value, message):
    """As by `log_partition`.  Catches an endless loop, and a grid with no mass."""
    broken = lambda theta, x: theta["w"] * te.ops.where(np.abs(te.ops.stop_gradient(x[:, 0])) < 0.5, value, x[:, 0] ** 2)
    p = te.Density(lambda theta, x: theta["w"] * x[:, 0] ** 2, {"w": np.array(1.0)}, te.Reals(1))
    _, memory = follow(p, RTOL, np.zeros((1, 1)))
    with pytest.raises(ValueError, match=message):
        follow(te.Density(broken, {"w": np.array(1.0)}, te.Reals(1)), RTOL, np.zeros((1, 1)), memory)


@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
@pytest.mark.parametrize("power", [2.5, 4.0, 8.0])
def test_tails_that_fall_like_a_power(power, rtol):
    """Student's distribution, (1 + x²)^{-power / 2}.  Catches a box that is cut at a height and leaves out the mass beyond."""
    energy = lambda theta, x: theta["a"] / 2 * te.ops.log(1 + te.ops.sum(x * x, axis=1))
    state = None
    for i in range(6):
        p = te.Density(energy, {"a": np.array(power + 0.001 * i)}, te.Reals(1))
        state = follow_atoms(p, rtol, 2, np.zeros((1, 1)), state)
        a = power + 0.001 * i
        exact = 0.5 * np.log(np.pi) + special.gammaln((a - 1) / 2) - special.gammaln(a / 2)
        assert abs(log_sum(p, Atoms(state["states"], state["log_weights"])) - exact) < max(rtol, 3 * float(state["error"]))
        assert float(state["error"]) < 3 * rtol or i > 0
