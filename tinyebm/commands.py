"""What the commands do, given their arguments: compare, fit, sample, evaluate, plot."""

import contextlib
import math
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tinyebm import datasets
from tinyebm.backend import Stream
from tinyebm.compare import compare
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.errors import ConvergenceWarning, QuadratureError
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.normalised import entropy
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.files import whole_file, write_text
from tinyebm.laws import moments_of
from tinyebm.maximum_likelihood import mle
from tinyebm.models import load_model, save_model
from tinyebm.optimize import adam
from tinyebm.replicas import replicate
from tinyebm.report import json_text
from tinyebm.setups import default_kernel, default_steps, named_energy, named_objective, schedule, space_of
from tinyebm.train import fit


def run_compare(a):
    """Train by every method, judge exactly, print the table, write the folder."""
    _folder(a.out)
    methods = "all" if a.methods == "all" else [method.strip() for method in a.methods.split(",")]
    if a.seconds and a.seeds > 1:
        raise ValueError("--seconds is for one seed: with --seeds the second training is left out")
    options = {"methods": methods, "steps": a.steps, "batch_size": a.batch_size, "learning_rate": a.learning_rate,
               "step_size": a.step_size, "hidden": a.hidden, "activation": a.activation, "confinement": a.confinement,
               "ema": a.ema, "energy": a.energy}
    if a.seeds == 1:
        found = compare(_data(a), seed=a.seed, seconds=a.seconds, **options)
    else:
        with ProcessPoolExecutor(a.workers, get_context("spawn")) if a.workers > 1 else contextlib.nullcontext() as executor:
            found = replicate(a.seeds, executor, a.seed, target=a.data, standardise=not a.raw, **options)
    print(found.table())
    _tell(found.save(a.out))
    if a.seeds == 1 and not found.fits:
        raise ValueError(f"every method failed: {found.rows[0]['method']}: {found.rows[0]['status']}")


def run_fit(a):
    """Fit one network by one method; write the model, a checkpoint, the history and a figure."""
    data, folder = _data(a), _folder(a.out)
    checkpoint = folder / "checkpoint.npz"
    if a.resume and a.method == "lbfgs":
        raise ValueError("--resume goes on with updates, and lbfgs makes none: leave it out")
    if a.resume and not checkpoint.exists():
        raise ValueError(f"there is no {checkpoint} to resume from")
    space = space_of(data, _dim(data))
    energy, steps = named_energy(a.energy, space, a.hidden, a.activation, a.confinement), a.steps or default_steps(data, space)
    if a.method == "lbfgs":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its cause is printed below
            found = mle(energy, data, space, seed=a.seed, max_steps=steps, rtol=1e-6)
    else:
        noise = lambda: moments_of(*data_law(data), space)
        objective = named_objective(a.method, default_kernel(energy, space, a.step_size), noise)
        try:
            found = fit(energy, data, space, objective, adam(schedule(a.learning_rate, data, steps)), steps, a.batch_size,
                        a.seed, ema=a.ema, checkpoint=checkpoint, resume=a.resume)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f": go on with --resume from {checkpoint}" if checkpoint.exists() else "") from None
    save_model(folder / "model.npz", found.density, **datasets.origin(data))
    write_text(folder / "history.json", json_text(found.history))
    paths = [folder / "model.npz", folder / "history.json"]
    if space.discrete or space.dim < 3:
        with contextlib.suppress(QuadratureError):  # states too many to be drawn exactly: no figure
            paths.append(_draw(found.density, data, folder / "fit.png"))
    summary = [f"{name} {values[-1]:.6g} nats" for name, values in found.history.items()
               if name in ("nll", "kl") and not math.isnan(values[-1])]
    if "converged" in found.history:
        summary.append("not converged: " + found.history["cause"][-1] if "cause" in found.history else "converged")
    print(f"{a.method} on {a.data} after {found.history['step'][-1]} updates" + "".join(f", {part}" for part in summary))
    _tell(paths)


def run_sample(a):
    """Exact, independent draws of a model, in the units of its data, as csv or npy."""
    out = _writable(a.out, ".csv", ".npy")
    p, notes = load_model(a.model)
    x = sample(p, a.n, Stream(a.seed).at(0))
    if "scale" in notes:
        x = x * np.array(notes["scale"]) + np.array(notes["centre"])
    with whole_file(out) as file:
        if out.suffix.lower() == ".npy":
            np.save(file, x)
        else:
            header = ",".join(notes.get("columns") or [f"x{i + 1}" for i in range(x.shape[1])])
            np.savetxt(file, x, delimiter=",", header=header, comments="", fmt="%.9g", encoding="utf-8")
    print(f"{len(x)} exact draws of {a.model}")
    _tell([out])


def run_evaluate(a):
    """log Z, entropy, and how far a model is from data, with errors."""
    out = _writable(a.out, ".json") if a.out else None
    p, notes = load_model(a.model)
    data = _chosen(a, notes)
    if data is not None and _dim(data) != p.space.dim:
        raise ValueError(f"the data have {_dim(data)} columns, the model has dimension {p.space.dim}")
    found = {"log_z": log_partition(p, a.rtol)}
    if not p.space.discrete or p.space.grid().listable:
        found["entropy"] = entropy(p, a.rtol)
    if data is not None:
        found["nll"] = nll(p, data, a.rtol)
        if hasattr(data, "entropy"):
            found |= {"kl": kl(data, p, a.rtol), "tv": total_variation(data, p, a.rtol)}
    names = {"log_z": "log Z", "entropy": "entropy of the model", "nll": "NLL of the data",
             "kl": "KL(data‖model)", "tv": "TV"}
    width = max(map(len, names.values()))
    for name, estimate in found.items():
        print(f"{names[name]:<{width}}  {estimate}{'' if name == 'tv' else '  nats'}")
    if out:
        written = {name: {"value": float(e), "error": e.error} for name, e in found.items()}
        write_text(out, json_text(written))
        _tell([out])


def run_plot(a):
    """A picture of a model: its energy and its exact density, beside its data."""
    out = _writable(a.out)
    p, notes = load_model(a.model)
    data = _chosen(a, notes)
    _tell([_draw(p, data, out)])


# ------------------------------------------------------------------------------ helpers

def _data(a):
    return datasets.load(a.data, standardise=not a.raw)


def _chosen(a, notes):
    """The data asked for, or those the model was fitted to, if they can still be found."""
    if a.data:
        return _data(a)
    name = notes.get("data")
    if name is None:
        return None
    if name not in datasets.NAMES and not Path(name).is_file():
        print(f"tinyebm {a.command}: {name}, to which the model was fitted, is not here: see --data", file=sys.stderr)
        return None
    return datasets.load(name, standardise=notes.get("standardise", True))


def _dim(data):
    return data.space.dim if hasattr(data, "sample") else data.x.shape[1]


def _folder(name):
    """The folder, made before the work and not after it."""
    folder = Path(name)
    if not name:
        raise ValueError("--out: the folder has no name")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{name} is a file: --out is a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _writable(name, *suffixes):
    """The path of a file to write, refused before the work and not after it."""
    path = Path(name)
    if not name or suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"--out {name}: the name of the file must end in {' or '.join(suffixes or ('.png',))}")
    if path.is_dir():
        raise ValueError(f"--out {name}: that is a directory")
    if not path.parent.is_dir():
        raise ValueError(f"--out {name}: there is no folder {path.parent}")
    return path


def _draw(p, data, path):
    from tinyebm import figures, plots  # matplotlib loads only when a figure is wanted

    return plots.save(figures.model(p, data), path)


def _tell(paths):
    print("wrote " + ", ".join(map(str, paths)))


