"""Every function of `tinyebm.ops`, its two derivatives, and plain NumPy, replayed on fresh numbers; and what is refused."""

import math
import pathlib
import runpy

import numpy as np
import pytest

from tinyebm import ops
from tinyebm.autodiff.tape import grad, hvp
from tinyebm.common.tree import tree_map
from tinyebm.replay.trace import NotReplayable, Traced, trace

CASES = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "autodiff" / "test_ops.py"))["CASES"]  # what is watched there
CASES = [case for case in CASES if case.name not in ("log_det", "_inverse")]  # of matrices: they run as they stand


def another(x, rng):
    """Other numbers of the same interval, in another order."""
    return np.reshape(x.reshape(-1)[::-1] * rng.uniform(0.9, 1.0, x.size), x.shape)


@pytest.mark.parametrize(("case", "count"), [(case, count) for case in CASES for count in range(len(case.watched) + 1)], ids=str)
def test_table_of_derivatives(replay, agree, case, count):
    """Value, gradient and a Hessian's product of every entry, on other numbers than it was traced on.

    With the first `count` arguments as parameters, the others as points, whose functions are computed in another place.  Catches a
    number of the
    trace that stayed, a comparison that did, and an axis or a shape that is right on the traced layout alone.
    """
    rng = np.random.default_rng(0)
    x = [case.arguments[i] for i in case.watched]
    v = [rng.standard_normal(a.shape) for a in x]
    fresh = [another(a, rng) for a in x]

    def function(*x):
        given = dict(zip(case.watched, x, strict=True))
        y = case.function(*[given.get(i, a) for i, a in enumerate(case.arguments)])
        return [y, *grad(case.scalar)(list(x)), *hvp(case.scalar, list(x), v)]

    agree(replay(function, (x[:count], x[count:]), (fresh[:count], fresh[count:])), function(*fresh))


# fmt: off
PLAIN = [  # NumPy on (m (3,), x (4, 3)), without derivatives
    lambda m, x: np.maximum(x, m) * np.minimum(m, x), lambda m, x: np.where(x > m, x, 0), lambda m,
    x: np.where(x > 0, 1.0, -1.0) * m,
    lambda m, x: np.sum(x, axis=1) + np.sum(x, 1), lambda m, x: np.max(x, axis=0), lambda m, x: np.mean(x, axis=1, keepdims=True),
    lambda m, x: np.mean(x), lambda m, x: x.mean(axis=(0, 1)) + x.sum(axis=-1), lambda m,
    x: x.min(axis=1, keepdims=True) - x.prod(axis=1)[:, None],
    lambda m, x: x.max(axis=(0, 1), keepdims=True), lambda m, x: np.transpose(x) @ x, lambda m, x: np.transpose(x, (1, 0)),
    lambda m, x: x @ (x.T @ x) + m, lambda m, x: np.transpose(x.T, (0, 1)), lambda m, x: np.transpose(x.T, (-1, 0)),
    lambda m, x: np.transpose(x.T, (0, 1)), lambda m, x: np.transpose(x.T, (-1, 0)),
    lambda m, x: np.reshape(x, (2, 6)), lambda m, x: x.reshape(-1, 2), lambda m, x: x.reshape((2, -1)), lambda m,
    x: x[:, None] - x[None, :],
    lambda m, x: np.concatenate([x, x * m], axis=1), lambda m, x: np.concatenate([x, np.ones((1, 3))]), lambda m,
    x: np.broadcast_to(m, x.shape) * x,
    lambda m, x: x[1], lambda m, x: x[..., -1], lambda m, x: x[[2, 0]], lambda m, x: x[:, [1, 1]], lambda m, x: x[::2, ::-1],
    lambda m, x: x[np.array([True, False, True, True])], lambda m, x: x.astype("float32"), lambda m, x: x.astype("int64"),
    lambda m, x: x.astype("float64"),
    lambda m, x: np.zeros_like(x) + m, lambda m, x: np.ones_like(x, dtype="float32"), lambda m, x: np.copy(x), lambda m,
    x: x @ m, lambda m, x: m @ x.T,
    lambda m, x: np.float32(0.1) * x.astype("float32"), lambda m, x: np.float64(0.1) * x.astype("float32"), lambda m,
    x: 0.1 + x.astype("float32"),
    lambda m, x: x.astype("float32") * np.arange(3.0), lambda m,
    x: x.astype("float32") * 2 + np.where(m > 0, m.astype("float32"), 0.5),
    lambda m, x: [1, 2, 3] * x, lambda m, x: x // 0.3, lambda m, x: x % 0.3, lambda m, x: abs(x), lambda m, x: +x, lambda m,
    x: (x > 0) & (x < m),
    lambda m, x: ~(x > 0), lambda m, x: np.hypot(x, m), lambda m, x: np.sign(x) * np.floor(x), lambda m, x: np.arctan2(x, m),
    lambda m, x: np.square(x),
    lambda m, x: len(x) * np.ndim(x) * x + np.shape(x)[1] * x.size, lambda m, x: sum(x.T), lambda m, x: x.squeeze(), lambda m,
    x: x[:, :1].squeeze(1),
    lambda m, x: x.copy() * m, lambda m, x: x.transpose(1, 0), lambda m, x: np.logaddexp(x, m), lambda m, x: 2**x, lambda m,
    x: x**m * 0 + np.abs(x)**m,
]
# fmt: on


