"""All three terms of contrastive divergence: against finite differences of KL(p₀‖p) - KL(p_k‖p), whose laws are computed here.

On states and on atoms by powers of a transition matrix; on R^d by closed forms, or by transition densities written out.
"""

import math
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm import ops
from tinyebm.autodiff.tape import vjp
from tinyebm.common.tree import ravel, tree_map

rng = np.random.default_rng  # every test makes its own


def flat(tree):
    return ravel(tree)[0]


def slopes(value, p, h=1e-3):
    """The gradient of `value`, a function of a Density, by p's θ: central differences of sixth order."""
    theta, back = ravel(p.theta)
    at = lambda t: value(replace(p, theta=back(t)))
    differ = lambda e, h: (at(theta + h * e) - at(theta - h * e)) / (2 * h)
    return np.array([(45 * differ(e, h) - 18 * differ(e, 2 * h) + 3 * differ(e, 3 * h)) / 30 for e in np.eye(len(theta))])


def cd(before, after, log_p):
    """KL(p₀‖p) - KL(p_k‖p) of probabilities, where 0 log 0 = 0."""
    kl = lambda law: np.sum(law[law > 0] * (np.log(law[law > 0]) - log_p[law > 0]))
    return kl(before) - kl(after)


# ------------------------------------------------------------------------------------- states

