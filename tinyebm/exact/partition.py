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

from tinyebm.common.backend import to_host, to_numpy
from tinyebm.common.checks import ENERGY, part_of, require_count, require_fraction
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity, Array
from tinyebm.density import atoms_of, exponents, in_double, on_host
from tinyebm.exact.nodes.adapt import adapt
from tinyebm.exact.nodes.peaks import candidates, summits
from tinyebm.exact.nodes.scans import WHOLE, Scan, nodes_to_see
from tinyebm.exact.nodes.window import DROPS, find_window
from tinyebm.exact.structure import closed_form, hidden_layer
from tinyebm.exact.sums import log_sum, rounding
from tinyebm.spaces.grids import CHUNK
from tinyebm.spaces.own import OwnSpace

MAX_NODES = 2**23
# a product grid that has not converged by then is at a kink
SMOOTH_NODES = {1: 2**13, 2: 2**19, 3: 2**23}
# error of a grid in the plane or in space below which chance agreement is unlikely: one other grid
# is asked
CERTAIN = 1e-6
GROWTH = {1: 1.5, 2: 1.5, 3: 1.3}  # nodes per axis, from one grid to the next


@dataclass(frozen=True)
class Quadrature:
    """A grid (Grid or Patches) on which log Z holds to `error`; everything exact is summed over it.

    `finer()` is the next finer grid.  `variants()` are grids as good as this one, of other nodes:
    how far another sum differs between them is its error.
    """

    grid: Any
    log_z: float
    error: float
    finer: Any
    variants: Any = tuple


def log_partition(
    p: AnyDensity, rtol: float = 1e-8, max_nodes: int = MAX_NODES, rows: Array | None = None
) -> Estimate:
    """log Z of a density, in nats, with its error.

    On Bits, Spins and Cells a sum over all states (at most 2^26), by structure over fewer: an RBM's
    hidden layer, the columns of a lattice; by formula for energies that have one.  Otherwise on Box
    and Reals quadrature: how narrow a peak it sees is said in `tinyebm.exact.nodes.scans`.

    Parameters
    ----------
    p : Density
        On a discrete space, on Box or Reals of dimension ≤ 3, or of an energy with structure.
    rtol : float
        Accepted relative error of Z.
    max_nodes : int
        The largest grid tried; a block of it is in memory at a time.
    rows : array (n, d), optional
        Rows of data, which show where the density may have peaks.

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
    q = quadrature(p, rtol, max_nodes, rows=rows)
    return Estimate(q.log_z, q.error)


def quadrature(p, rtol=1e-8, max_nodes=MAX_NODES, least=DROPS[0], rows=None):
    """The Quadrature behind `log_partition`: the grid on which it holds; on R^d its faces lie at
    least `least` nats down.

    Rows of data (n, d) show where the density may have peaks.  One that is far likelier than every
    node is refused.
    """
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
        raise ValueError(
            f"quadrature is for dim <= 3: with 40 nodes per axis, dim {p.space.dim} needs "
            f"{40**p.space.dim:.1e} of them; te.ais estimates log Z in any dimension"
        )
    if isinstance(p.space, OwnSpace):
        return _refine_atoms(p, rtol, max_nodes)
    host = on_host(p)
    if rows is not None:
        rows = to_numpy(rows)
        rows = rows[p.space.contains(rows)]
    found, scan = _integrate(p, host, rtol, max_nodes, least, rows)
    if rows is not None and len(rows):
        _require_seen(host, found, scan, rows)
    if (known := closed_form(host)) is not None and not abs(
        found.log_z - float(known)
    ) <= rtol + found.error:
        raise QuadratureError(
            f"log Z is {float(known):.6g} by formula and {found.log_z:.6g} by quadrature: a peak "
            "is too narrow for its nodes to see"
        )
    return found


def _refine_atoms(p, rtol, max_nodes):
    """The Quadrature of a space of one's own: more and more of its atoms."""
    found = _refine(p, p.space, rtol, max_nodes, 0.0, 0.0, None)
    if found is None:
        raise QuadratureError(
            f"log Z has not settled to rtol={rtol:g} with {max_nodes} atoms of {p.space}"
        )
    return found


