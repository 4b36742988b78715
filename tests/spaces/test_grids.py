"""Quadrature rules against exact integrals; the order, blocks and cells of their products; discrete states in order."""

import itertools
import math

import numpy as np
import pytest

from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.grids import Atoms, Enumeration, Grid, gauss_legendre, lobatto, sinh_trapezoid, trapezoid

THREE_AXES = Grid((gauss_legendre(5, -1, 2), trapezoid(4, 0, 3), gauss_legendre(6, 4, 5, panels=2)))


def integral(f, rule):
    """Eq. (1) on one axis."""
    nodes, log_w = rule
    return float(np.exp(log_w) @ f(nodes))


# ------------------------------------------------------------------ one-dimensional rules

@pytest.mark.parametrize(("n", "panels", "each"), [(2, 1, 2), (7, 1, 7), (64, 1, 64), (10, 3, 4), (200, 1, 50)])
def test_gauss_legendre_is_exact_for_polynomials(n, panels, each):
    """Catches a lost Jacobian, panels that overlap or leave a gap, and a rule of too low an order."""
    nodes, log_w = gauss_legendre(n, -0.5, 2.0, panels)
    for degree in range(min(2 * each, 30)):
        exact = (2.0 ** (degree + 1) - (-0.5) ** (degree + 1)) / (degree + 1)
        assert integral(lambda x, k=degree: x**k, (nodes, log_w)) == pytest.approx(exact, rel=1e-12)
    assert len(nodes) >= n and len(nodes) % each == 0
    assert np.all(np.diff(nodes) > 0) and -0.5 < nodes[0] and nodes[-1] < 2.0


@pytest.mark.parametrize("n", [3, 4, 9])
def test_lobatto_is_exact_for_polynomials(n):
    """Up to degree 2n - 3, no farther, and with both ends.  Catches weights 2 / n², and other inner nodes."""
    t, w = lobatto(n)
    for degree in range(2 * n - 2):
        assert w @ t**degree == pytest.approx((1 + (-1) ** degree) / (degree + 1), abs=1e-10)
    assert abs(w @ t ** (2 * n - 2) - 2 / (2 * n - 1)) > 1e-6
    assert np.abs(t[[0, -1]]) == pytest.approx([1, 1], abs=2e-12) and np.all(np.abs(t) < 1)


@pytest.mark.parametrize("panels", [2, 3])
def test_a_panel_holds_at_most_64_nodes(panels):
    """More are panels of 64 side by side.  Catches one panel of thousands, whose nodes cost O(n³)."""
    many, one = gauss_legendre(64 * panels, 0.0, 2.0 * panels), gauss_legendre(64, 0.0, 2.0)

    np.testing.assert_allclose(many[0], np.concatenate([one[0] + 2 * k for k in range(panels)]), rtol=1e-13)
    np.testing.assert_allclose(many[1], np.tile(one[1], panels), rtol=1e-13)


def test_panels_put_jumps_between_their_nodes():
    """∫ of a function that jumps at thirds: catches panels that are not equal, or merged beyond 64 nodes."""
    step = lambda x: np.where(x < 1, 2.0, np.where(x < 2, -1.0, 5.0)) * x**2
    for n in (6, 150, 400):
        assert integral(step, gauss_legendre(n, 0, 3, panels=3)) == pytest.approx((2 - 7 + 95) / 3, rel=1e-13)
        assert abs(integral(step, gauss_legendre(n, 0, 3)) - 30) > 1e-6 or n > 64  # one panel cannot


def test_trapezoid_is_exact_for_lines_and_spectral_for_gaussians():
    """Catches end weights that are not halved, and a step of (high - low) / n."""
    assert integral(lambda x: 3 * x + 1, trapezoid(2, -1, 4)) == pytest.approx(27.5, abs=1e-13)
    assert integral(lambda x: 3 * x + 1, trapezoid(9, -1, 4)) == pytest.approx(27.5, abs=1e-13)
    bell = lambda x: np.exp(-(x**2) / 2)
    assert integral(bell, trapezoid(25, -9, 9)) == pytest.approx(math.sqrt(2 * math.pi), rel=1e-13)
    assert abs(integral(bell, trapezoid(7, -9, 9)) - math.sqrt(2 * math.pi)) > 1e-3


def test_sinh_trapezoid_sees_six_powers_of_ten():
    """∫ of Gaussians of widths 1e-3 and 1e3 about the centre: catches a lost cosh, and a centre that is not used."""
    bell = lambda x, s: np.exp(-(((x - 7) / s) ** 2) / 2) / math.sqrt(2 * math.pi) / s
    nodes, log_w = sinh_trapezoid(400, 7 - 9e3, 7 + 1e4, 7.0, 1e-3)

    for s in (1e-3, 1e-1, 1e1, 1e3):
        assert integral(lambda x, s=s: bell(x, s), (nodes, log_w)) == pytest.approx(1, abs=1e-12)
    assert nodes[[0, -1]] == pytest.approx([7 - 9e3, 7 + 1e4], rel=1e-12)


