"""Notebooks from their sources: `python tutorials/build.py [01 05 ...]`, all of them by default.

A source `NN_name.py` is in percent format (`# %%` begins a cell, `# %% [markdown]` a text).  Its cells are run here, in one
process, and written with what they print and show to `NN_name.ipynb`: the same source gives the same file, with the same
versions of NumPy and matplotlib.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import sys
import time
import warnings
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
LARGEST = 400_000  # bytes of a notebook


class Cell(NamedTuple):
    """A cell of a source."""

    kind: str  # "markdown", "code"
    exercise: str | None  # the exercise that it asks
    varies: bool  # marked `# %% varies`: what it prints depends on how a processor rounds
    line: int  # where it begins in its file
    source: str


def cells_of(path):
    """The cells of a percent file."""
    cells, (before, *blocks) = [], re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    _require(all(line.startswith("#") for line in before.split("\n") if line), path, 1, "there is code before the first cell")
    line = before.count("\n") + 1
    for block in blocks:
        head, _, body = block.partition("\n")
        text, found = "[markdown]" in head, re.search(r'ex="([^"]+)"', head)
        code = [row for row in body.split("\n") if row and not row.startswith("#")]
        _require(not (text and code), path, line, "there is code in a text cell")
        _require(text or code, path, line, "this cell has comments only: is [markdown] missing?")
        if text:
            body = "\n".join(re.sub("^# ?", "", row) for row in body.split("\n"))
        cells.append(Cell("markdown" if text else "code", found and found[1], "varies" in head, line + 1, body.strip("\n")))
        line += block.count("\n")
    return cells


def _require(true, path, line, wanted):
    if not true:
        raise SystemExit(f"{path}, line {line}: {wanted}")


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
    """Run the source of a cell; what it shows, as outputs of a notebook.  The value of a last expression is shown, too."""
    import course
    import matplotlib.pyplot as plt

    def display(png, alt, caption):
        image = {"image/png": base64.b64encode(png).decode(), "text/plain": f"<figure: {alt}>"}
        words = {"text/markdown": course.emphasised(caption), "text/plain": caption}
        outputs.append({"output_type": "display_data", "metadata": {"image/png": {"alt": alt}}, "data": image})
        outputs.append({"output_type": "display_data", "metadata": {}, "data": words})

    outputs, course.display, complaints = [], display, io.StringIO()
    tree = ast.parse("\n" * (line - 1) + source, str(path))
    quiet = not isinstance(tree.body[-1], ast.Expr) or source.rstrip().endswith(";")
    last = None if quiet else ast.Expression(tree.body.pop().value)
    with contextlib.redirect_stdout(_Printed(outputs)), contextlib.redirect_stderr(complaints), warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(tree, str(path), "exec"), names)
        value = None if last is None else eval(compile(last, str(path), "eval"), names)
    if value is not None:
        outputs.append({"output_type": "execute_result", "metadata": {}, "data": {"text/plain": repr(value)}})
    _require(not complaints.getvalue(), path, line, f"the cell writes to stderr: {complaints.getvalue()}")
    _require(" at 0x" not in repr(value), path, line, f"the cell shows an address, {value!r}: end it with a semicolon")
    _require(not plt.get_fignums(), path, line, "the cell leaves a figure open: end it with show(figure, caption, alt)")
    return outputs


def notebook(cells, path="<cell>"):
    """The notebook of some cells, run in order, as what JSON can hold."""
    names, written, count = {"__name__": "__main__"}, [], 0
    for i, cell in enumerate(cells):
        title = cell.kind == "markdown" and re.match("##? ", cell.source)
        about = {"slideshow": {"slide_type": "slide"}} if title else {}
        written.append({"cell_type": cell.kind, "id": f"c{i:03d}", "metadata": about, "source": _lines(cell.source)})
        if cell.kind == "code":
            count += 1
            outputs = run(cell.source, names, path, cell.line)
            for output in outputs:
                if "text" in output:
                    output["text"] = _lines(output["text"])
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
            written[-1] |= {"execution_count": count, "outputs": outputs}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": written, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4,
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
    """The source of an exercise's cell with an answer in place of the dots."""
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
    folder.mkdir(parents=True, exist_ok=True)
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
        cells = [cell._replace(source=answered(cell, right[cell.exercise])) if cell.exercise else cell for cell in cells]
    text = json.dumps(notebook(cells, path), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if len(text.encode()) > LARGEST:
        raise SystemExit(f"{len(text.encode())} bytes are more than {LARGEST}: fewer or smaller figures")
    (folder / path.name).with_suffix(".ipynb").write_text(text, encoding="utf-8")
    print(f"{len(text) // 1000} kB, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.path.insert(0, str(HERE))
    main()
