"""Divergences: closed forms, supports that do not match, and errors that bound the error."""

import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from tinyebm.diagnostics import divergences
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.normalised import normalised
from tinyebm.exact.sums import mean_over


def normal(mean, covariance, space=None):
    theta = {"mean": np.array(mean, float), "precision": np.linalg.inv(np.array(covariance, float))}
    return te.Density(te.GaussianEnergy(len(mean)), theta, space or te.Reals(len(mean)))


def uniform(low, high, dim=1):
    return te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Box(low, high, dim))


def cells(*mass):
    with np.errstate(divide="ignore"):
        return te.Density(te.TabularEnergy(len(mass)), {"energy": 7.0 - np.log(mass)}, te.Cells(len(mass)))


def kl_of_normals(m, S, n, T):
    """½ [tr T⁻¹S - d + (n - m)ᵀ T⁻¹ (n - m) + log det T / det S]."""
    m, S, n, T = (np.array(a, float) for a in (m, S, n, T))
    P = np.linalg.inv(T)
    return 0.5 * (np.trace(P @ S) - len(m) + (n - m) @ P @ (n - m) + math.log(np.linalg.det(T) / np.linalg.det(S)))


NORMALS = [(([0.3], [[0.25]]), ([-1.0], [[9.0]])), (([-1.0], [[9.0]]), ([0.3], [[0.25]])),
           (([0.0], [[1.0]]), ([30.0], [[1.0]])), (([0, 1], [[1, 0.5], [0.5, 2]]), ([1, -1], [[2, -0.3], [-0.3, 0.6]])),
           (([0, 0, 0], np.eye(3)), ([1, 0, -0.5], 1.5 * np.eye(3)))]  # fmt: skip


def check(estimate, exact, atol):
    """Near enough, and not farther than its own error."""
    assert abs(estimate - exact) <= atol
    assert abs(estimate - exact) <= estimate.error


# ----------------------------------------------------------------------------------------- KL

@pytest.mark.parametrize("p, q", NORMALS)
def test_kl_of_normals(p, q):
    """Catches KL(q‖p), a log Z left out, and nats taken for bits."""
    check(te.kl(normal(*p), normal(*q)), kl_of_normals(*p, *q), atol=1e-10)


def test_kl_is_blind_to_constants_in_the_energy():
    """Catches energies taken for -log p: both tables below are 7 nats off."""
    exact = 0.5 * math.log(5 / 2) + 0.3 * math.log(3 / 2) + 0.2 * math.log(1 / 3)

    check(te.kl(cells(0.5, 0.3, 0.2), cells(0.2, 0.2, 0.6)), exact, atol=1e-14)


def test_kl_on_other_spaces():
    """Uniform in uniform; uniform against the normal law; a base measure of N(0, 4) and no energy against N(0, 1)."""
    check(te.kl(uniform(0, 1), uniform(-1, 3)), math.log(4), atol=1e-13)
    check(te.kl(uniform(-1, 1, 2), normal([0, 0], np.eye(2))), math.log(2 * math.pi) + 1 / 3 - math.log(4), atol=1e-12)
    base = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Reals(1, base_scale=2.0))
    check(te.kl(base, normal([0], [[1]])), kl_of_normals([0], [[4]], [0], [[1]]), atol=1e-11)


@pytest.mark.parametrize("p, q", [(uniform(0, 2), uniform(0, 1)), (uniform(0, 1), uniform(2, 3)),
                                  (normal([0], [[1]]), uniform(-9, 9)), (cells(0.5, 0.5), cells(1.0, 0.0))])  # fmt: skip
def test_kl_is_infinite_where_q_is_missing(p, q):
    """Catches a large finite number, nan, and a warning."""
    assert te.kl(p, q) == math.inf and te.kl(p, q).error == 0


def test_states_that_p_lacks_do_not_count():
    """0 log 0 = 0, even against 0: catches nan."""
    check(te.kl(cells(0.5, 0.5, 0.0), cells(0.5, 0.3, 0.2)), 0.5 * math.log(5 / 3), atol=1e-14)
    check(te.kl(cells(0.5, 0.5, 0.0), cells(0.5, 0.5, 0.0)), 0.0, atol=1e-14)


