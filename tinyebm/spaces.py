"""Where x lives, and the measure μ there.

Everything exact is a logsumexp over *atoms*: pairs (state, log weight) with

    ∫ f dμ ≈ Σ_i exp(log w_i) f(x_i)                                        (1)

in a continuous space (a quadrature rule) and equality, all log w_i = 0, in a
discrete one.  Atoms form a product `Grid`, which hands them out in blocks, so
that memory stays bounded whatever their number.

Box    Gauss-Legendre per axis: spectral for smooth energies cut off by walls.
Reals  the trapezoidal rule per axis: spectral for smooth densities that decay
       (Trefethen & Weideman 2014, SIAM Review 56, theorem 5.1).
Cells  the states 0, ..., n-1.

A space also tells a sampler where to start (`initial`), what the base measure
is (`log_base`, against Lebesgue measure), and how to stay inside (`fold`).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyebm import ops

BLOCK = 512  # atoms handed out at a time: the activations of a 64-wide layer fit the L2 cache
DEFAULT_NODES = {1: 512, 2: 96, 3: 40}  # per axis: 512, 9 216, 64 000 atoms
FIRST_NODES = {1: 32, 2: 20, 3: 14}  # per axis: where refinement of a box starts


@dataclass(frozen=True)
class Grid:
    """A product of one-dimensional rules: `axes` holds a (nodes, log weights) pair per dimension.

    The last axis runs fastest, so the first coordinate is the most significant.
    """

    axes: tuple

    @property
    def shape(self):
        """Number of nodes on each axis."""
        return tuple(len(nodes) for nodes, _ in self.axes)

    @property
    def size(self):
        """Number of atoms."""
        return math.prod(self.shape)

    def block(self, start, stop):
        """Atoms start, ..., stop-1: states (m, d) and log weights (m,)."""
        index = np.unravel_index(np.arange(start, stop), self.shape)
        states = np.stack([nodes[i] for (nodes, _), i in zip(self.axes, index, strict=True)], axis=1)
        return states, sum(log_w[i] for (_, log_w), i in zip(self.axes, index, strict=True))

    def blocks(self, size=BLOCK):
        """All atoms, `size` at a time."""
        for start in range(0, self.size, size):
            yield self.block(start, min(start + size, self.size))

    def all(self):
        """All atoms at once: states (N, d) and log weights (N,)."""
        return self.block(0, self.size)

    def cells(self):
        """Boxes with the volumes of the weights that tile the grid's domain: (low, high), each (N, d)."""
        edges = []
        for nodes, log_w in self.axes:
            w = np.exp(log_w)
            edges.append(np.concatenate([[0.0], np.cumsum(w)]) + (nodes[0] + nodes[-1] - w.sum()) / 2)
        zero = [0 * nodes for nodes, _ in self.axes]
        return tuple(Grid(tuple((e[end], z) for e, z in zip(edges, zero, strict=True))).all()[0]
                     for end in (slice(None, -1), slice(1, None)))


def _per_axis(nodes, dim):
    """One node count per axis, from None (the default), a number, or one number per axis."""
    if nodes is None:
        if dim not in DEFAULT_NODES:
            raise ValueError(f"exact answers need a grid, and a grid in dimension {dim} would need about "
                             f"{DEFAULT_NODES[3]}^{dim} nodes: they are for dim <= 3")
        nodes = DEFAULT_NODES[dim]
    counts = (nodes,) * dim if np.ndim(nodes) == 0 else tuple(nodes)
    if len(counts) != dim or any(int(n) != n or n < 2 for n in counts):
        raise ValueError(f"nodes must be an integer >= 2, or {dim} of them, got {nodes!r}")
    return tuple(int(n) for n in counts)


@dataclass(frozen=True)
class Atoms:
    """Any list of atoms: `states` (N, d) and `log_weights` (N,); streams them as a `Grid` does."""

    states: np.ndarray
    log_weights: np.ndarray

    @property
    def size(self):
        """Number of atoms."""
        return len(self.states)

    def blocks(self, size=BLOCK):
        """All atoms, `size` at a time."""
        for start in range(0, self.size, size):
            yield self.states[start : start + size], self.log_weights[start : start + size]


# ------------------------------------------------------------------ one-dimensional rules

@lru_cache
def legendre(n):
    """Nodes and weights of the n-point Gauss-Legendre rule on [-1, 1]."""
    return np.polynomial.legendre.leggauss(n)


