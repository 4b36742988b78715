"""A stand-in for CuPy on a machine without a GPU: NumPy arrays in a wrapper that refuses what CuPy refuses.

It takes part in the two NumPy protocols of cupy.ndarray (NEP 13 and NEP 18), knows CuPy's surface from
cupy_surface.json (names, keyword arguments, methods of Generator, read off CuPy itself), and goes by CuPy's name.
It counts kernels ("launch"), places where the host would wait ("sync") and host arrays sent to the device ("upload").
Random numbers are NumPy's of the same seed, so results can be compared to the last bit.
"""

import collections
import contextlib
import json
import pathlib
import types

import numpy as np

SURFACE = json.loads((pathlib.Path(__file__).parent / "cupy_surface.json").read_text())
COUNT = collections.Counter()
VIEWS = set("broadcast_to broadcast_arrays swapaxes reshape ravel expand_dims squeeze transpose moveaxis atleast_1d atleast_2d "
            "split array_split shape ndim size result_type may_share_memory view diagonal empty empty_like".split())  # no kernel
TAKES_HOST = {"asarray", "array", "asanyarray", "ascontiguousarray", "savez", "save", "savez_compressed"}
LIKE_BROKEN = {"ones", "full", "eye", "identity"}  # NumPy 2 hands like='s owner a device= that CuPy 14 does not know
COMPARE = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}


def wrap(result):
    """Device arrays for a result's arrays: of no dimension where NumPy has scalars."""
    if isinstance(result, (tuple, list)) and all(isinstance(part, np.ndarray) for part in result):
        return type(result)(map(wrap, result))
    return ndarray(result) if isinstance(result, (np.ndarray, np.generic, bool)) else result


def unwrap(x, name, host_ok=False):
    """The NumPy arrays inside an argument; a host array is refused, or uploaded where CuPy takes one."""
    if isinstance(x, ndarray):
        return x._array
    if isinstance(x, np.ndarray):
        if not host_ok:
            raise TypeError(f"{name}: Unsupported type <class 'numpy.ndarray'> next to a CuPy array")
        COUNT["upload"] += 1
    if isinstance(x, (list, tuple)):
        return type(x)(unwrap(part, name, host_ok) for part in x)
    return x


