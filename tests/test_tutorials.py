"""The notebooks: each runs from top to bottom, its exercises are checked rightly, and the built file is that of its source."""

import ast
import base64
import importlib
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from conftest import TUTORIALS

SOURCES = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
WEB = re.compile(r"https?://")
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


# ---------------------------------------------------------------------- they run

@each_source
def test_it_runs_and_says_what_its_file_says(build, source):
    """Every claim holds, and the outputs are those of the built notebook: the same words, pictures that look alike, and numbers
    that differ by rounding at most.  An exercise says that nothing was attempted, passes no wrong answer, and passes the right one,
    with which the rest runs on to the same outputs.  Catches a name that an answer takes away, or that only an answer brings.
    """
    built = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    right, wrong = build.solutions_of(source)
    names, brought, asked = {"__name__": "__main__"}, set(), []
    for cell, stored in zip(build.cells_of(source), built, strict=True):
        if cell.kind != "code":
            continue
        assert not brought & used(cell.source)
        if not cell.exercise:
            outputs = build.run(cell.source, names, source, cell.line)
            assert_same(outputs, stored["outputs"], cell.varies)
            assert "] Exercise " not in printed(outputs)
            continue
        asked.append(cell.exercise)
        unsolved = dict(names)
        outputs = build.run(cell.source, unsolved, source, cell.line)
        assert_same(outputs, stored["outputs"], cell.varies)
        assert printed(outputs) == f"[ ] Exercise {cell.exercise}: not attempted yet\n"
        for answer in wrong[cell.exercise]:
            said = printed(build.run(build.answered(cell, answer), dict(names)))
            assert said.startswith(f"[!] Exercise {cell.exercise}: ") and "could not use" not in said, (answer, said)
        said = printed(build.run(build.answered(cell, right[cell.exercise]), names))
        assert said == f"[x] Exercise {cell.exercise}: right\n"
        brought |= names.keys() - unsolved.keys()
    assert asked == list(right) == list(wrong) and 3 <= len(asked) <= 4


def used(source):
    """The names in a piece of code."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def printed(outputs):
    """What a cell prints."""
    return "".join(output.get("text", "") for output in outputs)


def assert_same(fresh, stored, varies):
    """Fresh outputs against stored ones."""
    assert [output["output_type"] for output in fresh] == [output["output_type"] for output in stored]
    for a, b in zip(fresh, stored, strict=True):
        assert a.get("metadata") == b.get("metadata") and a.get("name") == b.get("name")
        assert a.get("data", {}).keys() == b.get("data", {}).keys()
        words = [(a.get("text", ""), "".join(b.get("text", "")))]
        words += [(a["data"][kind], b["data"][kind]) for kind in a.get("data", {}) if kind != "image/png"]
        for one, other in words:
            assert_same_words(one, other, varies)
        if "image/png" in a.get("data", {}):
            one, other = picture(a), picture(b)
            assert one.shape == other.shape
            assert varies or np.abs(one - other).mean() < 0.03  # 0.023 between Matplotlib 3.8 and 3.11


def assert_same_words(fresh, stored, varies):
    """The same but for numbers, and these are near: to a thousandth, or one in their last digit (below 1e-6 all is rounding)."""
    layout = lambda text: re.sub(r" +", " ", NUMBER.sub("#", text))
    assert layout(fresh) == layout(stored)
    for one, other in zip(*(() if varies else (NUMBER.findall(fresh), NUMBER.findall(stored))), strict=True):
        a, b = (float(number.replace("−", "-")) for number in (one, other))
        assert abs(a - b) <= 1e-6 + 1e-3 * abs(a) + last_digit(one), (one, other)


def last_digit(number):
    """One in the last digit of a printed number: 0.01 of 9.75."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])) if "." in digits or exponent else 0.0


