"""Maximum mean discrepancy: how far apart are two laws, seen through smooth functions?"""

import math

import numpy as np

from tinyebm.common.checks import number
from tinyebm.common.errors import QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyData
from tinyebm.exact.likelihood import data_law, density_of

ROWS = 512  # rows of a kernel matrix held at a time
SAMPLE = 1000  # points that the default bandwidth looks at


def mmd(x: AnyData, y: AnyData, bandwidth: float | None = None) -> Estimate:
    """The squared maximum mean discrepancy of two laws, an Estimate:

        MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = exp(-|x - y|² / 2h²)        (1)

    (Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, JMLR 13:723), 0 if and only if the laws are
    equal.

    Parameters
    ----------
    x, y : arrays (n, d), Data; or populations: Target, Density, law
        Rows count as independent draws, and pairs of a row with itself are left out: the estimate
        is unbiased, so it may be negative.  A population stands for all of itself, by quadrature,
        without noise.
    bandwidth : float, optional
        h, in units of [x]; by default the median distance between points of x and y.

    The error is the standard error of eq. (1)'s U-statistics, to second order; 0 between
    populations. Raises QuadratureError for a population whose grid is too coarse for the bandwidth.
    Cost: all n², m² and n m pairs twice, in blocks of bounded memory.

    >>> x, y, z = np.random.default_rng(0).standard_normal((3, 500, 1))
    >>> same, other = mmd(x, y), mmd(x, z + 1)
    >>> abs(same) < 4 * same.error, other > 4 * other.error
    (True, True)
    """
    x, y = density_of(x), density_of(y)
    # rows, masses, whether a sample
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

    # (side, other): mean kernel of each row of side with other, (n,), itself left out of a sample
    means = {}
    for i, (rows, _, _) in enumerate(sides):
        for j, (others, mass, sampled) in enumerate(sides):
            total = np.concatenate([_kernel(part, others, h) @ mass for part in _parts(rows)])
            means[i, j] = (total * len(rows) - 1) / (len(rows) - 1) if i == j and sampled else total
    (_, p, _), (_, q, _) = sides
    value = p @ means[0, 0] + q @ means[1, 1] - 2 * (p @ means[0, 1])
    return Estimate(value, math.sqrt(_variance(sides, means, h)))


def _variance(sides, means, h):
    """The variance of the estimate by Hoeffding's decomposition: 4 ζ_x/n + 4 ζ_y/m + the parts of
    second order.

    ζ is the variance of a row's mean kernel with x minus that with y, less what its own finite
    samples add to it.
    """
    sizes = [len(rows) if sampled else math.inf for rows, _, sampled in sides]
    cross = _spread(sides, means, 0, 1, h)
    total = 4 * cross / sizes[0] / sizes[1]
    for i, (_, _, sampled) in enumerate(sides):
        if sampled:
            n, within = sizes[i], _spread(sides, means, i, i, h)
            rows = (
                np.var(means[i, i] - means[i, 1 - i], ddof=1)
                - within / (n - 1)
                - cross / sizes[1 - i]
            )
            total += 4 * max(0.0, rows) / n + 2 * within / n / (n - 1)
    return total


def _spread(sides, means, i, j, h):
    """The mean square of the kernel between sides i and j with its row and column means taken
    out."""
    (rows, mass, _), (others, other_mass, _) = sides[i], sides[j]
    centre, done, total = mass @ means[i, j], 0, 0.0
    for part in _parts(rows):
        here = slice(done, done + len(part))
        k = _kernel(part, others, h) - means[i, j][here, None] - means[j, i] + centre
        if i == j:
            k[np.arange(len(part)), np.arange(len(part)) + done] = 0.0
        total, done = total + mass[here] @ (k * k) @ other_mass, done + len(part)
    return total * len(rows) / (len(rows) - 1) if i == j else total


def _require_resolved(side, rows, h):
    """Refuse a population on R^d or a box whose nodes are farther apart than h: sums of the kernel
    err by e^{-2π²h²/gap²}."""
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
    """The median distance between evenly picked rows of x and of y together, a row and itself left
    out."""
    z = np.concatenate([side[:: max(1, 2 * len(side) // SAMPLE)] for side in (x, y)])
    distance = np.sqrt(sum((a[:, None] - a) ** 2 for a in z.T))
    return float(np.median(distance[~np.eye(len(z), dtype=bool)]))


def _parts(x):
    return [x[i : i + ROWS] for i in range(0, len(x), ROWS)]
