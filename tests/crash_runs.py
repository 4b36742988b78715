"""Training that is killed again and again, each time resumed: run by `test_crash.py` in a process of its own.

    python crash_runs.py folder

A process dies at a chosen moment of a chosen write, not after a chosen time, so that every run of this script does the same.
Nothing but the disk survives a kill; these are the states in which it can find the disk.
"""

import collections
import json
import os
import pathlib
import signal
import stat
import sys

import numpy as np

import tinyebm as te
from tinyebm.storage import checkpoint, files

KERNEL, STEPS, EVERY = te.ULA(0.05), 40, 2
OBJECTIVES = {
    "mle": te.ExactLikelihood(rtol=1e-2, refresh=3),
    "cd": te.ContrastiveDivergence(KERNEL, 3),
    "pcd": te.PersistentContrastiveDivergence(KERNEL, 3, chains=64),
    "dsm": te.DenoisingScoreMatching(0.3),
}
PARTIAL = ("empty", "half", "written")  # moments at which a new file lies beside the old one
MOMENTS = ("before", *PARTIAL, "in place", "safe")
WRITES = (0, 2)  # the number, counted from the start of a process, of the write in which it dies


def train(name, path):
    """Forty updates of a small network, saved at every second one; the last state is saved under another name."""
    data = np.random.default_rng(0).standard_normal((200, 1))
    found = te.fit(te.MLP((1, 8, 1), confinement=1.0), data, te.Reals(1), OBJECTIVES[name], te.adam(1e-2), steps=STEPS,
                   batch_size=32, seed=5, ema=0.9, log_every=EVERY, checkpoint=path, resume=True, progress=False)
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


def resumed(name, path, death=None):
    """Go on in another process, which dies if told how; whether it was killed."""
    child = os.fork()
    if child == 0:
        if death:
            Death(*death)
        train(name, path)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main(folder):
    """Kill at every moment of several writes of each run; print how often, and what was not as it should be, as JSON."""
    kills, wrong = collections.Counter(), []
    for name in OBJECTIVES:
        whole, path, saved = folder / f"{name}-whole.npz", folder / f"{name}.npz", 0
        train(name, whole)  # compiled before the fork, too
        for number in WRITES:
            for moment in MOMENTS:
                kills[moment] += resumed(name, path, (moment, number))
                saved += number + (moment in ("in place", "safe"))
                if not left(path, saved, moment in PARTIAL):
                    wrong.append(f"{name}, write {number}, {moment}: another file is left")
        resumed(name, path)
        if not same(*(checkpoint.load_tree(file.with_suffix(".end")) for file in (whole, path))):
            wrong.append(f"{name}: another end")
    print(json.dumps({"kills": kills, "wrong": wrong}))


def left(path, saved, partial):
    """Whether the state of log point `saved` is on the disk, and an unfinished file beside it just if `partial`."""
    found = EVERY * saved == (int(checkpoint.load_tree(path)[0]["step"]) if path.exists() else 0)
    return found and path.with_name(path.name + ".partial").exists() == partial


def same(one, other):
    """Equal trees and notes, to the bit."""
    (xs, _), (ys, _) = (te.common.tree.tree_flatten(tree) for tree, _ in (one, other))
    return repr(one[1]) == repr(other[1]) and len(xs) == len(ys) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(xs, ys, strict=True))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
