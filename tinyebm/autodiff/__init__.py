"""Automatic differentiation of any order: a tape, and a table of functions with derivatives.

Read `tape` first (reverse mode), then `ops` (the table: each function, with its derivatives on the
lines above it), then `forward` (forward mode: slopes and a Laplacian), and `blocks` (long
computations, whose derivatives run them again instead of storing them).

You can add a function of your own in the same way.  Write its derivative with functions of `ops`;
then it has derivatives of any order:

>>> import numpy as np
>>> import tinyebm as te
>>> from tinyebm.autodiff.tape import primitive
>>> cube = primitive(lambda g, y, x: g * 3 * te.ops.square(x))(lambda x: x**3)
>>> te.grad(lambda x: te.ops.sum(cube(x)))(np.array([1.0, 2.0]))
array([ 3., 12.])
"""

from tinyebm.autodiff.tape import Var, grad, hvp, primitive, stop_gradient, value_and_grad, vjp
