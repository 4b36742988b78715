"""Data sets: populations with known densities, measured data, and tables from files.

Read `load` first, then `targets` (a population: a density that can be sampled).  `toys` and
`patterns` hold the populations, `readers` reads files.

Data are rows x (n, d) in any array, or a population.  A population is an object with

    sample(n, rng) -> (n, d)     independent draws
    log_prob(x) -> (n,)          the normalised log density, in nats
    space                        where x lives; by default R^d

It is accepted wherever data are.  This is a population of your own:

>>> import numpy as np
>>> import tinyebm as te
>>> class Laplace:
...     space = te.Reals(1)
...
...     def sample(self, n, rng):
...         return rng.laplace(size=(n, 1))
...
...     def log_prob(self, x):
...         return -te.ops.abs(x[:, 0]) - np.log(2)
>>> normal = te.mle(te.GaussianEnergy(1), Laplace(), progress=False)  # its variance is 2
>>> normal.theta["precision"].round(6)
array([[0.5]])
"""

from tinyebm.datasets.load import NAMES, Data, bars_and_stripes, load
from tinyebm.datasets.targets import PatternTarget, Target
