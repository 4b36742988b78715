"""Random densities whose log Z, moments and probabilities are known: is every number within its error?

    python tests/random_densities.py [--lines 1000] [--planes 200] [--thresholds 1000] [--seed 0]

prints a table, a line for each family: how many densities, how many of the numbers (log Z, mean, variance, and the
probability below a random threshold) lie beyond their errors, how many were refused, and the median error reported.
The status is 1 if any number is wrong.
"""

import argparse
import math
import sys
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import tinyebm as te
from examples import plain
from tinyebm import ops

REFUSED = (te.QuadratureError, te.DivergentPartitionError)


@dataclass(frozen=True)
class Known:
    """A density with what is known of it: log Z, mean (d,), variance (d,), and P(x_0 < t) as a function of t."""

    density: Any
    log_z: float
    mean: Any
    variance: Any
    below: Any
    rtol: float = 1e-8


def between(rng, low, high):
    """A number whose logarithm is uniform."""
    return 10 ** rng.uniform(math.log10(low), math.log10(high))


# ------------------------------------------------------------------------------- mixtures

def mixture(weights, means, roots, space, shift=0.0):
    """Σ w_k N(m_k, R_k R_kᵀ), its log Z moved by a shift; means (K, d), roots (K, d, d) lower triangular."""
    k, d = means.shape
    inverse = np.linalg.inv(roots)
    log_w = np.log(weights) - np.log(np.abs(np.linalg.det(roots))) - 0.5 * d * math.log(2 * math.pi)
    turn = np.concatenate([W.T for W in inverse], axis=1)  # (d, k d)
    offset = np.concatenate([W @ m for W, m in zip(inverse, means, strict=True)])

    def energy(x):
        z = ops.reshape(x @ turn - offset, (len(x), k, d))
        return -ops.logsumexp(log_w - 0.5 * ops.sum(z * z, axis=2), axis=1) - shift

    mean = weights @ means
    second = np.einsum("kij,kij->ki", roots, roots) + (means - mean) ** 2
    sd = np.sqrt(np.einsum("kij,kij->ki", roots, roots))[:, 0]
    below = lambda t: float(weights @ stats.norm.cdf(t, means[:, 0], sd))
    return Known(plain(energy, space), shift, mean, weights @ second, below)


def lines_mixture(weights, means, scales, shift=0.0):
    """The same on the line."""
    return mixture(weights, means[:, None], scales[:, None, None], te.Reals(1), shift)


def few(rng):
    """Two to five components, the narrowest 1 to 1000 times narrower than the broadest."""
    k = rng.integers(2, 6)
    scales = 10 ** rng.uniform(-2, 1, k)
    return lines_mixture(rng.dirichlet(np.ones(k)), rng.uniform(-10, 10, k), scales, rng.uniform(-5, 5))


def many(rng):
    """A kernel density estimate: 20 to 300 equal narrow kernels."""
    k = rng.integers(20, 300)
    centres = np.where(rng.random(k) < 0.4, rng.normal(-1.3, 0.3, k), rng.normal(0.7, 0.4, k))
    return lines_mixture(np.full(k, 1 / k), centres, np.full(k, between(rng, 0.003, 0.3)))


def far(rng):
    """One or two components far from the origin."""
    k = rng.integers(1, 3)
    scale = between(rng, 1e-2, 10)
    means = rng.choice([-1, 1]) * between(rng, 10, 1e6) + scale * rng.uniform(-30, 30, k)
    return lines_mixture(rng.dirichlet(np.ones(k)), means, scale * 10 ** rng.uniform(-1, 1, k))


# ------------------------------------------------------------- heavy tails, walls and steps

def from_scipy(law, energy, space, log_z):
    """A density of a law of scipy.stats on the line."""
    mean, variance = law.stats(moments="mv")
    return Known(plain(energy, space), log_z, np.array([mean]), np.array([variance]), lambda t: float(law.cdf(t)))


