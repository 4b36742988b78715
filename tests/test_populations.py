"""Populations of one's own: a Density, a law with `sample` and `log_prob`, a Fit, wherever data or a density are asked for."""

import dataclasses
import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.exact.sampling import Exact, population

rng = np.random.default_rng  # every test makes its own
NET = te.MLP((1, 8, 1), confinement=1.0)
QUICK = {"objective": te.ExactLikelihood(), "progress": False}


def normal(mean, sd):
    return te.Density(te.GaussianEnergy(1), {"mean": np.array([mean]), "precision": np.array([[sd**-2.0]])}, te.Reals(1))


class Toy:
    """N(1, 2²) as a user would write it."""

    def sample(self, n, rng):
        return 1 + 2 * rng.standard_normal((n, 1))

    def log_prob(self, x):
        return -0.5 * ((x[:, 0] - 1) / 2) ** 2 - math.log(2 * math.sqrt(2 * math.pi))


class Halves(Toy):
    """The same with a name, a space and modes."""

    name, space, modes, mode_names = "halves", te.Reals(1), 2, ("left", "right")

    def mode(self, x):
        return (x[:, 0] > 1).astype(int)


DENSITY, STANDARD = normal(1.0, 2.0), normal(0.0, 1.0)
SAME = [DENSITY, Toy(), Halves(), te.Normal(np.ones(1), np.array([[4.0]])), Exact(DENSITY),
        te.mle(te.GaussianEnergy(1), DENSITY, progress=False)]
IDS = ["Density", "Toy", "Halves", "Normal", "Exact", "Fit"]
RBM = te.Density(te.RBM(4, 2), {name: 8 * leaf for name, leaf in te.RBM(4, 2).init(rng(0)).items()}, te.Bits(4))


@pytest.mark.parametrize("law", SAME, ids=IDS)
def test_every_population_is_the_same_law(law):
    """KL, TV, NLL and the rest against closed forms: N(1, 2²) in six spellings.  Catches nodes of a grid that count as rows."""
    kl = 0.5 * (4 + 1 - 1) - math.log(2)
    assert te.kl(law, STANDARD) == pytest.approx(kl, abs=1e-9)
    assert te.kl(STANDARD, law) == pytest.approx(0.5 * (1 / 4 + 1 / 4 - 1) + math.log(2), abs=1e-9)
    assert te.total_variation(law, STANDARD) == pytest.approx(te.total_variation(DENSITY, STANDARD), abs=1e-4)
    assert te.fisher_divergence(law, STANDARD) == pytest.approx((1 - 1 / 4) ** 2 * 4 + 1, abs=1e-8)  # (1 - 1/σ²)² σ² + m²
    assert te.nll(STANDARD, law) == pytest.approx(2.5 + 0.5 * math.log(2 * math.pi), abs=1e-9)
    assert te.nll_gradient(STANDARD, law)["precision"] == pytest.approx(0.5 * (5 - 1), abs=1e-9)
    assert te.mmd(law, STANDARD, bandwidth=1.0) == pytest.approx(1 / 3 + 3**-0.5 - 2 * math.exp(-1 / 12) / 6**0.5, abs=1e-8)
    moved = te.exact_cd_gradient(STANDARD, law, te.ULA(0.1), 1)
    assert moved["mean"] == pytest.approx(-0.1, abs=1e-7)
    assert moved["precision"] == pytest.approx(0.5 * (5 - 0.81 * 5 - 0.2), abs=1e-7)
    found = te.mle(te.GaussianEnergy(1), law, progress=False)
    assert found.theta["mean"] == pytest.approx(1, abs=1e-8) and found.theta["precision"] == pytest.approx(0.25, abs=1e-8)
    assert found.history["kl"] == pytest.approx([0], abs=1e-9)


@pytest.mark.parametrize("law", SAME, ids=IDS)
def test_fit_draws_from_a_population(law):
    """Fresh rows at every step, with its mean and variance; KL in the history.  Catches rows of a grid, drawn as if alike."""
    seen = []

    class Spy:
        def gradient(self, p, x, rng, state=None):
            seen.append(x)
            return te.ExactLikelihood().gradient(p, x, rng, state)

    found = te.fit(NET, law, objective=Spy(), steps=20, batch_size=500, progress=False)
    x = np.concatenate(seen)[:, 0]

    assert len(x) == len(np.unique(x)) == 10_000
    assert abs(x.mean() - 1) < 5 * 0.02 and abs(x.var() / 4 - 1) < 5 * math.sqrt(2 / 10_000)
    assert found.history["kl"][-1] == pytest.approx(te.kl(DENSITY, found.density, 1e-6), abs=1e-4)
    assert found.density.space == te.Reals(1)