# ---------------------------------------------------------------------------------- grids

def test_the_first_coordinate_is_the_most_significant():
    """Against nested loops.  Catches `indexing="xy"`, reversed axes, and weights paired with other nodes."""
    states, log_w = THREE_AXES.all()
    loops = list(itertools.product(*[list(zip(*axis, strict=True)) for axis in THREE_AXES.axes]))

    assert THREE_AXES.shape == (5, 4, 6) and THREE_AXES.size == len(loops) == 120
    np.testing.assert_array_equal(states, [[node for node, _ in point] for point in loops])
    np.testing.assert_allclose(log_w, [sum(w for _, w in point) for point in loops], atol=1e-14)


@pytest.mark.parametrize("size", [1, 7, 119, 120, 1000])
def test_blocks_are_all_atoms_in_order(size):
    """Catches a block that is lost at the end, or repeats an atom: for a Grid and for a list."""
    for atoms in (THREE_AXES, Atoms(*THREE_AXES.all())):
        blocks = list(atoms.blocks(size))
        assert all(len(x) == size for x, _ in blocks[:-1]) and atoms.size == 120
        for whole, parts in zip(THREE_AXES.all(), zip(*blocks, strict=True), strict=True):
            np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("grid", [THREE_AXES, Box(-3, 5, 2).grid(70), Box(0, 1, 1, panels=3).grid(9),
                                  Reals(2).grid((7, 12)), Reals(1, extent=3.0).grid()])  # fmt: skip
def test_cells_tile_the_domain(grid):
    """One cell an atom, of its weight, around it: catches edges halfway between nodes, and a shift by one."""
    (states, log_w), (low, high) = grid.all(), grid.cells()

    np.testing.assert_allclose(np.prod(high - low, axis=1), np.exp(log_w), rtol=1e-9)
    assert np.all(low - 1e-12 <= states) and np.all(states <= high + 1e-12)
    for axis in range(states.shape[1]):
        edges = np.unique(np.round(np.concatenate([low[:, axis], high[:, axis]]), 9))
        assert len(edges) == grid.shape[axis] + 1  # neighbours share an edge


def test_cells_begin_and_end_where_the_rule_does():
    """On [-1, 3] a Gauss-Legendre rule's cells tile [-1, 3] too.  Catches cells that begin at the first node."""
    low, high = Grid((gauss_legendre(9, -1.0, 3.0),)).cells()

    assert (low[0, 0], high[-1, 0]) == (pytest.approx(-1, abs=1e-12), pytest.approx(3, abs=1e-12))
    np.testing.assert_allclose(low[1:], high[:-1], atol=1e-12)


# ------------------------------------------------------------------------- states in a list

@pytest.mark.parametrize(("values", "dim"), [((0.0, 1.0), 7), ((-1.0, 1.0), 6), ((0.0, 1.0, 2.0), 4), ((0.0,), 3),
                                             ((0.0, 1.0, 2.0, 3.0, 4.0), 1), ((0.0, 1.0), 0)])  # fmt: skip
def test_an_enumeration_is_a_product(values, dim):
    """Against itertools.  Catches the last site as the most significant, and numbers that are not positions in the list."""
    grid = Enumeration(values, dim)
    states, log_w = grid.all()

    np.testing.assert_array_equal(states, np.reshape(list(itertools.product(values, repeat=dim)), (-1 if dim else 1, dim)))
    assert (grid.size, math.prod(grid.shape), len(log_w)) == (len(states),) * 3 and not log_w.any()
    np.testing.assert_array_equal(grid.index(states), np.arange(grid.size))
    np.testing.assert_array_equal(grid.index(states[::-3]), np.arange(grid.size)[::-3])


@pytest.mark.parametrize("size", [1, 2, 3, 9, 26, 27, 28, 1024])
@pytest.mark.parametrize(("values", "dim"), [((0.0, 1.0), 6), ((0.0, 1.0, 2.0), 4)])
def test_blocks_are_all_states_in_order(values, dim, size):
    """Catches a block that is lost, repeated, larger than asked for, or a tail of sites that is off by one."""
    grid = Enumeration(values, dim)
    states, log_w = zip(*grid.blocks(size), strict=True)

    assert max(map(len, states)) <= max(size, len(values)) and max(map(len, states)) * len(values) > min(size, grid.size)
    np.testing.assert_array_equal(np.concatenate(states), grid.all()[0])
    assert np.concatenate(log_w).shape == (grid.size,)


def test_24_bits_are_numbered_to_the_last():
    """Catches numbers in float32 or int16, and a first block that is not the first."""
    grid = Enumeration((0.0, 1.0), 24)
    x = np.array([[1.0] * 24, [0.0] * 23 + [1.0], [1.0] + [0.0] * 23])

    assert grid.index(x).tolist() == [2**24 - 1, 1, 2**23] and grid.listable
    assert not Enumeration((0.0, 1.0), 27).listable and not Enumeration((0.0, 1.0, 2.0), 17).listable
