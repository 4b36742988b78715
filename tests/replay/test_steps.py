"""Chains of a whole tile before the next: the same steps as one by one, and whose noise each takes."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density
from tinyebm.common.tree import tree_flatten
from tinyebm.replay import plans
from tinyebm.replay import steps as replay_steps
from tinyebm.replay.normals import normals
from tinyebm.replay.plans import tile_size

rng = np.random.default_rng


def network(space, dtype="float64"):
    net = te.MLP((space.dim, 80, 1), "silu", 0.5)
    return te.Density(net, te.common.tree.tree_map(lambda a: a.astype(dtype), net.init(rng(5))), space)


def score(p, x):
    return density._exponent_and_score(p, x)[1]


def by_hand(p, x, kernels, generator):
    """Every point of every chain, tile by tile, with normals of SFC64 seeded by one draw: (1 + steps, n, d)."""
    (n, d), size = x.shape, tile_size(tree_flatten(p.theta)[0], *x.shape)
    seeds = generator.integers(0, 2**63, size=-(-n // size))
    ahead, found = max(1, 2 * plans.TILE // (d * size)), np.empty((1 + len(kernels), n, d), x.dtype)
    for seed, start in zip(seeds, range(0, n, size), strict=True):
        own, y, noise = np.random.Generator(np.random.SFC64(seed)), x[start : start + size], None
        found[0, start : start + size] = y
        for i, kernel in enumerate(kernels):
            if i % ahead == 0:
                noise = np.empty((min(ahead, len(kernels)), d, size), x.dtype)
                normals(own, noise)
            drift = y + np.asarray(kernel.step_size, x.dtype) * score(p, y)
            y = p.space.fold(drift + np.asarray(kernel.noise_scale, x.dtype) * noise[i % ahead].T[: len(y)])
            found[1 + i, start : start + size] = y
    return found


SCHEDULES = {
    "one kernel": lambda i: te.ULA(0.02),
    "annealed": lambda i: te.ULA(0.01 + 0.005 * (i % 3), temperature=2.0 * 0.9**i),
    "without noise": lambda i: te.ULA(0.05 / i, temperature=0.0),
    "settings come back": lambda i: te.ULA([0.01, 0.03][i % 2], temperature=[0.0, 1.0][i // 2 % 2]),
}
SPACES = [te.Reals(2), te.Box(-1, 1, 2), te.Box(-0.3, 2.5, 1), te.Reals(3, base_scale=0.7)]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("name", SCHEDULES)
def test_chains_are_steps(monkeypatch, threads, agree, name, space):
    """Three tiles, the last one short, more steps than noise is drawn for at once; every point recorded.

    Catches a step or a temperature of another step, settings that one tile leaves to the next, reflection forgotten or before
    the noise, noise of one step in two, seeds that tiles share, a point recorded late, and rows that fill a tile up.
    """
    threads(2)
    for module in (plans, replay_steps):
        monkeypatch.setattr(module, "TILE", 2**12)
    p, kernel = network(space), SCHEDULES[name]
    x, steps = space.initial(300, rng(1)), 70
    assert tile_size(tree_flatten(p.theta)[0], 300, space.dim) == 128 and 2 * plans.TILE // (space.dim * 128) < steps
    want = by_hand(p, x, [kernel(i) for i in range(1, steps + 1)], rng(2))

    for record in (1, 7, None):
        end, info = te.run(kernel(1) if name == "one kernel" else kernel, p, x, steps, rng(2), record=record)
        agree([end], [want[-1]], 1e-8)
        if record:
            agree([info["trajectory"]], [want[::record]], 1e-8)
        assert info["acceptance"] is None


def test_gradient_descent_is_without_chance(agree):
    """At temperature 0: n times x + ε ∇log p, from one generator or another.  Catches noise where there is none."""
    p, x = network(te.Reals(2)), rng(1).standard_normal((700, 2))
    want = x
    for _ in range(10):
        want = want + 0.1 * score(p, want)

    agree([te.run(te.ULA(0.1, temperature=0.0), p, x, 10, rng(seed))[0] for seed in (0, 1)], [want, want])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_step_from_a_point_is_a_normal(dtype):
    """20 000 chains and 3 steps from 0 in a flat world: N(0, 6ε), all coordinates and chains independent, |z| < 5.

    Catches a noise scale of ε for √(2ε), noise that tiles, steps or coordinates share, and single precision that is not kept.
    """
    p = te.Density(te.MLP((2, 3, 1)), te.common.tree.tree_map(lambda a: (0 * a).astype(dtype), te.MLP((2, 3, 1)).init(rng(0))),
    te.Reals(2))
    n = 20_000
    x = te.run(te.ULA(0.5), p, np.zeros((n, 2), dtype), 3, rng(3), record=1)[1]["trajectory"]
    steps = np.diff(x.astype(float), axis=0).reshape(3, n, 2)

    assert x.dtype == dtype and len(np.unique(x[1:])) > 0.98 * 6 * n
    assert np.abs(steps.mean(axis=1)).max() < 5 / math.sqrt(n) and np.abs((steps**2).mean(axis=1) - 1).max() < 5 * math.sqrt(2 / n)
    assert abs((steps**4).mean() - 3) < 5 * math.sqrt(96 / (6 * n))
    flat = steps.transpose(0, 2, 1).reshape(6, n)
    size = tile_size(tree_flatten(p.theta)[0], n, 2)
    for a, b in [(flat[i], flat[j]) for i in range(6) for j in range(i)] + [(f[:-k], f[k:]) for f in flat for k in (1, 2, size, 2 *
    size)]:
        assert abs((a * b).mean()) < 5 / math.sqrt(len(a))


def test_the_law_of_long_chains():
    """ULA on N(0, 1): stationary variance 1 / (1 - ε/2), |z| < 5.  Catches drift and noise of different steps."""
    n, e = 20_000, 0.3
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    x = te.run(te.ULA(e), p, np.zeros((n, 1)), 40, rng(4))[0][:, 0]
    v = 1 / (1 - e / 2)

    assert abs(x.mean()) < 5 * math.sqrt(v / n) and abs((x * x).mean() / v - 1) < 5 * math.sqrt(2 / n)


def test_single_precision_stays(agree):
    """All arrays; and in mixed precision the points keep NumPy's promotion.  Catches a state in the type of θ."""
    p, x = network(te.Box(-1, 1, 2), "float32"), rng(1).uniform(-1, 1, (600, 2)).astype("float32")
    end, info = te.run(te.ULA(0.02), p, x, 5, rng(0), record=5)

    assert end.dtype == info["trajectory"].dtype == np.float32
    agree([end], [by_hand(p, x, [te.ULA(0.02)] * 5, rng(0))[-1]], 1e-4)
    assert te.run(te.ULA(0.02), network(te.Reals(2)), x, 2, rng(0))[0].dtype == np.float32


