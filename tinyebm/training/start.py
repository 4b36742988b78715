"""The start of a training run: the check of its settings, the space of the data, the parameters.

Wrong settings raise an error here, before the first step.
"""

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np

from tinyebm.common.checks import (
    require_choice,
    require_count,
    require_decay,
    require_nonnegative,
    require_positive,
    require_space,
)
from tinyebm.common.tree import tree_flatten
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.discrete import recognised, space_with
from tinyebm.storage.files import require_writable

# A column of data is named in a warning if its mean or standard deviation exceeds FAR, or if the
# latter lies below NARROW: training seldom moves an energy as far as that from its start.
FAR, NARROW = 10.0, 0.03


def space_of(data, x, energy=None):
    """The space of the rows x (n, d) of data: that of the data, or of the energy, else R^d.

    An energy with `sites` is for the discrete spaces of those values.  Raises ValueError if not all
    rows are states of such a space, or if they fit two of them.  Warns if all entries of an array
    are 0 or 1 (or -1 or 1), but the space is R^d.
    """
    if getattr(data, "space", None) is not None:
        return data.space
    homes = [space_with(values, x.shape[1]) for values in getattr(energy, "sites", ())]
    fitting = [space for space in homes if np.all(space.contains(x))]
    if homes and not fitting:
        raise ValueError(
            f"the energy {energy!r} is for {' or '.join(map(str, homes))}, and not all rows of the "
            f"data are states there: {x[~homes[0].contains(x)][0].tolist()}"
        )
    if len(fitting) > 1:
        raise ValueError(f"the data may be states of {' or '.join(map(str, fitting))}: give space=")
    if fitting:
        return fitting[0]
    found = None if hasattr(data, "x") else recognised(x)
    if found:
        low, high = found.values
        warnings.warn(
            f"all entries of the data are {low:g} or {high:g}, and are taken for points of "
            f"R^{found.dim}: give space={found}, or Reals({found.dim})",
            stacklevel=3,
        )
    return Reals(x.shape[1])


def require_runnable(objective, space, x, optimizer, callback, options):
    """Raise ValueError unless these arguments of `fit` and its data x (n, d) fit together."""
    require_space(space)
    if isinstance(objective, type) or not hasattr(objective, "gradient"):
        raise ValueError(
            "fit needs an objective, for example te.ContrastiveDivergence(te.ULA(0.01), k=10), "
            f"got {objective!r}"
        )
    if x.shape[1] != space.dim:
        raise ValueError(
            f"the data have {x.shape[1]} columns, the space {space} has dimension {space.dim}"
        )
    outside = x[~space.contains(x)]
    if len(outside):
        raise ValueError(f"some data lie outside {space}, for example {outside[0].tolist()}")
    if optimizer is not None and not hasattr(optimizer, "update"):
        raise ValueError(f"optimizer must be one, like te.adam(1e-3), got {optimizer!r}")
    if callback is not None and not callable(callback):
        raise ValueError(f"callback must be a function of (step, density, entry), got {callback!r}")
    for name in ("steps", "rollback"):
        require_count(options[name], f"{name} must be an integer >= 0", least=0)
    require_choice("dtype", options["dtype"], ("float32", "float64"))
    for name in ("data_noise", "alpha"):
        require_nonnegative(name, options[name])
    if options["log_every"] is not None:
        require_count(options["log_every"], "log_every must be a positive number of steps")
    if options["batch_size"] is not None:
        require_count(
            options["batch_size"], "batch_size must be a positive integer, or None for all rows"
        )
    if options["clip"] is not None:
        require_positive("clip", options["clip"])
    if options["ema"] is not None:
        require_decay("ema", options["ema"])
    if options["data_noise"] and space.discrete:
        raise ValueError(
            f"data_noise moves data off the states of {space}: it is for continuous spaces"
        )


def regularised(objective, alpha):
    """The objective with this weight of its regulariser; ValueError if it has none."""
    if not alpha:
        return objective
    if not (dataclasses.is_dataclass(objective) and hasattr(objective, "alpha")):
        raise ValueError(
            f"alpha needs negative samples to act on: {type(objective).__name__} has none"
        )
    return dataclasses.replace(objective, alpha=alpha)


def start_of(energy, theta, stream, law=()):
    """The first parameters: the tree theta, after a check, or else a draw of `energy.init`.

    If the distribution of the data, (rows, probability masses), is given, an energy with
    `init_from_data` starts near them.
    """
    if theta is None:
        if isinstance(energy, type) or not hasattr(energy, "init"):
            raise ValueError(
                f"the energy {energy!r} cannot start by itself: it has no init(rng). Give theta=, "
                "or an energy like te.MLP((2, 64, 1))"
            )
        near = getattr(energy, "init_from_data", None) if law else None
        theta = near(*law, stream.at(0)) if near else energy.init(stream.at(0))
    leaves, rebuild = tree_flatten(theta)
    if not leaves:
        raise ValueError("theta holds no parameters: there is nothing to fit")
    leaves = [np.asarray(leaf) if isinstance(leaf, (float, int)) else leaf for leaf in leaves]
    for leaf in leaves:
        if getattr(leaf, "dtype", np.dtype(object)).kind not in "fiu":
            raise ValueError(f"theta must be a tree of arrays of real numbers, got a leaf {leaf!r}")
        if not np.isfinite(leaf).all():
            raise ValueError("theta holds nan or inf: nothing can start there")
    return stream.place(rebuild(leaves))


def unstandardised(space, x, mass):
    """The warning about rows (n, d) of R^d that are far from 0 or in unsuitable units; or None.

    `mass` (n,) holds the probabilities of the rows.
    """
    if space.discrete or space.bounded:
        return None
    unit = space.base_scale or 1.0
    mean, square = mass @ x / unit, mass @ (x / unit) ** 2
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    far = np.abs(mean) > FAR * np.maximum(sd, 1.0)
    wide, narrow = sd > FAR, (sd > 0) & (sd < NARROW)
    for j in np.flatnonzero(far | wide | narrow):
        return (
            f"column {int(j) + 1} of the data has mean {float(mean[j]) * unit:.3g} and standard "
            f"deviation {float(sd[j]) * unit:.3g}, far from {unit:g}, the unit in which energies "
            "start: standardise it, (x - mean) / sd, as te.datasets.load does"
        )
    return None


def require_path(checkpoint, resume):
    """Raise ValueError or OSError if no file can be written at `checkpoint`; make its folder."""
    if resume and not checkpoint:
        raise ValueError("resume=True needs the checkpoint= to resume from")
    if checkpoint is None:
        return
    if not isinstance(checkpoint, (str, os.PathLike)) or not os.fspath(checkpoint):
        raise ValueError(f"checkpoint must be a path, got {checkpoint!r}")
    if Path(checkpoint).is_dir():
        raise ValueError(f"checkpoint must be a file, and {checkpoint} is a folder")
    require_writable(checkpoint)
