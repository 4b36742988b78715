"""The package is a ladder: imports go down, siblings are strangers, and each outside library has one door.

The rules are a function of {path: source}, so that packages which break them can be made up here.
"""

import ast
import pathlib
import sys

import pytest

import tinyebm

RANKS = {  # a folder's line stands for every file in it that has none of its own
    "backend.py": 1,
    "checks.py": 0,
    "constants.py": 0,
    "tree.py": 0,
    "errors.py": 0,
    "files.py": 0,
    "estimate.py": 0,
    "grids.py": 1,
    "kinds.py": 0,
    "progress.py": 0,
    "readers.py": 0,
    "version.py": 0,
    "autodiff.py": 1,
    "checkpoint.py": 2,
    "forward.py": 2,
    "rows.py": 2,
    "ops.py": 2,
    "recession.py": 2,
    "replay/names.py": 0,
    "replay/normals.py": 0,
    "replay/blas.py": 0,
    "replay/graph.py": 0,
    "replay/values.py": 0,
    "replay/trace.py": 1,
    "replay/instructions.py": 1,
    "replay/program.py": 2,
    "replay/plans.py": 3,
    "replay/tiles.py": 4,
    "replay/chains.py": 5,
    "transfer.py": 3,
    "spaces.py": 3,
    "discrete.py": 3,
    "energies/": 4,
    "density.py": 5,
    "laws.py": 6,
    "exact/structure.py": 6,
    "exact/scans.py": 6,
    "exact/sums.py": 6,
    "exact/peaks.py": 6.5,
    "exact/window.py": 7,
    "exact/adapt.py": 7,
    "exact/means.py": 8,
    "exact/partition.py": 8,
    "exact/normalised.py": 9,
    "exact/likelihood.py": 9,
    "exact/": 10,
    "samplers/metropolis.py": 6,
    "samplers/flows.py": 6,
    "samplers/langevin.py": 7,
    "samplers/": 10,
    "toys.py": 10,
    "objectives/step.py": 6,
    "objectives/": 11,
    "objectives/neglected_term.py": 12,
    "diagnostics/": 11,
    "diagnostics/paths.py": 10,
    "targets.py": 11,
    "patterns.py": 11,
    "datasets.py": 12,
    "origin.py": 13,
    "optimize.py": 10,
    "watch.py": 7,
    "history.py": 10,
    "boxed_normal.py": 3,
    "train.py": 12,
    "models.py": 12,
    "plots.py": 12,
    "figures.py": 13,
    "report.py": 12,
    "maximum_likelihood.py": 13,
    "setups.py": 13,
    "judging.py": 13,
    "compare.py": 14,
    "start.py": 4,
    "sweeps.py": 1,
    "replicas.py": 15,
    "commands.py": 16,
    "cli.py": 17,
    "__main__.py": 18,
}
DOORS = {"cupy": "backend.py", "threadpoolctl": "replay/blas.py", "matplotlib": "plots.py", "argparse": "cli.py",
         "scipy": "optimize.py"}
WELCOME = {"numpy", *sys.stdlib_module_names} - set(DOORS)


def rank(path):
    """The rung of a file, or None."""
    return RANKS.get(path, RANKS.get(path.partition("/")[0] + "/"))


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
    """What breaks the ladder, in words; `__init__.py` re-exports, so only the doors bind it."""
    ranked = {path: source for path, source in sources.items() if not path.endswith("__init__.py")}
    yield from (f"{path} has no rank" for path in ranked if rank(path) is None)

    for path, source in sources.items():
        for name in imports(path, source):
            top = name.partition(".")[0]
            if top != "tinyebm" and top not in WELCOME and DOORS.get(top) != path:
                yield f"{path} imports {top}, whose door is {DOORS.get(top, 'nowhere')}"

    for path, source in ranked.items():
        for name in imports(path, source):
            other = file_of(name, ranked)
            if name.partition(".")[0] != "tinyebm" or rank(path) is None:
                continue
            if other is None:
                yield f"{path} imports {name}: import from the file where it is written"
            elif rank(other) is not None and rank(other) >= rank(path):
                yield f"{path} (rank {rank(path)}) imports {other} (rank {rank(other)})"


def test_tinyebm_is_a_ladder():
    root = pathlib.Path(tinyebm.__file__).parent
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}

    assert list(violations(sources)) == []


