"""Notebooks from their sources: `python tutorials/build.py [01 05 ...]`, all of them by default.

A source `NN_name.py` is in percent format (`# %%` begins a cell, `# %% [markdown]` a text).  Its cells are run here, in one
process, and written with what they print and show to `NN_name.ipynb`: the same source gives the same file, with the same
versions of NumPy and Matplotlib on the same kind of processor.
"""

import argparse
import ast
import base64
import contextlib
import importlib
import io
import json
import os
import pathlib
import re
import shutil
import time
import warnings
from typing import NamedTuple
from unittest import mock

HERE = pathlib.Path(__file__).parent
LARGEST = 400_000  # bytes of a notebook
MARKS = re.compile(r'( \[markdown\]| varies| ex="([^"]+)"|)')  # what may stand after `# %%`


class Cell(NamedTuple):
    """A cell of a source."""

    kind: str  # "markdown", "code"
    exercise: str | None  # the exercise that it asks
    varies: bool  # marked `# %% varies`: what it prints depends on how a processor rounds
    line: int  # where it begins in its file
    source: str


def cells_of(path):
    """The cells of a percent file.  Stops at code before the first cell or in a text, at a cell of comments, at unknown marks."""
    cells, (before, *blocks) = [], re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    _require(all(line.startswith("#") for line in before.split("\n") if line), path, 1, "there is code before the first cell")
    line = before.count("\n") + 1
    for block in blocks:
        head, _, body = block.partition("\n")
        marks = MARKS.fullmatch(head)
        _require(marks, path, line, f"unknown marks{head}")
        text = marks[1] == " [markdown]"
        code = [row for row in body.split("\n") if row and not row.startswith("#")]
        _require(not (text and code), path, line, "there is code in a text cell")
        _require(text or code, path, line, "this cell has comments only: is [markdown] missing?")
        if text:
            body = "\n".join(re.sub("^# ?", "", row) for row in body.split("\n"))
        first = line + 1 + len(body) - len(body.lstrip("\n"))
        cells.append(Cell("markdown" if text else "code", marks[2], marks[1] == " varies", first, body.strip("\n")))
        line += block.count("\n")
    return cells


def _require(holds, path, line, complaint):
    """Stop, naming the line, unless it holds."""
    if not holds:
        raise SystemExit(f"{path}, line {line}: {complaint}")


class _Printed(io.TextIOBase):
    """Standard output that notes what is printed between images."""

    def __init__(self, outputs):
        self.outputs = outputs

    def write(self, text):
        last = self.outputs[-1] if self.outputs else {}
        if last.get("output_type") == "stream":
            last["text"] += text
        else:
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": text})
        return len(text)


def run(source, names, path="<cell>", line=1):
    """Run the source of a cell; what it prints and shows, as outputs of a notebook.

    Warnings that a notebook would show raise.  Stops at what would be lost or would differ from run to run: text on
    stderr, the value of a last expression, an address, a figure that is left open.
    """
    import matplotlib.pyplot as plt

    import course

    def display(png, alt, caption):
        image = {"image/png": base64.b64encode(png).decode(), "text/plain": f"<figure: {alt}>"}
        words = {"text/markdown": course.under(caption, alt), "text/plain": caption}
        outputs.append({"output_type": "display_data", "metadata": {"image/png": {"alt": alt}}, "data": image})
        outputs.append({"output_type": "display_data", "metadata": {}, "data": words})

    outputs, complaints = [], io.StringIO()
    tree = ast.parse("\n" * (line - 1) + source, str(path))
    last = ast.Expression(tree.body.pop().value if isinstance(tree.body[-1], ast.Expr) else ast.Constant(None))
    with (contextlib.redirect_stdout(_Printed(outputs)), contextlib.redirect_stderr(complaints), warnings.catch_warnings(),
          mock.patch.object(course, "display", display)):  # fmt: skip
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of one library to another: nobody sees it in a notebook
        warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
        exec(compile(tree, str(path), "exec"), names)
        value = eval(compile(ast.fix_missing_locations(last), str(path), "eval"), names)
    _require(value is None, path, line, "the cell ends with a value: end it with print or show")
    _require(not complaints.getvalue(), path, line, f"the cell writes to stderr: {complaints.getvalue()}")
    _require(not any(" at 0x" in output.get("text", "") for output in outputs), path, line, "the cell prints an address")
    _require(not plt.get_fignums(), path, line, "the cell leaves a figure open: end it with show(figure, caption, alt)")
    return outputs


