"""Trees: what is taken apart goes together again, in one order, and mismatches are refused."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyebm import ops
from tinyebm.autodiff.tape import grad
from tinyebm.common.tree import compared, ravel, same, tree_flatten, tree_map

State = namedtuple("State", ["step", "theta"])

LAYERS = {"layers": [{"W": np.ones((2, 3)), "b": np.zeros(3)}, {"W": np.full((3, 1), 2.0), "b": np.zeros(1)}],
          "scale": (np.array(5.0), np.arange(2.0))}  # fmt: skip

TREES = st.recursive(
    st.integers(),
    lambda trees: st.one_of(
        st.lists(trees), st.lists(trees).map(tuple), st.dictionaries(st.sampled_from("Wbac"), trees),
        st.tuples(trees, trees).map(lambda pair: State(*pair))),
    max_leaves=20)  # fmt: skip
EVERY_RUN_ALIKE = settings(derandomize=True, deadline=None, database=None)


@EVERY_RUN_ALIKE
@given(TREES)
def test_rebuild_undoes_flatten(tree):
    """Catches a container type that is lost, a named tuple above all."""
    leaves, rebuild = tree_flatten(tree)

    assert all(isinstance(leaf, int) for leaf in leaves)
    assert rebuild(leaves) == tree
    assert type(rebuild(leaves)) is type(tree)


@EVERY_RUN_ALIKE
@given(TREES)
def test_tree_map_is_a_functor(tree):
    """Maps compose, and the identity changes nothing: catches a leaf visited twice or never."""
    assert tree_map(lambda a: a, tree) == tree
    assert tree_map(lambda a: 3 * a + 1, tree) == tree_map(lambda a: a + 1, tree_map(lambda a: 3 * a, tree))
    assert tree_map(lambda a, b, c: a - 2 * b + c, tree, tree, tree) == tree_map(lambda a: 0, tree)


def test_dict_order_does_not_matter():
    """Catches leaves in insertion order, which would pair W with b after a checkpoint is read back."""
    one, other = {"W": 1, "b": 2, "a": 3}, {"b": 20, "a": 30, "W": 10}

    assert tree_flatten(one)[0] == [1, 3, 2]
    assert tree_map(lambda a, b: b / a, one, other) == {"W": 10, "a": 10, "b": 10}


def test_anything_else_is_a_leaf():
    leaves, rebuild = tree_flatten([None, "ab", {1, 2}])

    assert leaves == [None, "ab", {1, 2}]
    assert rebuild([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize("other", [[1], [1, 2, 3], {"a": 1, "b": [2, 3]}, (1, 2)])
def test_tree_map_refuses_another_number_of_leaves(other):
    with pytest.raises(ValueError):
        tree_map(lambda a, b: a + b, [1, 2], other)


def test_ravel_puts_leaves_in_order():
    """One vector holds every number once; the way back restores shapes and values."""
    flat, unravel = ravel(LAYERS)

    np.testing.assert_array_equal(flat, [1] * 6 + [0] * 3 + [2] * 3 + [0] + [5, 0, 1])
    tree_map(np.testing.assert_array_equal, unravel(flat), LAYERS)
    assert unravel(flat)["scale"][0].shape == ()


@pytest.mark.parametrize("tree", [{}, [], (), {"a": []}])
def test_ravel_of_nothing(tree):
    """Energies without parameters have empty trees."""
    flat, unravel = ravel(tree)

    assert flat.shape == (0,)
    assert unravel(flat) == tree


@pytest.mark.parametrize("shape", [(15,), (17,), (1, 16), ()])
def test_unravel_refuses_another_size(shape):
    """Catches a tail that is dropped in silence: the parameters of another model."""
    _, unravel = ravel(LAYERS)

    with pytest.raises(ValueError, match="16 numbers"):
        unravel(np.zeros(shape))


def test_ravel_keeps_float32():
    flat, unravel = ravel([np.ones(2, np.float32), np.ones((1, 1), np.float32)])

    assert flat.dtype == unravel(flat)[1].dtype == np.float32


def test_the_gradient_by_a_vector_is_the_vector_of_the_gradient():
    """Under grad, ∇(f ∘ unravel) = ravel(∇f): what lets L-BFGS fit any tree."""
    f = lambda tree: sum(ops.sum(ops.exp(0.1 * leaf) * leaf) for leaf in tree_flatten(tree)[0])
    flat, unravel = ravel(LAYERS)

    by_vector = grad(lambda z: f(unravel(z)))(flat)

    np.testing.assert_array_equal(by_vector, ravel(grad(f)(LAYERS))[0])


def test_ravel_copies():
    """Catches a vector that is a view of the parameters: an optimiser would then move them unasked."""
    leaf = np.zeros(3)
    flat, _ = ravel([leaf])

    flat += 1

    assert not leaf.any()


@pytest.mark.parametrize("other", [{"a": 1, "c": 2}, [1, 2], {"a": [1, 2]}, {"a": 1, "b": (2,)}, {"a": 1},
                                   {"a": 1, "b": {"c": 2}}, {"a": 1, "b": 2, "c": 3}])  # fmt: skip
def test_trees_of_another_shape_are_refused(other):
    """As many leaves, but elsewhere.  Catches a gradient applied to the parameter that happens to have its number."""
    with pytest.raises(ValueError, match="trees of different structure"):
        tree_map(lambda a, b: a + b, {"a": 1, "b": 2}, other)


class Refuses:
    """Its == has no answer, as that of an array."""

    def __eq__(self, other):
        raise ValueError("The truth value of an array is ambiguous")


UNEQUAL = {"a number": ([1.0], [2.0]), "a bit": (np.array([0.1 + 0.2]), np.array([0.3])),
           "a sign": (np.array([0.0]), np.array([-0.0])), "a leaf": (LAYERS, LAYERS | {"scale": (np.array(5.0), np.ones(2))}),
           "a type": (np.ones(2), np.ones(2, np.float32)), "a shape": (np.ones((2, 1)), np.ones((1, 2))), "a length": ([1], [1, 1]),
           "a name": ({"a": 1}, {"b": 1}), "a key more": ({"a": 1}, {"a": 1, "b": 1}), "list and tuple": ([1], (1,)),
           "an integer": (1, 1.0), "no answer": (Refuses(), Refuses())}  # fmt: skip


@pytest.mark.parametrize("name", UNEQUAL)
def test_what_is_not_the_same(name):
    """Catches arrays that are near for equal ones, a first leaf for all, and NumPy's error in the place of an answer."""
    a, b = UNEQUAL[name]
    assert same(a, b) is False and same(b, a) is False
    assert same(a, a) is True


def test_what_is_the_same():
    """Catches nan that differs from itself, and a copy from its original."""
    copy = {"layers": [{"W": np.ones((2, 3)), "b": np.zeros(3)}, {"W": np.full((3, 1), 2.0), "b": np.zeros(1)}],
            "scale": (np.array(5.0), np.arange(2.0))}  # fmt: skip
    assert same(LAYERS, copy) is True
    assert same([np.nan, np.array(np.nan), None, "x"], [float("nan"), np.array(np.nan), None, "x"]) is True


@compared
@dataclass(frozen=True, eq=False)
class Field:
    a: Any


@compared
class Row(NamedTuple):
    a: Any


@pytest.mark.parametrize("kind", [Field, Row])
def test_classes_that_hold_arrays_are_compared(kind):
    """==, != and `in` are bools; there is no hash, by which equal objects would be lost.  Catches != left to the tuple."""
    one, two, other = kind(np.ones(3)), kind(np.ones(3)), kind(np.zeros(3))
    assert (one == two) is True and (one != two) is False and one in [other, two]
    assert (one == other) is False and (one != other) is True and (one == 1) is False and (one == (one.a,)) is False
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
