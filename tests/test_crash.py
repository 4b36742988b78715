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
    """θ, its average, moments, chains and history, of exact likelihood, CD, PCD and denoising score matching.

    Each run is killed twelve times: at six moments of two writes.  Catches a write into the file that is there, a checkpoint
    that forgets a part of the state, a resumed run that draws other numbers, and one that begins again at 0.
    """
    run = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    assert found["wrong"] == []
    assert found["kills"] == dict.fromkeys(("before", "empty", "half", "written", "in place", "safe"), 8)
