"""`compare`: one model trained by several methods, and compared with exact maximum likelihood.

Every method trains the same network from the same start on the same batches, for the same number of
updates.  The results are exact: the negative log-likelihood, the divergences, the mass of every
mode, and the expected gradient of contrastive divergence beside the gradient of the likelihood.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyebm.common.checks import require_count, require_decay, require_positive, require_space
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyData, Energy, Kernel, Space
from tinyebm.common.progress import Progress
from tinyebm.common.tree import compared
from tinyebm.exact.likelihood import data_law
from tinyebm.experiment.judging import judge, known, said, truth_of
from tinyebm.experiment.race import equal_seconds, require_trainable, timed
from tinyebm.experiment.report import files_of, model_file, remove, table, write_tables
from tinyebm.experiment.setups import (
    consistency,
    default_kernel,
    default_steps,
    describe,
    drawable,
    named_energy,
    objectives_of,
    schedule,
)
from tinyebm.experiment.train import Experiment, split
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.samplers.kernels import require_kernel
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.laws import moments_of
from tinyebm.storage.checkpoint import save_tree
from tinyebm.storage.models import save_model
from tinyebm.storage.origin import origin
from tinyebm.training.start import space_of

METHODS = ("mle", "cd-1", "cd-10", "pcd-10")


@compared
@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`: one row (a dict) per method, the fits, and the setting.

    `reference` names the reference density of KL and TV: the population, or for finite data the
    model of row mle.  `curves` holds (update, seconds, divergence) at the log points of every
    method.  `in_time` holds the results after the same "seconds": for every method the "updates",
    and "nll" and "kl" (each with "..._error") after those.

    >>> import tinyebm as te
    >>> quick = {"steps": 2, "hidden": (2,), "race": False}
    >>> found = te.compare("bars_and_stripes_3x3", ["mle", "cd-1"], **quick)
    >>> [row["method"] for row in found.rows], found.reference
    (['mle', 'cd-1'], 'the population bars_and_stripes_3x3')
    >>> print(found.table().splitlines()[0])
    bars_and_stripes_3x3: RBM(visible=9, hidden=2), 2 updates of 256 rows, BlockGibbs()
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

    def table(self) -> str:
        """The rows as aligned text, with a line that explains every column."""
        return table(self)

    __repr__ = table

    def plot(self) -> Any:
        """A figure: the data, each learned density, and the divergence against updates."""
        from tinyebm.experiment import figures  # loads matplotlib

        return figures.comparison(self)

    def save(self, folder: str | os.PathLike) -> list:
        """Write compare.txt, compare.json, compare.png and a model file per method.

        Returns the paths.  There is a figure in 1-D and 2-D, and of states that can be drawn.  Of
        an energy of your own the file holds the parameters only (`storage.checkpoint.load_tree`).
        The files of an earlier comparison in the folder are removed.
        """
        names = ("name", "reference", "truth", "rows", "curves", "settings", "in_time")
        found = {name: getattr(self, name) for name in names}
        before = files_of(folder)
        paths, folder = write_tables(folder, "compare", self.table(), found), Path(folder)
        models = []
        notes = origin(self.data, split(self.data, self.settings["seed"])[2])
        for method, found in self.fits.items():
            models.append(model_file(folder, method))
            try:
                save_model(models[-1], found.density, **notes)
            except ValueError:  # not an energy or a space of this package
                save_tree(models[-1], found.theta, **notes)
        if drawable(self.data, getattr(self.data, "space", None) or Reals(self.settings["dim"])):
            paths += self._figure(folder / "compare.png")
        paths += models
        remove(before - set(paths))
        return paths

    def _figure(self, path):
        """The path of the figure in a list, which is empty if it cannot be drawn."""
        from tinyebm import plots

        try:
            return [plots.save(self.plot(), path)]
        except QuadratureError:  # states too many to be drawn exactly
            return []
        except Exception as error:  # the numbers are there
            warnings.warn(f"there is no {path}: {said(error)}", stacklevel=3)
            return []


def compare(
    target: Any = "faithful",
    methods: str | Sequence[str] | Mapping[str, Any] = METHODS,
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
    """Train one model by several objectives, and compare each with the exact answer.

    Parameters
    ----------
    target : name or path for `datasets.load`, Data, array (n, d), or a population as in `fit`
        In dimension ≤ 3, or states.  From a population a new batch is drawn at every update, and
        the models are compared with it.  Of finite data a quarter is held out.
    methods : names, {name: objective}, or "all"
        "mle" (exact likelihood), "perfect" (negatives drawn from the model exactly), "cd-k",
        "pcd-k" (no restarts), "short-k"; "nce-r" (r draws of noise per datum: a normal
        distribution, or independent sites, with the moments of the data); on R^d "sm", "ssm-m" (m
        projections), "dsm-s" (noise s); on bits "pl", "rm".  "all" is one of each kind
        (`setups.all_methods`).  In a dict a value is an objective of your own, with a method
        `gradient(p, x, rng, state)`, or a method's name; None stands for the method that the key
        names.
    steps, batch_size : int
        Updates of every method (by default 800 on a population, 500 on finite data, 2000 on
        discrete spaces), and rows in a batch.
    learning_rate : float, optional
        That of Adam; it falls linearly to 0 over the second half.  By default 0.03 on a population,
        and 0.01 on finite data, where a larger rate overfits.
    step_size : float
        ε of the Langevin kernel, in units of [x]².
    hidden, activation, confinement : sizes and options of a named energy
    ema : float
        Decay of the running average of θ, which is the result.
    seed : int
    energy : "mlp", "rbm", "boltzmann", or any energy with `init`, optional
        By default an MLP on R^d, an RBM on discrete spaces.
    kernel : ULA, BlockGibbs, ..., optional
        The kernel of the named methods; by default one that suits the energy
        (`setups.default_kernel`).
    seconds : float, optional
        Every method is trained once more, for as many updates as its first run made in this time;
        the default is the time of the fastest method.  The schedule of the learning rate and the
        average are scaled with the length of the run.
    race : bool
        Whether to train this second time.
    space : Bits, Reals, ..., optional
        The space of rows; by default Bits if all entries are 0 or 1, Spins if -1 or 1, else R^d.

    Returns
    -------
    Comparison
        Each row holds "method", "consistent" (`setups.consistency`), "updates", "seconds" (of
        training alone), "nll", "test_nll" (finite data), "kl", "tv" (each with "..._error"),
        "modes" (the probability of every mode), and "status".  "angle", in degrees, and
        "norm_ratio" compare the method's expected gradient at the end with that of the likelihood.
        They are nan if it is not known.  For an objective of your own "consistent" is "-".
        "status" is "ok", or the error that ended the training of this method.  A number whose
        computation failed is nan; its cause is in "unknown", a dict of names and errors.
        Rows of noise contrast also have the learned "log_normaliser", and the exact "log_z" of the
        same parameters.

    >>> import tinyebm as te
    >>> class Mean:  # of two gradients
    ...     def gradient(self, p, x, rng, state=None):
    ...         one = te.Pseudolikelihood().gradient(p, x, rng)
    ...         two = te.ContrastiveDivergence(te.Gibbs(), k=3).gradient(p, x, rng)
    ...         mean = {name: (one.gradient[name] + two.gradient[name]) / 2 for name in p.theta}
    ...         return te.Step(mean, {"loss": one.metrics["loss"]}, None)
    >>> methods = {"mle": None, "mean": Mean()}
    >>> found = compare("bars_and_stripes_3x3", methods, steps=2, hidden=(2,), race=False)
    >>> [(row["method"], row["consistent"], bool(row["kl"] > 0)) for row in found.rows]
    [('mle', 'yes', True), ('mean', '-', True)]
    """
    for label, value in {"learning_rate": learning_rate, "seconds": seconds}.items():
        if value is not None:
            require_positive(label, value)
    require_decay("ema", ema)
    if kernel is not None:
        require_kernel(kernel)
    if steps is not None:
        require_count(steps, "steps must be a positive number of updates")
    name, data, rows, test = split(target, seed)
    space = space or space_of(data, rows, energy)
    require_space(space)
    if not space.discrete and space.dim > 3:
        raise ValueError(
            f"{name} has {space.dim} columns: exact answers need quadrature, which is for dim <= 3"
        )
    if test is not None:
        data = replace(data, space=space if space.discrete else None)

    if energy is None or isinstance(energy, str):
        energy = named_energy(energy, space, hidden, activation, confinement)
    kernel = kernel or default_kernel(energy, space, step_size)
    steps = default_steps(data, space) if steps is None else steps
    noise = lambda: moments_of(*data_law(rows), space=space)
    objectives = objectives_of(methods, energy, space, kernel, noise)
    experiment = Experiment(data, rows, energy, space, steps, batch_size, learning_rate, ema, seed)

    truth = truth_of(data, rows)
    require_trainable(experiment, objectives)

    runs: dict = {}
    for method, objective in objectives.items():
        runs[method] = timed(experiment, objective, progress and method, first=not runs)
    if test is None:
        reference, source = rows, f"the population {name}"
    else:
        reference, source = _model_of_mle(runs, rows)
    found, bar = [], Progress("judging", len(runs), progress)
    for method, run in runs.items():
        found.append(_row(method, run, experiment, test, reference))
        bar(len(found), method)
    reached = equal_seconds(experiment, runs if race else {}, seconds, reference, progress)

    model, sampler = describe(energy, kernel)
    settings = {
        "dim": space.dim,
        "space": repr(space),
        "model": model,
        "sampler": sampler,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": schedule(learning_rate, data, steps)(0),
        "energy": repr(energy),
        "kernel": repr(kernel),
        "ema": ema,
        "seed": seed,
        "rows": None if test is None else [len(rows), len(test)],
    }
    return Comparison(
        name,
        source,
        truth,
        found,
        curves={method: run.curve for method, run in runs.items()},
        fits={method: run.fit for method, run in runs.items() if run.fit is not None},
        data=data,
        settings=settings,
        in_time=reached,
    )


def _model_of_mle(runs, rows):
    """(The reference density for finite data, its description)."""
    mle = runs.get("mle")
    if mle is None or mle.fit is None or not isinstance(mle.objective, ExactLikelihood):
        return None, "nothing"
    return known(mle.fit.density, rows), "the model of row mle"


def _row(method, run, experiment, test, reference):
    """The row of one method: its name, whether it is consistent, its time, and its results."""
    row = {
        "method": method,
        "consistent": consistency(run.objective, experiment.space),
        "updates": run.updates,
        "seconds": run.seconds,
    }
    if run.fit is not None:
        data, rows = experiment.data, experiment.rows
        row |= judge(run.fit, run.objective, data, rows, test, reference)
    return row | {"status": run.status}
