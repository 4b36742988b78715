"""Hamiltonian Monte Carlo: long moves along the level sets of energy plus kinetic energy.

A point gets a random velocity, and moves like a particle in the potential E for some time.  Its end
point is the proposal.  The total energy hardly changes, so even long moves are often accepted.
"""

from dataclasses import dataclass

import numpy as np

from tinyebm.common.checks import plain, require_count, require_positive
from tinyebm.common.kinds import Array, Generator
from tinyebm.density import Density, exponent_and_score
from tinyebm.samplers.kernels import Move, require_continuous, require_start
from tinyebm.samplers.metropolis import accept


@dataclass(frozen=True)
class HMC:
    """`steps` leapfrog steps of a particle of mass one with a new velocity, accepted or rejected.

        r ~ N(0, I),   then `steps` times
        r ← r + (ε/2) ∇log p(x),   x ← x + ε r,   r ← r + (ε/2) ∇log p(x)               (1)
        acceptance min(1, e^{H(x, r) - H(x', r')}),   H(x, r) = -log p(x) + |r|²/2      (2)

    (Duane, Kennedy, Pendleton & Roweth 1987, Physics Letters B 195:216; Neal 2011, Handbook of
    MCMC, ch. 5).  It leaves p invariant and is reversible.  In a box a trajectory that ends outside
    is rejected.

    Parameters
    ----------
    step_size : float
        ε > 0, in units of [x], a time: one leapfrog step is `MALA(ε²/2)`.
    steps : int
        Leapfrog steps of a trajectory; it lasts ε · steps.

    Cost of a step: steps + 1 energies and their gradients per chain.

    >>> from tinyebm import Density, GaussianEnergy, Reals, run
    >>> rng, normal = np.random.default_rng(0), GaussianEnergy(2)
    >>> p = Density(normal, normal.init(rng), Reals(2))
    >>> x, info = run(HMC(0.3, 5), p, np.zeros((1000, 2)), 10, rng)
    >>> bool(info["acceptance"] > 0.9), bool(abs(x.var() - 1) < 0.1)
    (True, True)
    """

    step_size: float
    steps: int
    invariant = True

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        require_count(self.steps, "steps must be a positive number of leapfrog steps")
        plain(self, "step_size")

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move: one trajectory from every row of x (n, d), accepted or not."""
        require_continuous(p, self)
        x = require_start(p, x, rng)
        r = rng.standard_normal(x.shape, dtype=x.dtype)
        y, log_ratio = self.trajectory(p, x, r)
        return accept(x, y, log_ratio, rng, p, p.space.contains(y))

    def trajectory(self, p: Density, x: Array, r: Array) -> tuple[Array, Array]:
        """Where eq. (1) takes rows x with velocities r, (n, d), and the exponent of eq. (2), (n,)."""
        u, s = exponent_and_score(p, x)
        before = u - 0.5 * (r * r).sum(axis=1)
        # a trajectory that diverges ends in nan or inf, and is rejected
        with np.errstate(invalid="ignore", over="ignore"):
            for _ in range(self.steps):
                r = r + 0.5 * self.step_size * s
                x = x + self.step_size * r
                u, s = exponent_and_score(p, x)
                r = r + 0.5 * self.step_size * s
            return x, u - 0.5 * (r * r).sum(axis=1) - before
