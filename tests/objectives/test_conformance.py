"""What every objective passes, those of the package and the example of the page of `objectives`."""

import io
import math

import numpy as np
import pytest

import tinyebm as te
from examples import of_page
from tinyebm.common.tree import every, ravel, tree_flatten, tree_map

rng = np.random.default_rng  # every test makes its own


ProbabilityFlow = of_page(te.objectives, "ProbabilityFlow")


def drawn(energy, space, scale=0.3):
    theta = tree_map(lambda leaf: leaf + rng(1).normal(0, scale, leaf.shape), energy.init(rng(0)))
    return te.Density(energy, theta, space)


PLANE = drawn(te.MLP((2, 4, 1), "tanh", confinement=1.0), te.Reals(2))
BOX = drawn(te.MLP((2, 4, 1), "silu"), te.Box(-2, 2, 2))
BITS, SPINS = (drawn(te.BoltzmannMachine(3), space) for space in (te.Bits(3), te.Spins(3)))
LAYERS = drawn(te.RBM(3, 2), te.Bits(3))
LINE = drawn(te.DoubleWell(), te.Reals(1))
CASES = {
    "likelihood": (te.ExactLikelihood(), PLANE),
    "likelihood of states": (te.ExactLikelihood(), LAYERS),
    "cd": (te.ContrastiveDivergence(te.ULA(0.05), 2), PLANE),
    "cd, alpha": (te.ContrastiveDivergence(te.MALA(0.1), 2, 0.1), BOX),
    "cd of states": (te.ContrastiveDivergence(te.Gibbs(), 2), BITS),
    "cd of layers": (te.ContrastiveDivergence(te.BlockGibbs()), LAYERS),
    "pcd": (te.PersistentContrastiveDivergence(te.ULA(0.05), 2, chains=30, alpha=0.1), PLANE),
    "pcd of states": (te.PersistentContrastiveDivergence(te.Gibbs("random"), 3, chains=2000, restart=1.0), SPINS),
    "short run": (te.ShortRun(te.HMC(0.3, 2), 3), PLANE),
    "short run of states": (te.ShortRun(te.GibbsWithGradients(), 3), SPINS),
    "perfect": (te.PerfectSamples(7, alpha=0.1), PLANE),
    "perfect of states": (te.PerfectSamples(), LAYERS),
    "exact cd": (te.ExactContrastiveDivergence(te.ULA(0.02), 2), LINE),
    "exact cd, mala": (te.ExactContrastiveDivergence(te.MALA(0.1)), LINE),
    "exact cd of states": (te.ExactContrastiveDivergence(te.Gibbs(), 2), BITS),
    "score": (te.ScoreMatching(), PLANE),
    "sliced": (te.SlicedScoreMatching(2), BOX),
    "denoising": (te.DenoisingScoreMatching(0.4), PLANE),
    "noise": (te.NoiseContrastive(te.Normal(np.zeros(2), 2 * np.eye(2)), 3), PLANE),
    "noise of states": (te.NoiseContrastive(te.Uniform(te.Bits(3))), LAYERS),
    "pseudolikelihood": (te.Pseudolikelihood(), BITS),
    "ratio": (te.RatioMatching(), SPINS),
    "flow": (ProbabilityFlow(), LAYERS),
}
RANDOM = [name for name, (objective, _) in CASES.items() if not isinstance(objective, (
    te.ExactLikelihood, te.ExactContrastiveDivergence, te.ScoreMatching, te.Pseudolikelihood, te.RatioMatching, ProbabilityFlow))]


def data(p, n=9):
    return p.space.initial(n, rng(2))


def of_type(p, dtype):
    return te.Density(p.energy, tree_map(lambda leaf: leaf.astype(dtype), p.theta), p.space)


def same(one, other):
    tree_map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_a_step(name, dtype):
    """Three calls in a row: gradients of θ's form and type, scalar metrics, a state of arrays; θ and x are left alone.

    Catches a gradient with the shape of a broadcast, and one of double precision, weights, noise or pools of it beside a θ
    that is single; a metric that is an array, or none.
    """
    objective, p = CASES[name]
    p, x, state = of_type(p, dtype), data(p).astype(dtype), None
    before = tree_map(np.copy, p.theta), x.copy()
    for seed in range(3):
        gradient, metrics, state = objective.gradient(p, x, rng(seed), state)
        tree_map(lambda g, t: np.testing.assert_equal((g.shape, g.dtype), (t.shape, t.dtype)), gradient, p.theta)
        assert all(np.ndim(value) == 0 and np.isfinite(value) for value in metrics.values())
        assert state is None or every(lambda leaf: isinstance(leaf, (np.ndarray, np.generic)), state)
        for part in ("chains", "log_normaliser"):
            assert state is None or part not in state or state[part].dtype == dtype
    same((p.theta, x), before)


@pytest.mark.parametrize("name", CASES)
def test_all_chance_is_the_generator_s(name):
    """The same seed, the same numbers; another seed, others where chance is used.  Catches a global generator."""
    objective, p = CASES[name]
    one, again, other = (objective.gradient(p, data(p), rng(seed)) for seed in (1, 1, 2))

    same(one.gradient, again.gradient)
    assert one.metrics == again.metrics
    assert (name in RANDOM) == bool(np.abs(ravel(one.gradient)[0] - ravel(other.gradient)[0]).max() > 0)


def saved_and_read(tree):
    """The tree after its arrays have been in a file."""
    (leaves, rebuild), file = tree_flatten(tree), io.BytesIO()
    np.savez(file, *leaves)
    file.seek(0)
    with np.load(file) as saved:
        return rebuild([saved[f"arr_{i}"] for i in range(len(leaves))])


