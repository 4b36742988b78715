"""Accept or reject: the step that makes p invariant under any proposal, and where a chain may start."""

import math
from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import require_generator
from tinyebm.common.tree import tree_flatten
from tinyebm.density import exponent, rows_of

BLOCK = 2048  # rows at a time


class Move(NamedTuple):
    """What a step did: new points (n, d), which proposals were accepted (n,), their log ratios (n,).

    `accepted` and `log_ratio` are None for a kernel that never rejects.

    >>> Move(np.zeros((2, 1))).accepted is None
    True
    """

    x: Any
    accepted: Any = None
    log_ratio: Any = None


class Stranded(ValueError):
    """A chain stands where the density is 0, infinite or nan; `move` is the Move that its step
    would have returned."""

    def __init__(self, message, move=None):
        super().__init__(message)
        self.move = move


def require_start(p, x, rng):
    """x as floating-point rows (n, d) that a kernel of p can move; ValueError unless it is, and rng
    a generator."""
    x = rows_of(p, x)
    require_generator(rng)
    return x


def require_continuous(p, kernel):
    """Raise ValueError on a discrete space, for a kernel that moves by small steps."""
    if p.space.discrete:
        raise ValueError(
            f"{type(kernel).__name__} moves by small steps, and {p.space} is discrete: use Gibbs "
            "or its relatives"
        )


def possible(p, x):
    """Which rows of x have a density that is positive and finite, (n,)."""
    return np.isfinite(_exponents(p, x))


@np.errstate(all="ignore")
def _exponents(p, x):
    """The exponent block by block, by the formula itself: a single look is not worth tracing."""
    return np.concatenate([exponent(p, x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)])


def without_walls(p):
    """Whether θ is finite and the energy says of itself that it is finite everywhere (what it
    inherits does not count: a subclass may add a wall)."""
    return vars(type(p.energy)).get("finite", False) and all(
        np.isfinite(leaf).all() for leaf in tree_flatten(p.theta)[0]
    )


def require_possible(p, x, suspects=None, move=None):
    """Raise Stranded, naming a row, unless p is positive and finite at the rows of x: at all of
    them, or where the mask `suspects` (n,) is true."""
    rows = np.arange(len(x)) if suspects is None else np.flatnonzero(suspects)
    u = _exponents(p, x[rows])
    lost = np.flatnonzero(~np.isfinite(u))
    if len(lost):
        first, row = u[lost[0]], rows[lost[0]]
        density = f"the density is {'0' if first < 0 else 'infinite'}"
        raise Stranded(
            f"{'the energy is nan' if math.isnan(first) else density} at row {row} of x, x = "
            f"{x[row].tolist()} ({len(lost)} such rows of {len(x)}): start where it is positive "
            "and finite, as at rows of data or draws by te.sample",
            move,
        )


def accept(x, proposal, log_ratio, rng, p=None, inside=None):
    """A Move from x to the proposal with probability min(1, e^{log_ratio}), row by row, and only
    where it lies `inside`.

    log_ratio = log p(y) q(x|y) - log p(x) q(y|x) (Hastings 1970, Biometrika 57:97).  nan rejects:
    where a proposal's energy is nan, the density counts as 0.  But if p is given, and p is 0 or nan
    at x itself, Stranded is raised: a chain there is no draw of p.  (Not on a GPU, where looking
    would make the device wait.)
    """
    undecided = np.isnan(log_ratio)
    if inside is not None:
        log_ratio = np.where(inside, log_ratio, -math.inf)
    accepted = np.log1p(-rng.random(len(x))) < log_ratio
    move = Move(np.where(accepted[:, None], proposal, x), accepted, log_ratio)
    if p is not None and not on_gpu(x) and undecided.any():
        require_possible(p, x, undecided, move)
    return move
