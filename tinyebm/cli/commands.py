"""The work of the commands compare, fit, sample, evaluate and plot, given their arguments."""

import math
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np

from tinyebm.cli.console import note, show
from tinyebm.common.backend import Stream
from tinyebm.common.errors import ConvergenceWarning, QuadratureError
from tinyebm.common.kinds import is_population
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
from tinyebm.experiment.results import OtherSweepError
from tinyebm.experiment.setups import (
    default_kernel,
    default_steps,
    drawable,
    named_energy,
    named_objective,
    schedule,
)
from tinyebm.experiment.workers import worker_pool
from tinyebm.spaces.laws import moments_of
from tinyebm.storage.files import require_writable, unused, whole_file, write_text
from tinyebm.storage.models import load_model, save_model
from tinyebm.storage.origin import origin, remembered, seen_by, trained_rows
from tinyebm.training.fit import fit
from tinyebm.training.maximum_likelihood import mle
from tinyebm.training.optimize import adam
from tinyebm.training.start import space_of

# the options of the command line that are arguments of `compare`
COMPARED = (
    "steps",
    "batch_size",
    "learning_rate",
    "step_size",
    "hidden",
    "activation",
    "confinement",
    "ema",
    "energy",
)


def run_compare(a):
    """Train by every method, judge exactly, print the table, write the folder."""
    _folder(a.out)
    options = {name: getattr(a, name) for name in COMPARED}
    options["methods"] = "all"
    if a.methods != "all":
        options["methods"] = [method.strip() for method in a.methods.split(",")]
    if a.seconds and a.seeds > 1:
        raise ValueError("--seconds is for one seed: with --seeds the second training is left out")
    data = _data(a)
    if a.seeds == 1:
        found = compare(data, seed=a.seed, seconds=a.seconds, **options)
    else:
        found = _replicas(a, data, options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        paths = found.save(a.out)
    show(found.table(), wrote(paths))
    _note(a, a.out, [str(warning.message) for warning in caught])
    if a.seeds == 1 and not found.fits:
        raise ValueError(
            f"every method failed: {found.rows[0]['method']}: {found.rows[0]['status']}"
        )
    if a.seeds > 1 and found.failed:
        number, message = found.failed[0]
        raise ValueError(
            f"{len(found.failed)} of {a.seeds} comparisons failed, that of seed {number} by "
            f"{message}: the same command tries these again and keeps the others"
        )


def run_fit(a):
    """Fit one network by one method; write the model, a checkpoint, the history and a figure."""
    data, folder = _data(a), _folder(a.out)
    kept = set(folder.glob("checkpoint.*.npz"))
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
        optimizer = adam(schedule(a.learning_rate, data, steps))
        settings = {"ema": a.ema, "checkpoint": checkpoint, "resume": a.resume}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*is kept as")  # it is printed below
                found = fit(
                    energy,
                    data,
                    space,
                    objective,
                    optimizer,
                    steps,
                    a.batch_size,
                    a.seed,
                    **settings,
                )
        except KeyboardInterrupt:
            hint = f": go on with --resume from {checkpoint}" if checkpoint.exists() else ""
            raise KeyboardInterrupt(hint) from None
    paths = [folder / "model.npz", folder / "history.json"]
    save_model(paths[0], found.density, **origin(data))
    write_text(paths[1], json_text(found.history))
    (folder / "fit.png").unlink(missing_ok=True)
    if drawable(data, space):
        with suppress(QuadratureError):  # states too many to be drawn exactly: no figure
            paths.append(_draw(found.density, data, folder / "fit.png"))

    last = {name: values[-1] for name, values in found.history.items()}
    summary = [f"{a.method} on {a.data} after {last['step']} updates"]
    for name in ("nll", "kl"):
        if not math.isnan(last.get(name, math.nan)):
            summary.append(f"{name} {last[name]:.6g} nats")
    if "converged" in last:
        summary.append("converged" if last["converged"] else f"not converged: {last['cause']}")
    kept = set(folder.glob("checkpoint.*.npz")) - kept
    aside = [f"kept the checkpoint of another run as {path}" for path in kept]
    show(", ".join(summary), wrote(paths), *aside)


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
    show(f"{len(x)} exact draws of {a.model}", wrote([out]))


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
    if is_population(data):
        found |= {"kl": kl(data, p, a.rtol), "tv": total_variation(data, p, a.rtol)}
    if known and hasattr(data, "x"):
        trained = trained_rows(p, notes, data)
        if trained is None:
            _note(a, data.name, ["which of its rows the model was trained on is not known"])
        else:
            parts = {"nll_trained_on": data.x[trained], "nll_held_out": data.x[~trained]}
            rows = {"nll": len(trained)} | {name: len(part) for name, part in parts.items()}
            if all(rows.values()):
                found |= {name: nll(p, part, a.rtol) for name, part in parts.items()}
    shift = known.log_scale if known and notes["standardise"] else None
    if out:
        spelled = {name: _spelled(e, rows.get(name), shift) for name, e in found.items()}
        write_text(out, json_text(spelled))
    lines = list(_lines(found, rows, shift))
    if not p.space.discrete:
        lines.append(_units(known, notes, shift))
    show(*lines, *[wrote([out])] * bool(out))


def run_plot(a):
    """A picture of a model: its energy and its exact density, beside its data."""
    out = _writable(a.out)
    p, notes = load_model(a.model)
    show(wrote([_draw(p, _chosen(a, p, notes), out)]))


# ------------------------------------------------------------------------------ helpers


def _data(a):
    """The data to fit; the assumptions about a file are printed on stderr."""
    data = load(a.data, not a.raw, a.space, a.header)
    _note(a, a.data, getattr(data, "notes", ()))
    return data


def _chosen(a, p, notes):
    """The data of the arguments, or else of the model, in its units; None if they are gone."""
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


def _replicas(a, data, options):
    """The comparisons of several seeds; each is kept in a file when it ends."""
    file = Path(a.out) / "replicas.jsonl"
    # a process can be sent rows or a name, but not a population
    options |= {"target": a.data if a.data in NAMES else data, "standardise": not a.raw}
    options |= {"errors": "keep", "file": file}
    try:
        with worker_pool(a.workers) if a.workers > 1 else nullcontext() as executor:
            try:
                return replicate(a.seeds, executor, a.seed, **options)
            except OtherSweepError as error:
                _note(a, str(error), [f"kept as {file.rename(unused(file))}"])
                return replicate(a.seeds, executor, a.seed, **options)
    except KeyboardInterrupt as interrupt:
        hint = f": {interrupt}: the same command goes on with the others" if str(interrupt) else ""
        raise KeyboardInterrupt(hint) from None


def _note(a, name, notes):
    if notes:
        note(f"tinyebm {a.command}: {name}: {'; '.join(notes)}")


def _lines(found, rows, shift):
    """Yield the numbers of `evaluate`, one on a line.

    `rows` counts the data that some are about; `shift` is added for the original units.
    """
    labels = {
        "log_z": "log Z",
        "entropy": "entropy of the model",
        "nll": "NLL of the data",
        "kl": "KL(data‖model)",
        "tv": "TV",
    }
    if rows:
        trained, held_out = rows["nll_trained_on"], rows["nll_held_out"]
        labels["nll"] += f", {rows['nll']} rows"
        if not held_out:
            labels["nll"] += ", all trained on"
        elif not trained:
            labels["nll"] += ", none of them trained on"
        labels["nll_trained_on"] = f"  {trained} rows it was trained on"
        labels["nll_held_out"] = f"  {held_out} rows held out"
    width = max(len(labels[name]) for name in found)
    for name, estimate in found.items():
        original = "" if shift is None else f", in original units {estimate + shift:.10g}"
        yield f"{labels[name]:<{width}}  {estimate}{'' if name == 'tv' else '  nats'}{original}"


def _spelled(estimate, rows, shift):
    """An Estimate for a JSON file; with its value in original units and its number of rows."""
    found = {"value": float(estimate), "error": estimate.error}
    if shift is not None:
        found["original_units"] = float(estimate) + shift
    if rows is not None:
        found["rows"] = rows
    return found


def _units(known, notes, shift):
    """A line on the units of the numbers of `evaluate`."""
    if shift is not None:
        return (
            f"units: standardised columns of {known.name}, (x - centre) / scale by the model's own "
            f"numbers; in original units all these are larger by Σ log scale = {shift:.10g}"
        )
    columns = f", {', '.join(known.columns)}" if known else ""
    return f"units: those of {notes.get('data', 'the model')}{columns}"


def _folder(name):
    """The folder, made now, so that a wrong name is refused before the work."""
    folder = Path(name)
    if not name:
        raise ValueError("--out: the folder has no name")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{name} is a file: --out is a folder")
    require_writable(folder / "file")
    return folder


def _writable(name, *suffixes):
    """The path of a file to write, refused now, before the work, if it cannot be written."""
    path = Path(name)
    if not name or suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(
            f"--out {name}: the name of the file must end in {' or '.join(suffixes or ('.png',))}"
        )
    if path.is_dir():
        raise ValueError(f"--out {name}: that is a directory")
    if not path.parent.is_dir():
        raise ValueError(f"--out {name}: there is no folder {path.parent}")
    require_writable(path)
    return path


def _draw(p, data, path):
    from tinyebm import plots
    from tinyebm.experiment import figures  # loads matplotlib

    return plots.save(figures.model(p, data), path)


def wrote(paths):
    """A line that names the files written."""
    return "wrote " + ", ".join(map(str, paths))
