"""The state of each thread on which replay depends."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local


class _Thread(local):
    """The state of each thread: whether it runs plainly, the open blocks of `remembering`, and
    whether it is inside `one_blas_thread`."""

    plain = False
    scopes = ()
    alone = False


THREAD = _Thread()


@contextmanager
def plain() -> Iterator[None]:
    """Run every formula as it is written, in this thread, until the end of the block.

    Outside of such a block the NumPy calls of an energy are recorded once and then repeated.
    Inside it energies are called as Python functions on blocks of rows, so you can print from them
    and use a debugger.  Results differ by rounding.  Samples of `te.ULA` also differ by the random
    numbers, which come from `rng` directly.

    >>> import numpy as np
    >>> import tinyebm as te
    >>> def energy(theta, x):
    ...     print("rows:", len(x))
    ...     return 0.5 * x[:, 0] ** 2
    >>> p = te.Density(energy, {}, te.Reals(1))
    >>> with te.plain():
    ...     slopes = te.score(p, np.zeros((5000, 1)))
    rows: 4096
    rows: 904
    """
    before, THREAD.plain = THREAD.plain, True
    try:
        yield
    finally:
        THREAD.plain = before
