"""Toy populations: the sampler of each toy next to its log density.

The generators are those of FFJORD (Grathwohl et al. 2019, arXiv:1810.01367, `lib/toy_data.py`).
Here each has a density, so the KL divergence of a model from it is an expected log loss minus an
entropy.  Lengths have no unit.  Every function of `TOYS` returns

    (space, log_joint, sample, modes, grid),

the fields of a `tinyebm.datasets.Target` after its name.  A toy is a mixture over its modes k,
given by the joint log densities log p(x, k), (n, modes):

    log p(x) = log Σ_k p(x, k).                                             (1)

Most toys are noisy curves, Gaussian mixtures with a continuum of components:

    x = c_k(t) + σ ξ,     p(x, k) = ∫ N(x; c_k(t), σ² I) p(k, t) dt.        (2)

A quadrature rule in t turns (2) into a finite mixture.  It has enough nodes for a relative error of
p below 1e-10 within six σ of the curves.  Curves are written with complex numbers.
"""

import math

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import beside
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.grids import Grid, gauss_legendre, trapezoid


def lattice(nodes, reach, dim=2):
    """The trapezoidal grid of nodes^dim atoms on [-reach, reach]^dim."""
    return Grid((trapezoid(nodes, -reach, reach),) * dim)


def turned(angle):
    """The complex numbers e^{i angle}."""
    return np.cos(angle) + 1j * np.sin(angle)


def points(z):
    """Complex numbers as points of the plane, (..., 2)."""
    return np.stack([z.real, z.imag], axis=-1)


def drawn(table, k):
    """The rows k of a table, on the device of k."""
    return beside(k, table)[0][k]


# ------------------------------------------------------------------- Gaussian mixtures


def log_mixture(x, centres, log_w, sigma):
    """log Σ_j w_kj N(x; c_kj, σ_k² I), (n, modes), for centres (modes, nodes, d).

    `log_w` broadcasts to (modes, nodes), `sigma` to (modes,).  Only |x|² leaves the sum:

        log N(x; c, σ² I) = x·c/σ² - |c|²/2σ² - d/2 log 2πσ² - |x|²/2σ².    (3)
    """
    modes, nodes, dim = centres.shape
    precision = np.broadcast_to(sigma, (modes,)) ** -2.0
    slopes = (centres * precision[:, None, None]).reshape(-1, dim)  # (modes nodes, d)
    norms = dim * np.log(2 * math.pi / precision)[:, None]
    offsets = log_w - 0.5 * (precision[:, None] * (centres**2).sum(axis=2) + norms)
    terms = ops.reshape(x @ slopes.T + offsets.reshape(-1), (len(x), modes, nodes))
    return ops.logsumexp(terms, axis=2) - ops.sum(x * x, axis=1, keepdims=True) * (0.5 * precision)


def eight_gaussians():
    """Eight Gaussians of standard deviation 0.5/1.414 on a circle of radius 4/1.414."""
    centres, sigma = 4 / 1.414 * points(turned(math.pi / 4 * np.arange(8))), 0.5 / 1.414
    log_joint = lambda x: log_mixture(x, centres[:, None], -math.log(8), sigma)
    sample = lambda n, rng: (
        drawn(centres, rng.integers(8, size=n)) + sigma * rng.standard_normal((n, 2))
    )
    return Reals(2), log_joint, sample, 8, lattice(192, 6.0)


def bimodal():
    """0.65 N(-1.5, 0.5²) + 0.35 N(1.5, 0.4²) on the line."""
    weights, means, sigmas = np.array([0.65, 0.35]), np.array([-1.5, 1.5]), np.array([0.5, 0.4])
    log_joint = lambda x: log_mixture(x, means[:, None, None], np.log(weights)[:, None], sigmas)

    def sample(n, rng):
        k = (rng.random(n) >= float(weights[0])).astype(int)
        return (drawn(means, k) + drawn(sigmas, k) * rng.standard_normal(n))[:, None]

    return Reals(1), log_joint, sample, 2, lattice(512, 6.0, 1)


# ------------------------------------------------------------------------ noisy curves


