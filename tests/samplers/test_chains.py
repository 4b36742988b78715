"""Running kernels: how often, what is recorded, what is warned of; a pool of chains lends, restarts and takes back."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm.samplers.kernels import Move, walk

rng = np.random.default_rng  # every test makes its own


@dataclass(frozen=True)
class Count:
    """A kernel without chance: adds 1 to every coordinate; `accepts` tells which of its calls accept how many rows."""

    accepts: tuple = ()

    def step(self, p, x, rng):
        if not self.accepts:
            return Move(x + 1)
        return Move(x + 1, np.arange(len(x)) < self.accepts[int(x[0, 0])], np.zeros(len(x)))


def flat(dim):
    """A Density for kernels that do not look at it."""
    return te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Reals(dim))


def well(space):
    return te.Density(te.DoubleWell(), {"barrier": np.array(1.0)}, space)


# ---------------------------------------------------------------------------------------- run

def test_run_applies_the_kernel_that_often():
    x = np.zeros((3, 2))

    assert (te.run(Count(), flat(x.shape[1]), x, 4, rng(0))[0] == 4).all()
    assert (x == 0).all()


def test_no_steps_are_possible():
    """Catches a mean over no steps."""
    x, info = te.run(Count(), flat(2), np.ones((3, 2)), 0, rng(0), record=1)

    assert (x == 1).all() and info["acceptance"] is None
    assert info["trajectory"].shape == (1, 3, 2)


@pytest.mark.parametrize("record, times", [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6]), (7, [0, 7]), (8, [0])])
def test_trajectory_holds_the_start_and_every_record_th_point(record, times):
    """Catches a start left out, and off by one."""
    _, info = te.run(Count(), flat(3), np.zeros((2, 3)), 7, rng(0), record)

    np.testing.assert_array_equal(info["trajectory"], np.array(times)[:, None, None] * np.ones((1, 2, 3)))


def test_acceptance_is_the_fraction_of_all_proposals():
    """Of 4 rows 4, 1 and 0 accept: 5 / 12.  Catches the acceptance of the last step only."""
    _, info = te.run(Count(accepts=(4, 1, 0)), flat(1), np.zeros((4, 1)), 3, rng(0))

    assert abs(info["acceptance"] - 5 / 12) < 1e-15
    assert te.run(Count(), flat(1), np.zeros((4, 1)), 3, rng(0))[1] == {"acceptance": None, "trajectory": None}


@pytest.mark.parametrize("steps, record", [(-1, None), (1.5, None), (2, 0), (2, -1), (2, 0.5)])
def test_impossible_runs(steps, record):
    with pytest.raises(ValueError, match="steps must be an integer" if record is None else "record must be a positive"):
        te.run(Count(), flat(1), np.zeros((2, 1)), steps, rng(0), record)


# ------------------------------------------------------------------------------------- Chains

FAR = te.Box(100, 101, 1)  # restarted chains stand out: the others are numbered 0, 1, ...


def pool_of(size):
    return np.arange(float(size))[:, None]


@pytest.mark.parametrize("restart", [0.0, 0.05, 0.5, 1.0])
def test_restart_is_the_probability_of_beginning_anew(restart):
    """Binomial.  Catches a rate of 1 - restart, and one coin for the whole batch."""
    lent = np.concatenate([te.Chains(50, restart).lend(pool_of(50), 40, FAR, rng(seed))[1] for seed in range(500)])
    fresh = (lent >= 100).mean()

    assert abs(fresh - restart) <= 5 * math.sqrt(restart * (1 - restart) / len(lent))
    assert FAR.contains(lent[lent[:, 0] >= 100]).all()


def test_restarts_do_not_come_together():
    """The number of restarts in a batch is binomial too, n r (1 - r) its variance.  Catches a fixed number per batch."""
    counts = [(te.Chains(50, 0.5).lend(pool_of(50), 40, FAR, rng(seed))[1] >= 100).sum() for seed in range(500)]

    assert abs(np.var(counts) / 10 - 1) < 5 * math.sqrt(2 / 500)


@pytest.mark.parametrize("n", [1, 5, 8])
def test_lent_chains_are_different_and_come_from_their_slots(n):
    """Catches slots drawn with replacement, where one chain's progress would be overwritten, and rows in another order."""
    for seed in range(20):
        slots, x = te.Chains(8, restart=0.0).lend(pool_of(8), n, FAR, rng(seed))

        assert len(set(slots.tolist())) == n
        np.testing.assert_array_equal(x[:, 0], slots)


