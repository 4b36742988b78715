"""Energies whose structure gives Z without a sum over all x.

An energy may offer one of two methods (any callable is an energy: structure is optional):

log_partition(theta, space)  log Z itself, a differentiable scalar, or None (lattices);
other_layer(space)           (energy(theta, h), m): an energy of m hidden bits whose Z is
                             the same, or None (restricted Boltzmann machines).
"""

from tinyebm.density import Density
from tinyebm.discrete import Bits


def closed_form(p):
    """log Z as a scalar, differentiable by p's θ where that is watched, or None."""
    log_partition = getattr(p.energy, "log_partition", None)
    return None if log_partition is None else log_partition(p.theta, p.space)


def hidden_layer(p):
    """The Density of the hidden bits, which has the Z of p, if it has fewer states; else None."""
    other_layer = getattr(p.energy, "other_layer", None)
    found = other_layer and other_layer(p.space)
    if not found or (p.space.discrete and found[1] >= p.space.dim):
        return None
    energy, bits = found
    return Density(energy, p.theta, Bits(bits))
