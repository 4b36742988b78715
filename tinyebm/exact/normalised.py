"""What Z makes possible: normalised densities, probabilities, expectations, entropy."""

import math
from collections.abc import Callable

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.checks import number
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity, Array, Nodes
from tinyebm.density import atom_exponents, exponent, exponents, in_double, on_host
from tinyebm.exact.means import settled_mean
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sums import rounding
from tinyebm.spaces.rows import double, exact_rows, numbers

# nats below the peak, where the faces of a window are moved for functions that grow
WIDER = (80.0, 160.0, 320.0)


def log_prob(p: AnyDensity, x: Array, log_z: float | None = None) -> Array:
    """Normalised log density of the rows of x, (n,), in nats (per [x]^d: against Lebesgue measure);
    -inf outside the space.

    Every call computes log Z; pass `log_z` to reuse one.  Rows are whatever holds numbers
    (`tinyebm.spaces.rows`), without nan.
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
    """The probability of each atom of `p.space.atoms(nodes)`, (N,): p(x_i) w_i, normalised to sum
    to one.

    Raises
    ------
    QuadratureError
        If these atoms miss or blur the density: their log Z is off by more than rtol.

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
    """E_p[f(x)] by quadrature: an Estimate if f gives one number per row, an array of f's trailing
    shape otherwise.

    The error is how far the sum differs between grids of other nodes, and on R^d between
    wider and wider windows (large where f grows almost as fast as p decays: there the
    widest of them may still be too small).  Where f jumps, the sum is taken over boxes
    that are halved at the jump (`tinyebm.exact.means`): on the line to the accuracy asked
    for, in the plane to about three decimals.

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
        # tails too heavy to follow: what is beyond counts as if f stayed as large as on the faces
        except QuadratureError:
            if least == WIDER[0]:
                error = error + q.error * np.abs(double(numbers(f(q.grid.corners()), "f"))).max(
                    axis=0
                )
            break
        mean, error, size = settled_mean(p, f, q, rtol)
        change, unsettled = np.abs(mean - before), error > rtol * size
        error = error + change
        if np.all((change <= rtol * np.abs(mean)) | unsettled & (change <= error)):
            break
    return (
        mean
        if np.ndim(mean)
        else Estimate(float(mean), float(error + q.error * size + 4 * rounding(size)))
    )


def entropy(p: AnyDensity, rtol: float = 1e-8) -> Estimate:
    """Differential (or Shannon) entropy -E_p[log p(x)] = log Z - E_p[exponent], an Estimate in
    nats."""
    p = on_host(in_double(p))
    q = quadrature(p, rtol)
    mean, change, size = settled_mean(p, lambda x: q.log_z - exponent(p, x), q, rtol)
    return Estimate(float(mean), float(change + q.error * (1 + size) + rounding(size)))
