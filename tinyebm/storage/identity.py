"""What identifies the parts of a run, as JSON: names, fields, options, digests of code and arrays.

`content` describes a part: the description is the same in another process, and it differs if the
part may compute something else.  `difference` finds where two descriptions differ.
"""

import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from tinyebm.common.backend import on_gpu, to_numpy

OWN = __name__.partition(".")[0]
SHORT = 8  # arrays of more numbers are described by a digest


def content(thing: Any, seen: dict | None = None) -> Any:
    """A description of a thing that JSON can hold; `seen` holds what is described already.

    Numbers and texts stand for themselves.  A dataclass is its class and the fields that its
    comparison uses; another object is its class and its attributes.  A class is its name, methods
    and variables.  A function is its name, its code, its defaults, and the variables outside it
    that it reads.  The code of installed packages is left out.

    >>> import tinyebm as te
    >>> content(te.ULA(0.1))
    {'kind': 'ULA', 'step_size': 0.1, 'temperature': 1.0}
    >>> content(lambda x, c=2: c * x) == content(lambda x, c=3: c * x)
    False
    """
    seen = {} if seen is None else seen
    inside = lambda part: content(part, seen)
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, (np.generic, np.ndarray)) or on_gpu(thing) and hasattr(thing, "get"):
        return _array(to_numpy(thing), inside)
    if id(thing) in seen:
        return {"kind": "part", "number": seen[id(thing)][0]}
    seen[id(thing)] = len(seen), thing  # kept, so that no other object gets its id
    if isinstance(thing, dict):
        return {str(key): inside(value) for key, value in thing.items()}
    if isinstance(thing, (set, frozenset)):
        return sorted(map(inside, thing), key=_text)
    if isinstance(thing, (list, tuple)) and not hasattr(thing, "_fields"):
        return list(map(inside, thing))
    if isinstance(thing, types.ModuleType):
        return {"kind": thing.__name__}
    if isinstance(thing, type):
        return {"kind": _name(thing), **_class(thing, inside)}
    if inspect.isroutine(thing) or isinstance(thing, (np.ufunc, functools.partial)):
        return _function(thing, inside)
    kind = type(thing)
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names:
        text = repr(thing)
        return {"kind": _name(kind)} if " at 0x" in text else {"kind": text}
    return {"kind": _name(kind), **_class(kind, inside), **_attributes(thing, inside)}


def difference(one: Any, other: Any, name: str) -> tuple[str, str, str] | None:
    """The first difference of two descriptions: (where, the one, the other); None if equal.

    >>> difference({"kind": "ULA", "step_size": 0.1}, {"kind": "ULA", "step_size": 0.2}, "kernel")
    ('kernel.step_size', '0.1', '0.2')
    """
    if _text(one) == _text(other):
        return None
    pairs = {}
    if isinstance(one, dict) and isinstance(other, dict) and one.get("kind") == other.get("kind"):
        pairs = {f"{name}.{key}": (one.get(key), other.get(key)) for key in {**one, **other}}
        if one.get("name") != other.get("name"):
            return name, repr(one.get("name")), repr(other.get("name"))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = {f"{name}[{i}]": (one[i], other[i]) for i in range(len(one))}
    for where, pair in pairs.items():
        if found := difference(*pair, where):
            return found
    return name, _brief(one), _brief(other)


def _text(description):
    return json.dumps(description, sort_keys=True)


def _brief(description):
    """A description in a message; of an object only its class."""
    kind = description.get("kind") if isinstance(description, dict) else None
    return repr(description) if kind is None else kind


def _array(x, inside):
    if x.ndim == 0 and x.dtype != object:
        return x.item() if x.dtype.kind in "biuf" else str(x)
    found = {"kind": f"array of {x.dtype}", "shape": list(x.shape)}
    if x.dtype == object or x.size <= SHORT:
        return found | {"values": inside(x.tolist())}
    return found | {"sha256": hashlib.sha256(x.tobytes()).hexdigest()[:16]}


def _function(function, inside):
    """The description of a function, a method, a built-in function, or a `partial`."""
    if isinstance(function, functools.partial):
        arguments = [function.args, function.keywords]
        return {"kind": "partial", "of": inside(function.func), "arguments": inside(arguments)}
    owner = getattr(function, "__self__", None)
    found = {}
    if owner is not None and not isinstance(owner, types.ModuleType):
        found = {"of": inside(owner)}
    function = getattr(function, "__func__", function)
    found = {"kind": _name(function), **found}
    if not isinstance(function, types.FunctionType):
        wrapped = getattr(function, "__wrapped__", None)  # as functools.lru_cache leaves it
        return found if wrapped is None else found | {"of": inside(wrapped)}
    code = function.__code__
    read = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if cell != types.CellType():  # not empty
            read[name] = cell.cell_contents
    if not _installed(function):
        found["code"] = _digest(code, function.__doc__)
        known = function.__globals__
        read |= {name: known[name] for name in _globals(code) if name in known}
    return found | {str(name): inside(value) for name, value in read.items()}


def _globals(code):
    """The names of the global variables that code reads, those of functions within it included."""
    read = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return sorted(read.union(*map(_globals, inner)))


def _digest(code, documentation=None):
    """A digest of compiled code, in which comments and line numbers do not count."""
    constants = [constant for constant in code.co_consts if constant != documentation]
    for i, constant in enumerate(constants):
        if isinstance(constant, types.CodeType):
            constants[i] = _digest(constant)
        elif isinstance(constant, frozenset):
            constants[i] = sorted(map(repr, constant))
    version = sys.version_info[:2]  # on which compiled code depends
    parts = version, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _class(kind, inside):
    """The methods and variables of a class that is not of an installed package."""
    found = {}
    for base in reversed(kind.__mro__):
        for name, part in () if _installed(base) else vars(base).items():
            for wrapped in ("fget", "func", "__func__"):  # of properties, class and static methods
                part = getattr(part, wrapped, part)
            if isinstance(part, types.FunctionType):
                generated = part.__code__.co_filename == "<string>"  # by dataclasses
                counts = not (generated or _installed(part) or name == "__repr__")
            else:
                counts = name[:2] != "__" and not inspect.isdatadescriptor(part)
            if counts:
                found[name] = inside(part)
    return found


def _attributes(thing, inside):
    """The state of an object: fields, or attributes without those that are computed once."""
    kind = type(thing)
    if isinstance(thing, tuple):  # a NamedTuple
        found = thing._asdict()
    elif dataclasses.is_dataclass(thing):
        names = [field.name for field in dataclasses.fields(thing) if field.compare]
        found = {name: getattr(thing, name) for name in names}
    elif isinstance(thing, np.random.Generator):
        found = {"state": thing.bit_generator.state}
    else:
        slots = [getattr(base, "__slots__", ()) for base in kind.__mro__]
        names = [name for part in slots for name in ([part] if isinstance(part, str) else part)]
        found = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
        found |= getattr(thing, "__dict__", {})
    once = lambda name: isinstance(getattr(kind, name, None), functools.cached_property)
    return {name: inside(value) for name, value in found.items() if not once(name)}


def _name(thing):
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", repr(type(thing)))
    return name.replace(".<locals>", "")


def _installed(thing):
    """Whether a function or a class is of this package, of Python, or of an installed package."""
    module = getattr(thing, "__module__", None) or "builtins"
    root = module.partition(".")[0]
    if root == OWN or root in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
