"""The window: a box in R^d that holds the mass of a density, for the trapezoidal rule.

1. Find the peaks of the density (`exact.nodes.peaks`).
2. Move every face of a box outwards until the highest log p on it, found by climbing along the
   face, is 40 nats below the highest peak; or more, if the tails are heavy.
3. Scan the box and the region around it.  If this finds another peak, add it and go to 2.
4. Take as scale of axis i, which sets the step of the rule, the least (-∂²_i log p)^{-1/2} at the
   peaks and on lines through the highest one, at places that may carry mass.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyebm.common.errors import QuadratureError
from tinyebm.density import exponent
from tinyebm.exact.nodes.peaks import (
    FARTHEST,
    NEGLIGIBLE,
    TIE,
    climb,
    find_peaks,
    log_masses,
    missed_peaks,
    ranked,
    require_reached,
    scales,
    sizes,
    summits,
    unreached,
)
from tinyebm.exact.nodes.scans import Scan
from tinyebm.spaces.grids import Grid, sinh_trapezoid, trapezoid

# parts of a step; their multiples modulo 1 are evenly distributed
SHIFTS = {1: (0.6180,), 2: (0.7549, 0.5698), 3: (0.8192, 0.6710, 0.5497)}
DROPS = (NEGLIGIBLE, 55.0, 75.0)  # nats from the peak down to the faces, the first that do
GRADED = 200  # an axis of more than so many scales is graded
FEWEST = 24.0  # nodes per axis at refinement 1


@dataclass(frozen=True)
class Window:
    """A box [low, high] that holds the mass of a density, and the trapezoidal rule on it.

    `tail` bounds the relative mass outside, `peaks` (m, d) have the `sizes` (m, d), and `scan` is
    the Scan of the box.  On R^d it also has the highest `peak` (d,) and the finest `scale` (d,),
    and what `find_peaks` returned, `known`.  The nodes of `graded` axes lie close together at the
    peak and far apart elsewhere.
    """

    low: np.ndarray
    high: np.ndarray
    tail: float
    peaks: np.ndarray
    sizes: np.ndarray
    scan: Scan
    peak: Any = None
    scale: Any = None
    known: Any = None
    graded: bool = False

    def counts(self, refinement):
        """Nodes per axis for steps of about 0.9 scale / refinement."""
        length = (self.high - self.low) / self.scale
        ends = np.stack([self.low, self.high])
        stretched = 4 * np.arcsinh(np.abs(ends - self.peak) / self.scale).sum(axis=0)
        length = np.where(self._far(), stretched, length)
        return tuple(int(n) for n in np.ceil(np.maximum(FEWEST, length / 0.9 + 1) * refinement))

    def grid(self, counts, shift=(0.0, 0.0, 0.0)):
        """The trapezoidal grid, shifted by parts of a step."""
        axes = []
        for i, (n, far) in enumerate(zip(counts, self._far(), strict=True)):
            if far:
                rule = sinh_trapezoid(
                    n, self.low[i], self.high[i], self.peak[i], self.scale[i], shift[i]
                )
            else:
                rule = trapezoid(n, self.low[i], self.high[i], shift[i])
            axes.append(rule)
        return Grid(tuple(axes))

    def _far(self):
        """Which axes are graded, (d,)."""
        return self.graded & (self.high - self.low > GRADED * self.scale)

    def variants(self, counts):
        """Three shifted grids.  Sums over them agree for smooth functions, but not for others."""
        shifts = np.outer((1, 2, 3), SHIFTS[len(counts)]) % 1
        return [self.grid(counts, shift) for shift in shifts.tolist()]


def whole_box(p, max_nodes, rows=None):
    """The Window of a density in a Box: the whole box."""
    d = p.space.dim
    low, high = (np.full(d, float(end)) for end in (p.space.low, p.space.high))
    scan, peaks, widths = summits(p, low, high, rows, max(3, int(max_nodes ** (1 / d))))
    return Window(low, high, 0.0, peaks, widths, scan)


def find_window(p, rtol=1e-8, least=DROPS[0], rows=None, known=None):
    """The Window of a density on R^d, d ≤ 3, outside of which lies at most rtol / 10 of the mass.

    log p is at least `least` nats below its peak on every face.  Rows of data (n, d) are candidates
    for peaks, unless the peaks are `known` from another window.

    Raises
    ------
    QuadratureError
        If log p rises or stays high without end, or its tails are too heavy for any window; the
        message names the axis.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        known = known or find_peaks(p, rows)
        for drop in (least, *(drop for drop in DROPS if drop > least)):
            window = _find(p, *known, drop)
            if window.tail <= rtol / 10:
                return replace(window, known=known)
    raise QuadratureError(
        "the tails are too heavy: a window of "
        f"10^{math.log10(np.max(window.high - window.low)):.0f} still leaves out a mass of "
        f"{window.tail:.1e}; accept a larger rtol, or use Box"
    )


