"""The peaks of a density on R^d: where its mass may be, and how wide it is there.

1. Scan log p on a grid whose nodes spread out geometrically from the origin, and
   climb from its highest points, and from a fan of others.
2. Later, scan a box and what is around it for peaks that were missed.

In a box the *summits* of log p, kinks and points on the walls included, are found from its values alone.

A peak narrower than the gaps of both scans can stay hidden, as in any method that
sees a density only at points.
"""

import itertools

import numpy as np

from tinyebm.autodiff import hvp
from tinyebm.density import exponent, exponent_and_score, exponents
from tinyebm.errors import QuadratureError
from tinyebm.ops import sum as ops_sum

FAR_SCAN = {1: 3001, 2: 61, 3: 21}  # nodes per axis of the geometric scan, odd: one is the origin
NEAR_SCAN = {1: 2001, 2: 161, 3: 31}  # nodes per axis of the even scan of a box twice as wide as the window
REACH = {1: (1e-3, 1e9), 2: (1e-1, 1e4), 3: (0.25, 256.0)}  # of the geometric scan, in natural scales
FARTHEST = 1e12  # a face that goes farther belongs to a density without a bounded window
MANY = {1: 1024, 2: 256, 3: 128}  # summits looked at in a box
HALVINGS = 60  # of a step: from the gaps of a scan to their rounding
LEVEL = 0.1  # nats that a step from a summit falls, so that it need not be sought more closely
NEGLIGIBLE = 40.0  # nats: e^-40 = 4e-18, below the rounding error of a sum of doubles


def climb(p, x, stride, steps, frozen=None):
    """Resilient ascent of log p from the rows of x: (best points, their exponents).

    A coordinate's stride grows by 1.3 while the score keeps its sign and halves
    when it flips (Riedmiller & Braun 1993); `frozen` coordinates, a mask like x, stay.
    """
    x, stride, before = x.copy(), np.zeros_like(x) + stride, np.zeros_like(x)
    best, top = x.copy(), np.full(len(x), -np.inf)
    for _ in range(steps):
        u, s = exponent_and_score(p, x)
        if np.isnan(u).any():
            raise QuadratureError(f"the energy is nan at x = {x[np.isnan(u)][0].tolist()}")
        better = u > top
        best[better], top[better] = x[better], u[better]
        direction = np.sign(np.nan_to_num(s))
        stride = stride * np.where(direction * before < 0, 0.5, np.where(direction * before > 0, 1.3, 1.0))
        before = direction
        if frozen is not None:
            direction[frozen] = 0.0
        x = x + stride * direction
    return best, top


def find_peaks(p):
    """Climb from grids of starting points at scales from 1/4 to 64 times the natural one, and from a wide scan."""
    d = p.space.dim
    unit = p.space.base_scale or 1.0
    near, far = REACH[d]
    half = unit * np.geomspace(near, far, FAR_SCAN[d] // 2)
    bumps, _, gaps = _bumps(p, (np.concatenate([-half[::-1], [0.0], half]),) * d)
    ticks = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) if d < 3 else np.array([-1.0, 0.0, 1.0])
    corners = np.array(list(itertools.product(ticks, repeat=d)))
    starts = np.concatenate([corners * unit * scale for scale in (0.25, 1.0, 4.0, 16.0, 64.0)])
    strides = np.repeat(unit * np.array([0.25, 1.0, 4.0, 16.0, 64.0]), len(corners))[:, None] / 8
    strides = np.concatenate([np.broadcast_to(strides, starts.shape), gaps / 4])
    peaks, top = climb(p, np.concatenate([starts, bumps]), strides, steps=50)
    if not np.isfinite(top).any():
        raise QuadratureError("log p is -inf at every starting point: the density was not found near the origin; "
                              "shift or scale x, or use Box")
    if np.abs(peaks[np.argmax(top)]).max() > FARTHEST or top.max() == np.inf:
        raise QuadratureError("log p rises without end: the energy is unbounded below, so Z is infinite")
    return _different(p, peaks, top)


def _different(p, peaks, top):
    """One of every group of climbers that reached the same peak, the highest first: (peaks, their exponents)."""
    order = np.argsort(-top)
    peaks, top, scale = peaks[order], top[order], scales(p, peaks[order])
    kept = []
    for i in range(len(peaks)):
        if all((np.abs(peaks[i] - peaks[k]) > scale[k]).any() for k in kept) and len(kept) < 32:
            kept.append(i)
    return peaks[kept], top[kept]


