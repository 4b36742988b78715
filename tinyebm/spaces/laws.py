"""Laws that cost nothing to draw from, with a log density in closed form: noise to contrast with,
bases to anneal from.

Each has `sample(n, rng)`, normalised `log_prob(x)` written with `tinyebm.ops`, and the `space` it
lives on; a `Target` has the same three, and so has `exact.sampling.Exact`, which makes them of any
Density of low dimension.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.checks import require_draws, require_space
from tinyebm.common.kinds import Array, Generator
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.rows import double, exact_rows, numbers

# weight of the uniform law in `moments_of` on discrete spaces: noise must reach every state
SPREAD = 0.05


@dataclass(frozen=True, eq=False)
class Normal:
    """N(mean, covariance) on R^d; mean (d,), covariance (d, d) symmetric positive definite.

    >>> law = Normal(np.zeros(2), np.array([[4.0, 0.0], [0.0, 1.0]]))
    >>> law.log_prob(np.zeros((1, 2))).round(6)  # -log 2π - log 2
    array([-2.531024])
    """

    mean: Any
    covariance: Any

    def __post_init__(self):
        for name in ("mean", "covariance"):
            part = numbers(
                getattr(self, name), f"the {name} of a normal law is an array of numbers"
            )
            object.__setattr__(self, name, double(part))
        d = np.size(self.mean)
        if np.shape(self.mean) != (d,) or np.shape(self.covariance) != (d, d):
            raise ValueError(
                f"a mean of {d} numbers has the shape ({d},) and needs a covariance of shape ({d}, "
                f"{d}), got {np.shape(self.mean)} and {np.shape(self.covariance)}"
            )
        try:
            sound = bool(
                np.isfinite(self.mean).all()
                and np.isfinite(self._root).all()
                and np.isfinite(self.covariance).all()
            )
        except np.linalg.LinAlgError:
            sound = False
        C = self.covariance  # of which Cholesky has read one half only
        if not sound or np.abs(np.subtract(C, np.transpose(C))).max() > 1e-6 * np.abs(C).max():
            raise ValueError(
                "a mean is finite, and a covariance symmetric and positive definite: these are not"
            )

    @property
    def space(self) -> Reals:
        """R^d."""
        return Reals(len(self.mean))

    @cached_property
    def _root(self):
        return np.linalg.cholesky(self.covariance)

    @cached_property
    def _whitening(self):
        return np.linalg.inv(self._root).T

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        return self.mean + rng.standard_normal((n, len(self.mean))) @ self._root.T

    def log_prob(self, x: Array) -> Array:
        """log N(x), (n,), in nats."""
        x = exact_rows(x, len(self.mean))
        z = (x - self.mean) @ self._whitening
        log_norm = 0.5 * len(self.mean) * math.log(2 * math.pi) + float(
            np.log(np.diag(self._root)).sum()
        )
        return -0.5 * ops.sum(z * z, axis=1) - log_norm


@dataclass(frozen=True)
class Uniform:
    """The uniform law on a Box, or on the states of Bits, Spins or Cells.

    >>> from tinyebm.spaces.discrete import Bits
    >>> Uniform(Bits(2)).log_prob(np.zeros((1, 2))).round(6)  # -log 4
    array([-1.386294])
    """

    space: Any

    def __post_init__(self):
        require_space(self.space)
        if not (self.space.discrete or self.space.bounded):
            raise ValueError(f"there is no uniform law on {self.space}: take a Normal")

    @property
    def slope(self) -> Array:
        """The gradient of log P by x, (d,), where it is constant: 0."""
        return np.zeros(self.space.dim)

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        return self.space.initial(n, rng)

    def log_prob(self, x: Array) -> Array:
        """Minus the logarithm of the volume, or of the number of states, (n,); -inf outside the
        space."""
        x = exact_rows(x, self.space.dim)
        size = len(self.space.values) if self.space.discrete else self.space.high - self.space.low
        flat = ops.sum(x * 0.0, axis=1) - self.space.dim * math.log(size)
        return ops.where(self.space.contains(stop_gradient(x)), flat, -math.inf)


@dataclass(frozen=True, eq=False)
class Independent:
    """Independent sites on a discrete space: site i takes the space's value a with probability
    probabilities[i, a].

    >>> from tinyebm.spaces.discrete import Bits
    >>> coins = Independent(Bits(2), np.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> np.exp(coins.log_prob(Bits(2).atoms()[0])).round(6)
    array([0.125, 0.375, 0.125, 0.375])
    """

    space: Any
    probabilities: Any

    def __post_init__(self):
        require_space(self.space)
        if not self.space.discrete:
            raise ValueError(
                f"independent sites are for Bits, Spins or Cells, and {self.space} is not discrete"
            )
        wanted = (self.space.dim, len(self.space.values))
        law = self.probabilities
        if getattr(law, "shape", None) != wanted or not (
            (law > 0).all() and (np.abs(law.sum(axis=1) - 1) < 1e-9).all()
        ):
            raise ValueError(
                f"probabilities have shape {wanted}, are positive and sum to 1 in every row: these "
                "do not"
            )

    @property
    def slope(self) -> Array:
        """The gradient of log P by x, (d,), on two values: the logits, if they are 0 and 1."""
        low, high = self.space.values
        return (np.log(self.probabilities[:, 1]) - np.log(self.probabilities[:, 0])) / (high - low)

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        levels = np.cumsum(self.probabilities, axis=1)[:, :-1]  # (d, q - 1)
        chosen = (rng.random((n, self.space.dim, 1)) >= levels).sum(axis=2)
        return np.asarray(self.space.values, like=levels)[chosen]

    def log_prob(self, x: Array) -> Array:
        """Σ_i log P(x_i), (n,), in nats; on two values it goes on linearly between them, so that it
        has a slope."""
        x = exact_rows(x, self.space.dim)
        log_p, values = np.log(self.probabilities), self.space.values
        if len(values) == 2:
            return (x - values[0]) @ self.slope + float(log_p[:, 0].sum())
        return sum(
            ops.sum(ops.where(x == value, log_p[:, a], 0.0), axis=1)
            for a, value in enumerate(values)
        )


def initial_law(space):
    """The law that `space.initial` draws from.

    >>> initial_law(Reals(1)).log_prob(np.zeros((1, 1))).round(6)
    array([-0.918939])
    """
    if space.discrete or space.bounded:
        return Uniform(space)
    i = np.arange(space.dim)
    return Normal(i * 0.0, (i[:, None] == i) * (space.base_scale or 1.0) ** 2)


def moments_of(x, mass, space):
    """The simplest law near the weighted rows x (n, d), mass (n,), that reaches all of the space.

    On R^d the Normal of the same mean and covariance; on a box the Uniform; on states the
    Independent of the same frequencies, mixed with 5 % of the uniform law.

    >>> moments_of(np.array([[0.0], [2.0]]), np.array([0.5, 0.5]), Reals(1)).covariance
    array([[1.]])
    """
    if space.discrete:
        frequency = np.stack([mass @ (x == value) for value in space.values], axis=1)
        return Independent(space, (1 - SPREAD) * frequency + SPREAD / len(space.values))
    if space.bounded:
        return Uniform(space)
    mean = mass @ x
    z = x - mean
    return Normal(mean, (z * mass[:, None]).T @ z)


def support(space):
    """What tells where a space is, whatever its measure: equal for equal sets of points.

    >>> support(Reals(2)) == support(Reals(2, base_scale=3.0))
    True
    >>> support(Reals(1)) == support(Reals(2))
    False
    """
    return (
        space.dim,
        space.discrete,
        *(getattr(space, name, None) for name in ("values", "low", "high")),
    )
