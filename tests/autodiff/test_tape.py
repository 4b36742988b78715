"""How derivatives flow: nesting, trees, aliases, depth, threads, traps, and the identities energies live by.

The derivatives of single functions are watched in `test_ops.py`.  Here the
oracle is a closed form wherever there is one, else a fourth-order difference.
"""

import gc
import math
import operator
import tracemalloc
import warnings
import weakref
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinyebm import ops
from tinyebm.autodiff.blocks import recomputed
from tinyebm.autodiff.tape import Var, grad, hvp, primitive, stop_gradient, value_and_grad, vjp
from tinyebm.common.tree import ravel, tree_flatten, tree_map

X = np.array([0.3, -1.2, 2.0])


def central_difference(f, x, v, h=1e-3):
    """d/dt f(x + t v) at t = 0, to O(h⁴); x and v are trees."""
    at = lambda t: f(tree_map(lambda a, b: a + t * b, x, v))
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def assert_gradient(f, x, rng, tolerance=1e-8):
    """<grad f(x), v> is the slope of f along a random direction v."""
    v = tree_map(lambda a: rng.standard_normal(a.shape), x)
    slope = ravel(grad(f)(x))[0] @ ravel(v)[0]

    assert slope == pytest.approx(central_difference(f, x, v), rel=tolerance, abs=tolerance)


# ------------------------------------------------------------------------------- nesting

def test_perturbation_confusion():
    """d/dx [x · d/dy (x + y)] = 1, not 2 (Siskind & Pearlmutter 2005): catches tapes not told apart."""
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1
    assert grad(lambda x: grad(lambda y: x * y)(2.0) * x)(5.0) == 10
    assert grad(lambda x: grad(lambda y: x * x * y * y)(2.0))(5.0) == 40
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y**2 * z**3)(1.0))(1.0))(1.0) == 6


def test_inner_constants():
    """An inner function that ignores its argument has derivative 0, whatever the outer tape sees."""
    assert grad(lambda x: x + grad(lambda y: x * x)(2.0))(5.0) == 1
    assert grad(lambda x: 3.0)(1.0) == 0


@pytest.mark.parametrize("order", range(6))
def test_derivatives_of_any_order(order):
    """The n-th derivative of e^{2x} is 2ⁿ e^{2x}."""
    f = lambda x: ops.exp(2 * x)
    for _ in range(order):
        f = grad(f)

    assert f(np.float64(0.7)) == pytest.approx(2**order * math.exp(1.4), rel=1e-14)


def test_hessian_in_closed_form():
    """f = (xᵀAx)²: ∇²f = 8 Ax xᵀA + 4 (xᵀAx) A.  Catches a pullback of ∇f that misses a path."""
    A = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 1.0]])
    f = lambda x: (x @ A @ x) ** 2
    H = 8 * np.outer(A @ X, A @ X) + 4 * (X @ A @ X) * A

    np.testing.assert_allclose([hvp(f, X, e) for e in np.eye(3)], H, rtol=1e-13)


def test_forward_mode_from_two_reverse_modes():
    """The pullback is linear in g, and its own pullback is the Jacobian-vector product (Townsend 2017)."""
    A, v, rng = np.arange(12.0).reshape(3, 4) - 5, np.array([1.0, -2.0, 0.5]), np.random.default_rng(0)
    _, pullback = vjp(lambda x: ops.tanh(x) @ A, X)
    _, push = vjp(lambda g: pullback(g)[0], rng.standard_normal(4))

    np.testing.assert_allclose(push(v)[0], ((1 - np.tanh(X) ** 2) * v) @ A, rtol=1e-13)


def test_a_pullback_may_be_used_again():
    """Catches cotangents left over from the first sweep."""
    _, pullback = vjp(lambda x: ops.exp(x) * x, X)

    first, second = pullback(np.ones(3))[0], pullback(2 * np.ones(3))[0]

    np.testing.assert_array_equal(second, 2 * first)


