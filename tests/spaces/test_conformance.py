"""What every space has, the package's and one's own: atoms that integrate, starts that lie within, exact answers that agree."""

import itertools
import math

import numpy as np
import pytest
from scipy import special

import tinyebm as te
from examples import of_page
from tinyebm import ops
from tinyebm.common.kinds import Space
from tinyebm.density import exponent
from tinyebm.samplers.metropolis import Move
from tinyebm.spaces.own import OwnSpace, complete


class Permutations:
    """The orders of 0, ..., dim - 1: a discrete space that is no product of sites, with the required members alone."""

    dim, discrete = 4, True

    def atoms(self, nodes=None):
        states = np.array(list(itertools.permutations(range(self.dim))), dtype=float)
        return states, np.zeros(len(states))

    def initial(self, n, rng):
        return np.argsort(rng.random((n, self.dim)), axis=1) * 1.0

    def contains(self, x):
        return (np.sort(x, axis=1) == np.arange(self.dim)).all(axis=1)


class Triangle:
    """x, y > 0 and x + y < 1, with the density 2x against area as its measure: both optional members of a continuous space."""

    dim, discrete = 2, False

    def atoms(self, nodes=None):
        t, w = np.polynomial.legendre.leggauss(nodes or 40)
        u, v = (part.ravel() for part in np.meshgrid((t + 1) / 2, (t + 1) / 2))
        log_w = np.log(np.outer(w, w).ravel() / 4 * (1 - u))
        return np.stack([u, v * (1 - u)], axis=1), log_w

    def initial(self, n, rng):
        return rng.dirichlet([2.0, 1.0, 1.0], n)[:, :2]

    def contains(self, x):
        return (x >= 0).all(axis=1) & (x.sum(axis=1) <= 1)

    def log_base(self, x):
        return ops.log(2 * x[:, 0])

    def fold(self, x):
        x = np.abs(x)
        return np.where(x.sum(axis=1, keepdims=True) > 1, np.mod(1 - x[:, ::-1], 0.5), x)


Circle = of_page(te.spaces, "Circle")
normal = lambda x: np.exp(-0.5 * (x**2).sum(axis=1))
INTEGRALS = [  # a space, a function, its integral
    (te.Reals(1), normal, math.sqrt(2 * math.pi)), (te.Reals(2), normal, 2 * math.pi),
    (te.Reals(2, base_scale=0.5), lambda x: x[:, 1] ** 2, 0.25), (te.Box(-3, 5, 2), lambda x: x[:, 0] ** 2, 8 * (125 + 27) / 3),
    (te.Box(0, 1, 1, panels=3), lambda x: x[:, 0] > 1 / 3, 2 / 3), (te.Bits(5), lambda x: x[:, 4], 16),
    (te.Spins(4), lambda x: x[:, 0] * x[:, 1] + 1, 16), (te.Cells(5), lambda x: x[:, 0], 10),
    (te.Cells(3, 2), lambda x: x[:, 0] * x[:, 1], 9), (Circle(), lambda x: np.cos(x[:, 0]) ** 2, math.pi),
    (Permutations(), lambda x: x[:, 3], 36), (Triangle(), lambda x: x[:, 0], 1 / 6)]  # fmt: skip
BOUNDED = [space for space, *_ in INTEGRALS if not isinstance(space, te.Reals)]
name_of = lambda space: type(space).__name__ if " at 0x" in repr(space) else repr(space)[:30]
every_space = pytest.mark.parametrize("space", [space for space, *_ in INTEGRALS], ids=name_of)
bounded = pytest.mark.parametrize("space", BOUNDED, ids=name_of)


def feature(x):
    """A number for every row that no symmetry of a space leaves constant, (n,)."""
    return ops.sum(ops.sin(x) * (1.0 + np.arange(x.shape[1])), axis=1)


def tilted(space, theta=0.7):
    """The density of e^{theta feature(x)} against the measure of a space."""
    return te.Density(lambda theta, x: -theta * feature(x), np.array(theta), space)


