"""Fitting θ by steps of any objective: `fit`.

The steps are in `loop.updates`.  `fit` checks its arguments, runs the steps, records exact numbers
at log points, saves the state there, and returns the fitted model.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tinyebm.common.backend import Stream
from tinyebm.common.kinds import AnyData, Energy, Objective, Space, Tree, is_population
from tinyebm.common.progress import Progress
from tinyebm.common.tree import compared, tree_map
from tinyebm.density import Density
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.sampling import population
from tinyebm.replay.door import remembering, still
from tinyebm.spaces.own import complete
from tinyebm.training.history import (
    Checkpoint,
    append,
    costs,
    entry_of,
    measurer,
    note_of,
    rollbacks,
    spaced,
)
from tinyebm.training.loop import Setting, attempts, batches, initial_state, sound, updates
from tinyebm.training.optimize import Optimizer, adam
from tinyebm.training.start import (
    regularised,
    require_path,
    require_runnable,
    space_of,
    start_of,
    unstandardised,
)
from tinyebm.training.watch import caveats


@compared
class Fit(NamedTuple):
    """A fitted model, as `te.fit` and `te.mle` return it.

    `theta` holds the parameters (the running average, if one was asked for), `density` the Density
    with these, `history` lists of numbers by name, and `state` the last state of the run.

    >>> import numpy as np
    >>> import tinyebm as te
    >>> found = te.mle(te.GaussianEnergy(1), np.array([[0.0], [2.0]]))
    >>> found.theta["mean"].round(6), found.history["converged"]
    (array([1.]), [True])
    >>> round(found.history["nll"][-1], 6), round(float(te.nll(found.density, np.zeros((1, 1)))), 6)
    (1.418939, 1.418939)
    """

    theta: Any
    density: Density
    history: dict
    state: dict

    def __repr__(self):
        numbers = [f"{self.history['step'][-1]} updates"]
        numbers += [
            f"{name} {values[-1]:.6g}"
            for name, values in self.history.items()
            if name in ("nll", "kl")
        ]
        p = self.density
        return f"Fit of {p.energy!r} on {p.space!r} after {', '.join(numbers)}"


def fit(
    energy: Energy,
    data: AnyData,
    space: Space | None = None,
    objective: Objective | None = None,
    optimizer: Optimizer | None = None,
    steps: int = 1000,
    batch_size: int | None = 256,
    seed: int = 0,
    theta: Tree = None,
    device: str = "cpu",
    dtype: str = "float64",
    callback: Callable[[int, Density, dict], Any] | None = None,
    progress: bool | str = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    alpha: float = 0.0,
    data_noise: float = 0.0,
    clip: float | None = None,
    ema: float | None = None,
    log_every: int | None = None,
    exact: bool | None = None,
    rollback: int = 0,
) -> Fit:
    """A model fitted to data by steps of an objective, as a Fit.

    Each step draws a batch, computes the gradient of the objective, and updates θ by the optimiser.
    The formulas are in `tinyebm.training.loop.updates`.

    Parameters
    ----------
    energy : callable (theta, x) -> (n,)
        With a method `init(rng)` unless theta is given.
    data : array (n, d), Data, or a population
        From finite data a batch is drawn with replacement; it is all rows, in order, if there are
        at most batch_size.  From a population a new batch is drawn at every step.  A population is
        a Target, a Density or a Fit (with exact draws), or an object with `sample(n, rng)` and a
        normalised `log_prob(x)`, like te.Normal; in dimension ≤ 3.
    space : Reals, Box, ..., optional
        The space of x.  By default that of the data, if they have one; else that of the energy (for
        an RBM Bits(d), if all entries are 0 or 1); else Reals(d), with a warning if all entries are
        0 or 1 (or -1 or 1).
    objective : ContrastiveDivergence(kernel, k), ExactLikelihood(), ...
    optimizer : Optimizer, by default adam(1e-3)
    steps, batch_size, seed : int
    theta : tree, optional
        The first parameters; by default a draw of `energy.init`.
    device, dtype : "cpu" or "gpu"; "float64" or "float32"
        On a GPU (CuPy) only log points wait until the GPU has finished.
    callback : callable (step, density, entry), optional
        Called at every log point; entry is the newest one of the history, {name: number}.
    progress : bool or str
        Whether to draw a progress bar (in a terminal or notebook); a string is its title.
    checkpoint : path, optional
        The file to which the state is saved at every log point and at Ctrl-C.  A file of another
        run, or of this run before its end, is not overwritten but renamed to NAME.1.npz, with a
        warning.
    resume : bool
        Whether to continue from the state in the file, if there is one.  The numbers are those of
        the uninterrupted run, to the bit.  The run in the file must have the same data, energy,
        space, objective, optimiser, seed, batches and options, and the same theta if one is given;
        `steps` may be larger.  Functions and classes are compared by their code and by the
        variables that they read, dataclasses by the fields that their comparison uses.
    alpha : float
        Weight of the regulariser alpha (mean E(data)² + mean E(negatives)²).
    data_noise : float
        Standard deviation of the normal noise that is added to every batch.
    clip : float, optional
        Largest Euclidean norm of the gradient, over all parameters; longer ones are shortened.
    ema : float, optional
        Decay of a running average of θ, which is returned instead of the last θ.
    log_every : int, optional
        Steps between log points, by default steps / 20.
    exact : bool, optional
        Whether log points compute the exact NLL (and KL, for a population).  By default they do if
        the space is discrete or has dim ≤ 2, but at so few log points that this costs at most about
        as much as the training: the last one, then the first, then others at equal distances.  At
        the rest the numbers are nan, and a warning says so.  Costs are counted in energies
        (`training.history.costs`), so that every machine computes the same numbers.
    rollback : int
        How often a run whose numbers are not finite may return to its last log point and continue
        with other random numbers, before it fails.  The history counts "rollbacks".

    Returns
    -------
    Fit
        `history` maps names to lists with one number per log point: "step", the metrics of the
        objective, the exact "nll" in nats (inf if Z is infinite, nan if it is not known), for a
        population "kl" = KL(data‖model), and for NoiseContrastive the exact "log_z" of the last θ
        beside the learned "log_normaliser".

    Raises
    ------
    FloatingPointError
        If the gradient, a metric or a parameter is not finite, or if a chain has left the space.
        The update is dropped, and the state before it is saved to `checkpoint`.  On a GPU this
        happens at the next log point, and the state of the last one is saved.
    ChangedEnergyError
        If the values of the energy have changed since it was compiled, because it reads something
        that changes (a global, an attribute, a random number).  This is checked at log points.
    ValueError
        If the arguments do not fit together.

    Warns
    -----
    UserWarning
        If exact numbers at all log points would cost more than the training.  If the kernel is a
        `Recipe` whose temperature is not 1 or that clips gradients.  If `alpha` has made the
        energies constant.  If theta is not given, and data on R^d have a mean far from 0 or a scale
        far from 1.

    >>> import numpy as np
    >>> import tinyebm as te
    >>> x = np.random.default_rng(0).standard_normal((50, 1))
    >>> cd = te.ContrastiveDivergence(te.ULA(0.1), k=1)
    >>> found = te.fit(te.MLP((1, 8, 1), confinement=1.0), x, objective=cd, steps=20, log_every=10)
    >>> found.history["step"], found.history["nll"][-1] < found.history["nll"][0]
    ([0, 10, 20], True)
    """
    require_path(checkpoint, resume)
    data = population(data)
    x, mass = data_law(data)
    space = complete(space or space_of(data, x, energy))
    options = {
        "batch_size": batch_size,
        "data_noise": data_noise,
        "clip": clip,
        "ema": ema,
        "dtype": dtype,
    }
    counts = {"steps": steps, "log_every": log_every, "rollback": rollback, "alpha": alpha}
    require_runnable(objective, space, x, optimizer, callback, options | counts)
    if theta is None and not is_population(data) and (caveat := unstandardised(space, x, mass)):
        warnings.warn(caveat, stacklevel=2)
    objective = regularised(objective, alpha)
    optimizer = optimizer or adam(1e-3)
    # NumPy scalars would turn single into double precision
    ema, data_noise = ema and float(ema), float(data_noise)

    stream = Stream(seed, device)
    x, mass = stream.place((x, mass))
    batch = batches(data, x.astype(dtype), batch_size, data_noise, space)
    setting = Setting(energy, space, objective, optimizer, batch, clip, ema, steps)
    interval = log_every or max(1, steps // 20)
    at_log = lambda step: step % interval == 0 or step == steps
    logged = [step for step in range(steps + 1) if at_log(step)]
    measured = logged if exact else None
    if exact is None and (space.discrete or space.dim <= 2):
        size = batch_size or len(x)
        size = size if is_population(data) else min(size, len(x))
        measured = spaced(logged, *costs(energy, space, objective, len(x), size, steps))
        if len(measured) < len(logged):
            warnings.warn(
                f"exact numbers at all {len(logged)} log points would cost more than the training: "
                f"they are computed at {len(measured)}, and nan at the others; exact=True computes "
                "all, exact=False none",
                stacklevel=2,
            )
    measure = measurer(data, (x, mass), measured, hasattr(objective, "noise"))
    file = Checkpoint(
        checkpoint,
        data=data if is_population(data) else x,
        energy=energy,
        space=space,
        objective=objective,
        optimizer=optimizer,
        theta=theta,
        seed=seed,
        **options,
    )

    with still(), remembering(energy, space) as require_unchanged:
        if resume and checkpoint and Path(checkpoint).exists():
            if theta is None and hasattr(energy, "init"):  # for the classes of its NamedTuples
                theta = energy.init(stream.at(0))
            state, history = file.load(steps, theta)
            state = stream.place(state)
        else:
            theta = tree_map(lambda leaf: leaf.astype(dtype), start_of(energy, theta, stream))
            state = initial_state(theta, optimizer)
            exact_start = measure(0, Density(energy, theta, space), theta)
            history = append({}, {"step": 0, **exact_start})
            file.begin(steps, state)

        def run(state, attempt):
            return sound(updates(setting, state, replace(stream, attempt=attempt)), space, at_log)

        bar = Progress(progress if isinstance(progress, str) else "fit", steps, bool(progress))
        kept = state, history  # what a checkpoint holds after Ctrl-C or a failure
        try:
            for update in attempts(run, state, rollbacks(history), rollback, at_log):
                step, state = update.number, update.state
                if at_log(step):
                    require_unchanged(all=step == steps)
                    p = Density(energy, state["ema"], space)
                    entry = entry_of(update, measure(step, p, state["theta"]), rollback > 0)
                    history = append(history, entry)
                    kept = state, history
                    file.save(*kept)
                    if callback:
                        callback(step, p, entry)
                if not rollback:  # a resumed run must also be able to return to its last log point
                    kept = state, history
                bar(step, note_of(history))
        except (KeyboardInterrupt, FloatingPointError):
            file.save(*kept)
            raise

    for caveat in caveats(objective, history):
        warnings.warn(caveat, stacklevel=2)
    return Fit(state["ema"], Density(energy, state["ema"], space), history, state)