def test_every_chain_is_lent_equally_often():
    """Catches the first n chains lent for ever: the rest of the pool would stay at its start."""
    lent = np.bincount(np.concatenate([te.Chains(8).lend(pool_of(8), 2, FAR, rng(seed))[0] for seed in range(2000)]))

    assert np.abs(lent / 2000 - 0.25).max() < 5 * math.sqrt(0.25 * 0.75 / 2000)


def test_points_go_back_to_the_slots_they_came_from():
    """Catches writing to other slots than were lent, and a pool that is changed in place."""
    pool, chains = pool_of(8), te.Chains(8, restart=0.0)
    slots, x = chains.lend(pool, 3, FAR, rng(0))
    after = chains.give_back(pool, slots, x + 1000)

    np.testing.assert_array_equal(after[:, 0], np.arange(8) + 1000 * np.isin(np.arange(8), slots))
    np.testing.assert_array_equal(pool, pool_of(8))


def test_a_pool_starts_at_the_initial_law():
    """U(100, 101): mean and variance."""
    x = te.Chains(20_000).start(FAR, rng(0))

    assert x.shape == (20_000, 1)
    assert abs(x.mean() - 100.5) < 5 * math.sqrt(1 / 12 / 20_000)


def test_float32_pools_stay_float32():
    assert te.Chains(8, 0.5).lend(pool_of(8).astype("float32"), 5, FAR, rng(0))[1].dtype == np.float32


@pytest.mark.parametrize("size, restart", [(0, 0.05), (-1, 0.05), (2.5, 0.05), (10, -0.1), (10, 1.1), (10, math.nan)])
def test_impossible_pools(size, restart):
    with pytest.raises(ValueError, match="size must be" if restart == 0.05 else "restart must be"):
        te.Chains(size, restart)


def test_no_more_chains_than_there_are():
    with pytest.raises(ValueError, match="a pool of 8 chains cannot lend 9"):
        te.Chains(8).lend(pool_of(8), 9, FAR, rng(0))


def test_every_restart_is_its_own_draw():
    """One batch, all restarted: U(100, 101), no two alike.  Catches one fresh point for all of a batch's restarts."""
    _, x = te.Chains(5000, restart=1.0).lend(pool_of(5000), 5000, FAR, rng(0))

    assert len(np.unique(x)) == 5000
    assert abs(x.mean() - 100.5) < 5 * math.sqrt(1 / 12 / 5000)


def test_the_default_rate_is_du_and_mordatchs():
    """5 %.  Catches a default that changes without its docstring."""
    assert te.Chains(8) == te.Chains(8, restart=0.05)


# ---------------------------------------------------------------------------------- annealing

@dataclass(frozen=True)
class Append:
    """A kernel that appends its number as a digit to every coordinate; it accepts that many rows."""

    digit: int

    def step(self, p, x, rng):
        return Move(10 * x + self.digit, np.arange(len(x)) < self.digit, np.zeros(len(x)))


def test_a_function_of_the_step_gets_one_to_n():
    """Kernels 1, 2, 3 in turn leave 123, and so do the points between.  Catches steps from 0, and one kernel for all."""
    x, info = te.run(lambda i: Append(i), flat(2), np.zeros((4, 2)), 3, rng(0), record=1)

    assert (x == 123).all() and info["trajectory"][:, 0, 0].tolist() == [0, 1, 12, 123]
    assert info["acceptance"] == pytest.approx((1 + 2 + 3) / 12, rel=1e-15)
    assert (te.run(lambda i: Append(i % 2), flat(2), np.zeros((4, 2)), 3, rng(0))[0] == 101).all()


