"""Atoms against exact integrals, reflection against a walk, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tinyebm.autodiff.tape import vjp
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Cells

EVERY_RUN_ALIKE = settings(derandomize=True, deadline=None, database=None)

# --------------------------------------------------------------------------------- spaces

@pytest.mark.parametrize(("dim", "default"), [(1, 512), (2, 96), (3, 40)])
def test_default_atoms(dim, default):
    """Catches a default that no longer resolves a standard normal, or a number per axis that is ignored."""
    for space in (Reals(dim), Box(-10, 10, dim)):
        x, log_w = space.atoms()
        assert x.shape == (default**dim, dim) and log_w.shape == (default**dim,)
        z = float(np.exp(log_w - (x**2).sum(axis=1) / 2).sum())
        assert z == pytest.approx(math.sqrt(2 * math.pi) ** dim, rel=1e-11)
        assert len(space.atoms(5)[0]) == 5**dim
        assert len(space.atoms(range(3, 3 + dim))[0]) == math.prod(range(3, 3 + dim))
    assert np.exp(Box(-2, 1, dim).atoms()[1]).sum() == pytest.approx(3**dim, rel=1e-12)


@pytest.mark.parametrize(("dim", "scale"), [(1, 0.01), (2, 3.0), (3, 40.0)])
def test_base_measure_has_mass_one(dim, scale):
    """Catches log N(0, s²) without its constant, with s for s², and atoms that do not follow the scale."""
    space = Reals(dim, base_scale=scale)
    x, log_w = space.atoms()
    exact = stats.norm(scale=scale).logpdf(x).sum(axis=1)

    np.testing.assert_allclose(space.log_base(x), exact, rtol=1e-12, atol=1e-12)
    assert np.exp(space.log_base(x) + log_w).sum() == pytest.approx(1, abs=1e-12)
    assert all(not np.any(s.log_base(x)) for s in (Reals(dim), Box(0, 1, dim), Cells(3)))


def test_extent_is_the_half_width():
    """Catches an extent that is ignored, or scaled by base_scale as well."""
    for space in (Reals(2, extent=4.0), Reals(2, base_scale=7.0, extent=4.0), Reals(2, base_scale=0.4)):
        x, _ = space.atoms(9)
        assert x.min() == -4.0 and x.max() == 4.0


def test_cells_are_counted():
    """Catches a weight that is not one, or states that start at 1."""
    x, log_w = Cells(4).atoms()

    np.testing.assert_array_equal(x, [[0.0], [1.0], [2.0], [3.0]])
    assert not log_w.any() and len(Cells(4).atoms(4)[0]) == 4
    with pytest.raises(ValueError, match="has 4 values, not 5"):
        Cells(4).atoms(5)


@pytest.mark.parametrize(("space", "law"), [
    (Reals(2), stats.norm()), (Reals(3, base_scale=0.2), stats.norm(scale=0.2)), (Reals(1, extent=9.0), stats.norm()),
    (Box(-3, 5, 2), stats.uniform(-3, 8)), (Cells(5), stats.randint(0, 5))])  # fmt: skip
def test_initial_points_follow_their_law(space, law):
    """|z| < 5 for mean and variance.  Catches base_scale², a box that starts in [0, 1], a missing last state."""
    n = 20_000
    x = space.initial(n, np.random.default_rng(3))
    kurtosis = float(law.stats(moments="k")) + 3

    assert x.shape == (n, space.dim) and space.contains(x).all()
    assert np.abs((x.mean(axis=0) - law.mean()) / law.std() * math.sqrt(n)).max() < 5
    deviation = ((x - law.mean()) ** 2).mean(axis=0) / law.var() - 1
    assert np.abs(deviation * math.sqrt(n / (kurtosis - 1))).max() < 5
    np.testing.assert_array_equal(x, space.initial(n, np.random.default_rng(3)))


@pytest.mark.parametrize("space", [Reals(3), Reals(3, base_scale=2.0), Box(-3, 5, 3)])
def test_initial_coordinates_are_independent(space):
    """Every correlation of coordinates and of their squares, |z| < 5.  Catches one random number for a whole row."""
    n = 20_000
    x = space.initial(n, np.random.default_rng(3))
    z = (x - x.mean(axis=0)) / x.std(axis=0)

    for f in (z, z**2):
        assert np.abs(np.corrcoef(f.T)[np.triu_indices(3, 1)]).max() * math.sqrt(n) < 5


def test_panels_meet_jumps():
    """Steps at the thirds of [0, 3]², exact on few nodes.  Catches a box that forgets its panels, or cuts elsewhere."""
    x, log_w = Box(0, 3, 2, panels=3).atoms(6)
    steps = np.array([1.0, 5.0, 2.0])[np.floor(x).astype(int)].prod(axis=1)

    assert np.exp(log_w) @ steps == pytest.approx(64, rel=1e-13)


# -------------------------------------------------------------------------------- folding

def reflected(t, low, high):
    """t walked back into [low, high], one wall at a time."""
    while not low <= t <= high:
        t = 2 * low - t if t < low else 2 * high - t
    return t


BOXES = st.tuples(st.floats(-50, 50), st.floats(0.1, 20)).map(lambda lw: Box(lw[0], lw[0] + lw[1], 1))


@EVERY_RUN_ALIKE
@given(BOXES, st.floats(-500, 500))
def test_fold_reflects(box, t):
    """Catches a wall that wraps round or clips, an even number of turns taken as odd, and rounding out of the box."""
    folded = box.fold(np.array([[t]]))

    assert box.contains(folded).all()
    assert folded.item() == pytest.approx(reflected(t, box.low, box.high), abs=1e-9)
    np.testing.assert_array_equal(box.fold(folded), folded)
    if box.low <= t <= box.high:
        assert folded.item() == t  # to the last bit: a chain inside is not touched


@EVERY_RUN_ALIKE
@given(BOXES, st.floats(-500, 500), st.sampled_from(["float64", "float32"]))
def test_the_slope_of_a_reflection(box, t, dtype):
    """1 where no wall or an even number of them was met, -1 where an odd one; the value under vjp is the plain one.

    Catches the slope of the inside everywhere, of one wall for any number, and float64 from float32.
    """
    x = np.array([[t]], dtype=dtype)
    turns, rest = divmod(float(x[0, 0]) - box.low, box.high - box.low)
    value, pullback = vjp(box.fold, x)
    slope = pullback(np.ones_like(x))[0]

    np.testing.assert_array_equal(value, box.fold(x))
    assert value.dtype == slope.dtype == x.dtype
    if 1e-3 < rest < box.high - box.low - 1e-3:  # at a wall there is none
        assert slope.item() == (-1) ** round(turns)


@EVERY_RUN_ALIKE
@given(BOXES, st.floats(0, 1), st.floats(0, 200))
def test_images_are_what_fold_sends_there(box, fraction, reach):
    """Catches an image lost near `reach`: Langevin's transition density would lose that mass."""
    t = box.low + fraction * (box.high - box.low)
    images, period = np.array(box.images(t, reach)), 2 * (box.high - box.low)
    every = np.add.outer(period * np.arange(-1002, 1003), [t, 2 * box.low - t])  # 1002 periods >= 200
    within = every[(every >= box.low - reach) & (every <= box.high + reach)]

    np.testing.assert_allclose(box.fold(images[:, None]), t, atol=1e-9)
    assert np.abs(within[:, None] - images).min(axis=1).max() < 1e-9


