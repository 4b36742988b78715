"""Detection of other data: how well a score separates them from data like the model's."""

import math

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import Array
from tinyebm.spaces.rows import numbers


def auroc(scores_in: Array, scores_out: Array) -> Estimate:
    """The area under the ROC curve, P(s_in > s_out) + ½ P(s_in = s_out), an Estimate.

    1 means separation without error, 0.5 means guessing.  The error is the standard error of the
    Mann-Whitney statistic (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837).  Cost: a sort.

    Parameters
    ----------
    scores_in, scores_out : arrays (n,), (m,)
        Scores of data like the model's, and of others.  A larger score means more like the model's
        data: log p, or -E, for which Z is not needed.

    >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0]))
    Estimate(value=0.75, error=0.28867513459481287)
    """
    inside, outside = _scores("scores_in", scores_in), _scores("scores_out", scores_out)
    wins_in = _below(outside, inside)  # (n,): for each s_in, the share of s_out below it
    wins_out = 1 - _below(inside, outside)  # (m,)
    variance = 0.0
    for wins in (wins_in, wins_out):
        variance += wins.var(ddof=1) / len(wins) if len(wins) > 1 else math.nan
    return Estimate(wins_in.mean(), math.sqrt(variance))


def _below(others, scores):
    """The share of others below each score, those that are equal counting half."""
    others = np.sort(others)
    twice = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return twice / (2 * len(others))


def _scores(name, scores):
    """Scores as an array (n,), or ValueError."""
    wanted = f"{name} is an array (n,), n > 0, without nan"
    scores = to_numpy(numbers(scores, wanted))
    if scores.ndim != 1 or len(scores) == 0 or np.isnan(scores).any():
        raise ValueError(f"{wanted}, got shape {scores.shape}")
    return scores
