"""log Z, entropies and moments: the oracle's closed forms, and whether the error is one for random parameters."""

import math
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from scipy import special

from examples import plain
from tinyebm import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.density import Density
from tinyebm.energies.analytic import (
    Banana,
    DoubleWell,
    Funnel,
    GaussianEnergy,
    GaussianMixtureEnergy,
    Quartic,
    Ring,
)
from tinyebm.energies.mlp import MLP
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.exact.normalised import entropy, expectation
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import log_sum
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Cells
from tinyebm.spaces.grids import Grid, gauss_legendre, trapezoid

scalars = lambda **values: {name: np.array(value * 1.0) for name, value in values.items()}
power = lambda k: lambda x: x[:, 0] ** k
log_cosh = lambda x: ops.logsumexp(x * np.array([1.0, -1.0]), axis=1) - math.log(2)


def agrees(p, log_z, entropy_is=None, **moments):
    """log Z to 1e-10 and inside its own error; entropy and moments E[x^k] to the accuracy asked for, likewise."""
    asked = [(log_partition(p), log_z, 1e-10)]
    if entropy_is is not None:
        asked.append((entropy(p), entropy_is, 1e-8))
    asked += [(expectation(p, power(int(k[1:]))), value, 1e-8) for k, value in moments.items()]
    for found, known, within in asked:
        assert abs(found - known) < within
        assert abs(found - known) <= found.error + 2e-15 * abs(known) and found.error < 1e-7 * (1 + abs(known))


# ----------------------------------------------------------------- the oracle's closed forms

def test_gaussians(oracle):
    """Catches a lost (2π)^{d/2}, a determinant's sign, a covariance transposed."""
    line, plane, product = (oracle(name) for name in ("gauss_1d", "gauss_2d", "gaussian_product_of_experts"))
    m, s2 = line["parameters"]["m"], line["parameters"]["s2"]
    known = line["expected"]
    agrees(plain(lambda x: 0.5 * (x[:, 0] - m) ** 2 / s2, Reals(1)), known["logZ"], known["entropy"], x1=m, x2=m**2 + s2)

    p = Density(GaussianEnergy(2), {"mean": np.zeros(2), "precision": np.array(plane["parameters"]["P"])}, Reals(2))
    agrees(p, plane["expected"]["logZ"], plane["expected"]["entropy"])
    cov = expectation(p, lambda x: x[:, :, None] * x[:, None, :])
    np.testing.assert_allclose(cov, plane["expected"]["cov"], atol=1e-9)

    a = product["parameters"]
    two = lambda x: (x[:, 0] - a["m1"]) ** 2 / (2 * a["s1"]) + (x[:, 0] - a["m2"]) ** 2 / (2 * a["s2"])
    agrees(plain(two, Reals(1)), product["expected"]["logZ"], x1=product["expected"]["mean"])


@pytest.mark.parametrize("name", ["quartic_bessel_k", "double_well_bessel_i"])
def test_quartics(oracle, name):
    """Catches one well of two, and moments of another density."""
    for known in oracle(name)["expected"]:
        p = Density(Quartic(), scalars(a=known["a"], b=known["b"]), Reals(1))
        agrees(p, known["logZ"], known.get("entropy"), x2=known["x2"], x4=known["x4"], x1=0.0)


def test_lines(oracle):
    """Pure quartic, sech, logistic, Laplace: catches a window that a flat top, a slow tail or a tip deceives."""
    case, known = oracle("quartic_pure_gamma"), oracle("sech_logistic")["expected"]
    b = oracle("sech_logistic")["parameters"]["b"]
    pure = Density(Quartic(), scalars(a=0, b=case["parameters"]["b"]), Reals(1))
    agrees(pure, case["expected"]["logZ"], x2=case["expected"]["x2"], x4=case["expected"]["x4"])
    agrees(plain(log_cosh, Reals(1)), math.log(known["Z_sech"]), x2=known["var_sech"])
    agrees(plain(lambda x: 2 * log_cosh(x), Reals(1)), math.log(known["Z_sech2"]), 2.0 - math.log(2), x2=known["var_sech2"])
    agrees(plain(lambda x: ops.abs(x[:, 0]) / b, Reals(1)), math.log(known["Z_laplace"]), 1 + math.log(2 * b), x2=2 * b**2)


