"""The partition function Z = ∫ e^{-E_θ(x)} dμ(x).

One quadrature serves a continuous and a discrete space,

    log Z = log Σ_i exp(log w_i - E(x_i)),                                  (1)

a logsumexp over atoms, streamed in blocks.  In a continuous space the grid is
refined until log Z has settled to `rtol`.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tinyebm import ops
from tinyebm.backend import to_host
from tinyebm.checks import require_count, require_fraction
from tinyebm.density import atoms_of, exponent, exponents, in_double, on_host
from tinyebm.errors import QuadratureError
from tinyebm.estimate import Estimate
from tinyebm.exact.adapt import adapt
from tinyebm.exact.peaks import summits
from tinyebm.exact.structure import closed_form, hidden_layer
from tinyebm.exact.window import DROPS, find_window
from tinyebm.kinds import AnyDensity
from tinyebm.replay.tiles import fold

MAX_NODES = 2**23
SMOOTH_NODES = {1: 2**13, 2: 2**19, 3: 2**23}  # a product grid that has not converged by then is at a kink
STRANGERS = {1: 3, 2: 1, 3: 1}  # grids of other nodes that must agree: on the line one kink is all there is to see
BOX_SCAN = {1: 1001, 2: 61, 3: 17}  # nodes per axis of the first look at a box
GROWTH = {1: 1.5, 2: 1.5, 3: 1.3}  # nodes per axis, from one grid to the next


@dataclass(frozen=True)
class Quadrature:
    """A grid (Grid or Patches) on which log Z holds to `error`; everything exact is summed over it.

    `finer()` is the next finer grid.  `variants()` are grids as good as this one, of other nodes: how far
    another sum differs between them is its error.
    """

    grid: Any
    log_z: float
    error: float
    finer: Any
    variants: Any = tuple


def log_partition(p: AnyDensity, rtol: float = 1e-8, max_nodes: int = MAX_NODES) -> Estimate:
    """log Z of a density, in nats, with its error.

    On Bits, Spins and Cells a sum over all states (at most 2^26), by structure over fewer: an RBM's hidden layer, the
    columns of a lattice.  On Box and Reals quadrature: a peak that is narrower than the gaps of the first
    grids, and far from any other, can hide from it.

    Parameters
    ----------
    p : Density
        On a discrete space, on Box or Reals of dimension ≤ 3, or of an energy with structure.
    rtol : float
        Accepted relative error of Z.
    max_nodes : int
        The largest grid tried; a block of it is in memory at a time.

    Returns
    -------
    Estimate
        The error comes from the last two refinements, plus the mass outside the
        window and rounding.

    Raises
    ------
    DivergentPartitionError
        If the energy says that Z is infinite (an MLP on R^d decides it exactly).
    QuadratureError
        If `rtol` does not hold at `max_nodes`, or the density has no bounded
        window, saying which axis or tail is at fault.

    >>> from tinyebm import ops, Density, Reals
    >>> p = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(2))
    >>> abs(log_partition(p) - math.log(2 * math.pi)) < 1e-12
    True
    """
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    log_z = structural_log_z(p)
    if log_z is not None:
        return Estimate(log_z, rounding(log_z))
    q = quadrature(p, rtol, max_nodes)
    return Estimate(q.log_z, q.error)


def quadrature(p, rtol=1e-8, max_nodes=MAX_NODES, least=DROPS[0]):
    """The Quadrature behind `log_partition`: the grid on which it holds; on R^d its faces lie at least `least` nats down."""
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    require_count(max_nodes, "max_nodes must be a positive number of nodes")
    if p.space.discrete:
        grid, log_z = p.space.grid(), structural_log_z(p)
        log_z = log_sum(p, grid) if log_z is None else log_z
        return Quadrature(grid, log_z, rounding(log_z), lambda: grid)
    if hasattr(p, "grid"):  # a Target brings its own, and Z = 1
        return Quadrature(p.grid, 0.0, p.mass_error + rounding(0.0), lambda: p.grid, p.variants)
    if p.space.dim > 3:
        raise ValueError(f"quadrature is for dim <= 3: with 40 nodes per axis, dim {p.space.dim} needs "
                         f"{40**p.space.dim:.1e} of them; te.ais estimates log Z in any dimension")
    if p.space.bounded:
        rules, tail, first = [p.space], 0.0, _first_refinement(p, max_nodes)
    else:
        window = find_window(on_host(p), rtol, least)
        rules, tail = [window] + [replace(window, graded=True)] * window.alone, window.tail
        first = 0.0
    smooth = min(max_nodes, SMOOTH_NODES[p.space.dim])
    for rule in rules if getattr(p.energy, "smooth", True) else ():  # an energy may say that it has kinks
        found = _refine(p, rule, rtol, smooth, tail, first)
        if found:
            return found
    low, high = (np.zeros(p.space.dim) + end for end in (rules[0].low, rules[0].high))
    patches, log_z, error = adapt(on_host(p), low, high, rtol, max_nodes)
    error += tail + rounding(log_z)
    if error > rtol:
        raise QuadratureError(f"log Z = {log_z:.6g} is known to {error:.1e}, rounding included: rtol={rtol:g} is too small")
    variants = lambda: [replace(patches, nodes=n) for n in (13, 14, 16)]
    return Quadrature(patches, log_z, error, lambda: replace(patches, nodes=16), variants)


def _first_refinement(p, max_nodes):
    """How far a box's grid must be refined so that no summit can hide between its nodes: three widths apart, they see it."""
    low, high = (np.full(p.space.dim, float(end)) for end in (p.space.low, p.space.high))
    _, width = summits(on_host(p), low, high, BOX_SCAN[p.space.dim], max_nodes)
    gaps = (high - low) * math.pi / 2 / p.space.counts(1.0)  # of Gauss-Legendre nodes, in the middle
    return float((gaps / width).max(initial=0.0)) / 3


