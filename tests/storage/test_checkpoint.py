"""Trees on disk: what was saved comes back to the bit, what was damaged does not come back at all."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections import namedtuple
from typing import NamedTuple

import numpy as np
import pytest

from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.storage import checkpoint
from tinyebm.storage.checkpoint import load_tree, save_tree

TREE = {
    "theta": [{"W": np.arange(6.0).reshape(2, 3), "b": np.zeros(3, "float32")}],
    "step": np.array(7),
    "many": np.arange(2000.0) / 7,
    "odd": (np.array([np.nan, -np.inf, -0.0, 5e-324]), np.array(True), np.zeros((0, 2)), [np.array(2**63 - 1)]),
    "empty": {"tuple": (), "list": [], "dict": {}},
}
NOTES = {"identity": {"seed": 3, "name": "π"}, "history": {"nll": [1 / 3, float("inf")]}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def refused(path):
    """Loading fails with a message that names the file; the message."""
    with pytest.raises(ValueError) as refusal:
        load_tree(path)
    assert str(path) in str(refusal.value)
    return str(refusal.value)


def same(one, other):
    """Equal to the bit: containers, types, shapes, -0.0 and NaN."""
    (a, rebuild_a), (b, rebuild_b) = tree_flatten(one), tree_flatten(other)
    return rebuild_a(range(len(a))) == rebuild_b(range(len(b))) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def test_round_trip(path):
    """Catches float32 that comes back as float64, tuples as lists, scalars as (1,), an empty tuple as nothing at all."""
    save_tree(path, TREE, **NOTES)
    tree, notes = load_tree(path)

    assert same(tree, TREE)
    assert notes == NOTES


class Line(NamedTuple):
    slope: np.ndarray
    shift: np.ndarray


def test_names_and_numbers_as_keys(path):
    """NamedTuples come back with their names, integer keys as integers.  Catches "1" for 1, 1.0 for 1, and a plain tuple."""
    save_tree(path, [Line(np.ones(1), np.zeros(2)), {2: np.zeros(1), 10: (), 0.5: np.zeros(3)}])
    (line, table), _ = load_tree(path)
    assert line._fields == Line._fields and line.shift.shape == (2,)
    assert [*table] == [2, 10, 0.5] and [type(key) for key in table] == [int, int, float] and table[2] == 0
    (line, _), _ = load_tree(path, {Line})
    assert type(line) is Line
    (line, _), _ = load_tree(path, {namedtuple("Line", "slope")})  # not the same fields
    assert line._fields == Line._fields


@pytest.mark.parametrize("tree, message", [
    ({(1, 2): np.zeros(1)}, "keys of a tree in a file must be texts or numbers"),
    ({"a": None}, "a file holds arrays of numbers and texts, not array"),
    ([np.array(["a", None], dtype=object)], "a file holds arrays of numbers and texts"),
])
def test_what_no_file_holds(path, tree, message):
    """Refused when it is written.  Catches a file that is pickled, and then refused when it is read."""
    with pytest.raises(ValueError, match=message):
        save_tree(path, tree)
    assert not path.exists()


@pytest.mark.parametrize("tree", [(), {}, np.array(3.0), [np.array(1)], {"a": ()}])
def test_round_trip_of_little(path, tree):
    """Catches a tree without leaves, or that is a leaf, as a special case forgotten."""
    save_tree(path, tree)

    assert same(load_tree(path)[0], tree) and load_tree(path)[1] == {}


def test_many_leaves_keep_their_places(path):
    """Catches leaves sorted as text, where 10 comes before 2."""
    tree = {f"{i:02d}": [np.array(i), np.array(-i)] for i in range(12)}
    save_tree(path, tree)

    tree_map(np.testing.assert_array_equal, load_tree(path)[0], tree)


def test_folders_are_made_and_files_overwritten(tmp_path):
    path = tmp_path / "a" / "b" / "run.npz"
    save_tree(path, np.array(1.0))
    save_tree(str(path), np.array(2.0))

    assert load_tree(str(path))[0] == 2.0
    assert os.listdir(path.parent) == ["run.npz"]  # nothing half-written beside it


def test_a_missing_file_is_missing(path):
    """Catches the same error for a file that is not there as for one that is damaged."""
    with pytest.raises(FileNotFoundError, match=r"run\.npz"):
        load_tree(path)


def test_truncated_files_are_refused(path):
    """A disk that was full, at every length: catches arrays that come back short, and a file left open."""
    save_tree(path, TREE)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path)


def test_a_flipped_bit_is_refused_or_harmless(path):
    """In every 101st byte, and in the array's header, either a refusal or the very same tree.

    Catches numbers that come back changed: NumPy by itself verifies no checksum of a large array whose header is damaged.
    """
    save_tree(path, {"many": np.arange(2000.0) / 7, "step": np.array(7)}, **NOTES)
    whole, outcomes = path.read_bytes(), set()
    shape = whole.index(b"(2000,)")
    header = whole.rindex(b"\x93NUMPY", 0, shape)
    for bit in [*range(0, 8 * len(whole), 807), *range(8 * header, 8 * header + 80), *range(8 * shape, 8 * shape + 56)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            tree, notes = load_tree(path)
        except ValueError as refusal:
            outcomes.add("refused")
            assert str(path) in str(refusal)
        else:
            outcomes.add("harmless")  # a time stamp, say
            assert same(tree, {"many": np.arange(2000.0) / 7, "step": np.array(7)}) and notes == NOTES

    assert outcomes == {"refused", "harmless"}


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(x):
    buffer = io.BytesIO()
    np.save(buffer, x)
    return buffer.getvalue()


HEADER = json.dumps({"format": checkpoint.FORMAT, "tree": {"list": [0, 1]}, "notes": {}})


@pytest.mark.parametrize("change, message", [
    (lambda whole: whole[: len(whole) // 2], "truncated or damaged"), (lambda whole: whole[:-1], "truncated or damaged"),
    (lambda whole: whole.replace(b"\x00\x00\x00\x00\x00\x00\xf0?", b"\x00\x00\x00\x00\x00\x00\xf0@"), "damaged"),
    (lambda whole: b"a,b\n1,2\n", "no .npz file at all"), (lambda whole: archive(a=np.zeros(2)), "another .npz file"),
    (lambda whole: archive(header=np.array(HEADER.replace("2", "1", 1)), digest=np.array("")), "this version reads"),
], ids=["half", "one byte short", "a number changed", "csv", "another archive", "version"])  # fmt: skip
def test_the_message_says_what_is_wrong(path, change, message):
    save_tree(path, {"one": np.ones(50)})
    path.write_bytes(change(path.read_bytes()))

    assert message in refused(path)


def test_a_changed_array_with_a_valid_checksum_is_refused(path):
    """By somebody who wrote the archive anew: the digest covers what the zip file's own checksums do not."""
    save_tree(path, [np.zeros(3), np.ones(3)])
    with np.load(path) as file:
        arrays = dict(file)
    for changed in ({"0": np.ones(3)}, {"0": arrays["1"], "1": arrays["0"]}, {"0": np.zeros(3, "float32")},
                    {"0": np.zeros((1, 3))}, {"header": np.array(str(arrays["header"]).replace("list", "tuple"))}):
        path.write_bytes(archive(**(arrays | changed)))
        assert "damaged" in refused(path)


