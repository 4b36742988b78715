"""The table of differentiable functions with their derivatives.

The lines above a function are its VJPs, one per argument, where g is the
cotangent of the result y.  Energies are written with these functions, and with
the operators + - * / ** @ [] on their results.
"""

import builtins
import itertools
from functools import wraps

import numpy as np

from tinyebm.autodiff.tape import Var, primitive, stop_gradient, zeros_like
from tinyebm.common.backend import gpu_kernel, on_gpu

HOST = {np.ndarray, float, int}  # types of arguments on the host
# factors of at most 2 in a product that must not overflow in single precision: 2^100 < 3.4e38
CHUNK = 100


def fused(formula):
    """A formula of elementwise NumPy functions, which runs on a GPU as a single kernel.

    >>> fused(lambda x, y: np.exp(-x) * y)(0.0, np.arange(3.0))
    array([0., 1., 2.])
    """
    kernels = []

    @wraps(formula)
    def function(*args):
        for x in args:
            if type(x) not in HOST and on_gpu(x):
                if not kernels:
                    kernels.append(gpu_kernel(formula))
                return kernels[0](*args)
        return formula(*args)

    return function


def broadcasting(function):
    """Broadcast the Var arguments of an elementwise primitive to one shape first."""

    @wraps(function)
    def broadcast(*args):
        shape = ()
        try:
            for a in args:
                other = np.shape(stop_gradient(a))
                if other and other != shape:
                    shape = np.broadcast_shapes(shape, other) if shape else other
        except ValueError:
            given = ", ".join(str(np.shape(stop_gradient(a))) for a in args)
            raise ValueError(
                f"{function.__name__} of shapes {given}: they do not broadcast to one shape"
            ) from None
        args = list(args)
        for i, a in enumerate(args):
            if isinstance(a, Var) and a.shape != shape:
                args[i] = broadcast_to(a, shape)
        return function(*args)

    return broadcast


# ======================================= the table: linear functions, in pairs
# fmt: off

@primitive(lambda g, y, x, shape: sum_to(g, x.shape))
def broadcast_to(x, shape): return np.broadcast_to(x, shape)

@primitive(lambda g, y, x, shape: broadcast_to(g, x.shape))
def sum_to(x, shape):
    """Sum x down to a shape that broadcasts to x's."""
    if x.shape == shape:
        return x
    new = x.ndim - len(shape)
    stretched = [new + i for i, n in enumerate(shape) if n == 1 != x.shape[new + i]]
    return x.sum(axis=(*range(new), *stretched), keepdims=True).reshape(shape)

@primitive(lambda g, y, x, shape: reshape(g, x.shape))
def reshape(x, shape): return x.reshape(shape)

@primitive(lambda g, y, x, axes:
           transpose(g, sorted(range(x.ndim), key=lambda i: axes[i] % x.ndim)))
def transpose(x, axes): return x.transpose(axes)

@primitive(lambda g, y, x, index: scatter(g, index, x.shape))
def getitem(x, index): return x[index]

@primitive(lambda g, y, x, index, shape: getitem(g, index))
def scatter(x, index, shape):
    """Zeros of `shape` plus x at `index`; repeated indices accumulate."""
    out = np.zeros_like(x, shape=shape)
    parts = index if isinstance(index, tuple) else (index,)
    if builtins.all(i is None or isinstance(i, (int, slice)) for i in parts):
        out[index] = x  # a slice repeats no index
    else:
        np.add.at(out, index, x)
    return out

@primitive(lambda g, y, a, b: sum_to(g @ swap_last_axes(b), a.shape),
           lambda g, y, a, b: sum_to(swap_last_axes(a) @ g, b.shape))
def _matmul(a, b): return a @ b

# ================================================ the table: elementwise maths