@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard", "bimodal"])
def test_kl_from_a_target(name):
    """-h(p) - E_p[log q] with a normal q: entropy and second moment of the Target's own grid; and a model fitted to it."""
    target = te.datasets.load(name)
    d = target.space.dim
    x, log_w = target.grid.all()
    log_p = target.log_prob(x)
    second_moment = np.exp(log_p + log_w) @ np.sum(x**2, axis=1)
    exact = -target.entropy + 0.5 * (second_moment / 25 + d * math.log(2 * math.pi * 25))

    assert abs(te.kl(target, normal([0] * d, 25 * np.eye(d))) - exact) < 1e-7


class Kinked:
    """E(x) = 3 |x - 0.3|, that says it is not smooth."""

    smooth = False

    def __call__(self, theta, x):
        return 3 * te.ops.abs(x[:, 0] - 0.3)


QUARTIC = te.Quartic().init(np.random.default_rng(0))
STUDENT = te.Density(lambda theta, x: 1.15 * te.ops.log(1 + x[:, 0] ** 2 / 1.3), {}, te.Reals(1))


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("q, part", [(te.Density(te.Quartic(), QUARTIC, te.Reals(1)), 1), (STUDENT, 2)])
def test_the_error_of_kl_has_all_its_parts(q, part, rtol):
    """How far the sum differs between the grids of p, the error of log Z of p, that of q.

    Catches one of the three left out, or halved: here the last is large for heavy tails.
    """
    p = normal([0.0], [[1.0]])
    zp, zq = quadrature(p, rtol), quadrature(q, rtol)
    ratio = lambda x: te.log_prob(p, x, zp.log_z) - te.log_prob(q, x, zq.log_z)
    means = [mean_over(p, ratio, grid) for grid in (zp.grid, *zp.variants())]
    size = mean_over(p, lambda x: np.abs(ratio(x) - np.mean(means)), zp.grid)
    parts = [np.ptp(means), zp.error * (1 + size), zq.error]
    found = te.kl(p, q, rtol)

    assert found.error == pytest.approx(sum(parts), rel=1e-9)
    assert parts[part] > 1e-4 * found.error


def test_kl_where_q_has_a_kink():
    """In closed form, E_p[3 |x - 0.3|] + log Z_q - h(p).  Catches an error that is none."""
    folded = math.sqrt(2 / math.pi) * math.exp(-0.045) + 0.3 * (1 - 2 * stats.norm.cdf(-0.3))  # E|x - 0.3|
    exact = 3 * folded + math.log(2 / 3) - 0.5 * math.log(2 * math.pi * math.e)
    for rtol in (1e-3, 1e-6, 1e-8):
        found = te.kl(normal([0.0], [[1.0]]), te.Density(Kinked(), {}, te.Reals(1)), rtol)
        assert abs(found - exact) < found.error < 0.1


# ---------------------------------------------------------------------------- total variation

def tv_of_shifted_normals(shift):
    return 2 * stats.norm.cdf(shift / 2) - 1



@pytest.mark.parametrize("shift", [0, 0.1, 1, 2, 5, 10, 40])
@pytest.mark.parametrize("dim", [1, 2])
def test_tv_of_shifted_normals_is_within_its_error(shift, dim):
    """Up to shifts where it is 1 - 1e-16.  Catches an error that is not one."""
    p, q = normal([0] * dim, np.eye(dim)), normal([shift] + [0] * (dim - 1), np.eye(dim))

    check(te.total_variation(p, q), tv_of_shifted_normals(shift), atol=1e-4)


@pytest.mark.parametrize("shift", [0.1, 1, 2, 5])
def test_tv_of_shifted_normals(shift):
    """2 Φ(shift / 2) - 1.  Catches a missing ½: the value doubles."""
    assert abs(te.total_variation(normal([0], [[1]]), normal([shift], [[1]])) - tv_of_shifted_normals(shift)) < 1e-5


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_tv_of_normals_of_different_width(scale):
    """The densities cross at ±c, c² = 2 s² log s / (s² - 1); equal in both directions."""
    c = math.sqrt(2 * math.log(scale) / (1 - scale**-2))
    exact = 2 * abs(stats.norm.cdf(c) - stats.norm.cdf(c / scale))
    one, other = (te.total_variation(normal([0], [[a**2]]), normal([0], [[b**2]])) for a, b in ((1, scale), (scale, 1)))

    check(one, exact, atol=1e-4)
    assert abs(one - other) < 1e-12


