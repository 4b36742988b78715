"""Populations against their samples, independent integrals and the oracle; tables against their source."""

import dataclasses
import math
import pickle
from functools import cache
from importlib import resources

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from tinyebm.datasets.load import NAMES, Data, Target, load
from tinyebm.datasets.toys import TOYS, lattice
from tinyebm.density import exponent, laplacian, score
from tinyebm.spaces.discrete import Bits, Spins

IN_ORACLE = {"two_moons": "moons", "eight_gaussians": "8gaussians", "circles": "circles", "rings": "rings",
             "checkerboard": "checkerboard", "pinwheel": "pinwheel_area", "swissroll": "swissroll",
             "two_spirals": "2spirals"}
WINDOWS = {  # half-width, midpoints per axis
    "two_moons": (5.2, 192), "eight_gaussians": (6.2, 192), "circles": (5.2, 192), "rings": (3.8, 288),
    "checkerboard": (4.0, 96), "pinwheel": (7.8, 432), "swissroll": (4.8, 216), "two_spirals": (4.3, 216),
    "bimodal": (6.2, 480), "double_well": (3.6, 480)}
CELLS = 24  # per axis, for histograms: divides every number of midpoints
N = 20_000

every_toy = pytest.mark.parametrize("name", TOYS)


@cache
def on_midpoints(name):
    """The midpoint rule in plain NumPy: points (m, d), log p and mode labels there, the volume of a cell."""
    reach, count = WINDOWS[name]
    target, h = load(name), 2 * reach / count
    axis = -reach + h * (np.arange(count) + 0.5)
    x = np.stack(np.meshgrid(*[axis] * target.space.dim, indexing="ij"), axis=-1)
    x = x.reshape(-1, target.space.dim)
    joint = np.concatenate([target.log_joint(x[i : i + 500]) for i in range(0, len(x), 500)])
    return x, special.logsumexp(joint, axis=1), joint.argmax(axis=1), h**target.space.dim


@cache
def drawn(name):
    """Samples (N, d) of a fixed seed, and their log p."""
    x = load(name).sample(N, np.random.default_rng(20240917))
    return x, np.concatenate([load(name).log_prob(x[i : i + 500]) for i in range(0, N, 500)])


def expected_log(name):
    """∫ p (log p)^k dx for k = 0, 1, 2 by the midpoint rule."""
    _, log_p, _, cell = on_midpoints(name)
    p, log_p = np.exp(log_p), np.where(np.isfinite(log_p), log_p, 0.0)
    return [float((p * log_p**k).sum() * cell) for k in range(3)]


# ------------------------------------------------------------------------------- densities

@every_toy
def test_densities_are_normalised(name):
    """Catches a log_prob that is off by a constant: a lost Jacobian, 1/modes, or rule weight."""
    assert abs(expected_log(name)[0] - 1) < 1e-8


@every_toy
def test_entropy_is_an_integral_over_another_grid(name):
    """Catches a grid too coarse or too narrow for the promised 1e-8, and a sign."""
    assert abs(load(name).entropy + expected_log(name)[1]) < 1e-8


@pytest.mark.parametrize("name", IN_ORACLE)
def test_moments_are_the_oracles(name, oracle):
    """Catches a wrong radius, noise, shift or orientation: the entropy, mean and covariance."""
    case = oracle("toy2d_entropies")
    known, tolerance = case["expected"][IN_ORACLE[name]], case["tolerance"]
    x, log_p, _, cell = on_midpoints(name)
    p = np.exp(log_p) * cell
    mean = p @ x
    cov = (p[:, None] * x).T @ x - np.outer(mean, mean)
    if name == "checkerboard":  # flat in every cell of the rule, which forgets the cells' own variance
        cov += np.eye(2) * cell / 12
    gaussian = 0.5 * math.log(np.linalg.det(2 * math.pi * math.e * cov))
    assert abs(load(name).entropy - known["entropy"]) < tolerance
    assert np.abs(mean - known["mean"]).max() < tolerance
    assert np.abs(cov - known["cov"]).max() < tolerance
    assert abs(gaussian - known["gaussian_cross_entropy"]) < tolerance


