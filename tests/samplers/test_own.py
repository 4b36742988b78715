"""Kernels and energies of one's own, by inheritance or without: what they write is what runs, or one line says why not."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.experiment.judging import bias
from tinyebm.experiment.setups import consistency, default_kernel
from tinyebm.objectives.neglected_term import full_cd_gradient, neglected_term
from tinyebm.samplers.kernels import Move
from tinyebm.samplers.spectrum import spectrum

rng = np.random.default_rng
LINE = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
MACHINE = te.RBM(3, 2)
BITS = te.Density(MACHINE, tree_map(lambda a: a + 0.3, MACHINE.init(rng(0))), te.Bits(3))
ROWS = {1: np.linspace(-1, 1, 40)[:, None], 3: (rng(1).random((40, 3)) < 0.5) * 1.0}  # by dimension


class There:
    """A step that knows one place."""

    def step(self, p, x, rng):
        return Move(x * 0 + 1.0, np.full(len(x), True) if self.rejects else None)

    rejects = False


class OwnULA(There, te.ULA):
    """Its own step, and all the rest of ULA."""


class OwnMALA(There, te.MALA):
    """Of MALA."""

    rejects = True


class OwnHMC(There, te.HMC):
    """Of HMC, which has no push to inherit."""

    rejects = True


class OwnRecipe(There, te.Recipe):
    """Of a recipe."""


class OwnGibbs(There, te.Gibbs):
    """Of Gibbs."""


class OwnBlockGibbs(There, te.BlockGibbs):
    """Of block Gibbs."""


class OwnGibbsWithGradients(There, te.GibbsWithGradients):
    """Of Gibbs with gradients."""

    rejects = True


@dataclass(frozen=True)
class Alone(There):
    """Of nothing."""


@dataclass(frozen=True)
class Called(There):
    """And it can be called, which is no function of the step."""

    def __call__(self, p, x, rng):
        return self.step(p, x, rng)


INHERITED = {OwnULA(0.1): LINE, OwnMALA(0.1): LINE, OwnHMC(0.1, 2): LINE, OwnRecipe(0.1, 0.1): LINE, OwnGibbs(): BITS,
             OwnBlockGibbs(): BITS, OwnGibbsWithGradients(): BITS}
KERNELS = [*INHERITED.items(), (Alone(), LINE), (Called(), LINE), (Called(), BITS), (lambda i: OwnULA(0.1 / i), LINE),
           (lambda i: te.ULA(0.1) if i == 1 else OwnULA(0.1), LINE), (lambda i: Alone(), LINE)]
NAMES = [getattr(kernel, "__name__", type(kernel).__name__) for kernel, _ in KERNELS]


@pytest.mark.parametrize(("kernel", "p"), KERNELS, ids=NAMES)
def test_its_step_is_what_runs(kernel, p):
    """Every chain ends at the one place.  Catches a road for the parent's step that is taken because something else fits."""
    x = ROWS[p.space.dim]
    end, info = te.run(kernel, p, x, 3, rng(0), record=3)
    np.testing.assert_array_equal(end, x * 0 + 1)
    np.testing.assert_array_equal(info["trajectory"], [x, end])
    assert (info["acceptance"] is None) == (not getattr(kernel, "rejects", False))


@pytest.mark.parametrize("objective", [te.ContrastiveDivergence, te.PersistentContrastiveDivergence, te.ShortRun])
@pytest.mark.parametrize(("kernel", "p"), KERNELS, ids=NAMES)
def test_its_step_is_what_trains(objective, kernel, p):
    """All negatives lie at the one place.  Catches the parent's negatives."""
    energy = float(p.energy(p.theta, np.ones((1, p.space.dim)))[0])
    step = objective(kernel, 2).gradient(p, ROWS[p.space.dim], rng(0))
    assert step.metrics["energy_model"] == pytest.approx(energy, abs=1e-12)


