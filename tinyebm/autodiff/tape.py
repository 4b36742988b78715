"""Reverse-mode automatic differentiation, by the chain rule.

A *primitive* is an array function with known vector-Jacobian products (VJPs).
When a function runs on a `Var`, every primitive that it calls is recorded on a
`Tape`.  The chain rule is then applied to the records in reverse order: for each
y = f(x_1, ..., x_k), with ȳ the derivative of the final scalar by y,

    x̄_i  +=  ȳ ∂y/∂x_i  =  vjp_i(ȳ, y, x_1, ..., x_k).                      (1)

Three facts keep the code short.

1. VJPs are written with primitives, so `grad(grad(f))` needs no new code.
2. Each call of `grad` opens its own tape.  A primitive is recorded on the newest
   tape of its arguments, and it runs on the values of the Vars of that tape.  A
   value that belongs to an outer `grad` is again a Var, others are plain arrays.
3. The VJP of a linear primitive is its transpose, and transposes come in pairs:
   broadcast/sum, index/scatter, (A @) / (Aᵀ @).

References
----------
Griewank & Walther (2008), Evaluating Derivatives, 2nd ed., section 3.2.
Maclaurin (2016), Modeling, Inference and Optimization with Composable
    Differentiable Procedures, ch. 4 (whose design this follows).
"""

import itertools
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tinyebm.common.checks import require_count
from tinyebm.common.kinds import Tree
from tinyebm.common.tree import tree_flatten, tree_structure

ADVICE = (
    "an array under grad met a function that would lose its derivative: use the tinyebm.ops "
    "function of that name, or tinyebm.stop_gradient(x) if a constant is meant"
)
# words of NumPy's errors at np.exp(var), and at y[0] = var for an array y
LOST = ("__array_ufunc__", "setting an array element with a sequence")
# types of arguments that cannot be modified
FIXED = {float, int, bool, type(None), slice, np.float64}


class Tape:
    """The primitives that run during one call of `grad`, in order (a Wengert list)."""

    _clock = itertools.count()

    def __init__(self):
        self.age = next(Tape._clock)  # a newer tape is that of an inner `grad`
        self.pullbacks = []  # entry -> function: ȳ -> [(parent entry, part of x̄)]

    def new(self, value, pullback=None):
        """Record `value` as the next entry; an input has no pullback."""
        self.pullbacks.append(pullback)
        return Var(value, self, len(self.pullbacks) - 1)

    def record(self, function, vjps, args, kwargs, parents):
        """Run a primitive on unwrapped arguments and record it.

        `parents` lists (position, entry) of the arguments that were Vars.
        """
        for i, _ in parents:
            if i >= len(vjps) or vjps[i] is None:
                raise TypeError(f"{function.__name__} has no VJP by one of its arguments: {ADVICE}")
        try:
            y = function(*args, **kwargs)  # a Var, if an argument belongs to an older tape
        # the shapes do not match: add the shapes and the function to NumPy's message
        except (ValueError, IndexError) as error:
            if " of shapes " in str(error):
                raise
            shapes = ", ".join(str(stop_gradient(a).shape) for a in args if hasattr(a, "shape"))
            raise type(error)(
                f"{function.__name__.strip('_')} of shapes {shapes}: {error}"
            ) from None
        return self.new(y, lambda g: [(e, vjps[i](g, y, *args, **kwargs)) for i, e in parents])

    def sweep(self, output, cotangent):
        """Apply eq. (1) from entry `output` backwards; return {input entry: x̄}."""
        cotangents = {output: cotangent}
        for entry in range(output, -1, -1):
            if entry in cotangents and self.pullbacks[entry] is not None:
                for parent, part in self.pullbacks[entry](cotangents.pop(entry)):
                    seen = cotangents.get(parent)
                    cotangents[parent] = part if seen is None else seen + part
        return cotangents


class Symbol:
    """A placeholder for an array while a function is recorded: a Var, or a Traced in replay."""

    __slots__ = ()