@pytest.mark.parametrize("name", ["eight_gaussians", "two_moons", "swissroll", "two_spirals"])
def test_highest_density_is_the_oracles(name, oracle):
    """Catches noise of the right variance and the wrong shape; the oracle's is the highest on a grid."""
    case = oracle("toy2d_entropies")
    target, (x, log_p, *_) = load(name), on_midpoints(name)
    found = optimize.minimize(lambda x: -target.log_prob(x[None])[0], x[log_p.argmax()],
                              jac=lambda x: -score(target, x[None])[0], options={"gtol": 1e-8})
    above = math.exp(-found.fun) - case["expected"][IN_ORACLE[name]]["max_density"]
    assert -case["tolerance"] < above < 5e-5


@pytest.mark.parametrize(("name", "radii", "sigma"), [("circles", (3, 1.5), 0.24),
                                                      ("rings", (3, 2.25, 1.5, 0.75), 0.08)])
def test_circles_follow_rices_law(name, radii, sigma):
    """Catches too few nodes on a circle, and noise along the radius only."""
    r, phi = np.random.default_rng(0).uniform([[0.0], [0.0]], [[3.5], [6.3]], (2, 500))
    log_i0 = [np.log(special.ive(0, r * R / sigma**2)) - 0.5 * ((r - R) / sigma) ** 2 for R in radii]
    exact = special.logsumexp(log_i0, axis=0) - math.log(2 * math.pi * sigma**2 * len(radii))
    points = np.stack([r * np.cos(phi), r * np.sin(phi)], axis=1)
    assert np.abs(load(name).log_prob(points) - exact).max() < 1e-10


MOONS = [lambda t: (2 * math.cos(t) - 1, 2 * math.sin(t) - 0.2),
         lambda t: (1 - 2 * math.cos(t), 0.8 - 2 * math.sin(t))]
ROLL = [lambda t: (t * math.cos(t) / 5, t * math.sin(t) / 5)]


@pytest.mark.parametrize(("name", "curves", "span"), [("two_moons", MOONS, (0, math.pi)),
                                                      ("swissroll", ROLL, (1.5 * math.pi, 4.5 * math.pi))])
def test_noisy_curves_are_their_adaptive_integrals(name, curves, span):
    """Catches too few nodes along a curve, and a parameter that is not uniform."""
    low, high = span
    near = lambda t, curve, x: math.exp(-math.dist(curve(t), x) ** 2 / 0.08) / (0.08 * math.pi)
    rng = np.random.default_rng(1)
    for x in load(name).sample(40, rng) + 0.6 * rng.standard_normal((40, 2)):  # some far from the curves
        parts = [integrate.quad(near, low, high, (curve, x), points=np.linspace(low, high, 40), limit=500,
                                epsabs=0, epsrel=1e-12)[0] for curve in curves]
        exact = math.log(sum(parts) / (high - low) / len(curves))
        assert load(name).log_prob(x[None])[0] == pytest.approx(exact, abs=1e-10)


def test_two_spirals_is_its_integral():
    """Catches too few nodes in the arms or the box, a wrong side of the box, an arm without its weight."""
    x = load("two_spirals").sample(100, np.random.default_rng(1))
    s = np.linspace(0.0, 3 * math.pi, 20_001)  # distributed as 3π sqrt(V): p(s) = 2s / 9π²
    density = 0.0
    for sign in (1, -1):
        noise = [sign * x[:, [0]] + s * np.cos(s) / 3, sign * x[:, [1]] - s * np.sin(s) / 3]
        away = [np.abs(t - 1 / 12) for t in noise]  # from the middle of the box (0, 1/6)
        along = [6 * (special.ndtr((1 / 12 - t) / 0.1) - special.ndtr((-1 / 12 - t) / 0.1)) for t in away]
        density = density + integrate.simpson(along[0] * along[1] * s / (3 * math.pi) ** 2, x=s)
    assert np.abs(load("two_spirals").log_prob(x) - np.log(density)).max() < 1e-9  # Simpson's error