class Faithful(OwnMALA):
    """It says for itself that it leaves p invariant."""

    invariant = True
    calls = itertools.count()

    def step(self, p, x, rng):
        next(self.calls)
        return te.MALA.step(self, p, x, rng)


def test_annealing_takes_its_step_or_none():
    """Catches the parent's `step_from` in the place of the step, and a parent's word for what the child does."""
    with pytest.raises(ValueError, match="invariant = True"):
        te.ais(LINE, 10, rng(0), temperatures=5, kernel=OwnMALA(0.1))
    found = te.ais(LINE, 2000, rng(0), temperatures=20, kernel=Faithful(0.3))
    assert next(Faithful.calls) == 19 and abs(found - 0.5 * math.log(2 * math.pi)) < 5 * found.error


PUSHED = {
    "push": lambda p, kernel: kernel.push(te.probabilities(p), p),
    "matrix": lambda p, kernel: te.transition_matrix(p, kernel),
    "spectrum": lambda p, kernel: spectrum(p, kernel),
    "gap": lambda p, kernel: te.spectral_gap(p, kernel),
    "exact CD": lambda p, kernel: te.exact_cd_gradient(p, ROWS[p.space.dim], kernel, 2),
    "objective": lambda p, kernel: te.ExactContrastiveDivergence(kernel).gradient(p, ROWS[p.space.dim], rng(0)),
    "neglected": lambda p, kernel: neglected_term(p, ROWS[p.space.dim], kernel, 1),
    "full": lambda p, kernel: full_cd_gradient(p, ROWS[p.space.dim], kernel, 1),
}
PUSHES = [(kernel, p) for kernel, p in INHERITED.items() if hasattr(kernel, "operator")]


@pytest.mark.parametrize("ask", PUSHED)
@pytest.mark.parametrize(("kernel", "p"), PUSHES, ids=[type(kernel).__name__ for kernel, _ in PUSHES])
def test_its_law_is_not_its_parent_s(ask, kernel, p):
    """Catches the exact law of another kernel."""
    with pytest.raises(ValueError, match=rf"{type(kernel).__name__}\(.*has a step of its own but the operator of another") as error:
        PUSHED[ask](p, kernel)
    assert "\n" not in str(error.value)


def test_a_comparison_leaves_out_what_has_no_law():
    """The angle of its gradient is nan, and nothing is said of where it rests.  Catches numbers of the parent's."""
    fitted = te.fit(LINE.energy, ROWS[1], LINE.space, te.ContrastiveDivergence(OwnMALA(0.1)), steps=1, theta=LINE.theta,
                    progress=False)
    unknown = bias(fitted, fitted.density, ROWS[1], te.ContrastiveDivergence(OwnMALA(0.1)))
    assert all(math.isnan(value) for value in unknown.values())
    assert consistency(te.ContrastiveDivergence(OwnMALA(0.1)), LINE.space) == "no"
    assert consistency(te.ContrastiveDivergence(te.MALA(0.1)), LINE.space) == "at rest"


class Rewritten(te.ULA):
    """ULA once more, all of it."""

    step, operator, spread, push = te.ULA.step, te.ULA.operator, te.ULA.spread, te.ULA.push


class Pushed(te.Gibbs):
    """A push of its own for the old step, but by `push` alone."""

    def push(self, probabilities, p):
        return probabilities


def test_what_is_written_anew_is_taken():
    """A class that writes its law, too, has it.  Catches a refusal of all that inherit."""
    for ask in ("push", "matrix", "exact CD"):
        for found, wanted in zip(*(tree_flatten(PUSHED[ask](LINE, kernel))[0] for kernel in (Rewritten(0.3), te.ULA(0.3))),
                                 strict=True):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(te.transition_matrix(BITS, Pushed()), np.eye(8))
    np.testing.assert_array_equal(Pushed().push(te.probabilities(BITS), BITS), te.probabilities(BITS))


class Half(te.ULA):
    """A law that is written anew but for the first step of exact contrastive divergence."""

    step, operator = te.ULA.step, te.ULA.operator