@broadcasting
@primitive(lambda g, y, a, b: g, lambda g, y, a, b: g)
def add(a, b): return a + b
@broadcasting
@primitive(lambda g, y, a, b: g, lambda g, y, a, b: -g)
def sub(a, b): return a - b
@broadcasting
@primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
def mul(a, b): return a * b
@broadcasting
@primitive(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
def div(a, b): return a / b

@primitive(lambda g, y, x, p: g * (p * power(x, p - 1)) if p else zeros_like(g))
def power(x, p):
    """x^p for a number p."""
    if np.ndim(p) != 0 or isinstance(p, Var):
        raise TypeError("an exponent must be a number: write exp(p * log(x)) for arrays")
    return x**p

@primitive(lambda g, y, x: g * y)
def exp(x): return np.exp(x)
@primitive(lambda g, y, x: g / x)
def log(x): return np.log(x)
@primitive(lambda g, y, x: g * cos(x))
def sin(x): return np.sin(x)
@primitive(lambda g, y, x: -g * sin(x))
def cos(x): return np.cos(x)

@primitive(lambda g, y, x: _tanh_pull(g, y))
def tanh(x): return np.tanh(x)

@primitive(lambda h, z, g, y: _tanh_pull(h, y), lambda h, z, g, y: -2 * h * g * y)
@fused
def _tanh_pull(g, y): return g * (1 - y * y)

@primitive(lambda g, y, x: g * y * sigmoid(-x))
@fused
def sigmoid(x):
    """1 / (1 + e^-x), to full relative accuracy in both tails."""
    return 1 / _growth(x)

@primitive(lambda g, y, x: _silu_pull(g, x))
@fused
def silu(x): return x / _growth(x)
@primitive(lambda h, z, g, x: _silu_pull(h, x), lambda h, z, g, x: h * g * _silu_curvature(x))
@fused
def _silu_pull(g, x): return g * _silu_jet(x)[2]
@primitive(lambda g, y, x: g * _silu_curvature(x))
@fused
def _silu_slope(x): return _silu_jet(x)[2]
@primitive(lambda g, y, x: g * _silu_third(x))
@fused
def _silu_curvature(x): s, y, d = _silu_jet(x); return (1 - s) * (d + (d - y))
def _silu_third(x): s, y, d = sigmoid(x), silu(x), _silu_slope(x); return (1 - s) * ((d + (d - y)) * (2 - 3 * s) - d)

def _silu_jet(x):
    """Sigmoid, SiLU and its slope."""
    e = _growth(x)
    y = x / e
    return 1 / e, y, (x - y + 1) / e

def _growth(x):
    """1 + e^-x, the reciprocal of the sigmoid; inf is right where e^-x overflows."""
    with np.errstate(over="ignore"):
        return 1 + np.exp(-x)

@primitive(lambda g, y, x: g * sigmoid(x))
@fused
# log(1 + e^x), never overflows
def softplus(x): return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

@primitive(lambda g, y, x: reshape(g, (*x.shape[:-1], 1)) * sigmoid(x))
def softplus_sum(x):
    """Σ log(1 + e^x) over the last axis, with one logarithm for every 100 terms: log Π (1 + e^-|x|)
    + Σ max(x, 0)."""
    factors = 1 + np.exp(-np.abs(x))  # in [1, 2]
    starts = range(0, x.shape[-1], CHUNK)
    logs = builtins.sum(np.log(factors[..., i : i + CHUNK].prod(axis=-1)) for i in starts)
    return logs + np.maximum(x, 0).sum(axis=-1)

@primitive(lambda g, y, x: g * sign(x))
def abs(x): return np.abs(x)

@broadcasting
@primitive(None, lambda g, y, mask, a, b: where(mask, g, 0.0),
                 lambda g, y, mask, a, b: where(mask, 0.0, g))
def where(mask, a, b):
    if (given := mask.dtype if hasattr(mask, "dtype") else np.asarray(mask).dtype).kind != "b":
        raise TypeError(f"where takes booleans first, then what is wanted where they hold, "
                        f"got {given}")
    return np.where(mask, a, b)

@broadcasting
@primitive(lambda g, y, a, b: where(a <= b, g, 0.0), lambda g, y, a, b: where(a <= b, 0.0, g))
def minimum(a, b): return np.minimum(a, b)

@primitive(lambda g, y, A: g * transpose(_inverse(A), (1, 0)))
def log_det(A):
    """log det of a positive definite matrix (d, d)."""
    return np.linalg.slogdet(A)[1]

@primitive(lambda g, y, A: -(transpose(y, (1, 0)) @ g @ transpose(y, (1, 0))))
def _inverse(A): return np.linalg.inv(A)

# ======================================================= the table: reductions

@primitive(lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis, keepdims))
def sum(x, axis=None, keepdims=False): return x.sum(axis=axis, keepdims=keepdims)

@primitive(lambda g, y, x, axis=None, keepdims=False:
           _spread(g, x, axis, keepdims) * exp(_log_softmax(x, y, axis, keepdims)))
