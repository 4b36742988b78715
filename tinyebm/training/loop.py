"""The loop of training: updates of θ, their checks, and a new attempt after a failure.

These are three nested generators.  `updates` computes the updates.  `sound` yields an update if its
numbers are finite.  If they are not, `attempts` starts again from the last log point.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import as_array, on_gpu
from tinyebm.common.kinds import is_population
from tinyebm.common.tree import tree_map
from tinyebm.density import Density
from tinyebm.objectives.step import Step
from tinyebm.training.optimize import clip_norm
from tinyebm.training.watch import look, require_sound


class Setting(NamedTuple):
    """The parts that all updates of a run share; `batch(rng)` draws rows (n, d)."""

    energy: Any
    space: Any
    objective: Any
    optimizer: Any
    batch: Callable
    clip: float | None
    ema: float | None
    steps: int


class Update(NamedTuple):
    """The state after a step, the metrics of the objective, and the numbers that `sound` checks."""

    number: int
    attempt: int
    state: dict
    metrics: dict
    seen: dict


def initial_state(theta, optimizer):
    """The state before step 1: a tree of arrays, so that it can be saved to a file."""
    moments = optimizer.init(theta)
    return {
        "step": np.array(0),
        "theta": theta,
        "optimizer": moments,
        "objective": (),
        "ema": theta,
    }


def updates(setting, state, stream):
    """Yield the Update of every step from a state on.

    Step i of a run with parameters θ, average a, optimiser's state m and objective's state s:

        rng_i = Stream(seed).at(i)                     one generator per step
        x     = batch(rng_i)                           rows (n, d)
        g, s ← objective.gradient(p_θ, x, rng_i, s)    a descent direction of the loss
        g    ← g min(1, clip / |g|)
        θ, m ← optimizer.update(g, m, θ)
        a    ← ema a + (1 - ema) θ

    The state holds everything that the next step needs, as arrays, and each step has its own
    generator.  So a run that continues from a saved state gives the numbers of the uninterrupted
    run.
    """
    energy, space, objective, optimizer, batch, clip, ema, steps = setting
    for i in range(int(state["step"]) + 1, steps + 1):
        rng = stream.at(i)
        x = batch(rng)
        p = Density(energy, state["theta"], space)
        memory = state["objective"]
        memory = None if isinstance(memory, tuple) and not memory else memory  # () means None

        with np.errstate(over="ignore", invalid="ignore"):  # `sound` finds inf and nan
            step = Step(*objective.gradient(p, x, rng, memory))
            g = clip_norm(step.gradient, clip) if clip else step.gradient
            theta, moments = optimizer.update(g, state["optimizer"], p.theta)
            # a learning rate that is a NumPy scalar would widen single precision
            theta = tree_map(lambda new, old: new.astype(old.dtype), theta, p.theta)
            average = theta
            if ema:
                average = tree_map(lambda a, t: ema * a + (1 - ema) * t, state["ema"], theta)
            seen = look(space, step, theta)

        state = {
            "step": state["step"] + 1,
            "theta": theta,
            "optimizer": moments,
            "ema": average,
            "objective": () if step.state is None else step.state,
        }
        state = tree_map(as_array, state)
        yield Update(i, stream.attempt, state, step.metrics, seen)


def sound(run, space, at_log):
    """Yield the updates of a run that are finite; FloatingPointError at the first that is not.

    On a GPU the updates are checked, and yielded, at log points only: no step waits for the GPU.
    """
    unseen = []
    for update in run:
        unseen.append(update)
        if at_log(update.number) or not on_gpu(update.seen["gradient"]):
            require_sound(space, unseen)
            unseen = []
            yield update


def attempts(run, state, first, last, at_log):
    """Yield the updates of run(state, attempt), and start again after a FloatingPointError.

    A new attempt starts from the last log point, with other random numbers.  Attempts are numbered
    `first`, ..., `last`; the error of the last one is raised.
    """
    attempt = first
    while True:
        try:
            for update in run(state, attempt):
                yield update
                if at_log(update.number):
                    state = update.state
            return
        except FloatingPointError:
            if attempt >= last:
                raise
            attempt += 1


def batches(data, rows, size, noise, space):
    """The function of rng that draws the rows (n, d) of a step.

    These are `size` draws of a population, or `size` rows with replacement (all rows if there are
    at most `size`).  Normal noise of standard deviation `noise` is added to them.
    """

    def batch(rng):
        if is_population(data):
            x = data.sample(size, rng).astype(rows.dtype)
        elif size is None or size >= len(rows):
            x = rows
        else:
            x = rows[rng.integers(0, len(rows), size=size)]
        if noise:
            x = space.fold(x + noise * rng.standard_normal(x.shape, dtype=x.dtype))
        return x

    return batch
