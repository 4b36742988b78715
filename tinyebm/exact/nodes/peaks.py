"""The peaks of a density, where its mass may be, and their widths.

On R^d they are found by ascent of log p from

1. the bumps of a scan whose nodes lie farther and farther apart, and a fan of points;
2. known points: the modes of the energy (`modes`), and rows of data;
3. the bumps of a scan with equal gaps in the window that was found, and in the region around it.

In a box the *summits* of log p are found by steps along the axes, because log p may have kinks, and
may be highest on a wall.  `exact.nodes.scans` says which peaks a scan finds.
"""

import itertools

import numpy as np

from tinyebm.autodiff.ops import sum as ops_sum
from tinyebm.autodiff.tape import hvp
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.common.errors import QuadratureError
from tinyebm.density import exponent, exponent_and_score, exponents
from tinyebm.exact.nodes.scans import AROUND, WHOLE, Scan, narrowest, nodes_to_see
from tinyebm.spaces.grids import Grid, gauss_legendre, trapezoid

FAR_SCAN = {1: 3001, 2: 61, 3: 27}  # nodes per axis of the wide scan; odd: one is its centre
# the least and the largest distance of its nodes from the centre, in natural scales
REACH = {1: (1e-3, 1e9), 2: (1e-1, 1e4), 3: (0.25, 4096.0)}
FAN = (0.25, 1.0, 4.0, 16.0, 64.0)  # half widths of the fans of points, in natural scales
TICKS = {1: 5, 2: 5, 3: 3}  # points of a fan per axis
FAR = 30.0  # a peak so many standard deviations from the origin needs a second wide scan
FARTHEST = 1e12  # no peak and no face of a window lies farther from the origin
CANDIDATES = 256  # rows of data that are climbed from
HALVINGS = 60  # of a step: from the gaps of a scan down to rounding
DOUBLINGS = 2.0 ** np.arange(1, 9)[:, None, None]  # tried at once
LEVEL = 0.1  # nats; a summit is found where every step falls by less
NEGLIGIBLE = 40.0  # nats: e^-40 = 4e-18, below the rounding error of a sum in double precision
ASLANT = np.array([1.0, 0.7549, 0.5698])  # a direction that lies in no plane of symmetry
PARTS = (1.0, 0.7549, 0.5698)  # parts of a distance: no two peaks lie at all of them
ASIDE = 1e-4  # strides: how far a start is moved in that direction
DECIMALS = 11  # of log p at a peak; the others are rounding
TIE = 1e-6  # nats: a fall of log p that differs less from what it is compared with is equal to it