def weights(space, nodes=None):
    """Its atoms and their shares of μ."""
    x, log_w = complete(space).atoms(nodes)
    return x, np.exp(log_w + complete(space).log_base(x))


@pytest.mark.parametrize(("space", "f", "integral"), INTEGRALS, ids=lambda value: name_of(value) if hasattr(value, "dim") else "")
def test_atoms_integrate(space, f, integral):
    """Catches weights of another volume, a base measure that is left out, and states listed twice."""
    x, log_w = space.atoms()

    assert x.shape == (len(log_w), space.dim) and log_w.shape == (len(x),)
    assert x.dtype == log_w.dtype == np.float64 and space.contains(x).all()
    if space.discrete:
        assert not log_w.any() and len(np.unique(x, axis=0)) == len(x)
    elif isinstance(space, Triangle):
        integral = 2 * math.gamma(3) / math.gamma(5)  # ∫ 2x · x over the triangle
    assert weights(space)[1] @ f(x) == pytest.approx(integral, rel=1e-9)


@every_space
def test_starts_lie_within(space):
    """Of any number, by the generator alone.  Catches the global generator, and rows of another width."""
    draws = [space.initial(50, np.random.default_rng(seed)) for seed in (1, 1, 2)]

    assert draws[0].shape == (50, space.dim) and draws[0].dtype == np.float64 and space.contains(draws[0]).all()
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    assert space.initial(0, np.random.default_rng(0)).shape == (0, space.dim)
    assert not space.contains(np.full((2, space.dim), np.nan)).any()


@bounded
def test_starts_are_draws_of_the_measure(space):
    """Means of features, |z| < 5.  Catches starts in a part of the space, and a measure of another density."""
    n, (x, mass) = 20_000, weights(space)
    start, mass = space.initial(n, np.random.default_rng(5)), mass / mass.sum()
    for f in (lambda x: x[:, 0], feature):
        mean = mass @ f(x)
        sd = math.sqrt(mass @ (f(x) - mean) ** 2)
        assert abs(f(start).mean() - mean) <= 5 * sd / math.sqrt(n)


@every_space
def test_folding_keeps_what_is_within(space):
    """Catches points that are moved for nothing, and some that stay outside."""
    whole, rng = complete(space), np.random.default_rng(3)
    if space.discrete:
        return
    x = space.initial(30, rng)
    np.testing.assert_array_equal(whole.fold(x), x)
    if not isinstance(space, Circle):  # which has no fold
        assert space.contains(whole.fold(x + 0.3 * rng.standard_normal(x.shape))).all()


@every_space
def test_exact_answers_are_sums_over_atoms(space):
    """log Z, probabilities, expectation, entropy and log p.  Catches a default that is another than the one documented."""
    p = tilted(space)
    if isinstance(space, te.Reals) and space.base_scale is None:
        p = te.Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1) - theta * feature(x), p.theta, space)
    x, log_w = space.atoms()
    u = exponent(p, x) + log_w
    log_z, mass = special.logsumexp(u), special.softmax(u)

    assert te.log_partition(p) == pytest.approx(log_z, abs=1e-8)
    np.testing.assert_allclose(te.probabilities(p), mass, atol=1e-12)
    assert te.expectation(p, feature) == pytest.approx(mass @ feature(x), abs=1e-7)
    assert te.entropy(p) == pytest.approx(log_z - mass @ (u - log_w), abs=2e-6)
    rows = np.concatenate([x[:3], np.full((1, space.dim), np.inf)])
    np.testing.assert_allclose(te.log_prob(p, rows), [*(u - log_w)[:3] - log_z, -np.inf], atol=1e-8)


