"""Fitting by steps: closed-form trajectories, runs resumed to the bit, what a step may see, and what is refused."""

import io
import math
import os
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.backend import Stream
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.objectives.step import Step
from tinyebm.storage.checkpoint import load_tree

rng = np.random.default_rng  # every test makes its own
ROWS = np.array([[-0.5], [0.0], [0.4], [2.1]])  # mean 0.5
NORMAL = te.GaussianEnergy(1)
NET = te.MLP((1, 4, 1), confinement=1.0)
START = {"m": np.array([0.0, 0.0])}


def shifted(theta, x):
    """½ (x - m₀)² + 0 m₁: the gradient of the likelihood by m is (m₀ - mean of the data, 0)."""
    return 0.5 * ops.square(x[:, 0] - theta["m"][0]) + 0.0 * theta["m"][1]


@dataclass(frozen=True)
class Spy:
    """An objective that keeps the batches it sees, returns given gradients, and counts its calls in its state."""

    gradients: tuple = ((3.0, 4.0),) * 100
    seen: list = field(default_factory=list, repr=False)

    def gradient(self, p, x, rng, state=None):
        self.seen.append(x)
        calls = 1 if state is None else int(state["calls"]) + 1
        return Step({"m": np.array(self.gradients[calls - 1])}, {"calls": float(calls)}, {"calls": np.array(calls)})


def fit(data=ROWS, energy=shifted, theta=START, **options):
    """te.fit, quietly, and from a known θ where the energy is `shifted`."""
    options = {"objective": te.ExactLikelihood(), "steps": 10, "progress": False, **options}
    return te.fit(energy, data, theta=None if energy is not shifted and theta is START else theta, **options)


def identical(one, other):
    (a, _), (b, _) = tree_flatten(one), tree_flatten(other)
    return len(a) == len(b) and all(x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True)
                                    for x, y in zip(map(np.asarray, a), map(np.asarray, b), strict=True))


def test_gradient_descent_on_the_likelihood():
    """m_t = x̄ (1 - (1 - η)^t).  Catches ascent, one step too many or too few, batches that are not all of the data."""
    for steps in (0, 1, 7):
        found = fit(steps=steps, optimizer=te.sgd(0.2))
        np.testing.assert_allclose(found.theta["m"], [0.5 * (1 - 0.8**steps), 0.0], atol=1e-6)
    assert not START["m"].any()  # not changed in place


def test_long_gradients_are_clipped():
    """(3, 4) clipped to length 1 is (0.6, 0.8), clipped to 10 itself."""
    for clip, expected in ((1.0, [-0.6, -0.8]), (10.0, [-3.0, -4.0]), (None, [-3.0, -4.0])):
        theta = fit(steps=1, objective=Spy(), optimizer=te.sgd(1.0), clip=clip).theta
        np.testing.assert_allclose(theta["m"], expected, rtol=1e-15)


def test_running_average():
    """a ← 0.9 a + 0.1 θ from a = θ₀, and it is a that comes back.  Catches weights swapped, and θ returned."""
    found = fit(steps=4, objective=Spy(), optimizer=te.sgd(0.1), ema=0.9)
    average = np.zeros(2)
    for t in range(1, 5):
        average = 0.9 * average + 0.1 * (-0.1 * t * np.array([3.0, 4.0]))

    np.testing.assert_allclose(found.theta["m"], average, rtol=1e-14)
    np.testing.assert_allclose(found.state["theta"]["m"], [-1.2, -1.6], rtol=1e-14)
    assert found.density.theta is found.theta
    assert found.history["nll"][-1] == pytest.approx(te.nll(found.density, ROWS), abs=1e-5)


def test_small_data_are_seen_whole_and_large_data_in_batches():
    """Rows drawn with replacement, all alike.  Catches batches of neighbours, the same batch for ever, a row never drawn."""
    for batch_size in (4, 100, None):
        fit(objective=(spy := Spy()), steps=2, batch_size=batch_size)
        assert all(np.array_equal(batch, ROWS) for batch in spy.seen)

    fit(np.arange(50.0)[:, None], objective=(spy := Spy()), steps=100, batch_size=20, exact=False)
    counts = np.bincount(np.concatenate(spy.seen)[:, 0].astype(int), minlength=50)
    z = (counts - 40) / math.sqrt(2000 / 50 * (1 - 1 / 50))
    assert np.abs(z).max() < 5
    assert any(len(np.unique(batch)) < 20 for batch in spy.seen)  # with replacement
    assert abs(np.sum(z**2) - 50) < 5 * math.sqrt(2 * 50)  # χ², 49 degrees of freedom