@pytest.mark.parametrize("law", [DENSITY, Halves()], ids=["Density", "Halves"])
def test_compare_judges_against_the_population(law):
    """The rows' KL is te.kl(law, model), and the truth is the law's entropy.  Catches a quarter of the grid held out."""
    found = te.compare(law, ["mle", "cd-1"], steps=10, hidden=(64, 64), progress=False, race=False)

    assert found.truth["entropy"] == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 4), abs=1e-9)
    assert found.settings["rows"] is None and "test_nll" not in found.rows[0]
    for row in found.rows:
        q = found.fits[row["method"]].density
        assert row["kl"] == pytest.approx(te.kl(DENSITY, q), abs=1e-6) and row["kl_error"] < 1e-4
        assert row["nll"] == pytest.approx(te.nll(q, DENSITY), abs=1e-5)
        assert row["tv"] == pytest.approx(te.total_variation(DENSITY, q), abs=1e-4)
    assert f"the population {'halves' if law is not DENSITY else 'GaussianEnergy(dim=1)'}" in found.table()
    if law is not DENSITY:
        assert found.truth["modes"] == pytest.approx([0.5, 0.5], abs=0.02) and found.truth["mode_names"] == ["left", "right"]
        assert sum(found.rows[0]["modes"]) == pytest.approx(1)


def test_a_model_that_is_the_population_has_no_divergence():
    """The energy of the law itself, trained from where it stands.  Catches a reference that is a sample."""
    @dataclasses.dataclass(frozen=True)
    class Standing:
        def init(self, rng):
            return DENSITY.theta

        def __call__(self, theta, x):
            return DENSITY.energy(theta, x)

    row = te.compare(DENSITY, ["mle"], steps=2, learning_rate=1e-300, energy=Standing(), progress=False, race=False).rows[0]
    assert abs(row["kl"]) < 1e-9 and row["tv"] < 1e-4


def test_states_are_drawn_from_the_law(chi_square):
    """Two machines on bits, and independent sites.  Catches states of a list that count alike."""
    pairs = te.Density(te.BoltzmannMachine(3), {"W": np.array([2.0, -1.0, 0.0]), "b": np.array([0.5, 0.0, -1.0])}, te.Bits(3))
    for law in (RBM, pairs, te.Independent(te.Bits(2), np.array([[0.5, 0.5], [0.2, 0.8]]))):
        p = population(law)
        x = p.sample(20_000, rng(0))
        assert abs(chi_square(np.bincount(p.space.grid().index(x), minlength=2**p.space.dim), te.probabilities(p))) < 5
        found = te.compare(law, ["mle"], steps=5, progress=False, race=False)
        assert found.truth["entropy"] == pytest.approx(te.entropy(p), abs=1e-12)
        assert found.rows[0]["kl"] == pytest.approx(te.kl(p, found.fits["mle"].density), abs=1e-12)


def test_a_fit_resumes_only_on_the_same_population(tmp_path):
    """Catches two densities of one energy taken for each other."""
    run = lambda law, **more: te.fit(NET, law, steps=2, checkpoint=tmp_path / "run.npz", **QUICK, **more)
    run(DENSITY)
    run(DENSITY, resume=True)
    with pytest.raises(ValueError, match="belongs to another run: its data is"):
        run(normal(1.0, 2.1), resume=True)


class Broken(Toy):
    def log_prob(self, x):
        return -0.5 * ((x[:, 0] - 1) / 2) ** 2


class Flat(Toy):
    def sample(self, n, rng):
        return rng.standard_normal(n)


class Frozen:
    """As of scipy.stats."""

    rvs, logpdf = Toy.sample, Toy.log_prob


class Mixture:
    """As of scikit-learn."""

    def sample(self, n=1):
        return np.zeros((n, 1)), np.zeros(n)

    score_samples = Toy.log_prob


@pytest.mark.parametrize("law, message", [
    (Broken(), r"log_prob of .* integrates to e\^\(1.61209\)"), (Flat(), r"has shape \(1,\), not \(1, d\)"),
    (Frozen(), r"a population has sample\(n, rng\)"), (Mixture(), r"a population has sample\(n, rng\)"),
    (te.Normal(np.zeros(5), np.eye(5)), "quadrature is for dim <= 3"), (te.Uniform(te.Bits(40)), r"2\^40 states are too many")],
    ids=["not normalised", "no columns", "scipy", "scikit-learn", "five dimensions", "forty bits"])  # fmt: skip
def test_what_is_no_population_is_refused(law, message):
    """In one line, at every door.  Catches a number made of a density that is none."""
    for call in (lambda: te.compare(law, ["mle"], steps=2, progress=False), lambda: te.fit(NET, law, steps=2, **QUICK),
                 lambda: te.mle(NET, law, progress=False), lambda: te.kl(law, STANDARD), lambda: te.nll(STANDARD, law),
                 lambda: te.mmd(law, STANDARD), lambda: te.exact_cd_gradient(STANDARD, law, te.ULA(0.1), 1)):
        with pytest.raises(ValueError, match=message):
            call()
