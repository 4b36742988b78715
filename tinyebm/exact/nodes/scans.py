"""Scans: log p on a grid of nodes, and its bumps, where the ascent to the peaks starts.

How narrow a peak can a scan find?
    With nodes g apart along each axis, a peak of standard deviation g/4 or more is a bump if it
    holds as much mass as a neighbouring peak that is a hundred times wider.  A narrower one may lie
    between the nodes.  A scan has WHOLE nodes per axis.  So in a window of width W it finds a peak
    of standard deviation W/64000 on the line, W/2000 in the plane and W/190 in space.  (The window
    of one normal distribution is about 19 standard deviations wide.)  Outside the window scans are
    coarser.

    An energy may have a bound of its curvature (`curvature`, as the MLP has).  Then no peak is
    narrower than (curvature)^{-1/2}.  The scan takes as many nodes as this requires, up to WHOLE.
    If WHOLE is enough, no peak in the window is missed.
"""

import math

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.density import exponents
from tinyebm.spaces.continuous import Box, Reals

WHOLE = {1: 16001, 2: 513, 3: 49}  # nodes per axis of the scan of a window or a box
AROUND = {1: 2001, 2: 121, 3: 31}  # of the scan of a region twice as wide
LEAST = {1: 257, 2: 33, 3: 17}  # of either, if the bound of the curvature shows wide peaks
GAP = 4.0  # a scan finds a peak if its nodes are at most so many standard deviations apart
MANY = 4096  # the most bumps that are climbed from: the highest ones


class Scan:
    """log p on a grid, and its bumps: nodes at which log p is at least as high as beside them.

    `bumps` (m, d) have exponents `levels` (m,), the highest first, and `gaps` to the next nodes
    (m, d).  `log_sum` is log Z on this grid, `shape` its number of nodes per axis.
    """

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")  # far from the density
    def __init__(self, p, grid):
        x, log_w = grid.all()
        self.shape = grid.shape
        u = np.nan_to_num(exponents(p, x), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        self.log_sum = float(logsumexp(u + log_w))
        bump = _bumps(u.reshape(self.shape)).reshape(-1)
        highest = np.flatnonzero(bump)[np.argsort(-u[bump], kind="stable")[:MANY]]
        places = np.unravel_index(highest, self.shape)
        gaps = [np.gradient(t)[i] for (t, _), i in zip(grid.axes, places, strict=True)]
        self.bumps, self.levels, self.gaps = x[highest], u[highest], np.stack(gaps, axis=1)


def _bumps(u):
    """The mask of nodes at least as high as all their neighbours, and higher than some."""
    bump, flat = np.isfinite(u), np.ones(u.shape, dtype=bool)
    for i in range(u.ndim):
        steps = np.diff(u, axis=i, prepend=-np.inf, append=-np.inf)
        before, after = np.split(steps, [-1], axis=i)[0], np.split(steps, [1], axis=i)[1]
        bump &= (before >= 0) & (after <= 0)
        flat &= (before == 0) & (after == 0)
    return bump & ~flat


def narrowest(p):
    """The least standard deviation of a peak, by the energy's bound of its curvature, or 0.

    A base measure of scale s adds 1/s² to the curvature.
    """
    bound = part_of(p.energy, "curvature", ENERGY) if type(p.space) in (Reals, Box) else None
    if bound is None:
        return 0.0
    base = getattr(p.space, "base_scale", None)
    return 1 / math.sqrt(bound(p.theta) + (base**-2 if base else 0.0) + 1e-300)


def nodes_to_see(p, low, high, most):
    """Nodes per axis, from LEAST to `most`, with which a scan of [low, high] sees every peak of p.

    They are `most` where nothing is known of p's peaks.
    """
    gap = GAP * narrowest(p)
    wanted = np.ceil((high - low) / gap) + 1 if gap else np.full(len(low), np.inf)
    return tuple(int(n) for n in np.clip(wanted, LEAST[p.space.dim], most))