# A package of empty files to climb about in.
PACKAGE = dict.fromkeys(
    ["__init__.py", "backend.py", "ops.py", "spaces.py", "energies/rbm.py", "energies/mlp.py", "density.py",
     "exact/__init__.py", "exact/partition.py", "exact/sampling.py", "exact/gradient.py", "plots.py",
     "samplers/metropolis.py", "samplers/hmc.py", "optimize.py", "cli.py"], "")  # fmt: skip


@pytest.mark.parametrize("path, source", [
    ("__init__.py", "from tinyebm.cli import main\nfrom tinyebm import ops"),
    ("exact/__init__.py", "from .sampling import sample"),
    ("exact/gradient.py", "from tinyebm.exact.partition import log_partition"),
    ("exact/gradient.py", "from .partition import log_prob\nfrom ..density import Density\nfrom .. import ops"),
    ("exact/gradient.py", "from tinyebm.exact import partition\nimport tinyebm.spaces as spaces"),
    ("samplers/hmc.py", "from tinyebm.samplers.metropolis import accept"),
    ("cli.py", "import argparse, concurrent.futures\nfrom tinyebm import plots, ops\nimport numpy.linalg"),
    ("optimize.py", "from scipy.optimize import minimize"),
    ("backend.py", "def f():\n    import cupy.random"),
    ("energies/new_sibling.py", "from tinyebm.ops import *"),
    ("exact/new_sibling.py", "# import tinyebm.cli"),
])  # fmt: skip
def test_what_the_ladder_allows(path, source):
    assert list(violations({**PACKAGE, path: source})) == []


@pytest.mark.parametrize("path, source, complaint", [
    ("ops.py", "from tinyebm.density import score", "ops.py (rank 2) imports density.py (rank 5)"),
    ("ops.py", "from tinyebm import density", "imports density.py"),
    ("ops.py", "import tinyebm.density as d", "imports density.py"),
    ("ops.py", "import numpy, tinyebm.density", "imports density.py"),
    ("ops.py", "from .density import score", "imports density.py"),
    ("ops.py", "from . import backend, density", "imports density.py"),
    ("ops.py", "from tinyebm.density import *", "imports density.py"),
    ("ops.py", "def f():\n    from tinyebm.density import score", "imports density.py"),
    ("exact/partition.py", "from .gradient import loss", "imports exact/gradient.py"),
    ("exact/sampling.py", "from tinyebm.exact.gradient import loss", "(rank 10) imports exact/gradient.py (rank 10)"),
    ("exact/gradient.py", "from . import sampling", "imports exact/sampling.py"),
    ("samplers/metropolis.py", "from ..exact import partition", "imports exact/partition.py"),
    ("spaces.py", "from tinyebm.energies.rbm import RBM", "(rank 3) imports energies/rbm.py (rank 4)"),
    ("energies/rbm.py", "from tinyebm.energies.mlp import MLP", "imports energies/mlp.py"),
    ("plots.py", "from tinyebm import grad", "imports tinyebm.grad: import from the file"),
    ("plots.py", "import tinyebm as te", "imports tinyebm: import from the file"),
    ("plots.py", "from tinyebm.exact import sample", "imports tinyebm.exact.sample: import from the file"),
    ("surprise.py", "", "surprise.py has no rank"),
    ("surprise/deep.py", "", "surprise/deep.py has no rank"),
    ("density.py", "import cupy", "density.py imports cupy, whose door is backend.py"),
    ("density.py", "from scipy.special import logsumexp", "imports scipy, whose door is optimize.py"),
    ("cli.py", "import matplotlib.pyplot as plt", "imports matplotlib, whose door is plots.py"),
    ("samplers/plots.py", "import matplotlib", "imports matplotlib, whose door is plots.py"),
    ("plots.py", "from argparse import ArgumentParser", "imports argparse, whose door is cli.py"),
    ("__init__.py", "import scipy", "__init__.py imports scipy"),
    ("ops.py", "import torch", "imports torch, whose door is nowhere"),
])  # fmt: skip
def test_what_the_ladder_forbids(path, source, complaint):
    """Catches a checker that passes everything: each of these packages has one fault."""
    [found] = violations({**PACKAGE, path: source})

    assert complaint in found
