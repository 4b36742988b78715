"""What users get wrong: one clear line on stderr, exit status 2, never a traceback."""

import os
import shlex
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tinyebm as te
from tinyebm.cli import commands
from tinyebm.cli import parser as cli
from tinyebm.storage.checkpoint import load_tree, save_tree
from tinyebm.storage.models import save_model
from tinyebm.storage.origin import origin

FILES = {"words.csv": "a,b\n1,2\n3,x\n", "ragged.csv": "a,b\n1,2\n3\n", "empty.csv": "", "header.csv": "a,b\n",
         "nan.csv": "1,2\nnan,3\n", "constant.csv": "1,5\n2,5\n3,5\n", "four.csv": "1,2,3,4\n2,3,4,6\n3,3,4,7\n9,8,1,2\n",
         "good.csv": "1,2\n3,5\n5,4\n2,2\n7,1\n", "text.npz": "hello", "null.npy": "", "a file": "",
         "thousand.csv": "1,2\n1_000,3\n", "other.csv": "a,b\n1,2\n3,5\n5,4\n2,2\n", "years.csv": "2019,2020\n1.5,2.5\n3.5,1.5\n",
         "swapped.csv": "b,a\n1,2\n3,5\n", "bits.csv": "a,b,c\n0,1,1\n1,1,0\n1,0,0\n0,0,1\n",
         "spins.csv": "a,b,c\n-1,1,1\n1,1,-1\n", "junk.npy": "\x93NUMPY\x01\x00\x0a\x00{'descr': (("}
FIT = "fit --data bimodal --hidden 2 --steps 4 --batch-size 8"
COMPARE = "compare --data bimodal --hidden 2 --steps 4 --batch-size 8"

