"""Normal numbers many at a time: their law, their tail, their independence, and whose numbers they are."""

import math

import numpy as np
import pytest
from scipy import stats

from tinyebm.replay.normals import normals


def draws(n, seed=0, dtype="float32"):
    out = np.empty(n, dtype)
    normals(np.random.Generator(np.random.SFC64(seed)), out)
    return out


def test_law_in_single_precision(chi_square):
    """Counts in 200 cells of equal mass, |z| < 5.  Catches a wrong factor in the radius or the angle, log v for log u,
    an angle over half a turn, and bits that u and v share."""
    x = draws(400_000).astype(float)

    assert abs(chi_square(np.bincount((200 * stats.norm.cdf(x)).astype(int), minlength=200), np.full(200, 1 / 200))) < 5
    assert abs(chi_square(np.bincount((200 * stats.norm.cdf(draws(400_000, 1, "float64"))).astype(int)), np.full(200, 1 / 200))) < 5


@pytest.mark.parametrize(("power", "mean", "variance"), [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10_170)])
def test_moments(power, mean, variance):
    """E x^k of N(0, 1), |z| < 5.  Catches a scale wrong by a few per mille, and tails that are too light."""
    n = 1_000_000

    assert abs((draws(n).astype(float) ** power).mean() - mean) < 5 * math.sqrt(variance / n)


def test_the_tail_ends_where_it_says():
    """At most √(2 · 23 log 2), finite always; and mass beyond 4 as of N(0, 1), |z| < 5.

    Catches u = 0, whose logarithm is -inf, and fewer random bits in u than 23.
    """
    x = np.concatenate([draws(2**20, seed) for seed in range(2, 6)])
    mass = 2 * stats.norm.sf(4)

    assert np.isfinite(x).all() and np.abs(x).max() <= math.sqrt(2 * 23 * math.log(2)) + 1e-6
    assert abs((np.abs(x) > 4).sum() - mass * x.size) < 5 * math.sqrt(mass * x.size)


@pytest.mark.parametrize("f", [lambda x: x, np.abs, np.square], ids=["x", "abs", "square"])
def test_halves_and_neighbours_are_independent(f):
    """Correlations between the cosines and the sines of a pair, and between neighbours, |z| < 5.

    Catches a radius that is not the pair's own, an angle that depends on it, and a block that repeats.
    """
    x = f(draws(400_000).astype(float))
    cosines, sines = np.split(x, 2)

    for a, b in ((cosines, sines), (x[1:], x[:-1]), (x[2:], x[:-2]), (cosines, sines[::-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(len(a))


def test_the_transform_by_hand():
    """√(-2 log u) (cos, sin) 2πv on the generator's own bits, halves of 64-bit words: u first, then v."""
    pairs = 500
    bits = np.random.Generator(np.random.SFC64(7)).integers(0, 2**64, size=pairs, dtype=np.uint64).view(np.uint32) >> 9
    u, v = 1 - bits[:pairs] * 2.0**-23, bits[pairs:] * 2.0**-23
    want = np.concatenate([np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v), np.sqrt(-2 * np.log(u)) * np.sin(2 * np.pi * v)])

    np.testing.assert_allclose(draws(2 * pairs, 7), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "dtype"), [(1000, "float64"), (64, "float32"), (1001, "float32"), (1, "float32")])
def test_otherwise_the_ziggurat(n, dtype):
    """Doubles, few and odd numbers of singles are NumPy's.  Catches doubles of 23 bits."""
    want = np.random.Generator(np.random.SFC64(3)).standard_normal(n, dtype=dtype)

    np.testing.assert_array_equal(draws(n, 3, dtype), want)


def test_every_entry_is_written():
    """In arrays of any dimension.  Catches a last pair left out."""
    out = np.full((3, 2, 50), np.nan, "float32")
    normals(np.random.default_rng(0), out)

    assert np.isfinite(out).all() and len(np.unique(out)) > 290
