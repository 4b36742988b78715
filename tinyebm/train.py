"""Fitting θ by steps of any objective.

A run is a fold over steps: the state (θ, the optimiser's and the objective's
state, the running average of θ) is a tree; step i draws from `Stream(seed).at(i)`.
So a run that was saved and resumed gives the numbers of the uninterrupted one.
"""

import dataclasses
import math
import operator
import warnings
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyebm.backend import Stream, on_gpu, to_numpy
from tinyebm.checkpoint import load_tree, save_tree
from tinyebm.density import Density, exponents
from tinyebm.errors import or_nan
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.partition import log_partition
from tinyebm.optimize import adam, clip_norm
from tinyebm.progress import Progress
from tinyebm.replay.plans import remembering
from tinyebm.samplers.chains import kernel_at
from tinyebm.spaces import Reals
from tinyebm.tree import tree_flatten, tree_map


class Fit(NamedTuple):
    """A fitted model: θ (the running average, if one was asked for), its Density, the history, the last state."""

    theta: Any
    density: Density
    history: dict
    state: dict

    def __repr__(self):
        numbers = [f"{name} {values[-1]:.6g}" for name, values in self.history.items() if name in ("nll", "kl")]
        numbers.insert(0, f"{self.history['step'][-1]} updates")
        return f"Fit of {self.density.energy!r} on {self.density.space!r} after {', '.join(numbers)}"


