"""The exercises of notebook 02."""

import numpy as np

import tinyebm as te
from course.near import choice, function, near, number


def years():
    """40^10 energies at 10^8 a second."""
    return float(np.prod(np.full(10, 40.0))) / 1e8 / 3.156e7


def relation():
    """Jensen's inequality, by a sum: weights 1 and 3 with equal probability."""
    return "<=" if np.mean(np.log([1.0, 3.0])) < np.log(2.0) else ">="


def gradient(answer):
    """The derivative of log Z-hat by automatic differentiation."""
    for x in (0.3, -1.2, 2.0):
        wanted = te.grad(lambda a, x=x: te.ops.log(5.0 * te.ops.exp(-(a * x**2 + 2.0 * x**4))))(-4.0)
        found = number(function(answer)(x))
        if not abs(found - float(wanted)) < 1e-9:
            return f"at x = {x} the function says {found:.4f}, and automatic differentiation {wanted:.4f}"


def points():
    """10^4 times the relative variance of a weight, whose moments are integrals on [-5, 5]."""
    t = np.linspace(-5, 5, 20001)
    mean = lambda power: np.exp(-power * t**2 / 2).mean()
    return ((mean(2) / mean(1) ** 2) ** 10 - 1) * 1e4


CHECKS = {
    "2.1": near(years, relative=0.02),
    "2.2": choice(relation, ("<=", ">=")),
    "2.3": gradient,
    "2.4": near(points, relative=0.05, slips=[(lambda: 1e4, "that is for a weight whose standard deviation is its mean")]),
}