def test_the_first_step_too():
    """Catches `spread` of the parent beside an operator of one's own."""
    te.transition_matrix(LINE, Half(0.3))
    with pytest.raises(ValueError, match="the spread of another"):
        te.exact_cd_gradient(LINE, ROWS[1], Half(0.3), 1)
    fitted = te.fit(LINE.energy, ROWS[1], LINE.space, te.ContrastiveDivergence(Half(0.3)), steps=1, theta=LINE.theta,
                    progress=False)
    assert math.isnan(bias(fitted, fitted.density, ROWS[1], te.ContrastiveDivergence(Half(0.3)))["angle"])


@pytest.mark.parametrize("parent", [te.ULA, te.MALA])
def test_a_drift_that_the_step_does_not_take_is_refused(parent):
    """Everywhere.  Catches a drift that acts on laws alone, or not at all."""
    kernel = type("Drifting", (parent,), {"drift": lambda self, p, x: x + 5.0})(0.1)
    for refused in (lambda: te.run(kernel, LINE, ROWS[1], 3, rng(0)), lambda: te.ContrastiveDivergence(kernel),
                    lambda: te.run(lambda i: kernel, LINE, ROWS[1], 3, rng(0)), lambda: te.transition_matrix(LINE, kernel),
                    lambda: te.exact_cd_gradient(LINE, ROWS[1], kernel, 1), lambda: te.ShortRun(kernel),
                    lambda: te.ais(LINE, 10, rng(0), temperatures=5, kernel=kernel)):
        with pytest.raises(ValueError, match="Drifting.*has a drift of its own but the (step|operator) of another"):
            refused()


def test_a_noise_of_one_s_own_acts_everywhere():
    """Twice the noise is four times the temperature: in one step, in many, in laws.  Catches a noise that is known to some."""
    Loud = type("Loud", (te.ULA,), {"noise_scale": property(lambda self: 2 * math.sqrt(2 * self.step_size))})
    loud, hot, x = Loud(0.3), te.ULA(0.3, temperature=4.0), rng(1).standard_normal((20_000, 1))
    np.testing.assert_array_equal(loud.step(LINE, x, rng(0)).x, hot.step(LINE, x, rng(0)).x)
    for ask in ("push", "matrix", "exact CD"):
        for found, wanted in zip(*(tree_flatten(PUSHED[ask](LINE, kernel))[0] for kernel in (loud, hot)), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-14)
    variance = te.run(loud, LINE, x, 60, rng(0))[0].var() * (1 - 0.3 / 2) / 4
    assert abs(variance - 1) < 5 * math.sqrt(2 / len(x))


