"""What there is to fit: toy populations known exactly, a small real data set, or a file of one's own.

`load` gives a `Target` (a population: it can be sampled for ever, and its
density and entropy are known) or `Data` (a finite table: it can only be read).
"""

import csv
import difflib
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tinyebm import ops
from tinyebm.grids import Grid
from tinyebm.spaces import Box, Reals
from tinyebm.toys import TOYS

NAMES = (*TOYS, "faithful")


@dataclass(frozen=True, eq=False)
class Target:
    """A population known exactly: a `Density` with Z = 1 that can also be sampled.

    Parameters
    ----------
    name : str
    space : Reals or Box
    log_joint : callable x (n, d) -> (n, modes)
        log p(x, k) in nats against Lebesgue measure, written with `tinyebm.ops`.
    sample : callable (n, rng) -> (n, d)
        Independent draws.
    modes : int
        Number of modes k: Gaussians, curves, petals, cells, wells.
    grid : Grid
        Atoms on which ∫ p and ∫ p log p have converged to 1e-8 or better.

    >>> toy = load("eight_gaussians")
    >>> toy.sample(3, np.random.default_rng(0)).shape
    (3, 2)
    >>> round(toy.entropy, 9)
    2.831880406
    """

    name: str
    space: Reals | Box
    log_joint: Callable = field(repr=False)
    sample: Callable = field(repr=False)
    modes: int
    grid: Grid = field(repr=False)
    theta: dict = field(default_factory=dict, repr=False)

    def log_prob(self, x):
        """log p(x) in nats, (n,); differentiable by x.

        Raises
        ------
        ValueError
            If x is not (n, d).
        """
        if x.ndim != 2 or x.shape[1] != self.space.dim:
            raise ValueError(f"x must have shape (n, {self.space.dim}), got {x.shape}")
        return ops.logsumexp(self.log_joint(x), axis=1)

    def energy(self, theta, x):
        """-log p(x), (n,): there is nothing to fit, theta is empty."""
        return -self.log_prob(x)

    def mode(self, x):
        """The mode 0, ..., modes-1 to which each row of x most probably belongs, (n,); -1 where p(x) = 0."""
        joint = self.log_joint(x)
        return np.where(joint.max(axis=1) > -math.inf, joint.argmax(axis=1), -1)

    @cached_property
    def law(self):
        """The population as weighted points: the atoms of `grid` (N, d) and their probabilities (N,)."""
        x, log_p = zip(*((x, log_w + self.log_prob(x)) for x, log_w in self.grid.blocks()), strict=True)
        x, mass = np.concatenate(x), np.exp(np.concatenate(log_p))
        return x[mass > 1e-20], mass[mass > 1e-20]

    @cached_property
    def mass_error(self):
        """By how much the probabilities of `law` miss a sum of one."""
        return abs(float(self.law[1].sum()) - 1)

    @cached_property
    def entropy(self):
        """The differential entropy -∫ p log p dx in nats, summed over `law` when first asked for."""
        x, mass = self.law
        log_p = np.concatenate([self.log_prob(part) for part in np.array_split(x, -(-len(x) // 1024))])
        return float(-(mass @ log_p))


@cache  # one Target a name, so that its entropy is summed once
def _target(name):
    return Target(name, *TOYS[name]())


@dataclass(frozen=True, eq=False)
class Data:
    """Rows that somebody measured, standardised or not: x = (original - centre) / scale.

    Parameters
    ----------
    name : str
    x : array (n, d), float64
    source, licence : str
        Where the rows come from, and what one may do with them.
    columns : tuple of str
        The names of the columns, with units.
    centre, scale : arrays (d,)
        Zeros and ones if not standardised.
    mode : callable x (n, d) -> (n,), or None
        The group 0, ..., modes-1 to which each row belongs, where a group is known.
    """

    name: str
    x: np.ndarray = field(repr=False)
    source: str
    licence: str
    columns: tuple
    centre: np.ndarray
    scale: np.ndarray
    mode: Any = field(default=None, repr=False)
    modes: int = 0

    @property
    def labels(self):
        """The group of each row, (n,), or None."""
        return None if self.mode is None else self.mode(self.x)

    def original(self, x):
        """Rows x (n, d), of the data or of a model fitted to them, in the units of the source.

        >>> geyser = load("faithful")
        >>> geyser.original(geyser.x)[0]
        array([ 3.6, 79. ])
        """
        return x * self.scale + self.centre


def origin(data):
    """What a model file remembers of its data: how to load them again, and what leads back to the units of the source.

    >>> [round(s, 6) for s in origin(load("faithful"))["scale"]]
    [1.139271, 13.56996]
    >>> origin(load("rings")), origin(np.zeros((2, 1)))
    ({'data': 'rings'}, {})
    """
    if not hasattr(data, "scale"):
        return {"data": data.name} if hasattr(data, "name") else {}
    from_file = Path(data.source).suffix.lower() in READERS
    plain = not data.centre.any() and bool((data.scale == 1).all())
    return {"data": data.source if from_file else data.name, "standardise": not plain, "columns": list(data.columns),
            "centre": data.centre.tolist(), "scale": data.scale.tolist()}


def load(name, standardise=True):
    """The population or data set of that name, or the table in a file.

    Parameters
    ----------
    name : str or path
        One of `NAMES`; or a path ending in .csv (numbers separated by commas,
        the first line may name the columns) or .npy (one- or two-dimensional).
    standardise : bool
        Shift and scale each column of real data to mean 0 and standard deviation 1
        (the root mean square deviation, ddof = 0).  Populations stay as published.

    Returns
    -------
    Target or Data

    Raises
    ------
    ValueError
        If the name is unknown, or the table is unreadable, empty or ragged, has an
        entry that is no finite number, or a constant column to be standardised.

    >>> load("two_moons").modes
    2
    >>> load("faithful").x.shape
    (272, 2)
    """
    name = os.fspath(name)
    if name in TOYS:
        return _target(name)
    if name == "faithful":
        return _faithful(standardise)
    suffix = Path(name).suffix.lower()
    if suffix in READERS:
        x, columns = READERS[suffix](Path(name))
        return _data(Path(name).stem, x, columns, name, "not stated", standardise)
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"unknown data set {name!r}: {hint}The names are {', '.join(NAMES)}, "
                     "or give a path ending in .csv or .npy")


def _faithful(standardise):
    """272 eruptions of Old Faithful and the waits until the next; label 1 if one lasted over 3 minutes."""
    x, _ = _read_csv(resources.files("tinyebm") / "data" / "faithful.csv")
    source = ("Old Faithful geyser, Yellowstone, August 1985: data set `faithful` of R. Azzalini & Bowman "
              "(1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, 357-365")
    columns = ("eruption (min)", "waiting (min)")
    return _data("faithful", x, columns, source, "public domain", standardise, lambda x: (x[:, 0] > 3).astype(int), 2)


def _data(name, x, columns, source, licence, standardise, group=None, groups=0):
    """A table as Data, refused where it cannot be standardised; `group` labels rows in the units of the source."""
    if not standardise:
        return Data(name, x, source, licence, columns, np.zeros(x.shape[1]), np.ones(x.shape[1]), group, groups)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite scale is refused below
        centre, scale = x.mean(axis=0), x.std(axis=0)
    for j in np.flatnonzero((x == x[0]).all(axis=0) | ~((scale > 0) & (scale < math.inf))):
        raise ValueError(f"{name}, column {j + 1} ({columns[j]}): the standard deviation is {scale[j]:.3g}, "
                         "nothing to divide by: is it constant? Drop it, or load with standardise=False")
    mode = group and (lambda x: group(x * scale + centre))
    return Data(name, (x - centre) / scale, source, licence, columns, centre, scale, mode, groups)


def _read_csv(path):
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
        return float(cell)
    except ValueError:
        return None


def _read_npy(path):
    """The table (n, d) in a .npy file, and made-up column names; pickles are never opened."""
    try:
        with path.open("rb") as file:
            x = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error

    if x.dtype.kind not in "iuf" or x.ndim not in (1, 2) or x.size == 0:
        raise ValueError(f"{path}: wanted a table of real numbers, got {x.dtype} of shape {x.shape}")
    x = x.astype(float).reshape(len(x), -1)
    for i, j in np.argwhere(~np.isfinite(x)):
        raise ValueError(f"{path}, row {i + 1}, column {j + 1}: {x[i, j]} is not a finite number")
    return x, tuple(f"column {j + 1}" for j in range(x.shape[1]))


READERS = {".csv": _read_csv, ".npy": _read_npy}