def test_a_pullback_refuses_another_shape():
    """Catches a cotangent, or the v of a Hessian-vector product, stretched to a gradient of its own shape."""
    with pytest.raises(ValueError, match=r"shape of its output, \(3,\)"):
        vjp(ops.exp, X)[1](np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shapes of x, \[\(3,\)\]"):
        hvp(lambda x: ops.sum(x**3), X, 1.0)


def test_hessian_vector_products_of_trees():
    """Catches a tree whose second derivative is silently zero: E = a b x², ∇² (v_a, v_b) = x² (v_b, v_a)."""
    f = lambda theta: theta["a"] * theta["b"][0] * 9.0
    theta = {"a": np.array(2.0), "b": [np.array(5.0)]}
    product = hvp(f, theta, {"a": np.array(1.0), "b": [np.array(10.0)]})

    assert float(product["a"]) == 90.0 and float(product["b"][0]) == 9.0


@pytest.mark.parametrize("result", [lambda y: {"loss": y}, lambda y: (y, y), lambda y: [y]])
def test_a_function_returns_one_array(result):
    """Catches a loss inside a dict, which was taken for a constant: a gradient of zeros."""
    with pytest.raises(TypeError, match="must return one array"):
        grad(lambda x: result(ops.sum(x * x)))(X)


def test_negative_argument_numbers_are_refused():
    with pytest.raises(ValueError, match="argnum counts from 0, got -1"):
        grad(lambda x, y: x * y, argnum=-1)(1.0, 2.0)


def test_stop_gradient():
    """∇(x · stop(x)) = x, also two tapes deep."""
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3
    assert grad(lambda x: grad(lambda y: stop_gradient(x * y) * y * x)(2.0))(3.0) == 6
    assert type(stop_gradient(X)) is np.ndarray


# ------------------------------------------------------------------ arguments and results

Layer = namedtuple("Layer", ["W", "b"])


def test_gradients_are_trees_like_their_argument():
    """f = ½ Σ leaf²: the gradient is the tree itself.  Catches leaves in the wrong place."""
    theta = {"layers": [Layer(np.ones((2, 3)), X), Layer(2 * X, np.float64(4.0))], "scale": (np.zeros(0), {})}

    gradient = grad(lambda theta: sum(0.5 * ops.sum(a * a) for a in tree_flatten(theta)[0]))(theta)

    assert isinstance(gradient["layers"][0], Layer)
    tree_map(np.testing.assert_array_equal, gradient, theta)


def test_parameters_that_are_not_used_get_zeros():
    theta = {"used": X, "unused": np.ones((2, 1), np.float32)}

    gradient = grad(lambda theta: ops.sum(theta["used"]))(theta)

    np.testing.assert_array_equal(gradient["unused"], np.zeros((2, 1)))
    assert gradient["unused"].dtype == np.float32
    assert grad(lambda theta: ops.sum(X))({}) == {}


def test_argnum_and_keywords():
    f = lambda a, b, power, shift=0.0: a * b**power + shift
    value, gradient = value_and_grad(f, argnum=1)(2.0, 3.0, 2, shift=1.0)

    assert (value, gradient) == (19, 12)
    assert grad(f)(2.0, 3.0, 2) == 9


def test_vjp_by_several_arguments():
    """y = a Bᵀ: ā = ȳ B, B̄ = ȳᵀ a."""
    rng = np.random.default_rng(0)
    a, B, g = rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), rng.standard_normal((4, 2))

    value, pullback = vjp(lambda a, B: a @ B.T, a, B)
    a_bar, B_bar = pullback(g)

    np.testing.assert_allclose(value, a @ B.T)
    np.testing.assert_allclose(a_bar, g @ B)
    np.testing.assert_allclose(B_bar, g.T @ a)