def picture(output, side=16):
    """The mean colours of the blocks of an image, (rows, columns, 3)."""
    pixels = plt.imread(io.BytesIO(base64.b64decode(output["data"]["image/png"])))[..., :3]
    rows, columns = (n // side for n in pixels.shape[:2])
    return pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).mean(axis=(1, 3))


# ---------------------------------------------------------------------- the files

@each_source
def test_the_built_notebook_is_in_step(build, source):
    """Same cells as the source, a caption and words for every figure, no downloads, not too large or too wide.

    Catches a notebook that was not built again, and a figure that says nothing to who cannot see it.
    """
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    whole, cells = json.loads(text), build.cells_of(source)
    built = whole.pop("cells")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert whole == {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}}
    assert [("".join(cell["source"]), cell["cell_type"], cell["id"]) for cell in built] == [
        (cell.source, cell.kind, f"c{i:03d}") for i, cell in enumerate(cells)]
    code = "\n".join(cell.source for cell in cells if cell.kind == "code")
    assert len(text.encode()) <= build.LARGEST and len(cells) <= 30 and not WEB.search(code)
    assert max(map(len, code.split("\n"))) <= 100  # what a page shows

    figures = [cell["outputs"][i : i + 2] for cell in built for i, output in enumerate(cell.get("outputs", ()))
               if "image/png" in output.get("data", {})]  # fmt: skip
    assert 2 <= len(figures) <= 8
    for number, (image, caption) in enumerate(figures, 1):
        alt, words = image["metadata"]["image/png"]["alt"], caption["data"]["text/plain"]
        assert len(set(alt.split())) > 8 and words.startswith(f"Figure {int(source.name[:2])}.{number}: "), words
    counts = [cell["execution_count"] for cell in built if cell["cell_type"] == "code"]
    streams = {output["name"] for cell in built for output in cell.get("outputs", ()) if output["output_type"] == "stream"}
    assert counts == list(range(1, len(counts) + 1)) and streams == {"stdout"}


def test_every_notebook_is_whole(build):
    """A source, a notebook, solutions, checks, and a row in the table for each.  Catches one that was lost, or left over."""
    numbers = [path.name[:2] for path in SOURCES]
    assert [path.stem for path in sorted(TUTORIALS.glob("*.ipynb"))] == [path.stem for path in SOURCES]
    assert [path.stem for path in sorted((TUTORIALS / "solutions").glob("*.py"))] == numbers
    modules = {path.name for path in (TUTORIALS / "course").glob("*.py")}
    assert modules == {"__init__.py", "near.py", *(f"checks{number}.py" for number in numbers)}
    readme = (TUTORIALS / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \[(\d\d)\]\((\S+)\.ipynb\) \| ([^|]+) \|", readme, re.MULTILINE)
    assert table == [(path.name[:2], path.stem, build.cells_of(path)[0].source.split("\n")[0][5:]) for path in SOURCES]
    for path in SOURCES:
        checks = importlib.import_module(f"course.checks{path.name[:2]}").CHECKS
        assert list(checks) == [cell.exercise for cell in build.cells_of(path) if cell.exercise]
    figures = re.findall(r"figures/([\w.]+)", readme + (TUTORIALS.parent / "README.md").read_text(encoding="utf-8"))
    assert {path.name for path in (TUTORIALS / "figures").iterdir()} == set(figures)


def test_links_lead_somewhere(build):
    """Every relative link of the course.  Catches a notebook that points to one that was renamed."""
    texts = {TUTORIALS / "README.md": (TUTORIALS / "README.md").read_text(encoding="utf-8")}
    texts |= {path: "\n".join(cell.source for cell in build.cells_of(path) if cell.kind == "markdown") for path in SOURCES}
    links = [(path, link) for path, text in texts.items() for link in re.findall(r"\]\(([^)\s]+)\)", text) if not WEB.match(link)]
    assert len(links) >= 2 * len(SOURCES)
    assert [link for path, link in links if not (path.parent / link).exists()] == []
