"""Sets of sites that are redrawn together, and sweeps by an energy's formulas against sweeps by whole energies."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import tree_map
from tinyebm.samplers import sites

rng = np.random.default_rng  # every test makes its own
SIDES = [(1, 1), (1, 2), (1, 5), (4, 1), (2, 2), (2, 3), (3, 3), (4, 6), (5, 4), (5, 7), (3, 5)]
KINDS = [(True, True), (True, False), (False, True)]
LATTICES = [te.Ising(shape, *kind) for shape in SIDES for kind in KINDS]


def bits_of(energy, space, seed=0, dtype="float64"):
    """A density with rough parameters."""
    r = rng(seed)
    theta = tree_map(lambda leaf: (leaf + r.normal(0, 0.5, np.shape(leaf))).astype(dtype), energy.init(r))
    return te.Density(energy, theta, space)


OFFERS = [(te.Ising((5, 4)), te.Spins(20)), (te.Ising((3, 5)), te.Spins(15)), (te.Ising((2, 3), simple=False), te.Spins(6)),
          (te.Ising((1, 3), simple=False), te.Bits(3)), (te.Ising((3, 3), False), te.Cells(3, 9)),
          (te.Ising((2, 2)), te.Cells(1, 4)),
          (te.Potts(3, (3, 5)), te.Cells(3, 15)), (te.Potts(2, (4, 4)), te.Bits(16)), (te.BoltzmannMachine(40), te.Bits(40)),
          (te.BoltzmannMachine(7), te.Spins(7)), (te.BoltzmannMachine(7), te.Cells(3, 7)), (te.RBM(9, 5), te.Bits(9)),
          (te.RBM(9, 5), te.Spins(9))]  # fmt: skip
every_offer = pytest.mark.parametrize("energy, space", OFFERS, ids=repr)


def bare(p):
    """The same density by an energy that offers nothing."""
    return te.Density(lambda theta, x: p.energy(theta, x), p.theta, p.space)


# ------------------------------------------------------------------------------------------------- sets

@pytest.mark.parametrize("energy", LATTICES, ids=repr)
def test_sets_of_a_lattice(energy):
    """No two sites of a set see each other.  In order: of neighbours the earlier one is in the earlier set.

    Colours: two if both sides are even or open, five at most.  Catches a torus of odd sides with two colours.
    """
    p = bits_of(energy, te.Spins(energy.dim))
    pairs = {(i, int(j)) for i, row in enumerate(energy.neighbours()) for j in row if i != j}
    for scan in ("systematic", "coloured"):
        found = sites.sets(p, scan)
        number = {int(i): k for k, part in enumerate(found) for i in part}
        assert sorted(i for part in found for i in part) == list(range(energy.dim))
        assert all(number[i] != number[j] for i, j in pairs)
        if scan == "systematic":
            assert all(number[i] < number[j] for i, j in pairs if i < j)
    odd = energy.periodic and any(side % 2 and side > 1 for side in energy.shape)
    assert len(found) <= (5 if odd else 2) and (len(found) > 2 or not odd)
    if max(energy.shape) > 1 and not odd:  # like a chessboard
        row, col = np.divmod(found[0], energy.shape[1])
        assert ((row + col) % 2 == 0).all() and len(found[0]) == -(-energy.dim // 2)


def test_a_site_that_is_seen_sees():
    """A table that lists a pair once.  Catches a set with both of them."""
    @dataclass(frozen=True)
    class Chain(te.Ising):
        def neighbours(self):
            return np.maximum(np.arange(5) - 1, 0)[:, None] if self.periodic else np.minimum(np.arange(5) + 1, 4)[:, None]

    for periodic in (True, False):
        p = bits_of(Chain((1, 5), periodic), te.Spins(5))
        assert [part.tolist() for part in sites.sets(p, "coloured")] == [[0, 2, 4], [1, 3]]
        assert [part.tolist() for part in sites.sets(p, "systematic")] == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("table", [np.zeros((3, 2), int), np.full((4, 1), 4), np.full((4, 1), -1), np.zeros((4, 1)),
                                   np.zeros(4, int)], ids=str)
def test_other_tables_are_refused(table):
    """Catches a negative number that counts from the end, and sites that do not exist."""
    own = {"neighbours": lambda self: table}
    for more in ({}, {"sum_logits": lambda self, theta, values: (1.0, 0.0)}):
        p = bits_of(type("Own", (te.Ising,), own | more)((2, 2)), te.Spins(4))
        refuses_neighbours(p)


def refuses_neighbours(p):
    with pytest.raises(ValueError, match=r"must return the numbers of sites that each site sees, \(4, k\) integers from 0 to 3"):
        te.Gibbs("coloured").step(p, p.space.initial(3, rng(0)), rng(1))


# ------------------------------------------------------------------------------------------------ sweeps

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scan", ["systematic", "random"])
@every_offer
def test_the_draws_of_whole_energies(energy, space, scan, dtype):
    """The same numbers as without the offers, for x of any memory order.  Catches sets that change the order of a sweep,
    uniform numbers of other sites, a table of values shifted by one, and fields that do not follow a change.
    """
    p, kernel = bits_of(energy, space, dtype=dtype), te.Gibbs(scan)
    x = space.initial(200, rng(1)).astype(dtype)
    expected, _ = te.run(kernel, bare(p), x, 5, rng(2))
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        before = same.copy()
        found, _ = te.run(kernel, p, same, 5, rng(2))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(same, before)
        assert found.dtype == dtype


@every_offer
def test_colour_by_colour(energy, space):
    """A sweep by hand: the sites of a colour by the energies of their values, each with its own uniform numbers."""
    p = bits_of(energy, space)
    x, values = space.initial(50, rng(1)), np.array(space.values)
    uniform, y = rng(2).random((space.dim, 50)), x.copy()
    for colour in sites.sets(p, "coloured"):
        drawn = {}
        for i in colour:
            u = np.stack([-energy(p.theta, np.where(np.arange(space.dim) == i, a, y)) for a in values])
            cdf = np.cumsum(np.exp(u - u.max(axis=0)), axis=0)
            drawn[i] = values[(cdf[:-1] / cdf[-1] <= uniform[i]).sum(axis=0)]
        for i, new in drawn.items():
            y[:, i] = new
    np.testing.assert_array_equal(te.Gibbs("coloured").step(p, x, rng(2)).x, y)


@pytest.mark.parametrize("space", [te.Spins, te.Bits])
@pytest.mark.parametrize("energy", [te.Ising((4, 4)), te.Ising((3, 5)), te.Ising((2, 3), simple=False)], ids=repr)
@pytest.mark.parametrize("coupling", [0.6, -0.6, 0.0, 40.0])
def test_counts_of_neighbours(coupling, energy, space, monkeypatch):
    """Sweeps by counts are those of whole energies, every recorded point too, in one call or step by step.

    Catches probabilities shifted by one count, neighbours of the other value counted for a coupling below 0, and trajectories
    of another step.
    """
    theta = {"coupling": np.array(coupling), "field": np.array(0.3)}
    p = te.Density(energy, theta, space(energy.dim))
    x = p.space.initial(100, rng(0))
    for kernel in (te.Gibbs(), te.Gibbs("coloured")):
        found, info = te.run(kernel, p, x, 7, rng(1), record=3)
        y, r, seen = x, rng(1), [x]
        for step in range(1, 8):
            y = kernel.step(p, y, r).x
            seen += [y] if step % 3 == 0 else []
        np.testing.assert_array_equal(found, y)
        np.testing.assert_array_equal(info["trajectory"], seen)
        with monkeypatch.context() as patch:
            patch.setattr(te.samplers.gibbs, "counted_sweeps", lambda *args: None)
            np.testing.assert_array_equal(te.run(kernel, p, x, 7, rng(1))[0], found)
    np.testing.assert_array_equal(te.run(te.Gibbs(), bare(p), x, 7, rng(1))[0], te.run(te.Gibbs(), p, x, 7, rng(1))[0])


def test_sweeps_at_once_are_for_gibbs_itself():
    """Kernels that inherit from it, and mixed ones, take their own steps.  Catches steps of the parent."""
    class Frozen(te.Gibbs):
        def step(self, p, x, rng):
            return te.Move(x)

    p = bits_of(te.Ising((4, 4)), te.Spins(16))
    x = p.space.initial(10, rng(0))
    np.testing.assert_array_equal(te.run(Frozen(), p, x, 5, rng(1))[0], x)
    scans = {1: te.Gibbs(), 2: te.Gibbs("coloured"), 3: te.Gibbs("random")}
    y, r = x, rng(1)
    for kernel in scans.values():
        y = kernel.step(p, y, r).x
    np.testing.assert_array_equal(te.run(scans.get, p, x, 3, rng(1))[0], y)
    half = np.where(np.arange(16) == 3, 0.5, x)  # no state: its neighbours see 0.5
    np.testing.assert_array_equal(te.Gibbs().step(p, half, rng(1)).x, te.Gibbs().step(bare(p), half, rng(1)).x)


def test_two_numbers_for_the_sum():
    own = type("Own", (te.Ising,), {"sum_logits": lambda self, theta, values: (np.zeros(5), 0.0)})
    with pytest.raises(ValueError, match=r"sum_logits of .* must return two numbers"):
        te.Gibbs().step(bits_of(own((4, 4)), te.Spins(16)), te.Spins(16).initial(5, rng(0)), rng(1))


def test_many_chains_in_parts(monkeypatch):
    """Parts of a colour give the numbers of the whole.  Catches a part that is lost or redrawn twice."""
    p = bits_of(te.Ising((6, 8), False), te.Spins(48))
    x, found = p.space.initial(10, rng(0)), []
    for together in (1, 30, 70, 10**6):
        monkeypatch.setattr(sites, "TOGETHER", together)
        found.append(te.Gibbs("coloured").step(p, x, rng(1)).x)
    assert all(np.array_equal(found[0], other) for other in found)


def test_any_number_of_rows():
    for energy, space in OFFERS:
        for scan, n in itertools.product(("systematic", "random", "coloured"), (0, 1)):
            p = bits_of(energy, space)
            assert te.Gibbs(scan).step(p, space.initial(n, rng(0)), rng(1)).x.shape == (n, space.dim)


def test_without_replay_and_in_threads():
    """The numbers of one thread.  Catches arrays that sweeps share."""
    p = [bits_of(energy, space) for energy, space in OFFERS]
    sweep = lambda p: te.run(te.Gibbs("coloured"), p, p.space.initial(30, rng(1)), 5, rng(2))[0]
    alone = list(map(sweep, p))
    with te.plain():
        plainly = list(map(sweep, p))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(sweep, 3 * p))
    for one, other in zip(4 * alone, plainly + together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_magnetisation_of_an_odd_torus():
    """The mean of E by coloured sweeps against exact sums, |z| < 5.  Catches a colour with two neighbours."""
    p = te.Density(te.Ising((3, 5)), {"coupling": np.array(0.3), "field": np.array(0.1)}, te.Spins(15))
    x, _ = te.run(te.Gibbs("coloured"), p, p.space.initial(20_000, rng(0)), 50, rng(1))
    found = p.energy(p.theta, x)
    exact = te.expectation(p, lambda x: p.energy(p.theta, x))
    assert abs(found.mean() - exact) / found.std() * math.sqrt(len(x)) < 5


# ------------------------------------------------------------------------------------- energies of one's own

class Tilted(te.Ising):
    """Another energy, which inherits formulas that are wrong for it."""

    def __call__(self, theta, x):
        return super().__call__(theta, x) - 2.0 * ops.sum(x * np.arange(self.dim), axis=1) / self.dim


class Coupled(te.BoltzmannMachine):
    def __call__(self, theta, x):
        return super().__call__(theta, x) - 0.8 * x[:, 0] * x[:, 1] * x[:, 2]


class Shifted(te.RBM):
    def hidden_logits(self, theta, v):
        return super().hidden_logits(theta, v) + 0.9


@pytest.mark.parametrize("scan", ["systematic", "random", "coloured"])
@pytest.mark.parametrize("energy, space", [(Tilted((2, 2)), te.Spins(4)), (Coupled(4), te.Bits(4)), (Shifted(4, 2), te.Bits(4))])
def test_formulas_of_a_parent_are_not_used(energy, space, scan):
    """Nor its `multilinear`.  Catches a sampler of the parent's density."""
    p = bits_of(energy, space)
    x = space.initial(100, rng(1))
    for kernel in (te.Gibbs(scan), te.GibbsWithGradients()):
        np.testing.assert_array_equal(te.run(kernel, p, x, 4, rng(2))[0], te.run(kernel, bare(p), x, 4, rng(2))[0])


