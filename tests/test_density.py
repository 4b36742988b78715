"""The exponent, its score and their Laplacian against differences, the oracle, and shapes that are refused."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm import ops
from tinyebm.autodiff.tape import grad
from tinyebm.common.tree import ravel, tree_map
from tinyebm.density import Density, exponent, exponent_and_score, laplacian, score, score_and_laplacian
from tinyebm.energies.analytic import GaussianEnergy, GaussianMixtureEnergy
from tinyebm.energies.mlp import MLP
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Cells, space_with
from tinyebm.spaces.grids import Atoms

PLANE = Reals(2)


def slope(f, x, h=1e-3):
    """The derivative of f (n,) by each column of x, (n, d): fourth-order central differences."""
    near = lambda e: 8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))
    return np.stack([near(e) / (12 * h) for e in h * np.eye(x.shape[1])], axis=1)


def random_mlp(space, activation="silu"):
    """A network with biases on the space."""
    rng = np.random.default_rng(space.dim)
    net = MLP((space.dim, 12, 9, 1), activation, confinement=0.3)
    theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
    return Density(net, theta, space)


EVERYWHERE = pytest.mark.parametrize("space", [Reals(1), Reals(2), Reals(3), Reals(5), Reals(2, base_scale=0.7),
                                               Reals(3, base_scale=4.0), Box(-2, 2, 2)], ids=repr)  # fmt: skip


@EVERYWHERE
def test_score_is_the_slope_of_the_exponent(space):
    """Catches E for -E, a base measure that the score forgets, and gradients of one row in another."""
    p, x = random_mlp(space), np.random.default_rng(0).uniform(-1.5, 1.5, (30, space.dim))

    np.testing.assert_allclose(score(p, x), slope(lambda x: exponent(p, x), x), atol=1e-8)
    np.testing.assert_allclose(score(p, x)[4:7], score(p, x[4:7]), atol=1e-14)


@EVERYWHERE
@pytest.mark.parametrize("activation", ["tanh", "silu", "softplus"])
def test_laplacian_is_the_divergence_of_the_score(space, activation):
    """Catches a trace that loses an axis, or the base measure's -d/s²."""
    p, x = random_mlp(space, activation), np.random.default_rng(1).uniform(-1.5, 1.5, (30, space.dim))

    divergence = sum(slope(lambda x, i=i: score(p, x)[:, i], x)[:, i] for i in range(space.dim))
    np.testing.assert_allclose(laplacian(p, x), divergence, atol=1e-8)


