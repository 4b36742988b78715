"""Notebooks from their sources: `python tutorials/build.py [01 05 ...]`, all of them by default.

A source `NN_name.py` is in percent format (`# %%` begins a cell, `# %% [markdown]` a text).  Its cells are run here, in one
process, and written with what they print and show to `NN_name.ipynb`: the same source gives the same file.
"""

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
    """A cell of a source: text or code, and the exercise it asks or checks."""

    kind: str  # "markdown", "code"
    exercise: str | None
    source: str


def cells_of(path):
    """The cells of a percent file."""
    cells = []
    for block in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        found = re.search(r'ex="([^"]+)"', head)
        body = body.strip("\n")
        if "[markdown]" in head:
            body = "\n".join(re.sub("^# ?", "", line) for line in body.splitlines())
        cells.append(Cell("markdown" if "[markdown]" in head else "code", found and found[1], body))
    return cells


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


def run(source, names):
    """Run the source of a cell; what it shows, as outputs of a notebook.  The value of a last expression is shown, too."""
    import course

    def display(png, alt):
        data = {"image/png": base64.b64encode(png).decode(), "text/plain": f"<figure: {alt}>"}
        outputs.append({"output_type": "display_data", "metadata": {"image/png": {"alt": alt}}, "data": data})

    outputs, tree, course.display = [], ast.parse(source), display
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(_Printed(outputs)), warnings.catch_warnings():
        warnings.simplefilter("error")  # a notebook has nothing on stderr
        exec(compile(tree, "<cell>", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    if value is not None:
        outputs.append({"output_type": "execute_result", "metadata": {}, "data": {"text/plain": repr(value)}})
    return outputs


def notebook(cells):
    """The notebook of some cells, run in order, as what JSON can hold."""
    names, written, count = {"__name__": "__main__"}, [], 0
    for i, cell in enumerate(cells):
        written.append({"cell_type": cell.kind, "id": f"c{i:03d}", "metadata": {}, "source": _lines(cell.source)})
        if cell.kind == "code":
            count += 1
            outputs = run(cell.source, names)
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


def main(wanted):
    """Build the notebooks whose numbers are wanted, or all; say how long each took."""
    sys.path.insert(0, str(HERE))
    os.chdir(HERE)
    for path in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if wanted and path.name[:2] not in wanted:
            continue
        began = time.monotonic()
        text = json.dumps(notebook(cells_of(path)), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        if len(text.encode()) > LARGEST:
            raise SystemExit(f"{path.stem} has {len(text.encode())} bytes, more than {LARGEST}: fewer or smaller figures")
        path.with_suffix(".ipynb").write_text(text, encoding="utf-8")
        print(f"{path.stem}: {len(text) // 1000} kB, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small
    os.environ.setdefault("MPLBACKEND", "Agg")
    main(sys.argv[1:])