def test_gradients_are_nobodys_alias():
    """Catches one array handed out twice, a read-only broadcast, and an argument changed in place."""
    x = X.copy()
    a, b = grad(lambda t: ops.sum(t[0] + t[1]))((x, x))
    a *= 5

    np.testing.assert_array_equal(b, np.ones(3))
    np.testing.assert_array_equal(x, X)

    g = np.ones(3)
    same = vjp(lambda x: x, x)[1](g)[0]
    same += 1
    np.testing.assert_array_equal(g, np.ones(3))


def test_results_are_arrays():
    assert isinstance(grad(lambda x: x * x)(2.0), np.ndarray)
    assert not isinstance(value_and_grad(lambda x: x * x)(2.0)[0], Var)


# ----------------------------------------------------------------------- depth and state

def test_deep_chains():
    """50 000 additions: catches recursion over the tape."""

    def f(x):
        y = x
        for _ in range(50_000):
            y = y + x
        return y

    assert grad(f)(1.0) == 50_001


def test_diamonds_are_swept_once():
    """2^1000 paths from x to y: catches a sweep that follows each of them."""

    def f(x):
        for _ in range(1000):
            x = 0.5 * x + 0.5 * x
        return x

    assert grad(grad(lambda x: f(x) ** 2))(3.0) == 2


def test_an_exception_leaves_no_state():
    def fails(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        grad(lambda x: grad(fails)(x))(1.0)

    assert grad(lambda x: grad(lambda y: x * y * y)(3.0))(2.0) == 6


def test_tapes_are_freed_at_once():
    """Catches a reference cycle through the tape: memory would then wait for the garbage collector."""
    seen = []

    def f(x):
        y = ops.exp(x)
        seen.append(weakref.ref(stop_gradient(y)))
        return ops.sum(y)

    gc.disable()
    try:
        grad(f)(X)
        assert seen[0]() is None
    finally:
        gc.enable()


def test_a_checkpoint_changes_nothing_but_memory():
    """Catches a derivative that is not the function's, in any order, and a tape that is kept after all."""
    x, v = np.random.default_rng(0).standard_normal((2, 1000))

    def long(x):
        for _ in range(50):
            x = ops.sin(x) + 0.5 * x
        return ops.sum(x)

    short = recomputed(long)
    assert short(x) == long(x)
    np.testing.assert_array_equal(grad(short)(x), grad(long)(x))
    np.testing.assert_allclose(hvp(short, x, v), hvp(long, x, v), rtol=1e-13)

    def held(function):
        tracemalloc.start()
        _, pullback = vjp(lambda x: function(x) + ops.sum(x), x)
        memory, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert pullback(1.0)[0].shape == x.shape
        return memory

    assert held(short) < held(long) / 20


def test_cotangents_are_freed_on_the_way():
    """Catches a sweep that keeps every cotangent until its end: twice the memory."""
    cotangents, alive = [], []

    def watch(g, y, x):
        cotangents.append(weakref.ref(g))
        alive.append(sum(ref() is not None for ref in cotangents))
        return 1.0 * g

    watched = primitive(watch)(lambda x: 1.0 * x)

    def f(x):
        for _ in range(10):
            x = watched(x)
        return ops.sum(x * x)

    grad(f)(X)
    assert alive == [1] * 10


def test_threads():
    """Catches a tape shared between threads: gradients computed together are those computed alone."""
    f = lambda x: ops.sum(grad(lambda y: ops.sum(ops.tanh(y) * x))(x))
    xs = list(np.random.default_rng(0).standard_normal((64, 50)))
    alone = [grad(f)(x) for x in xs]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(grad(f), xs))

    np.testing.assert_array_equal(together, alone)


# --------------------------------------------------------------------------------- traps

def assign(x):
    x[0] = 1.0
    return ops.sum(x)


def add_in_place(x):
    total = np.zeros(3)
    total += x
    return ops.sum(total)


def store(x):
    y = np.zeros(3)
    y[0] = x[0]
    return ops.sum(y)