def test_targets_are_sampled_afresh():
    """Catches one sample drawn at the start, or the quadrature's atoms taken for a sample."""
    target = te.datasets.load("bimodal")
    fit(target, objective=(spy := Spy()), steps=40, batch_size=500, exact=False)
    x = np.concatenate(spy.seen)[:, 0]
    assert len(np.unique(x)) == 20_000

    for f in (lambda x: x, lambda x: x**2):
        exact = te.expectation(target, lambda x, f=f: f(x[:, 0]))
        assert abs(f(x).mean() - exact) < 5 * f(x).std() / math.sqrt(len(x))


def test_step_i_draws_from_its_own_generator():
    """θ₀ from Stream(seed).at(0), batch i from Stream(seed).at(i).  Catches a step that repeats the random numbers of
    `init`, or of its neighbour, and a seed that is not the one given.
    """
    rows, target = np.arange(50.0)[:, None], te.datasets.load("bimodal")
    fit(rows, objective=(spy := Spy()), steps=5, batch_size=7, seed=11, exact=False)
    fit(target, objective=(fresh := Spy()), steps=5, batch_size=7, seed=11, exact=False)

    for i in range(5):
        np.testing.assert_array_equal(spy.seen[i], rows[Stream(11).at(i + 1).integers(0, 50, size=7)])
        np.testing.assert_array_equal(fresh.seen[i], target.sample(7, Stream(11).at(i + 1)))
    assert identical(fit(energy=NET, steps=0, seed=11).theta, NET.init(Stream(11).at(0)))


def test_data_noise():
    """N(0, 0.3²), anew at each step, reflected at walls.  Catches a variance of 0.3, and noise drawn once."""
    fit(np.zeros((500, 1)), objective=(spy := Spy()), steps=40, batch_size=None, data_noise=0.3, exact=False)
    noise = np.stack(spy.seen)[:, :, 0] / 0.3  # (steps, rows)

    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(np.mean(noise**2) - 1) < 5 * math.sqrt(2 / noise.size)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 5 / math.sqrt(noise.size)

    fit(np.full((500, 1), 0.9), space=te.Box(0, 1, 1), objective=(spy := Spy()), steps=2, batch_size=None, data_noise=0.3)
    assert te.Box(0, 1, 1).contains(np.concatenate(spy.seen)).all()


def test_alpha_reaches_the_objective():
    """The same as an objective with that alpha: catches a regulariser that is dropped."""
    one, other, without = (fit(energy=NET, objective=te.ShortRun(te.ULA(0.1), 2, alpha=a), alpha=b)
                           for a, b in ((0.0, 0.3), (0.3, 0.0), (0.0, 0.0)))

    assert identical(one.theta, other.theta) and not identical(one.theta, without.theta)


def test_a_seed_is_a_run():
    """Catches the global generator, and an `init` that does not depend on the seed."""
    runs = [fit(energy=NET, objective=te.ContrastiveDivergence(te.ULA(0.1)), seed=seed) for seed in (3, 3, 4)]

    assert identical(runs[0].state, runs[1].state) and runs[0].history == runs[1].history
    assert not identical(runs[0].theta, runs[2].theta)
    assert not identical(*(fit(energy=NET, steps=0, seed=seed).theta for seed in (3, 4)))


OBJECTIVES = {"cd": te.ContrastiveDivergence(te.MALA(0.1), 2), "mle": te.ExactLikelihood(refresh=7),
              "pcd": te.PersistentContrastiveDivergence(te.ULA(0.1), 2, chains=16, restart=0.2)}  # fmt: skip
