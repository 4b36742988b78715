"""Where x lives: `continuous` (R^d and boxes), `discrete` (bits, spins, cells), each with its
measure and its nodes.

`grids` holds nodes and weights in blocks, `rows` brings what users give into rows (n, d), `laws`
are simple distributions with `sample(n, rng)` and a normalised `log_prob(x)`.

A space of your own has five members (`tinyebm.common.kinds.Space`, which also lists the optional
ones; `own` holds their defaults).  A circle, whose points are angles:

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
