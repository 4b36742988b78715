"""The table of derivatives, entry by entry: value, three derivatives, float32, tails.

`CASES` lists what is watched.  `check` compares one case with finite
differences; the mutants spoil one VJP at a time and demand that `check` sees
it, so the checks are themselves checked.
"""

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import scipy.special

from tinyebm import ops
from tinyebm.autodiff.tape import grad, hvp, stop_gradient, value_and_grad, vjp
from tinyebm.common.tree import tree_flatten, tree_map

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------------ what is watched
# fmt: off

UNARY = [  # entry of the table, function, the same by NumPy or SciPy, an interval where it is smooth
    ("exp", ops.exp, np.exp, (-1, 1)),
    ("log", ops.log, np.log, (0.3, 2)),
    ("sin", ops.sin, np.sin, (-2, 2)),
    ("cos", ops.cos, np.cos, (-2, 2)),
    ("tanh", ops.tanh, np.tanh, (-2, 2)),
    ("sigmoid", ops.sigmoid, scipy.special.expit, (-3, 3)),
    ("silu", ops.silu, lambda x: x * scipy.special.expit(x), (-3, 3)),
    ("_silu_slope", ops._silu_slope, lambda x: scipy.special.expit(x) * (1 + x * scipy.special.expit(-x)), (-3, 3)),
    ("_silu_curvature", ops._silu_curvature, lambda x: scipy.special.expit(x) * scipy.special.expit(-x)
     * (2 + x * (scipy.special.expit(-x) - scipy.special.expit(x))), (-3, 3)),
    ("_tanh_pull", lambda x: ops._tanh_pull(x * x, x), lambda x: np.square(x) * (1 - x * x), (-2, 2)),
    ("_silu_pull", lambda x: ops._silu_pull(x * x, x), lambda x: np.square(x) * scipy.special.expit(x)
     * (1 + x * scipy.special.expit(-x)), (-3, 3)),
    ("softplus", ops.softplus, lambda x: -scipy.special.log_expit(-x), (-3, 3)),
    ("abs", ops.abs, np.abs, (0.2, 2)),
    ("abs", ops.abs, np.abs, (-2, -0.2)),
    ("relu", ops.relu, lambda x: np.maximum(x, 0), (0.2, 2)),
    ("relu", ops.relu, lambda x: np.maximum(x, 0), (-2, -0.2)),
    ("sqrt", ops.sqrt, np.sqrt, (0.4, 2)),
    ("square", ops.square, np.square, (-2, 2)),
    ("power", lambda x: x**3, lambda x: x * x * x, (-2, 2)),
    ("power", lambda x: x**1, np.positive, (-2, 2)),
    ("power", lambda x: x**0, np.ones_like, (-2, 2)),
    ("power", lambda x: x**-1, np.reciprocal, (0.4, 2)),
    ("power", lambda x: x**2.5, lambda x: np.exp(2.5 * np.log(x)), (0.4, 2)),
    ("neg", lambda x: -x, np.negative, (-2, 2)),
    ("add", lambda x: 1.5 + x, lambda x: np.add(x, 1.5), (-2, 2)),
    ("sub", lambda x: 1.5 - x, lambda x: np.negative(x - 1.5), (-2, 2)),
    ("mul", lambda x: 1.5 * x, lambda x: np.multiply(x, 1.5), (-2, 2)),
    ("div", lambda x: 1.5 / x, lambda x: 1.5 * np.reciprocal(x), (0.4, 2)),
]
BINARY = [("add", operator.add), ("sub", operator.sub), ("mul", operator.mul), ("div", operator.truediv),
          ("where", lambda a, b: ops.where(a > b, a, b)), ("minimum", ops.minimum)]
BROADCASTS = [((), (3,)), ((3,), ()), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((1, 3), (2, 3)),
              ((2, 1, 3), (4, 1)), ((2, 3), (2, 3)), ((1,), (4,))]
MATMULS = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
           ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
           ((4, 1, 2, 3), (5, 3, 2))]
MASK = np.array([[True, False], [False, True], [True, True]])
MASKED = [(lambda x: ops.where(MASK, x, 0.0), ()), (lambda x: ops.where(MASK, x, 0.0), (2,)),
          (lambda x: ops.where(MASK[:, :1], 1.0, x), (2,)), (lambda x: ops.where(MASK, x, x * x), (3, 1))]
