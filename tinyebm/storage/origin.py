"""The notes of a model file about its data, and the conversion of other data to its units.

A model of standardised columns is a density of (x - centre) / scale, with the centre and scale of
the data it was trained on.  Other rows are shifted and scaled by the same numbers, not by their
own.
"""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np

from tinyebm.common.kinds import is_population
from tinyebm.datasets.load import NAMES, Data
from tinyebm.datasets.readers import numbered_columns, reader_of


def origin(data, trained=None):
    """The notes of a model file on its data: the source, the units, and the rows trained on.

    `trained` holds those rows (m, d); by default they are all.

    >>> from tinyebm.datasets.load import load
    >>> [round(s, 6) for s in origin(load("faithful"))["scale"]]
    [1.139271, 13.56996]
    >>> origin(load("rings")), origin(np.zeros((2, 1)))
    ({'data': 'rings'}, {})
    """
    if not hasattr(data, "scale"):
        return {"data": data.name} if hasattr(data, "name") else {}
    marks = _marks(data.x)
    found = {
        "standardise": bool(data.centre.any() or (data.scale != 1).any()),
        "columns": list(data.columns),
        "centre": data.centre.tolist(),
        "scale": data.scale.tolist(),
        "table": _digest(marks),
        "trained_on": " ".join(marks if trained is None else _marks(trained)),
    }
    if data.name in NAMES or reader_of(data.source)[0]:
        found["data"] = data.name if data.name in NAMES else data.source
    if data.header is not None:
        found["header"] = data.header
    return found


def remembered(notes):
    """Data without rows, with the columns and units in the notes of a model, or None."""
    if "scale" not in notes:
        return None
    centre, scale = np.array(notes["centre"]), np.array(notes["scale"])
    name, columns = notes.get("data", "an array"), tuple(notes["columns"])
    return Data(name, centre[:0, None], "", "", columns, centre, scale)


def seen_by(p, notes, data):
    """(Data in the units of a model, what was assumed of them).

    Parameters
    ----------
    p, notes : what `load_model` returns
    data : a Target, or Data that are not standardised

    Raises
    ------
    ValueError
        If they cannot be converted to these units, have other columns, or are not states of the
        model.
    """
    known, population = remembered(notes), is_population(data)
    if known and not population:
        _require_columns(data, known)
    dim = data.space.dim if population else data.x.shape[1]
    if dim != p.space.dim:
        raise ValueError(f"the data have {dim} columns, the model has dimension {p.space.dim}")
    if population:
        _require_units(data, p, known and notes["standardise"] and known.name)
        return data, [f"its units are taken for those of {known.name}"] if known else []

    x = known.standardised(data.x) if known else data.x
    space = p.space if p.space.discrete else None
    if space:
        for i in np.flatnonzero(~space.contains(x))[:1]:
            raise ValueError(f"{data.name}: row {i + 1} is {x[i].tolist()}, no state of {space}")
    assumed = []
    if known and _named(known) != _named(data):
        assumed = ["the columns are taken in the order in which they stand"]
    elif not known and not space:
        units = notes.get("data", "the model, whose file names none")
        assumed = [f"taken as it stands, in the units of {units}"]
    units = {"centre": known.centre, "scale": known.scale} if known else {}
    return replace(data, x=x, mode=None, modes=0, space=space, **units), assumed


def trained_rows(p, notes, data):
    """A mask (n,) of the rows that a model was trained on; None if they are unknown.

    Rows are in the units of the model.  A row is recognised by its numbers, as often as it was
    trained on.  On a discrete space many rows are equal, so only the whole table is recognised.
    """
    marks = _marks(data.x)
    if "trained_on" not in notes or p.space.discrete and _digest(marks) != notes["table"]:
        return None
    left, found = Counter(notes["trained_on"].split()), []
    for mark in marks:
        found.append(left[mark] > 0)
        left[mark] -= 1
    return np.array(found)


def _marks(x):
    """A digest of 48 bits of every row of x (n, d).

    The probability that a new row has the digest of one of a million others is 4e-9.
    """
    rows = np.ascontiguousarray(x, dtype=float) + 0.0  # -0.0 becomes 0.0
    return [hashlib.blake2b(row.tobytes(), digest_size=6).hexdigest() for row in rows]


def _digest(marks):
    """A digest of a whole table, the same for every order of its rows."""
    return hashlib.blake2b("".join(sorted(marks)).encode(), digest_size=16).hexdigest()


def _named(data):
    """Whether the columns have names of their own."""
    return data.columns != numbered_columns(data.columns)


def _require_units(target, p, standardised):
    """Raise ValueError if a population has other units than a model.

    `standardised` is the name of the data whose standardised columns are modelled, if any.
    """
    if target.space.discrete != p.space.discrete:
        raise ValueError(f"{target.name} lives on {target.space}, the model on {p.space}")
    if standardised:
        raise ValueError(
            f"the model is of standardised columns of {standardised}, and the population "
            f"{target.name} has units of its own: it can judge a model fitted with --raw"
        )


def _require_columns(data, known):
    """Raise ValueError unless the names of the columns agree, where both have names."""
    if not (_named(data) and _named(known)) or data.columns == known.columns:
        return
    missing = [repr(name) for name in known.columns if name not in data.columns]
    more = [repr(name) for name in data.columns if name not in known.columns]
    wrong = [f"it has no {', '.join(missing)}"] if missing else []
    wrong += [f"it has {', '.join(more)}"] if more else []
    raise ValueError(
        f"{data.name} does not have the columns of the model, {', '.join(known.columns)}: "
        f"{' and '.join(wrong) or 'it has them in another order'}"
    )
