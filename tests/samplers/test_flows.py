"""What pushes have in common: conserved mass, and derivatives by θ of every kernel's `operator`.

Resolution, probabilities of another grid, walls, and matrices kept or streamed in blocks are in test_langevin.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.autodiff.tape import vjp
from tinyebm.common.tree import ravel
from tinyebm.samplers import flows, langevin

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((2, 3, 1), activation="tanh", confinement=1.0)


@pytest.mark.parametrize("before, after, refused", [
    (1.0, 1 - 9e-7, False), (1.0, 1 + 9e-7, False), (1.0, 1 - 2e-6, True), (1.0, 1 + 2e-6, True), (-0.1, -0.1 - 9e-8, False),
    (0.1, 0.1 - 9e-7, True), (1.0, math.nan, True)])  # fmt: skip
def test_conserved_to_a_millionth(before, after, refused):
    """Of what there was, either way.  Catches an absolute tolerance, mass that comes from nowhere, and nan."""
    if refused:
        with pytest.raises(te.QuadratureError, match="off the grid"):
            flows.require_conserved(before, after)
    else:
        flows.require_conserved(before, after)


# ----------------------------------------------------------------------------- what takes minutes

@pytest.mark.parametrize("kernel", [te.MALA(0.002), te.ULA(0.002)])
def test_one_push_of_a_million_atoms(kernel, monkeypatch):
    """MALA's would take eight hours, ULA's some minutes.  Catches a push that begins without a word."""
    p = te.Density(NET, NET.init(rng(0)), te.Box(-5, 5, 2))
    mass = np.full(2**20, 2.0**-20)
    if kernel == te.MALA(0.002):
        monkeypatch.setattr(te.MALA, "spread", lambda *args: pytest.fail("it began"))
        with pytest.raises(te.QuadratureError, match=r"a step of MALA\(.*\) over 1048576 atoms: .* about 512 minutes on one core"):
            kernel.push(mass, p)
    else:
        monkeypatch.setattr(te.ULA, "_spread", lambda self, p, mean, mass, grid: mass)
        with pytest.warns(UserWarning, match=r"over 1048576 atoms: .* minutes"):
            kernel.push(mass, p)


def test_a_long_push_shows_its_progress(monkeypatch):
    """A block of rows at a time; a short one shows nothing.  Catches a bar that stands still for an hour."""
    shown = []
    monkeypatch.setattr(flows, "Progress", lambda title, total, show: lambda done: shown.append((done, total, show)))
    monkeypatch.setattr(langevin, "LARGEST_MATRIX", 2**12)
    p = te.Density(NET, NET.init(rng(0)), te.Box(-2, 2, 2))
    mass = np.full(900, 1 / 900)
    short = te.MALA(0.1).push(mass, p)
    assert shown[-1] == (900, 900, False)
    monkeypatch.setattr(flows, "LONG", 900**2 - 1)
    with pytest.warns(UserWarning, match="a step of MALA"):
        long = te.MALA(0.1).push(mass, p)

    np.testing.assert_array_equal(long, short)
    assert shown[-1] == (900, 900, True) and len(shown) > 100


@pytest.mark.parametrize(("work", "refused"), [(lambda p, grid, rows: 2.0**36, True), (None, False)])
def test_a_kernel_says_what_its_pushes_cost(work, refused):
    """One's own, by `work`; without it any number of steps may begin.  Catches a cost that only MALA has."""
    class Lazy:
        def step(self, p, x, rng):
            return te.Move(x)

        def push(self, mass, p):
            return mass

    if work:
        Lazy.work = staticmethod(work)
    p = machine(te.Bits(3))
    call = lambda k: te.exact_cd_gradient(p, np.zeros((1, 3)), Lazy(), k)
    if refused:
        with pytest.raises(te.QuadratureError, match="3 steps of .*fewer steps"):
            call(3)
        with pytest.warns(UserWarning, match="1 steps of .* about 32 minutes"):
            call(1)
    else:
        call(3)


def test_the_whole_matrix_of_mala_is_computed_once(monkeypatch):
    """3000 atoms: 3000 pushes by one matrix.  Catches a transition matrix that takes an hour."""
    p, calls = line(te.Reals(1, extent=3)), []
    grid, flows_of = p.space.grid(3000), te.MALA._flows
    monkeypatch.setattr(te.MALA, "_flows", lambda *args: calls.append(1) or flows_of(*args))
    push = te.MALA(0.02).operator(p, grid)
    mass = push(push(te.probabilities(p, 3000)))

    assert len(calls) == 1 and abs(mass.sum() - 1) < 1e-12


