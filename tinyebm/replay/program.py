"""A traced function as a list of NumPy calls on buffers that are allocated once.

Each result has a buffer.  If an operand is not needed any more, the result takes its buffer, so the
memory of a tile stays small and in the cache.  A replay of the function makes the calls again.
"""

import math
from functools import partial

import numpy as np

from tinyebm.replay.instructions import Builder

LINE = 64  # bytes of a line of the cache; calls on arrays that begin with one are faster


class Program:
    """Two lists of NumPy calls on fixed buffers: `prologue`, once per θ, and `body`, once per tile.

    The arguments are written to the arrays `fixed` and `rows`, and the results read from `outputs`.
    If results are added up over tiles (`linear`), they lie in one vector `total` without their
    factors; `finish` multiplies the sum by them.
    """

    def __init__(self, graph, inputs, outputs, linear=False):
        self.linear, self.types = linear, [n.value.dtype for n in outputs]
        if len(set(self.types)) > 1 and linear:  # one vector has one type
            wide = np.result_type(*self.types)
            outputs = [
                n
                if n.value.dtype == wide
                else graph.node("astype", (n,), wide, n.value.astype(wide))
                for n in outputs
            ]
        built = Builder(graph, inputs, outputs, linear)
        vectors = [vec for _, vec in built.factors if vec is not None]
        code, needed = [], {id(ref.root) for ref in (*built.outputs, *vectors)}
        for function, args, out in reversed(built.code):  # drop what no output needs
            if id(out) in needed:
                code.append((function, args, out))
                needed |= {id(a.root) for a in args}
        code.reverse()
        for ref in built.inputs:
            _allocate(ref, ref.fixed)
        for _, _, out in code:
            if out.fixed:
                _allocate(out)
        if linear:
            self.total = _allocate_together([ref.root for ref in built.outputs])
        _share_buffers([c for c in code if not c[2].fixed], built.inputs, built.outputs)
        self.prologue = [_bind(*c) for c in code if c[2].fixed]
        self.body = [_bind(*c) for c in code if not c[2].fixed]
        self.fixed = [ref.resolve() for ref in built.inputs if ref.fixed]
        self.rows = [ref.resolve() for ref in built.inputs if not ref.fixed]
        self.outputs = [ref.resolve() for ref in built.outputs]
        self.factors = [(c, None if vec is None else vec.resolve()) for c, vec in built.factors]

    def finish(self, total):
        """The outputs, of a sum of `total`s."""
        np.copyto(self.total, total)
        found = [
            x * c if vec is None else x * (vec * c)
            for x, (c, vec) in zip(self.outputs, self.factors, strict=True)
        ]
        return [x.astype(dtype, copy=False) for x, dtype in zip(found, self.types, strict=True)]

    def load(self, fixed):
        """Take parameters, and compute the values that depend only on them."""
        for buffer, x in zip(self.fixed, fixed, strict=True):
            np.copyto(buffer, x)
        for f, args in self.prologue:
            f(*args)

    def run(self):
        """Compute the outputs for the current rows."""
        for f, args in self.body:
            f(*args)


def _allocate(ref, row_major=False, buffer=None):
    """Allocate the buffer of a root, with points contiguous in memory; return the buffer."""
    columns = len(ref.shape) == 2 and not row_major
    shape = (ref.shape[1] + ref.bordered, ref.shape[0]) if columns else ref.shape
    if buffer is None:
        buffer = aligned(shape, ref.dtype)
        if ref.bordered:
            buffer[-1] = 1
    ref.array = buffer.T[:, : ref.shape[1]] if columns else buffer
    ref.buffer = buffer
    return buffer