@bounded
def test_draws_follow_the_density(space):
    """Means of features, |z| < 5.  Catches draws of the measure, or of the atoms alone."""
    p, n = tilted(space), 8_000
    x = te.sample(p, n, np.random.default_rng(0))
    assert x.shape == (n, space.dim) and space.contains(x).all()
    assert te.sample(p, 0, np.random.default_rng(0)).shape == (0, space.dim)
    assert space.discrete or len(np.unique(x[:, 0])) == n
    for f in (lambda x: np.cos(x[:, 0]), feature):
        mean = te.expectation(p, f)
        sd = math.sqrt(max(te.expectation(p, lambda x, f=f, mean=mean: (f(x) - mean) ** 2), 0.0))
        assert abs(f(x).mean() - mean) <= 5 * sd / math.sqrt(n) + 1e-12


class Redraw:
    """Metropolis's rule with draws of the base measure as proposals."""

    def step(self, p, x, rng):
        y = p.space.initial(len(x), rng).astype(x.dtype)
        accepted = np.log(rng.random(len(x))) < p.energy(p.theta, x) - p.energy(p.theta, y)
        return Move(np.where(accepted[:, None], y, x), accepted)


@bounded
def test_a_kernel_of_ones_own(space):
    """From draws of the density it keeps their means, from draws of the measure it comes to them.

    Catches a space that a kernel does not see as it is.
    """
    p, n = tilted(space), 4_000
    mean = te.expectation(p, feature)
    sd = math.sqrt(te.expectation(p, lambda x: (feature(x) - mean) ** 2))
    for start, steps in ((te.sample(p, n, np.random.default_rng(0)), 2), (space.initial(n, np.random.default_rng(0)), 30)):
        x, info = te.run(Redraw(), p, start, steps, np.random.default_rng(1))
        assert 0 < info["acceptance"] <= 1 and space.contains(x).all()
        assert abs(feature(x).mean() - mean) <= 5 * sd / math.sqrt(n)


@bounded
def test_maximum_likelihood(space):
    """At the maximum the model's mean of the feature is the data's; a step of fit is their difference; CD stays near.

    Catches a space that training does not take, and a gradient over other atoms.
    """
    x = te.sample(tilted(space), 200, np.random.default_rng(0))
    energy, mean = tilted(space).energy, feature(x).mean()
    best = te.mle(energy, x, space, theta=np.array(0.0), progress=False)
    assert te.expectation(best.density, feature) == pytest.approx(mean, abs=1e-5)

    options = {"space": space, "optimizer": te.sgd(0.1), "progress": False, "batch_size": None}
    found = te.fit(energy, x, objective=te.ExactLikelihood(), theta=np.array(0.0), steps=1, **options)
    assert found.theta == pytest.approx(0.1 * (mean - te.expectation(tilted(space, 0.0), feature)), abs=1e-5)
    found = te.fit(energy, x, objective=te.ContrastiveDivergence(Redraw(), 3), theta=best.theta, steps=10, **options)
    assert 0 < abs(found.theta - best.theta) < 0.3


# ------------------------------------------------------------------------------ one's own

def test_jumps_on_a_space_of_ones_own():
    """Are refused, for nothing cuts the space at them.  Catches an error that is stated too small."""
    p = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, Circle())
    with pytest.raises(te.QuadratureError, match="on a space of one's own f must be smooth"):
        te.expectation(p, lambda x: x[:, 0] > 1.2)
    assert te.expectation(p, lambda x: np.cos(40 * x[:, 0]) ** 2) == pytest.approx(0.5, abs=1e-12)


def test_what_does_not_settle_is_refused():
    """Catches log Z of the last grid for log Z."""
    p = te.Density(lambda theta, x: -40_000 * ops.cos(x[:, 0]), {}, Circle())
    with pytest.raises(te.QuadratureError, match="has not settled to rtol=1e-08 with 100 atoms"):
        te.log_partition(p, max_nodes=100)


def test_mallows():
    """Inversions of permutations: Z = Π (1 - q^i) / (1 - q), Mallows 1957.  Catches a state that is left out."""
    first, second = np.triu_indices(4, 1)
    inversions = lambda theta, x: theta * (x[:, first] > x[:, second]).sum(axis=1)
    q = math.exp(-0.5)
    log_z = sum(math.log((1 - q**i) / (1 - q)) for i in range(1, 5))

    assert te.log_partition(te.Density(inversions, np.array(0.5), Permutations())) == pytest.approx(log_z, abs=1e-13)


