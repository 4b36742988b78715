"""Nothing that carries mass is dropped: narrow peaks, many, far; poles; and what a scan cannot see is said."""

import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from random_densities import LINES, PLANES, judge, lines_mixture, mixture, plain, plane_stepped, wrong
from tinyebm import ops
from tinyebm.density import exponents
from tinyebm.exact.nodes import peaks
from tinyebm.exact.nodes.scans import GAP, WHOLE, Scan, narrowest, nodes_to_see
from tinyebm.exact.nodes.window import find_window


def known(p, log_z, within=1e-7):
    """Whether log Z is what it is, within its own small error."""
    found = te.log_partition(p)
    return abs(found - log_z) <= found.error + 1e-13 and found.error <= within


# ------------------------------------------------------------------------- many, narrow, far

def test_many_narrow_kernels_and_one_apart():
    """Forty equal kernels and one at 5.  Catches a list of peaks that is cut off: log Z = -0.0247, and mean 0 for 0.122."""
    centres = np.append(np.linspace(-1, 1, 40), 5.0)
    p = lines_mixture(np.full(41, 1 / 41), centres, np.full(41, 0.01)).density
    mean = te.expectation(p, lambda x: x[:, 0])

    assert known(p, 0.0) and abs(mean - 5 / 41) <= mean.error < 1e-8
    assert (te.sample(p, 2000, np.random.default_rng(0)) > 4).any()


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-1, 12, 1)])
def test_twelve_narrow_peaks_and_a_kink(space):
    """Gaussians a unit apart times e^{-|x - 5| / 10}, by boxes.  Catches the ninth peak, if boxes are halved beside eight."""
    centres, width, a = np.arange(12.0), 3e-4, 0.1
    log_peaks = lambda theta, x: ops.logsumexp(-0.5 * ops.square((x - centres) / width), axis=1) - a * ops.abs(x[:, 0] - 5)
    part = np.exp(-a * np.abs(centres - 5) + 0.5 * (a * width) ** 2)
    part[5] *= 2 * stats.norm.sf(a * width)  # the kink is at its tip
    log_z = math.log(part.sum() * width * math.sqrt(2 * math.pi))

    assert known(te.Density(lambda theta, x: -log_peaks(theta, x), {}, space), log_z)


@pytest.mark.parametrize("n", [50, 133, 272])
def test_kernel_density_estimates(n):
    """Widths of 0.01.  Catches peaks that are merged or dropped: every second of these was wrong."""
    assert known(lines_mixture(np.full(n, 1 / n), np.random.default_rng(n).normal(0, 1, n), np.full(n, 0.01)).density, 0.0)


@pytest.mark.parametrize("ratio", [50, 70, 100])
@pytest.mark.parametrize("distance", [1.0, 2.3, 6.0])
def test_a_narrow_mode_beside_a_broad_one(ratio, distance):
    """Half of the mass each, up to 100 times narrower.  Catches log Z = -log 2 ± 3e-12: the narrow one hidden."""
    means = np.array([[0.0, 0.0], [0.8 * distance, 0.6 * distance]])
    assert known(mixture(np.array([0.5, 0.5]), means, np.stack([np.eye(2), np.eye(2) / ratio]), te.Reals(2)).density, 0.0)


@pytest.mark.parametrize("at", [[230.0, 0.0, 0.0], [60.0, -40.0, 70.0]])
def test_a_far_mode_in_space(at):
    """Catches a scan that ends before it."""
    means = np.array([[0.0, 0.0, 0.0], at])
    assert known(mixture(np.array([0.5, 0.5]), means, np.stack([np.eye(3), np.eye(3)]), te.Reals(3)).density, 0.0)


@pytest.mark.parametrize("centre", [1e5, -111_111.4, 545_793.0])
@pytest.mark.parametrize("apart", [25.0, 60.0, 100.0, -40.0])
def test_two_modes_far_from_the_origin(centre, apart):
    """Nodes of the wide scan lie thousands apart there.  Catches the narrower or farther mode lost with its mass."""
    for widths in ([1.0, 1.0], [1.0, 0.2], [0.2, 1.0]):
        p = lines_mixture(np.array([0.86, 0.14]), centre + np.array([0.0, apart]), np.array(widths)).density
        assert known(p, 0.0), widths


