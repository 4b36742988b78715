"""What Z makes possible (log_prob, probabilities, expectations), how much memory it takes, and what is refused."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from scipy import special, stats

from examples import network, plain
from tinyebm import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.datasets.load import load
from tinyebm.density import Density, exponent
from tinyebm.energies.analytic import GaussianEnergy
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.normalised import entropy, expectation, log_prob, normalised, probabilities
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import mean_over
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Cells
from tinyebm.spaces.grids import Atoms, Grid, trapezoid

SPACES = [Reals(1), Reals(2), Reals(2, base_scale=0.6), Box(-1.5, 2, 1), Box(-1.5, 2, 2)]
everywhere = pytest.mark.parametrize("space", SPACES, ids=repr)


# ------------------------------------------------------------------------------ densities

@everywhere
def test_log_prob_integrates_to_one(space):
    """By a dense midpoint rule of its own.  Catches log(-E), Z of another measure, and a base measure left out."""
    n, p = {1: 20_000, 2: 500}[space.dim], network(space)
    low, high = (space.low, space.high) if space.bounded else (-15.0, 15.0)
    h = (high - low) / n
    axis = low + h * (np.arange(n) + 0.5)
    x = np.stack(np.meshgrid(*[axis] * space.dim), axis=-1).reshape(-1, space.dim)

    assert np.exp(log_prob(p, x)).sum() * h**space.dim == pytest.approx(1, abs=2e-6 if space.bounded else 1e-8)
    assert float(log_partition(p)) == log_partition(p).value


def test_outside_there_is_nothing():
    """Catches a finite log p beyond a wall, and an energy that is asked where it is not defined."""
    p = plain(lambda x: ops.sum(ops.power(x + 0.5, 0.5), axis=1), Box(0, 1, 2))  # nan, with a warning, below -0.5
    x = np.array([[0.5, 0.5], [-0.6, 0.5], [0.5, 1.1], [np.inf, 0.0], [0.0, 1.0]])

    log_p = log_prob(p, x)
    assert np.isfinite(log_p).tolist() == [True, False, False, False, True]
    assert np.all(log_p[1:4] == -np.inf)
    np.testing.assert_array_equal(log_prob(p, x, log_z=1.0)[[0, 4]], exponent(p, x[[0, 4]]) - 1.0)


@everywhere
@pytest.mark.parametrize("c", [-1e3, 0.1, 1e6])
def test_a_constant_shifts_log_z_only(space, c):
    """E + c: log Z - c, the same p.  Catches an exponential taken before the maximum is subtracted."""
    p = network(space)
    q = Density(lambda theta, x: p.energy(theta, x) + c, p.theta, space)
    x = np.random.default_rng(0).uniform(-1, 1, (20, space.dim))

    assert log_partition(q) == pytest.approx(log_partition(p) - c, abs=1e-10 + 1e-14 * abs(c))
    np.testing.assert_allclose(log_prob(q, x), log_prob(p, x), atol=1e-9)
    np.testing.assert_allclose(probabilities(q), probabilities(p), atol=1e-10)
    assert entropy(q) == pytest.approx(entropy(p), abs=1e-8)


@everywhere
def test_probabilities_are_those_of_the_default_atoms(space):
    """One number per atom, p(x) w, summing to one.  Catches weights left out, or another order of atoms."""
    p = network(space)
    x, log_w = space.atoms()
    mass = probabilities(p)

    assert mass.shape == (len(x),) and mass.sum() == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(mass, np.exp(log_prob(p, x) + log_w), atol=1e-8)
    assert mass @ x[:, 0] == pytest.approx(float(expectation(p, lambda x: x[:, 0])), abs=1e-7)


def test_atoms_that_miss_the_density_are_refused():
    """Outside the extent, or finer than the nodes.  Catches probabilities of a density that is elsewhere."""
    far = Density(GaussianEnergy(1), {"mean": np.array([30.0]), "precision": np.eye(1)}, Reals(1))
    thin = Density(GaussianEnergy(1), {"mean": np.array([0.01]), "precision": np.eye(1) * 1e8}, Reals(1))
    for p in (far, thin):
        with pytest.raises(QuadratureError, match=r"512 atoms of Reals.*extent=.*nodes="):
            probabilities(p)
    assert probabilities(Density(far.energy, far.theta, Reals(1, extent=50.0))).sum() == pytest.approx(1)


@pytest.mark.parametrize(("step", "off"), [(1.4, 2 * math.exp(-2 * math.pi**2 / 1.4**2)), (1.2, 2.2e-6), (1.0, 5.4e-9)])
def test_atoms_that_blur_the_density_a_little_are_refused_too(step, off):
    """A standard normal on nodes `step` apart: Z is off by 2 e^{-2π²/h²}.  Catches a limit that is not rtol."""
    p = Density(GaussianEnergy(1), GaussianEnergy(1).init(np.random.default_rng(0)), Reals(1, extent=10 * step))

    assert probabilities(p, 21, rtol=1.2 * off).sum() == pytest.approx(1)
    with pytest.raises(QuadratureError, match=r"21 atoms of Reals.*give log Z wrong by"):
        probabilities(p, 21, rtol=0.8 * off)


# --------------------------------------------------------------------------- expectations

def test_expectations_of_any_shape():
    """Numbers, vectors and matrices of a Gaussian.  Catches an axis summed that should stay."""
    A = np.array([[2.0, 0.6], [0.6, 0.5]])
    p = Density(GaussianEnergy(2), {"mean": np.array([1.0, -3.0]), "precision": np.linalg.inv(A)}, Reals(2))

    one = expectation(p, lambda x: x[:, 0] * x[:, 1])
    assert isinstance(one, Estimate) and abs(one + 3 - 0.6) <= one.error < 1e-7
    np.testing.assert_allclose(expectation(p, lambda x: x), [1, -3], atol=1e-9)
    centred = lambda x: (x - [1, -3])[:, :, None] * (x - [1, -3])[:, None, :]
    np.testing.assert_allclose(expectation(p, centred), A, atol=1e-9)


@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
@everywhere
def test_the_error_of_a_sum_has_all_its_parts(space, rtol):
    """How far the sum differs between the grids, the error of Z, and rounding.  Catches one of them left out, or halved."""
    p, f = network(space), lambda x: x[:, 0] + 0.3
    q = quadrature(p, rtol)
    rounding = lambda value: 8 * 2**-52 * (1 + value)
    minus_log_p = lambda x: q.log_z - exponent(p, x)
    change = lambda f: np.ptp([mean_over(p, f, grid) for grid in (q.grid, *q.variants())])
    size = lambda f: mean_over(p, lambda x: np.abs(f(x) - mean_over(p, f, q.grid)), q.grid)

    mean, h = expectation(p, f, rtol), entropy(p, rtol)
    if space.bounded:  # on R^d there are wider windows too
        assert mean.error == pytest.approx(change(f) + q.error * size(f) + 4 * rounding(size(f)), rel=1e-9)
    assert mean.error >= change(f) + 0.5 * q.error * size(f)  # its window is wider, and its Z more certain
    entropy_size = size(minus_log_p)
    assert h.error == pytest.approx(change(minus_log_p) + q.error * (1 + entropy_size) + rounding(entropy_size), rel=1e-9)


def test_atoms_without_mass_do_not_count():
    """0 · inf is no NaN: f may be infinite, or undefined, where p is zero."""
    x = np.arange(4.0)[:, None]
    p = Density(TabularEnergy(4), {"energy": np.array([0.0, np.inf, math.log(3), 2000.0])}, Cells(4))
    f = lambda x: np.array([1.0, np.nan, 5.0, np.inf])[x[:, 0].astype(int)]

    assert mean_over(p, f, Atoms(x, np.zeros(4))) == pytest.approx(0.75 * 1 + 0.25 * 5)
    assert expectation(p, f) == pytest.approx(2.0) and entropy(p) == pytest.approx(special.entr([0.75, 0.25]).sum())
    alone = mean_over(p, lambda x: x, Atoms(x[[1, 0, 3]], np.zeros(3)))
    np.testing.assert_array_equal(alone, [0.0])


@pytest.mark.parametrize("s", [1e-3, 1.0, 1e3])
def test_entropy_of_scales(s):
    """½ log(2πe s²) per axis, with a base measure too.  Catches entropy against the base measure, not Lebesgue's."""
    bell = 0.5 * math.log(2 * math.pi * math.e * s**2)
    flat = plain(lambda x: 0.0 * x[:, 0], Reals(2, base_scale=s))
    agreed = Density(GaussianEnergy(2), {"mean": np.zeros(2), "precision": np.eye(2) / s**2}, Reals(2))

    for p in (flat, agreed):
        found = entropy(p)
        assert abs(found - 2 * bell) <= found.error < 1e-7
    assert log_partition(flat) == pytest.approx(0, abs=1e-10)


