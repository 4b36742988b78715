"""What a site sees of the others: parts of the energies that offer `site_logits`.

Given all other sites, the value of site i has the distribution P(x_i = a) ∝ e^{u_a}.  For many
energies u_a depends on a few sums over the other sites, the *local fields*, so it costs much less
than an energy per value.
"""

from functools import lru_cache

import numpy as np


def of_slope(slope, values):
    """`site_logits` of sites with u_a = a * slope, for slopes of any shape.

    For two values the differences of u, in the shape of slope; else u_a with one more axis, the
    last.

    >>> slope = np.array([0.5, 2.0])
    >>> of_slope(slope, (-1.0, 1.0)), of_slope(slope, (0.0, 1.0, 2.0)).shape
    (array([1., 4.]), (2, 3))
    """
    if len(values) == 2:
        return (values[1] - values[0]) * slope
    return of_values([value * slope for value in values])


def of_values(u):
    """`site_logits` from arrays u_a, one per value: their difference if they are two.

    >>> of_values(list(np.zeros((3, 5, 2)))).shape
    (5, 2, 3)
    """
    return u[1] - u[0] if len(u) == 2 else np.stack([part.T for part in u]).T


@lru_cache(maxsize=64)
def lattice(rows, cols, wraps_rows, wraps_cols):
    """(neighbours (4, d), own (d,) or None) of the sites of a lattice, numbered row by row.

    The neighbours are those above, below, left and right.  One that does not exist is replaced by
    the site itself; `own` counts how often, and is None if it never happened.  `wraps_rows` says
    whether there are bonds from the last row to the first.

    >>> neighbours, own = lattice(1, 3, False, True)
    >>> neighbours.tolist(), own.tolist()
    ([[0, 1, 2], [0, 1, 2], [2, 0, 1], [1, 2, 0]], [2, 2, 2])
    """
    site = np.arange(rows * cols).reshape(rows, cols)
    neighbours = []
    for axis, wraps in ((0, wraps_rows), (1, wraps_cols)):
        for step, edge in ((1, 0), (-1, -1)):
            other = np.roll(site, step, axis)
            if not wraps:
                np.moveaxis(other, axis, 0)[edge] = np.moveaxis(site, axis, 0)[edge]
            neighbours.append(other.ravel())
    table = np.stack(neighbours)
    own = (table == site.ravel()).sum(axis=0)
    table.flags.writeable = False  # it is kept
    return table, own if own.any() else None


def sum_around(s, sites, neighbours, own, feature=lambda s: s):
    """Σ_j f(s_j) over the neighbours j of some sites, (m, n), from the values s (d, n) and a feature
    f of values."""
    near = np.asarray(neighbours.take(sites, axis=1), like=s)
    total = feature(s.take(near, axis=0)).sum(axis=0)
    if own is not None:
        total -= np.asarray(own[sites, None], dtype=s.dtype, like=s) * feature(s[sites])
    return total
