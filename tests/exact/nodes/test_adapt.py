"""Boxes that split at kinks: what they tile, where they split, and whether their error is one."""

import math

import numpy as np
import pytest
from scipy import special

from tinyebm import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.common.tree import tree_map
from tinyebm.density import Density
from tinyebm.energies.mlp import MLP
from tinyebm.exact.nodes.adapt import Patches, adapt, halved
from tinyebm.exact.nodes.peaks import summits
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.grids import split_axes

TWO = Patches(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 3.0], [4.0, 3.0]]))


def on(energy, space, rtol=1e-8, max_nodes=2**20):
    """`adapt` over the whole of a box, (patches, log Z, error)."""
    p, (low, high) = Density(energy, {}, space), (np.full(space.dim, end * 1.0) for end in (space.low, space.high))
    return adapt(p, low, high, rtol, max_nodes, *summits(p, low, high)[1:])


# -------------------------------------------------------------------------------- patches

def test_patches_integrate_polynomials():
    """∫ x³y² over [0, 4] × [0, 3].  Catches volumes of half the size, and nodes in the wrong box."""
    x, log_w = TWO.all()

    assert TWO.size == len(x) == 2 * 12**2
    assert np.exp(log_w) @ (x[:, 0] ** 3 * x[:, 1] ** 2) == pytest.approx(64 * 9, rel=1e-13)


