"""Sums over the atoms of a grid, streamed block by block.

    log Z = log Σ_i exp(log w_i - E(x_i)),                                  (1)

kept as a pair (m, Σ_i e^{u_i - m}) with m the largest exponent u_i = log w_i - E(x_i) so far.
"""

import math

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.errors import QuadratureError
from tinyebm.density import atoms_of, exponent, exponents, on_host
from tinyebm.replay.door import fold


def log_sum(p, grid):
    """Eq. (1) on one grid, streamed."""
    top, total = fold(_log_sum, merge, p, atoms_of(p, grid), -np.inf)
    if math.isnan(top) and (where := first_nan(p, grid)):
        raise QuadratureError(f"the energy is nan at x = {where}")
    if not top < np.inf or total == 0.0:
        raise QuadratureError(
            "the energy is +inf everywhere" if top < np.inf else "the energy is -inf somewhere"
        )
    return float(top) + math.log(total)


def _log_sum(p, x, log_w):
    """(m, Σ e^{u - m}) of exponents u with the largest m."""
    u = exponent(p, x)
    if u.dtype != log_w.dtype:
        raise ValueError(
            f"the energies are {u.dtype} where rows and parameters are {log_w.dtype}, the "
            "precision of log Z and its error: leave out what narrows them"
        )
    u = u + log_w
    top = u.max()
    return top, ops.exp(u - ops.where(np.isfinite(top), top, 0.0)).sum()


def merge(before, new):
    """Two vectors (m, sums in units of e^m) as one: an online softmax, which may carry a
    gradient."""
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


def rounding(log_z):
    """An error bound for the rounding of log Z."""
    return 8 * np.finfo(float).eps * (1 + abs(log_z))
