"""The public face: what `import tinyebm as te` promises, what it costs, and that all of it is explained."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

import tinyebm as te

FACE = """
    grad value_and_grad vjp hvp stop_gradient ops.tanh ops.logsumexp
    Reals Box Cells
    MLP GaussianEnergy GaussianMixtureEnergy DoubleWell Quartic Ring Banana Funnel TabularEnergy
    Density score laplacian log_partition log_prob probabilities expectation entropy sample nll nll_gradient Estimate
    DivergentPartitionError QuadratureError ConvergenceWarning
    ULA MALA run Chains
    ExactLikelihood ContrastiveDivergence PersistentContrastiveDivergence ShortRun
    ExactContrastiveDivergence exact_cd_gradient
    fit mle Fit adam sgd momentum
    kl total_variation
    datasets.load datasets.NAMES compare Comparison
    Target Step Move Optimizer save_model load_model
""".split()
OF_NUMPY = {"Var", *vars(te.ops)}  # they mean what they mean in NumPy: a table, without prose
MODULES = sorted(module.name for module in pkgutil.walk_packages(te.__path__, "tinyebm."))


def said(code):
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", FACE)
def test_public_names(name):
    """Catches a name that was renamed, or hidden by a module of the same name."""
    found = te
    for part in name.split("."):
        found = getattr(found, part)
    assert not inspect.ismodule(found)


def test_completion_shows_the_public_names():
    """Catches an internal module behind `te.<TAB>`, a public name that is missing there, or in the page that `help(te)` shows."""
    assert dir(te) == sorted([*te.__all__, "__version__"])
    assert not [name for name in te.__all__ if not hasattr(te, name) or not re.search(rf"\b{name}\b", te.__doc__)]
    assert {name for name in dir(te) if inspect.ismodule(getattr(te, name))} == {"datasets", "ops", "plots"}


def test_old_paths_lead_through_the_pages_of_rooms():
    """Catches a room whose page forgets what could be imported from the file of that name."""
    for room, names in {"datasets": "load NAMES Target Data", "autodiff": "grad vjp", "spaces": "Reals Bits",
                        "cli": "main"}.items():
        page = importlib.import_module(f"tinyebm.{room}")
        assert all(callable(getattr(page, name)) or name == "NAMES" for name in names.split())


def test_signatures():
    """Catches an argument that is renamed, or changes its place."""
    for function, arguments in {
        te.grad: "function argnum", te.value_and_grad: "function argnum", te.hvp: "function x v",
        te.Density: "energy theta space",
        te.log_partition: "p rtol", te.log_prob: "p x", te.expectation: "p f", te.sample: "p n rng", te.score: "p x",
        te.nll_gradient: "p x", te.ULA: "step_size temperature", te.MALA: "step_size", te.run: "kernel p x steps rng record",
        te.exact_cd_gradient: "p data kernel k", te.kl: "p q", te.total_variation: "p q", te.Reals: "dim base_scale",
        te.Box: "low high dim", te.Cells: "n", te.MLP: "sizes activation confinement", te.compare: "target methods",
        te.ContrastiveDivergence: "kernel k", te.PersistentContrastiveDivergence: "kernel k chains restart",
        te.ShortRun: "kernel k", te.fit: "energy data space objective optimizer steps batch_size seed theta device dtype "
        "callback progress checkpoint resume", te.mle: "energy data space",
    }.items():
        assert list(inspect.signature(function).parameters)[: len(arguments.split())] == arguments.split(), function


def test_import_is_light():
    """Catches matplotlib or SciPy loaded before they are wanted: `import tinyebm` costs little more than NumPy itself."""
    assert said("import sys, tinyebm; print({'matplotlib', 'scipy', 'cupy', 'argparse'} & set(sys.modules))") == "set()"


def test_import_leaves_random_numbers_alone():
    """Catches a draw from NumPy's global generator, or a seed set for everybody, at import."""
    assert said("import numpy as np; np.random.seed(1); before = str(np.random.get_state()); import tinyebm.cli.parser; "
                "print(str(np.random.get_state()) == before)") == "True"


def test_the_public_face_is_annotated():
    """Every argument and result of public functions and of public classes' methods.  Catches one that a type checker cannot see."""
    missing = []
    for name, part in {**vars(te), "datasets.load": te.datasets.load}.items():
        if name.startswith("_") or not callable(part):
            continue
        parts = [part] if not inspect.isclass(part) else [
            getattr(f, "fget", getattr(f, "func", f)) for method, f in vars(part).items()
            if not method.startswith("_") or method == "__call__"]  # fmt: skip
        for function in filter(inspect.isfunction, parts):
            signature = inspect.signature(function)
            kinds = [signature.return_annotation] + [a.annotation for a in signature.parameters.values() if a.name != "self"]
            missing += [function.__qualname__] if inspect.Signature.empty in kinds else []
    assert not missing


def test_everything_public_has_an_example():
    """Catches a public function or class whose docstring shows no call.  Results, errors and tables need none."""
    without = {"Var", "Comparison", "Fit", "Replicas", "Sweep", "Step", "Move", "Optimizer", "ConvergenceWarning",
               "DivergentPartitionError", "QuadratureError"}
    parts = {name: part for name, part in vars(te).items() if name in te.__all__ and callable(part)}
    assert not sorted(name for name, part in parts.items() if ">>>" not in (part.__doc__ or "") and name not in without)


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_explained(module):
    """Catches a public module, function, class or method without a docstring, or with a fragment for a first paragraph."""
    module = importlib.import_module(module)
    parts = {} if hasattr(module, "__path__") else {"the module": module}
    for name, part in vars(module).items():
        if getattr(part, "__module__", None) == module.__name__ and not name.startswith("_"):
            parts |= {name: part} if inspect.isclass(part) or inspect.isfunction(part) else {}
            inside = vars(part) if inspect.isclass(part) else {}
            parts |= {f"{name}.{method}": f for method, f in inside.items()
                      if not method.startswith("_") and (inspect.isfunction(f) or hasattr(f, "fget"))}
    parts = {name: part for name, part in parts.items() if name.split(".")[0] not in OF_NUMPY}

    assert not [name for name, part in parts.items() if not (part.__doc__ or "").strip()]
    assert not [name for name, part in parts.items() if part.__doc__.strip().split("\n\n")[0][-1] not in ".?:!,"]
