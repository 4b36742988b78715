"""What every test shares: one BLAS thread (set before NumPy loads), figures without a screen, oracles, a test of counts; and
which tests are quick.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import ast
import inspect
import json
import pathlib
import sys

import numpy as np
import pytest
from scipy import stats

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE, TUTORIALS = ROOT / "tinyebm", ROOT / "tutorials"


# ---------------------------------------------------------------------- the quick suite: python -m pytest -m quick

QUICK = """
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


TRACER, COMPLETE = pytest.StashKey[Tracer](), pytest.StashKey[bool]()


def pytest_configure(config):
    config.stash[TRACER] = Tracer()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark the quick tests; the examples of the package come first, and the test that needs all the others, last."""
    wanted = {ROOT / "tests" / name for name in QUICK} | {PACKAGE / "density.py"}
    for item in items:
        if item.path in wanted or PACKAGE in item.path.parents:
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: (PACKAGE not in item.path.parents, item.path.name == "test_quick.py"))
    config.stash[COMPLETE] = wanted <= {item.path for item in items} and not config.option.keyword


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    tracer, before = item.config.stash[TRACER], sys.gettrace()
    if before or not tracer.left or not item.get_closest_marker("quick"):
        return (yield)
    sys.settrace(tracer)
    try:
        return (yield)
    finally:
        sys.settrace(before)


@pytest.fixture
def never_run(request):
    """The files of the package that no quick test has entered so far."""
    if not request.config.stash[COMPLETE]:
        pytest.skip("needs the whole quick suite")
    return [str(pathlib.Path(path).relative_to(PACKAGE)) for path in sorted(request.config.stash[TRACER].left)]


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

