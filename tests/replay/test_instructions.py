"""Layers in every layout that a user may write: exponent, score, Laplacian and gradient by θ, replayed on fresh θ and x."""

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density, ops
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.exact.gradient import _weighted_gradient
from tinyebm.replay.door import add, reduce_rows

N = 32
# fmt: off
LAYOUTS = {  # an energy of (θ, x), x (n, 2); {leaf: shape} of θ
    "layer": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1), dict(W=(2, 3), b=3)),
    "no bias": (lambda t, x: ops.sum(ops.tanh(x @ t.W) * t.v, axis=1), dict(W=(2, 3), v=3)),
    "bias first": (lambda t, x: ops.sum(ops.tanh(t.b + x @ t.W), axis=1), dict(W=(2, 3), b=3)),
    "bias (1, h)": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1), dict(W=(2, 3), b=(1, 3))),
    "bias (1,)": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1), dict(W=(2, 3), b=1)),
    "bias ()": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1), dict(W=(2, 3), b=())),
    "bias spread": (lambda t, x: ops.sum(ops.tanh(x @ t.W + ops.broadcast_to(t.b, (len(x), 3))), axis=1), dict(W=(2, 3), b=3)),
    "bias below": (lambda t, x: ops.sum(ops.tanh(x @ t.W - t.b), axis=1), dict(W=(2, 3), b=3)),
    "less a product": (lambda t, x: ops.sum(ops.tanh(t.b - x @ t.W), axis=1), dict(W=(2, 3), b=3)),
    "bias after a factor": (lambda t, x: ops.sum(ops.tanh(2 * (x @ t.W) + t.b), axis=1), dict(W=(2, 3), b=3)),
    "factors around": (lambda t, x: 0.3 * ops.sum(-ops.tanh(((0.7 * x) @ t.W + t.b) / 3) * 2, axis=1), dict(W=(2, 3), b=3)),
    "two layers": (lambda t, x: ops.sum(ops.tanh(ops.tanh(x @ t.W + t.b) @ t.V + t.c), axis=1), dict(W=(2, 3), b=3, V=(3, 4), c=4)),
    "three, one without": (lambda t, x: ((ops.silu(ops.softplus(x @ t.W + t.b) @ t.V) * 2) @ t.U + t.d)[:, 0],
                           dict(W=(2, 3), b=3, V=(3, 4), U=(4, 1), d=1)),
    "widths one": (lambda t, x: (ops.tanh(x @ t.W + t.b) @ t.V + t.c)[:, 0], dict(W=(2, 1), b=1, V=(1, 1), c=1)),
    "wide from one": (lambda t, x: (ops.tanh(x[:, :1] @ t.W + t.b) @ t.V)[:, 0], dict(W=(1, 4), b=4, V=(4, 1))),
    "transposed": (lambda t, x: ops.sum(ops.tanh(x @ t.W.T + t.b), axis=1), dict(W=(3, 2), b=3)),
    "shared": (lambda t, x: ops.sum(ops.square(ops.tanh(x @ t.W + t.b) @ t.W.T + t.c - x), axis=1), dict(W=(2, 3), b=3, c=2)),
    "shared bias": (lambda t,
    x: ops.sum(ops.tanh(ops.tanh(x @ t.W + t.b) @ t.V + t.b) * t.b, axis=1), dict(W=(2, 3), V=(3, 3), b=3)),
    "residual": (lambda t, x: ops.sum(ops.square(x + ops.tanh(x @ t.W + t.b) @ t.V), axis=1), dict(W=(2, 3), b=3, V=(3, 2))),
    "residual, deep": (lambda t, x: (lambda h: ops.sum(h + ops.tanh(h @ t.V + t.c), axis=1))(ops.tanh(x @ t.W + t.b)),
                       dict(W=(2, 3), b=3, V=(3, 3), c=3)),
    "product of layers": (lambda t,
    x: ops.sum(ops.tanh(x @ t.W + t.b) * (x @ t.V + t.c), axis=1), dict(W=(2, 3), b=3, V=(2, 3), c=3)),
    "gate": (lambda t, x: ops.sum(ops.sigmoid(x @ t.W + t.b) * (x @ t.W), axis=1), dict(W=(2, 3), b=3)),
    "x in two layers": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1) + ops.sum(ops.silu((2 * x) @ t.V + t.c), axis=1),
                        dict(W=(2, 3), b=3, V=(2, 4), c=4)),
    "moved x": (lambda t, x: ops.sum(ops.tanh((x - t.m) @ t.W + t.b), axis=1), dict(m=2, W=(2, 3), b=3)),
    "scaled x": (lambda t, x: ops.sum(ops.tanh((x * t.m) @ t.W + t.b) * t.b, axis=1), dict(m=2, W=(2, 3), b=3)),
    "vector factors": (lambda t,
    x: ops.sum((x * t.a * t.b + x * t.a * t.c) @ t.W * t.v, axis=1) + ops.sum(ops.exp(-x * x * t.a * t.a), axis=1),
                       dict(a=2, b=2, c=2, W=(2, 3), v=3)),
    "equal factors": (lambda t,
    x: ops.sum(ops.square(ops.sin(x) * t.a + x * t.a) - ops.square(3 * x - 3 * ops.cos(x)), axis=1), dict(a=2)),
    "opposite factors": (lambda t, x: ops.sum(ops.square(2 * ops.sin(x) - (-2) * x) + ops.square(3 * x + (-3) * ops.cos(x)), axis=1)
                         * t.a, dict(a=())),
    "unequal factors": (lambda t,
    x: ops.sum(ops.square(2 * ops.sin(x) - 3 * x * t.a + (1 - 0.3 * x) + (0.5 * x - 2)), axis=1), dict(a=2)),
    "products of factors": (lambda t,
    x: ops.sum((2 * x * t.a) * (ops.sin(x) * t.b * 3) * (t.c * x[:, :1]), axis=1), dict(a=2, b=2, c=1)),
    "quotients": (lambda t,
    x: ops.sum(ops.tanh(2 * x / t.s) / (3 * t.s) / (1 + x * x) + (0.5 * x * t.s) / (2 + 4 * x * x), axis=1), dict(s=2)),
    "divided by a product": (lambda t, x: ops.sum(x / ((2 + x * x) * t.s), axis=1), dict(s=2)),
    "scalar times product": (lambda t,
    x: ops.sum(ops.tanh(t.s * (x @ t.W) * 2), axis=1) + ops.sum(x @ t.W, axis=1) * t.s, dict(s=(), W=(2, 3))),
    "scalars, twice": (lambda t, x: ops.sum(ops.sin(t.s * (t.r * (3 * (x @ t.W)))), axis=1), dict(s=(), r=(), W=(2, 3))),
    "exponentials": (lambda t, x: ops.sum(ops.exp(-(x @ t.W + t.b)) + ops.exp(2 * (x @ t.V)), axis=1)
                     + ops.sum(x @ t.V, axis=1), dict(W=(2, 3), b=3, V=(2, 3))),
    "a factor (1,)": (lambda t, x: ops.sum(ops.tanh((x * t.w) @ t.W * t.w + t.b) * t.w, axis=1), dict(w=1, W=(2, 3), b=3)),
    "layers of sums": (lambda t,
    x: ops.sum(ops.tanh((2 * ops.sin(x) - (-2) * x) @ t.W + t.b) + ops.tanh((x * t.v + ops.cos(x) * t.v) @ t.W + t.b)
                       + ops.tanh((2 * x + (-2) * ops.cos(x)) @ t.W + t.b), axis=1), dict(v=2, W=(2, 3), b=3)),
    "quadratic form": (lambda t, x: 0.5 * ops.sum((x @ t.P) * x, axis=1), dict(P=(2, 2))),
    "quadratic, moved": (lambda t, x: 0.5 * ops.sum(((x - t.m) @ t.P.T) * (x - t.m), axis=1), dict(P=(2, 2), m=2)),
    "mixture": (lambda t,
    x: -ops.logsumexp(t.l - 0.5 * ops.sum(ops.square(x[:, None] - t.M), axis=2), axis=1), dict(M=(5, 2), l=5)),
    "mixture by products": (lambda t,
    x: -ops.logsumexp(x @ t.M.T - 0.5 * ops.sum(t.M * t.M, axis=1), axis=1) + ops.sum(x * x, axis=1),
                            dict(M=(5, 2))),
    "by index": (lambda t, x: t.m[0] * ops.sum(ops.square(x - t.m[1]), axis=1) + t.K[0, 1] * x[:, 1], dict(m=2, K=(2, 2))),
    "by row": (lambda t, x: ops.sum(ops.tanh((x - t.M[0]) * t.M[1]) * t.M[2], axis=1), dict(M=(3, 2))),
    "by column": (lambda t, x: ops.sum(ops.tanh(x @ t.M[:, :3] + t.M[0, 3:]), axis=1), dict(M=(2, 6))),
    "by list": (lambda t, x: ops.sum(x[:, [1, 0, 1]] * t.w[np.array([2, 0, 2])], axis=1), dict(w=3)),
    "columns of x": (lambda t, x: t.a * x[:, 0] * ops.sin(x[:, 1]) + t.b * (x[:, 0] / (2 + x[:, 1] * x[:, 1])), dict(a=(), b=1)),
    "(n, 1) by (1, h)": (lambda t, x: ops.sum(ops.tanh(x[:, :1] * t.w) * t.v * x[:, 1:], axis=1), dict(w=(1, 4), v=4)),
    "a vector @": (lambda t, x: ops.tanh(x @ t.w) * (x @ t.v), dict(w=2, v=2)),
    "features": (lambda t, x: ops.concatenate([x, x * x, ops.sin(x)], axis=1) @ t.w, dict(w=6)),
    "reshaped": (lambda t,
    x: ops.sum(ops.tanh(ops.reshape(ops.reshape(x @ t.W, (-1, 2, 2)) * t.v, (-1, 4))), axis=1), dict(W=(2, 4), v=2)),
    "kinks": (lambda t,
    x: ops.sum(ops.relu(x @ t.W + t.b) + ops.abs(x @ t.W) + ops.minimum(x @ t.W, t.b), axis=1), dict(W=(2, 3), b=3)),
    "softplus sum": (lambda t, x: -ops.softplus_sum(x @ t.W + t.b) - x @ t.c, dict(W=(2, 3), b=3, c=2)),
    "mean": (lambda t, x: ops.mean(x * t.w, axis=1) * 3 + ops.mean(ops.tanh(x @ t.W), axis=1), dict(w=2, W=(2, 3))),
    "constant in x": (lambda t, x: ops.broadcast_to(ops.sum(t.a * t.a), (len(x),)), dict(a=3)),
    "constant in θ": (lambda t, x: ops.sum(x * x, axis=1), dict(a=3)),
    "constant": (lambda t, x: np.zeros_like(ops.stop_gradient(x[:, 0])), dict(a=3)),
    "some unused": (lambda t, x: ops.sum(ops.tanh(x @ t.W), axis=1), dict(W=(2, 3), unused=(2, 2), z=())),
    "θ² and 1/θ": (lambda t, x: ops.sum(ops.tanh(x @ (t.W * t.W) + 1 / (2 + t.b * t.b)), axis=1), dict(W=(2, 3), b=3)),
    "all of x": (lambda t, x: ops.sum(ops.tanh((x.T * ops.reshape(t.a, (2, 1))).T @ t.W), axis=1), dict(a=2, W=(2, 3))),
}
BROKEN = {
    "linear layers": (lambda t, x: ops.sum(ops.square((x @ t.W + t.b) @ t.V + t.c), axis=1), dict(W=(2, 3), b=3, V=(3, 4), c=4)),
    "bias after two products": (lambda t, x: ops.sum(ops.square(x @ t.W @ t.V + t.c), axis=1), dict(W=(2, 3), V=(3, 4), c=4)),
    "bias wider than its layer": (lambda t, x: ops.sum(ops.tanh(x @ t.W + t.b), axis=1), dict(W=(2, 1), b=3)),
    "scalar that spreads": (lambda t, x: ops.sum((x @ t.W) * ops.broadcast_to(t.s, (len(x), 3)), axis=1), dict(W=(2, 1), s=())),
    "divisor that spreads": (lambda t, x: ops.sum(x[:, :1] * t.s / np.full(3, 2.0), axis=1), dict(s=())),
}
# fmt: on


