"""Where on R^d does a density have its mass, and how finely does it vary there?

The trapezoidal rule needs a box outside which nothing is left, and a first
guess of the step.  Both come from the density itself:

1. climb log p from a fan of starting points at many scales: the *peaks*;
2. push each face of a box outwards until the highest log p *on that face*
   (climbing along it) lies 40 nats below the best peak, or more if
   the tails are heavy;
3. the finest scale of axis i is the least (-∂²_i log p)^{-1/2} found at the
   peaks and along the axes through the best one, wherever mass can hide.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff import hvp
from tinyebm.density import exponent, exponent_and_score
from tinyebm.errors import QuadratureError
from tinyebm.grids import Grid, sinh_trapezoid, trapezoid
from tinyebm.ops import sum as ops_sum

DROPS = (40.0, 55.0, 75.0)  # nats below the peak: e^-40 = 4e-18, below the rounding error of a sum of doubles
GRADED = 200  # scales across the window from which a graded axis pays
FARTHEST = 1e12  # a face that goes farther belongs to a density without a bounded window


@dataclass(frozen=True)
class Window:
    """A box [low, high] holding the mass, its best peak, the finest scale on each axis, and the mass left outside.

    `tail` bounds the relative mass beyond the faces, from the decay of log p there.
    """

    low: np.ndarray
    high: np.ndarray
    peak: np.ndarray
    scale: np.ndarray
    tail: float
    graded: bool = False

    def counts(self, refinement):
        """Nodes per axis for steps of about 0.9 scale / refinement; at least 24 to start with."""
        length = (self.high - self.low) / self.scale
        if self.graded:
            stretched = 4 * sum(np.arcsinh(np.abs(end - self.peak) / self.scale) for end in (self.low, self.high))
            length = np.where(length > GRADED, stretched, length)
        return tuple(int(n) for n in np.ceil(np.maximum(24.0, length / 0.9 + 1) * refinement))

    def grid(self, counts):
        """The trapezoidal grid; if `graded`, axes of very different scales are close at the peak and coarse far out."""
        axes = []
        for n, low, high, peak, scale in zip(counts, self.low, self.high, self.peak, self.scale, strict=True):
            far = self.graded and high - low > GRADED * scale
            axes.append(sinh_trapezoid(n, low, high, peak, scale) if far else trapezoid(n, low, high))
        return Grid(tuple(axes))


def find_window(p, rtol=1e-8):
    """The Window of a density on R^d, d ≤ 3, leaving out a mass of at most rtol / 10.

    Raises
    ------
    QuadratureError
        If log p rises or stays high without end, or has so heavy a tail that no
        window holds enough of it, saying along which axis.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = _peaks(p)
        for drop in DROPS:
            window = _find(p, *found, drop)
            if window.tail <= rtol / 10:
                return window
    raise QuadratureError(f"the tails are too heavy: a window of 10^{math.log10(np.max(window.high - window.low)):.0f} "
                          f"still leaves out a mass of {window.tail:.1e}; accept a larger rtol, or use Box")


def _find(p, peaks, top, enough):
    """The Window for one drop; begins anew when a face runs into a higher peak than was known."""
    for _ in range(20):
        near = np.isfinite(top) & (top >= top.max() - enough)
        peaks, top = peaks[near], top[near]
        best, narrow = peaks[np.argmax(top)], _scales(p, peaks).min(axis=0)
        places, u, tails = _push_faces(p, peaks, top.max(), narrow, enough)
        if u.max() <= top.max() + 1e-6:
            d = p.space.dim
            low, high = places[:d].diagonal().copy(), places[d:].diagonal().copy()
            return Window(low, high, best, _finest(p, peaks, best, low, high), float(tails.sum()))
        higher, level = _climb(p, places[[np.argmax(u)]], narrow / 4, steps=50)
        peaks, top = np.concatenate([peaks, higher]), np.concatenate([top, level])
        if np.abs(higher).max() > FARTHEST:
            break
    raise QuadratureError("log p rises without end: the energy is unbounded below, so Z is infinite")


def _climb(p, x, stride, steps, frozen=None):
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


def _peaks(p):
    """Climb from grids of starting points at scales from 1/4 to 64 times the natural one."""
    d = p.space.dim
    unit = p.space.base_scale or 1.0
    ticks = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) if d < 3 else np.array([-1.0, 0.0, 1.0])
    corners = np.array(list(itertools.product(ticks, repeat=d)))
    starts = np.concatenate([corners * unit * scale for scale in (0.25, 1.0, 4.0, 16.0, 64.0)])
    strides = np.repeat(unit * np.array([0.25, 1.0, 4.0, 16.0, 64.0]), len(corners))[:, None] / 8
    peaks, top = _climb(p, starts, strides, steps=50)
    if not np.isfinite(top).any():
        raise QuadratureError("log p is -inf at every starting point: the density was not found near the origin; "
                              "shift or scale x, or use Box")
    if np.abs(peaks[np.argmax(top)]).max() > FARTHEST or top.max() == np.inf:
        raise QuadratureError("log p rises without end: the energy is unbounded below, so Z is infinite")
    order = np.argsort(-top)
    peaks, top, scale = peaks[order], top[order], _scales(p, peaks[order])
    kept = []
    for i in range(len(peaks)):  # one of every group of climbers that reached the same peak
        if all((np.abs(peaks[i] - peaks[k]) > scale[k]).any() for k in kept) and len(kept) < 32:
            kept.append(i)
    return peaks[kept], top[kept]


