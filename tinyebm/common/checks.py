"""Checks of arguments: each raises a ValueError that says what is required and what was given.

A text, None or a list instead of a number raises the same error as a number out of range.
"""

import math
import operator
import types

import numpy as np

from tinyebm.common.errors import QuadratureError

MEMORY = 2**32  # bytes that the arrays of one call may take
REAL = "fiub"  # kinds of dtypes that hold real numbers
# what the other parts of an energy must belong to
ENERGY = "__call__", "hidden_logits", "visible_logits"
SPACE = "dim", "discrete", "atoms", "initial", "contains"  # what every space has
KERNEL = "step", "push", "drift"  # of a kernel


def number(value):
    """A single real number as a float; nan, for which all comparisons are false, for others.

    >>> number(np.float32(0.5)), number("0.5"), number([0.5]), number(True)
    (0.5, nan, nan, nan)
    """
    if isinstance(value, (str, bytes, bool, np.ndarray)) or np.ndim(value) > 0:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def whole(value, least):
    """Whether the value is an integer >= least.

    >>> whole(3, 1), whole(3.0, 1), whole("3", 1), whole(True, 1), whole(0, 1)
    (True, False, False, False, False)
    """
    try:
        return not isinstance(value, (bool, np.ndarray)) and operator.index(value) >= least
    except TypeError:
        return False


def plain(part, *fields):
    """Turn NumPy scalars in these fields of a frozen dataclass into Python floats.

    An array in single precision times a Python float stays in single precision.
    """
    for name in fields:
        if isinstance(value := getattr(part, name), np.generic):
            object.__setattr__(part, name, value.item())


def require_count(value, wanted, least=1):
    """Raise ValueError, beginning with `wanted`, unless the value is an integer >= least.

    >>> require_count(3, "k must be a positive number of steps")
    """
    if not whole(value, least):
        raise ValueError(f"{wanted}, got {value!r}")


def require_positive(name, value):
    """Raise ValueError unless the value is a positive, finite number.

    >>> require_positive("step_size", 0.1)
    """
    if not 0 < number(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def require_nonnegative(name, value):
    """Raise ValueError unless the value is a finite number, not below 0.

    >>> require_nonnegative("temperature", 0.0)
    """
    if not 0 <= number(value) < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, got {value!r}")


def require_fraction(name, value):
    """Raise ValueError unless the value lies between 0 and 1, both excluded.

    >>> require_fraction("rtol", 1e-8)
    """
    if not 0 < number(value) < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")


def require_decay(name, value):
    """Raise ValueError unless the value is a number in [0, 1).

    >>> require_decay("ema", 0.99)
    """
    if not 0 <= number(value) < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")


def require_memory(what, numbers):
    """Raise QuadratureError if so many numbers in double precision take more than 4 GiB.

    >>> require_memory("a list of states", 2**20)
    """
    if 8 * numbers > MEMORY:
        raise QuadratureError(
            f"{what}: it would need about {8 * numbers / 2**30:.2g} GiB of memory, and at most "
            f"{MEMORY / 2**30:g} GiB are used"
        )


def did_you_mean(name, names):
    """A hint for a name that is not among the names, and a blank; "" if none is similar.

    >>> did_you_mean("two_mons", ["rings", "two_moons"]), did_you_mean("x", ["rings"])
    ("did you mean 'two_moons'? ", '')
    """
    import difflib  # takes 5 ms to load: only when used

    close = difflib.get_close_matches(str(name).lower(), names, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def require_choice(what, value, names):
    """Raise ValueError, with a hint, unless the value is one of the names.

    >>> require_choice("scan", "random", ["systematic", "random"])
    """
    if not isinstance(value, str) or value not in names:
        raise ValueError(
            f"{what} must be one of {', '.join(names)}, got {value!r}: "
            f"{did_you_mean(value, names)}".rstrip(": ")
        )


def require_draws(n, rng):
    """Raise ValueError unless n draws can be made with rng.

    >>> require_draws(3, np.random.default_rng(0))
    """
    require_count(n, "n must be a number of draws >= 0", least=0)
    require_generator(rng)


def require_generator(rng):
    """Raise ValueError unless rng draws random numbers as NumPy's (or CuPy's) Generator does.

    >>> require_generator(np.random.default_rng(0))
    """
    # np.random itself, or its past
    global_or_old = isinstance(rng, (types.ModuleType, np.random.RandomState))
    if global_or_old or not (hasattr(rng, "random") or hasattr(rng, "standard_normal")):
        raise ValueError(f"rng must be a generator, like np.random.default_rng(0), got {rng!r}")


def require_space(space):
    """Raise ValueError unless the space has all required members (`tinyebm.common.kinds.Space`).

    >>> from tinyebm import Reals
    >>> require_space(Reals(1))
    """
    missing = [name for name in SPACE if not hasattr(space, name)]
    if isinstance(space, type) or missing:
        lacks = f", which has no {', no '.join(missing)}" if len(missing) < len(SPACE) else ""
        raise ValueError(
            "space must be a space, like te.Reals(2), te.Box(-1, 1, 2) or te.Bits(4), got "
            f"{space!r}{lacks}"
        )


def part_of(thing, name, mains):
    """The attribute of that name if it belongs to the main methods of an object, else None.

    A class may inherit from an energy or a kernel and override one of the `mains`, say `__call__`.
    Then it is another energy, and an inherited attribute, say `log_partition`, is wrong for it and
    is not used.

    >>> class Twice(int):
    ...     __add__ = lambda self, other: 2 * other
    >>> part_of(Twice(1), "__sub__", ["__add__"]), part_of(Twice(1), "__sub__", ["__mul__"])(3)
    (None, -2)
    """
    age = _age(thing, name)
    return None if any(_age(thing, main) < age for main in mains) else getattr(thing, name, None)


def _age(thing, name):
    """The level of an attribute: 0 object, 1 class, 2, ... parent classes; inf if it is missing."""
    owners = getattr(thing, "__dict__", ()), *map(vars, type(thing).__mro__)
    return next((i for i, owner in enumerate(owners) if name in owner), math.inf)


def require_own(thing, name, mains):
    """Raise ValueError if an object inherits an attribute but overrides one of the mains."""
    for main in mains:
        if hasattr(thing, name) and _age(thing, main) < _age(thing, name):
            raise ValueError(
                f"{thing!r} has a {main} of its own but the {name} of another class, which knows "
                f"nothing of it: write its {name}, too"
            )


def require_parameters(energy, theta, /, **shapes):
    """Raise ValueError unless theta is a dict that holds arrays of these shapes.

    >>> require_parameters("a line", {"slope": np.zeros(2)}, slope=(2,))
    """
    for name, shape in shapes.items():
        try:
            leaf = theta[name]
            found = leaf.shape if hasattr(leaf, "shape") else np.shape(leaf)
        except (TypeError, KeyError, IndexError):
            found = None
        if found != shape:
            what = f"has no {name!r}" if found is None else f"holds {name!r} of shape {found}"
            raise ValueError(
                f"theta does not belong to {energy!r}: it {what}, and {name!r} of shape {shape} is "
                "wanted"
            )