class Leaves(dict):
    """A dictionary whose entries are attributes."""

    __getattr__ = dict.__getitem__


def quantities(energy, smooth=True):
    """{name: function of (θ, x, weights) that returns a list of arrays}."""
    p = lambda theta: te.Density(lambda theta, x: energy(Leaves(theta), x), theta, te.Reals(2))
    found = {"exponent": lambda theta, x, w: [density.exponent(p(theta), x)],
             "score": lambda theta, x, w: density._exponent_and_score(p(theta), x),
             "laplacian": lambda theta, x, w: density._score_and_laplacian(p(theta), x)}
    return found, {"gradient": lambda theta, x, w: tree_flatten(_weighted_gradient(p(theta), x, w))[0]}


def given(shapes, seed, dtypes=("float64", "float64")):
    """θ, x and weights at random, of two types: θ's and the others'."""
    rng = np.random.default_rng(seed)
    theta = {name: np.asarray(rng.standard_normal(shape)).astype(dtypes[0]) for name, shape in shapes.items()}
    return theta, rng.standard_normal((N, 2)).astype(dtypes[1]), rng.standard_normal(N).astype(dtypes[1])


def check(replay, agree, layout, dtypes=("float64", "float64")):
    """Everything about a layout, replayed and not."""
    energy, shapes = layout
    (theta, x, w), (other, y, v) = given(shapes, 0, dtypes), given(shapes, 1, dtypes)
    names, mapped, added = sorted(shapes), *quantities(energy)
    tolerance = 2e-4 if "float32" in dtypes else None
    for name, f in (mapped | added).items():
        tree = lambda args: dict(zip(names, args[: len(names)], strict=True))
        function = lambda *args, f=f, tree=tree: list(f(tree(args), *args[len(names):]))
        traced, fresh = ([theta[k] for k in names], [x, w]), ([other[k] for k in names], [y, v])
        agree(replay(function, traced, fresh, linear=name in added), f(other, y, v), tolerance)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(replay, agree, name):
    """Catches a factor dropped, taken twice or put on the wrong axis; a border row of a sum that is another's; a product that
    takes in a factor though others use it; a buffer given away before its last reader; parameters of the trace."""
    check(replay, agree, LAYOUTS[name])


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64"), ("float64", "float32")], ids=str)
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("some unused", "constant in x", "constant in θ",
"constant")])
def test_layouts_of_other_types(replay, agree, name, dtypes):
    """θ and x in single and in mixed precision: the type of every answer is NumPy's.  Catches a buffer of an operand's type."""
    check(replay, agree, LAYOUTS[name], dtypes)


