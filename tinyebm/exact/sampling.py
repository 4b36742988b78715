"""Exact, independent draws from a density of low dimension."""

import itertools

import numpy as np

from tinyebm.density import exponent
from tinyebm.exact.likelihood import exponents
from tinyebm.exact.partition import quadrature


def sample(p, n, rng):
    """n independent draws from p, (n, d), by rejection; no chain, no burn-in.

    The quadrature's cells tile the domain.  A cell c is drawn with probability
    ∝ e^{B_c} |c|, a point x uniformly in it, and kept with probability
    e^{u(x) - B_c}, u = log p + const.  B_c is the largest u at the cell's node
    and corners plus some slack; a point with u(x) > B_c proves the slack too
    small: it is doubled and all is drawn again (Caffo, Booth & Davis 2002,
    Biometrika 89:745, empirical supremum rejection).  On a discrete space the
    atoms are drawn by inverting their distribution function.

    Cost: about 2 energies per draw, and 2^d + 1 per cell once.

    >>> from tinyebm import Density, Quartic, Reals
    >>> well = Quartic()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> sample(p, 3, np.random.default_rng(1)).shape
    (3, 1)
    """
    if int(n) != n or n < 0:
        raise ValueError(f"n must be a number of draws >= 0, got {n!r}")
    grid = quadrature(p, rtol=1e-3).grid
    states = grid.all()[0]
    if p.space.discrete:
        u = exponents(p, states)
        return states[_invert(np.exp(u - u.max()), n, rng)]
    low, high = grid.cells()
    corners = [np.where(corner, high, low) for corner in itertools.product((False, True), repeat=p.space.dim)]
    bound = np.max([exponents(p, x) for x in (states, *corners)], axis=0)
    volume = np.prod(high - low, axis=1)
    slack = 0.1
    while True:
        log_bound = bound + slack
        draws = _reject(p, low, high, log_bound, np.exp(log_bound - log_bound.max()) * volume, n, rng)
        if draws is not None:
            return draws
        slack *= 2


def _invert(mass, n, rng):
    """n indices drawn with probabilities ∝ mass."""
    cumulative = np.cumsum(mass)
    return np.minimum(np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right"), len(mass) - 1)


def _reject(p, low, high, log_bound, mass, n, rng):
    """n accepted points, or None if one of them disproves the bound."""
    kept, missing = [np.zeros((0, low.shape[1]))], n
    while missing > 0:
        cell = _invert(mass, 2 * missing + 16, rng)
        x = low[cell] + (high - low)[cell] * rng.random((len(cell), low.shape[1]))
        log_ratio = exponent(p, x) - log_bound[cell]
        if np.any(log_ratio > 0):
            return None
        kept.append(x[np.log1p(-rng.random(len(cell))) < log_ratio])
        missing -= len(kept[-1])
    return np.concatenate(kept)[:n]
