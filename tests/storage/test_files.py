"""Files appear whole or not at all."""

import errno
import os
import platform
import subprocess
import sys
import threading

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


def test_an_old_file_may_be_kept(tmp_path):
    """Under another name, when the new one is complete and not before."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path, tmp_path / "b.txt"):
        raise KeyboardInterrupt
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]
    with whole_file(path, tmp_path / "b.txt") as file:
        file.write(b"new")
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"a.txt": "new", "b.txt": "old"}


def test_a_name_that_nobody_has(tmp_path):
    """Catches a second copy that replaces the first."""
    for name in ("run.npz", "run.1.npz", "run.3.npz"):
        (tmp_path / name).touch()
    assert files.unused(tmp_path / "run.npz").name == "run.2.npz" and files.unused(tmp_path / "run").name == "run.1"


def test_writers_do_not_share_an_unfinished_file(tmp_path):
    """Two at once, threads of one process and other processes.  Catches one that dies because the other has renamed the file."""
    path, names = tmp_path / "a.txt", []

    def write(text):
        with whole_file(path) as file:
            names.extend(found.name for found in tmp_path.glob("*.partial"))
            if text == "outer":
                other = threading.Thread(target=write, args=("inner",))
                other.start()
                other.join()
                assert path.read_text() == "inner"
            file.write(text.encode())

    write("outer")
    assert path.read_text() == "outer" and len(set(names)) == 2 and all(str(os.getpid()) in name for name in names)


def refusing(times):
    """os.replace on Windows, while another program has the file open for so many calls."""
    replace, calls = os.replace, []

    def called(source, target):
        calls.append(target)
        if len(calls) <= times and os.fspath(target).endswith("a.txt"):
            raise PermissionError(errno.EACCES, "Access is denied")
        return replace(source, target)

    return called


def test_a_file_that_is_open_elsewhere_is_replaced_later(tmp_path, monkeypatch):
    """Catches a run that dies because somebody looks at its checkpoint."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(files.os, "replace", refusing(3))
    write_text(path, "new")
    assert [found.read_text() for found in tmp_path.iterdir()] == ["new"]


def test_a_file_that_stays_open_gets_another_beside_it(tmp_path, monkeypatch):
    """With a warning.  Catches a run that dies, or loses what it has written."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(files.os, "replace", refusing(10**6))
    with pytest.warns(UserWarning, match=r"a.txt cannot be replaced .*: see .*a.1.txt"):
        write_text(path, "new")
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"a.txt": "old", "a.1.txt": "new"}

    with pytest.raises(PermissionError):  # there is nothing in the way: the folder refuses
        write_text(tmp_path / "other" / "a.txt", "new")
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="where a process can be asked for")
def test_what_killed_processes_have_left_is_removed(tmp_path):
    """And what living ones write is not.  Catches a folder that fills up."""
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True).stdout.strip()
    node = platform.node()
    names = {f"a.txt.{node}-{dead}-1.partial", f"a.txt.{node}-{os.getpid()}-1.partial", f"a.txt.elsewhere-{dead}-1.partial",
             f"b.txt.{node}-{dead}-1.partial"}  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "text")
    assert {found.name for found in tmp_path.iterdir()} == {"a.txt", *names} - {f"a.txt.{node}-{dead}-1.partial"}


def test_a_path_that_can_be_written(tmp_path):
    """Its folder is made, and nothing else.  Catches an old file that is emptied by the test."""
    path = tmp_path / "new" / "a.txt"
    files.require_writable(path)
    assert not list(path.parent.iterdir())
    path.write_text("old")
    files.require_writable(path)
    assert [found.read_text() for found in path.parent.iterdir()] == ["old"]
    with pytest.raises(OSError):
        files.require_writable(path / "below a file")