@pytest.mark.parametrize("name", BROKEN)
def test_layouts_that_fail(replay, agree, name):
    """Catches a layer's result without the border that the next layer wants, and a result as narrow as its operand."""
    check(replay, agree, BROKEN[name])


@pytest.mark.parametrize(("name", "dtypes"), [("some unused", ("float32", "float64")), ("mean", ("float64", "float32")),
                                              ("softplus sum", ("float64", "float32"))])
def test_mixed_types_of_sums(replay, agree, name, dtypes):
    """A gradient is of the type of its leaf, beside sums of another.  Catches sums that all have the first one's type."""
    check(replay, agree, LAYOUTS[name], dtypes)

    function = lambda x: [x.astype("float32").sum(), x.sum(), (x * x).astype("float32").sum()]
    x, y = (np.random.default_rng(seed).standard_normal((N, 2)) for seed in (0, 1))
    agree(replay(function, ([], [x]), ([], [y]), linear=True), function(y))


@pytest.mark.parametrize(("name", "dtypes"), [("some unused", ("float32", "float64")), ("mean", ("float64", "float32")),
                                              ("softplus sum", ("float64", "float32")), ("no parameters", ("float64", "float64"))])
def test_sums_of_mixed_types_and_of_nothing(name, dtypes):
    """Leaves whose gradients differ in type, and no leaves.  Catches a vector of the first one's type."""
    energy, shapes = LAYOUTS.get(name, (lambda t, x: ops.sum(x * x, axis=1), {}))
    theta, x, w = given(shapes, 0, dtypes)
    p, x, w = te.Density(lambda theta, x: energy(Leaves(theta), x), theta, te.Reals(2)), np.tile(x, (200, 1)), np.tile(w, 200)

    found, wanted = reduce_rows(_weighted_gradient, add, p, [(x, w)], 0.0), _weighted_gradient(p, x, w)
    assert sorted(found) == sorted(wanted)
    for leaf in wanted:
        np.testing.assert_allclose(found[leaf], wanted[leaf], rtol=1e-3, atol=1e-2)


def test_a_plan_takes_trees_and_leaves_arguments_alone(replay, agree):
    """Through `by_rows`, on arrays that may not be written to.  Catches θ or x changed in place, a tree put together in another
    order, and results that the next call overwrites."""
    energy, shapes = LAYOUTS["two layers"]
    theta, x, _ = given(shapes, 0)
    x = np.concatenate([x] * 200)
    for a in (x, *theta.values()):
        a.setflags(write=False)
    p = te.Density(lambda theta, x: energy(Leaves(theta), x), theta, te.Reals(2))

    first = density.exponent_and_score(p, x)
    kept = tree_map(np.copy, first)
    density.exponent_and_score(p, 2 * x)

    agree(first, kept, rtol=1e-300)
    agree(first, density._exponent_and_score(p, x))
