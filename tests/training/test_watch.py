"""Runs that go wrong: stopped before the update, named, saved, and rescued where that was asked for."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.storage.checkpoint import load_tree
from tinyebm.training.watch import caveats

NET, DATA = te.MLP((1, 8, 1), confinement=1.0), np.random.default_rng(0).standard_normal((100, 1))
THETA = NET.init(np.random.default_rng(1))


@dataclass(frozen=True)
class Faulty:
    """Contrastive divergence that goes wrong, in one way, at some of its draws."""

    kind: str
    when: object = field(compare=False)  # function of the number of the call and of rng -> bool
    calls: list = field(compare=False)

    def gradient(self, p, x, rng, state=None):
        self.calls.append(p.theta)
        step = te.ContrastiveDivergence(te.ULA(0.05), 1).gradient(p, x, rng)
        if not self.when(len(self.calls), rng):
            return step
        if self.kind == "gradient":
            step.gradient[1]["W"][3, 0] = np.nan  # one number of them all
            return step
        if self.kind == "loss":
            return step._replace(metrics=step.metrics | {"loss": np.inf})
        if self.kind == "chains":
            return step._replace(state={"chains": x + 1e9})
        return step._replace(gradient=tree_map(lambda g: np.full_like(g, 1e300), step.gradient))


def faulty(kind, when=lambda call, rng: call == 7):
    return Faulty(kind, when, [])


def fit(objective, space=None, **options):
    options = {"steps": 20, "batch_size": 32, "log_every": 5, "progress": False, "exact": False, "theta": THETA} | options
    return te.fit(NET, np.clip(DATA, -2, 2), space or te.Box(-3, 3, 1), objective, **options)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in tree_flatten(tree)[0]])


@pytest.mark.parametrize("kind, message", [
    ("gradient", "update 7: the gradient is not finite. .* try a smaller learning rate or step_size"),
    ("loss", "update 7: the loss is inf, though the gradient is finite"),
    ("chains", "update 7: some persistent chains are nan or outside Box.low=-3.*: try a smaller step_size"),
    ("parameters", "update 7: the parameters would not be finite, though the gradient is: try a smaller learning rate"),
])  # fmt: skip
def test_what_went_wrong_is_named_and_the_last_good_state_is_on_disk(tmp_path, kind, message):
    """Saved are the parameters that the failing update began with; a run that is resumed from them goes on."""
    objective, path = faulty(kind), tmp_path / "run.npz"
    optimizer = te.sgd(lambda step: 1e10 if kind == "parameters" and step == 6 else 0.01)
    with pytest.raises(FloatingPointError, match=message):
        fit(objective, optimizer=optimizer, checkpoint=path)
    state, notes = load_tree(path)

    assert int(state["step"]) == 6 and np.array_equal(flat(state["theta"]), flat(objective.calls[6]))
    assert notes["history"]["step"] == [0, 5]


def test_the_first_good_states_are_those_of_a_sound_run(tmp_path):
    """Until the failure nothing differs; and resumed without the fault, a run ends where the sound one does."""
    path, options = tmp_path / "run.npz", dict(optimizer=te.sgd(0.01))
    sound = fit(faulty("gradient", lambda *_: False), **options)
    with pytest.raises(FloatingPointError):
        fit(faulty("gradient"), checkpoint=path, **options)
    again = fit(faulty("gradient", lambda *_: False), checkpoint=path, resume=True, **options)

    assert np.array_equal(flat(again.theta), flat(sound.theta))


def test_rollback_goes_on_from_the_last_log_point_with_other_numbers():
    """A failure that depends on the random numbers is passed by; the history says how often it happened."""
    unlucky = lambda call, rng: call == 7
    objective = faulty("gradient", unlucky)
    found = fit(objective, rollback=2)
    plain = fit(faulty("gradient", lambda *_: False))

    assert found.history["rollbacks"][1:] == [0, 1, 1, 1] and found.history["step"] == [0, 5, 10, 15, 20]
    assert len(objective.calls) == 7 + 15  # five updates, two lost, and fifteen from update 6 on
    assert np.array_equal(flat(objective.calls[5]), flat(objective.calls[7]))  # both begin at update 5's parameters
    assert not np.array_equal(flat(objective.calls[6]), flat(objective.calls[8]))  # by other random numbers
    assert not np.array_equal(flat(found.theta), flat(plain.theta)) and "rollbacks" not in plain.history


def test_rollback_ends():
    """After n rescues the error comes through."""
    objective = faulty("loss", lambda call, rng: call > 6)
    with pytest.raises(FloatingPointError, match="update 6: the loss is inf"):
        fit(objective, rollback=3)

    assert len(objective.calls) == 6 + 1 + 3


def test_a_rescued_run_is_resumed_to_the_bit(tmp_path):
    """The attempt is part of what a checkpoint keeps."""
    path, whole = tmp_path / "run.npz", fit(te.ContrastiveDivergence(Unlucky(), 2), rollback=20)
    first = fit(te.ContrastiveDivergence(Unlucky(), 2), rollback=20, checkpoint=path, steps=15)
    again = fit(te.ContrastiveDivergence(Unlucky(), 2), rollback=20, checkpoint=path, resume=True)

    assert first.history["rollbacks"][-1] > 0
    assert repr(again.history) == repr(whole.history) and np.array_equal(flat(again.theta), flat(whole.theta))


@dataclass(frozen=True)
class Unlucky:
    """Langevin steps that end in nan with a probability of four percent."""

    def step(self, p, x, rng):
        move = te.ULA(0.05).step(p, x, rng)
        return move._replace(x=move.x * np.where(rng.random() < 0.04, np.nan, 1.0))


def test_persistent_chains_that_leave_the_space_are_named():
    """A kernel that forgets the walls."""
    class Leaving:
        def step(self, p, x, rng):
            return te.ULA(0.05).step(p, x, rng)._replace(x=x + 0.9)

        def __call__(self, step):
            return self

    with pytest.raises(FloatingPointError, match="update [1-6]: some persistent chains are nan or outside Box"):
        fit(te.PersistentContrastiveDivergence(Leaving(), 1, chains=64))


def test_collapse_under_the_regulariser_is_named():
    """With a weight that flattens everything; and not with one that does not."""
    options = dict(optimizer=te.adam(lambda step: 0.05 * 0.98**step), steps=600, log_every=100)
    net, objective = te.MLP((1, 8, 1)), te.ContrastiveDivergence(te.ULA(0.05), 1)
    with pytest.warns(UserWarning, match="the energies have collapsed: .* try a smaller alpha"):
        te.fit(net, np.clip(DATA, -2, 2), te.Box(-3, 3, 1), objective, alpha=1e4, batch_size=32, progress=False, exact=False,
               **options)
    for energies in ([1e-3, 0.5, 0.5], [np.nan, 0.5, 1e-3]):  # at any log point, the first of which has none
        assert "1.0e-03 nats" in next(caveats(objective, {"energy_rms": energies}))
    assert not [*caveats(objective, {"loss": [0.0]}), *caveats(objective, {"energy_rms": [np.nan, 0.1]})]


def test_the_energies_root_mean_square():
    """Half from data, half from negatives, by hand."""
    p = te.Density(NET, THETA, te.Reals(1))
    objective = te.PersistentContrastiveDivergence(te.ULA(0.05), 1, 100, restart=0.0, alpha=0.3)
    step = objective.gradient(p, DATA, np.random.default_rng(0))
    E = lambda x: NET(THETA, x)
    expected = np.sqrt((np.mean(E(DATA) ** 2) + np.mean(E(step.state["chains"]) ** 2)) / 2)

    assert step.metrics["energy_rms"] == pytest.approx(expected, rel=1e-12)


def test_an_objective_of_three_parts_is_watched_too():
    """A plain triple instead of a Step."""
    class Plain:
        def gradient(self, p, x, rng, state=None):
            return tuple(te.ScoreMatching().gradient(p, x, rng))

    assert np.isfinite(flat(fit(Plain(), space=te.Reals(1), steps=3).theta)).all()
