"""What goes into a tape, beside the arrays it watches, and what comes out of it.

A tape is read after the function has run.  So arrays that come from outside are copied: whatever is
written to them later, the derivative is that of the function as it ran.
"""

import numpy as np

# types of arguments that nobody can write to
FIXED = {float, int, bool, type(None), slice, np.float64}


def constant(a):
    """An argument that no tape watches, as it is now; complex numbers are refused."""
    if type(a) in (tuple, list):
        fixed = type(a) is tuple and all(type(part) in FIXED for part in a)
        return a if fixed else type(a)(map(constant, a))
    if isinstance(a, complex) or getattr(getattr(a, "dtype", None), "kind", None) == "c":
        raise TypeError(
            "derivatives are those of real numbers, and a complex one was met under grad: write "
            "out its real and imaginary parts"
        )
    if isinstance(a, np.ndarray) and (a.flags.writeable or type(a) is not np.ndarray):
        if type(a) is not np.ndarray and np.ma.is_masked(a):
            raise TypeError(
                "a masked array met one under grad, which knows no masks: fill its gaps, or leave "
                "their rows out"
            )
        a = np.array(a)
        a.flags.writeable = False
    return a


def leaf(x):
    """An argument to differentiate by, as it is now."""
    x = np.asarray(x) if isinstance(x, (float, int)) else x
    if getattr(getattr(x, "dtype", None), "kind", None) != "f":
        given = getattr(x, "dtype", repr(x))
        raise TypeError(
            f"can only differentiate by floating-point arrays, got {given}: convert with x * 1.0"
        )
    if type(x) is not np.ndarray and np.ma.is_masked(x):
        raise TypeError(
            "can only differentiate by arrays without masks: fill the gaps, or leave their rows out"
        )
    return np.array(x) if isinstance(x, np.ndarray) else x


def require_real(g):
    """A cotangent, refused if it is not of real numbers."""
    g = np.asarray(g) if isinstance(g, (list, float, int, complex)) else g
    if g.dtype.kind not in "fiub":
        raise TypeError(f"a cotangent is of real numbers, got {g.dtype}")
    return g


def require_entries(x):
    """The shape of an array, refused if it has no dimension."""
    if not x.shape:
        raise TypeError(
            "a number under grad has no length and no entries: loops, sum, min and max go over "
            "arrays"
        )
    return x.shape


def shared(x, others):
    """Whether a plain x is no array of its own: a scalar, a view, or one of the others."""
    return (
        isinstance(x, np.generic)
        or getattr(x, "base", None) is not None
        or any(x is other for other in others)
    )