LOSES_ITS_DERIVATIVE = {
    "y[0] = x[0]": store,
    "np.exp": lambda x: ops.sum(np.exp(x)),
    "np.maximum": lambda x: ops.sum(np.maximum(x, 0.0)),
    "np.add": lambda x: ops.sum(np.add(1.0, x)),
    "np.sum": lambda x: np.sum(x),
    "np.mean": lambda x: np.mean(x),
    "np.max": lambda x: np.max(x),
    "np.where": lambda x: ops.sum(np.where(x > 0, x, 0.0)),
    "np.concatenate": lambda x: ops.sum(np.concatenate([x])),
    "np.stack": lambda x: ops.sum(np.stack([x, x])),
    "np.reshape": lambda x: ops.sum(np.reshape(x, (3, 1))),
    "np.dot": lambda x: np.dot(x, x),
    "np.linalg.norm": lambda x: np.linalg.norm(x),
    "np.asarray": lambda x: ops.sum(np.asarray(x)),
    "np.array of parts": lambda x: ops.sum(np.array([x[0], x[1]])),
    "math.exp": lambda x: math.exp(x[0]),
    "float": lambda x: float(x[0]),
    "int": lambda x: 1.0 * int(x[0]),
    "bool": lambda x: ops.sum(x) if x[0] else 0.0,
    "array[x]": lambda x: ops.sum(X[x]),
    "list[x]": lambda x: [1.0, 2.0][x[0]],
    "x[x]": lambda x: ops.sum(x[x]),
    "x[:, x]": lambda x: ops.sum(ops.reshape(x, (1, 3))[:, x]),
    "x[0] = 1": assign,
    "array += x": add_in_place,
    "x**x": lambda x: ops.sum(x**x),
    "2**x": lambda x: ops.sum(2.0**x),
    "array**x": lambda x: ops.sum(X**x),
    "where(x, ...)": lambda x: ops.sum(ops.where(x, x, 0.0)),
    "sum(x, axis=x)": lambda x: ops.sum(x, x),
    "a list of results": lambda x: [ops.sum(x)],
}  # fmt: skip


@pytest.mark.parametrize("trap", LOSES_ITS_DERIVATIVE)
@pytest.mark.parametrize("depth", [1, 2])
def test_traps_say_what_to_do(trap, depth):
    """Catches a gradient of zero, or NumPy's own message, where a function cannot see the tape."""
    f = LOSES_ITS_DERIVATIVE[trap]
    for _ in range(depth - 1):
        f = lambda x, f=f: ops.sum(grad(f)(x))

    with pytest.raises(TypeError, match=r"tinyebm\.ops"):
        grad(f)(np.array([1.0, 2.0, 3.0]))


def test_exponents_are_numbers():
    with pytest.raises(TypeError, match=r"write exp\(p \* log\(x\)\)"):
        grad(lambda x: ops.sum(x ** np.arange(3.0)))(X)


def test_other_type_errors_pass_unchanged():
    with pytest.raises(TypeError, match="must be str, not int|can only concatenate str"):
        grad(lambda x: x * ("a" + 1))(1.0)


@pytest.mark.parametrize("x", [np.arange(3), 3, [1, 2], np.array([True]), np.ones(2, complex)], ids=repr)
def test_only_floating_point_arrays_have_derivatives(x):
    """Catches integers, whose gradient would be rounded."""
    with pytest.raises(TypeError, match=r"floating-point arrays, got \w+: convert with x \* 1.0"):
        grad(lambda x: sum(ops.sum(a) for a in tree_flatten(x)[0]))(x)


@pytest.mark.parametrize("f", [ops.exp, lambda x: x, lambda x: np.ones(3), lambda x: x[:1]])
def test_only_scalars_have_gradients(f):
    with pytest.raises(TypeError, match=r"scalar function.*array of shape \(\d,\): take its sum or mean"):
        grad(f)(X)


