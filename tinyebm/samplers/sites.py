"""Redrawing sites by the formulas that an energy offers for their conditional distributions.

Two sites that do not see each other can be redrawn in either order, or at the same time.  So a
sweep takes sets of sites.  The sites get numbers in their order 0, 1, ..., and a set is the sites
with one number:

    systematic   1 + the largest number of the earlier sites that see this one: set by set is then
                 the same as site by site
    coloured     the least number that none of them has: the sets, few and large, are the colours
                 of a map; a lattice with even sides has two, like a chessboard
"""

import itertools
import math
from functools import lru_cache

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import ENERGY, part_of
from tinyebm.common.tree import tree_flatten
from tinyebm.spaces.discrete import Bits, Cells, Spins

SPACES = Bits, Spins, Cells  # their states have the same weight, so that u is -E
MOST = 100  # neighbours, so that their number fits eight bits
TOGETHER = 4096  # numbers that are redrawn at a time: their arrays then fit the cache


def offers_sites(p, x):
    """Whether sites of the rows x can be redrawn by the formulas of p's energy.

    Numbers that are not finite need whole energies, which show where the density is 0 or nan.  (On
    a GPU they are not looked for, because a check there would wait for the device.)
    """
    if type(p.space) not in SPACES or part_of(p.energy, "site_logits", ENERGY) is None:
        return False
    return on_gpu(x) or all(np.isfinite(part).all() for part in (x, *_arrays(p.theta)))


def logits_of(p, x, sites):
    """`site_logits` of p's energy; ValueError if they have another shape than is documented."""
    values = p.space.values
    found = p.energy.site_logits(p.theta, x, sites, values)
    wanted = (len(x), len(sites), len(values))[: 2 if len(values) == 2 else 3]
    if getattr(found, "shape", None) != wanted:
        raise ValueError(
            f"site_logits of {p.energy!r} must return an array of shape {wanted} for {len(x)} rows, "
            f"{len(sites)} sites and {len(values)} values, got "
            f"{getattr(found, 'shape', type(found).__name__)}"
        )
    return found


def sets(p, scan):
    """Index arrays of the sites that are redrawn together, in the order of a sweep.

    Sites of an energy without `neighbours` may all see each other: each is a set by itself.
    """
    d, neighbours = p.space.dim, part_of(p.energy, "neighbours", ENERGY)
    if neighbours is None:
        return tuple(np.arange(d)[:, None])
    table = np.asarray(neighbours())
    if table.ndim != 2 or len(table) != d or table.dtype.kind not in "iu" or not _inside(table, d):
        raise ValueError(
            f"neighbours() of {p.energy!r} must return the numbers of sites that each site sees, "
            f"({d}, k) integers from 0 to {d - 1}, got {table.dtype} of shape {table.shape}"
        )
    return _sets(table.astype(np.intp).tobytes(), d, scan)


def sweep(p, x, scan, rng):
    """The rows x (n, d) after one sweep, by the formulas of p's energy; site i takes the i-th draws
    of n uniform numbers."""
    energy, values = p.energy, p.space.values
    x = x.T.copy()  # (d, n): the chains of a site are neighbours in memory
    uniform = _uniform(p, x, x.shape, rng)
    in_turn = part_of(energy, "in_turn", (*ENERGY, "site_logits"))
    with np.errstate(over="ignore"):  # e^{large} in `draw`
        if in_turn and part_of(energy, "neighbours", ENERGY) is None:
            for i, logits in enumerate(in_turn(p.theta, x.T, values)):
                x[i] = draw(logits.T, uniform[i], values)
            return x.T
        for sites in _parts(sets(p, scan), x, TOGETHER):
            u = uniform.take(np.asarray(sites, like=x), axis=0)
            x[sites] = draw(logits_of(p, x.T, sites).T, u, values)
    return x.T


def counted_sweeps(p, x, scan, rng, steps=1, record=None):
    """(x (n, d), trajectory or None) after sweeps by counts of neighbours; None if they do not do.

    If the log odds are a Σ_j x_j + b over k neighbours, those of two values (`sum_logits`), P(first)
    takes k + 1 values, one for each count of neighbours.  Of a uniform number only the least count
    that leads to the other value matters, so a sweep compares small integers.  The draws are those
    of `sweep`.
    """
    groups, found = sets(p, scan), _by_counts(p, x)
    if found is None:
        return None
    counted, value, first, near = found
    other = sum(p.space.values) - value
    parts = [(sites, near[:, sites]) for sites in _parts(groups, counted, 8 * TOGETHER)]
    least, blocks = np.empty_like(counted), _parts([np.arange(len(counted))], counted, 8 * TOGETHER)
    blocks = [slice(rows[0], rows[-1] + 1) for rows in blocks]
    read = lambda: np.where(counted.T == 1, value, other).astype(x.dtype)
    trajectory = [x]
    for step in range(1, steps + 1):
        for rows in blocks:
            uniform = _uniform(p, x, counted[rows].shape, rng)
            chances = first.astype(uniform.dtype)
            least[rows] = sum((chance > uniform).view(np.int8) for chance in chances)
        for sites, around in parts:
            count = counted.take(around, axis=0).sum(axis=0, dtype=np.int8)
            second = count >= least.take(sites, axis=0)
            counted[sites] = second == (value == p.space.values[1])
        if record is not None and step % record == 0:
            trajectory.append(read())
    return read(), np.stack(trajectory) if record is not None else None


