"""Which programs are remembered, under which key, for how long: a stale answer is wrong without a word."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density, ops
from tinyebm.common.tree import tree_flatten
from tinyebm.exact.gradient import _weighted_gradient
from tinyebm.replay import plans
from tinyebm.replay.door import add, by_rows, reduce_rows, remembering
from tinyebm.replay.mode import THREAD
from tinyebm.replay.plans import MEMORY
from tinyebm.samplers import langevin


@dataclass(frozen=True)
class Bowl:
    """c |x - m|² / 2: frozen, but not the package's own, so that nothing is known of what it reads."""

    c: float = 1.0

    def init(self, rng):
        return {"m": np.zeros(2)}

    def __call__(self, theta, x):
        return 0.5 * self.c * ops.sum(ops.square(x - theta["m"]), axis=1)


@dataclass
class Loose:
    """The same, but it may change."""
    c: float = 1.0
    init, __call__ = Bowl.init, Bowl.__call__


@dataclass(eq=False)
class Drifting:
    """The same; it may change, and has a hash for all that."""
    c: float = 1.0
    init, __call__ = Bowl.init, Bowl.__call__


@dataclass(frozen=True)
class Holding:
    """The same, with an array: it has no hash."""
    c: np.ndarray
    init, __call__ = Bowl.init, Bowl.__call__


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """No plans from other tests."""
    monkeypatch.setattr(plans, "_PLANS", type(plans._PLANS)())


def plan(function, p, rows, settings=(), **options):
    return plans.plan(function, p, tree_flatten(p.theta)[0], rows, settings, **options)


def points(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2))


def law(energy, space=None, m=(0.0, 0.0)):
    return te.Density(energy, {"m": np.array(m)}, space or te.Reals(2))


def own(c=1.0, space=None, dtype="d", **options):
    """A density of the package's own."""
    net = te.MLP((2, 3, 1), confinement=c, **options)
    theta = te.common.tree.tree_map(lambda leaf: leaf.astype(dtype), te.MLP((2, 3, 1)).init(np.random.default_rng(1)))
    return te.Density(net, theta, space or te.Reals(2))


ASKED = {
    "run": lambda p: te.run(te.ULA(0.1), p, points(2000), 5, np.random.default_rng(0))[0],
    "log Z": lambda p: float(te.log_partition(p)),
    "exponents": lambda p: density.exponents(p, points(5000)),
    "nll": lambda p: te.nll_gradient(p, points(5000))["m"],
    "training": lambda p: te.fit(p.energy, points(50), p.space, te.ContrastiveDivergence(te.ULA(0.1)), steps=2, progress=False,
    exact=False,
                                 theta=p.theta).theta["m"],
}


@pytest.mark.parametrize("ask", ASKED)
def test_what_a_callable_reads_may_change(ask):
    """A function of a global, which changes between two calls, and changes back.  Catches a program that outlives its call."""
    world = {"c": 1.0}
    energy = lambda theta, x: Bowl(world["c"])(theta, x)
    for c in (1.0, 3.0, 1.0):
        world["c"] = c
        np.testing.assert_allclose(ASKED[ask](law(energy)), ASKED[ask](law(Bowl(c))), rtol=1e-10, atol=1e-10)
    assert not plans._PLANS


@pytest.mark.parametrize("energy", [Bowl(), Loose(), Drifting(), Holding(np.array(1.0))], ids=lambda e: type(e).__name__)
def test_what_cannot_promise_is_not_remembered(energy):
    """Catches trust in whatever is frozen or has a hash, and a hash that is asked of what has none."""
    want = density.exponent(law(Bowl()), points(5000))

    np.testing.assert_allclose(density.exponents(law(energy), points(5000)), want, rtol=1e-12)
    assert not plans._PLANS
    if not isinstance(energy, (Bowl, Holding)):
        energy.c = 2.0
        np.testing.assert_allclose(density.exponents(law(energy), points(5000)), 2 * want, rtol=1e-12)


def test_the_package_s_own_are_remembered():
    """An equal one too, whatever θ.  Catches a key of identity, and one with numbers of θ in it."""
    first = plan(density.exponent, own(2.0), (points(100),))

    doubled = replace(own(2.0), theta=te.common.tree.tree_map(lambda a: 2 * a, own().theta))
    assert first is plan(density.exponent, doubled, (points(110, 1),)) and len(plans._PLANS) == 1


