"""Standard output of every kind: whatever it can show, the files are there and nothing ends in a traceback."""

import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tinyebm as te
from tinyebm.cli import console
from tinyebm.cli.parser import main

ROOT = str(pathlib.Path(te.__file__).parent.parent)
COMPARE = "compare --data bimodal --methods mle,cd-1 --steps 3 --hidden 4"
FIT = "fit --data bimodal --method cd-1 --steps 3 --hidden 4"
FILES = {
    COMPARE: ["compare.json", "compare.png", "compare.txt", "cd-1.npz", "mle.npz"],
    COMPARE + " --seeds 2": ["replicas.json", "replicas.jsonl", "replicas.txt"],
    FIT: ["checkpoint.npz", "fit.png", "history.json", "model.npz"],
}


def tinyebm(command, folder, encoding=None, **streams):
    """Run a command in a process of its own: (status, stdout, stderr), the texts in bytes."""
    environment = os.environ | {"PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "0"}
    if encoding:
        environment["PYTHONIOENCODING"] = encoding
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    done = subprocess.run([sys.executable, "-m", "tinyebm", *command.split()], cwd=folder, env=environment, **streams)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("command", FILES)
def test_a_console_of_few_characters(command, encoding, tmp_path):
    """Catches an experiment that is lost because a table has a ‖ or a ±."""
    status, out, err = tinyebm(f"{command} --out new", tmp_path, encoding)
    assert (status, err) == (0, b"")
    assert sorted(os.listdir(tmp_path / "new")) == sorted(FILES[command])
    text = out.decode(encoding)
    assert "wrote " in text and "?" not in text
    if command == COMPARE:
        shown = {"utf-8": ("p‖model", " ± "), "cp1252": ("p||model", " ± "), "ascii": ("p||model", " +- ")}
        assert all(part in text for part in shown[encoding])
        assert "p‖model" in (tmp_path / "new" / "compare.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", ["", "compare", "fit", "sample", "evaluate", "plot"])
def test_help_on_a_console_of_few_characters(command, encoding, tmp_path):
    """Catches a help that ends in a traceback."""
    status, out, err = tinyebm(f"{command} --help", tmp_path, encoding)
    assert (status, err) == (0, b"") and b"usage: tinyebm" in out and b"?" not in out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("command", FILES)
def test_a_full_standard_output(command, tmp_path):
    """One line, status 2, and all files.  Catches an experiment that is printed before it is saved."""
    with open("/dev/full", "wb") as full:
        status, _, err = tinyebm(f"{command} --out new", tmp_path, stdout=full)
    assert status == 2 and err.count(b"\n") == 1 and b"standard output cannot be written" in err
    assert sorted(os.listdir(tmp_path / "new")) == sorted(FILES[command])


@pytest.mark.skipif(os.name != "posix", reason="closes a stream as a shell does")
@pytest.mark.parametrize("closed", [1, 2, (0, 1, 2)])
@pytest.mark.parametrize("command", FILES)
def test_a_closed_stream(command, closed, tmp_path):
    """Catches a run that needs somebody to write to."""
    descriptors = np.atleast_1d(closed).tolist()
    status, *_ = tinyebm(f"{command} --out new", tmp_path, preexec_fn=lambda: [os.close(d) for d in descriptors])
    assert status == 0 and sorted(os.listdir(tmp_path / "new")) == sorted(FILES[command])


@pytest.mark.skipif(os.name != "posix", reason="a pipe whose reader is gone")
@pytest.mark.parametrize("command", FILES)
def test_a_pipe_that_nobody_reads(command, tmp_path):
    """As in `tinyebm compare | true`: no error, and all files."""
    reader, writer = os.pipe()
    os.close(reader)
    status, _, err = tinyebm(f"{command} --out new", tmp_path, stdout=writer)
    os.close(writer)
    assert (status, err) == (0, b"") and sorted(os.listdir(tmp_path / "new")) == sorted(FILES[command])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_notes_and_errors_that_cannot_be_written(tmp_path):
    """Standard error is full: the status still says what happened."""
    np.savetxt(tmp_path / "mine.csv", np.random.default_rng(0).standard_normal((50, 1)), header="a", comments="")
    with open("/dev/full", "wb") as full:
        assert tinyebm("fit --data mine.csv --method cd-1 --steps 2 --hidden 2 --out new", tmp_path, stderr=full)[0] == 0
        assert tinyebm("fit --data nothing.csv", tmp_path, stderr=full)[0] == 2
    assert (tmp_path / "new" / "model.npz").exists()


class Broken(io.StringIO):
    """A terminal that cannot be written to."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def isatty(self):
        return True

    def write(self, text):
        raise self.error


@pytest.mark.parametrize("stderr", [None, Broken(OSError(28, "full")), Broken(ValueError("closed")),
                                    Broken(UnicodeEncodeError("ascii", "━", 0, 1, "no"))], ids=["none", "full", "closed", "ascii"])
def test_a_fit_without_a_terminal_to_draw_in(monkeypatch, stderr):
    """As under pythonw, where stderr is None.  Catches a fit that ends because its progress cannot be drawn."""
    x = np.random.default_rng(0).standard_normal((20, 1))
    monkeypatch.setattr(sys, "stderr", stderr)
    found = te.fit(te.GaussianEnergy(1), x, objective=te.ExactLikelihood(), steps=3)
    found = found, te.mle(te.GaussianEnergy(1), x), te.sweep(lambda seed: seed, {}, 2)
    te.compare("bimodal", ["cd-1"], steps=2, hidden=(2,))
    monkeypatch.undo()
    assert found[0].history["step"][-1] == 3


def test_a_closed_stderr_is_no_terminal(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    shown = te.common.progress.Progress("fit", 3).show
    monkeypatch.undo()
    assert not shown


def test_old_files_do_not_stay_beside_the_new_table(tmp_path, monkeypatch, capsys):
    """Other methods, other seeds, data that cannot be drawn; what is not of a comparison stays.  Catches a figure of an old run."""
    monkeypatch.chdir(tmp_path)
    np.savetxt("space.csv", np.random.default_rng(0).standard_normal((40, 3)))
    quick = "--steps 2 --hidden 2 --out new"
    found = []
    for options in ("--data bimodal --methods mle,cd-1", "--data bimodal --methods cd-2", "--data space.csv --methods sm",
                    "--data bimodal --methods sm --seeds 2", "--data bimodal --methods sm"):
        assert main(f"compare {options} {quick}".split()) == 0
        (tmp_path / "new" / "notes.txt").touch()
        found.append(set(os.listdir("new")) - {"notes.txt"})
        assert (tmp_path / "new" / "notes.txt").exists()
    table = {"compare.txt", "compare.json"}
    assert found[0] == table | {"compare.png", "mle.npz", "cd-1.npz"} and found[1] == table | {"compare.png", "cd-2.npz"}
    assert found[2] == table | {"sm.npz"} and found[3] == {"replicas.txt", "replicas.json", "replicas.jsonl"}
    assert found[4] == table | {"compare.png", "sm.npz", "replicas.jsonl"}
    assert json.loads(pathlib.Path("new", "compare.json").read_text("utf-8"))["rows"][0]["method"] == "sm"

    for data, drawn in (("bimodal", True), ("space.csv", False)):
        assert main(f"fit --data {data} --method sm {quick}-fit".split()) == 0
        assert os.path.exists("new-fit/fit.png") == drawn
    capsys.readouterr()


def test_what_is_shown_of_a_text():
    """Catches a character of our own texts that becomes a question mark."""
    root = pathlib.Path(te.__file__).parent
    texts = [root / "cli" / name for name in ("parser.py", "commands.py")] + [root / "experiment" / "report.py"]
    text = "".join(path.read_text("utf-8") for path in texts)
    assert "?" not in "".join(c for c in text if c != "?").encode("ascii", "tinyebm").decode()
    assert console.PLAIN["‖"] == "||" and "α".encode("ascii", "tinyebm") == b"?"
