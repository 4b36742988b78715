"""Objectives of training: `gradient(p, x, rng, state=None) -> Step` for data rows x (n, d).

An objective is any object with this method; it needs no base class.  A `Step` holds the gradient (a
tree like theta), the metrics to record (a dict of scalars), and a state (a tree of arrays, or
None).  `fit` passes the state to the next call, and saves it in checkpoints.  If every gradient
costs about as much as log Z, `exact = True` tells `fit` so.

Read `step` first (the parts that all share), then `likelihood` (exact) and `contrastive` (negatives
from a chain).  `perfect` draws exact negatives.  `exact_contrastive`, `chain_law` and
`neglected_term` compute contrastive divergence without Monte Carlo.  `score_matching`,
`noise_contrastive` and `pseudolikelihood` do not need Z.

To add an objective, write its `gradient`.  This is minimum probability flow (Sohl-Dickstein,
Battaglino & DeWeese 2011, ICML) on bits.  Its loss is
mean_x Σ_i exp((E(x) - E(x with bit i flipped)) / 2):

>>> import numpy as np
>>> import tinyebm as te
>>> from tinyebm import ops
>>> from tinyebm.objectives.step import require_batch
>>> class ProbabilityFlow:
...     def gradient(self, p, x, rng, state=None):
...         x = require_batch(p, x)
...         n, d = x.shape
...         flipped = np.abs(x[:, None] - np.eye(d, dtype=x.dtype)).reshape(n * d, d)
...
...         def loss(theta):
...             here = ops.reshape(p.energy(theta, x), (n, 1))
...             there = ops.reshape(p.energy(theta, flipped), (n, d))
...             return ops.sum(ops.exp((here - there) / 2)) / n
...
...         value, gradient = te.value_and_grad(loss)(p.theta)
...         return te.Step(gradient, {"loss": value}, state)

>>> truth = te.Density(te.BoltzmannMachine(2), {"W": np.array([1.5]), "b": np.zeros(2)}, te.Bits(2))
>>> x = te.sample(truth, 2000, np.random.default_rng(0))
>>> found = te.fit(te.BoltzmannMachine(2), x, te.Bits(2), ProbabilityFlow(), te.adam(0.2),
...                steps=50, progress=False)
>>> bool(te.kl(truth, found.density) < 0.01)
True
"""