# ------------------------------------------------------------------------ cost and refusals

def test_a_population_has_the_error_of_its_grid():
    """On a lattice too coarse for it.  Catches Z = 1 claimed exactly, whatever the atoms sum to."""
    toy = load("bimodal")
    coarse = dataclasses.replace(toy, grid=Grid((trapezoid(14, -6.0, 6.0),)))
    x, log_w = coarse.grid.all()
    missing = abs(np.exp(toy.log_prob(x) + log_w).sum() - 1)

    assert 1e-3 < missing <= log_partition(coarse).error < missing + 1e-14
    assert log_partition(toy).error < 1e-8


@pytest.mark.parametrize(("energy", "message"), [
    (lambda x: x[:, :1] ** 2, r"one number per row: shape \(\d+,\), got \(\d+, 1\)"),
    (lambda x: ops.sum(x * x), r"got \(\)"), (lambda x: 0.0 * x[:, 0] + math.nan, "nan"),
    (lambda x: np.where(x[:, 0] > 0.4, math.nan, 0.0), "nan"), (lambda x: 0.0 * x[:, 0] + math.inf, r"\+inf")])
@pytest.mark.parametrize("space", [Box(0, 1, 1), Box(0, 1, 2)], ids=repr)
def test_what_is_no_energy_is_refused(energy, message, space):
    """Catches NaN behind a finite log Z, and (n, 1) energies that broadcast to (n, n)."""
    with pytest.raises(ValueError, match=message):
        log_partition(plain(energy, space))


