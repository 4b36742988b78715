"""The progress bar: drawn in a terminal, at most ten times a second, and silent everywhere else."""

import io
import sys
import types

import pytest

from tinyebm.common import progress
from tinyebm.common.progress import Progress


class Screen(io.StringIO):
    """A stderr that is, or is not, a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is set: `clock.now = 3.0`."""
    clock = types.SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    return clock


@pytest.fixture
def screen(monkeypatch):
    def use(terminal):
        screen = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return use


def test_text_of_the_bar(screen, clock):
    """At a quarter, 10 seconds in: 30 are left.  Catches time gone shown for time left, and a bar of the wrong length."""
    terminal = screen(True)
    bar = Progress("fit", 400)
    clock.now += 10
    bar(100, "nll 2.31")

    assert terminal.getvalue() == "\r" + "fit " + "━" * 5 + " " * 15 + " 100/400   30 s left  nll 2.31"


def test_the_last_step_ends_the_line(screen, clock):
    """However short the time since the last drawing; later text starts on its own line."""
    terminal = screen(True)
    bar = Progress("fit", 3)
    for step in (1, 2, 3):
        bar(step)

    assert terminal.getvalue() == "\r" + "fit " + "━" * 20 + " 3/3    0 s left  \n"


def test_ten_drawings_a_second(screen, clock):
    """1000 steps in 2 seconds: about 20 drawings.  Catches one drawing a step, which slows short steps down."""
    terminal = screen(True)
    bar = Progress("fit", 1001)
    for step in range(1, 1001):
        clock.now += 0.002
        bar(step)

    assert 18 <= terminal.getvalue().count("\r") <= 20


def test_a_shorter_line_covers_a_longer_one(screen, clock):
    """Catches the tail of an old note left standing."""
    terminal = screen(True)
    bar = Progress("fit", 10)
    for step, note in ((1, "a long note"), (2, "short")):
        clock.now += 1
        bar(step, note)
    first, second = terminal.getvalue().split("\r")[1:]

    assert len(second) == len(first)


@pytest.mark.parametrize("terminal, show, total", [(False, True, 5), (True, False, 5), (True, True, 0)])
def test_silence(screen, clock, terminal, show, total):
    """In a pipe or a file, when it is not wanted, and when there is nothing to do (which would divide by 0)."""
    stderr = screen(terminal)
    bar = Progress("fit", total, show)
    for step in range(total + 1):
        clock.now += 1
        bar(step)

    assert stderr.getvalue() == ""


def test_a_notebook_is_not_a_terminal_but_shows_it(screen, clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    stderr = screen(False)
    Progress("fit", 1)(1)

    assert "1/1" in stderr.getvalue()
