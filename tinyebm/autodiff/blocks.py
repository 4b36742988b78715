"""Long computations in blocks, whose derivatives run each block again instead of storing it.

A tape stores the intermediate results of all blocks.  Here only the arguments and the result are
stored (Griewank & Walther 2008, Evaluating Derivatives, ch. 12).
"""

from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import add

from tinyebm.autodiff.ops import concatenate
from tinyebm.autodiff.tape import primitive, vjp


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
