"""Accept or reject: the step that makes p invariant under any proposal."""

from typing import Any, NamedTuple

import numpy as np

from tinyebm.checks import require_generator
from tinyebm.density import rows_of


class Move(NamedTuple):
    """What a step did: the new points (n, d), which proposals were accepted (n,), and the log ratios that decided.

    `accepted` and `log_ratio` are None for a kernel that never rejects.
    """

    x: Any
    accepted: Any = None
    log_ratio: Any = None


def require_start(p, x, rng):
    """x as floating-point rows (n, d) that a kernel of p can move; ValueError unless it is, and rng a generator."""
    x = rows_of(p, x)
    require_generator(rng)
    return x


def accept(x, proposal, log_ratio, rng):
    """Move from x to the proposal with probability min(1, e^{log_ratio}), row by row.

    log_ratio = log p(y) q(x|y) - log p(x) q(y|x) (Hastings 1970, Biometrika 57:97); nan, which
    arises from two impossible states, rejects.
    """
    accepted = np.log1p(-rng.random(len(x))) < log_ratio
    return Move(np.where(accepted[:, None], proposal, x), accepted, log_ratio)
