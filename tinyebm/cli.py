"""The command line: compare, fit, sample, evaluate, plot.

Whatever the user gets wrong ends in one line on stderr and exit status 2.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from tinyebm import datasets
from tinyebm.backend import Stream
from tinyebm.compare import compare
from tinyebm.diagnostics.divergences import kl, total_variation
from tinyebm.energies.mlp import ACTIVATIONS
from tinyebm.exact.likelihood import nll
from tinyebm.exact.normalised import entropy
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.maximum_likelihood import mle
from tinyebm.models import load_model, save_model
from tinyebm.optimize import adam
from tinyebm.report import json_text
from tinyebm.setups import ENERGIES, STEPS, default_kernel, named_energy, named_objective, schedule, space_of
from tinyebm.train import fit


def main(argv=None):
    """Run one command; return the exit status: 0, 2 for a mistake of the user's, 130 for Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        message = " ".join(str(error).split()) or "out of memory"
        print(f"tinyebm {arguments.command}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ntinyebm {arguments.command}: interrupted", file=sys.stderr)
        return 130
    return 0


# ------------------------------------------------------------------------- the commands

def run_compare(a):
    """Train by every method, judge exactly, print the table, write the folder."""
    Path(a.out).mkdir(parents=True, exist_ok=True)  # before the work, not after it
    methods = [method.strip() for method in a.methods.split(",")]
    found = compare(_data(a), methods, a.steps, a.batch_size, a.learning_rate, a.step_size, a.hidden, a.activation,
                    a.confinement, a.ema, a.seed, energy=a.energy)
    print(found.table())
    _tell(found.save(a.out))


def run_fit(a):
    """Fit one network by one method; write the model, a checkpoint, the history and a figure."""
    data, folder = _data(a), Path(a.out)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.npz"
    if a.resume and not checkpoint.exists():
        raise ValueError(f"there is no {checkpoint} to resume from")
    space = space_of(data, None if hasattr(data, "sample") else data.x.shape[1])
    energy, steps = named_energy(a.energy, space, a.hidden, a.activation, a.confinement), a.steps or STEPS[space.discrete]
    if a.method == "lbfgs":
        found = mle(energy, data, space, seed=a.seed, max_steps=steps, rtol=1e-6)
    else:
        objective = named_objective(a.method, default_kernel(energy, space, a.step_size))
        found = fit(energy, data, space, objective, adam(schedule(a.learning_rate, data, steps)), steps, a.batch_size,
                    a.seed, ema=a.ema, checkpoint=checkpoint, resume=a.resume)
    save_model(folder / "model.npz", found.density, **datasets.origin(data))
    (folder / "history.json").write_text(json_text(found.history), encoding="utf-8")
    paths = [folder / "model.npz", folder / "history.json"]
    if space.discrete or space.dim < 3:
        paths.append(_draw(found.density, data, folder / "fit.png"))
    summary = [f"{name} {values[-1]:.6g} nats" for name, values in found.history.items() if name in ("nll", "kl")]
    if "converged" in found.history:
        summary.append("converged" if found.history["converged"][-1] else "not converged: raise --steps")
    print(f"{a.method} on {a.data} after {found.history['step'][-1]} updates" + "".join(f", {part}" for part in summary))
    _tell(paths)


def run_sample(a):
    """Exact, independent draws of a model, in the units of its data, as csv or npy."""
    p, notes = load_model(a.model)
    x = sample(p, a.n, Stream(a.seed).at(0))
    if "scale" in notes:
        x = x * np.array(notes["scale"]) + np.array(notes["centre"])
    out = Path(a.out)
    if out.suffix == ".npy":
        np.save(out, x)
    else:
        header = ",".join(notes.get("columns") or [f"x{i + 1}" for i in range(x.shape[1])])
        np.savetxt(out, x, delimiter=",", header=header, comments="", fmt="%.9g")
    print(f"{len(x)} exact draws of {a.model}")
    _tell([out])


def run_evaluate(a):
    """log Z, entropy, and how far a model is from data, with errors."""
    p, notes = load_model(a.model)
    data = datasets.load(a.data, standardise=not a.raw) if a.data else _data_of(notes)
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
    if a.out:
        written = {name: {"value": float(e), "error": e.error} for name, e in found.items()}
        Path(a.out).write_text(json_text(written), encoding="utf-8")
        _tell([a.out])


def run_plot(a):
    """A picture of a model: its energy and its exact density, beside its data."""
    p, notes = load_model(a.model)
    data = datasets.load(a.data, standardise=not a.raw) if a.data else _data_of(notes)
    _tell([_draw(p, data, a.out)])


# ------------------------------------------------------------------------------ helpers

def _data(a):
    return datasets.load(a.data, standardise=not a.raw)


def _data_of(notes):
    """The data a model was fitted to, if it can still be found."""
    name = notes.get("data")
    if name is None or (name not in datasets.NAMES and not Path(name).is_file()):
        return None
    return datasets.load(name, standardise=notes.get("standardise", True))


def _draw(p, data, path):
    from tinyebm import figures, plots  # matplotlib loads only when a figure is wanted

    return plots.save(figures.model(p, data), path)