def test_the_law_at_the_end_of_annealing():
    """ULA on N(m, s²) with steps and temperatures that change: v ← (1 - ε/s²)² v + 2εT, and so the mean, |z| < 5.

    Halfway too.  Catches temperatures in reverse, the last kernel alone, and a schedule one step late.
    """
    m, s2, n, d = 0.7, 0.5, 60_000, 20
    p = te.Density(te.GaussianEnergy(1), {"mean": np.array([m]), "precision": np.array([[1 / s2]])}, te.Reals(1))
    schedule = lambda i: te.ULA(0.02 + 0.01 * i, temperature=8.0 * 0.8**i)
    x, info = te.run(schedule, p, np.full((n, 1), 3.0), d, rng(0), record=d // 2)

    mean, v = 3.0, 0.0
    for i in range(1, d + 1):
        kernel = schedule(i)
        a = 1 - kernel.step_size / s2
        mean, v = m + a * (mean - m), a**2 * v + 2 * kernel.step_size * kernel.temperature
        if i in (d // 2, d):
            at = info["trajectory"][i // (d // 2)]
            assert abs(at.mean() - mean) < 5 * math.sqrt(v / n) and abs(((at - mean) ** 2).mean() / v - 1) < 5 * math.sqrt(2 / n)
    assert (x == at).all()


def test_annealed_recipes_warn_of_the_last_temperature():
    """Catches a function taken for a recipe, the temperature of the first step, and a warning where the last is 1."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    with pytest.warns(UserWarning, match="runs at temperature .* = 0.5, not 1$"):
        te.run(lambda i: te.Recipe(0.5, math.sqrt([9.0, 3.0, 0.5][i - 1])), p, np.zeros((5, 1)), 3, rng(0))
    assert te.run(lambda i: te.Recipe(0.5, 4.0 - i), p, np.zeros((5, 1)), 3, rng(0))[1]["clipped"] == 0


def test_walk_is_run_without_warnings():
    """The same numbers; a warning would be an error here.  Catches a `walk` of its own."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    recipe, x = te.Recipe(0.3, 0.1, clip=0.5), rng(0).standard_normal((50, 1))
    silent, noted = walk(recipe, p, x, 4, rng(1), record=2)
    with pytest.warns(UserWarning):
        loud, info = te.run(recipe, p, x, 4, rng(1), record=2)

    np.testing.assert_array_equal(silent, loud)
    np.testing.assert_array_equal(noted.pop("trajectory"), info.pop("trajectory"))
    assert noted == info and 0 < info["clipped"] < 1 and info["acceptance"] is None
    assert "clipped" not in te.run(te.ULA(0.1), p, x, 4, rng(1))[1]


# ------------------------------------------------------------------ starts, walls and stuck chains

def half(theta, x):
    """|x| of a normal: E = +inf on a half line."""
    return te.ops.where(x[:, 0] > 0, 0.5 * te.ops.sum(x * x, axis=1), math.inf)


def holed(theta, x):
    """The same, but nan where the density is 0."""
    return te.ops.where(x[:, 0] > 0, 0.5 * te.ops.sum(x * x, axis=1), math.nan)


def poled(theta, x):
    """E = -inf near 0."""
    return te.ops.where(te.ops.abs(x[:, 0]) < 0.01, -math.inf, te.ops.abs(x[:, 0]))


def hard(theta, x):
    """No two neighbours of a row are both on."""
    return te.ops.where(te.ops.sum(x[:, 1:] * x[:, :-1], axis=1) > 0.5, math.inf, -0.3 * te.ops.sum(x, axis=1))


MOVING = [te.ULA(0.1), te.MALA(0.1), te.HMC(0.3, 3), te.Recipe(0.1, math.sqrt(0.2)), lambda i: te.MALA(0.1)]
STARTS = {
    "0": (half, te.Reals(1), [[0.5], [-0.5], [1.0], [-1.0]], MOVING, "the density is 0 at row 1 of x, x = .-0.5. .2 such rows"),
    "nan": (holed, te.Reals(1), [[0.5], [1.0], [-0.5]], MOVING, "the energy is nan at row 2 of x, x = .-0.5. .1 such"),
    "infinite": (poled, te.Reals(1), [[0.0], [1.0]], MOVING, "the density is infinite at row 0 of x, x = .0.0. .1 such"),
    "a wall of a box": (half, te.Box(0, 3, 1), [[0.0], [1.0]], MOVING, "the density is 0 at row 0"),
    "states": (hard, te.Bits(3), [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
               [te.Gibbs(), te.Gibbs("random"), te.GibbsWithGradients()], "the density is 0 at row 1 of x, x = .1.0, 1.0, 0.0."),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", STARTS)
def test_starts_of_no_draw_are_refused(case, dtype):
    """By every kernel, with the row.  Catches chains that stay where the density is 0 or nan, and count as draws."""
    energy, space, start, kernels, message = STARTS[case]
    p, x = te.Density(energy, {}, space), np.array(start, dtype)
    for kernel in kernels:
        with pytest.raises(ValueError, match=message):
            te.run(kernel, p, x, 20, rng(0))


@pytest.mark.parametrize("energy", [half, holed])
@pytest.mark.parametrize("kernel", [te.MALA(0.3), te.HMC(0.4, 3)])
def test_chains_stay_on_their_side_of_a_wall(kernel, energy):
    """E|x| = √(2/π), |z| < 5, where the density is 0 or nan beyond the wall; no warning.  Catches a mean of -0.78 for 0.80."""
    p, n = te.Density(energy, {}, te.Reals(1)), 20_000
    x, _ = te.run(kernel, p, np.abs(rng(0).standard_normal((n, 1))), 15, rng(1))

    assert (x > 0).all()
    assert abs(x.mean() - math.sqrt(2 / math.pi)) < 5 * math.sqrt((1 - 2 / math.pi) / n)


@pytest.mark.parametrize("record", [None, 1, 25, 60, 1000])
@pytest.mark.parametrize("kernel", [te.ULA(0.1), te.Recipe(0.1, math.sqrt(0.2)), lambda i: te.ULA(0.1)])
def test_kernels_that_never_reject_say_when_they_went_through_a_wall(kernel, record):
    """With the number of chains.  Catches draws beyond a wall of +inf without a word, at the end or seen on the way."""
    p, x = te.Density(half, {}, te.Reals(1)), np.abs(rng(0).standard_normal((40, 1))) + 0.1
    with pytest.warns(UserWarning, match="of 40 chains came to points where the density is 0, .*does not see walls") as caught:
        end, info = te.run(kernel, p, x, 120, rng(1), record=record)
    seen = [end] if record is None else [end, *info["trajectory"][:: {1: 50, 25: 2}.get(record, 1)]]
    assert str(caught[-1].message).startswith(f"{(np.min(seen, axis=0) <= 0).sum()} of 40 chains")


def test_a_chain_that_came_back_is_seen_on_the_way():
    """Through a wall at step 50 and back at 51: the end alone says nothing.  Catches a trajectory that nobody looks at."""
    @dataclass(frozen=True)
    class Jump:
        def step(self, p, x, rng):
            return Move(-x)

    p = te.Density(half, {}, te.Reals(1))
    kernel = lambda i: Jump() if i in (50, 51) else te.ULA(1e-12)
    x, _ = te.run(kernel, p, np.ones((3, 1)), 60, rng(0))
    assert (x > 0).all()
    with pytest.warns(UserWarning, match="3 of 3 chains came to points"):
        te.run(kernel, p, np.ones((3, 1)), 60, rng(0), record=5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_kernel_that_rejects_does_not_stay_where_ula_led():
    """ULA through a wall, then MALA, whose every proposal is beyond it, too.  Catches chains that stay there without a word."""
    p = te.Density(half, {}, te.Reals(1))
    with pytest.raises(ValueError, match="the density is 0 at row"):
        te.run(lambda i: te.ULA(1.0) if i < 50 else te.MALA(1e-6), p, np.ones((40, 1)), 60, rng(0))


@pytest.mark.replayed  # NumPy warns of the overflow elsewhere
def test_chains_that_fly_away_are_counted():
    """ULA with a step too long on a normal density becomes inf, then nan.  Catches nan for draws without a word."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    with pytest.warns(UserWarning, match=r"7 of 7 chains left Reals.* or became nan: try a smaller step_size"):
        te.run(te.ULA(1e30), p, np.ones((7, 1)), 30, rng(0))
    with np.errstate(over="ignore", invalid="ignore"):  # as NumPy's own warnings of nan, it can be silenced
        assert not np.isfinite(te.run(te.ULA(1e30), p, np.ones((7, 1)), 30, rng(0))[0]).any()
    with pytest.raises(ValueError, match=r"clamp=.-1.0, 1.0. leads out of Box.low=-0.5, high=0.5"):
        te.run(te.Recipe(0.1, 0.1, clamp=(-1.0, 1.0)), well(te.Box(-0.5, 0.5, 1)), np.zeros((3, 1)), 3, rng(0))


def test_acceptance_of_every_chain():
    """Of 4 rows 4, 1 and 0 accept: 2/3, and 1/3 three times.  Catches a mean over the chains, and the last step only."""
    _, info = te.run(Count(accepts=(4, 1, 0)), flat(1), np.zeros((4, 1)), 3, rng(0))

    np.testing.assert_allclose(info["acceptance_per_chain"], [2 / 3, 1 / 3, 1 / 3, 1 / 3], rtol=1e-15)
    assert info["acceptance"] == pytest.approx(info["acceptance_per_chain"].mean(), rel=1e-15)


@dataclass(frozen=True)
class Some:
    """A kernel of which the first rows never accept, and the others at given steps."""

    stuck: int
    every: int

    def step(self, p, x, rng):
        taken = (np.arange(len(x)) >= self.stuck) & (x[:, 0].max() % self.every == 0)
        return Move(x + 1, taken, np.zeros(len(x)))


@pytest.mark.parametrize(("kernel", "steps", "message"), [
    (Some(3, 2), 50, "3 of 10 chains never moved in 50 steps, while the others accepted 0.5 of their proposals"),
    (Some(10, 1), 60, "10 of 10 chains never moved in 60 steps: start them elsewhere"),
    (Some(3, 2), 49, None), (Some(0, 2), 50, None), (Some(3, 40), 80, None)])  # fmt: skip
def test_chains_that_never_moved_are_counted(kernel, steps, message):
    """Catches a chain without a single move among moving ones; and a warning where bad luck, or few steps, explain it."""
    ask = lambda: te.run(kernel, flat(1), np.zeros((10, 1)), steps, rng(0))
    if message is None:
        assert ask()[1]["acceptance_per_chain"][0] <= 1  # and no warning, which were an error here
    else:
        with pytest.warns(UserWarning, match=message):
            ask()


def test_a_start_at_infinite_slope_is_seen_by_its_chain_that_never_moves():
    """√|x| at 0: the density is finite, its slope is not, and no proposal is a number.  Catches a constant among draws."""
    p = te.Density(lambda theta, x: te.ops.sqrt(te.ops.abs(x[:, 0])) + x[:, 0] ** 2, {}, te.Reals(1))
    with pytest.warns(UserWarning, match="1 of 3 chains never moved in 60 steps"), np.errstate(all="ignore"):
        te.run(te.MALA(0.1), p, np.array([[0.0], [0.5], [1.0]]), 60, rng(0))


def test_walls_of_a_subclass_are_looked_for():
    """A network says that it has no walls, for itself.  Catches a word inherited by an energy that adds one, and θ of nan."""
    @dataclass(frozen=True)
    class Walled(te.MLP):
        def __call__(self, theta, x):
            return te.ops.where(x[:, 0] > 0, te.MLP.__call__(self, theta, x), math.inf)

    for energy, theta, message in ((Walled, 1.0, "the density is 0 at row 0"), (te.MLP, math.nan, "the energy is nan at row 0")):
        net = energy((1, 4, 1), confinement=1.0)
        broken = [{name: theta * leaf for name, leaf in layer.items()} for layer in net.init(rng(0))]
        with pytest.raises(ValueError, match=message):
            te.run(te.ULA(0.1), te.Density(net, broken, te.Reals(1)), np.full((3, 1), -1.0), 5, rng(0))


@pytest.mark.parametrize("objective", [te.PersistentContrastiveDivergence, te.ShortRun])
@pytest.mark.parametrize("kernel", [te.ULA(0.1), te.MALA(0.1), te.HMC(0.3, 2)])
def test_training_with_chains_that_begin_where_the_density_is_0(kernel, objective):
    """Refused before the first update, with what happened.  Catches negatives of infinite energy that count."""
    data = np.abs(rng(0).standard_normal((50, 1))) + 0.1
    energy = lambda theta, x: te.ops.where(x[:, 0] > 0, theta["a"] * te.ops.sum(x * x, axis=1), math.inf)
    with pytest.raises(FloatingPointError, match="update 1: .*start at draws of space.initial, .*: is the density 0 there"):
        te.fit(energy, data, te.Reals(1), objective(kernel, 1), theta={"a": np.array(0.5)}, steps=3, progress=False, exact=False)
