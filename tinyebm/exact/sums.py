"""Sums over the atoms of a grid, in one pass and in bounded memory.

With states x_i, log weights log w_i and exponents u_i = log w_i - E(x_i),

    Z = Σ_i e^{u_i},      E_p[f] = Σ_i f(x_i) e^{u_i} / Z.                  (1)

e^{u_i} may overflow.  So every sum is kept as a vector (m, Σ e^{u_i - m}, Σ f(x_i) e^{u_i - m}),
with m the largest u_i so far; `merge` adds two such vectors.  The method is called online softmax.
"""

import math
from collections.abc import Callable

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import vjp
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array
from tinyebm.common.tree import tree_map
from tinyebm.density import atoms_of, exponent, exponents, on_host
from tinyebm.replay.door import reduce_rows
from tinyebm.spaces.rows import double, numbers


def log_sum(p, grid):
    """log Z of eq. (1) on one grid, a float."""
    return _stream(_log_sum, p, grid)[0]


def model_phase(p, grid):
    """(log Z, E_p[∇_θ E_θ]) on one grid; the second is a tree like theta."""
    log_z, total, gradient = _stream(_model_phase, p, grid)
    return log_z, tree_map(lambda g: g / total, gradient)


def _stream(function, p, grid):
    """(log Z, Σ e^{u - m}, further sums) from the sums that a function returns for every block."""
    top, total, *others = reduce_rows(function, merge, p, atoms_of(p, grid), -np.inf)
    if math.isnan(top) and (where := first_nan(p, grid)):
        raise QuadratureError(f"the energy is nan at x = {where}")
    if not top < np.inf:
        raise QuadratureError("the energy is -inf somewhere")
    if total == 0.0:
        raise QuadratureError("the energy is +inf everywhere")
    return float(top) + math.log(total), total, *others


def _log_sum(p, x, log_w):
    """(m, Σ e^{u - m}) of the atoms of one block."""
    u = exponent(p, x)
    if u.dtype != log_w.dtype:
        raise ValueError(
            f"the energies are {u.dtype} where rows and parameters are {log_w.dtype}, the "
            "precision of log Z and its error: leave out what narrows them"
        )
    top, mass = _scaled(u + log_w)
    return top, mass.sum()


def _model_phase(p, x, log_w):
    """(m, Σ e^{u - m}, Σ e^{u - m} ∇_θ E_θ) of the atoms of one block."""
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    top, mass = _scaled(p.space.log_base(x) + log_w - energies)
    return top, mass.sum(), pullback(mass)[0]


def _scaled(u):
    """The largest exponent m, and e^{u - m}."""
    top = u.max()
    return top, ops.exp(u - ops.where(np.isfinite(top), top, 0.0))


def merge(before, new):
    """The sum of two vectors (m, sums in units of e^m), in units of e^m for the larger m.

    It may overwrite `before` and `new`.
    """
    if new[0] == -np.inf:  # empty: e^{u - m} is 0, and its gradient may be nan
        return before
    if before[0] == -np.inf:
        return new.copy()
    top = np.maximum(before[0], new[0])  # nan if one of them is
    before *= np.exp(before[0] - top)
    new *= np.exp(new[0] - top)
    before += new
    before[0] = top
    return before


def mean_over(p, f, grid):
    """E_p[f] of eq. (1) on one grid; f is not evaluated where e^{u_i - m} is 0."""
    sums = np.array([-np.inf])
    for x, log_w in grid.blocks():
        u = exponent(p, x) + log_w
        top = max(float(sums[0]), float(u.max()))
        mass = np.exp(u - top) if top > -np.inf else np.zeros(len(u))
        if mass.any():
            x, mass = x[mass > 0], mass[mass > 0]
            added = np.tensordot(mass, values_of(f, x), axes=1)
            sums = merge(sums, np.concatenate([[top, mass.sum()], np.ravel(added)]))
    mean = (sums[2:] / sums[1]).reshape(np.shape(added))
    return mean if np.ndim(mean) else float(mean)


def values_of(f: Callable, x: Array) -> Array:
    """f at the rows of x, an array (n, ...) in double precision.

    Raises
    ------
    ValueError
        If f does not return one value per row, or a value is nan.
    """
    wanted = f"f must return one value per row, an array of real numbers of shape ({len(x)}, ...)"
    values = double(numbers(f(x), wanted))
    if values.shape[:1] != (len(x),):
        raise ValueError(f"{wanted}, got shape {values.shape}")
    if (lost := np.isnan(values).reshape(len(x), -1).any(axis=1)).any():
        raise ValueError(f"f is nan where p is not 0, for example at x = {x[lost][0].tolist()}")
    return values


def first_nan(p, grid):
    """The first state of a grid at which the energy is nan, as a list, or None."""
    p = on_host(p)
    for x, _ in grid.blocks():
        bad = np.isnan(exponents(p, x))
        if bad.any():
            return x[bad][0].tolist()


def rounding(log_z):
    """A bound of the rounding error of log Z."""
    return 8 * np.finfo(float).eps * (1 + abs(log_z))
