"""The discrete spaces: their states can be listed, so Z is a sum.

A state is a row of `dim` sites.  Every site takes the same few `values`, which are floating-point
numbers.  The measure counts states.

Bits   {0, 1}^dim
Spins  {-1, +1}^dim
Cells  {0, ..., n-1}^dim

States are listed in lexicographic order: the last site changes fastest.  The three spaces have the
same methods; they are the functions below.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.common.checks import require_count, require_generator, whole
from tinyebm.common.kinds import Array, Generator, Nodes
from tinyebm.spaces.grids import Enumeration

# --------------------------------------------------------------------------------- methods


def _grid(self, nodes: Nodes = None) -> Enumeration:
    """All states, in blocks; `nodes` is None or the number of values of a site."""
    if nodes is not None and not (whole(nodes, 1) and nodes == len(self.values)):
        raise ValueError(f"a site of {self} has {len(self.values)} values, not {nodes}")
    return Enumeration(self.values, self.dim)


def _atoms(self, nodes: Nodes = None) -> tuple[Array, Array]:
    """All states (N, dim), at most 2^26, and their log weights (N,), which are 0."""
    return self.grid(nodes).all()


def _log_base(self, x: Array) -> Any:
    """0: every state has weight 1."""
    return 0.0


def _initial(self, n: int, rng: Generator) -> Array:
    """n states (n, dim), drawn uniformly."""
    require_generator(rng)
    draws = rng.integers(0, len(self.values), size=(n, self.dim))
    return np.asarray(self.values, like=draws)[draws]


def _contains(self, x: Array) -> Array:
    """Which rows of x are states, (n,)."""
    return np.all(np.isin(x, np.asarray(self.values, like=x)), axis=1)


def _others(self, x: Array) -> Array:
    """The q - 1 other values of every site of x (n, dim): (q - 1, n, dim)."""
    low, q = self.values[0], len(self.values)
    if q == 1:
        return np.zeros_like(x, shape=(0, *x.shape))
    step = self.values[1] - low
    number = (x - low) / step
    return np.stack([np.mod(number + shift, q) * step + low for shift in range(1, q)])


# ---------------------------------------------------------------------------------- spaces


@dataclass(frozen=True)
class Bits:
    """{0, 1}^dim with the counting measure.

    >>> Bits(2).atoms()[0].tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """

    dim: int
    values, discrete, bounded = (0.0, 1.0), True, True
    grid = _grid
    atoms = _atoms
    log_base = _log_base
    initial = _initial
    contains = _contains
    others = _others

    def __post_init__(self):
        _check(self, dim=self.dim)


@dataclass(frozen=True)
class Spins:
    """{-1, +1}^dim with the counting measure.

    >>> Spins(1).atoms()[0].tolist()
    [[-1.0], [1.0]]
    """

    dim: int
    values, discrete, bounded = (-1.0, 1.0), True, True
    grid = _grid
    atoms = _atoms
    log_base = _log_base
    initial = _initial
    contains = _contains
    others = _others

    def __post_init__(self):
        _check(self, dim=self.dim)


@dataclass(frozen=True)
class Cells:
    """{0, ..., n-1}^dim with the counting measure.

    >>> Cells(3).atoms()[0][:, 0]
    array([0., 1., 2.])
    """

    n: int
    dim: int = 1
    discrete, bounded = True, True
    grid = _grid
    atoms = _atoms
    log_base = _log_base
    initial = _initial
    contains = _contains
    others = _others

    def __post_init__(self):
        _check(self, n=self.n, dim=self.dim)

    @property
    def values(self) -> tuple:
        """The values of one site."""
        return tuple(float(value) for value in range(self.n))


# ---------------------------------------------------------------------- the space of values


def space_with(values, dim):
    """The space whose sites have these values.

    >>> space_with((-1.0, 1.0), 3), space_with((0.0, 1.0, 2.0), 1)
    (Spins(dim=3), Cells(n=3, dim=1))
    """
    kind = {Bits.values: Bits, Spins.values: Spins}.get(values)
    return kind(dim) if kind else Cells(len(values), dim)


def recognised(x: Array) -> Any:
    """The space of data x (n, d): Bits if its values are 0 and 1, Spins if -1 and 1, else None.

    >>> recognised(np.array([[0.0, 1.0], [1.0, 1.0]])), recognised(np.array([[1.0, 1.0]]))
    (Bits(dim=2), None)
    """
    kind: Any = {Bits.values: Bits, Spins.values: Spins}.get((float(x.min()), float(x.max())))
    return kind(x.shape[1]) if kind and kind(x.shape[1]).contains(x).all() else None


def _check(space, **numbers):
    """Store positive integers as Python ints, so 2^dim does not overflow; refuse others."""
    for name, value in numbers.items():
        what = "the number of states" if name == "n" else name
        require_count(value, f"{what} must be a positive integer")
        object.__setattr__(space, name, int(value))
