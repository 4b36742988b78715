"""Quadrature for densities with kinks and jumps: boxes are halved until two rules agree in each.

At a kink (relu, |x|, the tip of a cone) product grids converge slowly.  So the domain is cut into
boxes, and each box is integrated by two rules: 12 Gauss-Legendre nodes per axis, and 9
Gauss-Lobatto nodes, some of which lie on its faces.  A box in which they differ is halved along the
axis of the largest error.  On the line one box holds a whole kink, and two rules may agree by
chance.  So there a third rule must agree as well.

A narrow peak may lie between the nodes of both rules.  So boxes near a summit of log p are first
halved until they are at most some widths of the summit wide.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.errors import EmptyError, QuadratureError
from tinyebm.density import exponent
from tinyebm.spaces.grids import BLOCK, Grid, legendre, lobatto, split_axes

FINE = 12  # nodes per axis of the rule whose integrals are returned
# rules to compare with; 9 is odd and 12 even, so they differ at a jump in the middle of a box
COARSE = {1: ((9, lobatto), (10, legendre)), 2: ((9, lobatto),), 3: ((9, lobatto),)}
# error over the change between rules; on the line it is larger, as one box holds a whole kink
CAUTION = {1: 10, 2: 3, 3: 3}
BESIDE = 10.0  # widths of a summit: farther away it has no mass
WIDE = 8.0  # widths of a summit: a box near it that is wider is halved
SAME = 1e-9  # bends and lengths that differ by less are equal: the rest is rounding
MANY_POLES = 64  # boxes with a node at which E = -inf; more of them are not a pole
THINNEST = 128 * np.finfo(float).eps  # least width of a box, relative to its distance from 0
SLICES = {1: 32, 2: 8, 3: 4}  # boxes per axis at the start


@dataclass(frozen=True)
class Patches:
    """Boxes [low_i, high_i] with a product rule in each, with the blocks of a `Grid`."""

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
        """The boxes (low, high), both (m, d); `nodes` is not used."""
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
        boxes = max(1, size // len(t))
        for i in range(0, len(self.low), boxes):
            low = self.low[i : i + boxes, None, :]
            half = (self.high[i : i + boxes, None, :] - low) / 2
            log_weights = log_w + np.log(half).sum(axis=2)
            yield (low + half * (t + 1)).reshape(-1, d), log_weights.reshape(-1)

    def all(self):
        """All atoms at once: states (N, d) and log weights (N,)."""
        x, log_w = zip(*self.blocks(), strict=True)
        return np.concatenate(x), np.concatenate(log_w)

    def cells(self):
        """Boxes around the atoms, of the volumes of their weights: (low, high), both (N, d)."""
        edges = np.concatenate([[0.0], np.cumsum(legendre(self.nodes)[1])])
        edges /= edges[-1]  # of [0, 1]
        # 0, 1/2 and 1 are exact, so that cells on both sides of a face have the same corners on it
        edges = (edges + (1 - edges[::-1])) / 2
        low, high = self.low[:, None], self.high[:, None]
        d = self.low.shape[1]
        return tuple(
            (low * (1 - unit) + high * unit).reshape(-1, d) for unit in split_axes([edges] * d)
        )


def adapt(p, low, high, rtol, max_nodes, peaks, sizes):
    """Split the box [low, high] until Z holds to rtol / 10, or to rtol with max_nodes nodes.

    `peaks` and their `sizes` (m, d) are known summits of p.  Returns (Patches, log Z, error).

    The error is CAUTION times the sum of all boxes' changes between the rules: where a kink runs
    through a box, the finer rule may be no better than the coarser.  At a jump in the plane
    (E = +inf beyond a curve) slivers may lie between the nodes: there the error is an estimate.

    Raises
    ------
    QuadratureError
        If the boxes would hold more than max_nodes nodes, or become too thin for rounding.
    """
    d = p.space.dim
    slices = SLICES[d] * getattr(p.space, "panels", 1)  # p may jump between the panels of a Box
    edges = [np.linspace(a, b, slices + 1) for a, b in zip(low, high, strict=True)]
    low, high = _closer(*split_axes(edges), peaks, sizes)
    logs = _log_integrals(p, low, high)
    least, boxes = np.inf, 0  # the smallest error so far, and the number of boxes it took
    while True:
        log_z, change, poles = _compare(logs)
        if poles.sum() > MANY_POLES:
            raise ValueError("the energy is nan or -inf somewhere")
        error = CAUTION[d] * float(change.sum())
        if error < 0.95 * least:
            least, boxes = error, len(low)
        thin = too_thin(low, high).any(axis=1)
        share = max(rtol / (40 * len(change)), change[~thin].max(initial=0.0) / 100)
        split = ~thin & (change > share)
        full = (len(low) + split.sum()) * FINE**d > max_nodes
        rounded = len(low) > 2 * boxes + 64  # the error is rounding: more boxes do not help
        spent = full or rounded or not split.any()
        if error <= rtol / 10 or (spent and error <= rtol):
            return Patches(low, high), log_z, error
        if spent:
            _refuse(p, low, high, change, thin, error, rtol, max_nodes)
        lows, highs = _halves(low[split], high[split], _worst_axis(p, low[split], high[split]))
        logs = np.concatenate([logs[:, ~split], _log_integrals(p, lows, highs)], axis=1)
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])


def _compare(logs):
    """(log Z, the boxes' changes between the rules over Z, the mask of boxes with a pole).

    `logs` (rules, m) are the boxes' log integrals, the finest rule last; inf if a node lies on a
    pole.  A coarse rule with a node on a pole is left out, if another one has none.
    """
    coarse, fine = logs[:-1], logs[-1]
    coarse = np.where((coarse == np.inf) & (coarse.min(axis=0) < np.inf), fine, coarse)
    poles = (coarse == np.inf).any(axis=0) | (fine == np.inf)
    top = max(fine[~poles].max(initial=-np.inf), coarse[:, ~poles].max(initial=-np.inf))
    if top == -np.inf and not poles.any():
        raise EmptyError("the energy is +inf at every node")
    # 0 / 0 and 1 / 0: the finest rule found no mass
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total = np.exp(fine[~poles] - top).sum()
        change = np.abs(np.exp(fine - top) - np.exp(coarse - top)).max(axis=0) / total
        log_z = float(top + np.log(total))
    return log_z, np.where(poles, 1.0, np.nan_to_num(change, nan=0.0, posinf=1.0)), poles


def _refuse(p, low, high, change, thin, error, rtol, max_nodes):
    """Raise a QuadratureError that says where Z could not be computed, and why."""
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


def _log_integrals(p, low, high):
    """log ∫ e^{-E} dμ over each box by every rule, (rules, m); inf if a node lies on a pole."""
    rules = (*COARSE[p.space.dim], (FINE, legendre))
    return np.stack([_by_rule(p, Patches(low, high, *rule)) for rule in rules])


def _by_rule(p, patches):
    """log ∫ e^{-E} dμ over each box by its rule, (m,)."""
    with np.errstate(divide="ignore"):
        u = np.concatenate([exponent(p, x) + log_w for x, log_w in patches.blocks()])
    if np.isnan(u).any():
        raise ValueError("the energy is nan or -inf somewhere")
    u = u.reshape(len(patches.low), -1)
    pole = u == np.inf
    found = logsumexp(np.where(pole, 0.0, u), axis=1)
    return np.where(pole.any(axis=1), np.inf, found)


# ---------------------------------------------------------------------------- halving boxes


def _closer(low, high, peaks, sizes):
    """The boxes; those near a peak are halved until they are at most WIDE of its sizes wide."""
    beside = BESIDE * sizes
    while True:
        after, before = low[:, None] - beside <= peaks, peaks <= high[:, None] + beside
        near = (after & before).all(axis=2)[:, :, None]  # (m, peaks, 1)
        widths = np.where(near, (high - low)[:, None] / sizes, 0.0)
        excess = widths.max(axis=1, initial=0.0)  # (m, d)
        split = (excess > WIDE).any(axis=1) & ~too_thin(low, high).any(axis=1)
        if not split.any():
            return low, high
        lows, highs = _halves(low[split], high[split], _largest(excess[split]))
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])


def _halves(low, high, axis):
    """Both halves of each box along its axis."""
    rows = np.arange(len(low))
    upper, lower = low.copy(), high.copy()
    upper[rows, axis] = lower[rows, axis] = (low[rows, axis] + high[rows, axis]) / 2
    return np.concatenate([low, upper]), np.concatenate([lower, high])


def _worst_axis(p, low, high):
    """The axis of each box on which log p bends most, (m,).

    The bend is |log p(c - s) + log p(c + s) - 2 log p(c)|, with c the centre and c ± s the middles
    of two opposite faces.  An axis on which the box is eight times shorter than on another is left
    out.  Of axes with equal bends the longest counts.
    """
    d, length = low.shape[1], high - low
    if d == 1:
        return np.zeros(len(low), dtype=int)
    centre = (low + high) / 2
    u, bend = exponent(p, centre), np.empty_like(low)
    for i, axis in enumerate(np.eye(d)):
        step = 0.5 * length * axis
        with np.errstate(invalid="ignore"):  # inf - inf: the edge of the support
            bend[:, i] = np.abs(exponent(p, centre - step) + exponent(p, centre + step) - 2 * u)
    long = length > length.max(axis=1, keepdims=True) * (1 + SAME) / 8
    bend = np.where(long, np.nan_to_num(bend, nan=np.inf), -1.0)
    most = bend >= bend.max(axis=1, keepdims=True) * (1 - SAME) - SAME
    return _largest(np.where(most, length, 0.0))


def _largest(a):
    """The axis on which each row of a (m, d) is largest, (m,); of equal axes the first."""
    return np.argmax(a >= a.max(axis=1, keepdims=True) * (1 - SAME), axis=1)


def halved(low, high):
    """The 2^d parts of each box that is halved along every axis."""
    for axis in range(low.shape[1]):
        low, high = _halves(low, high, np.full(len(low), axis))
    return low, high


def too_thin(low, high):
    """On which axes boxes are so thin that rounding would move their nodes, (m, d)."""
    return (high - low) < np.maximum(THINNEST * np.maximum(np.abs(low), np.abs(high)), 1e-290)
