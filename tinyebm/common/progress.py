"""A progress bar on stderr, in a terminal or a notebook only."""

import sys
import time


class Progress:
    """A bar for `total` steps; the last step ends its line.

    >>> bar = Progress("fit", 1000)
    >>> bar(1, "nll 2.31")  # after step 1: no terminal here, so it draws nothing
    """

    def __init__(self, title, total, show=True):
        self.title, self.total = title, total
        self.show = show and total > 0 and _watched()
        self.start = self.drawn = time.monotonic()
        self.width = 0

    def __call__(self, done, note=""):
        """Redraw at most ten times a second."""
        now = time.monotonic()
        if not self.show or (done < self.total and now - self.drawn < 0.1):
            return
        self.drawn = now
        left = (now - self.start) * (self.total - done) / max(done, 1)
        filled = round(20 * done / self.total)
        bar = f"{'━' * filled}{' ' * (20 - filled)} {done}/{self.total}"
        line = f"{self.title} {bar}  {left:3.0f} s left  {note}"
        try:
            sys.stderr.write("\r" + line.ljust(self.width) + ("\n" if done >= self.total else ""))
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # full, closed, or of another encoding
            self.show = False
        self.width = len(line)


def _watched():
    """Whether somebody may look at stderr; it is None in a process without a console."""
    try:
        return sys.stderr.isatty() or "ipykernel" in sys.modules
    except (ValueError, AttributeError):  # closed, or None
        return False
