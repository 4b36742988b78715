"""The exercises of notebook 01."""

import math

import numpy as np

import tinyebm as te
from course.near import near


def quartic_z():
    """∫ exp(-x⁴/4 + x²/2) dx: the energy is ¼(x² - 1)² - ¼, a double well whose Z is known by Bessel functions."""
    from scipy.special import iv

    return math.exp(0.25) * math.pi / 2 * math.exp(-0.125) * (iv(-0.25, 0.125) + iv(0.25, 0.125))


def heat():
    """The entropy of N(0, 2) less that of N(0, 1), by quadrature."""
    normal = lambda precision: te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.array([[precision]])},
                                          te.Reals(1))  # fmt: skip
    return te.entropy(normal(0.5)) - te.entropy(normal(1.0))


def shift():
    """log Z of a shifted energy, less that of the energy."""
    tables = [te.Density(te.TabularEnergy(3), {"energy": np.arange(3.0) + c}, te.Cells(3)) for c in (0.0, 5.0)]
    return te.log_partition(tables[1]) - te.log_partition(tables[0])


def growth(answer):
    """The least growth of five networks, against the exact one (`MLP.min_recession`)."""
    for seed in range(5):
        net = te.MLP((2, 8, 8, 1))
        theta = net.init(np.random.default_rng(100 + seed))
        found, wanted = float(answer([layer["W"] for layer in theta])), net.min_recession(theta)[0]
        if not abs(found - wanted) < 2e-3:
            return f"of one network the least growth is {wanted:.3f}, and the function says {found:.3f}"


CHECKS = {"1.1": near(quartic_z, 1e-7), "1.2": near(shift, 1e-9), "1.3": near(heat, 1e-4), "1.4": growth}