OPTIMIZERS = {"sgd": te.sgd(0.05), "momentum": te.momentum(lambda step: 0.05 / (1 + step)), "adam": te.adam(0.01)}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_resumed_run_is_the_uninterrupted_one(objective, optimizer, dtype, tmp_path):
    """Killed at every log point: θ, moments, chains, average, history agree to the bit.

    Catches a generator that starts over, chains or moments begun anew, a schedule that restarts, float32 saved as float64.
    """
    options = dict(energy=NET, objective=OBJECTIVES[objective], optimizer=OPTIMIZERS[optimizer], dtype=dtype, steps=11,
                   log_every=3, batch_size=3, ema=0.8, data_noise=0.1, seed=5)  # fmt: skip

    def killed(step, density, record):
        raise KeyboardInterrupt

    for _ in range(4):  # after steps 3, 6, 9, 11
        with pytest.raises(KeyboardInterrupt):
            fit(**options, checkpoint=tmp_path / "run.npz", resume=True, callback=killed)
    whole, resumed = fit(**options), fit(**options, checkpoint=tmp_path / "run.npz", resume=True)

    assert identical(whole.state, resumed.state) and identical(whole.theta, resumed.theta)
    assert str(whole.history) == str(resumed.history) and whole.history["step"] == [0, 3, 6, 9, 11]
    memory = whole.state["objective"] if objective == "pcd" else ()
    assert {leaf.dtype.name for leaf in tree_flatten([whole.theta, whole.state["theta"], memory])[0]} == {dtype}


@dataclass(frozen=True)
class Interrupted:
    """Persistent chains, and Ctrl-C in the update of some numbers: once each."""

    inner: te.PersistentContrastiveDivergence
    at: list = field(compare=False)

    def gradient(self, p, x, rng, state=None):
        step = self.inner.gradient(p, x, rng, state)
        number = 1 if state is None else int(state["number"]) + 1
        if number in self.at:
            self.at.remove(number)
            raise KeyboardInterrupt
        return step._replace(state={**step.state, "number": np.array(number)})


def test_ctrl_c_saves_the_last_state(tmp_path):
    """Between log points, and twice in a row: nothing is done again, and all is as without.  Catches a save of log points alone."""
    options = dict(energy=NET, optimizer=OPTIMIZERS["adam"], steps=11, log_every=5, batch_size=3, ema=0.8, seed=5)
    at, path = [3, 4, 7, 11], tmp_path / "run.npz"
    objective = Interrupted(te.PersistentContrastiveDivergence(te.ULA(0.1), 2, chains=16), at)
    for done in (2, 3, 6, 10):
        with pytest.raises(KeyboardInterrupt):
            fit(**options, objective=objective, checkpoint=path, resume=True)
        assert load_tree(path)[0]["step"] == done
    resumed, whole = fit(**options, objective=objective, checkpoint=path, resume=True), fit(**options, objective=objective)

    assert identical(whole.state, resumed.state) and str(whole.history) == str(resumed.history)


def test_a_run_that_may_be_rescued_goes_on_from_its_log_point(tmp_path):
    """Ctrl-C between log points, then a divergence: the rescue begins where that of the uninterrupted run does.

    Catches a rescue that goes back to where Ctrl-C was.
    """
    options = dict(energy=NET, steps=20, log_every=10, batch_size=3, rollback=2, exact=False)
    path = tmp_path / "run.npz"
    whole = fit(**options, objective=Lost(interrupted=False))
    with pytest.raises(KeyboardInterrupt):
        fit(**options, objective=Lost(interrupted=True), checkpoint=path, resume=True)
    resumed = fit(**options, objective=Lost(interrupted=False), checkpoint=path, resume=True)

    assert identical(whole.state, resumed.state) and str(whole.history) == str(resumed.history)
    assert whole.history["rollbacks"][-1] == 1
    longer = {**options, "steps": 30, "rollback": 0}  # a metric that is no longer kept, and then again is
    fit(**longer, objective=Lost(interrupted=False), checkpoint=path, resume=True)
    again = fit(**{**options, "steps": 40}, objective=Lost(interrupted=False), checkpoint=path, resume=True)
    assert again.history["rollbacks"][-1] == 1


@dataclass(frozen=True)
class Lost:
    """Persistent chains that are lost at update 13 of the first attempt, and Ctrl-C in update 12."""

    interrupted: bool = field(compare=False)

    def gradient(self, p, x, rng, state=None):
        inner = te.PersistentContrastiveDivergence(te.ULA(0.1), 1, chains=16)
        step = inner.gradient(p, x, rng, state)
        number = 1 if state is None else int(state["number"]) + 1
        if self.interrupted and number == 12:
            raise KeyboardInterrupt
        lost = number == 13 and rng.bit_generator.seed_seq.spawn_key == (13,)
        gradient = tree_map(lambda g: g * np.nan, step.gradient) if lost else step.gradient
        return step._replace(gradient=gradient, state={**step.state, "number": np.array(number)})


