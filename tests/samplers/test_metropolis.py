"""Accept or reject: with probability min(1, e^r), row by row, and nothing else changes."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.samplers.metropolis import accept


class Stratified:
    """A generator whose n uniforms are (0.5, 1.5, ..., n - 0.5) / n: frequencies come out right to 1/n."""

    def random(self, n):
        return (np.arange(n) + 0.5) / n


def decide(log_ratios, rng=None, dtype="float64"):
    """From row i = (i, i) propose -row i."""
    r = np.asarray(log_ratios, dtype=dtype)
    x = np.arange(1.0, len(r) + 1).astype(dtype)[:, None] * np.ones((1, 2), dtype=dtype)
    return x, accept(x, -x, r, rng or np.random.default_rng(0))


@pytest.mark.parametrize("r", [-np.inf, -7.0, -1.0, -0.1, 0.0, 0.3, 800.0, np.inf])
def test_acceptance_probability_is_min_of_1_and_the_ratio(r):
    """Catches u compared with the log ratio, a ratio upside down, and one of several signs of log(1 - u)."""
    n = 10_000
    _, move = decide(np.full(n, r), Stratified())

    assert abs(move.accepted.mean() - min(1.0, np.exp(min(r, 0.0)))) <= 1 / n


def test_a_chain_on_two_states_keeps_its_law():
    """Detailed balance: flows 0 → 1 and 1 → 0 between masses 0.8 and 0.2 are equal.

    Catches Barker's rule 1 / (1 + e^{-r}) with half the flow: here 0.2 of all mass moves each way.
    """
    n, log_odds = 10_000, np.log(0.2 / 0.8)
    _, up = decide(np.full(n, log_odds), Stratified())
    _, down = decide(np.full(n, -log_odds), Stratified())

    assert abs(0.8 * up.accepted.mean() - 0.2) < 1 / n
    assert abs(0.2 * down.accepted.mean() - 0.2) < 1 / n


def test_each_row_moves_or_stays_as_a_whole():
    """Catches a decision per coordinate, and accepted and rejected swapped."""
    x, move = decide(np.tile([0.0, -np.log(2.0)], 500))
    expected = np.where(move.accepted[:, None], -x, x)

    np.testing.assert_array_equal(move.x, expected)
    assert move.accepted[::2].all() and 0 < move.accepted[1::2].sum() < 500


def test_rows_draw_their_own_uniforms():
    """At odds of one half every row tosses its own coin: catches one u for the whole batch."""
    n = 10_000
    _, move = decide(np.full(n, -np.log(2.0)))

    assert abs(move.accepted.mean() - 0.5) < 5 * np.sqrt(0.25 / n)
    assert abs(np.mean(move.accepted[1:] == move.accepted[:-1]) - 0.5) < 5 * np.sqrt(0.25 / n)


def test_nan_rejects():
    """-inf minus -inf, between two impossible states: catches `not (u > r)`, which would accept."""
    x, move = decide([np.nan, np.nan, 0.0])

    assert move.accepted.tolist() == [False, False, True]
    np.testing.assert_array_equal(move.x[:2], x[:2])


def test_arguments_are_left_alone():
    """Catches acceptance written into x."""
    x, move = decide([0.0, 0.0])

    np.testing.assert_array_equal(x, [[1.0, 1.0], [2.0, 2.0]])
    assert (move.x == -x).all()


def test_log_ratios_are_passed_on():
    """The Move tells what was decided on: catches the clipped ratio min(0, r)."""
    assert decide([0.5, -3.0])[1].log_ratio.tolist() == [0.5, -3.0]


def test_float32_stays_float32():
    assert decide([0.5, -3.0], dtype="float32")[1].x.dtype == np.float32


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("beyond", [math.inf, math.nan])
@pytest.mark.parametrize("kernel", [te.MALA(0.01), te.HMC(0.1, 2)])
def test_a_step_from_where_no_draw_can_be_is_no_rejection(kernel, beyond):
    """It is refused where nothing but such points was proposed; where the density is positive a start from 0 is accepted.

    Catches a chain that waits for ever at a point of density 0 or nan, and looks like one that rejects; and proposals of
    density 0 or nan that make an end of a chain which stands well.
    """
    energy = lambda theta, x: te.ops.where(x[:, 0] > 0, 0.5 * x[:, 0] ** 2, beyond + 0.0 * x[:, 0])
    p, what = te.Density(energy, {}, te.Reals(1)), "energy is nan" if math.isnan(beyond) else "density is 0"
    x = np.repeat([[0.01], [1.0], [-5.0]], 500, axis=0)
    with pytest.raises(ValueError, match=f"the {what} at row 1000 of x, x = .-5.0. .500 such rows of 1500.: start where"):
        kernel.step(p, x, np.random.default_rng(0))

    wall, good = kernel.step(p, x[:1000], np.random.default_rng(0)).x.reshape(2, 500)
    assert (wall > 0).all() and (wall == 0.01).any() and (good > 0).all()
    starts = np.concatenate([np.full(100, -1e-6), np.full(100, 1.0)])[:, None]
    found = [attempt(kernel, p, starts[i : i + 1], np.random.default_rng(i)) for i in range(100)]
    assert 20 < sum(y is None for y in found) < 80 or math.isnan(beyond)
    assert all(y is None for y in found) if math.isnan(beyond) else all(y is None or y > 0 for y in found)


def attempt(kernel, p, x, rng):
    """Where a step leads, or None if it is refused."""
    try:
        return float(kernel.step(p, x, rng).x[0, 0])
    except ValueError:
        return None


def test_a_step_along_a_slope_of_nan_is_no_rejection():
    """Where energy and slope are nan no proposal is a number.  Catches a proposal outside the space that hides it."""
    p = te.Density(lambda theta, x: te.ops.log(x[:, 0]) + x[:, 0], {}, te.Reals(1))
    for kernel in (te.MALA(0.1), te.HMC(0.1, 2)):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="the energy is nan at row 1 of x"):
            kernel.step(p, np.array([[1.0], [-1.0], [1.0]]), np.random.default_rng(0))