def _find(p, peaks, top, enough):
    """The Window whose faces are `enough` nats down, from peaks with exponents `top`.

    It starts again when a face or a scan finds a peak that was not among them.
    """
    d = p.space.dim
    rise = 1e-6  # nats that a face may lie above the peaks
    for _ in range(20):
        order = ranked(peaks, top)
        peaks, top = peaks[order], top[order]
        size = sizes(p, peaks, top)
        mass = log_masses(top, size)
        near = mass >= mass.max() - enough
        peaks, top, size, mass = peaks[near], top[near], size[near], mass[near]
        narrow = scales(p, peaks).min(axis=0)
        # the faces are deep for the widest peak, too
        depth = enough + top.max() - (mass.max() - log_masses(0.0, size).max())
        places, u, tails = _push_faces(p, _spread(peaks), top.max(), narrow, depth, rise)

        if u.max() <= top.max() + rise:
            low, high = places[:d].diagonal().copy(), places[d:].diagonal().copy()
            found, level, scan = missed_peaks(p, peaks, top, low, high)
            if len(found) == 0:
                heavy, best = mass > mass.max() - NEGLIGIBLE, peaks[0]
                scale = _finest(p, peaks, best, low, high)
                tail = float(tails.sum())
                return Window(low, high, tail, peaks[heavy], size[heavy], scan, best, scale)
        else:
            found, level = climb(p, places[[np.argmax(u)]], narrow / 4, steps=50)
            if (np.abs(found - peaks) < 1e-3 * narrow).all(axis=1).any():
                rise = math.inf  # a known peak on a wall, or a pole: log p rises on the way to it
                continue
        peaks, top = np.concatenate([peaks, found]), np.concatenate([top, level])
        require_reached(p, peaks, top)
    raise unreached(p, peaks, top)


def _spread(peaks):
    """The highest sixteen of some peaks, and the outermost along every axis."""
    some = [np.arange(min(16, len(peaks))), peaks.argmin(axis=0), peaks.argmax(axis=0)]
    return peaks[np.unique(np.concatenate(some))]


def _push_faces(p, peaks, top, narrow, enough, rise):
    """Move the 2d faces of a box out until log p is at most `top` - `enough` on every one of them.

    The face across axis i on side s = -1 or 1, at a distance t from the outermost peak, is
    {x : x_i = peak_i + s t}.  With h the highest log p that climbers find on it, at x*,

        drop = top - h,
        decay = [log p(x*) - log p(x*')] / log 1.1,   x*' - peak = 1.1 (x* - peak).        (1)

    Where log p falls like -a log |x|, decay = a, and the mass beyond the face is finite if a > d.
    So a face is deep enough if drop ≥ enough and decay > d.

    Returns, per face (all lower ones, then all upper ones), x* (2d, d), h (2d,) and the relative
    mass beyond (2d,).  It stops early, with no masses, if h is more than `rise` above `top`.
    """
    d = p.space.dim
    face, axis, sign = np.arange(2 * d), np.tile(np.arange(d), 2), np.repeat([-1.0, 1.0], d)
    origin = np.concatenate([peaks.min(axis=0), peaks.max(axis=0)])
    x, stride = _climbers(peaks, narrow)
    fixed = np.zeros(x.shape, dtype=bool)  # the coordinate across the face
    fixed[face, :, axis] = True
    u = np.zeros(x.shape[:2])
    distance, near, far = 6 * narrow[axis], np.zeros(2 * d), np.full(2 * d, np.inf)
    done = np.zeros(2 * d, dtype=bool)
    steps = 12 if d > 1 else 1  # on the line a face is a point

    for _ in range(100):
        x[:, -len(peaks) :] = peaks  # some climbers start beside the peaks every time
        x[face, :, axis] = (origin + sign * distance)[:, None]
        x[~done], u[~done] = climb(p, x[~done], stride[~done], steps, fixed[~done])
        highest, drop = x[face, u.argmax(axis=1)], top - u.max(axis=1)
        if drop.min() < -rise:
            return highest, u.max(axis=1), np.zeros(2 * d)
        decays = (_decay(p, highest, peaks[0]) > d) | (drop == np.inf)
        deep = (drop >= enough - TIE) & decays
        near, far = np.where(deep, near, distance), np.where(deep, distance, far)
        near_enough = (drop <= 1.5 * enough + TIE) | (far < 1.05 * near)
        done = deep & near_enough | (distance > FARTHEST)
        if done.all():
            break
        before = distance
        wanted = _next_distance(distance, near, far, drop, enough, decays)
        distance = np.where(done, distance, wanted)
        # climbers move out along rays from the best peak: they stay on a straight ridge
        x = peaks[0] + (x - peaks[0]) * (distance / before)[:, None, None]

    _require_decay(distance, decays, drop)
    tails = _tails(p, peaks[0], highest, drop, distance, narrow)
    return highest, u.max(axis=1), tails