def test_lines_have_closed_forms():
    """Catches a wrong Z of the double well (Bessel functions, as in the oracle) and wrong weights."""
    x = np.linspace(-3, 3, 41)
    z = math.pi / 2 * math.exp(-1) * (special.iv(-0.25, 1) + special.iv(0.25, 1))  # a = -4, b = 2, times e^-2
    assert np.abs(load("double_well").log_prob(x[:, None]) + 2 * (x**2 - 1) ** 2 + math.log(z)).max() < 1e-12
    p = 0.65 * stats.norm(-1.5, 0.5).pdf(x) + 0.35 * stats.norm(1.5, 0.4).pdf(x)
    assert np.abs(load("bimodal").log_prob(x[:, None]) - np.log(p)).max() < 1e-12


def test_checkerboard_is_flat_on_the_oracles_cells(oracle):
    """Catches the other colour, warnings at log 0, and a label for points that have none."""
    target = load("checkerboard")
    centres = np.array(oracle("toy2d_entropies")["expected"]["checkerboard"]["cells_centers"])
    corners = (centres[:, None] + 0.999 * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])).reshape(-1, 2)
    assert np.all(target.log_prob(corners) == -math.log(32))
    assert target.entropy == pytest.approx(math.log(32), abs=1e-14)
    outside = np.concatenate([centres * [1, -1], [[5.0, 5.0], [-4.5, -3.0]]])
    assert np.all(target.energy({}, outside) == math.inf) and np.all(target.mode(outside) == -1)
    assert len(set(target.mode(centres))) == 8 and not score(target, corners).any()


# ----------------------------------------------------------------------------- derivatives

def slope(f, x, h=1e-4):
    """The derivative of f (n,) by each column of x, (n, d): fourth-order central differences."""
    near = lambda e: 8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))
    return np.stack([near(e) / (12 * h) for e in h * np.eye(x.shape[1])], axis=1)


@pytest.mark.parametrize("name", [name for name in TOYS if name != "checkerboard"])
def test_scores_are_slopes(name):
    """Catches an operation hidden from the tape, which would lose a term of the score or its divergence."""
    target, x = load(name), load(name).sample(40, np.random.default_rng(3))
    assert np.abs(score(target, x) - slope(target.log_prob, x)).max() < 1e-6
    divergence = sum(slope(lambda x, i=i: score(target, x)[:, i], x)[:, i] for i in range(x.shape[1]))
    assert np.abs(laplacian(target, x) - divergence).max() < 1e-4


def test_pinwheel_has_a_score_at_its_centre():
    """Catches the square root's infinite slope at 0 (NaN), and a clamp that flattens the density."""
    target, ring = load("pinwheel"), 1e-7 * np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    centre = score(target, np.zeros((1, 2)))
    assert np.abs(score(target, ring) - centre).max() < 1e-4
    assert np.abs(centre).max() < 1e-10  # five petals balance


# -------------------------------------------------------------------------------- samplers

