"""Recording the NumPy calls of a function.

A `Traced` array is a placeholder for a real one.  NumPy passes every function of it to the two
methods `__array_ufunc__` and `__array_function__`.  They compute the result and record a node: the
function, its operands, the shape of the result.  So one run of ordinary code, derivatives included,
gives the graph of its NumPy calls.

A function is refused if the same calls would be wrong for other numbers: if it branches on a value
(`if x.max() > 0`), takes a number from one (`float(x)`), or converts an array (`np.asarray(x)`).
One difference remains: `isinstance(x, np.ndarray)` is false for a Traced array.
"""

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinyebm.autodiff.tape import Symbol
from tinyebm.replay.graph import Graph

REFUSAL = (
    "this function cannot be replayed: it takes a branch, a number or a plain array from the "
    "value of an array that changes from call to call"
)


class NotReplayable(TypeError):
    """A traced function depends on a value in a way that cannot be repeated."""


class Traced(NDArrayOperatorsMixin, Symbol):
    """An array whose NumPy calls are recorded in a graph."""

    __slots__ = ("node", "graph", "fresh")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, node, graph, fresh=False):
        # fresh: no other array shares its memory, so it may be written to
        self.node, self.graph, self.fresh = node, graph, fresh

    shape = property(lambda self: self.node.value.shape, doc="Shape of the array.")
    ndim = property(lambda self: self.node.value.ndim, doc="Number of axes.")
    size = property(lambda self: self.node.value.size, doc="Number of entries.")
    dtype = property(lambda self: self.node.value.dtype, doc="Type of the entries.")
    T = property(lambda self: self.transpose(), doc="The transposed array.")
    base = property(lambda self: self, doc="Not None: it may be a view.")

    def __len__(self):
        return len(self.node.value)

    # of no dimension: as in NumPy, such an array has no entries to iterate over
    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"Traced(shape={self.shape}, dtype={self.dtype})"

    def __getattr__(self, name):
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise NotReplayable(f"the method {name} of an array is not replayed")
        raise AttributeError(name)

    def _refuse(self, *args, **kwargs):
        raise NotReplayable(REFUSAL)

    __array__ = __float__ = __int__ = __index__ = __bool__ = __complex__ = __contains__ = _refuse

    def _call(self, op, inputs, keys, function):
        """Compute function(values) and record it."""
        if op in ("getitem", "reshape", "transpose"):
            self.fresh = False  # the result may be a view of it
        nodes = [x.node if isinstance(x, Traced) else self.graph.constant(x) for x in inputs]
        value = np.asarray(function(*[n.value for n in nodes]))
        return Traced(self.graph.node(op, tuple(nodes), keys, value), self.graph)

    # ------------------------------------------------------- what NumPy hands over

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        # np.add.at(out, index, x): a new node in the place of out's
        if method == "at" and ufunc is np.add:
            target, index, x = inputs
            self._write(target, "add_at", index, x)
            return None
        if (
            method != "__call__"
            or out is not None
            or kwargs
            or ufunc.nout != 1
            or (ufunc.signature and ufunc is not np.matmul)
        ):
            raise NotReplayable(
                f"np.{ufunc.__name__}.{method} with these arguments is not replayed"
            )
        inputs = [_plain_number(x, inputs) for x in inputs]
        return self._call(ufunc, inputs, None, ufunc)

    def __array_function__(self, function, types, args, kwargs):
        if function in _METHODS:
            return _METHODS[function](*args, **kwargs)
        raise NotReplayable(f"np.{function.__name__} is not replayed")

    def __setitem__(self, index, x):
        self._write(self, "setitem", index, x)

    @staticmethod
    def _write(target, op, index, x):
        if not target.fresh:
            raise NotReplayable("an array is written to that others may see")
        x = (
            x
            if isinstance(x, Traced)
            else Traced(target.graph.constant(np.asarray(x)), target.graph)
        )

        def write(base, x):
            out = base.copy()
            if op == "add_at":
                np.add.at(out, index.index, x)
            else:
                out[index.index] = x
            return out

        index = _Index(index)
        # nothing of the old array is left
        if op == "setitem" and index.whole and x.size == target.size:
            target.node = x.reshape(target.shape).node
        else:
            target.node = target._call(op, (target, x), index, write).node
        target.fresh = True

    # ------------------------------------------------------------------- methods

    def sum(self, axis=None, keepdims=False):
        """The sum over axes."""
        return self._reduce(np.add, axis, keepdims)

    def max(self, axis=None, keepdims=False):
        """The largest entry over axes."""
        return self._reduce(np.maximum, axis, keepdims)

    def min(self, axis=None, keepdims=False):
        """The smallest entry over axes."""
        return self._reduce(np.minimum, axis, keepdims)

    def prod(self, axis=None, keepdims=False):
        """The product over axes."""
        return self._reduce(np.multiply, axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        """The mean over axes."""
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

    def _reduce(self, ufunc, axis, keepdims):
        axes = range(self.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(a % self.ndim for a in axes))
        if all(self.shape[a] == 1 for a in axes):
            kept = self.copy()
        else:
            kept = self._call(
                "reduce",
                (self,),
                (ufunc, axes),
                lambda x: ufunc.reduce(x, axis=axes, keepdims=True),
            )
        return kept if keepdims else kept.squeeze(axes)

    def squeeze(self, axis=None):
        """The array without axes of length one."""
        axes = axis if isinstance(axis, tuple) else (axis,)
        gone = (
            [a for a, n in enumerate(self.shape) if n == 1]
            if axis is None
            else [a % self.ndim for a in axes]
        )
        return self.reshape([n for a, n in enumerate(self.shape) if a not in gone])

    def reshape(self, *shape):
        """The entries in their order, in another shape."""
        shape = shape[0] if len(shape) == 1 else shape
        value = self.node.value.reshape(shape)
        if value.shape == self.shape:
            self.fresh = False
            return self.copy()
        return self._call("reshape", (self,), value.shape, lambda x: x.reshape(value.shape))

    def transpose(self, *axes):
        """The array with its axes in another order."""
        axes = (
            axes[0]
            if len(axes) == 1 and not isinstance(axes[0], int)
            else axes or range(self.ndim)[::-1]
        )
        axes = tuple(a % self.ndim for a in axes)
        self.fresh = False
        if axes == tuple(range(self.ndim)):
            return self.copy()
        if self.node.op == "transpose" and self.ndim == 2:
            return Traced(self.node.args[0], self.graph)
        return self._call("transpose", (self,), axes, lambda x: x.transpose(axes))

    def __getitem__(self, index):
        return self._call("getitem", (self,), _Index(index), lambda x: x[index])

    def astype(self, dtype):
        """The array in another type."""
        dtype = np.dtype(dtype)
        return (
            self.copy()
            if dtype == self.dtype
            else self._call("astype", (self,), dtype, lambda x: x.astype(dtype))
        )

    def copy(self):
        """The same numbers under another name."""
        return Traced(self.node, self.graph)


class _Index:
    """An index; two indices are equal only if they are equal in full."""

    def __init__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, Traced) for i in parts):
            raise NotReplayable(REFUSAL)
        self.index = index
        number = lambda i: isinstance(i, (int, np.integer)) and not isinstance(i, bool)
        self.basic = all(
            i is None or i is Ellipsis or isinstance(i, slice) or number(i) for i in parts
        )
        # never a number, always a view
        self.view = (*parts, Ellipsis) if self.basic and Ellipsis not in parts else index
        # in order
        self.whole = self.basic and all(i.step in (None, 1) for i in parts if isinstance(i, slice))

    def __repr__(self):
        return repr(self.index) if self.basic else f"index {id(self.index)}"


