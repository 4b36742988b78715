"""Accept or reject: the Metropolis-Hastings rule, which makes p invariant under any proposal."""

import math

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import tree_flatten
from tinyebm.density import exponent
from tinyebm.samplers.kernels import Move, Stranded

BLOCK = 2048  # rows at a time


def possible(p, x):
    """Which rows of x have a density that is positive and finite, (n,)."""
    return np.isfinite(_exponents(p, x))


@np.errstate(all="ignore")
def _exponents(p, x):
    """The exponent block by block, without replay, which would cost more than it saves here."""
    return np.concatenate([exponent(p, x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)])


def without_walls(p):
    """Whether θ is finite, and the energy's own class (not a parent) has `finite = True`."""
    return vars(type(p.energy)).get("finite", False) and all(
        np.isfinite(leaf).all() for leaf in tree_flatten(p.theta)[0]
    )


def require_possible(p, x, suspects=None, move=None):
    """Raise Stranded, which names a row, unless p is positive and finite at the rows of x.

    If a mask `suspects` (n,) is given, only its rows are checked.
    """
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
    """A Move from x to proposals `inside`, with probability min(1, e^{log_ratio}) for each row.

    log_ratio = log p(y) q(x|y) - log p(x) q(y|x) (Hastings 1970, Biometrika 57:97).  If it is nan,
    the proposal is rejected: where the energy of a proposal is nan, the density counts as 0.  If p
    is given and is 0 or nan at x itself, Stranded is raised, because such a chain does not sample
    p.  (Not on a GPU, where the check would wait for the device.)
    """
    undecided = np.isnan(log_ratio)
    if inside is not None:
        log_ratio = np.where(inside, log_ratio, -math.inf)
    accepted = np.log1p(-rng.random(len(x))) < log_ratio
    move = Move(np.where(accepted[:, None], proposal, x), accepted, log_ratio)
    if p is not None and not on_gpu(x) and undecided.any():
        require_possible(p, x, undecided, move)
    return move