@pytest.mark.parametrize("p, q, exact", [
    (uniform(0, 1), uniform(0, 2), 0.5), (uniform(0, 1), uniform(2, 3), 1.0), (uniform(0, 1, 2), uniform(0, 2, 2), 0.75),
    (cells(0.5, 0.3, 0.2), cells(0.2, 0.2, 0.6), 0.4), (cells(1.0, 0.0), cells(0.0, 1.0), 1.0),
    (cells(1.0, 0.0), cells(1.0, 0.0), 0.0),
])  # fmt: skip
def test_tv_where_supports_differ(p, q, exact):
    """Disjoint, nested, on states: exact.  Catches nan from -inf minus -inf."""
    check(te.total_variation(p, q), exact, atol=1e-13)


def test_tv_from_a_target():
    """Between 0 and 1, 0 to itself, and by Pinsker's inequality at most √(KL / 2)."""
    target, q = te.datasets.load("eight_gaussians"), normal([0, 0], 4 * np.eye(2))
    distance = te.total_variation(target, q)

    check(te.total_variation(target, target), 0.0, atol=1e-7)
    assert 0.5 < distance <= math.sqrt(te.kl(target, q) / 2)
    x, log_w = te.Box(-14, 14, 2).atoms(448)  # by brute force
    brute = 0.5 * np.exp(log_w) @ np.abs(np.exp(target.log_prob(x)) - np.exp(te.log_prob(q, x)))
    assert abs(distance - brute) < distance.error + 1e-3


def test_a_population_with_edges():
    """KL(checkerboard ‖ N(0, 5 I)) = -log 32 + log 10π + E|x|²/10, and E x² = 5 + 1/3: catches a law of too few points."""
    found = te.kl(te.datasets.load("checkerboard"), normal([0, 0], 5 * np.eye(2)))

    assert found == pytest.approx(-math.log(32) + math.log(10 * math.pi) + (5 + 1 / 3) / 5, abs=1e-10)


@pytest.mark.parametrize("variance", [1e-4, 0.3, 1.0, 7.0, 1e4])
def test_tv_to_itself_is_not_negative(variance):
    """Zero to rounding, from above.  Catches an overlap of 1 + 1e-9 taken at its word."""
    p = normal([0.2], [[variance]])
    for other in (p, normal([0.2], [[variance * (1 + 1e-12)]])):
        assert 0 <= te.total_variation(p, other) < 1e-6


# ------------------------------------------------------------------------- Fisher divergence

def fisher_of_normals(m, S, n, T):
    """E_p |-S⁻¹(x - m) + T⁻¹(x - n)|² = tr (T⁻¹ - S⁻¹)² S + |T⁻¹(m - n)|²."""
    m, S, n, T = (np.array(a, float) for a in (m, S, n, T))
    gap = np.linalg.inv(T) - np.linalg.inv(S)
    return np.trace(gap @ S @ gap.T) + np.sum(np.linalg.solve(T, m - n) ** 2)


@pytest.mark.parametrize("p, q", NORMALS)
def test_fisher_divergence_of_normals(p, q):
    """Catches a factor ½, an expectation under q, a sum over coordinates lost, and squares of a sum."""
    exact = fisher_of_normals(*p, *q)
    found = te.fisher_divergence(normal(*p), normal(*q))

    assert abs(found - exact) <= 1e-8 * exact + found.error and found.error < 1e-6 * (1 + exact)


def test_fisher_divergence_is_blind_to_z():
    """Zero between densities of other Z, with a base measure against without: catches energies' slopes taken for scores."""
    base = te.Density(lambda theta, x: 0.0 * x[:, 0] - 3.0, {}, te.Reals(1, base_scale=2.0))
    shifted = te.Density(lambda theta, x: te.ops.sum(x * x, axis=1) / 8 + 5.0, {}, te.Reals(1))

    assert 0 <= te.fisher_divergence(base, shifted) < 1e-25 and 0 <= te.fisher_divergence(shifted, base) < 1e-25
    exact = fisher_of_normals([0], [[4]], [0.5], [[1]])
    assert te.fisher_divergence(base, normal([0.5], [[1.0]])) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("name", ["bimodal", "eight_gaussians"])
