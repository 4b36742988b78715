"""Files that are written completely or not at all, even if the disk is full or the power fails.

They are written under another name, and renamed when they are safe on the disk.
"""

import contextlib
import glob
import os
import platform
import threading
import time
import warnings
from pathlib import Path

TRIES, PAUSE = 20, 0.05  # s; on Windows a file that another program reads cannot be replaced


@contextlib.contextmanager
def whole_file(path, aside=None):
    """A binary file to write to, which gets its name `path` when the block ends without an error.

    Until then an old file is unchanged; then it is replaced, or renamed to `aside`.  After an error
    the new file is removed.  If the system does not let the old file be replaced, the new one is
    kept beside it, with a warning.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/a/b") as file:
    ...         _ = file.write(b"text")
    ...     Path(folder, "a", "b").read_text()
    'text'
    """
    path, partial = Path(path), _partial(path)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if aside is not None:
            os.replace(path, aside)
        _replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if os.name == "posix":  # the folder, which holds the name
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _partial(path):
    """A name beside `path` that nobody else writes to, now that its folder is there.

    Files that killed processes left there are removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    here = f"{path.name}.{platform.node()}"
    for left in path.parent.glob(f"{glob.escape(here)}-*-*.partial"):
        if not _alive(int(left.name.split("-")[-2])):
            left.unlink(missing_ok=True)
    return path.with_name(f"{here}-{os.getpid()}-{threading.get_ident()}.partial")


def _alive(process):
    """Whether a process of this machine may be running."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _replace(partial, path):
    """Give the file `partial` the name `path`, or after TRIES a name beside it."""
    for _ in range(TRIES):
        try:
            return os.replace(partial, path)
        except PermissionError as error:
            refused = error
            time.sleep(PAUSE)
    if not path.is_file():
        raise refused
    aside = unused(path)
    os.replace(partial, aside)
    warnings.warn(f"{path} cannot be replaced ({refused}): see {aside}", stacklevel=4)


def unused(path):
    """The first of the names run.1.npz, run.2.npz, ... beside run.npz that no file has."""
    path, number = Path(path), 1
    while (found := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return found


def require_writable(path):
    """Make the folder of a file to be written; OSError if no file can be written there."""
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def write_text(path, text):
    """A whole file with this text, in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())
