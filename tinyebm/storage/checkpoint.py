"""Trees of arrays in one `.npz` file, without pickle.

The file holds the arrays under their numbers, a JSON text (`header`) with the tree around them and
the caller's notes, and the SHA-256 digest of all this (`digest`).
"""

import hashlib
import io
import json
import math
import os
import zipfile
from collections import namedtuple

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.tree import tree_flatten
from tinyebm.storage.files import whole_file

FORMAT = "tinyebm checkpoint 2"


def save_tree(path, tree, /, aside=None, **notes):
    """Write a tree of arrays, and notes that JSON can hold, completely or not at all.

    An old file is replaced, or renamed to `aside`.  Raises ValueError if a leaf is no array of
    numbers or texts, or if a key is neither a text nor a number.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tree(f"{folder}/run.npz", {"w": np.arange(2.0)}, step=7)
    ...     load_tree(f"{folder}/run.npz")
    ({'w': array([0., 1.])}, {'step': 7})
    """
    leaves, rebuild = tree_flatten(tree)
    leaves = [np.asarray(to_numpy(leaf)) for leaf in leaves]
    for leaf in leaves:
        if leaf.dtype.hasobject:
            raise ValueError(f"a file holds arrays of numbers and texts, not {leaf!r}")
    header = {"format": FORMAT, "tree": _describe(rebuild(range(len(leaves)))), "notes": notes}
    text = json.dumps(header, default=np.generic.item)  # a NumPy scalar is a number, too
    buffer = io.BytesIO()
    arrays = {str(i): leaf for i, leaf in enumerate(leaves)}
    np.savez(buffer, header=np.array(text), digest=np.array(_digest(text, leaves)), **arrays)
    with whole_file(path, aside) as file:
        file.write(buffer.getbuffer())


def require_savable(tree):
    """Raise ValueError if `save_tree` cannot write a tree with these keys."""
    leaves, rebuild = tree_flatten(tree)
    _describe(rebuild(range(len(leaves))))


def load_tree(path, classes=()):
    """Read a file of `save_tree`: (tree, notes).

    Nothing is unpickled, and memory is allocated only for what the file holds.  A NamedTuple gets
    the one of the `classes` that has its name and its fields, or else a new class.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is truncated, damaged, of another version, or no file of `save_tree`.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is not a tinyebm checkpoint or model, but a folder")
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] != b"PK":
        raise ValueError(f"{path} is not a tinyebm checkpoint or model: no .npz file at all")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error
    try:
        text = str(_array(path, archive, "header"))
        header = json.loads(text)
        version, description, notes = header["format"], header["tree"], header["notes"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a tinyebm checkpoint or model, but another .npz file"
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"{path}: a checkpoint of format {version!r}; this version reads {FORMAT!r}"
        )
    try:
        digest = str(_array(path, archive, "digest"))
        count = len(archive.namelist()) - 2
        leaves = [_array(path, archive, str(i)) for i in range(count)]
        if digest != _digest(text, leaves):
            raise ValueError(
                f"{path} is damaged: its contents do not have the digest it was written with"
            )
        return _rebuild(description, leaves, _named(classes)), notes
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: an array is missing") from error


def _array(path, archive, name):
    """One array; KeyError if there is none of that name.

    Its size is checked before it is allocated, because the shape in its header may be wrong.
    """
    info = archive.getinfo(f"{name}.npy")
    try:
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is compressed, and may be huge")
        stream = io.BytesIO(archive.read(info))  # a wrong checksum raises
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if stream.tell() + math.prod(shape) * dtype.itemsize != len(stream.getbuffer()):
            raise ValueError("its size does not fit")
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
    except Exception as error:  # a damaged archive or header raises errors of many kinds
        raise ValueError(
            f"{path} is damaged: the entry {info.filename} is not the array it says it is"
        ) from error


def _digest(text, leaves):
    """SHA-256 of a header and of arrays, in hexadecimal."""
    sha = hashlib.sha256(text.encode())
    for leaf in leaves:
        sha.update(f"{leaf.dtype.str}{leaf.shape}".encode())
        sha.update(np.ascontiguousarray(leaf).data if leaf.size else b"")
    return sha.hexdigest()


def _describe(tree):
    """The tree as JSON, which has no tuples, and only texts as keys."""
    if isinstance(tree, dict):
        children = {key: _describe(child) for key, child in tree.items()}
        if all(isinstance(key, str) for key in tree):
            return {"dict": children}
        if not all(isinstance(key, (int, float, str)) for key in tree):
            raise ValueError(f"keys of a tree in a file must be texts or numbers, got {[*tree]}")
        return {"dict": list(children.items())}
    if isinstance(tree, (list, tuple)):
        children = list(map(_describe, tree))
        if hasattr(tree, "_fields"):
            return {"namedtuple": [type(tree).__name__, tree._fields, children]}
        return {"list" if isinstance(tree, list) else "tuple": children}
    return tree  # the number of a leaf


def _rebuild(description, leaves, named):
    if isinstance(description, int):
        return leaves[description]
    ((kind, children),) = description.items()
    if kind == "dict":
        items = children.items() if isinstance(children, dict) else children
        return {key: _rebuild(child, leaves, named) for key, child in items}
    if kind == "namedtuple":
        name, fields, children = children
        children = [_rebuild(child, leaves, named) for child in children]
        return named(name, tuple(fields))(*children)
    return {"list": list, "tuple": tuple}[kind](
        _rebuild(child, leaves, named) for child in children
    )


def _named(classes):
    """The function that finds, or makes, the NamedTuple with a name and fields."""
    known = {(kind.__name__, kind._fields): kind for kind in classes}

    def named(name, fields):
        return known.setdefault((name, fields), namedtuple(name, fields))

    return named
