"""The exercises of notebook 03."""

import numpy as np

import tinyebm as te
from tinyebm import ops


class Leaf:
    """A node that stands on nobody's tape."""

    def __init__(self, value):
        self.value, self.adjoint = value, 0.0


def softplus(answer):
    """Values and local derivatives against those of the package, at five points."""
    for value in (-4.0, -0.5, 0.0, 1.0, 3.0):
        leaf = Leaf(value)
        found = answer(leaf)
        (parent, slope), = found.parents
        if parent is not leaf or abs(found.value - float(ops.softplus(np.array(value)))) > 1e-9:
            return f"at {value} the value is another"
        if abs(float(slope) - float(te.grad(ops.softplus)(value))) > 1e-9:
            return f"at {value} the derivative is another"


def culprit(answer):
    """The function whose derivative automatic differentiation contradicts."""
    rules = {"square root": (ops.sqrt, 0.5 / np.sqrt(0.7)), "log cosh": (lambda x: ops.softplus(2 * x) - x, np.tanh(0.7)),
             "sigmoid": (ops.sigmoid, np.exp(-0.7) / (1 + np.exp(-0.7))),
             "silu": (ops.silu, (1 + 0.7 / (1 + np.exp(0.7))) / (1 + np.exp(-0.7)))}  # fmt: skip
    wrong, = [name for name, (f, claimed) in rules.items() if abs(float(te.grad(f)(0.7)) - claimed) > 1e-9]
    return None if answer == wrong else "that one is right; compare the others"


def curvature(answer):
    """Of a network, against the Laplacian by the package, which is that of log p = -E."""
    net = te.MLP((2, 6, 1), activation="tanh")
    theta, x = net.init(np.random.default_rng(3)), np.random.default_rng(4).standard_normal((5, 2))
    found, wanted = np.asarray(answer(lambda x: net(theta, x), x)), -te.laplacian(te.Density(net, theta, te.Reals(2)), x)
    if found.shape != wanted.shape:
        return f"one number for each of the 5 rows is wanted, got shape {found.shape}"
    return None if np.allclose(found, wanted, atol=1e-9) else "the numbers are others"


def stale(answer):
    """What was traced at zero multiplies by one; what is asked at one adds one."""
    truth = np.ones(3)
    wanted = abs((truth + 1.0) - truth * 1.0).max()
    return None if abs(abs(float(answer)) - wanted) < 1e-12 else "not yet: follow both branches"


CHECKS = {"3.1": softplus, "3.2": culprit, "3.3": curvature, "3.4": stale}
