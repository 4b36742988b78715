"""The exact numbers about one fit: likelihood, divergences, masses of modes, expected gradient."""

import math
from dataclasses import replace

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.errors import DivergentPartitionError, QuadratureError, or_nan
from tinyebm.common.kinds import is_population
from tinyebm.common.tree import ravel
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.normalised import normalised
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import mean_over
from tinyebm.experiment.setups import CHAINS
from tinyebm.objectives.contrastive import ShortRun
from tinyebm.objectives.exact_contrastive import exact_cd_gradient
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.perfect import PerfectSamples
from tinyebm.samplers.flows import follows_rows

RTOL = 1e-5  # relative error of Z in the numbers of the table
# Nodes per axis for the mass of a mode.  Its indicator jumps, so that sums converge slowly.
MODE_NODES = {1: 4096, 2: 512, 3: 128}
UNKNOWN = {"angle": math.nan, "norm_ratio": math.nan}
# These errors end one row of the table, not the comparison.
FAILURES = (FloatingPointError, QuadratureError, DivergentPartitionError)


def judge(found, objective, data, rows, test, reference):
    """The exact numbers about a Fit: "nll", "kl", ..., each with "..._error", and "modes".

    It was trained by an objective on `rows` of `data`.  "test_nll" is for the rows `test`, and "kl"
    and "tv" are from the density `reference`.  They are left out if these are None.
    """
    p = known(found.density, rows if test is None else np.concatenate([rows, test]))
    row = numbers(p, rows, reference)
    if test is not None:
        enter(row, "test_nll", nll, p, test, RTOL)
    if reference is not None:
        enter(row, "tv", total_variation, reference, p, infinite=math.nan)
    if getattr(data, "mode", None) is not None:
        enter(row, "modes", mode_masses, p, data)
    memory = found.state["objective"]
    if isinstance(memory, dict) and "log_normaliser" in memory:  # learned together with the last θ
        row["log_normaliser"] = float(memory["log_normaliser"])
        last = replace(found.density, theta=found.state["theta"])
        enter(row, "log_z", log_partition, last, RTOL)
    try:
        return row | bias(found, p, rows, objective)
    except FAILURES:
        return row | UNKNOWN
    except Exception as error:
        return row | UNKNOWN | {"unknown": row.get("unknown", {}) | {"angle": said(error)}}


def known(p, rows):
    """p as a Normalised density; p itself, if that fails: then every number fails on its own."""
    try:
        return normalised(p, RTOL, data_law(rows)[0])
    except ValueError:
        return p


def numbers(p, rows, reference):
    """The NLL of rows, and KL(reference‖p) if there is a reference, each with its error."""
    row = {}
    enter(row, "nll", nll, p, rows, RTOL)
    if reference is not None:
        enter(row, "kl", kl, reference, p, RTOL)
    return row


def enter(row, name, function, *args, infinite=math.inf):
    """Enter function(*args) into a row, a number with its error, or a list.

    It is nan if quadrature fails.  After any other error it is nan, too, and the cause is in
    row["unknown"]: no number may cost the others.
    """
    try:
        value = or_nan(function, *args, infinite=infinite)
    except Exception as error:
        value = math.nan
        row.setdefault("unknown", {})[name] = said(error)
    if isinstance(value, list):
        row[name] = value
    else:
        row |= {name: float(value), f"{name}_error": getattr(value, "error", math.nan)}


def said(error):
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def bias(found, p, rows, objective):
    """How the expected gradient g of an objective differs from the exact one, g*, at a Fit.

    p is the `known` density of the Fit.  "angle" is the angle between them in degrees, "norm_ratio"
    is |g| / |g*|.  Both are nan where g is unknown: for other losses, for the user's objectives, for
    kernels without a push.
    """
    if type(objective) in (ExactLikelihood, PerfectSamples):
        return {"angle": 0.0, "norm_ratio": 1.0}
    if type(objective) not in CHAINS or not follows_rows(objective.kernel, p.space):
        return UNKNOWN
    memory = found.state["objective"]
    start = memory["chains"] if "chains" in memory else None
    if type(objective) is ShortRun:
        start = p.space.initial(4096, Stream(0).at(0))
    exact = ravel(nll_gradient(p, rows, RTOL))[0]
    kernel, k = objective.kernel, objective.k
    followed = ravel(exact_cd_gradient(found.density, rows, kernel, k, start=start))[0]
    length, true = np.linalg.norm(followed), np.linalg.norm(exact)
    cosine = float(np.clip(followed @ exact / (length * true), -1, 1))
    return {"angle": math.degrees(math.acos(cosine)), "norm_ratio": float(length / true)}


def mode_masses(p, data):
    """The probability under p of each mode of a Target or Data, as a list.

    On R^d and in a box to about three decimals.
    """
    indicator = lambda x: (data.mode(x)[:, None] == np.arange(data.modes)) * 1.0
    if p.space.discrete:
        grid = p.space.grid()
    else:
        peaks = p.quadrature.peaks if hasattr(p, "quadrature") else None
        box = p.space if p.space.bounded else find_window(p, RTOL, known=peaks)
        grid = box.grid((MODE_NODES[p.space.dim],) * p.space.dim)
    return mean_over(p, indicator, grid).tolist()


def truth_of(data, rows):
    """The numbers of a perfect model: the entropy of a population, and the masses of the modes."""
    truth = {"entropy": data.entropy} if is_population(data) else {}
    if getattr(data, "mode", None) is not None:
        x, mass = data_law(rows)
        truth["modes"] = [float(mass[data.mode(x) == k].sum()) for k in range(data.modes)]
        truth["mode_names"] = list(getattr(data, "mode_names", ()))
    return truth
