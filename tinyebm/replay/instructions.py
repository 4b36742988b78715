"""From a graph of NumPy calls to a short list of instructions.

Points are columns in memory: an array (n, h) of n points is stored as (h, n), so that every call
runs along the points, for any width.  Three facts make the list short.

1. A value is stored without its factors: X = c · X̂ · diag(v), with c a number and v a function of
   the parameters.  So a multiplication by c or v costs nothing.  The factors are multiplied in only
   where they are needed: before a nonlinear function, or in a sum of terms with different factors.
   A matrix product with parameters W absorbs them: X W = X̂ (c diag(v) W).
2. Values that depend only on the parameters are computed once, in the `prologue`.  The `body` runs
   for every tile of points.
3. An affine layer X W + b is one matrix product: X gets a border, a column of ones.  The
   derivatives by W and b are one matrix product, too.
"""

from collections import Counter

import numpy as np

from tinyebm.replay.values import (
    VIEWS,
    Ref,
    Scaled,
    affine_layer,
    column,
    fixed_vector,
    is_factor,
    reachable,
    scan,
)

# functions of two operands for values with factors
LAYER = {np.multiply, np.add, np.subtract, np.divide}


class Builder:
    """Turns nodes into instructions (function, operands, result)."""

    def __init__(self, graph, inputs, outputs, linear):
        self.code, self.values, self.memo, self.products = [], {}, {}, {}
        live = reachable(outputs)
        nodes = [n for n in graph.nodes if n.number in live]
        self.uses = Counter(a.number for n in nodes for a in n.args) + Counter(
            n.number for n in outputs
        )
        self.wants_border, self.wanted_factor, self.partner = scan(nodes)
        self.inputs = [self.input(n) for n in inputs]
        for n in nodes:
            if n.op != "input":
                self.values[n.number] = self.emit(n)
        found = [self.values[n.number] for n in outputs]
        self.outputs = [self.own(x.ref) if linear else self.materialise(x) for x in found]
        self.factors = [(x.c, x.vec) if linear else (1.0, None) for x in found]

    def input(self, node):
        """The Ref of an argument."""
        ref = Ref(
            node.shape, node.value.dtype, node.fixed, bordered=node.number in self.wants_border
        )
        self.values[node.number] = Scaled(ref)
        return ref

    # ---------------------------------------------------------------- instructions

    def do(self, function, args, shape, dtype, fixed=False, bordered=False):
        """Append an instruction; return its result's Ref.  Equal instructions are made once."""
        key = (function, *map(id, args), tuple(shape), bordered)
        if key not in self.memo:
            out = Ref(shape, dtype, fixed, bordered=bordered)
            self.code.append((function, tuple(args), out))
            self.memo[key] = out
        return self.memo[key]

    def ufunc(self, function, args, node, bordered=False):
        """An elementwise instruction of the shape and type of a node."""
        return self.do(function, args, node.shape, node.value.dtype, node.fixed, bordered)

    def number(self, c, dtype):
        """The Ref of a number."""
        key = ("number", float(c), str(dtype))
        if key not in self.memo:
            self.memo[key] = Ref((), dtype, True, array=np.array(c, dtype))
        return self.memo[key]

    def materialise(self, x):
        """The Ref of a value without factor."""
        ref, factor = x.ref, x.vec
        if x.c != 1.0:
            c = self.number(x.c, ref.dtype)
            factor = c if x.vec is None else self.fixed_product(x.vec, c)
        return (
            ref
            if factor is None
            else self.do(np.multiply, (ref, factor), ref.shape, ref.dtype, ref.fixed)
        )

    def fixed_product(self, v, w):
        """The product of two fixed arrays."""
        return self.do(np.multiply, (v, w), np.broadcast_shapes(v.shape, w.shape), v.dtype, True)

    def own(self, ref):
        """ref, or its copy if it is an input, a constant, or has a border."""
        made = {id(out) for _, _, out in self.code if not out.fixed}
        if id(ref.root) in made and not ref.root.bordered:
            return ref
        return self.do(np.positive, (ref,), ref.shape, ref.dtype)

    def times(self, v, w):
        """The product of two fixed vectors; each may be None."""
        return (v if w is None else w) if v is None or w is None else self.fixed_product(v, w)

    def sum_of_factors(self, x, y, sign):
        """c v ± c' v' of two values of one array, as a fixed vector."""
        dtype, parts = x.ref.dtype, []
        for c, vec in ((x.c, x.vec), (sign * y.c, y.vec)):
            number = self.number(c, dtype)
            parts.append(
                number if vec is None else vec if c == 1.0 else self.fixed_product(vec, number)
            )
        return self.do(np.add, parts, np.broadcast_shapes(*(p.shape for p in parts)), dtype, True)

    def view(self, ref, shape, function):
        """The Ref of a view of an array."""
        return Ref(shape, ref.dtype, ref.fixed, ref, function)

    # ----------------------------------------------------------------- one node

    def emit(self, n):
        """The value of a node, with a border where the node needs one."""
        x = self.value_of(n)
        if n.number in self.wants_border and not x.ref.bordered:
            return Scaled(self.ufunc(np.positive, (x.ref,), n, bordered=True), x.c, x.vec)
        return x

    def value_of(self, n):
        """The value of a node, from the values of its arguments."""
        if n.op == "constant":
            return Scaled(Ref(n.shape, n.value.dtype, True, array=n.value))
        args = [self.values[a.number] for a in n.args]
        if not n.fixed:
            if n.op is np.matmul and (found := self.product(n, *args)):
                return found
            if n.op in LAYER and (found := self.factored(n, *args)):
                return found
            if n.op == "reduce" and n.keys[0] is np.add and (found := self.total(n, *args)):
                return found
        if isinstance(n.op, str) and n.op in VIEWS:
            x = args[0] if args[0].vec is None else Scaled(self.materialise(args[0]))
            view = VIEWS[n.op](n)
            if view is not None:
                return Scaled(self.view(x.ref, n.shape, view), x.c)
        refs = [self.materialise(x) for x in args]
        if isinstance(n.op, np.ufunc) and n.op is not np.matmul:
            return Scaled(self.ufunc(n.op, refs, n, n.number in self.wants_border))
        return Scaled(self.do((n.op, n.keys), refs, n.shape, n.value.dtype, n.fixed))

    def factored(self, n, x, y):
        """+ - * / on values with factors; None if this saves no call."""
        a, b = n.args
        if not x.ref.dtype == y.ref.dtype == n.value.dtype:
            return None
        bordered = n.number in self.wants_border
        store = lambda x, y: self.ufunc(n.op, (x, y), n, bordered)
        if n.op is np.multiply:
            return self.scaled(n, x, y, store)
        if n.op is np.divide:
            return (
                Scaled(store(x.ref, y.ref), x.c / y.c, x.vec)
                if y.vec is None and not b.fixed
                else None
            )
        if layer := affine_layer(n):
            return self.affine(layer, self.wanted_factor.get(n.number, 1.0))
        if b.constant is not None and b.ndim == 0 and x.vec is None:
            return Scaled(store(x.ref, self.number(b.constant / x.c, x.ref.dtype)), x.c)
        if a.constant is not None and a.ndim == 0 and y.vec is None:
            return Scaled(store(self.number(a.constant / y.c, y.ref.dtype), y.ref), y.c)
        if x.ref is y.ref and a.shape == b.shape == tuple(x.ref.shape) and n.ndim == 2:
            return Scaled(x.ref, 1.0, self.sum_of_factors(x, y, 1.0 if n.op is np.add else -1.0))
        if x.vec is y.vec and a.shape == b.shape:
            if x.c == y.c:
                return Scaled(store(x.ref, y.ref), x.c, x.vec)
            if x.c == -y.c:  # c x̂ + (-c) ŷ = c (x̂ - ŷ)
                other = np.subtract if n.op is np.add else np.add
                return Scaled(self.ufunc(other, (x.ref, y.ref), n, bordered), x.c, x.vec)
            if 1.0 not in (x.c, y.c):
                rescaled = self.materialise(Scaled(y.ref, y.c / x.c))
                return Scaled(store(x.ref, rescaled), x.c, x.vec)
        return None

    def scaled(self, n, x, y, store):
        """A product; a number or a vector of parameters only changes the factor."""
        a, b = n.args
        a, b, x, y = (b, a, y, x) if a.fixed else (a, b, x, y)
        spread = lambda ref: (
            ref
            if ref.shape == n.shape
            else self.view(ref, n.shape, lambda r: np.broadcast_to(r, n.shape))
        )
        if is_factor(b):
            if (again := self.rescaled(a, b.constant, None)) is not None:
                return Scaled(again)
            return Scaled(x.ref, x.c * b.constant, x.vec)
        if b.fixed and b.constant is None and n.ndim <= 2 and (w := fixed_vector(b)) is not None:
            ref = self.values[w.number].ref
            if w.ndim == 0 and (again := self.rescaled(a, 1.0, ref)) is not None:
                return Scaled(spread(again))
            if w.ndim == 0:
                return Scaled(spread(x.ref), x.c, self.times(x.vec, ref))
            if n.ndim == 2 and w.shape[-1] == n.shape[1]:
                row = self.view(ref, (n.shape[1],), lambda r: r.reshape(-1))
                return Scaled(spread(x.ref), x.c, self.times(x.vec, row))
        if (
            a.fixed
            or b.fixed
            or (x.vec is not None and y.vec is not None and x.vec.shape != y.vec.shape)
        ):
            return None
        if n.ndim != 2 and (x.vec is not None or y.vec is not None):
            return None
        return Scaled(store(x.ref, y.ref), x.c * y.c, self.times(x.vec, y.vec))

    # ------------------------------------------------------------ matrix products

    def product(self, n, x, y):
        """A matrix product of points with parameters, or of two arrays over points; else None."""
        a, b = n.args
        if a.ndim != 2 or b.ndim != 2 or x.ref.dtype != n.value.dtype:
            return None
        if b.fixed and not a.fixed:
            return self.affine((a, b, None), self.wanted_factor.get(n.number, 1.0))
        if a.op == "transpose" and not a.fixed and not b.fixed and y.ref.dtype == n.value.dtype:
            x = self.values[a.args[0].number]  # Xᵀ G, the derivative by a layer's parameters
            found = self.view(self.gram(x.ref, y.ref), n.shape, lambda r: r[: n.shape[0]])
            found = found if x.vec is None else self.ufunc(np.multiply, (found, column(x.vec)), n)
            return Scaled(found, x.c * y.c, y.vec)
        return None

    def gram(self, x, g):
        """X̂ᵀ Ĝ, with a last row of sums over Ĝ if X̂ has a border."""
        return self.do("gram", (x, g), (x.shape[1] + x.bordered, g.shape[1]), x.dtype)

    def total(self, n, x):
        """Sums keep a factor; a sum over points beside a bordered product is its last row."""
        a, (_, axes) = n.args[0], n.keys
        if axes == (0,) and a.ndim == 2 and (partner := self.partner.get(a.number)):
            row = self.gram(self.values[partner.number].ref, x.ref)
            return Scaled(self.view(row, n.shape, lambda r: r[-1:]), x.c, x.vec)
        if x.vec is None or (axes == (0,) and a.ndim == 2):
            return Scaled(self.do(("reduce", n.keys), (x.ref,), n.shape, n.value.dtype), x.c, x.vec)
        return None

    def affine(self, layer, factor):
        """The product of points with parameters, stored as `factor` times itself."""
        a, W, bias = layer
        x = self.values[a.number]
        W, bias = (
            part and self.cast(self.values[part.number].ref, x.ref.dtype) for part in (W, bias)
        )
        return Scaled(self.gemm(x, W, bias, factor), 1 / factor)

    def cast(self, ref, dtype):
        """A fixed array in another type."""
        return (
            ref
            if ref.dtype == dtype
            else self.do(("astype", dtype), (ref,), ref.shape, dtype, True)
        )

    def gemm(self, x, W, bias, c, scalar=None):
        """c · scalar · (X W + bias) as one product of X̂; it is kept, for a later factor."""
        scale = lambda ref, c: (
            ref if c == 1.0 else self.fixed_product(ref, self.number(c, ref.dtype))
        )
        weights = scale(W, x.c * c)
        if x.vec is not None:
            weights = self.fixed_product(weights, column(x.vec))
        if scalar is not None:
            weights = self.fixed_product(weights, scalar)
        if bias is not None:
            bias = scale(bias, c)
            weights = self.do("stack", (weights, bias), (W.shape[0] + 1, W.shape[1]), W.dtype, True)
        out = self.do("dot", (x.ref, weights), (x.ref.shape[0], W.shape[1]), W.dtype)
        if bias is None:
            self.products[out] = (x, W, c, scalar)
        return out

    def rescaled(self, a, c, scalar):
        """The product of node a with one more factor; None unless a is a product used only here."""
        x = self.values[a.number]
        if self.uses[a.number] > 1 or not x.plain or x.ref not in self.products:
            return None
        x, W, c_before, scalar_before = self.products[x.ref]
        return self.gemm(x, W, None, c * c_before, self.times(scalar, scalar_before))
