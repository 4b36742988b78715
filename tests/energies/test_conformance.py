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
           te.Potts(3, (2, 3)), te.Ising((1, 3), simple=False), te.Potts(2, (3, 3))]  # fmt: skip
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


# ------------------------------------------------------- what a site sees of the others (`site_logits`)

OFFERING = [energy for energy in MEMBERS if hasattr(energy, "site_logits")]
every_offer = pytest.mark.parametrize("energy", OFFERING, ids=repr)
VALUES = [(0.0, 1.0), (-1.0, 1.0), (0.0, 1.0, 2.0), (2.0,)]


def by_energies(energy, theta, x, i, values):
    """`site_logits` of one site by its definition: -E with each value there, for two values the difference."""
    u = np.stack([-energy(theta, np.where(np.arange(x.shape[1]) == i, a, x)) for a in values], axis=-1)
    return u[:, 1] - u[:, 0] if len(values) == 2 else u - u.mean(axis=1, keepdims=True)


def centred(logits, values):
    return logits if len(values) == 2 else logits - logits.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("values", VALUES, ids=str)
@every_offer
def test_what_a_site_sees(energy, values):
    """The differences of -E at every site, for sites in any order, x of any memory order, in both precisions.

    Catches fields without b or with half of W, a bond of a site with itself, a difference of the wrong sign.
    """
    p, _ = example(energy, 9)
    x = space_with(values, energy.dim).initial(11, np.random.default_rng(0)) if len(values) > 1 else np.full((11, energy.dim), 2.0)
    sites = np.random.default_rng(1).permutation(energy.dim)
    expected = np.stack([by_energies(energy, p.theta, x, i, values) for i in sites], axis=1)
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], np.repeat(x, 3, axis=1)[:, ::3]):
        found = energy.site_logits(p.theta, same, sites, values)
        assert found.shape == ((11, len(sites)) if len(values) == 2 else (11, len(sites), len(values)))
        np.testing.assert_allclose(centred(found, values), expected, atol=1e-12)
    single = tree_map(lambda leaf: leaf.astype("float32"), p.theta)
    assert energy.site_logits(single, x.astype("float32"), sites[:1], values).dtype == np.float32
    assert energy.site_logits(p.theta, x[:0], sites, values).shape[:2] == (0, len(sites))


@pytest.mark.parametrize("values", VALUES[:3], ids=str)
@pytest.mark.parametrize("energy", [*filter(lambda e: hasattr(e, "in_turn"), OFFERING), te.BoltzmannMachine(71)], ids=repr)
def test_what_a_site_sees_after_the_others_have_changed(energy, values):
    """`in_turn` equals `site_logits` at the present x, also across blocks.  Catches fields that do not follow a change."""
    p, _ = example(energy, 9)
    space, rng = space_with(values, energy.dim), np.random.default_rng(0)
    for x in (space.initial(11, rng), np.asfortranarray(space.initial(11, rng))):
        turns = 0
        for i, logits in enumerate(energy.in_turn(p.theta, x, values)):
            expected = energy.site_logits(p.theta, x, np.array([i]), values)[:, 0]
            np.testing.assert_allclose(logits, expected, atol=1e-12)
            x[:, i], turns = space.initial(11, rng)[:, i], turns + 1
        assert turns == energy.dim


@every_offer
def test_sites_that_do_not_see_each_other(energy):
    """E(x) - E(x with a) - E(x with b) + E(x with both) = 0 for all pairs that are not `neighbours`; and they are mutual."""
    p, x = example(energy, 9, 20)
    if not hasattr(energy, "neighbours"):
        return
    table, d = energy.neighbours(), energy.dim
    other, site = np.roll(x, 1, axis=0), np.arange(d)
    pairs = {(i, j) for i in site for j in table[i]}
    assert table.shape[0] == d and pairs == {(j, i) for i, j in pairs}
    at = lambda *changed: energy(p.theta, np.where(np.isin(site, changed), other, x))
    mixed = {(i, j): np.abs(at() - at(i) - at(j) + at(i, j)).max() for i in site for j in site if i != j}
    assert {pair for pair, size in mixed.items() if size > 1e-12} <= pairs


@every_offer
def test_linear_in_every_site(energy):
    """E on 0, 1, 2 of each site is on a line exactly if the energy says so.  Catches a promise that RBM cannot keep."""
    p, x = example(energy, 9, 20)
    at = lambda i, a: energy(p.theta, np.where(np.arange(energy.dim) == i, a, x))
    bend = max(np.abs(at(i, 0.0) - 2 * at(i, 1.0) + at(i, 2.0)).max() for i in range(energy.dim))
    assert getattr(energy, "multilinear", False) == (bend < 1e-12) or isinstance(energy, te.Potts)
