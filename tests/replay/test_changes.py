"""Energies and spaces that read what changes: between two calls the answer changes with it, and a training run says so."""

import functools
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.errors import ChangedEnergyError
from tinyebm.density import exponents
from tinyebm.replay import plans
from tinyebm.replay.door import remembering

BETA = 1.0
THETA = {"m": np.array([0.5])}
X = np.random.default_rng(0).standard_normal((300, 1))
MANY = np.random.default_rng(1).standard_normal((5000, 1))


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """No plans from other tests."""
    monkeypatch.setattr(plans, "_PLANS", type(plans._PLANS)())


def bowl(c, theta, x):
    """c (x - m)² / 2 + c x⁴ / 4."""
    return c * ops.sum(0.5 * ops.square(x - theta["m"]) + 0.25 * x * x * x * x, axis=1)


class Globally:
    """What a global says."""

    def set(self, c):
        global BETA
        BETA = c

    def energy(self):
        return lambda theta, x: bowl(BETA, theta, x)


class FrozenGlobally(Globally):
    """The same in a frozen dataclass."""

    @dataclass(frozen=True)
    class Frozen:
        def __call__(self, theta, x):
            return bowl(BETA, theta, x)

    def energy(self):
        return self.Frozen()


class InheritedGlobally(Globally):
    """The same in a class that inherits from one of the package."""

    class Mine(te.Quartic):
        def __call__(self, theta, x):
            return bowl(BETA, theta, x)

    def energy(self):
        return self.Mine()


class Attribute:
    """An attribute of an object, and what is held there."""

    c = 1.0

    def set(self, c):
        self.c = c

    def energy(self):
        return self

    def __call__(self, theta, x):
        return bowl(self.c, theta, x)


class Bound(Attribute):
    """A bound method."""

    def energy(self):
        return self.__call__


class Partly(Attribute):
    """A partial function of an object that changes."""

    def energy(self):
        return functools.partial(lambda world, theta, x: bowl(world.c, theta, x), self)


class Equal(Attribute):
    """A callable that takes itself for any other."""

    __eq__, __hash__ = lambda self, other: True, lambda self: 0


class Wrapped(Attribute):
    """A frozen dataclass that holds an energy which changes."""

    @dataclass(frozen=True)
    class Scaled:
        inner: Any

        def __call__(self, theta, x):
            return 1.0 * self.inner(theta, x)

    def energy(self):
        return self.Scaled(self)


class InPlace:
    """A frozen dataclass with an array, which is written to."""

    @dataclass(frozen=True)
    class Holding:
        c: Any
        n: list

        def __call__(self, theta, x):
            return bowl(float(self.c) * self.n[0], theta, x)

    def __init__(self):
        self.held = self.Holding(np.array(1.0), [1.0])

    def set(self, c):
        self.held.c[...], self.held.n[0] = math.sqrt(c), math.sqrt(c)

    def energy(self):
        return self.held


class ClassAttribute:
    """A frozen dataclass with an attribute of its class."""

    @dataclass(frozen=True)
    class Shared:
        c: ClassVar[float] = 1.0

        def __call__(self, theta, x):
            return bowl(self.c, theta, x)

    def set(self, c):
        self.Shared.c = c

    def energy(self):
        return self.Shared()


class Uncompared:
    """Another object, which is equal to the one before."""

    @dataclass(frozen=True)
    class Silent:
        c: float = field(compare=False)

        def __call__(self, theta, x):
            return bowl(self.c, theta, x)

    def set(self, c):
        self.c = c

    def energy(self):
        return self.Silent(self.c)


class ByType(Uncompared):
    """Fields that are equal and not of one type."""

    @dataclass(frozen=True)
    class Typed:
        c: Any

        def __call__(self, theta, x):
            return bowl({float: 1.0, bool: 3.0}[type(self.c)], theta, x)

    def energy(self):
        return self.Typed({1.0: 1.0, 3.0: True}[self.c])


KINDS = [Globally, FrozenGlobally, InheritedGlobally, Attribute, Bound, Partly, Equal, Wrapped, InPlace, ClassAttribute,
         Uncompared, ByType]