# --------------------------------------------------------------------------- derivatives by θ

def steep(theta, x):
    """θ₀ x⁴ + θ₁ sin 3x: on [-1, 1] drift leads over the walls."""
    return theta[0] * ops.power(x[:, 0], 4) + theta[1] * ops.sin(3 * x[:, 0])


def line(space):
    return te.Density(steep, np.array([3.0, 1.2]), space)


def machine(space):
    d = space.dim
    return te.Density(te.BoltzmannMachine(d), {"W": rng(0).normal(0, 1, d * (d - 1) // 2), "b": rng(1).normal(0, 1, d)}, space)


LAYERS = {"W": rng(0).normal(0, 1, (4, 3)), "b": rng(1).normal(0, 1, 4), "c": rng(2).normal(0, 1, 3)}
PLANE = te.Density(NET, NET.init(rng(5)), te.Reals(2, extent=3))
OPERATORS = {
    "ula": (line(te.Reals(1, extent=3)), te.ULA(0.02, 0.7), 80), "ula, base": (line(te.Reals(1, base_scale=0.4)), te.ULA(0.03), 80),
    "ula, box": (line(te.Box(-1, 1, 1)), te.ULA(0.15), 24), "ula, plane": (PLANE, te.ULA(0.1), 18),
    "mala": (line(te.Reals(1, extent=3)), te.MALA(0.02), 80), "mala, box": (line(te.Box(-1, 1, 1)), te.MALA(0.15), 24),
    "mala, plane": (PLANE, te.MALA(0.15), 16), "sweep": (machine(te.Bits(4)), te.Gibbs(), None),
    "random": (machine(te.Spins(3)), te.Gibbs("random"), None),
    "layers": (te.Density(te.RBM(4, 3), LAYERS, te.Bits(4)), te.BlockGibbs(), None),
    "cells": (te.Density(te.Potts(3, (1, 3)), {"coupling": np.array(0.7)}, te.Cells(3, dim=3)), te.Gibbs(), None),
    "gradients": (machine(te.Bits(4)), te.GibbsWithGradients(), None)}  # fmt: skip


@pytest.mark.parametrize("name, largest", [(name, 2**22) for name in OPERATORS] + [("mala", 2**10), ("mala, plane", 2**14),
                                           *[(name, 2**8) for name in OPERATORS if name.startswith("ula")]])
def test_derivatives_of_pushes(name, largest, monkeypatch):
    """Two pushes of an uneven law against central differences, every component of θ, also where flows are streamed.

    Catches scores, acceptances, conditional laws, reflected means or laws of hidden units that are constants under vjp.
    """
    monkeypatch.setattr(langevin, "LARGEST_MATRIX", largest)
    p, kernel, nodes = OPERATORS[name]
    grid = p.space.grid(nodes)
    mass, g = rng(7).dirichlet(np.ones(grid.size)), np.cos(2 * grid.all()[0] + 0.3).sum(axis=1)
    theta, back = ravel(p.theta)

    def law(theta):
        push = kernel.operator(replace(p, theta=theta), grid)
        return push(push(mass))

    value = lambda t: g @ law(back(t))
    differ = lambda e, h: (value(theta + h * e) - value(theta - h * e)) / (2 * h)
    expected = np.array([(4 * differ(e, 1e-5) - differ(e, 2e-5)) / 3 for e in np.eye(len(theta))])

    pushed, pullback = vjp(law, p.theta)
    np.testing.assert_allclose(pushed, law(p.theta), rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(ravel(pullback(g)[0])[0], expected, rtol=2e-7, atol=2e-9)
    assert np.abs(expected).max() > 1e-3


def test_steps_on_states_keep_no_matrix():
    """Every step computes its probabilities anew.  Catches the cost of a small matrix that is multiplied by."""
    p = te.Density(te.BoltzmannMachine(3), te.BoltzmannMachine(3).init(rng(0)), te.Bits(3))
    assert flows.work_of(te.Gibbs(), p, p.space.grid(), 8, 32) == 32 * 8 * 3