def test_a_proposal_with_a_noise_of_its_own():
    """MALA with twice the noise leaves p invariant, by its law and by its steps.  Catches an acceptance for another proposal."""
    Loud = type("Loud", (te.MALA,), {"noise_scale": property(lambda self: 2 * math.sqrt(2 * self.step_size))})
    mass, x = te.probabilities(LINE), te.sample(LINE, 20_000, rng(0))
    np.testing.assert_allclose(Loud(0.3).push(mass, LINE), mass, atol=1e-14)
    assert abs(Loud(0.3).push(te.MALA(0.3).push(mass, LINE), LINE) - mass).max() < 1e-14
    end = te.run(Loud(0.3), LINE, x, 5, rng(1))[0]
    matrix, P = te.transition_matrix(LINE, Loud(0.3)), te.transition_matrix(LINE, te.MALA(0.3))
    assert abs(end.var() - 1) < 5 * math.sqrt(2 / len(x)) and abs(matrix - P).max() > 0.01


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-2, 2, 1)], ids=repr)
@pytest.mark.parametrize("factor", [(0.5, 1.0), (1.0, 100.0)], ids=["drift", "noise"])
def test_one_formula_for_one_step_and_for_many(monkeypatch, space, factor):
    """Drift halved and noise a hundredfold, in eq. (1) alone: `step`, `run`, CD, MALA's proposals and recipes all follow.

    Catches a second place where the chain is written down.
    """
    from tinyebm.samplers import langevin, recipes

    planted = lambda x, s, noise, step_size, noise_scale: x + factor[0] * step_size * s + factor[1] * noise_scale * noise
    energy = lambda theta, x: 0.5 * theta["a"] * ops.sum(x * x, axis=1)
    p, x = te.Density(energy, {"a": np.ones(1)}, space), np.full((5000, 1), 0.7)
    def answers():
        return [te.ULA(0.02).step(p, x, rng(0)).x, te.run(te.ULA(0.02), p, x, 1, rng(0))[0],
                te.MALA(0.02).step(p, x, rng(0)).x, te.Recipe(0.02, 0.2).step(p, x, rng(0)).x,
                te.ContrastiveDivergence(te.ULA(0.02), 1).gradient(p, x, rng(0)).metrics["energy_model"]]

    sound = answers()
    for module in (langevin, recipes):
        monkeypatch.setattr(module, "diffuse", planted)
    for before, after in zip(sound, answers(), strict=True):
        assert np.abs(after - before).max() > (1e-3 if factor[0] < 1 else 0.1)
    drift = 0.7 - factor[0] * 0.02 * 0.7
    if factor[1] == 1:
        for moved in answers()[:2]:
            assert abs(moved.mean() - drift) < 5 * math.sqrt(0.04 / 5000) < 0.7 * 0.01 * 5


# ------------------------------------------------------------------------------------------ energies


class Twice(te.RBM):
    """Another energy than that of the machine: nothing of its structure holds."""

    def __call__(self, theta, x):
        return 2.0 * te.RBM.__call__(self, theta, x)


class OtherLayer(te.RBM):
    """Another energy by another layer."""

    def hidden_logits(self, theta, v):
        return 3.0 * te.RBM.hidden_logits(self, theta, v)


class Frustrated(te.Ising):
    """Ising with a term more."""

    def __call__(self, theta, x):
        return te.Ising.__call__(self, theta, x) + 0.5 * x[:, 0] * x[:, -1]


class MorePotts(te.Potts):
    """Potts with a term more."""

    def __call__(self, theta, x):
        return te.Potts.__call__(self, theta, x) + 0.5 * x[:, 0]


class Table(te.TabularEnergy):
    """A table, halved."""

    def __call__(self, theta, x):
        return 0.5 * te.TabularEnergy.__call__(self, theta, x)


