"""The convergence of chains, and their effective number of independent draws.

    R̂² = ((n - 1) W + B) / (n W),      ESS = m n / τ,    τ = 1 + 2 Σ_{t>0} ρ_t           (1)

for m chains of n draws.  W is the mean variance within chains, B / n the variance of their means,
and ρ_t the autocorrelation at lag t, summed up to the end of Geyer's initial monotone sequence.
Following Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021, Bayesian Analysis 16:667), every
chain is split in halves, which reveals a drift.  Draws are replaced by the normal scores of their
ranks, which allows heavy tails.

`chains` is the "trajectory" that `run` records, (draws, m, d); then the results are arrays (d,).
Or it is one quantity with a chain in every *row*, (m, draws), as in the paper; then the result is a
number.
"""

import math

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.checks import require_choice
from tinyebm.common.kinds import Array
from tinyebm.spaces.rows import double, numbers

KINDS = ("bulk", "tail", "mean")
TAILS = (0.05, 0.95)  # the quantiles of "tail"


def split_rhat(chains: Array) -> float | Array:
    """Rank-normalised split R̂, which falls to 1 as the chains forget their starts.

    It is the larger of two R̂: of the draws, and of their distances from the median.  Draws should
    be used only if R̂ < 1.01 (Vehtari et al.).  It is inf for chains that stay at different places,
    and nan if all draws are equal.

    >>> rng = np.random.default_rng(0)
    >>> agree, drift = rng.standard_normal((4, 1000)), np.linspace(0, 1, 1000)[None]
    >>> round(split_rhat(agree), 3), round(split_rhat(drift), 1)
    (1.0, 2.1)
    """

    def larger(x):
        x = _halves(x)
        return max(_rhat(_scores(x)), _rhat(_scores(np.abs(x - np.median(x)))))

    return _each(chains, larger)


def effective_sample_size(chains: Array, kind: str = "bulk") -> float | Array:
    """The number of independent draws of equal accuracy, ESS of eq. (1).

    If all draws are equal, it is their number.

    Parameters
    ----------
    chains : array (draws, m, d) or (m, draws)
    kind : str
        "bulk": that of the normal scores, for where most of the mass is; "tail": the smaller one
        of those of the 5 % and the 95 % quantile; "mean": that of the draws, for their mean.

    >>> iid = np.random.default_rng(0).standard_normal((4, 1000))
    >>> 3500 < effective_sample_size(iid) < 4500
    True
    """
    require_choice("kind", kind, KINDS)
    below = lambda x, level: (x <= np.quantile(x, level)) * 1.0
    sizes = {
        "bulk": lambda x: _ess(_scores(_halves(x))),
        "tail": lambda x: min(_ess(_halves(below(x, level))) for level in TAILS),
        "mean": lambda x: _ess(_halves(x)),
    }
    return _each(chains, sizes[kind])


def autocorrelation(chains: Array) -> Array:
    """ρ_t for t = 0, ..., draws - 1, of all chains: (draws,), or (draws, d) of a trajectory.

    ρ_t = 1 - (γ_0 - γ_t) / (γ_0 + B/n), with γ_t = Σ_s (x_s - x̄)(x_{s+t} - x̄) / n averaged over
    the chains.  For one chain it is γ_t / γ_0; if the means of chains differ, it is large at every
    lag. Cost: one FFT per chain.

    >>> autocorrelation(np.array([[1.0, -1.0] * 4])).round(3)
    array([ 1.   , -0.875,  0.75 , -0.625,  0.5  , -0.375,  0.25 , -0.125])
    """
    return _each(chains, lambda x: _correlations(x, 1.0))


def _each(chains, function):
    """The function of the chains (m, draws) of every quantity."""
    wanted = (
        "chains are numbers of shape (draws, m, d) as `run` records them, or (m, draws) with a "
        "chain in every row"
    )
    chains = double(to_numpy(numbers(chains, wanted)))
    if chains.ndim not in (2, 3):
        raise ValueError(f"{wanted}, got shape {chains.shape}")
    if not np.isfinite(chains).all():
        raise ValueError("the chains hold nan or inf")
    # (d, m, draws)
    rows = chains[None] if chains.ndim == 2 else np.moveaxis(chains, 0, 2).swapaxes(0, 1)
    if rows.shape[1] == 0 or rows.shape[2] < 8:
        raise ValueError(
            f"at least 8 draws of one chain are needed, got {rows.shape[2]} of {rows.shape[1]}"
        )
    found = [function(x) for x in rows]
    return found[0] if chains.ndim == 2 else np.stack(found, axis=-1)


def _halves(x):
    """Chains (m, n) as (2m, n // 2): their first and their last draws."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _scores(x):
    """Normal scores Φ⁻¹((r - 3/8) / (S + 1/4)) of the ranks r of all S draws together.

    Equal draws have the mean of their ranks.
    """
    from statistics import NormalDist  # takes 5 ms to load: only when used

    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    levels = (rank - 0.375) / (x.size + 0.25)
    scores = np.array([NormalDist().inv_cdf(level) for level in levels.tolist()])
    return scores[place].reshape(x.shape)


def _rhat(x):
    """R̂ of eq. (1)."""
    if (x == x[:, :1]).all():
        return math.nan if (x == x[0, 0]).all() else math.inf
    n, within = x.shape[1], x.var(axis=1, ddof=1).mean()
    return float(np.sqrt((n - 1) / n + x.mean(axis=1).var(ddof=1) / within))


def _correlations(x, bessel):
    """ρ_t = 1 - (W - γ_t) / (γ_0 + B/n) of chains x (m, n), with W = γ_0 · bessel, (n,).

    γ_t is the mean autocovariance within chains, by the fast Fourier transform.
    """
    m, n = x.shape
    if (x == x[0, 0]).all():
        return np.full(n, math.nan)
    z = np.fft.rfft(x - x.mean(axis=1, keepdims=True), 2 * n)
    covariance = np.fft.irfft(np.abs(z) ** 2, 2 * n)[:, :n].mean(axis=0) / n
    between = x.mean(axis=1).var(ddof=1) if m > 1 else 0.0
    correlations = 1 - (covariance[0] * bessel - covariance) / (covariance[0] + between)
    correlations[0] = 1.0
    return correlations


def _ess(x):
    """ESS of eq. (1), of chains x (m, n).

    Sums ρ_{2t} + ρ_{2t+1} of two neighbours are positive and decreasing for a reversible chain
    (Geyer 1992): the sum of eq. (1) ends where they are not positive, and they are made decreasing.
    """
    n = x.shape[1]
    correlations = _correlations(x, n / (n - 1))
    if math.isnan(correlations[1]):
        return float(x.size)
    pairs = correlations[: n // 2 * 2].reshape(-1, 2).sum(axis=1)[: (n - 1) // 2]
    negative = np.flatnonzero(pairs <= 0)
    last = int(negative[0]) if len(negative) else len(pairs) - 1
    rest = correlations[2 * last]  # of the pair in which the sum ends
    if pairs[last] < 0:
        rest = max(0.0, rest)
    time = -1 + 2 * np.minimum.accumulate(pairs[:last]).sum() + rest
    return float(x.size / max(time, 1 / math.log10(x.size)))
