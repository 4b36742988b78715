"""The rules by which a graph is simplified as it is made: each leaves every value as it was, and does what it is for."""

import numpy as np
import pytest

from tinyebm.replay.graph import Graph
from tinyebm.replay.trace import trace

RNG = np.random.default_rng(0)
AWKWARD = np.array([[0.5, -2.0, 0.0], [-0.0, np.inf, -np.inf], [np.nan, 1e-300, -3e4]])


def ops_of(function, *rows):
    """The operations of the nodes that a traced function leaves behind, in order, without inputs and constants."""
    graph, _, _ = trace(function, [], rows or [np.ones((3, 2))])
    return [n.op for n in graph.nodes if n.op not in ("input", "constant")]


# fmt: off
RULES = [
    ("x · 1", lambda x: x * 1), ("1 · x", lambda x: 1.0 * x), ("x + 0", lambda x: x + 0), ("0 + x", lambda x: 0.0 + x),
    ("x - 0", lambda x: x - 0), ("0 - x", lambda x: 0 - x), ("-x", lambda x: -x), ("-(-x)", lambda x: -1 * -x),
    ("x / 1", lambda x: x / 1),
    ("(c x) d", lambda x: 3 * (x * 0.7)), ("-(c x)", lambda x: -(x * 0.7)), ("(c x) / d", lambda x: x * 3 / 7),
    ("x - c", lambda x: x - 0.3), ("c - x", lambda x: 0.3 - x), ("x / c", lambda x: x / 3), ("c / x", lambda x: 3 / x),
    ("x · 0", lambda x: x * 0), ("x / 0", lambda x: x / 0), ("x + inf", lambda x: x + np.inf), ("x - inf", lambda x: x - np.inf),
    ("x · inf", lambda x: x * np.inf), ("x · nan", lambda x: x * np.nan), ("(x + c) + d", lambda x: x + 0.3 + 0.4),
    ("(x + c) d", lambda x: (x + 0.3) * 0.4), ("e^x", lambda x: np.exp(np.minimum(x, 700))), ("e^-x", lambda x: np.exp(-x / 100)),
    ("x²", lambda x: x**2), ("√|x|", lambda x: np.abs(x)**0.5), ("x¹", lambda x: x**1), ("x⁰", lambda x: x**0),
    ("x³", lambda x: x**3),
    ("1/x", lambda x: x**-1), ("2^x", lambda x: np.power(2.0, x / 100)),
    ("x · ones", lambda x: x * np.ones(3)), ("x · many ones", lambda x: x * np.ones((2, 3, 3))),
    ("x + many zeros", lambda x: x + np.zeros((2, 1, 3))),
    ("x · full", lambda x: x * np.full(3, 0.7)), ("full · x", lambda x: np.full((2, 3, 3), 0.7) * x),
    ("x + full", lambda x: x + np.full((3, 1), 2.0)),
    ("x - full", lambda x: x - np.full((2, 1, 1), 2.0)), ("x / full", lambda x: x / np.full(3, 2.0)),
    ("x · array", lambda x: x * np.arange(3.0)),
    ("column @ row", lambda x: x[:, :1] @ x[1:2]), ("column @ row, stacked", lambda x: x[None, :, :1] @ x[None, 1:2]),
    ("column @ one", lambda x: x[:, :1] @ np.full((1, 1), 2.0)), ("x · one column", lambda x: x[:, :1] * np.ones((1, 4))),
    ("mask", lambda x: (x > 0) * 1 + (x > 0) * True + (x <= 0) * 2.0), ("-mask's number", lambda x: -(1 * (x > 0))),
    ("signs of zero", lambda x: np.copysign(1, np.abs(x) * 0.0) + 2 * np.copysign(1, np.abs(x) * -0.0)),
]
# fmt: on


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "function"), RULES, ids=[name for name, _ in RULES])
def test_rules_keep_values(replay, name, function, dtype):
    """On zeros of both signs, infinities and nan, float32 too.  Catches a rule of another formula, shape or type."""
    x = AWKWARD.astype(dtype)
    with np.errstate(all="ignore"):
        want = function(x)
    found, = replay(lambda x: [function(x)], ([], [np.ones_like(x)]), ([], [x]))

    assert found.dtype == want.dtype and found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=1e-13 if dtype == "float64" else 2e-5, atol=0 if name != "(x + c) + d" else 1e-7)


