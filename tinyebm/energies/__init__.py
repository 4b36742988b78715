"""Energies: `energy(theta, x) -> (n,)`, in nats, for parameters theta and rows x (n, d).

Read `mlp` and `analytic` first, then `rbm`; `tabular`, `boltzmann` and `lattice` are discrete.
`transfer` computes log Z of a lattice, `recession` decides whether Z of a network is finite, and
`conditionals` holds parts of the distribution of a site given the others.

Any function of (theta, x) written with `te.ops` is an energy.  A class of energies is a frozen
dataclass whose fields are sizes and options.  It may have these members, all of them optional:

    dim                                      number of coordinates, checked against the space
    sites = (values, ...)                    the values that a coordinate may have, if x is discrete
    init(rng) -> theta                       the start of a fit, if it is given no theta
    init_from_data(x, mass, rng) -> theta    the same, from rows x (n, d) of probability mass (n,)
    log_partition(theta, space)              log Z by a formula, or None if it has none
    terms                                    the number of energies that cost as much as the formula
    other_layer(space)                       (energy of m hidden bits with the same Z, m), or None
    require_normalisable(theta, space)       raises ValueError if Z is infinite
    modes(theta) -> (m, d)                   points where quadrature begins its search for peaks
    curvature(theta) -> float                a bound on the second derivatives by x
    smooth = False                           the energy has kinks

On states (Bits, Spins, Cells) further optional members save `te.Gibbs` whole energies.  Here m
sites have the numbers `sites` (m,), and each may take q `values`:

    site_logits(theta, x, sites, values)     log P(x_i = a | the other sites) + const, (n, m, q); for
                                             two values their difference alone, the second minus
                                             the first, (n, m)
    neighbours() -> (d, k)                   the k sites on which the distribution of each site
                                             depends; the site itself in place of missing ones
    sum_logits(theta, values) -> (a, b)      for two values: site_logits = a Σ_j x_j + b over the
                                             neighbours j
    in_turn(theta, x, values)                yields site_logits of site 0, 1, ..., without the axis
                                             m; after each, the caller changes x at this site
    multilinear = True                       E is linear in each coordinate

`neighbours`, `sum_logits` and `in_turn` are for energies with `site_logits`.  They are not
inherited: a class that writes its own `__call__` is another energy, and writes its own (the other
members, too).  A wrong formula gives wrong samples, so compare `site_logits` with differences of
energies in a test.  For example, a ring of spins with a coupling for every bond:

>>> import numpy as np
>>> import tinyebm as te
>>> class Ring:
...     dim = 6
...
...     def __call__(self, theta, x):
...         return -te.ops.sum(theta * x * x[:, [1, 2, 3, 4, 5, 0]], axis=1)
...
...     def neighbours(self):
...         i = np.arange(6)
...         return np.stack([i - 1, i + 1], axis=1) % 6
...
...     def site_logits(self, theta, x, sites, values):
...         left, right = self.neighbours()[sites].T
...         field = theta[left] * x[:, left] + theta[sites] * x[:, right]  # (n, m)
...         return (values[1] - values[0]) * field
>>> p = te.Density(Ring(), np.linspace(-1, 1, 6), te.Spins(6))
>>> x, flipped = p.space.atoms()[0], p.space.atoms()[0]
>>> x[:, 2], flipped[:, 2] = -1, 1
>>> difference = p.energy(p.theta, x) - p.energy(p.theta, flipped)
>>> found = Ring().site_logits(p.theta, x, np.array([2]), p.space.values)[:, 0]
>>> bool(abs(found - difference).max() < 1e-14)
True
>>> rng = np.random.default_rng(0)
>>> x, _ = te.run(te.Gibbs("coloured"), p, x, 100, rng)

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