rng = np.random.default_rng
NOISE = te.Normal(np.zeros(1), np.eye(1))
ASKED = {
    "log Z": lambda p: float(te.log_partition(p)),
    "log p": lambda p: te.log_prob(p, MANY),
    "score": lambda p: te.score(p, MANY),
    "score of few": lambda p: te.score(p, X[:3]),
    "mean": lambda p: te.expectation(p, lambda x: x),
    "draws": lambda p: te.sample(p, 50, rng(2)),
    "chains": lambda p: te.run(te.ULA(0.05), p, X, 20, rng(2))[0],
    "few steps": lambda p: te.run(te.MALA(0.05), p, MANY, 2, rng(2))[0],
    "nll": lambda p: te.nll_gradient(p, MANY)["m"],
    "exact CD": lambda p: te.exact_cd_gradient(p, X, te.ULA(0.05), 2)["m"],
    "CD": lambda p: te.ContrastiveDivergence(te.ULA(0.05), 20).gradient(p, X, rng(2)).gradient["m"],
    "score matching": lambda p: te.ScoreMatching().gradient(p, MANY, rng(2)).gradient["m"],
    "noise contrast": lambda p: te.NoiseContrastive(NOISE).gradient(p, MANY, rng(2)).gradient["m"],
    "ais": lambda p: float(te.ais(p, 50, rng(2), temperatures=20, kernel=te.MALA(0.1))),
    "fit": lambda p: te.fit(p.energy, X, p.space, te.ContrastiveDivergence(te.ULA(0.05), 2), steps=3, theta=p.theta,
                            progress=False).theta["m"],
}


