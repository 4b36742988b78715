"""The time of training, and the result of each method in the same time."""

import contextlib
import math
import time
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.errors import or_nan
from tinyebm.common.progress import Progress
from tinyebm.common.tree import compared
from tinyebm.density import Density, exponents
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.nodes.follow import follow
from tinyebm.exact.structure import has_formula, require_normalisable
from tinyebm.experiment.judging import FAILURES, known, numbers, said
from tinyebm.experiment.setups import CONSISTENT
from tinyebm.experiment.train import train
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.perfect import PerfectSamples
from tinyebm.training.start import start_of

RTOL = 1e-3  # relative error of Z in the curves


@compared
class Run(NamedTuple):
    """One method: its objective, its Fit (None if it failed), its curve, and "ok" or the error.

    The curve lists (update, seconds of training, exact NLL or KL) at the log points.
    """

    objective: Any
    fit: Any
    curve: list
    status: str

    @property
    def updates(self):
        """The number of updates, of a failed run up to its last log point."""
        if self.fit is not None:
            return int(self.fit.state["step"])
        return self.curve[-1][0] if self.curve else 0

    @property
    def seconds(self):
        """Seconds of training, without the exact evaluations at log points."""
        return self.curve[-1][1] if self.curve else 0.0


def require_trainable(experiment, objectives):
    """Raise the ValueError of an objective of the package that does not fit the setting.

    Each computes a gradient at the start, for two rows, before any is trained.
    """
    stream = Stream(experiment.seed)
    theta = start_of(experiment.energy, None, stream)
    p, x = Density(experiment.energy, theta, experiment.space), data_law(experiment.rows)[0][:2]
    for objective in objectives.values():
        exact = type(objective) in (ExactLikelihood, PerfectSamples)  # fit every setting, and cost
        if type(objective) in CONSISTENT and not exact:
            with np.errstate(all="ignore"), contextlib.suppress(*FAILURES):
                objective.gradient(p, x, stream.at(0))


def timed(experiment, objective, progress, first=False):
    """The Run of one objective.

    An error ends this run only.  That of the `first` run is raised if it ends before a log point:
    then the setting may be wrong, and nothing is lost.
    """
    space = experiment.space
    curve, watch = stopwatch(experiment.rows, measured=space.discrete or space.dim <= 2)
    try:
        found = train(experiment, objective, experiment.steps, watch, progress)
        return Run(objective, found, curve, "ok")
    except FAILURES as error:
        return Run(objective, None, curve, str(error))
    except Exception as error:
        if first and not curve:
            raise
        return Run(objective, None, curve, said(error))


def stopwatch(data, measured):
    """(a curve, the callback of `te.fit` that extends it).

    The clock stops while the callback computes the exact NLL of the data (KL of a population).  If
    not `measured`, nan is recorded instead.
    """
    curve, spent, started = [], 0.0, time.perf_counter()
    exact_nll, entropy = nearby_nll(data), getattr(data, "entropy", 0.0)

    def watch(step, p, entry):
        nonlocal spent, started
        spent += time.perf_counter() - started
        value = float(or_nan(exact_nll, p)) - entropy if measured else math.nan
        curve.append((step, spent, value))
        started = time.perf_counter()

    return curve, watch


def nearby_nll(data):
    """The exact NLL of the data as a function of p, to RTOL, for one p after another of a training.

    The grid of one call serves the next (`exact.nodes.follow`).
    """
    (x, mass), memory = data_law(data), None

    def exact_nll(p):
        nonlocal memory
        if not has_formula(p):
            found, memory = follow(require_normalisable(p), RTOL, x, memory)
            if found:
                return found.log_z - float(mass @ exponents(p, x))
        return nll(p, data, RTOL)

    return exact_nll


def equal_seconds(experiment, runs, seconds, reference, progress):
    """The results of every method of {name: Run} in the same time, as {"seconds", "methods"}.

    The time is `seconds`, or by default that of the fastest run.  A method is trained again for as
    many updates as its first run made in this time.
    """
    runs = {name: run for name, run in runs.items() if run.fit is not None}
    if not runs or (not seconds and len(runs) == 1):
        return {"seconds": seconds, "methods": {}}
    budget = seconds or min(run.seconds for run in runs.values())
    reached, bar = {}, Progress(f"in {budget:.1f} s", len(runs), progress)
    for name, run in runs.items():
        updates = max(1, round(experiment.steps * budget / run.seconds))
        try:
            found = run.fit
            if updates != experiment.steps:
                found = train(experiment, run.objective, updates)
            row = numbers(known(found.density, experiment.rows), experiment.rows, reference)
        except Exception:
            row = {"nll": math.nan}
        reached[name] = {"updates": updates} | row
        bar(len(reached), name)
    return {"seconds": budget, "methods": reached}
