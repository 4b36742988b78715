"""Many points, tile by tile: any number of them, on any number of threads, and eager where nothing can be replayed."""

import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density, ops
from tinyebm.common.tree import tree_flatten
from tinyebm.exact.gradient import _weighted_gradient, weighted_energy_gradient
from tinyebm.exact.sums import log_sum, merge, model_phase
from tinyebm.replay import plans
from tinyebm.replay.door import add, by_rows, reduce_rows
from tinyebm.replay.plans import tile_size
from tinyebm.replay.program import Program
from tinyebm.replay.tiles import LANES
from tinyebm.samplers import langevin

SIZES = [1, 31, 32, 33, 128, 1024, 1025, 4097]


def network(sizes=(2, 6, 5, 1), space=None, seed=0):
    net = te.MLP(sizes, "tanh", 0.3)
    rng = np.random.default_rng(seed)
    theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
    return te.Density(net, theta, space or te.Reals(sizes[0]))


def points(n, d=2, seed=1):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("sizes", [(2, 6, 5, 1), (2, 300, 1)], ids=["narrow", "wide"])
@pytest.mark.parametrize("n", SIZES)
def test_any_number_of_points(agree, n, sizes):
    """One point to many tiles, the last one full, empty or with one point.  Catches a last tile that is dropped or not cut, rows of
    one tile in another, and the rows that fill a tile up among the sums."""
    p, x, w = network(sizes), points(n), np.random.default_rng(2).standard_normal(n)

    agree(density.exponent_and_score(p, x), density._exponent_and_score(p, x))
    agree([density.exponents(p, x)], [density.exponent(p, x)])
    found = weighted_energy_gradient(p, x, w)
    agree(tree_flatten(found)[0], tree_flatten(_weighted_gradient(p, x, w))[0])
    assert [sorted(layer) for layer in found] == [["W", "b"]] * len(found)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("d, width", [(1, 1), (2, 64), (3, 512), (900, 2)])
