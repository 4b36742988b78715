"""Energies on a rectangular lattice: the models of Ising and Potts.

Sites are numbered row by row.  Every site has a bond to its right and to its lower neighbour;
periodic boundaries add bonds from the last column and row to the first, which makes a torus.  On a
side of 2 these join the same pairs a second time: they count if not `simple`.  On a side of 1 they
join a site to itself: they count if not `simple`.

A site sees its neighbours alone, so Gibbs sampling redraws many sites at a time (`neighbours`,
`site_logits`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import primitive, stop_gradient
from tinyebm.common.checks import require_parameters, whole
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.energies.analytic import scalars
from tinyebm.energies.conditionals import lattice, of_values, sum_around
from tinyebm.energies.transfer import log_z_of_columns, log_z_of_torus
from tinyebm.spaces.grids import MAX_STATES, Enumeration
from tinyebm.spaces.rows import rows

LARGEST_COLUMN = 2**14  # states of a column, at most, for the transfer matrix


def _terms(model: Any) -> int:
    """The cost of `log_partition` in energies: q^{3r/2} for r sites in a column, or about 0."""
    column = len(model.sites[0]) ** min(model.shape)
    return round(column**1.5) if column <= LARGEST_COLUMN else 0


@dataclass(frozen=True)
class Ising:
    """E(s) = -J Σ_<ij> s_i s_j - h Σ_i s_i on Spins(rows · cols).

    theta = {"coupling": (), "field": ()}: J and h, in units of the temperature (Ising 1925,
    Zeitschrift für Physik 31:253).

    >>> square = Ising((2, 2))
    >>> theta = {"coupling": np.array(0.5), "field": np.array(1.0)}
    >>> square(theta, np.array([[1.0, 1.0, 1.0, 1.0]]))
    array([-6.])
    """

    shape: tuple[int, int]
    periodic: bool = True
    simple: bool = True
    sites, terms = ((-1.0, 1.0),), property(_terms)

    def __post_init__(self):
        object.__setattr__(self, "shape", _sides(self.shape))

    @property
    def dim(self) -> int:
        """Number of sites."""
        return math.prod(self.shape)

    def init(self, rng: Generator) -> Tree:
        """J = 0.1, no field."""
        return scalars(rng, coupling=0.1, field=0.0)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, rows · cols)."""
        require_parameters(self, theta, coupling=(), field=())
        x = rows(x, self.dim)
        bonds = _bond_sum(self, x, _product)
        return -(theta["coupling"] * bonds + theta["field"] * ops.sum(x, axis=1))

    def neighbours(self) -> Array:
        """The neighbours of every site, (d, 4); the site itself in place of missing ones."""
        return _around(self)[0].T

    @property
    def multilinear(self) -> bool:
        """Whether no site is joined to itself, so that E is linear in every spin."""
        return not _loops(self)

    def site_logits(self, theta: Tree, x: Array, sites: Array, values: tuple) -> Array:
        """log P(s_i = a | its neighbours) of some sites (`tinyebm.energies`): a J Σ_j s_j + a h.

        A bond of the site with itself adds J a².
        """
        if len(values) == 2:
            slope, shift = self.sum_logits(theta, values)
            return (slope * sum_around(x.T, sites, *_around(self)) + shift).T
        require_parameters(self, theta, coupling=(), field=())
        J, field = theta["coupling"], theta["field"]
        slope, loops = J * sum_around(x.T, sites, *_around(self)) + field, _loops(self)
        return of_values([(a * slope + loops * a * a * J).T for a in values])

    def sum_logits(self, theta: Tree, values: tuple) -> tuple:
        """(a, b) of `site_logits` = a Σ_j s_j + b for two values (`tinyebm.energies`)."""
        require_parameters(self, theta, coupling=(), field=())
        (low, high), J = values, theta["coupling"]
        of_loops = _loops(self) * (high * high - low * low) * J
        return (high - low) * J, (high - low) * theta["field"] + of_loops

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """log Z without a sum over states, a differentiable scalar; None on other values than -1
        and 1, and where the states are few enough to be listed.

        By a transfer matrix if the shorter side has at most 14 sites, however long the other; else,
        on a torus with h = 0, by Kaufman's formula, whose derivative by h is 0 by symmetry; else at
        J = 0, where the spins are independent.

        Raises QuadratureError for other lattices, and where the terms of Kaufman's formula cancel
        (odd sides, J far below 0); ValueError if it is asked for a second derivative by h of
        Kaufman's formula, or by J at J = 0.
        """
        if getattr(space, "values", None) != self.sites[0]:
            return None
        J, h = (theta[name] + np.zeros(()) for name in ("coupling", "field"))  # in double precision
        if 2 ** min(self.shape) <= LARGEST_COLUMN:
            return _by_columns(self, J, _product, lambda s: h * s.sum(axis=1))
        J_now, h_now = float(stop_gradient(J)), float(stop_gradient(h))
        if h_now == 0 and all(_wraps(self, side) for side in self.shape):
            log_z = log_z_of_torus(*self.shape, J)
            if log_z is not None:
                return log_z + _flat(h)
        if J_now == 0:  # the mean of a product of neighbours is m²
            m, bonds = ops.tanh(h), float(_bond_sum(self, np.ones((1, self.dim)), _product)[0])
            return self.dim * (ops.softplus(2 * h) - h) + J * bonds * m * m + _flat(J)
        other = ", at J = 0, or on a torus at h = 0 (if a side is odd, unless J is far below 0)"
        return _listed(self, f"J = {J_now:g}, h = {h_now:g}", other)


