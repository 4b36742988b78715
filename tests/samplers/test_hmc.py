"""Hamiltonian Monte Carlo: trajectories by another integrator's formula, `step` against p, `push` against a Gaussian's matrix.

On a Gaussian a leapfrog step is linear in (x, r), so the density of a whole trajectory's end is known in closed form.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm import ops
from tinyebm.autodiff.tape import vjp
from tinyebm.common.tree import tree_map
from tinyebm.density import exponent
from tinyebm.samplers import hmc

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


@pytest.mark.parametrize("space", [*SPACES, te.Box(-3, 3, 2)])
def test_float32_stays_float32(space):
    """Catches a velocity or a step that is float64."""
    x = rng(0).uniform(-1.9, 1.9, (50, 2)).astype("float32")
    assert te.HMC(0.3, 3).step(network(space, "float32"), x, rng(1)).x.dtype == np.float32


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


# ------------------------------------------------------------------------------------- push

def linear(P, kernel):
    """(A, B, C, D) of x' = A x + B r, r' = C x + D r on N(0, P⁻¹)."""
    I, h = np.eye(len(P)), kernel.step_size
    kick, drift = np.block([[I, 0 * I], [-h / 2 * P, I]]), np.block([[I, h * I], [0 * I, I]])
    M, d = np.linalg.matrix_power(kick @ drift @ kick, kernel.steps), len(P)
    return M[:d, :d], M[:d, d:], M[d:, :d], M[d:, d:]


def dense(P, kernel, x, y, log_w):
    """Flow from rows x to atoms y: density of the velocity that leads there, times its acceptance and y's weight."""
    A, B, C, D = linear(P, kernel)
    gap = y[None] - (x @ A.T)[:, None]
    r = gap @ np.linalg.inv(B).T  # (rows, atoms, d)
    end = (x @ C.T)[:, None] + r @ D.T
    H = lambda x, r: ((x @ P) * x).sum(axis=-1) / 2 + (r**2).sum(axis=-1) / 2
    density = np.exp(-0.5 * (r**2).sum(axis=-1)) / (2 * math.pi) ** (len(P) / 2) / abs(np.linalg.det(B))
    return density * np.minimum(1, np.exp(H(x[:, None], r) - H(y[None], end))) * np.exp(log_w)


PLANE = np.array([[1.4, 0.5], [0.5, 0.8]])
GAUSSIANS = [(np.array([[1.3]]), te.HMC(0.2, 4), te.Reals(1, extent=6.5), 121, 2e-6),
             (np.array([[1.3]]), te.HMC(0.8, 2), te.Reals(1, extent=6.5), 121, 2e-4),
             (PLANE, te.HMC(0.25, 3), te.Reals(2, extent=5), 25, 1e-4)]  # fmt: skip


@pytest.mark.parametrize("P, kernel, space, nodes, atol", GAUSSIANS)
def test_push_is_the_dense_matrix_of_a_gaussian(P, kernel, space, nodes, atol):
    """From a lopsided law, whole and from rows between the atoms; without rejections it is N(A m, A V Aᵀ + B Bᵀ).

    Catches weights of the velocities, axes swapped, rejected mass that is lost, rows moved to atoms first.
    """
    p, (x, log_w), d = gaussian(P, space), space.atoms(nodes), space.dim
    m, V = np.array([0.8, -0.5][:d]), np.array([[0.5, 0.1], [0.1, 0.4]])[:d, :d]
    mass = stats.multivariate_normal(m, V).pdf(x) * np.exp(log_w)
    steps = dense(P, kernel, x, x, log_w)
    expected, pushed = mass @ steps + mass * (1 - steps.sum(axis=1)), kernel.push(mass, p)
    assert np.abs(pushed - expected).sum() < atol and abs(pushed.sum() - 1) < 1e-6

    A, B, _, _ = linear(P, kernel)
    smooth = stats.multivariate_normal(A @ m, A @ V @ A.T + B @ B.T).pdf(x) * np.exp(log_w)
    rejected = mass @ (1 - steps.sum(axis=1))
    assert np.abs(pushed - smooth).sum() < 2 * rejected + atol and np.abs(mass - smooth).sum() > 0.3

    rows, weights = rng(2).uniform(-1.5, 1.5, (5, d)), rng(3).dirichlet(np.ones(5))
    moved, stay = kernel.spread(p, rows, weights, space.grid(nodes))
    steps = dense(P, kernel, rows, x, log_w)
    np.testing.assert_allclose(stay, weights * (1 - steps.sum(axis=1)), rtol=0, atol=10 * atol)
    assert np.abs(moved - weights @ steps).sum() < 100 * atol


