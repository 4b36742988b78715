"""Numerical safety, over random energies and spaces: what must hold exactly does, and extreme scales neither overflow nor warn.

Examples are drawn by hypothesis, the same in every run.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.exact.sums import model_phase
from tinyebm.spaces.grids import Atoms

EPS = np.finfo(float).eps
EVERY_RUN_ALIKE = settings(derandomize=True, deadline=None, database=None, max_examples=40)
ACTIVATIONS = ("tanh", "silu", "softplus", "relu")
ALPHA = 1e-6  # level of the test of samples


@dataclass(frozen=True)
class Shifted:
    """An energy plus a constant."""

    energy: Any
    constant: float

    @property
    def smooth(self):
        return getattr(self.energy, "smooth", True)

    def __call__(self, theta, x):
        return self.energy(theta, x) + self.constant


def started(energy, space, seed, scale):
    """A Density with parameters that are `scale` times what the energy starts from."""
    return te.Density(energy, tree_map(lambda leaf: scale * leaf, energy.init(np.random.default_rng(seed))), space)


SCALES, SMOOTH_SCALES = st.sampled_from([0.1, 1.0, 30.0]), st.sampled_from([0.3, 1.0, 3.0])


@st.composite
def discrete(draw, scales=SCALES):
    """A Density on up to 2^8 states."""
    d, seed, scale = draw(st.integers(1, 8)), draw(st.integers(0, 2**32)), draw(scales)
    two = draw(st.sampled_from([te.Bits, te.Spins]))(d)
    table = te.Density(te.TabularEnergy(d), {"energy": scale * np.random.default_rng(seed).standard_normal(d)}, te.Cells(d))
    lattice = (draw(st.integers(1, 2)), draw(st.integers(1, 4)))
    options = {"periodic": draw(st.booleans()), "simple": draw(st.booleans())}
    return draw(st.sampled_from([
        table, started(te.BoltzmannMachine(d), two, seed, 10 * scale),
        started(te.RBM(d, 1 + seed % 5), te.Bits(d), seed, 10 * scale),
        started(te.MLP((d, 4, 1), draw(st.sampled_from(ACTIVATIONS))), two, seed, scale),
        started(te.Ising(lattice, **options), te.Spins(math.prod(lattice)), seed, 10 * scale),
        started(te.Potts(3, (1, 1 + d % 4), **options), te.Cells(3, 1 + d % 4), seed, 10 * scale)]))  # fmt: skip


@st.composite
def continuous(draw, scales=SMOOTH_SCALES):
    """A Density on the line or in the plane."""
    d, seed, scale = draw(st.integers(1, 2)), draw(st.integers(0, 2**32)), draw(scales)
    space = draw(st.sampled_from([te.Reals(d), te.Reals(d, base_scale=1.5), te.Box(-2, 3, d)]))
    net = te.MLP((d, 5, 1), draw(st.sampled_from(ACTIVATIONS if d == 1 else ACTIVATIONS[:3])), confinement=0.5)
    known = te.DoubleWell() if d == 1 else te.Banana()
    return draw(st.sampled_from([started(net, space, seed, scale), started(te.GaussianMixtureEnergy(3, d), space, seed, scale),
                                 te.Density(known, known.init(np.random.default_rng(0)), space)]))  # fmt: skip


# -------------------------------------------------------------------------------- a constant in the energy says nothing

@EVERY_RUN_ALIKE
@given(discrete(), st.floats(-1e6, 1e6))
def test_a_constant_on_states(p, c):
    """log Z moves by -c, p does not.  Catches probabilities that underflow without their largest exponent taken out."""
    q = te.Density(Shifted(p.energy, c), p.theta, p.space)
    unit = 64 * EPS * (1 + abs(c) + abs(te.log_partition(p)))

    assert abs(te.log_partition(p) - c - te.log_partition(q)) <= unit
    law, shifted = te.probabilities(p), te.probabilities(q)
    assert np.abs(law - shifted).max() <= 4 * unit and abs(law.sum() - 1) < 1e-13 and abs(shifted.sum() - 1) < 1e-13
    x = p.space.atoms()[0]
    np.testing.assert_allclose(te.log_prob(q, x), te.log_prob(p, x), rtol=0, atol=4 * unit)


@EVERY_RUN_ALIKE
@given(continuous(), st.floats(-1e6, 1e6))
def test_a_constant_in_continuous_space(p, c):
    """The same, within the errors that are reported."""
    q, rng = te.Density(Shifted(p.energy, c), p.theta, p.space), np.random.default_rng(0)
    z, z_shifted = te.log_partition(p, 1e-7), te.log_partition(q, 1e-7)
    error = z.error + z_shifted.error + 64 * EPS * (1 + abs(c))

    assert abs(z - c - z_shifted) <= error
    x = p.space.initial(50, rng)
    np.testing.assert_allclose(te.log_prob(q, x, z_shifted), te.log_prob(p, x, z), rtol=1e-12, atol=error)
    np.testing.assert_allclose(te.score(q, x), te.score(p, x), rtol=1e-12, atol=1e-12)
    law = te.probabilities(p, rtol=1e-3) if p.space.bounded else None
    assert law is None or abs(law.sum() - 1) < 1e-12


# ------------------------------------------------------------------------------------- samples are drawn from what is said

@EVERY_RUN_ALIKE
@given(st.one_of(discrete(), continuous()), st.integers(0, 2**32))
def test_exact_samples_have_the_distribution_function(p, seed):
    """The bound of Dvoretzky, Kiefer & Wolfowitz with Massart's constant at level 1e-6, on states and along the first axis.

    Catches a bound of rejection sampling that is too small, cells of wrong volume, levels that are off by one.
    """
    n = 4000
    x = te.sample(p, n, np.random.default_rng(seed))
    if p.space.discrete:
        empirical = np.cumsum(np.bincount(p.space.grid().index(x), minlength=p.space.grid().size)) / n
        gap = np.abs(empirical - np.cumsum(te.probabilities(p))).max()
    else:
        assert p.space.contains(x).all()
        t = np.sort(x[:, 0])
        below = distribution(p, t)
        gap = max(np.abs(below - np.arange(n) / n).max(), np.abs(below - np.arange(1, n + 1) / n).max())

    assert gap <= math.sqrt(math.log(2 / ALPHA) / (2 * n))


def distribution(p, t):
    """P(x_1 ≤ t) for sorted t, by sums over an even grid of midpoints: to 1e-3, a hundredth of the bound's size and less."""
    d = p.space.dim
    low, high = (p.space.low, p.space.high) if p.space.bounded else (-30.0, 30.0)
    n = {1: 60000, 2: 1500}[d]
    edges = np.linspace(low, high, n + 1)
    centre = (edges[1:] + edges[:-1]) / 2
    x = np.stack(np.meshgrid(*[centre] * d, indexing="ij"), axis=-1).reshape(-1, d)
    log_p = np.concatenate([p.space.log_base(part) - p.energy(p.theta, part) for part in np.array_split(x, 50)])
    mass = np.exp(log_p - log_p.max()).reshape((n, -1)).sum(axis=1)
    return np.interp(t, edges, np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum())


