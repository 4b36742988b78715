"""The README keeps its promises: its commands are the ones that CI runs, its links lead somewhere, its path can be read."""

import importlib.util
import pathlib
import re

import pytest

import tinyebm as te

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GITHUB = ROOT / ".github"
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


def test_three_systems_run_the_test_command():
    """Fails if the workflow and the README drift apart, or if the oldest Python is not the one that is promised."""
    workflow = (GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert COMMANDS[1].replace("python3 ", "python ").replace(".venv/bin/", ".venv/$BIN/") in workflow
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    assert f'python: ["{oldest}", ' in workflow and f"Requires Python {oldest}" in README
    assert all(f"{system}-latest" in workflow for system in ("ubuntu", "macos", "windows"))


@pytest.fixture
def script():
    """The module `.ci/pythons.py`."""
    spec = importlib.util.spec_from_file_location("pythons", ROOT / ".ci" / "pythons.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lowest_versions_are_tested(script):
    """Fails if neither the gate nor the workflow installs what README and pyproject.toml promise, or they expect other Pythons."""
    workflow = (GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert "pip install -q '.[test]' $(python .ci/pythons.py --bounds)" in workflow
    assert ".venv/bin/python .ci/pythons.py" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert f'python: ["3.{script.OLDEST}", "3.{script.NEWEST}"]' in workflow
    numpy, scipy, matplotlib, *rest = (package.split("==") for package in script.bounds())
    assert [name for name, _ in (numpy, scipy, matplotlib, *rest)] == ["numpy", "scipy", "matplotlib", "pytest", "hypothesis"]
    assert f"NumPy {numpy[1]}, SciPy {scipy[1]} and Matplotlib {matplotlib[1]}" in README


@pytest.mark.parametrize("minors, missing", [([11], "3.10, 3.12, 3.13, 3.14"), ([10, 11, 12, 13, 14], "none"), ([15], "3.10, 3.11, "
                                             "3.12, 3.13, 3.14")], ids=["one", "all", "newer"])  # fmt: skip
def test_pythons_that_are_missing_are_named(script, monkeypatch, capsys, minors, missing):
    """Catches a Python that is left out in silence, lowest versions that are not tried, and a failure that is forgotten."""
    ran = []
    monkeypatch.setattr("sys.argv", ["pythons.py"])
    monkeypatch.setattr(script, "pythons", lambda: {minor: f"python3.{minor}" for minor in minors})
    monkeypatch.setattr(script, "passes", lambda *call: ran.append(call) or call[0] != "python3.13")

    assert script.main() == (13 in minors)
    assert f"missing: {missing}\n" in capsys.readouterr().out
    each = [(f"python3.{minor}", ".[test]") for minor in minors]
    assert ran == each + ([(*each[0], *script.bounds())] if minors[0] < 13 else [])


def test_what_is_no_python_is_not_found(script):
    """Catches the command of a version manager that only says that the version is not there."""
    assert not script.works("true", 10) and not script.works(None, 10) and not script.works("no such command", 10)


def test_links_and_files_exist():
    """Fails if a picture or a file of the reading list is renamed."""
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for file in listed(README[README.index("## Read it") :]):
        assert (ROOT / "tinyebm" / file).exists(), file
    contributing = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", contributing):
        assert (GITHUB / target).exists(), target
    for file in listed(contributing):
        assert "<" in file or (ROOT / file).exists(), file


def listed(text):
    """The files in the first columns of tables."""
    for names in re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", text, flags=re.M):
        yield from re.findall(r"`([^`]+)`", names)


def test_the_path_through_the_package_is_short():
    """From an energy to exact maximum likelihood against contrastive divergence: at most as many lines as the README says.

    Catches a path that grew, and one that leaves out what it leads to.  `pytest -rP` shows the lengths.
    """
    reading = README[README.index("## Read it") : README.index("| room |")]
    path = list(listed(reading))
    lengths = {file: len((ROOT / "tinyebm" / file).read_text(encoding="utf-8").splitlines()) for file in path}
    for file, lines in lengths.items():
        print(f"{lines:5} {file}")

    promised = int(re.search(r"at most ([\d,]+) lines", reading)[1].replace(",", ""))
    assert len(lengths) == len(path) and sum(lengths.values()) <= promised <= 2300, lengths
    assert path[:2] == ["energies/mlp.py", "density.py"]
    assert {"exact/gradient.py", "objectives/likelihood.py", "objectives/contrastive.py", "samplers/langevin.py"} <= set(path)


def test_the_citation_is_of_this_version():
    """Catches a version that was raised elsewhere only."""
    assert f"version = {{{te.__version__}}}" in README[README.index("## How to cite") :]


def test_pictures_have_alternative_text():
    """Fails if a figure says nothing to a reader who cannot see it."""
    for text in re.findall(r"!\[([^\]]*)\]", README):
        assert len(text) > 60
