"""What every test shares: one BLAS thread (set before NumPy loads), figures without a screen, the oracles."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import json
import pathlib

import pytest


@pytest.fixture(scope="session")
def oracle():
    """The independent numbers, by name: `oracle("gauss_1d")["expected"]`."""
    cases = json.loads((pathlib.Path(__file__).parent / "oracles.json").read_text())["cases"]
    return {case["name"]: case for case in cases}.__getitem__
