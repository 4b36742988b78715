"""Exact numbers in the history: at as many log points as the training pays for, and the same on every machine."""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import tree_flatten
from tinyebm.exact.structure import terms_of
from tinyebm.training import history
from tinyebm.training.history import costs, note_of, spaced

rng = np.random.default_rng  # every test makes its own
CD = te.ContrastiveDivergence(te.BlockGibbs(), 1)
MACHINE = te.RBM(40, 10)
ROWS = (rng(0).random((30, 40)) < 0.3) * 1.0
SPACED = "exact numbers at all 21 log points would cost more than the training: they are computed at {}, and nan at the others"


def fit(steps=40, **options):
    """te.fit, quietly: 4 updates with 30 rows cost about as much as one exact number, of 2^10 + 30 energies."""
    options = {"energy": MACHINE, "data": ROWS, "space": te.Bits(40), "objective": CD, **options}
    return te.fit(steps=steps, progress=False, **options)


@pytest.fixture
def strict(monkeypatch):
    """No exact number is free."""
    monkeypatch.setattr(history, "FREE", 0)


# ------------------------------------------------------------------------------- which log points

@pytest.mark.parametrize("points", [1, 2, 3, 7, 21, 101])
def test_numbers_within_the_budget(points):
    """Last, first, equal distances, as many as the budget holds.  Catches one too many, and a last point that is left out."""
    logged = [*range(0, 10 * points, 10)]
    counts = []
    for budget in range(0, 120):
        found = spaced(logged, 1.0, float(budget))
        counts.append(len(found))
        assert len(found) <= max(budget, 1) and found[-1:] == logged[-1:] * bool(found) and set(found) <= set(logged)
        if len(found) > 1:
            assert found[0] == 0 and set(np.diff(found)[:-1]) <= {found[1]} and found[-1] - found[-2] <= found[1]
            assert budget >= points or 10 * points / found[1] > budget / 2 - 1  # distances of up to twice the least
        assert (found == logged) == (budget >= points) or points <= 2
    assert counts == sorted(counts) and counts[0] == 0 and counts[1] == 1
    assert spaced(logged, 0, 0.0) == spaced(logged, 5.0, math.inf) == logged


def test_far_beyond_the_training_there_is_none():
    """The last number may cost four times the training.  Catches a quarter of an hour after some seconds."""
    assert spaced([0, 10, 20], 4.0, 1.0) == [20] and spaced([0, 10, 20], 4.01, 1.0) == []


# ----------------------------------------------------------------------------------- what they cost

@dataclass(frozen=True)
class Counted:
    """An energy that counts its rows."""

    of: Any
    rows: list = field(default_factory=list, compare=False)
    other_layer: Any = None

    @property
    def dim(self):
        return self.of.dim

    @property
    def smooth(self):
        return getattr(self.of, "smooth", True)

    def __call__(self, theta, x):
        self.rows.append(len(x))
        return self.of(theta, x)


@pytest.mark.parametrize(("energy", "space", "within"), [
    (te.BoltzmannMachine(9), te.Bits(9), 1), (te.BoltzmannMachine(9), te.Spins(9), 1), (te.TabularEnergy(50), te.Cells(50), 1),
    (te.MLP((4, 3, 1)), te.Cells(3, 4), 1), *((te.MLP((d, 8, 1), activation, confinement=1.0), space(d), 16)
    for d in (1, 2) for activation in ("silu", "relu") for space in (te.Reals, lambda d: te.Box(-3, 3, d)))])  # fmt: skip
def test_energies_are_counted(energy, space, within):
    """As many as are evaluated: exactly on states, elsewhere within a factor.  Catches 2^d for q^d, and kinks for nothing."""
    counted = Counted(energy)
    with te.plain():
        te.log_partition(te.Density(counted, energy.init(rng(0)), space), 1e-5)

    ratio = sum(counted.rows) / terms_of(energy, space)
    assert ratio == 1 if within == 1 else 1 / within < ratio < 2


@pytest.mark.parametrize(("energy", "space", "terms"), [
    (te.RBM(784, 16), te.Bits(784), 2**16), (te.RBM(6, 9), te.Bits(6), 2**6), (te.RBM(784, 40), te.Bits(784), 0),
    (te.GaussianBernoulliRBM(2, 5), te.Reals(2), 2**5), (te.BoltzmannMachine(40), te.Bits(40), 0),
    (te.Ising((14, 30)), te.Spins(420), 2**21), (te.Ising((16, 16)), te.Spins(256), 0),
    (te.Potts(4, (5, 9)), te.Cells(4, 45), 2**15)])
def test_shorter_ways_to_z(energy, space, terms):
    """Hidden bits, transfer matrices, and what is out of reach and fails at once.  Catches 2^784."""
    assert terms_of(energy, space) == terms


def test_a_formula_costs_nothing():
    """Of one's own, on states.  Catches a list of 2^20 states in its place."""
    class Flat:
        def __call__(self, theta, x):
            return theta * ops.sum(x, axis=1)

        def log_partition(self, theta, space):
            return space.dim * ops.softplus(-theta)

    assert terms_of(Flat(), te.Bits(20)) == 0
    assert terms_of(lambda theta, x: 0.0 * x[:, 0], te.Bits(20)) == 2**20