@pytest.mark.parametrize("rtol", [0, 1, -1e-3, math.nan])
def test_rtol_is_between_zero_and_one(rtol):
    with pytest.raises(ValueError, match="rtol must be between 0 and 1"):
        log_partition(network(Box(0, 1, 1)), rtol)


@pytest.mark.parametrize("space", [Reals(4), Box(0, 1, 4)], ids=repr)
def test_four_dimensions_are_refused_with_their_cost(space):
    """Catches hours of silence: 40⁴ nodes."""
    with pytest.raises(ValueError, match=r"dim <= 3.*dim 4 needs 2.6e\+06"):
        log_partition(network(space))


def test_estimates_are_numbers_with_errors():
    """Catches an error lost on the way through a pickle, or a text that hides it."""
    z = Estimate(-2.5, 1e-9)
    back = pickle.loads(pickle.dumps(z))

    assert z == -2.5 and z + 1 == -1.5 and z.value == -2.5 and back == z and back.error == z.error == 1e-9
    assert str(z) == "-2.5 ± 1e-09" and repr(z) == "Estimate(value=-2.5, error=1e-09)"


# ----------------------------------------------------------- the error of an expectation is one

NORMAL = Density(GaussianEnergy(1), GaussianEnergy(1).init(np.random.default_rng(0)), Reals(1))


