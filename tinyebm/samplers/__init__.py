"""Kernels of Markov chains: `step(p, x, rng) -> Move`, one step from each of the rows x (n, d).

A kernel is any object with a `step`; it needs no base class.  It may also have

    invariant = True                    its step leaves p invariant, so `te.ais` accepts it
    push(probabilities, p) -> (N,)      probabilities over the atoms of p's space one step later
    operator(p, grid) -> function       the push on any grid, a function of probabilities (N,)
    spread(p, x, mass, grid)            masses at rows x one step later: (on the grid, still at x)
    drift(p, x) -> (n, d)               the step without its noise
    noise_scale                         standard deviation of the noise of a step
    work(p, grid, rows) -> float        about how many transition probabilities a step of masses at
                                        so many rows computes, 28 ns each

Exact contrastive divergence, `te.transition_matrix` and `te.spectral_gap` need a `push` or an
`operator`.  On a continuous space a chain that starts at rows of data also needs `spread`.  Its
grid is then chosen by `drift` and `noise_scale`; without these it is the grid of the space.  Steps
that take minutes are announced with their cost, which `work` estimates; steps that take more than
about an hour (2^37 transition probabilities) are refused.

Read `kernels` and `langevin`, then `chains` (many steps, `te.run`).  `hmc`, `gibbs`, `gwg` and
`recipes` hold further kernels.  `metropolis` accepts or rejects proposals, `sites` redraws many
sites at a time, `flows` holds the parts that pushes share, and `spectrum` the transition matrix and
its eigenvalues.

To add a kernel, write its `step`.  Write a `push`, too, if you need its exact distribution; use
`te.ops` in it if you need derivatives by theta.  This kernel proposes to flip one bit at random:

>>> import numpy as np
>>> import tinyebm as te
>>> from tinyebm.samplers.metropolis import accept
>>> class Flip:
...     invariant = True
...
...     def step(self, p, x, rng):
...         d = x.shape[1]
...         site = np.arange(d) == rng.integers(0, d, (len(x), 1))
...         y = np.where(site, 1 - x, x)
...         log_ratio = p.energy(p.theta, x) - p.energy(p.theta, y)
...         return accept(x, y, log_ratio, rng)
...
...     def push(self, probabilities, p):
...         d, moved = p.space.dim, probabilities
...         u = -p.energy(p.theta, p.space.atoms()[0])
...         for i in range(d):
...             other = np.arange(2**d) ^ 2**i  # the number of the state with one site flipped
...             flow = probabilities * te.ops.exp(te.ops.minimum(0.0, u[other] - u)) / d
...             moved = moved - flow + flow[other]
...         return moved

>>> rng, machine = np.random.default_rng(0), te.RBM(4, 2)
>>> p = te.Density(machine, machine.init(rng), te.Bits(4))
>>> x, info = te.run(Flip(), p, np.zeros((1000, 4)), 50, rng)
>>> bool(info["acceptance"] > 0.5)
True
>>> before = te.probabilities(p)
>>> bool(abs(Flip().push(before, p) - before).max() < 1e-15)
True
>>> 0 < te.spectral_gap(p, Flip()) < 1
True
>>> te.exact_cd_gradient(p, x[:10], Flip(), k=3)["W"].shape
(4, 2)
>>> found = te.ais(p, 100, rng, temperatures=50, kernel=Flip())
>>> bool(abs(found - te.log_partition(p)) < 5 * found.error)
True
"""