def _climbers(peaks, narrow):
    """Points that climb on the 2d faces, and their strides, both (2d, points, d).

    They start on the diagonal of a box around the peaks, and twice beside every peak.
    """
    low, high = peaks.min(axis=0) - 6 * narrow, peaks.max(axis=0) + 6 * narrow
    diagonal = low + np.linspace(0, 1, 9)[:, None] * (high - low)
    x = np.tile(np.concatenate([diagonal, peaks, peaks]), (2 * len(narrow), 1, 1))
    stride = np.broadcast_to((high - low) / 20, x.shape).copy()
    stride[:, -len(peaks) :] = narrow
    return x, stride


@np.errstate(divide="ignore")
def _decay(p, x, peak):
    """Eq. (1) at points x (m, d), along the rays from a peak, (m,)."""
    return (exponent(p, x) - exponent(p, peak + 1.1 * (x - peak))) / math.log(1.1)


def _next_distance(distance, near, far, drop, enough, decays):
    """The next distance of every face, between the bounds `near` and `far` that are known.

    It is guessed as if drop ∝ distance², for a drop of 1.2 enough.  A face that is low enough but
    behind which log p does not decay moves out by one half.
    """
    guess = distance * np.sqrt(1.2 * enough / np.clip(drop, 1e-9, 1e12))
    guess = np.where((drop >= enough) & ~decays, 1.5 * distance, guess)
    guess = np.clip(guess, np.maximum(1.02 * near, distance / 8), 2 * distance)
    return np.where(far < 1.05 * near, far, np.minimum(guess, (near + far) / 2))


def _require_decay(distance, decays, drop):
    """Raise QuadratureError for a face beyond which the density does not decay."""
    endless = (distance > FARTHEST) | ~decays
    if endless.any():
        d, i = len(endless) // 2, int(np.argmax(endless))
        raise QuadratureError(
            f"the density does not decay along axis {i % d} towards {'-+'[i // d]}infinity: "
            f"{max(drop[i], 0.0):.3g} nats below its peak at a distance of {distance[i]:.3g}"
        )


def _tails(p, peak, x, drop, distance, narrow):
    """The mass beyond every face over that of the best peak, from its highest point x, (2d,).

    Where log p falls like -a log(distance), the integral of p along the axis from there on is
    p(x) · distance / (a - d).  Across, p is as wide as at x; the mass at the peak is its height
    times its widths `narrow`.
    """
    d = len(narrow)
    face, axis = np.arange(2 * d), np.tile(np.arange(d), 2)
    extent = x[d:].diagonal() - x[:d].diagonal()
    wide = np.minimum(scales(p, x), extent) / narrow
    wide[face, axis] = 1.0
    steep = np.maximum(_decay(p, x, peak) - d, 1e-3)
    tail = np.exp(-drop) * wide.prod(axis=1) * distance / steep / narrow[axis]
    return np.where(drop == np.inf, 0.0, tail)


def _finest(p, peaks, best, low, high):
    """The least scale per axis at the peaks and on lines through the best one, (d,).

    Places with negligible mass are left out.
    """
    lines = np.tile(best, (len(best), 33, 1))  # (axis, point, d)
    for i in range(len(best)):
        lines[i, :, i] = np.linspace(low[i], high[i], 33)
    x = np.concatenate([peaks, *lines])
    scale = np.minimum(scales(p, x), high - low)
    mass = log_masses(exponent(p, x), scale)
    return np.where((mass > mass.max() - 30.0)[:, None], scale, np.inf).min(axis=0)
