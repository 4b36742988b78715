"""What the commands do, given their arguments: compare, fit, sample, evaluate, plot."""

import contextlib
import math
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tinyebm.common.backend import Stream
from tinyebm.common.errors import ConvergenceWarning, QuadratureError
from tinyebm.datasets.load import NAMES, load
from tinyebm.datasets.readers import reader_of, write_csv
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.exact.likelihood import data_law, nll
from tinyebm.exact.normalised import entropy
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.experiment.compare import compare
from tinyebm.experiment.replicas import replicate
from tinyebm.experiment.report import json_text
from tinyebm.experiment.setups import (
    default_kernel,
    default_steps,
    drawable,
    named_energy,
    named_objective,
    schedule,
)
from tinyebm.spaces.laws import moments_of
from tinyebm.storage.files import whole_file, write_text
from tinyebm.storage.models import load_model, save_model
from tinyebm.storage.origin import origin, remembered, seen_by, trained_rows
from tinyebm.training.fit import fit
from tinyebm.training.maximum_likelihood import mle
from tinyebm.training.optimize import adam
from tinyebm.training.start import space_of


def run_compare(a):
    """Train by every method, judge exactly, print the table, write the folder."""
    _folder(a.out)
    methods = "all" if a.methods == "all" else [method.strip() for method in a.methods.split(",")]
    if a.seconds and a.seeds > 1:
        raise ValueError("--seconds is for one seed: with --seeds the second training is left out")
    options = {
        "methods": methods,
        "steps": a.steps,
        "batch_size": a.batch_size,
        "learning_rate": a.learning_rate,
        "step_size": a.step_size,
        "hidden": a.hidden,
        "activation": a.activation,
        "confinement": a.confinement,
        "ema": a.ema,
        "energy": a.energy,
    }
    data = _data(a)
    if a.seeds == 1:
        found = compare(data, seed=a.seed, seconds=a.seconds, **options)
    else:
        with (
            ProcessPoolExecutor(a.workers, get_context("spawn"))
            if a.workers > 1
            else contextlib.nullcontext() as executor
        ):
            target = a.data if a.data in NAMES else data  # what has a name is loaded where it runs
            found = replicate(
                a.seeds, executor, a.seed, target=target, standardise=not a.raw, **options
            )
    print(found.table())
    _tell(found.save(a.out))
    if a.seeds == 1 and not found.fits:
        raise ValueError(
            f"every method failed: {found.rows[0]['method']}: {found.rows[0]['status']}"
        )


def run_fit(a):
    """Fit one network by one method; write the model, a checkpoint, the history and a figure."""
    data, folder = _data(a), _folder(a.out)
    checkpoint = folder / "checkpoint.npz"
    if a.resume and a.method == "lbfgs":
        raise ValueError("--resume goes on with updates, and lbfgs makes none: leave it out")
    if a.resume and not checkpoint.exists():
        raise ValueError(f"there is no {checkpoint} to resume from")
    space = space_of(data, getattr(data, "x", None))
    energy = named_energy(a.energy, space, a.hidden, a.activation, a.confinement)
    steps = a.steps or default_steps(data, space)
    if a.method == "lbfgs":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its cause is printed below
            found = mle(energy, data, space, seed=a.seed, max_steps=steps, rtol=1e-6)
    else:
        noise = lambda: moments_of(*data_law(data), space)
        objective = named_objective(a.method, default_kernel(energy, space, a.step_size), noise)
        try:
            found = fit(
                energy,
                data,
                space,
                objective,
                adam(schedule(a.learning_rate, data, steps)),
                steps,
                a.batch_size,
                a.seed,
                ema=a.ema,
                checkpoint=checkpoint,
                resume=a.resume,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f": go on with --resume from {checkpoint}" if checkpoint.exists() else ""
            ) from None
    save_model(folder / "model.npz", found.density, **origin(data))
    write_text(folder / "history.json", json_text(found.history))
    paths = [folder / "model.npz", folder / "history.json"]
    if drawable(data, space):
        with contextlib.suppress(QuadratureError):  # states too many to be drawn exactly: no figure
            paths.append(_draw(found.density, data, folder / "fit.png"))
    summary = [
        f"{name} {values[-1]:.6g} nats"
        for name, values in found.history.items()
        if name in ("nll", "kl") and not math.isnan(values[-1])
    ]
    if "converged" in found.history:
        summary.append(
            "not converged: " + found.history["cause"][-1]
            if "cause" in found.history
            else "converged"
        )
    print(
        f"{a.method} on {a.data} after {found.history['step'][-1]} updates"
        + "".join(f", {part}" for part in summary)
    )
    _tell(paths)


def run_sample(a):
    """Exact, independent draws of a model, in the units of its data, as csv or npy."""
    out = _writable(a.out, ".csv", ".npy")
    p, notes = load_model(a.model)
    x, known = sample(p, a.n, Stream(a.seed).at(0)), remembered(notes)
    if known:
        x = known.original(x)
    with whole_file(out) as file:
        if out.suffix.lower() == ".npy":
            np.save(file, x)
        else:
            write_csv(file, x.astype(int) if p.space.discrete else x, known and known.columns)
    print(f"{len(x)} exact draws of {a.model}")
    _tell([out])