def aligned(shape, dtype):
    """A new array whose first number begins a line of the cache; NumPy's begin at any 16 bytes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def _allocate_together(roots):
    """Allocate the buffers of roots as parts of one vector; return it."""
    roots = list({id(root): root for root in roots}.values())
    ends = np.cumsum([0, *(math.prod(root.shape) for root in roots)])
    total = aligned((ends[-1],), roots[0].dtype if roots else float)
    for root, start, end in zip(roots, ends, ends[1:], strict=False):
        _allocate(
            root,
            buffer=total[start:end].reshape(
                root.shape[::-1] if len(root.shape) == 2 else root.shape
            ),
        )
    return total


def _share_buffers(code, inputs, outputs):
    """Give every result a buffer: of an operand in its last use, a free one, or a new one."""
    last, kept = {}, {id(ref.root) for ref in (*inputs, *outputs)}
    for i, (_, args, out) in enumerate(code):
        for ref in (*args, out):
            last[id(ref.root)] = i
    free, held = {}, {}  # kind of buffer -> buffers; root -> (kind, buffer)
    for i, (function, args, out) in enumerate(code):
        kind = (out.shape, out.dtype, out.bordered)
        dying = {
            id(a.root): a
            for a in args
            if last[id(a.root)] == i and id(a.root) in held and id(a.root) not in kept
        }
        buffer = None
        if isinstance(function, np.ufunc) and out.array is None:
            for name, a in dying.items():
                if (
                    a.parent is None
                    and held[name][0] == kind
                    and sum(a.root is b.root for b in args) == 1
                ):
                    buffer = held.pop(name)[1]
                    break
        if out.array is None:  # an output may have its place
            if buffer is None and free.get(kind):
                buffer = free[kind].pop()
            held[id(out)] = (kind, _allocate(out, buffer=buffer))
        for name in dying:
            if name in held:
                k, b = held.pop(name)
                free.setdefault(k, []).append(b)
        if last[id(out)] == i and id(out) in held and id(out) not in kept:
            free.setdefault(kind, []).append(held.pop(id(out))[1])


def _bind(function, args, out):
    """(callable, arguments) that compute an instruction."""
    y, xs = out.resolve(), [a.resolve() for a in args]
    if function == "dot":
        x = _with_border(args[0]) if xs[1].shape[0] > args[0].shape[1] else xs[0]
        return np.dot, (xs[1].T, x.T, y.T)
    if function == "gram":
        return np.dot, (xs[1].T, _with_border(args[0]), y.T)
    if function == "stack":
        return _stack, (*xs, y)
    if isinstance(function, np.ufunc):
        if y.ndim == 2:
            xs = [
                x if x.ndim == 0 else (x if x.shape == y.shape else np.broadcast_to(x, y.shape)).T
                for x in xs
            ]
        y = y.T if y.ndim == 2 else y
        if function in (np.maximum, np.minimum):  # take their result by name only
            return partial(function, out=y), xs
        return function, (*xs, y)
    op, keys = function
    if op == "reduce":
        ufunc, axes = keys
        if y.ndim == 2:
            return ufunc.reduce, (xs[0].T, tuple(1 - a for a in axes), None, y.T, True)
        return ufunc.reduce, (xs[0], axes, None, y, True)
    return CALLS[op](keys), (*xs, y)


def _with_border(ref):
    """The buffer of a root, border included, as rows of points."""
    return ref.buffer.T if ref.bordered else ref.array


def _stack(W, b, y):
    y[:-1] = W
    y[-1] = b


def _where(mask, a, b, y):
    np.copyto(y, b)
    np.copyto(y, a, where=mask)


def _write(index):
    def write(base, x, y):
        np.copyto(y, base)
        y[index] = x

    return write


def _add_at(index):
    def add_at(base, x, y):
        np.copyto(y, base)
        np.add.at(y, index, x)

    return add_at


CALLS = {  # operation -> function of its keys -> function (operands, result)
    "where": lambda keys: _where,
    "getitem": lambda keys: lambda x, y: np.copyto(y, x[keys.index]),
    "reshape": lambda keys: lambda x, y: np.copyto(y, x.reshape(keys)),
    "transpose": lambda keys: lambda x, y: np.copyto(y, x.transpose(keys)),
    "broadcast": lambda keys: lambda x, y: np.copyto(y, x),
    "setitem": lambda keys: _write(keys.index),
    "add_at": lambda keys: _add_at(keys.index),
    "concatenate": lambda keys: lambda *xs: np.concatenate(xs[:-1], keys, out=xs[-1]),
    "astype": lambda keys: lambda x, y: np.copyto(y, x, casting="unsafe"),
    np.matmul: lambda keys: np.matmul,
}