@pytest.mark.parametrize("f, exact", [
    (lambda x, c: np.abs(x - c), lambda c: 2 * stats.norm.pdf(c) + c * (2 * stats.norm.cdf(c) - 1)),
    (lambda x, c: (x > c) * 1.0, stats.norm.sf),
    (lambda x, c: np.cos(3 * c * x + c), lambda c: math.cos(c) * math.exp(-4.5 * c * c)),
    (lambda x, c: np.exp(5 * c * x), lambda c: math.exp(12.5 * c * c))], ids=["kink", "jump", "wave", "growth"])
def test_the_error_of_an_expectation_bounds_the_truth(f, exact):
    """For 60 functions of each kind.  Catches a change between two grids, small by chance, and a window too small."""
    for c in np.random.default_rng(0).uniform(-2, 2, 60):
        mean = expectation(NORMAL, lambda x, c=c: f(x[:, 0], c))
        assert abs(mean - exact(c)) <= mean.error, c


@pytest.mark.parametrize("f, exact", [
    (lambda x: np.exp(8 * x), math.exp(32)), (lambda x: x**40, 2**20 * math.gamma(20.5) / math.sqrt(math.pi)),
    (lambda x: np.exp(0.45 * x * x), math.sqrt(10))])  # fmt: skip
def test_functions_that_grow(f, exact):
    """Catches a window cut where p is small, though f p is not: e^{8x} is then 4 % too small."""
    mean = expectation(NORMAL, lambda x: f(x[:, 0]))

    assert mean == pytest.approx(exact, rel=1e-9) and mean.error < 1e-7 * mean


@pytest.mark.parametrize("f, exact", [
    (lambda x: [np.ones_like(x), np.exp(0.45 * x * x)], [1.0, math.sqrt(10)]),
    (lambda x: [x * x, (x > 0.3) * 1.0], [1.0, stats.norm.sf(0.3)])], ids=["growth", "jump"])  # fmt: skip
def test_every_component_of_a_vector_has_settled(f, exact):
    """One component settles at once, the other needs a wider window or boxes.  Catches an end when *any* has settled."""
    for order in (1, -1):
        mean = expectation(NORMAL, lambda x, order=order: np.stack(f(x[:, 0])[::order], axis=1))
        np.testing.assert_allclose(mean, exact[::order], rtol=1e-7)


def test_moments_of_heavy_tails():
    """Student's t with 5 degrees of freedom has E x⁴ = 25, Cauchy's law no E x² at all."""
    student = Density(lambda theta, x: 3 * ops.log(1 + ops.square(x[:, 0]) / 5), {}, Reals(1))
    cauchy = Density(lambda theta, x: ops.log(1 + ops.square(x[:, 0])), {}, Reals(1))
    fourth, second = expectation(student, lambda x: x[:, 0] ** 4), expectation(cauchy, lambda x: x[:, 0] ** 2)

    assert abs(fourth - 25) <= fourth.error < 0.1
    assert second.error > second
    quarter = expectation(cauchy, lambda x: (x[:, 0] > 1) * 1.0)
    assert abs(quarter - 0.25) <= quarter.error < 0.1


def test_a_known_quadrature_has_seen_the_rows():
    """Half the mass is in a peak of width 10^-5 at the data.  Catches a search for peaks that does not know the rows."""
    def two(theta, x):
        wide, narrow = x[:, 0] ** 2 / 2, ((x[:, 0] - 3.03717) / theta["w"]) ** 2 / 2 + ops.log(theta["w"])
        return -ops.logsumexp(-ops.concatenate([wide[:, None], narrow[:, None]], axis=1), axis=1)

    p = Density(two, {"w": np.array(1e-5)}, Box(-10, 10, 1))
    found = normalised(p, 1e-5, np.array([[3.03717]])).quadrature
    assert abs(found.log_z - np.log(2 * np.sqrt(2 * np.pi))) < 1e-5
