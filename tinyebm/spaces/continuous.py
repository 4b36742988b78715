"""The continuous spaces: R^d and boxes, with a measure μ and quadrature rules.

An integral is a sum over atoms, pairs (state x_i, log weight log w_i):

    ∫ f dμ ≈ Σ_i w_i f(x_i)                                                 (1)

`Reals` uses the trapezoidal rule on every axis, `Box` uses Gauss-Legendre rules.

On a discrete space (`tinyebm.spaces.discrete`) all w_i are 1, and the sum is exact.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.checks import (
    number,
    plain,
    require_count,
    require_generator,
    require_positive,
    whole,
)
from tinyebm.common.kinds import Array, Generator, Nodes
from tinyebm.spaces.grids import Grid, gauss_legendre, legendre, lobatto, trapezoid
from tinyebm.spaces.rows import rows

DEFAULT_NODES = {1: 512, 2: 96, 3: 40}  # per axis: 512, 9 216, 64 000 atoms
FIRST_NODES = {1: 256, 2: 24, 3: 14}  # per axis of a box at refinement 1


@dataclass(frozen=True)
class Reals:
    """R^dim, with Lebesgue measure, or with the measure N(0, base_scale² I) if a scale is given.

    `atoms` covers the cube [-extent, extent]^dim; the default extent is ten times the scale.  Exact
    answers (`log_partition`, ...) do not use this cube: they find a window for each density.

    >>> x, log_w = Reals(1).atoms()
    >>> bool(abs(np.exp(log_w - x[:, 0] ** 2 / 2).sum() - math.sqrt(2 * math.pi)) < 1e-12)
    True
    """

    dim: int
    base_scale: float | None = None
    extent: float | None = None
    discrete, bounded = False, False

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")
        for name in ("base_scale", "extent"):
            value = getattr(self, name)
            if value is not None:
                require_positive(name, value)
        plain(self, "base_scale", "extent")

    def grid(self, nodes: Nodes = None) -> Grid:
        """The trapezoidal grid on [-extent, extent]^dim."""
        reach = self.extent or 10.0 * (self.base_scale or 1.0)
        return Grid(tuple(trapezoid(n, -reach, reach) for n in _per_axis(nodes, self.dim)))

    def atoms(self, nodes: Nodes = None) -> tuple[Array, Array]:
        """States (N, dim) and log weights (N,) of eq. (1); `nodes` per axis."""
        return self.grid(nodes).all()

    def log_base(self, x: Array) -> Any:
        """Log density of μ against Lebesgue measure, (n,); 0 if μ is Lebesgue measure."""
        if self.base_scale is None:
            return 0.0
        s, x = float(self.base_scale), rows(x, self.dim)
        log_norm = 0.5 * self.dim * math.log(2 * math.pi * s**2)
        return ops.sum(x * x, axis=1) * (-0.5 / s**2) - log_norm

    def initial(self, n: int, rng: Generator) -> Array:
        """n draws of N(0, base_scale² I), (n, dim); the scale is 1 for Lebesgue measure."""
        require_generator(rng)
        return (self.base_scale or 1.0) * rng.standard_normal((n, self.dim))

    def fold(self, x: Array) -> Array:
        """x itself, because R^d has no walls."""
        return x

    def images(self, t: Array, reach: float) -> list:
        """The coordinates that `fold` maps to t: only t itself."""
        return [t]

    def contains(self, x: Array) -> Array:
        """Which rows of x lie in the space, (n,)."""
        return np.isfinite(x).all(axis=1)


@dataclass(frozen=True)
class Box:
    """[low, high]^dim with Lebesgue measure.  Chains are reflected at its walls.

    `panels` is the number of equal parts of each axis; a density may jump between two parts.

    >>> x, log_w = Box(-3, 3, 2).atoms()
    >>> bool(abs(np.exp(log_w).sum() - 36) < 1e-12)
    True
    """

    low: float
    high: float
    dim: int
    panels: int = 1
    discrete, bounded = False, True

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")
        if not -math.inf < number(self.low) < number(self.high) < math.inf:
            raise ValueError(
                f"a box needs two numbers low < high, got {self.low!r} and {self.high!r}"
            )
        if not (whole(self.panels, 1) and self.panels <= 1000):
            raise ValueError(f"panels must be an integer from 1 to 1000, got {self.panels!r}")
        plain(self, "low", "high")

    def grid(self, nodes: Nodes = None) -> Grid:
        """The Gauss-Legendre grid."""
        return self._grid(_per_axis(nodes, self.dim), legendre)

    def _grid(self, counts, rule):
        axes = [gauss_legendre(n, self.low, self.high, self.panels, rule) for n in counts]
        return Grid(tuple(axes))

    def atoms(self, nodes: Nodes = None) -> tuple[Array, Array]:
        """States (N, dim) and log weights (N,) of eq. (1); `nodes` per axis."""
        return self.grid(nodes).all()

    def counts(self, refinement: float) -> tuple:
        """Nodes per axis: `refinement` times FIRST_NODES."""
        return (math.ceil(FIRST_NODES[self.dim] * refinement),) * self.dim

    def variants(self, counts: tuple) -> list:
        """Four other grids.  Sums over all of them agree for smooth functions, but not for others.

        The last grid has nodes on the walls of the box, for functions that jump near a wall.
        """
        rules = ((1.0, legendre), (1.1, legendre), (1.2, legendre), (1.05, lobatto))
        grids = []
        for part, rule in rules:
            grids.append(self._grid(tuple(math.ceil(part * n) + 1 for n in counts), rule))
        return grids

    def log_base(self, x: Array) -> float:
        """0: μ is Lebesgue measure."""
        return 0.0

    def initial(self, n: int, rng: Generator) -> Array:
        """n uniform starting points (n, dim)."""
        require_generator(rng)
        return self.low + (self.high - self.low) * rng.random((n, self.dim))

    def fold(self, x: Array) -> Array:
        """x, with coordinates outside the box reflected at its walls, as often as needed."""
        width = self.high - self.low
        # low + |t| is a triangle wave of period 2 width, its slope is the sign of t
        t = np.mod(stop_gradient(x) - self.low + width, 2 * width) - width
        sign = np.where(t < 0, -1.0, 1.0).astype(t.dtype)
        folded = sign * (x - stop_gradient(x)) + (self.low + np.abs(t))
        return ops.where((x < self.low) | (x > self.high), folded, x)

    def images(self, t: Array, reach: float) -> list:
        """The coordinates that `fold` maps to t, up to a distance `reach` beyond the walls."""
        period = 2 * (self.high - self.low)
        turns = range(-math.ceil(reach / period), math.ceil(reach / period) + 1)
        return [image + k * period for k in turns for image in (t, 2 * self.low - t)]

    def contains(self, x: Array) -> Array:
        """Which rows of x lie in the box, (n,)."""
        return np.all((x >= self.low) & (x <= self.high), axis=1)


def _per_axis(nodes, dim):
    """Nodes per axis, (dim,), from None (the default), a number, or one number per axis."""
    if nodes is None:
        if dim not in DEFAULT_NODES:
            raise ValueError(
                f"exact answers need a grid, and a grid in dimension {dim} would need about "
                f"{DEFAULT_NODES[3]}^{dim} nodes: they are for dim <= 3"
            )
        nodes = DEFAULT_NODES[dim]
    counts = (nodes,) * dim if np.ndim(nodes) == 0 else tuple(nodes)
    if len(counts) != dim or not all(whole(n, 2) for n in counts):
        raise ValueError(f"nodes must be an integer >= 2, or {dim} of them, got {nodes!r}")
    return tuple(int(n) for n in counts)
