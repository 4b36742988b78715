"""Hamiltonian Monte Carlo: trajectories by another integrator's formula, and `step` against p."""

import math
from dataclasses import replace

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.density import exponent

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)


def network(space, dtype="float64"):
    theta = [{name: leaf.astype(dtype) for name, leaf in layer.items()} for layer in NET.init(rng(5))]
    return te.Density(NET, theta, space)


def gaussian(precision, space):
    return te.Density(te.GaussianEnergy(space.dim), {"mean": np.zeros(space.dim), "precision": np.array(precision)}, space)


def well(space, barrier=2.0):
    return te.Density(te.DoubleWell(), {"barrier": np.array(barrier)}, space)


def free(space):
    return te.Density(lambda theta, x: 0.0 * x[:, 0], {}, space)


SPACES = [te.Reals(2), te.Reals(2, base_scale=0.7), te.Box(-2, 2, 2)]


# ------------------------------------------------------------------------------ trajectories

@pytest.mark.parametrize("space", SPACES)
def test_one_leapfrog_step_is_mala(space):
    """HMC(ε, 1) = MALA(ε²/2): points, decisions and log ratios from the same noise.

    Catches ε for ε², a kinetic energy of the wrong sign or twice the size, and velocities that are drawn after the uniforms.
    """
    p, x = network(space), rng(0).uniform(-1.9, 1.9, (500, 2))
    one, other = te.HMC(0.8, 1).step(p, x, rng(1)), te.MALA(0.32).step(p, x, rng(1))

    np.testing.assert_allclose(one.x, other.x, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(one.accepted, other.accepted)
    np.testing.assert_allclose(one.log_ratio, other.log_ratio, rtol=0, atol=1e-12)
    assert 0.4 < one.accepted.mean() < 0.95


def verlet(p, x, r, h, steps):
    """Störmer's x_{n+1} = 2 x_n - x_{n-1} + h² s(x_n), without velocities but at the ends: (x, r, log p(x') r' / log p(x) r)."""
    before, now = x, x + h * r + h * h / 2 * te.score(p, x)
    for _ in range(steps - 1):
        before, now = now, 2 * now - before + h * h * te.score(p, now)
    end = (now - before) / h + h / 2 * te.score(p, now)
    return now, end, exponent(p, now) - exponent(p, x) - ((end**2).sum(axis=1) - (r**2).sum(axis=1)) / 2


@pytest.mark.parametrize("space", SPACES[:2])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_trajectories_by_stoermers_rule(space, steps, given):
    """Catches a last or first half of a kick left out, whole kicks for halves, a step too many, and a base measure
    that is missing in the force or in the energy.
    """
    p, x, z = network(space), rng(0).normal(0, 0.6, (40, 2)), rng(1).standard_normal((40, 2))
    move = te.HMC(0.2, steps).step(p, x, given(z))
    y, _, log_ratio = verlet(p, x, z, 0.2, steps)

    np.testing.assert_allclose(move.x, y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(move.log_ratio, log_ratio, rtol=0, atol=1e-12)


def flow(p, kernel, x, r):
    """A trajectory's end in (x, r); its velocity from its last two points."""
    y = kernel.trajectory(p, x, r)[0]
    last = replace(kernel, steps=kernel.steps - 1).trajectory(p, x, r)[0]
    return y, (y - last) / kernel.step_size + kernel.step_size / 2 * te.score(p, y)


def test_the_way_back_and_the_volume():
    """With the velocity turned round a trajectory returns; its Jacobian has determinant 1, by central differences.

    Catches Euler's rule, kicks that are not the same before and after, and with them an acceptance that lacks a Jacobian.
    """
    p, kernel = network(te.Reals(2)), te.HMC(0.7, 5)
    x, r = rng(0).normal(0, 0.5, (10, 2)), rng(1).standard_normal((10, 2))
    y, v = flow(p, kernel, x, r)
    back, turned = flow(p, kernel, y, -v)
    np.testing.assert_allclose(np.hstack([back, turned]), np.hstack([x, -r]), rtol=0, atol=1e-11)
    np.testing.assert_allclose(kernel.trajectory(p, y, -v)[1], -kernel.trajectory(p, x, r)[1], rtol=0, atol=1e-11)

    end = lambda z: np.hstack(flow(p, kernel, z[:, :2], z[:, 2:]))
    z, h = np.hstack([x, r]), 1e-5
    J = np.stack([(end(z + h * e) - end(z - h * e)) / (2 * h) for e in np.eye(4)], axis=2)
    np.testing.assert_allclose(np.linalg.det(J), 1, rtol=0, atol=1e-8)
    assert np.abs(J - np.eye(4)).max() > 1


def test_error_of_the_energy_is_of_second_order():
    """Along trajectories that last 2: half the step, a quarter of the error, row by row.  Catches a rule of first order."""
    p, x, r = network(te.Reals(2)), rng(0).normal(0, 0.6, (40, 2)), rng(1).standard_normal((40, 2))
    coarse, fine = (np.abs(te.HMC(2 / steps, steps).trajectory(p, x, r)[1]) for steps in (40, 80))

    large = coarse > np.median(coarse)
    np.testing.assert_allclose(coarse[large] / fine[large], 4, rtol=0.05)
    assert coarse.max() < 1e-2



def test_a_trajectory_that_ends_outside_a_box_is_rejected(given):
    """Without forces, from 0.5 in [-1, 1]: only where |0.5 + 2 ε r| <= 1, ε = 1/2.  Catches walls that reflect or clip."""
    z = np.array([[0.2], [0.49], [0.51], [-1.49], [-1.51], [3.0]])
    move = te.HMC(0.5, 2).step(free(te.Box(-1, 1, 1)), np.full((6, 1), 0.5), given(z))

    np.testing.assert_array_equal(move.accepted, [True, True, False, True, False, False])
    np.testing.assert_allclose(move.x[:, 0], np.where(move.accepted, 0.5 + z[:, 0], 0.5), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trajectory_that_flies_away_is_rejected(dtype, given):
    """x⁴ with a step far too long: inf, then nan, and no warning (here an error).  Catches nan that is accepted."""
    p = te.Density(lambda theta, x: ops.sum(x**4, axis=1), {}, te.Reals(2))
    x = np.array([[30.0, -20.0], [0.01, 0.02], [1e8, 1.0]], dtype=dtype)
    move = te.HMC(0.7, 30).step(p, x, given(np.full((3, 2), 0.01, dtype)))

    np.testing.assert_array_equal(move.x[[0, 2]], x[[0, 2]])
    np.testing.assert_array_equal(move.accepted, [False, True, False])


# ------------------------------------------------------------------------------- invariance

@pytest.mark.parametrize("p, kernel", [
    (well(te.Reals(1)), te.HMC(0.3, 3)), (well(te.Reals(1, base_scale=0.5)), te.HMC(0.4, 2)),
    (well(te.Box(-1.1, 1.5, 1)), te.HMC(0.3, 2)), (network(te.Reals(2)), te.HMC(1.2, 2)),
    (network(te.Reals(2, base_scale=0.7)), te.HMC(0.8, 2)), (network(te.Box(-1, 2, 2)), te.HMC(0.6, 2))])  # fmt: skip
def test_exact_samples_stay_so_and_no_flow_of_mass_is_left(p, kernel):
    """Moments after a step, and f(x) g(x') - g(x) f(x'), whose mean is 0 if the kernel is reversible: all |z| < 5.

    Catches an acceptance without kinetic energy, or with the velocity of the last half kick left out.
    """
    x = te.sample(p, 100_000, rng(0))
    y, accepted, _ = kernel.step(p, x, rng(1))
    assert 0.3 < accepted.mean() < 0.97

    features = lambda x: np.hstack([x, x**2, x[:, :1] * x[:, -1:] ** 3, np.cos(3 * x)])
    exact = np.array([te.expectation(p, lambda x, j=j: features(x)[:, j]) for j in range(features(x).shape[1])], dtype=float)
    f, g, h = features(x), features(y), features(y) - exact
    odd = f[:, :-1] * g[:, 1:] - g[:, :-1] * f[:, 1:]
    for t in (h, odd):
        assert np.abs(t.mean(axis=0) / t.std(axis=0)).max() * math.sqrt(len(x)) < 5


# -------------------------------------------------------------------------------- refusals

@pytest.mark.parametrize("ask, error, message", [
    (lambda: te.HMC(0.1, 3).step(free(te.Bits(3)), np.zeros((2, 3)), rng(0)), ValueError, "use Gibbs or its relatives"),
    (lambda: te.transition_matrix(well(te.Reals(1)), te.HMC(0.1, 3)), ValueError, "HMC.* has no push.* use te.ULA, te.MALA"),
    (lambda: te.exact_cd_gradient(well(te.Reals(1)), np.zeros((2, 1)), te.HMC(0.1, 3), 1), ValueError, "HMC.* has no push"),
    (lambda: te.ExactContrastiveDivergence(te.HMC(0.1, 3)), ValueError, "HMC.* has no push"),
    (lambda: te.HMC(0.0, 3), ValueError, "step_size must be positive"), (lambda: te.HMC(math.inf, 3), ValueError, "step_size"),
    (lambda: te.HMC(0.1, 0), ValueError, "steps must be a positive"), (lambda: te.HMC(0.1, 1.5), ValueError, "got 1.5"),
    (lambda: te.HMC(0.1, True), ValueError, "got True")])  # fmt: skip
def test_what_is_refused(ask, error, message):
    """Catches a trajectory between states, one of no length, and a push that is asked for where there is none."""
    with pytest.raises(error, match=message):
        ask()