def _by_counts(p, x):
    """(which x_i have the value v (d, n), v, P(first value) if 0, ..., k neighbours have it, the
    neighbours (k, d)), or None; P falls, because v is the value that favours the second."""
    offer = part_of(p.energy, "sum_logits", (*ENERGY, "site_logits", "neighbours"))
    if offer is None or on_gpu(x) or len(p.space.values) != 2:
        return None
    (low, high), near = p.space.values, np.asarray(p.energy.neighbours()).T
    k, up = len(near), x.T == high
    if k >= MOST or (near == np.arange(p.space.dim)).any() or not (up | (x.T == low)).all():
        return None
    slope, shift = offer(p.theta, p.space.values)
    if np.ndim(slope) or np.ndim(shift):
        raise ValueError(f"sum_logits of {p.energy!r} must return two numbers")
    with np.errstate(over="ignore"):
        first = 1 / (1 + np.exp(slope * (low * k + (high - low) * np.arange(k + 1)) + shift))
    if slope >= 0:
        return up.astype(np.int8, order="C"), high, first, near
    return (~up).astype(np.int8, order="C"), low, first[::-1], near


def redraw_one(p, x, chosen, rng):
    """The rows x (n, d) with site chosen (n, 1) of each drawn again, by formulas of p's energy."""
    n, d = x.shape
    every = on_gpu(x) or n == 0
    sites = np.arange(d) if every else np.unique(chosen)
    place = chosen if every else np.searchsorted(sites, chosen)
    logits = logits_of(p, x, sites)[np.arange(n, like=x), place[:, 0]]  # (n,) or (n, q)
    uniform = _uniform(p, x, n, rng)
    with np.errstate(over="ignore"):
        drawn = draw(logits.T, uniform, p.space.values)
    return np.where(np.arange(d, like=x) == chosen, drawn[:, None], x).astype(x.dtype)


def draw(logits, uniform, values):
    """Values of sites by inversion of uniform numbers (...,); nan where no value is possible.

    logits: for two values log P(second) - log P(first) (...,), else log P + const (q, ...).
    """
    if logits.ndim == uniform.ndim:
        first = np.exp(logits)
        first += 1
        first = np.divide(1, first, out=first)  # its probability
        drawn = np.where(first <= uniform, values[1], values[0])
        # the sum of squares is nan if one of them is
        lost = on_gpu(first) or math.isnan(np.vdot(first, first))
        return np.where(np.isnan(first), math.nan, drawn) if lost else drawn
    values = np.asarray(values, dtype=uniform.dtype, like=uniform)
    total = ops.logsumexp(logits, axis=0)
    with np.errstate(invalid="ignore"):  # no value is possible: nan
        conditional = np.exp(logits - total)
    below = np.cumsum(conditional, axis=0)[:-1] <= uniform
    return np.where(np.isfinite(total), values[below.sum(axis=0)], math.nan)


def _uniform(p, x, shape, rng):
    """Uniform numbers in the precision of energies."""
    types = [part.dtype for part in (x, *_arrays(p.theta))]
    return rng.random(shape, dtype=np.result_type(*types))


def _arrays(theta):
    return [leaf for leaf in tree_flatten(theta)[0] if hasattr(leaf, "dtype")]


def _parts(sets, x, together):
    """The sets, in parts of `together` numbers at most; on a GPU each launch costs time: whole."""
    size = x.shape[0] if on_gpu(x) else max(1, together // max(x.shape[1], 1))
    return (sites[i : i + size] for sites in sets for i in range(0, len(sites), size))


def _inside(table, d):
    return table.size == 0 or (table.min() >= 0 and table.max() < d)


@lru_cache(maxsize=64)
def _sets(table, d, scan):
    sees = [set(row) for row in np.frombuffer(table, np.intp).reshape(d, -1).tolist()]
    for i, row in enumerate(sees):
        for j in tuple(row):
            sees[j].add(i)
    number = []
    for i in range(d):
        taken = {number[j] for j in sees[i] if j < i}
        free = (k for k in itertools.count() if k not in taken)
        number.append(next(free) if scan == "coloured" else 1 + max(taken, default=-1))
    return tuple(np.flatnonzero(np.equal(number, k)) for k in range(max(number) + 1))
