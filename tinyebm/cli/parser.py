"""The arguments of the commands compare, fit, sample, evaluate and plot; `main` runs one.

After a mistake of the user it prints one line on stderr, and the exit status is 2.
"""

import argparse
import math
import re
from typing import ClassVar

from tinyebm.cli import commands
from tinyebm.cli.console import leave, note, prepare
from tinyebm.common.checks import did_you_mean
from tinyebm.datasets.load import NAMES
from tinyebm.energies.mlp import ACTIVATIONS
from tinyebm.experiment.setups import ENERGIES, METHOD_NAMES
from tinyebm.version import __version__


def main(argv=None):
    """The exit status of one command: 0, 2 for a mistake of the user, 130 for Ctrl-C."""
    prepare()
    try:
        return _status(_parser().parse_args(argv))
    finally:
        leave()


def _status(arguments):
    """Run the command; print its error, if any, in one line."""
    try:
        arguments.run(arguments)
    except BrokenPipeError:  # the reader of stdout has stopped, as `head` does: no error
        return 0
    except (ValueError, OSError, ArithmeticError, MemoryError, TypeError, LookupError) as error:
        message = " ".join(str(error).split()) or "out of memory"
        note(f"tinyebm {arguments.command}: error: {message}")
        return 2
    except KeyboardInterrupt as interrupt:
        note(f"\ntinyebm {arguments.command}: interrupted{interrupt}")
        return 130
    return 0


# ----------------------------------------------------------------------------- the arguments


def _hidden(text):
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"widths are integers separated by commas, like 64,64, not {text!r}"
        ) from None
    if min(widths) < 1:
        raise argparse.ArgumentTypeError(f"widths are positive, got {text!r}")
    return widths


