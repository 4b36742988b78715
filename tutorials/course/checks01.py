"""The exercises of notebook 01."""

import math

import numpy as np

import tinyebm as te
from course.near import function, near, number


def quartic_z():
    """∫ exp(-x⁴) dx = 2 Γ(5/4)."""
    return 2 * math.gamma(1.25)


def heat():
    """The entropy of N(0, 2) less that of N(0, 1), by quadrature."""
    normal = lambda precision: te.Density(
        te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.array([[precision]])}, te.Reals(1))
    return te.entropy(normal(0.5)) - te.entropy(normal(1.0))


def shift():
    """log Z of a shifted energy, less that of the energy."""
    table = lambda c: te.Density(te.TabularEnergy(3), {"energy": np.arange(3.0) + c}, te.Cells(3))
    return te.log_partition(table(5.0)) - te.log_partition(table(0.0))


def growth(answer):
    """The least growth of networks of different depths, some of which rise, against `MLP.min_recession`."""
    for sizes, seed in (((2, 8, 8, 1), 100), ((2, 8, 8, 1), 106), ((2, 16, 1), 1), ((2, 6, 6, 6, 1), 2)):
        net = te.MLP(sizes)
        theta = net.init(np.random.default_rng(seed))
        wanted = net.min_recession(theta)[0]
        found = number(function(answer)([layer["W"].copy() for layer in theta]))
        if not abs(found - wanted) < 2e-3:
            return f"of a {'-'.join(map(str, sizes))} network the least growth is {wanted:.3f}, and the function says {found:.3f}"


CHECKS = {
    "1.1": near(quartic_z, 1e-7, slips=[(lambda: math.log(quartic_z()), "that is log Z")]),
    "1.2": near(shift, 1e-9, slips=[(lambda: -shift(), "the other sign: e^{-E} becomes smaller")]),
    "1.3": near(heat, 1e-3, slips=[(lambda: 2 * heat(), "the standard deviation grows by √2 only")]),
    "1.4": growth,
}
