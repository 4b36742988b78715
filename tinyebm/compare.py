"""The experiment: objectives side by side, each against exact maximum likelihood.

Every method trains the same network from the same start on the same batches, for
the same number of updates.  Then everything is exact: the negative
log-likelihood, the divergences, the mass of every mode, and the gradient that
contrastive divergence follows on average, beside the true one.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyebm import datasets
from tinyebm.backend import Stream
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.errors import DivergentPartitionError, QuadratureError
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.normalised import mean_over
from tinyebm.exact.window import find_window
from tinyebm.models import save_model
from tinyebm.objectives.contrastive import ShortRun
from tinyebm.objectives.exact_contrastive import exact_cd_gradient
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.pseudolikelihood import Pseudolikelihood
from tinyebm.optimize import adam
from tinyebm.report import json_text, table
from tinyebm.setups import STEPS, default_kernel, describe, named_energy, named_objective, schedule, space_of
from tinyebm.train import fit
from tinyebm.tree import ravel

METHODS = ("mle", "cd-1", "cd-10", "pcd-10")
RTOL = 1e-5  # of Z, for the numbers of the table
HELD_OUT = 0.25  # the part of finite data kept for testing
MODE_NODES = {1: 4096, 2: 512, 3: 128}  # per axis, for the mass of a region: its indicator jumps, so sums converge slowly
FAILURES = (FloatingPointError, QuadratureError, DivergentPartitionError)  # each a row's status, not the end of all rows


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: one row (a dict) per method, the fits, and the setting.

    `reference` says what KL and TV are measured from: the population of a Target,
    or the exact maximum-likelihood fit where there are only data.  `curves` holds,
    per method, (update, seconds, divergence) at the log points.
    """

    name: str
    reference: str
    truth: dict
    rows: list
    curves: dict = field(repr=False)
    fits: dict = field(repr=False)
    data: Any = field(repr=False)
    settings: dict = field(repr=False)

    def table(self):
        """The rows as aligned text, with a line that explains every column."""
        return table(self)

    def plot(self):
        """A figure: the data, each learned density, and the divergence against updates."""
        from tinyebm import figures  # matplotlib loads only when a figure is wanted

        return figures.comparison(self)

    def save(self, folder):
        """Write compare.txt, compare.json, compare.png (in 1-D and 2-D) and a model file per method; return the paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "compare.txt", folder / "compare.json"]
        paths[0].write_text(self.table() + "\n", encoding="utf-8")
        found = {name: getattr(self, name) for name in ("name", "reference", "truth", "rows", "curves", "settings")}
        paths[1].write_text(json_text(found), encoding="utf-8")
        if getattr(self.data, "space", None) or self.settings["dim"] < 3:
            from tinyebm import plots

            paths.append(plots.save(self.plot(), folder / "compare.png"))
        for method, found in self.fits.items():
            paths.append(folder / f"{method}.npz")
            save_model(paths[-1], found.density, **datasets.origin(self.data))
        return paths


def compare(target="faithful", methods=METHODS, steps=None, batch_size=256, learning_rate=None, step_size=0.01,
            hidden=None, activation="silu", confinement=1.0, ema=0.99, seed=0, progress=True, energy=None, kernel=None):
    """Train one model by several objectives and judge each against the exact answer.

    Parameters
    ----------
    target : name or path for `datasets.load`, Target, Data, or array (n, d), d ≤ 3
        A population is sampled afresh in every batch; of finite data a quarter is
        held out.
    methods : names
        "mle" (exact likelihood), "cd-k", "pcd-k" (no restarts), "short-k", and on bits "pl".
    steps, batch_size : int
        Updates of every method (by default 500, on bits 2000), and rows in a batch.
    learning_rate : float, optional
        Adam's, falling linearly to zero over the second half; by default 0.03 on a
        population and 0.01 on finite data, which a faster rate overfits.
    step_size : float
        ε of the Langevin kernel, in units of [x]².
    hidden, activation, confinement : sizes and options of a named energy
    ema : float
        Decay of the running average of θ that is judged.
    seed : int
    energy : "mlp", "rbm", "boltzmann", or any energy with `init`, optional
        By default an MLP on R^d, an RBM on bits.
    kernel : ULA, BlockGibbs, ..., optional
        By default the one that suits the energy (`setups.default_kernel`).

    Returns
    -------
    Comparison
        Each row holds "method", "updates", "seconds" (of training alone), "nll",
        "test_nll" (finite data), "kl", "tv" (each with "..._error"), "modes" (mass
        of every mode), "angle" in degrees and "norm_ratio" of the method's expected
        gradient against the exact one at the end of training, and "status".

    >>> found = compare("double_well", methods=["cd-1"], steps=2, progress=False)
    >>> found.rows[0]["method"], found.reference
    ('cd-1', 'the population double_well')
    """
    name, data, train, test = _prepare(target, seed)
    finite = test is not None
    space = space_of(data, train.shape[1] if finite else None)
    if not space.discrete and space.dim > 3:
        raise ValueError(f"{name} has {space.dim} columns: exact answers need quadrature, which is for dim <= 3")
    steps = steps or STEPS[space.discrete]
    rate = schedule(learning_rate, data, steps)
    if energy is None or isinstance(energy, str):
        energy = named_energy(energy, space, hidden, activation, confinement)
    kernel = kernel or default_kernel(energy, space, step_size)
    objectives = {method: named_objective(method, kernel) for method in methods}
    model, sampler = describe(energy, kernel)
    settings = {"dim": space.dim, "model": model, "sampler": sampler, "steps": steps, "batch_size": batch_size,
                "learning_rate": rate(0), "energy": repr(energy), "kernel": repr(kernel), "ema": ema, "seed": seed}

    fits, curves, status = {}, {}, {}
    for method, objective in objectives.items():
        curves[method], watch = _stopwatch(train, measured=space.discrete or space.dim <= 2)
        try:
            fits[method] = fit(energy, train, space, objective, adam(rate), steps, batch_size, ema=ema, seed=seed,
                               exact=False, callback=watch, progress=progress and method)
            status[method] = "ok"
        except FAILURES as error:
            status[method] = str(error)

    reference = train if not finite else fits["mle"].density if "mle" in fits else None
    label = f"the population {name}" if not finite else "the exact maximum-likelihood fit" if reference else "nothing"
    rows = []
    for method, objective in objectives.items():
        row = {"method": method, "updates": steps, "seconds": curves[method][-1][1] if curves[method] else 0.0}
        if method in fits:
            row |= _judge(fits[method], train, test, reference, data) | _bias(fits[method], train, objective)
        rows.append(row | {"status": status[method]})
    return Comparison(name, label, _truth(data, train), rows, curves, fits, data, settings)


def _prepare(target, seed):
    """(name, Target or Data or array, training data, held-out rows or None)."""
    data = datasets.load(target) if isinstance(target, (str, Path)) else target
    name = getattr(data, "name", "data")
    if hasattr(data, "entropy"):
        return name, data, data, None
    x, _ = data_law(data)
    order = np.argsort(Stream(seed).at(0).random(len(x)))
    cut = round(len(x) * HELD_OUT)
    if cut == 0:
        raise ValueError(f"{name}: {len(x)} rows are too few to hold some out")
    return name, data, x[order[cut:]], x[order[:cut]]


def _stopwatch(train, measured):
    """A curve, and a callback that appends to it (update, seconds of training, exact NLL or KL if measured, else nan)."""
    curve, spent, started = [], 0.0, time.perf_counter()
    entropy = getattr(train, "entropy", 0.0)

    def watch(step, p, record):
        nonlocal spent, started
        spent += time.perf_counter() - started
        curve.append((step, spent, float(_or_nan(nll, p, train, 1e-3)) - entropy if measured else math.nan))
        started = time.perf_counter()

    return curve, watch


def _judge(found, train, test, reference, data):
    """The exact numbers about one fit."""
    p = found.density
    row = _number("nll", _or_nan(nll, p, train, RTOL))
    if test is not None:
        row |= _number("test_nll", _or_nan(nll, p, test, RTOL))
    if reference is not None:
        row |= _number("kl", _or_nan(kl, reference, p, RTOL)) | _number("tv", _or_nan(total_variation, reference, p))
    if getattr(data, "mode", None) is not None:
        row["modes"] = _or_nan(mode_masses, p, data)
    return row


def _bias(found, train, objective):
    """Angle (degrees) and norm ratio of the gradient the method follows on average against the exact one."""
    p = found.density
    if isinstance(objective, ExactLikelihood):
        return {"angle": 0.0, "norm_ratio": 1.0}
    start = found.state["objective"]["chains"] if "chains" in found.state["objective"] else None
    if isinstance(objective, ShortRun):
        start = p.space.initial(4096, Stream(0).at(0))
    try:
        exact = _flat(nll_gradient(p, train, RTOL))
        if isinstance(objective, Pseudolikelihood):
            return {"angle": math.nan, "norm_ratio": math.nan}
        followed = _flat(exact_cd_gradient(p, train, objective.kernel, objective.k, start=start))
    except FAILURES:
        return {"angle": math.nan, "norm_ratio": math.nan}
    norms = np.linalg.norm(followed) * np.linalg.norm(exact)
    cosine = float(np.clip(followed @ exact / norms, -1, 1))
    return {"angle": math.degrees(math.acos(cosine)), "norm_ratio": float(np.linalg.norm(followed) / np.linalg.norm(exact))}


def mode_masses(p, data):
    """The probability under p of each mode of a Target or Data: a list, on R^d or a box to about three decimals."""
    indicator = lambda x: (data.mode(x)[:, None] == np.arange(data.modes)) * 1.0
    if p.space.discrete:
        return mean_over(p, indicator, p.space.grid()).tolist()
    rule = p.space if p.space.bounded else find_window(p, RTOL)
    return mean_over(p, indicator, rule.grid((MODE_NODES[p.space.dim],) * p.space.dim)).tolist()


def _truth(data, train):
    """What a perfect model would show: the entropy of a population, and the masses of the modes."""
    truth = {"entropy": data.entropy} if hasattr(data, "entropy") else {}
    if getattr(data, "mode", None) is not None:
        x, mass = data_law(train)
        truth["modes"] = [float(mass[data.mode(x) == k].sum()) for k in range(data.modes)]
    return truth


def _number(name, estimate):
    return {name: float(estimate), f"{name}_error": getattr(estimate, "error", math.nan)}


def _or_nan(function, *args):
    """The number, inf where Z is infinite, or nan where quadrature fails: an honest entry for a table."""
    try:
        return function(*args)
    except DivergentPartitionError:
        return math.inf
    except QuadratureError:
        return math.nan


def _flat(tree):
    return ravel(tree)[0]
