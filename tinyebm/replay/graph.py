"""The graph of the NumPy calls that a function makes.

Nodes are simplified as they are made, by rules that hold for every value:

    equal calls are one node;   x · 1 = x;   x + 0 = x;   -x = -1 · x;   (c · x) · d = (c d) · x
    e^x = 2^(x log₂ e);         x² = x · x;  a @ b = a · b where the inner dimension is one
"""

import math
from itertools import count

import numpy as np

LOG2E = math.log2(math.e)


class Node:
    """One NumPy call: `op` on `args`, with `keys` that are no arrays; an input or a constant has no
    args.

    `value` is an example of the result, kept for its shape and type; `fixed` says that the result
    is the same for every row of points: it depends on parameters and constants only.
    """

    __slots__ = ("op", "args", "keys", "value", "fixed", "number")

    def __init__(self, op, args, keys, value, fixed, number):
        self.op, self.args, self.keys, self.value, self.fixed, self.number = (
            op,
            args,
            keys,
            value,
            fixed,
            number,
        )

    shape = property(lambda self: self.value.shape, doc="Shape of the result.")
    ndim = property(lambda self: self.value.ndim, doc="Number of axes of the result.")

    @property
    def constant(self):
        """The number this node is, if it is a constant filled with one number; else None."""
        return self.keys if self.op == "constant" else None


class Graph:
    """The nodes of one traced function, in the order in which they were made."""

    def __init__(self):
        self.nodes, self._seen, self._clock = [], {}, count()

    def input(self, value, fixed):
        """A node for an argument of the function."""
        return self._new("input", (), None, value, fixed)

    def constant(self, value):
        """A node for an array that depends on no argument; equal fills are one node."""
        value = np.asarray(value)
        if value.ndim == 2 and len(value) > 1 and value.strides[0] == 0:  # one row, for every point
            row = self.constant(value[:1])
            return self._shared(
                ("broadcast", row.number, repr(value.shape)),
                "broadcast",
                (row,),
                value.shape,
                value,
                True,
            )
        first = value.reshape(-1)[:1]
        fill = (
            first.item()
            if value.size and value.dtype.kind in "fiub" and (value == first).all()
            else None
        )
        key = (
            "constant",
            value.shape,
            value.dtype,
            value.tobytes() if fill is None else (fill, math.copysign(1, fill)),
        )
        value = value.copy()  # what it is now: the array may change
        return self._shared(key, "constant", (), fill, value, True)

    def node(self, op, args, keys, value):
        """A node for a call, or an older one that holds the same value."""
        if all(a.op == "constant" for a in args):
            return self.constant(value)
        simpler = self._simplify(op, args, value)
        if simpler is not None:
            return simpler
        return self._shared(
            (op, *(a.number for a in args), repr(keys)),
            op,
            args,
            keys,
            value,
            all(a.fixed for a in args),
        )

    def forget(self):
        """Let go of the examples' numbers, and keep their shapes and types."""
        for node in self.nodes:
            if node.op != "constant":
                node.value = np.broadcast_to(np.empty((), node.value.dtype), node.value.shape)

    def _shared(self, key, *parts):
        if key not in self._seen:
            self._seen[key] = self._new(*parts)
        return self._seen[key]

    def _new(self, *parts):
        self.nodes.append(Node(*parts, next(self._clock)))
        return self.nodes[-1]

    def _number(self, c, like):
        """A constant of no dimension, of the type of an array."""
        return self.constant(np.array(c, like.dtype))

    def _simplify(self, op, args, value):
        """The rules of the module's docstring, if one applies."""
        a, b = (*args, None)[:2]
        if value.dtype.kind != "f" or any(arg.value.dtype != value.dtype for arg in args):
            return None
        if op is np.negative:
            return self.node(np.multiply, (a, self._number(-1.0, value)), None, value)
        if op is np.exp:
            scaled = self.node(np.multiply, (a, self._number(LOG2E, value)), None, a.value)
            return self.node(np.exp2, (scaled,), None, value)
        if op is np.power and b.ndim == 0 and b.constant in (2, 0.5, 1):
            return {
                2: lambda: self.node(np.multiply, (a, a), None, value),
                1: lambda: a,
                0.5: lambda: self.node(np.sqrt, (a,), None, value),
            }[b.constant]()
        # equal rows stay equal
        if (
            op is np.matmul
            and a.op == "broadcast"
            and b.ndim == 2
            and a.args[0].shape == (1, a.shape[1])
        ):
            return self._spread(
                self.node(op, (a.args[0], b), None, np.matmul(a.args[0].value, b.value)), value
            )
        if op is np.matmul and a.ndim == b.ndim == 2 and a.shape[1] == 1:
            return self.node(np.multiply, (a, b), None, value)
        if op in (np.multiply, np.add) and a.constant is not None and b.constant is None:
            return self.node(op, (b, a), None, value)
        if op is np.subtract and b.constant is not None:
            return self._with_number(np.add, a, -b.constant, value)
        if (
            op is np.divide
            and b.constant is not None
            and b.constant != 0
            and math.isfinite(1 / b.constant)
        ):
            return self._with_number(np.multiply, a, 1 / b.constant, value)
        if op in (np.multiply, np.add) and b.constant is not None:
            if b.constant == (1 if op is np.multiply else 0):
                return self._spread(a, value)
            if b.ndim:
                return self._with_number(op, a, b.constant, value)
            if op is np.multiply and a.op is np.multiply and a.args[1].constant is not None:
                c = a.args[1].constant * b.constant
                return self.node(op, (a.args[0], self._number(c, value)), None, value)
        return None

    def _with_number(self, op, a, c, value):
        """op(a, c) for a number c, broadcast to the shape of a value."""
        number = self._number(c, value)
        return self._spread(self.node(op, (a, number), None, op(a.value, number.value)), value)

    def _spread(self, a, value):
        """a, broadcast to the shape of a value."""
        if a.shape == value.shape:
            return a
        return self.node("broadcast", (a,), value.shape, np.broadcast_to(a.value, value.shape))
