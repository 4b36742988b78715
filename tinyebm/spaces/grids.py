"""Quadrature rules, and the grids over which integrals and sums are taken.

A rule is a pair (nodes, log weights) on an interval:

gauss_legendre   converges fast for functions that are smooth up to the ends
trapezoid        converges fast for smooth functions that vanish before the ends
                 (Trefethen & Weideman 2014, SIAM Review 56, theorem 5.1)
sinh_trapezoid   the same, with nodes that are dense near a centre

A grid holds atoms, pairs (state, log weight): `Grid` is a product of rules, `Enumeration` lists all
states of a discrete space, `Atoms` is any list.  `blocks()` yields the atoms in blocks, so that
memory stays bounded.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyebm.common.checks import require_memory
from tinyebm.common.errors import QuadratureError
from tinyebm.common.tree import compared

BLOCK = 512  # atoms in a block: the activations of a layer of 64 units then fit the L2 cache
CHUNK = 2**16  # coordinates in a block that is cut into tiles later: half a megabyte
STATES = 1024  # states in a block: with 24 bits 192 KiB
# the most states of an enumeration, about a minute for the cheapest energies; and of a list
MAX_STATES = 2**26


@compared
@dataclass(frozen=True, eq=False)
class Grid:
    """A product of rules: `axes` holds a (nodes, log weights) pair per dimension.

    The last coordinate changes fastest from atom to atom.
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
        places = np.unravel_index(np.arange(start, stop), self.shape)
        pairs = list(zip(self.axes, places, strict=True))
        states = np.stack([nodes[place] for (nodes, _), place in pairs]).T
        return states, sum(log_w[place] for (_, log_w), place in pairs)

    def blocks(self, size=BLOCK):
        """All atoms, `size` at a time."""
        for start in range(0, self.size, size):
            yield self.block(start, min(start + size, self.size))

    def all(self):
        """All atoms at once: states (N, d) and log weights (N,), as `require_listable` allows."""
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

    def half(self):
        """Every other node on each axis, with twice the weight."""
        return Grid(tuple((nodes[::2], log_w[::2] + math.log(2)) for nodes, log_w in self.axes))

    def cells(self):
        """Boxes around the atoms, whose volumes are their weights: (low, high), both (N, d)."""
        return self.boxes(1)

    def boxes(self, nodes):
        """Larger boxes, of `nodes` cells along each axis: (low, high), both (m, d)."""
        ends = []
        for t, log_w in self.axes:
            w = np.exp(log_w)
            edges = np.concatenate([[0.0], np.cumsum(w)]) + (t[0] + t[-1] - w.sum()) / 2
            ends.append(np.concatenate([edges[:-1:nodes], edges[-1:]]))
        return split_axes(ends)


def split_axes(edges):
    """The boxes between the edges of every axis, d arrays: (low, high), both (m, d)."""
    ends = [e[:-1] for e in edges], [e[1:] for e in edges]
    return tuple(Grid(tuple((e, 0 * e) for e in axes)).all()[0] for axes in ends)


@dataclass(frozen=True)
class Enumeration:
    """All states of `dim` sites that take the same `values`, of weight one each.

    The last site changes fastest from state to state.

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
        """Raise QuadratureError, which names the alternatives, if there are more than 2^26."""
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

        In every block the last sites go through all their states, while the sites before them stay.
        """
        places = self._places()
        tail = sum(int(place) * len(self.values) <= max(size, len(self.values)) for place in places)
        m = len(self.values) ** tail
        last, zeros = self._states(np.arange(m), places[self.dim - tail :]), np.zeros(m)
        for first in self._states(np.arange(0, self.size, m), places[: self.dim - tail]):
            yield np.concatenate([np.broadcast_to(first, (m, len(first))), last], axis=1), zeros

    def all(self):
        """All states at once: (N, dim) and log weights (N,), in at most 4 GiB."""
        self.require_listable()
        require_memory(
            f"a list of all {self.size} states of {self.dim} sites", self.size * self.dim
        )
        q, states = len(self.values), np.empty((self.size, self.dim))
        for i in range(self.dim):  # site i in the middle
            states.reshape(q**i, q, -1, self.dim)[..., i] = np.array(self.values)[:, None]
        return states, np.zeros(self.size)

    def index(self, x):
        """The number of each row of x among the states, (n,); the rows must be states."""
        step = self.values[1] - self.values[0] if len(self.values) > 1 else 1.0
        digits = np.rint((x - self.values[0]) / step).astype(np.int64)
        return digits @ np.asarray(self._places(), like=x)

    def _places(self):
        """q^(dim-1), ..., q, 1: the number of a state is Σ_i digit_i place_i, (dim,)."""
        self.require_listable()
        return len(self.values) ** np.arange(self.dim)[::-1]

    def _states(self, number, places):
        """The values of the sites at some places, of the states with these numbers, (m, sites)."""
        return np.array(self.values)[(number[:, None] // places) % len(self.values)]


@compared
@dataclass(frozen=True, eq=False)
class Atoms:
    """Any list of atoms: `states` (N, d) and `log_weights` (N,), with the blocks of a `Grid`."""

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

    def index(self, x):
        """The numbers of the atoms that the rows of x are, (n,)."""
        number = {state.tobytes(): i for i, state in enumerate(self.states + 0.0)}
        return np.array([number[row.tobytes()] for row in x + 0.0])

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
    """Nodes and weights of the n-point Gauss-Lobatto rule on [-1, 1], shrunk by 1 - 1e-12.

    It has nodes at both ends; shrinking keeps them on this side of a jump at an end.  The inner
    nodes are the roots of P'_{n-1}, and w = 2 / (n (n-1) P_{n-1}(t)²) (Abramowitz & Stegun 1964,
    25.4.32).
    """
    top = np.polynomial.legendre.Legendre.basis(n - 1)
    inner = np.sort(top.deriv().roots().real)
    inner -= top.deriv()(inner) / top.deriv(2)(inner)  # a Newton step, for the last digits
    t = np.concatenate([[-1.0], inner, [1.0]])
    return t * (1 - 1e-12), 2 / (n * (n - 1) * top(t) ** 2)


def gauss_legendre(n, low, high, panels=1, rule=legendre):
    """(nodes, log weights) of a Gauss rule in equal panels of [low, high], at least n nodes.

    A panel holds at most 64 nodes.  `panels` is the least number of panels: jumps and kinks at
    multiples of (high - low) / panels do no harm.
    """
    panels *= -(-n // (64 * panels))
    t, w = rule(-(-n // panels))
    width = (high - low) / panels
    left = low + width * np.arange(panels)[:, None]
    nodes = (left + width * (t + 1) / 2).reshape(-1)
    return nodes, np.tile(np.log(w * width / 2), panels)


def trapezoid(n, low, high, shift=0.0):
    """(nodes, log weights) of n equidistant nodes on [low, high], shifted by a part of a step."""
    step = (high - low) / (n - 1)
    log_w = np.full(n, math.log(step))
    log_w[[0, -1]] -= math.log(2.0)
    return low + step * (np.arange(n) + shift), log_w


def sinh_trapezoid(n, low, high, centre, scale, shift=0.0):
    """The trapezoidal rule in t, with x = centre + scale sinh(t): (nodes, log weights).

    For densities that vary on lengths from `scale`, near the centre, up to `high - low`.
    """
    ends = math.asinh((low - centre) / scale), math.asinh((high - centre) / scale)
    t, log_w = trapezoid(n, *ends, shift)
    return centre + scale * np.sinh(t), log_w + np.log(scale * np.cosh(t))
