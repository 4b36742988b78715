"""Where x lives, and the measure μ there: the continuous spaces.

Everything exact is a logsumexp over *atoms*: pairs (state, log weight) with

    ∫ f dμ ≈ Σ_i exp(log w_i) f(x_i)                                        (1)

in a continuous space (a quadrature rule) and equality, all log w_i = 0, in a
discrete one (`tinyebm.spaces.discrete`).

Box    Gauss-Legendre per axis.
Reals  the trapezoidal rule per axis.

A space also tells a sampler where to start (`initial`), what the base measure
is (`log_base`, against Lebesgue measure), and how to stay inside (`fold`).
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
FIRST_NODES = {1: 256, 2: 24, 3: 14}  # per axis: where refinement of a box starts


@dataclass(frozen=True)
class Reals:
    """R^dim.  The base measure is Lebesgue's, or N(0, base_scale² I) when a scale is given.

    `extent` is the half-width of the cube that `atoms` covers, by default ten
    times the scale.  Integrals (`log_partition`, ...) find their own window.

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
        return ops.sum(x * x, axis=1) * (-0.5 / s**2) - 0.5 * self.dim * math.log(
            2 * math.pi * s**2
        )

    def initial(self, n: int, rng: Generator) -> Array:
        """n starting points (n, dim): draws of N(0, base_scale² I), with scale 1 under Lebesgue
        measure."""
        require_generator(rng)
        return (self.base_scale or 1.0) * rng.standard_normal((n, self.dim))

    def fold(self, x: Array) -> Array:
        """x itself: R^d has no walls."""
        return x

    def images(self, t: Array, reach: float) -> list:
        """The coordinates that `fold` sends to t: t alone."""
        return [t]

    def contains(self, x: Array) -> Array:
        """Which rows of x lie in the space, (n,)."""
        return np.isfinite(x).all(axis=1)


@dataclass(frozen=True)
class Box:
    """[low, high]^dim with Lebesgue measure; walls reflect.

    `panels` cuts each axis into that many equal Gauss-Legendre panels, for
    densities that jump at the cuts.

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
        return Grid(
            tuple(gauss_legendre(n, self.low, self.high, self.panels, rule) for n in counts)
        )

    def atoms(self, nodes: Nodes = None) -> tuple[Array, Array]:
        """States (N, dim) and log weights (N,) of eq. (1); `nodes` per axis."""
        return self.grid(nodes).all()

    def counts(self, refinement: float) -> tuple:
        """`refinement` times the fewest sensible nodes, per axis."""
        return (math.ceil(FIRST_NODES[self.dim] * refinement),) * self.dim

    def variants(self, counts: tuple) -> list:
        """Grids at least as good as `grid(counts)` for what is smooth, and different for what is
        not.

        The last has nodes on the walls, for what jumps beside one.
        """
        rules = ((1.0, legendre), (1.1, legendre), (1.2, legendre), (1.05, lobatto))
        return [
            self._grid(tuple(math.ceil(part * n) + 1 for n in counts), rule) for part, rule in rules
        ]

    def log_base(self, x: Array) -> float:
        """0: μ is Lebesgue measure."""
        return 0.0

    def initial(self, n: int, rng: Generator) -> Array:
        """n uniform starting points (n, dim)."""
        require_generator(rng)
        return self.low + (self.high - self.low) * rng.random((n, self.dim))

    def fold(self, x: Array) -> Array:
        """x with what left the box reflected at its walls, as often as needed."""
        width = self.high - self.low
        # low + |t| is a triangle wave of period 2 width
        t = np.mod(stop_gradient(x) - self.low + width, 2 * width) - width
        outside, sign = (x < self.low) | (x > self.high), np.where(t < 0, -1.0, 1.0).astype(t.dtype)
        return ops.where(outside, sign * (x - stop_gradient(x)) + (self.low + np.abs(t)), x)

    def images(self, t: Array, reach: float) -> list:
        """The coordinates that `fold` sends to t, up to a distance `reach` beyond the walls."""
        period = 2 * (self.high - self.low)
        turns = range(-math.ceil(reach / period), math.ceil(reach / period) + 1)
        return [image + k * period for k in turns for image in (t, 2 * self.low - t)]

    def contains(self, x: Array) -> Array:
        """Which rows of x lie in the box, (n,)."""
        return np.all((x >= self.low) & (x <= self.high), axis=1)


def _per_axis(nodes, dim):
    """One node count per axis, from None (the default), a number, or one number per axis."""
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