@pytest.mark.parametrize("p, nodes", [(well(te.Reals(1, extent=3)), 121), (network(te.Reals(2, extent=5)), 22)])
def test_steps_have_the_law_of_pushes(p, nodes):
    """Two of each, from one law: means of smooth functions, |z| < 5.  Catches either that moves otherwise than the other."""
    kernel, d = te.HMC(0.35, 2) if p.space.dim == 1 else te.HMC(0.7, 1), p.space.dim
    atoms, log_w = p.space.atoms(nodes)
    law = stats.multivariate_normal([0.4] * d, 0.25 * np.eye(d)).pdf(atoms) * np.exp(log_w)
    x, info = te.run(kernel, p, 0.4 + 0.5 * rng(0).standard_normal((60_000, d)), 2, rng(1))
    push = kernel.operator(p, p.space.grid(nodes))
    law = push(push(law))

    features = lambda x: np.hstack([x, x**2, x[:, :1] * x[:, -1:], np.cos(2 * x), np.sin(3 * x)])
    f, expected = features(x), law @ features(atoms)
    assert np.abs((f.mean(axis=0) - expected) / f.std(axis=0)).max() * math.sqrt(len(x)) < 5
    assert 0.5 < info["acceptance"] < 0.99


@pytest.mark.parametrize("step_size, steps, least, error", [(0.1, 5, 0.995, 1e-6), (0.9, 2, 0.85, 1e-4)])
def test_push_leaves_p_alone_as_far_as_its_docstring_says(step_size, steps, least, error):
    """Catches an acceptance of another p, and velocities too few for its kink."""
    p = te.Density(te.Quartic(), {"a": np.array(0.3), "b": np.array(0.1)}, te.Reals(1, extent=6))
    kernel, law = te.HMC(step_size, steps), te.probabilities(p, 120)
    accepted = kernel.step(p, te.sample(p, 20_000, rng(0)), rng(1)).accepted.mean()

    assert least < accepted < least + 0.14
    assert np.abs(kernel.push(law, p) - law).sum() < error


def test_one_leapfrog_step_is_pushed_as_by_mala():
    """Another operator: the rejections of MALA are a matrix on atoms.  Its kink costs it 2e-4 on 150 of them."""
    p = well(te.Reals(1, extent=3), 1.0)
    x, log_w = p.space.atoms(150)
    law = stats.norm.pdf(x[:, 0], 0.4, 0.3) * np.exp(log_w)

    assert np.abs(te.HMC(0.5, 1).push(law, p) - te.MALA(0.125).push(law, p)).sum() < 2e-4