@EVERYWHERE
@pytest.mark.parametrize("activation", ["tanh", "silu", "softplus"])
def test_score_and_laplacian_are_both_and_know_theta(space, activation):
    """One pass gives the two, and a sum of both differentiates by θ as its differences do.

    Catches a score handed on as a constant, and a basis of one row's derivative in another's.
    """
    p, x = random_mlp(space, activation), np.random.default_rng(3).uniform(-1.5, 1.5, (4, space.dim))
    s, trace = score_and_laplacian(p, x)
    np.testing.assert_allclose(s, score(p, x), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(trace, laplacian(p, x))
    np.testing.assert_allclose(score_and_laplacian(p, x[2:3])[1], trace[2:3], atol=1e-13)

    flat, unravel = ravel(p.theta)
    v, w = np.random.default_rng(4).standard_normal((2, *x.shape))

    def number(flat):
        s, trace = score_and_laplacian(Density(p.energy, unravel(flat), space), x)
        return ops.sum(s * v) + ops.sum(trace * w[:, 0])

    along = np.random.default_rng(5).standard_normal(flat.size)
    numeric = (8 * (number(flat + 1e-3 * along) - number(flat - 1e-3 * along))
               - number(flat + 2e-3 * along) + number(flat - 2e-3 * along)) / 12e-3
    assert along @ grad(number)(flat) == pytest.approx(numeric, rel=1e-7, abs=1e-7)


def test_float32_stays_float32_in_two_derivatives():
    """Catches a basis in float64."""
    p = random_mlp(Reals(2, base_scale=0.7))
    p = Density(p.energy, tree_map(lambda leaf: leaf.astype("float32"), p.theta), p.space)
    assert {array.dtype for array in score_and_laplacian(p, np.ones((3, 2), "float32"))} == {np.dtype("float32")}


@EVERYWHERE
def test_exponent_is_base_density_minus_energy(space):
    """Against scipy's normal.  Catches a base measure counted twice, or with its variance for its scale."""
    p, x = random_mlp(space), np.random.default_rng(2).uniform(-1.5, 1.5, (30, space.dim))
    s = getattr(space, "base_scale", None)
    base = stats.norm(scale=s).logpdf(x).sum(axis=1) if s else 0.0

    np.testing.assert_allclose(exponent(p, x), base - p.energy(p.theta, x), atol=1e-12)
    for one, other in zip(exponent_and_score(p, x), (exponent(p, x), score(p, x)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)


def test_gaussian_score_is_the_oracles(oracle):
    """Catches a transposed or halved precision: the score is -P x and the Laplacian -tr P."""
    case = oracle("gauss_2d")
    P = np.array(case["parameters"]["P"])
    p = Density(GaussianEnergy(2), {"mean": np.zeros(2), "precision": P}, Reals(2))
    x = np.array([[1.0, -2.0]])

    np.testing.assert_allclose(score(p, x), [case["expected"]["score_at_1_m2"]], atol=case["tolerance"])
    np.testing.assert_allclose(laplacian(p, x), -np.trace(P), atol=1e-13)


def test_mixture_score_is_the_oracles(oracle):
    """Catches responsibilities without their weights, and a Laplacian without the score's square."""
    case = oracle("mixture_1d")
    law, known = case["parameters"], case["expected"]
    theta = {"logits": np.log(law["w"]), "mean": np.array(law["m"])[:, None], "log_scale": np.log(law["s"]) / 2}
    p, x = Density(GaussianMixtureEnergy(2, 1), theta, Reals(1)), np.zeros((1, 1))

    assert exponent(p, x).item() == pytest.approx(known["logp0"], abs=1e-13)
    assert score(p, x).item() == pytest.approx(known["score0"], abs=1e-13)
    assert laplacian(p, x).item() == pytest.approx(known["d2_logp0"], abs=1e-12)


def test_a_table_has_no_slope():
    """Catches a derivative by the index of a state."""
    p = Density(TabularEnergy(3), {"energy": np.array([1.0, 2.0, 4.0])}, Cells(3))

    np.testing.assert_array_equal(exponent(p, np.array([[2.0], [0.0]])), [-4.0, -1.0])
    np.testing.assert_array_equal(score(p, np.array([[2.0], [0.0]])), [[0.0], [0.0]])


@pytest.mark.parametrize("shape", [(2,), (4, 3), (1, 4, 2)])
@pytest.mark.parametrize("ask", [exponent, score, exponent_and_score, laplacian, score_and_laplacian])
def test_points_of_another_shape_are_refused(ask, shape):
    """Catches a vector taken for n points, or a silent broadcast over a wrong dimension."""
    p = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=-1), {}, Reals(2))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\), got \("):
        ask(p, np.zeros(shape))


@pytest.mark.parametrize(("energy", "got"), [
    (lambda theta, x: x[:, :1] * x[:, :1], r"\(4, 1\)"), (lambda theta, x: ops.sum(x * x), r"\(\)"),
    (lambda theta, x: x[:, :, None] * x[:, None, :], r"\(4, 2, 2\)"), (lambda theta, x: x[:2, 0], r"\(2,\)")])
@pytest.mark.parametrize("ask", [exponent, score])
def test_energies_of_another_shape_are_refused(ask, energy, got):
    """Catches (n, 1) energies: with weights (n,) they would broadcast to (n, n) and give a finite, wrong Z."""
    with pytest.raises(ValueError, match=rf"one number per row: shape \(4,\), got {got}"):
        ask(Density(energy, {}, Reals(2)), np.ones((4, 2)))


@pytest.mark.parametrize("energy", [te.RBM(4, 2), te.BoltzmannMachine(4), te.Ising((2, 2)), te.Potts(3, (2, 2)),
                                    te.TabularEnergy(4)])
def test_an_energy_of_states_has_no_density_on_real_numbers(energy):
    """Z of quadratic and linear energies is infinite there.  Catches a model that is trained without a law."""
    theta = energy.init(np.random.default_rng(0))
    for space in (te.Reals(energy.dim), te.Box(0, 1, energy.dim), te.Reals(energy.dim, base_scale=1.0)):
        with pytest.raises(ValueError, match=r"is for states: its space is (Bits|Spins|Cells)\(.*, not (Reals|Box)\("):
            te.Density(energy, theta, space)
    for values in energy.sites:
        assert te.Density(energy, theta, space_with(values, energy.dim)).space.values == values


def test_densities_are_equal_or_not():
    """Energy, space and every bit of θ count, also in what holds a Density.  Catches NumPy's error in the place of an answer."""
    make = lambda mean=0.5, space=PLANE: Density(
        GaussianEnergy(space.dim), {"mean": np.full(space.dim, mean), "precision": np.eye(space.dim)}, space)
    assert (make() == make()) is True and (make() != make()) is False and make() in [make(0.6), make()]
    for other in (make(np.nextafter(0.5, 1)), make(space=Box(-1, 1, 2)), make(space=Reals(1)), make().theta, 1):
        assert (make() == other) is False and (make() != other) is True
    bowl = lambda theta, x: theta["mean"][0] * x[:, 0] ** 2
    assert Density(bowl, make().theta, Reals(2)) == Density(bowl, make().theta, Reals(2)) != make()
    assert te.NoiseContrastive(make()) == te.NoiseContrastive(make()) != te.NoiseContrastive(make(0.6))
    with pytest.raises(TypeError, match="unhashable type: 'Density'"):
        hash(make())


@dataclass(frozen=True)
class Weighted:
    """A user's energy that holds an array, whose own == has no answer."""

    w: np.ndarray

    def __call__(self, theta, x):
        return theta * ops.sum(x * self.w, axis=1)


def test_energies_that_hold_arrays_are_compared():
    """By their fields.  Catches an error of the energy's own ==."""
    make = lambda w: Density(Weighted(np.array([1.0, w])), np.array(0.5), Box(-1, 1, 2))
    assert make(2.0) == make(2.0) != make(3.0)


RESULTS = {
    "Step": lambda: te.ExactLikelihood().gradient(tiny(), np.zeros((2, 1)), None),
    "Move": lambda: te.Gibbs().step(tiny(), np.zeros((3, 1)), np.random.default_rng(0)),
    "ClippedMove": lambda: te.Recipe(0.1, 0.1).step(random_mlp(PLANE), np.zeros((3, 2)), np.random.default_rng(0)),
    "Grid": lambda: Reals(1).grid(), "Atoms": lambda: Atoms(*Reals(1).atoms()), "Estimate": lambda: te.log_partition(tiny()),
    "Normal": lambda: te.Normal(np.zeros(2), np.eye(2)), "Uniform": lambda: te.Uniform(Box(-1, 1, 2)),
    "Independent": lambda: te.Independent(te.Bits(1), np.array([[0.5, 0.5]])), "Target": lambda: te.datasets.load("two_moons"),
    "Data": lambda: te.datasets.Data("rows", np.zeros((3, 1)), "source", "licence", ("x",), np.zeros(1), np.ones(1))}  # fmt: skip


def tiny():
    return Density(TabularEnergy(2), {"energy": np.zeros(2)}, Cells(2))


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_returned_can_be_compared(name):
    """== of two results of one call is a bool; equal objects have equal hashes, or none.

    Catches NumPy's "truth value of an array is ambiguous".
    """
    one, two = RESULTS[name](), RESULTS[name]()
    assert one == one and type(one == two) is bool and (one != two) is not (one == two)
    if one == two and type(one).__hash__ and not isinstance(one, tuple):
        assert hash(one) == hash(two)
