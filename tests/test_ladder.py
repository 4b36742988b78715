"""The package is a ladder of rooms: imports go down, and each outside library has one door.

The rules are a function of {path: source}, so that packages which break them can be made up here.
"""

import ast
import pathlib
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

import tinyebm

RANKS = {  # rooms, and the files that stand alone
    "version": 0,
    "common": 0,
    "autodiff": 1,
    "replay": 2,
    "spaces": 3,
    "energies": 4,
    "density": 5,
    "exact": 6,
    "samplers": 7,
    "datasets": 7,
    "storage": 8,
    "objectives": 9,
    "diagnostics": 9,
    "plots": 10,
    "training": 10,
    "experiment": 11,
    "cli": 12,
    "__main__": 13,
}
DOORS = {"cupy": "common/backend.py", "threadpoolctl": "replay/blas.py", "matplotlib": "plots.py", "argparse": "cli/parser.py",
         "scipy": "training/optimize.py"}
WELCOME = {"numpy", *sys.stdlib_module_names} - set(DOORS)


def room(path):
    """The room of a file: its first folder, or the file itself."""
    return path.partition("/")[0].removesuffix(".py")


def imports(path, source):
    """Absolute dotted names of what a file imports, in functions too."""
    here = ["tinyebm", *pathlib.PurePosixPath(path).parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = here[: len(here) + 1 - node.level] if node.level else []
            module = [node.module] if node.module else []
            yield from (".".join([*parents, *module, alias.name]) for alias in node.names)


def file_of(name, sources):
    """The file a name is from, or None: tinyebm.exact.partition.log_prob -> exact/partition.py."""
    _, *parts = name.split(".")
    paths = ["/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1)]
    return next((path for path in paths if path in sources), None)


def violations(sources):
    """What breaks the ladder, in words.  A page (`__init__.py`) may import from its own folder; the package's, from anywhere."""
    files = {path: source for path, source in sources.items() if path != "__init__.py"}
    yield from (f"{path} has no rank" for path in files if room(path) not in RANKS)
    within = {}  # file -> files of its room that it imports

    for path, source in sources.items():
        for name in imports(path, source):
            top = name.partition(".")[0]
            if top != "tinyebm" and top not in WELCOME and DOORS.get(top) != path:
                yield f"{path} imports {top}, whose door is {DOORS.get(top, 'nowhere')}"

    for path, source in files.items():
        for name in imports(path, source):
            other = file_of(name, files)
            if name.partition(".")[0] != "tinyebm" or room(path) not in RANKS:
                continue
            if other is None:
                yield f"{path} imports {name}: import from the file where it is written"
            elif room(other) == "replay" != room(path) and other != "replay/door.py":
                yield f"{path} imports {other}: the door to replay is replay/door.py"
            elif room(other) == room(path):
                within.setdefault(path, set()).add(other)
            elif path.endswith("__init__.py"):
                yield f"{path} imports {other}, of another room"
            elif room(other) in RANKS and RANKS[room(other)] >= RANKS[room(path)]:
                yield f"{path} (rank {RANKS[room(path)]}) imports {other} (rank {RANKS[room(other)]})"

    try:
        TopologicalSorter(within).prepare()
    except CycleError as error:
        yield f"files import each other: {' <- '.join(error.args[1])}"


def test_tinyebm_is_a_ladder():
    root = pathlib.Path(tinyebm.__file__).parent
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}

    assert list(violations(sources)) == []


def test_few_rooms():
    """Fails if a module lies beside the rooms."""
    root = pathlib.Path(tinyebm.__file__).parent

    assert len([path for path in root.iterdir() if path.name != "__pycache__"]) <= 20


# A package of empty files to climb about in.
PACKAGE = dict.fromkeys(
    ["__init__.py", "common/backend.py", "autodiff/ops.py", "autodiff/tape.py", "spaces/__init__.py", "spaces/continuous.py",
     "energies/rbm.py", "energies/mlp.py", "density.py", "exact/__init__.py", "exact/partition.py", "exact/sampling.py",
     "exact/gradient.py", "exact/nodes/peaks.py",
     "replay/plans.py", "replay/door.py", "plots.py", "samplers/metropolis.py", "samplers/hmc.py",
     "training/optimize.py", "cli/parser.py"], "")  # fmt: skip


@pytest.mark.parametrize("path, source", [
    ("__init__.py", "from tinyebm.cli.parser import main\nfrom tinyebm.autodiff import ops"),
    ("exact/__init__.py", "from .sampling import sample"),
    ("exact/gradient.py", "from tinyebm.exact.partition import log_partition"),
    ("exact/gradient.py", "from .partition import log_prob\nfrom ..density import Density\nfrom ..autodiff import ops"),
    ("exact/gradient.py", "from tinyebm.exact import partition\nimport tinyebm.spaces.continuous as spaces"),
    ("exact/partition.py", "from tinyebm.exact.nodes.peaks import climb\nfrom tinyebm.replay.door import by_rows"),
    ("replay/door.py", "from tinyebm.replay.plans import plan"),
    ("samplers/hmc.py", "from tinyebm.samplers.metropolis import accept"),
    ("cli/parser.py", "import argparse, concurrent.futures\nfrom tinyebm import plots\nimport numpy.linalg"),
    ("training/optimize.py", "from scipy.optimize import minimize"),
    ("common/backend.py", "def f():\n    import cupy.random"),
    ("energies/new_sibling.py", "from tinyebm.autodiff.ops import *"),
    ("exact/new_sibling.py", "# import tinyebm.cli.parser"),
])  # fmt: skip
def test_what_the_ladder_allows(path, source):
    assert list(violations({**PACKAGE, path: source})) == []


@pytest.mark.parametrize("path, source, complaint", [
    ("autodiff/ops.py", "from tinyebm.density import score", "autodiff/ops.py (rank 1) imports density.py (rank 5)"),
    ("autodiff/ops.py", "from tinyebm import density", "imports density.py"),
    ("autodiff/ops.py", "import tinyebm.density as d", "imports density.py"),
    ("autodiff/ops.py", "import numpy, tinyebm.density", "imports density.py"),
    ("autodiff/ops.py", "from ..density import score", "imports density.py"),
    ("autodiff/ops.py", "from .. import density", "imports density.py"),
    ("autodiff/ops.py", "from tinyebm.density import *", "imports density.py"),
    ("autodiff/ops.py", "def f():\n    from tinyebm.density import score", "imports density.py"),
    ("samplers/metropolis.py", "from ..training import optimize", "imports training/optimize.py"),
    ("spaces/continuous.py", "from tinyebm.energies.rbm import RBM", "(rank 3) imports energies/rbm.py (rank 4)"),
    ("spaces/__init__.py", "from tinyebm.autodiff.ops import exp", "imports autodiff/ops.py, of another room"),
    ("exact/partition.py", "from tinyebm.replay.plans import plan", "the door to replay is replay/door.py"),
    ("plots.py", "from tinyebm import grad", "imports tinyebm.grad: import from the file"),
    ("plots.py", "import tinyebm as te", "imports tinyebm: import from the file"),
    ("plots.py", "from tinyebm.spaces import Reals", "imports tinyebm.spaces.Reals: import from the file"),
    ("surprise.py", "", "surprise.py has no rank"),
    ("surprise/deep.py", "", "surprise/deep.py has no rank"),
    ("density.py", "import cupy", "density.py imports cupy, whose door is common/backend.py"),
    ("density.py", "from scipy.special import logsumexp", "imports scipy, whose door is training/optimize.py"),
    ("cli/parser.py", "import matplotlib.pyplot as plt", "imports matplotlib, whose door is plots.py"),
    ("samplers/plots.py", "import matplotlib", "imports matplotlib, whose door is plots.py"),
    ("plots.py", "from argparse import ArgumentParser", "imports argparse, whose door is cli/parser.py"),
    ("__init__.py", "import scipy", "__init__.py imports scipy"),
    ("autodiff/ops.py", "import torch", "imports torch, whose door is nowhere"),
])  # fmt: skip
def test_what_the_ladder_forbids(path, source, complaint):
    """Catches a checker that passes everything: each of these packages has one fault."""
    [found] = violations({**PACKAGE, path: source})

    assert complaint in found


def test_files_of_a_room_do_not_import_each_other():
    """Catches a cycle within a room, of which ranks of rooms know nothing."""
    cycle = {"exact/partition.py": "from tinyebm.exact.gradient import loss", "exact/gradient.py": "from . import partition"}
    [found] = violations({**PACKAGE, **cycle})

    assert found.startswith("files import each other: exact/")