@pytest.mark.parametrize("step_size", [0.5, 1.0])
def test_velocities_that_lead_from_atom_to_atom(step_size):
    """Free flight on atoms 0.17 apart, twenty times the distance of velocities, adds ε² to the variance: to 1e-12.

    Catches 0 / 0 of a sinc between two roundings of one place, where law comes out "finer than the atoms".
    """
    space = te.Reals(1, extent=8.5)
    x, log_w = space.atoms(101)
    normal = lambda variance: stats.norm.pdf(x[:, 0], 0, math.sqrt(variance)) * np.exp(log_w)

    np.testing.assert_allclose(te.HMC(step_size, 1).push(normal(0.5), free(space)), normal(0.5 + step_size**2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("largest", [2**22, 2**18])
def test_mass_that_leaves_the_atoms_is_refused(largest, monkeypatch):
    """Free flight by 0.6 r from N(1, 0.2²), atoms up to 2.  Catches what has left counted among the rejected."""
    monkeypatch.setattr("tinyebm.samplers.flows.LARGEST_MATRIX", largest)
    space = te.Reals(1, extent=2.0)
    x, log_w = space.atoms(61)
    with pytest.raises(te.QuadratureError, match="5.* off the grid"):
        te.HMC(0.3, 2).push(stats.norm.pdf(x[:, 0], 1, 0.2) * np.exp(log_w), free(space))


@pytest.mark.parametrize("p, kernel, grid", [
    (te.Density(te.Quartic(), {"a": np.array(-0.7), "b": np.array(0.4)}, te.Reals(1, base_scale=1.5)), te.HMC(0.3, 2), 101),
    (te.Density(te.Quartic(), {"a": np.array(-0.7), "b": np.array(0.4)}, te.Reals(1, extent=16)), te.HMC(0.12, 6), 129),
    (gaussian(PLANE, te.Reals(2, extent=5)), te.HMC(0.8, 1), 11)], ids=["line", "flying", "plane"])  # fmt: skip
def test_derivative_of_a_push(p, kernel, grid, monkeypatch):
    """By θ, along one direction, against a central difference.

    Catches a score whose own dependence on θ is lost, and trajectories to infinity (the second case) that make it nan.
    """
    monkeypatch.setattr(hmc, "KINKED", 201)
    monkeypatch.setattr(hmc, "ROUGH", 1.0)  # on few atoms a sum is rough, and has its derivative all the same
    x, log_w = p.space.atoms(grid)
    mass, g = np.exp(-0.5 * (x**2).sum(axis=1) + log_w), np.cos(2 * x).sum(axis=1)
    mass = mass / mass.sum()
    law = lambda theta: kernel.operator(replace(p, theta=theta), p.space.grid(grid))(mass)
    direction = tree_map(lambda leaf: np.cos(np.arange(leaf.size)).reshape(leaf.shape), p.theta)
    beside = lambda h: law(tree_map(lambda a, b: a + h * b, p.theta, direction))
    slopes = []
    tree_map(lambda a, b: slopes.append((a * b).sum()), vjp(law, p.theta)[1](g)[0], direction)

    assert sum(slopes) == pytest.approx(g @ (beside(1e-6) - beside(-1e-6)) / 2e-6, rel=1e-5, abs=1e-9)
    assert abs(sum(slopes)) > 1e-3


# -------------------------------------------------------------------------------- refusals

@pytest.mark.parametrize("ask, error, message", [
    (lambda: te.HMC(0.1, 3).push(np.full(64, 1 / 64), well(te.Box(-1, 1, 1))), ValueError, r"laws on R\^d.* not on Box"),
    (lambda: te.HMC(0.1, 3).push(np.full(8, 1 / 8), free(te.Bits(3))), ValueError, "not on Bits"),
    (lambda: te.HMC(0.1, 3).step(free(te.Bits(3)), np.zeros((2, 3)), rng(0)), ValueError, "use Gibbs or its relatives"),
    (lambda: te.HMC(0.1, 3).push(np.full(96**2, 1 / 96**2), gaussian(PLANE, te.Reals(2))), te.QuadratureError,
     r"from 9216 points needs \d+\^2 velocities each"),
    (lambda: te.HMC(0.1, 3).push(np.full(50**2, 1.0), gaussian(np.eye(3), te.Reals(3))), ValueError, "do not belong to atoms"),
    (lambda: te.HMC(math.pi / 40, 40).push(np.eye(61)[35], te.Density(te.GaussianEnergy(1), {"mean": np.array([0.05]),
     "precision": np.eye(1)}, te.Reals(1, extent=6.1))), te.QuadratureError, "finer than the atoms.*half a period"),
    (lambda: te.HMC(0.0, 3), ValueError, "step_size must be positive"), (lambda: te.HMC(math.inf, 3), ValueError, "step_size"),
    (lambda: te.HMC(0.1, 0), ValueError, "steps must be a positive"), (lambda: te.HMC(0.1, 1.5), ValueError, "got 1.5"),
    (lambda: te.HMC(0.1, True), ValueError, "got True")])  # fmt: skip
def test_what_is_refused(ask, error, message):
    """Catches a push that folds walls, takes hours, or returns probabilities below zero."""
    with pytest.raises(error, match=message):
        ask()
