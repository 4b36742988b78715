"""From names to things: every name that `compare` knows, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm import datasets
from tinyebm.common.tree import ravel
from tinyebm.experiment import setups

BITS, PLANE = te.Bits(5), te.Reals(2)


@pytest.mark.parametrize(("name", "space", "hidden", "energy"), [
    (None, PLANE, None, te.MLP((2, 64, 64, 1), "silu", 1.0)), ("mlp", te.Reals(1), (8,), te.MLP((1, 8, 1), "silu", 1.0)),
    (None, BITS, None, te.RBM(5, 8)), ("rbm", BITS, (3,), te.RBM(5, 3)), ("boltzmann", BITS, None, te.BoltzmannMachine(5)),
    ("boltzmann", te.Spins(4), None, te.BoltzmannMachine(4)), ("mlp", BITS, (8, 4), te.MLP((5, 8, 4, 1), "silu", 0.0))])
def test_energies(name, space, hidden, energy):
    """Catches a network on bits that is confined, widths of another model, and a default that is not the documented one."""
    found = setups.named_energy(name, space, hidden)

    assert found == energy and repr(found) == repr(energy)
    if name == "mlp":
        assert setups.named_energy(name, space, hidden, "tanh", 2.0) == dataclasses.replace(
            energy, activation="tanh", confinement=0.0 if space.discrete else 2.0)  # fmt: skip


@pytest.mark.parametrize(("name", "space", "hidden", "message"), [
    ("rmb", BITS, None, "unknown energy 'rmb': did you mean 'rbm'. the names are mlp, rbm, boltzmann"),
    ("rbm", PLANE, None, "the energy 'rbm' is for bits, and the data live on Reals"),
    ("boltzmann", PLANE, None, "is for bits"), ("rbm", BITS, (8, 8), "an RBM has one hidden layer, got widths")])
def test_energies_that_do_not_fit(name, space, hidden, message):
    with pytest.raises(ValueError, match=message):
        setups.named_energy(name, space, hidden)


@pytest.mark.parametrize(("energy", "space", "kernel"), [
    (te.MLP((2, 8, 1)), PLANE, te.ULA(0.07)), (te.Quartic(), te.Box(-1, 1, 1), te.ULA(0.07)),
    (te.GaussianBernoulliRBM(2, 3), PLANE, te.ULA(0.07)), (te.RBM(5, 3), BITS, te.BlockGibbs()),
    (te.BoltzmannMachine(5), te.Spins(5), te.Gibbs()), (te.MLP((5, 8, 1)), BITS, te.GibbsWithGradients()),
    (te.Potts(3, (2, 2)), te.Cells(3, 4), te.Gibbs()), (lambda theta, x: x[:, 0], BITS, te.Gibbs())])
def test_kernels_suit_their_energies(energy, space, kernel):
    """Each leaves p alone where it can be asked.  Catches Langevin steps between bits, and a step size that is lost."""
    found = setups.default_kernel(energy, space, 0.07)

    assert found == kernel
    if space.discrete and hasattr(energy, "init"):
        p = te.Density(energy, energy.init(np.random.default_rng(0)), space)
        assert np.abs(found.push(te.probabilities(p), p) - te.probabilities(p)).max() < 1e-14


def test_default_step_size():
    assert setups.default_kernel(te.Quartic(), te.Reals(1)) == te.ULA(0.01)


@pytest.mark.parametrize(("name", "objective"), [
    ("mle", te.ExactLikelihood(rtol=1e-3)), ("pl", te.Pseudolikelihood()), ("cd-1", te.ContrastiveDivergence(te.Gibbs(), 1)),
    ("cd-25", te.ContrastiveDivergence(te.Gibbs(), 25)), ("short-100", te.ShortRun(te.Gibbs(), 100)),
    ("pcd-3", te.PersistentContrastiveDivergence(te.Gibbs(), 3, restart=0.0)), ("perfect", te.PerfectSamples()),
    ("rm", te.RatioMatching()), ("sm", te.ScoreMatching()), ("ssm-3", te.SlicedScoreMatching(3)),
    ("dsm-0.05", te.DenoisingScoreMatching(0.05)), ("dsm-.5", te.DenoisingScoreMatching(0.5)),
    ("dsm-2", te.DenoisingScoreMatching(2.0)), ("dsm-1.", te.DenoisingScoreMatching(1.0))])
def test_objectives(name, objective):
    """Catches k read from one digit, PCD with restarts, CD for PCD, one score matching for another, digits after the point lost."""
    assert setups.named_objective(name, te.Gibbs()) == objective


@pytest.mark.parametrize("name", ["cd", "cd-0", "cd-", "cd--1", "pcd1", "mle-2", "CD-1", "cd-1 ", "xcd-1", "cd-1.5", "", "dsm",
                                  "dsm-", "dsm--1", "dsm-1e-3", "dsm-.", "dsm-0.1.2", "ssm", "ssm-0", "ssm-1.5", "nce", "nce-0",
                                  "nce-0.5", "perfect-1", "rm-1", "sm-1", "sm ", "all"])
def test_unknown_objectives(name):
    """Catches a name that is matched in part."""
    with pytest.raises(ValueError, match="unknown method .*the methods are mle, perfect, cd-K, .* on bits pl, rm"):
        setups.named_objective(name, te.Gibbs())


def test_schedule():
    """Constant over the first half, then on a line to zero; 0.03 on a population, 0.01 on data.  Catches a rate that is 0 first."""
    population, rows = datasets.load("bars_and_stripes"), np.zeros((3, 2))
    for data, rate, top in ((population, None, 0.03), (rows, None, 0.01), (rows, 0.5, 0.5), (population, 0.5, 0.5)):
        learning_rate = setups.schedule(rate, data, 200)
        steps = np.array([0, 50, 100, 101, 150, 199, 200])
        np.testing.assert_allclose([learning_rate(step) for step in steps],
                                   top * np.array([1, 1, 1, 0.99, 0.5, 0.01, 0]), atol=1e-15)  # fmt: skip


def test_words():
    """Catches input and output among the widths, and a sampler without its step size."""
    assert setups.describe(te.MLP((2, 64, 32, 1), "tanh"), te.ULA(0.05)) == ("64-32 tanh network", "Langevin step size 0.05")
    assert setups.describe(te.RBM(16, 8), te.BlockGibbs()) == ("RBM(visible=16, hidden=8)", "BlockGibbs()")


@pytest.mark.parametrize(("data", "space", "picture"), [
    (None, te.Reals(2), True), (None, te.Reals(3), False), (None, te.Bits(9), True), (None, te.Bits(10), False),
    ("two_moons_bits", te.Bits(10), True)])
def test_pictures(data, space, picture):
    """Catches a figure that ends a run in an error after all its work."""
    assert setups.drawable(data and datasets.load(data), space) is picture


def test_noise_of_noise_contrast():
    """Catches a ratio lost, and noise that is made for methods that need none."""
    law = te.Normal(np.zeros(1), np.eye(1))
    found = setups.named_objective("nce-12", te.ULA(0.1), lambda: law)

    assert isinstance(found, te.NoiseContrastive) and found.ratio == 12 and found.noise is law
    assert setups.named_objective("cd-1", te.ULA(0.1), lambda: 1 / 0) == te.ContrastiveDivergence(te.ULA(0.1), 1)


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-2, 2, 1), te.Bits(2), te.Spins(2), te.Cells(3, 2)], ids=repr)
def test_all_methods_are_those_at_home(space):
    """Of one method of every kind, just those whose gradient can be had on the space.  Catches pl on R, rm on three values."""
    energy = te.MLP((space.dim, 3, 1), "tanh", 0.0 if space.discrete else 1.0)
    p = te.Density(energy, energy.init(np.random.default_rng(0)), space)
    kernel = te.Gibbs() if space.discrete else te.ULA(0.01)
    noise = lambda: te.Uniform(space) if space.bounded else te.Normal(np.zeros(1), np.eye(1))
    x, works = space.initial(6, np.random.default_rng(1)), []
    for name in ("mle", "perfect", "cd-1", "cd-10", "pcd-10", "short-50", "sm", "ssm-1", "dsm-0.1", "pl", "rm", "nce-1"):
        try:
            setups.named_objective(name, kernel, noise).gradient(p, x, np.random.default_rng(2))
            works.append(name)
        except ValueError:
            pass

    assert list(setups.all_methods(energy, space)) == works


# ------------------------------------------------------- consistency, by the expected gradient at the truth

STATES, COUNTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [1, 2, 3, 4]
TABLE = te.Density(lambda theta, x: theta[te.Bits(2).grid().index(x)], -np.log(np.array(COUNTS) / 10), te.Bits(2))
POPULATION = np.repeat(STATES, COUNTS, axis=0)  # ten rows with just the probabilities of TABLE
NORMAL = te.Density(te.GaussianEnergy(1), {"mean": np.array([0.3]), "precision": np.array([[2.0]])}, te.Reals(1))


def size(gradient):
    return float(np.abs(ravel(gradient)[0]).max())


class Balanced:
    """A generator for four rows: signs ±1 that have the mean and variance of a standard normal, and go with both data."""

    def standard_normal(self, shape, dtype=float):
        return np.array([1.0, 1.0, -1.0, -1.0])[:, None]

    def random(self, shape):
        return np.array([0.2, 0.2, 0.7, 0.7])[:, None]


class EveryState:
    """The uniform law on STATES as a sample of all of them, equally often."""

    space = te.Bits(2)

    def sample(self, n, rng):
        return np.tile(STATES, (n // 4, 1))

    def log_prob(self, x):
        return np.full(len(x), -math.log(4))


@pytest.mark.parametrize("name", ["mle", "pl", "rm", "nce-2", "cd-1", "cd-3", "short-1", "short-2"])
def test_consistency_on_states(name):
    """Every law of the expectation listed: the gradient at the truth is 0 to rounding, or is not.  Catches a label exchanged."""
    objective = setups.named_objective(name, te.Gibbs(), EveryState)
    if name.startswith(("cd", "short")):
        start = {"start": STATES} if name.startswith("short") else {}
        found = te.exact_cd_gradient(TABLE, POPULATION, objective.kernel, objective.k, **start)
    else:
        state = {"log_normaliser": 0.0} if name == "nce-2" else None
        found = objective.gradient(TABLE, POPULATION, np.random.default_rng(0), state).gradient
    label = setups.consistency(objective, te.Bits(2))

    assert label == {"c": "at rest", "s": "no"}.get(name[0], "yes")
    assert size(found) > 1e-5 if label == "no" else size(found) < 1e-14


@pytest.mark.parametrize("restart", [0.0, 0.2])
def test_consistency_of_persistent_chains(restart):
    """Their stationary law, by iterated pushes, is p only without restarts.  Catches restarts that count as harmless."""
    objective = te.PersistentContrastiveDivergence(te.Gibbs(), 1, restart=restart)
    law = np.full(4, 0.25)
    for _ in range(200):
        law = te.Gibbs().push((1 - restart) * law + restart / 4, TABLE)
    label, gradient = setups.consistency(objective, te.Bits(2)), np.array(COUNTS) / 10 - law  # of a table of energies

    assert label == ("no" if restart else "yes")
    assert size(gradient) > 1e-3 if restart else size(gradient) < 1e-14


def test_consistency_of_regularised_chains():
    """alpha (E² over data and negatives) adds 4 alpha E_p[E ∂E] at the truth, which is not 0."""
    for kind in (te.ContrastiveDivergence, te.PersistentContrastiveDivergence):
        assert setups.consistency(kind(te.Gibbs(), 1, alpha=0.1), te.Bits(2)) == "no"
    assert setups.consistency(te.PerfectSamples(alpha=0.1), te.Bits(2)) == "no"
    assert size(np.array(COUNTS) / 10 * TABLE.theta) > 0.1


@pytest.mark.parametrize(("name", "label"), [("sm", "yes"), ("ssm-1", "yes"), ("ssm-2", "yes"), ("dsm-0.4", "no")])
def test_consistency_of_score_matching(name, label):
    """Quadratic in x and noise for a normal law, so two points for each are the population: 0 to rounding, or not.

    Of dsm the zero is the law smoothed by the noise.
    """
    s, objective = math.sqrt(0.5), setups.named_objective(name, te.ULA(0.1))
    x = 0.3 + s * np.array([[1.0], [-1.0], [1.0], [-1.0]])
    at = lambda p: size(objective.gradient(p, x, Balanced()).gradient)
    smoothed = te.Density(NORMAL.energy, {"mean": np.array([0.3]), "precision": np.array([[1 / (0.5 + 0.4**2)]])}, te.Reals(1))

    assert setups.consistency(objective, te.Reals(1)) == label
    assert at(NORMAL) < 1e-14 if label == "yes" else at(NORMAL) > 0.1 and at(smoothed) < 1e-14


@pytest.mark.parametrize("name", ["sm", "ssm-1"])
def test_consistency_of_score_matching_between_walls(name):
    """By Gauss-Legendre nodes: boundary terms do not vanish.  Catches a "yes" for boxes."""
    p = te.Density(NORMAL.energy, NORMAL.theta, te.Box(-1, 1, 1))
    x, log_w = p.space.atoms(40)
    mass, objective = np.exp(te.log_prob(p, x) + log_w), setups.named_objective(name, te.ULA(0.1))
    parts = [ravel(objective.gradient(p, row[None], np.random.default_rng(0)).gradient)[0] for row in x]

    assert abs(mass.sum() - 1) < 1e-12 and np.abs(mass @ np.array(parts)).max() > 0.05
    assert setups.consistency(objective, p.space) == "no"


class Stranger:
    """A kernel that says nothing of itself."""

    def step(self, p, x, rng):
        return x


@pytest.mark.parametrize(("kernel", "label", "bound"), [(te.ULA(0.05), "no", 1e-3), (te.MALA(0.1), "at rest", 1e-4),
                                                        (te.Recipe(0.1, 0.1), "no", None), (Stranger(), "no", None)])  # fmt: skip
def test_consistency_of_chains_on_the_line(kernel, label, bound):
    """CD-1 from the population itself, by pushes: MALA stays, ULA drifts to its own law.  Catches "at rest" for ULA.

    A kernel that does not say what it leaves invariant is not trusted.
    """
    assert setups.consistency(te.ContrastiveDivergence(kernel, 1), te.Reals(1)) == label
    if bound is not None:
        found = size(te.exact_cd_gradient(NORMAL, NORMAL, kernel, 1))
        assert found > bound if label == "no" else found < bound
    pcd = te.PersistentContrastiveDivergence(kernel, 1, restart=0.0)
    assert setups.consistency(pcd, te.Reals(1)) == ("no" if label == "no" else "yes")


@pytest.mark.parametrize("name", ["perfect", "nce-1", "nce-3"])
def test_consistency_of_sampled_objectives(name):
    """|z| < 5 for every parameter over 300 batches of the population; away from the truth more.  Catches noise weighed 1 for ν."""
    noise = te.Normal(np.array([0.0]), np.array([[1.0]]))
    objective = setups.named_objective(name, te.ULA(0.1), lambda: noise)
    rng, state = np.random.default_rng(0), {"log_normaliser": float(te.log_partition(NORMAL))} if name != "perfect" else None
    wrong = te.Density(NORMAL.energy, {"mean": np.array([0.4]), "precision": np.array([[2.0]])}, te.Reals(1))
    def z(p):
        memory, found = state, []
        for x in te.sample(NORMAL, 300 * 64, rng).reshape(300, 64, 1):
            step = objective.gradient(p, x, rng, memory)
            memory = step.state if name == "perfect" else state
            found.append(ravel(step.gradient)[0])
        return np.abs(np.mean(found, axis=0) / np.std(found, axis=0, ddof=1) * math.sqrt(300)).max()

    assert setups.consistency(objective, te.Reals(1)) == "yes"
    assert z(NORMAL) < 5 < z(wrong)
