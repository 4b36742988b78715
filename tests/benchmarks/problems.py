"""The problems that are timed, the same numbers for every library; NumPy only."""

import numpy as np

NETS = {name: tuple(int(n) for n in name.split("-"))
        for name in ("2-64-64-1", "2-128-128-1", "2-256-256-256-1", "64-256-256-1", "784-512-256-1")}
CHAINS = (128, 512, 4096)
STEP, NOISE = 5e-3, 0.1  # of Langevin dynamics: x - STEP ∇E + NOISE ξ, temperature 1
STEPS, CD_STEPS = 60, 20
BATCH, SCORE_BATCH, SIGMA = 256, 512, 0.1
GRID, EXTENT = 200, 4.0
RATE, BEFORE = 5e-3, 400  # of exact updates: the rate of Adam, and how many come before those that are timed
BITS, TEMPERATURES = 20, 1000
GIBBS_CHAINS, COUPLING, BURN_IN, UNITS = 64, 0.3, 300, 64
# Σ s_i s_j over the bonds of a torus, per site: its mean and variance at this coupling, by Kaufman's formula
BONDS = {8: (0.712467, 3.459759), 16: (0.704533, 3.183544), 32: (0.704499, 3.181002)}


def weights(sizes, dtype):
    """[(W (in, out), b (out,)), ...], W ~ N(0, 1/in), b ~ N(0, 0.01)."""
    rng = np.random.default_rng(0)
    pairs = zip(sizes, sizes[1:], strict=False)
    draws = [(rng.standard_normal((m, n)) / np.sqrt(m), 0.1 * rng.standard_normal(n)) for m, n in pairs]
    return [(W.astype(dtype), b.astype(dtype)) for W, b in draws]


def points(n, d, dtype):
    """Two arrays (n, d) of normal numbers: data, and starts of chains (or noise)."""
    x = np.random.default_rng(1).standard_normal((2, n, d)).astype(dtype)
    return x[0], x[1]


def grid():
    """The trapezoidal grid of job C: states (N, 2) and log weights (N,)."""
    t = np.linspace(-EXTENT, EXTENT, GRID)
    w = np.full(GRID, t[1] - t[0])
    w[[0, -1]] /= 2
    x, y = np.meshgrid(t, t, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1), np.log(np.outer(w, w).ravel())


def couplings():
    """The symmetric matrix (zero diagonal) and the fields of the Boltzmann machine of job E."""
    rng = np.random.default_rng(2)
    W = np.triu(0.3 * rng.standard_normal((BITS, BITS)), 1)
    return W + W.T, 0.3 * rng.standard_normal(BITS)


def states():
    """All states of {0, 1}^BITS, (2^BITS, BITS), the first bit the most significant."""
    return ((np.arange(2**BITS)[:, None] >> np.arange(BITS)[::-1]) & 1).astype(float)


def spins(side):
    """Random spins (chains, side²)."""
    return np.random.default_rng(3).choice([-1.0, 1.0], (GIBBS_CHAINS, side * side))


def require_bonds(s):
    """Stop unless chains s (n, side, side) have the exact mean of the bond sum, to five standard errors."""
    mean, variance = BONDS[s.shape[1]]
    found = (s * np.roll(s, 1, 1) + s * np.roll(s, 1, 2)).mean()
    if abs(found - mean) > 5 * np.sqrt(variance / s.size):
        raise ValueError(f"the bond sum is {found} per site, not {mean}")


def machine():
    """The symmetric matrix (zero diagonal) and the fields of the Boltzmann machine of job G."""
    rng = np.random.default_rng(4)
    W = np.triu(0.1 * rng.standard_normal((UNITS, UNITS)), 1)
    return W + W.T, 0.1 * rng.standard_normal(UNITS)