def call(function, name, params, args, kwargs, host_ok=False):
    """One function of CuPy's: its keywords checked, its launch counted."""
    allowed = ["out", "dtype", "casting"] if params == "ufunc" else params
    for keyword in kwargs:
        if allowed is not None and keyword not in allowed:
            raise TypeError(f"cupy.{name}() got an unexpected keyword argument {keyword!r}")
    COUNT["launch"] += name.split(".")[-1] not in VIEWS and not FUSING
    out = kwargs.get("out")
    result = function(*[unwrap(x, name, host_ok) for x in args], **{k: unwrap(x, name, host_ok) for k, x in kwargs.items()})
    return (out[0] if isinstance(out, tuple) else out) if out is not None else wrap(result)


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 - CuPy's name
    """cupy.ndarray."""

    __hash__ = None

    def __init__(self, array):
        self._array = np.asarray(array)
        if self._array.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {self._array.dtype}")

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        name = ufunc.__name__
        if name not in SURFACE["numpy"] and name not in SURFACE["special"]:
            return NotImplemented
        if method in ("reduce", "accumulate") and name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{name}.{method}` is not supported yet")
        if method == "__call__" and any(isinstance(x, (list, tuple)) for x in args):
            return NotImplemented
        if name in COMPARE:
            args = [x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in args]
        return call(getattr(ufunc, method), name, "ufunc" if method == "__call__" else None, args, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        name, names = function.__name__, SURFACE.get(function.__module__, {})
        if name not in names:
            return NotImplemented
        if name in LIKE_BROKEN:
            raise TypeError(f"{name}() got an unexpected keyword argument 'device'")
        return call(function, name, names[name], args, kwargs, name in TAKES_HOST)

    def __getattr__(self, name):
        if name.startswith("_") or name not in SURFACE["ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        attribute = getattr(self._array, name)
        if not callable(attribute):
            return wrap(attribute)
        return lambda *args, **kwargs: call(attribute, f"ndarray.{name}", [] if {"where", "initial"} & {*kwargs} else None, args,
                                            kwargs)

    def get(self):
        """A copy on the host, which waits for it."""
        COUNT["sync"] += 1
        return self._array.copy()

    def item(self, *index): return self.get().item(*index)
    def tolist(self): return self.get().tolist()
    def __float__(self): return float(self.get())
    def __int__(self): return int(self.get())
    def __index__(self): return self.get().__index__()
    def __bool__(self): return bool(self.get())
    def __format__(self, spec): return format(self.get(), spec)
    def __repr__(self): return repr(self.get())
    def __len__(self): return len(self._array)
    def __iter__(self): return (self[i] for i in range(len(self)))

    def _index(self, index, storing=False):
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, (ndarray, np.ndarray)) and part.dtype == bool:
                COUNT["sync"] += not storing  # the length of x[mask] must come back to the host
            elif isinstance(part, ndarray) and storing and len(np.unique(part._array)) < part.size:
                raise ValueError("x[i] = v is undefined in CuPy where i repeats: use np.add.at or np.where")
        return unwrap(index, "index", host_ok=True)

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        COUNT["launch"] += any(isinstance(part, (ndarray, np.ndarray, list)) for part in parts)
        return wrap(self._array[self._index(index)])

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        COUNT["launch"] += 1
        self._array[self._index(index, storing=True)] = unwrap(value, "setitem", host_ok=True)


ndarray.__module__ = "cupy"


class Generator:
    """cupy.random.Generator, with NumPy's numbers."""

    def __init__(self, seed=None):
        self._rng = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name.startswith("_") or name not in SURFACE["Generator"]:
            raise AttributeError(f"'cupy.random.Generator' object has no attribute {name!r}")
        draw = lambda *args, **kwargs: np.asarray(getattr(self._rng, name)(*args, **kwargs))
        return lambda *args, **kwargs: call(draw, f"Generator.{name}", SURFACE["Generator"][name], args, kwargs)


Generator.__module__ = "cupy"


def asarray(a, dtype=None):
    """An array on the device."""
    COUNT["upload"] += 1
    return ndarray(np.array(a, dtype=dtype))


FUSING = []  # while not empty, operations belong to one kernel


class _Fusing:
    """What cupy.fuse hands to a function: operators and CuPy's own functions, no NumPy protocol, no shape."""

    __array_ufunc__ = None

    def __init__(self, value):
        self._value = value

    dtype = property(lambda self: self._value.dtype)
    ndim = property(lambda self: np.ndim(self._value))

    def __bool__(self):
        raise TypeError("Cannot convert to Python scalar in cupy.fuse")

    __int__ = __float__ = __bool__


def _apply(ufunc, args):
    bare = [x._value if isinstance(x, _Fusing) else x for x in args]
    return _Fusing(ufunc(*bare))


for _name, _ufunc in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "lt": np.less, "gt": np.greater,
                      "le": np.less_equal, "ge": np.greater_equal}.items():
    setattr(_Fusing, f"__{_name}__", lambda x, y, f=_ufunc: _apply(f, (x, y)))
    if _name in ("add", "sub", "mul", "truediv"):
        setattr(_Fusing, f"__r{_name}__", lambda x, y, f=_ufunc: _apply(f, (y, x)))
_Fusing.__neg__ = lambda x: _apply(np.negative, (x,))


def fuse(*functions, kernel_name=None):
    """cupy.fuse: elementwise operations as one kernel; its name is a C identifier, its arrays are CuPy's."""
    if not functions:
        return lambda function: fuse(function, kernel_name=kernel_name)
    function, = functions
    if not (kernel_name or function.__name__).isidentifier():
        raise SyntaxError(f"nvrtc: {function.__name__} is no name of a kernel")

    def fused(*args):
        if any(isinstance(x, np.ndarray) for x in args):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        COUNT["launch"] += 1
        FUSING.append(True)
        try:
            result = function(*[_Fusing(x) for x in args])
        finally:
            FUSING.pop()
        return result._value

    return fused


def __getattr__(name):
    """cupy.exp, ...: as NumPy's, on device arrays and on what is being fused."""
    ufunc = getattr(np, name, None) if name in SURFACE["numpy"] else None
    if not isinstance(ufunc, np.ufunc):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    return lambda *args: _apply(ufunc, args) if any(isinstance(x, _Fusing) for x in args) else ufunc(*args)


random = types.SimpleNamespace(default_rng=Generator, Generator=Generator)


@contextlib.contextmanager
def counting():
    """with counting() as c: ...  then c["launch"], c["sync"], c["upload"] are those of the block."""
    before, counted = COUNT.copy(), collections.Counter()
    yield counted
    counted.update(COUNT - before)
