"""What every test shares: one BLAS thread (set before NumPy loads), figures without a screen, oracles, a test of counts."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import json
import pathlib
import sys

import numpy as np
import pytest
from scipy import stats

TUTORIALS = pathlib.Path(__file__).parent.parent / "tutorials"


@pytest.fixture(scope="session")
def oracle():
    """The independent numbers, by name: `oracle("gauss_1d")["expected"]`."""
    cases = json.loads((pathlib.Path(__file__).parent / "oracles.json").read_text())["cases"]
    return {case["name"]: case for case in cases}.__getitem__


@pytest.fixture(scope="session")
def chi_square():
    """How well counts agree with probabilities: Pearson's statistic as a normal score, wanted in |z| < 5.

    What is expected less than 10 times counts together; a count where the probability is 0 gives inf.
    """
    def z(counts, law):
        counts, expected = np.ravel(counts), np.ravel(law) * np.sum(counts)
        if counts[expected == 0].any():
            return np.inf
        rare = expected < 10
        pooled = lambda a: np.append(a[~rare], a[rare].sum() if rare.any() else [])
        counts, expected = pooled(counts), np.maximum(pooled(expected), 1e-300)
        return stats.norm.isf(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))

    return z


@pytest.fixture
def build(monkeypatch):
    """The builder, in the folder where notebooks are run."""
    monkeypatch.syspath_prepend(str(TUTORIALS))
    monkeypatch.chdir(TUTORIALS)
    import matplotlib.pyplot as plt

    with plt.rc_context():
        import build

        yield build
    for name in [name for name in sys.modules if name == "build" or name.split(".")[0] == "course"]:
        del sys.modules[name]

