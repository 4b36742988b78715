"""Simple distributions: noise to contrast with, and bases to anneal from.

Each has `sample(n, rng)` -> (n, d), a normalised `log_prob(x)` -> (n,) that can be differentiated
by x, and its `space`.  A `Target` has the same three members, and so has `exact.sampling.Exact` of
a Density of low dimension.  Your own distribution needs them, too.
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
from tinyebm.replay.door import still
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.rows import double, exact_rows, numbers

# weight of the uniform distribution in `moments_of` on discrete spaces: no state has probability 0
SPREAD = 0.05


@dataclass(frozen=True, eq=False)
class Normal:
    """N(mean, covariance) on R^d; mean (d,), covariance (d, d) symmetric positive definite.

    >>> normal = Normal(np.zeros(2), np.array([[4.0, 0.0], [0.0, 1.0]]))
    >>> normal.log_prob(np.zeros((1, 2))).round(6)  # -log 2π - log 2
    array([-2.531024])
    """

    mean: Any
    covariance: Any

    def __post_init__(self):
        for name in ("mean", "covariance"):
            wanted = f"the {name} of a normal law is an array of numbers"
            object.__setattr__(self, name, double(numbers(getattr(self, name), wanted)))
        mean, C = self.mean, self.covariance
        d = np.size(mean)
        if np.shape(mean) != (d,) or np.shape(C) != (d, d):
            raise ValueError(
                f"a mean of {d} numbers has the shape ({d},) and needs a covariance of shape ({d}, "
                f"{d}), got {np.shape(mean)} and {np.shape(C)}"
            )
        try:
            sound = all(bool(np.isfinite(part).all()) for part in (mean, C, self._root))
        except np.linalg.LinAlgError:
            sound = False
        # cholesky reads one half of C only
        if not sound or np.abs(C - np.transpose(C)).max() > 1e-6 * np.abs(C).max():
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
        """The log density log N(x), (n,), in nats."""
        x = exact_rows(x, len(self.mean))
        z = (x - self.mean) @ self._whitening
        log_root = float(np.log(np.diag(self._root)).sum())
        log_norm = 0.5 * len(self.mean) * math.log(2 * math.pi) + log_root
        return -0.5 * ops.sum(z * z, axis=1) - log_norm


@dataclass(frozen=True)
class Uniform:
    """The uniform distribution on a Box, or on the states of Bits, Spins or Cells.

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
        """The gradient of log P by x, (d,): 0."""
        return np.zeros(self.space.dim)

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        return self.space.initial(n, rng)

    def log_prob(self, x: Array) -> Array:
        """-log of the volume, or of the number of states, (n,); -inf outside the space."""
        x = exact_rows(x, self.space.dim)
        size = len(self.space.values) if self.space.discrete else self.space.high - self.space.low
        flat = ops.sum(x * 0.0, axis=1) - self.space.dim * math.log(size)
        return ops.where(self.space.contains(stop_gradient(x)), flat, -math.inf)


@dataclass(frozen=True, eq=False)
class Independent:
    """Independent sites: site i takes the a-th value with probability probabilities[i, a].

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
        mass = self.probabilities
        sound = getattr(mass, "shape", None) == wanted and (mass > 0).all()
        if not sound or not (np.abs(mass.sum(axis=1) - 1) < 1e-9).all():
            raise ValueError(
                f"probabilities have shape {wanted}, are positive and sum to 1 in every row: these "
                "do not"
            )

    @property
    def slope(self) -> Array:
        """The gradient of log P by x, (d,), for two values; for 0 and 1 these are the logits."""
        low, high = self.space.values
        log_p = np.log(self.probabilities)
        return (log_p[:, 1] - log_p[:, 0]) / (high - low)

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        levels = np.cumsum(self.probabilities, axis=1)[:, :-1]  # (d, q - 1)
        chosen = (rng.random((n, self.space.dim, 1)) >= levels).sum(axis=2)
        return np.asarray(self.space.values, like=levels)[chosen]

    def log_prob(self, x: Array) -> Array:
        """Σ_i log P(x_i), (n,), in nats; for two values it is linear in x and has a gradient."""
        x = exact_rows(x, self.space.dim)
        log_p, values = np.log(self.probabilities), self.space.values
        if len(values) == 2:
            return (x - values[0]) @ self.slope + float(log_p[:, 0].sum())
        chosen = [ops.where(x == value, log_p[:, a], 0.0) for a, value in enumerate(values)]
        return sum(ops.sum(part, axis=1) for part in chosen)


def initial_law(space):
    """The distribution that `space.initial` draws from.

    >>> initial_law(Reals(1)).log_prob(np.zeros((1, 1))).round(6)
    array([-0.918939])
    """
    if space.discrete or space.bounded:
        return Uniform(space)
    i = np.arange(space.dim)
    return Normal(i * 0.0, (i[:, None] == i) * (space.base_scale or 1.0) ** 2)


@still()
def moments_of(x, mass, space):
    """A distribution on the whole space, with moments of the rows x (n, d) of masses (n,).

    On R^d it is the Normal of the same mean and covariance; on a box Uniform; on states Independent
    with the same frequencies, mixed with 5 % of the uniform distribution.

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
    """The set of points of a space, without its measure: equal for equal sets.

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
