"""Files that appear whole or not at all, whatever happens while they are written: a full disk,
Ctrl-C, a power failure."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """A binary file to write to, beside the path; when all is written, and safe on disk, it takes
    its place there.

    Until then an old file stays as it was, and if something goes wrong nothing is left behind.

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
    if os.name == "posix":  # the name, too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path, text):
    """A whole file with this text, in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())
