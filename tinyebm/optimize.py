"""Steps of θ: first-order optimisers on trees, and L-BFGS to convergence.

An optimiser is a pair of functions, `init(theta) -> state` and
`update(gradient, state, theta) -> (theta, state)`; states are trees of arrays.
A learning rate is a number, or a function of the step 0, 1, 2, ...
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyebm.backend import fused
from tinyebm.checks import require_decay, require_nonnegative, require_positive
from tinyebm.tree import ravel, tree_flatten, tree_map


class Optimizer(NamedTuple):
    """A rule for moving θ against a gradient."""

    init: Callable
    update: Callable


def sgd(learning_rate: float | Callable[[int], float]) -> Optimizer:
    """θ ← θ - η g."""
    return momentum(learning_rate, 0.0)


def momentum(learning_rate: float | Callable[[int], float], decay: float = 0.9) -> Optimizer:
    """v ← β v + g,  θ ← θ - η v (Polyak 1964, heavy ball)."""
    rate = _schedule(learning_rate)
    require_decay("decay", decay)

    def init(theta):
        return {"step": np.array(0), "velocity": tree_map(np.zeros_like, theta)}

    def update(gradient, state, theta):
        step = int(state["step"])
        velocity = tree_map(lambda v, g: decay * v + g, state["velocity"], gradient)
        theta = tree_map(lambda t, v: t - rate(step) * v, theta, velocity)
        return theta, {"step": np.array(step + 1), "velocity": velocity}

    return Optimizer(init, update)


def adam(learning_rate: float | Callable[[int], float], decay1: float = 0.9, decay2: float = 0.999,
         epsilon: float = 1e-8) -> Optimizer:
    """θ ← θ - η m̂ / (√v̂ + ε) with bias-corrected moments m̂, v̂ (Kingma & Ba 2015, algorithm 1).

    >>> init, update = adam(0.1)
    >>> theta, state = update({"w": np.array([3.0])}, init({"w": np.array([1.0])}), {"w": np.array([1.0])})
    >>> theta["w"].round(6)
    array([0.9])
    """
    rate = _schedule(learning_rate)
    require_decay("decay1", decay1)
    require_decay("decay2", decay2)
    require_nonnegative("epsilon", epsilon)

    def init(theta):
        return {"step": np.array(0), "m": tree_map(np.zeros_like, theta), "v": tree_map(np.zeros_like, theta)}

    def update(gradient, state, theta):
        step = int(state["step"])
        m = tree_map(lambda m, g: _mix(m, g, decay1, 1 - decay1), state["m"], gradient)
        v = tree_map(lambda v, g: _mix_squares(v, g, decay2, 1 - decay2), state["v"], gradient)
        unbias1, unbias2 = 1 - decay1 ** (step + 1), 1 - decay2 ** (step + 1)
        eta = rate(step) / unbias1
        theta = tree_map(lambda t, m, v: _adam_step(t, m, v, eta, 1 / unbias2, epsilon), theta, m, v)
        return theta, {"step": np.array(step + 1), "m": m, "v": v}

    return Optimizer(init, update)


@fused
def _mix(average, x, decay, rest):
    return decay * average + rest * x


@fused
def _mix_squares(average, x, decay, rest):
    return decay * average + rest * x * x


@fused
def _adam_step(t, m, v, eta, scale, epsilon):
    return t - eta * m / (np.sqrt(v * scale) + epsilon)


@np.errstate(divide="ignore")  # a gradient of length 0
def clip_norm(gradient, largest):
    """The gradient, shortened to Euclidean length `largest` over all its leaves if it is longer."""
    length = np.sqrt(sum((g * g).sum() for g in tree_flatten(gradient)[0]))
    shrink = np.minimum(largest / length, 1.0)
    return tree_map(lambda g: g * shrink.astype(g.dtype), gradient)


def lbfgs(value_and_gradient, theta, max_steps=1000, gtol=1e-8):
    """Minimise a smooth function of a tree; return (theta, value, steps, converged).

    `value_and_gradient(theta)` returns a float and a tree.  L-BFGS-B (Byrd et al.
    1995, SIAM J. Sci. Comput. 16:1190) as implemented by SciPy, with 20 pairs.
    `gtol` bounds the largest component of the gradient.
    """
    import scipy.optimize  # takes 0.1 s to load: only when used

    flat, unravel = ravel(theta)

    def function(vector):
        value, gradient = value_and_gradient(unravel(vector))
        return value, ravel(gradient)[0]

    options = {"maxiter": max_steps, "maxfun": 2 * max_steps, "gtol": gtol, "ftol": 0.0, "maxcor": 20}
    found = scipy.optimize.minimize(function, flat, jac=True, method="L-BFGS-B", options=options)
    return unravel(found.x), float(found.fun), int(found.nit), bool(np.abs(found.jac).max() <= gtol)


def _schedule(learning_rate):
    if not callable(learning_rate):
        require_positive("learning_rate", learning_rate)
        return lambda step: learning_rate

    def checked(step):
        rate = learning_rate(step)
        require_nonnegative(f"the learning rate of step {step}", rate)
        return rate

    return checked