SPARED = [  # what must be gone: a function, and the operations that are left
    (lambda x: [x * 1 + 0], []), (lambda x: [(x - 0) / 1], []), (lambda x: [x**1], []), (lambda x: [x**2], [np.multiply]),
    (lambda x: [x**0.5], [np.sqrt]), (lambda x: [3 * (x * 0.5), -(x * 0.5) + 2 * x], [np.multiply] * 4 + [np.add]),
    (lambda x: [x + x, x + x], [np.add]), (lambda x: [np.exp(x), np.exp(1.0 * x)], [np.multiply, np.exp2]),
    (lambda x: [x[:, 0], x[:, 0]], ["getitem"]), (lambda x: [x.sum(axis=1), x.sum(axis=-1)], ["reduce", "reshape"]),
    (lambda x: [x.T.T], ["transpose"]), (lambda x: [x[:, :1] @ x[:1]], ["getitem", "getitem", np.multiply]),
    (lambda x: [x * np.full(2, 3.0), x * np.full((3, 2), 3.0)], [np.multiply]), (lambda x: [x / 2, x * 0.5], [np.multiply]),
]


@pytest.mark.parametrize(("function", "left"), SPARED)
def test_rules_spare_work(function, left):
    """Catches a rule that no longer fires, and equal calls that are two nodes: answers stay right, and get slow."""
    assert ops_of(function) == left


def test_different_calls_are_different_nodes():
    """Catches calls that are told apart by operands alone: axes, indices, shapes and types count too."""
    rows = np.arange(3)
    found = ops_of(lambda x: [x.sum(axis=0), x.sum(axis=1), x.max(axis=1), x[:, 0], x[:, 1], x[rows], x[rows[::-1]], x.reshape(6),
    x.reshape(2, 3),
                              np.where(x > 0, x, 1), np.where(x > 0, 1, x), x.astype("float32"), x.astype("int64"),
                              x - 2 * x, 2 * x - x])  # fmt: skip

    assert found.count("reduce") == 3 and found.count("getitem") == 4 and found.count("where") == found.count("astype") == 2
    assert found.count(np.subtract) == 2


def test_constants_of_one_number_are_one_node():
    """Told apart by shape, type and sign of zero.  Catches 0.0 and -0.0, 1.0 and True, float32 and float64 taken for one."""
    graph, nothing = Graph(), np.zeros(())
    numbers = [nothing, -nothing, nothing.astype("float32"), nothing.astype(bool), np.zeros(1), np.ones(()), np.full((), np.nan)]
    nodes = [graph.constant(x) for x in numbers]

    assert len({id(n) for n in nodes}) == len(numbers)
    assert all(graph.constant(x.copy()) is n for x, n in zip(numbers, nodes, strict=True))
    assert graph.constant(np.array([1.0, 2.0])) is not graph.constant(np.array([1.0, 2.5]))
    assert graph.constant(np.arange(2.0)).constant is None and graph.constant(np.full(2, 7.0)).constant == 7.0


def test_a_node_knows_whether_rows_matter():
    """`fixed` needs every operand fixed.  Catches `any` for `all`: points computed once for every θ."""
    graph, (m, x), outputs = trace(lambda m, x: [np.exp(m) + 1, x * 2, m * x, m[0] + x], [np.ones(2)], [np.ones((3, 2))])

    assert m.fixed and not x.fixed and [n.fixed for n in outputs] == [True, False, False, False]
    assert all(n.fixed for n in graph.nodes if n.op == "constant")


FOUND = [
    ("x / many twos", lambda x: x / np.full((2, 1, 1), 2.0)),
    ("x¹ of many ones", lambda x: x[:, :1] ** np.ones(2)),
    ("Σ x · inf", lambda x: ((x - 1) * np.inf).sum(axis=0)),
    ("x / tiny", lambda x: x * 0 / 1e-310),
]


@pytest.mark.parametrize(("name", "function"), FOUND, ids=[name for name, _ in FOUND])
def test_rules_keep_values_at_the_edges(replay, name, function):
    """Catches a quotient and a power of one that forget to broadcast, 0 · inf for 0 / tiny, and inf for inf - inf."""
    x = RNG.standard_normal((30, 2))
    found, = replay(lambda x: [function(x)], ([], [x]), ([], [x + 1]))

    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, function(x + 1), rtol=1e-13)