def _scales(p, x):
    """(-∂²_i log p)^{-1/2} at the rows of x, (n, d); inf where log p is not concave along axis i."""
    total = lambda x: ops_sum(exponent(p, x))
    curvature = np.stack([hvp(total, x, np.zeros_like(x) + e)[:, i] for i, e in enumerate(np.eye(x.shape[1]))], axis=1)
    curvature = -np.nan_to_num(curvature, nan=0.0, posinf=0.0, neginf=0.0)
    scale = np.where(curvature > 0, 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), np.inf)
    return np.where(np.isinf(scale).all(axis=0), p.space.base_scale or 1.0, scale)


def _push_faces(p, peaks, top, narrow, enough):
    """Move the 2d faces of a box out until log p on each is `enough` below `top`.

    Returns, per face (all lower ones, then all upper ones), its highest point
    (2d, d), the exponent there, and the relative mass beyond; stops at once at a
    point above `top`.  The next distance is guessed as if log p fell like the
    square of the distance, between the bounds found so far.
    """
    d = p.space.dim
    face, axis, sign = np.arange(2 * d), np.tile(np.arange(d), 2), np.repeat([-1.0, 1.0], d)
    origin = np.concatenate([peaks.min(axis=0), peaks.max(axis=0)])
    low, high = origin[:d] - 6 * narrow, origin[d:] + 6 * narrow
    diagonal = low + np.linspace(0, 1, 9)[:, None] * (high - low)
    x = np.tile(np.concatenate([peaks, diagonal]), (2 * d, 1, 1))  # (faces, points, d)
    frozen = np.zeros(x.shape, dtype=bool)
    frozen[face, :, axis] = True
    u = np.zeros(x.shape[:2])
    distance, near, far = 6 * narrow[axis], np.zeros(2 * d), np.full(2 * d, np.inf)
    moving = np.ones(2 * d, dtype=bool)
    for _ in range(100):
        x[face, :, axis] = (origin + sign * distance)[:, None]
        points, held = x[moving].reshape(-1, d), frozen[moving].reshape(-1, d)
        climbed, level = _climb(p, points, (high - low) / 20, 12 if d > 1 else 1, held)
        x[moving], u[moving] = climbed.reshape(x[moving].shape), level.reshape(u[moving].shape)
        drop = top - u.max(axis=1)
        if drop.min() < -1e-6:
            break
        near, far = np.where(drop < enough, distance, near), np.where(drop < enough, far, distance)
        moving = ~((drop >= enough) & (drop <= 1.5 * enough) | (far < 1.05 * near) | (distance > FARTHEST))
        if not moving.any():
            break
        guess = distance * np.sqrt(1.2 * enough / np.clip(drop, 1e-9, 1e12))
        guess = np.minimum(np.maximum(np.maximum(guess, 1.02 * near), distance / 8), 2 * distance)
        before, distance = distance, np.where(
            moving, np.where(far < np.inf, np.minimum(guess, (near + far) / 2), guess), distance)
        x = peaks[0] + (x - peaks[0]) * (distance / before)[:, None, None]  # a straight ridge is followed outwards

    place = x[face, u.argmax(axis=1)]
    if drop.min() < -1e-6:
        return place, u.max(axis=1), np.zeros(2 * d)
    with np.errstate(divide="ignore"):  # along the ray from the peak log p falls like -decay log(distance):
        decay = (exponent(p, place) - exponent(p, peaks[0] + 1.1 * (place - peaks[0]))) / math.log(1.1)
    endless = (distance > FARTHEST) | ~((decay > d) | (drop == np.inf))  # ∫ beyond is finite if decay > d
    if endless.any():
        i = np.argmax(endless)
        raise QuadratureError(f"the density does not decay along axis {axis[i]} towards {'-+'[int(sign[i] > 0)]}infinity: "
                              f"{drop[i]:.3g} nats below its peak at a distance of {distance[i]:.3g}")
    extent = place[d:].diagonal() - place[:d].diagonal()
    wide = np.minimum(_scales(p, place), extent) / narrow  # how wide the density is on the face, next to the peak
    wide[face, axis] = 1.0
    tail = np.exp(-drop) * wide.prod(axis=1) * distance / np.maximum(decay - d, 1e-3) / narrow[axis]
    return place, u.max(axis=1), np.where(drop == np.inf, 0.0, tail)


def _finest(p, peaks, best, low, high):
    """The least scale per axis at the peaks and on lines through the best one, where e^u Π scale is not negligible."""
    d = p.space.dim
    lines = np.tile(best, (33 * d, 1))
    for i in range(d):
        lines[33 * i : 33 * (i + 1), i] = np.linspace(low[i], high[i], 33)
    x = np.concatenate([peaks, lines])
    scale = np.minimum(_scales(p, x), high - low)
    mass = exponent(p, x) + np.log(scale).sum(axis=1)
    return np.where((mass > mass.max() - 30.0)[:, None], scale, np.inf).min(axis=0)