class Var(Symbol):
    """An array that is recorded on a tape, for the functions and operators of `tinyebm.ops`."""

    __array_ufunc__ = None  # then `array * var` calls the operator of the Var
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value, tape, entry):
        self.value, self.tape, self.entry = value, tape, entry

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    __iter__ = lambda self: (self[i] for i in range(len(self)))
    __contains__ = lambda self, y: bool(np.any(self == y))  # a bool, as of comparisons

    def __len__(self):
        if not self.shape:
            raise TypeError(
                "a number under grad has no length and no entries: loops, sum, min and max go over "
                "arrays"
            )
        return self.shape[0]

    def __repr__(self):
        return f"Var(shape={self.shape}, entry {self.entry} of tape {self.tape.age})"

    def __array__(self, *args, **kwargs):
        raise TypeError(ADVICE)

    __float__ = __int__ = __complex__ = __index__ = __bool__ = __setitem__ = __rpow__ = (
        __array_function__
    ) = __array__


def stop_gradient(x: Any) -> Any:
    """The plain array inside any number of Vars: a constant for every `grad`.

    >>> float(grad(lambda x: x * stop_gradient(x))(3.0))
    3.0
    """
    while isinstance(x, Var):
        x = x.value
    return x


def primitive(*vjps):
    """Give an array function its VJPs, one per differentiable argument.

    A VJP is called as vjp(g, y, *args, **kwargs) with g the cotangent of the
    output y, and must be written with primitives.  An argument without a VJP
    (axes, masks, indices) must not be a Var: TypeError.
    """

    def decorate(function):
        @wraps(function)
        def recorded(*args, **kwargs):
            tape = None
            for a in args:
                if isinstance(a, Var) and (tape is None or a.tape.age > tape.age):
                    tape = a.tape
            if tape is None:
                return function(*args, **kwargs)
            parents, args = [], list(args)
            for i, a in enumerate(args):
                if not isinstance(a, Var):
                    args[i] = a if type(a) in FIXED else _constant(a)
                elif a.tape is tape:
                    parents.append((i, a.entry))
                    args[i] = a.value
            kwargs = kwargs and {name: _constant(a) for name, a in kwargs.items()}
            return tape.record(recorded, vjps, args, kwargs, parents)

        return recorded

    return decorate


def _constant(a):
    """A copy of an argument that is on no tape; complex numbers and masked arrays are refused.

    VJPs run after the function.  If the caller modifies an array in between, the derivative must
    not change.
    """
    if type(a) in (tuple, list):
        fixed = type(a) is tuple and FIXED.issuperset(map(type, a))
        return a if fixed else type(a)(map(_constant, a))
    if isinstance(a, complex) or getattr(getattr(a, "dtype", None), "kind", None) == "c":
        raise TypeError(
            "derivatives are those of real numbers, and a complex one was met under grad: write "
            "out its real and imaginary parts"
        )
    if isinstance(a, np.ndarray) and (a.flags.writeable or type(a) is not np.ndarray):
        if type(a) is not np.ndarray and np.ma.is_masked(a):
            raise TypeError(
                "a masked array met one under grad, which knows no masks: fill its gaps, or leave "
                "their rows out"
            )
        a = np.array(a)
        a.flags.writeable = False
    return a


def _leaf(x):
    """A copy of an array to differentiate by."""
    x = np.asarray(x) if isinstance(x, (float, int)) else x
    if getattr(getattr(x, "dtype", None), "kind", None) != "f":
        given = getattr(x, "dtype", repr(x))
        raise TypeError(
            f"can only differentiate by floating-point arrays, got {given}: convert with x * 1.0"
        )
    if type(x) is not np.ndarray and np.ma.is_masked(x):
        raise TypeError(
            "can only differentiate by arrays without masks: fill the gaps, or leave their rows out"
        )
    return np.array(x) if isinstance(x, np.ndarray) else x


def _is_shared(x, others):
    """Whether an array is a NumPy scalar, a view, or one of the others."""
    if isinstance(x, np.generic) or getattr(x, "base", None) is not None:
        return True
    return id(x) in map(id, others)


@primitive(lambda g, y, x, dtype: cast(g, x.dtype))
def cast(x, dtype):
    """x in another floating-point type."""
    return x.astype(dtype)


