"""Quadrature for densities with kinks: split boxes until each is smooth enough.

A ReLU, |x| or the tip of a cone stops the fast convergence of a product grid. Here the domain is
cut into boxes; a box whose integral differs between 9 Gauss-Lobatto nodes per axis, which see its
boundary, and 12 Gauss-Legendre nodes is halved along the axis that is worst resolved.  So is, from
the start, a box that holds a summit of log p and is much wider than it: at the nodes of both rules
it could be unseen.  On the line, where one box holds a whole kink, two rules may agree by chance: a
third has to agree as well.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.errors import EmptyError, QuadratureError
from tinyebm.density import exponent
from tinyebm.exact.nodes.peaks import candidates, summits
from tinyebm.exact.nodes.scans import WHOLE, Scan, even_grid, nodes_to_see
from tinyebm.spaces.grids import BLOCK, Grid, legendre, lobatto

FINE = 12
# times the change between rules is the error: on the line one box holds a kink whole
CAUTION = {1: 10, 2: 3, 3: 3}
# 9 is odd and 12 even: a jump in the middle of a box looks different to them
COARSE = {1: ((9, lobatto), (10, legendre)), 2: ((9, lobatto),), 3: ((9, lobatto),)}
BESIDE = 10.0  # widths of a summit, so far from which there is nothing left of it
WIDE = 8.0  # widths of a summit across a box that need not be halved for it
MANY_POLES = 256  # boxes with a node on one
THINNEST = 128 * np.finfo(float).eps  # relative width of a box
SLICES = {1: 32, 2: 8, 3: 4}  # boxes per axis at the start


@dataclass(frozen=True)
class Patches:
    """Boxes [low_i, high_i] with a product rule each (Gauss-Legendre); streams atoms as a `Grid`
    does."""

    low: np.ndarray  # (m, d)
    high: np.ndarray  # (m, d)
    nodes: int = FINE
    rule: Any = legendre

    @property
    def per_box(self):
        """Number of atoms in a box."""
        return self.nodes ** self.low.shape[1]

    @property
    def size(self):
        """Number of atoms."""
        return len(self.low) * self.per_box

    def boxes(self, nodes):
        """The boxes, (low, high)."""
        return self.low, self.high

    def variants(self):
        """The same boxes with other nodes, some of them on the faces."""
        rules = ((13, legendre), (14, legendre), (16, legendre), (15, lobatto))
        return [Patches(self.low, self.high, *rule) for rule in rules]

    def blocks(self, size=BLOCK):
        """All atoms, whole boxes at a time: about `size`, at least one box."""
        d = self.low.shape[1]
        t, w = self.rule(self.nodes)
        t, log_w = Grid(((t, np.log(w)),) * d).all()  # (n^d, d), (n^d,)
        for i in range(0, len(self.low), max(1, size // len(t))):
            low = self.low[i : i + max(1, size // len(t)), None, :]
            half = (self.high[i : i + max(1, size // len(t)), None, :] - low) / 2
            yield (
                (low + half * (t + 1)).reshape(-1, d),
                (log_w + np.log(half).sum(axis=2)).reshape(-1),
            )

    def all(self):
        """All atoms at once."""
        x, log_w = zip(*self.blocks(), strict=True)
        return np.concatenate(x), np.concatenate(log_w)

    def corners(self):
        """The corners of all boxes' hull, (2^d, d)."""
        ends = np.stack([self.low.min(axis=0), self.high.max(axis=0)])
        return Grid(tuple((end, 0 * end) for end in ends.T)).all()[0]

    def cells(self):
        """Boxes with the volumes of the weights that tile the patches: (low, high), each (N, d)."""
        d = self.low.shape[1]
        edges = np.concatenate([[0.0], np.cumsum(legendre(self.nodes)[1]) / 2])  # of [0, 1]
        unit = [Grid(((e, 0 * e),) * d).all()[0] for e in (edges[:-1], edges[1:])]
        width = (self.high - self.low)[:, None, :]
        return tuple((self.low[:, None, :] + width * u).reshape(-1, d) for u in unit)