def machine(space):
    d = space.dim
    return te.Density(te.BoltzmannMachine(d), {"W": rng(0).normal(0, 1, d * (d - 1) // 2), "b": rng(1).normal(0, 1, d)}, space)


def table(n):
    return te.Density(te.TabularEnergy(n), {"energy": rng(0).normal(0, 1, n)}, te.Cells(n))


def layers(visible, hidden):
    shapes = {"W": (visible, hidden), "b": (visible,), "c": (hidden,)}
    theta = {name: rng(2).normal(0, 1, shape) for name, shape in shapes.items()}
    return te.Density(te.RBM(visible, hidden), theta, te.Bits(visible))


def sites(p, kernel):
    """Gibbs' matrices, a site a matrix: P(x → y) = p(y) / Σ p over what differs from x there alone."""
    x, law = p.space.atoms()[0], np.exp(-p.energy(p.theta, p.space.atoms()[0]))
    alike = [(np.delete(x, i, 1)[:, None] == np.delete(x, i, 1)).all(axis=2) * law for i in range(p.space.dim)]
    steps = [a / a.sum(axis=1, keepdims=True) for a in alike]
    return np.mean(steps, axis=0) if kernel.scan == "random" else np.linalg.multi_dot([np.eye(len(x)), *steps, np.eye(len(x))])


def halves(p, kernel):
    """Block Gibbs' matrix by the joint law of both layers: Σ_h P(h|v) P(v'|h)."""
    v, h = p.space.atoms()[0], te.Bits(p.energy.hidden).atoms()[0]
    joint = np.exp(v @ p.theta["W"] @ h.T + (v @ p.theta["b"])[:, None] + h @ p.theta["c"])
    return joint / joint.sum(axis=1, keepdims=True) @ (joint / joint.sum(axis=0)).T


def by_pushes(p, kernel):
    return te.transition_matrix(p, kernel)


STATES = {"sweep": (machine(te.Bits(3)), te.Gibbs(), sites), "random": (machine(te.Spins(3)), te.Gibbs("random"), sites),
          "cells": (te.Density(te.Potts(3, (1, 3)), {"coupling": np.array(0.7)}, te.Cells(3, dim=3)), te.Gibbs("random"), sites),
          "table": (table(5), te.Gibbs(), sites), "layers": (layers(3, 2), te.BlockGibbs(), halves),
          "gradients": (machine(te.Bits(3)), te.GibbsWithGradients(), by_pushes)}  # fmt: skip


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("name", STATES)
def test_on_states(name, k):
    """Probabilities and rows, some states of which are not seen; kept and neglected terms together are all.

    Catches the term's sign, log p_k without E or E without log p_k, a derivative of the last step alone, and log 0.
    """
    p, kernel, matrix = STATES[name]
    states = p.space.atoms()[0]
    rows = states[rng(3).integers(0, len(states), 7)]
    counted = np.bincount(p.space.grid().index(rows), minlength=len(states)) / 7

    def value(p, law):
        u = -p.energy(p.theta, states)
        return cd(law, law @ np.linalg.matrix_power(matrix(p, kernel), k), u - np.log(np.exp(u).sum()))

    some = rng(4).dirichlet(np.ones(len(states)))
    for data, law in ((rows, counted), (some, some)):
        full = flat(te.full_cd_gradient(p, data, kernel, k))
        np.testing.assert_allclose(full, slopes(partial(value, law=law), p), rtol=0, atol=1e-9)
        kept, neglected = (flat(f(p, data, kernel, k)) for f in (te.exact_cd_gradient, te.neglected_term))
        np.testing.assert_allclose(kept + neglected, full, rtol=0, atol=1e-15)


def test_the_neglected_term_can_be_the_larger_one():
    """The docstring's two bits: twice the size of what is kept, and uphill; W falls where CD-1 lets it rise."""
    p = te.Density(te.BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, te.Bits(2))
    x, law = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([0, 0.5, 0, 0.5])
    states = p.space.atoms()[0]
    kept, neglected = (f(p, x, te.Gibbs(), 1)["W"][0] for f in (te.exact_cd_gradient, te.neglected_term))

    def value(p):
        u = -p.energy(p.theta, states)
        return cd(law, law @ sites(p, te.Gibbs()), u - np.log(np.exp(u).sum()))

    assert kept + neglected == pytest.approx(slopes(value, p)[0], abs=1e-10)
    assert kept > 0.03 and neglected < -2 * kept


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", STATES)
def test_at_rest_at_the_truth_though_the_law_moves(name, k):
    """At p₀ = p of an invariant kernel log p_k + E is a constant and Σ ∂p_k = 0: the term is 0, though ∂p_k is not.

    Elsewhere eq. (1) is >= 0 by the data processing inequality.  Catches a term that forgets that p_k stays a law.
    """
    p, kernel, _ = STATES[name]
    law, grid = te.probabilities(p), p.space.grid()
    assert np.abs(flat(te.neglected_term(p, law, kernel, k))).max() < 1e-14

    moved = vjp(lambda theta: kernel.operator(replace(p, theta=theta), grid)(law), p.theta)[1](np.cos(1.0 + np.arange(len(law))))
    assert np.abs(flat(moved[0])).max() > 0.01
    elsewhere = np.abs(flat(te.neglected_term(p, rng(4).dirichlet(np.ones(len(law))), kernel, k))).max()
    assert elsewhere > 1e-5 or name == "table"  # one site forgets at once: p_k = p, whatever the data


# ---------------------------------------------------------------------- R^d, ULA, closed forms

def normal_kl(m, V, mean, P):
    """KL(N(m, V) ‖ N(mean, P⁻¹))."""
    gap = m - mean
    return 0.5 * (np.trace(P @ V) + gap @ P @ gap - len(m) - np.linalg.slogdet(P @ V)[1])


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("form", ["Density", "probabilities"])
@pytest.mark.parametrize("d, kernel", [(1, te.ULA(0.2)), (1, te.ULA(0.2, 0.5)), (2, te.ULA(0.3, 0.9))])
def test_gaussians_under_ula(d, kernel, form, k):
    """All laws are normal: m_{k+1} = m + A (m_k - m), V_{k+1} = A V_k A + 2εT with A = 1 - εP, and KL in closed form.

    Catches log p_k without the atoms' weights, the drift's dependence on θ lost, a temperature, axes mixed up.
    """
    m0, V0 = np.array([0.8, -0.4])[:d], np.array([[0.5, 0.2], [0.2, 0.7]])[:d, :d]
    theta = {"mean": np.array([-0.3, 0.1])[:d], "precision": np.array([[1.4, 0.3], [0.3, 0.9]])[:d, :d]}
    p = te.Density(te.GaussianEnergy(d), theta, space := te.Reals(d, extent=8 if d == 1 else 7.5))
    start = te.Density(te.GaussianEnergy(d), {"mean": m0, "precision": np.linalg.inv(V0)}, space)
    data = start if form == "Density" else te.probabilities(start, 200 if d == 1 else 42)

    def value(p):
        mean, P = p.theta["mean"], (p.theta["precision"] + p.theta["precision"].T) / 2
        A, m, V = np.eye(d) - kernel.step_size * P, m0, V0
        for _ in range(k):
            m, V = mean + A @ (m - mean), A @ V @ A + 2 * kernel.step_size * kernel.temperature * np.eye(d)
        return normal_kl(m0, V0, mean, P) - normal_kl(m, V, mean, P)

    np.testing.assert_allclose(flat(te.full_cd_gradient(p, data, kernel, k)), slopes(value, p), rtol=0, atol=3e-8)


# ---------------------------------------------------------------- densities of steps, written out

def quartic(space):
    return te.Density(te.Quartic(), {"a": np.array(-0.6), "b": np.array(0.3)}, space)


def ula_density(p, kernel, x, y):
    """Transition density (from, to) on a line or in an interval: mirror images of y beyond its walls."""
    a, b = p.theta["a"], p.theta["b"]
    mean, scale = x - kernel.step_size * (2 * a * x + 4 * b * x**3), math.sqrt(2 * kernel.step_size * kernel.temperature)
    images = [y]
    if p.space.bounded:
        images = [t + 2 * i * (p.space.high - p.space.low) for i in range(-3, 4) for t in (y, 2 * p.space.low - y)]
    return sum(stats.norm.pdf(t, mean[:, None], scale) for t in images)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("space", [te.Reals(1), te.Reals(1, base_scale=3.0), te.Box(-1.5, 1.2, 1)])
def test_rows_under_ula_on_the_line(space, k):
    """From four rows, on another grid than the package's.  Catches rows moved to atoms, walls, a base measure left out."""
    p, kernel, rows = quartic(space), te.ULA(0.06, 0.8), np.array([[-1.3], [-0.2], [0.4], [1.1]])
    if space.bounded:
        y, w = (t.reshape(-1) for t in np.polynomial.legendre.leggauss(160))
        y, w = 1.35 * y - 0.15, 1.35 * w
    else:
        y, w = np.linspace(-5, 5, 601), np.full(601, 10 / 600)

    def value(p):
        base = replace(p, theta={"a": p.theta["a"] + (1 / 18 if getattr(space, "base_scale", None) else 0), "b": p.theta["b"]})
        energy = lambda t: base.theta["a"] * t**2 + base.theta["b"] * t**4
        density = ula_density(base, kernel, rows[:, 0], y).mean(axis=0)
        for _ in range(k - 1):
            density = (density * w) @ ula_density(base, kernel, y, y)
        return energy(rows[:, 0]).mean() - (density * w) @ (np.log(density) + energy(y))

    expected = slopes(value, p)
    full = flat(te.full_cd_gradient(p, rows, kernel, k, nodes=64 if space.bounded else None))
    np.testing.assert_allclose(full, expected, rtol=0, atol=1e-8)
    assert np.abs(flat(te.neglected_term(p, rows, kernel, k))).max() > 0.03 * np.abs(expected).max()


def test_rows_under_ula_in_the_plane():
    """One step from three rows: a mixture of normals.  Catches axes of the product mixed up under the derivative."""
    energy = lambda theta, x: theta[0] * ops.square(ops.square(x[:, 0])) + theta[1] * x[:, 0] * x[:, 1] + ops.square(x[:, 1])
    p, kernel = te.Density(energy, np.array([0.4, 0.7]), te.Reals(2)), te.ULA(0.15)
    rows, t = np.array([[0.5, -0.3], [-0.8, 0.9], [1.0, 0.2]]), np.linspace(-5.5, 5.5, 111)
    y = np.stack(np.meshgrid(t, t), axis=2).reshape(-1, 2)

    def value(p):
        a, b = p.theta
        drift = np.stack([4 * a * rows[:, 0] ** 3 + b * rows[:, 1], b * rows[:, 0] + 2 * rows[:, 1]], axis=1)
        density = np.mean([stats.multivariate_normal(m, 0.3 * np.eye(2)).pdf(y) for m in rows - 0.15 * drift], axis=0)
        kl = np.where(density > 0, np.log(np.where(density > 0, density, 1)), 0) + energy(p.theta, y)
        return energy(p.theta, rows).mean() - density @ kl * (t[1] - t[0]) ** 2

    np.testing.assert_allclose(te.full_cd_gradient(p, rows, kernel, 1), slopes(value, p), rtol=0, atol=1e-8)


# ------------------------------------------------------------------- kernels that may reject

@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("space, kernel, nodes", [
    (te.Reals(1, extent=4), te.MALA(0.05), 121), (te.Box(-1.5, 1.2, 1), te.MALA(0.05), 60)])
def test_laws_under_a_kernel_that_rejects(space, kernel, nodes, k):
    """Of probabilities on atoms, by powers of that kernel's matrix there: the same sums, so to the accuracy of differences.

    Catches what is rejected lost from p_k or from its derivative, a term that is not 0 at the truth, and MALA's ratio held fixed.
    """
    p, (x, log_w) = quartic(space), space.atoms(nodes)
    law = np.exp(-((x[:, 0] - 0.3) ** 2) + log_w)
    law = law / law.sum()

    def value(p):
        u = log_w - p.energy(p.theta, x)
        after = law
        for _ in range(k):
            after = kernel.operator(p, space.grid(nodes))(after)
        return cd(law, after, u - np.log(np.exp(u).sum()))

    full = flat(te.full_cd_gradient(p, law, kernel, k))
    np.testing.assert_allclose(full, slopes(value, p, 1e-5), rtol=1e-4, atol=1e-7)
    truth = np.abs(flat(te.neglected_term(p, te.probabilities(p, nodes), kernel, k))).max()
    assert truth < 1e-12


def test_two_routes_to_one_number():
    """A Density on its own grid and probabilities on another, by MALA.

    Catches a Density put on a grid whose weights are not the ones in log p_k.  The kinks cost 1e-3.
    """
    space, quartic_of = te.Reals(1, extent=3), lambda a, b: te.Density(te.Quartic(), {"a": np.array(a), "b": np.array(b)}, space)
    p, data, kernel = quartic_of(-0.6, 0.3), quartic_of(0.7, 0.1), te.MALA(0.08)
    one, two = flat(te.neglected_term(p, data, kernel, 2, 500)), flat(te.neglected_term(p, te.probabilities(data, 301), kernel, 2))

    np.testing.assert_allclose(two, one, rtol=1e-3)


def test_where_p_is_zero_it_is_infinite():
    """E = +inf on a half line: ULA walks into it and is refused, MALA does not.  Catches inf, or a number for inf."""
    energy = lambda theta, x: ops.where(x[:, 0] > 0, theta * ops.square(x[:, 0]), math.inf)
    p = te.Density(energy, np.array(0.7), te.Reals(1, extent=6))
    x, log_w = p.space.atoms(121)
    law = np.where(x[:, 0] > 0, np.exp(-2 * (x[:, 0] - 1) ** 2), 0.0) * np.exp(log_w)
    law = law / law.sum()

    with pytest.raises(ValueError, match="infinite: the chain reaches points where p is 0"):
        te.neglected_term(p, law, te.ULA(0.1), 1)
    value = lambda p: cd(law, te.MALA(0.1).push(law, p), log_w - p.energy(p.theta, x))  # up to log Z, which cancels
    found = te.exact_cd_gradient(p, law, te.MALA(0.1), 1) + te.neglected_term(p, law, te.MALA(0.1), 1)
    assert found == pytest.approx(slopes(value, p, 1e-5)[0], abs=1e-7)


@pytest.mark.parametrize("n", [3, 60, 2048])
@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-1.5, 1.5, 1)])
def test_rows_that_stay_have_no_density(space, n):
    """KL(p_k‖p) is infinite.  Catches as many rows as atoms (2048 by default, 60 if asked) taken for a law on the atoms."""
    rows = rng(0).uniform(-1, 1, (n, 1))
    with pytest.raises(ValueError, match="leaves point masses at the rows of the data"):
        te.neglected_term(quartic(space), rows, te.MALA(0.1), 1, nodes=60 if n == 60 else None)


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_impossible_numbers_of_steps(k):
    for p, kernel in ((quartic(te.Reals(1)), te.ULA(0.1)), (machine(te.Bits(3)), te.Gibbs())):
        with pytest.raises(ValueError, match="k must be a positive number"):
            te.neglected_term(p, np.zeros((2, p.space.dim)), kernel, k)


