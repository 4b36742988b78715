"""Killed at any moment, also while it writes, a run that is resumed ends where the uninterrupted one does."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent / "crash_runs.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_run_resumes_to_the_bit(tmp_path):
    """θ, its average, moments, chains and history: of every energy of the package, and of energies and kernels of one's own.

    Networks trained by exact likelihood, CD, PCD and denoising score matching are killed twelve times, at six moments of two
    writes, the others twice; another interpreter resumes them.  Catches a write into the file that is there, a checkpoint that
    forgets a part of the state or the kind of a tree, a resumed run that draws other numbers or begins again at 0, and one that
    is not recognised in another process.
    """
    run = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    assert found["wrong"] == []
    assert min(found["kills"].values()) > 8 and sum(found["kills"].values()) == 12 * 4 + 2 * (found["runs"] - 4)