def adapt(p, low, high, rtol, max_nodes, peaks=None, sizes=None):
    """Split [low, high] until Z holds to rtol / 10, or rtol at max_nodes; return (Patches, log Z,
    error).

    `peaks` and their `sizes` (m, d) are those that are known; without them a scan looks for them.

    The error is some times the sum of the boxes' changes between the rules: where
    a kink runs through a box, the finer rule may be no better than the coarser.
    At a jump in the plane (E = +inf beyond a curve) slivers can hide between the
    nodes: there the error is an estimate.

    Raises
    ------
    QuadratureError
        If the boxes would hold more than max_nodes nodes, or shrink to rounding.
    """
    d = p.space.dim
    if peaks is None:
        scan = Scan(p, even_grid(low, high, nodes_to_see(p, low, high, WHOLE)))
        peaks, sizes = summits(p, scan, low, high, candidates(p))
    # a box may know where its density jumps
    slices = SLICES[d] * (p.space.panels if p.space.bounded else 1)
    edges = [np.linspace(a, b, slices + 1) for a, b in zip(low, high, strict=True)]
    low, high = (
        Grid(tuple((e[end], 0 * e[end]) for e in edges)).all()[0]
        for end in (slice(None, -1), slice(1, None))
    )
    low, high = _closer(low, high, peaks, sizes)
    by_coarse_rules = lambda low, high: np.stack(
        [_log_integrals(p, low, high, *rule) for rule in COARSE[d]]
    )
    coarse, fine = by_coarse_rules(low, high), _log_integrals(p, low, high, FINE)
    least, boxes = np.inf, 0  # the smallest error so far, and the number of boxes then
    while True:
        # another rule has to do
        coarse = np.where((coarse == np.inf) & (coarse.min(axis=0) < np.inf), fine, coarse)
        poles = (coarse == np.inf).any(axis=0) | (fine == np.inf)  # a node lies on one
        top = max(fine[~poles].max(initial=-np.inf), coarse[:, ~poles].max(initial=-np.inf))
        if top == -np.inf:
            raise EmptyError("the energy is +inf at every node")
        total = np.exp(fine[~poles] - top).sum()
        # 0 / 0 and 1 / 0: only the coarse rules saw any mass
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            change = np.abs(np.exp(fine - top) - np.exp(coarse - top)).max(axis=0) / total
        change = np.where(poles, 1.0, np.nan_to_num(change, nan=0.0, posinf=1.0))
        error, thin = CAUTION[d] * float(change.sum()), np.any(too_thin(low, high), axis=1)
        split = ~thin & (
            change > max(rtol / (40 * len(change)), change[~thin].max(initial=0.0) / 100)
        )
        if error < 0.95 * least:
            least, boxes = error, len(low)
        spent = len(low) > 2 * boxes + 64  # rounding, which more boxes do not mend
        spent |= (
            not split.any()
            or (len(low) + split.sum()) * FINE**d > max_nodes
            or poles.sum() > MANY_POLES
        )
        if error <= rtol / 10 or (spent and error <= rtol):
            return Patches(low, high), float(top + math.log(total)), error
        if spent:
            _refuse(p, low, high, change, thin, error, rtol, max_nodes)
        lows, highs = _halves(low[split], high[split], _worst_axis(p, low[split], high[split]))
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])
        coarse = np.concatenate([coarse[:, ~split], by_coarse_rules(lows, highs)], axis=1)
        fine = np.concatenate([fine[~split], _log_integrals(p, lows, highs, FINE)])


