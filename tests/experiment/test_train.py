"""One run of one method of a comparison."""

import importlib

import numpy as np
import pytest

import tinyebm as te

TRAIN = importlib.import_module("tinyebm.experiment.train")  # where `adam` and `fit` are called
ROWS, NET = np.random.default_rng(0).normal(0.5, 1.2, size=(41, 1)), te.MLP((1, 8, 8, 1), "silu", 1.0)
EXPERIMENT = TRAIN.Experiment(ROWS, ROWS, NET, te.Reals(1), 12, 64, None, 0.9, 3)


def test_a_run_of_any_length_stretches_all_of_training(monkeypatch):
    """Its learning rate falls over its own second half, and θ is averaged over the same part of it: 1 - ema grows as steps fall.

    Catches a rate that is still high, or gone, when time is up, and an average over ten runs' worth of updates.
    """
    seen, schedules = [], []
    monkeypatch.setattr(TRAIN, "adam", lambda schedule: schedules.append(schedule) or te.adam(schedule))
    monkeypatch.setattr(TRAIN, "fit", lambda *args, **more: (
        seen.append((args[5], more["ema"], more["seed"])) or te.fit(*args, **more)))
    for n in (12, 36, 4, 1):
        TRAIN.train(EXPERIMENT._replace(learning_rate=0.03), te.ScoreMatching(), n)

    assert [(steps, seed) for steps, _, seed in seen] == [(12, 3), (36, 3), (4, 3), (1, 3)]
    assert [ema for _, ema, _ in seen] == pytest.approx([0.9, 1 - 0.1 / 3, 0.7, 0.0], abs=1e-12)
    assert [schedules[1](step) for step in (0, 18, 27, 35)] == pytest.approx([0.03, 0.03, 0.015, 0.03 / 18])
    assert [schedules[2](step) for step in (0, 2, 3)] == pytest.approx([0.03, 0.03, 0.015])
