"""Noise-contrastive estimation: classify data against noise of known density, and learn log Z.

The model e^{-E_θ - c} with a learned normaliser c is the best classifier of data against noise if
it is the density of the data.  Then c = log Z.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.checks import number, require_count
from tinyebm.common.kinds import Array, Generator, Law, Tree
from tinyebm.density import Density, exponents
from tinyebm.exact.gradient import weighted_energy_gradient
from tinyebm.exact.sampling import law_of
from tinyebm.objectives.step import Step, require_batch
from tinyebm.spaces.laws import support


@dataclass(frozen=True)
class NoiseContrastive:
    """Logistic regression between n data x and ν n draws y of a known density q:

        L(θ, c) = -mean_x log σ(G(x)) - ν mean_y log σ(-G(y)),                              (1)
        G = -E_θ + log μ - c - log(ν q)

    (Gutmann & Hyvärinen 2012, JMLR 13:307).  Suppose that the model contains the true density, and
    that q > 0 wherever this is positive.  Then the true density minimises L for infinite data, and
    there c = log Z: the normaliser is *learned*.  If the energy has an additive constant, like an
    MLP's last bias, only the difference c - log Z converges, to 0.

    Parameters
    ----------
    noise : a distribution with `sample` and `log_prob` (te.Normal, a Target, ...), or a Density
    ratio : int
        ν, draws of noise per datum.
    rate : float
        c moves by this times -∂L/∂c at every step.  Near the optimum
        ∂²L/∂c² = ∫ p ν q / (p + ν q) ≤ min(1, ν), so c and θ converge slowly if the noise hardly
        overlaps the data.

    Metrics: "loss" in nats, and "log_normaliser", c.  The state is c.  It starts at the importance
    sampling estimate log mean_y e^{-E(y)} μ(y) / q(y) from the first draws.

    >>> from tinyebm import Bits, Density, RBM, Uniform
    >>> rng, machine = np.random.default_rng(0), RBM(3, 2)
    >>> p = Density(machine, machine.init(rng), Bits(3))
    >>> step = NoiseContrastive(Uniform(Bits(3)), ratio=4).gradient(p, np.ones((50, 3)), rng)
    >>> sorted(step.metrics), list(step.state)
    (['log_normaliser', 'loss'], ['log_normaliser'])
    """

    noise: Any
    ratio: int = 1
    rate: float = 0.2

    def __post_init__(self):
        known = hasattr(self.noise, "sample") and hasattr(self.noise, "log_prob")
        if not known and not hasattr(self.noise, "energy"):
            raise ValueError(
                "noise is a distribution to draw from, like te.Normal(mean, covariance), or a "
                f"Density, not {self.noise!r}"
            )
        require_count(self.ratio, "ratio must be a positive number of draws per datum")
        if not 0 < number(self.rate) <= 1:
            raise ValueError(f"rate must be in (0, 1], got {self.rate!r}")

    @cached_property
    def law(self) -> Law:
        """The noise as a distribution with `sample`: itself, or exact draws of a Density."""
        return law_of(self.noise)

    def _require_reach(self, space):
        """Refuse noise that is zero on part of the space."""
        noise = getattr(self.law, "space", space)
        if support(noise) == support(space):
            return
        wider = not noise.discrete and not space.discrete and noise.dim == space.dim
        if wider and noise.bounded:
            wider = space.bounded and noise.low <= space.low and space.high <= noise.high
        if not wider:
            raise ValueError(f"noise on {noise} does not reach all of {space}")

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d) whose state is the learned log normaliser."""
        self._require_reach(p.space)
        x = require_batch(p, x)
        n = len(x)
        y = self.law.sample(self.ratio * n, rng).astype(x.dtype)
        # draws outside the space are certainly noise: they add nothing to the loss
        points = np.concatenate([x, y[p.space.contains(y)]])
        u = exponents(p, points)
        log_ratio = (u - self.law.log_prob(points)).astype(u.dtype)
        if state is None and len(points) == n:
            raise ValueError(
                f"none of {len(y)} draws of noise lies in {p.space}: take noise nearer to the data"
            )
        if state is None:
            c = ops.logsumexp(log_ratio[n:]) - math.log(len(y))
        else:
            c = state["log_normaliser"]
        logit = log_ratio - c - math.log(self.ratio)  # G of eq. (1)
        slope = np.concatenate([-ops.sigmoid(-logit[:n]), ops.sigmoid(logit[n:])]) / n  # ∂L/∂G
        loss = (ops.softplus(-logit[:n]).sum() + ops.softplus(logit[n:]).sum()) / n
        c = c + self.rate * slope.sum()
        gradient = weighted_energy_gradient(p, points, -slope.astype(u.dtype))
        return Step(gradient, {"loss": loss, "log_normaliser": c}, {"log_normaliser": c})
