"""A grid on which log Z has a stated error: the basis of every exact answer.

On a discrete space the grid lists all states.  On R^d and in a box, d ≤ 3, product grids are
refined until log Z has converged.  If it does not converge, because the density has a kink or a
jump, the domain is cut into boxes, and some of them are halved (`exact.nodes.adapt`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.checks import require_count, require_fraction
from tinyebm.common.errors import QuadratureError
from tinyebm.density import atoms_of, exponents, on_host
from tinyebm.exact.nodes.adapt import adapt
from tinyebm.exact.nodes.window import DROPS, find_window, whole_box
from tinyebm.exact.structure import closed_form, require_normalisable, structural_log_z
from tinyebm.exact.sums import log_sum, rounding
from tinyebm.spaces.grids import CHUNK
from tinyebm.spaces.own import OwnSpace

MAX_NODES = 2**23
# nodes of a product grid; if log Z has not settled with so many, the density is not smooth
SMOOTH_NODES = {1: 2**13, 2: 2**19, 3: 2**23}
GROWTH = {1: 1.5, 2: 1.5, 3: 1.3}  # nodes per axis of a grid over those of the one before
# times the rounding error of log Z: a change below it is none.  Without this margin the last bit of
# two sums would decide whether the next grid is needed
NO_CHANGE = 100
# in two and three dimensions, error of a grid below which one other grid is enough of a check
CERTAIN = 1e-6


@dataclass(frozen=True)
class Quadrature:
    """A grid (Grid, Patches or Enumeration) on which log Z has the error `error`.

    `finer()` is the next finer grid.  `variants()` are grids with other nodes and the same
    accuracy: the error of another sum is its difference between them.  `peaks` are those of its
    window; they are used again for a wider window.
    """

    grid: Any
    log_z: float
    error: float
    finer: Callable
    variants: Callable = tuple
    peaks: Any = None


def quadrature(p, rtol=1e-8, max_nodes=MAX_NODES, least=DROPS[0], rows=None, peaks=None):
    """The Quadrature of a density: a grid on which the relative error of Z is at most rtol.

    Parameters
    ----------
    least : float
        On R^d log p is at least so many nats below its peak on every face of the window.
    rows : array (n, d), optional
        Rows of data, near which the density may have peaks.
    peaks : optional
        On R^d the `peaks` of another Quadrature of this density; they are not searched again.

    Raises
    ------
    QuadratureError
        As `log_partition`; and if the density is much higher at a row than at every node.
    """
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    require_count(max_nodes, "max_nodes must be a positive number of nodes")
    if p.space.discrete:
        return _over_states(p)
    if hasattr(p, "quadrature"):  # a Normalised density
        return p.quadrature
    if hasattr(p, "grid"):  # a Target has a grid of its own, and Z = 1
        return Quadrature(p.grid, 0.0, p.mass_error + rounding(0.0), lambda: p.grid, p.variants)
    if p.space.dim > 3:
        raise ValueError(
            f"quadrature is for dim <= 3: with 40 nodes per axis, dim {p.space.dim} needs "
            f"{40**p.space.dim:.1e} of them; te.ais estimates log Z in any dimension"
        )
    if isinstance(p.space, OwnSpace):
        return _by_atoms(p, rtol, max_nodes)
    host = on_host(p)
    if rows is not None:
        rows = to_numpy(rows)
        rows = rows[p.space.contains(rows)]
    if p.space.bounded:
        window = whole_box(host, max_nodes, rows)
    else:
        window = find_window(host, rtol, least, rows, peaks)
    found = _by_grids(p, window, rtol, max_nodes) or _by_boxes(host, window, rtol, max_nodes)
    if rows is not None and len(rows):
        _require_seen(host, found, window.scan, rows)
    _require_formula(host, found, rtol)
    return replace(found, peaks=window.known)


def _over_states(p):
    """The Quadrature of a discrete space: all states."""
    grid, log_z = p.space.grid(), structural_log_z(p)
    log_z = log_sum(p, grid) if log_z is None else log_z
    return Quadrature(grid, log_z, rounding(log_z), lambda: grid)


# ---------------------------------------------------------------------------- product grids


def _by_grids(p, window, rtol, max_nodes):
    """The first Quadrature by product grids that settles, or None."""
    if not getattr(p.energy, "smooth", True):  # the energy has kinks
        return None
    if p.space.bounded:
        return _settled(p, p.space, window, rtol, max_nodes, window.scan)
    found = _settled(p, window, window, rtol, max_nodes, window.scan)
    if not found and len(window.peaks) == 1:
        graded = replace(window, graded=True)
        found = _settled(p, graded, window, rtol, max_nodes, None)
    return found


def _by_atoms(p, rtol, max_nodes):
    """The Quadrature of a user's continuous space, with more and more of its atoms."""
    found = _settled(p, p.space, p.space, rtol, max_nodes, None)
    if found is None:
        raise QuadratureError(
            f"log Z has not settled to rtol={rtol:g} with {max_nodes} atoms of {p.space}"
        )
    return found