def test_tiles_are_even(n, d, width):
    """Multiples of 32 that hold all points, none more than a tile's worth; at least two for two threads where there is work.

    Catches a number of tiles that is rounded down, and a last tile without points.
    """
    p = te.Density(te.score, {"W": np.zeros((d, width)), "b": np.zeros(5000)}, te.Reals(d))
    size = tile_size(tree_flatten(p.theta)[0], n, d)

    tiles = -(-n // size)
    most = min(max(2**15 // max(d, width), 256 if max(d, width) >= 512 else 128), 1024)
    assert size % 32 == 0 and size <= most and (tiles - 1) * size < n <= tiles * size
    assert size <= -(-n // -(-n // most)) + 31 and (tiles > 1 or n * max(d, width) < 2**15 or n <= 32)


ASKED = {
    "by rows": lambda p, x: density.exponent_and_score(p, x),
    "sums": lambda p, x: tree_flatten(te.nll_gradient(p, x))[0],
    "log Z": lambda p, x: [np.array(float(te.log_partition(p)))],
    "chains": lambda p, x: [te.run(te.ULA(0.01), p, x, 20, np.random.default_rng(0), record=5)[1]["trajectory"]],
    "training": lambda p, x: tree_flatten(te.fit(p.energy,
    x, p.space, te.ContrastiveDivergence(te.ULA(0.01), 2), steps=3, batch_size=2000,
                                                 progress=False, exact=False).theta)[0],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ask", ASKED)
def test_threads_do_not_matter(threads, ask, dtype):
    """Bit for bit the same on one, two and three.  Catches sums added as threads come in, tiles cut by their number,
    generators handed out by thread, and a worker that runs before its program knows θ."""
    p, x = network((2, 40, 1)), points(3000).astype(dtype)
    answers = []
    for n in (1, 2, 3):
        threads(n)
        answers.append(ASKED[ask](p, x))

    for other in answers[1:]:
        for a, b in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("order", [[1, 0], [0, 1], [1], [0]], ids=str)
def test_workers_do_not_matter(monkeypatch, agree, threads, order):
    """Whoever does which job, in whatever order: here with the last worker, or both in turn, from the last job on, and with θ that
    changes.  Catches an answer that is put together by a worker who did nothing, and lanes combined as they come in."""
    def in_turn(work, jobs, threads):
        for i, job in enumerate(reversed(jobs)):
            work(order[i % len(order)] if threads > 1 else 0, job)

    x, w, energy = points(5000), np.random.default_rng(2).standard_normal(5000), Scaling()
    wanted = [_weighted_gradient(te.Density(energy, theta(seed), te.Reals(2)), x, w) for seed in (3, 4)]
    threads(2)
    monkeypatch.setattr(plans, "in_parallel", lambda work, jobs, n: in_turn(lambda k, job: work(n - 1 - k, job), jobs, n))
    for seed, want in zip((3, 4), wanted, strict=True):
        agree(tree_flatten(weighted_energy_gradient(te.Density(energy, theta(seed), te.Reals(2)), x, w))[0], tree_flatten(want)[0])


@dataclass(frozen=True)
class Scaling:
    """An energy whose gradient by v is a sum times v's own function."""

    def __call__(self, theta, x):
        return ops.sum(ops.tanh(x @ theta["W"]) * (theta["v"] * theta["v"]), axis=1)


def theta(seed):
    rng = np.random.default_rng(seed)
    return {"W": rng.standard_normal((2, 300)), "v": rng.standard_normal(300)}


def test_a_program_is_locked_to_its_end(monkeypatch):
    """Every use of a program's buffers happens under the lock.  Catches a sum that is finished in another call's buffer."""
    free = []

    def ask():
        free.append(plans.LOCK.acquire(blocking=False))
        if free[-1]:
            plans.LOCK.release()

    def watched(method):
        def watch(*args):
            attempt = threading.Thread(target=ask)
            attempt.start()
            attempt.join()
            return method(*args)
        return watch

    for name in ("run", "load", "finish"):
        monkeypatch.setattr(Program, name, watched(getattr(Program, name)))
    weighted_energy_gradient(network(), points(100), np.ones(100))
    assert len(free) >= 3 and not any(free)


def test_sums_of_many_chunks(agree, threads):
    """Chunks of one size, some more, and a shorter last one, on several threads.  Catches a lane that a chunk overwrites, one that
    is combined twice, and tiles of a chunk that go to no lane."""
    threads(3)
    p, x, w = network((2, 300, 1)), points(9000), np.random.default_rng(2).standard_normal(9000)
    cuts = [0, 4096, 8192, 9000]
    chunks = [(x[a:b], w[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert -(-4096 // tile_size(tree_flatten(p.theta)[0], 4096, 2)) > LANES

    agree(tree_flatten(reduce_rows(_weighted_gradient, add, p, iter(chunks), 0.0))[0], tree_flatten(_weighted_gradient(p, x, w))[0])


def test_online_softmax_of_tiles(agree, threads):
    """log Z and its gradient over patches of wildly different mass, against one sum.  Catches a merge that is not in units of
    the largest exponent, and a padding that has mass."""
    threads(2)
    p = network(space=te.Box(-30, 30, 2))
    p = te.Density(p.energy, [{"W": 9 * layer["W"], "b": layer["b"]} for layer in p.theta], p.space)
    grid = p.space.grid((71, 73))
    x, log_w = grid.all()
    u = density.exponent(p, x) + log_w
    weights = np.exp(u - u.max())

    log_z, gradient = model_phase(p, grid)
    assert log_z == pytest.approx(u.max() + np.log(weights.sum()), rel=1e-13) == log_sum(p, grid)
    agree(tree_flatten(gradient)[0], tree_flatten(_weighted_gradient(p, x, weights / weights.sum()))[0])


def test_settings_are_arguments(agree):
    """Numbers beside θ, which change from call to call.  Catches a step size of the trace, and rows taken for settings."""
    p, x = network(), points(300)
    for step in (0.1, 0.7, 0.1):
        found = by_rows(langevin.moved, p, x, 0 * x + 2, settings=(step, 0.5))
        agree([found], [x + step * density._exponent_and_score(p, x)[1] + 1])


def test_merge_overwrites_what_fold_gave_away():
    """Two halves, either larger.  Catches a factor on the wrong one."""
    for a, b in (([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])):
        want = np.array([4.0, *(np.exp(a[0] - 4) * np.array(a[1:]) + np.exp(b[0] - 4) * np.array(b[1:]))])
        np.testing.assert_allclose(merge(np.array(a), np.array(b)), want, rtol=1e-15)


def test_two_users_at_once(threads):
    """Two threads of the user's, each with its own model, ask again and again.  Catches buffers that serve two calls at a time."""
    threads(2)
    models = [(network(seed=seed), points(2000, seed=seed)) for seed in (1, 2, 1, 2)]
    one = lambda p, x: [*tree_flatten(te.nll_gradient(p, x))[0], te.run(te.ULA(0.01), p, x, 5, np.random.default_rng(0))[0]]
    want, wrong, interval = [one(p, x) for p, x in models], [], sys.getswitchinterval()

    def ask(model, answer):
        for _ in range(2):
            if not all(np.array_equal(a, b) for a, b in zip(one(*model), answer, strict=True)):
                wrong.append(model)

    sys.setswitchinterval(1e-5)
    try:
        users = [threading.Thread(target=ask, args=pair) for pair in zip(models, want, strict=True)]
        [user.start() for user in users]
        [user.join(60) for user in users]
    finally:
        sys.setswitchinterval(interval)
    assert not wrong and not any(user.is_alive() for user in users)
