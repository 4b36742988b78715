"""Quantities that need Z: normalised densities, probabilities, expectations, entropy.

All are sums over the grid of a `Quadrature`.  Their errors follow from its error of log Z, and from
the differences between sums over grids with other nodes (`exact.means`).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.checks import number
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity, Array, Nodes
from tinyebm.density import Density, atom_exponents, exponent, exponents, in_double, on_host
from tinyebm.exact.means import settled_mean
from tinyebm.exact.nodes.quadrature import Quadrature, quadrature
from tinyebm.exact.partition import log_partition
from tinyebm.exact.structure import has_formula
from tinyebm.exact.sums import rounding
from tinyebm.spaces.rows import double, exact_rows, numbers

# nats from the peak down to the faces of wider and wider windows, for functions that grow
WIDER = (80.0, 160.0, 320.0)


def log_prob(p: AnyDensity, x: Array, log_z: float | None = None) -> Array:
    """Normalised log density of the rows of x, (n,), in nats; -inf outside the space.

    In a continuous space it is with respect to Lebesgue measure.  Every call computes log Z, unless
    `log_z` is given.  Rows are any array or table of numbers without nan (`tinyebm.spaces.rows`).

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> p = Density(GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, Reals(1))
    >>> log_prob(p, np.array([[0.0], [1.0]])).round(6)
    array([-0.918939, -1.418939])
    """
    p = in_double(p)
    x = exact_rows(x, p.space.dim)
    log_z = number(log_partition(p) if log_z is None else log_z)
    if math.isnan(log_z):
        raise ValueError("log_z must be a number, the logarithm of Z")
    inside = p.space.contains(x)
    inside = slice(None) if inside.all() else inside  # a view, where a mask copies
    log_p = np.zeros_like(x, shape=len(x)) - np.inf
    log_p[inside] = exponents(p, x[inside]) - log_z
    return log_p


def probabilities(p: AnyDensity, nodes: Nodes = None, rtol: float = 1e-6) -> Array:
    """p(x_i) w_i for each atom of `p.space.atoms(nodes)`, (N,), normalised to sum to one.

    Raises
    ------
    QuadratureError
        If log Z from these atoms is wrong by more than rtol, because they are too coarse or do not
        cover the density.

    >>> from tinyebm import Cells, Density, TabularEnergy
    >>> probabilities(Density(TabularEnergy(2), {"energy": np.array([0.0, np.log(3)])}, Cells(2)))
    array([0.75, 0.25])
    """
    p = in_double(p)
    grid = p.space.grid(nodes)
    grid.require_listable()
    u = atom_exponents(p, grid)
    log_z = float(logsumexp(u))
    if not math.isfinite(log_z):
        raise QuadratureError("the energy is nan or -inf at some atom, or +inf at all of them")
    if not p.space.discrete:
        off = abs(log_z - log_partition(p, rtol=rtol / 10))
        if not off <= rtol:
            raise QuadratureError(
                f"the {len(u)} atoms of {p.space} give log Z wrong by {off:.1e}: the density lies "
                "outside them or is finer than they are; use Reals(dim, extent=...), a smaller "
                "Box or nodes="
            )
    mass = np.exp(u - u.max())
    return mass / mass.sum()


def expectation(p: AnyDensity, f: Callable[[Array], Array], rtol: float = 1e-8) -> Estimate | Array:
    """E_p[f(x)]: an Estimate if f gives one number per row, else an array of f's trailing shape.

    The error is the difference between sums over grids with other nodes, and on R^d over wider
    and wider windows.  (If f grows almost as fast as p decays, the widest may be too small; the
    error is large then.)  Where f jumps, boxes are halved at the jump (`tinyebm.exact.means`): on
    the line to the required accuracy, in the plane to about three decimals.

    >>> from tinyebm import ops, Box, Density
    >>> uniform = Density(lambda theta, x: 0.0 * x[:, 0], {}, Box(0, 1, 1))
    >>> abs(expectation(uniform, lambda x: x[:, 0] ** 2) - 1 / 3) < 1e-12
    True
    """
    if not callable(f):
        raise ValueError(f"f must be a function of states x (n, d), got {f!r}")
    p = on_host(in_double(p))
    q = quadrature(p, rtol)
    mean, error, size = settled_mean(p, f, q, rtol)
    for least in () if p.space.bounded or hasattr(p, "grid") else WIDER:
        try:
            before, q = mean, quadrature(p, rtol, least=least, peaks=q.peaks)
        except QuadratureError:  # the tails are too heavy for a wider window
            if least == WIDER[0]:  # beyond this one f counts as if it stayed as large as there
                beyond = double(numbers(f(_corners(q.grid)), "f"))
                error = error + q.error * np.abs(beyond).max(axis=0)
            break
        mean, error, size = settled_mean(p, f, q, rtol)
        with np.errstate(invalid="ignore"):  # inf - inf
            change = np.where(mean == before, 0.0, np.abs(mean - before))
        unsettled = error > rtol * size
        error = error + change
        if np.all((change <= rtol * np.abs(mean)) | unsettled & (change <= error)):
            break
    if np.ndim(mean):
        return mean
    return Estimate(float(mean), float(error + q.error * size + 4 * rounding(size)))


def _corners(grid):
    """The corners of a grid's domain, (2^d, d)."""
    low, high = grid.boxes(1)
    ends = zip(low.min(axis=0), high.max(axis=0), strict=True)
    return np.array(list(itertools.product(*ends)))


def entropy(p: AnyDensity, rtol: float = 1e-8) -> Estimate:
    """The entropy -E_p[log p(x)], an Estimate in nats: differential, or Shannon's on states.

    >>> from tinyebm import Cells, Density, TabularEnergy
    >>> fair = Density(TabularEnergy(4), {"energy": np.zeros(4)}, Cells(4))
    >>> round(entropy(fair) / np.log(2), 9)  # bits
    2.0
    """
    p = on_host(in_double(p))
    q = quadrature(p, rtol)
    mean, change, size = settled_mean(p, lambda x: q.log_z - exponent(p, x), q, rtol)
    return Estimate(float(mean), float(change + q.error * (1 + size) + rounding(size)))


@dataclass(frozen=True, eq=False)
class Normalised:
    """A Density whose `quadrature` is known: no number about it searches for nodes again."""

    density: Density
    quadrature: Quadrature

    energy = property(lambda self: self.density.energy, doc="The energy of the Density.")
    theta = property(lambda self: self.density.theta, doc="Its parameters.")
    space = property(lambda self: self.density.space, doc="Its space.")


def normalised(p, rtol, rows):
    """The Normalised density of p; p itself, if Z has a formula.

    Near rows of data (n, d) p may have peaks.
    """
    return p if has_formula(p) else Normalised(in_double(p), quadrature(p, rtol, rows=rows))