def _number(kind, low, open_end=False):
    """A parser of numbers of one kind that are at least low, or above it if `open_end`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {'an integer' if kind is int else 'a number'}"
            ) from None
        if not math.isfinite(value) or value < low or (open_end and value == low):
            raise argparse.ArgumentTypeError(
                f"{text} is not {'above' if open_end else 'at least'} {low}"
            )
        return value

    return parse


_COUNT, _INTEGER = _number(int, 1), _number(int, 0)
_POSITIVE, _NONNEGATIVE = _number(float, 0, open_end=True), _number(float, 0)


def _yes(text):
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"yes or no, not {text!r}")
    return text == "yes"


class _Parser(argparse.ArgumentParser):
    options: ClassVar[set] = set()  # the names of all commands' options

    def add_argument(self, *names, **settings):
        self.options.update(name for name in names if name.startswith("--"))
        return super().add_argument(*names, **settings)

    def error(self, message):
        """Print one line, without the usage that argparse prints, and exit with status 2."""
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            hint = did_you_mean(found[1], found[2].replace("'", "").split(", "))
        elif found := re.match(r"unrecognized arguments: (--\S+)", message):
            hint = did_you_mean(found[1], sorted(self.options))
        else:
            hint = ""
        message = " ".join(message.split()) + (f": {hint.rstrip()}" if hint else "")
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser():
    parser = _Parser(
        prog="tinyebm",
        description="Energy-based models, with every approximation next to the exact answer.",
        epilog="tinyebm compare runs without any option.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name, run, summary, example):
        """The function that adds arguments to a new command."""
        sub = subparsers.add_parser(
            name, help=summary, description=run.__doc__, epilog=f"example: {example}"
        )
        sub.set_defaults(run=run)
        return sub.add_argument

    add = command(
        "compare",
        commands.run_compare,
        "train by several methods and judge each exactly",
        "tinyebm compare --data two_moons --methods mle,cd-1,pcd-10 --out moons",
    )
    _add_data(add)
    add(
        "--methods",
        default="mle,cd-1,cd-10,pcd-10",
        help=f"separated by commas, or all: {METHOD_NAMES} (%(default)s)",
    )
    add(
        "--seconds",
        type=_POSITIVE,
        help="also judge every method after this time of training (that of the fastest)",
    )
    add(
        "--seeds",
        type=_COUNT,
        default=1,
        help="compare as often with other seeds, and print means with their standard errors "
        "(%(default)s)",
    )
    add("--workers", type=_COUNT, default=1, help="processes that share the seeds (%(default)s)")
    _add_training(add)
    out = "folder for table, figure, numbers and models (%(default)s)"
    add("--out", default="tinyebm-compare", help=out)

    add = command(
        "fit",
        commands.run_fit,
        "fit one network by one method",
        "tinyebm fit --data two_moons --method cd-10 --out moons",
    )
    _add_data(add)
    add(
        "--method",
        default="mle",
        help=f"lbfgs (exact likelihood, to its maximum), {METHOD_NAMES} (%(default)s)",
    )
    _add_training(add)
    add("--resume", action="store_true", help="go on from the checkpoint in the folder")
    out = "folder for model, checkpoint, history and figure (%(default)s)"
    add("--out", default="tinyebm-fit", help=out)

    model = "a model file written by fit or compare"
    add = command(
        "sample",
        commands.run_sample,
        "draw from a model, exactly",
        "tinyebm sample tinyebm-fit/model.npz -n 1000 --out draws.csv",
    )
    add("model", help=model)
    add("-n", type=_COUNT, default=1000, help="number of draws (%(default)s)")
    add("--seed", type=_INTEGER, default=0, help="(%(default)s)")
    add("--out", default="samples.csv", help="a .csv or .npy file (%(default)s)")

    add = command(
        "evaluate",
        commands.run_evaluate,
        "log Z, likelihood and divergences of a model, with errors",
        "tinyebm evaluate tinyebm-fit/model.npz --data two_moons",
    )
    add("model", help=model)
    _add_data(add, default=None)
    add("--rtol", type=_POSITIVE, default=1e-6, help="relative error of Z (%(default)s)")
    add("--out", help="also write the numbers to this .json file")

    add = command(
        "plot",
        commands.run_plot,
        "draw a model's energy and exact density",
        "tinyebm plot tinyebm-fit/model.npz --out model.png",
    )
    add("model", help=model)
    _add_data(add, default=None)
    add("--out", default="model.png", help="an image file (%(default)s)")
    return parser


def _add_data(add, default="faithful"):
    what = f"{', '.join(NAMES)}, or a .csv (.tsv, .txt, with .gz or not) or .npy file"
    mine = ", put into the units of the model (what it was fitted to)"
    add("--data", default=default, help=what + (" (%(default)s)" if default else mine))
    header = "whether line 1 of a file holds names (found out, or the file is refused)"
    add("--header", type=_yes, metavar="yes|no", help=header)
    raw = "refuse a model of standardised columns, into whose units data are put"
    if default:
        raw = "do not standardise the columns of real data"
    add("--raw", action="store_true", help=raw)
    if default:
        add(
            "--space",
            choices=("reals", "bits", "spins"),
            help="what the rows of a file are "
            "(bits if all entries are 0 or 1, spins if -1 or 1, else reals)",
        )


def _add_training(add):
    add("--energy", choices=ENERGIES, help="the model (mlp; on bits rbm)")
    add("--steps", type=_COUNT, help="updates (500; on a population 800, on bits 2000)")
    add("--batch-size", type=_COUNT, default=256, help="rows in a batch (%(default)s)")
    rate = (
        "Adam's, falling to zero over the second half (0.03 on a population, 0.01 on finite data)"
    )
    add("--learning-rate", type=_POSITIVE, help=rate)
    step = "ε of Langevin dynamics, in [x]² (%(default)s)"
    add("--step-size", type=_POSITIVE, default=0.01, help=step)
    add("--hidden", type=_hidden, help="widths of the hidden layers (64,64; of an rbm 8)")
    add("--activation", choices=list(ACTIVATIONS), default="silu", help="(%(default)s)")
    confinement = "c of the term c|x|²/2 in the energy (%(default)s)"
    add("--confinement", type=_NONNEGATIVE, default=1.0, help=confinement)
    ema = "decay of the running average of the parameters (%(default)s)"
    add("--ema", type=_NONNEGATIVE, default=0.99, help=ema)
    add("--seed", type=_INTEGER, default=0, help="(%(default)s)")