def test_ctrl_c_while_a_log_point_is_measured(tmp_path, monkeypatch):
    """Catches a state saved with the history of the log point before it: that entry would be missing for ever."""
    options = dict(energy=NET, objective=OBJECTIVES["cd"], steps=6, log_every=3, batch_size=3, checkpoint=tmp_path / "run.npz")
    whole = fit(**options)
    for number in (1, 2):  # of log points after the start
        with monkeypatch.context() as patch:
            patch.setattr("tinyebm.training.history.log_partition", interrupt_at_call(number + 1, te.log_partition))
            with pytest.raises(KeyboardInterrupt):
                fit(**options)
        resumed = fit(**options, resume=True)
        assert identical(whole.state, resumed.state) and str(whole.history) == str(resumed.history)


def interrupt_at_call(number, function):
    """The function, with Ctrl-C at its n-th call."""
    calls = []

    def called(*args):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*args)

    return called


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("energy", [te.DoubleWell(), te.Quartic(), lambda theta, x: theta * ops.sum(x * x, axis=1)],
                         ids=["double well", "quartic", "a number"])  # fmt: skip
def test_numbers_resume_as_arrays_do(energy, dtype, tmp_path):
    """Parameters of no dimension, of which NumPy makes scalars in every update.  Catches scalars that a file gives back as arrays:
    other rounding, and chains that are replayed only after the resume."""
    x = np.random.default_rng(0).standard_normal((60, 1))
    theta = energy.init(np.random.default_rng(0)) if hasattr(energy, "init") else np.array(1.0)
    options = {"objective": te.ContrastiveDivergence(te.ULA(0.005), k=3), "theta": theta, "dtype": dtype, "log_every": 3,
               "space": te.Reals(1), "progress": False, "ema": 0.9}  # fmt: skip
    file = tmp_path / "state.npz"
    te.fit(energy, x, steps=6, checkpoint=file, **options)
    found = te.fit(energy, x, steps=12, checkpoint=file, resume=True, **options)
    whole = te.fit(energy, x, steps=12, **options)

    for a, b in zip(tree_flatten(found.state)[0], tree_flatten(whole.state)[0], strict=True):
        assert type(a) is type(b) is np.ndarray and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name, value", [
    ("seed", 1), ("objective", te.ExactLikelihood(rtol=1e-3)), ("energy", NET), ("space", te.Box(-3, 3, 1)),
    ("batch_size", 3), ("dtype", "float32"), ("ema", 0.5), ("clip", 1.0), ("data_noise", 0.1),
    ("optimizer", te.sgd(0.01)), ("optimizer", te.adam(0.02)), ("optimizer", te.adam(0.01, decay1=0.5)),
    ("optimizer", te.adam(lambda step: 0.01)), ("energy", lambda theta, x: ops.sum(x * x, axis=1) * theta["mean"][0]),
    ("theta", {"mean": np.ones(1), "precision": np.ones((1, 1))})])  # fmt: skip
def test_a_run_resumes_no_other(name, value, tmp_path):
    """Catches numbers of one run carried on under the settings of another."""
    options = {"energy": NORMAL, "optimizer": te.adam(0.01), "checkpoint": tmp_path / "run.npz"}
    fit(**options)
    with pytest.raises(ValueError, match=f"belongs to another run: its {name} is"):
        fit(**options | {"resume": True, name: value})


def test_data_that_differ_in_one_number_are_others(tmp_path):
    """The last of ten thousand.  Catches a fingerprint of the first rows."""
    x, options = rng(0).standard_normal((10_000, 1)), {"energy": NORMAL, "checkpoint": tmp_path / "run.npz", "steps": 1}
    fit(x, **options)
    fit(x, **options, resume=True)
    x[-1] = 1e-9
    with pytest.raises(ValueError, match="belongs to another run: its data is another one: data.sha256 is"):
        fit(x, **options, resume=True)


