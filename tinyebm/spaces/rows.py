"""The user's data as arrays of floating-point numbers.

Arrays of any type, lists, tables and tensors of other libraries are converted if none of their
numbers changes: whole numbers and booleans become double precision.  Otherwise a ValueError is
raised.  Arrays in single and in double precision stay as they are, and so do values under `grad`
and in replay.
"""

import numpy as np

from tinyebm.autodiff.tape import Symbol, cast
from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import every, tree_map

FLOATS = (np.dtype("float64"), np.dtype("float32"))
DATA = "data must be an array of numbers, rows (n, d), n > 0"
LARGEST = 2**53  # larger whole numbers may not be exact in double precision
ARRAY_LIKE = ("__array__", "__array_interface__", "__dlpack__", "__buffer__", "to_numpy", "toarray")
TOO_WIDE = "double precision cannot hold all of them: round by x.astype(float)"
REMEDIES = {
    "i": TOO_WIDE,
    "u": TOO_WIDE,
    "f": TOO_WIDE,
    "U": "text is no number: convert it by x.astype(float), or leave it out",
    "O": "an entry is no number, or rows differ in length: convert it, or leave it out",
    "M": "subtract an origin and divide by a unit of time",
    "m": "divide by a unit of time",
    "c": "give real and imaginary parts as columns",
}


def rows(x, dim, name="x"):
    """x as floating-point rows (n, dim).

    >>> rows([[1, 2], [3, 4]], 2)
    array([[1., 2.],
           [3., 4.]])
    """
    if type(x) is not np.ndarray or x.dtype not in FLOATS:
        x = numbers(x, f"{name} must have shape (n, {dim})")
    if x.ndim != 2 or x.shape[1] != dim:
        remedy = f": one column is {name}[:, None], one row {name}[None]" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {dim}), got {x.shape}{remedy}")
    return x


def clean(x, name="x"):
    """Rows without nan, or ValueError; arrays on a GPU and traced values are not checked."""
    # the sum of squares is nan if one of them is
    if type(x) is np.ndarray and (squares := np.vdot(x, x)) != squares:
        raise ValueError(
            f"{name} holds nan: clean it first (row {_first(np.isnan(x))} of {len(x)}, counted "
            "from 0)"
        )
    return x


def exact_rows(x, dim):
    """Rows (n, dim) for exact answers: in double precision, without nan."""
    return double(clean(rows(x, dim)))


def clean_data(x):
    """Data (n, d), n > 0, in double precision; ValueError if a row is not finite."""
    found = double(numbers(x, DATA))
    if found.ndim != 2 or len(found) == 0:
        remedy = ": one column is x[:, None]" if found.ndim == 1 else ""
        raise ValueError(f"{DATA}, got {type(x).__name__} of shape {found.shape}{remedy}")
    x = found
    if not (sound := np.isfinite(x)).all():
        raise ValueError(
            f"data holds nan or inf: clean it first (row {_first(~sound)} of {len(x)}, counted "
            "from 0)"
        )
    return x


def _first(bad):
    return int(bad.any(axis=1).argmax())


def double(x):
    """An array in double precision."""
    return x if x.dtype == FLOATS[0] else cast(x, FLOATS[0])


def as_data(data):
    """Numbers of any kind as an array; a Target, a Density, a Fit or Data unchanged."""
    listed = isinstance(data, (list, tuple)) and not hasattr(data, "density")  # no Fit
    arrays = listed or any(hasattr(data, name) for name in ARRAY_LIKE)
    return numbers(data, DATA) if arrays else data


def parameters(theta):
    """θ with whole numbers, booleans and half precision as wider floating-point arrays.

    In the original types formulas may overflow.
    """
    if every(lambda leaf: getattr(leaf, "dtype", object) in FLOATS, theta):
        return theta
    return tree_map(_parameter, theta)


def _parameter(leaf):
    dtype = getattr(leaf, "dtype", None)
    narrow = isinstance(dtype, np.dtype) and (dtype.kind in "iub" or dtype == np.float16)
    if narrow or isinstance(leaf, (int, float)):
        return numbers(leaf, "theta holds floating-point arrays")
    return leaf


def numbers(x, wanted):
    """x as an array of floating-point numbers, of any shape.

    Raises
    ------
    ValueError
        If x is something else, or a number would change; the message begins with `wanted`.
    """
    if isinstance(x, Symbol):
        return x
    if on_gpu(x):
        return _floats(x, wanted, "an array")
    if np.ma.is_masked(x):
        raise ValueError(
            f"{wanted}, got a masked array with masked entries: leave their rows out, or fill them "
            "in"
        )
    given = type(x).__name__
    try:
        found = _columns(x) if hasattr(x, "columns") and hasattr(x, "to_numpy") else _array(x)
    except Exception as error:  # of another library, about what it cannot convert
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{wanted}, got {given}, which NumPy cannot read: convert it to an array of numbers "
            f"first ({said})"
        ) from None
    if isinstance(found, list):
        said = f"{given} whose column"
        columns = [_floats(column, wanted, f"{said} {name!r} is") for name, column in found]
        return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))
    if found.ndim == 0 and found.dtype.kind not in "fiubc":  # no array at all
        raise ValueError(f"{wanted}, got {given}")
    return _floats(found, wanted, f"{given} of")


def _array(x):
    """The NumPy array of a list of numbers, a tensor or a sparse matrix."""
    if isinstance(x, (list, tuple)):
        return np.array(x, dtype=object)
    for method in ("detach", "toarray", "to_numpy"):
        x = getattr(x, method)() if hasattr(x, method) else x
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def _columns(x):
    """(name, array) of every column of a table; columns may differ in type."""
    names = list(x.columns)
    if len(set(names)) == len(names) and hasattr(x, "__getitem__"):
        return [(name, np.asarray(x[name])) for name in names]
    return list(zip(names, np.asarray(x.to_numpy()).T, strict=True))


def _floats(x, wanted, given):
    """A plain array in floating point; ValueError if a number would change."""
    kind = x.dtype.kind
    if x.dtype in FLOATS:
        return x
    if x.dtype.names:
        said = f"{given} fields, and"
        return np.stack([_floats(x[n], wanted, f"{said} {n!r} is") for n in x.dtype.names], axis=-1)
    found = None
    if kind == "O":
        found = _from_objects(x)
    elif kind in "fiub":
        found = _from_numbers(x)
    if found is None:
        remedy = REMEDIES.get(kind, "convert it to numbers")
        raise ValueError(f"{wanted}, got {given} {x.dtype}: {remedy}")
    return found


def _from_numbers(x):
    """An array of numbers in double precision; None if one would change."""
    with np.errstate(over="ignore"):
        found = x.astype(FLOATS[0])
    if x.dtype.itemsize < 8 or x.size == 0:
        return found
    if x.dtype.kind == "f":
        return found if ((found == x) | (x != x)).all() else None
    big = (x > LARGEST) | (x < -LARGEST)
    return found if x[big].tolist() == list(map(int, found[big].tolist())) else None


def _from_objects(x):
    """Python's numbers in double precision; None if one is not a number, or would change."""
    no_reals = str, bytes, complex, np.complexfloating
    if any(issubclass(kind, no_reals) for kind in set(map(type, x.flat))):
        return None
    try:
        found = x.astype(FLOATS[0])
        missing = np.not_equal(x, x, dtype=object) & np.isnan(found)  # nan is not equal to itself
        same = np.equal(x, found, dtype=object) | missing
        return found if same.astype(bool).all() else None
    except Exception:  # objects that are not numbers raise errors of many kinds
        return None
