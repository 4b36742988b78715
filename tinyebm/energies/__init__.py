"""Energies: `energy(theta, x) -> (n,)`, in nats, for parameters theta and rows x (n, d).

Read `mlp` and `analytic` first, then `rbm`; `tabular`, `boltzmann` and `lattice` are discrete.
`transfer` computes log Z of a lattice, `recession` decides whether Z of a network is finite.

Any function of (theta, x) written with `te.ops` is an energy.  A class of energies is a frozen
dataclass whose fields are sizes and options.  It may have these members, all of them optional:

    dim                                      number of coordinates, checked against the space
    sites = (values, ...)                    the values that a coordinate may have, if x is discrete
    init(rng) -> theta                       the start of a fit, if it is given no theta
    init_from_data(x, mass, rng) -> theta    the same, from rows x (n, d) of probability mass (n,)
    log_partition(theta, space)              log Z by a formula, or None if it has none
    other_layer(space)                       (energy of m hidden bits with the same Z, m), or None
    require_normalisable(theta, space)       raises ValueError if Z is infinite
    modes(theta) -> (m, d)                   points where quadrature begins its search for peaks
    curvature(theta) -> float                a bound on the second derivatives by x
    smooth = False                           the energy has kinks

An energy of your own:

>>> import math
>>> from dataclasses import dataclass
>>> import numpy as np
>>> import tinyebm as te
>>> @dataclass(frozen=True)
... class Basin:
...     '''E(x) = e^s Σ_i x_i⁴.'''
...
...     dim: int
...
...     def init(self, rng):
...         return {"s": 0.1 * rng.standard_normal(())}
...
...     def __call__(self, theta, x):
...         return te.ops.exp(theta["s"]) * te.ops.sum(x**4, axis=1)
...
...     def log_partition(self, theta, space):  # may be left out
...         if space == te.Reals(self.dim):
...             return self.dim * (math.log(2 * math.gamma(1.25)) - 0.25 * theta["s"])
>>> x = np.array([[-1.5], [0.5], [1.0]])
>>> found = te.mle(Basin(1), x, te.Reals(1), progress=False)
>>> round(4 * float(np.mean(x**4)), 6), round(math.exp(-found.theta["s"]), 6)  # equal at the maximum
(8.166667, 8.166667)
"""
