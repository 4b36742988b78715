"""`replicate`: a comparison for many seeds, with standard errors."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyebm.datasets.load import NAMES, load
from tinyebm.experiment.compare import compare
from tinyebm.experiment.report import files_of, remove, replicas_table, write_tables
from tinyebm.experiment.sweeps import Failed, sweep


@dataclass(frozen=True, repr=False)
class Replicas:
    """The result of `te.replicate`: `rows` maps each method to its rows, one per comparison.

    `failed` lists (number of the seed, error) of the comparisons that failed, which have no rows.
    The other fields are those of the first Comparison.

    >>> import tinyebm as te
    >>> quick = {"target": "bars_and_stripes_3x3", "methods": ["pl"], "steps": 2, "hidden": (2,)}
    >>> print(te.replicate(2, **quick).table().splitlines()[0])
    bars_and_stripes_3x3: RBM(visible=9, hidden=2), 2 updates of 256 rows, BlockGibbs()
    """

    name: str
    reference: str
    truth: dict
    settings: dict
    rows: dict = field(repr=False)
    failed: list = field(default_factory=list)

    def table(self) -> str:
        """Means with their standard errors as aligned text, and a line on each column."""
        return replicas_table(self)

    __repr__ = table

    def save(self, folder: str | os.PathLike) -> list:
        """Write replicas.txt and replicas.json; return the paths.

        The files of an earlier comparison in the folder are removed.
        """
        before = files_of(folder)
        paths = write_tables(folder, "replicas", self.table(), vars(self))
        remove(before - set(paths))
        return paths


def replicate(
    seeds: int | Sequence[int],
    executor: Any = None,
    seed: int = 0,
    progress: bool | str = True,
    target: Any = "faithful",
    standardise: bool = True,
    errors: str = "raise",
    file: str | os.PathLike | None = None,
    **settings: Any,
) -> Replicas:
    """The rows of `te.compare` with the same settings for many seeds, as Replicas.

    Within a comparison all methods share start, batches and held-out rows; two comparisons share
    nothing.  Methods are not trained again for equal seconds.

    Parameters
    ----------
    seeds, executor, seed, progress, errors, file : as in `sweep`
        With `errors="keep"` means are over the comparisons that ended.
    target, settings : as in `compare`
        With an executor, objectives in `methods` have to be picklable.
    standardise : bool
        Whether the columns of real data, given by name, are standardised.

    Raises
    ------
    ValueError
        As `compare` and `sweep`; with `errors="keep"`, if all comparisons failed.

    >>> quick = {"methods": ["pl", "cd-1"], "steps": 2, "hidden": (2,)}
    >>> found = replicate(2, target="bars_and_stripes_3x3", **quick)
    >>> [(method, len(rows)) for method, rows in found.rows.items()]
    [('pl', 2), ('cd-1', 2)]
    """
    if file is not None and isinstance(target, (str, Path)) and str(target) not in NAMES:
        target = load(target, standardise)  # a changed file makes another sweep
    point = settings | {"target": target, "standardise": standardise}
    swept = sweep(_compare, [point], seeds, executor, seed, progress, errors, file)
    found = [result for result in swept.results[0] if not isinstance(result, Failed)]
    failed = [(number, " ".join(message.split())) for _, number, message in swept.failed]
    if not found:
        raise ValueError(f"all comparisons failed, that of seed {failed[0][0]} by {failed[0][1]}")
    name, reference, truth, first, rows = found[0]
    rows = {row["method"]: [other[-1][i] for other in found] for i, row in enumerate(rows)}
    first = first | {"seed": seed, "runs": len(swept.seeds)}
    return Replicas(name, reference, truth, first, rows, failed)


def _compare(seed, target, standardise, **settings):
    """The part of one comparison that Replicas keep.

    A name is loaded here, in the worker, because a population cannot be sent to another process.
    """
    data = load(target, standardise) if isinstance(target, (str, Path)) else target
    found = compare(data, seed=seed, progress=False, race=False, **settings)
    return found.name, found.reference, found.truth, found.settings, found.rows
