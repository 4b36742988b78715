"""What users get wrong in Python: an exception of ours that says what is wanted, never a traceback from inside NumPy.

The table is in `mistakes.py`; the command line has its own, in `test_cli_mistakes.py`.
"""

import linecache
import os
import re
import traceback
from pathlib import Path

import numpy as np
import pytest

import mistakes
import tinyebm as te
from tinyebm import ops

ARGUMENTS = re.compile(r"\b(MLP|GaussianEnergy|RBM|Ising|Reals|Box|Bits|Spins|Cells|Gibbs)\([^()]*(\([^()]*\))?[^()]*\)")
HOME = str(Path(te.__file__).parent)
NO_MISTAKES = {"Estimate", "Fit", "Comparison", "Replicas", "Sweep", "DivergentPartitionError", "QuadratureError",  # come back
               "ConvergenceWarning", "stop_gradient", "DoubleWell", "Quartic", "Ring", "Banana", "RatioMatching",  # take nothing
               "Target", "Step", "Move", "Optimizer"}  # hold what they are given


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the calls of the table speak of."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, text in mistakes.FILES.items():
        (folder / name).write_text(text)
    (folder / "folder.csv").mkdir()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 2))
    nanx = np.where(np.arange(12).reshape(6, 2) == 5, np.nan, x)
    net, well, rbm, open_net = te.MLP((2, 4, 1), confinement=1.0), te.DoubleWell(), te.RBM(4, 2), te.MLP((2, 4, 1))
    theta = net.init(rng)
    started = lambda energy, space: te.Density(energy, energy.init(np.random.default_rng(0)), space)
    normal = lambda mean, precision: te.Density(
        te.GaussianEnergy(1), {"mean": np.array([mean]), "precision": np.array([[precision]])}, te.Reals(1))
    table_on = lambda space: te.Density(te.TabularEnergy(3), {"energy": np.zeros(3)}, space)
    ula = te.ULA(0.1)
    found = {
        "te": te, "np": np, "ops": ops, "rng": rng, "x": x, "nanx": nanx, "net": net, "theta": theta, "rbm": rbm,
        "p": te.Density(net, theta, te.Reals(2)), "q": started(well, te.Reals(1)), "b": started(rbm, te.Bits(4)),
        "wrong": [{"W": theta[0]["W"][:1], "b": theta[0]["b"]}, theta[1]],
        "nantheta": [{"W": theta[0]["W"] * np.nan, "b": theta[0]["b"]}, theta[1]],
        "bits": te.Bits(4).atoms()[0], "five": started(te.GaussianEnergy(5), te.Reals(5)), "unit": te.Box(0, 1, 1),
        "thirty": started(te.BoltzmannMachine(30), te.Bits(30)), "open_net": started(open_net, te.Reals(2)),
        "open_net_5": started(te.MLP((5, 4, 1)), te.Reals(5)), "normal": normal, "table_on": table_on,
        "table": table_on(te.Cells(3)), "ula": ula, "cd": te.ContrastiveDivergence(ula, 1),
        "gibbs_cd": te.ContrastiveDivergence(te.Gibbs(), 1), "law": te.Normal(np.zeros(2), np.eye(2)),
        "moons": te.datasets.load("two_moons"), "quick": {"steps": 2, "progress": False},
        "E": lambda f, space=None: te.Density(f, {}, space or te.Reals(2))}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        te.fit(net, x, objective=found["cd"], checkpoint="run.npz", **found["quick"])
        Path("cut.npz").write_bytes(Path("run.npz").read_bytes()[:-300])
        Path("flipped.npz").write_bytes(flipped(Path("run.npz").read_bytes()))
        np.save("objects.npy", np.array([None]), allow_pickle=True)
        np.save("cube.npy", np.zeros((2, 2, 2)))
        np.save("inf.npy", np.array([[1.0, np.inf]]))
        yield found


def flipped(content):
    """The bytes with one bit of an array turned over."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


ROWS = [line.split(" -> ", 1) for line in mistakes.CALLS.strip().splitlines() if line]


@pytest.mark.parametrize(("call", "words"), ROWS, ids=[call for call, _ in ROWS])
def test_a_mistake_is_explained(names, call, words):
    """Catches a mistake that goes unnoticed or unexplained, an error from inside NumPy or Python, and a file left behind.

    The words are those of the message, / between phrases, spaces and models by their names alone; of a ValueError, unless
    another name stands before them.
    """
    before = sorted(os.listdir())
    with pytest.raises(Exception) as caught:
        eval(call, dict(names))

    where = traceback.extract_tb(caught.tb)[-1]
    assert where.filename.startswith(HOME) and "raise " in linecache.getline(where.filename, where.lineno), where
    said = ARGUMENTS.sub(r"\1", f"{type(caught.value).__name__}: {caught.value}".removeprefix("ValueError: "))
    phrases = words.split(" / ")
    assert said.startswith(phrases[0]) and all(phrase in said for phrase in phrases[1:]), said
    assert "\n" not in str(caught.value).split(" not that of ")[0] and sorted(os.listdir()) == before


def test_no_name_is_missing():
    """Every public name that can be called wrongly is in the table.  Catches a new one that nobody tried to break."""
    public = {name for name, part in vars(te).items() if callable(part) and not name.startswith("_")}
    assert not {name for name in public - NO_MISTAKES if f"te.{name}(" not in mistakes.CALLS}
