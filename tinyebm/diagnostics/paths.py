"""Paths of densities from a known base q (β = 0) to a density p (β = 1).

    f_β(x) = q(x)^{1-β} (e^{-E(x)} μ(x))^β                                  (1)

A path has `at(beta)`, the Density of f_β; `gain(x, before, after)`, log f_after(x) / f_before(x);
and `log_z`, the log Z of f_0.  Annealed importance sampling (`diagnostics.ais`) goes along it.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import vjp
from tinyebm.density import Density, exponent, exponent_and_score, exponents
from tinyebm.replay.door import by_rows


@dataclass(frozen=True)
class Path:
    """The path of eq. (1), on the space of p."""

    p: Density
    base: Any
    log_z = 0.0

    def gain(self, x, before, after):
        """log f_after(x) / f_before(x), (n,); -inf where f_after is 0."""
        return (exponents(self.p, x) - self.base.log_prob(x)) * (after - before)

    def at(self, beta):
        """The Density of f_β."""
        p = self.p
        if beta == 1:
            return p
        if beta == 0:
            return Density(_Base(self.base, p.space), {}, p.space)
        between = _Between(p.energy, self.base, p.space)
        return Density(between, {"theta": p.theta, "beta": np.array(beta)}, p.space)

    def parts(self, x):
        """Exponent and score of p, and of the base, at the rows of x: (n,), (n, d), (n,), (n, d)."""
        p = self.p
        return by_rows(_parts, Density(_Between(p.energy, self.base, p.space), p.theta, p.space), x)


def _parts(p, x):
    base, pullback = vjp(p.energy.base.log_prob, x)
    of_p = exponent_and_score(Density(p.energy.energy, p.theta, p.space), x)
    return *of_p, base, pullback(np.ones_like(base))[0]


@dataclass(frozen=True)
class _Base:
    """The energy of f_0."""

    base: Any
    space: Any

    def __call__(self, theta, x):
        return self.space.log_base(x) - self.base.log_prob(x)


@dataclass(frozen=True)
class _Between:
    """The energy of f_β; β is a parameter, so that one replayed program serves every β."""

    energy: Any
    base: Any
    space: Any

    def __call__(self, theta, x):
        beta = theta["beta"]
        u = exponent(Density(self.energy, theta["theta"], self.space), x)
        return self.space.log_base(x) - (beta * u + (1 - beta) * self.base.log_prob(x))


@dataclass(frozen=True)
class LayeredPath:
    """The path of an RBM p from independent bits: at every β an RBM, with scaled parameters."""

    p: Density
    base: Any

    def gain(self, x, before, after):
        """log f_after(x) / f_before(x), (n,)."""
        return exponents(self.at(after), x) - exponents(self.at(before), x)

    def at(self, beta):
        """The Density of f_β."""
        p = self.p
        return Density(p.energy, p.energy.tempered(p.theta, self.base.slope, beta), p.space)

    @property
    def log_z(self):
        """log Z at β = 0."""
        return self.p.energy.hidden * math.log(2) + float(ops.softplus(self.base.slope).sum())