def test_arguments_stay_as_they_are():
    """Read-only points and parameters; the trajectory starts at the points, and is nobody's buffer."""
    p, x = network(te.Reals(2)), rng(1).standard_normal((600, 2))
    for a in (x, *te.common.tree.tree_flatten(p.theta)[0]):
        a.setflags(write=False)
    end, info = te.run(te.ULA(0.02), p, x, 4, rng(0), record=2)
    kept = end.copy(), info["trajectory"].copy()
    te.run(te.ULA(0.02), p, -x, 4, rng(1), record=2)

    np.testing.assert_array_equal(info["trajectory"][0], x)
    np.testing.assert_array_equal(end, kept[0])
    np.testing.assert_array_equal(info["trajectory"], kept[1])


def test_one_draw_of_the_generator():
    """A seed for every tile, and no more: what the caller draws next does not depend on the steps.  Catches a seed of a
    constant."""
    p, x = network(te.Reals(2)), rng(1).standard_normal((1000, 2))
    generators = [rng(7), rng(7)]
    ends = [te.run(te.ULA(0.02), p, x, steps, g)[0] for steps, g in zip((3, 9), generators, strict=True)]

    assert generators[0].random() == generators[1].random() and not np.array_equal(*ends)
    assert not np.array_equal(te.run(te.ULA(0.02), p, x, 3, rng(8))[0], ends[0])


@pytest.mark.parametrize("energy", [lambda theta,
x: 0.5 * (x * x).sum(axis=1) if float(te.autodiff.stop_gradient(x)[0, 0]) < 99 else None,
                                    lambda theta, x: te.ops.sum(x * x, axis=1) * 0.5])
def test_otherwise_step_by_step(agree, energy):
    """What cannot be replayed, or does not pay, takes the kernel's own steps and draws.  Catches two kinds of noise in one
    chain."""
    p, x = te.Density(energy, {}, te.Reals(2)), rng(1).standard_normal((50, 2))
    want, generator = x, rng(0)
    for _ in range(3):
        want = 0.9 * want + math.sqrt(0.2) * generator.standard_normal(want.shape)

    agree([te.run(te.ULA(0.1), p, x, 3, rng(0))[0]], [want])
