"""Long computations in blocks, whose derivatives run each block again instead of storing it.

A tape stores the intermediate results of all blocks.  Here only the arguments and the result are
stored (Griewank & Walther 2008, Evaluating Derivatives, ch. 12).

p is a Density, or another dataclass with a field `theta`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial, reduce
from operator import add

from tinyebm.autodiff.ops import concatenate, reshape
from tinyebm.autodiff.tape import Var, primitive, stop_gradient, vjp
from tinyebm.common.tree import ravel, tree_flatten, tree_map

ROWS = 4096  # rows at a time, where a derivative by θ runs blocks again
SLOPES = 2**21  # slopes of the coordinates of all rows by all coordinates, at a time


def recomputed(
    function: Callable, blocks: Callable[[], Iterable] = lambda: [()], joined: bool = False
) -> Callable:
    """The function of arrays x, y, ... that returns Σ_b function(x, y, ..., *b) over blocks b.

    Parameters
    ----------
    function : callable
        It returns one array, and is written with `tinyebm.ops`.
    blocks : callable
        `blocks()` goes through the blocks, tuples of further arguments, which are constants; by
        default there is one, the empty one.
    joined : bool
        Whether the results of the blocks are joined along their first axis, instead of added.

    Cost of the derivative: every block runs once more for each of the arrays.

    >>> from tinyebm import grad
    >>> float(grad(grad(recomputed(lambda x: x * x * x)))(2.0))
    12.0
    >>> float(grad(recomputed(lambda x, k: k * x, lambda: [(1.0,), (5.0,)]))(2.0))
    6.0
    """

    def forward(*arrays):
        parts = (function(*arrays, *block) for block in blocks())
        return concatenate(list(parts)) if joined else reduce(add, parts)

    def backward(i, g, y, *arrays):
        before, x, after = arrays[:i], arrays[i], arrays[i + 1 :]
        total, done = 0.0, 0
        for block in blocks():
            value, pullback = vjp(lambda x, block=block: function(*before, x, *after, *block), x)
            if not joined:
                total = total + pullback(g)[0]
                continue
            total, done = total + pullback(g[done : done + len(value)])[0], done + len(value)
        return total

    def call(*arrays):
        return primitive(*(partial(backward, i) for i in range(len(arrays))))(forward)(*arrays)

    return call


def over_blocks(function, p, blocks):
    """function(p, *b) of all blocks b, joined.  Its derivative by θ runs each block again."""
    if not is_differentiated(p):
        return concatenate([function(p, *block) for block in blocks()])
    vector, back = in_one_array(p.theta)
    of = lambda vector, *block: function(replace(p, theta=back(vector)), *block)
    return recomputed(of, blocks, joined=True)(vector)


def over_rows(function, p, x):
    """function(p, x).  Its derivative by θ runs it again, ROWS rows at a time."""
    if not is_differentiated(p):
        return function(p, x)
    blocks = [(x[i : i + ROWS],) for i in range(0, len(x), ROWS)]
    return over_blocks(function, p, lambda: blocks)


def is_differentiated(p):
    """Whether a derivative by p's parameters is computed."""
    return any(isinstance(leaf, Var) for leaf in tree_flatten(p.theta)[0])


def in_one_array(theta):
    """(The leaves of θ in one array, a function from that array to θ), which `grad` passes."""
    leaves, back = tree_flatten(theta)[0], ravel(tree_map(stop_gradient, theta))[1]
    return concatenate([reshape(leaf, (-1,)) for leaf in leaves]), back


def few_rows(x):
    """The rows of x (n, d), so few at a time that d slopes of each of d numbers fit in memory.

    They are cut if d > 90, to at least 32 rows.
    """
    size = max(32, SLOPES // x.shape[1] ** 2)
    return [x] if size > 256 else [x[i : i + size] for i in range(0, len(x), size)]