def test_theta_keeps_its_form():
    """A tree like θ, of lists and dictionaries, scalars too.  Catches a gradient with the shape of a broadcast."""
    net = te.MLP((1, 3, 1), activation="tanh", confinement=1.0)
    p = te.Density(net, net.init(rng(5)), te.Reals(1))
    gradient = te.full_cd_gradient(p, np.zeros((2, 1)), te.ULA(0.2), 2)
    tree_map(lambda g, t: np.testing.assert_equal(g.shape, t.shape), gradient, p.theta)


# ------------------------------------------------------------------------------------ memory

class Push:
    """Gibbs sampling by a push alone."""

    step = te.Gibbs.step

    def push(self, probabilities, p):
        return te.Gibbs().operator(p, p.space.grid())(probabilities)


LARGE = {  # (p, kernel, steps, bytes that are allowed)
    "sweep": (machine(te.Bits(12)), te.Gibbs(), 20, 8e6), "random": (machine(te.Bits(12)), te.Gibbs("random"), 20, 8e6),
    "gradients": (machine(te.Bits(11)), te.GibbsWithGradients(), 20, 8e6), "layers": (layers(13, 9), te.BlockGibbs(), 5, 16e6),
    "push alone": (machine(te.Bits(12)), Push(), 20, 8e6),
    "mala": (quartic(te.Reals(1, extent=4)), te.MALA(0.05), 5, 5e6),
    "ula": (quartic(te.Reals(1, extent=4)), te.ULA(0.05), 5, 5e6)}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_memory_does_not_grow_with_steps_times_states(name, monkeypatch):
    """The derivative of many pushes, at the peak.  Catches a tape of all pushes, or of all blocks of a matrix."""
    p, kernel, k, most = LARGE[name]
    monkeypatch.setattr("tinyebm.samplers.langevin.LARGEST_MATRIX", 2**16)  # streamed on 800 atoms
    monkeypatch.setattr("tinyebm.spaces.grids.STATES", 64)
    law = te.probabilities(p, None if p.space.discrete else 800)
    law = law[::-1] * np.cos(np.arange(len(law))) ** 2
    data = law / law.sum()
    te.neglected_term(p, data, kernel, 1)  # compiles
    tracemalloc.start()
    te.neglected_term(p, data, kernel, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < most


def test_a_push_alone_has_the_same_derivative():
    """Catches one that holds the parameters fixed, or the masses before the last step."""
    p, data = machine(te.Bits(4)), rng(4).dirichlet(np.ones(16))
    one, two = (flat(te.neglected_term(p, data, kernel, 3)) for kernel in (te.Gibbs(), Push()))

    np.testing.assert_allclose(two, one, rtol=1e-12)


def test_a_derivative_that_needs_too_much_memory_is_refused(monkeypatch):
    """Where a megabyte is allowed.  Catches an hour of work before a MemoryError."""
    monkeypatch.setattr("tinyebm.common.checks.MEMORY", 2**20)
    te.neglected_term(machine(te.Bits(9)), np.zeros((2, 9)), te.Gibbs(), 10)
    with pytest.raises(te.QuadratureError, match="derivative of 10 steps over 4096 states: it would need about 0.0028 GiB"):
        te.neglected_term(machine(te.Bits(12)), np.zeros((2, 12)), te.Gibbs(), 10)
