"""Killed at fifty random moments, also while it writes, a run that is resumed ends where the uninterrupted one does."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent / "crash_runs.py"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_killed_run_resumes_to_the_bit(tmp_path):
    """θ, its average, moments, chains and history, of exact likelihood, CD, PCD and denoising score matching.

    Catches a write into the file that is there, a checkpoint that forgets a part of the state, and a resumed run that draws
    other numbers.
    """
    found = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "50", "1"], capture_output=True, text=True, timeout=240)
    kills, within, *differing = found.stdout.split()

    assert found.returncode == 0 and int(kills) == 50 and int(within) >= 5, found.stderr
    assert not differing