def vjp(function: Callable, *args: Tree) -> tuple[Any, Callable[[Any], tuple]]:
    """Evaluate function(*args); return (value, pullback).

    `pullback(g)` is a tuple with the structure of `args`; each leaf x is replaced by g · ∂value/∂x,
    in the type of x.  Arguments are floating-point arrays, or nested dicts, lists and tuples of
    them.  The value is one array.

    Raises
    ------
    TypeError
        If a leaf is not floating-point, an intermediate number is complex, or the function calls
        NumPy where it should call `te.ops`.

    >>> value, pullback = vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value, pullback(np.ones(2))
    (array([3., 8.]), (array([3., 4.]), array([1., 2.])))
    """
    leaves, rebuild = tree_flatten(args)
    leaves, tape = list(map(_leaf, leaves)), Tape()
    inputs = list(map(tape.new, leaves))
    try:
        output = function(*rebuild(inputs))
    except (TypeError, ValueError) as error:
        if any(words in str(error) for words in LOST):
            raise TypeError(ADVICE) from error
        raise
    if not hasattr(output, "dtype") and not isinstance(output, (int, float)):
        advice = (
            "is its `return` missing?"
            if output is None
            else "return one part, or join them by tinyebm.ops.concatenate"
        )
        given = "None" if output is None else f"a {type(output).__name__}"
        raise TypeError(f"the function must return one array, and returned {given}: {advice}")
    if not (isinstance(output, Var) and output.tape is tape):  # a constant function
        return output, lambda g: rebuild([zeros_like(x) for x in leaves])

    def pullback(g):
        g = np.asarray(g) if isinstance(g, (list, float, int, complex)) else g
        if g.dtype.kind not in "fiub":
            raise TypeError(f"a cotangent is of real numbers, got {g.dtype}")
        if g.shape != output.shape:
            raise ValueError(
                f"a cotangent has the shape of its output, {output.shape}, not that of {g!r}"
            )
        found, bars = tape.sweep(output.entry, g), []
        for x, leaf in zip(inputs, leaves, strict=True):
            bar = found[x.entry] if x.entry in found else zeros_like(x)
            bar = bar if bar.dtype == leaf.dtype else cast(bar, leaf.dtype)
            if not isinstance(bar, Var) and _is_shared(bar, (g, *leaves, *bars)):
                bar = np.copy(bar)  # results must not share memory
            bars.append(bar)
        return rebuild(bars)

    return output.value, pullback


def value_and_grad(function: Callable, argnum: int = 0) -> Callable:
    """Turn a scalar function into one returning (value, gradient by one argument).

    >>> value, gradient = value_and_grad(lambda x: x * x * x)(2.0)
    >>> float(value), float(gradient)
    (8.0, 12.0)
    """
    require_count(argnum, "argnum counts from 0", least=0)
    if not callable(function):
        raise TypeError(f"a function to differentiate is wanted, got {function!r}")

    @wraps(function)
    def evaluate(*args, **kwargs):
        if argnum >= len(args):
            raise ValueError(
                f"argnum={argnum} counts arguments from 0, and the function was called with "
                f"{len(args)}"
            )
        value, pullback = vjp(
            lambda x: function(*args[:argnum], x, *args[argnum + 1 :], **kwargs), args[argnum]
        )
        if np.shape(stop_gradient(value)) != ():
            raise TypeError(
                f"grad needs a scalar function, this one returned an array of shape {value.shape}: "
                "take its sum or mean first"
            )
        if getattr(value, "dtype", np.dtype(float)).kind != "f":
            raise TypeError(
                f"grad needs a function with a slope, this one returned {value.dtype}: is a "
                "comparison left over?"
            )
        return value, pullback(ones_like(value))[0]

    return evaluate


def grad(function: Callable, argnum: int = 0) -> Callable:
    """Turn a scalar function into its gradient by argument number `argnum`.

    >>> float(grad(grad(lambda x: x ** 3))(2.0))
    12.0
    """
    both = value_and_grad(function, argnum)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def hvp(function: Callable, x: Tree, v: Tree) -> Tree:
    """The Hessian times a vector: ∇²f(x) v = ∇ <∇f(x), v>; x and v have the same structure.

    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """

    def slope(x):
        if tree_structure(x) != tree_structure(v):
            raise ValueError("v must be a tree of the same structure as x")
        pairs = list(zip(tree_flatten(grad(function)(x))[0], tree_flatten(v)[0], strict=True))
        given = [np.shape(stop_gradient(w)) for _, w in pairs]
        if given != [g.shape for g, _ in pairs]:
            raise ValueError(f"v has the shapes of x, {[g.shape for g, _ in pairs]}, not {given}")
        return sum((g * w).sum() for g, w in pairs)

    return grad(slope)(x)


def zeros_like(x):
    """Zeros of the shape, dtype and library of x."""
    return np.zeros_like(stop_gradient(x))


def ones_like(x):
    """Ones of the shape, dtype and library of x."""
    return np.ones_like(stop_gradient(x))
