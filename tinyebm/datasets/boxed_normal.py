"""The law of a normal plus a uniform variable: its log density and moments, differentiable."""

import math

import numpy as np

from tinyebm.autodiff.tape import primitive

BOX_NODES, BOX_WEIGHTS = np.polynomial.legendre.leggauss(10)


@primitive(lambda g, y, t, a: g * (box_moment(t, a, 1) - t))
def log_boxed_normal(t, a):
    """log ∫ N(t; u, 1) du / 2a over |u| < a: the log density of a normal plus a uniform
    variable."""
    return (
        np.log(_box_sum(t, a, 0))
        + a * BOX_NODES[-1] * np.abs(t)
        - 0.5 * (t * t + math.log(2 * math.pi))
    )


@primitive(lambda g, y, t, a, k: g * (box_moment(t, a, k + 1) - y * box_moment(t, a, 1)))
def box_moment(t, a, k):
    """E[u^k | t], with u the uniform variable of `log_boxed_normal`."""
    return _box_sum(t, a, k) / _box_sum(t, a, 0)


def _box_sum(t, a, k):
    """∫ u^k e^{tu - u²/2} du / 2a over |u| < a by Gauss-Legendre, its largest exponential taken
    out."""
    size, total, term = np.abs(t), np.zeros_like(t), np.empty_like(t)
    for u, w in zip(a * BOX_NODES, BOX_WEIGHTS / 2, strict=True):
        # in place: half the time
        np.exp(np.multiply(size, u - a * BOX_NODES[-1], out=term), out=term)
        total += np.multiply(term, w * u**k * math.exp(-0.5 * u * u), out=term)
    return total if k % 2 == 0 else np.copysign(total, t)