INDICES = [0, -1, (1, 2), slice(1, 3), (slice(None), 1), (..., 0), (None, slice(None)),
           (slice(None, None, -2),), [2, 0, 0], np.array([0, 2, 2, 0]), np.array([[0, 1], [2, 2]]),
           np.array([True, False, True]), (np.array([0, 1, 1]), np.array([2, 2, 2])),
           (slice(None), np.array([1, 1, 0]))]
SHAPING = [  # entry, a linear function of an array (2, 3, 4), the same by NumPy
    ("transpose", lambda x: ops.transpose(x, (2, 0, 1)), lambda x: np.transpose(x, (2, 0, 1))),
    ("transpose", lambda x: ops.transpose(x, (1, -1, 0)), lambda x: np.transpose(x, (1, 2, 0))),
    ("transpose", lambda x: x.T, np.transpose),
    ("transpose", ops.swap_last_axes, np.matrix_transpose),
    ("reshape", lambda x: ops.reshape(x, (4, 6)), lambda x: np.reshape(x, (4, 6))),
    ("reshape", lambda x: x.reshape(3, -1), lambda x: np.reshape(x, (3, 8))),
    ("reshape", lambda x: x.reshape(-1), np.ravel),
    ("mean", lambda x: x.mean(), np.mean),
    ("mean", lambda x: ops.mean(x, axis=1), lambda x: np.mean(x, axis=1)),
    ("mean", lambda x: ops.mean(x, axis=(0, -1)), lambda x: np.mean(x, axis=(0, 2))),
    ("sum", lambda x: x.sum(axis=-1, keepdims=True), lambda x: np.sum(x, axis=2)[..., None]),
    ("sum_to", lambda x: ops.sum_to(x, ()), np.sum),
    ("sum_to", lambda x: ops.sum_to(x, (3, 1)), lambda x: np.einsum("abc->b", x)[:, None]),
    ("sum_to", lambda x: ops.sum_to(x, (2, 1, 4)), lambda x: np.einsum("abc->ac", x)[:, None]),
    ("sum_to", lambda x: ops.sum_to(x, (2, 3, 4)), np.positive),
    ("broadcast_to", lambda x: ops.broadcast_to(x, (5, 2, 3, 4)), lambda x: np.stack([x] * 5)),
]
# fmt: on


@dataclass(frozen=True)
class Case:
    """A function of arrays, where to differentiate it, and by which of its arguments."""

    name: str  # the entry of the table it watches
    about: str
    function: Callable
    arguments: tuple
    watched: tuple

    def __str__(self):
        return f"{self.name} {self.about}"

    def scalar(self, watched):
        """A weighted nonlinear sum of the result, so that neither order nor curvature goes unseen."""
        given = dict(zip(self.watched, watched, strict=True))
        y = self.function(*[given.get(i, a) for i, a in enumerate(self.arguments)])
        weights = np.linspace(0.5, 1.5, y.size).reshape(y.shape).astype(y.dtype)
        return ops.sum(ops.sin(y) * y * weights)


def random_case(name, function, *shapes, interval=(-2, 2), watched=None, about=""):
    """A case at random arguments of the given shapes."""
    rng = np.random.default_rng(list(f"{name} {about} {shapes} {watched}".encode()))  # no case depends on the others
    arguments = tuple(np.asarray(rng.uniform(*interval, shape)) for shape in shapes)
    watched = tuple(range(len(shapes))) if watched is None else watched
    return Case(name, f"{about} {shapes} by {watched}", function, arguments, watched)