def _refine(p, rule, rtol, max_nodes, tail, first):
    """Grow the grid by GROWTH per axis, from `first` on, until log Z has settled; None if that takes more than max_nodes.

    With c the last change and b the one before, the error is taken as max(c, b/4),
    so that a chance agreement of two grids does not pass, and only c ≤ b/100 passes:
    slower convergence means a kink or a jump.  Twice the distance to grids of as many
    other nodes is added: to a kink all grids are strangers.
    """
    refinement, before, change = GROWTH[p.space.dim] ** -2, None, np.inf
    while refinement < first:
        refinement *= GROWTH[p.space.dim]
    while math.prod(counts := rule.counts(refinement)) <= max_nodes:
        grid = rule.grid(counts)
        log_z = log_sum(p, grid)
        if before is not None:
            change_before, change = change, abs(log_z - before)
            floor = rounding(log_z)
            error = max(change, change_before / 4) + tail + floor
            if error <= rtol and (change <= change_before / 100 or change <= floor):
                others = rule.variants(counts)[: STRANGERS[p.space.dim]]
                error += 2 * max(abs(log_sum(p, other) - log_z) for other in others)
            if error <= rtol and (change <= change_before / 100 or change <= floor):
                finer = partial(rule.grid, rule.counts(GROWTH[p.space.dim] * refinement))
                return Quadrature(grid, log_z, error, finer, partial(rule.variants, counts))
        refinement, before = GROWTH[p.space.dim] * refinement, log_z
    return None


def heavy_blocks(p, q, rtol):
    """The blocks of a quadrature's grid, (states, log weights, which carry mass): the rest together less than rtol / 100."""
    for x, log_w in atoms_of(p, q.grid):
        yield x, log_w, exponents(p, x) + log_w - q.log_z > math.log(0.01 * rtol / q.grid.size)


def rounding(log_z):
    """An error bound for the rounding of log Z."""
    return 8 * np.finfo(float).eps * (1 + abs(log_z))


def require_normalisable(p):
    """The Density in double precision; what is none is refused, and an energy that can tell refuses a space on which Z = inf."""
    p = in_double(p)
    check = getattr(p.energy, "require_normalisable", None)  # any callable is an energy: structure is optional
    if check is not None:
        check(to_host(p.theta), p.space)
    return p


def log_sum(p, grid):
    """Eq. (1) on one grid, streamed."""
    top, total = fold(_log_sum, merge, p, atoms_of(p, grid), -np.inf)
    if math.isnan(top) and (where := first_nan(p, grid)):
        raise QuadratureError(f"the energy is nan at x = {where}")
    if not top < np.inf or total == 0.0:
        raise QuadratureError("the energy is +inf everywhere" if top < np.inf else "the energy is -inf somewhere")
    return float(top) + math.log(total)


def _log_sum(p, x, log_w):
    """(m, Σ e^{u - m}) of exponents u with the largest m."""
    u = exponent(p, x)
    if u.dtype != log_w.dtype:
        raise ValueError(f"the energies are {u.dtype} where rows and parameters are {log_w.dtype}, the precision of log Z and its "
                         f"error: leave out what narrows them")
    u = u + log_w
    top = u.max()
    return top, ops.exp(u - ops.where(np.isfinite(top), top, 0.0)).sum()


def merge(before, new):
    """Two vectors (m, sums in units of e^m) as one: an online softmax, which may carry a gradient."""
    m, m_new = float(before[0]), float(new[0])
    if m_new == -np.inf or m == -np.inf:  # nothing there
        return before if m_new == -np.inf else new.copy()
    top = m if m >= m_new else m_new if m_new > m else math.nan
    if m != top:
        before *= math.exp(m - top)
    if m_new != top:
        new *= math.exp(m_new - top)
    before += new
    before[0] = top
    return before


def first_nan(p, grid):
    """The first state of a grid whose energy is nan."""
    p = on_host(p)
    for x, _ in grid.blocks():
        bad = np.isnan(exponents(p, x))
        if bad.any():
            return x[bad][0].tolist()


def require_finite(p, log_z):
    """log Z by structure as a float, refused if it is none."""
    if not math.isfinite(log_z):
        raise QuadratureError(f"log Z of {p.energy!r} came out as {float(log_z)}: its parameters are nan, or too large")
    return float(log_z)


def structural_log_z(p):
    """log Z from the structure of the energy, without enumeration of x; None if there is none."""
    log_z, hidden = closed_form(on_host(p)), hidden_layer(p)
    if log_z is not None:
        return require_finite(p, log_z)
    return log_sum(hidden, hidden.space.grid()) if hidden else None
