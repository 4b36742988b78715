"""The exact numbers about one fit: likelihood, divergences, masses of modes, and the bias of the
gradient it followed."""

import math
import time
from dataclasses import replace

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.checks import KERNEL, part_of
from tinyebm.common.errors import DivergentPartitionError, QuadratureError, or_nan
from tinyebm.common.tree import ravel
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import mean_over
from tinyebm.objectives.contrastive import ShortRun
from tinyebm.objectives.exact_contrastive import exact_cd_gradient
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.perfect import PerfectSamples

RTOL = 1e-5  # of Z, for the numbers of the table
# per axis, for the mass of a region: its indicator jumps, so sums converge slowly
MODE_NODES = {1: 4096, 2: 512, 3: 128}
# each a row's status, not the end of all rows
FAILURES = (FloatingPointError, QuadratureError, DivergentPartitionError)


def judge(found, train, test, reference, data):
    """The exact numbers about one fit."""
    p = found.density
    row = _number("nll", or_nan(nll, p, train, RTOL))
    if test is not None:
        row |= _number("test_nll", or_nan(nll, p, test, RTOL))
    if reference is not None:
        row |= _number("kl", or_nan(kl, reference, p, _rtol(reference)))
        row |= _number("tv", or_nan(total_variation, reference, p, infinite=math.nan))
    if getattr(data, "mode", None) is not None:
        row["modes"] = or_nan(mode_masses, p, data)
    # noise contrast learned it, for the last θ
    if "log_normaliser" in (found.state["objective"] or {}):
        row["log_normaliser"] = float(found.state["objective"]["log_normaliser"])
        row |= _number("log_z", or_nan(log_partition, replace(p, theta=found.state["theta"]), RTOL))
    return row


def bias(found, train, objective):
    """Angle (degrees) and norm ratio of the gradient the method follows on average against the
    exact one."""
    p = found.density
    if isinstance(objective, (ExactLikelihood, PerfectSamples)):
        return {"angle": 0.0, "norm_ratio": 1.0}
    kernel = getattr(objective, "kernel", None)
    pushes = ("operator",) if p.space.discrete else ("operator", "spread")
    # another loss, or a kernel without an exact law
    if not all(part_of(kernel, name, KERNEL) for name in pushes):
        return {"angle": math.nan, "norm_ratio": math.nan}
    start = found.state["objective"]["chains"] if "chains" in found.state["objective"] else None
    if isinstance(objective, ShortRun):
        start = p.space.initial(4096, Stream(0).at(0))
    try:
        exact = _flat(nll_gradient(p, train, RTOL))
        followed = _flat(exact_cd_gradient(p, train, kernel, objective.k, start=start))
    except FAILURES:
        return {"angle": math.nan, "norm_ratio": math.nan}
    norms = np.linalg.norm(followed) * np.linalg.norm(exact)
    cosine = float(np.clip(followed @ exact / norms, -1, 1))
    return {
        "angle": math.degrees(math.acos(cosine)),
        "norm_ratio": float(np.linalg.norm(followed) / np.linalg.norm(exact)),
    }


def in_time(found, updates, train, reference):
    """What a run of equal seconds reached."""
    row = {"updates": updates} | _number("nll", or_nan(nll, found.density, train, RTOL))
    return (
        row
        if reference is None
        else row | _number("kl", or_nan(kl, reference, found.density, _rtol(reference)))
    )


def mode_masses(p, data):
    """The probability under p of each mode of a Target or Data: a list, on R^d or a box to about
    three decimals."""
    indicator = lambda x: (data.mode(x)[:, None] == np.arange(data.modes)) * 1.0
    if p.space.discrete:
        return mean_over(p, indicator, p.space.grid()).tolist()
    rule = p.space if p.space.bounded else find_window(p, RTOL)
    return mean_over(p, indicator, rule.grid((MODE_NODES[p.space.dim],) * p.space.dim)).tolist()


def truth_of(data, train):
    """What a perfect model would show: the entropy of a population, and the masses of the modes."""
    truth = {"entropy": data.entropy} if hasattr(data, "entropy") else {}
    if getattr(data, "mode", None) is not None:
        x, mass = data_law(train)
        truth["modes"] = [float(mass[data.mode(x) == k].sum()) for k in range(data.modes)]
        truth["mode_names"] = list(getattr(data, "mode_names", ()))
    return truth


def _rtol(reference):
    """That of Z for a KL: smaller where a population brings no grid of its own."""
    return 1e-8 if hasattr(reference, "p") else RTOL


def _number(name, estimate):
    return {name: float(estimate), f"{name}_error": getattr(estimate, "error", math.nan)}


def _flat(tree):
    return ravel(tree)[0]


def stopwatch(train, measured):
    """A curve, and a callback that appends to it (update, seconds of training, exact NLL or KL if
    measured, else nan)."""
    curve, spent, started = [], 0.0, time.perf_counter()
    entropy = getattr(train, "entropy", 0.0)

    def watch(step, p, record):
        nonlocal spent, started
        spent += time.perf_counter() - started
        curve.append(
            (step, spent, float(or_nan(nll, p, train, 1e-3)) - entropy if measured else math.nan)
        )
        started = time.perf_counter()

    return curve, watch