@pytest.mark.parametrize("size", [1, 144, 200, 10_000])
def test_blocks_are_all_nodes_in_order(size):
    """Catches a box that is lost or repeated between two blocks."""
    for whole, parts in zip(TWO.all(), zip(*TWO.blocks(size), strict=True), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_cells_tile_the_patches():
    """Each node in a cell of its weight.  Catches cells in another order than the nodes."""
    (x, log_w), (low, high) = TWO.all(), TWO.cells()

    assert np.all((low < x) & (x < high))
    np.testing.assert_allclose(np.prod(high - low, axis=1), np.exp(log_w), rtol=1e-11)
    assert np.all(low >= 0) and np.all(high <= [4 + 1e-12, 3 + 1e-12])


@pytest.mark.parametrize("seed", range(10))
def test_neighbours_share_corners_to_the_last_bit(seed):
    """A box with eight others, some halved, around it.  Catches corners of one place that rounding makes two."""
    edges = np.sort(np.random.default_rng(seed).uniform(-7, 7, (2, 4)))
    low, high = split_axes(list(edges))
    lows, highs = halved(low[::2], high[::2])
    low, high = Patches(np.concatenate([low[1::2], lows]), np.concatenate([high[1::2], highs])).cells()
    corners = np.concatenate([low, high, np.stack([low[:, 0], high[:, 1]], axis=1), np.stack([high[:, 0], low[:, 1]], axis=1)])

    assert len(np.unique(corners, axis=0)) == len(np.unique(np.round(corners, 9), axis=0))


# ------------------------------------------------------------------- kinks, jumps, and errors

def test_the_result_is_the_sum_over_its_patches():
    """Catches a log Z of boxes that were split since, and patches that overlap or leave a gap."""
    space = Box(-1, 2, 2)
    patches, log_z, _ = on(lambda theta, x: 3 * ops.abs(x[:, 0] - 0.3 * x[:, 1]), space, 1e-6)
    x, log_w = patches.all()

    u = log_w - 3 * np.abs(x[:, 0] - 0.3 * x[:, 1])
    assert log_z == pytest.approx(math.log(np.exp(u).sum()), abs=1e-12)
    assert np.prod(patches.high - patches.low, axis=1).sum() == pytest.approx(9, rel=1e-12)
    inside = np.random.default_rng(0).uniform(-1, 2, (300, 1, 2))
    assert np.all(((patches.low <= inside) & (inside < patches.high)).all(axis=2).sum(axis=1) == 1)


@pytest.mark.parametrize("at", [0.1234, 0.5, math.pi / 7, -0.999])
def test_kinks_and_jumps_on_a_line(at):
    """Closed forms.  Catches boxes that stop splitting at the wrong accuracy."""
    kink = on(lambda theta, x: 5 * ops.abs(x[:, 0] - at), Box(-1, 1, 1), 1e-8)
    jump = on(lambda theta, x: ops.where(x[:, 0] > at, 2.0, 0.0 * x[:, 0]), Box(-1, 1, 1), 1e-8)

    z = (2 - math.exp(-5 * (1 + at)) - math.exp(-5 * (1 - at))) / 5
    assert abs(kink[1] - math.log(z)) < 1e-8
    assert abs(jump[1] - math.log((1 + at) + (1 - at) * math.exp(-2))) < 1e-8


@pytest.mark.parametrize("bend", [4.0, -4.0])
@pytest.mark.parametrize("shift", [0.0, 50.0, -50.0])
def test_boxes_split_across_the_kink(bend, shift):
    """Catches the axis of the worst bend taken for another: boxes may be eight times longer along a kink than across.

    And, with ridges as with valleys and a constant in the energy, the highest energy taken for the worst bend.
    """
    patches, _, _ = on(lambda theta, x: bend * ops.abs(x[:, 1] - 0.777) + 0.1 * x[:, 0] + shift, Box(0, 1, 2), 1e-6)

    thinnest = (patches.high - patches.low).min(axis=0)
    assert thinnest[1] < 0.02 and thinnest[0] == 8 * thinnest[1]


def test_panels_cut_at_jumps():
    """A jump in x and in y at thirds: catches panels that the boxes do not start from."""
    energy = lambda theta, x: ops.where(x[:, 0] > 1, 1.0, 0.0 * x[:, 0]) + ops.where(x[:, 1] > 2, 3.0, 0.0 * x[:, 0])
    patches, log_z, error = on(energy, Box(0, 3, 2, panels=3), 1e-12)

    assert log_z == pytest.approx(math.log(1 + 2 / math.e) + math.log(2 + math.exp(-3)), abs=1e-13)
    assert error < 1e-12 and 24**2 <= len(patches.low) < 1.2 * 24**2


def exact_relu(net, theta, low, high):
    """log ∫ e^{-E} of a ReLU network on [low, high]: Gauss-Legendre between its kinks."""
    edges = np.array([low, high])
    for depth in range(len(theta) - 1):
        h = edges[:, None]
        for layer in theta[:depth]:
            h = np.maximum(h @ layer["W"] + layer["b"], 0)
        z = h @ theta[depth]["W"] + theta[depth]["b"]  # linear between two edges
        i, unit = np.nonzero(z[:-1] * z[1:] < 0)
        share = z[i, unit] / (z[i, unit] - z[i + 1, unit])
        edges = np.sort(np.concatenate([edges, edges[i] + share * (edges[i + 1] - edges[i])]))
    edges = np.unique(np.concatenate([edges, np.linspace(low, high, 100)]))
    t, w = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    u = -net(theta, (edges[:-1, None] + half * (t + 1)).reshape(-1, 1)) + np.log(half * w).reshape(-1)
    return u.max() + math.log(np.exp(u - u.max()).sum())


@pytest.mark.parametrize("rtol", [1e-5, 1e-3])
def test_the_error_is_one_for_relu_networks(rtol):
    """200 random networks of some 40 kinks.  Catches an error that forgets boxes, or compares a rule with itself."""
    wrong = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        space = (Box(-3, 3, 1), Reals(1))[seed % 2]
        net = MLP((1, 16, 16, 1), "relu", 0.0 if space.bounded else 0.5)
        theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
        log_z = log_partition(Density(net, theta, space), rtol)
        reach = 3 if space.bounded else 60
        off = abs(float(log_z) - exact_relu(net, theta, -reach, reach))

        assert log_z.error <= rtol and off < 4 * rtol
        wrong.append(off > log_z.error)
    assert np.mean(wrong) <= 0.01


SHAPES = {  # energies of unit slope, and their log Z
    "tent": (lambda y: ops.sum(ops.abs(y), axis=1), math.log(4)),
    "cone": (lambda y: ops.sqrt(ops.sum(y * y, axis=1) + 1e-300), math.log(2 * math.pi)),
    "wedge": (lambda y: ops.abs(y[:, 0]) + 0.5 * y[:, 1] ** 2, math.log(2 * math.sqrt(2 * math.pi)))}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_error_is_one_in_the_plane(shape):
    """Closed forms anywhere, any orientation.  Catches kinks that slip between the nodes of both rules."""
    (energy, log_z), right = SHAPES[shape], []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        centre, A = rng.uniform(-5, 5, 2), rng.standard_normal((2, 2)) + np.eye(2)
        p = Density(lambda theta, x, centre=centre, A=A: energy((x - centre) @ A), {}, Reals(2))
        found = log_partition(p, 1e-4)
        right.append(abs(found - log_z + np.linalg.slogdet(A)[1]) <= found.error)
    assert all(right)


# -------------------------------------------------------------------------------- refusals

def test_a_slanted_jump_is_refused_where_it_lies():
    """Catches an accuracy claimed that was not reached, and a message that names another place."""
    jump = lambda theta, x: ops.where(x[:, 0] > 0.2 + 0.1 * x[:, 1], 1.0, 0.0 * x[:, 0])
    _, log_z, error = on(jump, Box(-1, 1, 2), 1e-3)
    assert abs(log_z - math.log(2 * (1.2 + 0.8 / math.e))) < error <= 1e-3

    with pytest.raises(QuadratureError, match=r"rtol=1e-12.*along axis 0.*larger rtol, or raise max_nodes") as refusal:
        on(jump, Box(-1, 1, 2), 1e-12, max_nodes=300_000)
    place = np.array(str(refusal.value).split("x = [")[1].split("]")[0].split(","), dtype=float)
    assert abs(place[0] - 0.2 - 0.1 * place[1]) < 0.01


def test_max_nodes_is_the_most():
    """Catches a loop that doubles once more before it looks."""
    seen = []

    def jump(theta, x):
        seen.append(len(x))
        return ops.where(x[:, 0] > x[:, 1], 1.0, 0.0 * x[:, 0])

    with pytest.raises(QuadratureError, match="with 20000 nodes"):
        on(jump, Box(0, 1, 2), 1e-9, max_nodes=20_000)
    assert sum(seen) < 10 * 20_000


def log_interval(a, b, c, s):
    """log ∫_a^b e^{-c x²/2 - s x} dx, by the tail of the normal that loses no digits."""
    low, high = np.sqrt(c) * (a + s / c), np.sqrt(c) * (b + s / c)
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    log_mass = special.log_ndtr(high) + np.log(-np.expm1(special.log_ndtr(low) - special.log_ndtr(high)))
    return s * s / (2 * c) + 0.5 * np.log(2 * np.pi / c) + log_mass


def closed_form(theta, c):
    """log Z of a ReLU network with one hidden layer on the line: between two kinks the exponent is quadratic."""
    (W, b), (V, offset) = ((layer["W"], layer["b"]) for layer in theta)
    W, V = W[0], V[:, 0]
    kinks = np.sort(-b / W)
    ends = np.concatenate([[-np.inf], kinks, [np.inf]])
    middle = np.concatenate([[kinks[0] - 1], (kinks[1:] + kinks[:-1]) / 2, [kinks[-1] + 1]])
    on = middle[:, None] * W + b > 0  # (pieces, hidden)
    slope, level = (on * W) @ V, (on * b) @ V + offset
    return special.logsumexp(log_interval(ends[:-1], ends[1:], c, slope) - level)


@pytest.mark.parametrize("scale", [1.0, 3.0, 10.0])
def test_kinks_on_the_line_against_a_closed_form(scale):
    """40 networks.  Catches two rules that agree by chance in the box of a kink, and a face that stops at a flat stretch."""
    net = MLP((1, 16, 1), "relu", confinement=0.5)
    for seed in range(40):
        rng = np.random.default_rng(200 + seed)
        theta = net.init(rng)
        theta[0]["b"] = rng.standard_normal(16)
        theta = tree_map(lambda leaf: leaf * scale, theta)
        z = log_partition(Density(net, theta, Reals(1)))
        assert abs(z - closed_form(theta, 0.5)) <= z.error + 1e-14 * abs(z) and z.error < 1e-8, seed


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-6])
def test_boxes_split_to_a_tenth_of_what_is_asked(rtol):
    """And no farther than to what is asked, where the nodes run out.  Catches a margin lost in one case or the other."""
    kink = lambda theta, x: 5 * ops.abs(x[:, 0] - 0.3 * x[:, 1])
    _, log_z, error = on(kink, Box(-1, 1, 2), rtol)
    assert error <= rtol / 10

    few = next(n for n in 2 ** np.arange(14, 21) if _error_with(kink, rtol, int(n)) <= rtol)
    assert abs(on(kink, Box(-1, 1, 2), rtol, int(few))[1] - log_z) <= _error_with(kink, rtol, int(few)) + error


def _error_with(energy, rtol, max_nodes):
    try:
        return on(energy, Box(-1, 1, 2), rtol, max_nodes)[2]
    except QuadratureError:
        return math.inf


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_what_is_no_energy_is_refused(bad):
    """Catches NaN that loses every comparison, and an infinite Z taken for a number."""
    with pytest.raises(ValueError, match="the energy is nan or -inf somewhere"):
        on(lambda theta, x: np.where(x[:, 0] > 0.4, bad, 0.0), Box(0, 1, 1))


def test_boxes_do_not_shrink_to_nothing():
    """A jump to an accuracy beyond rounding.  Catches boxes halved until they have no inside."""
    with pytest.raises(QuadratureError, match="asked for rtol=1e-17"):
        on(lambda theta, x: ops.where(x[:, 0] > math.pi / 7, 2.0, 0.0 * x[:, 0]), Box(-1, 1, 1), 1e-17)
