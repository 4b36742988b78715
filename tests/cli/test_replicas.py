"""`compare --seeds --workers`: Ctrl-C, killed parents and killed workers; what is kept, and how the same command goes on.

The tests wait for lines in the results file and for the end of processes, never for a time.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

import tinyebm as te
from examples import hears_ctrl_c
from sweep_runs import alive, until
from tinyebm.cli import parser as cli

COMMAND = "compare --data double_well --methods cd-1 --hidden 4 --steps 3 --batch-size 16"
PATIENCE = 120  # seconds
posix = pytest.mark.skipif(os.name != "posix" or not os.path.isdir("/proc"), reason="needs process groups and /proc")


def tinyebm(line):
    return cli.main(line.split())


def rows(folder):
    """The rows in the folder, without the times."""
    found = json.loads((folder / "replicas.json").read_text(encoding="utf-8"))["rows"]
    return {method: [row | {"seconds": 0} for row in many] for method, many in found.items()}


@pytest.fixture
def whole(tmp_path):
    """The rows of four seeds in one go."""
    assert tinyebm(f"{COMMAND} --seeds 4 --out {tmp_path}/whole") == 0
    return rows(tmp_path / "whole")


@pytest.fixture
def study(tmp_path):
    """A study of many seeds on two workers that has kept a run: (process, folder)."""
    folder, root = tmp_path / "study", pathlib.Path(te.__file__).parent.parent
    command = [sys.executable, "-m", "tinyebm", *COMMAND.split(), "--seeds", "10000", "--workers", "2", "--out", str(folder)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears_ctrl_c)
    try:
        until(lambda: lines(folder) > 1 or process.poll() is not None)
        assert process.poll() is None
        yield process, folder
    finally:
        for left in alive(process.pid):
            os.kill(left, signal.SIGKILL)
        process.communicate()


def lines(folder):
    file = folder / "replicas.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


@posix
def test_ctrl_c(study, whole):
    """To the whole process group, as a terminal sends it.  Catches runs that are waited for, and tracebacks of workers."""
    process, folder = study
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    until(lambda: not alive(process.pid))
    kept = lines(folder) - 1
    said = int(re.match(r"\ntinyebm compare: interrupted: (\d+) of 10000 runs have ended", err)[1])

    assert (process.returncode, out) == (130, "")
    assert err.endswith(f"kept in {folder}/replicas.jsonl: the same command goes on with the others\n") and err.count("\n") == 2
    assert kept - said in (0, 1)  # one may be written at the moment of the interrupt
    assert tinyebm(f"{COMMAND} --seeds 4 --out {folder}") == 0 and rows(folder) == whole
    assert lines(folder) - 1 <= max(kept + 3, 4)  # those that were kept are not done again


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_workers_end_with_their_parent(study, name):
    """Catches workers that live for ever."""
    process, _ = study
    assert len(alive(process.pid)) >= 3
    os.kill(process.pid, getattr(signal, name))
    process.wait(PATIENCE)

    until(lambda: not alive(process.pid))


def test_a_killed_worker(tmp_path, monkeypatch, capsys, whole):
    """The first run of every process kills it.  Catches a traceback, a status of 0, and the same seed done again."""
    monkeypatch.setattr("tinyebm.experiment.replicas._compare", Deadly())
    folder = tmp_path / "out"
    assert tinyebm(f"{COMMAND} --seeds 4 --workers 2 --out {folder}") == 2
    err = capsys.readouterr().err
    monkeypatch.undo()

    assert err == ("tinyebm compare: error: all comparisons failed, that of seed 0 by BrokenExecutor: a worker ended before "
                   "the run did\n")  # fmt: skip
    assert tinyebm(f"{COMMAND} --seeds 4 --workers 2 --out {folder}") == 0


class Deadly:
    """A run that kills its process."""

    def __call__(self, seed, **point):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def test_the_same_command_goes_on_and_another_one_begins_anew(tmp_path, monkeypatch, capsys, whole):
    """Catches runs done again, results of other settings in the table, and an old file that is lost."""
    folder, done = tmp_path / "out", []
    from tinyebm.experiment import replicas

    compare = replicas._compare
    monkeypatch.setattr(replicas, "_compare", lambda seed, **point: done.append(seed) or compare(seed, **point))
    assert tinyebm(f"{COMMAND} --seeds 2 --out {folder}") == 0 and len(done) == 2
    assert tinyebm(f"{COMMAND} --seeds 4 --out {folder}") == 0 and len(done) == 4
    assert rows(folder) == whole and capsys.readouterr().err == ""
    old = (folder / "replicas.jsonl").read_bytes()

    assert tinyebm(f"{COMMAND} --steps 4 --seeds 2 --out {folder}") == 0 and len(done) == 6
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "its point.steps is 3, and here it is 4: kept as" in err
    assert (folder / "replicas.1.jsonl").read_bytes() == old and lines(folder) == 3