def test_the_edge_of_what_a_scan_sees():
    """In a window of width W a peak of W / (4 · 16000) is seen, and one forty times narrower may hide.

    Catches a resolution that is stated and does not hold.
    """
    broad = lines_mixture(np.array([1.0]), np.zeros(1), np.ones(1))
    window = find_window(broad.density)
    finest = float(window.high[0] - window.low[0]) / (WHOLE[1] - 1) / GAP
    weights, means = np.array([0.5, 0.5]), np.array([0.0, 1.2345])

    assert known(lines_mixture(weights, means, np.array([1.0, finest])).density, 0.0)
    hidden = [te.log_partition(lines_mixture(weights, means + shift, np.array([1.0, finest / 40])).density)
              for shift in np.linspace(0, 0.001, 5)]
    assert any(abs(z) > z.error for z in hidden)


# ------------------------------------------------------------------- rows of data, and formulas

NEEDLE = 1e-7
HIDDEN = lines_mixture(np.array([0.5, 0.5]), np.array([0.0, 1.2345]), np.array([1.0, NEEDLE])).density


def test_rows_of_data_are_candidates_for_peaks():
    """A needle that no scan sees holds half of the rows.  Catches an NLL of -log 2 too little, and a gradient without it."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (500, 1)), 1.2345 + NEEDLE * rng.normal(0, 1, (500, 1))])

    assert abs(te.log_partition(HIDDEN)) > 0.1  # what is said of scans
    found, seen = te.nll(HIDDEN, rows), te.log_partition(HIDDEN, rows=rows)
    assert abs(seen) <= seen.error < 1e-7
    assert found == pytest.approx(float(np.mean(HIDDEN.energy({}, rows))), abs=1e-7)


def test_a_row_far_above_every_node_is_a_refusal():
    """The needle is too narrow even to be climbed.  Catches a likelihood above what its own density can hold."""
    def energy(theta, x):
        return 0.5 * ops.square(x[:, 0]) - ops.where(ops.stop_gradient(x)[:, 0] == 0.7, 50.0, 0.0)

    with pytest.raises(te.QuadratureError, match=r"the density at the row \[0.7\] of the data is e\^.* times as high"):
        te.nll(te.Density(energy, {}, te.Reals(1)), np.array([[0.1], [0.7]]))


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 40])
def test_mixtures_are_normalised_in_any_dimension(dim):
    """By formula, with its gradient.  Catches a quadrature where none is needed, and a base measure forgotten."""
    energy = te.GaussianMixtureEnergy(3, dim)
    theta = energy.init(np.random.default_rng(dim)) | {"log_scale": np.log([1.0, 1e-6, 100.0])}
    p = te.Density(energy, theta, te.Reals(dim))
    x = np.random.default_rng(0).normal(0, 1, (5, dim))

    assert te.log_partition(p) == 0.0
    assert te.nll(p, x) == pytest.approx(float(energy(theta, x).mean()))
    gradient = te.grad(lambda theta: ops.mean(energy(theta, x)))(theta)
    np.testing.assert_allclose(te.nll_gradient(p, x)["mean"], gradient["mean"], rtol=1e-12, atol=1e-30)


@pytest.mark.parametrize("dim", [1, 3, 6])
def test_gaussians_by_formula(dim):
    """log Z and its gradient, with a mean at 1e12.  Catches the determinant's sign, and "unbounded below"."""
    rng = np.random.default_rng(dim)
    A = rng.normal(0, 1, (dim, dim))
    theta = {"mean": np.full(dim, 1e12), "precision": A @ A.T + np.eye(dim)}
    p = te.Density(te.GaussianEnergy(dim), theta, te.Reals(dim))
    x = theta["mean"] + np.array([[1.0] * dim, [-0.5] * dim])

    assert te.log_partition(p) == pytest.approx(0.5 * (dim * math.log(2 * math.pi) - np.linalg.slogdet(theta["precision"])[1]))
    z = x - theta["mean"]
    np.testing.assert_allclose(te.nll_gradient(p, x)["precision"],
                               0.5 * (z.T @ z / 2 - np.linalg.inv(theta["precision"])), atol=1e-10)


def test_a_formula_checks_the_quadrature():
    """A mixture whose second component is a needle: its means are candidates.  Catches moments without the needle."""
    energy = te.GaussianMixtureEnergy(2, 1)
    theta = {"logits": np.zeros(2), "mean": np.array([[0.0], [1.2345]]), "log_scale": np.log([1.0, NEEDLE])}
    mean = te.expectation(te.Density(energy, theta, te.Reals(1)), lambda x: x[:, 0])

    assert abs(mean - 1.2345 / 2) <= mean.error < 1e-7