def test_an_own_formula_goes_before_the_parent_s_turns():
    """A class with its own `site_logits`.  Catches `in_turn` of the parent in its place."""
    class Hot(te.BoltzmannMachine):
        def __call__(self, theta, x):
            return 0.1 * super().__call__(theta, x)

        def site_logits(self, theta, x, sites, values):
            return 0.1 * super().site_logits(theta, x, sites, values)

    class Told(te.BoltzmannMachine):
        seen = []

        def site_logits(self, theta, x, sites, values):
            self.seen.append(len(sites))
            return super().site_logits(theta, x, sites, values)

    p, x = bits_of(Hot(5), te.Bits(5)), te.Bits(5).initial(100, rng(1))
    np.testing.assert_array_equal(te.run(te.Gibbs(), p, x, 4, rng(2))[0], te.run(te.Gibbs(), bare(p), x, 4, rng(2))[0])
    te.Gibbs().step(bits_of(Told(5), te.Bits(5)), x, rng(1))
    assert Told.seen == [1] * 5


class Weighted:
    """Bits with a measure: log 3 for every 1."""

    dim, discrete, values, bounded = 4, True, (0.0, 1.0), True

    def __getattr__(self, name):
        return getattr(te.Bits(4), name)

    def log_base(self, x):
        return math.log(3) * x.sum(axis=1)