def all_cases():
    """Every entry of the table under every kind of shape."""
    for name, function, _, interval in UNARY:
        for shape in [(), (3,), (2, 3)]:
            yield random_case(name, function, shape, interval=interval)

    for name, function in BINARY:
        for shapes in BROADCASTS:
            for watched in [(0, 1), (0,), (1,)]:
                yield random_case(name, function, *shapes, interval=(0.5, 2), watched=watched)
            yield random_case(name, lambda x, f=function: f(x, x), shapes[0], interval=(1, 2), about="twice")
    for function, shape in MASKED:
        yield random_case("where", function, shape, about="mask")

    for shapes in MATMULS:
        for watched in [(0, 1), (0,), (1,)]:
            yield random_case("_matmul", operator.matmul, *shapes, watched=watched)

    for index in INDICES:
        shape = np.zeros((3, 4))[index].shape
        yield random_case("getitem", lambda x, i=index: x[i], (3, 4), about=index)
        yield random_case("scatter", lambda x, i=index: ops.scatter(x, i, (3, 4)), shape, about=index)

    for name, function, _ in SHAPING:
        yield random_case(name, function, (2, 3, 4))
    for name in ("sum", "logsumexp"):
        for axis in (None, 0, 1, -1, (0, 2), (-1, 0)):
            for keepdims in (False, True):
                how = {"axis": axis, "keepdims": keepdims}
                yield random_case(name, partial(getattr(ops, name), **how), (2, 3, 4), about=how)
    for shape in [(3,), (2, 3), (2, 103)]:  # more than one chunk
        yield random_case("softplus_sum", ops.softplus_sum, shape)
    yield random_case("log_det", lambda x: ops.log_det(x @ x.T + np.eye(3, dtype=x.dtype)), (3, 3))
    yield random_case("_inverse", lambda x: ops._inverse(x + 5 * np.eye(3, dtype=x.dtype)), (3, 3))
    for axis, shapes in [(0, [(2, 3), (1, 3)]), (1, [(2, 1), (2, 2), (2, 3)]), (-1, [(2, 2), (2, 1)])]:
        yield random_case("concatenate", lambda *xs, a=axis: ops.concatenate(xs, a), *shapes, about=axis)


CASES = list(all_cases())


# ---------------------------------------------------------------------------- derivatives


def inner(a, b):
    """The inner product of two trees of arrays."""
    return sum(ops.sum(x * y) for x, y in zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True))


def central_difference(f, x, v, h=2e-4):
    """d/dt f(x + t v) at t = 0, to O(h⁴)."""
    at = lambda t: f(tree_map(lambda a, b: a + t * b, x, v))
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def check(case, order=3):
    """Assert that derivatives up to `order` agree with finite differences along random directions.

    Order k + 1 is order 1 of f_{k+1}(x) = <grad f_k(x), w>.
    """
    rng = np.random.default_rng(0)
    f = case.scalar
    x = tuple(case.arguments[i] for i in case.watched)
    for _ in range(order):
        v, w = (tree_map(lambda a: rng.standard_normal(a.shape), x) for _ in range(2))

        value, gradient = value_and_grad(f)(x)
        slope = inner(gradient, v)

        assert abs(value - f(x)) <= 1e-13 * (1 + abs(value)), "the tape changes the value"
        assert [g.shape for g in gradient] == [a.shape for a in x]
        assert abs(slope - central_difference(f, x, v)) <= 1e-8 * (1 + abs(slope))
        f = lambda z, f=f, w=w: inner(grad(f)(z), w)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivatives_to_third_order(case):
    """Catches a VJP that is wrong, or right but constant where it should depend on its arguments."""
    check(case)


# ------------------------------------------------------------------------- the watch is watched

# fmt: off
MUTANTS = {
    "scaled": lambda vjp: lambda g, y, *args, **kw: vjp(g, y, *args, **kw) * 1.001,
    "blind to g": lambda vjp: lambda g, y, *args, **kw: vjp(stop_gradient(g), y, *args, **kw),
    "blind to x": lambda vjp: lambda g, y, *args, **kw: vjp(
        g, stop_gradient(y), *map(stop_gradient, args), **kw),
}
LINEAR = {"broadcast_to", "sum_to", "reshape", "transpose", "getitem", "scatter", "sum",
          "add", "sub", "where", "minimum", "abs"}
# fmt: on


def vjp_cells():
    """The closure cell where `primitive` keeps its VJPs, by the primitive's name."""
    holds_vjps = lambda f: "vjps" in f.__code__.co_freevars
    layers = [inspect.unwrap(f, stop=holds_vjps) for f in vars(ops).values() if inspect.isfunction(f)]
    return {f.__name__: f.__closure__[f.__code__.co_freevars.index("vjps")] for f in layers if holds_vjps(f)}


def is_caught(name):
    """Whether some case of an entry now fails."""
    try:
        for case in CASES:
            if case.name == name:
                check(case, order=2)
    except AssertionError:
        return True
    return False


