"""The exercises of notebook 07."""

import functools

import numpy as np

import tinyebm as te
from course.checks06 import data
from course.near import near, number
from tinyebm import ops


def age():
    """The mean number of loans up to a restart, by its distribution."""
    k = np.arange(1, 2000)
    return (k * 0.05 * 0.95 ** (k - 1)).sum()


@functools.cache
def worst(k, rate):
    """The largest KL of exact PCD-k on the table in the last quarter; probabilities flow along the edges between cells."""
    p, energy, v, kl = data(), np.zeros(60), np.full(60, 1 / 60), []
    updates = round(8000 / rate)
    for i in range(updates):
        up, down = (0.5 * np.exp(np.minimum(0, sign * np.diff(energy))) for sign in (-1, 1))
        for _ in range(k):
            flow = v[:-1] * up - v[1:] * down
            v = v - np.append(flow, 0) + np.append(0, flow)
        energy = energy - rate * (p - v)
        if i >= 0.75 * updates:
            q = np.exp(energy.min() - energy)
            kl.append((p * np.log(p / (q / q.sum()))).sum())
    return max(kl)


def largest(answer):
    """The choice, and the one above it, are tried."""
    choices, rate = (0.5, 1.0, 2.0, 4.0), number(answer)
    if rate not in choices:
        return f"answer with one of {', '.join(map(str, choices))}"
    if worst(3, rate) >= 0.01:
        return f"at {rate} the KL is {worst(3, rate):.3f} at its worst"
    above = min([c for c in choices if c > rate], default=None)
    return None if above is None or worst(3, above) >= 0.01 else "a larger one will do"


@functools.cache
def one_step():
    """Train the network of start 0 anew, by matrix powers, and push the data once."""
    space, line, kernel = te.Box(-8, 8, 1), te.MLP((1, 32, 32, 1), gain=2**0.5), te.MALA(0.045)
    nodes, log_w = space.atoms(200)
    p = np.exp(te.datasets.load("bimodal").log_prob(nodes) + log_w)
    slope = te.grad(lambda theta, mass: ops.sum(mass * line(theta, nodes)))
    theta, optimizer, noise = line.init(np.random.default_rng(0)), te.adam(5e-3), np.exp(log_w) / np.exp(log_w).sum()
    state = optimizer.init(theta)
    for _ in range(600):
        P = te.transition_matrix(te.Density(line, theta, space), kernel, 200)
        theta, state = optimizer.update(slope(theta, p - noise @ np.linalg.matrix_power(P, 100)), state, theta)
    return 0.5 * np.abs(p @ te.transition_matrix(te.Density(line, theta, space), kernel, 200) - p).sum()


CHECKS = {
    "7.1": near(age, 0.01, slips=[(lambda: age() - 1, "count the loan at which it restarts, too")]),
    "7.2": largest,
    "7.3": near(one_step, 1e-4, slips=[(lambda: 2 * one_step(), "total variation is half the summed difference")]),
}
