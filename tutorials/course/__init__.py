"""What the notebooks share: a style, figures that say what they show, exercises that are checked.

    from course import check, show
"""

import html
import importlib
import io
import re

import matplotlib.pyplot as plt

from tinyebm import plots

DATA, MODEL, SAMPLES, EXACT, OTHER, BLACK = plots.BLUE, plots.VERMILION, plots.GREEN, plots.PURPLE, plots.ORANGE, plots.BLACK
DASHES = plots.DASHES[:6]  # lines differ without their colours, too
FIGURES = None  # a folder: every figure is written there, too, as PDF

plt.rcParams.update({
    "figure.figsize": (7.5, 3.2), "figure.dpi": 80, "figure.constrained_layout.use": True, "font.size": 11, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "image.cmap": "cividis", "lines.linewidth": 1.8, "legend.frameon": False,
    "axes.prop_cycle": plt.cycler(color=[DATA, MODEL, SAMPLES, EXACT, OTHER, BLACK], linestyle=DASHES)})  # fmt: skip


def show(figure, caption, alt):
    """Display a figure with its caption below; `alt` says in words what is to be seen."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=80, metadata={"Software": None})  # no stamp: the same figure is the same file
    if FIGURES:
        name = re.sub(r"\W+", "-", caption.partition(":")[0].lower())  # figure-3-2
        figure.savefig(FIGURES / f"{name}.pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})
    plt.close(figure)
    display(png.getvalue(), alt, caption)


def display(png, alt, caption):
    """Show an image and what stands below it in the notebook; nowhere else is there a place for them.

    `build.py` has its own way.
    """
    try:
        from IPython import get_ipython
        from IPython.display import Image, Markdown
        from IPython.display import display as shown
    except ImportError:
        return
    if get_ipython() is not None:
        shown(Image(png, alt=alt))
        shown(Markdown(under(caption, alt)))


def under(caption, alt):
    """What stands below a figure, in Markdown: the caption, and the figure in words, for those who cannot see it."""
    letters = re.sub(r"([\\*_`$<>])", r"\\\1", caption)  # what would be a sign is a letter
    return f"*{letters}*\n\n<details><summary>In words</summary>{html.escape(alt, quote=False)}</details>"


def check(exercise, answer):
    """Say whether an answer is right; the truth is computed when it is asked for."""
    number = int(exercise.partition(".")[0])
    judge = importlib.import_module(f"course.checks{number:02d}").CHECKS[exercise]
    if answer is ...:
        print(f"[ ] Exercise {exercise}: not attempted yet")
        return
    try:
        said = judge(answer)
    except ValueError as error:
        said = str(error)
    except Exception as error:  # whatever a wrong answer makes of it
        said = f"the check could not use the answer ({type(error).__name__}: {error})"
    print(f"[x] Exercise {exercise}: right" if said is None else f"[!] Exercise {exercise}: {said}")
