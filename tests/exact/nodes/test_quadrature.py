"""The grid on which log Z holds: its own sum, its error, and its finer ones."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import special

from examples import network, plain
from tinyebm import ops
from tinyebm.density import Density
from tinyebm.energies.mlp import MLP
from tinyebm.exact.nodes.adapt import Patches, adapt
from tinyebm.exact.nodes.quadrature import heavy_atoms, quadrature
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.normalised import expectation
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import log_sum
from tinyebm.spaces.continuous import Box, Reals

SPACES = [Reals(1), Reals(2), Reals(2, base_scale=0.6), Box(-1.5, 2, 1), Box(-1.5, 2, 2)]


def test_the_quadrature_reports_its_own_sum():
    """Catches a log Z that belongs to another grid than the one handed out, and a `finer` that is not."""
    for space in SPACES:
        q = quadrature(network(space))
        assert log_sum(network(space), q.grid) == q.log_z and q.finer().size > q.grid.size


def test_boxes_have_finer_ones():
    """A ReLU network.  Catches a `finer` that is the same grid: sums over boxes would report no error at all."""
    p = Density(MLP((1, 8, 1), "relu", 1.0), MLP((1, 8, 1)).init(np.random.default_rng(1)), Reals(1))
    q = quadrature(p, 1e-4)

    assert isinstance(q.grid, Patches) and q.finer().size > q.grid.size
    assert log_sum(p, q.finer()) == pytest.approx(q.log_z, abs=q.error)
    step = expectation(p, lambda x: (x[:, 0] < 0.1) * 1.0, 1e-4)
    assert step.error > 1e-5


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_atoms_that_carry_mass(space):
    """Catches states and weights of other atoms than the mask says, and mass that is left out."""
    p, rtol = network(space), 1e-4
    q = quadrature(p, rtol)
    states, log_w, heavy = heavy_atoms(p, q, rtol)
    every = q.grid.all()

    np.testing.assert_array_equal(states, every[0][heavy])
    np.testing.assert_array_equal(log_w, every[1][heavy])
    left = np.exp(every[1] - q.log_z + p.space.log_base(every[0]) - p.energy(p.theta, every[0]))[~heavy].sum()
    assert left < rtol / 100 and (space.bounded or not heavy.all())


def test_a_wider_window_has_the_peaks_of_the_last_one():
    """Catches peaks of another window, and a wider window that is not wider."""
    p = network(Reals(1))
    q = quadrature(p)
    again, anew = (quadrature(p, least=160.0, peaks=peaks) for peaks in (q.peaks, None))

    assert again.log_z == anew.log_z and again.peaks is q.peaks
    assert np.ptp(again.grid.axes[0][0]) > np.ptp(q.grid.axes[0][0])


# --------------------------------------------------------------- what the error is made of

def student(nu):
    """x^-(nu + 1) in the tails: a window leaves out a mass that one can see."""
    return plain(lambda x: 0.5 * (nu + 1) * ops.log(1 + x[:, 0] ** 2 / nu), Reals(1))


ERRORS = {"bump": plain(lambda x: 1 / (0.01 + x[:, 0] ** 2) ** 0.5, Box(-1, 2, 1)), "student 2": student(2.0),
          "waves": plain(lambda x: ops.sin(9 * x[:, 0]) + x[:, 1] ** 2, Box(-1, 2, 2)), "student 1.3": student(1.3),
          "kink": plain(lambda x: 5 * ops.abs(x[:, 0] - 0.3), Box(-1, 1, 1))}  # fmt: skip


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("name", ERRORS)
def test_the_error_has_all_its_parts(name, rtol):
    """max(c, b/4) + mass outside the window + rounding + twice the distance to other grids + that to a finer scan, on the
    first grid where that is below rtol and c <= b/100.

    c is the change from the grid before, b the change before that.  Catches an error halved or quartered, a tail that is
    left out, and a grid accepted while its sums still converge slowly.
    """
    p = ERRORS[name]
    window = None if p.space.bounded else find_window(p, rtol)
    rules = [p.space] if window is None else [window, dataclasses.replace(window, graded=True)]
    shape = {1: (16001,), 2: (513, 513)}[p.space.dim]  # of the scan
    scanned = log_sum(p, p.space.grid(shape) if window is None else window.grid(shape))

    def settled(rule):
        sums, refinement = [], 1.5**-2
        while math.prod(counts := rule.counts(refinement)) <= {1: 2**13, 2: 2**19}[p.space.dim]:
            sums, refinement = [*sums, log_sum(p, rule.grid(counts))], 1.5 * refinement
            b, c = np.abs(np.diff([math.inf, 0.0, *sums][-3:])) if len(sums) > 1 else (math.inf, math.inf)
            rounding = 8 * 2**-52 * (1 + abs(sums[-1]))
            error = max(c, (b if len(sums) > 2 else math.inf) / 4) + (window.tail if window else 0.0) + rounding
            if error <= rtol and (c <= b / 100 or c <= rounding):
                others = rule.variants(counts)[: {1: 3, 2: 1}[p.space.dim]]
                error += 2 * max(abs(log_sum(p, other) - sums[-1]) for other in others)
                error += abs(scanned - sums[-1]) * (not getattr(rule, "graded", False))
            if error <= rtol and (c <= b / 100 or c <= rounding):
                return rule.grid(counts), sums[-1], error

    found, q = next(filter(None, map(settled, rules)), None), quadrature(p, rtol)
    if found is None:
        assert name == "kink" and isinstance(q.grid, Patches)
        return
    grid, log_z, error = found
    assert (q.grid.shape, q.log_z) == (grid.shape, log_z)
    assert q.error == pytest.approx(error, rel=1e-12)
    assert window is None or q.error > window.tail > 0


def test_the_error_of_boxes_has_its_tail():
    """An energy that says it has kinks.  Catches the mass outside the window left out where boxes are split."""
    class Kinked:
        smooth = False

        def __call__(self, theta, x):
            return student(1.3).energy(theta, x)

    p = Density(Kinked(), {}, Reals(1))
    window = find_window(p, 1e-6)
    own = adapt(p, window.low, window.high, 1e-6, 2**23, window.peaks, window.sizes)[2]
    found = log_partition(p, 1e-6)

    assert found.error >= own + window.tail > own
    z = math.sqrt(1.3) * special.beta(0.5, 0.65)
    assert abs(found - math.log(z)) <= found.error