def run_evaluate(a):
    """log Z, likelihood and divergences of a model, with errors; rows trained on apart from
    others."""
    out = _writable(a.out, ".json") if a.out else None
    p, notes = load_model(a.model)
    data, known = _chosen(a, p, notes), remembered(notes)
    found, rows = {"log_z": log_partition(p, a.rtol)}, {}
    if not p.space.discrete or p.space.grid().listable:
        found["entropy"] = entropy(p, a.rtol)
    if data is not None:
        found["nll"] = nll(p, data, a.rtol)
    if known and hasattr(data, "x"):
        trained = trained_rows(p, notes, data)
        if trained is None:
            _note(a, data.name, ["which of its rows the model was trained on is not known"])
        else:
            rows = {
                "nll": len(trained),
                "nll_trained_on": int(trained.sum()),
                "nll_held_out": int((~trained).sum()),
            }
        if trained is not None and trained.any() and not trained.all():
            found["nll_trained_on"] = nll(p, data.x[trained], a.rtol)
            found["nll_held_out"] = nll(p, data.x[~trained], a.rtol)
    if hasattr(data, "entropy"):
        found |= {"kl": kl(data, p, a.rtol), "tv": total_variation(data, p, a.rtol)}
    shift = known.log_scale if known and notes["standardise"] else None
    _print(found, rows, shift)
    if not p.space.discrete:
        print(_units(known, notes, shift))
    if out:
        write_text(
            out, json_text({name: _spelled(e, rows.get(name), shift) for name, e in found.items()})
        )
        _tell([out])


def run_plot(a):
    """A picture of a model: its energy and its exact density, beside its data."""
    out = _writable(a.out)
    p, notes = load_model(a.model)
    _tell([_draw(p, _chosen(a, p, notes), out)])


# ------------------------------------------------------------------------------ helpers


def _data(a):
    """The data to fit; what was found out about them goes to stderr."""
    data = load(a.data, not a.raw, a.space, a.header)
    _note(a, a.data, getattr(data, "notes", ()))
    return data


def _chosen(a, p, notes):
    """The data asked for, or those the model was fitted to and still here, in the units of the
    model."""
    if a.raw and notes.get("standardise"):
        raise ValueError(
            f"{a.model} is of standardised columns: leave --raw out, and the data are put into its "
            "units"
        )
    name = a.data or notes.get("data")
    if name is None:
        return None
    reader, _ = reader_of(name)
    if not a.data and name not in NAMES and not Path(name).is_file():
        _note(a, name, ["the model was fitted to it, and it is not here: see --data"])
        return None
    header = a.header if a.data or a.header is not None else notes.get("header")
    data = load(name, standardise=False, space="reals" if reader else None, header=header)
    data, assumed = seen_by(p, notes, data)
    _note(a, name, [*getattr(data, "notes", ()), *assumed])
    return data


def _note(a, name, notes):
    if notes:
        print(f"tinyebm {a.command}: {name}: {'; '.join(notes)}", file=sys.stderr)


def _print(found, rows, shift):
    """The numbers of `evaluate`, a line each; `rows` of the data they are about, `shift` to
    original units."""
    labels = {
        "log_z": "log Z",
        "entropy": "entropy of the model",
        "nll": "NLL of the data",
        "kl": "KL(data‖model)",
        "tv": "TV",
        "nll_trained_on": f"  {rows.get('nll_trained_on')} rows it was trained on",
        "nll_held_out": f"  {rows.get('nll_held_out')} rows held out",
    }
    if rows:
        none = "" if rows["nll_trained_on"] else ", none of them trained on"
        labels["nll"] += f", {rows['nll']} rows" + (
            none if rows["nll_held_out"] else ", all trained on"
        )
    width = max(len(labels[name]) for name in found)
    for name, estimate in found.items():
        original = "" if shift is None else f", in original units {estimate + shift:.10g}"
        print(f"{labels[name]:<{width}}  {estimate}{'' if name == 'tv' else '  nats'}{original}")


def _spelled(estimate, rows, shift):
    """An Estimate for a JSON file, with the number of rows it is about and its value in original
    units, if any."""
    found = {"value": float(estimate), "error": estimate.error}
    found |= {} if shift is None else {"original_units": float(estimate) + shift}
    return found | ({} if rows is None else {"rows": rows})


def _units(known, notes, shift):
    """In which units the numbers of `evaluate` are."""
    if shift is not None:
        return (
            f"units: standardised columns of {known.name}, (x - centre) / scale by the model's own "
            f"numbers; in original units all these are larger by Σ log scale = {shift:.10g}"
        )
    columns = f", {', '.join(known.columns)}" if known else ""
    return f"units: those of {notes.get('data', 'the model')}{columns}"


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
        raise ValueError(
            f"--out {name}: the name of the file must end in {' or '.join(suffixes or ('.png',))}"
        )
    if path.is_dir():
        raise ValueError(f"--out {name}: that is a directory")
    if not path.parent.is_dir():
        raise ValueError(f"--out {name}: there is no folder {path.parent}")
    return path


def _draw(p, data, path):
    from tinyebm import plots
    from tinyebm.experiment import figures  # matplotlib loads only when a figure is wanted

    return plots.save(figures.model(p, data), path)


def _tell(paths):
    print("wrote " + ", ".join(map(str, paths)))