def heavy(rng):
    """Student's t, logistic, Laplace, generalised normal, hyperbolic secant."""
    m, s = rng.uniform(-20, 20), between(rng, 1e-2, 1e2)
    kind = rng.choice(["t", "logistic", "laplace", "power", "sech"])
    z = lambda x: (x[:, 0] - m) / s
    if kind == "t":
        nu = rng.uniform(3, 10)
        energy = lambda x: 0.5 * (nu + 1) * ops.log(1 + ops.square(z(x)) / nu)
        return from_scipy(stats.t(nu, m, s), energy, te.Reals(1), -float(stats.t(nu, m, s).logpdf(m)))
    if kind == "logistic":
        energy = lambda x: z(x) + 2 * ops.softplus(-z(x))
        return from_scipy(stats.logistic(m, s), energy, te.Reals(1), math.log(s))
    if kind == "laplace":
        return from_scipy(stats.laplace(m, s), lambda x: ops.abs(z(x)), te.Reals(1), math.log(2 * s))
    if kind == "sech":
        energy = lambda x: ops.abs(z(x)) + ops.softplus(-2 * ops.abs(z(x)))
        return from_scipy(stats.hypsecant(m, s), energy, te.Reals(1), math.log(math.pi * s / 2))
    beta = rng.uniform(1, 4)
    law = stats.gennorm(beta, m, s)
    return from_scipy(law, lambda x: ops.power(ops.abs(z(x)), beta), te.Reals(1), -float(law.logpdf(m)))


def in_interval(normal, a, b, space, energy):
    """A density of an energy of numbers on [a, b], by panels of Gauss-Legendre nodes."""
    t, w = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(a, b, 501)
    half = np.diff(edges)[:, None] / 2
    x, w = (edges[:-1, None] + half * (t + 1)).reshape(-1), (half * w).reshape(-1)
    u = -normal(x)
    mass = w * np.exp(u - u.max())
    z, mean = mass.sum(), mass @ x / mass.sum()

    def below(t):
        part = np.linspace(a, min(max(t, a), b), 501)
        half = np.diff(part)[:, None] / 2
        nodes, weights = np.polynomial.legendre.leggauss(20)
        y = (part[:-1, None] + half * (nodes + 1)).reshape(-1)
        return float((half * weights).reshape(-1) @ np.exp(-normal(y) - u.max()) / z)

    variance = mass @ (x - mean) ** 2 / z
    return Known(plain(energy, space), float(u.max() + math.log(z)), np.array([mean]), np.array([variance]), below)


def truncated(rng):
    """A normal or an exponential cut off: by +inf on the line, or by the walls of a box."""
    m, s = rng.uniform(-5, 5), between(rng, 1e-2, 3)
    a, b = np.sort(m + s * rng.uniform(-4, 4, 2))
    b = max(b, a + 0.2 * s)
    normal = lambda x: 0.5 * ops.square((x - m) / s)
    if rng.random() < 0.5:
        return in_interval(normal, a, b, te.Box(a, b, 1), lambda x: normal(x[:, 0]))
    inside = lambda x: (ops.stop_gradient(x)[:, 0] >= a) & (ops.stop_gradient(x)[:, 0] <= b)
    return in_interval(normal, a, b, te.Reals(1), lambda x: ops.where(inside(x), normal(x[:, 0]), math.inf))


def stepped(rng):
    """A histogram: 2 to 20 steps between random edges, in a box or on the line."""
    k = rng.integers(2, 21)
    edges = np.sort(rng.uniform(-3, 3, k + 1)) * between(rng, 0.1, 10)
    mass = rng.dirichlet(np.ones(k))
    law = stats.rv_histogram((mass, edges), density=False)
    levels = np.append(-np.log(mass / np.diff(edges)), math.inf)

    def energy(x):
        t = ops.stop_gradient(x)[:, 0]
        number = (t[:, None] >= edges).sum(axis=1)
        return np.where((number > 0) & (number <= k), levels[np.clip(number - 1, 0, k)], math.inf)

    half = 1.2 * float(np.abs(edges).max())
    return from_scipy(law, energy, te.Box(-half, half, 1) if rng.random() < 0.5 else te.Reals(1), 0.0)


def walled(rng):
    """A normal in a box, its scale from 1/2000 to 10 of the box."""
    s = between(rng, 1e-3, 20)
    m = rng.uniform(-1, 1)
    normal = lambda x: 0.5 * ops.square((x - m) / s)
    return in_interval(normal, -1.0, 1.0, te.Box(-1, 1, 1), lambda x: normal(x[:, 0]))


# ------------------------------------------------------------------------------- the plane

def rotation(rng, scales):
    """A square root of a covariance with axes of these scales, turned by a random angle."""
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.linalg.cholesky(turn @ np.diag(np.square(scales)) @ turn.T)


