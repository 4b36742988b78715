"""Steps of θ: first-order optimisers on trees, and L-BFGS to convergence.

An optimiser is a pair of functions, `init(theta) -> state` and
`update(gradient, state, theta) -> (theta, state)`; states are trees of arrays.
A learning rate is a number, or a function of the step 0, 1, 2, ...
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyebm.autodiff.ops import fused
from tinyebm.common.checks import require_decay, require_nonnegative, require_positive
from tinyebm.common.tree import ravel, tree_flatten, tree_map


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


def adam(
    learning_rate: float | Callable[[int], float],
    decay1: float = 0.9,
    decay2: float = 0.999,
    epsilon: float = 1e-8,
) -> Optimizer:
    """θ ← θ - η m̂ / (√v̂ + ε) with bias-corrected moments m̂, v̂ (Kingma & Ba 2015, algorithm 1).

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
    """The gradient, shortened to Euclidean length `largest` over all its leaves if it is longer."""
    length = np.sqrt(sum((g * g).sum() for g in tree_flatten(gradient)[0]))
    shrink = np.minimum(largest / length, 1.0)
    return tree_map(lambda g: g * shrink.astype(g.dtype), gradient)


def lbfgs(value_and_gradient, theta, max_steps=1000, gtol=1e-8, spread=None):
    """Minimise a smooth function of a tree; return (theta, value, steps, converged).

    `value_and_gradient(theta)` returns a float and a tree; the float is inf where θ cannot be
    judged: the line search steps back.  A StopIteration ends the run at the best θ.

    L-BFGS-B (Byrd et al. 1995, SIAM J. Sci. Comput. 16:1190) as implemented by SciPy, with 20
    pairs, begins anew from the best θ until the gradient is small or no lower value is found.

    `spread(theta)`, a tree, is how much a unit of each parameter matters there.  A parameter for
    which that is not of order one (NATURAL) is measured in units of 1/spread, so that the end does
    not depend on the units of θ.  `gtol` bounds the largest component of the gradient in those.
    """
    start, unravel = ravel(theta)
    path = _Path(
        lambda flat: (lambda f, g: (f, ravel(g)[0]))(*value_and_gradient(unravel(flat))), start
    )
    steps, idle, before = 0, 0, (None, None)
    while True:
        # with all steps spent there is nothing more to measure
        plain = spread is None or steps >= max_steps
        unit = np.ones_like(start) if plain else _units(ravel(spread(unravel(path.best)))[0])
        converged = bool(np.abs(path.gradient * unit).max(initial=0.0) <= gtol)
        first = before[0] is None
        unit = np.minimum(unit, 1.0) if first else unit  # a small spread may only mean a poor start
        again = path.best is before[0] and np.array_equal(unit, before[1])
        if converged or again or path.ended or steps >= max_steps or idle == PATIENCE:
            return unravel(path.best), path.value, steps, converged
        before, value = (path.best, unit), path.value
        steps += path.descend(unit, max_steps - steps, gtol if first else gtol / 2)
        idle = 0 if path.value < value - TINY * max(1.0, abs(value)) else idle + 1


NATURAL = (1e-2, 1e2)  # a spread in between leaves the unit of a parameter as it is
# rounds of L-BFGS that lower the value by so small a part of it, after which no more are tried
PATIENCE, TINY = 3, 1e-6
NOISE = 1e-8  # of a value: what its error may be


def _units(spread):
    with np.errstate(divide="ignore"):
        return np.where(
            (spread == 0) | (spread > NATURAL[0]) & (spread < NATURAL[1]), 1.0, 1 / spread
        )


class _Path:
    """The lowest value met so far of a function of a vector, and where."""

    def __init__(self, function, start):
        self.function, self.best = function, start
        self.value, self.gradient = function(start)
        self.value, self.highest, self.ended = float(self.value), abs(float(self.value)), False

    def descend(self, unit, steps, gtol):
        """Go on from the best, in units of these numbers; how many steps were made."""
        import scipy.optimize  # takes 0.1 s to load: only when used

        origin = self.best

        def function(vector):
            if not vector.any():
                return value, gradient * unit
            flat = origin + unit * vector
            f, g = self.function(flat)
            if not (np.isfinite(f) and np.isfinite(g).all()):  # a wall, higher than anything seen
                return self.highest + 1e3, np.zeros_like(vector)
            self.highest = max(self.highest, abs(f))
            if f < self.value:
                self.best, self.value, self.gradient = flat, float(f), g
            return f, g * unit

        value, gradient = self.value, self.gradient
        options = {
            "maxiter": steps,
            "maxfun": 2 * steps + 20,
            "gtol": gtol,
            "ftol": 0.0,
            "maxcor": 20,
        }
        try:
            found = scipy.optimize.minimize(
                function, np.zeros_like(origin), jac=True, method="L-BFGS-B", options=options
            )
        except StopIteration:
            self.ended = True
            return 1
        # the end, whose value rounding may place above the best
        if found.nit and np.abs(found.jac).max() <= gtol:
            self.best, self.value, self.gradient = (
                origin + unit * found.x,
                float(found.fun),
                found.jac / unit,
            )
        if found.status != 1:  # it did not run out of steps
            self._polish(unit, gtol, found.hess_inv)
        return int(found.nit)

    def _polish(self, unit, gtol, inverse):
        """Quasi-Newton steps that shorten the gradient, where values tell no more: they differ by
        their rounding alone."""
        while (slope := np.abs(self.gradient * unit).max()) > gtol:
            flat = self.best - unit * inverse.matvec(self.gradient * unit)
            f, g = self.function(flat)
            if not (
                abs(f - self.value) <= NOISE * max(1.0, abs(self.value))
                and np.abs(g * unit).max() < 0.9 * slope
            ):
                break
            self.best, self.value, self.gradient = flat, float(f), g


def _schedule(learning_rate):
    if not callable(learning_rate):
        require_positive("learning_rate", learning_rate)
        return lambda step: learning_rate

    def checked(step):
        rate = learning_rate(step)
        require_nonnegative(f"the learning rate of step {step}", rate)
        return rate

    return checked
