"""`python -m tinyebm`: an interpreter with the right settings, started as the first one was."""

import importlib.metadata
import os
import signal
import subprocess
import sys

import pytest

from examples import hears_ctrl_c
from tinyebm import __main__ as module

SPY = """import os, sys
print("start", *(os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_")), file=sys.stderr)"""


def tinyebm(tmp_path, *arguments, command=("-m", "tinyebm"), **environment):
    """Run the command in a folder of its own: (exit status, stdout, the settings of every interpreter started)."""
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    root = os.path.dirname(os.path.dirname(module.__file__))
    clean = {name: value for name, value in os.environ.items() if name not in module.SETTINGS}
    clean |= {"PYTHONPATH": os.pathsep.join([str(tmp_path / "spy"), root])}
    done = subprocess.run([sys.executable, *command, *arguments], cwd=tmp_path, env=clean | environment,
                          capture_output=True, text=True)
    starts = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("start")]
    return done.returncode, done.stdout, starts


def test_help_in_an_interpreter_with_one_blas_thread(tmp_path):
    """Catches settings that come too late, after NumPy is loaded: a second interpreter must start with them."""
    status, out, starts = tinyebm(tmp_path, "--help")

    assert status == 0 and out.startswith("usage: tinyebm") and "compare" in out
    assert starts == [["None", "None"], ["1", module.SETTINGS["MALLOC_MMAP_THRESHOLD_"]]]


def test_the_environment_has_the_last_word(tmp_path):
    """Catches a number of threads that the user cannot choose, and an interpreter that starts itself for ever."""
    mine = {name: "3" for name in module.SETTINGS}
    assert tinyebm(tmp_path, "--help", **mine)[::2] == (0, [["3", "3"]])


def test_arguments_and_exit_status_pass_through(tmp_path):
    """Catches arguments with blanks taken apart, and a failure that ends in status 0."""
    status, out, starts = tinyebm(tmp_path, "plot", "no such model.npz")
    assert (status, out, len(starts)) == (2, "", 2)


def test_the_folder_of_the_user_is_not_on_the_path(tmp_path):
    """Catches a command that imports the user's own csv.py or random.py in the place of Python's."""
    (tmp_path / "csv.py").write_text("raise SystemExit('imported from the folder of the user')")
    script = tmp_path / "bin" / "tinyebm"
    script.parent.mkdir()
    script.write_text("from tinyebm.__main__ import run\nrun()\n")  # what pip installs

    assert tinyebm(tmp_path, "--help", command=[str(script)])[0] == 0


def test_where_there_is_no_exec(monkeypatch):
    """On Windows a child does the work: catches its exit status thrown away."""
    called = []
    monkeypatch.setattr(module.os, "name", "nt")
    monkeypatch.setattr(module.subprocess, "call", lambda command: called.append(command) or 7)
    monkeypatch.setattr(module.os, "environ", {"HOME": "here"})
    with pytest.raises(SystemExit) as left:
        module.run()

    assert left.value.code == 7 and called[0][0] == sys.executable
    assert module.os.environ == {"HOME": "here"} | module.SETTINGS


LAUNCHER = """
import os, sys
from tinyebm import __main__ as module
sys.orig_argv = [sys.executable, "-c", '''
import sys, time
try:
    print("ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(130)
''']
os.name = "nt"
module.run()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a group of processes")
def test_ctrl_c_under_the_launcher():
    """The launcher waits for its child, which gets Ctrl-C from the terminal.  Catches a traceback, and a child left alone."""
    root = os.path.dirname(os.path.dirname(module.__file__))
    environment = {name: value for name, value in os.environ.items() if name not in module.SETTINGS} | {"PYTHONPATH": root}
    run = subprocess.Popen([sys.executable, "-c", LAUNCHER], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, start_new_session=True, preexec_fn=hears_ctrl_c)
    assert run.stdout.readline() == "ready\n"
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate()
    assert (out, err, run.returncode) == ("saved\n", "", 130)


def test_the_installed_command_is_the_same():
    """Catches an entry point that forgets the settings, or leads nowhere."""
    script, = importlib.metadata.entry_points(group="console_scripts", name="tinyebm")
    assert script.load() is module.run
