"""Training that is killed again and again, each time resumed: run by `test_crash.py` in a process of its own.

    python crash_runs.py folder kills seed
"""

import os
import pathlib
import signal
import sys
import time

import numpy as np

import tinyebm as te
from tinyebm.storage import checkpoint

KERNEL, STEPS = te.ULA(0.05), 60
OBJECTIVES = {
    "mle": te.ExactLikelihood(rtol=1e-2, refresh=3),
    "cd": te.ContrastiveDivergence(KERNEL, 3),
    "pcd": te.PersistentContrastiveDivergence(KERNEL, 3, chains=64),
    "dsm": te.DenoisingScoreMatching(0.3),
}


def train(name, path):
    """Sixty updates of a small network, saved at every second one; the last state is saved under another name."""
    data = np.random.default_rng(0).standard_normal((200, 1))
    found = te.fit(te.MLP((1, 8, 1), confinement=1.0), data, te.Reals(1), OBJECTIVES[name], te.adam(1e-2), steps=STEPS,
                   batch_size=32, seed=5, ema=0.9, log_every=2, checkpoint=path, resume=True, progress=False)
    checkpoint.save_tree(path.with_suffix(".end"), found.state, history=found.history)


def slowly(write):
    """A disk on which a write takes a while: so that some kills fall into one."""
    def sync(file):
        time.sleep(0.004)
        write(file)
    return sync


def child(name, path):
    """A process that trains; its number."""
    number = os.fork()
    if number == 0:
        checkpoint.os.fsync = slowly(os.fsync)
        train(name, path)
        os._exit(0)
    return number


def main(folder, kills, seed):
    """Kill at random moments, `kills` times in all; say how often in the middle of a write, and which runs differ."""
    rng, done, within, differing = np.random.default_rng(seed), 0, 0, []
    for name in OBJECTIVES:
        train(name, folder / f"{name}-whole.npz")  # compiled before the fork, too
    for turn in range(10**6):
        name = list(OBJECTIVES)[turn % len(OBJECTIVES)]
        path = folder / f"{name}-{turn}.npz"
        while not path.with_suffix(".end").exists():
            number = child(name, path)
            killed = False
            if done < kills:
                time.sleep(rng.uniform(0.0, 0.25))
                if os.waitpid(number, os.WNOHANG)[0] == 0:
                    os.kill(number, signal.SIGKILL)
                    killed = True
                    os.waitpid(number, 0)
            else:
                os.waitpid(number, 0)
            done += killed
            within += killed and path.with_name(path.name + ".partial").exists()
        whole, end = ((folder / f"{name}-whole.end").read_bytes(), path.with_suffix(".end").read_bytes())
        trees = [checkpoint.load_tree(folder / f"{name}-whole.end"), checkpoint.load_tree(path.with_suffix(".end"))]
        if repr(trees[0][1]) != repr(trees[1][1]) or not same(trees[0][0], trees[1][0]) or len(whole) != len(end):
            differing.append(path.name)
        if done >= kills and turn >= len(OBJECTIVES) - 1:
            break
    print(done, within, *differing)


def same(a, b):
    """Equal trees, to the bit."""
    (xs, _), (ys, _) = te.common.tree.tree_flatten(a), te.common.tree.tree_flatten(b)
    return len(xs) == len(ys) and all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
                                      for x, y in zip(xs, ys, strict=True))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