def test_a_forgotten_return():
    """Catches a gradient of zeros."""
    with pytest.raises(TypeError, match="None.*return"):
        grad(lambda x: None)(X)


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons_give_plain_answers(name):
    """A comparison has no derivative to lose, so masks are NumPy's, with the array on either side."""
    compare, x = getattr(operator, name), np.array([0.0, 1.0, 2.0])
    pairs = lambda x: [(x, 1.0), (1.0, x), (x, np.ones(3)), (np.ones(3), x), (x, x[::-1])]
    masks = lambda x: np.stack([compare(a, b) for a, b in pairs(x)])

    np.testing.assert_array_equal(vjp(masks, x)[0], masks(x))


def test_gradients_through_masks():
    x = np.array([0.0, 1.0, 2.0])

    np.testing.assert_array_equal(grad(lambda x: ops.sum(ops.where(x == 0, x, 2 * x)))(x), [1, 2, 2])
    assert list(grad(lambda x: max(x[0], x[2]) * 3)(x)) == [0, 0, 3]


def test_vars_look_like_arrays():
    """len, iteration, shape, ndim, size, dtype are the array's; a Var is no key of a dict."""

    def f(x):
        assert (len(x), x.shape, x.ndim, x.size, x.dtype) == (3, (3,), 1, 3, np.float64)
        assert repr(x).startswith("Var(shape=(3,)")
        with pytest.raises(TypeError, match="unhashable"):
            hash(x)
        first, *_, last = x
        return len(x) * first * last

    np.testing.assert_array_equal(grad(f)(X), [3 * X[2], 0, 3 * X[0]])


def test_primitives_of_ones_own():
    """The decorator is for users too: d/dx (x³ k) from the VJP given, and a refusal for k, which has none."""

    @primitive(lambda g, y, x, k: g * (3 * k) * x**2)
    def cube(x, k):
        return k * x**3

    assert cube(2.0, 5.0) == 40
    assert grad(cube)(2.0, 5.0) == 60
    assert grad(grad(cube))(2.0, 5.0) == 60
    with pytest.raises(TypeError, match="cube has no VJP"):
        grad(cube, argnum=1)(2.0, 5.0)


# ----------------------------------------------------------------------- random programs

OPERATIONS = [
    lambda a, b: ops.sin(a),
    lambda a, b: ops.exp(-a * a),
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - 2 * b,
    lambda a, b: a / (2 + ops.tanh(b)),
    lambda a, b: a + ops.sum(b, axis=0),
    lambda a, b: a * ops.mean(b, axis=1)[:, None],
    lambda a, b: a - ops.logsumexp(b, axis=1, keepdims=True),
    lambda a, b: a @ (b.T @ a) * 0.1,
    lambda a, b: a * b[np.array([2, 0, 0])],
    lambda a, b: a + b[1:2, ::-1],
    lambda a, b: ops.concatenate([a[:, 2:], ops.silu(b)[:, :2]], axis=1),
]


@pytest.mark.parametrize("seed", range(100))
def test_random_programs(seed):
    """Eight random operations on random earlier results: catches a wrong sum over paths, at two orders."""
    rng = np.random.default_rng(seed)
    x, c, v = rng.standard_normal((3, 3, 4))
    program = rng.integers(0, [len(OPERATIONS), 10**6, 10**6], (8, 3))

    def f(x):
        values = [x, c, x * 0.5]
        for operation, i, j in program:
            result = OPERATIONS[operation](values[i % len(values)], values[j % len(values)])
            values.append(ops.tanh(result))
        return ops.sum(values[-1] * values[-2] + 0.1 * x * x)

    assert_gradient(f, x, rng)
    np.testing.assert_allclose(hvp(f, x, v), central_difference(grad(f), x, v), rtol=1e-7, atol=1e-7)


# ------------------------------------------------------ the identities that energies live by

