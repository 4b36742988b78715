"""The exercises of notebook 03."""

import numpy as np

import tinyebm as te
from course.near import choice, function, near
from tinyebm import ops


class Leaf:
    """A node that stands on nobody's tape."""

    def __init__(self, value):
        self.value, self.parents, self.adjoint = value, (), 0.0


def along(node, leaf):
    """The derivative of a node by a leaf: over all paths, the product of the local derivatives."""
    return 1.0 if node is leaf else sum(slope * along(parent, leaf) for parent, slope in node.parents)


def softplus(answer):
    """Values and derivatives against those of the package, at five points."""
    for value in (-4.0, -0.5, 0.0, 1.0, 3.0):
        leaf = Leaf(value)
        found = function(answer)(leaf)
        if not hasattr(found, "parents"):
            return "return a Node, with its value and its (parent, local derivative) pairs"
        wanted, slope = float(ops.softplus(np.array(value))), float(te.grad(ops.softplus)(value))
        if abs(found.value - wanted) > 1e-9:
            return f"at {value} the value should be {wanted:.4f}, and is {found.value:.4f}"
        if abs(along(found, leaf) - slope) > 1e-9:
            return f"at {value} the derivative should be {slope:.4f}, and is {along(found, leaf):.4f}"


def culprit():
    """The function whose claimed derivative automatic differentiation contradicts."""
    x = 0.7
    exp = np.exp(-x)
    rules = {  # name: (the function by operations of the package, the claimed derivative at x)
        "square root": (ops.sqrt, 0.5 / np.sqrt(x)),
        "silu": (ops.silu, (1 + x / (1 + 1 / exp)) / (1 + exp)),
        "log cosh": (lambda x: ops.softplus(2 * x) - x, np.tanh(x)),
        "sigmoid": (ops.sigmoid, exp / (1 + exp)),
        "arctan": (lambda x: integral_of(lambda t: 1 / (1 + t * t), x), 1 / (1 + x * x)),
    }
    wrong, = [name for name, (f, claimed) in rules.items() if abs(float(te.grad(f)(x)) - claimed) > 1e-9]
    return wrong


def integral_of(f, x):
    """∫_0^x f by Gauss's rule, as a function of x that can be differentiated."""
    t, w = np.polynomial.legendre.leggauss(30)
    return ops.sum(0.5 * w * f(0.5 * x * (t + 1))) * x


def curvature(answer):
    """Of a network, against the Laplacian by the package, which is that of log p = -E."""
    net = te.MLP((2, 6, 1), activation="tanh")
    theta, x = net.init(np.random.default_rng(3)), np.random.default_rng(4).standard_normal((5, 2))
    found = np.asarray(function(answer)(lambda x: net(theta, x), x))
    wanted = -te.laplacian(te.Density(net, theta, te.Reals(2)), x)
    if found.shape != wanted.shape:
        return f"one number for each of the 5 rows is wanted, in an array of shape (5,), not {found.shape}"
    if not np.allclose(found, wanted, atol=1e-9):
        return f"at {x[0].round(2)} it should be {wanted[0]:.4f}, and is {found[0]:.4f}"


def stale():
    """What was traced at zero multiplies by one; what is asked at one adds one."""
    x = 1.0
    return (x + 1.0) - x * 1.0


CHECKS = {
    "3.1": softplus,
    "3.2": choice(culprit, ("square root", "silu", "log cosh", "sigmoid", "arctan")),
    "3.3": curvature,
    "3.4": near(stale, 1e-12),
}
