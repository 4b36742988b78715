"""Files that are written completely or not at all, even if the disk is full or the power fails.

They are written under another name, and renamed when they are safe on the disk.
"""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """A binary file to write to, which gets its name `path` when the block ends without an error.

    Until then an old file is unchanged.  After an error the new file is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/a/b") as file:
    ...         _ = file.write(b"text")
    ...     Path(folder, "a", "b").read_text()
    'text'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
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


def write_text(path, text):
    """A whole file with this text, in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())
