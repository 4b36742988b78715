"""The data sets by name, and tables in files: `load` gives a population or Data.

A population (`Target`, `PatternTarget`) gives any number of draws, and its density and entropy are
known.  `Data` are measured rows.
"""

import math
import os
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinyebm.common.checks import did_you_mean
from tinyebm.common.kinds import Array
from tinyebm.datasets import patterns
from tinyebm.datasets.readers import numbered_columns, read_csv, reader_of
from tinyebm.datasets.targets import PatternTarget, Target
from tinyebm.datasets.toys import TOYS
from tinyebm.spaces.discrete import Bits, Spins, recognised
from tinyebm.spaces.rows import numbers

DATA = Path(__file__).parent / "data"
PATTERNS = ("bars_and_stripes", "bars_and_stripes_3x3", *(f"{toy}_bits" for toy in patterns.PLANAR))
NAMES = (*TOYS, *PATTERNS, "faithful", "binary_digits", "digit_patches")


def bars_and_stripes(side=4, weighted=False):
    """Bars and stripes of side x side pixels, a PatternTarget; see `tinyebm.datasets.patterns`.

    >>> bars_and_stripes(2).space
    Bits(dim=4)
    """
    found = patterns.bars_and_stripes(side, weighted)
    name = f"bars_and_stripes_{side}x{side}" + ("_weighted" if weighted else "")
    return PatternTarget(name, *found, mode_names=("all bars and stripes together",))


@cache  # one Target a name, so that its entropy is computed once
def _target(name):
    if name.endswith("_bits"):
        return PatternTarget(name, *patterns.gray_coded(name.removesuffix("_bits")))
    if name in PATTERNS:
        return replace(bars_and_stripes(3 if name.endswith("3x3") else 4), name=name)
    return Target(name, *TOYS[name]())


@dataclass(frozen=True, eq=False)
class Data:
    """Measured rows, standardised or not: x = (original - centre) / scale.

    Parameters
    ----------
    name : str
    x : array (n, d), float64
    source, licence : str
        The source of the rows, and their licence.
    columns : tuple of str
        The names of the columns, with units.
    centre, scale : arrays (d,)
        Zeros and ones if not standardised.
    mode : callable x (n, d) -> (n,), or None
        The group 0, ..., modes-1 to which each row belongs, where a group is known.
    mode_names : tuple of str
    space : Bits, Spins, or None
        The space of the rows, if it is not R^d.
    labels : array (n,), or None
        The label of each row.
    notes : tuple of str
        What the reader assumed about the file.
    header : bool, or None
        The argument `header` with which the file was read.

    >>> data = load("faithful")
    >>> data.columns, data.scale.round(3)
    (('eruption (min)', 'waiting (min)'), array([ 1.139, 13.57 ]))
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
    mode_names: tuple = ()
    space: Any = None
    labels: Any = field(default=None, repr=False)
    notes: tuple = ()
    header: bool | None = None

    def __post_init__(self):
        object.__setattr__(self, "x", numbers(self.x, "x must be an array of rows (n, d)"))

    def original(self, x: Array) -> Array:
        """Rows x (n, d) of the data, or of a model fitted to them, in the units of the source.

        >>> geyser = load("faithful")
        >>> geyser.original(geyser.x)[0]
        array([ 3.6, 79. ])
        """
        return x * self.scale + self.centre

    def standardised(self, x: Array) -> Array:
        """Rows x (n, d) in the units of the source as (x - centre) / scale: `original` inverted."""
        return (x - self.centre) / self.scale

    @property
    def log_scale(self) -> float:
        """Σ log scale: log Z, entropy and NLL in the units of the source are larger by this."""
        return float(np.log(self.scale).sum())


def load(
    name: str | os.PathLike,
    standardise: bool = True,
    space: str | None = None,
    header: bool | None = None,
) -> Target | PatternTarget | Data:
    """The population or data set of that name, or the table in a file.

    Parameters
    ----------
    name : str or path
        One of `NAMES`; or a path ending in .csv, .tsv or .txt (with .gz or not: numbers in columns,
        with names above or not) or .npy (one- or two-dimensional).
    standardise : bool
        Shift and scale each column of real data to mean 0 and standard deviation 1 (the root mean
        square deviation, ddof = 0).  Populations stay as published, bits and spins as they are.
    space : "reals", "bits" or "spins", optional
        The space of the rows of a table: by default bits if all entries are 0 or 1, spins if they
        are -1 or 1, else real numbers.
    header : bool, optional
        Whether line 1 of a text holds the names of its columns; by default the reader decides.

    Returns
    -------
    Target, PatternTarget or Data
        The `notes` of Data say what the reader assumed: that commas are decimal points, that an
        index is left out, ...

    Raises
    ------
    ValueError
        If the name is unknown, or the table is unreadable, empty or ragged, has an entry that is no
        finite number, can be read in two ways, or has a constant column to be standardised.

    >>> load("two_moons").modes
    2
    >>> load("faithful").x.shape
    (272, 2)
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(f"a data set has a name, like 'two_moons', or a path, got {name!r}")
    name = os.fspath(name)
    if space not in (None, "reals", "bits", "spins"):
        raise ValueError(f"space must be one of reals, bits, spins, got {space!r}")
    if space and name in NAMES and name != "faithful":
        raise ValueError(f"space is for tables of one's own: {name} has one")
    if name in TOYS or name in PATTERNS:
        return _target(name)
    if name in ("binary_digits", "digit_patches"):
        return _digits(name)
    reader, stem = reader_of(name)
    if name == "faithful":
        data = _faithful(space)
    elif reader:
        x, columns, notes = reader(Path(name), header)
        data = replace(_data(stem, x, columns, name, space=space, notes=notes), header=header)
    else:
        raise ValueError(
            f"unknown data set {name!r}: {did_you_mean(name, NAMES)}The names are "
            f"{', '.join(NAMES)}, or give a path ending in .csv or .npy (also .tsv, .txt, and "
            "these with .gz)"
        )
    return data if data.space or not standardise else _standardised(data)


