"""The race of equal seconds: how many updates each method may make, and what its clock counts."""

import math

import numpy as np

import tinyebm as te
from tinyebm.experiment import race
from tinyebm.experiment.train import Experiment

ROWS, NET = np.random.default_rng(0).normal(0.5, 1.2, size=(41, 1)), te.MLP((1, 8, 8, 1), "silu", 1.0)
EXPERIMENT = Experiment(ROWS, ROWS, NET, te.Reals(1), 12, 64, None, 0.9, 3)


def runs(**seconds):
    """Runs of the likelihood that took so long, by name."""
    fit = te.fit(NET, ROWS, objective=te.ExactLikelihood(), steps=1, progress=False)
    return {name: race.Run(te.ExactLikelihood(), fit, [(12, spent, 0.0)], "ok") for name, spent in seconds.items()}


def test_updates_in_equal_seconds(monkeypatch):
    """Steps times budget over what those steps took.  Catches its inverse, the slowest for the fastest, a run of no update."""
    monkeypatch.setattr(race, "train", lambda experiment, objective, n: te.fit(NET, ROWS, objective=objective, steps=0))
    def updates(seconds, runs):
        found = race.equal_seconds(EXPERIMENT._replace(steps=100), runs, seconds, None, False)
        return found["seconds"], {name: row["updates"] for name, row in found["methods"].items()}

    three = runs(fast=2.0, slow=8.0, slowest=900.0)
    assert updates(None, three) == (2.0, {"fast": 100, "slow": 25, "slowest": 1})
    assert updates(6.0, three) == (6.0, {"fast": 300, "slow": 75, "slowest": 1})
    failed = three["fast"]._replace(fit=None)
    assert updates(None, three | {"fast": failed}) == (8.0, {"slow": 100, "slowest": 1})
    assert updates(None, {}) == updates(None, runs(fast=2.0)) == (None, {})  # a race of one
    assert updates(1.0, runs(fast=2.0)) == (1.0, {"fast": 50})


def test_a_run_of_equal_seconds_that_fails(monkeypatch):
    """Catches an experiment lost to it."""
    def train(experiment, objective, n):
        raise FloatingPointError

    monkeypatch.setattr(race, "train", train)
    found = race.equal_seconds(EXPERIMENT, runs(a=4.0, b=8.0), 2.0, None, False)["methods"]
    assert [row["updates"] for row in found.values()] == [6, 3] and all(math.isnan(row["nll"]) for row in found.values())


def test_seconds_are_of_training_alone(monkeypatch):
    """By a clock that only the exact evaluation (100 s) and three updates (1, 2 and 3 s) move.

    Catches evaluation counted as training, and the last stretch alone.
    """
    clock = [0.0]
    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(race, "nearby_nll", lambda data: lambda p: clock.__setitem__(0, clock[0] + 100) or 1.5)
    curve, watch = race.stopwatch(ROWS, measured=True)
    for step in (1, 2, 3):
        clock[0] += step
        watch(step, None, {})

    assert curve == [(1, 1.0, 1.5), (2, 3.0, 1.5), (3, 6.0, 1.5)]
