"""The maximum mean discrepancy: a distance of two distributions by means of smooth functions."""

import math

import numpy as np

from tinyebm.common.checks import number
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyData
from tinyebm.exact.likelihood import data_law, density_of

ROWS = 512  # rows of a kernel matrix in memory at a time,
NUMBERS = 2**22  # if they hold no more numbers than this: 32 MiB
SAMPLE = 1000  # points from which the default bandwidth is computed


def mmd(x: AnyData, y: AnyData, bandwidth: float | None = None) -> Estimate:
    """The squared maximum mean discrepancy of two distributions, an Estimate.

        MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = exp(-|x - y|² / 2h²)        (1)

    (Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, JMLR 13:723).  It is 0 if and only if the
    distributions are equal.

    Parameters
    ----------
    x, y : arrays (n, d), Data, Target or Density
        Rows count as independent draws.  Pairs of a row with itself are left out, so the estimate
        is unbiased, and may be negative.  For a Target or a Density quadrature is used, without
        noise.
    bandwidth : float, optional
        h, in units of [x]; by default the median distance between points of x and y.

    The error is the standard error of the U-statistics in eq. (1), to second order; it is 0 if
    neither x nor y is a sample.  Cost: all n², m² and n m pairs twice, in blocks of bounded memory.

    Raises
    ------
    QuadratureError
        If the grid of a Density is too coarse for the bandwidth.

    >>> x, y, z = np.random.default_rng(0).standard_normal((3, 500, 1))
    >>> same, other = mmd(x, y), mmd(x, z + 1)
    >>> abs(same) < 4 * same.error, other > 4 * other.error
    (True, True)
    """
    x, y = density_of(x), density_of(y)
    # of each side: rows, probabilities, whether it is a sample
    sides = [(*data_law(side), not hasattr(side, "energy")) for side in (x, y)]
    if sides[0][0].shape[1] != sides[1][0].shape[1]:
        raise ValueError(f"x has {sides[0][0].shape[1]} columns, y has {sides[1][0].shape[1]}")
    if any(sampled and len(rows) < 2 for rows, _, sampled in sides):
        raise ValueError("a sample needs two rows at least: with one there are no pairs")
    h = _median_distance(sides[0][0], sides[1][0]) if bandwidth is None else bandwidth
    if not 0 < number(h) < math.inf:
        median = f" (the median distance is {h!r})" if bandwidth is None else ""
        raise ValueError(f"bandwidth must be positive and finite, got {bandwidth!r}{median}")
    for side, (rows, _, _) in zip((x, y), sides, strict=True):
        _require_resolved(side, rows, h)

    # of each row of side i the mean kernel with side j, (n,); with itself left out of a sample
    means = {}
    for i, (rows, _, _) in enumerate(sides):
        n = len(rows)
        for j, (others, mass, sampled) in enumerate(sides):
            total = np.concatenate(
                [_kernel(part, others, h) @ mass for part in _parts(rows, others)]
            )
            means[i, j] = (total * n - 1) / (n - 1) if i == j and sampled else total
    (_, p, _), (_, q, _) = sides
    value = p @ means[0, 0] + q @ means[1, 1] - 2 * (p @ means[0, 1])
    return Estimate(value, math.sqrt(_variance(sides, means, h)))


def _variance(sides, means, h):
    """The variance of the estimate, 4 ζ_x / n + 4 ζ_y / m + terms of second order.

    ζ_x is the variance over rows of x of their mean kernel with x minus that with y; what these
    means vary because the samples are finite is subtracted (Hoeffding's decomposition).
    """
    sizes = [len(rows) if sampled else math.inf for rows, _, sampled in sides]
    cross = _spread(sides, means, 0, 1, h)
    total = 4 * cross / sizes[0] / sizes[1]
    for i, (_, _, sampled) in enumerate(sides):
        if sampled:
            n, within = sizes[i], _spread(sides, means, i, i, h)
            raw = np.var(means[i, i] - means[i, 1 - i], ddof=1)
            zeta = max(0.0, raw - within / (n - 1) - cross / sizes[1 - i])
            total += 4 * zeta / n + 2 * within / n / (n - 1)
    return total


def _spread(sides, means, i, j, h):
    """The mean square of the kernel between sides i and j, minus its row and column means."""
    (rows, mass, _), (others, other_mass, _) = sides[i], sides[j]
    centre, done, total = mass @ means[i, j], 0, 0.0
    for part in _parts(rows, others):
        here = slice(done, done + len(part))
        k = _kernel(part, others, h) - means[i, j][here, None] - means[j, i] + centre
        if i == j:
            k[np.arange(len(part)), np.arange(len(part)) + done] = 0.0
        total, done = total + mass[here] @ (k * k) @ other_mass, done + len(part)
    return total * len(rows) / (len(rows) - 1) if i == j else total


def _require_resolved(side, rows, h):
    """Raise QuadratureError if nodes are farther apart than h.

    A sum of the kernel over nodes with this gap has a relative error of e^{-2π²h²/gap²}.
    """
    if not hasattr(side, "energy") or side.space.discrete:
        return
    gap = max(float(np.median(np.diff(np.unique(column)))) for column in rows.T)
    if h < gap:
        raise QuadratureError(
            f"the nodes of {side.space} are {gap:.2g} apart, too coarse for a bandwidth of "
            f"{h:.2g}: take a larger one, or a sample in place of the population"
        )


def _kernel(x, y, h):
    """exp(-|x_i - y_j|² / 2h²), (n, m)."""
    distance = sum((a[:, None] - b) ** 2 for a, b in zip(x.T, y.T, strict=True))
    return np.exp(distance * (-0.5 / h**2))


def _median_distance(x, y):
    """The median distance between two different rows among evenly picked ones of x and y."""
    z = np.concatenate([side[:: max(1, 2 * len(side) // SAMPLE)] for side in (x, y)])
    distance = np.sqrt(sum((a[:, None] - a) ** 2 for a in z.T))
    return float(np.median(distance[~np.eye(len(z), dtype=bool)]))


def _parts(x, y):
    """The rows of x in blocks whose kernels with y have a bounded size."""
    size = max(1, min(ROWS, NUMBERS // len(y)))
    return [x[i : i + size] for i in range(0, len(x), size)]