def test_fisher_divergence_is_twice_the_gap_of_score_matching(name):
    """J(q) - J(p) = ½ F(p, q), J(q) = E_p[½ |s_q|² + tr ∇s_q] from the loss of te.ScoreMatching on atoms of p."""
    p = te.datasets.load(name)
    x, mass = p.law
    q = normal([0.3] * p.space.dim, 2 * np.eye(p.space.dim))
    chosen = mass > 1e-13
    loss = lambda q: np.array([te.ScoreMatching().gradient(q, row[None], None).metrics["loss"] for row in x[chosen]])
    if p.space.dim == 1:
        gap = mass[chosen] @ (loss(q) - loss(te.Density(p.energy, p.theta, p.space)))
    else:  # closed form of the loss of a normal; of p by te.score and te.laplacian
        s = te.score(p, x)
        gap = mass @ (0.5 * ((x - 0.3) ** 2).sum(axis=1) / 4 - 1.0 - 0.5 * (s * s).sum(axis=1) - te.laplacian(p, x))

    assert te.fisher_divergence(p, q) == pytest.approx(2 * gap, rel=1e-6)


def test_fisher_divergence_hardly_sees_the_masses_of_modes():
    """Two wells of equal or of very unequal mass: KL is large, F tiny.  Catches densities for scores."""
    mixture = lambda w: te.Density(te.GaussianMixtureEnergy(2, 1), {"logits": np.log([w, 1 - w]), "mean": np.array([[-6.0], [6.0]]),
                                                                    "log_scale": np.zeros(2)}, te.Reals(1))  # fmt: skip
    assert te.fisher_divergence(mixture(0.5), mixture(0.05)) < 1e-5 < 0.5 < te.kl(mixture(0.5), mixture(0.05))


def test_states_have_no_slopes():
    bits = te.Density(te.BoltzmannMachine(2), {"W": np.zeros(1), "b": np.zeros(2)}, te.Bits(2))
    for p, q in ((bits, bits), (cells(0.5, 0.5), normal([0], [[1]])), (normal([0], [[1]]), cells(0.5, 0.5))):
        with pytest.raises(ValueError, match="compares slopes, and Bits.* has none|a sum and an integral are not compared"):
            te.fisher_divergence(p, q)


@pytest.mark.parametrize("divergence", [te.kl, te.total_variation])
def test_a_sum_and_an_integral_are_not_compared(divergence):
    """Catches probabilities of states set beside a density's values at the same numbers."""
    for p, q in ((cells(0.5, 0.5), normal([0], [[1]])), (normal([0], [[1]]), cells(0.5, 0.5))):
        with pytest.raises(ValueError, match="a sum and an integral are not compared"):
            divergence(p, q)


@pytest.mark.parametrize("q", [
    te.Density(lambda theta, x: 0.5 * x[:, 0] ** 2, {}, te.Box(-1, 1, 1)),
    te.Density(lambda theta, x: te.ops.where(x[:, 0] > 1, np.inf, 0.5 * te.ops.square(x[:, 0])), {}, te.Reals(1))],
    ids=["outside its box", "beyond a wall"])  # fmt: skip
def test_the_fisher_divergence_is_infinite_where_q_is_zero(q):
    """q has the slopes of p wherever it is positive.  Catches places where q is 0 left out: 0 for inf."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))

    assert te.fisher_divergence(p, q) == np.inf
    assert te.fisher_divergence(p, p) == 0


def test_the_overlap_is_scanned_for_the_narrower_density(monkeypatch):
    """Both grids are known.  Catches peaks between the few nodes of the wide density."""
    seen, scanned = [], divergences.summits
    monkeypatch.setattr(divergences, "summits", lambda *box, most: seen.append(most) or scanned(*box, most=most))
    quartic = lambda b: te.Density(lambda theta, x: theta["b"] * x[:, 0] ** 4, {"b": np.array(b)}, te.Box(-4, 4, 1))
    known = [normalised(quartic(b), 1e-5, np.zeros((1, 1))) for b in (0.01, 1e7)]
    counts = [p.quadrature.grid.size for p in known]
    te.total_variation(*known)
    te.total_variation(*known[::-1])
    assert counts[0] < counts[1] and seen == [counts[1]] * 2