class Heavy(te.Bits):
    def log_base(self, x):
        return math.log(3) * x.sum(axis=1)


@pytest.mark.parametrize("space", [Weighted(), Heavy(4)], ids=["own", "inherited"])
def test_a_measure_of_one_s_own_counts(space):
    """Without interaction the mean of a bit is 3/4, |z| < 5.  Catches formulas that know nothing of the space's measure."""
    machine = te.BoltzmannMachine(4)
    p = te.Density(machine, {"W": np.zeros(6), "b": np.zeros(4)}, space)
    for scan in ("systematic", "coloured"):
        x = te.Gibbs(scan).step(p, te.Bits(4).initial(5000, rng(0)), rng(1)).x
        assert abs(x.mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / x.size)


@dataclass(frozen=True)
class HardCore:
    """Neighbours on a ring are never both on; of three values, 2 is possible beside 0 alone."""

    dim: int
    q: int = 2

    def __call__(self, theta, x):
        left = np.roll(x, 1, axis=1)
        return np.where(((left > 0) & (x > 0)).any(axis=1), np.inf, -theta["b"] * (x > 0).sum(axis=1, dtype=x.dtype))

    def neighbours(self):
        return (np.arange(self.dim)[:, None] + [1, -1]) % self.dim

    def site_logits(self, theta, x, sites, values):
        free = (x[:, self.neighbours()[sites]] == 0).all(axis=2)  # (n, m)
        with np.errstate(invalid="ignore"):
            on = np.where(free, theta["b"], -np.inf)
            off = np.where(x[:, sites] == x[:, sites], 0.0, np.nan)
        return on - off if len(values) == 2 else np.stack([off, *[on] * (len(values) - 1)], axis=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("q", [2, 3])
def test_walls_of_one_s_own_energy(q, dtype):
    """The same draws as by whole energies.  Catches e^inf / e^inf, and a value without mass that is drawn."""
    energy, space = HardCore(6, q), te.Cells(q, 6)
    p = te.Density(energy, {"b": np.array(0.8, dtype)}, space)
    x = np.zeros((300, 6), dtype)
    for scan in ("systematic", "random"):
        found = te.run(te.Gibbs(scan), p, x, 6, rng(1))[0]
        np.testing.assert_array_equal(found, te.run(te.Gibbs(scan), bare(p), x, 6, rng(1))[0])
    found = te.run(te.Gibbs("coloured"), p, x, 6, rng(1))[0]
    assert np.isfinite(energy(p.theta, found)).all() and (found > 0).any()


@pytest.mark.parametrize("q", [2, 3])
def test_sites_without_a_possible_value_become_nan(q):
    """Catches the first value taken for a draw."""
    nowhere = type("Nowhere", (HardCore,), {"__call__": lambda self, theta, x: np.full(len(x), np.nan), "site_logits":
                   lambda self, theta, x, sites, values: np.full((len(x), len(sites), q)[: q], np.nan)})(6, q)
    p = te.Density(nowhere, {"b": np.array(0.8)}, te.Cells(q, 6))
    for scan in ("systematic", "coloured"):
        assert np.isnan(te.Gibbs(scan).step(p, np.zeros((5, 6)), rng(0)).x).all()
    assert np.isnan(te.Gibbs("random").step(p, np.zeros((5, 6)), rng(0)).x).sum() == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@every_offer
def test_numbers_that_are_not_finite(energy, space, bad):
    """In θ, and in a row: what whole energies give.  Catches rows of nan that heal, and infinite fields that decide."""
    p = bits_of(energy, space)
    worse = te.Density(energy, p.theta | {(key := sorted(p.theta)[-1]): p.theta[key] + bad}, space)
    x = space.initial(20, rng(1))
    spoilt = x.copy()
    spoilt[3, -1] = bad
    for scan in ("systematic", "random"):
        for density, start in ((worse, x), (p, spoilt)):
            with np.errstate(all="ignore"):
                found, expected = (te.Gibbs(scan).step(d, start, rng(2)).x for d in (density, bare(density)))
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("q, shape", [(2, (5, 6, 2)), (2, (6, 5)), (2, (5,)), (3, (5, 6)), (3, (3, 6, 5)), (3, (5, 6, 2))])
def test_formulas_of_another_shape_are_refused(q, shape):
    """In all scans.  Catches logits that broadcast, or whose rows are taken for sites."""
    own = type("Own", (HardCore,), {"site_logits": lambda self, theta, x, sites, values: np.zeros(
        tuple({5: len(x), 6: len(sites)}.get(n, n) for n in shape))})(6, q)
    p = te.Density(own, {"b": np.array(0.8)}, te.Cells(q, 6))
    for scan in ("systematic", "random", "coloured"):
        with pytest.raises(ValueError, match=r"site_logits of .* must return an array of shape \(5, .* got \("):
            te.Gibbs(scan).step(p, np.zeros((5, 6)), rng(0))
