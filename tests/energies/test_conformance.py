"""What every energy does, the package's and the example of the page: shapes, types, gradients, starts, and replay."""

import numpy as np
import pytest

import tinyebm as te
from examples import of_page
from tinyebm import ops
from tinyebm.autodiff.tape import grad, vjp
from tinyebm.common.tree import ravel, tree_flatten, tree_map
from tinyebm.density import exponent, exponent_and_score, exponents
from tinyebm.spaces.discrete import space_with
from tinyebm.storage.models import ENERGIES

MEMBERS = [te.MLP((2, 5, 4, 1)), te.MLP((3, 4, 1), "tanh", 0.3), te.MLP((1, 6, 1), "softplus"), te.GaussianEnergy(1),
           te.GaussianEnergy(3), te.GaussianMixtureEnergy(4, 1), te.GaussianMixtureEnergy(3, 2), te.DoubleWell(), te.Quartic(),
           te.Ring(), te.Banana(), te.Funnel(2), te.Funnel(4), te.GaussianBernoulliRBM(3, 2), of_page(te.energies, "Basin")(2),
           te.TabularEnergy(5), te.BoltzmannMachine(4), te.RBM(4, 3), te.Ising((2, 3)), te.Ising((3, 2), False),
           te.Potts(3, (2, 3))]  # fmt: skip
every_energy = pytest.mark.parametrize("energy", MEMBERS, ids=repr)


def space_of(energy):
    """Where it is at home."""
    sites = getattr(energy, "sites", ())
    return space_with(sites[0], energy.dim) if sites else te.Reals(energy.dim)


def example(energy, seed, n=7):
    """A Density with parameters near those of `init`, and points."""
    rng = np.random.default_rng(seed)
    flat, unravel = ravel(energy.init(rng))
    p = te.Density(energy, unravel(flat + rng.uniform(0, 0.2, flat.shape)), space_of(energy))
    return p, p.space.initial(n, rng)


def slope(f, at, h=1e-3):
    """The derivative of f (a number) by the vector: fourth-order central differences."""
    near = lambda e: 8 * (f(at + e) - f(at - e)) - (f(at + 2 * e) - f(at - 2 * e))
    return np.array([near(e) / (12 * h) for e in h * np.eye(len(at))])


def test_the_list_is_complete():
    """Fails when an energy is added and not tried here."""
    assert set(ENERGIES) <= set(map(type, MEMBERS))


@every_energy
def test_starts(energy):
    """By the generator alone, in double precision, finite.  Catches the global generator, and integers among the parameters."""
    first, second = (tree_flatten(energy.init(np.random.default_rng(4)))[0] for _ in range(2))

    assert first and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(leaf.dtype == np.float64 and np.isfinite(leaf).all() for leaf in first)


@every_energy
def test_starts_near_data(energy):
    """The same tree as that of `init`, finite, with a finite energy at the data.  Catches a leaf of another shape."""
    p, x = example(energy, 3, 30)
    if not hasattr(energy, "init_from_data"):
        return
    found = energy.init_from_data(100 + 5 * x, np.full(30, 1 / 30), np.random.default_rng(0))
    (a, rebuild_a), (b, rebuild_b) = tree_flatten(found), tree_flatten(p.theta)
    assert rebuild_a(range(len(a))) == rebuild_b(range(len(b))) and [np.shape(leaf) for leaf in a] == [leaf.shape for leaf in b]
    assert np.isfinite(energy(found, 100 + 5 * x)).all()


@every_energy
def test_an_energy_for_every_row_by_itself(energy):
    """In the precision of θ and x.  Catches a sum over rows instead of columns, and double precision out of single."""
    p, x = example(energy, 2)
    together, alone = energy(p.theta, x), np.concatenate([energy(p.theta, row[None]) for row in x])

    assert together.shape == (7,) and together.dtype == np.float64 and alone.shape == (7,)
    np.testing.assert_allclose(together, alone, atol=1e-13)
    single = energy(tree_map(lambda leaf: leaf.astype("float32"), p.theta), x.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, together, rtol=1e-4, atol=1e-4)
    assert energy(p.theta, x[:0]).shape == (0,)


@every_energy
def test_gradients_are_slopes(energy):
    """By θ, and by x in R^d.  Catches an operation hidden from the tape: plain NumPy on x or on one parameter."""
    p, x = example(energy, 1)
    flat, unravel = ravel(p.theta)
    by_theta = slope(lambda flat: energy(unravel(flat), x).sum(), flat)
    found = ravel(grad(lambda theta: ops.sum(energy(theta, x)))(p.theta))[0]
    np.testing.assert_allclose(found, by_theta, rtol=1e-7, atol=1e-7)
    if not p.space.discrete:
        by_x = -slope(lambda flat: energy(p.theta, flat.reshape(x.shape)).sum(), x.reshape(-1))
        np.testing.assert_allclose(te.score(p, x).reshape(-1), by_x, atol=1e-7)


@every_energy
def test_other_shapes_are_refused(energy):
    """Of x and of θ, in one line.  Catches broadcasting, and parameters of another energy."""
    p, x = example(energy, 5)
    ours = type(energy).__module__.startswith("tinyebm")
    for wrong in (x[0], np.concatenate([x, x], axis=1)):
        with pytest.raises(ValueError, match="must have shape"):
            energy(p.theta, wrong) if ours else exponent(p, wrong)
    if ours:
        with pytest.raises(ValueError, match="theta does not belong to"):
            energy({"another": np.zeros(3)}, x)


@every_energy
def test_replay_equals_the_plain_formula(energy):
    """Energies and scores of many rows.  Catches a program of other parameters, and a rewriting that changes the formula."""
    p, x = example(energy, 6, 3000)
    for _ in range(2):
        np.testing.assert_allclose(exponents(p, x), exponent(p, x), rtol=1e-12, atol=1e-12)
        if not p.space.discrete:
            value, pullback = vjp(lambda x: exponent(p, x), x)  # noqa: B023
            fast, score = exponent_and_score(p, x)
            np.testing.assert_allclose(fast, value, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(score, pullback(np.ones(3000))[0], rtol=1e-10, atol=1e-10)
        p = te.Density(energy, tree_map(lambda leaf: leaf * 1.1, p.theta), p.space)


@every_energy
def test_log_z_by_a_formula_is_the_integral(energy):
    """`log_partition` and `other_layer` against the sum or the integral of the same function without them."""
    p, _ = example(energy, 8)
    if p.space.dim > 2 and not p.space.discrete:
        return
    if not (hasattr(energy, "log_partition") or hasattr(energy, "other_layer")):
        return
    bare = te.Density(lambda theta, x: energy(theta, x), p.theta, p.space)
    assert te.log_partition(p) == pytest.approx(te.log_partition(bare), abs=1e-8)