# -------------------------------------------------------------------------------------- order and multiplicity of rows

@EVERY_RUN_ALIKE
@given(st.one_of(discrete(), continuous()), st.integers(0, 2**32))
def test_order_and_copies_of_atoms_mean_nothing(p, seed):
    """Data rows permuted, or all of them doubled; atoms permuted, or doubled at half their weight: the same numbers.

    Catches a sum that ends early at the border of a block, and a mean divided by a number of other rows.
    """
    rng = np.random.default_rng(seed)
    x = p.space.initial(300, rng)
    order = rng.permutation(len(x))
    value, slope = te.nll(p, x, 1e-5), tree_flatten(te.nll_gradient(p, x, 1e-5))[0]
    for rows in (x[order], np.concatenate([x, x[order]])):
        close(te.nll(p, rows, 1e-5), value)
        for a, b in zip(tree_flatten(te.nll_gradient(p, rows, 1e-5))[0], slope, strict=True):
            close(a, b)

    states, log_w = p.space.grid(None if p.space.discrete else 40).all()
    order = rng.permutation(len(states))
    log_z, phase = model_phase(p, Atoms(states, log_w))
    doubled = np.concatenate([states, states[order]]), np.concatenate([log_w, log_w[order]]) - math.log(2)
    for atoms in ((states[order], log_w[order]), doubled):
        again, gradient = model_phase(p, Atoms(*atoms))
        close(again, log_z)
        for a, b in zip(tree_flatten(gradient)[0], tree_flatten(phase)[0], strict=True):
            close(a, b)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * (1 + np.abs(b).max(initial=0.0)))


@EVERY_RUN_ALIKE
@given(st.integers(1, 30), st.integers(0, 2**32))
def test_states_may_be_renamed(n, seed):
    """A table and its permutation have the same Z, and probabilities permuted.  Catches states that are mixed up."""
    rng = np.random.default_rng(seed)
    energy, order = 10 * rng.standard_normal(n), rng.permutation(n)
    p, q = (te.Density(te.TabularEnergy(n), {"energy": table}, te.Cells(n)) for table in (energy, energy[order]))

    assert abs(te.log_partition(p) - te.log_partition(q)) < 1e-12
    np.testing.assert_allclose(te.probabilities(q), te.probabilities(p)[order], rtol=1e-12)


# ------------------------------------------------------------------------------------------------------- extreme scales

HUGE = st.sampled_from([1e-6, 1e3, 1e6])


