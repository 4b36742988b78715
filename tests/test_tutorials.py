"""The notebooks: each runs from top to bottom, its exercises are checked rightly, and the built file is that of its source."""

import json
import pathlib
import re
import sys

import matplotlib.pyplot as plt
import pytest

TUTORIALS = pathlib.Path(__file__).parent.parent / "tutorials"
SOURCES = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
WEB = re.compile(r"https?://")


SMALL = """# %% [markdown]
# # A title
# text

# %%
import matplotlib.pyplot as plt
from course import show

figure, ax = plt.subplots()
ax.plot([0, 1])
print("before")
show(figure, "Figure 0.1: a line.", alt="A line.")
6 * 7
"""


@pytest.fixture
def build(monkeypatch):
    """The builder, in the folder where notebooks are run."""
    monkeypatch.syspath_prepend(str(TUTORIALS))
    monkeypatch.chdir(TUTORIALS)
    with plt.rc_context():
        import build

        yield build
    for name in [name for name in sys.modules if name == "build" or name.split(".")[0] == "course"]:
        del sys.modules[name]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_runs_and_its_exercises_are_checked(build, source):
    """Unsolved, every check says so; a wrong answer never passes; the solution does.  What a notebook claims, it asserts."""
    solutions = {cell.exercise: cell.source for cell in build.cells_of(TUTORIALS / "solutions" / f"{source.name[:2]}.py")}
    names, asked = {"__name__": "__main__"}, []
    for cell in build.cells_of(source):
        said = printed(build.run(cell.source, names)) if cell.kind == "code" else ""
        if not cell.exercise:
            assert "] Exercise " not in said
            continue
        asked.append(cell.exercise)
        assert said == f"[ ] Exercise {cell.exercise}: not attempted yet\n"
        check = cell.source.splitlines()[-1]
        for answer, mark in ((f"{cell.exercise} wrong", "[!]"), (cell.exercise, "[x]")):
            said = printed(build.run(f"{solutions[answer]}\n\n{check}", dict(names)))
            assert said.startswith(f"{mark} Exercise {cell.exercise}: "), (answer, said)
    assert 3 <= len(asked) <= 4 and set(solutions) == {*asked, *(f"{exercise} wrong" for exercise in asked)}


def printed(outputs):
    """What a cell prints."""
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_built_notebook_is_in_step(build, source):
    """Same cells as the source, outputs without errors, a caption and words for every figure, no downloads, not too large.

    Catches a notebook that was not built again, and a figure that says nothing to who cannot see it.
    """
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    built = json.loads(text)["cells"]
    cells = build.cells_of(source)
    assert [("".join(cell["source"]), cell["cell_type"], cell["id"]) for cell in built] == [
        (cell.source, cell.kind, f"c{i:03d}") for i, cell in enumerate(cells)]
    assert len(text.encode()) <= build.LARGEST and len(cells) <= 30 and not WEB.search("".join(cell.source for cell in cells))

    figures = [(cell, i) for cell in built for i, output in enumerate(cell.get("outputs", ()))
               if output["output_type"] == "display_data"]  # fmt: skip
    assert 2 <= len(figures) <= 8
    for number, (cell, i) in enumerate(figures, 1):
        words = cell["outputs"][i]["metadata"]["image/png"]["alt"]
        caption = "".join(cell["outputs"][i + 1]["text"])
        assert len(words) > 40 and caption.startswith(f"Figure {int(source.name[:2])}.{number}: "), caption
    kinds = {output["output_type"] for cell in built for output in cell.get("outputs", ())}
    assert kinds <= {"stream", "display_data", "execute_result"}


def test_what_is_built_twice_is_the_same(build, tmp_path):
    """Catches time stamps, random identifiers and the names of programs in a built notebook."""
    source = tmp_path / "00_small.py"
    source.write_text(SMALL)
    first, second = (json.dumps(build.notebook(build.cells_of(source))) for _ in range(2))
    outputs = json.loads(first)["cells"][1]["outputs"]

    kinds = [output["output_type"] for output in outputs]
    assert first == second and kinds == ["stream", "display_data", "stream", "execute_result"]
    assert outputs[0]["text"] == ["before\n"] and outputs[3]["data"] == {"text/plain": "42"}
    assert json.loads(first)["cells"][0]["source"] == ["# A title\n", "text"]