def plane(rng, weights, means, scales):
    """A mixture in the plane with turned components; scales (K, 2)."""
    roots = np.stack([rotation(rng, s) for s in scales])
    return mixture(weights, means, roots, te.Reals(2), rng.uniform(-5, 5))


def plane_turned(rng):
    """One to four turned components, axes up to 1 : 100."""
    k = rng.integers(1, 5)
    scales = np.exp(rng.uniform(-1, 1, (k, 1))) * np.stack([np.ones(k), 10 ** rng.uniform(-2, 0, k)], axis=1)
    return plane(rng, rng.dirichlet(3 * np.ones(k)), rng.uniform(-4, 4, (k, 2)), scales)


def plane_narrow(rng):
    """A narrow component beside a broad one: 5 to 100 times narrower, up to 6 standard deviations away."""
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0, 6)
    means = np.array([[0.0, 0.0], [distance * math.cos(angle), distance * math.sin(angle)]])
    weight = rng.uniform(0.2, 0.8)
    scales, size = np.stack([np.ones(2), np.ones(2) / between(rng, 5, 100)]), between(rng, 0.1, 10)
    return plane(rng, np.array([weight, 1 - weight]), size * means, size * scales)


def plane_many(rng):
    """A kernel density estimate of 20 to 40 kernels."""
    k = rng.integers(20, 40)
    return plane(rng, np.full(k, 1 / k), rng.normal(0, 1, (k, 2)), np.full((k, 2), between(rng, 0.03, 0.5)))


def plane_far(rng):
    """One or two components far from the origin."""
    k, scale = rng.integers(1, 3), between(rng, 0.1, 10)
    centre = rng.normal(0, 1, 2) * between(rng, 10, 1e4)
    return plane(rng, rng.dirichlet(3 * np.ones(k)), centre + scale * rng.uniform(-8, 8, (k, 2)), np.full((k, 2), scale))


def plane_heavy(rng):
    """A turned Student's t with 4 to 12 degrees of freedom."""
    nu, root, m = rng.uniform(4, 12), rotation(rng, np.exp(rng.uniform(-1, 1, 2))), rng.uniform(-5, 5, 2)
    inverse = np.linalg.inv(root)
    energy = lambda x: 0.5 * (nu + 2) * ops.log(1 + ops.sum(ops.square((x - m) @ inverse.T), axis=1) / nu)
    log_z = math.log(2 * math.pi * abs(np.linalg.det(root)))
    sd = np.sqrt(np.square(root).sum(axis=1))
    return Known(plain(energy, te.Reals(2)), log_z, m, sd**2 * nu / (nu - 2), lambda t: float(stats.t.cdf(t, nu, m[0], sd[0])))


def plane_walled(rng):
    """A product of truncated normals: in a box, or cut off by +inf on the plane."""
    m, s = rng.uniform(-1, 1, 2), 10 ** rng.uniform(-1.5, 1, 2)
    law = stats.truncnorm((-1 - m) / s, (1 - m) / s, m, s)
    log_z = float(np.log(stats.norm.cdf(1, m, s) - stats.norm.cdf(-1, m, s)).sum() + np.log(s * math.sqrt(2 * math.pi)).sum())
    energy = lambda x: 0.5 * ops.sum(ops.square((x - m) / s), axis=1)
    below = lambda t: float(stats.truncnorm.cdf(t, (-1 - m[0]) / s[0], (1 - m[0]) / s[0], m[0], s[0]))
    return Known(plain(energy, te.Box(-1, 1, 2)), log_z, *law.stats(moments="mv"), below)


def plane_stepped(rng):
    """A product of two histograms in a box."""
    edges = [np.concatenate([[-1], np.sort(rng.uniform(-1, 1, k - 1)), [1]]) for k in rng.integers(2, 6, 2)]
    masses = [rng.dirichlet(3 * np.ones(len(e) - 1)) for e in edges]
    levels = [np.log(mass / np.diff(e)) for mass, e in zip(masses, edges, strict=True)]
    energy = lambda x: -sum(level[np.searchsorted(e[1:-1], ops.stop_gradient(x)[:, a], side="right")]
                            for a, (level, e) in enumerate(zip(levels, edges, strict=True)))
    laws = [stats.rv_histogram((mass, e), density=False) for mass, e in zip(masses, edges, strict=True)]
    mean, variance = np.array([law.stats(moments="mv") for law in laws]).T
    below = lambda t: float(laws[0].cdf(t))
    return Known(plain(energy, te.Box(-1, 1, 2)), 0.0, mean, variance, below, rtol=1e-2)