def test_boxes(oracle):
    """Von Mises, flat and linear energies on boxes: catches weights of the wrong interval."""
    for known in oracle("von_mises")["expected"]:
        p = plain(lambda x, k=known["kappa"]: -k * ops.cos(x[:, 0] - 1), Box(0, 2 * math.pi, 1))
        agrees(p, known["logZ"], known["entropy"])
        assert abs(expectation(p, lambda x: np.cos(x[:, 0] - 1)) - known["mean_resultant"]) < 1e-9
    case, square = oracle("uniform_box_flat_energy"), Box(-3, 3, 2)
    agrees(plain(lambda x: 0.0 * x[:, 0], square), case["expected"]["logZ_flat"], case["expected"]["logZ_flat"], x2=3.0)
    c = np.array(case["parameters"]["c"])
    agrees(plain(lambda x: x @ c, square), case["expected"]["logZ_linear"], x1=2 - 3 / math.tanh(1.5))


def test_planes(oracle):
    """Rings and a banana.  Catches a peak that is a circle taken for a point, and a ridge outside the window."""
    for known in oracle("ring_2d")["expected"]:
        agrees(Density(Ring(), scalars(radius=known["R"], scale=known["s"]), Reals(2)), known["logZ"], known["entropy"])
    case = oracle("banana_2d")
    p = Density(Banana(), scalars(**case["parameters"]), Reals(2))
    agrees(p, case["expected"]["logZ"], case["expected"]["entropy"], x1=0.0, x2=case["parameters"]["s1"])
    assert abs(expectation(p, lambda x: x[:, 1] ** 2) - case["expected"]["var_y"]) < 1e-8


@pytest.mark.parametrize("d", [1, 2])
def test_funnels(oracle, d):
    """Scales from e^-13 to e^13 in one density; plain callables too.  Catches a grid of one step for all of it."""
    known = oracle("funnel")["expected"]
    without = lambda x: x[:, 0] ** 2 / 18 + 0.5 * ops.sum(x[:, 1:] * x[:, 1:], axis=1) * ops.exp(-x[:, 0])
    agrees(Density(Funnel(d + 1), scalars(scale=3), Reals(d + 1)), known[f"d{d}"])
    agrees(plain(without, Reals(d + 1)), known[f"d{d}_without"])
    if d == 1:
        agrees(plain(lambda x: without(x) + 0.5 * x[:, 0], Reals(2)), known["d1"])


def test_mixture(oracle):
    """Entropy and Fisher information.  Catches a narrow component that is missed, as in Z = 0.7."""
    case = oracle("mixture_1d")
    law, known = case["parameters"], case["expected"]
    theta = {"logits": np.log(law["w"]), "mean": np.array(law["m"])[:, None], "log_scale": np.log(law["s"]) / 2}
    agrees(Density(GaussianMixtureEnergy(2, 1), theta, Reals(1)), 0.0, known["entropy"], x1=0.3 * -2 + 0.7 * 1.5)


# ---------------------------------------------------- is the error one? random parameters

def off(p, exact, rtol=1e-8):
    """(true error, reported error) of log Z."""
    found = log_partition(p, rtol)
    return abs(found - exact), found.error


def random_closed_form(kind, rng):
    """A density of a random scale in 1e-2 ... 1e2 and shift up to 50, and its log Z."""
    s, m = 10 ** rng.uniform(-2, 2), rng.uniform(-50, 50)
    if kind == "gaussian":  # correlated, axes up to 1 : 8
        d = rng.integers(1, 4)
        Q, scales = np.linalg.qr(rng.standard_normal((d, d)))[0], s * 8 ** rng.uniform(0, 1, d)
        P = (Q / scales**2) @ Q.T
        theta = {"mean": rng.uniform(-50, 50, d), "precision": (P + P.T) / 2}
        return Density(GaussianEnergy(d), theta, Reals(d)), np.log(scales * math.sqrt(2 * math.pi)).sum()
    if kind == "quartic":
        a, b = rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, 2)
        u = a * a / (8 * b)
        bessel = special.kve(0.25, u) / 2 * math.sqrt(2) if a > 0 else \
            math.pi / 2 * (special.ive(-0.25, u) + special.ive(0.25, u)) * math.exp(2 * u)
        return Density(Quartic(), scalars(a=a, b=b), Reals(1)), math.log(math.sqrt(abs(a) / (2 * b)) * bessel)
    if kind == "ring":
        R = s * rng.uniform(0.2, 8)
        z = s * s * math.exp(-((R / s) ** 2) / 2) + R * s * math.sqrt(math.pi / 2) * (1 + math.erf(R / s / math.sqrt(2)))
        return Density(Ring(), scalars(radius=R, scale=s), Reals(2)), math.log(2 * math.pi * z)
    z = lambda x: (x[:, 0] - m) / s
    return {"logistic": (plain(lambda x: 2 * ops.softplus(z(x)) - z(x), Reals(1)), math.log(s)),
            "laplace": (plain(lambda x: ops.abs(z(x)), Reals(1)), math.log(2 * s)),
            "student": (plain(lambda x: 2 * ops.log(1 + z(x) ** 2), Reals(1)), math.log(s * math.pi / 2))}[kind]