def test_a_run_goes_on_to_more_steps_and_not_to_fewer(tmp_path):
    """Catches steps= that is ignored in silence."""
    options = {"energy": NORMAL, "checkpoint": tmp_path / "run.npz", "resume": True}
    fit(**options, steps=4)
    assert fit(**options, steps=4).history["step"][-1] == 4
    with pytest.raises(ValueError, match="holds update 4, and steps=3 ends before it"):
        fit(**options, steps=3)
    assert identical(fit(**options, steps=7).state, fit(energy=NORMAL, steps=7).state)


def test_a_start_that_is_given_may_be_left_out_when_a_run_goes_on(tmp_path):
    """Another one is refused: it would be ignored.  Catches θ that decides which run it is only by the place of an array."""
    theta = {"mean": np.full(1, 0.5), "precision": np.full((1, 1), 2.0)}
    options = {"energy": NORMAL, "checkpoint": tmp_path / "run.npz", "resume": True}
    fit(**options, theta=theta, steps=2)
    fit(**options, theta=tree_map(np.copy, theta), steps=3)
    assert identical(fit(**options, steps=5).state, fit(energy=NORMAL, theta=theta, steps=5).state)
    with pytest.raises(ValueError, match=r"its theta is another one: theta.mean.values\[0\] is 0.5, not 0.25"):
        fit(**options, theta=theta | {"mean": np.full(1, 0.25)}, steps=5)


def kept(path):
    """The files beside a checkpoint, and the update that each holds."""
    return {found.name: int(load_tree(found)[0]["step"]) for found in path.parent.glob("run*.npz")}


def test_a_file_of_another_run_is_kept(tmp_path):
    """Another seed, another again, and no checkpoint at all.  Catches a day's work that is overwritten at the first log point."""
    path = tmp_path / "run.npz"
    fit(energy=NORMAL, checkpoint=path, steps=3)
    with pytest.warns(UserWarning, match=r"run.npz is kept as .*run.1.npz: its seed is 0, not 1"):
        fit(energy=NORMAL, checkpoint=path, steps=4, seed=1)
    with pytest.warns(UserWarning, match=r"run.npz is kept as .*run.2.npz: its seed is 1, not 2"):
        fit(energy=NORMAL, checkpoint=path, steps=5, seed=2)
    assert kept(path) == {"run.1.npz": 3, "run.2.npz": 4, "run.npz": 5}

    other = tmp_path / "text"
    other.write_text("a text")
    with pytest.warns(UserWarning, match="is kept as .*text.1: .* is not a tinyebm checkpoint"):
        fit(energy=NORMAL, checkpoint=other)
    assert (tmp_path / "text.1").read_text() == "a text"


def test_a_file_of_the_same_run_is_kept_until_its_end(tmp_path):
    """An interrupted run whose resume=True was forgotten.  Catches a second copy at every run of a finished one."""
    path = tmp_path / "run.npz"
    stopped = interrupt_at_call(2, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        fit(energy=NORMAL, checkpoint=path, steps=9, log_every=2, callback=stopped)
    with pytest.warns(UserWarning, match=r"run.npz is kept as .*run.1.npz: it holds update 4 of this run: see resume=True"):
        fit(energy=NORMAL, checkpoint=path, steps=9, log_every=2)
    fit(energy=NORMAL, checkpoint=path, steps=9, log_every=2)
    assert kept(path) == {"run.1.npz": 4, "run.npz": 9}


def test_a_run_that_fails_at_once_leaves_the_file_of_another(tmp_path):
    """Catches a file that is renamed although nothing takes its place."""
    path = tmp_path / "run.npz"
    fit(energy=NORMAL, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ArithmeticError):
        fit(energy=NORMAL, checkpoint=path, seed=1, callback=None, objective=Failing())
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("run.npz", before)]


class Failing:
    """An objective with a mistake."""

    def gradient(self, p, x, rng, state=None):
        raise ArithmeticError


def test_a_tree_that_no_file_holds_is_refused_before_the_first_step(tmp_path):
    """Keys of a tuple.  Catches an hour of training that cannot be saved."""
    energy = lambda theta, x: theta[0, 1] * ops.sum(x * x, axis=1)
    with pytest.raises(ValueError, match="keys of a tree in a file must be texts or numbers"):
        fit(energy=energy, theta={(0, 1): np.array(1.0)}, checkpoint=tmp_path / "run.npz", objective=Failing())
    assert fit(energy=energy, theta={(0, 1): np.array(1.0)}).history["step"][-1] > 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    """Catches an hour of training that cannot be saved."""
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="denied"):
        fit(energy=NORMAL, checkpoint=tmp_path / "run.npz", objective=Failing())


