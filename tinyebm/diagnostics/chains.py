"""Have the chains converged, and how many independent draws are they worth?

    R̂² = ((n - 1) W + B) / (n W),      ESS = m n / τ,    τ = 1 + 2 Σ_{t>0} ρ_t           (1)

for m chains of n draws: W the mean variance within chains, B / n the variance of their means, ρ_t
the autocorrelation at lag t, summed until Geyer's initial monotone sequence ends.  As Vehtari,
Gelman, Simpson, Carpenter & Bürkner (2021, Bayesian Analysis 16:667) advise, every chain is split
in halves, so that a drift shows, and draws are replaced by normal scores of their ranks, so that
heavy tails do no harm.

`chains` is the "trajectory" that `run` records, (draws, m, d), and the answers are arrays (d,); or
it is one quantity with a chain in every *row*, (m, draws), as in the paper, and the answer is a
number.
"""

import math

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.checks import require_choice
from tinyebm.common.kinds import Array
from tinyebm.spaces.rows import double, numbers

KINDS = ("bulk", "tail", "mean")
TAILS = (0.05, 0.95)  # the quantiles that "tail" looks at


def split_rhat(chains: Array) -> float | Array:
    """Rank-normalised split R̂, which nears 1 from above as chains forget their start.

    It is inf for chains that never move from different places, and nan for draws that are all
    equal.

    The larger of R̂ for location (of the draws) and for scale (of their distances from the median).
    Vehtari et al. ask for R̂ < 1.01 before draws are used.

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
    """How many independent draws would estimate as well, ESS of eq. (1); their number itself for
    draws that are all equal.

    Parameters
    ----------
    chains : array (draws, m, d) or (m, draws)
    kind : str
        "bulk": of normal scores, for where most of the mass is; "tail": the smaller of those of the
        5 % and the 95 % quantile; "mean": of the draws themselves, for their mean.

    >>> iid = np.random.default_rng(0).standard_normal((4, 1000))
    >>> 3500 < effective_sample_size(iid) < 4500
    True
    """
    require_choice("kind", kind, KINDS)
    if kind == "tail":
        return _each(
            chains,
            lambda x: min(_ess(_halves((x <= np.quantile(x, level)) * 1.0)) for level in TAILS),
        )
    return _each(chains, lambda x: _ess(_scores(_halves(x)) if kind == "bulk" else _halves(x)))


def autocorrelation(chains: Array) -> Array:
    """ρ_t for t = 0, ..., draws - 1, pooled over chains: (draws,), or (draws, d) of a trajectory.

    1 - (γ_0 - γ_t) / (γ_0 + B/n), so γ_t / γ_0 for one chain, γ_t = Σ_s (x_s - x̄)(x_{s+t} - x̄) /
    n; chains that disagree in their means are correlated at every lag.  Cost: one FFT a chain.

    >>> autocorrelation(np.array([[1.0, -1.0] * 4])).round(3)
    array([ 1.   , -0.875,  0.75 , -0.625,  0.5  , -0.375,  0.25 , -0.125])
    """
    return _each(chains, lambda x: _correlations(x, 1.0))


def _each(chains, function):
    """The function of every quantity's chains (m, draws)."""
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
    """Normal scores of the ranks of all draws together: Φ⁻¹((r - 3/8) / (S + 1/4)), equal draws
    sharing their mean rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    from statistics import NormalDist  # takes 5 ms to load: only when used

    quantile = NormalDist().inv_cdf
    return np.array([quantile(level) for level in ((rank - 0.375) / (x.size + 0.25)).tolist()])[
        place
    ].reshape(x.shape)


def _rhat(x):
    """R̂ of eq. (1)."""
    if (x == x[:, :1]).all():
        return math.nan if (x == x[0, 0]).all() else math.inf
    return float(
        np.sqrt(
            (x.shape[1] - 1) / x.shape[1]
            + x.mean(axis=1).var(ddof=1) / x.var(axis=1, ddof=1).mean()
        )
    )


def _correlations(x, bessel):
    """ρ_t of chains x (m, n): 1 - (W - γ_t) / (γ_0 + B/n), γ_t the mean autocovariance within
    chains and W = γ_0 · bessel."""
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
    """ESS of eq. (1): correlations enter in pairs, which are positive and decrease for a reversible
    chain (Geyer 1992)."""
    correlations = _correlations(x, x.shape[1] / (x.shape[1] - 1))
    if math.isnan(correlations[1]):
        return float(x.size)
    pairs = correlations[: x.shape[1] // 2 * 2].reshape(-1, 2).sum(axis=1)[: (x.shape[1] - 1) // 2]
    negative = np.flatnonzero(pairs <= 0)
    last = int(negative[0]) if len(negative) else len(pairs) - 1
    # of the pair it ends in
    rest = correlations[2 * last] if pairs[last] >= 0 else max(0.0, correlations[2 * last])
    time = -1 + 2 * np.minimum.accumulate(pairs[:last]).sum() + rest
    return float(x.size / max(time, 1 / math.log10(x.size)))