def gauss_legendre(n, low, high, panels=1):
    """(nodes, log weights) of at least n Gauss-Legendre nodes on [low, high], in equal panels.

    A panel holds at most 64 nodes; `panels` is the least number of panels, so
    that a known jump or kink at a multiple of (high - low) / panels is harmless.
    """
    panels *= -(-n // (64 * panels))
    t, w = legendre(-(-n // panels))
    width = (high - low) / panels
    left = low + width * np.arange(panels)[:, None]
    nodes = (left + width * (t + 1) / 2).reshape(-1)
    return nodes, np.tile(np.log(w * width / 2), panels)


def trapezoid(n, low, high):
    """(nodes, log weights) of n equidistant nodes on [low, high], the end weights halved."""
    step = (high - low) / (n - 1)
    log_w = np.full(n, math.log(step))
    log_w[[0, -1]] -= math.log(2.0)
    return low + step * np.arange(n), log_w


def sinh_trapezoid(n, low, high, centre, scale):
    """The trapezoid in t of x = centre + scale sinh(t): nodes close together near the centre, far apart beyond.

    For densities with features from `scale` to `high - low`, many powers of ten apart.
    """
    t, log_w = trapezoid(n, math.asinh((low - centre) / scale), math.asinh((high - centre) / scale))
    return centre + scale * np.sinh(t), log_w + np.log(scale * np.cosh(t))


# ----------------------------------------------------------------------------- the spaces

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
        _check_dim(self.dim)
        for name in ("base_scale", "extent"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")

    def grid(self, nodes=None):
        """The trapezoidal grid on [-extent, extent]^dim."""
        reach = self.extent or 10.0 * (self.base_scale or 1.0)
        return Grid(tuple(trapezoid(n, -reach, reach) for n in _per_axis(nodes, self.dim)))

    def atoms(self, nodes=None):
        """States (N, dim) and log weights (N,) of eq. (1); `nodes` per axis."""
        return self.grid(nodes).all()

    def log_base(self, x):
        """Log density of μ against Lebesgue measure, (n,); 0 if μ is Lebesgue measure."""
        if self.base_scale is None:
            return 0.0
        s = float(self.base_scale)
        return ops.sum(x * x, axis=1) * (-0.5 / s**2) - 0.5 * self.dim * math.log(2 * math.pi * s**2)

    def initial(self, n, rng):
        """n starting points (n, dim): draws of N(0, base_scale² I), with scale 1 under Lebesgue measure."""
        return (self.base_scale or 1.0) * rng.standard_normal((n, self.dim))

    def fold(self, x):
        """x itself: R^d has no walls."""
        return x

    def images(self, t, reach):
        """The coordinates that `fold` sends to t: t alone."""
        return [t]

    def contains(self, x):
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
        _check_dim(self.dim)
        if not (np.ndim(self.low) == np.ndim(self.high) == 0 and -math.inf < self.low < self.high < math.inf):
            raise ValueError(f"a box needs two numbers low < high, got {self.low!r} and {self.high!r}")
        if int(self.panels) != self.panels or self.panels < 1:
            raise ValueError(f"panels must be a positive integer, got {self.panels!r}")

    def grid(self, nodes=None):
        """The Gauss-Legendre grid."""
        counts = _per_axis(nodes, self.dim)
        return Grid(tuple(gauss_legendre(n, self.low, self.high, self.panels) for n in counts))

    def atoms(self, nodes=None):
        """States (N, dim) and log weights (N,) of eq. (1); `nodes` per axis."""
        return self.grid(nodes).all()

    def counts(self, refinement):
        """`refinement` times the fewest sensible nodes, per axis."""
        return (math.ceil(FIRST_NODES[self.dim] * refinement),) * self.dim

    def log_base(self, x):
        """0: μ is Lebesgue measure."""
        return 0.0

    def initial(self, n, rng):
        """n uniform starting points (n, dim)."""
        return self.low + (self.high - self.low) * rng.random((n, self.dim))

    def fold(self, x):
        """x with what left the box reflected at its walls, as often as needed."""
        width = self.high - self.low
        t = np.abs(np.mod(x - self.low + width, 2 * width) - width)  # a triangle wave of period 2 width
        return np.where((x < self.low) | (x > self.high), self.low + t, x)

    def images(self, t, reach):
        """The coordinates that `fold` sends to t, up to a distance `reach` beyond the walls."""
        period = 2 * (self.high - self.low)
        turns = range(-math.ceil(reach / period), math.ceil(reach / period) + 1)
        return [image + k * period for k in turns for image in (t, 2 * self.low - t)]

    def contains(self, x):
        """Which rows of x lie in the box, (n,)."""
        return ((x >= self.low) & (x <= self.high)).all(axis=1)


@dataclass(frozen=True)
class Cells:
    """The states 0, ..., n-1 in an array (n, 1), with counting measure: Z is a sum.

    >>> Cells(3).atoms()[0][:, 0]
    array([0., 1., 2.])
    """

    n: int
    dim = 1
    discrete, bounded = True, True

    def __post_init__(self):
        if int(self.n) != self.n or self.n < 1:
            raise ValueError(f"Cells needs a positive number of states, got {self.n!r}")

    def grid(self, nodes=None):
        """All states, each with weight one; `nodes` may only repeat their number."""
        if nodes not in (None, self.n):
            raise ValueError(f"Cells({self.n}) has {self.n} atoms, not {nodes}")
        return Grid(((np.arange(self.n) * 1.0, np.zeros(self.n)),))

    def atoms(self, nodes=None):
        """States (n, 1) and log weights (n,), all zero."""
        return self.grid(nodes).all()

    def log_base(self, x):
        """0: μ counts."""
        return 0.0

    def initial(self, n, rng):
        """n uniformly drawn states (n, 1)."""
        return rng.integers(0, self.n, size=(n, 1)) * 1.0

    def contains(self, x):
        """Which rows of x are states, (n,)."""
        return ((x >= 0) & (x < self.n) & (x == np.floor(x))).all(axis=1)


def _check_dim(dim):
    if isinstance(dim, bool) or int(dim) != dim or dim < 1:
        raise ValueError(f"dim must be a positive integer, got {dim!r}")
