"""Energies whose structure gives Z without a sum over all x.

An energy may offer one of two methods (any callable is an energy: structure is optional):

(If it does: a class that inherits them but writes its own `__call__` is another energy, and has
neither.)

log_partition(theta, space)  log Z itself, a differentiable scalar, or None (lattices);
other_layer(space)           (energy(theta, h), m): an energy of m hidden bits whose Z is
                             the same, or None (restricted Boltzmann machines).
"""

from tinyebm.common.checks import ENERGY, part_of
from tinyebm.density import Density
from tinyebm.spaces.discrete import Bits


def closed_form(p):
    """log Z as a scalar, differentiable by p's θ where that is watched, or None."""
    log_partition = part_of(p.energy, "log_partition", ENERGY)
    return None if log_partition is None else log_partition(p.theta, p.space)


def other_layer(energy, space):
    """(energy of the hidden bits with the same Z, their number), or None."""
    found = part_of(energy, "other_layer", ENERGY)
    return found and found(space)


def hidden_layer(p):
    """The Density of the hidden bits, which has the Z of p, if it has fewer states; else None."""
    found = other_layer(p.energy, p.space)
    if not found or (p.space.discrete and found[1] >= p.space.dim):
        return None
    energy, bits = found
    return Density(energy, p.theta, Bits(bits))