class Delegating:
    """An energy that passes on whatever it does not know."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, theta, x):
        return 2.0 * self.inner(theta, x)

    def __getattr__(self, name):
        return getattr(self.inner, name)


ENERGIES = [(Twice(3, 2), te.Bits(3)), (OtherLayer(3, 2), te.Bits(3)), (Frustrated((2, 3)), te.Spins(6)),
            (MorePotts(3, (1, 3)), te.Cells(3, 3)), (Table(4), te.Cells(4)), (Delegating(te.RBM(3, 2)), te.Bits(3)),
            (Delegating(te.Ising((2, 3))), te.Spins(6))]


@pytest.mark.parametrize(("energy", "space"), ENERGIES, ids=lambda value: type(value).__name__)
def test_structure_is_not_inherited_with_the_sizes(energy, space):
    """log Z, its gradient, probabilities, draws and Gibbs chains of the energy as it is written.  Catches the Z of the parent."""
    theta = tree_map(lambda a: a + 0.4, energy.init(rng(0)))
    p, plain = (te.Density(e, theta, space) for e in (energy, lambda theta, x: energy(theta, x)))
    states, data = space.atoms()[0], space.initial(30, rng(1))

    u = -energy(theta, states)
    assert te.log_partition(p) == pytest.approx(float(ops.logsumexp(u)), abs=1e-12)
    np.testing.assert_allclose(te.probabilities(p), np.exp(u - ops.logsumexp(u)), atol=1e-14)
    for found, wanted in zip(*(tree_flatten(te.nll_gradient(q, data))[0] for q in (p, plain)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    draws = te.sample(p, 4000, rng(2))
    for mean, wanted in zip(draws.mean(axis=0), te.expectation(p, lambda x: x), strict=True):
        assert abs(mean - wanted) < 5 * draws.std() / math.sqrt(4000)
    found = te.ais(p, 200, rng(3), temperatures=30)
    assert abs(found - float(ops.logsumexp(u))) < 5 * found.error + 1e-9


@pytest.mark.parametrize("energy", [Twice(3, 2), OtherLayer(3, 2), Delegating(te.RBM(3, 2))], ids=lambda e: type(e).__name__)
def test_layers_are_not_inherited(energy):
    """Block Gibbs would sample the parent.  Catches it, in a default kernel too."""
    p = te.Density(energy, te.RBM(3, 2).init(rng(0)), te.Bits(3))
    assert not isinstance(default_kernel(energy, p.space), te.BlockGibbs)
    for refused in (lambda: te.run(te.BlockGibbs(), p, ROWS[3], 2, rng(0)), lambda: te.transition_matrix(p, te.BlockGibbs())):
        with pytest.raises(ValueError, match="two layers"):
            refused()


def test_gaussian_layers_are_not_inherited():
    """A Gaussian-Bernoulli machine with a confinement more, by quadrature."""
    class Confined(te.GaussianBernoulliRBM):
        def __call__(self, theta, x):
            return te.GaussianBernoulliRBM.__call__(self, theta, x) + 0.5 * ops.sum(x * x, axis=1)

    energy = Confined(1, 2)
    theta = tree_map(lambda a: a + 0.3, energy.init(rng(0)))
    p, plain = te.Density(energy, theta, te.Reals(1)), te.Density(lambda theta, x: energy(theta, x), theta, te.Reals(1))
    assert te.log_partition(p) == pytest.approx(float(te.log_partition(plain)), abs=1e-10)
    assert abs(te.sample(p, 4000, rng(0)).mean() - te.expectation(plain, lambda x: x)[0]) < 5 * 0.8 / math.sqrt(4000)
    with pytest.raises(ValueError, match="two layers"):
        te.run(te.BlockGibbs(), p, ROWS[1], 2, rng(0))


def test_z_is_infinite_for_the_network_alone():
    """A network that is confined by a term of one's own has a Z.  Catches the parent's verdict; that on the parent stays."""
    class Confined(te.MLP):
        def __call__(self, theta, x):
            return te.MLP.__call__(self, theta, x) + 0.5 * ops.sum(x * x, axis=1)

    theta = tree_map(lambda a: -abs(a), te.MLP((1, 4, 1)).init(rng(0)))
    wanted = te.log_partition(te.Density(te.MLP((1, 4, 1), confinement=1.0), theta, te.Reals(1)))
    assert te.log_partition(te.Density(Confined((1, 4, 1)), theta, te.Reals(1))) == pytest.approx(float(wanted), abs=1e-9)
    with pytest.raises(te.DivergentPartitionError):
        te.log_partition(te.Density(te.MLP((1, 4, 1)), theta, te.Reals(1)))


def test_what_changes_nothing_keeps_its_structure():
    """A subclass with a start of its own is the same energy.  Catches structure lost with any word: 2^40 states would be summed."""
    class Started(te.RBM):
        def init(self, rng):
            return tree_map(lambda a: 0 * a, te.RBM.init(self, rng))

    p = te.Density(Started(40, 3), Started(40, 3).init(rng(0)), te.Bits(40))
    assert te.log_partition(p) == pytest.approx(43 * math.log(2), rel=1e-12)
    assert te.run(te.BlockGibbs(), p, p.space.initial(5, rng(0)), 2, rng(0))[0].shape == (5, 40)
