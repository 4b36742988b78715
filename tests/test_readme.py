"""The README keeps its promises: its commands are the ones that CI runs, and its links lead somewhere."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    python3 -m venv")]


def test_there_are_two_commands_and_each_does_all_the_set_up():
    """Fails if a command needs another one before it."""
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
    assert COMMANDS[0].endswith(".venv/bin/tinyebm compare")
    assert "'.[test]'" in COMMANDS[1] and COMMANDS[1].endswith("-m pytest")


def test_ci_runs_exactly_the_test_command():
    """Fails if the gate and the README drift apart."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert COMMANDS[1] in lines
    assert lines.index("rm -rf .venv") < lines.index(COMMANDS[1])  # a fresh environment


def test_links_and_files_exist():
    """Fails if a picture or a file of the reading list is renamed."""
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    reading = README[README.index("## Read it"):]
    for name in re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", reading, flags=re.M):
        for file in re.findall(r"`([^`]+)`", name):
            assert (ROOT / "tinyebm" / file).exists(), file


def test_pictures_have_alternative_text():
    """Fails if a figure says nothing to a reader who cannot see it."""
    for text in re.findall(r"!\[([^\]]*)\]", README):
        assert len(text) > 60
