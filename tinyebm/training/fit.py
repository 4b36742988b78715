"""Fitting θ by steps of any objective.

A run is a fold over steps: the state (θ, the optimiser's and the objective's
state, the running average of θ) is a tree; step i draws from `Stream(seed).at(i)`.
So a run that was saved and resumed gives the numbers of the uninterrupted one.
"""

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import Stream, on_gpu
from tinyebm.common.checks import require_nonnegative
from tinyebm.common.kinds import AnyData, Energy, Objective, Space, Tree
from tinyebm.common.progress import Progress
from tinyebm.common.tree import tree_map
from tinyebm.density import Density
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.sampling import population
from tinyebm.objectives.step import Step
from tinyebm.replay.door import remembering
from tinyebm.samplers.chains import caveat_of
from tinyebm.spaces.own import complete
from tinyebm.storage.checkpoint import save_tree
from tinyebm.training.history import append, fingerprint, measurer, resumed, rollbacks
from tinyebm.training.optimize import Optimizer, adam, clip_norm
from tinyebm.training.start import (
    require_path,
    require_runnable,
    space_of,
    start_of,
    unstandardised,
)
from tinyebm.training.watch import flatness, look, require_sound


class Fit(NamedTuple):
    """A fitted model: θ (the running average, if one was asked for), its Density, the history, the
    last state."""

    theta: Any
    density: Density
    history: dict
    state: dict

    def __repr__(self):
        numbers = [
            f"{name} {values[-1]:.6g}"
            for name, values in self.history.items()
            if name in ("nll", "kl")
        ]
        numbers.insert(0, f"{self.history['step'][-1]} updates")
        return (
            f"Fit of {self.density.energy!r} on {self.density.space!r} after {', '.join(numbers)}"
        )


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
    """Fit an energy to data by steps of an objective.

    Parameters
    ----------
    energy : callable (theta, x) -> (n,), with `init(rng)` unless theta is given
    data : array (n, d), Data, or a population
        Batches are rows drawn with replacement (all rows, in order, if there are no more than
        batch_size).  A population is sampled afresh at every step: a Target, a Density (by exact
        draws), a Fit's, or anything with `sample(n, rng)` and a normalised `log_prob(x)`, like
        te.Normal; in dimension ≤ 3.
    space : Reals, Box, ...
        By default that of the population or Data, or the one the energy is for (an RBM's is Bits(d)
        if all entries are 0 or 1); else Reals(d), with a warning if all entries are 0 or 1 (-1 or
        1).
    objective : ContrastiveDivergence(kernel, k), ExactLikelihood(), ...
    optimizer : Optimizer, by default adam(1e-3)
    steps, batch_size, seed : int
    theta : tree, optional
        Where to start; by default `energy.init`.
    device, dtype : "cpu" or "gpu"; "float64" or "float32"
        On a GPU (CuPy) nothing waits for it but the log points.
    callback : callable (step, density, record), optional
        Called at every log point.
    progress : bool or str
        Draw a progress bar (in a terminal or notebook), under that title.
    checkpoint : path, optional
        Save the state there at every log point, and at Ctrl-C; `resume=True` goes on from it.
    alpha : float
        Weight of the regulariser alpha (mean E(data)² + mean E(negatives)²).
    data_noise : float
        Standard deviation of normal noise added to every batch of data.
    clip : float, optional
        Longest gradient, in Euclidean norm over all parameters.
    ema : float, optional
        Decay of a running average of θ, returned instead of the last θ.
    log_every : int, optional
        Steps between log points, by default steps / 20.
    exact : bool, optional
        Record the exact NLL (and KL, for a Target) at log points; by default where
        the space is discrete or has dim ≤ 2.
    rollback : int
        How often a run that diverges goes back to its last log point and on from there with other
        random numbers, instead of raising; how often it did stands in the history, as "rollbacks".

    Returns
    -------
    Fit
        `history` maps names to lists, one entry per log point: "step", the metrics of the
        objective, "nll" in nats (inf if Z is infinite, nan if quadrature fails), "kl" =
        KL(data‖model) for a Target, and for NoiseContrastive "log_z", exact, of the last θ, beside
        the "log_normaliser" learned with it.

    Raises
    ------
    FloatingPointError
        If the gradient, a metric or the parameters are not finite, or chains have left the space:
        before the update; on a GPU at the next log point.  The last good state goes to
        `checkpoint`.
    ChangedEnergyError
        If the energy gives other values than it did when it was compiled: it reads what has changed
        during the run (a global, an attribute, a random number).  Found at log points, before
        anything is written down.
    ValueError
        For what does not fit together.

    Warns
    -----
    UserWarning
        If the objective's kernel is a `Recipe` that runs at another temperature than 1 or clips
        gradients; if with `alpha` the energies have collapsed; if without theta the data on R^d lie
        far from 0, or are much wider or narrower than 1.
    """
    if checkpoint is not None:
        require_path(checkpoint)
    if resume and not checkpoint:
        raise ValueError("resume=True needs the checkpoint= to resume from")
    data = population(data)
    x, mass = law = data_law(data)
    space = complete(space or space_of(data, x, energy))
    options = {
        "batch_size": batch_size,
        "data_noise": data_noise,
        "clip": clip,
        "ema": ema,
        "dtype": dtype,
    }
    counts = {"steps": steps, "log_every": log_every, "rollback": rollback}
    require_runnable(objective, space, x, optimizer, callback, options | counts)
    if data_noise and space.discrete:
        raise ValueError(
            f"data_noise moves data off the states of {space}: it is for continuous spaces"
        )
    optimizer = optimizer or adam(1e-3)
    require_nonnegative("alpha", alpha)
    if alpha:
        objective = _regularised(objective, alpha)
    # NumPy's scalars would widen single precision
    ema, data_noise = ema and float(ema), float(data_noise)
    if theta is None and not hasattr(data, "sample") and (caveat := unstandardised(space, x, mass)):
        warnings.warn(caveat, stacklevel=2)
    log_every = log_every or max(1, steps // 20)
    stream = Stream(seed, device)
    x, _ = law = stream.place(law)
    measure = measurer(
        data,
        law,
        (space.discrete or space.dim <= 2) if exact is None else exact,
        hasattr(objective, "noise"),
    )
    identity = {
        "data": fingerprint(data, x),
        "energy": repr(energy),
        "space": repr(space),
        "objective": repr(objective),
        "seed": seed,
        **options,
    }

    with remembering(energy, space) as require_unchanged:
        if resume and checkpoint and Path(checkpoint).exists():
            state, history = resumed(checkpoint, identity)
            state = stream.place(state)
        else:
            theta = tree_map(lambda leaf: leaf.astype(dtype), start_of(energy, theta, stream))
            state = {
                "step": np.array(0),
                "theta": theta,
                "optimizer": optimizer.init(theta),
                "objective": (),
                "ema": theta,
            }
            history = {"step": [0], **measure(Density(energy, theta, space), theta)}

        save = lambda state, history: (
            checkpoint and save_tree(checkpoint, state, identity=identity, history=history)
        )
        bar = Progress(progress if isinstance(progress, str) else "fit", steps, bool(progress))
        rows = x.astype(dtype)
        here = good = state, history  # where the run is, and its last log point
        unseen, collapse = [], None  # updates that may still be on their way
        stream = dataclasses.replace(stream, attempt=rollbacks(history))
        try:
            while (step := int(here[0]["step"]) + 1) <= steps:
                state, history = here
                rng, at_log = stream.at(step), step % log_every == 0 or step == steps
                x = _noisy(
                    _batch(data, rows, batch_size, rng).astype(dtype), data_noise, space, rng
                )
                p = Density(energy, state["theta"], space)
                new, metrics, seen = _advance(p, x, rng, state, objective, optimizer, clip, ema)
                unseen.append((step, seen))
                if at_log or not on_gpu(seen["gradient"]):
                    try:
                        require_sound(space, unseen)
                    except FloatingPointError:
                        if stream.attempt >= rollback:
                            save(*(good if rollback or len(unseen) > 1 else here))
                            raise
                        here = good
                        unseen = []
                        stream = dataclasses.replace(stream, attempt=stream.attempt + 1)
                        continue
                    unseen = []
                if at_log:
                    require_unchanged(all=step == steps)
                    density = Density(energy, new["ema"], space)
                    collapse = collapse or flatness(metrics)
                    record = {
                        "step": [step],
                        **{k: [float(v)] for k, v in metrics.items()},
                        **measure(density, new["theta"]),
                    }
                    history = append(
                        history, record | ({"rollbacks": [stream.attempt]} if rollback else {})
                    )
                    here = good = new, history
                    save(*good)
                    if callback:
                        callback(
                            step, density, {name: values[-1] for name, values in record.items()}
                        )
                here = new, history
                bar(
                    step,
                    "  ".join(
                        f"{name} {history[name][-1]:.4f}"
                        for name in ("nll", "kl")
                        if name in history
                    ),
                )
        # go on later from here; where rescues begin if they may, or if here is not sure to be sound
        except KeyboardInterrupt:
            save(*(good if rollback or unseen else here))
            raise
        state, history = here
    for caveat in (_clipping(objective, history), collapse):
        if caveat:
            warnings.warn(caveat, stacklevel=2)
    return Fit(state["ema"], Density(energy, state["ema"], space), history, state)


# what is not finite is refused, in words, by require_sound
@np.errstate(over="ignore", invalid="ignore")
def _advance(p, x, rng, state, objective, optimizer, clip, ema):
    """One update: (next state, metrics, what to watch)."""
    step = Step(*objective.gradient(p, x, rng, state["objective"] or None))
    gradient = clip_norm(step.gradient, clip) if clip else step.gradient
    theta, moments = optimizer.update(gradient, state["optimizer"], p.theta)
    # a rate may be a NumPy scalar
    theta = tree_map(lambda new, old: new.astype(old.dtype), theta, p.theta)
    average = tree_map(lambda a, t: ema * a + (1 - ema) * t, state["ema"], theta) if ema else theta
    new = {
        "step": state["step"] + 1,
        "theta": theta,
        "optimizer": moments,
        "ema": average,
        "objective": () if step.state is None else step.state,
    }
    return new, step.metrics, look(p.space, step, theta)


def _batch(data, rows, size, rng):
    if hasattr(data, "sample"):
        return data.sample(size, rng)
    return (
        rows if size is None or size >= len(rows) else rows[rng.integers(0, len(rows), size=size)]
    )


def _noisy(x, data_noise, space, rng):
    return (
        space.fold(x + data_noise * rng.standard_normal(x.shape, dtype=x.dtype))
        if data_noise
        else x
    )


def _clipping(objective, history):
    """What a `Recipe` that the objective runs did at the last update, if that was not Langevin
    dynamics; else None."""
    caveat = (
        caveat_of(objective.kernel, objective.k, history["clipped"][-1])
        if "clipped" in history
        else None
    )
    return f"at the last update {caveat}" if caveat else None


def _regularised(objective, alpha):
    if not any(field.name == "alpha" for field in dataclasses.fields(objective)):
        raise ValueError(
            f"alpha needs negative samples to act on: {type(objective).__name__} has none"
        )
    return dataclasses.replace(objective, alpha=alpha)
