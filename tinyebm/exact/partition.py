"""The partition function Z = ∫ e^{-E_θ(x)} μ(dx), by the cheapest exact method.

1. A formula, or a sum over hidden bits, if the energy has one (`exact.structure`).
2. On a discrete space the sum over all states (`exact.sums`).
3. On R^d and in boxes, d ≤ 3, quadrature: the same sum over the nodes of a grid.  The grid is
   refined until the relative error of Z is at most `rtol` (`exact.nodes.quadrature`).
"""

from tinyebm.common.checks import require_fraction
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity, Array
from tinyebm.exact.nodes.quadrature import MAX_NODES, quadrature
from tinyebm.exact.structure import require_normalisable, structural_log_z
from tinyebm.exact.sums import rounding


def log_partition(
    p: AnyDensity, rtol: float = 1e-8, max_nodes: int = MAX_NODES, rows: Array | None = None
) -> Estimate:
    """log Z of a density, in nats, with its error.

    If the energy has a formula of log Z, it is used.  Otherwise, on Bits, Spins and Cells, log Z is
    a sum over all states (at most 2^26), over the hidden bits of an RBM, or over the columns of a
    lattice.  On Box and Reals it is computed by quadrature; `tinyebm.exact.nodes.scans` says how
    narrow a peak may be.

    Parameters
    ----------
    p : Density
        On a discrete space, on Box or Reals of dimension ≤ 3, or of an energy with a formula.
    rtol : float
        Accepted relative error of Z.
    max_nodes : int
        The most nodes of a grid; one block of them is in memory at a time.
    rows : array (n, d), optional
        Rows of data, near which the density may have peaks.

    Returns
    -------
    Estimate
        The error is the change in the last two refinements, plus the mass outside the
        window, plus rounding.

    Raises
    ------
    DivergentPartitionError
        If a check of the energy finds that Z is infinite (for an MLP on R^d the check is exact).
    QuadratureError
        If `max_nodes` nodes are too few for `rtol`, or no bounded window holds the density.  The
        message names the axis, the tail or the place.

    >>> from tinyebm import ops, Density, Reals
    >>> p = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(2))
    >>> round(log_partition(p), 9)  # log 2π
    1.837877066
    """
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    log_z = structural_log_z(p)
    if log_z is not None:
        return Estimate(log_z, rounding(log_z))
    q = quadrature(p, rtol, max_nodes, rows=rows)
    return Estimate(q.log_z, q.error)