MISTAKES = [  # a command line, and what its message must hold, / between phrases
    ("", "required: command"),
    ("trian", "invalid choice: 'trian'"),
    ("plott", "invalid choice: 'plott' / did you mean 'plot'?"),
    ("fit --stepz 3", "unrecognized arguments: --stepz 3: did you mean '--steps'?"),
    ("fit --activation tanhh", "--activation: / did you mean 'tanh'?"),
    ("fit --energy rmb", "--energy: / did you mean 'rbm'?"),
    ("compare --data bimodal --methods mle,cd10", "unknown method 'cd10': did you mean 'cd-10'?"),
    ("compare --data bimodal --methods mle,mle", "methods is a list of names / none twice"),
    ("compare --seeds 0", "--seeds / 0 is not at least 1"),
    ("compare --workers 0.5", "--workers / '0.5' is not an integer"),
    ("compare --data bimodal --seeds 2 --seconds 3", "--seconds is for one seed"),
    ("fit --frobnicate 3", "unrecognized arguments: --frobnicate 3"),
    ("fit --data two_mons", "unknown data set 'two_mons': did you mean 'two_moons'?"),
    ("fit --data nowhere.csv", "nowhere.csv / No such file"),
    ("fit --data folder.csv", "folder.csv / directory"),
    ("fit --data words.csv", "words.csv, line 3, column 2: 'x' is not a finite number"),
    ("fit --data ragged.csv", "ragged.csv, line 3: 1 entries, but the first has 2"),
    ("fit --data empty.csv", "empty.csv / no rows"),
    ("fit --data header.csv", "header.csv / no rows"),
    ("fit --data nan.csv", "nan.csv, line 2, column 1: 'nan' is not a finite number"),
    ("fit --data constant.csv", "column 2 / constant?"),
    ("fit --data null.npy", "cannot read null.npy"),
    ("fit --data table.xlsx", "unknown data set 'table.xlsx' / .csv or .npy"),
    ("fit --data four.csv --hidden 2", "dim <= 3 / dim 4"),
    ("fit --data good.csv --method cd-x", "unknown method 'cd-x' / cd-10"),
    (f"{COMPARE} --methods mle,nce", "unknown method 'nce' / cd-10"),
    (f"{COMPARE} --methods mle,", "unknown method ''"),
    ("fit --steps -5", "--steps: -5 is not at least 1"),
    ("fit --steps 0", "--steps: 0 is not at least 1"),
    ("fit --steps 1e3", "--steps: '1e3' is not an integer"),
    ("fit --steps", "--steps: expected one argument"),
    ("compare --batch-size 0", "--batch-size: 0 is not at least 1"),
    ("fit --learning-rate 0", "--learning-rate: 0 is not above 0"),
    ("fit --learning-rate fast", "'fast' is not a number"),
    ("fit --learning-rate nan", "--learning-rate: nan"),
    ("fit --step-size inf", "--step-size: inf"),
    ("fit --hidden 8,x", "--hidden: / integers separated by commas / 64,64 / '8,x'"),
    ("fit --hidden 8,0", "--hidden: / widths are positive / '8,0'"),
    ("fit --hidden 10000000,10000000 --data bimodal", "Unable to allocate"),
    ("fit --activation gelu", "--activation: / invalid choice: 'gelu' / silu"),
    ("fit --confinement -1", "--confinement: -1 is not at least 0"),
    (f"{FIT} --confinement 0 --method mle --seed 5", "Z is infinite / confinement"),
    (f"{FIT} --ema 1.5", "ema must be in [0, 1), got 1.5"),
    ("fit --seed -1", "--seed: -1 is not at least 0"),
    (f"{FIT} --step-size 1e300 --method cd-10", "update 1: the gradient is not finite / step_size"),
    (f"{FIT} --learning-rate 1e300 --method cd-1", "the gradient is not finite / learning rate"),
    (f"{FIT} --out 'a file'", "a file"),
    (f"{FIT} --out 'a file/below'", "a file/below"),
    (f"{COMPARE} --out 'a file'", "a file"),
    (f"{FIT} --out run --resume --seed 1", "run/checkpoint.npz / another run / seed / 0, not 1"),
    (f"{FIT} --out run --resume --hidden 3", "run/checkpoint.npz / another run / energy"),
    (f"{FIT} --out run --resume --step-size 0.5", "run/checkpoint.npz / another run / objective"),
    (f"{FIT} --out damaged --resume", "damaged/checkpoint.npz is truncated or damaged"),
    ("sample", "required: model"),
    ("sample nowhere.npz", "nowhere.npz / No such file"),
    ("sample text.npz", "text.npz is not a tinyebm checkpoint"),
    ("sample cut.npz", "cut.npz is truncated or damaged"),
    ("sample folder.csv", "folder.csv is not a tinyebm checkpoint or model, but a folder"),
    ("sample run/checkpoint.npz", "run/checkpoint.npz is a checkpoint of a run, not a model"),
    ("sample stranger.npz", "stranger.npz / Transformer"),
    ("sample model.npz -n 0", "-n: 0 is not at least 1"),
    ("sample model.npz -n 10000000000000", "Unable to allocate"),
    ("sample model.npz -n 5 --out folder.csv", "folder.csv / directory"),
    ("sample model.npz -n 5 --out nowhere/x.csv", "nowhere/x.csv"),
    ("evaluate model.npz --rtol 2", "rtol must be between 0 and 1, got 2.0"),
    ("evaluate model.npz --rtol 0", "--rtol: 0 is not above 0"),
    ("evaluate model.npz --data rings", "2 columns / dimension 1"),
    ("evaluate model.npz --data good.csv", "2 columns / dimension 1"),
    ("evaluate table.npz --data other.csv --raw", "table.npz is of standardised columns: leave --raw out"),
    ("plot table.npz --raw", "table.npz is of standardised columns: leave --raw out"),
    ("evaluate table.npz --data swapped.csv", "swapped does not have the columns of the model, a, b: it has them in another order"),
    ("plot table.npz --data bits.csv", "bits does not have the columns of the model, a, b: it has 'c'"),
    ("evaluate table.npz --data two_moons", "standardised columns of other.csv / two_moons has units of its own / --raw"),
    ("evaluate bits.npz --data spins.csv", "spins: row 1 is [-1.0, 1.0, 1.0], no state of Bits(dim=3)"),
    ("fit --data years.csv", "years.csv, line 1: 2019, 2020 may be names / --header yes or no"),
    ("fit --data years.csv --header maybe", "yes or no, not 'maybe'"),
    ("fit --data other.csv --space bits", "other: row 1 is [1.0, 2.0], no state of Bits(dim=2)"),
    ("fit --data two_moons --space bits", "two_moons has one"),
    ("fit --space cells", "invalid choice: 'cells'"),
    ("fit --data other.csv --energy rbm", "'rbm' is for bits"),
    ("evaluate model.npz --out folder.csv", "folder.csv / must end in .json"),
    ("evaluate model.npz --out nowhere/x.json", "there is no folder nowhere"),
    ("sample model.npz --out x.txt", "must end in .csv or .npy"),
    ("fit --data bimodal --out good.csv", "good.csv is a file"),
    ("fit --data bimodal --out fresh --resume", "there is no fresh/checkpoint.npz to resume from"),
    ("fit --data good.csv --energy rbm", "'rbm' / for bits"),
    ("fit --data bars_and_stripes --hidden 4,4", "one hidden layer"),
    ("fit --data bars_and_stripes --energy boltzmann --hidden 4", "a Boltzmann machine has no hidden layer"),
    (f"{COMPARE} --methods cd-1 --step-size 1e300 --out hopeless", "every method failed: cd-1: update 1"),
    (f"{FIT} --method lbfgs --resume", "--resume goes on with updates, and lbfgs makes none"),
    (f"{FIT} --out ''", "--out: the folder has no name"),
    ("plot model.npz --out ''", "must end in .png"),
    ("sample model.npz -n 5 --out subfolder.npy", "subfolder.npy / directory"),
    ("fit --data thousand.csv", "thousand.csv, line 2, column 1: '1_000' is not a finite number"),
    ("fit --data junk.npy", "cannot read junk.npy"),
    ("compare --data bars_and_stripes --methods mle,cd-x", "unknown method 'cd-x' / pl"),
    ("plot model.npz --data two_moons", "2 columns / dimension 1"),
    ("plot model.npz --out model.xyz", "xyz / supported / png"),
    ("plot model.npz --out nowhere/x.png", "nowhere/x.png"),
    ("plot wide.npz", "dim 1 and 2, not 3"),
    ("sample 'no\nfile'", "No such file"),
    ("fit --steps 'a\nb'", "is not an integer"),
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with good and bad files."""
    folder = tmp_path_factory.mktemp("workshop")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="latin-1")
    (folder / "folder.csv").mkdir()
    (folder / "subfolder.npy").mkdir()
    net, wide = te.MLP((1, 2, 1), confinement=1.0), te.GaussianEnergy(3)
    save_model(folder / "model.npz", te.Density(net, net.init(np.random.default_rng(0)), te.Reals(1)))
    save_model(folder / "wide.npz", te.Density(wide, wide.init(np.random.default_rng(0)), te.Reals(3)))
    plane, rbm = te.GaussianEnergy(2), te.RBM(3, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for energy, data, space in ((plane, "other.csv", te.Reals(2)), (rbm, "bits.csv", te.Bits(3))):
            p = te.Density(energy, energy.init(np.random.default_rng(0)), space)
            save_model("table.npz" if energy is plane else "bits.npz", p, **origin(te.datasets.load(data)))
    save_tree(folder / "stranger.npz", {}, energy={"kind": "Transformer"}, space={"kind": "Reals", "dim": 1})
    (folder / "cut.npz").write_bytes((folder / "model.npz").read_bytes()[:-300])
    (folder / "damaged").mkdir()
    (folder / "damaged" / "checkpoint.npz").write_bytes(b"PK")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tinyebm(f"{FIT} --method cd-1 --out run") == 0
    plt.close("all")
    return folder


def tinyebm(line):
    """The exit status of a command line."""
    try:
        return cli.main(shlex.split(line))
    except SystemExit as left:  # argparse's way
        return left.code


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line(workshop, monkeypatch, capsys, line, words):
    """Catches a traceback, a warning or a usage above the message, a message that does not say what is wrong, status 0."""
    monkeypatch.chdir(workshop)
    if "--resume" in line and "--method" not in line:
        line += " --method cd-1"
    assert tinyebm(line) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("tinyebm") and ": error: " in error, error
    assert all(word.lower() in error.lower() for word in words.split(" / ")), error


def test_mistakes_are_found_before_the_work(workshop, monkeypatch, capsys):
    """Catches a folder that turns out not to be one after half an hour of training."""
    monkeypatch.chdir(workshop)
    monkeypatch.setattr(commands, "compare", pytest.fail)
    assert tinyebm(f"{COMPARE} --out 'a file'") == 2


@pytest.mark.parametrize("command", ["compare", "fit"])
def test_ctrl_c(workshop, monkeypatch, capsys, command):
    """Catches a traceback after Ctrl-C, and status 0 for half the work."""
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(workshop)
    monkeypatch.setattr(commands, command, interrupted)
    assert tinyebm(f"{command} --data bimodal --out interrupted") == 130
    assert capsys.readouterr().err == f"\ntinyebm {command}: interrupted\n"


INTERRUPTED = """
import signal, sys
import tinyebm as te
from tinyebm.cli import parser as cli
updates, gradient = iter(range(10**9)), te.ContrastiveDivergence.gradient
def interrupted(*arguments):
    if next(updates) == 30:
        signal.raise_signal(signal.SIGINT)
    return gradient(*arguments)
te.ContrastiveDivergence.gradient = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a background job's children would ignore
sys.exit(cli.main(sys.argv[1:]))
"""


def test_ctrl_c_in_a_terminal(tmp_path):
    """A signal in the 31st update: status 130, one line, and a checkpoint that `--resume` goes on from.

    Catches an hour that is lost, and a traceback.
    """
    line = ["fit", "--data", "bimodal", "--hidden", "2", "--method", "cd-1", "--out", "run", "--steps", "2000"]
    run = subprocess.run([sys.executable, "-c", INTERRUPTED, *line], cwd=tmp_path, capture_output=True, text=True)
    assert run.stderr == f"\ntinyebm fit: interrupted: go on with --resume from {os.path.join('run', 'checkpoint.npz')}\n"
    assert run.returncode == 130

    assert load_tree(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 30  # no log point yet
    line[-1] = "35"
    subprocess.run([sys.executable, "-m", "tinyebm", *line, "--resume"], cwd=tmp_path, check=True, capture_output=True)
    assert load_tree(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 35


LIMITED = """
import resource, signal, sys
from tinyebm.cli import parser as cli
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # bytes of a file: the disk is full
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
@pytest.mark.parametrize("line", [f"{FIT} --method cd-1 --out run", f"{COMPARE} --methods cd-1 --out compared",
                                  "sample model.npz --out draws.csv", "sample model.npz --out draws.npy",
                                  "plot model.npz --out model.png"])  # fmt: skip
def test_a_full_disk(workshop, line):
    """Every file ends after 100 bytes.  Catches a traceback, a file cut short, and an old result that is lost."""
    for name in ("draws.csv", "draws.npy", "model.png"):
        (workshop / name).write_bytes(b"old")
    before = {path: path.read_bytes() for path in workshop.rglob("*") if path.is_file()}
    run = subprocess.run([sys.executable, "-c", LIMITED, *shlex.split(line)], cwd=workshop, capture_output=True, text=True)

    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "File too large" in run.stderr, run.stderr
    assert {path: path.read_bytes() for path in workshop.rglob("*") if path.is_file()} == before


def test_the_last_word_is_not_a_warning(workshop, monkeypatch, capsys, recwarn):
    """Catches NumPy's warnings of an overflow above the message that says the same in words."""
    monkeypatch.chdir(workshop)
    for change in ("--step-size 1e300 --method cd-10", "--step-size 1e200 --method pcd-3", "--learning-rate 1e300"):
        assert tinyebm(f"{FIT} {change}") == 2
    assert not recwarn.list
