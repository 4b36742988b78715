"""The history of a training run, its entries at log points, and its checkpoint.

A history is {name: list of numbers}, with one number per log point.
"""

import math
import os
import warnings
from dataclasses import replace

import numpy as np

from tinyebm.common.checks import whole
from tinyebm.common.errors import or_nan
from tinyebm.common.tree import named_tuples
from tinyebm.density import exponents, in_double
from tinyebm.exact.nodes.quadrature import MAX_NODES
from tinyebm.exact.partition import log_partition
from tinyebm.exact.structure import terms_of
from tinyebm.storage.checkpoint import load_tree, require_savable, save_tree
from tinyebm.storage.files import unused
from tinyebm.storage.identity import content, difference

# what exact numbers may cost in all, however short the training: coordinates of states
FREE = 2**25
BEYOND = 4  # costs of the training above which not even the last log point has exact numbers


def spaced(logged, cost, budget):
    """The steps, out of those of all log points, with exact numbers, if one of them costs `cost`.

    All together cost at most the budget: the last point has them, the first, and others at equal
    distances.  If the budget is too small for two, the last point has them alone; if it is smaller
    than a quarter of one, none.

    >>> spaced(list(range(0, 210, 10)), 1.0, 5.0)
    [0, 50, 100, 150, 200]
    """
    most = int(min(budget / cost, len(logged))) if cost else len(logged)
    if most >= 2:
        gaps = len(logged) - 1
        return logged[: -1 : -(-gaps // (most - 1))] + logged[-1:]
    return logged[-1:] if cost <= BEYOND * budget else []


def costs(energy, space, objective, rows, batch, steps):
    """The costs of (exact numbers at a log point, all training), in coordinates of states.

    log Z and the NLL of n rows take about N + n energies, N of them by `terms_of`.  An update with
    a batch of b rows and k kernel steps takes k + 2 energies of each with their gradients, about
    three times as much.  With an objective that computes log Z itself the training always costs
    more.
    """
    terms, k = terms_of(energy, space), getattr(objective, "k", 1)
    point = terms and (terms + rows) * space.dim
    if getattr(objective, "exact", hasattr(objective, "rtol")):
        return point, math.inf
    k = k if whole(k, 1) else 1
    return point, max(FREE, 3 * (k + 2) * batch * steps * space.dim)


def measurer(data, law, steps, normaliser):
    """The function (step, density, last θ) that computes the exact "nll" and "kl" of an entry.

    They are nan at steps other than these `steps`; it returns {} if they are None, and no "kl" for
    finite data.  If a `normaliser` is learned, it adds the exact "log_z" of the last θ, because
    the normaliser belongs to this θ and not to the average.  `law` is the distribution of the data,
    (rows, probability masses).
    """
    known = steps and set(steps)
    entropy = getattr(data, "entropy", None)  # a population's
    names = ["nll", *(["kl"] if entropy is not None else []), *(["log_z"] if normaliser else [])]

    # an energy that overflows ends as inf or nan in the history
    @np.errstate(over="ignore", invalid="ignore")
    def measure(step, p, last):
        if steps is None:
            return {}
        if step not in known:
            return dict.fromkeys(names, math.nan)
        same, p = last is p.theta, in_double(p)
        log_z = float(or_nan(log_partition, p, 1e-5, MAX_NODES, law[0]))
        nll = log_z - float(law[1] @ exponents(p, law[0])) if log_z < math.inf else log_z
        found = {"nll": nll} if entropy is None else {"nll": nll, "kl": nll - entropy}
        if normaliser:
            last = replace(p, theta=last)
            found["log_z"] = log_z if same else float(or_nan(log_partition, last, 1e-5))
        return found

    return measure


def entry_of(update, exact, counted):
    """The entry of a log point: {name: number}; `counted` adds the number of rollbacks."""
    metrics = {name: float(value) for name, value in update.metrics.items()}
    attempt = {"rollbacks": update.attempt} if counted else {}
    return {"step": update.number, **metrics, **exact, **attempt}


def append(history, entry):
    """The history with one more entry; a number that is missing in either is nan there."""
    before = [math.nan] * len(history.get("step", ()))
    return {
        name: history.get(name, before) + [entry.get(name, math.nan)]
        for name in {**history, **entry}
    }


def note_of(history):
    """The last exact numbers that are known, for the progress bar."""
    last = lambda name: next((v for v in reversed(history.get(name, ())) if v == v), None)
    known = {name: last(name) for name in ("nll", "kl")}
    return "  ".join(f"{name} {v:.4f}" for name, v in known.items() if v is not None)


def rollbacks(history):
    """The number of returns to a log point so far; nan in the history if they were not counted."""
    return max((int(n) for n in history.get("rollbacks", ()) if n == n), default=0)


class Checkpoint:
    """The file of a run at `path`, which may be None, and the parts that identify the run."""

    def __init__(self, path, **parts):
        self.path, self.foreign = path, None
        self.identity = {name: content(part) for name, part in parts.items() if path}

    def save(self, state, history):
        """Write the state and the history, if there is a path; rename a file to be kept."""
        if not self.path:
            return
        aside = self.foreign and unused(self.path)
        save_tree(self.path, state, aside=aside, identity=self.identity, history=history)
        if aside:
            warnings.warn(f"{self.path} is kept as {aside}: {self.foreign}", stacklevel=3)
        self.foreign = None

    def load(self, steps, theta):
        """(State, history) as saved, of a run of at most this many steps.

        NamedTuples get the classes of those in the tree `theta`.  Raises ValueError if the file is
        of another run.
        """
        state, notes = load_tree(self.path, named_tuples(theta))
        if other := self.other(notes):
            raise ValueError(f"{self.path} belongs to another run: {other}")
        if state["step"] > steps:
            raise ValueError(
                f"{self.path} holds update {state['step']}, and steps={steps} ends before it"
            )
        self.identity = notes["identity"]
        return state, notes["history"]

    def begin(self, steps, state):
        """Prepare for a new run: find out if its state can be saved, and what is in the way.

        A file of another run is kept, and one of the same run that holds no update `steps` yet.
        """
        if not self.path:
            return
        require_savable(state)
        if not os.path.exists(self.path):
            return
        try:
            found, notes = load_tree(self.path)
            self.foreign = self.other(notes)
            if self.foreign is None and found["step"] < steps:
                self.foreign = f"it holds update {found['step']} of this run: see resume=True"
        except ValueError as error:
            self.foreign = str(error)

    def other(self, notes):
        """How the run of a file with these notes differs from this one, in words; or None."""
        if "identity" not in notes:
            return "it holds no run"
        for name, value in self.identity.items():
            if name == "theta" and value is None:  # a resumed run may leave its start out
                continue
            if found := difference(notes["identity"].get(name), value, name):
                where, there, here = found
                inside = "" if where == name else f"another one: {where} is "
                return f"its {name} is {inside}{there}, not {here}"
        return None
