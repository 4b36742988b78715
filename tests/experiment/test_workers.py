"""Processes that end with their parent, in the middle of a run."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

import tinyebm as te
from examples import hears_ctrl_c
from sweep_runs import alive, until
from tinyebm.experiment.workers import worker_pool

STUDY = """
import sys, sweep_runs, tinyebm as te
from tinyebm.experiment.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as executor:
        te.sweep(sweep_runs.asleep, {"folder": [sys.argv[1]]}, 9, executor)
"""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_nobody_waits_for_a_run(name, tmp_path):
    """Each run takes an hour.  Catches Ctrl-C that waits for runs, and workers that outlive a killed parent."""
    (tmp_path / "study.py").write_text(STUDY)
    path = os.pathsep.join(map(str, [pathlib.Path(__file__).parent.parent, pathlib.Path(te.__file__).parent.parent]))
    process = subprocess.Popen([sys.executable, str(tmp_path / "study.py"), str(tmp_path)], env=os.environ | {"PYTHONPATH": path},
                               stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears_ctrl_c)  # fmt: skip
    try:
        until(lambda: len(list(tmp_path.glob("*.note"))) == 2 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT) if name == "SIGINT" else process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=120)
        until(lambda: not alive(process.pid))
        assert len(list(tmp_path.glob("*.note"))) == 2 and process.returncode != 0
        assert err.count("Traceback") == (name == "SIGINT")  # that of the parent alone
    finally:
        for left in alive(process.pid):
            os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_calls_and_results_of_any_size(size):
    """Catches a pipe that is full on both sides."""
    with worker_pool(2) as executor:
        futures = [executor.submit(bytes.upper, bytes(size)) for _ in range(5)]
        assert [future.result(120) for future in futures] == [bytes(size)] * 5


def test_what_cannot_be_sent():
    """Catches a worker that waits for ever for a call that did not come."""
    with worker_pool(1) as executor:
        with pytest.raises(Exception, match="pickle"):
            executor.submit(lambda: 1).result(120)
        assert executor.submit(len, "abc").result(120) == 3
