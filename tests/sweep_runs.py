"""Runs that other processes can find."""

import os
import pathlib
import signal
import time

import numpy as np

import tinyebm as te


def draw(seed, scale=1.0, n=3):
    """Numbers that depend on the seed and the point."""
    return scale * np.random.default_rng(seed).standard_normal(n)


def trained(seed, method):
    """The exact NLL after some updates, and the parameters' sum: whatever a thread or a process could disturb."""
    kernel = te.ULA(0.05)
    objective = {"cd": te.ContrastiveDivergence(kernel, 2), "pcd": te.PersistentContrastiveDivergence(kernel, 2, chains=64)}[method]
    net = te.MLP((2, 32, 1), confinement=1.0)
    found = te.fit(net, te.datasets.load("two_moons"), objective=objective, steps=5, batch_size=64, seed=seed, progress=False)
    return {"nll": found.history["nll"][-1], "sum": float(sum(layer["W"].sum() for layer in found.theta))}


def threads(seed):
    """How many threads linear algebra has."""
    from tinyebm.replay.blas import one_blas_thread

    with one_blas_thread() as count:
        return count


def failing(seed, a):
    """A run that does not end well at a = 2."""
    if a == 2:
        raise ArithmeticError("a is two")
    return a


def killed(seed, a):
    """A run whose process is killed at a = 2."""
    if a == 2:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return a


def noted(seed, a, folder):
    """A run that leaves a note; it fails at a = 2 while there is a file `broken`."""
    folder = pathlib.Path(folder)
    (folder / f"{a}-{seed}-{os.urandom(4).hex()}.note").touch()
    if a == 2 and (folder / "broken").exists():
        raise {"error": ArithmeticError, "stop": KeyboardInterrupt}[(folder / "broken").read_text()]("a is two")
    return {"a": a, "draws": np.random.default_rng(seed).standard_normal(2), "none": None}


class Picky(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__("picky")


def picky(seed):
    raise Picky(1, 2)


def asleep(seed, folder):
    """A run that leaves a note and ends in an hour."""
    (pathlib.Path(folder) / f"{os.getpid()}.note").touch()
    time.sleep(3600)


def alive(session):
    """The processes of a session that have not ended (on Linux)."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(owner) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def until(condition, patience=120):
    """Wait until something is true; a test gives up after so many seconds, and none needs more than a few."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
    return found