def _integrate(p, host, rtol, max_nodes, least, rows):
    """(Quadrature, Scan) on R^d or in a box: by product grids, or if they do not settle by boxes
    that split."""
    if p.space.bounded:
        low, high = (np.full(p.space.dim, float(end)) for end in (p.space.low, p.space.high))
        scan = Scan(
            host, p.space.grid(nodes_to_see(host, low, high, _at_most(max_nodes, p.space.dim)))
        )
        peaks, sizes = summits(host, scan, low, high, candidates(host, rows))
        # of Gauss-Legendre nodes, in the middle
        gaps = (high - low) * math.pi / 2 / p.space.counts(1.0)
        # three sizes apart, nodes see every summit
        first = float((gaps / sizes).max(initial=0.0)) / 3
        rules, tail = [p.space], 0.0
    else:
        window = find_window(host, rtol, least, rows)
        low = window.low
        high = window.high
        peaks = window.peaks
        sizes = window.sizes
        scan = window.scan
        rules = [window] + [replace(window, graded=True)] * (len(peaks) == 1)
        tail = window.tail
        first = 0.0
    smooth = min(max_nodes, SMOOTH_NODES[p.space.dim])
    # an energy may say that it has kinks
    for rule in rules if getattr(p.energy, "smooth", True) else ():
        found = _refine(
            p, rule, rtol, smooth, tail, first, None if getattr(rule, "graded", False) else scan
        )
        if found:
            return found, scan
    patches, log_z, error = adapt(host, low, high, rtol, max_nodes, peaks, sizes)
    error += tail + rounding(log_z)
    if error > rtol:
        raise QuadratureError(
            f"log Z = {log_z:.6g} is known to {error:.1e}, rounding included: rtol={rtol:g} is too "
            "small"
        )
    return Quadrature(
        patches, log_z, error, lambda: replace(patches, nodes=16), patches.variants
    ), scan


def _at_most(max_nodes, d):
    """Nodes per axis of a scan by at most max_nodes nodes."""
    return {d: min(WHOLE[d], max(3, int(max_nodes ** (1 / d))))}


def _require_seen(p, q, scan, rows):
    """Refuse a density that is much higher at a row of data than at every node."""
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


def _refine(p, rule, rtol, max_nodes, tail, first, scan):
    """Grow the grid by GROWTH per axis, from `first` on, until log Z has settled; None if that
    takes more than max_nodes.

    With c the last change and b the one before, the error is taken as max(c, b/4),
    so that a chance agreement of two grids does not pass, and only c ≤ b/100 passes:
    slower convergence means a kink or a jump.  Two grids can agree by chance at a kink, so
    all grids of as many other nodes are summed (one of them, where the error is below
    CERTAIN in two or three dimensions), and twice the largest difference is added; so is the
    difference to the sum over a scan that is finer, which sees peaks between the nodes.
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
                others = rule.variants(counts)
                others = others[:1] if error < CERTAIN and p.space.dim > 1 else others
                error += 2 * max(abs(log_sum(p, other) - log_z) for other in others)
                if scan is not None and all(
                    n <= m for n, m in zip(counts, scan.shape, strict=True)
                ):
                    error += abs(scan.log_sum - log_z)
            if error <= rtol and (change <= change_before / 100 or change <= floor):
                finer = partial(rule.grid, rule.counts(GROWTH[p.space.dim] * refinement))
                return Quadrature(grid, log_z, error, finer, partial(rule.variants, counts))
        refinement, before = GROWTH[p.space.dim] * refinement, log_z
    return None


def heavy_blocks(p, q, rtol):
    """The blocks of a quadrature's grid, (states, log weights, which carry mass): the rest together
    less than rtol / 100."""
    for x, log_w in atoms_of(p, q.grid):
        yield x, log_w, exponents(p, x) + log_w - q.log_z > math.log(0.01 * rtol / q.grid.size)


def heavy_states(p, q, rtol):
    """The nodes of a quadrature that carry mass, (m, d)."""
    return np.concatenate([x[heavy] for x, _, heavy in heavy_blocks(p, q, rtol)])


def require_normalisable(p):
    """The Density in double precision; what is none is refused, and an energy that can tell refuses
    a space on which Z = inf."""
    p = in_double(p)
    # any callable is an energy: structure is optional
    check = part_of(p.energy, "require_normalisable", ENERGY)
    if check is not None:
        check(to_host(p.theta), p.space)
    return p


def require_finite(p, log_z):
    """log Z by structure as a float, refused if it is none."""
    if not math.isfinite(log_z):
        raise QuadratureError(
            f"log Z of {p.energy!r} came out as {float(log_z)}: its parameters are nan, or too "
            "large"
        )
    return float(log_z)


def structural_log_z(p):
    """log Z from the structure of the energy, without enumeration of x; None if there is none."""
    log_z, hidden = closed_form(on_host(p)), hidden_layer(p)
    if log_z is not None:
        return require_finite(p, log_z)
    return log_sum(hidden, hidden.space.grid()) if hidden else None
