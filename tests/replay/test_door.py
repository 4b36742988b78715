"""The door to replay: what runs inside `te.plain()` is the formula itself, in that thread, and gives the same numbers."""

import contextlib
import os
import sys
import threading

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import tree_flatten
from tinyebm.density import exponents
from tinyebm.exact.gradient import _weighted_gradient
from tinyebm.replay.door import add, reduce_rows
from tinyebm.replay.mode import THREAD

NET = te.MLP((2, 16, 16, 1), confinement=0.5)
P = te.Density(NET, NET.init(np.random.default_rng(0)), te.Reals(2))
X = np.random.default_rng(1).standard_normal((9000, 2))
BITS = te.Density(te.RBM(8, 3), te.RBM(8, 3).init(np.random.default_rng(2)), te.Bits(8))


def fitted(objective):
    return te.fit(NET, X[:100], objective=objective, theta=P.theta, steps=3, progress=False, exact=False).theta


ASKED = {
    "score": lambda: te.score(P, X),
    "laplacian": lambda: te.laplacian(P, X),
    "log Z": lambda: np.array(te.log_partition(P)),
    "log Z of bits": lambda: np.array(te.log_partition(BITS)),
    "likelihood": lambda: te.nll_gradient(P, X),
    "exact CD": lambda: te.exact_cd_gradient(P, X[:50], te.ULA(0.05), 2),
    "MALA": lambda: te.run(te.MALA(0.1), P, X[:500], 5, np.random.default_rng(3))[0],
    "maximum likelihood": lambda: fitted(te.ExactLikelihood()),
    "score matching": lambda: fitted(te.ScoreMatching()),
}


@pytest.mark.parametrize("ask", ASKED)
def test_the_same_numbers(ask):
    """Catches a fast road that computes something else than its formula says."""
    fast = tree_flatten(ASKED[ask]())[0]
    with te.plain():
        slow = tree_flatten(ASKED[ask]())[0]
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_langevin_chains_have_the_same_distribution():
    """Mean and variance of 9000 chains after 20 steps.  Catches a plain chain that is another chain."""
    moments = []
    for _ in range(2):
        x = te.run(te.ULA(0.05), P, X, 20, np.random.default_rng(4))[0]
        moments.append([x.mean(axis=0), (x * x).mean(axis=0)])
        THREAD.plain = not THREAD.plain
    spread = np.sqrt(2 * np.stack([x.var(axis=0), (x * x).var(axis=0)]) / len(x))
    assert not THREAD.plain and np.all(np.abs(np.subtract(*moments)) < 5 * spread)


def test_formulas_run_as_they_stand():
    """An energy sees arrays and Vars, and is called with blocks of rows.  Catches a trace inside the block."""
    seen = []

    def energy(theta, x):
        seen.append((type(x).__name__, len(x)))
        return 0.5 * ops.sum(x * x, axis=1)

    p = te.Density(energy, {}, te.Reals(2))
    with te.plain():
        te.score(p, X)
        te.run(te.ULA(0.1), p, X, 1, np.random.default_rng(0))
    assert {kind for kind, _ in seen} <= {"Var", "ndarray"} and max(n for _, n in seen) == 4096 < len(X)
    seen.clear()
    exponents(p, X)
    assert "Traced" in {kind for kind, _ in seen}


def test_each_thread_for_itself():
    """Catches a switch that other threads see, one that outlives an error, and one that an inner block ends."""
    elsewhere = []
    with pytest.raises(KeyError), te.plain():
        with te.plain():
            pass
        assert THREAD.plain
        thread = threading.Thread(target=lambda: elsewhere.append(THREAD.plain))
        thread.start()
        thread.join()
        raise KeyError
    assert elsewhere == [False] and not THREAD.plain


def test_a_plain_update_is_short():
    """One CD-1 update of a network enters at most 100 functions in 14 files.  Catches formulas that hide behind layers."""
    root, seen = os.path.dirname(te.__file__), set()
    objective, optimizer, rng = te.ContrastiveDivergence(te.ULA(0.01), k=1), te.adam(1e-3), np.random.default_rng(0)
    state = optimizer.init(P.theta)

    def profile(frame, event, arg):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root):
            seen.add((code.co_filename, code.co_name, code.co_firstlineno))

    net = te.MLP((2, 16, 16, 1))
    p = te.Density(net, P.theta, te.Reals(2))
    with te.plain():
        sys.setprofile(profile)
        try:
            step = objective.gradient(p, X[:256], rng)
            optimizer.update(step.gradient, state, p.theta)
        finally:
            sys.setprofile(None)
    assert len(seen) <= 100 and len({file for file, *_ in seen}) <= 14


@pytest.mark.parametrize("road", [te.plain, contextlib.nullcontext])
def test_chunks_are_added_up(road):
    """Three chunks of rows, replayed and as they stand.  Catches chunks that are left out, or counted twice."""
    weights = np.linspace(-1, 1, len(X))
    chunks = [(X[part], weights[part]) for part in (slice(0, 5000), slice(5000, 5001), slice(5001, None))]
    with road():
        found = reduce_rows(_weighted_gradient, add, P, iter(chunks), 0.0)
    truth = _weighted_gradient(P, X, weights)
    for a, b in zip(tree_flatten(found)[0], tree_flatten(truth)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