def _plain_number(x, inputs):
    """A Python number as an array of no dimension, in the type that NumPy's promotion gives it."""
    if not isinstance(x, (int, float)) or isinstance(x, bool):
        return x
    kinds = [y.dtype for y in inputs if not isinstance(y, (int, float))]
    return np.array(x, np.result_type(*kinds, x))


def _constant_like(fill):
    def make(x, dtype=None, shape=None):
        return Traced(
            x.graph.constant(np.full_like(x.node.value, fill, dtype=dtype, shape=shape)),
            x.graph,
            fresh=True,
        )

    return make


def _broadcast_to(x, shape):
    x.fresh = False
    return (
        x.copy()
        if x.shape == tuple(shape)
        else Traced(x.graph.spread(x.node, np.broadcast_to(x.node.value, shape)), x.graph)
    )


def _where(mask, a, b):
    traced = next(x for x in (mask, a, b) if isinstance(x, Traced))
    a, b = (
        _plain_number(x, (a, b))
        if isinstance(a, Traced) or isinstance(b, Traced)
        else np.asarray(x)
        for x in (a, b)
    )
    return traced._call("where", (mask, a, b), None, np.where)


def _concatenate(arrays, axis=0):
    traced = next(x for x in arrays if isinstance(x, Traced))
    return traced._call("concatenate", tuple(arrays), axis, lambda *xs: np.concatenate(xs, axis))


_METHODS = {
    np.broadcast_to: _broadcast_to,
    np.zeros_like: _constant_like(0),
    np.ones_like: _constant_like(1),
    np.where: _where,
    np.concatenate: _concatenate,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.copy: Traced.copy,
    np.sum: Traced.sum,
    np.max: Traced.max,
    np.mean: Traced.mean,
    np.reshape: Traced.reshape,
    np.transpose: Traced.transpose,
}


def trace(function, fixed, rows):
    """Run function(*fixed, *rows) on Traced arrays; return (graph, input nodes, what it returned).

    `fixed` and `rows` are lists of arrays; the function returns a list of arrays.
    """
    graph = Graph()
    inputs = [graph.input(np.asarray(x), True) for x in fixed] + [
        graph.input(np.asarray(x), False) for x in rows
    ]
    outputs = function(*[Traced(n, graph) for n in inputs])
    return graph, inputs, [x.node if isinstance(x, Traced) else graph.constant(x) for x in outputs]
