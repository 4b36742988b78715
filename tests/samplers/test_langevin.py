"""Langevin kernels: `step` against given noise, `push` against transition densities and closed forms.

That the two agree with each other is in test_chains.py.
"""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm.density import exponent
from tinyebm.samplers import langevin

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)


def gaussian(mean, precision, space):
    return te.Density(te.GaussianEnergy(len(mean)), {"mean": np.array(mean), "precision": np.array(precision)}, space)


def network(space, dtype="float64"):
    theta = [{name: leaf.astype(dtype) for name, leaf in layer.items()} for layer in NET.init(rng(5))]
    return te.Density(NET, theta, space)


@pytest.fixture
def case(oracle):
    """The oracle's network with its data, noise, step size and moves."""
    case = oracle("mlp2d_tanh_langevin_cd_mala")
    t = np.array(case["parameters"]["theta"])
    theta = [{"W": t[:8].reshape(4, 2).T, "b": t[8:12]}, {"W": t[12:, None], "b": np.zeros(1)}]
    x, z = (np.array(case["parameters"][name]) for name in ("data", "z"))
    return te.Density(NET, theta, te.Reals(2)), x, z, case["parameters"]["eps"] / 2, case["expected"]


@pytest.mark.parametrize("kernel", [te.ULA, te.MALA])
def test_two_steps_with_given_noise(case, kernel, given):
    """Catches noise √ε or 2√ε for √(2ε), drift ε/2 or 2ε, a drift uphill in energy."""
    p, x, z, step_size, expected = case
    x1 = kernel(step_size).step(p, x, given(z)).x
    x2 = kernel(step_size).step(p, x1, given(z[::-1])).x

    np.testing.assert_allclose(x1, expected["x1"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(x2, expected["x2"], rtol=0, atol=1e-13)


def test_log_acceptance_ratio_of_mala(case, given):
    """Catches a missing or inverted Hastings term, and a proposal variance ε in it."""
    p, x, z, step_size, expected = case
    log_ratio = te.MALA(step_size).step(p, x, given(z)).log_ratio

    np.testing.assert_allclose(log_ratio, expected["mala_log_accept"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("temperature", [0.0, 0.25, 1.0, 4.0])
def test_temperature_scales_the_noise_variance(case, temperature, given):
    """x' = x - ε∇E + √(2εT) z, never rejected.  Catches T outside the root, T in the drift, T ignored."""
    p, x, z, _, _ = case
    move = te.ULA(0.3, temperature).step(p, x, given(z))

    np.testing.assert_allclose(move.x, x + 0.3 * te.score(p, x) + math.sqrt(0.6 * temperature) * z, rtol=1e-14)
    assert move[1:] == (None, None)


@pytest.mark.parametrize("value", [0, -0.1, np.nan, np.inf])
def test_impossible_parameters(value):
    """A temperature of 0 is possible."""
    for make in (te.ULA, te.MALA, lambda value: te.ULA(0.1, temperature=value or -1)):
        with pytest.raises(ValueError, match="(step_size must be positive and|temperature must be) finite"):
            make(value)


def ula_dense(p, x, y, log_w, kernel):
    """Probabilities from rows x to atoms y; the walls of a box add the mirror images of y."""
    mean, scale = x + kernel.step_size * te.score(p, x), math.sqrt(2 * kernel.step_size * kernel.temperature)
    images, flow = [y], np.exp(log_w)
    if p.space.bounded:
        images = [t + 2 * k * (p.space.high - p.space.low) for k in (-1, 0, 1) for t in (y, 2 * p.space.low - y)]
    for a in range(x.shape[1]):
        flow = flow * sum(stats.norm.pdf(t[:, a], mean[:, a, None], scale) for t in images)
    return flow


def mala_dense(p, x, y, log_w, kernel):
    """Probabilities of accepted moves: q(y|x) w min(1, p(y) q(x|y) / p(x) q(y|x))."""
    scale = math.sqrt(2 * kernel.step_size)
    log_q = lambda x, y: stats.norm.logpdf(y, (x + kernel.step_size * te.score(p, x))[:, None], scale).sum(axis=2)
    forward, backward = log_q(x, y), log_q(y, x).T  # (rows, atoms)
    ratio = np.exp(exponent(p, y) + backward - exponent(p, x)[:, None] - forward)
    return np.exp(forward + log_w) * np.minimum(1, ratio)


def compact(space, nodes, step_size):
    """A correlated Gaussian on few atoms: (density, atoms, log weights, a rough law in their middle)."""
    d = space.dim
    x, log_w = space.atoms(nodes)
    mass = np.exp(-(x**2).sum(axis=1) / 0.1) * rng(1).uniform(0.5, 1.5, len(x))
    p = gaussian([0.1] * d, 0.8 / step_size * (np.eye(d) + 0.2 * (1 - np.eye(d))), space)
    return p, x, log_w, mass / mass.sum()


DENSE = [(te.Reals(1, extent=2.5), 40, 0.05), (te.Reals(2, extent=2.5), 25, 0.06), (te.Reals(3, extent=2.5), 15, 0.112),
         (te.Box(-1, 0.7, 1), 40, 0.05), (te.Box(-1, 0.7, 2), 17, 0.05), (te.Box(-1, 0.7, 3), 9, 0.07)]  # fmt: skip


@pytest.mark.parametrize("space, nodes, step_size", DENSE)
def test_ula_push_is_the_dense_matrix(space, nodes, step_size):
    """The products of one-dimensional matrices against every transition density written out.

    Catches axes swapped in the GEMM, reflections or weights left out, noise or drift of another scale.
    """
    kernel = te.ULA(step_size, temperature=0.9)
    p, x, log_w, mass = compact(space, nodes, step_size)

    parts = np.array_split(np.arange(len(x)), 8)
    expected = sum(mass[rows] @ ula_dense(p, x[rows], x, log_w, kernel) for rows in parts)
    np.testing.assert_allclose(kernel.push(mass, p), expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("largest", [2**22, 2**10])
@pytest.mark.parametrize("space, nodes, step_size", DENSE[:2] + DENSE[3:5] + [(te.Box(-1, 0.7, 3), 5, 0.2)])
def test_mala_push_is_the_dense_matrix(space, nodes, step_size, largest, monkeypatch):
    """Kept whole and streamed in blocks.  Catches rejected mass that is lost, and blocks of rows out of step."""
    monkeypatch.setattr(langevin, "LARGEST_MATRIX", largest)
    p, x, log_w, mass = compact(space, nodes, step_size)
    flow = mala_dense(p, x, x, log_w, te.MALA(step_size))
    expected = mass @ flow + mass * (1 - flow.sum(axis=1))

    np.testing.assert_allclose(te.MALA(step_size).push(mass, p), expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("space", [te.Reals(2, extent=2.5), te.Box(-1, 0.7, 2)])
def test_spread_starts_anywhere(space):
    """From rows between the atoms: what moves, and what a rejection leaves.  Catches rows moved to atoms first."""
    p, y, log_w, _ = compact(space, 25, 0.06)
    x, mass = rng(2).uniform(-0.4, 0.4, (7, 2)), rng(3).dirichlet(np.ones(7))
    for kernel, dense, rejects in ((te.ULA(0.06), ula_dense, 0), (te.MALA(0.06), mala_dense, 1)):
        moved, stay = kernel.spread(p, x, mass, space.grid(25))
        flow = dense(p, x, y, log_w, kernel)

        np.testing.assert_allclose(moved, mass @ flow, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(stay, rejects * mass * (1 - flow.sum(axis=1)), rtol=1e-11, atol=1e-15)


WELL = lambda space: te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, space)
MODELS = [(WELL(te.Reals(1, extent=4)), 200), (WELL(te.Box(-1.5, 2, 1)), 100), (WELL(te.Reals(1, base_scale=0.5)), 100),
          (network(te.Reals(2, extent=6)), 50), (network(te.Box(-3, 2, 2)), 32), (network(te.Reals(2, base_scale=0.7)), 60)]


@pytest.mark.parametrize("p, nodes", MODELS)
@pytest.mark.parametrize("step_size", [0.06, 0.5])
def test_mala_leaves_p_alone(p, nodes, step_size):
    """To rounding, on any grid, at any step.  Catches a missing Hastings term, and a base measure left out of it."""
    law = te.probabilities(p, nodes)

    assert np.abs(te.MALA(step_size).push(law, p) - law).sum() < 1e-12


@pytest.mark.parametrize("kernel", [te.ULA(0.1), te.MALA(0.1)])
@pytest.mark.parametrize("p, nodes", MODELS)
def test_push_conserves_mass(kernel, p, nodes):
    """Whole laws and signed masses.  Catches weights applied at the wrong end, and laws normalised behind one's back."""
    law = te.probabilities(p, nodes)
    part = law * (np.arange(len(law)) % 2)

    assert abs(kernel.push(law, p).sum() - 1) < 1e-6
    assert abs(kernel.push(part, p).sum() - part.sum()) < 1e-6


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_stationary_law_of_ula_in_the_plane(temperature):
    """On N(0, P⁻¹) it is N(0, C), C = T (P - ε P² / 2)⁻¹, by C = (1 - εP) C (1 - εP) + 2εT.

    Catches a push that leaves p itself alone, a temperature in the drift, axes swapped.
    """
    P, kernel, space = np.array([[1.5, 0.6], [0.6, 0.8]]), te.ULA(0.2, temperature), te.Reals(2, extent=8)
    x, log_w = space.atoms(64)
    law = stats.multivariate_normal([0, 0], temperature * np.linalg.inv(P - 0.1 * P @ P)).pdf(x) * np.exp(log_w)

    assert np.abs(kernel.push(law, gaussian([0.0, 0.0], P, space)) - law).sum() < 1e-8


@pytest.mark.parametrize("number", range(5))
def test_law_of_ula_after_k_steps(oracle, number):
    """From N(3, 1/2): mean and variance after 1 to 100 pushes, and the stationary variance s² / (1 - ε / 2s²)."""
    case = oracle("ula_gaussian_exact_law")["expected"][number]
    space, kernel = te.Reals(1, extent=3 + 9 * math.sqrt(case["stationary_var"])), te.ULA(case["eps"] / 2)
    p, (x, log_w) = gaussian([0.0], [[1 / case["sigma2"]]], space), space.atoms()
    push, t = kernel.operator(p, space.grid()), x[:, 0]
    law, expected = stats.norm.pdf(t, 3, math.sqrt(0.5)) * np.exp(log_w), case["mean_var_after_k"]

    for k in range(1, 101):
        law = push(law) if k > 1 else kernel.push(law, p)
        if str(k) in expected:
            mean = law @ t
            np.testing.assert_allclose([mean, law @ (t - mean) ** 2], expected[str(k)], rtol=1e-8, atol=1e-8)

    law = stats.norm.pdf(t, 0, math.sqrt(case["stationary_var"])) * np.exp(log_w)
    assert np.abs(push(law) - law).sum() < 1e-8


@pytest.mark.parametrize("kernel", [te.ULA, te.MALA])
@pytest.mark.parametrize("space", [te.Reals(1, extent=5), te.Box(-5, 5, 1), te.Box(-4, 4, 2)])
def test_atoms_too_coarse_for_the_noise(kernel, space):
    """A push would return nonsense.  Catches a hint with too few nodes, which is refused again."""
    p, step_size = gaussian([0.0] * space.dim, np.eye(space.dim), space), 5e-5 if space.dim == 1 else 3e-2
    law = te.probabilities(p, 128 // space.dim**2)
    with pytest.raises(te.QuadratureError, match=r"too coarse for steps with noise") as refusal:
        kernel(step_size).push(law, p)
    enough = int(str(refusal.value).partition("use about ")[2].split()[0])

    assert abs(kernel(step_size).push(te.probabilities(p, enough), p).sum() - 1) < 1e-6


@pytest.mark.parametrize("temperature, message", [(1.0, "off the grid"), (0.0, "without noise")])
def test_mass_that_leaves_the_atoms(temperature, message):
    """Diffusion from their edge, almost free, and drift to points between them.  Catches mass lost without a word."""
    with pytest.raises(te.QuadratureError, match=message):
        te.ULA(0.1, temperature).push(np.full(256, 1 / 256), gaussian([0.0], [[0.01]], te.Reals(1, extent=2)))


@pytest.mark.parametrize("law", [np.ones(50) / 50, np.ones((8, 8)) / 64, np.ones(0), np.ones(1), np.float64(1.0)])
def test_probabilities_of_another_grid(law):
    """In the plane the number of atoms is a square."""
    for kernel in (te.ULA(0.1), te.MALA(0.1)):
        with pytest.raises(ValueError, match="probabilities"):
            kernel.push(law, network(te.Reals(2)))


# --------------------------------------------------------------- walls, holes and what is lost

@pytest.mark.parametrize("slope, step_size", [(1000.0, 0.005), (30.0, 0.1), (0.5, 0.5)])
def test_ula_push_through_several_walls(slope, step_size):
    """Drift -5 and -3 boxes, and noise as wide as the box: every image that carries mass, none folded too little.

    Catches a mean that is not folded before the images are taken, and images up to 3 standard deviations only.
    """
    space, kernel = te.Box(0, 1, 1), te.ULA(step_size)
    p = te.Density(lambda theta, x: slope * x[:, 0], {}, space)
    x, log_w = space.atoms(64)
    mass = np.exp(-(x[:, 0] ** 2)) / np.exp(-(x[:, 0] ** 2)).sum()

    images = [t + 2 * k for k in range(-30, 31) for t in (x[:, 0], -x[:, 0])]
    density = sum(stats.norm.pdf(t, (x - step_size * slope), math.sqrt(2 * step_size)) for t in images)  # (from, to)
    np.testing.assert_allclose(kernel.push(mass, p), mass @ (density * np.exp(log_w)), rtol=1e-11)


def test_mala_push_beside_a_hole():
    """E = +inf on a half line: nothing enters, nothing starts there, and p stays as it is.

    Catches inf - inf, a nan that spreads from pairs of impossible atoms to the whole law.
    """
    p = te.Density(lambda theta, x: te.ops.where(x[:, 0] > 0, 0.5 * x[:, 0] ** 2, math.inf), {}, te.Reals(1, extent=6))
    x, log_w = p.space.atoms(121)
    law = np.where(x[:, 0] > 0, np.exp(-0.5 * x[:, 0] ** 2), 0.0) * np.exp(log_w)
    start = np.where(x[:, 0] > 0, np.exp(-2 * (x[:, 0] - 1) ** 2), 0.0)

    assert np.abs(te.MALA(0.1).push(law, p) - law).max() < 1e-14
    pushed = te.MALA(0.1).push(start, p)
    assert abs(pushed.sum() - start.sum()) < 1e-12 * start.sum() and not pushed[x[:, 0] <= 0].any()


@pytest.mark.parametrize("dim", [1, 2])
def test_a_little_mass_that_leaves_is_refused(dim):
    """A part Φ(-4) = 3e-5 of the mass steps off the last axis' end, a part Φ(-5) = 3e-7 is let go.

    Catches a tolerance that is too wide, and an axis that is not watched.
    """
    space, scale = te.Reals(dim, extent=2.0), 0.2
    free = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, space)
    x = space.atoms(41)[0]
    place = lambda t: (np.abs(x - ([0.0] * (dim - 1) + [t])).max(axis=1) < 0.01) * 1.0
    kernel = te.ULA(0.5 * scale**2)

    assert abs(kernel.push(place(2 - 5 * scale), free).sum() - 1) < 1e-6
    with pytest.raises(te.QuadratureError, match="off the grid"):
        kernel.push(place(2 - 4 * scale), free)


def test_memory_of_a_streamed_push_is_bounded(monkeypatch):
    """625 atoms, whose matrix takes 3 MB, in blocks of 2^12 entries.  Catches a matrix kept whole beyond the limit."""
    monkeypatch.setattr(langevin, "LARGEST_MATRIX", 2**12)
    p, _, _, mass = compact(te.Reals(2, extent=2.5), 25, 0.06)

    tracemalloc.start()
    te.MALA(0.06).push(mass, p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