def notebook(sources, path="<cell>"):
    """The notebook of some cells, run in order, as what JSON can hold."""
    import matplotlib.pyplot as plt

    importlib.import_module("course")  # its style, before what this notebook does to it
    names, cells, count = {"__name__": "__main__"}, [], 0
    with plt.rc_context():
        for i, cell in enumerate(sources):
            titled = cell.kind == "markdown" and re.match("##? ", cell.source)
            slide = {"slideshow": {"slide_type": "slide" if titled else "subslide"}} if titled or cell.kind == "code" else {}
            cells.append({"cell_type": cell.kind, "id": f"c{i:03d}", "metadata": slide, "source": _lines(cell.source)})
            if cell.kind == "code":
                count += 1
                outputs = run(cell.source, names, path, cell.line)
                outputs = [output | {"text": _lines(output["text"])} if "text" in output else output for output in outputs]
                cells[-1] |= {"execution_count": count, "outputs": outputs}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4,
            "nbformat_minor": 5}


def _lines(text):
    return text.splitlines(keepends=True)


def solutions_of(path):
    """{exercise: solution} of a notebook's source, and {exercise: [wrong answers]}."""
    right, wrong = {}, {}
    for cell in cells_of(HERE / "solutions" / f"{path.name[:2]}.py"):
        exercise, _, mark = cell.exercise.partition(" ")
        if mark:
            wrong.setdefault(exercise, []).append(cell.source)
        else:
            right[exercise] = cell.source
    return right, wrong


def answered(cell, answer):
    """The source of an exercise's cell, `name = ...` and its check, with an answer in place of the first."""
    return f"{answer}\n\n{cell.source.splitlines()[-1]}"


def main(argv=None):
    """Build the notebooks whose numbers are wanted; say how long each took."""
    sources = {path.name[:2]: path for path in sorted(HERE.glob("[0-9][0-9]_*.py"))}
    parser = argparse.ArgumentParser(description="Run the sources of the course, and write its notebooks.")
    parser.add_argument("numbers", nargs="*", metavar="NN", help=f"which: {', '.join(sources)}; all by default")
    parser.add_argument("--solved", metavar="FOLDER", type=pathlib.Path, help="write them there, with the solutions in place")
    parser.add_argument("--figures", metavar="FOLDER", type=pathlib.Path, help="write their figures there, too, as PDF")
    asked = parser.parse_args(argv)
    if unknown := [number for number in asked.numbers if number not in sources]:
        parser.error(f"there is no notebook {', '.join(unknown)}: they are {', '.join(sources)}")
    folder = (asked.solved or HERE).resolve()
    if asked.solved:  # a notebook imports course/, which lies beside it
        if folder == HERE.resolve():
            parser.error("--solved would write over the notebooks: give it another folder")
        shutil.copytree(HERE / "course", folder / "course", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    import course

    if asked.figures:
        course.FIGURES = asked.figures.resolve()
        course.FIGURES.mkdir(parents=True, exist_ok=True)
    os.chdir(HERE)
    for number in asked.numbers or sources:
        _build(sources[number], folder, asked.solved)


def _build(path, folder, solved):
    print(f"{path.stem}: ", end="", flush=True)
    began, cells = time.monotonic(), cells_of(path)
    if solved:
        right, _ = solutions_of(path)
        for cell in cells:
            _require(not cell.exercise or cell.exercise in right, path, cell.line, f"exercise {cell.exercise} has no solution")
        cells = [cell._replace(source=answered(cell, right[cell.exercise])) if cell.exercise else cell for cell in cells]
    text = json.dumps(notebook(cells, path), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    _require(len(text.encode()) <= LARGEST, path, 1, f"the notebook has {len(text.encode())} bytes, more than {LARGEST}")
    (folder / path.name).with_suffix(".ipynb").write_text(text, encoding="utf-8")
    print(f"{len(text) // 1000} kB, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small
    os.environ.setdefault("MPLBACKEND", "Agg")
    main()
