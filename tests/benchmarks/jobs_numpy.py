"""Plain NumPy, as one writes it without a library: a checkerboard in eight lines, and local fields site by site."""

import numpy as np
import problems as pb


def checkerboard(s, J, h, sweeps, rng):
    """Ising on a torus with even sides, s (n, rows, cols), in place."""
    white = np.add.outer(*map(np.arange, s.shape[1:])) % 2 == 0
    for _ in range(sweeps):
        for colour in (white, ~white):
            near = np.roll(s, 1, 1) + np.roll(s, -1, 1) + np.roll(s, 1, 2) + np.roll(s, -1, 2)
            on = 1 / (1 + np.exp(-2 * (J * near[:, colour] + h)))
            s[:, colour] = np.where(rng.random(on.shape) < on, 1.0, -1.0)
    return s


def local_fields(x, W, b, sweeps, rng):
    """A Boltzmann machine of bits x (n, d) with a symmetric W, in place."""
    for _ in range(sweeps):
        field = x @ W + b
        uniform = rng.random(x.T.shape)
        for i in range(x.shape[1]):
            new = (uniform[i] < 1 / (1 + np.exp(-field[:, i]))).astype(float)
            field += np.outer(new - x[:, i], W[i])
            x[:, i] = new
    return x


def ising(side, sweeps):
    s, rng = pb.spins(side).reshape(pb.GIBBS_CHAINS, side, side), np.random.default_rng(0)
    answer = lambda: pb.require_bonds(checkerboard(s.copy(), pb.COUPLING, 0.0, pb.BURN_IN, rng)) or []
    return lambda: checkerboard(s, pb.COUPLING, 0.0, sweeps, rng), answer


def machine(sweeps):
    (W, b), rng = pb.machine(), np.random.default_rng(0)
    x = rng.integers(0, 2, (pb.GIBBS_CHAINS, len(b))) * 1.0
    return lambda: local_fields(x, W, b, sweeps, rng), lambda: []


JOBS = {"ising": ising, "machine": machine}