@pytest.mark.parametrize("name", CASES)
def test_the_state_is_all_that_is_kept(name):
    """Saved as arrays and read again, in another instance, it leads to the same numbers; it is not changed in place.

    Catches what an objective remembers on the side, which a resumed run would lose.
    """
    objective, p = CASES[name]
    state = objective.gradient(p, data(p), rng(0)).state
    read, before = (None, None) if state is None else (saved_and_read(state), tree_map(np.copy, state))
    one, other = objective.gradient(p, data(p, 5), rng(1), state), objective.gradient(p, data(p, 5), rng(1), read)

    same(one.gradient, other.gradient)
    if state is not None:
        same((one.state, state), (other.state, before))


@pytest.mark.parametrize("name", CASES)
def test_batches_that_are_none_are_refused(name):
    """Catches nan in the data behind a finite loss, a mean over no rows, and rows that broadcast."""
    objective, p = CASES[name]
    x = data(p)
    for wrong in (np.where(np.arange(x.size).reshape(x.shape) == 1, math.nan, x), x[:0], x[0], np.concatenate([x, x], axis=1)):
        with pytest.raises(ValueError):
            objective.gradient(p, wrong, rng(0))


# ------------------------------------------------------------------------------- what it descends

SMOOTH = [(te.MLP((1, 5, 1), "silu"), te.Reals(1)), (te.MLP((2, 5, 1), "tanh", confinement=0.3), te.Reals(2)),
          (te.MLP((3, 4, 3, 1), "softplus"), te.Reals(3)), (te.MLP((2, 4, 1), "silu"), te.Reals(2, base_scale=0.7)),
          (te.MLP((2, 4, 1), "softplus"), te.Box(-2, 2, 2)), (te.GaussianEnergy(2), te.Reals(2)), (te.Banana(), te.Reals(2)),
          (te.GaussianMixtureEnergy(2, 2), te.Reals(2)), (te.Quartic(), te.Reals(1, base_scale=2.0)), (te.Ring(), te.Reals(2))]
SLOPES = te.ScoreMatching(), te.SlicedScoreMatching(2), te.DenoisingScoreMatching(0.4)
LOSSES = [(objective, drawn(*model, 0.2)) for objective in SLOPES for model in SMOOTH]
LOSSES += [CASES[name] for name in ("noise", "noise of states", "pseudolikelihood", "ratio", "flow", "likelihood of states")]
LOSSES += [(te.ExactLikelihood(1e-10), PLANE), (te.ExactLikelihood(1e-10), LINE)]


@pytest.mark.parametrize("objective, p", LOSSES, ids=lambda part: repr(getattr(part, "energy", part)).partition(" at 0x")[0][:40])
def test_the_gradient_is_the_finite_difference_of_the_loss(objective, p):
    """With the same draws, the same state.  Catches a mixed derivative that is lost (a score taken as a constant), and ascent."""
    x, h = p.space.initial(6, rng(2)), 1e-3
    state = {"log_normaliser": np.array(0.3)} if isinstance(objective, te.NoiseContrastive) else None
    theta, unravel = ravel(p.theta)
    at = lambda theta: objective.gradient(te.Density(p.energy, unravel(theta), p.space), x, rng(5), state)
    loss = lambda theta: at(theta).metrics["loss"]
    numeric = [(8 * (loss(theta + e) - loss(theta - e)) - loss(theta + 2 * e) + loss(theta - 2 * e)) / (12 * h)
               for e in h * np.eye(len(theta))]

    np.testing.assert_allclose(ravel(at(theta).gradient)[0], numeric, rtol=1e-7, atol=1e-7)


def uniform(space):
    return np.full(space.grid().size, 1 / space.grid().size)


EXPECTED = {
    "cd of states": lambda p, x: te.exact_cd_gradient(p, x, te.Gibbs(), 2),
    "cd of layers": lambda p, x: te.exact_cd_gradient(p, x, te.BlockGibbs(), 1),
    "cd": lambda p, x: te.exact_cd_gradient(p, x, te.ULA(0.05), 2),
    "pcd of states": lambda p, x: te.exact_cd_gradient(p, x, te.Gibbs("random"), 3, start=uniform(p.space)),
    "short run of states": lambda p, x: te.exact_cd_gradient(p, x, te.GibbsWithGradients(), 3, start=uniform(p.space)),
    "perfect of states": te.nll_gradient, "exact cd of states": lambda p, x: te.exact_cd_gradient(p, x, te.Gibbs(), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_the_gradient_of_draws_has_the_exact_mean(name):
    """Where the loss is no function of θ: over 40 gradients of 900 rows all |z| < 5 to the exact expectation.

    Catches chains that start elsewhere, k off by one, a phase that is summed or divided by the size of the other.
    """
    objective, p = CASES[name]
    x = np.tile(data(p), (100, 1))
    draws = np.stack([ravel(objective.gradient(p, x, rng(seed)).gradient)[0] for seed in range(40)])
    exact, spread = ravel(EXPECTED[name](p, data(p)))[0], draws.std(axis=0)

    np.testing.assert_allclose(draws.mean(axis=0), exact, rtol=0, atol=5 * spread.max() / math.sqrt(39) + 1e-12)
    varies = spread > 1e-12
    assert (np.abs((draws.mean(axis=0) - exact)[varies] / spread[varies]) * math.sqrt(39) < 5).all()
