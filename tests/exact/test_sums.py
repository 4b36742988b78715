"""Sums over a grid: weighted means, in bounded memory, and energies that have no sum."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import special

from examples import plain
from tinyebm import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.density import Density
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.exact.sums import log_sum, mean_over, merge, model_phase
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Cells
from tinyebm.spaces.grids import Grid, trapezoid


def test_mean_over_a_grid_is_a_weighted_mean():
    """Catches masses that are not normalised."""
    grid = Box(0, 1, 1).grid(20)
    p = Density(lambda theta, x: x[:, 0], {}, Box(0, 1, 1))
    x, log_w = grid.all()
    mass = np.exp(log_w - x[:, 0])

    assert mean_over(p, lambda x: x[:, 0], grid) == pytest.approx(mass @ x[:, 0] / mass.sum(), rel=1e-14)


def test_memory_does_not_grow_with_the_grid():
    """Nodes in blocks: 900 000 of them in 3-D take less than 5 MB, where the states alone would take 20."""
    p = plain(lambda x: ops.sum(x * x * x * x, axis=1), Reals(3))
    grid = Grid((trapezoid(96, -5, 5),) * 3)

    tracemalloc.start()
    dense = log_sum(p, grid)
    mean = mean_over(p, lambda x: x[:, 0] ** 2, grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 and grid.size == 96**3
    assert dense == pytest.approx(3 * math.log(2 * special.gamma(1.25)), abs=1e-10)
    assert mean == pytest.approx(special.gamma(0.75) / special.gamma(0.25), abs=1e-10)


def test_an_empty_part_adds_nothing():
    """(-inf, 0, nan) is the sum over atoms at which p is 0.  Catches its gradient, 0 · inf, in the sum."""
    empty, some = np.array([-np.inf, 0.0, np.nan]), np.array([3.0, 2.0, 1.0])

    np.testing.assert_array_equal(merge(some.copy(), empty), some)
    np.testing.assert_array_equal(merge(empty, some.copy()), some)


@pytest.mark.parametrize("total", [log_sum, model_phase])
@pytest.mark.parametrize("bad, message", [
    ([0.0, math.nan], r"nan at x = \[1.0\]"), ([0.0, -math.inf], "-inf somewhere"), ([math.inf, math.inf], r"\+inf everywhere")])
def test_energies_that_have_no_sum(total, bad, message):
    """Catches nan that loses every comparison, and an infinite Z taken for a number."""
    p = Density(TabularEnergy(2), {"energy": np.array(bad)}, Cells(2))
    with pytest.raises(QuadratureError, match=message), np.errstate(invalid="ignore"):
        total(p, p.space.grid())
