"""Distances between two densities, by quadrature, with errors."""

import math
from typing import Any

import numpy as np

from tinyebm.common.checks import require_fraction
from tinyebm.common.errors import EmptyError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyDensity
from tinyebm.density import Density, exponent_and_score, in_double
from tinyebm.exact.likelihood import density_of
from tinyebm.exact.means import settled_mean
from tinyebm.exact.nodes.adapt import adapt
from tinyebm.exact.nodes.peaks import summits
from tinyebm.exact.nodes.quadrature import MAX_NODES, heavy_atoms, quadrature
from tinyebm.exact.nodes.window import find_window
from tinyebm.exact.normalised import expectation, log_prob
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.grids import Grid


def kl(p: AnyDensity, q: AnyDensity, rtol: float = 1e-8) -> Estimate:
    """KL(p‖q) = E_p[log p - log q], an Estimate in nats; inf if q is 0 where p is not.

    It is a sum over the grid of p.  The error is the difference to grids with other nodes, plus the
    errors of both log Z.

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> import numpy as np
    >>> theta = lambda m: {"mean": np.array([m]), "precision": np.eye(1)}
    >>> normal = lambda m: Density(GaussianEnergy(1), theta(m), Reals(1))
    >>> round(kl(normal(0.0), normal(2.0)), 9)
    2.0
    """
    p, q = _comparable(p, q)
    zp = quadrature(p, rtol)
    rows = None if p.space.discrete else heavy_atoms(p, zp, rtol)[0]  # q may have peaks there
    zq = log_partition(q, rtol, rows=rows)
    ratio = lambda x: log_prob(p, x, zp.log_z) - log_prob(q, x, zq)
    mean, change, size = settled_mean(p, ratio, zp, rtol)
    if mean == np.inf:
        return Estimate(np.inf, 0.0)
    return Estimate(float(mean), float(change + zp.error * (1 + size) + zq.error))


def total_variation(p: AnyDensity, q: AnyDensity, rtol: float = 1e-4) -> Estimate:
    """TV(p, q) = ½ ∫ |p - q| dx = 1 - ∫ min(p, q) dx, an Estimate between 0 and 1.

    The absolute error is about rtol.  min(p, q) has a kink where the densities cross, so it is
    integrated over boxes that are halved there (`exact.nodes.adapt`).

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> import numpy as np
    >>> theta = lambda m: {"mean": np.array([m]), "precision": np.eye(1)}
    >>> normal = lambda m: Density(GaussianEnergy(1), theta(m), Reals(1))
    >>> round(total_variation(normal(0.0), normal(2.0)), 4)
    0.6827
    """
    p, q = _comparable(p, q)
    require_fraction("rtol", rtol)
    zp, zq = log_partition(p, rtol / 10), log_partition(q, rtol / 10)
    log_overlap = lambda x: np.minimum(log_prob(p, x, zp), log_prob(q, x, zq))
    error = zp.error + zq.error
    if p.space.discrete:
        overlap = sum(float(np.exp(log_overlap(x)).sum()) for x, _ in p.space.grid().blocks())
        return Estimate(1 - min(1.0, overlap), error)
    (p_low, p_high, p_nodes), (q_low, q_high, q_nodes) = _extent(p, rtol), _extent(q, rtol)
    low, high = np.maximum(p_low, q_low), np.minimum(p_high, q_high)
    if (low >= high).any():  # where one density has mass, the other is about 0
        return Estimate(1.0, error)
    shared = Density(lambda theta, x: -log_overlap(x), {}, Reals(p.space.dim))
    try:
        _, peaks, sizes = summits(shared, low, high, most=max(p_nodes, q_nodes))
        _, log_z, change = adapt(shared, low, high, rtol, MAX_NODES, peaks, sizes)
    except EmptyError:
        return Estimate(1.0, error)
    overlap = min(1.0, math.exp(log_z))
    return Estimate(1 - overlap, overlap * change + error)


def fisher_divergence(p: AnyDensity, q: AnyDensity, rtol: float = 1e-8) -> Estimate:
    """The Fisher divergence E_p |∇log p - ∇log q|², an Estimate in units of 1/[x]².

    Z is not needed.  On R^d it is twice the difference of q's score matching loss under p to its
    minimum (Hyvärinen 2005, JMLR 6:695).  It compares slopes: if two modes far apart have wrong
    probabilities, it hardly changes.  It is inf if q is 0 where p is not.  The error is that of
    `te.expectation`.

    Raises
    ------
    ValueError
        On a discrete space, where log p has no gradient.

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> import numpy as np
    >>> theta = lambda m: {"mean": np.array([m]), "precision": np.eye(1)}
    >>> normal = lambda m: Density(GaussianEnergy(1), theta(m), Reals(1))
    >>> round(fisher_divergence(normal(0.0), normal(2.0)), 9)
    4.0
    """
    p, q = _comparable(p, q)
    if p.space.discrete or q.space.discrete:
        raise ValueError(
            "the Fisher divergence compares slopes, and "
            f"{p.space if p.space.discrete else q.space} has none"
        )

    @np.errstate(invalid="ignore")  # slopes where q is 0 are nan, and not used
    def gap(x):
        u, slope = exponent_and_score(q, x)
        difference = exponent_and_score(p, x)[1] - slope
        inside = q.space.contains(x) & (u > -np.inf)
        return np.where(inside, (difference * difference).sum(axis=1), np.inf)

    found: Any = expectation(p, gap, rtol)
    return found if found < np.inf else Estimate(np.inf, 0.0)


def _comparable(p, q):
    """Both as Densities in double precision; ValueError if their states cannot be compared."""
    p, q = in_double(density_of(p)), in_double(density_of(q))
    if p.space.dim != q.space.dim:
        raise ValueError(
            f"p lives on {p.space} and q on {q.space}: states of different dimension are not "
            "compared"
        )
    if p.space.discrete != q.space.discrete:
        raise ValueError(
            f"p lives on {p.space} and q on {q.space}: a sum and an integral are not compared"
        )
    return p, q


def _extent(p, rtol):
    """A box (low, high), both (d,), that holds the mass of p; the nodes per axis that resolve p."""
    grid = getattr(getattr(p, "quadrature", p), "grid", None)
    if isinstance(grid, Grid):
        low, high = grid.boxes(1)
        return low.min(axis=0), high.max(axis=0), max(grid.shape)
    box = find_window(p, rtol) if not p.space.bounded else p.space
    low, high = (np.full(p.space.dim, end) for end in (box.low, box.high))
    return low, high, math.inf
