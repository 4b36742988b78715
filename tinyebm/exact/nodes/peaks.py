"""The peaks of a density: where its mass may be, and how wide it is there.

On R^d, climb log p from

1. the bumps of a grid whose nodes spread out geometrically from the origin, and a fan of points;
2. what is known: the modes that the energy states (`modes`), and rows of data;
3. the bumps of an even scan of the window that was found, and of a wider region around it.

In a box the *summits* of log p, kinks and points on the walls included, are found from its values
alone.

What a scan can see, and what may hide from it, is said in `exact.scans`.
"""

import itertools

import numpy as np

from tinyebm.autodiff.ops import sum as ops_sum
from tinyebm.autodiff.tape import hvp
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.common.errors import QuadratureError
from tinyebm.density import exponent, exponent_and_score, exponents
from tinyebm.exact.nodes.scans import AROUND, WHOLE, Scan, even_grid, narrowest, nodes_to_see
from tinyebm.spaces.grids import Grid

FAR_SCAN = {1: 3001, 2: 61, 3: 27}  # nodes per axis of the geometric scan, odd: one is the origin
# of the geometric scan, in natural scales
REACH = {1: (1e-3, 1e9), 2: (1e-1, 1e4), 3: (0.25, 4096.0)}
FAN = (0.25, 1.0, 4.0, 16.0, 64.0)  # half widths of the fans of points, in natural scales
FAR = 30.0  # standard deviations from the origin, from where on a peak is looked around
FARTHEST = 1e12  # a face that goes farther belongs to a density without a bounded window
CANDIDATES = 256  # rows of data that are climbed from
HALVINGS = 60  # of a step: from the gaps of a scan to their rounding
LEVEL = 0.1  # nats that a step from a summit falls, so that it need not be sought more closely
NEGLIGIBLE = 40.0  # nats: e^-40 = 4e-18, below the rounding error of a sum of doubles