@pytest.mark.parametrize("changed", [0, 1999])
def test_a_run_resumes_no_other_data(changed, tmp_path):
    """16 kB of rows that differ in one number, in the last row, say.  Catches a digest of the first kilobyte."""
    data = rng(0).standard_normal((2000, 1))
    other = data.copy()
    other[changed] += 1e-9
    fit(data, NORMAL, checkpoint=tmp_path / "run.npz")
    fit(data, NORMAL, checkpoint=tmp_path / "run.npz", resume=True, steps=11)
    with pytest.raises(ValueError, match="data"):
        fit(other, NORMAL, checkpoint=tmp_path / "run.npz", resume=True, steps=12)


def test_history_of_a_target():
    """Exact at every log point, the start included.  Catches KL taken for NLL, and an NLL of the last batch."""
    target, seen = te.datasets.load("bimodal"), []
    found = fit(target, energy=NET, objective=OBJECTIVES["cd"], steps=6, log_every=2, callback=lambda *row: seen.append(row))
    start = te.Density(NET, fit(energy=NET, steps=0).theta, te.Reals(1))

    assert found.history["step"] == [0, 2, 4, 6] and [step for step, _, _ in seen] == [2, 4, 6]
    for i, p in enumerate([start, *(density for _, density, _ in seen)]):
        assert found.history["nll"][i] == pytest.approx(te.nll(p, target), abs=1e-4)
        assert found.history["kl"][i] == pytest.approx(te.kl(target, p), abs=1e-4)
    for i, (_, _, record) in enumerate(seen, start=1):
        assert record == {name: values[i] for name, values in found.history.items()}
    assert set(found.history) == {"step", "nll", "kl", "loss", "energy_data", "energy_model", "acceptance"}
    assert math.isnan(found.history["loss"][0])  # no step yet


def test_history_of_rows():
    """By default 20 log points; no KL; nothing exact above two dimensions.  Catches an objective's state that is lost."""
    assert fit(steps=40).history["step"] == [0, *range(2, 41, 2)]
    history = fit(steps=3, exact=False, objective=Spy()).history
    assert str(history) == "{'step': [0, 1, 2, 3], 'calls': [nan, 1.0, 2.0, 3.0]}"
    assert "nll" not in fit(np.zeros((4, 3)), energy=te.GaussianEnergy(3), objective=OBJECTIVES["cd"], steps=1).history


def test_an_infinite_partition_function_is_recorded_as_such():
    """An unconfined tanh network on the line.  Catches a fit that stops, and a finite number."""
    history = fit(energy=te.MLP((1, 4, 1), activation="tanh"), objective=OBJECTIVES["cd"], steps=1).history
    assert history["nll"] == [math.inf, math.inf]


def test_a_partition_function_out_of_reach_is_recorded_as_unknown():
    """A flat energy on the line.  Catches a fit that stops, and a number: 0 would be the best of all likelihoods."""
    energy = lambda theta, x: 0.0 * theta["m"][0] * x[:, 0]
    found = te.fit(energy, ROWS, objective=Spy(), steps=0, theta=START, progress=False)
    assert str(found.history["nll"]) == "[nan]"


def test_the_exact_history_is_exact():
    """To 1e-5, on a network of kinks in the plane.  Catches log Z to some percent: 2e-4 off here."""
    net, x = te.MLP((2, 8, 1), "relu", 1.0), np.array([[0.3, -0.2], [1.0, 0.5]])
    theta = [{"W": 3 * layer["W"], "b": layer["b"] + 1.0} for layer in net.init(rng(0))]
    found = te.fit(net, x, theta=theta, objective=OBJECTIVES["cd"], steps=0, progress=False)

    assert abs(found.history["nll"][0] - te.nll(te.Density(net, theta, te.Reals(2)), x, 1e-6)) < 1.1e-5