# -------------------------------------------------- simple densities, for many thresholds

def of_scipy(energy, space, law):
    """A density of an energy on the line that SciPy knows."""
    mean, variance = (np.array([float(m)]) for m in law.stats(moments="mv"))
    return Known(plain(energy, space), float(-law.logpdf(0.0) - energy(np.zeros((1, 1)))[0]), mean, variance, law.cdf)


def laplace(rng):
    """e^{-|x|}/2."""
    return of_scipy(lambda x: ops.abs(x[:, 0]), te.Reals(1), stats.laplace())


def normal(rng):
    """A standard normal density."""
    return of_scipy(lambda x: 0.5 * x[:, 0] ** 2, te.Reals(1), stats.norm())


def boxed(rng):
    """The same between random walls, one on each side of 0."""
    low, high = -rng.uniform(0.5, 3), rng.uniform(0.5, 3)
    return of_scipy(lambda x: 0.5 * x[:, 0] ** 2, te.Box(low, high, 1), stats.truncnorm(low, high))


SIMPLE = (laplace, normal, boxed)
LINES = (few, many, far, heavy, truncated, stepped, walled)
PLANES = (plane_turned, plane_narrow, plane_many, plane_far, plane_heavy, plane_walled, plane_stepped)


# ----------------------------------------------------------------------------- the verdict

def threshold(known, rng):
    """A threshold between the 1st and the 99th percent of the first coordinate, more or less."""
    return float(known.mean[0] + math.sqrt(known.variance[0]) * rng.uniform(-2, 2))


def judge(known, rng):
    """{name: (found, true, error)} of the four numbers, or what refused them."""
    p, t, rtol = known.density, threshold(known, rng), known.rtol
    truth = {"log Z": known.log_z, "mean": known.mean[0], "variance": known.variance[0], "below": known.below(t)}
    ask = {"log Z": lambda: te.log_partition(p, rtol), "mean": lambda: te.expectation(p, lambda x: x[:, 0], rtol),
           "variance": lambda: te.expectation(p, lambda x: (x[:, 0] - known.mean[0]) ** 2, rtol),
           "below": lambda: te.expectation(p, lambda x: x[:, 0] < t, rtol)}
    found = {}
    for name, question in ask.items():
        try:
            answer = question()
        except REFUSED as error:
            found[name] = error
            continue
        far = abs(known.mean[0]) / math.sqrt(known.variance[0])  # standard deviations from the origin: of x's own rounding
        found[name] = (float(answer), truth[name], answer.error + 2e-16 * (1 + far) * (1 + abs(truth[name])))
    return found


def wrong(verdict):
    """The names of the numbers beyond their errors."""
    answers = {name: found for name, found in verdict.items() if isinstance(found, tuple)}
    return [name for name, (value, truth, error) in answers.items() if not abs(value - truth) <= error]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--planes", type=int, default=200)
    parser.add_argument("--thresholds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="families, separated by commas")
    parser.add_argument("--verbose", action="store_true", help="print what is wrong or refused")
    a = parser.parse_args()
    rows, bad = defaultdict(list), 0
    for families, count in ((LINES, a.lines), (PLANES, a.planes), (SIMPLE, a.thresholds)):
        for i in range(count):
            family = families[i % len(families)]
            if a.only and family.__name__ not in a.only.split(","):
                continue
            rng = np.random.default_rng([a.seed, i])
            known = family(rng)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                verdict = judge(known, rng)
            rows[family.__name__].append(verdict)
            if a.verbose:
                said = {name: found for name, found in verdict.items() if name in wrong(verdict) or isinstance(found, Exception)}
                print(*(f"{family.__name__} {i}, {name}: {found}\n" for name, found in said.items()), end="", flush=True)
    print(f"{'family':<15}{'densities':>10}{'wrong':>7}{'refused':>9}   median error of log Z, mean, variance, probability")
    for name, verdicts in rows.items():
        beyond = sum(len(wrong(v)) for v in verdicts)
        refused = sum(isinstance(found, Exception) for v in verdicts for found in v.values())
        errors = [[v[q][2] for v in verdicts if isinstance(v[q], tuple)] for q in verdicts[0]]
        medians = "  ".join(f"{np.median(e):.0e}" if e else "-" for e in errors)
        print(f"{name:<15}{len(verdicts):>10}{beyond:>7}{refused:>9}   {medians}")
        bad += beyond
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
