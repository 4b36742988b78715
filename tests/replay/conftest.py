"""What the tests of replay share: a function traced on some numbers and replayed on others, and a number of threads to try."""

from contextlib import contextmanager

import numpy as np
import pytest

from tinyebm.replay import plans
from tinyebm.replay.program import Program
from tinyebm.replay.trace import trace


def replayed(function, traced, fresh, linear=False):
    """function(*fixed, *rows), a list of arrays, traced on one pair (fixed, rows) and replayed on another of equal shapes.

    It first runs on the numbers it was traced on, and on the fresh ones twice: what one run leaves in the buffers must
    not matter to the next.
    """
    with np.errstate(all="ignore"):
        program = Program(*trace(function, *traced), linear)
    found = []
    for fixed, rows in (traced, fresh, fresh):
        program.load(fixed)
        for buffer, x in zip(program.rows, rows, strict=True):
            np.copyto(buffer, x)
        with np.errstate(all="ignore"):
            program.run()
        found.append([x.copy() for x in (program.finish(program.total.copy()) if linear else program.outputs)])
    for one, other in zip(*found[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    return found[-1]


@pytest.fixture(scope="session")
def replay():
    """`replay(function, traced, fresh)`: its results on fresh numbers, by the program of the traced ones."""
    return replayed


@pytest.fixture(scope="session")
def agree():
    """`agree(found, wanted)`: lists of arrays are equal in shape and type, and to rounding of their largest entry."""
    def check(found, wanted, rtol=None):
        for a, b in zip(found, wanted, strict=True):
            b, tolerance = np.asarray(b), rtol or {4: 2e-4}.get(np.asarray(b).dtype.itemsize, 1e-11)
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            finite = np.abs(b[np.isfinite(b)])
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, finite.max(initial=0)))

    return check


@pytest.fixture
def threads(monkeypatch):
    """`threads(n)`: from now on n threads work on tiles, be they ever so small."""
    def use(n):
        monkeypatch.setattr(plans, "WORTH", 0.0)
        monkeypatch.setattr(plans, "one_blas_thread", contextmanager(lambda: (yield n)))

    return use
