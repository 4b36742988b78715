"""Nodes that follow a density whose parameters change a little at a time, as in training.

`exact.nodes.quadrature` searches for all peaks of a density and then refines a grid until log Z has
converged far beyond rtol.  In training the density is nearly the one of a few updates before.  So
the box and the step of its grid are kept, and only checked: log Z is also computed on another grid,
whose nodes lie elsewhere (after a search on two).  With log Z_k the sum over grid k,

    error = 2 max_k |log Z_k - log Z|.                                                  (1)

The step shrinks where the error is above rtol / STRICT, and grows where it is far below.  A face of
the box moves outwards where log p on it comes within EDGE - log rtol nats of its maximum.

A peak that appears elsewhere would be missed by the grid.  It is noticed by

* rows of data at which log p is higher than at all nodes, or that have mass outside the box;
* a sparse scan of the space outside the box, one part of PARTS at each check, which finds what the
  wide scan of `exact.nodes.peaks` finds;
* a search for all peaks at the checks 1, 5, 21, 85, 149, ...

After the first two, all peaks are searched at once.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinyebm.autodiff.ops import logsumexp
from tinyebm.common.backend import beside, to_numpy
from tinyebm.density import exponents, on_host
from tinyebm.exact.nodes.peaks import far_nodes
from tinyebm.exact.nodes.quadrature import MAX_NODES, first_refinement, heavy_atoms, quadrature
from tinyebm.exact.nodes.window import DROPS, Window, find_window, whole_box
from tinyebm.exact.structure import require_normalisable
from tinyebm.exact.sums import log_sum, rounding
from tinyebm.spaces.grids import Atoms
from tinyebm.spaces.own import OwnSpace

# nats: log p falls by at least EDGE - log rtol to every face, and by MARGIN more in the next box
EDGE, MARGIN = 13.0, 6.0
PARTS = 8  # of the sparse scan
ROWS = 4096  # of data that one check sees; more are seen in turn
LONGEST = 64  # checks from one search for all peaks to the next, at most
MOST = 2**18  # nodes of a grid that is kept
TRIES = 60  # changes of box and step in one check
FINER, COARSER = 1.25, 1.1  # factors of the step
# The error (1) of a grid is so many times smaller than rtol: θ moves before the next check.  At the
# first call it is smaller still, because derivatives of log Z have larger errors.  On the line few
# more nodes make it far smaller.
STRICT, FIRST = {1: 1e4, 2: 4, 3: 4}, {1: 1e4, 2: 50, 3: 50}
START = 1.5  # the step of the first grid, in units of the finest scale of the density


class Region(NamedTuple):
    """The box of a grid, and its steps, (d,) each; the steps are nan if no grid can be kept."""

    low: Any
    high: Any
    step: Any

    def rule(self, space):
        """(The quadrature rule in this box, its number of nodes per axis)."""
        counts = np.maximum(np.ceil((self.high - self.low) / self.step).astype(int) + 1, 8)
        if not space.bounded:
            nothing, wide = np.zeros((0, space.dim)), np.full(space.dim, np.inf)
            space = Window(self.low, self.high, 0.0, nothing, nothing, None, None, wide)
        return space, tuple(counts.tolist())


class Grids(NamedTuple):
    """A grid, the mask of its atoms that carry mass, log Z on it, its error, and the next Region."""

    grid: Any
    heavy: Any
    log_z: float
    error: float
    box: Region

    def atoms(self, p):
        """The heavy atoms, beside the parameters of p."""
        return Atoms(*beside(p.theta, *(part[self.heavy] for part in self.grid.all())))


def follow_atoms(p, rtol, refresh, rows, state=None):
    """The atoms of p's quadrature that carry mass, as a tree of arrays, for some updates.

    Parameters
    ----------
    p : Density on R^d or in a box, d ≤ 3
    rtol : float
        Accepted relative error of Z.
    refresh : int
        The atoms are checked after at most so many updates; earlier at the start, and if log Z on
        the atoms of the check before was off by rtol / 2 at their end.
    rows : array (n, d)
        Rows of data.
    state : tree, optional
        What this function returned for the parameters of the update before.

    Returns
    -------
    dict
        "states" (m, d) and "log_weights" (m,), and "error", a bound of the error of log Z that
        includes how far it was off at the end of the last atoms' time.  The other entries are for
        the next call.
    """
    if state is not None and state["age"] < state["every"]:
        return {**state, "age": np.asarray(state["age"] + 1)}
    every, drift, longer = 1, 0.0, 1.0
    found, memory = follow(p, rtol, rows, state)
    found = found or _found_anew(p, rtol, to_numpy(rows))
    if state is not None:
        drift = abs(log_sum(p, Atoms(state["states"], state["log_weights"])) - found.log_z)
        every = before = int(state["every"])
        every = max(1, every // 2) if drift > rtol / 2 else every + 2 * (drift < rtol / 4)
        every = min(every, refresh)
        longer = every / before
    numbers = {"age": 1, "every": every, "error": found.error + 2 * drift * longer + rtol / 2}
    numbers = {name: np.array(value) for name, value in numbers.items()}
    return {**vars(found.atoms(p)), **memory, **numbers}


def follow(p, rtol, rows, memory=None):
    """(The Grids of p, the memory for the next call): one check, or a search for all peaks.

    `memory` is that of the call for a density of some updates before, a tree of arrays.  The Grids
    are None where no product grid serves: p is not smooth, or too narrow for MOST nodes.  Raises
    the errors of `exact.nodes.quadrature`.
    """
    calls, search, found = 1, 1, None
    if memory is not None:
        calls, search = int(memory["calls"]) + 1, int(memory["search"])
        box = Region(*[memory[name] for name in Region._fields])
        if np.isfinite(box.step).all() and calls < search:
            found = _checked(p, rtol, to_numpy(rows), box, calls)
    if found is None:
        found = _searched(p, rtol, to_numpy(rows), FIRST if memory is None else STRICT)
        search = calls + min(3 * calls + 1, LONGEST)
    nothing = np.full(p.space.dim, np.nan)
    box = found.box if found else Region(nothing, nothing, nothing)
    return found, box._asdict() | {"calls": np.array(calls), "search": np.array(search)}


def _searched(p, rtol, rows, strict):
    """The Grids after a search for all peaks, or None."""
    host, d = on_host(require_normalisable(p)), p.space.dim
    if not getattr(p.energy, "smooth", True) or d > 3 or isinstance(p.space, OwnSpace):
        return None
    seen = rows[p.space.contains(rows)]
    if p.space.bounded:
        window = whole_box(host, MAX_NODES, seen)
        low, high, refinement = window.low, window.high, first_refinement(p, window)
        step = (high - low) / np.subtract(p.space.counts(max(1.0, refinement)), 1)
    else:
        window = find_window(host, rtol, DROPS[0], seen)
        low, high, step = window.low, window.high, START * window.scale
    return _checked(p, rtol, rows, Region(low, high, step), strict=strict)


def _found_anew(p, rtol, rows):
    """The Grids of `quadrature`, whose box is not kept."""
    q = quadrature(p, rtol, rows=rows)
    return Grids(q.grid, to_numpy(heavy_atoms(p, q, rtol)[2]), q.log_z, q.error, None)


def _checked(p, rtol, rows, box, calls=None, strict=STRICT):
    """The Grids from a Region, with an error (1) of at most rtol / strict, or None if it is not enough.

    With the number of `calls`, peaks elsewhere are looked for.
    """
    edge = EDGE - math.log(rtol)
    for _ in range(TRIES):
        rule, counts = box.rule(p.space)
        if math.prod(counts) > MOST:
            return None
        grid = rule.grid(counts)
        x, log_w = grid.all()
        u = _exponents(p, x)
        top, faces = u.max(), _faces(u.reshape(grid.shape))
        if not np.isfinite(top):
            return None
        if not p.space.bounded and faces.max() > top - edge:
            low, high = (faces > top - edge) * 4 * box.step
            box = box._replace(low=box.low - low, high=box.high + high)
            continue
        log_z = float(logsumexp(u + log_w))
        others = rule.variants(counts)[:2]
        if calls is not None:
            others = others[calls % 2 :: 2]
        error = 2 * max(abs(log_sum(p, other) - log_z) for other in others)
        if error <= max(rtol / strict[p.space.dim], 4 * rounding(log_z)):
            break
        box = box._replace(step=box.step / FINER)
    else:
        return None
    if calls is not None and _missed(p, rows, box, top, edge, faces.max(), calls):
        return None
    heavy = u + log_w - log_z > math.log(0.01 * rtol / len(u))
    step = box.step * COARSER if error < rtol / strict[p.space.dim] / 25 else box.step
    box = box._replace(step=step)
    if not p.space.bounded:
        kept = x[u > top - edge - MARGIN]
        box = box._replace(low=kept.min(axis=0) - step, high=kept.max(axis=0) + step)
    return Grids(grid, heavy, log_z, error, box)


def _exponents(p, x):
    """The exponents of p at rows x (n, d) of the host, as an array of the host."""
    with np.errstate(over="ignore", invalid="ignore"):
        return to_numpy(exponents(p, *beside(p.theta, x)))


def _faces(u):
    """The maximum of u on both faces of a grid across every axis, (2, d)."""
    return np.array([[u.take(end, axis).max() for axis in range(u.ndim)] for end in (0, -1)])


def _missed(p, rows, box, top, edge, face, calls):
    """Whether log p shows mass that the nodes in the box lack; `face` is its maximum on a face."""
    parts = len(rows) // ROWS + 1
    rows = rows[calls % parts :: parts]
    rows = rows[p.space.contains(rows)]
    outside = lambda x: ((x < box.low) | (x > box.high)).any(axis=1)
    u = _exponents(p, rows)
    if u.max(initial=-np.inf) > top + 1:
        return True
    if p.space.bounded:
        return False
    x = far_nodes(p)[calls % PARTS :: PARTS]
    beyond = _exponents(p, x[outside(x)])
    return bool((u[outside(rows)] > top - edge).any() or (beyond > face).any())
