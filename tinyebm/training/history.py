"""What a training run writes down: exact numbers at log points, and whose run it is."""

import dataclasses
import math

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.errors import or_nan
from tinyebm.density import exponents, in_double
from tinyebm.exact.nodes.quadrature import MAX_NODES
from tinyebm.exact.partition import log_partition
from tinyebm.storage.checkpoint import load_tree


def measurer(data, law, exact, normaliser):
    """A function of a density and the last θ: {"nll": [...], "kl": [...]}, as far as they can be
    had exactly.

    If a normaliser is learned, for the last θ and not for an average, its log Z too.
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
        record = {"nll": [nll]} if entropy is None else {"nll": [nll], "kl": [nll - entropy]}
        if normaliser:
            last = dataclasses.replace(p, theta=last)
            record["log_z"] = [log_z if same else float(or_nan(log_partition, last, 1e-5))]
        return record

    return measure


def append(history, record):
    """History with one more entry; a metric that is missing in either is nan there."""
    before = len(history["step"])
    return {
        name: history.get(name, [math.nan] * before) + record.get(name, [math.nan])
        for name in {**history, **record}
    }


def resumed(path, identity):
    """(state, history) of a checkpoint written by the same run."""
    state, notes = load_tree(path)
    for name, value in identity.items():
        if notes["identity"].get(name) != value:
            raise ValueError(
                f"{path} belongs to another run: its {name} is {notes['identity'].get(name)!r}, "
                f"not {value!r}"
            )
    return state, notes["history"]


def fingerprint(data, x):
    """What tells two runs' data apart: the name of a Target, or a digest of rows, or of a
    population's atoms."""
    import hashlib  # takes 3 ms to load: only when used

    if hasattr(data, "sample") and not hasattr(data, "p"):
        return data.name
    x = np.column_stack(data.law) if hasattr(data, "p") else x
    return hashlib.sha256(np.ascontiguousarray(to_numpy(x))).hexdigest()[:16]


def rollbacks(history):
    """How often the run has gone back and begun anew from a log point."""
    # nan where none were allowed
    return max((int(n) for n in history.get("rollbacks", ()) if n == n), default=0)