def test_the_protocol_is_what_is_needed():
    """Catches a member that is listed and not asked for, or the other way round."""
    listed = {name for name in vars(Space) if not name.startswith("_")}
    assert listed == {"dim", "discrete", "atoms", "initial", "contains"}
    for name in listed:
        others = {other: getattr(Permutations, other) for other in listed - {name}}
        with pytest.raises(ValueError, match=f"space must be a space.*, which has no {name}$"):
            te.Density(lambda theta, x: x[:, 0], {}, type("Space", (), others)())


class Even:
    """Two even numbers below 6 each: a product of sites, which names their values."""

    dim, discrete, values = 2, True, (0.0, 2.0, 4.0)
    atoms = lambda self, nodes=None: (np.array(list(itertools.product(self.values, repeat=2))), np.zeros(9))
    initial = lambda self, n, rng: 2.0 * rng.integers(3, size=(n, 2))
    contains = lambda self, x: np.isin(x, self.values).all(axis=1)


def test_gibbs_on_a_product_of_sites():
    """Frequencies of pairs after Gibbs sampling, |z| < 5.  Catches values that are not those of the space."""
    p, n = tilted(Even()), 8_000
    x, _ = te.run(te.Gibbs(), p, p.space.initial(n, np.random.default_rng(0)), 5, np.random.default_rng(1))
    counts = np.array([(x == state).all(axis=1).sum() for state in p.space.atoms()[0]])
    mass = te.probabilities(p)
    assert counts.sum() == n and np.abs((counts - n * mass) / np.sqrt(n * mass * (1 - mass))).max() < 5


def test_what_is_missing_is_named():
    """Gibbs sampling wants a product of sites.  Catches an AttributeError without the space's name."""
    p = tilted(Permutations())
    assert isinstance(p.space, OwnSpace) and repr(p.space) == repr(p.space.space)
    with pytest.raises(AttributeError, match="Permutations.* has no 'values', and what was asked for does not work without"):
        te.run(te.Gibbs(), p, p.space.initial(3, np.random.default_rng(0)), 1, np.random.default_rng(0))


class Tilted:
    """The energy -theta feature(x)."""

    def init(self, rng):
        return np.array(0.1)

    def __call__(self, theta, x):
        return -theta * feature(x)


class Pushed(Redraw):
    """Independent draws of the density, and what they do to probabilities."""

    def step(self, p, x, rng):
        return Move(te.sample(p, len(x), rng))

    def push(self, probabilities, p):
        return te.probabilities(p) * probabilities.sum()


@pytest.mark.parametrize("space", [Circle(), Permutations()], ids=name_of)
def test_comparisons_leave_out_what_a_space_does_not_offer(space):
    """Catches a missing member that costs a comparison all its rows, and numbers that could be had."""
    x = te.sample(tilted(space), 40, np.random.default_rng(0))
    kernel = Pushed() if space.discrete else te.ULA(0.1)
    methods = {"mle": None, "perfect": None, "cd": te.ContrastiveDivergence(kernel, 1)}
    rows = te.compare(x, methods, energy=Tilted(), space=space, steps=3, race=False, progress=False).rows
    mle, perfect, cd = (next(row for row in rows if row["method"] == name) for name in methods)

    assert np.isfinite(mle["nll"]) and np.isfinite(cd["kl"]) and np.isfinite(mle["tv"]) == space.discrete
    assert np.isfinite(cd["angle"]) == np.isfinite(perfect.get("nll", np.nan)) == space.discrete
    assert not any("unknown" in row for row in rows)  # what a space does not offer is no error


def test_rows_are_found_among_atoms():
    """Exact CD by independent draws is the exact gradient.  Catches states that are counted as others."""
    p = tilted(Permutations())
    x = te.sample(p, 9, np.random.default_rng(0))
    np.testing.assert_allclose(te.exact_cd_gradient(p, x, Pushed(), 1), te.nll_gradient(p, x), atol=1e-12)
