"""What the notebooks stand on: their builder, figures that are shown, checks that help, and the animations."""

import base64
import json
import math
import shutil
import sys
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest

from conftest import TUTORIALS

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
print("after")
"""



def test_what_is_built_twice_is_the_same(build, tmp_path):
    """Catches time stamps, random identifiers and the names of programs in a built notebook."""
    source = tmp_path / "00_small.py"
    source.write_text(SMALL)
    first, second = (json.dumps(build.notebook(build.cells_of(source))) for _ in range(2))
    cells = json.loads(first)["cells"]
    outputs = cells[1]["outputs"]

    kinds = [output["output_type"] for output in outputs]
    assert first == second and kinds == ["stream", "display_data", "display_data", "stream"]
    assert outputs[0]["text"] == ["before\n"] and outputs[3]["text"] == ["after\n"]
    assert outputs[1]["metadata"] == {"image/png": {"alt": "A line."}}
    assert b"Software" not in base64.b64decode(outputs[1]["data"]["image/png"])
    under = r"*Figure 0.1: a \*line\*.*" + "\n\n<details><summary>In words</summary>A line.</details>"
    assert outputs[2]["data"] == {"text/markdown": under, "text/plain": "Figure 0.1: a *line*."}
    assert cells[0]["source"] == ["# A title\n", "text"] and cells[0]["metadata"] == {"slideshow": {"slide_type": "slide"}}
    assert cells[1]["metadata"] == {"slideshow": {"slide_type": "subslide"}} and cells[1]["execution_count"] == 1


def test_a_notebook_leaves_nothing_behind(build):
    """Catches a style, or a way of showing, that goes on into the next notebook."""
    import course

    before = course.display, plt.rcParams["font.size"]
    style = build.Cell("code", None, False, 1, "import matplotlib.pyplot as plt\nplt.rcParams['font.size'] = 30\nprint(1)")
    build.notebook([style])
    assert (course.display, plt.rcParams["font.size"]) == before


@pytest.mark.parametrize(("text", "wanted"), [
    ("import os\n# %%\n1\n", "line 1: there is code before the first cell"),
    ("# Words.\n# %%\n1\n# %% [markdown]\nx = 3\n", "line 4: there is code in a text cell"),
    ("# %%\n# only words\n", r"line 1: this cell has comments only: is \[markdown\] missing\?"),
    ("# %%\n1\n# %% vareis\n2\n", "line 3: unknown marks vareis"), ("# %% ex='1.1'\n1\n", "line 1: unknown marks ex='1.1'"),
])
def test_a_source_that_says_nothing_is_refused(build, tmp_path, text, wanted):
    """Catches cells that vanish, and text that becomes code."""
    (tmp_path / "00.py").write_text(text)
    with pytest.raises(SystemExit, match=wanted):
        build.cells_of(tmp_path / "00.py")


@pytest.mark.parametrize(("source", "wanted"), [
    ("import sys\nprint('oh', file=sys.stderr)", "the cell writes to stderr: oh"),
    ("import matplotlib.pyplot as plt\nfigure = plt.figure()", "leaves a figure open: end it with show"),
    ("print(object())", "the cell prints an address"), ("6 * 7", "the cell ends with a value: end it with print or show"),
])
def test_an_output_that_is_lost_is_refused(build, source, wanted):
    """Catches figures that nobody shows, and notebooks that differ from run to run."""
    with pytest.raises(SystemExit, match=wanted):
        build.run(source, {})
    plt.close("all")


def test_errors_name_the_line_of_the_source(build, tmp_path):
    """And a warning is an error.  Catches a traceback that speaks of "<cell>", line 1."""
    source = tmp_path / "00_wrong.py"
    source.write_text(SMALL + "\n# %% varies\n\n1 / 0\n")
    cells = build.cells_of(source)
    assert [cell.varies for cell in cells] == [False, False, True]
    with pytest.raises(ZeroDivisionError) as caught:
        build.notebook(cells, source)
    last = caught.traceback[-1]
    assert str(last.path) == str(source) and last.lineno + 1 == SMALL.count("\n") + 4
    for kind in ("UserWarning", "DeprecationWarning"):
        with pytest.raises(Warning, match="old"):
            build.run(f"import warnings; warnings.warn('old', {kind})", {"__name__": "__main__"})
    build.run("import warnings; warnings.warn_explicit('theirs', DeprecationWarning, 'lib.py', 1, module='lib')", {})


def test_the_command_builds_what_is_asked_for(build, tmp_path, capsys, monkeypatch):
    """One of the sources, with its answers and figures, in another folder.  Catches a filter that is silent on a wrong name."""
    (tmp_path / "course" / "solutions").mkdir(parents=True)
    shutil.copytree(TUTORIALS / "course", tmp_path / "course" / "course", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "course" / "01_small.py").write_text(SMALL + '\n# %% ex="1.2"\nx = ...\n\ncheck("1.2", x)\n')
    (tmp_path / "course" / "02_other.py").write_text(SMALL)
    (tmp_path / "course" / "solutions" / "01.py").write_text('# %% ex="1.2"\nfrom course import check\nx = -5.0\n')
    monkeypatch.setattr(build, "HERE", tmp_path / "course")

    with pytest.raises(SystemExit):
        build.main(["03"])
    assert "there is no notebook 03: they are 01, 02" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        build.main(["01", "--solved", str(tmp_path / "course")])
    monkeypatch.chdir(tmp_path)
    build.main(["01", "--solved", "out", "--figures", "pdf"])
    assert capsys.readouterr().out.startswith("01_small: ")
    found = sorted(path.name for path in tmp_path.glob("*/*.*"))
    assert found == ["01_small.ipynb", "01_small.py", "02_other.py", "figure-0-1.pdf"]
    assert (tmp_path / "out" / "course" / "__init__.py").exists()  # or it does not run
    assert b"CreationDate" not in (tmp_path / "pdf" / "figure-0-1.pdf").read_bytes()
    last = json.loads((tmp_path / "out" / "01_small.ipynb").read_text())["cells"][-1]
    assert last["outputs"][0]["text"] == ["[x] Exercise 1.2: right\n"]
    build.main(["02"])
    assert (tmp_path / "course" / "02_other.ipynb").exists() and not (tmp_path / "course" / "01_small.ipynb").exists()

    monkeypatch.setattr(build, "LARGEST", 10)
    with pytest.raises(SystemExit, match="bytes, more than 10"):
        build.main(["01"])
    assert not (tmp_path / "course" / "01_small.ipynb").exists()


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
    under = r"*Figure 0.1: p\_θ.*" + "\n\n<details><summary>In words</summary>Nothing yet.</details>"
    assert shown == [("image", b"PNG", "Nothing yet."), ("markdown", under)]
    words = course.under(r"a*b_c`d$e<f>\g", "x < y")
    assert words.startswith(r"*a\*b\_c\`d\$e\<f\>\\g*") and "x &lt; y" in words

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None, display=display))
    course.show(plt.figure(), "Figure 0.2: no kernel.", alt="")
    monkeypatch.setitem(sys.modules, "IPython", None)
    course.show(plt.figure(), "Figure 0.3: no IPython.", alt="")
    assert len(shown) == 2


@pytest.mark.parametrize(("exercise", "answer", "said"), [
    ("1.2", [-5.0], "right"), ("1.2", -5, "right"), ("1.2", "-5", "one real number is wanted, not '-5'"),
    ("1.2", lambda: -5, "one real number is wanted, not <function"), ("1.2", None, "None came back: is a return missing?"),
    ("1.2", 5.0, "the other sign"), ("1.2", -5.1, "not yet: -5.1 is not the value"), ("1.4", 0.3, "a function is wanted"),
    ("1.4", lambda weights: min(0.0, -weights[0].sum()), "the least growth is"),
    ("2.2", " <= ", "right"), ("2.2", "≤", "answer with one of '<=', '>='"), ("3.2", "Sigmoid", "right"),
    ("3.2", "tanh", "answer with one of 'square root', 'silu'"), ("3.2", "silu", "not silu"),
    ("4.2", [0, 0.511, 0.916], "right"), ("4.2", [1.0, 1.511, 1.916], "set the first to 0"), ("5.2", 0.002, "answer with one of"),
    ("5.3", 8e5, "the other way round"), ("6.2", lambda k: k, "one real number"), ("3.4", True, "one real number"),
    ("1.1", math.log(2 * math.gamma(1.25)), "that is log Z"), ("1.3", 0.348, "not yet"), ("1.3", 0.6931, "√2"),
    ("1.4", lambda weights: [W.fill(0) for W in weights] and 0.0, "the least growth is"),
    ("2.1", 3.3, "right"), ("2.1", 3.41, "not yet"), ("2.4", 1e4, "whose standard deviation is its mean"),
    ("2.3", lambda x: -(x**2) + 0.01, "at x = 0.3"), ("2.3", lambda x: -0.3 * abs(x), "at x = -1.2"),
    ("2.3", lambda: 0, "could not use the answer (TypeError"), ("3.1", lambda a: 7, "return a Node"),
    ("3.3", lambda energy, x: 0.0, "of shape (5,)"), ("3.4", 0.999, "not yet"),
    ("4.2", np.array([0, 0.511, 0.916]), "right"), ("4.2", "0,1,2", "three numbers are wanted"),
    ("5.1", lambda s, e, k: 2 * e * (1 - (1 - e) ** (2 * k)) / (1 - (1 - e) ** 2), "for s = 2.0"),
    ("5.1", lambda s, e, k: 1.001 * 2 * e * sum((1 - e / s**2) ** (2 * i) for i in range(k)), "for s = 1.0"),
    ("5.2", 0.001, "a larger one will do"), ("5.3", 1.26e-6, "not yet"), ("6.1", 1 / 401.1, "turn it over"),
    ("7.1", 19, "count the loan"), ("7.2", 4.0, "at its worst"), ("7.2", 0.7, "answer with one of"),
])  # fmt: skip
def test_checks_help(build, capsys, exercise, answer, said):
    """Right answers in other forms pass, and wrong ones hear something of use."""
    from course import check

    check(exercise, answer)
    assert said in capsys.readouterr().out
    with pytest.raises(ImportError):
        check("99.1", answer)


def test_the_animations_draw(build, monkeypatch, tmp_path):
    """Two frames of each film, after few updates, written in full.  Catches a script that no longer runs."""
    import animations

    monkeypatch.setattr(animations, "FIGURES", tmp_path)
    monkeypatch.setattr(animations, "HELD", 0)
    for make in (animations.hero, animations.tug_of_war):
        animations.write(make.__name__, lambda figure, make=make: make(figure, updates=2), 6.0, 3.0)
        assert plt.imread(tmp_path / f"{make.__name__}.png").std() > 0.05
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hero.gif", "hero.png", "tug_of_war.gif", "tug_of_war.png"]
    with pytest.raises(SystemExit):
        animations.main(["nope"])
