"""What tells an energy or a space from any other, for as long as nothing that it reads can change.

Of this package's own dataclasses that is known: they read nothing but their fields.
"""

import dataclasses
from types import NoneType

import numpy as np

OWN = __name__.partition(".")[0]
NUMBERS = {int, float, bool, str, NoneType}


def ids(parts):
    """The ids of objects, as a set."""
    return set(map(id, parts))


def names_of(values, trusted):
    """What tells values from any others, types and all that they hold included; None if one of them
    may change.

    `trusted` holds the ids of what does not.  A number is told by its type and digits: 1, 1.0 and
    True are three, and so are 0.0, -0.0 and nan.
    """
    found = []
    for value in values:
        kind = type(value)
        if kind in NUMBERS or kind.__module__ == "numpy" and issubclass(kind, np.generic):
            found.append((kind, repr(value)))
            continue
        if id(value) in trusted:
            found.append(id(value))  # it lives as long as its programs
            continue
        own = kind.__module__.partition(".")[0] == OWN and dataclasses.is_dataclass(kind)
        parts = (
            [getattr(value, name) for name in kind.__dataclass_fields__]
            if own
            else value
            if kind is tuple
            else None
        )
        inner = None if parts is None else names_of(parts, trusted)
        if inner is None:
            return None
        found.append((kind, inner))
    return tuple(found)
