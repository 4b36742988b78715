"""Patterns: bars and stripes by searching all images, the Gray code bit by bit, and the plane found again."""

import itertools
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import datasets
from tinyebm.datasets import patterns
from tinyebm.datasets.targets import PatternTarget

rng = np.random.default_rng  # every test makes its own


def bars(side, weighted=False):
    return PatternTarget("bars", *patterns.bars_and_stripes(side, weighted))


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_bars_and_stripes_are_all_of_them(side):
    """Among all images: those whose rows are constant, or whose columns are.  Catches one orientation, or the ends twice."""
    images = te.Bits(side**2).atoms()[0]
    square = images.reshape(-1, side, side)
    flat = (square == square[:, :, :1]).all(axis=(1, 2)) | (square == square[:, :1]).all(axis=(1, 2))
    target = bars(side)

    assert target.space == te.Bits(side**2) and len(target.states) == 2 ** (side + 1) - 2
    np.testing.assert_array_equal(target.states, images[flat])
    np.testing.assert_array_equal(target.mode(images), np.where(flat, 0, -1))
    np.testing.assert_allclose(target.probabilities, 1 / len(target.states))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("side", [2, 3, 4])
def test_entropy_of_bars_and_stripes(oracle, side, weighted):
    """The oracle's, and the usual generator, run: a coin for the orientation, and a fair bit for every line.

    Catches the all-on and the all-off image weighed like the others, or four times.
    """
    expected = oracle("bars_and_stripes_entropy")["expected"]["generator_weighted" if weighted else "uniform_distinct"]
    target = bars(side, weighted)
    assert abs(target.entropy - expected[str(side)]) < 1e-13

    law = {}
    for upright, *lines in itertools.product((0.0, 1.0), repeat=side + 1):
        image = tuple(lines[i if upright else j] for i in range(side) for j in range(side))
        law[image] = law.get(image, 0.0) + 0.5 ** (side + 1)
    generated = [law[tuple(s)] for s in target.states]
    np.testing.assert_allclose(target.probabilities, generated if weighted else 1 / len(law), atol=1e-15)


@pytest.mark.parametrize("side", [0, 6, 2.5, True])
def test_impossible_sides(side):
    with pytest.raises(ValueError, match="side must be an integer from 1 to 5"):
        patterns.bars_and_stripes(side)


# --------------------------------------------------------------------------------- Gray codes

def code(number):
    """The Gray code of a number below 256 by reflection: the upper half is the lower one backwards."""
    words = [()]
    for _ in range(8):
        words = [(0, *w) for w in words] + [(1, *w) for w in reversed(words)]
    return words[number]


def test_gray_codes_are_reflected_binary():
    """Every cell's 16 bits, and back.  Catches plain binary, bits in reverse, and axes exchanged."""
    words = np.array([code(n) for n in range(256)], dtype=float)
    i, j = np.divmod(np.arange(2**16), 256)
    x = np.concatenate([words[i], words[j]], axis=1)

    np.testing.assert_array_equal(patterns.cell(x), np.arange(2**16))
    np.testing.assert_allclose(patterns.plane(x), np.stack([i, j], axis=1) / 32 - 4 + 1 / 64, atol=1e-15)
    assert (np.abs(np.diff(words, axis=0)).sum(axis=1) == 1).all()


@pytest.mark.parametrize("toy", patterns.PLANAR)
def test_gray_coded_toys(toy):
    """p(state) ∝ the toy's density at the cell's centre, in 600 cells; their sum 1, every mode, all states different.

    Catches a density at a corner, x and y exchanged, cells of another number; and more than 2e-4 of the toy beyond [-4, 4]².
    """
    target, plane = datasets.load(f"{toy}_bits"), datasets.load(toy)
    some = rng(0).choice(len(target.states), 600, replace=False)
    centres = patterns.plane(target.states[some])
    shift = np.log(target.probabilities[some]) - plane.log_prob(centres)

    assert target.space == te.Bits(16) and abs(target.probabilities.sum() - 1) < 1e-13
    assert np.ptp(shift) < 1e-10 and len(np.unique(patterns.cell(target.states))) == len(target.states)
    assert abs(np.exp(shift[0]) * 32**2 - 1) < 1e-2 or toy == "checkerboard"  # density times area
    np.testing.assert_array_equal(target.mode(target.states[some]), plane.mode(centres))
    assert target.modes == plane.modes and set(target.mode(target.states)) == set(range(plane.modes))
    x, mass = plane.law
    assert mass[(np.abs(x) > 4).any(axis=1)].sum() < 2e-4


@pytest.mark.parametrize("toy", ["eight_gaussians", "two_moons", "pinwheel"])
def test_a_smooth_toy_is_resolved(toy):
    """Cells of (1/32)²: the entropy is the density's and 2 log 32, the moments are the toy's.  Catches cells of another size."""
    target, plane = datasets.load(f"{toy}_bits"), datasets.load(toy)
    x, mass = plane.law
    centres = patterns.plane(target.states)

    assert abs(target.entropy - plane.entropy - 2 * math.log(32)) < 5e-3
    np.testing.assert_allclose(target.probabilities @ centres, mass @ x, atol=5e-3)
    np.testing.assert_allclose(centres.T * target.probabilities @ centres, x.T * mass @ x, atol=1e-2)


def test_cells_without_mass_have_no_mode():
    """Outside the checkerboard's fields.  Catches argmax of nothing, and a state that is listed with probability 0."""
    target = datasets.load("checkerboard_bits")
    outside = np.array([[1.0] + [0.0] * 7 + [1.0] + [0.0] * 7])  # the last cell of either axis

    assert (target.probabilities > 0).all() and len(target.states) < 2**16
    assert patterns.plane(outside)[0].tolist() == [4 - 1 / 64] * 2
    if target.log_prob(outside)[0] == -np.inf:
        assert target.mode(outside).tolist() == [-1]
    empty = ~np.isin(np.arange(2**16), target.space.grid().index(target.states))
    assert empty.any() and (target.mode(te.Bits(16).atoms()[0][empty]) == -1).all()
