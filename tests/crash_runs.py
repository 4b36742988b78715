"""Training that is killed again and again, each time resumed: run by `test_crash.py` in a process of its own.

    python crash_runs.py folder            kill every run, let another interpreter end it, compare
    python crash_runs.py folder end        resume every run, to its end

A process dies at a chosen moment of a chosen write, not after a chosen time, so that every run of this script does the same.
Nothing but the disk survives a kill; these are the states in which it can find the disk.
"""

import collections
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
from typing import NamedTuple

import numpy as np

import tinyebm as te
from tinyebm.storage import checkpoint, files

KERNEL, STEPS, EVERY = te.ULA(0.05), 40, 2
NET = te.MLP((1, 8, 1), confinement=1.0)
LINE, PLANE = (np.random.default_rng(0).standard_normal((200, d)) for d in (1, 2))
BITS = (PLANE[:, [0, 1, 0, 1]] > [0, 0, 1, 1]) * 1.0
OBJECTIVES = {
    "mle": te.ExactLikelihood(rtol=1e-2, refresh=3),
    "cd": te.ContrastiveDivergence(KERNEL, 3),
    "pcd": te.PersistentContrastiveDivergence(KERNEL, 3, chains=64),
    "dsm": te.DenoisingScoreMatching(0.3),
}


class Spring(NamedTuple):
    """Parameters with names."""

    stiffness: np.ndarray
    rest: np.ndarray


class Springs:
    """An energy of one's own: an object with attributes, and θ a NamedTuple within a dict with integer keys."""

    def __init__(self, power):
        self.power = power

    def init(self, rng):
        return {2: Spring(np.array(1.0), rng.standard_normal(1)), 10: Spring(np.array(0.5), np.zeros(1))}

    def __call__(self, theta, x):
        return sum(te.ops.sum(k * (x - rest) ** self.power, axis=1) for k, rest in theta.values())


SCALE = 2.0


def quadratic(theta, x):
    """An energy of one parameter, a number, and of a global variable."""
    return SCALE * theta * te.ops.sum(x * x, axis=1)


class OwnKernel:
    """Langevin steps as somebody might write them."""

    def step(self, p, x, rng):
        return te.ULA(0.05).step(p, x, rng)


def cd(kernel, k=2):
    return te.ContrastiveDivergence(kernel, k)


# name -> (energy, data, space, objective), and options; the first four are killed at every moment
RUNS = {name: ((NET, LINE, te.Reals(1), objective), {}) for name, objective in OBJECTIVES.items()}
RUNS |= {f"{type(energy).__name__}-{data.shape[1]}": ((energy, data, space, cd(kernel)), {}) for energy, data, space, kernel in [
    (te.GaussianEnergy(2), PLANE, te.Reals(2), KERNEL), (te.GaussianMixtureEnergy(3, 2), PLANE, te.Reals(2), te.MALA(0.05)),
    (te.DoubleWell(), LINE, te.Reals(1), KERNEL), (te.Quartic(), LINE, te.Reals(1), te.HMC(0.1, 3)),
    (te.Ring(), PLANE, te.Reals(2), te.ULA(0.001)), (te.Banana(), PLANE, te.Reals(2), te.ULA(0.001)),
    (te.Funnel(2), PLANE, te.Reals(2), te.ULA(0.001)), (te.TabularEnergy(2), BITS[:, :1], te.Cells(2), te.Gibbs()),
    (te.BoltzmannMachine(4), BITS, te.Bits(4), te.Gibbs()), (te.Ising((2, 2)), 2 * BITS - 1, te.Spins(4), te.Gibbs()),
    (te.Potts(2, (2, 2)), BITS, te.Cells(2, 4), te.Gibbs()), (te.RBM(4, 3), BITS, te.Bits(4), te.BlockGibbs()),
    (te.GaussianBernoulliRBM(2, 3), PLANE, te.Reals(2), te.BlockGibbs()),
    (te.MLP((4, 8, 1)), BITS, te.Bits(4), te.GibbsWithGradients())]}