def same(x, p=None, function=density.exponent, settings=()):
    return (function, p or own(), (x,) * (1 + len(settings) // 2), settings)


X, STEP = np.zeros((100, 2)), np.array(0.1)
OTHERS = {
    "function": same(X, function=density._exponent_and_score), "energy": same(X, own(2.0)), "type of a field": same(X, own(1)),
    "one that is equal to another": same(X, own(np.float64(1.0))), "its text": same(X, own(activation="tanh")),
    "space": same(X, own(space=te.Reals(2, base_scale=2.0))), "walls": same(X, own(space=te.Box(0.0, 1.0, 2))),
    "walls as integers": same(X, own(space=te.Box(0, 1, 2))),
    "zero": same(X, own(space=te.Box(-0.0, 1.0, 2))),
    "type of θ": same(X, own(dtype="f")), "type of x": same(X.astype("f")), "points": same(np.zeros((400, 2))),
    "shape of θ": same(X, te.Density(te.MLP((2, 4, 1)), te.MLP((2, 4, 1)).init(np.random.default_rng(1)), te.Reals(2))),
    "structure of θ": same(X, replace(own(), theta=tuple(own().theta))),
    "order of θ": same(X, replace(own(), theta=[dict(reversed(layer.items())) for layer in own().theta])),
    "settings": same(X, function=langevin.moved, settings=(STEP, STEP)),
    "type of settings": same(X, function=langevin.moved, settings=(STEP.astype("f"), STEP.astype("f"))),
}


def test_what_makes_another_program():
    """Everything that changes an instruction is in the key, a field's type for one: 1, 1.0 and True are three.

    Catches a key without types, shapes, structure, space or function, and one that takes for the same what is only equal.
    """
    found = [plan(f, p, rows, settings) for f, p, rows, settings in [same(X), *OTHERS.values()]]

    assert None not in found and len({id(p) for p in found}) == len(found) == len(plans._PLANS)


@pytest.mark.parametrize("name", OTHERS)
def test_answers_of_other_programs(agree, name):
    """One after the other, twice.  Catches one program's answer for another's question."""
    (f, p, rows, settings), (g, q, others, more) = same(X + 0.3), OTHERS[name]
    for _ in range(2):
        for function, law, x, numbers in ((f, p, rows, settings), (g, q, others, more)):
            agree(te.common.tree.tree_flatten(by_rows(function, law, *x, settings=numbers))[0],
                  te.common.tree.tree_flatten(function(law, *x, *numbers))[0])


def test_training_forgets_its_callable():
    """`fit` and `mle` trust a callable while they last, and leave nothing of it; others stay.  Catches a plan for the next
    function of that name, and plans that are made anew at every step."""
    traced, world = [], {"c": 1.0}

    def energy(theta, x):
        traced.append(type(x).__name__)
        return Bowl(world["c"])(theta, x)

    kept = plan(density.exponent, own(), (points(100),))
    te.fit(energy, points(500), te.Reals(2), te.ContrastiveDivergence(te.ULA(0.1)), steps=20, theta={"m": np.ones(2)},
    progress=False, exact=False)
    assert 0 < traced.count("Traced") <= 2 and traced.count("Var") <= 50
    te.mle(energy, points(500), theta={"m": np.ones(2)}, progress=False)

    assert list(plans._PLANS.values()) == [kept] and not THREAD.scopes
    assert plan(density.exponent, own(), (points(100),)) is kept


class Twin:
    """A callable that takes itself for any other of its kind."""

    __call__, __eq__, __hash__ = lambda self, theta, x: Bowl()(theta, x), lambda self, other: type(other) is Twin, lambda self: 0


def test_trust_ends_with_the_block_however_it_ends():
    """Nested, and by an exception; the package's own are remembered beyond.  Catches trust that outlives an error."""
    energy = lambda theta, x: Bowl()(theta, x)
    lasting, twin = own(), Twin()
    with pytest.raises(KeyError), remembering(energy):
        with remembering(lasting.energy, lasting.space), remembering(twin):
            kept = plan(density.exponent, lasting, (points(100),))
            assert plan(density.exponent, law(Twin()), (points(100),)) is None
            assert plan(density.exponent, law(twin), (points(100),)) is not None
        assert plan(density.exponent, law(energy), (points(100),)) is plan(density.exponent, law(energy), (points(100),))
        raise KeyError
    assert list(plans._PLANS.values()) == [kept] and not THREAD.scopes
    assert plan(density.exponent, law(energy), (points(100),)) is None


def test_memory_is_bounded_and_drops_the_oldest():
    """The latest MEMORY plans that were used.  Catches a memory that grows, and one that drops what is in use."""
    first = plan(density.exponent, own(0.5), (points(100),))
    for c in range(1, MEMORY + 20):
        plan(density.exponent, own(float(c)), (points(100),))
        assert plan(density.exponent, own(0.5), (points(100),)) is first
        assert len(plans._PLANS) <= MEMORY
    assert len(plans._PLANS) == MEMORY
    assert {plan.model.energy.confinement for plan in plans._PLANS.values()} == {0.5, *range(21, MEMORY + 20)}


def test_what_cannot_be_replayed_is_tried_once():
    """A refusal is remembered as one.  Catches a trace at every call."""
    traced = []

    def branching(theta, x):
        traced.append(type(x).__name__)
        return ops.sum(x * x, axis=1) if x[0, 0] < 99 else None

    with remembering(branching):
        for _ in range(3):
            density.exponents(law(branching), points(100))
    assert traced.count("Traced") == 1


M = np.zeros(2)


def test_only_plain_arrays_and_enough_work():
    """Catches lists, complex numbers, watched arrays and empty ones handed to a program, and a callable compiled for ten points."""
    energy, x = lambda theta, x: Bowl()(theta, x), points(100)

    assert plan(density.exponent, law(energy), (x,)) is None and plan(density.exponent, law(energy), (x,), steps=41) is not None
    assert plan(density.exponent, law(energy), (points(4096),)) is not None and plan(density.exponent, law(energy),
    (points(4095),)) is None
    with remembering(energy):
        for theta, rows in (({"m": np.zeros(2, complex)}, x), ({"m": [0.0, 0.0]}, x), ({"m": M}, x.astype(int)), ({"m": M}, x[:0]),
                            ({"m": np.ma.zeros(2)}, x), ({"m": M}, np.ma.array(x))):
            assert plan(density.exponent, te.Density(energy, theta, te.Reals(2)), (rows,)) is None
        assert density.exponents(law(energy), x[:0]).shape == (0,)


def test_training_of_what_has_no_hash():
    """Catches a key that needs a hash which `fit` never asked for."""
    fitted = te.fit(Loose(), points(50), te.Reals(2), te.ContrastiveDivergence(te.ULA(0.1)), steps=2, progress=False, exact=False)
    assert np.isfinite(fitted.theta["m"]).all()


def test_chunks_of_which_the_first_is_small(agree):
    """Run as it stands, then replayed.  Catches sums whose factors are put on twice."""
    energy = lambda theta, x: ops.sum(ops.square(x @ theta["W"]) * theta["v"], axis=1)
    x, w, theta = points(6000), np.ones(6000), {"W": np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]]), "v": np.array([0.5, -1.0, 2.0])}
    p = te.Density(energy, theta, te.Reals(2))

    found = reduce_rows(_weighted_gradient, add, p, [(x[:1000], w[:1000]), (x[1000:], w[1000:])], 0.0)
    agree([found["W"], found["v"]], list(_weighted_gradient(p, x, w).values()))


def test_blocks_that_overlap_end_each_their_own_trust():
    """As in two threads that train at once.  Catches trust that goes to the other one's energy when a block ends."""
    one, other = (lambda theta, x: Bowl()(theta, x)), (lambda theta, x: Bowl(2.0)(theta, x))
    first, second = remembering(one), remembering(other)
    for block in (first, second):
        block.__enter__()
    first.__exit__(None, None, None)
    left = [part for scope in THREAD.scopes for part in scope.parts]
    second.__exit__(None, None, None)
    assert left == [other] and not THREAD.scopes