@pytest.mark.parametrize("function", PLAIN)
def test_plain_numpy(replay, agree, function):
    """Against NumPy.  Catches promotion of numbers and types that is not NumPy's, and an axis that means another."""
    rng = np.random.default_rng(1)
    m, x, m2, x2 = rng.standard_normal(3), rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal((4, 3))
    with np.errstate(all="ignore"):
        agree(replay(lambda m, x: [function(m, x)], ([m], [x]), ([m2], [x2])), [function(m2, x2)])


def filled(x):
    out = np.zeros_like(x)
    out[:, 1] = x[:, 0]
    out[2] = 7.0
    np.add.at(out, (slice(None), [0, 0]), x[:, :2])
    whole = np.ones_like(x)
    whole[...] = x * 2
    whole[::-1] = whole * out
    return out + whole


def test_writing_into_arrays(replay, agree):
    """Slices, the whole, in reverse, repeated indices.  Catches values of the trace in the place of the written ones."""
    x, fresh = np.random.default_rng(2).standard_normal((2, 4, 3))
    before = fresh.copy()

    agree(replay(lambda x: [filled(x)], ([], [x]), ([], [fresh])), [filled(fresh)])
    np.testing.assert_array_equal(fresh, before)


REFUSED = [
    lambda x: x if x[:1, 0] > 0 else -x, lambda x: x if x else -x, lambda x: x if (x > 0)[0] is True or not x[0] else -x,
    lambda x: x if x[:1, 0] > 0 else -x, lambda x: x if x else -x, lambda x: x if (x > 0)[0] is True or not x[0] else -x,
    lambda x: x if x.max() > 0 else -x, lambda x: x * float(x[0, 0]), lambda x: x * int(x[0, 0]), lambda x: x * complex(x[0, 0]),
    lambda x: np.asarray(x) * 2, lambda x: np.array(x), lambda x: x * x[0, 0].item(), lambda x: x.tolist(),
    lambda x: np.linalg.norm(x, axis=1),
    lambda x: np.einsum("ij,ij->i", x, x), lambda x: np.sort(x, axis=1), lambda x: np.cumsum(x, axis=1),
    lambda x: x.cumsum(axis=1), lambda x: x.argmax(),
    lambda x: x[x.astype("int64")], lambda x: np.arange(3)[x.astype("int64")], lambda x: x[x > 0],
    lambda x: np.add.reduce(x), lambda x: np.add.outer(x, x),
    lambda x: np.add(x, 1, out=np.empty((4, 3))), lambda x: np.exp(x, where=x > 0), lambda x: np.divmod(x, 2)[0],
    lambda x: np.frexp(x)[0],
    lambda x: math.exp(x[0, 0]) * x, lambda x: [1, 2][x[0, 0].astype("int64")] * x, lambda x: x * bool(x[0, 0]),
    lambda x: x if all(x[0] > 0) else -x,
    lambda x: x if x[0, 0] in (0.0, 1.0) else -x, lambda x: max(x[0, 0], 0.0) * x, lambda x: np.zeros((4, 3)).__setitem__(0,
    x[0]), lambda x: x.flat,
    lambda x: np.clip(x, 0, 1), lambda x: x.clip(0, 1), lambda x: x.view("int64"), lambda x: x.real,
    lambda x: np.isclose(x, 0), lambda x: x.any(),
]