def _settled(p, rule, window, rtol, max_nodes, scan):
    """A Quadrature by refinement of a rule, or None if it takes too many nodes.

    Each grid has GROWTH times as many nodes per axis as the one before.  With log Z_k the sum over
    grid k and c_k = |log Z_k - log Z_{k-1}| its change,

        error_k = max(c_k, c_{k-1} / 4) + mass outside the window + rounding.          (1)

    The error includes c_{k-1} because two grids may agree by chance.  Grid k is accepted if
    error_k ≤ rtol and c_k ≤ c_{k-1} / 100: slower convergence is a sign of a kink or a jump.  Then
    `_differences` to other grids are added, and error_k ≤ rtol must hold again.
    """
    growth, refinement = GROWTH[p.space.dim], first_refinement(p, window)
    # with a user's atoms, means of other functions have no boxes to be refined in
    margin = 1 if isinstance(p.space, OwnSpace) else NO_CHANGE
    before, change = np.inf, np.inf
    while math.prod(counts := rule.counts(refinement)) <= min(max_nodes, SMOOTH_NODES[p.space.dim]):
        grid = rule.grid(counts)
        log_z = log_sum(p, grid)
        change_before, change = change, abs(log_z - before)
        floor = rounding(log_z)
        error = max(change, change_before / 4) + window.tail + floor
        fast = change <= max(change_before / 100, margin * floor)
        if fast and error <= rtol:
            error += _differences(p, rule, counts, log_z, error, scan)
            if error <= rtol:
                finer = partial(rule.grid, rule.counts(growth * refinement))
                return Quadrature(grid, log_z, error, finer, partial(rule.variants, counts))
        before, refinement = log_z, growth * refinement
    return None


def first_refinement(p, window):
    """The refinement of the first grid.

    In a box the nodes near a summit are at most three of its sizes apart, so that none is missed.
    """
    growth, least = GROWTH[p.space.dim], 0.0
    if p.space.bounded and window is not p.space:
        # the gaps of Gauss-Legendre nodes are widest in the middle
        gaps = (window.high - window.low) * math.pi / 2 / p.space.counts(1.0)
        least = float((gaps / window.sizes).max(initial=0.0)) / 3
    refinement = growth**-2
    while refinement < least:
        refinement *= growth
    return refinement


def _differences(p, rule, counts, log_z, error, scan):
    """Twice the largest difference of log Z to grids with other nodes, plus that to a finer scan.

    Two nested grids can agree by chance at a kink; grids with other nodes then differ.  In two and
    three dimensions one of them is evaluated if the error is below CERTAIN.  A scan that is finer
    than the grid finds peaks between its nodes.
    """
    others = rule.variants(counts)
    if error < CERTAIN and p.space.dim > 1:
        others = others[:1]
    found = 2 * max(abs(log_sum(p, other) - log_z) for other in others)
    if scan is not None and np.all(np.less_equal(counts, scan.shape)):
        found += abs(scan.log_sum - log_z)
    return found


# ------------------------------------------------------------------------------------ boxes


def _by_boxes(p, window, rtol, max_nodes):
    """A Quadrature by boxes that are halved where the density is not smooth."""
    patches, log_z, error = adapt(
        p, window.low, window.high, rtol, max_nodes, window.peaks, window.sizes
    )
    error += window.tail + rounding(log_z)
    if error > rtol:
        raise QuadratureError(
            f"log Z = {log_z:.6g} is known to {error:.1e}, rounding included: rtol={rtol:g} is too "
            "small"
        )
    return Quadrature(patches, log_z, error, partial(replace, patches, nodes=16), patches.variants)


# ----------------------------------------------------------------------------------- checks


def _require_seen(p, q, scan, rows):
    """Raise QuadratureError if p is much higher at a row of data than at every node."""
    u = exponents(p, rows)
    if not u.max() > scan.levels.max(initial=-np.inf) + 1:
        return
    nodes = max(float(exponents(p, x).max()) for x, _ in q.grid.blocks(CHUNK))
    if u.max() > nodes + 1:
        raise QuadratureError(
            f"the density at the row {rows[u.argmax()].tolist()} of the data is "
            f"e^{u.max() - nodes:.3g} times as high as at every node: a peak there is too narrow "
            "for the quadrature to see"
        )


def _require_formula(p, q, rtol):
    """Raise QuadratureError if log Z differs from that of the energy's formula, if it has one."""
    known = closed_form(p)
    if known is not None and not abs(q.log_z - float(known)) <= rtol + q.error:
        raise QuadratureError(
            f"log Z is {float(known):.6g} by formula and {q.log_z:.6g} by quadrature: a peak "
            "is too narrow for its nodes to see"
        )


# ---------------------------------------------------------------------------------- results


def heavy_atoms(p, q, rtol):
    """The atoms of a quadrature that carry mass; all others together carry less than rtol / 100.

    Returns their states (m, d) and log weights (m,), and the mask (N,) of them among all atoms.
    """
    least = math.log(0.01 * rtol / q.grid.size)
    found = []
    for x, log_w in atoms_of(p, q.grid):
        heavy = exponents(p, x) + log_w - q.log_z > least
        found.append((x[heavy], log_w[heavy], heavy))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
