"""The command that times libraries beside each other says why one of them failed."""

import importlib
import pathlib
import sys

import pytest


@pytest.fixture
def peers(monkeypatch):
    """The module of the command."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parent)
    return importlib.import_module("peers")


@pytest.mark.parametrize(("module", "ask", "wanted"), [
    ("jobs_of_nobody", {"do": "setup"}, "ModuleNotFoundError: No module named 'jobs_of_nobody'"),
    ("jobs_floor", {"do": "setup", "job": "nothing", "problem": {}}, "KeyError: 'nothing'")])
def test_a_worker_that_fails_says_why(peers, module, ask, wanted):
    """A library that is missing, and one without the job.  Catches "the process ended", and a pipe that breaks on the way."""
    worker = peers.Worker(module, sys.executable, 2)
    try:
        for _ in range(2):
            assert worker.ask(**ask)["error"].startswith(wanted)
    finally:
        worker.close()


def test_a_process_that_fails_says_why(peers):
    """Also one that writes nothing, or that a signal ends.  Catches the seconds of a process that did not do its work."""
    assert peers.start([sys.executable, "-c", "raise ValueError('no')"], 3) == {"error": "ValueError: no"}
    assert peers.reason(3, "\n") == "the process ended with status 3"
    assert peers.reason(-9, "a warning\n") == "the process ended with status -9"
    assert peers.start([sys.executable, "-c", ""], 3)["seconds"] > 0


def test_the_table_says_why(peers):
    """Once for each reason, below the table of its job.  Catches a cell that reads "failed" and no more."""
    broken = {"tinyebm": {"seconds": 2e-3}, "jax": {"seconds": 1e-3}, "autograd": {"error": "ImportError: no SciPy"}}
    found = peers.table({"cells": {"1": {"A: one": broken, "A: two": broken, "C: three": {"tinyebm": {"seconds": 1.0}}}}})

    assert found.splitlines()[2:8] == ["| | tinyebm, ms | jax | autograd |", "|---|---|---|---|", "| one | 2 | 0.50 | failed |",
                                       "| two | 2 | 0.50 | failed |", "", "autograd failed: ImportError: no SciPy"]
    assert found.count("failed:") == 1


def test_every_version_is_pinned(peers):
    """Also of what the libraries need.  Catches an environment that another year's packages break."""
    assert all("==" in package for packages in peers.PACKAGES.values() for package in packages)
    assert all(any(package.startswith("scipy==") for package in peers.PACKAGES[name]) for name in ("jax", "autograd", "thrml"))
