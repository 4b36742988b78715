"""One gate for numbers that users bring: arrays of any type, lists, tables, tensors of other
libraries.

What holds real numbers becomes an array of floating-point numbers if none of them changes on the
way: whole numbers and booleans become double precision exactly.  What would lose something, or
holds something else, is refused in one line. Arrays of single and of double precision pass as they
are, and so do those under `grad` and in replay.
"""

import numpy as np

from tinyebm.autodiff.tape import Symbol, cast
from tinyebm.common.backend import on_gpu
from tinyebm.common.tree import every, tree_map

FLOATS = (np.dtype("float64"), np.dtype("float32"))
DATA = "data must be an array of numbers, rows (n, d), n > 0"
LARGEST = 2**53  # from where on not every whole number is one of double precision
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
    """Rows, refused if one holds nan; what has no values to look at, or would wait for a GPU,
    passes."""
    # nan if one is, at the least cost
    if type(x) is np.ndarray and (squares := np.vdot(x, x)) != squares:
        raise ValueError(
            f"{name} holds nan: clean it first (row {_first(np.isnan(x))} of {len(x)}, counted "
            "from 0)"
        )
    return x


def exact_rows(x, dim):
    """Rows (n, dim) for exact answers: in double precision, and without nan."""
    return double(clean(rows(x, dim)))


def clean_data(x):
    """Data (n, d), n > 0, in double precision, refused if a row is not finite."""
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
    """An array in double precision: itself if it is."""
    return x if x.dtype == FLOATS[0] else cast(x, FLOATS[0])


def as_data(data):
    """Whatever holds numbers as an array of them; a Target, a Density, a Fit or Data as it is."""
    arrays = (
        isinstance(data, (list, tuple))
        and not hasattr(data, "density")
        or any(hasattr(data, name) for name in ARRAY_LIKE)
    )
    return numbers(data, DATA) if arrays else data


def parameters(theta):
    """θ with floating-point arrays in the place of whole numbers and booleans, in whose own types
    formulas may overflow."""
    if every(lambda leaf: getattr(leaf, "dtype", object) in FLOATS, theta):
        return theta
    return tree_map(
        lambda leaf: (
            numbers(leaf, "theta holds floating-point arrays") if _is_narrow(leaf) else leaf
        ),
        theta,
    )


def _is_narrow(leaf):
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, (int, float)) or (
        isinstance(dtype, np.dtype) and (dtype.kind in "iub" or dtype == np.float16)
    )


def numbers(x, wanted):
    """x as an array of floating-point numbers of any shape; `wanted` begins what is said of
    anything else."""
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
        found = error
    if isinstance(found, Exception):
        said = " ".join(str(found).split())[:200]
        raise ValueError(
            f"{wanted}, got {given}, which NumPy cannot read: convert it to an array of numbers "
            f"first ({said})"
        )
    if isinstance(found, list):
        columns = [
            _floats(column, wanted, f"{given} whose column {name!r} is") for name, column in found
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))
    if found.ndim == 0 and found.dtype.kind not in "fiubc":  # no array at all
        raise ValueError(f"{wanted}, got {given}")
    return _floats(found, wanted, f"{given} of")


def _array(x):
    """A NumPy array of what can be one: a list of numbers, a tensor, a sparse matrix."""
    if isinstance(x, (list, tuple)):
        return np.array(x, dtype=object)
    for method in ("detach", "toarray", "to_numpy"):
        x = getattr(x, method)() if hasattr(x, method) else x
    return (
        np.from_dlpack(x)
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__")
        else np.asarray(x)
    )


def _columns(x):
    """(name, array) of every column of a table: they may differ in type."""
    names = list(x.columns)
    if len(set(names)) == len(names) and hasattr(x, "__getitem__"):
        return [(name, np.asarray(x[name])) for name in names]
    return list(zip(names, np.asarray(x.to_numpy()).T, strict=True))


def _floats(x, wanted, given):
    """A plain array in floating point, refused where a number would change."""
    if x.dtype in FLOATS:
        return x
    if x.dtype.names:
        return np.stack(
            [
                _floats(x[name], wanted, f"{given} fields, and {name!r} is")
                for name in x.dtype.names
            ],
            axis=-1,
        )
    found = (
        _from_objects(x)
        if x.dtype.kind == "O"
        else _from_numbers(x)
        if x.dtype.kind in "fiub"
        else None
    )
    if found is None:
        raise ValueError(
            f"{wanted}, got {given} {x.dtype}: "
            f"{REMEDIES.get(x.dtype.kind, 'convert it to numbers')}"
        )
    return found


def _from_numbers(x):
    """Numbers in double precision; None if one would change."""
    with np.errstate(over="ignore"):
        found = x.astype(FLOATS[0])
    if x.dtype.itemsize < 8 or x.size == 0:
        return found
    if x.dtype.kind == "f":
        return found if ((found == x) | (x != x)).all() else None
    big = (x > LARGEST) | (x < -LARGEST)
    return found if x[big].tolist() == list(map(int, found[big].tolist())) else None


def _from_objects(x):
    """Python's numbers in double precision; None if one is no number, or would change."""
    if any(
        issubclass(kind, (str, bytes, complex, np.complexfloating))
        for kind in set(map(type, x.flat))
    ):
        return None
    try:
        found = x.astype(FLOATS[0])
        same = np.equal(x, found, dtype=object) | (
            np.not_equal(x, x, dtype=object) & np.isnan(found)
        )
        return found if same.astype(bool).all() else None
    except Exception:  # what is no number refuses in its own way
        return None
