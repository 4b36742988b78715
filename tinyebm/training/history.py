"""The history of a training run, its entries at log points, and its checkpoint.

A history is {name: list of numbers}, with one number per log point.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.errors import or_nan
from tinyebm.common.kinds import is_population
from tinyebm.density import exponents, in_double
from tinyebm.exact.nodes.quadrature import MAX_NODES
from tinyebm.exact.partition import log_partition
from tinyebm.storage.checkpoint import load_tree, save_tree


def measurer(data, law, exact, normaliser):
    """The function of a density and the last θ that computes the exact "nll" and "kl" of an entry.

    It returns {} unless `exact`, and no "kl" for finite data.  If a `normaliser` is learned, it
    adds the exact "log_z" of the last θ, because the normaliser belongs to this θ and not to the
    average.  `law` is the distribution of the data, (rows, probability masses).
    """
    entropy = getattr(data, "entropy", None)  # a population's

    # an energy that overflows ends as inf or nan in the history
    @np.errstate(over="ignore", invalid="ignore")
    def measure(p, last):
        if not exact:
            return {}
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
    """The last exact numbers, for the progress bar."""
    names = [name for name in ("nll", "kl") if name in history]
    return "  ".join(f"{name} {history[name][-1]:.4f}" for name in names)


def rollbacks(history):
    """The number of returns to a log point so far; nan in the history if they were not counted."""
    return max((int(n) for n in history.get("rollbacks", ()) if n == n), default=0)


class Checkpoint(NamedTuple):
    """The file of a run, or None, and the settings that identify the run."""

    path: Any
    identity: dict

    def save(self, state, history):
        """Write the state and the history, if there is a file."""
        if self.path:
            save_tree(self.path, state, identity=self.identity, history=history)

    def load(self):
        """(state, history) as saved; ValueError if they are those of another run."""
        state, notes = load_tree(self.path)
        for name, value in self.identity.items():
            found = notes["identity"].get(name)
            if found != value:
                raise ValueError(
                    f"{self.path} belongs to another run: its {name} is {found!r}, not {value!r}"
                )
        return state, notes["history"]


def fingerprint(data, x):
    """A text that identifies data: the name of a population, or a digest of rows or atoms."""
    import hashlib  # takes 3 ms to load: only when used

    if is_population(data) and not hasattr(data, "p"):
        return data.name
    x = np.column_stack(data.law) if hasattr(data, "p") else x
    return hashlib.sha256(np.ascontiguousarray(to_numpy(x))).hexdigest()[:16]