VJPS = [(name, i) for name, cell in vjp_cells().items() for i, vjp in enumerate(cell.cell_contents) if vjp]


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name, i", VJPS)
def test_every_vjp_is_watched(monkeypatch, name, i, mutant):
    """One VJP wrong by a thousandth, or constant in g or in x, must fail `check`; the table as it is passes.

    Only a linear function's VJP may be blind to x: there the mutant is no error.
    """
    cell = vjp_cells()[name]
    spoilt = tuple(MUTANTS[mutant](vjp) if j == i else vjp for j, vjp in enumerate(cell.cell_contents))
    harmless = mutant == "blind to x" and name in LINEAR
    assert not is_caught(name)

    monkeypatch.setattr(cell, "cell_contents", spoilt)

    assert is_caught(name) != harmless


def test_every_primitive_is_watched():
    """Catches a new entry of the table that no case mentions, and one that `vjp_cells` overlooks."""
    assert len(vjp_cells()) == inspect.getsource(ops).count("@primitive(")
    assert set(vjp_cells()) <= {case.name for case in CASES}


# -------------------------------------------------------------------------------------- values

@pytest.mark.parametrize("name, function, reference, interval", UNARY)
def test_elementwise_values(name, function, reference, interval):
    """Catches a forward formula that is wrong but differentiated consistently."""
    x = np.linspace(*interval, 101)

    np.testing.assert_allclose(function(x), reference(x), rtol=4e-15, atol=1e-15)


@pytest.mark.parametrize("name, function, reference", SHAPING)
def test_shaping_values(name, function, reference):
    """Catches axes in the wrong order, on the tape: without it `x.T` and `x.sum` are NumPy's own."""
    x = np.arange(24.0).reshape(2, 3, 4)

    np.testing.assert_array_equal(vjp(function, x)[0], reference(x))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_is_scipys(axis, keepdims):
    x = np.random.default_rng(0).uniform(-30, 30, (2, 3, 4))

    want = scipy.special.logsumexp(x, axis=axis, keepdims=keepdims)

    np.testing.assert_allclose(ops.logsumexp(x, axis=axis, keepdims=keepdims), want, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 99, 100, 101, 784, 3000])
def test_softplus_sum_is_a_sum(n):
    """Against scipy, term by term.  Catches a chunk left out or counted twice, and a product that overflows."""
    x = np.random.default_rng(n).standard_normal((5, n)) * 10
    want = -scipy.special.log_expit(-x).sum(axis=1)

    np.testing.assert_allclose(ops.softplus_sum(x), want, rtol=1e-14, atol=1e-15 * n)
    np.testing.assert_allclose(ops.softplus_sum(x.astype(np.float32)), want, rtol=1e-5, atol=1e-6 * n)
    np.testing.assert_allclose(ops.softplus_sum(0 * x), n * np.log(2), rtol=1e-14)
    assert np.isnan(ops.softplus_sum(np.array([0.0, np.nan])))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concatenate_is_numpys(axis):
    arrays = list(np.arange(12.0).reshape(3, 2, 2))

    np.testing.assert_array_equal(ops.concatenate(arrays, axis), np.concatenate(arrays, axis))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concatenate_is_numpys_under_vjp(axis):
    """Plain arrays between watched ones, float32 too.  Catches places that are counted without the plain ones."""
    a, b = RNG.random((2, 2)).astype("float32"), RNG.random((2, 2)).astype("float32")
    value, pullback = vjp(lambda x: ops.concatenate([a, x, b, x], axis), b)

    np.testing.assert_array_equal(value, np.concatenate([a, b, b, b], axis))
    g = np.arange(value.size, dtype="float32").reshape(value.shape)
    parts = np.split(g, 4, axis)
    np.testing.assert_array_equal(pullback(g)[0], parts[1] + parts[3])
    assert value.dtype == np.float32


def test_concatenate_refuses_to_broadcast():
    """Catches a (1, 3) stretched to (2, 3), whose gradient then has the wrong shape."""
    with pytest.raises(ValueError, match="agree except along axis 1"):
        ops.concatenate([np.ones((2, 3)), np.ones((1, 3))], axis=1)


@pytest.mark.parametrize("arrays, axis, message", [
    ([np.float64(1), np.float64(2)], 0, "a number x has none, so take reshape"), ([1.0, np.ones(2)], 0, "a number x has none"),
    ([], 0, "got the shapes"), ([np.ones((2, 3)), np.ones((2, 3))], 2, "along an axis of theirs, 2"),
    ([np.ones((2, 3)), np.ones(3)], 0, "agree except along axis 0"),
    ([np.ones((3, 1)), np.ones(3)], 1, "agree except along axis 1"),
    ([np.ones((2, 3)), np.ones((2, 3, 1))], -1, "agree except along axis -1")])  # fmt: skip