RUNS |= {
    "own object": ((Springs(2), LINE, te.Reals(1), cd(KERNEL)), {}),
    "own function": ((quadratic, LINE, te.Reals(1), cd(KERNEL)), {"theta": np.array(1.0)}),
    "own lambda": ((lambda theta, x: theta["c"] * te.ops.sum(x * x, axis=1), LINE, te.Reals(1), cd(KERNEL)), {"theta": {"c": 1.0}}),
    "own kernel": ((NET, LINE, te.Reals(1), cd(OwnKernel())), {}),
    "annealed": ((NET, LINE, te.Reals(1), te.ShortRun(lambda step: te.ULA(0.1 / step), 4)), {}),
    "columns first": ((te.GaussianEnergy(2), PLANE, te.Reals(2), cd(KERNEL)), {"theta": {
        "mean": np.zeros(4)[::2], "precision": np.asfortranarray([[2.0, 0.5], [0.5, 1.0]])}}),
    "scheduled": ((NET, LINE, te.Reals(1), cd(KERNEL)), {
        "optimizer": te.momentum(lambda step: 0.01 / (1 + step)), "dtype": "float32"}),
}  # fmt: skip
PARTIAL = ("empty", "half", "written")  # moments at which a new file lies beside the old one
MOMENTS = ("before", *PARTIAL, "in place", "safe")
WRITES = (0, 2)  # the number, counted from the start of a process, of the write in which it dies


def train(name, path):
    """Forty updates of a small network, saved at every second one; the last state is saved under another name."""
    parts, options = RUNS[name]
    options = {"optimizer": te.adam(1e-2)} | options
    found = te.fit(*parts, steps=STEPS, batch_size=32, seed=5, ema=0.9, log_every=EVERY, checkpoint=path, resume=True,
                   progress=False, **options)
    checkpoint.save_tree(path.with_suffix(".end"), found.state, history=found.history)


class Death:
    """Kills this process at `moment` of its write number `number`."""

    def __init__(self, moment, number):
        self.moment, self.number, self.write = moment, number, 0
        self.fsync, self.replace = os.fsync, os.replace
        files.open, os.fsync, os.replace = self.opened, self.synced, self.replaced

    def here(self, moment):
        return (moment, self.write) == (self.moment, self.number)

    def at(self, moment):
        if self.here(moment):
            os.kill(os.getpid(), signal.SIGKILL)

    def opened(self, path, mode):
        self.at("before")
        file = open(path, mode)
        self.at("empty")
        return file

    def synced(self, descriptor):
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            if self.here("half"):
                os.ftruncate(descriptor, found.st_size // 2)
            self.at("half")
            self.fsync(descriptor)
            self.at("written")
        else:  # the folder, after the new file has taken the old one's place
            self.fsync(descriptor)
            self.at("safe")
            self.write += 1

    def replaced(self, source, target):
        self.replace(source, target)
        self.at("in place")


def killed(name, path, death):
    """Go on in another process, which dies; whether it was killed."""
    child = os.fork()
    if child == 0:
        Death(*death)
        train(name, path)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main(folder):
    """Kill at every moment of several writes of each run; print how often, and what was not as it should be, as JSON."""
    kills, wrong = collections.Counter(), []
    for i, name in enumerate(RUNS):
        whole, path, saved = folder / f"{name}-whole.npz", folder / f"{name}.npz", 0
        train(name, whole)  # compiled before the fork, too
        deaths = [(moment, number) for number in WRITES for moment in MOMENTS]
        for moment, number in deaths if name in OBJECTIVES else [("safe", 2), (MOMENTS[i % len(MOMENTS)], 3)]:
            kills[moment] += killed(name, path, (moment, number))
            saved += number + (moment in ("in place", "safe"))
            if not left(path, saved, moment in PARTIAL):
                wrong.append(f"{name}, write {number}, {moment}: another file is left")
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, __file__, str(folder), "end"], env=environment, check=True)
    for name in RUNS:
        if not same(*(checkpoint.load_tree(folder / f"{file}.end") for file in (f"{name}-whole", name))):
            wrong.append(f"{name}: another end")
    print(json.dumps({"kills": kills, "runs": len(RUNS), "wrong": wrong}))


def end(folder):
    """Resume every run, to its end."""
    for name in RUNS:
        train(name, folder / f"{name}.npz")


def left(path, saved, partial):
    """Whether the state of log point `saved` is on the disk, and an unfinished file beside it just if `partial`."""
    found = EVERY * saved == (int(checkpoint.load_tree(path)[0]["step"]) if path.exists() else 0)
    return found and bool(list(path.parent.glob(f"{path.name}.*.partial"))) == partial


def same(one, other):
    """Equal trees and notes, to the bit."""
    (xs, _), (ys, _) = (te.common.tree.tree_flatten(tree) for tree, _ in (one, other))
    return repr(one[1]) == repr(other[1]) and len(xs) == len(ys) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(xs, ys, strict=True))


if __name__ == "__main__":
    (end if sys.argv[2:] else main)(pathlib.Path(sys.argv[1]))