def energy(theta, x):
    """A two-layer network in a quadratic bowl; x is (n, 2)."""
    h = x
    for layer in theta[:-1]:
        h = ops.silu(h @ layer["W"] + layer["b"])
    return (h @ theta[-1]["W"] + theta[-1]["b"])[:, 0] + 0.5 * ops.sum(x * x, axis=-1)


def parameters(rng):
    shapes = [(2, 8), (8, 8), (8, 1)]
    return [{"W": rng.uniform(-1, 1, shape), "b": rng.uniform(-1, 1, shape[1:])} for shape in shapes]


def score(energy, theta, x):
    return -grad(lambda x: ops.sum(energy(theta, x)))(x)


def denoising(energy, theta, x, noise):
    """½ E‖s(x + σε) + ε/σ‖², σ = 0.3."""
    return 0.5 * ops.mean(ops.sum((score(energy, theta, x + 0.3 * noise) + noise / 0.3) ** 2, axis=-1))


def implicit(energy, theta, x, noise):
    """E[½‖s‖² + tr ∇s]."""
    s = lambda x: score(energy, theta, x)
    trace = sum(grad(lambda x, i=i: ops.sum(s(x)[:, i]))(x)[:, i] for i in range(2))
    return ops.mean(0.5 * ops.sum(s(x) ** 2, axis=-1) + trace)


def sliced(energy, theta, x, noise):
    """E[½(vᵀs)² + vᵀ∇s v]."""
    along = lambda x: ops.sum(score(energy, theta, x) * noise, axis=-1)
    curvature = ops.sum(grad(lambda x: ops.sum(along(x)))(x) * noise, axis=-1)
    return ops.mean(0.5 * along(x) ** 2 + curvature)


@pytest.mark.parametrize("objective", [denoising, implicit, sliced])
def test_score_matching_gradients_by_parameters(objective):
    """A derivative by θ of derivatives by x, one to three tapes deep."""
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((2, 6, 2))

    assert_gradient(lambda theta: objective(energy, theta, x, noise), parameters(rng), rng)


def test_score_matching_of_a_gaussian():
    """E = ½ k‖x‖² in the plane: the gradients by k in closed form, a route without finite differences.

    s = -kx, so d/dk is  k⟨‖x‖²⟩ - 2 (implicit),  k⟨(v·x)²⟩ - ⟨‖v‖²⟩ (sliced)
    and ⟨z·(kz - ε/σ)⟩ with z = x + σε (denoising).
    """
    gaussian = lambda k, x: 0.5 * k * ops.sum(x * x, axis=-1)
    x, noise = np.random.default_rng(0).standard_normal((2, 50, 2))
    z, k, dot = x + 0.3 * noise, 1.7, lambda a, b: np.sum(a * b, axis=1)
    by_k = lambda objective: grad(lambda k: objective(gaussian, k, x, noise))(k)

    assert by_k(implicit) == pytest.approx(k * dot(x, x).mean() - 2, rel=1e-13)
    assert by_k(sliced) == pytest.approx((k * dot(noise, x) ** 2 - dot(noise, noise)).mean(), rel=1e-13)
    assert by_k(denoising) == pytest.approx(dot(z, k * z - noise / 0.3).mean(), rel=1e-13)


def test_gradient_of_log_partition():
    """∇ log Z = -E_p[∇E]: through logsumexp, and as an average with fixed weights."""
    rng = np.random.default_rng(0)
    theta, axis = parameters(rng), np.linspace(-5, 5, 41)
    atoms = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_partition = lambda theta: ops.logsumexp(-energy(theta, atoms))
    p = np.exp(-energy(theta, atoms) - log_partition(theta))

    gradient, _ = ravel(grad(log_partition)(theta))
    average, _ = ravel(grad(lambda theta: -ops.sum(p * energy(theta, atoms)))(theta))

    np.testing.assert_allclose(gradient, average, rtol=1e-11, atol=1e-13)
    assert_gradient(log_partition, theta, rng)


