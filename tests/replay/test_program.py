"""Shipped energies, whole: what is asked of them replays on fresh θ and x; and the buffers of a program, one by one."""

import itertools

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density
from tinyebm.common.tree import ravel, tree_flatten, tree_map
from tinyebm.exact import gradient, sums
from tinyebm.objectives import score_matching, step
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace

N = 32
SIZES, SPACES = [(2, 7, 1), (1, 5, 4, 1), (3, 6, 5, 4, 1), (2, 1)], [te.Reals, lambda d: te.Box(-2, 2, d),
lambda d: te.Reals(d, base_scale=1.5)]
NETS = [(te.MLP(sizes, activation, (0.0, 0.3)[i % 2]), SPACES[(i + i // 4) % 3](sizes[0]))
        for i, (activation, sizes) in enumerate(itertools.product(("silu", "tanh", "softplus", "relu"), SIZES))]
OTHERS = [(te.GaussianEnergy(2), te.Reals(2)), (te.GaussianMixtureEnergy(3, 2), te.Reals(2)), (te.DoubleWell(), te.Reals(1)),
          (te.Quartic(), te.Reals(1)), (te.Ring(), te.Reals(2)), (te.Banana(), te.Reals(2)), (te.Funnel(3), te.Reals(3)),
          (te.BoltzmannMachine(6), te.Bits(6)), (te.RBM(5, 3), te.Bits(5)), (te.GaussianBernoulliRBM(2, 3), te.Reals(2)),
          (te.Ising((2, 3)), te.Spins(6)), (te.Potts(3, (2, 2)), te.Cells(3, 4))]  # fmt: skip


def questions(space, rng, dtype):
    """(name, function of (p, *rows), rows, whether it is a sum over rows) of all that replay is asked."""
    x, weights = space.initial(N, rng).astype(dtype), rng.standard_normal(N).astype(dtype)
    yield "exponent", density.exponent, (x,), False
    yield "weighted gradient", gradient._weighted_gradient, (x, weights), True
    yield "contrast", step._contrast, (x, weights), True
    yield "model phase", sums._model_phase, (x, weights), True
    yield "log sum", sums._log_sum, (x, weights), True
    if not space.discrete:
        yield "score", density._exponent_and_score, (x,), False
        yield "laplacian", density._score_and_laplacian, (x,), False
        y = rng.standard_normal(x.shape).astype(dtype)
        for loss, g in score_matching.GRADIENTS.items():
            yield loss.__name__, g, (x, weights) if loss is score_matching._exact_loss else (x, y, weights), True


def parameters(energy, rng, dtype):
    """θ near its start."""
    flat, unravel = ravel(energy.init(rng))
    noise = 0 if isinstance(energy, te.GaussianEnergy) else 0.3 * rng.standard_normal(flat.shape)  # a precision stays one
    return tree_map(lambda a: a.astype(dtype), unravel(flat + noise))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("energy", "space"), NETS + OTHERS, ids=str)
def test_shipped_energies(replay, agree, energy, space, dtype):
    """Every question about every energy.  Catches what the layouts one by one do not show: factors and borders through whole
    derivatives, second ones by x and then by θ included."""
    rng = np.random.default_rng(0)
    theta, other = parameters(energy, rng, dtype), parameters(energy, rng, dtype)
    leaves, rebuild = tree_flatten(theta)
    fresh = {name: rows for name, _, rows, _ in questions(space, rng, dtype)}

    for name, f, rows, added in questions(space, rng, dtype):
        function = lambda *args, f=f: tree_flatten(f(te.Density(energy, rebuild(args[: len(leaves)]), space),
        *args[len(leaves):]))[0]
        found = replay(function, (leaves, rows), (tree_flatten(other)[0], fresh[name]), linear=added)
        with np.errstate(all="ignore"):
            agree(found, tree_flatten(f(te.Density(energy, other, space), *fresh[name]))[0], 1e-3 if dtype == "float32" else None)


# ------------------------------------------------------------------------------------ buffers

def program(function, fixed, rows, linear=False):
    return Program(*trace(function, fixed, rows), linear)


def memory(p):
    """The bytes of all buffers that a program's calls on points touch."""
    arrays = [a for _, args in p.body for a in args if isinstance(a, np.ndarray) and a.size >= N]
    return len({byte for a in arrays for byte in range(*np.lib.array_utils.byte_bounds(a))})


def test_buffers_are_used_again():
    """A chain of forty functions needs as many buffers as one: its input's and its own.  Catches a buffer for every result."""
    x = np.ones((N, 3))

    def chain(x):
        for _ in range(20):
            x = np.sin(np.maximum(x, 0.1))
        return [x]

    def choices(x):
        for _ in range(20):
            x = np.where(x > 0.5, np.sin(x), x[:, [1, 2, 0]])
        return [x]

    assert memory(program(chain, [], [x])) == 2 * x.nbytes
    assert memory(program(choices, [], [x])) <= 6 * x.nbytes
    assert memory(program(lambda x: [(np.sin(x) * np.cos(x)).sum(axis=1)], [], [x])) == 3 * x.nbytes + N * 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_buffers_begin_at_lines_of_the_cache(dtype):
    """Those of rows, parameters and results, with a border and without, used again or not.  Catches NumPy's own buffers, which
    begin at any 16 bytes: calls on them take up to twice as long, and give the same numbers."""
    net, x = te.MLP((3, 5, 7, 1)), np.ones((N, 3), dtype)
    leaves, rebuild = tree_flatten(parameters(net, np.random.default_rng(0), dtype))
    p = program(lambda *args: list(density._exponent_and_score(te.Density(net, rebuild(args[:-1]), te.Reals(3)), args[-1])),
                leaves, [x])
    arrays = [a for _, args in p.prologue + p.body for a in args if isinstance(a, np.ndarray) and a.ndim == 2]

    assert len(arrays) > 40
    assert all(a.ctypes.data % 64 == 0 for a in (*arrays, *p.fixed, *p.rows, *p.outputs))


# fmt: off
LONG_LIVED = [  # who is needed once more, after another could have taken its place
    lambda x: [np.sin(x) + np.sin(np.sin(x))], lambda x: [np.sin(x) * np.sin(x)[:, :1]], lambda x: [np.sin(x) * np.sin(x)[::-1]],
    lambda x: [np.sin(x), np.cos(np.sin(x))], lambda x: [x, np.sin(x) + x], lambda x: [np.sin(x), np.sin(x).T, np.sin(x)[:, 0]],
    lambda x: (lambda s: [np.tanh(s) - np.exp(s.T).T * s])(np.sin(x)), lambda x: (lambda s: [s.T[0] * np.cos(s)[:, 0]])(np.sin(x)),
    lambda x: (lambda s: [np.where(s > 0, np.cos(s), s)])(np.sin(x)), lambda x: (lambda s: [s[:, [0, 0, 1]] * s])(np.sin(x)),
    lambda x: (lambda s: [np.sin(s.T).T + np.cos(s)])(np.sin(x)),
    lambda x: (lambda s: [s.reshape(-1, 3, 1)[:, 0] + np.cos(s)])(np.sin(x)),
    lambda x: (lambda s: [np.cos(s) + s.sum(axis=1, keepdims=True) - np.sin(np.cos(s))])(np.sin(x)), lambda x: [x, x],
    lambda x: [x * 1],
    lambda x: [np.ones(3), x[:, 0] * 0], lambda x: (lambda s: [np.cos(s[:, 0]) * np.exp(s[:, 0]), s[:, 0]])(np.sin(x)),
    lambda x: (lambda s: [np.arctan2(s, np.cos(s)), np.arctan2(np.exp(s), s)])(np.sin(x)), lambda x: [np.sin(x) - (np.sin(x) > 0)],
]
# fmt: on


@pytest.mark.parametrize("function", LONG_LIVED)
def test_no_buffer_goes_before_its_last_reader(replay, agree, function):
    """Also as a view, transposed, or an output.  Catches a result in the place of an operand that is read again, and
    a call in place on an operand that it reads in another order."""
    x, fresh = np.random.default_rng(1).standard_normal((2, N, 3))

    agree(replay(lambda x: list(function(x)), ([], [x]), ([], [fresh])), function(fresh))


@pytest.mark.parametrize("function", [lambda m,
x, w: [x.sum(), (x * w[:, None]).sum(axis=0), (m * x).sum(axis=0) * 3, w.sum() - m[0] * w.sum()],
                                      lambda m, x, w: [w.sum(), w.sum(), x.T @ (x * m * 2), (x.T @ x)[0]],
                                      lambda m, x, w: [(2 * w).max(), (x @ np.ones((3, 2)) * m[:2]).sum(axis=0),
                                      np.ones(2) * m[0]]])
def test_totals_add_up(agree, function):
    """Tiles' totals, added, are the sums over all points once `finish` has put the factors on.  Catches a factor per tile,
    one dropped, equal outputs that share a place, and an output that is no sum but a view of one."""
    rng = np.random.default_rng(2)
    m, x, w = rng.standard_normal(3), rng.standard_normal((2 * N, 3)), rng.standard_normal(2 * N)
    p = program(lambda m, x, w: list(function(m, x, w)), [np.ones(3)], [x[:N], w[:N]], linear=True)
    p.load([m])
    totals = []
    for part in (slice(N), slice(N, None)):
        p.rows[0][:], p.rows[1][:] = x[part], w[part]
        p.run()
        totals.append(p.total.copy())

    halves = [function(m, x[part], w[part]) for part in (slice(N), slice(N, None))]
    agree(p.finish(totals[0] + totals[1]), [a + b for a, b in zip(*halves, strict=True)])
    found = p.finish(totals[0])
    p.finish(totals[1])
    agree(found, halves[0])


def test_what_depends_on_parameters_alone_is_computed_once():
    """Catches parameters' own functions among those of every tile, and calls whose results nobody reads."""
    W, x = np.eye(3), np.ones((N, 3))
    p = program(lambda W, x: [x @ np.tanh(np.exp(W))],
    [W], [x])

    assert len(p.body) == 1 and len(p.prologue) == 3
    unread = program(lambda x: [(np.sin(x), np.cos(x))[1]], [], [x])
    assert len(unread.body) == 1


def test_layers_are_one_product_each():
    """A layer with its bias, forward and backward: four products, and no sum over points.  Catches biases that are added, and
    summed, by calls of their own: right, and slow."""
    net, x = te.MLP((2, 5, 4, 1), "tanh"), np.ones((N, 2))
    leaves, rebuild = tree_flatten(net.init(np.random.default_rng(0)))
    p = program(lambda *args: tree_flatten(gradient._weighted_gradient(te.Density(net, rebuild(args[:-2]), te.Reals(2)),
    *args[-2:]))[0],
                leaves, [x, np.ones(N)], linear=True)
    names = [f.__name__ for f, _ in p.body if hasattr(f, "__name__")]

    assert names.count("dot") <= 3 + 3 + 2 and names.count("reduce") <= 1 and "add" not in names
