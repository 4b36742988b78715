"""Update rules for θ: gradient descent, momentum and Adam; and L-BFGS, a minimiser.

An optimiser is a pair of functions, `init(theta) -> state` and
`update(gradient, state, theta) -> (theta, state)`; states are trees of arrays.
A learning rate is a number, or a function of the step 0, 1, 2, ...
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyebm.autodiff.ops import fused
from tinyebm.common.checks import require_decay, require_nonnegative, require_positive
from tinyebm.common.tree import ravel, tree_flatten, tree_map

NATURAL = (1e-2, 1e2)  # if the spread lies between these, a parameter keeps its unit
# L-BFGS ends after PATIENCE rounds that each lower the value by less than the fraction TINY of it
PATIENCE, TINY = 3, 1e-6
NOISE = 1e-8  # relative error of a value


class Optimizer(NamedTuple):
    """An update rule for θ: `init(theta)` and `update(gradient, state, theta)`.

    >>> signs = Optimizer(lambda theta: (), lambda g, state, theta: (theta - 0.1 * np.sign(g), state))
    >>> signs.update(np.array([3.0, -2.0]), (), np.zeros(2))[0]
    array([-0.1,  0.1])
    """

    init: Callable
    update: Callable


def sgd(learning_rate: float | Callable[[int], float]) -> Optimizer:
    """The rule θ ← θ - η g, gradient descent.

    >>> init, update = sgd(0.1)
    >>> theta = {"w": np.array([1.0])}
    >>> update({"w": np.array([3.0])}, init(theta), theta)[0]["w"].round(6)
    array([0.7])
    """
    return momentum(learning_rate, 0.0)


def momentum(learning_rate: float | Callable[[int], float], decay: float = 0.9) -> Optimizer:
    """The rule v ← β v + g,  θ ← θ - η v (Polyak 1964, heavy ball).

    >>> init, update = momentum(0.1, decay=0.5)
    >>> theta, g = {"w": np.array([1.0])}, {"w": np.array([3.0])}
    >>> theta, state = update(g, init(theta), theta)
    >>> update(g, state, theta)[0]["w"].round(6)  # 1 - 0.3 - 0.45
    array([0.25])
    """
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


def adam(
    learning_rate: float | Callable[[int], float],
    decay1: float = 0.9,
    decay2: float = 0.999,
    epsilon: float = 1e-8,
) -> Optimizer:
    """The rule θ ← θ - η m̂ / (√v̂ + ε), with m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g².

    m̂ = m / (1 - β₁^t) and v̂ = v / (1 - β₂^t) correct the bias that comes from the start m = v = 0
    (Kingma & Ba 2015, algorithm 1).

    >>> init, update = adam(0.1)
    >>> theta = {"w": np.array([1.0])}
    >>> theta, state = update({"w": np.array([3.0])}, init(theta), theta)
    >>> theta["w"].round(6)
    array([0.9])
    """
    rate = _schedule(learning_rate)
    require_decay("decay1", decay1)
    require_decay("decay2", decay2)
    require_nonnegative("epsilon", epsilon)

    def init(theta):
        return {
            "step": np.array(0),
            "m": tree_map(np.zeros_like, theta),
            "v": tree_map(np.zeros_like, theta),
        }

    def update(gradient, state, theta):
        step = int(state["step"])
        m = tree_map(lambda m, g: _mix(m, g, decay1, 1 - decay1), state["m"], gradient)
        v = tree_map(lambda v, g: _mix_squares(v, g, decay2, 1 - decay2), state["v"], gradient)
        unbias1, unbias2 = 1 - decay1 ** (step + 1), 1 - decay2 ** (step + 1)
        eta = rate(step) / unbias1
        theta = tree_map(
            lambda t, m, v: _adam_step(t, m, v, eta, 1 / unbias2, epsilon), theta, m, v
        )
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
    """The gradient; if it is longer, shortened to Euclidean length `largest` over all leaves."""
    length = np.sqrt(sum((g * g).sum() for g in tree_flatten(gradient)[0]))
    shrink = np.minimum(largest / length, 1.0)
    return tree_map(lambda g: g * shrink.astype(g.dtype), gradient)


def lbfgs(value_and_gradient, theta, max_steps=1000, gtol=1e-8, spread=None):
    """Minimise a smooth function of a tree; return (theta, value, steps, converged).

    `value_and_gradient(theta)` returns a float and a tree.  If it returns inf, the line search
    steps back.  A StopIteration ends the run at the best θ so far.

    L-BFGS-B (Byrd et al. 1995, SIAM J. Sci. Comput. 16:1190) as implemented by SciPy, with 20
    pairs, starts again from the best θ until the gradient is small or no lower value is found.

    `spread(theta)` is a tree of scales of the derivatives by each parameter.  Where such a scale is
    not of order one (NATURAL), the parameter is measured in the unit 1/scale, so that the result
    does not depend on the units of θ.  In these units no component of the gradient exceeds `gtol`
    at the end.
    """
    start, unravel = ravel(theta)

    def function(flat):
        value, gradient = value_and_gradient(unravel(flat))
        return _Point(flat, float(value), ravel(gradient)[0])

    path = _Path(function, start)
    steps, idle, before, unit_before = 0, 0, None, None
    while True:
        best, unit = path.best, np.ones_like(start)
        if spread is not None and steps < max_steps:
            unit = _units(ravel(spread(unravel(best.at)))[0])
        converged = bool(np.abs(best.gradient * unit).max(initial=0.0) <= gtol)
        if before is None:  # a small spread may only mean that the start is poor
            unit = np.minimum(unit, 1.0)
        again = best is before and np.array_equal(unit, unit_before)
        if converged or again or path.ended or steps >= max_steps or idle == PATIENCE:
            return unravel(best.at), best.value, steps, converged
        goal = gtol if before is None else gtol / 2
        steps += path.descend(unit, max_steps - steps, goal)
        lower = path.best.value < best.value - TINY * max(1.0, abs(best.value))
        idle = 0 if lower else idle + 1
        before, unit_before = best, unit


def _units(spread):
    with np.errstate(divide="ignore"):
        keep = (spread == 0) | (spread > NATURAL[0]) & (spread < NATURAL[1])
        return np.where(keep, 1.0, 1 / spread)


class _Point(NamedTuple):
    """A point with the value and the gradient of a function there."""

    at: Any
    value: float
    gradient: Any


class _Path:
    """The point of the lowest value of a function so far; `function` maps vectors to _Points."""

    def __init__(self, function, start):
        self.function, self.best = function, function(start)
        self.highest, self.ended = abs(self.best.value), False

    def descend(self, unit, steps, gtol):
        """Run L-BFGS-B from the best point, in these units; return the number of steps."""
        import scipy.optimize  # takes 0.1 s to load: only when used

        start = self.best

        def function(vector):
            if not vector.any():
                return start.value, start.gradient * unit
            point = self.function(start.at + unit * vector)
            if not (np.isfinite(point.value) and np.isfinite(point.gradient).all()):
                return self.highest + 1e3, np.zeros_like(vector)  # higher than all values so far
            self.highest = max(self.highest, abs(point.value))
            if point.value < self.best.value:
                self.best = point
            return point.value, point.gradient * unit

        limits = {"maxiter": steps, "maxfun": 2 * steps + 20}
        options = limits | {"gtol": gtol, "ftol": 0.0, "maxcor": 20}
        zeros = np.zeros_like(start.at)
        try:
            found = scipy.optimize.minimize(
                function, zeros, jac=True, method="L-BFGS-B", options=options
            )
        except StopIteration:
            self.ended = True
            return 1
        # rounding may have given the end a higher value than the best
        if found.nit and np.abs(found.jac).max() <= gtol:
            self.best = _Point(start.at + unit * found.x, float(found.fun), found.jac / unit)
        if found.status != 1:  # it did not run out of steps
            self._polish(unit, gtol, found.hess_inv)
        return int(found.nit)

    def _polish(self, unit, gtol, inverse):
        """Take quasi-Newton steps as long as they shorten the gradient.

        Near the minimum values differ only by rounding, and a line search by values fails.
        """
        while (slope := np.abs(self.best.gradient * unit).max()) > gtol:
            flat = self.best.at - unit * inverse.matvec(self.best.gradient * unit)
            point, value = self.function(flat), self.best.value
            same = abs(point.value - value) <= NOISE * max(1.0, abs(value))
            if not (same and np.abs(point.gradient * unit).max() < 0.9 * slope):
                break
            self.best = point


def _schedule(learning_rate):
    if not callable(learning_rate):
        require_positive("learning_rate", learning_rate)
        return lambda step: learning_rate

    def checked(step):
        rate = learning_rate(step)
        require_nonnegative(f"the learning rate of step {step}", rate)
        return rate

    return checked
