"""Populations with known densities: Z = 1, and they can be sampled.

A `Target` is on R^d or in a box, a `PatternTarget` on states that are listed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.backend import beside
from tinyebm.common.checks import require_draws
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits
from tinyebm.spaces.grids import Grid
from tinyebm.spaces.rows import exact_rows

ROWS = 4096  # rows at a time: some densities are integrals over many nodes


def _in_blocks(function, x):
    """function(x), (n,), in blocks of rows."""
    if type(x) is not np.ndarray or len(x) <= ROWS:
        return function(x)
    return np.concatenate([function(x[i : i + ROWS]) for i in range(0, len(x), ROWS)])


def _checked(sample):
    @wraps(sample)
    def draws(n, rng):
        require_draws(n, rng)
        return sample(n, rng)

    return draws


@dataclass(frozen=True, eq=False)
class Target:
    """A population on R^d or in a box: a known density with Z = 1, and a sampler.

    Parameters
    ----------
    name : str
    space : Reals or Box
    log_joint : callable x (n, d) -> (n, modes)
        log p(x, k) in nats against Lebesgue measure, written with `tinyebm.ops`.
    sample : callable (n, rng) -> (n, d)
        Independent draws.
    modes : int
        Number of modes k.
    grid : Grid
        Atoms on which ∫ p and ∫ p log p have converged to 1e-8 or better.

    >>> from tinyebm import datasets
    >>> toy = datasets.load("eight_gaussians")
    >>> toy.sample(3, np.random.default_rng(0)).shape
    (3, 2)
    >>> round(toy.entropy, 9)
    2.831880406
    """

    name: str
    space: Reals | Box
    log_joint: Callable = field(repr=False)
    sample: Callable = field(repr=False)
    modes: int
    grid: Grid = field(repr=False)
    theta: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name in ("log_joint", "sample"):
            if not callable(part := getattr(self, name)):
                raise ValueError(f"{name} must be a function, got {part!r}")
        object.__setattr__(self, "sample", _checked(self.sample))

    def log_prob(self, x: Array) -> Array:
        """log p(x) in nats, (n,); differentiable by x.

        Raises
        ------
        ValueError
            If x is not (n, d).
        """
        x = exact_rows(x, self.space.dim)
        return _in_blocks(lambda x: ops.logsumexp(self.log_joint(x), axis=1), x)

    def energy(self, theta: Tree, x: Array) -> Any:
        """-log p(x), (n,): there is nothing to fit, theta is empty."""
        return -self.log_prob(x)

    def mode(self, x: Array) -> Array:
        """The most probable mode 0, ..., modes-1 of each row of x, (n,); -1 where p(x) = 0."""

        def mode(x):
            joint = self.log_joint(x)
            return np.where(joint.max(axis=1) > -math.inf, joint.argmax(axis=1), -1)

        return _in_blocks(mode, exact_rows(x, self.space.dim))

    def variants(self) -> list:
        """A grid with other nodes; the difference of a sum over it is the error."""
        if self.space.bounded:
            return [self.space.grid(tuple(n + 16 for n in self.grid.shape))]
        return [self.grid.half()]

    @cached_property
    def _atoms(self):
        """The atoms of `grid` that carry mass: x (N, d), probabilities (N,), log p (N,)."""
        blocks = [(x, log_w, self.log_prob(x)) for x, log_w in self.grid.blocks()]
        x, log_w, log_p = map(np.concatenate, zip(*blocks, strict=True))
        mass = np.exp(log_w + log_p)
        kept = mass > 1e-20
        return x[kept], mass[kept], log_p[kept]

    @property
    def law(self) -> tuple[Array, Array]:
        """The population as weighted points: atoms of `grid` (N, d), their probabilities (N,)."""
        return self._atoms[:2]

    @cached_property
    def mass_error(self) -> float:
        """The difference of the sum of the probabilities of `law` from one."""
        return abs(float(self.law[1].sum()) - 1)

    @cached_property
    def entropy(self) -> float:
        """The differential entropy -∫ p log p dx in nats, a sum over `law`."""
        _, mass, log_p = self._atoms
        return float(-(mass * log_p).sum())


@dataclass(frozen=True, eq=False)
class PatternTarget:
    """A population on a discrete space: known probabilities of all states, with Z = 1.

    Parameters
    ----------
    name : str
    space : Bits
    states : array (m, d)
        The states of positive probability, all different.
    probabilities : array (m,)
    mode : callable x (n, d) -> (n,)
        The mode 0, ..., modes-1 to which each state belongs; -1 for none.
    modes : int
    cell : callable x (n, d) -> (n,), or None
        The number of the square of the plane that each state represents, if there is one.

    >>> from tinyebm import datasets
    >>> bars = datasets.load("bars_and_stripes")
    >>> len(bars.states), abs(bars.entropy - math.log(30)) < 1e-12
    (30, True)
    """

    name: str
    space: Bits
    states: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    mode: Callable = field(repr=False)
    modes: int
    cell: Callable | None = field(default=None, repr=False)
    mode_names: tuple = ()
    theta: dict = field(default_factory=dict, repr=False)

    @cached_property
    def _log_table(self):
        """log p of every state of the space by its number, (2^d,)."""
        grid = self.space.grid()
        table = np.full(grid.size, -math.inf)
        table[grid.index(self.states)] = np.log(self.probabilities)
        return table

    def log_prob(self, x: Array) -> Array:
        """log p(x) in nats, (n,); -inf where p is zero, and for rows that are not states.

        Raises
        ------
        ValueError
            If x is not (n, d).
        """
        x = exact_rows(x, self.space.dim)
        inside = self.space.contains(x)
        number = self.space.grid().index(np.where(inside[:, None], x, self.space.values[0]))
        return np.where(inside, self._log_table[number], -math.inf)

    def energy(self, theta: Tree, x: Array) -> Any:
        """-log p(x), (n,): there is nothing to fit, theta is empty."""
        return -self.log_prob(x)

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""
        require_draws(n, rng)
        u = rng.random(n)
        states, cumulative = beside(u, self.states, np.cumsum(self.probabilities))
        draws = np.searchsorted(cumulative, u * cumulative[-1], side="right")
        return states[np.minimum(draws, len(states) - 1)]

    @property
    def law(self) -> tuple[Array, Array]:
        """The population as weighted points: its states (m, d) and their probabilities (m,)."""
        return self.states, self.probabilities

    @cached_property
    def entropy(self) -> float:
        """The Shannon entropy -Σ p log p in nats."""
        return float(-(self.probabilities * np.log(self.probabilities)).sum())