def test_progress(monkeypatch):
    """In a terminal the last line has all steps and the NLL; in a pipe there is nothing.  Catches a bar in log files."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for terminal, wanted in ((True, True), (False, True), (True, False)):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        sys.stderr.isatty = lambda terminal=terminal: terminal
        nll = fit(progress=wanted).history["nll"][-1]
        last = f"fit {'━' * 20} 10/10    0 s left  nll {nll:.4f}\n" if terminal and wanted else ""
        assert sys.stderr.getvalue().rpartition("\r")[2] == last


@pytest.mark.parametrize("bad", [(math.nan, 1.0), (1.0, math.inf), (math.inf, -math.inf), (-math.inf, 0.0)])
def test_a_gradient_that_is_not_finite_stops_the_run(bad, tmp_path):
    """At the third update, with θ as after the second in the checkpoint.  Catches NaN behind a finite loss."""
    objective = Spy(gradients=((1.0, 2.0), (1.0, 2.0), bad))
    with pytest.raises(FloatingPointError, match="update 3: the gradient is not finite"):
        fit(objective=objective, optimizer=te.sgd(1.0), checkpoint=tmp_path / "run.npz", log_every=1, clip=10.0)

    assert load_tree(tmp_path / "run.npz")[0]["theta"]["m"].tolist() == [-2.0, -4.0]




@pytest.mark.parametrize("options, message", [
    ({"objective": None}, "fit needs an objective"),
    ({"data": np.zeros((5, 2)), "space": te.Reals(1)}, "the data have 2 columns, the space .* has dimension 1"),
    ({"space": te.Box(0, 1, 1)}, r"some data lie outside Box.*, for example \[-0.5\]"),
    ({"data": np.array([[0.5]]), "space": te.Cells(3)}, "some data lie outside Cells"),
    ({"data": np.array([[0.0], [np.nan]])}, "nan or inf"), ({"data": np.array([[np.inf]])}, "nan or inf"),
    ({"data": np.zeros(5)}, r"rows \(n, d\)"), ({"data": np.zeros((0, 1))}, r"rows \(n, d\)"),
    ({"data": [[1.0], [2.0, 3.0]]}, "got list"), ({"data": np.array([["1"], ["2"]])}, "text is no number"),
    ({"data": te.Fit}, "got type"),
    ({"dtype": "float16"}, "dtype must be"), ({"device": "tpu"}, "device must be"), ({"resume": True}, "needs the check"),
    ({"steps": -1}, "steps must be"), ({"steps": 1.5}, "steps must be"), ({"batch_size": 0}, "batch_size must be"),
    ({"batch_size": 2.5}, "batch_size must be"), ({"data_noise": -0.1}, "data_noise must be"),
    ({"data_noise": math.nan}, "data_noise must be"), ({"clip": 0.0}, "clip must be"), ({"clip": math.nan}, "clip must be"),
    ({"ema": 1.0}, "ema must be"), ({"ema": -0.1}, "ema must be"), ({"alpha": 0.1}, "negative samples .* has none"),
    ({"alpha": -0.1, "objective": OBJECTIVES["cd"]}, "alpha must be"),
])  # fmt: skip
def test_what_does_not_fit_together(options, message):
    """Catches a crash far from its cause, and above all a fit that goes through."""
    with pytest.raises(ValueError, match=message):
        fit(**options)


def test_a_loss_that_is_lost_is_refused():
    """Catches nan behind a finite gradient: `where` hides it from the derivative, and training would go on to the end."""
    energy = lambda theta, x: ops.where(x[:, 0] > 1e9, theta * x[:, 0], 0.5 * ops.square(x[:, 0] - theta) + np.nan)
    with pytest.raises(FloatingPointError, match="update 1: the loss is nan, though the gradient is finite"):
        te.fit(energy, np.ones((5, 1)), te.Reals(1), te.ContrastiveDivergence(te.MALA(0.1), 1), theta=np.array(0.5),
               steps=3, exact=False, progress=False)


@pytest.mark.parametrize("kernel", [te.Recipe(0.5, 0.5, clip=0.3), lambda i: te.Recipe(0.5, 1 / (1 + i), clip=0.3)])
def test_a_recipe_warns_once(kernel):
    """At the end, of T (an annealed recipe's at its last step) and the last update's clipped fraction, which the history has.

    Catches a warning at every update, the fraction of the first one, and a caller's line that is in the package.
    """
    with pytest.warns(UserWarning) as seen:
        history = fit(energy=NET, objective=te.ContrastiveDivergence(kernel, 1), steps=6, log_every=1).history

    clipped = history["clipped"]
    assert math.isnan(clipped[0]) and all(0 <= value <= 1 for value in clipped[1:]) and len(set(clipped[1:])) > 1
    assert len(seen) == 1 and seen[0].filename == __file__
    assert str(seen[0].message).startswith("at the last update Recipe(step_size=0.5, noise=0.5, clip=0.3")
    assert str(seen[0].message).endswith(f"it runs at temperature noise² / (2 step_size) = 0.25, not 1, and {clipped[-1]:.2g} "
                                         "of the gradients' components were clipped")


def test_a_recipe_of_langevin_dynamics_does_not_warn():
    """σ = √(2η), no clip: a warning is an error here.  Catches one for every recipe, and a run of ULA with "clipped"."""
    assert fit(energy=NET, objective=te.ShortRun(te.Recipe(0.02, 0.2), 3), steps=2).history["clipped"][-1] == 0
    assert "clipped" not in fit(energy=NET, objective=OBJECTIVES["pcd"], steps=2).history


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_learned_normaliser_has_the_exact_one_beside_it(ema):
    """The history's "log_z" is that of the θ that c was learned with.  Catches log Z of the average, and a missing number."""
    found = te.fit(te.GaussianEnergy(1), rng(0).normal(0, 0.4, (200, 1)), te.Reals(1),
                   te.NoiseContrastive(te.Normal(np.zeros(1), np.eye(1))), te.adam(0.1), steps=6, log_every=3, ema=ema,
                   progress=False)  # fmt: skip
    last = te.log_partition(te.Density(te.GaussianEnergy(1), found.state["theta"], te.Reals(1)))

    assert found.history["log_z"][-1] == pytest.approx(float(last), abs=1e-9) and len(found.history["log_z"]) == 3
    assert (abs(te.log_partition(found.density) - last) > 1e-3) == bool(ema)  # the average is another θ


# --------------------------------------------------------------------------------------------- data in other units

@pytest.mark.parametrize("mean, sd", [(1000, 1), (0, 1e-3), (0, 255), (40, 2)])
def test_data_in_other_units_are_named(mean, sd):
    """By column, mean and deviation, once, with the remedy.  Catches a fit that never gets there, and says nothing."""
    x = np.concatenate([rng(0).standard_normal((50, 1)), mean + sd * np.tile([[-1.0], [1.0]], (25, 1))], axis=1)
    words = f"column 2 of the data has mean .* and standard deviation {sd:.3g}, .* standardise it"
    with pytest.warns(UserWarning, match=words) as caught:
        te.fit(te.MLP((2, 4, 1), confinement=1.0), x, objective=te.ScoreMatching(), steps=1, progress=False)
    assert len(caught) == 1


def test_no_word_of_units_where_there_is_no_need():
    """Standard data, a start of one's own, a box that holds them, a base of their scale, a constant column, a population."""
    far, options = ROWS + 1000, {"objective": te.ExactLikelihood(), "steps": 1, "progress": False}
    there = {"mean": far[0], "precision": np.eye(1)}
    for x, more in [(ROWS, {}), (3 + 0.1 * ROWS, {}), (far, {"theta": there}), (ROWS * 0 + 1, {}),
                    (far, {"space": te.Box(900, 1100, 1)}), (ROWS * 100, {"space": te.Reals(1, base_scale=100.0)}),
                    (te.Normal(np.array([20.0]), np.eye(1)), {})]:
        te.fit(NORMAL, x, **options, **more)


class Views:
    """An objective whose memory is every second number of an array, and an array whose columns lie together."""

    def gradient(self, p, x, rng, state=None):
        memory = {"gaps": np.arange(10.0)[::2], "columns": np.ones((3, 2)).T, "number": 3}
        return Step({"m": np.zeros(2)}, {}, memory)


def test_a_state_lies_in_memory_as_a_file_gives_it_back(tmp_path):
    """Products of matrices depend on it in the last bit.  Catches a resumed run that is only nearly the uninterrupted one."""
    found = fit(objective=Views(), checkpoint=tmp_path / "run.npz")
    saved, _ = load_tree(tmp_path / "run.npz")
    for one, other in zip(tree_flatten(found.state)[0], tree_flatten(saved)[0], strict=True):
        assert type(one) is type(other) is np.ndarray and one.strides == other.strides
