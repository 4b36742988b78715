"""Exact, independent draws from a density of low dimension."""

import itertools

import numpy as np

from tinyebm.density import exponent, exponents
from tinyebm.exact.partition import quadrature
from tinyebm.exact.structure import hidden_layer


def sample(p, n, rng):
    """n independent draws from p, (n, d), by rejection; no chain, no burn-in.

    The quadrature's cells tile the domain.  A cell c is drawn with probability
    ∝ e^{B_c} |c|, a point x uniformly in it, and kept with probability
    e^{u(x) - B_c}, u = log p + const.  B_c is the largest u at the cell's node
    and corners plus some slack; a point with u(x) > B_c proves the slack too
    small: it is doubled and all is drawn again (Caffo, Booth & Davis 2002,
    Biometrika 89:745, empirical supremum rejection).  On a discrete space the
    states are drawn by inverting their distribution function, block by block.  Of a
    restricted Boltzmann machine with few hidden units these are drawn so, and
    then the visible ones given them.

    Cost: about 2 energies per draw, and 2^d + 1 per cell once; two passes over all
    states of a discrete space.

    >>> from tinyebm import Density, Quartic, Reals
    >>> well = Quartic()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> sample(p, 3, np.random.default_rng(1)).shape
    (3, 1)
    """
    if int(n) != n or n < 0:
        raise ValueError(f"n must be a number of draws >= 0, got {n!r}")
    if hidden := hidden_layer(p):
        return p.energy.draw_visible(p.theta, sample(hidden, n, rng), rng)
    if p.space.discrete:
        return _sample_states(p, n, rng)
    grid = quadrature(p, rtol=1e-3).grid
    states = grid.all()[0]
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


def _sample_states(p, n, rng):
    """n draws of a discrete space: uniform numbers, sorted, meet the distribution function as it is summed up."""
    log_z, below = quadrature(p).log_z, 0.0
    levels = rng.random(n)
    order = np.argsort(levels)
    levels, draws, done = levels[order], np.zeros((n, p.space.dim)), 0
    for x, _ in p.space.grid().blocks():
        cumulative = below + np.cumsum(np.exp(exponent(p, x) - log_z))
        below = float(cumulative[-1])
        end = np.searchsorted(levels, below)
        draws[order[done:end]] = x[np.searchsorted(cumulative, levels[done:end], side="right")]
        done = end
    draws[order[done:]] = x[np.searchsorted(cumulative, below)]  # levels that rounding left above the total
    return draws


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