def logsumexp(x, axis=None, keepdims=False):
    """log Σ e^x without overflow (-inf if every x is, inf if one is); its gradient is the
    softmax."""
    top = _finite(x.max(axis=axis, keepdims=True))
    with np.errstate(divide="ignore", over="ignore"):
        y = top + np.log(np.exp(x - top).sum(axis=axis, keepdims=True))
    return y if keepdims else y.squeeze(axis)

def _log_softmax(x, y, axis, keepdims):
    """x - y, the logarithm of the softmax; where y = inf, equal shares of those x that are inf."""
    log_p, top = x - _spread(_finite(y), x, axis, keepdims), stop_gradient(y) == np.inf
    # in replay and on a GPU code must not branch on values
    if not isinstance(top, (np.ndarray, np.generic)) or not top.any():
        return log_p
    hit = stop_gradient(x) == np.inf
    share = np.where(hit, -np.log(np.maximum(hit.sum(axis=axis, keepdims=True), 1)), -np.inf)
    return where(_spread(top, x, axis, keepdims), share, log_p)

def _spread(g, x, axis, keepdims):
    """Copy a reduction's cotangent g along the axes of x it was reduced over."""
    if not keepdims and axis is not None:
        axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
        g = reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    return broadcast_to(g, x.shape)

def _finite(x): return where(np.isfinite(stop_gradient(x)), x, 0.0)

# =========================================== functions made of other primitives

def sign(x): return np.sign(stop_gradient(x))
def relu(x): return where(x <= 0, 0.0, x)  # so that NaN stays NaN
def sqrt(x): return power(x, 0.5)
def square(x): return mul(x, x)
def mean(x, axis=None): y = sum(x, axis); return y * (y.size / x.size)
def swap_last_axes(x): return transpose(x, (*range(x.ndim - 2), -1, -2))

def matmul(a, b):
    """a @ b by NumPy's rules: a vector is a row on the left and a column on the right."""
    if a.ndim == 1:
        return matmul(reshape(a, (1, -1)), b)[..., 0, :] if b.ndim > 1 else sum(a * b)
    return _matmul(a, reshape(b, (-1, 1)))[..., 0] if b.ndim == 1 else _matmul(a, b)

def concatenate(arrays, axis=0):
    """Join arrays along an axis; under grad as a sum of scatters: no VJP of its own."""
    arrays = [x if hasattr(x, "shape") else np.asarray(x) for x in arrays]
    shapes = [x.shape for x in arrays]
    if not shapes or not -len(shapes[0]) <= axis < len(shapes[0]):
        raise ValueError(f"concatenate joins arrays along an axis of theirs, {axis}, got the "
                         f"shapes {shapes}: a number x has none, so take reshape(x, (1,))")
    k = axis % len(shapes[0])
    if len({(len(shape), shape[:k], shape[k + 1 :]) for shape in shapes}) > 1:
        raise ValueError(f"shapes must agree except along axis {axis}, got {shapes}")
    if not builtins.any(isinstance(x, Var) for x in arrays):
        return np.concatenate(arrays, axis)
    ends = list(itertools.accumulate(shape[k] for shape in shapes))
    places = [(*[slice(None)] * k, slice(end - x.shape[k], end))
              for x, end in zip(arrays, ends, strict=True)]
    whole = (*shapes[0][:k], ends[-1], *shapes[0][k + 1 :])
    return builtins.sum(scatter(x, place, whole) for x, place in zip(arrays, places, strict=True))

# ========================================================= operators on Vars

OPERATORS = {
    "T": property(lambda x: transpose(x, range(x.ndim)[::-1])),
    "sum": sum, "mean": mean, "reshape": lambda x, *shape: reshape(x, shape[0] if len(shape) == 1 else shape),
    "__neg__": lambda x: mul(x, -1), "__abs__": abs, "__pow__": power, "__getitem__": getitem,
    "__add__": add, "__radd__": lambda x, other: add(other, x),
    "__sub__": sub, "__rsub__": lambda x, other: sub(other, x),
    "__mul__": mul, "__rmul__": lambda x, other: mul(other, x),
    "__truediv__": div, "__rtruediv__": lambda x, other: div(other, x),
    "__matmul__": matmul, "__rmatmul__": lambda x, other: matmul(other, x),
}
for _name, _function in OPERATORS.items():
    setattr(Var, _name, _function)
for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):  # plain answers
    setattr(Var, _name, lambda x, y, op=_name: getattr(stop_gradient(x), op)(stop_gradient(y)))