@pytest.mark.parametrize("function", REFUSED)
def test_what_looks_at_values_is_refused(function):
    """Catches a branch or a number of the first points that would be replayed for all others."""
    with pytest.raises((NotReplayable, TypeError, AttributeError)) as caught:
        trace(lambda x: [function(x)], [], [np.ones((4, 3))])
    assert not isinstance(caught.value, AttributeError) or "Traced" in str(caught.value)


@pytest.mark.parametrize("function", [lambda x: x.__iadd__(1), lambda x: np.multiply(x, 2, x), lambda x: x.sort(),
lambda x: x.fill(0), lambda x: hash(x)])
def test_change_in_place_is_refused(function):
    """Catches an input that a replay would change, or forget to."""
    with pytest.raises(TypeError):
        trace(lambda x: [function(x)], [], [np.ones((4, 3))])


def test_constants_are_answers():
    """A function of nothing returns what it returns; a plain array among outputs is one.  Catches a lost output."""
    _, _, outputs = trace(lambda m, x: [np.arange(3.0), x, m, 2.0], [np.ones(2)], [np.zeros(4)])

    assert [n.op for n in outputs] == ["constant", "input", "input", "constant"] and outputs[3].value == 2.0
    assert repr(Traced(outputs[1], None)) == "Traced(shape=(4,), dtype=float64)"


def written(x, y):
    y[:, 0] = 0.0
    return x + y


def through_a_view(x):
    out = np.zeros_like(x)
    column = out[:, 0]
    column[...] = x[:, 1]
    return out


def changed_constant(x):
    c = np.array([1.0, 2.0, 3.0])
    y = x * c
    c[0] = 5.0
    return y + x * c


# fmt: off
FOUND = {
    "copy": lambda x: written(x, x.copy()), "np.copy": lambda x: written(x, np.copy(x)), "astype": lambda x: written(x,
    x.astype(x.dtype)),
    "sum of one": lambda x: (lambda one: written(one, one.sum(axis=1, keepdims=True)))(x[:, :1] * 2), "view": through_a_view,
    "constant": changed_constant,
    "x[True]": lambda x: x[True], "transpose that is none": lambda x: np.transpose(np.transpose(x, (0, 1))),
    "vecdot": lambda x: np.vecdot(x[:, None], x[None]),
}
# fmt: on
if hasattr(np, "matvec"):  # NumPy 2.2
    FOUND["matvec"] = lambda x: np.matvec(np.ones((3, 3)), x)


@pytest.mark.parametrize("name", FOUND)
def test_replayed_or_refused(replay, agree, name):
    """Catches a copy that is the array itself, a write that a view does not pass on, and what is no elementwise function."""
    x, fresh = np.random.default_rng(3).standard_normal((2, 4, 3))
    try:
        found = replay(lambda x: [FOUND[name](x)], ([], [x]), ([], [fresh]))
    except NotReplayable:
        return
    agree(found, [FOUND[name](fresh.copy())])


def test_derivatives_by_a_tree_of_parameters(replay, agree):
    """θ as a tree whose leaves are used whole, by index, by row and transposed.  Catches leaves in another order."""
    rng = np.random.default_rng(4)
    make = lambda: [rng.standard_normal(2), rng.standard_normal((3, 3)), rng.standard_normal(())]

    def energy(theta, x):
        m, (W, s) = theta["m"], theta["layers"]
        return ops.sum(ops.tanh((x - W[0]) @ W.T * m[0] + W[1]) * W[2] * s, axis=1) - m[1] * s

    def function(m, W, s, x):
        slope = grad(lambda theta: ops.sum(energy(theta, x)))({"m": m, "layers": [W, s]})
        return [energy({"m": m, "layers": [W, s]}, x), slope["m"], *slope["layers"]]

    theta, other, x, y = make(), make(), rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    agree(replay(function, (theta, [x]), (other, [y])), function(*tree_map(np.copy, other), y))


def test_numbers_have_no_entries():
    """As in NumPy: a sum over one is an error there, so that the function runs as it stands.  Catches a sum of nothing, 0."""
    for loop in (sum, list, lambda x: 1.0 in x):
        with pytest.raises(TypeError):
            trace(lambda s, x, loop=loop: [x * loop(s)], [np.array(2.0)], [np.ones(3)])
    graph, _, (found,) = trace(lambda x: [sum(x)], [], [np.array([1.0, 2.0, 4.0])])
    assert found.value == 7.0
