"""The operands of instructions: stored arrays, values with factors, and patterns of nodes."""

import math

import numpy as np


class Ref:
    """A stored array: a buffer of its own (`parent` None), or a view of another one.

    `bordered`: the buffer has one more row, of ones, which `array` leaves out.
    """

    __slots__ = ("shape", "dtype", "fixed", "parent", "view", "bordered", "array", "buffer")

    def __init__(self, shape, dtype, fixed, parent=None, view=None, bordered=False, array=None):
        self.shape, self.dtype, self.fixed = tuple(shape), dtype, fixed
        self.parent, self.view = parent, view
        self.bordered, self.array = bordered, array

    @property
    def root(self):
        """The Ref that owns the buffer."""
        return self if self.parent is None else self.parent.root

    def resolve(self):
        """The array itself, once every root has its buffer."""
        if self.array is None:
            self.array = self.view(self.parent.resolve())
        return self.array


def column(vec):
    """A row vector as a column."""
    return Ref((*vec.shape, 1), vec.dtype, vec.fixed, vec, lambda r: r[..., None])


class Scaled:
    """The value c · ref · diag(vec); vec is a fixed Ref of shape () or (h,), or None."""

    __slots__ = ("ref", "c", "vec")

    def __init__(self, ref, c=1.0, vec=None):
        self.ref, self.c, self.vec = ref, c, vec

    plain = property(
        lambda self: self.c == 1.0 and self.vec is None, doc="Whether there is no factor."
    )


def reachable(outputs):
    """The numbers of the nodes that the outputs depend on."""
    live, todo = set(), list(outputs)
    while todo:
        n = todo.pop()
        if n.number not in live:
            live.add(n.number)
            todo.extend(n.args)
    return live


def scan(nodes):
    """The requirements of later nodes on earlier ones.

    Returns the numbers of the nodes that need a border of ones; {product: the factor that an
    exponential multiplies it by}; {G: the X of the product Xᵀ G}.
    """
    wants_border, wanted_factor, partner = set(), {}, {}
    for n in nodes:
        if layer := affine_layer(n):
            wants_border.add(layer[0].number)
        if n.op is np.exp2 and n.args[0].op is np.multiply and is_factor(c := n.args[0].args[1]):
            wanted_factor.setdefault(n.args[0].args[0].number, c.constant)
    for n in nodes:
        if n.op is np.matmul and not n.fixed:
            left, right = n.args
            if left.op == "transpose" and left.ndim == 2 and left.args[0].number in wants_border:
                partner.setdefault(right.number, left.args[0])
    return wants_border, wanted_factor, partner


def affine_layer(n):
    """(X, W, b) if the node is X W + b with points X and parameters W, b; else None."""
    if n.op is not np.add or n.fixed or n.ndim != 2:
        return None
    for product, bias in (n.args, n.args[::-1]):
        if product.args and product.args[0].value.dtype != n.value.dtype:
            continue
        if product.op is not np.matmul or product.shape != n.shape or not bias.fixed:
            continue
        (x, W), b = product.args, fixed_vector(bias)
        if x.fixed or not W.fixed or b is None:
            continue
        if b.ndim and b.shape[-1] == n.shape[1]:
            return x, W, b
    return None


def is_factor(b):
    """Whether a node is a number that a value may be multiplied and divided by."""
    return b.constant is not None and b.ndim == 0 and b.constant != 0 and math.isfinite(b.constant)


def fixed_vector(b):
    """The fixed node of shape (), (h,) or (1, h) behind b, broadcast or not; None for others."""
    while b.op == "broadcast":
        b = b.args[0]
    return b if b.ndim <= 1 or (b.ndim == 2 and b.shape[0] == 1) else None


# views: a function from a node to a function of the array, or None where a copy is needed
VIEWS = {
    "transpose": lambda n: lambda r: r.transpose(n.keys),
    "broadcast": lambda n: lambda r: np.broadcast_to(r, n.shape),
    "getitem": lambda n: (lambda r: r[n.keys.view]) if n.keys.basic else None,
    "reshape": lambda n: (
        (lambda r: r.reshape(n.shape)) if n.args[0].ndim == 1 or _padded(n) else None
    ),
}


def _padded(n):
    """Whether a reshape only adds or removes axes of length one."""
    return [k for k in n.shape if k != 1] == [k for k in n.args[0].shape if k != 1]