# ------------------------------------------------------------------------ how narrow can it be?

@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh"])
@pytest.mark.parametrize("sizes", [(2, 1), (1, 8, 1), (2, 16, 16, 1), (3, 8, 8, 8, 1)])
def test_the_curvature_of_a_network_is_bounded(activation, sizes):
    """By second differences at random points, and not by a factor of 10 000.  Catches a layer or the confinement left out."""
    net = te.MLP(sizes, activation, confinement=0.7, gain=3.0)
    rng = np.random.default_rng(0)
    theta = net.init(rng)
    x, v = rng.normal(0, 1, (20_000, sizes[0])), rng.normal(0, 1, (20_000, sizes[0]))
    h = 1e-3 * v / np.linalg.norm(v, axis=1, keepdims=True)
    bend = (net(theta, x + h) + net(theta, x - h) - 2 * net(theta, x)) / 1e-6

    assert bend.max() <= net.curvature(theta) * (1 + 1e-4) + 1e-4
    assert net.curvature(theta) < 1e4 * bend.max()


def test_scans_of_networks_are_as_fine_as_they_need():
    """Catches a bound that is not used, and one that ReLU, which has kinks, does not have."""
    low, high = np.full(1, -10.0), np.full(1, 10.0)
    for gain in (1.0, 20.0, 1e4):
        net = te.MLP((1, 16, 1), gain=gain)
        p = te.Density(net, net.init(np.random.default_rng(0)), te.Reals(1))
        n, = nodes_to_see(p, low, high, WHOLE[1])
        assert n == WHOLE[1] or 20 / (n - 1) <= GAP * narrowest(p)
    relu = te.MLP((1, 16, 1), "relu")
    assert nodes_to_see(te.Density(relu, relu.init(np.random.default_rng(0)), te.Reals(1)), low, high, WHOLE[1]) == (WHOLE[1],)


def test_bumps_of_a_scan():
    """A peak on a slope, and the end of the slope.  Catches neighbours along one axis only."""
    energy = lambda x: 0.01 * x.sum(axis=1) - 3.0 * (np.abs(x - np.array([2.0, 3.0])).sum(axis=1) < 0.5)
    ticks = np.arange(10.0)
    scan = Scan(plain(energy, te.Reals(2)), te.spaces.grids.Grid(((ticks, 0 * ticks),) * 2))

    assert scan.bumps.tolist() == [[2.0, 3.0], [0.0, 0.0]] and scan.levels == pytest.approx([2.95, 0.0])


# ----------------------------------------------------------------------------------- poles

def gamma_half(x):
    """The energy of a Gamma(1/2) variable: p rises without end towards 0."""
    inside = ops.stop_gradient(x)[:, 0] > 0
    t = ops.where(inside, x[:, 0], 1.0)
    return ops.where(inside, t + 0.5 * ops.log(t), math.inf)


POLES = {
    "Gamma(1/2) on the line": (gamma_half, te.Reals(1), 0.5 * math.log(math.pi)),
    "Gamma(1/2) in a box": (gamma_half, te.Box(0, 50, 1), 0.5 * math.log(math.pi)),
    "1/sqrt|x| inside a box": (lambda x: 0.5 * ops.log(ops.abs(x[:, 0])), te.Box(-1, 1, 1), math.log(4)),
    "1/sqrt|x| off the middle": (lambda x: 0.5 * ops.log(ops.abs(x[:, 0])), te.Box(-1, 2, 1), math.log(2 + 2 * math.sqrt(2))),
    "1/|x| in a square": (lambda x: 0.5 * ops.log(ops.sum(x * x, axis=1)), te.Box(-1, 1, 2),
                          math.log(8 * math.log(1 + math.sqrt(2)))),
}


@pytest.mark.parametrize("name", POLES)
def test_integrable_poles(name):
    """Catches "Z is infinite" where it is not, and a pole that no box may shrink to."""
    energy, space, log_z = POLES[name]
    assert known(plain(energy, space), log_z)


