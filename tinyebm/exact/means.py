"""E_p[f] by quadrature, for functions f that are smooth and for functions that jump.

If f is smooth, the sum over the grid of log Z agrees with sums over grids with other nodes.  The
error is their difference.

If f jumps, these sums differ.  Then the domain is cut into boxes, and ∫ f p is computed in each by
five Gauss-Legendre and Gauss-Lobatto rules.  The boxes in which the rules differ most are halved
until the sum of all differences is small.  The error is the sum of the largest difference in each
box.  The rules are chosen so that for one jump at any place in a box, the error of their mean is
less than half of their largest difference (`tests/exact/test_means.py` tries all places).  Without
the Gauss-Lobatto rules no nodes would lie near the faces of a box, and a jump there would be
missed.

The values of f between the nodes of all grids have no influence.
"""

import numpy as np

from tinyebm.common.errors import QuadratureError
from tinyebm.density import exponent
from tinyebm.exact.nodes.adapt import Patches, halved, too_thin
from tinyebm.exact.sums import mean_over, values_of
from tinyebm.spaces.grids import legendre, lobatto
from tinyebm.spaces.own import OwnSpace

RULES = ((12, legendre), (14, legendre), (16, legendre), (13, lobatto), (15, lobatto))
PER_BOX = 8  # cells of a product grid along each axis of a box
# the most nodes of all rules; in three dimensions boxes would need too many
MOST = {1: 2**20, 2: 2**18}


def settled_mean(p, f, q, rtol):
    """(E_p[f], its error, the size of f) by a Quadrature; the error of a sum over states is 0.

    The error of log Z adds q.error times the size to it.  The size is E|f - E f| for a sum that is
    divided by the mass of its own nodes, and E|f| for a sum over boxes.
    """

    def with_size(x):
        values = values_of(f, x)
        return np.stack([values, np.abs(values)], axis=1)

    mean, size = mean_over(p, with_size, q.grid)
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
    """(E_p[f], the sum of the rules' differences) over boxes, halved until that is small enough."""
    if isinstance(p.space, OwnSpace):
        raise QuadratureError(
            f"E[f] differs between sets of atoms of {p.space}: on a space of one's own f must be "
            "smooth"
        )
    nodes, most = sum(n**p.space.dim for n, _ in RULES), MOST[p.space.dim]
    low, high = q.grid.boxes(PER_BOX)
    sums = _sums(p, f, low, high, q.log_z)  # (boxes, rules, ...)
    while True:
        error = np.ptp(sums, axis=1)  # (boxes, ...)
        total, worst = error.sum(axis=0), error.reshape(len(low), -1).max(axis=1)
        large = worst > max(tolerance / (4 * len(low)), worst.max() / 100)
        split = large & ~too_thin(low, high).any(axis=1)
        lows, highs = halved(low[split], high[split])
        full = (len(low) + len(lows)) * nodes > most
        if np.max(total) <= tolerance or full or not split.any():
            return sums.mean(axis=1).sum(axis=0), total
        low, high = np.concatenate([low[~split], lows]), np.concatenate([high[~split], highs])
        sums = np.concatenate([sums[~split], _sums(p, f, lows, highs, q.log_z)])


def _sums(p, f, low, high, log_z):
    """∫ f p over every box by every rule, (boxes, rules, ...)."""
    found = []
    for nodes, rule in RULES:
        patches = Patches(low, high, nodes, rule)
        blocks = patches.blocks()
        sums = [_box_sums(p, f, x, log_w - log_z, patches.per_box) for x, log_w in blocks]
        found.append(np.concatenate(sums))
    return np.stack(found, axis=1)


def _box_sums(p, f, x, log_w, per_box):
    """∫ f p over the boxes of one block of nodes, (boxes, ...); f counts where p is not 0."""
    mass = np.exp(exponent(p, x) + log_w)
    there = mass > 0
    some = values_of(f, x[there] if there.any() else x[:1])
    weighted = np.zeros((len(x), *some.shape[1:]))
    if there.any():
        weighted[there] = mass[there].reshape(-1, *[1] * (some.ndim - 1)) * some
    return weighted.reshape(-1, per_box, *some.shape[1:]).sum(axis=1)
