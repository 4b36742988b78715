"""Trees on disk: one `.npz` file, no pickle.

The arrays are stored under their numbers; a JSON text describes the tree around them, beside
whatever the caller wants to remember; a digest (SHA-256) covers all of it.  A file appears whole or
not at all (`tinyebm.storage.files`).
"""

import hashlib
import io
import json
import math
import os
import zipfile

import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.common.tree import tree_flatten
from tinyebm.storage.files import whole_file

FORMAT = "tinyebm checkpoint 2"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def save_tree(path, tree, **notes):
    """Write a tree of arrays and some JSON-able notes; the file appears whole or not at all."""
    leaves, rebuild = tree_flatten(tree)
    leaves = [np.asarray(to_numpy(leaf)) for leaf in leaves]
    header = {"format": FORMAT, "tree": _describe(rebuild(range(len(leaves)))), "notes": notes}
    text = json.dumps(header, default=np.generic.item)  # a NumPy scalar is a number too
    buffer = io.BytesIO()
    arrays = {str(i): leaf for i, leaf in enumerate(leaves)}
    np.savez(buffer, header=np.array(text), digest=np.array(_digest(text, leaves)), **arrays)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_tree(path):
    """Read what `save_tree` wrote: (tree, notes).

    Nothing is unpickled, and nothing allocated that the file does not hold.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is truncated, damaged, of another version, or not one of ours: saying which.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is not a tinyebm checkpoint or model, but a folder")
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise ValueError(f"{path} is not a tinyebm checkpoint or model: no .npz file at all")
        try:
            return _load(path, file)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is truncated or damaged: {error}") from error


def _load(path, file):
    archive = zipfile.ZipFile(file)
    entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if "header" not in entries:
        raise ValueError(f"{path} is not a tinyebm checkpoint or model, but another .npz file")
    text = str(_read(path, archive, entries["header"]))
    try:
        header = json.loads(text)
        version, description, notes = header["format"], header["tree"], header["notes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a tinyebm checkpoint or model, but another .npz file"
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"{path}: a checkpoint of format {version!r}; this version reads {FORMAT!r}"
        )
    try:
        digest = str(_read(path, archive, entries.pop("digest")))
        leaves = [_read(path, archive, entries[str(i)]) for i in range(len(entries) - 1)]
        if digest != _digest(text, leaves):
            raise ValueError(
                f"{path} is damaged: its contents do not have the digest it was written with"
            )
        return _rebuild(description, leaves), notes
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: an array is missing") from error


def _read(path, archive, info):
    """One array, allocated only if the file holds as many bytes as its header says."""
    try:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError("it is compressed")
        with archive.open(info) as stream:
            shape, fortran, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
            size = math.prod(shape) * dtype.itemsize
            if (
                dtype.hasobject
                or min(shape, default=0) < 0
                or stream.tell() + size != info.file_size
            ):
                raise ValueError("its size does not fit")
            content = bytearray(stream.read(size))
            if len(content) < size or stream.read(1):  # at its end the checksum is looked at
                raise ValueError("it ends early")
    except Exception as error:  # what reads headers fails in many ways on a damaged one
        raise ValueError(
            f"{path} is damaged: the entry {info.filename} is not the array it says it is"
        ) from error
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")


def _digest(text, leaves):
    """SHA-256 of a header and of arrays, in hexadecimal."""
    sha = hashlib.sha256(text.encode())
    for leaf in leaves:
        sha.update(f"{leaf.dtype.str}{leaf.shape}".encode())
        sha.update(np.ascontiguousarray(leaf).data if leaf.size else b"")
    return sha.hexdigest()


def _describe(tree):
    if isinstance(tree, dict):
        return {"dict": {key: _describe(child) for key, child in tree.items()}}
    if isinstance(tree, (list, tuple)):
        return {"list" if isinstance(tree, list) else "tuple": [_describe(child) for child in tree]}
    return tree  # the number of a leaf


def _rebuild(description, leaves):
    if isinstance(description, int):
        return leaves[description]
    ((kind, children),) = description.items()
    if kind == "dict":
        return {key: _rebuild(child, leaves) for key, child in children.items()}
    return {"list": list, "tuple": tuple}[kind](_rebuild(child, leaves) for child in children)