@functools.cache
def truth(ask, c):
    """What a fresh energy gives."""
    return ASKED[ask](te.Density(lambda theta, x: bowl(c, theta, x), THETA, te.Reals(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_changes_with_the_energy(kind):
    """Twelve energies by fifteen questions, c = 1, 3 and 1 again: each time what a fresh energy gives.

    Catches programs that are remembered for what is frozen, hashable, equal to another, or at the place of another.
    """
    world = kind()
    for c in (1.0, 3.0, 1.0):
        world.set(c)
        p = te.Density(world.energy(), THETA, te.Reals(1))
        for ask in ASKED:
            np.testing.assert_allclose(ASKED[ask](p), truth(ask, c), rtol=1e-7, atol=1e-9, err_msg=ask)


class Tilted(te.Reals):
    """A space of one's own, whose base measure reads an attribute."""

    c = 1.0

    def log_base(self, x):
        return -self.c * ops.sum(x * x, axis=1)

    __eq__, __hash__ = lambda self, other: type(other) is type(self), lambda self: 0


@pytest.mark.parametrize("ask", [ask for ask in ASKED if ask not in ("nll", "exact CD", "CD", "score matching",
                                                                   "noise contrast", "fit")])
def test_the_answer_changes_with_the_space(ask):
    """Catches trust in a space because the energy is known."""
    normal, theta = te.GaussianEnergy(1), {"mean": np.array([0.5]), "precision": np.eye(1)}
    for c in (1.0, 3.0, 1.0):
        Tilted.c = c
        plain = te.Density(lambda theta, x, c=c: normal(theta, x) + c * ops.sum(x * x, axis=1), theta, te.Reals(1))
        np.testing.assert_allclose(ASKED[ask](te.Density(normal, theta, Tilted(1))), ASKED[ask](plain), rtol=1e-7, atol=1e-9)


def test_a_space_that_changes_during_training_is_an_error():
    """Of an energy of the package.  Catches trust in what only the energy was asked for."""
    Tilted.c, normal = 1.0, te.GaussianEnergy(1)
    with pytest.raises(ChangedEnergyError, match="or its space"):
        te.fit(normal, X, Tilted(1), OBJECTIVES[0], steps=40, log_every=10, progress=False, exact=False,
               callback=lambda step, p, record: setattr(Tilted, "c", 3.0))


def test_walls_of_one_s_own():
    """Chains that wrap in their first coordinate alone, replayed.  Catches walls that are skipped where a space says that it
    has none, and points handed to `fold` as columns."""
    class Cylinder(te.Reals):
        def fold(self, x):
            return np.stack([np.mod(x[:, 0], 1.0), x[:, 1]], axis=1)

    net = te.MLP((2, 3, 1), confinement=1.0)
    p, x = te.Density(net, net.init(rng(0)), Cylinder(2)), rng(1).random((3000, 2))
    end, _ = te.run(te.ULA(0.5, temperature=0.0), p, x + 3.0, 2, rng(2))
    want = x + 3.0
    for _ in range(2):
        want = p.space.fold(want + 0.5 * te.score(p, want))
    np.testing.assert_allclose(end, want, rtol=0, atol=1e-9)


CHANGING = [kind for kind in KINDS if not issubclass(kind, Uncompared)]
OBJECTIVES = [te.ContrastiveDivergence(te.ULA(0.05), 2), te.ExactLikelihood(), te.ScoreMatching(), te.NoiseContrastive(NOISE)]


@pytest.mark.parametrize("kind", CHANGING)
def test_a_change_during_training_is_an_error(kind, tmp_path):
    """The third log point finds what a callback did at the second, and the state of the second stands.

    Catches programs that go on as if nothing had happened, and a state or a measurement of two energies at once.
    """
    world, seen = kind(), []
    world.set(1.0)

    def change(step, p, record):
        seen.append(record["nll"])
        if len(seen) == 2:
            world.set(3.0)

    with pytest.raises(ChangedEnergyError, match=r"gives other values than when it was compiled.*through theta") as error:
        te.fit(world.energy(), X, te.Reals(1), OBJECTIVES[0], steps=40, log_every=10, theta=THETA, callback=change,
               progress=False, checkpoint=tmp_path / "state.npz")
    assert len(seen) == 2 and "\n" not in str(error.value)
    assert int(te.storage.checkpoint.load_tree(tmp_path / "state.npz")[0]["step"]) == 20


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
@pytest.mark.parametrize("exact", [False, True])
def test_every_objective_notices(objective, exact):
    """Also where nothing else is measured.  Catches an objective whose programs are compared with themselves."""
    world = Attribute()
    with pytest.raises(ChangedEnergyError):
        te.fit(world, X, te.Reals(1), objective, steps=40, log_every=10, theta=THETA, progress=False, exact=exact,
               callback=lambda step, p, record: world.set(3.0))


def test_a_change_after_training_is_none():
    """The callback of the last log point may do what it likes.  Catches a comparison when all is over."""
    world = Attribute()
    done = te.fit(world, X, te.Reals(1), OBJECTIVES[0], steps=20, log_every=20, theta=THETA, progress=False,
                  callback=lambda step, p, record: world.set(3.0))
    assert done.history["step"] == [0, 20]


def test_a_change_for_a_while():
    """Changed at one log point and back at the next but one; and an energy that does not change goes through untouched."""
    world = Attribute()
    with pytest.raises(ChangedEnergyError):
        te.fit(world, X, te.Reals(1), OBJECTIVES[0], steps=40, log_every=10, theta=THETA, progress=False, exact=False,
               callback=lambda step, p, record: world.set({10: 3.0, 20: 1.0}.get(step, world.c)))
    world.set(1.0)
    kept = te.fit(world, X, te.Reals(1), OBJECTIVES[0], steps=40, theta=THETA, progress=False)
    again = te.fit(lambda theta, x: bowl(1.0, theta, x), X, te.Reals(1), OBJECTIVES[0], steps=40, theta=THETA, progress=False)
    np.testing.assert_array_equal(kept.theta["m"], again.theta["m"])


def random_energy():
    generator = rng(3)
    return lambda theta, x: bowl(1.0, theta, x) + 0.1 * generator.standard_normal(len(x))


TRAINED = {
    "fit": lambda energy: te.fit(energy, X, te.Reals(1), OBJECTIVES[0], steps=3, theta=THETA, progress=False, exact=False),
    "mle": lambda energy: te.mle(energy, X, theta=THETA, progress=False),
    "ais": lambda energy: te.ais(te.Density(energy, THETA, te.Reals(1)), 20, rng(0), temperatures=10),
}


@pytest.mark.parametrize("name", TRAINED)
def test_random_numbers_are_found(name):
    """The same draws at every step, and in every tile, would be no noise.  Catches a program compared with its own trace."""
    with pytest.raises(ChangedEnergyError, match="random number"):
        TRAINED[name](random_energy())


def test_random_numbers_outside_of_training_are_drawn():
    """5000 rows, run as they stand: no two noises alike.  Catches a tile's draws in every tile."""
    noise = exponents(te.Density(random_energy(), THETA, te.Reals(1)), MANY) + bowl(1.0, THETA, MANY)
    assert len(np.unique(noise.round(12))) == len(MANY)


@pytest.mark.parametrize("name", TRAINED)
def test_a_change_between_two_programs_is_found(name):
    """The first program was made before, all others after.  Catches a comparison that is made when a program is, and never more."""
    calls = []

    def energy(theta, x):
        calls.append(None)
        return bowl(1.0 if len(calls) <= 2 else 3.0, theta, x)  # traced, compared; and then

    with pytest.raises(ChangedEnergyError):
        TRAINED[name](energy)


REPLAYED = {ask: ASKED[ask] for ask in ("log p", "score", "score of few", "chains", "few steps", "nll", "CD", "score matching")}


@pytest.mark.parametrize("ask", REPLAYED)
def test_every_function_is_compared(ask):
    """While nothing has changed nothing is said; then every one says so by itself.  Catches a comparison of two programs."""
    world = Attribute()
    p = te.Density(world, THETA, te.Reals(1))
    with remembering(world) as require_unchanged:
        for _ in range(2):
            first = ASKED[ask](p)
            require_unchanged()
        world.set(3.0)
        require_unchanged()  # nothing ran since
        np.testing.assert_allclose(ASKED[ask](p), first, rtol=1e-6)  # as long as nobody asks
        for some in (False, True):
            with pytest.raises(ChangedEnergyError):
                require_unchanged(all=some)
            ASKED[ask](p)
    assert np.abs(ASKED[ask](p) - first).max() > 1e-3


def test_a_wall_that_moves_is_found():
    """Inwards and outwards; where both are finite the energies agree.  Catches a look at finite numbers alone."""
    for before, after in ((2.0, 0.5), (0.5, 2.0)):
        world = Attribute()
        energy = lambda theta, x, world=world: ops.where(x[:, 0] > world.c, np.inf, bowl(1.0, theta, x))
        with remembering(energy) as require_unchanged:
            world.set(before)
            exponents(te.Density(energy, THETA, te.Reals(1)), X)
            require_unchanged()
            world.set(after)
            exponents(te.Density(energy, THETA, te.Reals(1)), X)
            with pytest.raises(ChangedEnergyError):
                require_unchanged()


def test_of_two_trainings_each_is_told_of_its_own():
    """As in two threads.  Catches an error in the run whose energy stayed as it was."""
    one, other = Attribute(), Attribute()
    with remembering(one) as unchanged, remembering(other) as changed:
        for world in (one, other):
            exponents(te.Density(world, THETA, te.Reals(1)), X)
        other.set(3.0)
        unchanged()
        with pytest.raises(ChangedEnergyError):
            changed()


def test_what_lasts_holds_no_points():
    """The last points of a program are kept for comparison, and of what is never compared they are not.  Catches a leak."""
    normal = te.GaussianEnergy(1)
    exponents(te.Density(normal, normal.init(rng(0)), te.Reals(1)), X)
    assert [plan.last for plan in plans._PLANS.values() if plan.model.energy is normal] == [None]
    assert all(plan.model.theta is None for plan in plans._PLANS.values())


@pytest.mark.parametrize("name", TRAINED)
def test_a_counter_is_found(name):
    """An energy that changes a little with every call.  Catches a comparison at the beginning alone."""
    calls = []

    def energy(theta, x):
        calls.append(None)
        return bowl(1.0 + 1e-4 * len(calls), theta, x)

    with pytest.raises(ChangedEnergyError):
        TRAINED[name](energy)


def test_an_energy_that_asks_for_numpy_s_arrays():
    """It is run as it stands, or refused.  Catches the branch of the trace for everybody."""
    energy = lambda theta, x: bowl(3.0 if isinstance(x, np.ndarray) else 1.0, theta, x)
    np.testing.assert_allclose(exponents(te.Density(energy, THETA, te.Reals(1)), MANY), -bowl(3.0, THETA, MANY))
    with pytest.raises(ChangedEnergyError, match="NumPy's arrays"):
        te.mle(energy, X, theta=THETA, progress=False)


@pytest.mark.parametrize("n", [3, 5000])
def test_the_order_of_keys_is_the_energy_s(n):
    """θ is read by the order of its keys: programs and derivatives see the order that the energy sees.  Catches sorted keys."""
    def energy(theta, x):
        first, second = theta.values()
        return first * ops.sum(x * x, axis=1) + second

    x, one, two = MANY[:n], np.array(1.0), np.array(2.0)
    for theta in ({"b": one, "a": two}, {"a": one, "b": two}):
        p = te.Density(energy, theta, te.Reals(1))
        np.testing.assert_allclose(exponents(p, x), -(x[:, 0] ** 2) - 2)
        np.testing.assert_allclose(te.score(p, x), -2 * x)
        assert list(te.grad(lambda theta, x=x: ops.sum(energy(theta, x)))(theta)) == list(theta)
    fitted = te.fit(energy, X, te.Box(-9, 9, 1), te.ExactLikelihood(), steps=2, theta={"b": one, "a": one},
                    progress=False)
    assert list(fitted.theta) == ["b", "a"]