def _tell(paths):
    print("wrote " + ", ".join(map(str, paths)))


def _hidden(text):
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"widths are integers separated by commas, like 64,64, not {text!r}") from None
    if min(widths) < 1:
        raise argparse.ArgumentTypeError(f"widths are positive, got {text!r}")
    return widths


def _number(kind, low, open_end=False):
    """A parser of numbers of one kind that are at least (or above) low."""
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {'an integer' if kind is int else 'a number'}") from None
        if not math.isfinite(value) or value < low or (open_end and value == low):
            raise argparse.ArgumentTypeError(f"{text} is not {'above' if open_end else 'at least'} {low}")
        return value
    return parse


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, without the usage: `--help` has that."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _parser():
    parser = _Parser(prog="tinyebm", description="Energy-based models, with every approximation next to the "
                                     "exact answer.", epilog="tinyebm compare runs without any option.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name, run, summary, example):
        sub = commands.add_parser(name, help=summary, description=run.__doc__, epilog=f"example: {example}")
        sub.set_defaults(run=run)
        return sub

    sub = command("compare", run_compare, "train by several methods and judge each exactly",
                  "tinyebm compare --data two_moons --methods mle,cd-1,pcd-10 --out moons")
    _add_data(sub)
    sub.add_argument("--methods", default="mle,cd-1,cd-10,pcd-10",
                     help="mle, cd-K, pcd-K, short-K, on bits also pl, separated by commas (%(default)s)")
    _add_training(sub)
    sub.add_argument("--out", default="tinyebm-compare", help="folder for table, figure, numbers and models (%(default)s)")

    sub = command("fit", run_fit, "fit one network by one method",
                  "tinyebm fit --data two_moons --method cd-10 --out moons")
    _add_data(sub)
    sub.add_argument("--method", default="mle",
                     help="mle, lbfgs (exact likelihood, to its maximum), cd-K, pcd-K, short-K; on bits pl (%(default)s)")
    _add_training(sub)
    sub.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    sub.add_argument("--out", default="tinyebm-fit", help="folder for model, checkpoint, history and figure (%(default)s)")

    sub = command("sample", run_sample, "draw from a model, exactly",
                  "tinyebm sample tinyebm-fit/model.npz -n 1000 --out draws.csv")
    sub.add_argument("model", help="a model file written by fit or compare")
    sub.add_argument("-n", type=_number(int, 1), default=1000, help="number of draws (%(default)s)")
    sub.add_argument("--seed", type=_number(int, 0), default=0, help="(%(default)s)")
    sub.add_argument("--out", default="samples.csv", help="a .csv or .npy file (%(default)s)")

    sub = command("evaluate", run_evaluate, "log Z, likelihood and divergences of a model, with errors",
                  "tinyebm evaluate tinyebm-fit/model.npz --data two_moons")
    sub.add_argument("model", help="a model file written by fit or compare")
    _add_data(sub, default=None)
    sub.add_argument("--rtol", type=_number(float, 0, True), default=1e-6, help="relative error of Z (%(default)s)")
    sub.add_argument("--out", help="also write the numbers to this .json file")

    sub = command("plot", run_plot, "draw a model's energy and exact density",
                  "tinyebm plot tinyebm-fit/model.npz --out model.png")
    sub.add_argument("model", help="a model file written by fit or compare")
    _add_data(sub, default=None)
    sub.add_argument("--out", default="model.png", help="an image file (%(default)s)")
    return parser


def _add_data(sub, default="faithful"):
    what = f"{', '.join(datasets.NAMES)}, or a .csv or .npy file"
    sub.add_argument("--data", default=default,
                     help=what + (" (%(default)s)" if default else " (what the model was fitted to)"))
    sub.add_argument("--raw", action="store_true", help="do not standardise the columns of real data")


def _add_training(sub):
    sub.add_argument("--energy", choices=ENERGIES, help="the model (mlp; on bits rbm)")
    sub.add_argument("--steps", type=_number(int, 1), help="updates (500; on bits 2000)")
    sub.add_argument("--batch-size", type=_number(int, 1), default=256, help="rows in a batch (%(default)s)")
    sub.add_argument("--learning-rate", type=_number(float, 0, True),
                     help="Adam's, falling to zero over the second half (0.03 on a population, 0.01 on finite data)")
    sub.add_argument("--step-size", type=_number(float, 0, True), default=0.01,
                     help="ε of Langevin dynamics, in [x]² (%(default)s)")
    sub.add_argument("--hidden", type=_hidden, help="widths of the hidden layers (64,64; of an rbm 8)")
    sub.add_argument("--activation", choices=list(ACTIVATIONS), default="silu", help="(%(default)s)")
    sub.add_argument("--confinement", type=_number(float, 0), default=1.0,
                     help="c of the term c|x|²/2 in the energy (%(default)s)")
    sub.add_argument("--ema", type=_number(float, 0), default=0.99,
                     help="decay of the running average of the parameters (%(default)s)")
    sub.add_argument("--seed", type=_number(int, 0), default=0, help="(%(default)s)")
