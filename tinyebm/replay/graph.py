"""The graph of the NumPy calls that a function makes.

Nodes are simplified when they are made, by the table of rewrite rules at the end.  The rules hold
for every value.  Equal calls share one node.
"""

import math
from itertools import count

import numpy as np

LOG2E = math.log2(math.e)


class Node:
    """One NumPy call: `op` on `args`, with `keys` that are not arrays.

    An input or a constant has no args.
    `value` is an example of the result, kept for its shape and type; `fixed` says that the result
    is the same for every row of points: it depends on parameters and constants only.
    """

    __slots__ = ("op", "args", "keys", "value", "fixed", "number")

    def __init__(self, op, args, keys, value, fixed, number):
        self.op, self.args, self.keys = op, args, keys
        self.value, self.fixed, self.number = value, fixed, number

    shape = property(lambda self: self.value.shape, doc="Shape of the result.")
    ndim = property(lambda self: self.value.ndim, doc="Number of axes of the result.")

    @property
    def constant(self):
        """The number of a constant that is filled with one number; else None."""
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
            key = "broadcast", row.number, repr(value.shape)
            return self._shared(key, "broadcast", (row,), value.shape, value, True)
        first, fill = value.reshape(-1)[:1], None
        if value.size and value.dtype.kind in "fiub" and (value == first).all():
            fill = first.item()
        numbers = value.tobytes() if fill is None else (fill, math.copysign(1, fill))
        key = "constant", value.shape, value.dtype, numbers
        # a copy: the array may change
        return self._shared(key, "constant", (), fill, value.copy(), True)

    def node(self, op, args, keys, value):
        """A node for a call, or an older one that holds the same value."""
        if all(a.op == "constant" for a in args):
            return self.constant(value)
        simpler = self._simplify(op, args, value)
        if simpler is not None:
            return simpler
        key = op, *(a.number for a in args), repr(keys)
        return self._shared(key, op, args, keys, value, all(a.fixed for a in args))

    def forget(self):
        """Drop the numbers of the examples, and keep their shapes and types."""
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

    def with_number(self, op, a, c, value):
        """op(a, c) for a number c, in the shape of a value."""
        number = self.constant(np.array(c, value.dtype))
        return self.spread(self.node(op, (a, number), None, op(a.value, number.value)), value)

    def spread(self, a, value):
        """a, broadcast to the shape of a value."""
        if a.shape == value.shape:
            return a
        return self.node("broadcast", (a,), value.shape, np.broadcast_to(a.value, value.shape))

    def _simplify(self, op, args, value):
        """The result of the first rule that applies to a call; None if none applies."""
        if value.dtype.kind != "f" or any(arg.value.dtype != value.dtype for arg in args):
            return None
        a, b = (*args, None)[:2]
        for applies, simpler in RULES.get(op, ()):
            if applies(a, b):
                return simpler(self, a, b, value)
        return None


# ------------------------------------------------------------------------- the rewrite rules


def _scaled_twice(a, b):
    """Whether a = x · c for a number c, and b is a number."""
    return b.constant is not None and a.op is np.multiply and a.args[1].constant is not None


def _equal_rows(a, b):
    """Whether a is one row (1, m), broadcast to many, and b a matrix (m, k)."""
    return a.op == "broadcast" and b.ndim == 2 and a.args[0].shape == (1, a.shape[1])


def _product_of_row(g, a, b, y):
    row = a.args[0]
    return g.spread(g.node(np.matmul, (row, b), None, np.matmul(row.value, b.value)), y)


# fmt: off
_always   = lambda a, b: True
_swapped  = lambda a, b: a.constant is not None and b.constant is None
_filled   = lambda a, b: b.constant is not None and b.ndim > 0
_divides  = lambda a, b: b.constant not in (None, 0) and math.isfinite(1 / b.constant)
_equals   = lambda c: lambda a, b: b.constant == c
_exponent = lambda c: lambda a, b: b.ndim == 0 and b.constant == c

RULES = {  # op: [(when it applies to a and b, what takes the place of y = op(a, b) in the graph g)]
    np.negative: [(_always, lambda g, a, b, y: g.with_number(np.multiply, a, -1.0, y))],
    np.exp: [(_always, lambda g, a, b, y:
              g.node(np.exp2, (g.with_number(np.multiply, a, LOG2E, y),), None, y))],
    np.power: [
        (_exponent(2),   lambda g, a, b, y: g.node(np.multiply, (a, a), None, y)),
        (_exponent(1),   lambda g, a, b, y: a),
        (_exponent(0.5), lambda g, a, b, y: g.node(np.sqrt, (a,), None, y)),
    ],
    np.matmul: [
        (_equal_rows, _product_of_row),
        (lambda a, b: a.ndim == b.ndim == 2 and a.shape[1] == 1,
                        lambda g, a, b, y: g.node(np.multiply, (a, b), None, y)),
    ],
    np.add: [
        (_swapped,       lambda g, a, b, y: g.node(np.add, (b, a), None, y)),
        (_equals(0),     lambda g, a, b, y: g.spread(a, y)),
        (_filled,        lambda g, a, b, y: g.with_number(np.add, a, b.constant, y)),
    ],
    np.subtract: [
        (lambda a, b: b.constant is not None,
                        lambda g, a, b, y: g.with_number(np.add, a, -b.constant, y)),
    ],
    np.multiply: [
        (_swapped,       lambda g, a, b, y: g.node(np.multiply, (b, a), None, y)),
        (_equals(1),     lambda g, a, b, y: g.spread(a, y)),
        (_filled,        lambda g, a, b, y: g.with_number(np.multiply, a, b.constant, y)),
        (_scaled_twice, lambda g, a, b, y:
                         g.with_number(np.multiply, a.args[0], a.args[1].constant * b.constant, y)),
    ],
    np.divide: [
        (_divides,       lambda g, a, b, y: g.with_number(np.multiply, a, 1 / b.constant, y)),
    ],
}
