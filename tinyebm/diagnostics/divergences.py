"""How far apart are two densities?  Exactly, by quadrature."""

import numpy as np

from tinyebm.estimate import Estimate
from tinyebm.exact.partition import log_prob, mean_over, quadrature


def kl(p, q, rtol=1e-8):
    """KL(p‖q) = E_p[log p - log q], an Estimate in nats; inf if q is 0 where p is not.

    Summed over the grid of p; the error is the change on the next finer grid,
    plus the errors of both log Z.

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> import numpy as np
    >>> normal = lambda m: Density(GaussianEnergy(1), {"mean": np.array([m]), "precision": np.eye(1)}, Reals(1))
    >>> round(kl(normal(0.0), normal(2.0)), 9)
    2.0
    """
    zp, zq = quadrature(p, rtol), quadrature(q, rtol)
    log_ratio = lambda x: log_prob(p, x, zp.log_z) - log_prob(q, x, zq.log_z)
    coarse, fine = mean_over(p, log_ratio, zp.grid), mean_over(p, log_ratio, zp.finer())
    if fine == np.inf:
        return Estimate(np.inf, 0.0)
    return Estimate(fine, abs(fine - coarse) + zp.error + zq.error)


def total_variation(p, q, rtol=1e-8):
    """TV(p, q) = ½ ∫ |p - q| dx = 1 - E_p[min(1, q/p)], an Estimate between 0 and 1.

    Computed from both sides, on the finer grids of p and of q: the mean is
    returned, and the error covers their difference.  |p - q| has a kink where the
    densities cross, so a few digits are all it takes.
    """
    zp, zq = quadrature(p, rtol), quadrature(q, rtol)

    def from_side(p, zp, q, zq, grid):
        overlap = lambda x: np.exp(np.minimum(0.0, log_prob(q, x, zq.log_z) - log_prob(p, x, zp.log_z)))
        return 1 - mean_over(p, overlap, grid)

    one, other = from_side(p, zp, q, zq, zp.finer()), from_side(q, zq, p, zp, zq.finer())
    coarse = from_side(p, zp, q, zq, zp.grid)
    return Estimate((one + other) / 2, max(abs(one - other), abs(one - coarse)) + zp.error + zq.error)