@dataclass(frozen=True)
class Potts:
    """E(s) = -J Σ_<ij> [s_i = s_j] on Cells(q, rows · cols).

    theta = {"coupling": ()}.  With q = 2 values it is the Ising model with half the coupling, up to
    a constant (Potts 1952, Proc. Cambridge Phil. Soc. 48:106).

    >>> ring = Potts(3, (1, 4))
    >>> ring({"coupling": np.array(1.0)}, np.array([[2.0, 2.0, 0.0, 1.0]]))
    array([-1.])
    """

    q: int
    shape: tuple[int, int]
    periodic: bool = True
    simple: bool = True
    terms = property(_terms)

    def __post_init__(self):
        object.__setattr__(self, "shape", _sides(self.shape))
        if not whole(self.q, 2):
            raise ValueError(f"q must be a number of values >= 2, got {self.q!r}")

    @property
    def sites(self) -> tuple:
        """The values of a site: 0, ..., q-1."""
        return (tuple(map(float, range(self.q))),)

    @property
    def dim(self) -> int:
        """Number of sites."""
        return math.prod(self.shape)

    def init(self, rng: Generator) -> Tree:
        """J = 0.1."""
        return scalars(rng, coupling=0.1)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, rows · cols)."""
        require_parameters(self, theta, coupling=())
        x = stop_gradient(rows(x, self.dim))
        return -theta["coupling"] * _bond_sum(self, x, _equal)

    def neighbours(self) -> Array:
        """The neighbours of every site, (d, 4); the site itself in place of missing ones."""
        return _around(self)[0].T

    def site_logits(self, theta: Tree, x: Array, sites: Array, values: tuple) -> Array:
        """log P(s_i = a | its neighbours) of some sites (`tinyebm.energies`): J times the number of
        neighbours with the value a.
        """
        require_parameters(self, theta, coupling=())
        s, u = stop_gradient(x).T, []
        for a in values:
            near, own = _around(self)
            equal = sum_around(s, sites, near, own, lambda s, a=a: _equal(s, a))  # (m, n)
            u.append((theta["coupling"] * equal).T)
        return of_values(u)

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """log Z without a sum over states, a differentiable scalar; None on other values than
        0, ..., q - 1, and where the states are few enough to be listed.

        By a transfer matrix if a column has at most 2^14 states; else at J = 0, where sites are
        independent (a second derivative by J raises ValueError).  Raises QuadratureError for other
        lattices.
        """
        if getattr(space, "values", None) != self.sites[0]:
            return None
        J = theta["coupling"] + np.zeros(())  # in double precision
        if self.q ** min(self.shape) <= LARGEST_COLUMN:
            return _by_columns(self, J, _equal, lambda s: 0.0 * s[:, 0])
        if float(stop_gradient(J)) == 0:
            bonds = float(_bond_sum(self, np.zeros((1, self.dim)), _equal)[0])
            return self.dim * math.log(self.q) + J * (bonds / self.q) + _flat(J)
        return _listed(self, f"J = {float(stop_gradient(J)):g}", " or at J = 0")


def _unknown(g, y, h):
    raise ValueError(
        "of log Z of a large lattice the first derivative by this parameter is known, and no higher "
        "one"
    )


_zero = primitive(_unknown)(lambda h: 0.0 * h)
# 0 with the derivative 0; its second derivative raises ValueError
_flat = primitive(lambda g, y, h: g * _zero(h))(lambda h: 0.0 * h)


def _product(s, t):
    return s * t


def _equal(s, t):
    return (s == t).astype(s.dtype)


def _bond_sum(model, x, bond):
    """Σ over bonds of bond(s_i, s_j), for every row of x (n, rows · cols): (n,)."""
    s = ops.reshape(x, (len(x), *model.shape))
    total = ops.sum(bond(s[:, :, :-1], s[:, :, 1:]), axis=(1, 2))
    total = total + ops.sum(bond(s[:, :-1], s[:, 1:]), axis=(1, 2))
    if _wraps(model, model.shape[1]):
        total = total + ops.sum(bond(s[:, :, -1], s[:, :, 0]), axis=1)
    if _wraps(model, model.shape[0]):
        total = total + ops.sum(bond(s[:, -1], s[:, 0]), axis=1)
    return total


def _by_columns(model, coupling, bond, field):
    """log Z by the transfer matrix, the shorter side being the column."""
    r, c = sorted(model.shape)
    values = model.sites[0]
    s, _ = Enumeration(values, r).all()
    inner = bond(s[:, :-1], s[:, 1:]).sum(axis=1)
    if _wraps(model, r):
        inner = inner + bond(s[:, -1], s[:, 0])
    u = coupling * inner + field(s)
    return log_z_of_columns(values, r, c, _wraps(model, c), coupling, bond, u)


def _listed(model, where, also):
    """None if the states are few enough to be listed; else QuadratureError, without a formula."""
    q = len(model.sites[0])
    if q**model.dim <= MAX_STATES:
        return None
    side = max((r for r in range(1, 15) if q**r <= LARGEST_COLUMN), default=0)
    raise QuadratureError(
        f"{q}^{model.dim} states are too many to list, and there is no formula for log Z of "
        f"{model!r} at {where}, only with a side of at most {side}{also}; te.ais estimates log Z, "
        "te.Pseudolikelihood and te.ContrastiveDivergence train without it"
    )


def _around(model):
    """(the neighbours of every site, how many of them are missing): `conditionals.lattice`."""
    return lattice(*model.shape, *(_wraps(model, side) for side in model.shape))


def _loops(model):
    """The number of bonds that join a site to itself."""
    return sum(side == 1 and _wraps(model, side) for side in model.shape)


def _wraps(model, side):
    """Whether there are bonds between the two ends of a side of this length."""
    return model.periodic and (side > 2 or not model.simple)


def _sides(shape):
    sides = tuple(shape) if np.ndim(shape) == 1 else ()
    if len(sides) != 2 or not all(whole(n, 1) for n in sides):
        raise ValueError(f"shape must be two positive integers (rows, cols), got {shape!r}")
    return tuple(int(n) for n in sides)
