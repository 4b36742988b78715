"""Quadrature rules, and the products of them that integrals are summed over.

Each rule is a pair (nodes, log weights) on an interval:

gauss_legendre   spectral for smooth functions cut off at the ends
trapezoid        spectral for smooth functions that decay before the ends
                 (Trefethen & Weideman 2014, SIAM Review 56, theorem 5.1)
sinh_trapezoid   the same, for features many powers of ten apart

A `Grid` is a product of rules, an `Enumeration` lists discrete states, `Atoms` is
any list of points; all hand out their points in blocks, so that memory stays
bounded whatever their number.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyebm.common.errors import QuadratureError

BLOCK = 512  # atoms handed out at a time: the activations of a 64-wide layer fit the L2 cache
CHUNK = 2**16  # coordinates handed out at a time to those that cut them into tiles: half a megabyte
STATES = 1024  # states handed out at a time: a block of 24-bit states is 192 KiB
# states that are enumerated, about a minute for the cheapest energies; atoms listed at once
MAX_STATES = 2**26


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
        states, log_weights = np.empty((len(self.axes), stop - start)).T, np.zeros(stop - start)
        stride = self.size
        for column, (nodes, log_w) in zip(states.T, self.axes, strict=True):
            stride //= len(nodes)
            # each node of the axis stays for `stride` atoms
            turns = np.arange(start // stride, -(-stop // stride))
            stay = np.minimum(stop, (turns + 1) * stride) - np.maximum(start, turns * stride)
            column[:] = np.repeat(nodes[turns % len(nodes)], stay)
            log_weights += np.repeat(log_w[turns % len(nodes)], stay)
        return states, log_weights

    def blocks(self, size=BLOCK):
        """All atoms, `size` at a time."""
        for start in range(0, self.size, size):
            yield self.block(start, min(start + size, self.size))

    def all(self):
        """All atoms at once: states (N, d) and log weights (N,).

        Raises QuadratureError if there are more than 2^26: some gigabytes.
        """
        self.require_listable()
        return self.block(0, self.size)

    def require_listable(self):
        """Raise QuadratureError if there are more than 2^26 atoms."""
        if self.size > MAX_STATES:
            raise QuadratureError(
                f"{' x '.join(map(str, self.shape))} nodes are {self.size:.1e} atoms, "
                f"{8 * (len(self.axes) + 1) * self.size / 2**30:.2g} GiB: take fewer per axis, or "
                "`blocks`"
            )

    def corners(self):
        """The outermost nodes, (2^d, d)."""
        return Grid(tuple((nodes[[0, -1]], log_w[[0, -1]]) for nodes, log_w in self.axes)).all()[0]

    def half(self):
        """Every other node on each axis, weighing twice as much: still exact to rounding if the
        trapezoid is so."""
        return Grid(tuple((nodes[::2], log_w[::2] + math.log(2)) for nodes, log_w in self.axes))

    def cells(self):
        """Boxes with the volumes of the weights that tile the grid's domain: (low, high), each (N,
        d)."""
        return self.boxes(1)

    def boxes(self, nodes):
        """Boxes that tile the grid's domain, about `nodes` cells along each axis: (low, high), each
        (m, d)."""
        ends = []
        for t, log_w in self.axes:
            w = np.exp(log_w)
            edges = np.concatenate([[0.0], np.cumsum(w)]) + (t[0] + t[-1] - w.sum()) / 2
            ends.append(np.concatenate([edges[:-1:nodes], edges[-1:]]))
        return tuple(
            Grid(tuple((e[end], 0 * e[end]) for e in ends)).all()[0]
            for end in (slice(None, -1), slice(1, None))
        )


@dataclass(frozen=True)
class Enumeration:
    """All states of `dim` sites with the same `values` each, of weight one; the first site is the
    most significant.

    >>> Enumeration((0.0, 1.0), 2).all()[0].tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """

    values: tuple
    dim: int

    @property
    def shape(self):
        """Number of values on each site."""
        return (len(self.values),) * self.dim

    @property
    def size(self):
        """Number of states."""
        return len(self.values) ** self.dim

    @property
    def listable(self):
        """Whether the states are few enough to be listed: at most 2^26."""
        return self.size <= MAX_STATES

    def require_listable(self):
        """Raise QuadratureError, naming the alternatives, if there are more than 2^26 states."""
        if not self.listable:
            raise QuadratureError(
                f"{len(self.values)}^{self.dim} states are too many to list: at most 2^26, some "
                "minutes. Estimate log Z by annealed importance sampling (te.ais), draw by te.run "
                "with te.Gibbs(), or train without Z by Pseudolikelihood or contrastive "
                "divergence; an RBM with at most 26 hidden units and an Ising lattice with a side "
                "of at most 14 need no list"
            )

    def blocks(self, size=STATES):
        """All states, up to `size` at a time: states (m, dim) and log weights (m,), all zero.

        The last sites run through the same states in every block; only the sites
        before them change.

        Raises
        ------
        QuadratureError
            If there are more than 2^26 states.
        """
        places = self._places()
        tail = sum(int(place) * len(self.values) <= max(size, len(self.values)) for place in places)
        m = len(self.values) ** tail
        last, zeros = self._states(np.arange(m), places[self.dim - tail :]), np.zeros(m)
        for first in self._states(np.arange(0, self.size, m), places[: self.dim - tail]):
            yield np.concatenate([np.broadcast_to(first, (m, len(first))), last], axis=1), zeros

    def all(self):
        """All states at once: (N, dim) and log weights (N,)."""
        ((states, log_w),) = self.blocks(self.size)
        return states, log_w

    def index(self, x):
        """The number of each row of x among the states, (n,); the rows must be states."""
        step = self.values[1] - self.values[0] if len(self.values) > 1 else 1.0
        return np.rint((x - self.values[0]) / step).astype(np.int64) @ np.asarray(
            self._places(), like=x
        )

    def _places(self):
        """What one step of each site adds to a state's number, (dim,)."""
        self.require_listable()
        return len(self.values) ** np.arange(self.dim)[::-1]

    def _states(self, number, places):
        """The digits of these numbers at some places, as values of sites, (m, sites)."""
        return np.array(self.values)[(number[:, None] // places) % len(self.values)]


@dataclass(frozen=True)
class Atoms:
    """Any list of atoms: `states` (N, d) and `log_weights` (N,); streams them as a `Grid` does."""

    states: np.ndarray
    log_weights: np.ndarray

    @property
    def size(self):
        """Number of atoms."""
        return len(self.states)

    def all(self):
        """All atoms at once: states (N, d) and log weights (N,)."""
        return self.states, self.log_weights

    def require_listable(self):
        """Nothing to refuse: they are listed."""

    def blocks(self, size=BLOCK):
        """All atoms, `size` at a time."""
        for start in range(0, self.size, size):
            yield self.states[start : start + size], self.log_weights[start : start + size]


@lru_cache
def legendre(n):
    """Nodes and weights of the n-point Gauss-Legendre rule on [-1, 1]."""
    return np.polynomial.legendre.leggauss(n)


@lru_cache
def lobatto(n):
    """Nodes and weights of the n-point Gauss-Lobatto rule on [-1, 1], with the ends moved in by
    1e-12.

    Its outer nodes see what happens at the ends, but not beyond a jump that lies there.  The inner
    nodes are the roots of P'_{n-1}; w = 2 / (n (n-1) P_{n-1}(t)²) (Abramowitz & Stegun 1964,
    25.4.32).
    """
    top = np.polynomial.legendre.Legendre.basis(n - 1)
    inner = np.sort(top.deriv().roots().real)
    inner -= top.deriv()(inner) / top.deriv(2)(inner)  # to the last digits
    t = np.concatenate([[-1.0], inner, [1.0]])
    return t * (1 - 1e-12), 2 / (n * (n - 1) * top(t) ** 2)


def gauss_legendre(n, low, high, panels=1, rule=legendre):
    """(nodes, log weights) of at least n Gauss-Legendre nodes (or another rule's) on [low, high],
    in equal panels.

    A panel holds at most 64 nodes; `panels` is the least number of panels, so
    that a known jump or kink at a multiple of (high - low) / panels is harmless.
    """
    panels *= -(-n // (64 * panels))
    t, w = rule(-(-n // panels))
    width = (high - low) / panels
    left = low + width * np.arange(panels)[:, None]
    nodes = (left + width * (t + 1) / 2).reshape(-1)
    return nodes, np.tile(np.log(w * width / 2), panels)


def trapezoid(n, low, high, shift=0.0):
    """(nodes, log weights) of n equidistant nodes on [low, high], the end weights halved; shifted
    by a part of a step."""
    step = (high - low) / (n - 1)
    log_w = np.full(n, math.log(step))
    log_w[[0, -1]] -= math.log(2.0)
    return low + step * (np.arange(n) + shift), log_w


def sinh_trapezoid(n, low, high, centre, scale, shift=0.0):
    """The trapezoid in t of x = centre + scale sinh(t): nodes close together near the centre, far
    apart beyond.

    For densities with features from `scale` to `high - low`, many powers of ten apart.
    """
    t, log_w = trapezoid(
        n, math.asinh((low - centre) / scale), math.asinh((high - centre) / scale), shift
    )
    return centre + scale * np.sinh(t), log_w + np.log(scale * np.cosh(t))
