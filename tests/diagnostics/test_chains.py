"""R̂ and ESS: ArviZ's own numbers on fixed chains, the formulas by hand, and a Gibbs sampler whose rate is known."""

import math

import numpy as np
import pytest
from scipy import signal, stats

import tinyebm as te

rng = np.random.default_rng  # every test makes its own


def ar1(seed, m, n, rho):
    """m stationary chains x_t = ρ x_{t-1} + √(1 - ρ²) ξ_t of n draws: (m, n), a chain in every row."""
    noise = rng(seed).standard_normal((m, n))
    noise[:, 1:] *= math.sqrt(1 - rho**2)
    return signal.lfilter([1.0], [1.0, -rho], noise, axis=1)


CHAINS = {
    "independent": ar1(0, 4, 200, 0.0),
    "slow": ar1(1, 4, 500, 0.9),
    "alternating": ar1(2, 4, 200, -0.7),
    "shifted": ar1(3, 4, 150, 0.5) + np.arange(4.0)[:, None],
    "drifting": ar1(4, 3, 101, 0.3) + np.linspace(0, 2, 101),
    "of other widths": ar1(5, 4, 200, 0.5) * np.array([1.0, 1.0, 1.0, 5.0])[:, None],
    "heavy tails": ar1(6, 4, 250, 0.6) ** 5,
    "ties": np.round(ar1(7, 3, 120, 0.8)),
    "binary": (ar1(8, 4, 161, 0.7) > 0.4) * 1.0,
    "one chain": ar1(9, 1, 333, 0.95),
    "short": ar1(10, 2, 9, 0.2),
    "shortest": ar1(11, 1, 8, 0.2),
    "many": ar1(12, 40, 24, 0.4),
    "stuck": np.repeat([[0.1], [1.0], [2.0]], 11, axis=1),
    "all equal": np.full((4, 12), 0.1),
}
# ArviZ 0.23.4: rhat(x, method="rank"), ess(x, method="bulk"), "tail", "mean"; it has no R̂ of one chain
ARVIZ = {
    "independent": (0.998765960250724, 831.59857947304, 816.485369725694, 828.201403573419),
    "slow": (1.05070124395897, 70.7208259353395, 223.286803696177, 71.0358323439539),
    "alternating": (1.00280096864176, 2322.47198959356, 706.532825107647, 2322.47198959356),
    "shifted": (1.60899370104456, 7.08438133077024, 58.7714750928558, 6.88927914418532),
    "drifting": (1.14490969640445, 16.3289916284808, 211.817800294679, 15.8433261038082),
    "of other widths": (1.25983932454964, 308.869123145572, 35.4260185595293, 299.539336700853),
    "heavy tails": (1.00721834679567, 275.669535391341, 371.431335928633, 368.895678702071),
    "ties": (1.05749813965903, 39.4478291401962, 60.4459943478356, 39.9008831613315),
    "binary": (1.03247153646395, 179.034691687765, 179.034691687765, 179.034691687765),
    "one chain": (None, 21.9104341987754, 35.7531319765471, 21.0009624085443),
    "short": (2.05110740217608, 19.2659197224948, 19.2659197224948, 19.2659197224948),
    "shortest": (None, 7.22471989593555, 7.22471989593555, 7.22471989593555),
    "many": (1.04891123444578, 537.782390848656, 710.307134580676, 537.176924625284),
    "stuck": (math.inf, 7.5, 7.5, 7.5),
    "all equal": (math.nan, 48.0, 48.0, 48.0),
}


@pytest.mark.parametrize("name", CHAINS)
def test_rhat_and_ess_are_arvizs(name):
    """To 1e-9.  Catches chains that are not split, ranks for scores, R̂ of location alone, ties ranked one after another,

    Geyer's pairs one lag late, sums that are not monotone, no bound on ESS, the worse tail for the better one, and chains that
    never move, or rounding of a mean, counted as independent draws.
    """
    rhat, *ess = ARVIZ[name]
    if rhat is not None:
        assert te.split_rhat(CHAINS[name]) == pytest.approx(rhat, rel=1e-9, nan_ok=True)
    assert [te.effective_sample_size(CHAINS[name], kind) for kind in ("bulk", "tail", "mean")] == pytest.approx(ess, rel=1e-9)


