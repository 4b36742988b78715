"""Runs that other processes can find."""

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