def noisy_curves(curves, sigma, rule, grid):
    """Eq. (2), k and t in [0, 1] uniform; curves(t) is (modes, len(t), 2), rule (nodes, log
    weights)."""
    t, log_w = rule
    centres = curves(t)
    modes = len(centres)
    log_joint = lambda x: log_mixture(x, centres, log_w - math.log(modes), sigma)

    def sample(n, rng):
        k, t = rng.integers(modes, size=n), rng.random(n)
        return curves(t)[k, np.arange(n, like=t)] + sigma * rng.standard_normal((n, 2))

    return Reals(2), log_joint, sample, modes, grid


def two_moons():
    """Two half circles of radius 2, noise 0.2: `make_moons(noise=0.1)` of scikit-learn, doubled and
    shifted."""

    def curves(t):
        upper = 2 * turned(math.pi * t)
        return points(np.stack([upper - (1 + 0.2j), (1 + 0.8j) - upper]))

    return noisy_curves(curves, 0.2, gauss_legendre(128, 0.0, 1.0), lattice(192, 5.0))


def concentric(radii, t):
    """Circles of some radii, (len(radii), len(t), 2)."""
    return points(np.stack([radius * turned(2 * math.pi * t) for radius in radii]))


def circles():
    """Two circles of radii 3 and 1.5, noise 0.24: `make_circles` of scikit-learn, tripled."""
    curves = lambda t: concentric((3.0, 1.5), t)
    return noisy_curves(curves, 0.24, trapezoid(129, 0.0, 1.0), lattice(192, 5.0))


def rings():
    """Four circles of radii 3, 2.25, 1.5 and 0.75, noise 0.08."""
    curves = lambda t: concentric((3.0, 2.25, 1.5, 0.75), t)
    return noisy_curves(curves, 0.08, trapezoid(321, 0.0, 1.0), lattice(256, 3.75))


def swissroll():
    """The spiral s e^{is} / 5, s uniform on [1.5π, 4.5π], noise 0.2, as in `make_swiss_roll`."""

    def curves(t):
        s = math.pi * (1.5 + 3 * t)
        return points((s * turned(s))[None]) / 5

    return noisy_curves(curves, 0.2, gauss_legendre(320, 0.0, 1.0), lattice(192, 5.0))


# ------------------------------------- two spirals: a curve with a box of noise as well


BOX_NODES, BOX_WEIGHTS = np.polynomial.legendre.leggauss(10)


def two_spirals():
    """Two spirals ±(c(s) + U) / 3, c(s) = -s e^{-is}, with noise U in a box and Gaussian noise 0.1.

    s = 3π sqrt(V) with V uniform on [0, 1], U uniform on [0, 1/2]².  Along either axis the noise is
    a normal plus a uniform variable.  In units of σ, with z = x/σ, c the middle of the box and a
    half of its side, it has the density

        N(z - c; 0, 1) ∫ e^{zu} e^{-cu - u²/2} du / 2a   over |u| < a,      (4)

    and with nodes u the integral is a product of two matrices.
    """
    sigma, end = 0.1, 3 * math.pi

    def arm(s, u):
        return (points(-s * turned(-s)) + u) / 3

    v, log_w = gauss_legendre(320, 0.0, 1.0)
    # equal steps of v are nearly equal steps along the curve
    s = np.sqrt(1 + v * (end**2 + 2 * end)) - 1
    # half of p(s) ds = 2s ds / 9π², and the Gaussian's norm
    log_w = log_w + np.log(s / (s + 1) * (0.5 + 1 / end) / (2 * math.pi * sigma**2))
    c = np.concatenate([arm(s, 0.25), -arm(s, 0.25)]).T[:, None] / sigma  # (2, 1, 2 nodes)
    a = 1 / 12 / sigma
    u = a * BOX_NODES[:, None]  # (10, 1)
    by_node = 0.5 * BOX_WEIGHTS[:, None] * np.exp(-0.5 * u * u - u * c)  # (2, 10, 2 nodes)

    def log_joint(x):
        z = ops.reshape(x.T, (2, len(x), 1)) / sigma
        largest = a * np.abs(stop_gradient(z))  # taken out of the exponentials
        integral = ops.exp(z @ u.T - largest) @ by_node
        log_noise = ops.log(integral) + largest - 0.5 * ops.square(z - c)  # (2, n, 2 nodes)
        terms = ops.reshape(ops.sum(log_noise, axis=0), (len(x), 2, len(s)))
        return ops.logsumexp(terms + log_w, axis=2)

    def sample(n, rng):
        points = arm(end * np.sqrt(rng.random(n)), 0.5 * rng.random((n, 2)))
        signs = 1.0 - 2.0 * rng.integers(2, size=(n, 1))
        return signs * points + sigma * rng.standard_normal((n, 2))

    return Reals(2), log_joint, sample, 2, lattice(192, 4.25)


