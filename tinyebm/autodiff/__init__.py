"""Derivatives of any order, by hand: a tape, and a table of functions with their derivatives.

Read `tape` (reverse mode), then `ops` (the table: a function and its derivatives on neighbouring
lines), then `forward` (slopes and a Laplacian beside a value).  `constants` says what may go onto a
tape.

A function of your own is added as those of `ops` are, its derivative written with functions of
`ops`, so that it has derivatives of any order:

>>> import numpy as np
>>> import tinyebm as te
>>> from tinyebm.autodiff.tape import primitive
>>> cube = primitive(lambda g, y, x: g * 3 * te.ops.square(x))(lambda x: x**3)
>>> te.grad(lambda x: te.ops.sum(cube(x)))(np.array([1.0, 2.0]))
array([ 3., 12.])
"""

from tinyebm.autodiff.tape import Var, grad, hvp, primitive, stop_gradient, value_and_grad, vjp