def test_poles_at_both_walls():
    """Beta(1/2, 1/2): beside 1 doubles end 1e-16 away, and with them the accuracy: said, with the remedy that works."""
    p = plain(lambda x: 0.5 * ops.log(x[:, 0] * (1 - x[:, 0])), te.Box(0, 1, 1))
    with pytest.raises(te.QuadratureError, match="a pole there leaves a relative error .* accept a larger rtol"):
        te.log_partition(p, 1e-9)
    found = te.log_partition(p, 1e-6)
    assert abs(found - math.log(math.pi)) <= found.error


@pytest.mark.parametrize("energy, space", [(lambda x: ops.log(x[:, 0]), te.Box(0, 1, 1)),
                                           (lambda x: 1.5 * ops.log(ops.abs(x[:, 0])), te.Box(-1, 1, 1))])
def test_poles_that_have_no_integral(energy, space):
    """Catches a finite Z of 1/x."""
    with pytest.raises(te.QuadratureError, match="log p rises without end towards x .* Z may be infinite"):
        te.log_partition(plain(energy, space))


@pytest.mark.parametrize("energy, message", [
    (lambda x: 0.5 * (x[:, 0] - 1e12) ** 2, "a peak near .* far from the origin.*shift"),
    (lambda x: 0.5 * (x[:, 0] + 3e14) ** 2, "far from the origin.*shift|shift or scale x"),
    (lambda x: -x[:, 0] ** 2, "unbounded below, so Z is infinite"), (lambda x: x[:, 0], "unbounded below, so Z is infinite")])
def test_what_is_far_is_not_called_unbounded(energy, message):
    """Catches "unbounded below" for a Gaussian with its mean at 1e12."""
    with pytest.raises(te.QuadratureError, match=message):
        te.log_partition(plain(energy, te.Reals(1)))


# ------------------------------------------------------------------------- random densities

@pytest.mark.parametrize("family", LINES + PLANES, ids=lambda family: family.__name__)
def test_random_densities(family):
    """log Z, mean, variance and a probability of random densities of every family, each within its error.

    `python tests/random_densities.py` does more of it, in a table.
    """
    for seed in range(2 if family in LINES else 1):
        rng = np.random.default_rng([family in LINES, seed])
        verdict = judge(family(rng), rng)
        assert wrong(verdict) == [], verdict


@pytest.mark.parametrize("seed", [(0, 153), (5, 35)])
def test_steps_on_which_coarse_grids_agree_by_chance(seed):
    """log Z of two products of histograms.  Catches errors of 0.004 where log Z is off by 0.0096 and by 0.0048.

    Three grids of Gauss-Legendre nodes agree there, one of them with one node more than another.
    """
    known = plane_stepped(np.random.default_rng(seed))
    z = te.log_partition(known.density, 1e-2)

    assert abs(z - known.log_z) <= z.error


PEAK = lambda x: 0.5 * ((x[:, 0] - 0.25) / 0.02) ** 2  # the energy of a peak beside others


@pytest.mark.parametrize("energy", [
    lambda x: -ops.logsumexp(-0.5 * ((x - np.array([0.25, 0.75])) / 0.02) ** 2, axis=1),
    lambda x: ops.where((x[:, 0] > 0.35) & (x[:, 0] < 0.95), 0.0, PEAK(x))], ids=["peak", "plateau"])  # fmt: skip
def test_widths_end_at_the_first_fall_of_a_nat(energy):
    """Another peak, or a plateau, of the same height half a box away: a step onto it falls by nothing.

    Catches a width that goes on beyond the valley between them.
    """
    p, x = plain(energy, te.Box(0, 1, 1)), np.array([[0.25]])
    [[width]] = peaks._width(p, x, exponents(p, x), np.full((1, 1), 1 / 256), np.zeros(1), np.ones(1))

    nat = 0.02 * np.sqrt(2)
    assert nat / 2 < width <= nat


@pytest.mark.parametrize("width", [3e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("gap", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("many", [3, 12])
def test_narrow_peaks_at_equal_distances(many, gap, width):
    """Laplace's peaks: between two of them log p falls by a thousand nats.  Catches widths that are asked for at distances
    at which the next peak stands, so that all peaks count as one."""
    centres = gap * np.arange(many)

    def energy(theta, x):
        return -te.ops.logsumexp(-te.ops.abs(x - centres) / width - np.log(2 * width * many), axis=1)

    p = te.Density(energy, {}, te.Reals(1))
    assert abs(te.log_partition(p)) < 1e-8
    assert len(find_window(p).peaks) >= many