def test_concatenate_says_what_is_wrong(arrays, axis, message):
    """With and without a derivative.  Catches "tuple index out of range"."""
    for f in (lambda x: ops.concatenate(arrays, axis), lambda x: ops.concatenate([a * x for a in arrays], axis)):
        with pytest.raises(ValueError, match=message) as caught:
            grad(lambda x, f=f: ops.sum(f(x)))(1.0)
        assert "\n" not in str(caught.value)


def test_concatenate_takes_what_can_be_joined():
    """An array is its rows, numbers of Python an array, any iterable a list.  Catches an iterable that is used up."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    for arrays in (lambda x: x, lambda x: (row for row in x), lambda x: [x[0], [3.0, 4.0]]):
        weigh = lambda x, arrays=arrays: ops.concatenate(arrays(x)) @ np.array([1.0, 10.0, 100.0, 1000.0])
        assert value_and_grad(weigh)(x)[0] == 4321.0 and grad(weigh)(x)[0].tolist() == [1.0, 10.0]


@pytest.mark.parametrize("mask", [np.array([1.0, 0.0]), 1, [1, 0], np.array([1, 0])])
def test_where_takes_a_mask_first(mask):
    """Catches arguments that have changed places, of which the numbers would be taken for a mask."""
    for f in (lambda x: ops.where(mask, x, 0.0), lambda x: ops.where(mask, np.ones(2), 0.0)):
        with pytest.raises(TypeError, match="where takes booleans first"):
            vjp(f, np.ones(2))
    assert ops.where([True, False], 1.0, 0.0).tolist() == [1.0, 0.0] and ops.where(True, 1.0, 0.0) == 1.0


def test_scatter_accumulates_repeated_indices():
    x, index = np.array([1.0, 2.0, 4.0]), np.array([0, 2, 0])

    np.testing.assert_array_equal(ops.scatter(x, index, (4,)), [5, 0, 2, 0])


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("other", [np.array([1, 2, 3], np.uint8), np.ones(3, bool), [1, 2, 3]], ids=repr)
def test_operators_with_other_types_are_numpys(operation, other):
    """Catches x - y computed as x + (-y): -1 is 255 for the bytes of an image."""
    x = np.array([0.5, 1.5, 2.5])

    np.testing.assert_array_equal(vjp(lambda x: operation(x, other), x)[0], operation(x, other))
    np.testing.assert_array_equal(vjp(lambda x: operation(other, x), x)[0], operation(other, x))


# ------------------------------------------------------------------------------------- float32

@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32(case):
    """Catches a float64 constant in a function, its VJP, or the VJP's VJP."""
    single = lambda x: x.astype(np.float32)
    case = Case(case.name, case.about, case.function, tuple(map(single, case.arguments)), case.watched)
    x = tuple(case.arguments[i] for i in case.watched)

    value, gradient = value_and_grad(case.scalar)(x)
    hessian_x = grad(lambda z: inner(grad(case.scalar)(z), x))(x)

    assert case.function(*case.arguments).dtype == value.dtype == np.float32
    assert {a.dtype for a in (*gradient, *hessian_x)} == {np.dtype(np.float32)}


def test_float32_hvp():
    x = np.ones((2, 3), np.float32)

    assert hvp(lambda x: ops.sum(ops.silu(x @ x.T) / 3 - ops.mean(x) ** 2), x, x).dtype == np.float32


# --------------------------------------------------------------------------------------- tails

@pytest.mark.parametrize("x", [-700.0, -40.0, -1.0])
def test_sigmoid_family_keeps_relative_accuracy_in_the_tails(x):
    """Catches 1 - σ(x) where σ(-x) is meant: all digits of σ' are lost beyond x = 37."""
    e = np.exp(x)
    s = e / (1 + e)
    approx = partial(pytest.approx, rel=1e-12, abs=0)

    assert ops.sigmoid(np.float64(x)) == approx(s)
    assert grad(ops.softplus)(x) == approx(s)
    assert grad(ops.sigmoid)(x) == grad(ops.sigmoid)(-x) == approx(s / (1 + e))
    assert ops.softplus(np.float64(x)) == approx(np.log1p(e))
    assert ops.silu(np.float64(x)) == approx(x * s)
    assert grad(ops.silu)(x) == approx(s * (1 + x / (1 + e)))


