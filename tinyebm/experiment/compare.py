"""The experiment: objectives side by side, each against exact maximum likelihood.

Every method trains the same network from the same start on the same batches, for
the same number of updates.  Then everything is exact: the negative
log-likelihood, the divergences, the mass of every mode, and the gradient that
contrastive divergence follows on average, beside the true one.
"""

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.checks import require_count, require_decay, require_positive, require_space
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyData, Energy, Kernel, Space
from tinyebm.common.progress import Progress
from tinyebm.datasets.load import load, of_rows
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.sampling import population
from tinyebm.experiment.judging import FAILURES, bias, in_time, judge, stopwatch, truth_of
from tinyebm.experiment.report import json_text, table
from tinyebm.experiment.setups import (
    all_methods,
    consistency,
    default_kernel,
    default_steps,
    describe,
    drawable,
    named_energy,
    named_objective,
    schedule,
)
from tinyebm.samplers.kernels import require_kernel
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.laws import moments_of
from tinyebm.storage.files import write_text
from tinyebm.storage.models import save_model
from tinyebm.storage.origin import origin
from tinyebm.training.fit import fit
from tinyebm.training.optimize import adam
from tinyebm.training.start import space_of

METHODS = ("mle", "cd-1", "cd-10", "pcd-10")
HELD_OUT = 0.25  # the part of finite data kept for testing


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found: one row (a dict) per method, the fits, and the setting.

    `reference` says what KL and TV are measured from: the population of a Target, or the model of
    row mle, trained by exact gradients, where there are only data.  `curves` holds, per method,
    (update, seconds, divergence) at the log points; `in_time` what every method reaches in equal
    "seconds": per method the "updates" it makes in them, and "nll" and "kl" (each with "..._error")
    after those.
    """

    name: str
    reference: str
    truth: dict
    rows: list
    curves: dict = field(repr=False)
    fits: dict = field(repr=False)
    data: AnyData = field(repr=False)
    settings: dict = field(repr=False)
    in_time: dict = field(default_factory=dict, repr=False)

    def __repr__(self):
        return self.table()

    def table(self) -> str:
        """The rows as aligned text, with a line that explains every column."""
        return table(self)

    def plot(self) -> Any:
        """A figure: the data, each learned density, and the divergence against updates."""
        from tinyebm.experiment import figures  # matplotlib loads only when a figure is wanted

        return figures.comparison(self)

    def save(self, folder: str | os.PathLike) -> list:
        """Write compare.txt, compare.json, compare.png (in 1-D and 2-D) and a model file per
        method; return the paths."""
        folder = Path(folder)
        paths = [folder / "compare.txt", folder / "compare.json"]
        write_text(paths[0], self.table() + "\n")
        found = {
            name: getattr(self, name)
            for name in ("name", "reference", "truth", "rows", "curves", "settings", "in_time")
        }
        write_text(paths[1], json_text(found))
        if drawable(self.data, getattr(self.data, "space", None) or Reals(self.settings["dim"])):
            from tinyebm import plots

            # states too many to be drawn exactly: no figure
            with contextlib.suppress(QuadratureError):
                paths.append(plots.save(self.plot(), folder / "compare.png"))
        for method, found in self.fits.items():
            paths.append(folder / f"{method}.npz")
            save_model(
                paths[-1],
                found.density,
                **origin(self.data, _prepare(self.data, self.settings["seed"])[2]),
            )
        return paths


def compare(
    target: Any = "faithful",
    methods: Sequence[str] = METHODS,
    steps: int | None = None,
    batch_size: int = 256,
    learning_rate: float | None = None,
    step_size: float = 0.01,
    hidden: Sequence[int] | None = None,
    activation: str = "silu",
    confinement: float = 1.0,
    ema: float = 0.99,
    seed: int = 0,
    progress: bool | str = True,
    energy: str | Energy | None = None,
    kernel: Kernel | None = None,
    seconds: float | None = None,
    race: bool = True,
    space: Space | None = None,
) -> Comparison:
    """Train one model by several objectives and judge each against the exact answer.

    Parameters
    ----------
    target : name or path for `datasets.load`, Data, array (n, d), or a population as in `fit`
        d ≤ 3 unless it is of bits or spins.
        A population is sampled afresh in every batch, and models are judged against it; of finite
        data a quarter is held out.
    methods : names, or "all"
        "mle" (exact likelihood), "perfect" (negatives drawn from the model exactly), "cd-k",
        "pcd-k" (no restarts), "short-k"; "nce-r" (r draws of noise per datum: a normal law, or
        independent sites, with the moments of the data); on R^d "sm", "ssm-m" (m projections),
        "dsm-s" (noise s); on bits "pl", "rm".  "all" is one of each kind (`setups.all_methods`).
    steps, batch_size : int
        Updates of every method (by default 800 on a population, 500 on finite data, 2000 on bits),
        and rows in a batch.
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
    seconds : float, optional
        Every method is also trained for as many updates as it can make in this time, judging by its
        first run; by default the time of the fastest.  Learning rate and averaging stretch with the
        run.
    race : bool
        Whether to train a second time, for equal seconds.
    space : Bits, Reals, ..., optional
        Where rows live: by default Bits if all entries are 0 or 1, Spins if -1 or 1, else R^d.

    Returns
    -------
    Comparison
        Each row holds "method", "consistent" (`setups.consistency`), "updates", "seconds" (of
        training alone), "nll", "test_nll" (finite data), "kl", "tv" (each with "..._error"),
        "modes" (mass of every mode), "angle" in degrees and "norm_ratio" of the method's expected
        gradient against the exact one at the end of training, and "status"; of noise contrast also
        the learned "log_normaliser" beside the exact "log_z" of the last parameters.

    >>> found = compare("double_well", methods=["cd-1"], steps=2, progress=False)
    >>> found.rows[0]["method"], found.reference
    ('cd-1', 'the population double_well')
    """
    if methods != "all" and (
        isinstance(methods, str)
        or not np.size(methods) * np.ndim(methods)
        or not all(isinstance(method, str) for method in methods)
        or len(set(methods)) < len(methods)
    ):
        raise ValueError(
            f"methods is a list of names, like ['mle', 'cd-10'], none twice, got {methods!r}"
        )
    for label, value in {"learning_rate": learning_rate, "seconds": seconds}.items():
        if value is not None:
            require_positive(label, value)
    require_decay("ema", ema)
    if kernel is not None:
        require_kernel(kernel)
    if steps is not None:
        require_count(steps, "steps must be a positive number of updates")
    name, data, train, test = _prepare(target, seed)
    finite = test is not None
    space = space or space_of(data, train, energy)
    require_space(space)
    if finite and getattr(data, "space", None) != (home := space if space.discrete else None):
        data = replace(data, space=home)
    if not space.discrete and space.dim > 3:
        raise ValueError(
            f"{name} has {space.dim} columns: exact answers need quadrature, which is for dim <= 3"
        )
    steps = default_steps(data, space) if steps is None else steps
    rate = schedule(learning_rate, data, steps)
    if energy is None or isinstance(energy, str):
        energy = named_energy(energy, space, hidden, activation, confinement)
    kernel = kernel or default_kernel(energy, space, step_size)
    methods = all_methods(energy, space) if methods == "all" else methods
    noise = lambda: moments_of(*data_law(train), space=space)
    objectives = {method: named_objective(method, kernel, noise) for method in methods}
    model, sampler = describe(energy, kernel)
    settings = {
        "dim": space.dim,
        "space": repr(space),
        "model": model,
        "sampler": sampler,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": rate(0),
        "energy": repr(energy),
        "kernel": repr(kernel),
        "ema": ema,
        "seed": seed,
        "rows": [len(train), len(test)] if finite else None,
    }

    def trained(objective, steps, **options):
        """The Fit after some updates: the learning rate falls, and θ is averaged, over the same
        parts of any run."""
        decay = max(0.0, 1 - (1 - ema) * settings["steps"] / steps)
        return fit(
            energy,
            train,
            space,
            objective,
            adam(schedule(learning_rate, data, steps)),
            steps,
            batch_size,
            ema=decay,
            seed=seed,
            exact=False,
            **options,
        )

    fits, curves, status = {}, {}, {}
    for method, objective in objectives.items():
        curves[method], watch = stopwatch(train, measured=space.discrete or space.dim <= 2)
        try:
            fits[method] = trained(objective, steps, callback=watch, progress=progress and method)
            status[method] = "ok"
        except FAILURES as error:
            status[method] = str(error)

    reference = train if not finite else fits["mle"].density if "mle" in fits else None
    label = (
        f"the population {name}"
        if not finite
        else "the model of row mle"
        if reference
        else "nothing"
    )
    rows, bar = [], Progress("judging", len(objectives), progress)
    for method, objective in objectives.items():
        row = {
            "method": method,
            "consistent": consistency(objective, space),
            "updates": steps,
            "seconds": curves[method][-1][1] if curves[method] else 0.0,
        }
        if method in fits:
            row |= judge(fits[method], train, test, reference, data) | bias(
                fits[method], train, objective
            )
        else:
            row["updates"] = curves[method][-1][0] if curves[method] else 0
        rows.append(row | {"status": status[method]})
        bar(len(rows), method)
    runners = {method: (method, curves[method][-1][1]) for method in fits if race}
    again = lambda method, n: (
        fits[method] if n == steps else trained(objectives[method], n, progress=False)
    )
    judged = lambda found, updates: in_time(found, updates, train, reference)
    equal = _equal_seconds(runners, seconds, steps, again, judged, progress)
    return Comparison(name, label, truth_of(data, train), rows, curves, fits, data, settings, equal)


def _equal_seconds(race, seconds, steps, train, judged, progress):
    """What every method, {name: (what `train` takes, seconds of `steps` updates)}, reaches in the
    fastest's, or in `seconds`."""
    if not race or (not seconds and len(race) == 1):
        return {"seconds": seconds, "methods": {}}
    budget = seconds or min(spent for _, spent in race.values())
    reached, bar = {}, Progress(f"in {budget:.1f} s", len(race), progress)
    for method, (what, spent) in race.items():
        updates = max(1, round(steps * budget / spent))
        try:
            reached[method] = judged(train(what, updates), updates)
        except FAILURES:
            reached[method] = {"updates": updates, "nll": math.nan}
        bar(len(reached), method)
    return {"seconds": budget, "methods": reached}


def _prepare(target, seed):
    """(name, Target or Data or array, training data, held-out rows or None)."""
    data = load(target) if isinstance(target, (str, Path)) else population(target)
    name = getattr(data, "name", "data")
    if hasattr(data, "entropy"):
        return name, data, data, None
    x, _ = data_law(data)
    data = data if hasattr(data, "x") else of_rows(x)
    order = np.argsort(Stream(seed).at(0).random(len(x)))
    cut = round(len(x) * HELD_OUT)
    if cut == 0:
        raise ValueError(f"{name}: {len(x)} rows are too few to hold some out")
    return name, data, x[order[cut:]], x[order[:cut]]
