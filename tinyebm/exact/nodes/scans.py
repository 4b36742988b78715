"""Scans: a density looked at on a grid of nodes, for bumps from which its peaks are climbed.

What a scan can see.
    Nodes lie g apart along each axis.  A peak of standard deviation g/4 or more rises above its
    neighbourhood if it holds as much mass as a neighbour a hundred times wider; a narrower one may
    hide between the nodes.  A scan has WHOLE nodes per axis.  So in a window of width W it sees a
    peak of standard deviation W/64000 on the line, W/2000 in the plane and W/190 in space.  (The
    window of a single normal is about 19 standard deviations wide.  Outside of it, where scans
    are coarser, a narrow peak may hide.)  An energy may bound its own curvature (`curvature`, as
    the MLP does).  It has no peak narrower than (curvature)^{-1/2}, and as many nodes are taken as
    that needs: then no peak in the window can hide.
"""

import math

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.density import exponents
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.grids import Grid, trapezoid

WHOLE = {1: 16001, 2: 513, 3: 49}  # nodes per axis of the scan of a window or a box
AROUND = {1: 2001, 2: 121, 3: 31}  # of the scan of a region twice as wide
LEAST = {1: 257, 2: 33, 3: 17}  # of either, where the energy says that its peaks are wide
GAP = 4.0  # standard deviations of a peak between two nodes that see it
MANY = 4096  # bumps that are climbed from, the highest ones


class Scan:
    """A grid of nodes, log ∫ e^{-E} dμ over it, and its bumps: nodes no lower than their neighbours
    along every axis.

    `bumps` (m, d) with their exponents `levels` (m,), the highest first, and the `gaps` to the next
    nodes (m, d).
    """

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")  # far from the density
    def __init__(self, p, grid):
        x, log_w = grid.all()
        axes, self.shape = [nodes for nodes, _ in grid.axes], grid.shape
        u = np.nan_to_num(exponents(p, x), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        self.log_sum = float(logsumexp(u + log_w))
        bump = self._highest_along_every_axis(u.reshape(self.shape)).reshape(-1)
        highest = np.flatnonzero(bump)[np.argsort(-u[bump], kind="stable")[:MANY]]
        places = np.unravel_index(highest, self.shape)
        self.bumps, self.levels = x[highest], u[highest]
        self.gaps = np.stack([np.gradient(t)[i] for t, i in zip(axes, places, strict=True)], axis=1)

    @staticmethod
    def _highest_along_every_axis(u):
        """The mask of the bumps; a plain has none: every point of it is as high as the others."""
        bump, plain = np.isfinite(u), np.ones(u.shape, dtype=bool)
        for i in range(u.ndim):
            steps = np.diff(u, axis=i, prepend=-np.inf, append=-np.inf)
            before, after = np.split(steps, [-1], axis=i)[0], np.split(steps, [1], axis=i)[1]
            bump &= (before >= 0) & (after <= 0)
            plain &= (before == 0) & (after == 0)
        return bump & ~plain


def narrowest(p):
    """A standard deviation below which p has no peak, from its energy's bound of its curvature; 0
    if it states none."""
    bound = part_of(p.energy, "curvature", ENERGY) if type(p.space) in (Reals, Box) else None
    base = getattr(p.space, "base_scale", None)
    return (
        0.0
        if bound is None
        else 1 / math.sqrt(bound(p.theta) + (base**-2 if base else 0.0) + 1e-300)
    )


def nodes_to_see(p, low, high, most):
    """Nodes per axis, between LEAST and `most`, so that no peak of p can hide between them."""
    wide = GAP * narrowest(p)
    wanted = np.ceil((high - low) / wide) + 1 if wide else np.full(len(low), np.inf)
    return tuple(int(n) for n in np.clip(wanted, LEAST[p.space.dim], most[p.space.dim]))


def even_grid(low, high, counts):
    """The trapezoidal grid of a box."""
    return Grid(tuple(trapezoid(n, a, b) for n, a, b in zip(counts, low, high, strict=True)))