def test_the_whole_line_has_no_walls():
    x = np.array([[-1e9, 3.0]])

    assert Reals(2).fold(x) is x and Reals(2).images(0.3, 1e9) == [0.3]


# ------------------------------------------------------------------------ inside or refused

@pytest.mark.parametrize(("space", "rows", "inside"), [
    (Reals(2), [[1e300, -3], [np.inf, 0], [0, np.nan]], [True, False, False]),
    (Box(-1, 2, 2), [[-1, 2], [0, 2.0001], [-1.0001, 0], [np.nan, 0]], [True, False, False, False]),
    (Cells(3), [[0], [2], [3], [-1], [0.5], [np.nan]], [True, True, False, False, False, False])])  # fmt: skip
def test_contains(space, rows, inside):
    """Catches open walls, `any` for `all`, and NaN that counts as inside."""
    assert space.contains(np.array(rows, dtype=float)).tolist() == inside


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Reals(0), "dim must be a positive integer, got 0"), (lambda: Reals(1.5), "got 1.5"),
    (lambda: Box(0, 1, True), "dim .*got True"), (lambda: Reals(2, base_scale=0), "base_scale must be positive"),
    (lambda: Reals(2, base_scale=-1.0), "base_scale.*got -1.0"), (lambda: Reals(2, base_scale=math.nan), "got nan"),
    (lambda: Reals(2, extent=math.inf), "extent must be positive and finite, got inf"),
    (lambda: Box(1, 1, 2), "low < high, got 1 and 1"), (lambda: Box(0, math.inf, 1), "got 0 and inf"),
    (lambda: Box((0, 0), (1, 1), 2), "two numbers low < high"), (lambda: Box(math.nan, 1, 1), "got nan"),
    (lambda: Box(0, 1, 1, panels=0), "panels must be an integer from 1 to 1000, got 0"),
    (lambda: Cells(0), "the number of states must be a positive integer, got 0"), (lambda: Cells(2.5), "got 2.5"),
    (lambda: Box(0, 1, 2).atoms(1), "nodes must be an integer >= 2, or 2 of them, got 1"),
    (lambda: Box(0, 1, 2).atoms((4, 5, 6)), r"got \(4, 5, 6\)"), (lambda: Reals(1).atoms(7.5), "got 7.5"),
    (lambda: Reals(4).atoms(), r"dimension 4 would need about 40\^4 nodes: they are for dim <= 3")])  # fmt: skip
def test_nonsense_is_refused(make, message):
    """Catches a bad option that is repaired, or let through to a wrong measure."""
    with pytest.raises(ValueError, match=message):
        make()
