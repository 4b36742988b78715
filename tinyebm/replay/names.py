"""Keys of energies and spaces whose values cannot change.

Only frozen dataclasses of this package have one, because they depend only on their fields.
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
    """A key of values, made of their types and contents; None if one of them may change.

    `trusted` holds the ids of objects that count as unchanging.  Numbers are keyed by type and
    digits: 1, 1.0 and True have three keys, and so have 0.0, -0.0 and nan.
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
        inner = None
        if own:
            fields = [getattr(value, name) for name in kind.__dataclass_fields__]
            inner = names_of(fields, trusted)
        elif kind is tuple:
            inner = names_of(value, trusted)
        if inner is None:
            return None
        found.append((kind, inner))
    return tuple(found)
