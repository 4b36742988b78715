"""Langevin dynamics with published settings: a separate noise, clipped gradients, clamped pixels.

    x ← clamp(x + σ ξ),   x ← clamp(x - η clip(∇E(x)))                      (1)

If σ = √(2η) and nothing is clipped, this is Langevin dynamics at temperature 1.  Published values
are far from that.  With noise of standard deviation σ and steps η it samples e^{-E/T}, where

    T = σ² / (2 η).                                                         (2)

Clipping changes the drift, and then (1) does not sample a known density.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.checks import number, plain, require_nonnegative, require_positive
from tinyebm.common.kinds import Array, Generator
from tinyebm.common.tree import compared
from tinyebm.density import Density, exponent_and_score
from tinyebm.samplers.kernels import require_continuous, require_start
from tinyebm.samplers.langevin import diffuse


@compared
class ClippedMove(NamedTuple):
    """A `Move` with the fraction of gradient components that were clipped."""

    x: Any
    accepted: Any
    log_ratio: Any
    clipped: Any


@dataclass(frozen=True)
class Recipe:
    """Eq. (1) as a kernel; `run` and `fit` warn if it does not sample p.

    Parameters
    ----------
    step_size : float
        η > 0, in units of [x]².
    noise : float
        σ ≥ 0, the standard deviation of the noise of a step, in units of [x].
    clip : float, optional
        Largest absolute value of a component of ∇E.
    clamp : (low, high), optional
        Bounds of every coordinate; by default points are reflected at the walls of the space.
    clamp_noise : bool
        Whether to clamp after the noise, too, or only after the drift.

    >>> Recipe(step_size=10.0, noise=0.005).temperature
    1.25e-06
    """

    step_size: float
    noise: float
    clip: float | None = None
    clamp: tuple | None = None
    clamp_noise: bool = True
    invariant = False

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        require_nonnegative("noise", self.noise)
        if self.clip is not None:
            require_positive("clip", self.clip)
        if self.clamp is not None and not (
            np.shape(self.clamp) == (2,) and number(self.clamp[0]) < number(self.clamp[1])
        ):
            raise ValueError(f"clamp is a pair (low, high) with low < high, got {self.clamp!r}")
        plain(self, "step_size", "noise", "clip")

    @classmethod
    def uva_tutorial_8(cls) -> "Recipe":
        """Tutorial 8 of the UvA deep learning course (Lippe 2020), deep energy models.

        It takes 60 such steps on pixels in [-1, 1].
        """
        return cls(step_size=10.0, noise=0.005, clip=0.03, clamp=(-1.0, 1.0))

    @classmethod
    def du_mordatch_2019(cls) -> "Recipe":
        """The published code of Du & Mordatch (2019, arXiv:1903.08689) for CIFAR-10.

        They take 60 such steps on pixels in [0, 1].
        """
        return cls(step_size=10.0, noise=0.005, clip=0.01, clamp=(0.0, 1.0), clamp_noise=False)

    @property
    def temperature(self) -> float:
        """T of eq. (2)."""
        return self.noise**2 / (2 * self.step_size)

    def step(self, p: Density, x: Array, rng: Generator) -> ClippedMove:
        """A ClippedMove, never rejected: one step of eq. (1) from the rows of x (n, d)."""
        require_continuous(p, self)
        x = require_start(p, x, rng)
        space, clamp = p.space, self.clamp
        if clamp and space.bounded and not space.low <= clamp[0] <= clamp[1] <= space.high:
            raise ValueError(
                f"clamp={clamp} leads out of {space}: give one inside, or none, for walls that "
                "reflect"
            )
        noise, zeros = rng.standard_normal(x.shape, dtype=x.dtype), np.zeros_like(x)
        x = diffuse(x, zeros, noise, 0.0, self.noise)
        if self.clamp_noise:
            x = self._inside(p, x)
        s, clipped = exponent_and_score(p, x)[1], 0.0
        if self.clip is not None:
            clipped = (np.abs(s) > self.clip).mean()
            s = np.clip(s, -self.clip, self.clip)
        x = diffuse(x, s, zeros, self.step_size, 0.0)
        return ClippedMove(self._inside(p, x), None, None, clipped)

    def caveat(self, clipped: float) -> str | None:
        """A warning, if a run of this recipe does not sample p: not Langevin dynamics at T = 1."""
        said = []
        if not math.isclose(self.temperature, 1.0, rel_tol=1e-3):
            said.append(
                f"it runs at temperature noise² / (2 step_size) = {self.temperature:.3g}, not 1"
            )
        if clipped > 0:
            said.append(f"{clipped:.2g} of the gradients' components were clipped")
        if self.clamp is not None:
            said.append(f"clamping heaps mass up at {self.clamp[0]:g} and {self.clamp[1]:g}")
        return f"{self!r} does not sample exp(-E): " + ", and ".join(said) if said else None

    def _inside(self, p, x):
        """x clamped, or reflected at the walls of the box."""
        return p.space.fold(x) if self.clamp is None else np.clip(x, *map(float, self.clamp))