@pytest.mark.parametrize("name", ["one chain", "shortest", "ties", "drifting"])
def test_rhat_by_its_definition(name):
    """By scipy's ranks and quantiles, which also knows one chain.  Catches variances divided by n, and the middle draw kept."""
    def rhat(x):
        z = stats.norm.ppf((stats.rankdata(x).reshape(x.shape) - 0.375) / (x.size + 0.25))
        within = np.mean([np.var(row, ddof=1) for row in z])
        between = z.shape[1] * np.var([np.mean(row) for row in z], ddof=1)
        return math.sqrt(((z.shape[1] - 1) * within + between) / (z.shape[1] * within))

    x, n = CHAINS[name], CHAINS[name].shape[1]
    halves = np.array([part for row in x for part in (row[: n // 2], row[n - n // 2 :])])
    exact = max(rhat(halves), rhat(abs(halves - np.median(halves))))

    assert te.split_rhat(x) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("function", [te.split_rhat, te.effective_sample_size, te.autocorrelation,
                                      lambda x: te.effective_sample_size(x, "tail")])  # fmt: skip
def test_trajectories_as_run_records_them(function):
    """(draws, m, d): every column on its own.  Catches draws taken for chains, which two dimensions cannot tell."""
    p = te.Density(te.GaussianEnergy(3), te.GaussianEnergy(3).init(rng(0)), te.Reals(3))
    _, info = te.run(te.ULA(0.3), p, rng(1).standard_normal((5, 3)), 40, rng(2), record=1)
    path = info["trajectory"]
    columns = [function(np.array([[x[i, j] for x in path] for i in range(5)])) for j in range(3)]

    assert path.shape == (41, 5, 3)
    np.testing.assert_allclose(function(path), np.stack(columns, axis=-1), rtol=1e-12, atol=1e-14)
    assert len({np.sum(c) for c in columns}) == 3 and isinstance(function(path[:, :, 0].T), (float, np.ndarray))


def test_autocorrelation_by_its_definition():
    """In loops, of chains with different means.  Catches lags that wrap around, n - t for n, and means of all chains."""
    x = CHAINS["short"] + np.array([[0.0], [0.7]])
    m, n = x.shape
    centred = x - x.mean(axis=1, keepdims=True)
    covariance = [sum(centred[i, s] * centred[i, s + t] for i in range(m) for s in range(n - t)) / n / m for t in range(n)]
    total = covariance[0] + np.var(x.mean(axis=1), ddof=1)

    np.testing.assert_allclose(te.autocorrelation(x), [1 - (covariance[0] - c) / total for c in covariance], atol=1e-14)
    one = centred[:1]
    np.testing.assert_allclose(te.autocorrelation(x[:1]), np.correlate(one[0], one[0], "full")[n - 1 :] / (one @ one.T)[0, 0],
                               atol=1e-14)  # fmt: skip


def test_gibbs_on_two_correlated_normals_without_noise(oracle):
    """2n chains ±√n (columns of a root of the exact covariance ρ^{2|s-t|}): their pooled moments are expectations.

    Catches a between-chain variance left out: γ_0 alone misses Var x by IACT / n.
    """
    case, n = oracle("gibbs_bivariate_normal_rate"), 1000
    a = case["parameters"]["rho"] ** 2
    lag = abs(np.subtract.outer(np.arange(n), np.arange(n)))
    root = math.sqrt(n) * np.linalg.cholesky(a**lag).T  # (n, n): a chain in every row
    found = te.autocorrelation(np.concatenate([root, -root]))

    c = a**lag
    c = c - c.mean(axis=0) - c.mean(axis=1)[:, None] + c.mean()  # covariance of x_t - mean over t
    covariance = np.array([np.trace(c, t) / n for t in range(20)])
    total = covariance[0] + (a**lag).mean() * 2 * n / (2 * n - 1)
    np.testing.assert_allclose(found[:20], 1 - (covariance[0] - covariance) / total, atol=1e-12)
    assert abs(total - 1) < 1e-5
    assert abs(found[1] - case["expected"]["lag1"]) < 2 / n and abs(found[5] - case["expected"]["lag5"]) < 4 / n


def test_gibbs_on_two_correlated_normals(oracle):
    """Simulated, site after site: lags and IACT within 5 of their own standard errors over 40 groups of chains.

    Catches τ that counts each lag once (half), or lag 0 twice, and Geyer's pairs one lag late.
    """
    case = oracle("gibbs_bivariate_normal_rate")
    rho, expected, r = case["parameters"]["rho"], case["expected"], rng(0)
    m, n = 160, 2500
    z = r.standard_normal((n, 2, m)) * math.sqrt(1 - rho**2)
    y = r.standard_normal(m)
    x = np.empty((m, n))
    for t in range(n):
        x[:, t] = rho * y + z[t, 0]
        y = rho * x[:, t] + z[t, 1]

    groups = x.reshape(40, 4, n)
    lags = np.array([te.autocorrelation(group)[[1, 5]] for group in groups])
    times = np.array([group.size / te.effective_sample_size(group, "mean") for group in groups])
    for value, exact in ((lags[:, 0], expected["lag1"]), (lags[:, 1], expected["lag5"]), (times, expected["iact"])):
        assert abs(value.mean() - exact) < 5 * value.std(ddof=1) / math.sqrt(len(value))
    assert abs(times.mean() / expected["iact"] - 1) < 0.05
    assert max(te.split_rhat(group) for group in groups) < 1.02


def test_rhat_sees_what_it_is_for():
    """A chain elsewhere, one of another width with the same mean, a common drift, heavy tails: catches each check left out."""
    fine = ar1(0, 4, 400, 0.3)
    elsewhere, wide = fine + np.array([[0.0], [0.0], [0.0], [1.5]]), fine * np.array([[1.0], [1.0], [1.0], [3.0]])

    assert te.split_rhat(fine) < 1.01
    assert min(te.split_rhat(x) for x in (elsewhere, wide, fine + np.linspace(0, 2, 400))) > 1.1
    cauchy = stats.cauchy.rvs(size=(4, 400), random_state=rng(1))
    assert te.split_rhat(cauchy) < 1.02 and te.split_rhat(cauchy + np.array([[0.0], [0.0], [0.0], [5.0]])) > 1.1
    assert te.split_rhat(np.exp(5 * fine)) < 1.01  # ranks do not change much, up to the fold


@pytest.mark.parametrize("function", [te.split_rhat, te.effective_sample_size, te.autocorrelation])
@pytest.mark.parametrize(("chains", "message"), [
    (np.zeros((4, 7)), "at least 8 draws of one chain are needed, got 7 of 4"), (np.zeros((9, 0, 2)), "got 9 of 0"),
    (np.zeros(20), r"chains are numbers of shape \(draws"), (np.zeros((4, 20), complex), "got ndarray of complex128"),
    (np.zeros((2, 9, 2, 2)), r"got shape \(2, 9, 2, 2\)"),
    (np.full((4, 20), math.nan), "hold nan or inf"), (np.where(np.eye(20) == 1, math.inf, 0.0), "hold nan or inf")])
def test_what_is_no_set_of_chains(function, chains, message):
    with pytest.raises(ValueError, match=message):
        function(chains)


def test_unknown_kinds():
    with pytest.raises(ValueError, match="kind must be one of bulk, tail, mean, got 'median'"):
        te.effective_sample_size(CHAINS["slow"], "median")
