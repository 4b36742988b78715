"""Parameters as trees: nested dicts, lists and tuples whose leaves are arrays.

`theta = [{"W": ..., "b": ...}, {"W": ..., "b": ...}]` is a tree.  Optimisers, checkpoints and
`grad` work with trees, so they work with every model.
"""

import dataclasses
from typing import TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)


def tree_flatten(tree):
    """Return (leaves, rebuild) with rebuild(leaves) == tree; leaves of a dict are sorted by key.

    >>> leaves, rebuild = tree_flatten({"b": 2, "a": [1, ()]})
    >>> leaves, rebuild([10, 20])
    ([1, 2], {'b': 20, 'a': [10, ()]})
    """
    leaves = []
    _collect(tree, leaves)
    return leaves, lambda new: _rebuild(tree, iter(new))


def _collect(tree, leaves):
    if isinstance(tree, dict):
        for key in sorted(tree):
            _collect(tree[key], leaves)
    elif isinstance(tree, (list, tuple)):
        for child in tree:
            _collect(child, leaves)
    else:
        leaves.append(tree)


def _rebuild(tree, leaves):
    """A tree like this one with the next leaves of an iterator."""
    if isinstance(tree, dict):
        new = dict.fromkeys(tree)  # in its own order, which a function of the tree may see
        for key in sorted(tree):
            new[key] = _rebuild(tree[key], leaves)
        return new
    if isinstance(tree, (list, tuple)):
        return _like(tree, [_rebuild(child, leaves) for child in tree])
    return next(leaves)


def _like(tree, children):
    """A list, a tuple or a NamedTuple with other children."""
    return type(tree)(*children) if hasattr(tree, "_fields") else type(tree)(children)


def tree_map(function, tree, *rest):
    """Apply a function leaf by leaf to trees of the same structure.

    >>> tree_map(lambda a, b: a + b, {"w": 1, "b": [2]}, {"w": 10, "b": [20]})
    {'w': 11, 'b': [22]}
    """
    for other in rest:
        if not _alike(tree, other):
            raise ValueError(
                f"trees of different structure: {numbered(tree)} and {numbered(other)} (leaves "
                "numbered)"
            )
    return _map(function, (tree, *rest))


def _alike(tree, other):
    """Whether both trees have the same `tree_structure`."""
    if isinstance(tree, dict):
        if not isinstance(other, dict) or tree.keys() != other.keys():
            return False
        return all([_alike(tree[key], other[key]) for key in tree])
    if isinstance(tree, (list, tuple)):
        if type(tree) is not type(other) or len(tree) != len(other):
            return False
        return all(map(_alike, tree, other))
    return not isinstance(other, (dict, list, tuple))


def _map(function, trees):
    tree = trees[0]
    if isinstance(tree, dict):
        new = dict.fromkeys(tree)  # in its own order, which a function of the tree may see
        for key in sorted(tree):
            new[key] = _map(function, [other[key] for other in trees])
        return new
    if isinstance(tree, (list, tuple)):
        return _like(tree, [_map(function, children) for children in zip(*trees, strict=True)])
    return function(*trees)


def every(test, tree):
    """Whether a test holds for every leaf.

    >>> every(str.islower, {"a": "x", "b": ["y", "Z"]})
    False
    """
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return test(tree)
    for child in tree:
        if not every(test, child):
            return False
    return True


def named_tuples(tree):
    """The classes of the NamedTuples in a tree.

    >>> from typing import NamedTuple
    >>> class Line(NamedTuple):
    ...     slope: float
    >>> [kind.__name__ for kind in named_tuples({"a": [Line(1.0), ()]})]
    ['Line']
    """
    if not isinstance(tree, (dict, list, tuple)):
        return set()
    children = tree.values() if isinstance(tree, dict) else tree
    own = {type(tree)} if hasattr(tree, "_fields") else set()
    return own.union(*map(named_tuples, children))


def numbered(tree):
    """The tree with the numbers 0, 1, ... instead of its leaves."""
    leaves, rebuild = tree_flatten(tree)
    return rebuild(range(len(leaves)))


def tree_structure(tree, order=sorted):
    """The structure of a tree without its leaves, hashable; equal for equal structures.

    >>> tree_structure({"b": 2, "a": [1, ()]}) == tree_structure({"a": [5, ()], "b": 7})
    True
    """
    if isinstance(tree, dict):
        return dict, *[(key, tree_structure(tree[key], order)) for key in order(tree)]
    if isinstance(tree, (list, tuple)):
        return type(tree), *[tree_structure(child, order) for child in tree]
    return None


def same(a, b):
    """Whether two objects are of one type and hold the same: arrays of one dtype, bit for bit.

    Trees are compared leaf by leaf, dataclasses field by field, and all else by ==.

    >>> same({"w": np.array([0.5])}, {"w": np.array([0.5])}), same([np.ones(1)], [np.ones(2)])
    (True, False)
    """
    if a is b or type(a) is not type(b):
        return a is b
    if hasattr(a, "tobytes") and hasattr(a, "dtype"):  # an array, of CuPy, too
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a) and type(a).__dataclass_params__.eq:
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    try:
        return bool(a == b) or bool(a != a and b != b)  # both are nan
    except (TypeError, ValueError):  # their own == has no answer
        return False


def compared(cls: Class) -> Class:
    """Let == of a class be `same`, where that of its fields would be an array.

    Its objects have no hash, because their arrays may be modified.
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else None
    parts = lambda x: [getattr(x, f.name) for f in fields] if fields else list(x)

    def equal(self, other):
        return type(self) is type(other) and same(parts(self), parts(other))

    def unequal(self, other):
        return not equal(self, other)

    for name, method in (("__eq__", equal), ("__ne__", unequal), ("__hash__", None)):
        setattr(cls, name, method)
    return cls


def ravel(tree):
    """Return (flat vector, unravel), for optimisers of vectors; unravel(flat) is a tree again.

    >>> flat, unravel = ravel({"W": np.ones((2, 2)), "b": np.zeros(1)})
    >>> flat, unravel(flat)["W"].shape
    (array([1., 1., 1., 1., 0.]), (2, 2))
    """
    leaves, rebuild = tree_flatten(tree)
    if not leaves:
        return np.zeros(0), lambda flat: rebuild([])
    size = sum(leaf.size for leaf in leaves)

    def unravel(flat):
        if flat.shape != (size,):
            raise ValueError(f"these trees have {size} numbers, got an array of shape {flat.shape}")
        parts, start = [], 0
        for leaf in leaves:
            parts.append(flat[start : start + leaf.size].reshape(leaf.shape))
            start += leaf.size
        return rebuild(parts)

    return np.concatenate([leaf.reshape(-1) for leaf in leaves]), unravel
