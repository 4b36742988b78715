"""Files appear whole or not at all."""

import errno

import pytest

from tinyebm.storage import files
from tinyebm.storage.files import whole_file, write_text


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize(("place", "fault"), [("fsync", full), ("fsync", interrupted), ("replace", full), ("body", interrupted)])
def test_what_goes_wrong_leaves_what_was(tmp_path, monkeypatch, place, fault, before):
    """A full disk, or Ctrl-C, while or after the new file is written.

    Catches a file cut short under its name, an old one that is lost, and rubbish left beside it.
    """
    path = tmp_path / "a.txt"
    if before is not None:
        path.write_text(before)
    if place != "body":
        monkeypatch.setattr(files.os, place, fault)
    with pytest.raises((OSError, KeyboardInterrupt)), whole_file(path) as file:
        file.write(b"new")
        if place == "body":
            fault()

    assert [found.read_text() for found in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_new_file_takes_the_place_of_the_old(tmp_path):
    """Folders are made; text is UTF-8 whatever the locale.  Catches an old file's tail after a shorter new one."""
    for text in ("ε: a long line", "ε"):
        write_text(tmp_path / "new" / "a.txt", text)
    assert [found.read_bytes() for found in (tmp_path / "new").iterdir()] == ["ε".encode()]
