"""E_p[f] by quadrature, for functions f that are smooth and for functions that jump.

Smooth.  A sum over the grid on which log Z holds, and over grids of other nodes: they agree.

Not smooth.  The grid's domain is cut into boxes.  In each box ∫ f p is computed by five rules,
Gauss-Legendre and Gauss-Lobatto, and the boxes in which they differ most are halved until all
differences together are small.  The rules are chosen so that wherever one jump lies in a box, the
error of their mean is less than half of the largest difference between them
(`tests/exact/test_means.py` tries all places): Gauss-Legendre rules alone have no nodes beside a
face of the box, and so would agree on a jump there.  Reported is the sum of the largest differences
over all boxes. What f does between nodes of all grids alone is not seen.
"""

import math
from collections.abc import Callable

import numpy as np

from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array
from tinyebm.density import exponent
from tinyebm.exact.nodes.adapt import Patches, halved, too_thin
from tinyebm.spaces.grids import legendre, lobatto
from tinyebm.spaces.own import OwnSpace
from tinyebm.spaces.rows import double, numbers

RULES = ((12, legendre), (14, legendre), (16, legendre), (13, lobatto), (15, lobatto))
PER_BOX = 8  # nodes of a product grid along each axis of a box
# nodes of all rules in boxes that are split further; in space boxes would hold too many
MOST = {1: 2**20, 2: 2**18}


def values_of(f: Callable, x: Array) -> Array:
    """f at the rows of x as an array (n, ...) of doubles, refused if it is none or nan."""
    wanted = f"f must return one value per row, an array of real numbers of shape ({len(x)}, ...)"
    values = double(numbers(f(x), wanted))
    if values.shape[:1] != (len(x),):
        raise ValueError(f"{wanted}, got shape {values.shape}")
    if (lost := np.isnan(values).reshape(len(x), -1).any(axis=1)).any():
        raise ValueError(f"f is nan where p is not 0, for example at x = {x[lost][0].tolist()}")
    return values


def mean_over(p, f, grid):
    """Σ_i f(x_i) p_i over a grid's atoms, in one streaming pass; where p is zero f does not count,
    be it infinite."""
    top, total, weighted = -np.inf, 0.0, 0.0
    for x, log_w in grid.blocks():
        u = exponent(p, x) + log_w
        new_top = max(top, float(u.max()))
        mass = np.exp(u - new_top) if new_top > -np.inf else np.zeros(len(u))
        if not mass.any():
            continue
        shrink = math.exp(top - new_top)
        x, mass = x[mass > 0], mass[mass > 0]
        added = np.tensordot(mass, values_of(f, x), axes=1)
        top, total, weighted = new_top, shrink * total + mass.sum(), shrink * weighted + added
    mean = weighted / total
    return mean if np.ndim(mean) else float(mean)


def settled_mean(p, f, q, rtol):
    """(E_p[f], its error, the size of f) by a Quadrature; the error of a sum over all states is 0.

    What p itself is in error by, `q.error` times that size, is not in it: the size is E|f - E f|
    for a sum that divides by the mass of its own nodes, and E|f| for a sum over boxes.
    """
    both = mean_over(
        p, lambda x: np.stack([(values := values_of(f, x)), np.abs(values)], axis=1), q.grid
    )
    mean, size = both[0], both[1]
    others = [mean_over(p, f, grid) for grid in q.variants()]
    if not others or not np.isfinite(mean).all():
        return mean, np.zeros_like(size), size
    means = np.stack([mean, *others])
    mean, error = means.mean(axis=0), np.ptp(means, axis=0)
    if p.space.dim in MOST and not np.all(error <= rtol * size):
        return *_by_boxes(p, f, q, rtol * np.max(size)), size
    spread = mean_over(p, lambda x: np.abs(values_of(f, x) - mean), q.grid)
    return mean, error if np.all(error <= rtol * size) else 2 * error, spread


def _by_boxes(p, f, q, tolerance):
    """(E_p[f], the sum of the rules' differences) over boxes that are halved until it is within the
    tolerance."""
    if isinstance(p.space, OwnSpace):
        raise QuadratureError(
            f"E[f] differs between sets of atoms of {p.space}: on a space of one's own f must be "
            "smooth"
        )
    low, high = q.grid.boxes(PER_BOX)
    sums = _sums(p, f, low, high, q.log_z)
    while True:
        error = np.ptp(sums, axis=1)  # (boxes, ...)
        total, worst = error.sum(axis=0), error.reshape(len(low), -1).max(axis=1)
        split = (worst > max(tolerance / (4 * len(low)), worst.max() / 100)) & ~too_thin(
            low, high
        ).any(axis=1)
        lows, highs = halved(low[split], high[split])
        nodes = sum(n**p.space.dim for n, _ in RULES)
        if (
            np.max(total) <= tolerance
            or not split.any()
            or (len(low) + len(lows)) * nodes > MOST[p.space.dim]
        ):
            return sums.mean(axis=1).sum(axis=0), total
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])
        sums = np.concatenate([sums[~split], _sums(p, f, lows, highs, q.log_z)])


def _sums(p, f, low, high, log_z):
    """∫ f p over every box by every rule, (boxes, rules, ...)."""
    found = []
    for nodes, rule in RULES:
        patches = Patches(low, high, nodes, rule)
        found.append(
            np.concatenate(
                [
                    _box_sums(p, f, x, log_w - log_z, patches.per_box)
                    for x, log_w in patches.blocks()
                ]
            )
        )
    return np.stack(found, axis=1)


def _box_sums(p, f, x, log_w, per_box):
    mass = np.exp(exponent(p, x) + log_w)
    there = mass > 0
    some = values_of(f, x[there] if there.any() else x[:1])
    weighted = np.zeros((len(x), *some.shape[1:]))
    if there.any():
        weighted[there] = mass[there].reshape(-1, *[1] * (some.ndim - 1)) * some
    return weighted.reshape(-1, per_box, *some.shape[1:]).sum(axis=1)