def fit(energy, data, space=None, objective=None, optimizer=None, steps=1000, batch_size=256, seed=0, theta=None,
        device="cpu", dtype="float64", callback=None, progress=True, checkpoint=None, resume=False,
        alpha=0.0, data_noise=0.0, clip=None, ema=None, log_every=None, exact=None):
    """Fit an energy to data by steps of an objective.

    Parameters
    ----------
    energy : callable (theta, x) -> (n,), with `init(rng)` unless theta is given
    data : array (n, d), Data, or Target
        Batches are rows drawn with replacement (all rows, in order, if there are
        no more than batch_size); a Target is sampled afresh at every step.
    space : Reals, Box, ...
        By default the Target's space, or Reals(d).
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
        Save the state there at every log point; `resume=True` goes on from it.
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

    Returns
    -------
    Fit
        `history` maps names to lists, one entry per log point: "step", the metrics
        of the objective, "nll" in nats (inf if Z is infinite, nan if quadrature
        fails), "kl" = KL(data‖model) for a Target, and for NoiseContrastive "log_z", exact, of the last θ,
        beside the "log_normaliser" learned with it.

    Raises
    ------
    FloatingPointError
        If a gradient or a metric is not finite: before θ is touched; on a GPU at the next log point.
    ValueError
        For what does not fit together.

    Warns
    -----
    UserWarning
        If the objective's kernel is a `Recipe` that runs at another temperature than 1 or clips gradients.
    """
    if hasattr(data, "energy") and not hasattr(data, "sample"):
        raise ValueError("a Density has no rows to draw batches from: use te.sample(density, n, rng), or te.mle")
    if resume and not checkpoint:
        raise ValueError("resume=True needs the checkpoint= to resume from")
    x, _ = law = data_law(data)
    space = space or getattr(data, "space", None) or Reals(x.shape[1])
    options = {"batch_size": batch_size, "data_noise": data_noise, "clip": clip, "ema": ema, "dtype": dtype}
    _check(objective, space, x, steps, options)
    if data_noise and space.discrete:
        raise ValueError(f"data_noise moves data off the states of {space}: it is for continuous spaces")
    optimizer = optimizer or adam(1e-3)
    if alpha:
        objective = _regularised(objective, alpha)
    log_every = log_every or max(1, steps // 20)
    stream = Stream(seed, device)
    x, _ = law = stream.place(law)
    measure = _measurer(data, law, (space.discrete or space.dim <= 2) if exact is None else exact, hasattr(objective, "noise"))
    identity = {"data": _fingerprint(data, x), "energy": repr(energy), "space": repr(space), "objective": repr(objective),
                "seed": seed, **options}

    with remembering(energy):
        if resume and checkpoint and Path(checkpoint).exists():
            state, history = _resume(checkpoint, identity)
            state = stream.place(state)
        else:
            theta = energy.init(stream.at(0)) if theta is None else stream.place(theta)
            theta = tree_map(lambda leaf: leaf.astype(dtype), theta)
            state = {"step": np.array(0), "theta": theta, "optimizer": optimizer.init(theta), "objective": (), "ema": theta}
            history = {"step": [0], **measure(Density(energy, theta, space), theta)}

        bar, rows = Progress(progress if isinstance(progress, str) else "fit", steps, bool(progress)), x
        unseen = []  # of updates that may still be on their way
        for step in range(int(state["step"]) + 1, steps + 1):
            rng = stream.at(step)
            x = _batch(data, rows, batch_size, rng).astype(dtype)
            if data_noise:
                x = space.fold(x + data_noise * rng.standard_normal(x.shape, dtype=x.dtype))
            p = Density(energy, state["theta"], space)
            state, metrics, watched = _advance(p, x, rng, state, objective, optimizer, clip, ema)
            unseen.append((step, watched))
            if not on_gpu(watched["gradient"]) or step % log_every == 0 or step == steps:
                _require_finite(unseen)
                unseen = []
            if step % log_every == 0 or step == steps:
                density = Density(energy, state["ema"], space)
                record = {"step": [step], **{k: [float(v)] for k, v in metrics.items()}, **measure(density, state["theta"])}
                history = _append(history, record)
                if checkpoint:
                    save_tree(checkpoint, state, identity=identity, history=history)
                if callback:
                    callback(step, density, {name: values[-1] for name, values in record.items()})
            bar(step, "  ".join(f"{name} {history[name][-1]:.4f}" for name in ("nll", "kl") if name in history))
    if "clipped" in history and (caveat := kernel_at(objective.kernel, objective.k).caveat(history["clipped"][-1])):
        warnings.warn(f"at the last update {caveat}", stacklevel=2)
    return Fit(state["ema"], Density(energy, state["ema"], space), history, state)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused, in words, by _require_finite
def _advance(p, x, rng, state, objective, optimizer, clip, ema):
    """One update: (next state, metrics, the metrics beside a "gradient" that is nan if the gradient is not finite)."""
    gradient, metrics, memory = objective.gradient(p, x, rng, state["objective"] or None)
    finite = reduce(operator.and_, [np.isfinite(g).all() for g in tree_flatten(gradient)[0]])
    watched = {"gradient": np.where(finite, 0.0, math.nan), **metrics}
    if clip:
        gradient = clip_norm(gradient, clip)
    theta, moments = optimizer.update(gradient, state["optimizer"], p.theta)
    average = tree_map(lambda a, t: ema * a + (1 - ema) * t, state["ema"], theta) if ema else theta
    memory = () if memory is None else memory
    return {"step": state["step"] + 1, "theta": theta, "optimizer": moments, "objective": memory, "ema": average}, metrics, watched


def _require_finite(updates):
    """Refuse the first of some updates, (number, {name: value}), that has a value which is not finite."""
    steps, values = zip(*updates, strict=True)
    columns = {name: [row[name] for row in values] for name in values[0]}
    columns = {name: to_numpy(np.stack(column)) if on_gpu(column[0]) else column for name, column in columns.items()}
    for i, step in enumerate(steps):
        lost = [name for name, column in columns.items() if not np.isfinite(column[i])]
        if "gradient" in lost:
            raise FloatingPointError(f"update {step}: the gradient is not finite. The chains or the energy have diverged: try a "
                                     f"smaller learning rate or step_size, clip=, or alpha=")
        if lost:
            raise FloatingPointError(f"update {step}: the {lost[0]} is {columns[lost[0]][i]}, though the gradient is finite: the "
                                     f"energy is nan or infinite somewhere")


def _fingerprint(data, x):
    """What tells two runs' data apart: the name of a population, or a digest of the rows."""
    import hashlib  # takes 3 ms to load: only when used

    return data.name if hasattr(data, "sample") else hashlib.sha256(np.ascontiguousarray(to_numpy(x))).hexdigest()[:16]


def _batch(data, rows, size, rng):
    if hasattr(data, "sample"):
        return data.sample(size, rng)
    return rows if size is None or size >= len(rows) else rows[rng.integers(0, len(rows), size=size)]


def _measurer(data, law, exact, normaliser):
    """A function of a density and the last θ: {"nll": [...], "kl": [...]}, as far as they can be had exactly.

    If a normaliser is learned, for the last θ and not for an average, its log Z too.
    """
    entropy = getattr(data, "entropy", None)  # a population's

    @np.errstate(over="ignore", invalid="ignore")  # an energy that overflows ends as inf or nan in the history
    def measure(p, last):
        if not exact:
            return {}
        log_z = float(or_nan(log_partition, p, 1e-5))
        nll = log_z - float(law[1] @ exponents(p, law[0])) if log_z < math.inf else log_z
        record = {"nll": [nll]} if entropy is None else {"nll": [nll], "kl": [nll - entropy]}
        if normaliser:
            last = dataclasses.replace(p, theta=last)
            record["log_z"] = [log_z if last.theta is p.theta else float(or_nan(log_partition, last, 1e-5))]
        return record

    return measure


def _append(history, record):
    """History with one more entry; a metric that is missing in either is nan there."""
    before = len(history["step"])
    return {name: history.get(name, [math.nan] * before) + record.get(name, [math.nan]) for name in {**history, **record}}


def _regularised(objective, alpha):
    if not any(field.name == "alpha" for field in dataclasses.fields(objective)):
        raise ValueError(f"alpha needs negative samples to act on: {type(objective).__name__} has none")
    return dataclasses.replace(objective, alpha=alpha)


def _resume(path, identity):
    """(state, history) of a checkpoint written by the same run."""
    state, notes = load_tree(path)
    for name, value in identity.items():
        if notes["identity"].get(name) != value:
            raise ValueError(f"{path} belongs to another run: its {name} is {notes['identity'].get(name)!r}, not {value!r}")
    return state, notes["history"]


def _check(objective, space, x, steps, options):
    if isinstance(objective, type) or not hasattr(objective, "gradient"):
        raise ValueError(f"fit needs an objective, for example te.ContrastiveDivergence(te.ULA(0.01), k=10), "
                         f"got {objective!r}")
    if x.shape[1] != space.dim:
        raise ValueError(f"the data have {x.shape[1]} columns, the space {space} has dimension {space.dim}")
    if not np.all(space.contains(x)):
        raise ValueError(f"some data lie outside {space}, for example {x[~space.contains(x)][0].tolist()}")
    if int(steps) != steps or steps < 0:
        raise ValueError(f"steps must be an integer >= 0, got {steps!r}")
    size = options["batch_size"]
    if size is not None and (int(size) != size or size < 1):
        raise ValueError(f"batch_size must be a positive integer, or None for all rows, got {size!r}")
    if options["dtype"] not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64", got {options["dtype"]!r}')
    if not 0 <= options["data_noise"] < math.inf:
        raise ValueError(f"data_noise must be finite and >= 0, got {options['data_noise']!r}")
    if options["clip"] is not None and not options["clip"] > 0:
        raise ValueError(f"clip must be positive, got {options['clip']!r}")
    if options["ema"] is not None and not 0 <= options["ema"] < 1:
        raise ValueError(f"ema must be in [0, 1), got {options['ema']!r}")
