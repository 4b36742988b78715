"""Can the model tell what is like its data from what is not?"""

import math

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import Array
from tinyebm.spaces.rows import numbers


def auroc(scores_in: Array, scores_out: Array) -> Estimate:
    """P(score of a datum > score of an outsider) + ½ P(equal), the area under the ROC curve: an
    Estimate between 0 and 1.

    Parameters
    ----------
    scores_in, scores_out : arrays (n,), (m,)
        Larger means more like the data: log p, or -E (Z cancels).  With energies themselves the
        answer is 1 minus it.

    The error is the standard error of the Mann-Whitney statistic (DeLong, DeLong & Clarke-Pearson
    1988, Biometrics 44:837). 0.5 is guessing.  Cost: a sort.

    >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0]))
    Estimate(value=0.75, error=0.28867513459481287)
    """
    inside, outside = _scores("scores_in", scores_in), _scores("scores_out", scores_out)
    wins_in = _below(outside, inside)  # (n,): of each datum, the share of outsiders below it
    wins_out = 1 - _below(inside, outside)
    variance = sum(
        wins.var(ddof=1) / len(wins) if len(wins) > 1 else math.nan for wins in (wins_in, wins_out)
    )
    return Estimate(wins_in.mean(), math.sqrt(variance))


def _below(others, scores):
    """The share of others below each score, those that are equal counting half."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (
        2 * len(others)
    )


def _scores(name, scores):
    wanted = f"{name} is an array (n,), n > 0, without nan"
    scores = to_numpy(numbers(scores, wanted))
    if scores.ndim != 1 or len(scores) == 0 or np.isnan(scores).any():
        raise ValueError(f"{wanted}, got shape {scores.shape}")
    return scores
