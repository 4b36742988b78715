"""What every test shares: one BLAS thread (set before NumPy loads), figures without a screen, oracles, a test of counts; and
which tests are quick.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import ast
import contextlib
import inspect
import json
import pathlib
import sys

import numpy as np
import pytest
from scipy import stats

import tinyebm as te

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE, TUTORIALS = ROOT / "tinyebm", ROOT / "tutorials"


# ---------------------------------------------------------------------- the quick suite: python -m pytest -m quick

QUICK = """
cli/test_commands.py cli/test_main.py experiment/test_setups.py samplers/test_metropolis.py
autodiff/test_forward.py autodiff/test_tape.py
common/test_backend.py common/test_progress.py common/test_tree.py
datasets/test_readers.py datasets/test_targets.py
diagnostics/test_chains.py diagnostics/test_detection.py
energies/test_boltzmann.py energies/test_lattice.py energies/test_mlp.py energies/test_rbm.py energies/test_recession.py
energies/test_tabular.py
exact/test_gradient.py exact/test_likelihood.py exact/test_structure.py
experiment/test_report.py
objectives/test_likelihood.py
replay/test_blas.py replay/test_graph.py replay/test_normals.py replay/test_plans.py replay/test_refusals.py
samplers/test_gibbs.py samplers/test_gwg.py
spaces/test_continuous.py spaces/test_discrete.py spaces/test_grids.py spaces/test_laws.py
storage/test_checkpoint.py storage/test_files.py storage/test_models.py storage/test_origin.py
test_density.py test_ladder.py test_mistakes.py test_public.py test_readme.py
training/test_optimize.py training/test_start.py training/test_watch.py
test_quick.py
""".split()  # files whose tests are all quick; the examples of the package are, too


class Tracer:
    """A trace function that notes which files of the package have run a function; `left` are the others that have one."""

    def __init__(self):
        self.left = {str(path) for path in PACKAGE.rglob("*.py") if has_function(path)}

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if code.co_filename in self.left and code.co_flags & inspect.CO_OPTIMIZED and code.co_name[0] != "<":
            self.left.remove(code.co_filename)
            if not self.left:
                sys.settrace(None)


def has_function(path):
    """Whether a file defines a function that does something: those of a Protocol are `...`."""
    functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef))
    return any(not (isinstance(last := node.body[-1], ast.Expr) and isinstance(last.value, ast.Constant)) for node in functions)


TRACER = pytest.StashKey[Tracer]()  # there if all quick tests are to run


def places():
    """{path of a quick file: its place in the table}."""
    return {ROOT / "tests" / name: i for i, name in enumerate(QUICK)}


def pytest_ignore_collect(collection_path, config):
    """With `-m quick`, no other file is even imported."""
    others = collection_path.suffix in (".py", ".md") and PACKAGE not in collection_path.parents
    if config.option.markexpr == "quick" and others and collection_path not in places():
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark the quick tests, and put them first: the examples of the package, then the files in the order of the table."""
    place = places()
    for item in items:
        if PACKAGE in item.path.parents:
            place[item.path] = -1
        if item.path in place:
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: place.get(item.path, len(QUICK)))
    wanted = {PACKAGE / "density.py", *place}
    if wanted <= {item.path for item in items} and not config.option.keyword:
        config.stash[TRACER] = Tracer()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Trace the quick tests until every file of the package has been entered."""
    tracer, before = item.config.stash.get(TRACER, None), sys.gettrace()
    if before or not tracer or not tracer.left or not item.get_closest_marker("quick"):
        return (yield)
    sys.settrace(tracer)
    try:
        return (yield)
    finally:
        sys.settrace(before)


@pytest.fixture
def never_run(request):
    """The files of the package that no quick test has entered so far."""
    if TRACER not in request.config.stash:
        pytest.skip("needs the whole quick suite")
    return [pathlib.Path(path).relative_to(PACKAGE).as_posix() for path in sorted(request.config.stash[TRACER].left)]


# ---------------------------------------------------------------------- the formulas as they stand: pytest --plain


def pytest_addoption(parser):
    """`--plain`: without replay."""
    parser.addoption("--plain", action="store_true", help="run tests within te.plain(), but those of replay itself")


@pytest.fixture(autouse=True)
def plainly(request):
    """Run a test within `te.plain()` if asked to, unless it watches replay (all in tests/replay do)."""
    watches = ROOT / "tests" / "replay" in request.path.parents or request.node.get_closest_marker("replayed")
    with te.plain() if request.config.getoption("--plain") and not watches else contextlib.nullcontext():
        yield


# ---------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def oracle():
    """The independent numbers, by name: `oracle("gauss_1d")["expected"]`."""
    cases = json.loads((pathlib.Path(__file__).parent / "oracles.json").read_text())["cases"]
    return {case["name"]: case for case in cases}.__getitem__


@pytest.fixture(scope="session")
def chi_square():
    """How well counts agree with probabilities: Pearson's statistic as a normal score, wanted in |z| < 5.

    What is expected less than 10 times counts together; a count where the probability is 0 gives inf.
    """
    def z(counts, law):
        counts, expected = np.ravel(counts), np.ravel(law) * np.sum(counts)
        if counts[expected == 0].any():
            return np.inf
        rare = expected < 10
        pooled = lambda a: np.append(a[~rare], a[rare].sum() if rare.any() else [])
        counts, expected = pooled(counts), np.maximum(pooled(expected), 1e-300)
        return stats.norm.isf(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))

    return z


@pytest.fixture
def build(monkeypatch):
    """The builder, in the folder where notebooks are run."""
    monkeypatch.syspath_prepend(str(TUTORIALS))
    monkeypatch.chdir(TUTORIALS)
    import matplotlib.pyplot as plt

    with plt.rc_context():
        import build

        yield build
    for name in [name for name in sys.modules if name == "build" or name.split(".")[0] == "course"]:
        del sys.modules[name]