# -------------------------------------------- a change of variables, squares, half lines

TINY = 1e-300  # replaces |x|² = 0, where sqrt has no derivative but the pinwheel has one


def pinwheel():
    """Five petals, doubled: f ~ N((1, 0), diag(0.3², 0.1²)) turned clockwise by 2πk/5 + exp(|f|)/4.

    The angle depends only on |f|, so the map preserves areas, and p(x, k) = N(f) / (5·4).
    (The angle of FFJORD grows with f_1, which leaves no closed form.)
    """
    starts, log_norm = 2 * math.pi / 5 * np.arange(5), -math.log(5 * 4 * 2 * math.pi * 0.3 * 0.1)

    def log_joint(x):
        y = x / 2
        r2 = ops.sum(y * y, axis=1, keepdims=True)
        angle = starts + 0.25 * ops.exp(ops.sqrt(ops.where(r2 > 0, r2, TINY)))  # (n, 5)
        cos, sin, y1, y2 = ops.cos(angle), ops.sin(angle), y[:, :1], y[:, 1:]
        along, across = (cos * y1 - sin * y2 - 1.0) / 0.3, (sin * y1 + cos * y2) / 0.1
        return log_norm - 0.5 * (along * along + across * across)

    def sample(n, rng):
        x, y = rng.standard_normal((n, 2)).T
        f = (1.0 + 0.3 * x) + 0.1j * y
        angle = drawn(starts, rng.integers(5, size=n)) + 0.25 * np.exp(np.abs(f))
        return points(2 * f * np.exp(-1j * angle))

    return Reals(2), log_joint, sample, 5, lattice(400, 8.0)


def checkerboard():
    """Uniform on eight of the sixteen squares of side 2 in [-4, 4]²: entropy log 32."""
    corners = 2.0 * np.array([(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]) - 4.0
    space = Box(-4.0, 4.0, 2, panels=4)

    def log_joint(x):
        offset = stop_gradient(x)[:, None] - corners  # (n, 8, 2)
        return np.where(((offset >= 0) & (offset < 2)).all(axis=2), -math.log(32), -math.inf)

    sample = lambda n, rng: drawn(corners, rng.integers(8, size=n)) + 2 * rng.random((n, 2))
    return space, log_joint, sample, 8, space.grid(128)


def double_well():
    """exp(-2 (x² - 1)²) / Z on the line; its modes are the half lines x <= 0 and x > 0.

    Sampled by rejection.  For any b > 1

        2 (x² - 1)² = 4 (b - 1) x² + 2 (x² - b)² + 2 - 2b²,                 (5)

    so a draw of N(0, 1/(8b - 8)) is accepted with probability exp(-2 (x² - b)²).  With
    b = (1 + sqrt(3/2)) / 2 most are accepted, about a third.
    """
    grid, b = lattice(512, 4.0, 1), 0.5 + 0.5 * math.sqrt(1.5)
    energy = lambda x: 2.0 * ops.square(ops.square(x) - 1.0)  # (n, 1)
    x, log_w = grid.all()
    log_z = float(ops.logsumexp(log_w - energy(x)[:, 0]))

    def log_joint(x):
        right = stop_gradient(x) > 0
        return ops.where(np.concatenate([~right, right], axis=1), -energy(x) - log_z, -math.inf)

    def sample(n, rng):
        found, missing = [], n
        while missing > 0:
            draws = rng.standard_normal(n) / math.sqrt(8 * b - 8)
            found.append(draws[rng.random(n) < np.exp(-2 * (draws**2 - b) ** 2)])
            missing -= len(found[-1])
        return np.concatenate(found)[:n, None] if found else rng.standard_normal((0, 1))

    return Reals(1), log_joint, sample, 2, grid


TOYS = {
    toy.__name__: toy
    for toy in (
        two_moons,
        eight_gaussians,
        circles,
        rings,
        checkerboard,
        pinwheel,
        swissroll,
        two_spirals,
        bimodal,
        double_well,
    )
}
