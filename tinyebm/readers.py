"""Tables in files: numbers, and names for their columns; whatever else is refused, saying where."""

import csv
import io
import math

import numpy as np


def read_csv(path):
    """The table (n, d) in a csv file, and its column names."""
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        lines = [(reader.line_num, cells) for cells in reader if cells]  # blank lines say nothing
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {path}: {error}") from error

    first = lines[0][1] if lines else []
    named = all(_number(cell) is None for cell in first)  # a header has no number in it
    columns = tuple(cell.strip() if named else f"column {j}" for j, cell in enumerate(first, 1))

    for line, cells in lines[named:]:
        if len(cells) != len(first):
            raise ValueError(f"{path}, line {line}: {len(cells)} entries, but the first has {len(first)}")
        for j, cell in enumerate(cells, 1):
            value = _number(cell)
            if value is None or not math.isfinite(value):
                raise ValueError(f"{path}, line {line}, column {j}: {cell!r} is not a finite number")
    if not lines[named:]:
        raise ValueError(f"{path}: there are no rows of numbers")
    return np.array([[float(cell) for cell in cells] for _, cells in lines[named:]]), columns


def _number(cell):
    """The number that a cell spells, or None."""
    try:
        return None if "_" in cell else float(cell)  # 1_000 is Python's, not a number's
    except ValueError:
        return None


def read_npy(path):
    """The table (n, d) in a .npy file, and made-up column names; pickles are never opened."""
    try:
        with path.open("rb") as file:
            x = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # what reads headers fails in many ways on a damaged one
        raise ValueError(f"cannot read {path}: {error}") from error

    if x.dtype.kind not in "iuf" or x.ndim not in (1, 2) or x.size == 0:
        raise ValueError(f"{path}: wanted a table of real numbers, got {x.dtype} of shape {x.shape}")
    x = x.astype(float).reshape(len(x), -1)
    for i, j in np.argwhere(~np.isfinite(x)):
        raise ValueError(f"{path}, row {i + 1}, column {j + 1}: {x[i, j]} is not a finite number")
    return x, tuple(f"column {j + 1}" for j in range(x.shape[1]))


READERS = {".csv": read_csv, ".npy": read_npy}