def _refuse(p, low, high, change, thin, error, rtol, max_nodes):
    """Say where Z could not be computed, and why."""
    if (change[~thin] >= 1).sum() > 8:  # more than some boxes around poles
        raise ValueError("the energy is nan or -inf somewhere")
    worst = np.argmax(change)
    where = np.round((low + high)[worst] / 2, 4).tolist()
    if thin[worst] and np.abs(low).max() > 1e4 * (high.max() - low.min()):
        raise QuadratureError(
            f"the density has a peak near x = {where}, so far from the origin that doubles do not "
            f"resolve it to rtol={rtol:g}, but to {error:.1e}: shift x, (x - mean) / scale"
        )
    if thin[worst] or change[worst] >= 1:
        raise QuadratureError(
            f"log p rises without end towards x = {where}: a pole there leaves a relative error of "
            f"{error:.1e} of Z, asked for rtol={rtol:g}. Z may be infinite; if it is not, accept a "
            "larger rtol, or substitute for x so that the pole lies at 0, where doubles are "
            "dense, or vanishes"
        )
    axis = _worst_axis(p, low[[worst]], high[[worst]])[0]
    raise QuadratureError(
        f"Z is known to a relative error of {error:.1e} with {max_nodes} nodes, asked for "
        f"rtol={rtol:g}; the worst place is x = {where}, along axis {axis}. A kink or jump (relu?) "
        "converges slowly: accept a larger rtol, or raise max_nodes"
    )


def _log_integrals(p, low, high, nodes, rule=legendre):
    """log ∫ e^{-E} dμ over each box; inf where a node lies on a pole."""
    with np.errstate(divide="ignore"):
        u = np.concatenate(
            [exponent(p, x) + log_w for x, log_w in Patches(low, high, nodes, rule).blocks()]
        )
    if np.isnan(u).any():
        raise ValueError("the energy is nan or -inf somewhere")
    return logsumexp(np.where(u == np.inf, 0.0, u).reshape(len(low), -1), axis=1) + np.where(
        (u == np.inf).reshape(len(low), -1).any(axis=1), np.inf, 0.0
    )


def _closer(low, high, peaks, width):
    """The boxes, those in or beside which a peak lies halved until they are no wider than some of
    its widths."""
    near = BESIDE * width
    while True:
        # (m, peaks)
        holds = ((low[:, None] - near <= peaks) & (peaks <= high[:, None] + near)).all(axis=2)
        # (m, d)
        excess = np.where(holds[:, :, None], (high - low)[:, None] / width, 0.0).max(
            axis=1, initial=0.0
        )
        split = (excess > WIDE).any(axis=1) & ~np.any(too_thin(low, high), axis=1)
        if not split.any():
            return low, high
        lows, highs = _halves(low[split], high[split], excess[split].argmax(axis=1))
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])


def _halves(low, high, axis):
    """Both halves of each box along its axis."""
    rows = np.arange(len(low))
    upper, lower = low.copy(), high.copy()
    upper[rows, axis] = lower[rows, axis] = (low[rows, axis] + high[rows, axis]) / 2
    return np.concatenate([low, upper]), np.concatenate([lower, high])


def _worst_axis(p, low, high):
    """The axis of each box along which log p deviates most from a straight line between mid-faces
    and centre."""
    d = low.shape[1]
    if d == 1:
        return np.zeros(len(low), dtype=int)
    centre, u_centre = (low + high) / 2, exponent(p, (low + high) / 2)
    bend = []
    for i in range(d):
        step = np.zeros_like(low)
        step[:, i] = 0.5 * (high - low)[:, i]
        with np.errstate(invalid="ignore"):  # inf - inf: the edge of the support
            bend.append(
                np.abs(exponent(p, centre - step) + exponent(p, centre + step) - 2 * u_centre)
            )
    bend = np.nan_to_num(np.stack(bend, axis=1), nan=np.inf)
    length = high - low
    return np.argmax(
        np.where(length > length.max(axis=1, keepdims=True) / 8, bend + 1e-12 * length, -1.0),
        axis=1,
    )


def halved(low, high):
    """The halves of each box along all axes, 2^d of each."""
    for axis in range(low.shape[1]):
        low, high = _halves(low, high, np.full(len(low), axis))
    return low, high


def too_thin(low, high):
    """Whether boxes are so thin that rounding would move their nodes, along every axis, (m, d)."""
    return (high - low) < np.maximum(THINNEST * np.maximum(np.abs(low), np.abs(high)), 1e-290)
