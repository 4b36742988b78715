"""The results of a sweep in a file, from which a second call goes on.

Every line is a JSON text.  The first one describes the sweep, each of the others is one result:

    {"run": "study.fitted", "seed": 0, "points": [{"step_size": 0.1}]}
    {"point": {"step_size": 0.1}, "seed": 15793235383387715774, "result": 2.5}

A line is safe on the disk before the next one is written.  So only the last line can be incomplete
after a crash; it is cut off.  When points are added, a line like the first one is added, too.
"""

import base64
import io
import json
import math
import os
import types

import numpy as np

from tinyebm.common.estimate import Estimate
from tinyebm.storage.files import write_text
from tinyebm.storage.identity import content, difference


class OtherSweepError(ValueError):
    """A results file is of another sweep."""


class Results:
    """The results in a file.  The place of one is (number of its point, seed of its run).

    The file is made if it does not exist.

    Raises
    ------
    OtherSweepError
        If the file is of another sweep.
    ValueError
        If it is no results file, or damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Results(f"{folder}/sweep.jsonl", math.sqrt, [{"a": 1}], seed=0).add(0, 77, (1.5, None))
    ...     again = Results(f"{folder}/sweep.jsonl", math.sqrt, [{"a": 1}], seed=0)
    >>> again.of([(0, 76), (0, 77)])
    {1: (1.5, None)}
    """

    def __init__(self, path, run, points, seed):
        self.path, self.points, self.found = path, [content(dict(point)) for point in points], {}
        name = content(run)
        if isinstance(run, types.FunctionType):
            name = f"{run.__module__}.{run.__qualname__}"
        header = {"run": name, "seed": int(seed), "points": self.points}
        if not os.path.exists(path) or os.path.getsize(path) == 0:
            write_text(path, json.dumps(header) + "\n")
            return
        known = self._read()
        _require_same(path, known, header)
        if any(point not in known["points"] for point in self.points):
            self._append(header)

    def of(self, places):
        """{k: result of the run at places[k]} of the runs whose results are in the file."""
        keys = [_key(self.points[j], seed) for j, seed in places]
        return {k: self.found[key] for k, key in enumerate(keys) if key in self.found}

    def add(self, j, seed, result):
        """Append a result to the file; ValueError if a file cannot hold it."""
        self._append({"point": self.points[j], "seed": seed, "result": encoded(result)})

    def _append(self, record):
        with open(self.path, "ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self):
        """Read the results; return the run, the seed and all points of the file."""
        with open(self.path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        known, size = None, 0
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
                if known is None or "points" in record:
                    points = record["points"]
                    known = record | {"points": known["points"] + points if known else points}
                else:
                    self.found[_key(record["point"], record["seed"])] = decoded(record["result"])
            except (ValueError, TypeError, LookupError) as error:
                if known is None:
                    raise ValueError(f"{self.path} is not a results file of te.sweep") from error
                if number < len(lines):
                    raise ValueError(f"{self.path} is damaged: line {number}") from error
                os.truncate(self.path, size)
            size += len(line)
        return known


def _key(point, seed):
    return json.dumps([point, seed], sort_keys=True)


def _require_same(path, known, header):
    """Raise OtherSweepError unless a file is of this sweep, perhaps with fewer or more points."""
    mine = [point for point in header["points"] if point not in known["points"]]
    others = [point for point in known["points"] if point not in header["points"]]
    pairs = [(known.get(name), header[name], name) for name in ("run", "seed")]
    pairs += [(others[0], mine[0], "point")] if mine and others else []
    for pair in pairs:
        if found := difference(*pair):
            where, there, here = found
            raise OtherSweepError(
                f"{path} is of another sweep: its {where} is {there}, and here it is {here}"
            )


# ------------------------------------------------------------------------- results as JSON


def encoded(value):
    """A result as a tree that JSON can hold, and from which `decoded` makes an equal one.

    Finite floats, integers, texts, None, bools, lists, and dicts with texts as keys stand for
    themselves.  Others are dicts with one key, "!tuple" for example.

    >>> encoded({"nll": [2.5, math.inf], "shape": (8, 8)})
    {'nll': [2.5, {'!float': 'inf'}], 'shape': {'!tuple': [8, 8]}}
    """
    kind = type(value)
    if value is None or kind in (bool, int, str) or kind is float and math.isfinite(value):
        return value
    if kind is float:
        return {"!float": repr(value)}
    if kind is Estimate:
        return {"!estimate": [encoded(part) for part in value.__getnewargs__()]}
    if kind is list:
        return [encoded(child) for child in value]
    if kind is tuple:
        return {"!tuple": [encoded(child) for child in value]}
    if kind is dict and all(type(key) is str and key[:1] != "!" for key in value):
        return {key: encoded(child) for key, child in value.items()}
    if kind is dict:
        return {"!dict": [[encoded(key), encoded(child)] for key, child in value.items()]}
    if (kind is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject:
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        text = base64.b64encode(buffer.getvalue()).decode()
        return {"!array" if kind is np.ndarray else "!scalar": text}
    raise ValueError(
        "a results file holds numbers, texts, None, NumPy arrays, and lists, tuples and dicts of "
        f"these: a run returned an object of {kind.__module__}.{kind.__qualname__}"
    )


def decoded(tree):
    """The result from which `encoded` made this tree.

    >>> decoded(encoded({1: (np.float32(0.5), np.arange(2))}))
    {1: (np.float32(0.5), array([0, 1]))}
    """
    if isinstance(tree, list):
        return [decoded(child) for child in tree]
    if not isinstance(tree, dict):
        return tree
    tag = next(iter(tree), "")
    if not tag.startswith("!"):
        return {key: decoded(child) for key, child in tree.items()}
    inside = decoded(tree[tag])
    kinds = {
        "!float": float,
        "!tuple": tuple,
        "!dict": dict,
        "!estimate": lambda parts: Estimate(*parts),
        "!array": _array,
        "!scalar": lambda text: _array(text)[()],
    }
    return kinds[tag](inside)


def _array(text):
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