def test_the_price_of_an_update():
    """Rows, steps of the chain, objectives that compute log Z.  Catches all rows in place of a batch, and a chain of one step."""
    price = lambda objective, steps=10_000: costs(te.BoltzmannMachine(4), te.Bits(4), objective, 7, 256, steps)

    assert price(CD) == (4 * (2**4 + 7), 4 * 3 * 3 * 256 * 10_000)
    assert price(te.ContrastiveDivergence(te.Gibbs(), 10))[1] == 4 * price(CD)[1] == 4 * price(te.Pseudolikelihood())[1]
    assert price(CD, 1)[1] == history.FREE
    for exact in (te.ExactLikelihood(), te.PerfectSamples(10), te.ExactContrastiveDivergence(te.Gibbs(), 2)):
        assert price(exact)[1] == math.inf


# ------------------------------------------------------------------------------------------- in fit

def test_numbers_at_some_log_points(strict):
    """Those of a run with all of them, to the bit, with the same θ; one warning.  Catches numbers of another θ."""
    with pytest.warns(UserWarning, match=SPACED.format(8)) as seen:
        some = fit()
    whole, none = fit(exact=True), fit(exact=False)

    assert len(seen) == 1 and "nll" not in none.history
    assert some.history["step"] == whole.history["step"] == [*range(0, 41, 2)]
    for i, (one, all_) in enumerate(zip(some.history["nll"], whole.history["nll"], strict=True)):
        assert one == all_ if i % 3 == 0 or i == 20 else math.isnan(one) and math.isfinite(all_)
    for one, other in zip(tree_flatten(some.theta)[0], tree_flatten(whole.theta)[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert repr(some) == repr(whole)


def test_a_population_and_a_normaliser_are_nan_beside(strict):
    """kl and log_z, too; a callback sees what the history holds.  Catches an entry of one name less."""
    entries, target = [], te.Density(te.BoltzmannMachine(6), te.BoltzmannMachine(6).init(rng(1)), te.Bits(6))
    objective = te.NoiseContrastive(te.Uniform(te.Bits(6)))
    with pytest.warns(UserWarning, match="they are computed at [2-9]"):
        found = fit(20, energy=te.BoltzmannMachine(6), data=target, space=None, objective=objective, batch_size=4,
                    callback=lambda step, p, entry: entries.append(entry))

    known = np.isfinite(found.history["nll"])
    assert 1 < known.sum() < 21 and known[[0, -1]].all()
    for name in ("kl", "log_z"):
        np.testing.assert_array_equal(np.isfinite(found.history[name]), known)
    assert all({"nll", "kl", "log_z"} <= entry.keys() for entry in entries)


def test_a_resumed_run_has_the_same_points(strict, tmp_path):
    """To the bit, history included.  Catches points that are counted from where it resumes."""
    class Stop(Exception):
        pass

    def stop(step, p, entry):
        if step == 12:
            raise Stop

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = fit()
        with pytest.raises(Stop):
            fit(checkpoint=tmp_path / "run.npz", callback=stop)
        resumed = fit(checkpoint=tmp_path / "run.npz", resume=True)

    assert str(resumed.history) == str(whole.history)
    for one, other in zip(tree_flatten(resumed.state)[0], tree_flatten(whole.state)[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("steps", "count"), [(20, 1), (2, 0)])
def test_numbers_beyond_the_training_are_left_out(strict, monkeypatch, steps, count):
    """A short run has the last number at most.  Catches seconds of training with minutes of sums."""
    calls, log_partition = [], history.log_partition
    monkeypatch.setattr(history, "log_partition", lambda *args: calls.append(args) or log_partition(*args))
    with pytest.warns(UserWarning, match=f"they are computed at {count}, .*exact=True"):
        found = fit(steps, batch_size=3)

    assert len(calls) == count == np.isfinite(found.history["nll"]).sum() and np.isfinite(found.history["nll"][-1]) == (count > 0)


def test_minutes_of_sums_after_a_second_of_training(monkeypatch):
    """784 visible and 22 hidden units, at the default settings.  Catches a budget that is never asked for."""
    monkeypatch.setattr(history, "log_partition", lambda *args: pytest.fail("a sum over four million states"))
    x = (rng(0).random((50, 784)) < 0.2) * 1.0
    with pytest.warns(UserWarning, match="they are computed at 0"):
        found = te.fit(te.RBM(784, 22), x, te.Bits(784), CD, steps=2, progress=False)

    assert np.isnan(found.history["nll"]).all() and "nll nan" in repr(found)


@pytest.mark.parametrize("objective", [te.ExactLikelihood(), te.ExactContrastiveDivergence(te.BlockGibbs())])
def test_exact_training_has_all_numbers(strict, objective):
    """Every update costs as much as a number.  Catches a budget of one batch."""
    found = fit(3, energy=te.RBM(6, 3), data=ROWS[:, :6], space=te.Bits(6), objective=objective, batch_size=1)
    assert np.isfinite(found.history["nll"]).all()


def test_the_bar_shows_the_last_known_numbers():
    """Catches "nll nan" between two numbers, and a name without a number."""
    assert note_of({"step": [0, 1, 2], "nll": [3.0, 2.0, math.nan], "kl": [math.nan] * 3}) == "nll 2.0000"
    assert note_of({"step": [0], "nll": [math.inf]}) == "nll inf" and note_of({}) == ""