def candidates(p, rows=None):
    """Points that may lie near peaks, (m, d): the modes that the energy states, and rows of data
    spread over all heights.

    No rows where a scan sees every peak.
    """
    known = [np.zeros((0, p.space.dim))]
    if (modes := part_of(p.energy, "modes", ENERGY)) is not None:
        known.append(modes(p.theta))
    if rows is not None and len(rows) and not narrowest(p):
        order = np.argsort(-np.nan_to_num(exponents(p, rows), nan=-np.inf), kind="stable")
        known.append(rows[order[:: -(-len(rows) // CANDIDATES)]])
    return np.concatenate(known)


# ----------------------------------------------------------------------------------- on R^d


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
        stride = stride * np.where(
            direction * before < 0, 0.5, np.where(direction * before > 0, 1.3, 1.0)
        )
        before = direction
        if frozen is not None:
            direction[frozen] = 0.0
        x = x + stride * direction
    return best, top


def find_peaks(p, rows=None):
    """Climb from a wide scan, from fans of points at scales from 1/4 to 64 times the natural one,
    and from what is known.

    Around a peak far from the origin nodes lie far apart, so a second scan spreads out from there.
    """
    d = p.space.dim
    unit = p.space.base_scale or 1.0
    near, far = REACH[d]
    wide = _geometric_scan(p, np.zeros(d), unit * near, unit * far)
    ticks = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) if d < 3 else np.array([-1.0, 0.0, 1.0])
    fan = np.array(list(itertools.product(ticks, repeat=d)))
    known = candidates(p, rows)
    starts = [*(fan * unit * scale for scale in FAN), wide.bumps, known]
    strides = [
        *(np.full(fan.shape, unit * scale / 8) for scale in FAN),
        wide.gaps / 4,
        np.minimum(scales(p, known), unit) / 4,
    ]
    peaks, top = climb(p, np.concatenate(starts), np.concatenate(strides), steps=50)
    if not np.isfinite(top).any():
        raise QuadratureError(
            "log p is -inf at every starting point: the density was not found near the origin; "
            "shift or scale x, or use Box"
        )
    require_reached(p, peaks, top)
    peaks, top = distinct(p, peaks, top)
    size, distance = sizes(p, peaks[:1], top[:1]).min(), np.abs(peaks[0]).max()
    if distance < FAR * max(size, near * unit):
        return peaks, top
    there = _geometric_scan(p, peaks[0], 0.5 * size, 2 * distance)
    found, level = climb(p, there.bumps, there.gaps / 4, steps=50)
    return distinct(p, np.concatenate([peaks, found]), np.concatenate([top, level]))


def _geometric_scan(p, centre, near, far):
    """The Scan of nodes whose distances from a centre, along every axis, grow in equal ratios."""
    half = np.geomspace(near, far, FAR_SCAN[p.space.dim] // 2)
    ticks = np.concatenate([-half[::-1], [0.0], half])
    return Scan(p, Grid(tuple((c + ticks, 0 * ticks) for c in centre)))


def require_reached(p, peaks, top):
    """Refuse a highest point that lies too far from the origin."""
    if np.abs(peaks[np.argmax(top)]).max() > FARTHEST:
        raise unreached(p, peaks, top)


def unreached(p, peaks, top):
    """The refusal of a density whose peaks were not all reached, by what stands at the highest, and
    the farthest of these."""
    high = peaks[top >= top.max() - 1.0]
    near, far = (high[order(np.abs(high).max(axis=1))] for order in (np.argmin, np.argmax))
    where, axis = f"x = {np.round(far, 6).tolist()}", int(np.argmax(np.abs(far)))
    if exponent(p, 2 * far[None]) > exponent(p, far[None]):
        return QuadratureError(
            f"log p rises without end, still at {where}: the energy is unbounded below, so Z is "
            "infinite (or its peak lies farther: shift or scale x)"
        )
    if np.abs(far).max() > 1e3 * (np.abs(near).max() + (p.space.base_scale or 1.0)):
        return QuadratureError(
            f"the density does not decay along axis {axis}: at {where} it is as high as near the "
            "origin"
        )
    if np.isfinite(raw_scales(p, far[None])).all():
        return QuadratureError(
            f"the density has a peak near {where}, so far from the origin, or so narrow, that "
            "doubles do not resolve it: shift and scale x, (x - mean) / scale"
        )
    return QuadratureError(
        f"log p rises without end towards {where}: a pole, of which Z may be infinite; use Box, "
        "with the pole at a corner"
    )


def distinct(p, peaks, top):
    """One of every group of climbers that reached the same peak, the highest first: (peaks, their
    exponents)."""
    order = np.argsort(-top, kind="stable")
    order = order[top[order] > -np.inf]
    peaks, top = peaks[order], top[order]
    width, left, kept = sizes(p, peaks, top), np.arange(len(peaks)), []
    while len(left):
        kept.append(left[0])
        left = left[(np.abs(peaks[left] - peaks[left[0]]) > width[left[0]]).any(axis=1)]
    return peaks[kept], top[kept]


def missed_peaks(p, peaks, top, low, high):
    """Peaks of weight that even scans of [low, high] and around it find and `peaks` does not hold.

    Returns (peaks, exponents, the Scan of [low, high]).
    """
    d, around = p.space.dim, 0.5 * (high - low)
    inner = Scan(p, even_grid(low, high, nodes_to_see(p, low, high, WHOLE)))
    low, high = low - around, high + around
    outer = Scan(p, even_grid(low, high, nodes_to_see(p, low, high, AROUND)))
    bumps, u, gaps = (
        np.concatenate(pair)
        for pair in zip(*((s.bumps, s.levels, s.gaps) for s in (inner, outer)), strict=True)
    )
    widths = sizes(p, peaks, top)
    far = (np.abs(bumps[:, None] - peaks) > np.maximum(widths, 2 * gaps[:, None])).any(axis=2)
    unknown = (far | (u[:, None] > top + 1e-6)).all(axis=1)
    if not unknown.any():
        return np.zeros((0, d)), np.zeros(0), inner
    found, level = distinct(p, *climb(p, bumps[unknown], gaps[unknown] / 4, steps=50))
    size = sizes(p, found, level)
    heavy = level + np.log(size).sum(axis=1) > (top + np.log(widths).sum(axis=1)).max() - NEGLIGIBLE
    apart = np.minimum(size[:, None], widths)  # (found, peaks, d)
    pole = np.isinf(raw_scales(p, found))[:, None]  # or a kink; towards a pole one climbs for ever
    apart = np.where(pole, np.maximum(apart, 1e-6 * (high - low)), apart)
    new = (np.abs(found[:, None] - peaks) > apart).any(axis=2).all(axis=1)
    return found[heavy & new], level[heavy & new], inner


def raw_scales(p, x):
    """(-∂²_i log p)^{-1/2} at the rows of x, (n, d); inf where log p is not concave along axis
    i."""
    total = lambda x: ops_sum(exponent(p, x))
    curvature = np.stack(
        [hvp(total, x, np.zeros_like(x) + e)[:, i] for i, e in enumerate(np.eye(x.shape[1]))],
        axis=1,
    )
    curvature = -np.nan_to_num(curvature, nan=0.0, posinf=0.0, neginf=0.0)
    return np.where(curvature > 0, 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), np.inf)


def scales(p, x):
    """`raw_scales`, with the natural scale on an axis along which log p is concave at none of the
    rows."""
    scale = raw_scales(p, x)
    return np.where(np.isinf(scale).all(axis=0), p.space.base_scale or 1.0, scale)


def sizes(p, x, u):
    """How wide p is at the rows of x with exponents u, (n, d): its scale, or where it has none the
    distance of one nat."""
    scale = raw_scales(p, x)
    flat = np.isinf(scale).any(axis=1)
    if flat.any():
        step = np.where(np.isinf(scale[flat]), p.space.base_scale or 1.0, scale[flat])
        scale[flat] = np.minimum(
            scale[flat], Slopes(p, -np.inf, np.inf).width(x[flat], u[flat], step)
        )
    return scale


# --------------------------------------------------------------------------------- in a box


class Slopes:
    """Steps along the axes that stay in a box, and how far log p falls on them."""

    def __init__(self, p, low, high):
        self.p, self.low, self.high = p, low, high
        self.moves = np.concatenate([np.eye(p.space.dim), -np.eye(p.space.dim)])

    def falls(self, x, u, step):
        """Where the 2d steps lead from every point, (m, 2d, d), and how far log p falls on the way,
        (m, 2d)."""
        d = x.shape[1]
        there = np.clip(x[:, None] + self.moves * step[:, None], self.low, self.high)
        fall = u[:, None] - np.nan_to_num(
            exponents(self.p, there.reshape(-1, d)), nan=-np.inf
        ).reshape(-1, 2 * d)
        return there, np.nan_to_num(fall, nan=0.0)

    def ascend(self, x, u, step):
        """Steps that are halved where none leads higher: (x, u)."""
        for _ in range(HALVINGS):
            there, fall = self.falls(x, u, step)
            best, rows = fall.argmin(axis=1), np.arange(len(x))
            higher = fall[rows, best] < 0
            x = np.where(higher[:, None], there[rows, best], x)
            u = np.where(higher, u - fall[rows, best], u)
            step = np.where(higher[:, None], step, step / 2)
            if (np.abs(fall).max(axis=1) < LEVEL).all():
                break
        return x, u

    def width(self, x, u, step):
        """How far it takes to fall by one nat, within a factor of two, (m, d)."""

        # towards the side that falls less, (m, d); beyond a wall there is nothing
        def steep(width):
            there, fall = self.falls(x, u, width)
            clipped = np.abs(there - x[:, None]).sum(axis=2) < 0.99 * np.concatenate(
                [width, width], axis=1
            )
            return np.minimum(*np.split(np.where(clipped, np.inf, fall), 2, axis=1)) > 1.0

        width = step.copy()
        for _ in range(HALVINGS):
            if not (wide := steep(width)).any():
                break
            width = np.where(wide, width / 2, width)
        for _ in range(HALVINGS):
            if not (narrow := ~steep(2 * width) & (2 * width <= self.high - self.low)).any():
                break
            width = np.where(narrow, 2 * width, width)
        return width


# on walls, and where two points lie outside the support
@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def summits(p, scan, low, high, known):
    """The highest points of log p in a box, (m, d), and how far it takes to fall by one nat there,
    (m, d).

    From values alone: steps along the axes from the bumps of a scan and from known points (k, d).
    What carries no mass beside the others is left out.
    """
    x = np.concatenate([scan.bumps, np.clip(known, low, high)])
    if len(x) == 0:
        return x, x
    u = np.concatenate(
        [scan.levels, np.nan_to_num(exponents(p, x[len(scan.bumps) :]), nan=-np.inf)]
    )
    gap = (high - low) / np.array(scan.shape)
    step, slopes = np.concatenate([scan.gaps, np.zeros_like(known) + gap]), Slopes(p, low, high)
    x, u = slopes.ascend(x, u, step)
    width = slopes.width(x, u, step)
    # of a pole the tip has no mass
    heavy = np.where(np.isfinite(u), u, -np.inf) + np.log(width).sum(axis=1)
    kept = heavy > heavy.max() - NEGLIGIBLE
    return x[kept], width[kept]