def test_hessian_of_log_partition_is_a_covariance():
    """E = -θ·t(x): ∇² log Z = Cov_p[t], by moments: catches a softmax that is right but constant."""
    rng = np.random.default_rng(0)
    t, theta, v = rng.standard_normal((20, 3)), rng.standard_normal(3), rng.standard_normal(3)
    p = np.exp(t @ theta) / np.exp(t @ theta).sum()
    covariance = (t * p[:, None]).T @ t - np.outer(p @ t, p @ t)

    second = hvp(lambda theta: ops.logsumexp(t @ theta), theta, v)

    np.testing.assert_allclose(second, covariance @ v, rtol=1e-12)


# ------------------------------------------------------------- what Python does with an array, and what changes behind the tape

LOOPS = {  # one row of x is an array of three numbers
    "sum": lambda x: sum(x[0]), "sum of rows": lambda x: sum(row @ row for row in x),
    "unpacking": lambda x: (lambda a, b: a @ b)(*x),
    "max": lambda x: max(x[0]), "min": lambda x: min(x[1]) * x[0, 0], "sorted": lambda x: sorted(x[0])[1],
    "product": lambda x: math.prod(x[1]), "reversed": lambda x: list(reversed(x[0]))[0] * x[0, 1],
    "enumerate": lambda x: sum(i * t for i, t in enumerate(x[1])), "zip": lambda x: sum(a * b for a, b in zip(*x, strict=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_loops_over_rows(name):
    """Python's own loops see the rows, with their derivatives.  Catches a loop that sees no row, or constants."""
    x = np.array([[0.3, -1.2, 0.5], [0.7, 0.2, -0.4]])
    slope = [[(LOOPS[name](x + e) - LOOPS[name](x - e)) / 2e-6 for e in 1e-6 * np.eye(6)[3 * i : 3 * i + 3].reshape(3, 2, 3)]
             for i in (0, 1)]

    np.testing.assert_allclose(grad(LOOPS[name])(x), slope, rtol=0, atol=1e-8)


def test_membership_is_a_plain_answer():
    """As in arrays: of any number of dimensions.  Catches a truth value of a whole row."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert [float(grad(lambda x, t=t: x[0, 0] * (2.0 if t in x else 1.0))(x)[0, 0]) for t in (4.0, 5.0)] == [2.0, 1.0]


@pytest.mark.parametrize("loop", [sum, max, min, list, sorted, math.prod, len, lambda x: [*x], lambda x: [t for t in x]])
def test_a_number_has_no_entries(loop):
    """Catches a sum over a number's entries, of which there are none: 0, with gradient 0."""
    with pytest.raises(TypeError, match="a number under grad has no length and no entries"):
        grad(lambda x: loop(x) * 1.0)(2.0)


COMPLEX = {
    "constant": lambda x: ops.sum(x * 1j), "array": lambda x: ops.sum(x * np.array([1j, 1.0])),
    "NumPy's": lambda x: x[0] + np.complex64(1),
    "exponent": lambda x: ops.sum(x**1j), "exponent by name": lambda x: ops.sum(ops.power(x, p=2j)),
    "matrix": lambda x: ops.sum(x @ (np.eye(2) * 1j)), "list": lambda x: ops.sum(x * [1j, 1.0]),
    "and back": lambda x: ops.sum(ops.abs(ops.exp(1j * x))),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_are_refused(name):
    """In one line, at every depth.  Catches gradients by rules that are those of real numbers."""
    for f in (grad(COMPLEX[name]), grad(lambda x: ops.sum(grad(COMPLEX[name])(x)))):
        with pytest.raises(TypeError, match="a complex one was met under grad"):
            f(np.array([1.0, 2.0]))


@pytest.mark.parametrize("g", [1j, np.complex64(1), np.array(1j)])
def test_complex_cotangents_are_refused(g):
    with pytest.raises(TypeError, match="a cotangent is of real numbers"):
        vjp(lambda x: ops.sum(x * x), np.ones(2))[1](g)


def overwritten(x, make, use):
    """Σ_i i Σ use(x², c) for a constant c that is written to in every round."""
    c, total = make(), 0.0
    for i in range(3):
        c[...] = 0
        c[i] = 1
        total = total + (i + 1) * ops.sum(use(x * x, c))
    return total


@pytest.mark.parametrize("make, use", [
    (lambda: np.zeros(3), lambda y, c: y * c), (lambda: np.zeros(3), lambda y, c: c @ y),
    (lambda: np.ones((3, 1)), lambda y, c: y / (c[:, 0] + 1)),
    (lambda: np.zeros(3, bool), lambda y, c: ops.where(c, y, 0.0)), (lambda: np.zeros(3, bool), lambda y, c: y[c]),
    (lambda: np.zeros(3, int), lambda y, c: y[c] * y[c]), (lambda: np.zeros(3, int), lambda y, c: y[None][:, c]),
    (lambda: np.zeros(3), lambda y, c: ops.minimum(y, c)),
], ids=["factor", "matrix", "divisor", "mask", "boolean index", "index", "index in a tuple", "minimum"])  # fmt: skip
def test_constants_that_change_afterwards(make, use):
    """The derivative is that of the function as it ran.  Catches a tape that reads what was written to a constant later."""
    x = np.array([0.3, -1.2, 0.5])
    slope = [(overwritten(x + e, make, use) - overwritten(x - e, make, use)) / 2e-6 for e in 1e-6 * np.eye(3)]

    np.testing.assert_allclose(grad(overwritten)(x, make, use), slope, rtol=0, atol=1e-8)


def test_arguments_that_change_afterwards():
    """Between `vjp` and its pullback.  Catches a pullback at another point than the value."""
    x = np.array([1.0, 2.0])
    value, pullback = vjp(lambda x: ops.sum(x * x), x)
    x[:] = 7.0

    assert value == 5.0 and pullback(1.0)[0].tolist() == [2.0, 4.0]


def test_arrays_of_another_kind_are_arrays():
    """A matrix multiplies entry by entry, as its derivative does; masks are refused.  Catches a value by one rule and a slope
    by another."""
    c = np.array([[1.0, 2.0], [3.0, 4.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        odd = np.matrix(c)
    assert grad(lambda x: ops.sum(x * odd))(np.ones((2, 2))).tolist() == c.tolist()
    assert value_and_grad(lambda x: ops.sum(x * np.ma.array(c)))(np.ones((2, 2)))[0] == 10.0
    for f in (lambda x: ops.sum(x * np.ma.masked_greater(c, 3)), lambda x: ops.sum(ops.minimum(np.ma.masked_less(c, 2), x))):
        with pytest.raises(TypeError, match="which knows no masks"):
            grad(f)(np.ones((2, 2)))
    with pytest.raises(TypeError, match="by arrays without masks"):
        grad(ops.sum)(np.ma.masked_greater(c, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [
    lambda x: np.float64(3) * ops.sum(x * x), lambda x: ops.sum(x * x * np.array([3.0])), lambda x: ops.sum(3 * x ** np.float64(2)),
    lambda x: ops.sum(x * x * np.float32(3)), lambda x: 3 * ops.sum(x * x)])  # fmt: skip
def test_gradients_are_of_the_type_of_their_leaf(f, dtype):
    """In both orders, beside NumPy's own numbers.  Catches single precision that a constant of double precision widens."""
    x = np.array([1.0, -2.0], dtype)
    first, second = grad(f)(x), hvp(f, x, np.array([1.0, 2.0]))
    tree = grad(lambda t: f(t["a"]) * np.float64(2) + ops.sum(t["b"]))({"a": x, "b": np.ones(2)})

    assert first.dtype == second.dtype == tree["a"].dtype == dtype and tree["b"].dtype == np.float64
    np.testing.assert_allclose(first, 6 * x)
    np.testing.assert_allclose(second, [6.0, 12.0])