@every_toy
def test_histogram_of_samples_is_the_density(name):
    """Catches a sampler and a density that disagree on noise, weights, shift, orientation or parameter."""
    (reach, count), dim = WINDOWS[name], load(name).space.dim
    _, log_p, _, cell = on_midpoints(name)
    blocks = (np.exp(log_p) * cell).reshape((CELLS, count // CELLS) * dim)
    n = 5 * N
    expected = n * blocks.sum(axis=tuple(range(1, 2 * dim, 2))).reshape(-1)
    x = load(name).sample(n, np.random.default_rng(20240918))
    counts, _ = np.histogramdd(x, bins=CELLS, range=[(-reach, reach)] * dim)
    counts = counts.reshape(-1)

    many = expected >= 10
    expected = np.append(expected[many], expected[~many].sum())
    counts = np.append(counts[many], n - counts[many].sum())
    expected, counts = expected[expected > 1], counts[expected > 1]
    z = (counts - expected) / np.sqrt(expected * (1 - expected / n))
    assert np.abs(z).max() < 5
    dof = len(expected) - 1
    assert abs(((counts - expected) ** 2 / expected).sum() - dof) < 5 * math.sqrt(2 * dof)


@every_toy
def test_moments_of_samples_are_the_densitys(name):
    """Catches a bias too small for the histogram; the standard errors come from the exact density."""
    points, log_p, _, cell = on_midpoints(name)
    p, x = np.exp(log_p) * cell, drawn(name)[0]
    for f in (lambda x: x[:, 0], lambda x: x[:, -1], lambda x: x[:, 0] ** 2, lambda x: x[:, -1] ** 2,
              lambda x: x[:, 0] * x[:, -1], lambda x: np.cos(3 * x).sum(axis=1)):
        mean = p @ f(points)
        sd = math.sqrt(p @ (f(points) - mean) ** 2)
        assert abs(f(x).mean() - mean) < 5 * sd / math.sqrt(N)


@every_toy
def test_log_loss_of_samples_is_the_entropy(name):
    """Catches a sampler that leaves the density's support or is sharper or wider than it."""
    _, first, second = expected_log(name)
    sd = math.sqrt(max(second - first**2, 0.0))
    assert abs(-drawn(name)[1].mean() - load(name).entropy) <= 5 * sd / math.sqrt(N) + 1e-12


@every_toy
def test_masses_of_modes(name):
    """Catches a label that is not the most probable mode, or not every mode being reached."""
    target, (_, log_p, label, cell) = load(name), on_midpoints(name)
    p = np.exp(log_p) * cell
    mass = np.array([p[label == k].sum() for k in range(target.modes)])
    share = np.bincount(target.mode(drawn(name)[0]), minlength=target.modes) / N
    assert len(share) == target.modes
    assert np.abs(share - mass).max() < 5 * 0.5 / math.sqrt(N) + 1e-3


def test_modes_are_the_nearest():
    """Catches labels that count components in another order than their places, or transposed."""
    x = drawn("eight_gaussians")[0]
    angle = np.round(np.arctan2(x[:, 1], x[:, 0]) / (math.pi / 4)) % 8
    assert np.array_equal(load("eight_gaussians").mode(x), angle)
    radius = np.hypot(*drawn("rings")[0].T)
    nearest = np.abs(radius[:, None] - [3, 2.25, 1.5, 0.75]).argmin(axis=1)
    assert (load("rings").mode(drawn("rings")[0]) != nearest).mean() < 1e-4  # a tie on the grid of decisions
    x = drawn("double_well")[0]
    assert np.array_equal(load("double_well").mode(x), x[:, 0] > 0)


class Rigged:
    """A generator with chosen normals and labels; its vectors of uniforms are 0, its tables random."""

    def __init__(self, normals, labels):
        self.standard_normal, self.integers = lambda size: normals, lambda high, size: labels

    def random(self, size):
        return np.random.default_rng(0).random(size) if np.ndim(size) else np.zeros(size)


def test_pinwheel_samples_have_the_density_of_their_noise():
    """Catches an angle that the sampler and the density do not share: exp(f_1), or a clamp of |f|."""
    z = np.array([[0.3, -1.2], [-1.4, 2.0], [-2.0, -1.0], [2.2, 0.7], [-1 / 0.3 + 2e-4, 1e-3]])  # |f| = 1e-4
    x = load("pinwheel").sample(5, Rigged(z, np.arange(5)))
    log_p = -0.5 * (z**2).sum(axis=1) - math.log(2 * math.pi * (0.3 * 0.1 * 4 * 5))
    assert np.abs(load("pinwheel").log_joint(x).diagonal() - log_p).max() < 1e-12


def test_two_spirals_start_in_a_box():
    """Catches one uniform number shared by both coordinates: at s = 0 the noise box is all there is."""
    sign = np.arange(N)[:, None] % 2
    u = 3 * load("two_spirals").sample(N, Rigged(np.zeros((N, 2)), sign)) * (1 - 2 * sign)
    assert 0 <= u.min() and 0.499 < u.max() <= 0.5
    assert abs(np.corrcoef(u.T)[0, 1]) < 5 / math.sqrt(N)


def test_checkerboard_cells_are_filled():
    """Catches cells drawn a little too small: the chance of an empty border is e^-40."""
    offset = np.mod(drawn("checkerboard")[0], 2.0)
    assert offset.min() < 0.002 and offset.max() > 1.998


class FourMethods:
    """A generator that offers only what CuPy's offers too."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.random, self.uniform, self.integers, self.standard_normal = (
            rng.random, rng.uniform, rng.integers, rng.standard_normal)


@every_toy
def test_samplers_use_only_their_generator(name):
    """Catches the global generator, a method that not every generator has, and a wrong shape or type."""
    a, b, other = (load(name).sample(50, FourMethods(seed)) for seed in (5, 5, 6))
    assert np.array_equal(a, b) and not np.array_equal(a, other)
    assert a.shape == (50, load(name).space.dim) and a.dtype == np.float64
    assert load(name).space.contains(a).all()
    assert load(name).sample(0, FourMethods(0)).shape == (0, a.shape[1])


# ---------------------------------------------------------------------------------- loading

@every_toy
def test_targets_are_densities(name):
    """Catches a Target that functions of a Density refuse, a wrong sign, and a wrong shape let in."""
    target, x = load(name), load(name).sample(7, np.random.default_rng(0))
    assert isinstance(target, Target) and target.name == name and target.theta == {}
    assert np.array_equal(exponent(target, x), target.log_prob(x)) and exponent(target, x).shape == (7,)
    for wrong in (x[0], np.zeros((4, target.space.dim + 1))):
        with pytest.raises(ValueError, match="must have shape"):
            target.log_prob(wrong)


@every_toy
def test_a_name_is_one_population(name):
    """Catches an entropy that is summed anew at every call."""
    assert load(name) is load(name)


@pytest.mark.parametrize("nodes", [9, 10, 11, 12, 13, 14])
def test_mass_error_is_what_is_missing_or_too_much(nodes):
    """On lattices too coarse for the law, whose sums lie on either side of one.  Catches 0, and a negative error."""
    toy = dataclasses.replace(load("bimodal"), grid=lattice(nodes, 6.0, 1))
    x = np.linspace(-6, 6, nodes)
    total = (0.65 * stats.norm(-1.5, 0.5).pdf(x) + 0.35 * stats.norm(1.5, 0.4).pdf(x)).sum() * 12 / (nodes - 1)

    assert toy.mass_error == pytest.approx(abs(total - 1), abs=1e-12) and toy.mass_error > 1e-4


def test_names():
    """Catches a name that cannot be loaded, and an unknown one that is."""
    assert all(load(name).name == name for name in NAMES) and "faithful" in NAMES
    with pytest.raises(ValueError, match=r"did you mean 'two_moons'\?.*two_spirals.*faithful.*\.csv"):
        load("moons")
    with pytest.raises(ValueError, match=r"unknown data set 'xyzzy': The names"):
        load("xyzzy")


def test_faithful():
    """Catches a lost row, swapped columns, ddof = 1, labels of standardised values, a missing source."""
    data, raw = load("faithful"), load("faithful", standardise=False)
    assert isinstance(data, Data) and raw.x.shape == (272, 2) and raw.x.dtype == np.float64
    assert raw.x.mean(axis=0) == pytest.approx([3.487783, 70.897059], abs=1e-6)  # R: colMeans(faithful)
    assert raw.x.std(axis=0, ddof=1) == pytest.approx([1.141371, 13.594974], abs=1e-6)  # sapply(faithful, sd)
    assert np.abs(data.x.mean(axis=0)).max() < 1e-14 and np.abs((data.x**2).mean(axis=0) - 1).max() < 1e-14
    assert np.abs(data.original(data.x) - raw.x).max() < 1e-13 and np.array_equal(raw.original(raw.x), raw.x)
    assert np.array_equal(data.labels, raw.x[:, 0] > 3) and data.labels.sum() == 175
    rows = np.array([[2.95, 50.0], [3.0, 50.0], [3.05, 90.0]])  # nobody lasted so long: a model's draws may
    assert raw.mode(rows).tolist() == data.mode((rows - data.centre) / data.scale).tolist() == [0, 0, 1]
    assert "Azzalini" in data.source and data.licence == "public domain" and len(data.columns) == 2


TABLE = np.array([[0.1, -2e-300], [1 / 3, 5.0], [1e6, math.pi]])


@pytest.mark.parametrize(("text", "columns"), [
    ("{}", ("column 1", "column 2")), ("a, b\n{}", ("a", "b")),
    ('"width, m","b"\r\n{}\r\n', ("width, m", "b")),
    ("\ufeffa,b\n\n{}\n\n", ("a", "b"))])
def test_csv_comes_back(tmp_path, text, columns):
    """Catches a header read as data or data as header, rounding, and a spreadsheet's BOM, quotes, blanks."""
    path = tmp_path / "Table.CSV"
    rows = "\n".join(f"{a!r}, {b!r}" for a, b in TABLE.tolist())
    path.write_bytes(text.format(rows).encode())
    data = load(path, standardise=False)
    assert np.array_equal(data.x, TABLE) and data.columns == columns and data.name == "Table"
    assert data.labels is None and str(path) == data.source


@pytest.mark.parametrize("array", [TABLE, TABLE.T, TABLE.astype(np.float32), np.arange(6).reshape(3, 2),
                                   np.arange(5.0)])
def test_npy_comes_back(tmp_path, array):
    """Catches a one-dimensional array turned into a row, a lost type, and Fortran order."""
    np.save(tmp_path / "x.npy", array)
    data = load(str(tmp_path / "x.npy"), standardise=False)
    assert data.x.dtype == np.float64 and data.x.shape == (len(array), array.size // len(array))
    assert np.array_equal(data.x, array.reshape(data.x.shape)) and len(data.columns) == data.x.shape[1]


@pytest.mark.parametrize(("text", "message"), [
    ("", "no rows"), ("a,b\n", "no rows"), ("\n\n", "no rows"),
    ("a,b\n1,2\n\n3,x\n", r"line 4, column 2: 'x' is not a finite number"),
    ("1,2\n3,nan\n", "line 2, column 2: 'nan'"), ("1,2\n-inf,3\n", "line 2, column 1: '-inf'"),
    ("1,2\n,3\n", "line 2, column 1: ''"),
    ("1,b\n3,4\n", "line 1, column 2: 'b'"), ("nan,inf\n3,4\n", "line 1, column 1"),
    ("1,2\n3\n", r"line 2: 1 entries, but the first has 2"), ("a,b\n1,2\n3,4,5\n", "line 3: 3 entries"),
    ("1|2\n3|4\n", "line 2, column 1: '3[|]4'"),
    ("a,b\n1,0.1\n2,0.1\n3,0.1\n", r"column 2 \(b\).*standard deviation.*standardise=False"),
    ("1e200,1\n-1e200,2\n", "column 1.*standard deviation is inf"), ("1,2\n", "column 1.*constant")])
def test_bad_csv_is_refused(tmp_path, text, message):
    """Catches a bad row dropped or repaired, a first line with a typing error taken for a header, and 0/0."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert "bad" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("array", "message"), [
    (np.array([[1.0, 2.0], [3.0, np.nan]]), "row 2, column 2: nan"), (np.ones((3, 1)), "column 1.*constant"),
    (np.array([1.0, np.inf]), "row 2, column 1: inf"), (np.zeros((2, 2, 2)), "shape"),
    (np.zeros(()), "shape"), (np.zeros((0, 2)), "shape"), (np.array(["a"]), "<U1"),
    (np.array([1j]), "complex")])
def test_bad_npy_is_refused(tmp_path, array, message):
    """Catches NaN, an empty or many-dimensional array, or text let through."""
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "bad.npy")


@pytest.mark.parametrize(("text", "space"), [
    ("0,1\n1,1\n0,0\n", Bits(2)), ("-1,1\n1,1\n", Spins(2)), ("1,0\n0,2\n", None), ("-1,0\n1,1\n", None), ("1,1\n1,1\n", None),
    ("0,0\n0,0\n", None), ("1,0.5\n0,1\n", None)])
def test_bits_and_spins_are_recognised(tmp_path, text, space):
    """And said, and not standardised; unless the caller knows better.  Catches bits in standard deviations."""
    (tmp_path / "t.csv").write_text(text)
    rows = [[float(cell) for cell in line.split(",")] for line in text.split()]
    if space is None:
        data = load(tmp_path / "t.csv", standardise=False, header=False)
        assert data.space is None and data.notes == ()
    else:
        data = load(tmp_path / "t.csv", header=False)
        assert data.space == space and data.x.tolist() == rows == data.original(data.x).tolist()
        assert len(data.notes) == 1 and f"taken for states of {space}, not for real numbers (space, --space)" in data.notes[0]
    real = load(tmp_path / "t.csv", False, "reals", False)
    assert real.space is None and real.x.tolist() == rows and real.notes == ()
    for name, kind in (("bits", Bits), ("spins", Spins)):
        if kind(2).contains(np.array(rows)).all():
            assert load(tmp_path / "t.csv", True, name, False).space == kind(2)
        else:
            with pytest.raises(ValueError, match=r"t: row \d is \[.*\], no state of"):
                load(tmp_path / "t.csv", True, name, False)


def test_spaces_that_cannot_be_said():
    """Catches an option that is ignored."""
    for name, space in (("two_moons", "bits"), ("digit_patches", "reals"), ("faithful", "cells"), ("faithful", Bits(2))):
        with pytest.raises(ValueError, match="space"):
            load(name, space=space)
    with pytest.raises(ValueError, match="faithful: row 1 is .*no state of Bits"):
        load("faithful", space="bits")


def test_standardised_is_the_inverse_of_original():
    """Catches a scale that multiplies twice, and a centre that is left."""
    data, raw = load("faithful"), load("faithful", standardise=False)
    np.testing.assert_array_equal(data.standardised(raw.x), data.x)
    np.testing.assert_allclose(data.original(data.standardised(raw.x + 7)), raw.x + 7, rtol=1e-14)
    assert data.log_scale == pytest.approx(math.log(data.scale[0] * data.scale[1])) and raw.log_scale == 0.0


class Bomb:
    """Raises when unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_unreadable_files_are_refused(tmp_path):
    """Catches a pickle that is opened, and errors of other types than ValueError."""
    np.save(tmp_path / "object.npy", np.array([Bomb()]), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "latin.csv").write_bytes(b"\xe9,\xff\n1,2\n")
    (tmp_path / "folder.csv").mkdir()
    files = ["object.npy", "pickle.npy", "empty.npy", "latin.csv", "folder.csv", "missing.csv", "missing.npy"]
    for name in files:
        with pytest.raises(ValueError, match=f"cannot read .*{name}"):
            load(tmp_path / name)


@pytest.mark.parametrize(("name", "side"), [("binary_digits", 8), ("digit_patches", 4)])
def test_digits(name, side):
    """Against the raw images, pixel by pixel.  Catches another threshold, the wrong middle, columns for rows, lost labels."""
    with np.load(resources.files("tinyebm.datasets") / "data" / "digits8x8.npz") as file:
        images, labels = file["images"], file["labels"]
    data, first = load(name), (8 - side) // 2
    x = [[1.0 if image[first + i, first + j] >= 8 else 0.0 for i in range(side) for j in range(side)] for image in images]

    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.labels, labels)
    assert images.shape == (len(labels), 8, 8) and images.max() == 16 and set(labels) == set(range(10))
    assert data.space == Bits(side**2) and len(data.columns) == side**2 and data.columns[-1] == f"pixel {side**2}"
    assert "10.24432/C50P49" in data.source and data.licence == "CC BY 4.0"
    assert (data.centre, data.scale)[0].tolist() == [0.0] * side**2 and data.scale.tolist() == [1.0] * side**2
