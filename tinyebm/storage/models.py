"""Models on disk: a Density, rebuilt from the names and fields of its energy and its space.

A model file is a checkpoint whose notes hold these names and fields.  Both parts are frozen
dataclasses, which have no other state.
"""

import dataclasses
import os
from typing import Any

from tinyebm.density import Density
from tinyebm.energies import analytic
from tinyebm.energies.boltzmann import BoltzmannMachine
from tinyebm.energies.lattice import Ising, Potts
from tinyebm.energies.mlp import MLP
from tinyebm.energies.rbm import RBM, GaussianBernoulliRBM
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.storage.checkpoint import load_tree, save_tree

ENERGIES = (
    MLP,
    TabularEnergy,
    analytic.GaussianEnergy,
    analytic.GaussianMixtureEnergy,
    analytic.DoubleWell,
    analytic.Quartic,
    analytic.Ring,
    analytic.Banana,
    analytic.Funnel,
    BoltzmannMachine,
    Ising,
    Potts,
    RBM,
    GaussianBernoulliRBM,
)
SPACES = (Reals, Box, Bits, Spins, Cells)
KINDS = {kind.__name__: kind for kind in (*ENERGIES, *SPACES)}


def save_model(path: str | os.PathLike, p: Density, **notes: Any) -> None:
    """Write a Density whose energy and space are of this package, and notes that JSON can hold.

    >>> import tempfile
    >>> import numpy as np
    >>> import tinyebm as te
    >>> ring = te.Ring()
    >>> p = te.Density(ring, ring.init(np.random.default_rng(0)), te.Reals(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(f"{folder}/ring.npz", p, purpose="an example")
    ...     q, notes = load_model(f"{folder}/ring.npz")
    >>> q.energy, notes
    (Ring(), {'purpose': 'an example'})
    """
    if not hasattr(p, "energy"):
        raise ValueError(
            "only energies and spaces of tinyebm can be saved, in a Density, not "
            f"{type(p).__name__}"
        )
    save_tree(path, p.theta, energy=_spell(p.energy), space=_spell(p.space), **notes)


def load_model(path: str | os.PathLike) -> tuple[Density, dict]:
    """Read a file of `save_model`: (Density, notes).

    Raises
    ------
    FileNotFoundError, ValueError
        If the file does not exist, or does not hold a model.

    >>> import tempfile
    >>> import tinyebm as te
    >>> p = te.Density(te.DoubleWell(), {"barrier": 1.5}, te.Reals(1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(f"{folder}/well.npz", p)
    ...     load_model(f"{folder}/well.npz")[0].theta
    {'barrier': array(1.5)}
    """
    theta, notes = load_tree(path)
    if not {"energy", "space"} <= set(notes):
        raise ValueError(f"{path} is a checkpoint of a run, not a model")
    energy = _part(path, notes.pop("energy"), ENERGIES)
    space = _part(path, notes.pop("space"), SPACES)
    return Density(energy, theta, space), notes


def _spell(part):
    """The name and the fields of an energy or a space, as JSON holds them."""
    name = type(part).__name__
    if KINDS.get(name) is not type(part):
        raise ValueError(
            f"only energies and spaces of tinyebm can be saved, not {part!r}: keep theta with "
            "checkpoint.save_tree"
        )
    return {"kind": name, **dataclasses.asdict(part)}


def _part(path, spelled, kinds):
    """The energy or the space of the JSON of `_spell`."""
    try:
        return {kind.__name__: kind for kind in kinds}[spelled.pop("kind")](**spelled)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: this version of tinyebm has no such energy or space ({error})"
        ) from error
