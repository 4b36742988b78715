"""Paths of densities between a base q that is known exactly and a density p: what annealed
importance sampling walks along.

    f_β(x) = q(x)^{1-β} (e^{-E(x)} μ(x))^β                                  (1)
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
    """Eq. (1): `at(beta)` is the Density of f_β, on p's own space; `log_z` is its log Z at β = 0.

    `gain` is log f_after(x) / f_before(x), a factor of eq. (2), -inf where f_after is 0.
    """

    p: Density
    base: Any
    log_z = 0.0

    def gain(self, x, before, after):
        """log f_after(x) / f_before(x), (n,)."""
        return (exponents(self.p, x) - self.base.log_prob(x)) * (after - before)

    def at(self, beta):
        """The Density of f_β."""
        p = self.p
        if beta == 1:
            return p
        if beta == 0:
            return Density(_Base(self.base, p.space), {}, p.space)
        return Density(
            _Between(p.energy, self.base, p.space),
            {"theta": p.theta, "beta": np.array(beta)},
            p.space,
        )

    def parts(self, x):
        """Exponent and score of p, and of the base, at the rows of x: those of f_β are their mean
        with weights β and 1 - β."""
        return by_rows(
            _parts,
            Density(_Between(self.p.energy, self.base, self.p.space), self.p.theta, self.p.space),
            x,
        )


def _parts(p, x):
    value, pullback = vjp(p.energy.base.log_prob, x)
    return (
        *exponent_and_score(Density(p.energy.energy, p.theta, p.space), x),
        value,
        pullback(np.ones_like(value))[0],
    )


@dataclass(frozen=True)
class _Base:
    """The energy of f_0."""

    base: Any
    space: Any

    def __call__(self, theta, x):
        return self.space.log_base(x) - self.base.log_prob(x)


@dataclass(frozen=True)
class _Between:
    """The energy of f_β, whose β is a parameter, so that one program serves every temperature."""

    energy: Any
    base: Any
    space: Any

    def __call__(self, theta, x):
        beta, u = theta["beta"], exponent(Density(self.energy, theta["theta"], self.space), x)
        return self.space.log_base(x) - (beta * u + (1 - beta) * self.base.log_prob(x))


@dataclass(frozen=True)
class LayeredPath:
    """Restricted Boltzmann machines between independent bits and p; methods as of `Path`."""

    p: Density
    base: Any

    def gain(self, x, before, after):
        """log f_after(x) / f_before(x), (n,)."""
        return exponents(self.at(after), x) - exponents(self.at(before), x)

    def at(self, beta):
        """The Density of f_β."""
        return Density(
            self.p.energy, self.p.energy.tempered(self.p.theta, self.base.slope, beta), self.p.space
        )

    @property
    def log_z(self):
        """log Z at β = 0."""
        return self.p.energy.hidden * math.log(2) + float(ops.softplus(self.base.slope).sum())
