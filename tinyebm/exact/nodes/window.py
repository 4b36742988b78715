"""Where on R^d does a density have its mass, and how finely does it vary there?

The trapezoidal rule needs a box outside which nothing is left, and a first
guess of the step.  Both come from the density itself:

1. find its *peaks* (`exact.peaks`);
2. push each face of a box outwards until the highest log p *on that face*
   (climbing along it) lies 40 nats below the best peak, or more if
   the tails are heavy;
3. scan the box and what is around it; a peak that was missed is added, and 2. begins anew;
4. the finest scale of axis i is the least (-∂²_i log p)^{-1/2} found at the
   peaks and along the axes through the best one, wherever mass can hide.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinyebm.common.errors import QuadratureError
from tinyebm.density import exponent
from tinyebm.exact.nodes.peaks import (
    FARTHEST,
    NEGLIGIBLE,
    climb,
    find_peaks,
    missed_peaks,
    require_reached,
    scales,
    sizes,
    unreached,
)
from tinyebm.exact.nodes.scans import Scan
from tinyebm.spaces.grids import Grid, sinh_trapezoid, trapezoid

# their multiples modulo 1 lie evenly
SHIFTS = {1: (0.6180,), 2: (0.7549, 0.5698), 3: (0.8192, 0.6710, 0.5497)}
DROPS = (NEGLIGIBLE, 55.0, 75.0)  # nats below the peak
GRADED = 200  # scales across the window from which a graded axis pays


@dataclass(frozen=True)
class Window:
    """A box [low, high] holding the mass, its best peak, the finest scale on each axis, and the
    mass left outside.

    `tail` bounds the relative mass beyond the faces, from the decay of log p there.  `peaks` and
    `sizes` (m, d) are those of all peaks, and `scan` looked for others between them.  If there is
    only one, axes may be `graded` towards the best.
    """

    low: np.ndarray
    high: np.ndarray
    peak: np.ndarray
    scale: np.ndarray
    tail: float
    peaks: np.ndarray
    sizes: np.ndarray
    scan: Scan
    graded: bool = False

    def counts(self, refinement):
        """Nodes per axis for steps of about 0.9 scale / refinement; at least 24 to start with."""
        length = (self.high - self.low) / self.scale
        if self.graded:
            stretched = 4 * sum(
                np.arcsinh(np.abs(end - self.peak) / self.scale) for end in (self.low, self.high)
            )
            length = np.where(length > GRADED, stretched, length)
        return tuple(int(n) for n in np.ceil(np.maximum(24.0, length / 0.9 + 1) * refinement))

    def grid(self, counts, shift=(0.0, 0.0, 0.0)):
        """The trapezoidal grid, shifted by parts of a step; if `graded`, close at the peak and
        coarse far out."""
        axes = []
        for n, low, high, peak, scale, part in zip(
            counts, self.low, self.high, self.peak, self.scale, shift, strict=False
        ):
            far = self.graded and high - low > GRADED * scale
            axes.append(
                sinh_trapezoid(n, low, high, peak, scale, part)
                if far
                else trapezoid(n, low, high, part)
            )
        return Grid(tuple(axes))

    def variants(self, counts):
        """Three grids as good as `grid(counts)` for what is smooth, and different for what is not:
        shifted ones."""
        return [
            self.grid(counts, tuple(k * part % 1 for part in SHIFTS[len(counts)]))
            for k in (1, 2, 3)
        ]


def find_window(p, rtol=1e-8, least=DROPS[0], rows=None):
    """The Window of a density on R^d, d ≤ 3, leaving out a mass of at most rtol / 10; its faces lie
    `least` nats down.

    Rows of data, if there are any, are candidates for peaks.

    Raises
    ------
    QuadratureError
        If log p rises or stays high without end, or has so heavy a tail that no
        window holds enough of it, saying along which axis.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = find_peaks(p, rows)
        for drop in (least, *(drop for drop in DROPS if drop > least)):
            window = _find(p, *found, drop)
            if window.tail <= rtol / 10:
                return window
    raise QuadratureError(
        "the tails are too heavy: a window of "
        f"10^{math.log10(np.max(window.high - window.low)):.0f} still leaves out a mass of "
        f"{window.tail:.1e}; accept a larger rtol, or use Box"
    )


def _find(p, peaks, top, enough):
    """The Window for one drop; begins anew when a face runs into a higher peak than was known, or a
    scan into another."""
    rise = 1e-6  # what a face may lie above the peaks
    for _ in range(20):
        size = sizes(p, peaks, top)
        mass = top + np.log(size).sum(axis=1)
        near = mass >= mass.max() - enough
        peaks, top, size, mass = peaks[near], top[near], size[near], mass[near]
        best, narrow = peaks[np.argmax(top)], scales(p, peaks).min(axis=0)
        # for the widest peak, too
        depth = enough + top.max() - (mass.max() - np.log(size).sum(axis=1).max())
        places, u, tails = _push_faces(p, _spread(peaks), top.max(), narrow, depth, rise)
        if u.max() <= top.max() + rise:
            d = p.space.dim
            low, high = places[:d].diagonal().copy(), places[d:].diagonal().copy()
            found, level, scan = missed_peaks(p, peaks, top, low, high)
            if len(found) == 0:
                heavy = mass > mass.max() - NEGLIGIBLE
                scale = _finest(p, peaks, best, low, high)
                return Window(
                    low, high, best, scale, float(tails.sum()), peaks[heavy], size[heavy], scan
                )
        else:
            found, level = climb(p, places[[np.argmax(u)]], narrow / 4, steps=50)
            if (np.abs(found - peaks) < 1e-3 * narrow).all(axis=1).any():
                rise = math.inf  # it is a known peak at a wall, or a pole: the closer, the higher
                continue
        peaks, top = np.concatenate([peaks, found]), np.concatenate([top, level])
        require_reached(p, peaks, top)
    raise unreached(p, peaks, top)


