"""The training of a comparison: the setting that all methods share, and the run of one method."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.kinds import is_population
from tinyebm.datasets.load import load, of_rows
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.sampling import population
from tinyebm.experiment.setups import schedule
from tinyebm.training.fit import fit
from tinyebm.training.optimize import adam

HELD_OUT = 0.25  # the part of finite data kept for testing


class Experiment(NamedTuple):
    """The setting that all methods share: data, model, start, batches, and learning rate."""

    data: Any  # the population, or Data
    rows: Any  # the training data: the population, or three quarters of the rows
    energy: Any
    space: Any
    steps: int
    batch_size: int
    learning_rate: float | None
    ema: float
    seed: int


def train(experiment, objective, steps, callback=None, progress=False):
    """The Fit after this many updates of one objective.

    In a run of any length the learning rate falls over the second half, and the running average
    covers the same part of the run as an average of decay `ema` does in `experiment.steps` updates.
    """
    decay = 1 - (1 - experiment.ema) * experiment.steps / steps
    return fit(
        experiment.energy,
        experiment.rows,
        experiment.space,
        objective,
        adam(schedule(experiment.learning_rate, experiment.data, steps)),
        steps,
        experiment.batch_size,
        ema=max(0.0, decay),
        seed=experiment.seed,
        exact=False,
        callback=callback,
        progress=progress,
    )


def split(target, seed):
    """(Name, population or Data, training data, held-out rows) of the target of `compare`.

    For a population the held-out rows are None.
    """
    data = load(target) if isinstance(target, (str, Path)) else population(target)
    name = getattr(data, "name", "data")
    if is_population(data):
        return name, data, data, None
    x, _ = data_law(data)
    data = data if hasattr(data, "x") else of_rows(x)
    order = np.argsort(Stream(seed).at(0).random(len(x)))
    cut = round(len(x) * HELD_OUT)
    if cut == 0:
        raise ValueError(f"{name}: {len(x)} rows are too few to hold some out")
    return name, data, x[order[cut:]], x[order[:cut]]
