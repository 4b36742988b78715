"""Energies on a rectangular lattice: Ising's and Potts's models.

Sites are numbered row by row.  Every site is bound to its right and its lower
neighbour; periodic boundaries bind the last column and row to the first: a torus.
On a side of 2 that binds the same pair a second time, which counts once if
`simple`, else twice; on a side of 1 it binds a site to itself, or not at all if `simple`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm import ops
from tinyebm.autodiff import stop_gradient
from tinyebm.checks import require_parameters, whole
from tinyebm.grids import Enumeration
from tinyebm.kinds import Array, Generator, Tree
from tinyebm.rows import rows
from tinyebm.transfer import log_z_of_columns, log_z_of_torus

LARGEST_COLUMN = 2**14  # states of a column of the transfer matrix


@dataclass(frozen=True)
class Ising:
    """E(s) = -J Σ_<ij> s_i s_j - h Σ_i s_i on Spins(rows · cols) (Ising 1925, Zeitschrift für Physik 31:253).

    theta = {"coupling": (), "field": ()}: J and h, in units of the temperature.

    >>> square = Ising((2, 2))
    >>> square({"coupling": np.array(0.5), "field": np.array(1.0)}, np.array([[1.0, 1.0, 1.0, 1.0]]))
    array([-6.])
    """

    shape: tuple[int, int]
    periodic: bool = True
    simple: bool = True

    def __post_init__(self):
        object.__setattr__(self, "shape", _sides(self.shape))

    @property
    def dim(self) -> int:
        """Number of sites."""
        return math.prod(self.shape)

    def init(self, rng: Generator) -> Tree:
        """J = 0.1, no field."""
        return {"coupling": _scalar(rng, 0.1), "field": _scalar(rng, 0.0)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, rows · cols)."""
        require_parameters(self, theta, coupling=(), field=())
        x = rows(x, self.dim)
        bonds = _bond_sum(self, x, lambda s, t: s * t)
        return -(theta["coupling"] * bonds + theta["field"] * ops.sum(x, axis=1))

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """log Z by structure, a differentiable scalar; None where there is none.

        By a transfer matrix if the shorter side has at most 14 sites, whatever the
        longer one's length; else, on a torus with J > 0 and h = 0, by Kaufman's formula, whose
        derivative by h is 0, as symmetry wants it.
        """
        if space.values != (-1.0, 1.0):
            return None
        if 2 ** min(self.shape) <= LARGEST_COLUMN:
            return _by_columns(self, space.values, theta["coupling"], lambda s, t: s * t,
                               lambda s: theta["field"] * s.sum(axis=1))
        J, h = (float(stop_gradient(theta[name])) for name in ("coupling", "field"))
        kaufman = self.periodic and J > 0 == h
        return log_z_of_torus(*self.shape, theta["coupling"]) + 0.0 * theta["field"] if kaufman else None


@dataclass(frozen=True)
class Potts:
    """E(s) = -J Σ_<ij> [s_i = s_j] on Cells(q, rows · cols) (Potts 1952, Proc. Cambridge Phil. Soc. 48:106).

    theta = {"coupling": ()}.  On q = 2 values it is Ising's model with half the coupling, up to a constant.

    >>> ring = Potts(3, (1, 4))
    >>> ring({"coupling": np.array(1.0)}, np.array([[2.0, 2.0, 0.0, 1.0]]))
    array([-1.])
    """

    q: int
    shape: tuple[int, int]
    periodic: bool = True
    simple: bool = True

    def __post_init__(self):
        object.__setattr__(self, "shape", _sides(self.shape))
        if not whole(self.q, 2):
            raise ValueError(f"q must be a number of values >= 2, got {self.q!r}")

    @property
    def dim(self) -> int:
        """Number of sites."""
        return math.prod(self.shape)

    def init(self, rng: Generator) -> Tree:
        """J = 0.1."""
        return {"coupling": _scalar(rng, 0.1)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, rows · cols)."""
        require_parameters(self, theta, coupling=())
        return -theta["coupling"] * _bond_sum(self, stop_gradient(rows(x, self.dim)), lambda s, t: (s == t).astype(s.dtype))

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """log Z by a transfer matrix, a differentiable scalar; None if a column has more than 2^14 states."""
        if space.values != tuple(map(float, range(self.q))) or self.q ** min(self.shape) > LARGEST_COLUMN:
            return None
        return _by_columns(self, space.values, theta["coupling"], lambda s, t: (s == t) * 1.0, lambda s: 0.0 * s[:, 0])


def _bond_sum(model, x, bond):
    """Σ over bonds of bond(s_i, s_j), for every row of x (n, rows · cols): (n,)."""
    s = ops.reshape(x, (len(x), *model.shape))
    total = ops.sum(bond(s[:, :, :-1], s[:, :, 1:]), axis=(1, 2)) + ops.sum(bond(s[:, :-1], s[:, 1:]), axis=(1, 2))
    if _wraps(model, model.shape[1]):
        total = total + ops.sum(bond(s[:, :, -1], s[:, :, 0]), axis=1)
    if _wraps(model, model.shape[0]):
        total = total + ops.sum(bond(s[:, -1], s[:, 0]), axis=1)
    return total


def _by_columns(model, values, coupling, bond, field):
    """log Z by the transfer matrix, the shorter side being the column."""
    r, c = sorted(model.shape)
    s, _ = Enumeration(values, r).all()
    inner = bond(s[:, :-1], s[:, 1:]).sum(axis=1) + (bond(s[:, -1], s[:, 0]) if _wraps(model, r) else 0.0)
    return log_z_of_columns(values, r, c, _wraps(model, c), coupling, bond, coupling * inner + field(s))


def _wraps(model, side):
    """Whether a side's ends are bound."""
    return model.periodic and (side > 2 or not model.simple)


def _scalar(rng, value):
    return np.asarray(value, like=rng.standard_normal((1,)))


def _sides(shape):
    sides = tuple(shape) if np.ndim(shape) == 1 else ()
    if len(sides) != 2 or not all(whole(n, 1) for n in sides):
        raise ValueError(f"shape must be two positive integers (rows, cols), got {shape!r}")
    return tuple(int(n) for n in sides)
