"""The loop of training against a loop written out, and the generators around it against runs made up here."""

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.backend import Stream
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.training import loop
from tinyebm.training.loop import Setting, Update, attempts, batches, initial_state, sound, updates

NET, X = te.MLP((1, 4, 1), confinement=1.0), np.random.default_rng(0).standard_normal((50, 1))
THETA = NET.init(np.random.default_rng(1))
CHAINS = te.PersistentContrastiveDivergence(te.ULA(0.1), 2, chains=16)


def identical(one, other):
    (a, _), (b, _) = tree_flatten(one), tree_flatten(other)
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_updates_are_the_formula():
    """Batch, gradient, clip, Adam, average, step by step, to the bit; and `fit` ends there too.

    Catches an average of old parameters, a clip after the optimiser, a generator shared by two steps, a state that is lost.
    """
    optimizer, batch = te.adam(0.01), batches(X, X, 10, 0.1, te.Reals(1))
    setting = Setting(NET, te.Reals(1), CHAINS, optimizer, batch, clip=0.5, ema=0.8, steps=6)
    *_, last = updates(setting, initial_state(THETA, optimizer), Stream(3))

    theta, average, moments, memory = THETA, THETA, optimizer.init(THETA), None
    for i in range(1, 7):
        rng = Stream(3).at(i)
        x = X[rng.integers(0, 50, size=10)]
        x = x + 0.1 * rng.standard_normal(x.shape)
        g, _, memory = CHAINS.gradient(te.Density(NET, theta, te.Reals(1)), x, rng, memory)
        length = np.sqrt(sum((leaf * leaf).sum() for leaf in tree_flatten(g)[0]))
        g = tree_map(lambda leaf, length=length: leaf * np.minimum(0.5 / length, 1.0), g)
        theta, moments = optimizer.update(g, moments, theta)
        average = tree_map(lambda a, t: 0.8 * a + (1 - 0.8) * t, average, theta)

    assert last.number == 6 and int(last.state["step"]) == 6
    for name, value in {"theta": theta, "ema": average, "optimizer": moments, "objective": memory}.items():
        assert identical(last.state[name], value), name
    found = te.fit(NET, X, te.Reals(1), CHAINS, optimizer, 6, 10, 3, THETA, clip=0.5, ema=0.8, data_noise=0.1, progress=False)
    assert identical(found.state, last.state)


def test_updates_go_on_from_a_state():
    """Catches a loop that counts from one again."""
    setting = Setting(NET, te.Reals(1), CHAINS, te.sgd(0.1), batches(X, X, 10, 0.0, te.Reals(1)), None, None, 6)
    whole = list(updates(setting, initial_state(THETA, te.sgd(0.1)), Stream(3)))
    rest = list(updates(setting, whole[3].state, Stream(3)))

    assert [update.number for update in rest] == [5, 6] and identical(rest[-1].state, whole[-1].state)


@pytest.mark.parametrize("memory", [np.arange(3.0), [np.arange(2.0)], {"n": np.array(1)}, ()])
def test_states_of_ones_own(memory):
    """Arrays, lists and dicts come back as they were.  Catches an array that is asked whether it is true."""
    seen = []

    class Own:
        def gradient(self, p, x, rng, state=None):
            seen.append(state)
            return tree_map(np.zeros_like, p.theta), {}, memory

    te.fit(NET, X, objective=Own(), steps=2, exact=False, progress=False)
    with pytest.raises(ValueError, match="alpha needs negative samples to act on: Own has none"):
        te.fit(NET, X, objective=Own(), alpha=0.1)
    assert seen[0] is None and (seen[1] is None if isinstance(memory, tuple) else identical(seen[1], memory))


def run(numbers, lost=(), attempt=0):
    """Updates of these numbers, those in `lost` not finite."""
    for i in numbers:
        yield Update(i, attempt, {"step": i}, {}, {"gradient": np.float64(np.nan if i in lost else 0.0)})


def test_on_a_gpu_updates_are_checked_at_log_points(monkeypatch):
    """Catches a step that waits, and a failure between log points that is passed over."""
    at_log = lambda i: i % 3 == 0
    numbers = lambda run: [update.number for update in sound(run, te.Reals(1), at_log)]
    assert numbers(run(range(1, 7))) == [1, 2, 3, 4, 5, 6]

    monkeypatch.setattr(loop, "on_gpu", lambda x: True)
    assert numbers(run(range(1, 7))) == [3, 6]
    with pytest.raises(FloatingPointError, match="update 5: the gradient is not finite"):
        numbers(run(range(1, 7), lost=[5]))


def test_attempts_start_from_the_last_log_point():
    """Attempts 1 and 2 fail at updates 5 and 8.  Catches a start from elsewhere, and one attempt too many."""
    lost, started = {1: 5, 2: 8}, []

    def again(state, attempt):
        started.append((state["step"], attempt))
        return sound(run(range(state["step"] + 1, 10), [lost.get(attempt)], attempt), te.Reals(1), lambda i: True)

    found = attempts(again, {"step": 0}, 1, 3, lambda i: i % 3 == 0)
    assert [(update.number, update.attempt) for update in found] == [
        *((i, 1) for i in range(1, 5)), *((i, 2) for i in range(4, 8)), *((i, 3) for i in range(7, 10))]  # fmt: skip
    assert started == [(0, 1), (3, 2), (6, 3)]
    with pytest.raises(FloatingPointError, match="update 8"):
        list(attempts(again, {"step": 0}, 1, 2, lambda i: i % 3 == 0))


def test_batches():
    """All rows where there are no more, a population's own draws, noise that stays within walls."""
    rng, box = Stream(0).at(1), te.Box(-1, 1, 1)
    assert batches(X, X, None, 0.0, te.Reals(1))(rng) is X and batches(X, X, 50, 0.0, te.Reals(1))(rng) is X
    normal = te.Normal(np.zeros(1), np.eye(1))
    drawn = batches(normal, X.astype("float32"), 7, 0.0, te.Reals(1))(Stream(0).at(1))
    assert drawn.dtype == "float32" and np.array_equal(drawn, normal.sample(7, Stream(0).at(1)).astype("float32"))
    assert box.contains(batches(X, np.full((99, 1), 0.9), None, 1.0, box)(rng)).all()
