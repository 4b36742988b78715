"""A comparison many times over: how much of a difference between methods is the seed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyebm.datasets.load import load
from tinyebm.experiment.compare import compare
from tinyebm.experiment.report import json_text, replicas_table
from tinyebm.experiment.sweeps import sweep
from tinyebm.storage.files import write_text


@dataclass(frozen=True, repr=False)
class Replicas:
    """What `replicate` found: `rows` maps every method to its row of each comparison, `truth` and
    `settings` are the first's."""

    name: str
    reference: str
    truth: dict
    settings: dict
    rows: dict = field(repr=False)

    def __repr__(self):
        return self.table()

    def table(self) -> str:
        """Means with their standard errors as aligned text, with a line that explains every
        column."""
        return replicas_table(self)

    def save(self, folder: str | os.PathLike) -> list:
        """Write replicas.txt and replicas.json; return the paths."""
        folder = Path(folder)
        paths = [folder / "replicas.txt", folder / "replicas.json"]
        write_text(paths[0], self.table() + "\n")
        write_text(paths[1], json_text(vars(self)))
        return paths


def replicate(
    seeds: int | Sequence[int],
    executor: Any = None,
    seed: int = 0,
    progress: bool | str = True,
    target: Any = "faithful",
    standardise: bool = True,
    **settings: Any,
) -> Replicas:
    """`compare` with the same settings for many seeds, by a `sweep`.

    Within a comparison all methods share start, batches and held-out rows; between comparisons
    nothing is shared.  The second training for equal seconds is left out.

    Parameters
    ----------
    seeds, executor, seed, progress : as in `sweep`
    target, settings : as in `compare`
    standardise : bool
        Whether the columns of real data, given by name, are standardised.

    Returns
    -------
    Replicas

    >>> found = replicate(2, target="double_well", methods=["cd-1"], steps=2, progress=False)
    >>> found.rows["cd-1"][1]["method"]
    'cd-1'
    """
    point = settings | {"target": target, "standardise": standardise}
    found = sweep(_compare, [point], seeds, executor, seed, progress).results[0]
    name, reference, truth, first, _ = found[0]
    rows = {
        row["method"]: [others[-1][i] for others in found] for i, row in enumerate(found[0][-1])
    }
    return Replicas(name, reference, truth, first | {"seed": seed, "runs": len(found)}, rows)


def _compare(seed, target, standardise, **settings):
    """What a Replicas keeps of one comparison; names are loaded where it runs, for a population
    cannot be sent."""
    data = load(target, standardise) if isinstance(target, (str, Path)) else target
    found = compare(data, seed=seed, progress=False, race=False, **settings)
    return found.name, found.reference, found.truth, found.settings, found.rows