@pytest.mark.parametrize("kind", ["gaussian", "quartic", "ring", "logistic", "student", "laplace"])
def test_the_error_bounds_the_truth(kind):
    """Catches an error that is the change alone, a tail left out, and peaks that are missed far from the origin."""
    for seed in range(12 if kind == "ring" else 40):
        true, reported = off(*random_closed_form(kind, np.random.default_rng(seed)))
        assert true <= reported + 1e-12, seed
        assert reported <= 1e-8


def reference(p):
    """log Z on a far finer and wider grid."""
    if p.space.bounded:
        axis = gauss_legendre({1: 2000, 2: 320}[p.space.dim], p.space.low, p.space.high)
    else:
        reach = 20 if p.energy.activation == "tanh" else 40
        axis = trapezoid({1: 8001, 2: 751}[p.space.dim], -reach, reach)
    return log_sum(p, Grid((axis,) * p.space.dim))


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "silu", "softplus"])
def test_the_error_bounds_the_truth_for_networks(activation, dim):
    """At least 99 % of random networks; here all.  Catches a grid accepted when two coarse ones agree by chance."""
    wrong = []
    for seed in range({1: 60, 2: 10}[dim]):
        rng = np.random.default_rng(seed)
        space = (Reals(dim), Box(-3, 3, dim))[seed % 2]
        net = MLP((dim, 16, 16, 1), activation, confinement=0.0 if space.bounded else 0.5)
        theta = [{"W": 1.5 * layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
        p = Density(net, theta, space)
        true, reported = off(p, reference(p))
        wrong.append(true > reported + 1e-12)
        assert reported <= 1e-8
    assert np.mean(wrong) <= 0.01


@pytest.mark.parametrize("space", [Reals(1), Box(-2, 3, 1), Box(-30, 40, 1)], ids=str)
@pytest.mark.parametrize("barrier", [2e2, 2e3, 2e4, 2e5, 2e6, 2e7])
def test_both_wells_however_deep(space, barrier):
    """Bessel functions, for wells down to a ten thousandth of what lies between.

    Catches one of two equal wells that is never seen: boxes split around the one that a first node fell into, or a grid that is
    fine at one peak alone.
    """
    log_z = math.log(math.pi / 2 * (special.ive(-0.25, barrier / 2) + special.ive(0.25, barrier / 2)))
    found = log_partition(Density(DoubleWell(), {"barrier": np.array(barrier)}, space), 1e-6)

    assert abs(found - log_z) <= found.error + 1e-9 and found.error <= 1e-6


@pytest.mark.parametrize(("height", "k"), [(1e4, 30), (1e4, 100), (1e6, 100), (1e5, 300)])
def test_all_of_many_wells(height, k):
    """I_0 in closed form; k + 1 equal peaks, the outer two half of theirs.  Catches a short list of the highest ones."""
    waves = plain(lambda x: height * (1 - ops.cos(2 * math.pi * k * x[:, 0])), Box(0, 1, 1))
    found = log_partition(waves, 1e-5)

    assert abs(found - math.log(special.ive(0, height))) <= 1e-5


@pytest.mark.parametrize(("second", "scales"), [((0.3177, 0.4131), (1e-4, 1e-5)), ((0.99977, 0.9991), (1e-6, 1e-6)),
                                                ((2.0, -1.0), (1e-4, 1e-3))])  # fmt: skip
def test_two_narrow_peaks_in_the_plane(second, scales):
    """Gaussians of half the mass each.  Catches a face of the window that cuts through the wider one, beside a higher peak."""
    theta = {"logits": np.zeros(2), "mean": np.array([[-0.5, -0.4], second]), "log_scale": np.log(scales)}
    found = log_partition(Density(GaussianMixtureEnergy(2, 2), theta, Reals(2)), 1e-4)

    assert abs(found) <= max(found.error, 1e-9)


@pytest.mark.parametrize(("n", "gap"), [(60, 40.0), (100, 30.0), (40, 1000.0)])
def test_more_modes_than_are_looked_for_at_first(n, gap):
    """Equal Gaussians in a row, more than one scan lists: later ones find the rest.  Catches a window around the first ones."""
    theta = {"logits": np.zeros(n), "mean": gap * np.arange(float(n))[:, None], "log_scale": np.zeros(n)}
    assert abs(log_partition(Density(GaussianMixtureEnergy(n, 1), theta, Reals(1)), 1e-6)) <= 1e-6


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("rate", [1e3, 1e6])
def test_peaks_on_walls_and_in_corners(dim, rate):
    """Exponentials towards every upper wall.  Catches summits that are looked for between the walls alone."""
    corner = plain(lambda x: rate * ops.sum(3.0 - x, axis=1), Box(-1, 3, dim))
    assert abs(log_partition(corner, 1e-6) - dim * math.log(-math.expm1(-4 * rate) / rate)) <= 1e-6


@pytest.mark.parametrize("sides", [(1e6, 3.0), (3.0, 1e6)])
def test_steep_on_one_side(sides):
    """Two such peaks, each next to a cliff.  Catches a width that is measured on one side alone."""
    left, right = sides
    lower = lambda x, at: ops.where(x < at, left * (at - x), right * (x - at))
    energy = lambda x: -ops.logsumexp(ops.concatenate([-lower(x, 0.21) , -lower(x, 0.87)], axis=1), axis=1)
    whole = lambda a, b: (1 - math.exp(-left * (a - 0.0))) / left + (1 - math.exp(-right * (b - a))) / right
    log_z = math.log(whole(0.21, 1.0) + whole(0.87, 1.0))
    assert abs(log_partition(plain(energy, Box(0, 1, 1)), 1e-5) - log_z) <= 1e-5


@pytest.mark.parametrize("off", [0.0, 0.25, 0.5, 1.0, 3.0])
def test_a_peak_beside_a_cut(off):
    """One narrow Gaussian whose centre lies some standard deviations off a line at which the box is cut into boxes.

    Catches boxes made small on one side of the line only.
    """
    theta = {"logits": np.zeros(1), "mean": np.array([[0.25 + off * 1e-4, 0.1103]]), "log_scale": np.array([math.log(1e-4)])}
    assert abs(log_partition(Density(GaussianMixtureEnergy(1, 2), theta, Box(-1, 1, 2)), 1e-6)) <= 1e-6


def test_a_narrow_peak_beside_a_wide_one():
    """Half of the mass in a thousandth of the box.  Catches a coarse grid whose sums agree on the wide peak."""
    theta = {"logits": np.zeros(2), "mean": np.array([[0.0], [0.3]]), "log_scale": np.array([0.0, math.log(1e-3)])}
    found = log_partition(Density(GaussianMixtureEnergy(2, 1), theta, Box(-4, 5, 1)), 1e-6)

    assert abs(found - math.log((special.ndtr(5) - special.ndtr(-4) + 1) / 2)) <= 1e-6


@pytest.mark.parametrize("n", [2, 7])
def test_rounding_grows_with_log_z(n):
    """In exact arithmetic: E = c, log Z = log n - c.  Catches an error of 1e-15 on a number of size 1e6 or 1e-3."""
    rng = np.random.default_rng(0)
    for c in (rng.uniform(0.1, 1, 20) * 10 ** rng.uniform(-3, 9, 20)).tolist():
        p = Density(TabularEnergy(n), {"energy": np.full(n, c)}, Cells(n))
        found = log_partition(p)
        with localcontext(Context(prec=50)):
            assert abs(Decimal(float(found)) - (Decimal(n).ln() - Decimal(c))) <= Decimal(found.error)
        assert found.error < 1e-14 * (1 + c)


def test_max_nodes_bounds_a_smooth_grid_too():
    """A rough energy on at most 100 nodes.  Catches 8192 nodes of a product grid before the limit is looked at."""
    seen = []
    p = plain(lambda x: seen.append(len(x)) or 40 * ops.sin(300 * x[:, 0]), Box(0, 1, 1))  # 48 peaks, climbed one by one
    with pytest.raises(QuadratureError, match="with 100 nodes"):
        log_partition(p, 1e-8, max_nodes=100)

    assert max(seen) < 600 and sum(seen) < 20_000


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-8])
def test_kinks_and_jumps_are_not_taken_for_smooth(rtol):
    """100 of each anywhere in a box, and no energy says where: 99 % of the errors hold.  Catches grids that agree by chance."""
    wrong = []
    for at in np.random.default_rng(1).uniform(-0.95, 0.95, 100):
        kink = plain(lambda x, at=at: 5 * ops.abs(x[:, 0] - at), Box(-1, 1, 1))
        jump = plain(lambda x, at=at: ops.where(x[:, 0] > at, 2.0, 0.0 * x[:, 0]), Box(-1, 1, 1))
        exact = ((2 - math.exp(-5 * (1 + at)) - math.exp(-5 * (1 - at))) / 5, (1 + at) + (1 - at) * math.exp(-2))
        for p, z in zip((kink, jump), exact, strict=True):
            true, reported = off(p, math.log(z), rtol)
            wrong.append(true > reported)
            assert reported <= rtol
    assert np.mean(wrong) <= 0.01