def _bumps(p, axes, most=64):
    """The highest `most` nodes of a product grid that lie no lower than their neighbours along every axis.

    Returns the nodes (m, d), their exponents (m,), and the gaps to the next nodes (m, d).
    """
    d, shape = len(axes), tuple(map(len, axes))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    u = np.nan_to_num(exponents(p, x), nan=-np.inf).reshape(shape)
    bump, plain = np.isfinite(u), np.ones(shape, dtype=bool)
    for i in range(d):
        steps = np.diff(u, axis=i, prepend=-np.inf, append=-np.inf)
        before, after = np.take(steps, range(shape[i]), axis=i), np.take(steps, range(1, shape[i] + 1), axis=i)
        bump &= (before >= 0) & (after <= 0)
        plain &= (before == 0) & (after == 0)
    bump &= ~plain  # a plain has no summit: every point of it is as high as the others
    highest = np.flatnonzero(bump)[np.argsort(-u[bump], kind="stable")[:most]]
    gaps = [np.gradient(t)[i] for t, i in zip(axes, np.unravel_index(highest, shape), strict=True)]
    return x[highest], u.reshape(-1)[highest], np.stack(gaps, axis=1)


def missed_peaks(p, peaks, top, low, high):
    """Peaks of weight in and around [low, high] that an even scan finds and `peaks` does not hold: (peaks, exponents)."""
    around = 0.5 * (high - low)
    axes = tuple(np.linspace(a, b, NEAR_SCAN[p.space.dim]) for a, b in zip(low - around, high + around, strict=True))
    bumps, u, gaps = _bumps(p, axes)
    widths = scales(p, peaks)
    far = (np.abs(bumps[:, None] - peaks) > np.maximum(widths, 2 * gaps[:, None])).any(axis=2)
    unknown = (far | (u[:, None] > top + 1e-6)).all(axis=1)
    if not unknown.any():
        return peaks[:0], top[:0]
    found, level = _different(p, *climb(p, bumps[unknown], gaps[unknown] / 4, steps=50))
    scale = scales(p, found)
    heavy = level + np.log(scale).sum(axis=1) > (top + np.log(widths).sum(axis=1)).max() - NEGLIGIBLE
    new = (np.abs(found[:, None] - peaks) > scale[:, None]).any(axis=2).all(axis=1)
    return found[heavy & new], level[heavy & new]


def scales(p, x):
    """(-∂²_i log p)^{-1/2} at the rows of x, (n, d); inf where log p is not concave along axis i."""
    total = lambda x: ops_sum(exponent(p, x))
    curvature = np.stack([hvp(total, x, np.zeros_like(x) + e)[:, i] for i, e in enumerate(np.eye(x.shape[1]))], axis=1)
    curvature = -np.nan_to_num(curvature, nan=0.0, posinf=0.0, neginf=0.0)
    scale = np.where(curvature > 0, 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), np.inf)
    return np.where(np.isinf(scale).all(axis=0), p.space.base_scale or 1.0, scale)


@np.errstate(invalid="ignore", divide="ignore", over="ignore")  # on walls, and where two points lie outside the support
def summits(p, low, high, most, max_nodes):
    """The highest points of log p in a box and around them, (m, d), and how far it takes to fall by one nat there, (m, d).

    From values alone: an even scan of at most `most` nodes per axis and `max_nodes` in all, then steps along the axes that
    are halved where none leads higher.  What carries no mass beside the others is left out.
    """
    d = p.space.dim
    n = min(most, max(3, int(max_nodes ** (1 / d))))
    x, u, step = _bumps(p, tuple(np.linspace(a, b, n) for a, b in zip(low, high, strict=True)), MANY[d])
    if len(x) == 0:
        return x, step
    moves, width = np.concatenate([np.eye(d), -np.eye(d)]), step.copy()

    def falls(step):
        """Where the 2d steps lead from every point, (m, 2d, d), and how far log p falls on the way, (m, 2d)."""
        there = np.clip(x[:, None] + moves * step[:, None], low, high)
        fall = u[:, None] - np.nan_to_num(exponents(p, there.reshape(-1, d)), nan=-np.inf).reshape(-1, 2 * d)
        return there, np.nan_to_num(fall, nan=0.0)

    for _ in range(HALVINGS):
        there, fall = falls(step)
        best, rows = fall.argmin(axis=1), np.arange(len(x))
        higher = fall[rows, best] < 0
        x, u = np.where(higher[:, None], there[rows, best], x), np.where(higher, u - fall[rows, best], u)
        step = np.where(higher[:, None], step, step / 2)
        if (np.abs(fall).max(axis=1) < LEVEL).all():
            break
    steep = lambda width: np.maximum(*np.split(falls(width)[1], 2, axis=1)) > 1.0  # (m, d)
    for _ in range(HALVINGS):
        if not (wide := steep(width)).any():
            break
        width = np.where(wide, width / 2, width)
    for _ in range(HALVINGS):
        if not (narrow := ~steep(2 * width) & (2 * width <= high - low)).any():
            break
        width = np.where(narrow, 2 * width, width)
    heavy = u + np.log(width).sum(axis=1)
    kept = heavy > heavy.max() - NEGLIGIBLE
    return x[kept], width[kept]
