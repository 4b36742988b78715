"""Where x lives: the spaces, their measures, grids of nodes or states, and simple distributions.

continuous  Reals, Box
discrete    Bits, Spins, Cells
grids       quadrature rules and lists of states, in blocks
rows        the user's data as rows (n, d) of floating-point numbers
laws        Normal, Uniform, Independent: distributions that are easy to draw from
own         defaults for the optional members of a space of your own

A space has `dim`, `discrete` and `bounded`, and the methods

    grid(nodes), atoms(nodes)   states and log weights: a sum over them computes ∫ dμ
    log_base(x)                 log density of μ, (n,)
    initial(n, rng)             n starting points of a chain, (n, d)
    contains(x)                 which rows are in the space, (n,)

A continuous space adds `fold(x)` and `images(t, reach)`, which reflect points at the walls of a
box.  A bounded one adds `low` and `high`, and `counts` and `variants` for its quadrature.  A
discrete space adds `values`, the values of one site, and `others(x)`, the values that each site
does not have.

A space of your own needs five members.  `tinyebm.common.kinds.Space` lists them and the optional
ones; `own` holds the defaults of these.  This is a circle, whose points are angles:

>>> import numpy as np
>>> import tinyebm as te
>>> class Circle:
...     dim, discrete = 1, False
...
...     def atoms(self, nodes=None):
...         n = nodes or 128
...         return 2 * np.pi * np.arange(n)[:, None] / n, np.full(n, np.log(2 * np.pi / n))
...
...     def initial(self, n, rng):
...         return 2 * np.pi * rng.random((n, 1))
...
...     def contains(self, x):
...         return ((x >= 0) & (x < 2 * np.pi)).all(axis=1)
>>> von_mises = lambda theta, x: -theta * te.ops.cos(x[:, 0])
>>> p = te.Density(von_mises, np.array(2.0), Circle())
>>> bool(abs(te.log_partition(p) - np.log(2 * np.pi * np.i0(2.0))) < 1e-12)
True
>>> te.sample(p, 3, np.random.default_rng(0)).shape
(3, 1)
"""

from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.spaces.laws import Independent, Normal, Uniform