@pytest.mark.parametrize("shape", ["(400000000000,)", "(4611686018427387904, 8)", "(-3,)", "(3, 99999999999)"])
def test_an_array_that_claims_to_be_huge_is_refused_before_it_is_allocated(path, shape):
    """The header of an array says how much to allocate: catches a terabyte, an overflow, and a negative size."""
    head = repr({"descr": "<f8", "fortran_order": False, "shape": "SHAPE"}).replace("'SHAPE'", shape).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    entry = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(24)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in (("header", npy(np.array(HEADER))), ("digest", npy(np.array(""))), ("0", entry)):
            file.writestr(f"{name}.npy", content)
    path.write_bytes(buffer.getvalue())
    tracemalloc.start()
    message = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "0.npy is not the array it says it is" in message and peak < 2**20


def test_a_compressed_archive_is_refused(path):
    """Ten megabytes of zeros in ten kilobytes: what it claims to hold is not what is there."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.array(HEADER), digest=np.array(""), **{"0": np.zeros(2**20), "1": np.zeros(1)})
    path.write_bytes(buffer.getvalue())

    assert "is not the array it says it is" in refused(path)


@pytest.mark.parametrize("content", [
    b"", b"hello", b"\x00" * 1000, npy(np.arange(3.0)), archive(a=np.arange(3.0)), archive(header=np.array("{}")),
    archive(header=np.array("not json")), archive(header=np.array(HEADER), **{"0": np.zeros(2)}),
    archive(header=np.array(HEADER.replace("list", "set")), **{"0": np.zeros(2), "1": np.zeros(2)}),
], ids=["empty", "text", "zeros", "npy", "no header", "empty header", "no json", "array missing", "a set"])  # fmt: skip
def test_foreign_files_are_refused(path, content):
    """Catches a KeyError, a BadZipFile or a JSONDecodeError that does not say which file."""
    path.write_bytes(content)
    refused(path)


def test_another_format_says_which(path):
    """A checkpoint of a later version, say."""
    path.write_bytes(archive(header=np.array(HEADER.replace("checkpoint 2", "checkpoint 9"))))

    assert "'tinyebm checkpoint 9'; this version reads 'tinyebm checkpoint 2'" in refused(path)


class Bomb:
    """Unpickling it runs code."""

    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


def test_nothing_is_unpickled(path):
    """A plain pickle, an object array, and one in the place of a leaf: catches allow_pickle=True."""
    bomb = np.array([Bomb()], dtype=object)
    leaves = {"header": np.array(HEADER), "0": np.zeros(2), "1": bomb}
    for content in (pickle.dumps(Bomb()), npy(bomb), archive(header=bomb), archive(**leaves)):
        path.write_bytes(content)
        refused(path)

    assert not Bomb.exploded
    pickle.loads(pickle.dumps(Bomb()))
    assert Bomb.exploded  # the test would have noticed


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file(path, broken, monkeypatch):
    """Power fails before the new file is safe, or before it takes the old one's place.

    Catches writing into the old file.
    """
    save_tree(path, TREE, run=1)

    def fail(*args):
        raise OSError("power failure")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, broken, fail)
        with pytest.raises(OSError, match="power failure"):
            save_tree(path, {"theta": np.zeros(3)}, run=2)

    tree, notes = load_tree(path)
    assert same(tree, TREE) and notes == {"run": 1}
    save_tree(path, {"theta": np.zeros(3)}, run=3)  # and the next write goes through
    assert load_tree(path)[1] == {"run": 3}


def test_the_new_file_is_on_disk_before_it_takes_the_old_ones_place(path, monkeypatch):
    """Catches a rename before fsync: after a power failure there would be a name without content."""
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(checkpoint.os, "fsync", lambda file: (order.append("fsync"), sync(file)))
    monkeypatch.setattr(checkpoint.os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    save_tree(path, TREE)

    assert order == ["fsync", "replace", "fsync"]  # the last one is the folder's
