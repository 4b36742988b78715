"""Energies with a shorter way to Z than a sum over all x, and checks that Z is finite.

An energy is a callable (theta, x) -> (n,).  It may also have these methods:

log_partition(theta, space)         log Z, a differentiable scalar, or None (lattices);
other_layer(space)                  (energy(theta, h), m): an energy of m hidden bits with the same
                                    Z, or None (restricted Boltzmann machines);
require_normalisable(theta, space)  raises DivergentPartitionError if Z is infinite.

`terms` is the number of energies that cost about as much as `log_partition`, by default 0.

A class that inherits such a method but writes its own `__call__` is another energy, so the
inherited method is not used (`common.checks.part_of`).
"""

import math

from tinyebm.common.backend import to_host
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.common.errors import QuadratureError
from tinyebm.density import Density, in_double, on_host
from tinyebm.exact.sums import log_sum
from tinyebm.spaces.discrete import Bits

# about the cost of a quadrature to 1e-5, in energies, by dimension: of smooth ones, and with kinks
SMOOTH, KINKED = {1: 2**14, 2: 2**18}, {1: 2**14, 2: 2**23}


def require_normalisable(p):
    """The Density in double precision; an error if p is not a Density, or if Z is infinite."""
    p = in_double(p)
    check = part_of(p.energy, "require_normalisable", ENERGY)
    if check is not None:
        check(to_host(p.theta), p.space)
    return p


def closed_form(p):
    """log Z by the energy's formula, a scalar that can be differentiated by θ, or None."""
    log_partition = part_of(p.energy, "log_partition", ENERGY)
    return None if log_partition is None else log_partition(p.theta, p.space)


def other_layer(energy, space):
    """(energy of the hidden bits with the same Z, their number), or None."""
    found = part_of(energy, "other_layer", ENERGY)
    return found and found(space)


def hidden_layer(p):
    """A Density of hidden bits with the same Z as p, if it has fewer states than p, or None."""
    found = _fewer_bits(p.energy, p.space)
    return Density(found[0], p.theta, Bits(found[1])) if found else None


def _fewer_bits(energy, space):
    """`other_layer`, if it has fewer states than the space, else None."""
    found = other_layer(energy, space)
    return found if found and not (space.discrete and found[1] >= space.dim) else None


def terms_of(energy, space):
    """About how many energies an exact log Z costs; 0 by a formula, or if it is out of reach.

    On R^d and in boxes d is 1 or 2.

    >>> from tinyebm import RBM
    >>> terms_of(RBM(784, 16), Bits(784))
    65536
    """
    if space.discrete and part_of(energy, "log_partition", ENERGY):
        return getattr(energy, "terms", 0)
    hidden = _fewer_bits(energy, space)
    space = Bits(hidden[1]) if hidden else space
    if space.discrete:
        grid = space.grid()
        return grid.size if getattr(grid, "listable", True) else 0
    return (SMOOTH if getattr(energy, "smooth", True) else KINKED)[space.dim]


def structural_log_z(p):
    """log Z by a formula or by a sum over hidden bits, a float, or None if p has neither."""
    log_z = closed_form(on_host(p))
    if log_z is not None:
        return require_finite(p, log_z)
    hidden = hidden_layer(p)
    return log_sum(hidden, hidden.space.grid()) if hidden else None


def has_formula(p):
    """Whether log Z is a formula or a sum over states, visible or hidden."""
    return bool(p.space.discrete or hidden_layer(p) or closed_form(on_host(p)) is not None)


def require_finite(p, log_z):
    """log Z by a formula as a float; QuadratureError if it is not finite."""
    if not math.isfinite(log_z):
        raise QuadratureError(
            f"log Z of {p.energy!r} came out as {float(log_z)}: its parameters are nan, or too "
            "large"
        )
    return float(log_z)