def candidates(p, rows=None):
    """Points near which peaks may lie, (m, d): the energy's modes, and rows of data.

    The rows are evenly picked in the order of log p.  If a scan finds every peak, none are needed.
    """
    known = [np.zeros((0, p.space.dim))]
    if (modes := part_of(p.energy, "modes", ENERGY)) is not None:
        known.append(modes(p.theta))
    if rows is not None and len(rows) and not narrowest(p):
        order = np.argsort(-np.nan_to_num(exponents(p, rows), nan=-np.inf), kind="stable")
        known.append(rows[order[:: -(-len(rows) // CANDIDATES)]])
    return np.concatenate(known)


# ----------------------------------------------------------------------------------- on R^d


def climb(p, x, stride, steps, frozen=False):
    """Ascent of log p from the points x (..., d): the best points and their exponents (...).

    Every coordinate moves by its own stride, in the direction of the score.  The stride grows by
    1.3 while the score keeps its sign, and halves when the sign changes (resilient propagation:
    Riedmiller & Braun 1993).  Coordinates in the mask `frozen`, of the shape of x, stay.
    """
    x, stride, before = x.copy(), np.zeros_like(x) + stride, np.zeros_like(x)
    best, top = x.copy(), np.full(x.shape[:-1], -np.inf)
    for _ in range(steps):
        u, s = exponent_and_score(p, x.reshape(-1, x.shape[-1]))
        u, s = u.reshape(top.shape), s.reshape(x.shape)
        if np.isnan(u).any():
            where = np.round(x[np.isnan(u)][0], 4).tolist()
            raise QuadratureError(f"the energy is nan at x = {where}")
        better = u > top
        best[better], top[better] = x[better], u[better]
        direction = np.where(frozen, 0.0, np.sign(np.nan_to_num(s)))
        turned, kept = direction * before < 0, direction * before > 0
        stride = stride * np.where(turned, 0.5, np.where(kept, 1.3, 1.0))
        before = direction
        x = x + stride * direction
    return best, top


def climb_from(p, x, stride):
    """`climb` in 50 steps, from points (m, d) moved a little aside: (peaks, exponents).

    On a plane of symmetry of log p the score across is 0, or rounding.  So rounding would decide
    whether a start there leaves the plane.
    """
    return climb(p, x + ASIDE * stride * ASLANT[: x.shape[1]], stride, steps=50)


def find_peaks(p, rows=None):
    """The peaks of a density on R^d, (m, d), the highest first, and their exponents (m,).

    The nodes of the first scan lie far apart at a peak far from the origin.  If the highest peak is
    such a one, a second scan spreads out from there.
    """
    d, unit = p.space.dim, p.space.base_scale or 1.0
    near, far = REACH[d]
    wide = _geometric_scan(p, np.zeros(d), unit * near, unit * far)
    fan = np.array(list(itertools.product(np.linspace(-1.0, 1.0, TICKS[d]), repeat=d)))
    half = unit * np.repeat(FAN, len(fan))[:, None]
    known = candidates(p, rows)
    starts = [half * np.tile(fan, (len(FAN), 1)), wide.bumps, known]
    strides = [half / 8 + 0 * starts[0], wide.gaps / 4, np.minimum(scales(p, known), unit) / 4]
    peaks, top = climb_from(p, np.concatenate(starts), np.concatenate(strides))
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
    found, level = climb_from(p, there.bumps, there.gaps / 4)
    return distinct(p, np.concatenate([peaks, found]), np.concatenate([top, level]))


def far_nodes(p):
    """The nodes of the wide scan, (n, d): their distances from the origin grow in equal ratios."""
    near, far = REACH[p.space.dim]
    unit = p.space.base_scale or 1.0
    return _geometric_grid(np.zeros(p.space.dim), unit * near, unit * far).all()[0]


def _geometric_scan(p, centre, near, far):
    """A Scan with nodes at distances from a centre that grow in equal ratios, along every axis."""
    return Scan(p, _geometric_grid(centre, near, far))


def _geometric_grid(centre, near, far):
    half = np.geomspace(near, far, FAR_SCAN[len(centre)] // 2)
    ticks = np.concatenate([-half[::-1], [0.0], half])
    return Grid(tuple((c + ticks, 0 * ticks) for c in centre))


def require_reached(p, peaks, top):
    """Raise QuadratureError if the highest peak lies farther than FARTHEST from the origin."""
    if np.abs(peaks[np.argmax(top)]).max() > FARTHEST:
        raise unreached(p, peaks, top)


def unreached(p, peaks, top):
    """The QuadratureError for a density some of whose peaks were not reached; it names them."""
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


def ranked(peaks, top):
    """The order of peaks, the highest first; equally high ones by their places along ASLANT."""
    place = peaks @ ASLANT[: peaks.shape[1]]
    return np.lexsort((-place, -np.round(top, DECIMALS)))


def distinct(p, peaks, top):
    """One of all climbers that reached the same peak, the highest first: (peaks, exponents)."""
    order = ranked(peaks, top)
    order = order[top[order] > -np.inf]
    peaks, top = peaks[order], top[order]
    width, left, kept = sizes(p, peaks, top), np.arange(len(peaks)), []
    while len(left):
        kept.append(left[0])
        left = left[(np.abs(peaks[left] - peaks[left[0]]) > width[left[0]]).any(axis=1)]
    return peaks[kept], top[kept]


def missed_peaks(p, peaks, top, low, high):
    """Peaks with mass in [low, high], or around it, that even scans find and `peaks` lacks.

    Returns (peaks (m, d), exponents (m,), the Scan of [low, high]).
    """
    d, around = p.space.dim, 0.5 * (high - low)
    inner = _even_scan(p, low, high, WHOLE[d])
    low, high = low - around, high + around
    outer = _even_scan(p, low, high, AROUND[d])
    bumps = np.concatenate([inner.bumps, outer.bumps])
    u = np.concatenate([inner.levels, outer.levels])
    gaps = np.concatenate([inner.gaps, outer.gaps])

    widths = sizes(p, peaks, top)
    far = (np.abs(bumps[:, None] - peaks) > np.maximum(widths, 2 * gaps[:, None])).any(axis=2)
    unknown = (far | (u[:, None] > top + 1e-6)).all(axis=1)
    if not unknown.any():
        return np.zeros((0, d)), np.zeros(0), inner
    found, level = distinct(p, *climb_from(p, bumps[unknown], gaps[unknown] / 4))

    size = sizes(p, found, level)
    heavy = log_masses(level, size) > log_masses(top, widths).max() - NEGLIGIBLE
    apart = np.minimum(size[:, None], widths)  # (found, peaks, d)
    # climbers never reach a pole, so a peak near a pole is not new
    pole = np.isinf(raw_scales(p, found))[:, None]
    apart = np.where(pole, np.maximum(apart, 1e-6 * (high - low)), apart)
    new = heavy & (np.abs(found[:, None] - peaks) > apart).any(axis=2).all(axis=1)
    return found[new], level[new], inner


def _even_scan(p, low, high, most):
    """The Scan of equidistant nodes in [low, high], at most so many per axis."""
    counts = nodes_to_see(p, low, high, most)
    return Scan(p, Grid(tuple(map(trapezoid, counts, low, high))))


def raw_scales(p, x):
    """(-∂²_i log p)^{-1/2} at the rows of x, (n, d); inf if log p is not concave along axis i."""
    total = lambda x: ops_sum(exponent(p, x))
    axes = np.eye(x.shape[1])
    second = [hvp(total, x, np.zeros_like(x) + e)[:, i] for i, e in enumerate(axes)]
    curvature = -np.nan_to_num(np.stack(second, axis=1), nan=0.0, posinf=0.0, neginf=0.0)
    concave = curvature > 0
    return np.where(concave, 1 / np.sqrt(np.where(concave, curvature, 1.0)), np.inf)


def scales(p, x):
    """`raw_scales`, but the natural scale on an axis along which log p is concave at no row."""
    scale = raw_scales(p, x)
    return np.where(np.isinf(scale).all(axis=0), p.space.base_scale or 1.0, scale)


def sizes(p, x, u):
    """How wide p is at the rows of x with exponents u, (n, d).

    That is its scale, or if log p is not concave the distance on which it falls by one nat.
    """
    scale = raw_scales(p, x)
    flat = np.isinf(scale).any(axis=1)
    if flat.any():
        step = np.where(np.isinf(scale[flat]), p.space.base_scale or 1.0, scale[flat])
        scale[flat] = np.minimum(scale[flat], _width(p, x[flat], u[flat], step, -np.inf, np.inf))
    return scale


def log_masses(u, widths):
    """About the log masses of peaks with exponents u (m,) and widths (m, d), up to a constant."""
    return u + np.log(widths).sum(axis=1)


# --------------------------------------------------------------------------------- in a box


# log p may be -inf on walls, and where two points lie outside the support
@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def summits(p, low, high, rows=None, most=np.inf):
    """The Scan of a box, the summits of log p in it, (m, d), and how wide p is there, (m, d).

    The scan has Gauss-Legendre nodes, at most so many per axis.  Summits without mass, beside the
    others, are left out.
    """
    counts = nodes_to_see(p, low, high, min(most, WHOLE[p.space.dim]))
    panels = [getattr(p.space, "panels", 1)] * len(low)
    scan = Scan(p, Grid(tuple(map(gauss_legendre, counts, low, high, panels))))
    known = np.clip(candidates(p, rows), low, high)
    x = np.concatenate([scan.bumps, known])
    if len(x) == 0:
        return scan, x, x
    u = np.concatenate([scan.levels, np.nan_to_num(exponents(p, known), nan=-np.inf)])
    step = np.concatenate([scan.gaps, np.zeros_like(known) + (high - low) / scan.shape])
    x, u = _ascend(p, x, u, step, low, high)
    width = _width(p, x, u, step, low, high)
    # the tip of a pole, where log p is inf, has no mass
    mass = log_masses(np.where(np.isfinite(u), u, -np.inf), width)
    kept = mass > mass.max() - NEGLIGIBLE
    return scan, x[kept], width[kept]


def _falls(p, x, u, step, low, high):
    """Where steps along ± every axis in a box lead, (m, 2d, d), and the fall of log p, (m, 2d)."""
    d = x.shape[1]
    moves = np.concatenate([np.eye(d), -np.eye(d)]) * step[:, None]
    there = np.clip(x[:, None] + moves, low, high)
    level = np.nan_to_num(exponents(p, there.reshape(-1, d)), nan=-np.inf)
    return there, np.nan_to_num(u[:, None] - level.reshape(-1, 2 * d), nan=0.0)


def _ascend(p, x, u, step, low, high):
    """Steps to the highest neighbour, halved if none is higher: (x (m, d), u (m,))."""
    rows = np.arange(len(x))
    for _ in range(HALVINGS):
        there, fall = _falls(p, x, u, step, low, high)
        best = fall.argmin(axis=1)
        higher = fall[rows, best] < 0
        x = np.where(higher[:, None], there[rows, best], x)
        u = np.where(higher, u - fall[rows, best], u)
        step = np.where(higher[:, None], step, step / 2)
        if (np.abs(fall).max(axis=1) < LEVEL).all():
            break
    return x, u


def _width(p, x, u, width, low, high):
    """The distance on which log p falls by one nat, on the side where it falls less, (m, d).

    A first guess `width` (m, d) is halved or doubled until it is right within a factor of two.  Log
    p may be high again at that distance, at another peak, so that parts of it are looked at, too.
    """

    def too_wide(widths):  # (k, m, d)
        return np.any([falls(part * widths) for part in PARTS], axis=0)

    def falls(widths):
        k, m, d = widths.shape
        step, start, level = widths.reshape(-1, d), np.tile(x, (k, 1)), np.tile(u, k)
        there, fall = _falls(p, start, level, step, low, high)
        both = np.concatenate([step, step], axis=1)
        beyond = np.abs(there - start[:, None]).sum(axis=2) < 0.99 * both  # p is 0 beyond a wall
        least = np.minimum(*np.split(np.where(beyond, np.inf, fall), 2, axis=1))
        return (least > 1.0 + TIE).reshape(k, m, d)

    for _ in range(HALVINGS):
        if not (halve := too_wide(width[None])[0]).any():
            break
        width = np.where(halve, width / 2, width)
    for _ in range(0, HALVINGS, len(DOUBLINGS)):
        widths = DOUBLINGS * width
        fits = ~too_wide(widths) & (widths <= high - low)
        doubled = np.cumprod(fits, axis=0).sum(axis=0)  # how often, before the first misfit
        width = width * 2.0**doubled
        if (doubled < len(DOUBLINGS)).all():
            break
    return width
