"""The notebooks: each runs from top to bottom, its exercises are checked rightly, and the built file is that of its source."""

import base64
import io
import json
import pathlib
import re
import sys
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest

TUTORIALS = pathlib.Path(__file__).parent.parent / "tutorials"
SOURCES = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
WEB = re.compile(r"https?://")
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)

SMALL = """# %% [markdown]
# # A title
# text

# %%
import matplotlib.pyplot as plt
from course import check, show

figure, ax = plt.subplots()
ax.plot([0, 1])
print("before")
show(figure, "Figure 0.1: a *line*.", alt="A line.")
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


# ---------------------------------------------------------------------- they run

@each_source
def test_it_runs_and_says_what_its_file_says(build, source):
    """Unsolved: every claim holds, every check says that nothing was attempted, wrong answers never pass, and the outputs
    are those of the built notebook: the same words, pictures of the same size, and numbers that differ by rounding at most."""
    built = [cell for cell in json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]]
    _, wrong = build.solutions_of(source)
    names, asked = {"__name__": "__main__"}, []
    for cell, stored in zip(build.cells_of(source), built, strict=True):
        if cell.kind != "code":
            continue
        outputs = build.run(cell.source, names, source, cell.line)
        assert_same(outputs, stored["outputs"], cell.varies)
        if not cell.exercise:
            assert "] Exercise " not in printed(outputs)
            continue
        asked.append(cell.exercise)
        assert printed(outputs) == f"[ ] Exercise {cell.exercise}: not attempted yet\n"
        for answer in wrong[cell.exercise]:
            said = printed(build.run(build.answered(cell, answer), dict(names)))
            assert said.startswith(f"[!] Exercise {cell.exercise}: ") and "could not use" not in said, (answer, said)
    assert 3 <= len(asked) <= 4


@each_source
def test_it_runs_with_its_solutions(build, source):
    """Solved: every check passes, and what comes after an answer still runs.  Catches a name that an answer takes away."""
    right, wrong = build.solutions_of(source)
    names, solved = {"__name__": "__main__"}, []
    for cell in build.cells_of(source):
        if cell.exercise:
            said = printed(build.run(build.answered(cell, right[cell.exercise]), names))
            assert said == f"[x] Exercise {cell.exercise}: right\n"
            solved.append(cell.exercise)
        elif cell.kind == "code":
            build.run(cell.source, names, source, cell.line)
    assert solved == list(right) == list(wrong)


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
            assert picture(a).shape == picture(b).shape and picture(b).std() > 0.01


def assert_same_words(fresh, stored, varies):
    """The same but for numbers, and these are near (those below 1e-6 are rounding)."""
    squeezed = lambda text: re.sub(r"\s+", " ", NUMBER.sub("#", text))
    assert squeezed(fresh) == squeezed(stored)
    if not varies:
        a, b = (np.array([float(n.replace("−", "-")) for n in NUMBER.findall(text)]) for text in (fresh, stored))
        np.testing.assert_allclose(a, b, rtol=0.02, atol=1e-3)


def picture(output):
    """The pixels of an image."""
    return plt.imread(io.BytesIO(base64.b64decode(output["data"]["image/png"])))


# ---------------------------------------------------------------------- the files

@each_source
def test_the_built_notebook_is_in_step(build, source):
    """Same cells as the source, a caption and words for every figure, no downloads, not too large or too wide.

    Catches a notebook that was not built again, and a figure that says nothing to who cannot see it.
    """
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    built, cells = json.loads(text)["cells"], build.cells_of(source)
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
    from course.checks import CHECKS

    numbers = [path.name[:2] for path in SOURCES]
    assert [path.stem for path in sorted(TUTORIALS.glob("*.ipynb"))] == [path.stem for path in SOURCES]
    assert [path.stem for path in sorted((TUTORIALS / "solutions").glob("*.py"))] == numbers
    assert [path.stem[-2:] for path in sorted((TUTORIALS / "course").glob("checks[0-9]*.py"))] == numbers
    table = re.findall(r"^\| \[(\d\d)\]\((\S+)\.ipynb\)", (TUTORIALS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert table == [(path.name[:2], path.stem) for path in SOURCES]
    assert list(CHECKS) == [cell.exercise for path in SOURCES for cell in build.cells_of(path) if cell.exercise]


def test_links_lead_somewhere(build):
    """Every relative link of the course.  Catches a notebook that points to one that was renamed."""
    texts = {TUTORIALS / "README.md": (TUTORIALS / "README.md").read_text(encoding="utf-8")}
    texts |= {path: "\n".join(cell.source for cell in build.cells_of(path) if cell.kind == "markdown") for path in SOURCES}
    links = [(path, link) for path, text in texts.items() for link in re.findall(r"\]\(([^)\s]+)\)", text) if not WEB.match(link)]
    assert len(links) >= 2 * len(SOURCES)
    assert [link for path, link in links if not (path.parent / link).exists()] == []


# ---------------------------------------------------------------------- the builder

def test_what_is_built_twice_is_the_same(build, tmp_path):
    """Catches time stamps, random identifiers and the names of programs in a built notebook."""
    source = tmp_path / "00_small.py"
    source.write_text(SMALL)
    first, second = (json.dumps(build.notebook(build.cells_of(source))) for _ in range(2))
    cells = json.loads(first)["cells"]
    outputs = cells[1]["outputs"]

    kinds = [output["output_type"] for output in outputs]
    assert first == second and kinds == ["stream", "display_data", "display_data", "execute_result"]
    assert outputs[0]["text"] == ["before\n"] and outputs[3]["data"] == {"text/plain": "42"}
    assert outputs[2]["data"] == {"text/markdown": r"*Figure 0.1: a \*line\*.*", "text/plain": "Figure 0.1: a *line*."}
    assert cells[0]["source"] == ["# A title\n", "text"] and cells[0]["metadata"] == {"slideshow": {"slide_type": "slide"}}


@pytest.mark.parametrize(("text", "wanted"), [
    ("import os\n# %%\n1\n", "line 1: there is code before the first cell"),
    ("# Words.\n# %%\n1\n# %% [markdown]\nx = 3\n", "line 4: there is code in a text cell"),
    ("# %%\n# only words\n", r"line 1: this cell has comments only: is \[markdown\] missing\?"),
])
def test_a_source_that_says_nothing_is_refused(build, tmp_path, text, wanted):
    """Catches cells that vanish, and text that becomes code."""
    (tmp_path / "00.py").write_text(text)
    with pytest.raises(SystemExit, match=wanted):
        build.cells_of(tmp_path / "00.py")


@pytest.mark.parametrize(("source", "wanted"), [
    ("import sys\nprint('oh', file=sys.stderr)", "the cell writes to stderr: oh"),
    ("import matplotlib.pyplot as plt\nfigure = plt.figure()", "leaves a figure open: end it with show"),
    ("object()", "the cell shows an address"),
])
def test_an_output_that_is_lost_is_refused(build, source, wanted):
    """Catches figures that nobody shows, and notebooks that differ from run to run."""
    with pytest.raises(SystemExit, match=wanted):
        build.run(source, {})
    plt.close("all")


def test_errors_name_the_line_of_the_source(build, tmp_path):
    """And a semicolon hides a value, as in Jupyter.  Catches a traceback that speaks of "<cell>", line 1."""
    source = tmp_path / "00_wrong.py"
    source.write_text(SMALL + "1 + 1;\n\n# %%\n1 / 0\n")
    assert len(build.run(build.cells_of(source)[1].source, {})) == 3
    with pytest.raises(ZeroDivisionError) as caught:
        build.notebook(build.cells_of(source), source)
    last = caught.traceback[-1]
    assert str(last.path) == str(source) and last.lineno + 1 == SMALL.count("\n") + 4


def test_the_command_builds_what_is_asked_for(build, tmp_path, capsys, monkeypatch):
    """One of the sources, with its answers and figures, in another folder.  Catches a filter that is silent on a wrong name."""
    (tmp_path / "course" / "solutions").mkdir(parents=True)
    (tmp_path / "course" / "01_small.py").write_text(SMALL + '\n# %% ex="1.2"\nx = ...\n\ncheck("1.2", x)\n')
    (tmp_path / "course" / "02_other.py").write_text(SMALL)
    (tmp_path / "course" / "solutions" / "01.py").write_text('# %% ex="1.2"\nfrom course import check\nx = -5.0\n')
    monkeypatch.setattr(build, "HERE", tmp_path / "course")

    with pytest.raises(SystemExit):
        build.main(["03"])
    assert "there is no notebook 03: they are 01, 02" in capsys.readouterr().err
    build.main(["01", "--solved", str(tmp_path / "out"), "--figures", str(tmp_path / "pdf")])
    assert capsys.readouterr().out.startswith("01_small: ")
    found = sorted(path.name for path in tmp_path.glob("*/*.*"))
    assert found == ["01_small.ipynb", "01_small.py", "02_other.py", "figure-0-1.pdf"]
    last = json.loads((tmp_path / "out" / "01_small.ipynb").read_text())["cells"][-1]
    assert last["outputs"][0]["text"] == ["[x] Exercise 1.2: right\n"]
    build.main([])
    assert (tmp_path / "course" / "02_other.ipynb").exists()


def test_figures_are_shown_in_jupyter(build, monkeypatch):
    """With a stand-in for IPython: the image with its words, then the caption.  Catches a figure that nobody sees there."""
    import course

    shown = []
    display = types.SimpleNamespace(display=shown.append, Image=lambda png, alt: ("image", png[1:4], alt),
                                    Markdown=lambda text: ("markdown", text))  # fmt: skip
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=object, display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    figure, _ = plt.subplots()
    course.show(figure, "Figure 0.1: p_θ.", alt="Nothing yet.")
    assert shown == [("image", b"PNG", "Nothing yet."), ("markdown", r"*Figure 0.1: p\_θ.*")]


@pytest.mark.parametrize(("exercise", "answer", "said"), [
    ("1.2", [-5.0], "right"), ("1.2", -5, "right"), ("1.2", "-5", "one real number is wanted, not '-5'"),
    ("1.2", lambda: -5, "one real number is wanted, not <function"), ("1.2", None, "None came back: is a return missing?"),
    ("1.2", 5.0, "the other sign"), ("1.2", -5.1, "not yet: -5.1 is not the value"), ("1.4", 0.3, "a function is wanted"),
    ("1.4", lambda weights: min(0.0, -weights[0].sum()), "the least growth is"),
    ("2.2", " <= ", "right"), ("2.2", "≤", "answer with one of '<=', '>='"), ("3.2", "Sigmoid", "right"),
    ("3.2", "tanh", "answer with one of 'square root', 'silu'"), ("3.2", "silu", "not silu"),
    ("4.2", [0, 0.511, 0.916], "right"), ("4.2", [1.0, 1.511, 1.916], "set the first to 0"), ("5.2", 0.002, "answer with one of"),
    ("5.3", 8e5, "explodes"), ("6.2", lambda k: k, "one real number"),
])  # fmt: skip
def test_checks_help(build, capsys, exercise, answer, said):
    """Right answers in other forms pass, and wrong ones hear something of use."""
    from course import check

    check(exercise, answer)
    assert said in capsys.readouterr().out
    with pytest.raises(KeyError):
        check("9.9", answer)
