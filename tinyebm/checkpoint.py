"""Trees on disk: one `.npz` file, no pickle.

The arrays are stored under their numbers; a JSON text describes the tree
around them, beside whatever the caller wants to remember.
"""

import io
import json
import os
from pathlib import Path

import numpy as np

from tinyebm.backend import to_numpy
from tinyebm.tree import tree_flatten

FORMAT = "tinyebm checkpoint 1"


def save_tree(path, tree, **notes):
    """Write a tree of arrays and some JSON-able notes; the file appears whole or not at all."""
    leaves, rebuild = tree_flatten(tree)
    header = {"format": FORMAT, "tree": _describe(rebuild(range(len(leaves)))), "notes": notes}
    text = json.dumps(header, default=np.generic.item)  # a NumPy scalar is a number too
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(text), **{str(i): to_numpy(leaf) for i, leaf in enumerate(leaves)})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    with open(temporary, "wb") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_tree(path):
    """Read what `save_tree` wrote: (tree, notes).

    Raises
    ------
    ValueError
        If the file is not one of ours, or is damaged.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            if damaged := file.zip.testzip():  # NumPy itself checks only what it reads to the end
                raise ValueError(f"{path}: the entry {damaged} is damaged")
            header = json.loads(str(file["header"]))
            if header["format"] != FORMAT:
                raise ValueError(f"{path}: a checkpoint of format {header['format']!r}; this version reads {FORMAT!r}")
            return _rebuild(header["tree"], file), header["notes"]
    except FileNotFoundError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        why = f" ({error})" if isinstance(error, OSError) else ""  # others speak of pickles and zip files
        raise ValueError(f"{path} is not a tinyebm checkpoint or model, or is damaged{why}") from error


def _describe(tree):
    if isinstance(tree, dict):
        return {"dict": {key: _describe(child) for key, child in tree.items()}}
    if isinstance(tree, (list, tuple)):
        return {"list" if isinstance(tree, list) else "tuple": [_describe(child) for child in tree]}
    return tree  # the number of a leaf


def _rebuild(description, file):
    if isinstance(description, int):
        return file[str(description)]
    (kind, children), = description.items()
    if kind == "dict":
        return {key: _rebuild(child, file) for key, child in children.items()}
    return {"list": list, "tuple": tuple}[kind](_rebuild(child, file) for child in children)