@EVERY_RUN_ALIKE
@given(discrete(scales=HUGE), st.sampled_from(["float64", "float32"]), st.integers(0, 2**32))
def test_extreme_energies_on_states(p, dtype, seed):
    """Energies up to 1e6 and beyond, in double and single precision.  Catches e^E, 0 log 0, and ratios of probabilities."""
    rng = np.random.default_rng(seed)
    p = te.Density(p.energy, tree_map(lambda leaf: leaf.astype(dtype), p.theta), p.space)
    with np.errstate(all="raise", under="ignore"):
        assert math.isfinite(te.log_partition(p)) and abs(te.probabilities(p).sum() - 1) < 1e-6
        x = te.sample(p, 20, rng)
        assert p.space.contains(x).all() and math.isfinite(te.nll(p, x)) and math.isfinite(te.entropy(p))
        assert finite(te.nll_gradient(p, x))
        x = p.space.initial(20, rng).astype(dtype)
        for kernel in kernels_of(p):
            moved, _ = te.run(kernel, p, x, 5, rng)
            assert p.space.contains(moved).all() and moved.dtype == dtype
            law = kernel.push(te.probabilities(p), p)
            assert np.isfinite(law).all() and abs(law.sum() - 1) < 1e-5
        for objective in (te.ContrastiveDivergence(kernels_of(p)[0], 3), te.Pseudolikelihood()):
            assert finite(objective.gradient(p, x, rng).gradient)


def kernels_of(p):
    """The kernels that a discrete Density can have."""
    found = [te.Gibbs(), te.Gibbs("random")]
    if len(p.space.values) == 2 and not isinstance(p.energy, te.TabularEnergy):
        found.append(te.GibbsWithGradients())
    return [*found, te.BlockGibbs()] if isinstance(p.energy, te.RBM) else found


def finite(tree):
    return all(np.isfinite(leaf).all() for leaf in tree_flatten(tree)[0])


@EVERY_RUN_ALIKE
@given(continuous(scales=st.sampled_from([1e-3, 1.0, 1e3])), st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([1e-6, 1.0, 1e3]),
       st.sampled_from(["float64", "float32"]), st.integers(0, 2**32))  # fmt: skip
def test_extreme_steps(p, height, step_size, dtype, seed):
    """Energies times up to 1e6, steps up to 1e3.  MALA and HMC reject what flies away; ULA in a box is folded back.

    Catches an overflow in a proposal's log density, x² in a place where x is far out, and float32 widened on the way.
    """
    rng = np.random.default_rng(seed)
    theta = tree_map(lambda leaf: leaf.astype(dtype), p.theta)
    p = te.Density(Times(p.energy, height), theta, p.space)
    x = p.space.initial(30, rng).astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(te.score(p, x)).all()
        kernels = [te.MALA(step_size), te.HMC(math.sqrt(2 * step_size), 3)]
        for kernel in kernels + ([te.ULA(step_size)] if p.space.bounded else []):
            moved, _ = te.run(kernel, p, x, 4, rng)
            assert moved.dtype == dtype and p.space.contains(moved).all()
            assert finite(te.ContrastiveDivergence(kernel, 2).gradient(p, x, rng).gradient)
        moved = te.ULA(step_size).step(p, x, rng).x
        assert moved.dtype == dtype and np.isfinite(moved).all()


@dataclass(frozen=True)
class Times:
    """An energy times a number."""

    energy: Any
    factor: float

    def __call__(self, theta, x):
        return self.energy(theta, x) * self.factor


@EVERY_RUN_ALIKE
@given(continuous(), st.sampled_from([1e-3, 1e2, 1e4, 1e6]))
def test_extreme_energies_in_continuous_space(p, height):
    """log Z of e^{-height E} is right, by a grid of another kind, or refused.  Catches warnings, inf, and a peak that is missed."""
    p = te.Density(Times(p.energy, height), p.theta, te.Box(-2, 3, p.space.dim))
    try:
        with np.errstate(all="raise", under="ignore"):
            found = te.log_partition(p, 1e-4)
    except te.QuadratureError:
        assume(False)
    assert found.error <= 1e-4 and abs(brute(p) - found) < 1e-3


def brute(p):
    """log Z on a box by a fine grid of midpoints, laid anew around all that is not far below the highest of the grid before."""
    d = p.space.dim
    low, high, n = np.full(d, -2.0), np.full(d, 3.0), {1: 20000, 2: 500}[d]
    for _ in range(4):
        width = (high - low) / n
        x = np.stack(np.meshgrid(*[a + w * (np.arange(n) + 0.5) for a, w in zip(low, width, strict=True)], indexing="ij"), axis=-1)
        x = x.reshape(-1, d)
        u = -np.concatenate([p.energy(p.theta, part) for part in np.array_split(x, 20)])
        log_z = float(ops.logsumexp(u)) + np.log(width).sum()
        tall = x[u > u.max() - 40]
        low, high = np.maximum(tall.min(axis=0) - 2 * width, -2.0), np.minimum(tall.max(axis=0) + 2 * width, 3.0)
    return log_z