def of_rows(x):
    """An array of floats (n, d) as Data: as bits or spins if all its entries are."""
    return _data("data", x, numbered_columns(x[0]), "an array")


def _faithful(space):
    """272 eruptions of Old Faithful and the waits until the next one.

    Label 1 if an eruption lasted over 3 minutes.
    """
    x, *_ = read_csv(DATA / "faithful.csv")
    source = (
        "Old Faithful geyser, Yellowstone, August 1985: data set `faithful` of R. Azzalini & "
        "Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, "
        "357-365"
    )
    data = _data("faithful", x, ("eruption (min)", "waiting (min)"), source, "public domain", space)
    long = lambda x: (x[:, 0] > 3).astype(int)
    names = "eruptions of at most 3 minutes", "longer ones"
    return replace(data, mode=long, modes=2, mode_names=names, labels=long(x))


def _digits(name):
    """Handwritten digits, a pixel on from 8 of 16: all 8 x 8 pixels, or the 4 x 4 in the middle."""
    with np.load(DATA / "digits8x8.npz") as file:
        images, labels = file["images"], file["labels"].astype(int)
    if name == "digit_patches":
        images = images[:, 2:6, 2:6]
    x = (images.reshape(len(images), -1) >= 8) * 1.0
    source = (
        "E. Alpaydin & C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, doi:10.24432/C50P49; binarised at half of the full value"
    )
    columns = tuple(f"pixel {i + 1}" for i in range(x.shape[1]))
    return replace(_data(name, x, columns, source, "CC BY 4.0", "bits"), labels=labels)


def _data(name, x, columns, source, licence="not stated", space=None, notes=()):
    """A table as Data in the units of the source, on the space asked for or recognised."""
    zeros, found = np.zeros(x.shape[1]), None
    if space in ("bits", "spins"):
        found = {"bits": Bits, "spins": Spins}[space](x.shape[1])
        for i in np.flatnonzero(~found.contains(x))[:1]:
            raise ValueError(f"{name}: row {i + 1} is {x[i].tolist()}, no state of {found}")
    elif space is None and (found := recognised(x)):
        low, high = found.values
        said = f"all entries are {low:g} or {high:g}: taken for states of {found}"
        notes = *notes, f"{said}, not for real numbers (space, --space)"
    return Data(
        name, x, source, licence, columns, zeros, zeros + 1, space=found, notes=tuple(notes)
    )


def _standardised(data):
    """Data with every column shifted and scaled to mean 0 and standard deviation 1."""
    x, group = data.x, data.mode
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite scale is refused below
        centre, scale = x.mean(axis=0), x.std(axis=0)
    for j in np.flatnonzero((x == x[0]).all(axis=0) | ~((scale > 0) & (scale < math.inf))):
        raise ValueError(
            f"{data.name}, column {j + 1} ({data.columns[j]}): the standard deviation is "
            f"{scale[j]:.3g}, nothing to divide by: is it constant? Drop it, or load with "
            "standardise=False (--raw)"
        )
    data = replace(data, centre=centre, scale=scale)
    mode = group and (lambda x: group(data.original(x)))
    return replace(data, x=data.standardised(x), mode=mode)
