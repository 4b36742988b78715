"""Standard output and standard error, which may be closed, full, or of another encoding."""

import codecs
import contextlib
import os
import sys

PLAIN = {  # characters of our texts -> what an encoding without them shows
    "‖": "||",
    "±": "+-",
    "°": " degrees",
    "²": "^2",
    "Σ": "sum",
    "ε": "epsilon",
    "θ": "theta",
    "—": "-",
}


def _plain(error):
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in text), error.end


codecs.register_error("tinyebm", _plain)


def prepare():
    """Let both streams take every text: a closed one drops it, others show what they can."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed, or a process without a console
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tinyebm")


def show(*lines):
    """Print lines on standard output; OSError if it is full, BrokenPipeError if nobody reads."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"standard output cannot be written: {error.strerror}") from error


def note(line):
    """Print a line on standard error, if it can be written."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def leave():
    """Drop what a stream cannot write: Python's exit would fail with it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