def _spread(peaks):
    """The highest sixteen of some peaks, and the outermost along every axis."""
    return peaks[
        np.unique(
            np.concatenate(
                [np.arange(min(16, len(peaks))), peaks.argmin(axis=0), peaks.argmax(axis=0)]
            )
        )
    ]


def _push_faces(p, peaks, top, narrow, enough, rise):
    """Move the 2d faces of a box out until log p on each is `enough` below `top`.

    Returns, per face (all lower ones, then all upper ones), its highest point
    (2d, d), the exponent there, and the relative mass beyond; stops at once at a
    point more than `rise` above `top`.  A face behind which log p does not decay has not gone far
    enough.  The next distance is guessed as if log p fell like the square of the
    distance, between the bounds found so far.
    """
    d = p.space.dim
    face, axis, sign = np.arange(2 * d), np.tile(np.arange(d), 2), np.repeat([-1.0, 1.0], d)
    origin = np.concatenate([peaks.min(axis=0), peaks.max(axis=0)])
    low, high = origin[:d] - 6 * narrow, origin[d:] + 6 * narrow
    diagonal = low + np.linspace(0, 1, 9)[:, None] * (high - low)
    # (faces, points, d); the last stay beside their peaks
    x = np.tile(np.concatenate([diagonal, peaks, peaks]), (2 * d, 1, 1))
    frozen = np.zeros(x.shape, dtype=bool)
    frozen[face, :, axis] = True
    stride = np.broadcast_to((high - low) / 20, x.shape).copy()
    stride[:, -len(peaks) :] = narrow
    u = np.zeros(x.shape[:2])
    distance, near, far = 6 * narrow[axis], np.zeros(2 * d), np.full(2 * d, np.inf)
    moving = np.ones(2 * d, dtype=bool)

    def decay(place):
        """How log p falls along the rays from the best peak, where it is like -decay
        log(distance)."""
        with np.errstate(divide="ignore"):
            return (
                exponent(p, place) - exponent(p, peaks[0] + 1.1 * (place - peaks[0]))
            ) / math.log(1.1)

    for _ in range(100):
        x[:, -len(peaks) :] = peaks
        x[face, :, axis] = (origin + sign * distance)[:, None]
        points, held = x[moving].reshape(-1, d), frozen[moving].reshape(-1, d)
        climbed, level = climb(p, points, stride[moving].reshape(-1, d), 12 if d > 1 else 1, held)
        x[moving], u[moving] = climbed.reshape(x[moving].shape), level.reshape(u[moving].shape)
        drop = top - u.max(axis=1)
        if drop.min() < -rise:
            break
        place = x[face, u.argmax(axis=1)]
        decays = (decay(place) > d) | (drop == np.inf)  # ∫ beyond is finite if decay > d
        deep = (drop >= enough) & decays
        near, far = np.where(deep, near, distance), np.where(deep, distance, far)
        closed = far < 1.05 * near
        moving = ~(deep & ((drop <= 1.5 * enough) | closed) | (distance > FARTHEST))
        if not moving.any():
            break
        guess = distance * np.where(
            (drop >= enough) & ~decays, 1.5, np.sqrt(1.2 * enough / np.clip(drop, 1e-9, 1e12))
        )
        guess = np.minimum(np.maximum(np.maximum(guess, 1.02 * near), distance / 8), 2 * distance)
        guess = np.where(
            closed, far, np.where(far < np.inf, np.minimum(guess, (near + far) / 2), guess)
        )
        before, distance = distance, np.where(moving, guess, distance)
        # a straight ridge is followed outwards
        x = peaks[0] + (x - peaks[0]) * (distance / before)[:, None, None]

    place = x[face, u.argmax(axis=1)]
    if drop.min() < -rise:
        return place, u.max(axis=1), np.zeros(2 * d)
    endless = (distance > FARTHEST) | ~decays
    if endless.any():
        i = np.argmax(endless)
        raise QuadratureError(
            f"the density does not decay along axis {axis[i]} towards "
            f"{'-+'[int(sign[i] > 0)]}infinity: {drop[i]:.3g} nats below its peak at a distance of "
            f"{distance[i]:.3g}"
        )
    extent = place[d:].diagonal() - place[:d].diagonal()
    # how wide the density is on the face, next to the peak
    wide = np.minimum(scales(p, place), extent) / narrow
    wide[face, axis] = 1.0
    tail = (
        np.exp(-drop)
        * wide.prod(axis=1)
        * distance
        / np.maximum(decay(place) - d, 1e-3)
        / narrow[axis]
    )
    return place, u.max(axis=1), np.where(drop == np.inf, 0.0, tail)


def _finest(p, peaks, best, low, high):
    """The least scale per axis at the peaks and on lines through the best one, where e^u Π scale is
    not negligible."""
    d = p.space.dim
    lines = np.tile(best, (33 * d, 1))
    for i in range(d):
        lines[33 * i : 33 * (i + 1), i] = np.linspace(low[i], high[i], 33)
    x = np.concatenate([peaks, lines])
    scale = np.minimum(scales(p, x), high - low)
    mass = exponent(p, x) + np.log(scale).sum(axis=1)
    return np.where((mass > mass.max() - 30.0)[:, None], scale, np.inf).min(axis=0)
