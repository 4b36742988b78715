"""Parameters as trees: nested dicts, lists and tuples whose leaves are arrays.

`theta = [{"W": ..., "b": ...}, {"W": ..., "b": ...}]` is a tree.  Optimisers,
checkpoints and `grad` treat every model alike because they only see trees.
"""

import numpy as np


def tree_flatten(tree):
    """Return (leaves, rebuild) with rebuild(leaves) == tree; dict keys are sorted.

    >>> leaves, rebuild = tree_flatten({"b": 2, "a": [1, ()]})
    >>> leaves, rebuild([10, 20])
    ([1, 2], {'a': [10, ()], 'b': 20})
    """
    if isinstance(tree, dict):
        keys, kind = sorted(tree), dict
        children = [tree[k] for k in keys]
    elif isinstance(tree, (list, tuple)):
        keys, kind, children = None, type(tree), list(tree)
    else:
        return [tree], lambda leaves: leaves[0]
    parts = [tree_flatten(child) for child in children]

    def rebuild(leaves):
        leaves, done, out = list(leaves), 0, []
        for part, build in parts:
            out.append(build(leaves[done : done + len(part)]))
            done += len(part)
        if kind is dict:
            return dict(zip(keys, out, strict=True))
        return kind(*out) if hasattr(kind, "_fields") else kind(out)

    return [leaf for part, _ in parts for leaf in part], rebuild


def tree_map(function, tree, *rest):
    """Apply a function leaf by leaf to trees of one structure.

    >>> tree_map(lambda a, b: a + b, {"w": 1, "b": [2]}, {"w": 10, "b": [20]})
    {'b': [22], 'w': 11}
    """
    leaves, rebuild = tree_flatten(tree)
    others = [tree_flatten(other) for other in rest]
    shape = rebuild(range(len(leaves)))
    for found, build in others:
        if len(found) != len(leaves) or build(range(len(found))) != shape:
            raise ValueError(f"trees of different structure: {shape} and {build(range(len(found)))} (leaves numbered)")
    return rebuild([function(*together) for together in zip(leaves, *(found for found, _ in others), strict=True)])


def ravel(tree):
    """Return (flat vector, unravel): the bridge to optimisers that know vectors only.

    >>> flat, unravel = ravel({"W": np.ones((2, 2)), "b": np.zeros(1)})
    >>> flat, unravel(flat)["W"].shape
    (array([1., 1., 1., 1., 0.]), (2, 2))
    """
    leaves, rebuild = tree_flatten(tree)
    if not leaves:
        return np.zeros(0), lambda flat: rebuild([])
    ends = [0]
    for leaf in leaves:
        ends.append(ends[-1] + leaf.size)

    def unravel(flat):
        if flat.shape != (ends[-1],):
            raise ValueError(f"these trees have {ends[-1]} numbers, got an array of shape {flat.shape}")
        return rebuild([flat[start:end].reshape(leaf.shape)
                        for leaf, start, end in zip(leaves, ends, ends[1:], strict=False)])

    return np.concatenate([leaf.reshape(-1) for leaf in leaves]), unravel