@pytest.mark.parametrize("function", [ops.tanh, ops.sigmoid, ops.silu, ops.softplus, ops.relu, ops.abs])
@pytest.mark.parametrize("x", [-1e4, -800.0, 0.0, 800.0, 1e4])
def test_activations_never_overflow(function, x):
    """Catches inf or NaN in any of three derivatives (a warning is an error here)."""
    derivatives = [function, grad(function), grad(grad(function)), grad(grad(grad(function)))]

    assert np.isfinite([f(np.float64(x)) for f in derivatives]).all()


def test_softplus_at_infinity():
    np.testing.assert_array_equal(ops.softplus(np.array([-np.inf, np.inf])), [0, np.inf])


@pytest.mark.parametrize("x, softmax", [
    ([1000.0, 1000.0], [0.5, 0.5]), ([-1000.0, -1000.0], [0.5, 0.5]), ([-np.inf, 0.0], [0, 1]),
    ([-np.inf, -np.inf], [0, 0])])  # fmt: skip
def test_logsumexp_of_extremes(x, softmax):
    """Catches exp without the maximum taken off, and inf - inf where every term is 0."""
    x = np.array(x)
    with np.errstate(all="raise"):
        value, gradient = value_and_grad(ops.logsumexp)(x)
        second = hvp(ops.logsumexp, x, np.array([1.0, 0.0]))

    assert value == np.logaddexp(*x)
    np.testing.assert_allclose(gradient, softmax)
    np.testing.assert_allclose(second, np.array([1, -1]) * np.prod(softmax), atol=1e-16)


@pytest.mark.parametrize("x, softmax", [
    ([0.0, np.inf], [0, 1]), ([1000.0, np.inf, -np.inf], [0, 1, 0]), ([np.inf, 3.0, np.inf], [0.5, 0, 0.5]), ([np.inf], [1])])
def test_logsumexp_at_infinity(x, softmax):
    """inf, with the slopes that softmax nears: equal shares of those that are inf.  Catches nan, and slopes of inf."""
    x, v = np.array(x), np.arange(1.0, 1 + len(x))
    with np.errstate(all="raise"):
        value, gradient = value_and_grad(ops.logsumexp)(x)
        second = hvp(ops.logsumexp, x, v)

    assert value == np.inf and gradient.tolist() == softmax and second.tolist() == [0.0] * len(x)


@pytest.mark.parametrize("axis, keepdims", [(1, False), (-1, True), ((1,), False), ((-1,), True)])
def test_logsumexp_at_infinity_in_some_rows(axis, keepdims):
    """Beside rows that are finite, or -inf throughout.  Catches a row treated as another."""
    x = np.array([[0.0, np.inf], [1.0, 2.0], [-np.inf, -np.inf], [np.inf, np.inf]])
    value, pullback = vjp(lambda x: ops.logsumexp(x, axis, keepdims), x)

    np.testing.assert_array_equal(np.ravel(value), [np.inf, np.logaddexp(1, 2), -np.inf, np.inf])
    share = scipy.special.expit(1.0)
    np.testing.assert_allclose(pullback(np.full(value.shape, 2.0))[0], [[0, 2], [2 - 2 * share, 2 * share], [0, 0], [1, 1]])


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tanh", "sigmoid", "silu", "softplus", "abs",
                                  "relu", "sqrt", "square", "sum", "mean", "logsumexp"])  # fmt: skip
@np.errstate(invalid="ignore")
def test_nan_stays_nan(name):
    """Catches relu(NaN) = 0, which hides a lost parameter behind a finite loss."""
    assert np.isnan(getattr(ops, name)(np.array([np.nan]))).all()


def test_kinks():
    """At 0 the derivatives of |x| and relu are 0, the middle and the left of what they might be."""
    assert grad(ops.abs)(0.0) == grad(ops.relu)(0.0) == 0
    assert list(ops.sign(np.array([-2.0, 0.0, 3.0]))) == [-1, 0, 1]


@pytest.mark.parametrize("p", [0, 1, 2, 3])
def test_powers_at_zero(p):
    """Catches 0 · 0^(-1) = NaN in the derivative of x^p that is identically zero."""
    f = lambda x: x**p
    derivatives = [f(0.0)]
    for _ in range(4):
        f = grad(f)
        derivatives.append(f(0.0))

    assert derivatives == [np.prod(np.arange(1, p + 1)) if k == p else 0 for k in range(5)]
