"""Tables: a comparison, or many of them, as aligned text; and numbers as JSON."""

import contextlib
import json
import math
import re
from pathlib import Path

from tinyebm.common.estimate import mean_of
from tinyebm.storage.files import write_text

LEGEND = {
    "consistent": "whether infinite data lead to the truth, if the model holds it; "
    "at rest: truth is where the mean gradient is 0, but no minimum",
    "seconds": "training alone, without the exact evaluation",
    "NLL": "exact mean negative log-likelihood {of}, nats (lower is better)",
    "test NLL": "the same on the {held_out} held-out rows",
    "KL": "KL(p‖model), p = {reference}, nats",
    "in time": "the same {what} after as many updates as the method makes in {budget} s, "
    "the learning rate falling over those",
    "TV": "total variation distance to the same p, 0 to 1",
    "modes": "probability that the model gives to each mode{modes}",
    "angle": "at the end of training, between the gradient g the method follows on average "
    "and the exact one, g*",
    "|g|/|g*|": "ratio of their norms: near 0 the method sees nothing left to learn, "
    "though the likelihood does",
}


# column -> key of a row, digits after the point
NUMBERS = {
    "seconds": ("seconds", 1),
    "NLL": ("nll", 4),
    "test NLL": ("test_nll", 4),
    "KL": ("kl", 4),
    "TV": ("tv", 4),
    "angle": ("angle", 0),
    "|g|/|g*|": ("norm_ratio", 2),
}


def table(comparison):
    """A comparison as text: a heading, a row per method, and a line on what each column means."""
    truth = _truth(comparison.truth)
    rows = [_cells(row, comparison.in_time.get("methods", {})) for row in comparison.rows]
    rows += [truth] * (len(truth) > 1)
    names = comparison.truth.get("mode_names")
    columns, lines = _aligned(rows)
    explained = _legend(
        comparison,
        columns,
        budget=f"{comparison.in_time.get('seconds') or 0:.1f}",
        what="KL" if "KL" in columns else "NLL",
        modes=": " + ", ".join(names) if names else "",
    )
    learned = [
        f"{row['method']}: the learned log normaliser is {row['log_normaliser']:.4f}, the exact "
        f"log Z of the last parameters {row['log_z']:.4f}"
        for row in comparison.rows
        if "log_normaliser" in row
    ]
    failed = [
        f"{row['method']}: {row['status']}" for row in comparison.rows if row["status"] != "ok"
    ]
    failed += [
        f"{row['method']}: {name} is unknown: {cause}"
        for row in comparison.rows
        for name, cause in row.get("unknown", {}).items()
    ]
    notes = getattr(comparison.data, "notes", ())
    heading = _heading(comparison)
    return "\n".join([heading, "", *lines, "", *explained, *learned, *failed, *notes])


def replicas_table(replicas):
    """Many comparisons as text: the mean of each method and its standard error.

    Failed comparisons and failed rows are counted, and left out of the means.
    """
    rows, runs = [], replicas.settings["runs"]
    for method, found in replicas.rows.items():
        ended = [row for row in found if row["status"] == "ok"]
        cells = {
            "method": method,
            "consistent": found[0].get("consistent", ""),
            "updates": str(replicas.settings["steps"]),
            "runs": f"{len(ended)}/{runs}",
        }
        for column, (key, digits) in NUMBERS.items():
            values = [row[key] for row in ended if key in row]
            if not all(map(math.isnan, values)):
                cells[column] = _mean(values, digits)
        rows.append(cells)
    columns, lines = _aligned(rows)
    over = "the runs that ended" if replicas.failed else f"{runs} seeds"
    note = f"mean over {over} ± its standard error" if runs > 1 else "one seed"
    explained = _legend(replicas, columns)
    failed = [f"seed {number} failed: {message}" for number, message in replicas.failed]
    return "\n".join([_heading(replicas), note, "", *lines, "", *explained, *failed])


def write_tables(folder, name, table, found):
    """Write a table as NAME.txt, and the numbers of it as NAME.json; return the paths."""
    paths = [Path(folder) / f"{name}.txt", Path(folder) / f"{name}.json"]
    write_text(paths[0], table + "\n")
    write_text(paths[1], json_text(found))
    return paths


def files_of(folder):
    """The paths of an earlier comparison in a folder: tables, figure, models; as a set."""
    names, ends = ("compare", "replicas"), ("txt", "json", "png")
    found = {Path(folder, f"{name}.{end}") for name in names for end in ends}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no table, or another's
        rows = json.loads(Path(folder, "compare.json").read_text("utf-8"))["rows"]
        found |= {model_file(folder, row["method"]) for row in rows}
    return found


def remove(paths):
    """Remove files, of which some may not exist."""
    for path in paths:
        path.unlink(missing_ok=True)


def model_file(folder, method):
    """The path of the model that a method has trained."""
    return Path(folder, re.sub(r"[^\w.+-]", "_", method) + ".npz")


def json_text(found):
    """A tree of names and numbers as JSON, in which nan and ±inf are texts.

    >>> json_text({"nll": math.inf}).split()
    ['{', '"nll":', '"inf"', '}']
    """

    def spell(value):
        if isinstance(value, dict):
            return {name: spell(child) for name, child in value.items()}
        if isinstance(value, (list, tuple)):
            return [spell(child) for child in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(spell(found), indent=1, allow_nan=False) + "\n"


def _heading(found):
    s = found.settings
    updates = f"{s['steps']} updates of {s['batch_size']} rows"
    return f"{found.name}: {s['model']}, {updates}, {s['sampler']}"


def _cells(row, reached):
    """{column: text} of a row; `reached` holds the results of each method in equal seconds."""
    cells = {
        "method": row["method"],
        "consistent": row.get("consistent", ""),
        "updates": str(row["updates"]),
    }
    for column, (key, digits) in NUMBERS.items():
        value, error = row.get(key), row.get(f"{key}_error")
        if error is not None:
            cells[column] = _finite(value, f"{value:.4f} ± {error:.0e}")
        elif value is not None:
            cells[column] = "-" if math.isnan(value) else f"{value:.{digits}f}"
    if cells.get("angle", "-") != "-":
        cells["angle"] += "°"
    if isinstance(row.get("modes"), list):
        cells["modes"] = _masses(row["modes"])
    if row["method"] in reached:
        again = reached[row["method"]]
        value = again.get("kl", again["nll"])
        cells["in time"] = _finite(value, f"{value:.4f}")
    return cells


def _truth(truth):
    """The cells of a perfect model."""
    cells = {"method": "truth" if "entropy" in truth else "data"}
    if "entropy" in truth:
        cells |= {"NLL": f"{truth['entropy']:.4f}", "KL": "0", "TV": "0"}
    if "modes" in truth:
        cells["modes"] = _masses(truth["modes"])
    return cells


def _aligned(rows):
    """(names of the columns that any row has, the lines of a table)."""
    order = ("method", "consistent", "updates", "runs", *list(LEGEND)[1:])
    columns = [name for name in order if any(row.get(name) for row in rows)]
    table = [columns] + [[row.get(name, "") for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return columns, [lines[0], "-" * len(lines[0]), *lines[1:]]


def _legend(found, columns, **words):
    """A line for each of the columns that needs one."""
    trained, held_out = found.settings.get("rows") or ("", "")
    population = "entropy" in found.truth
    words |= {
        "of": "under the population" if population else f"of the {trained} training rows",
        "held_out": held_out,
        "reference": found.reference,
    }
    explain = {name: LEGEND[name].format(**words) for name in columns if name in LEGEND}
    width = max(9, *map(len, explain))
    return [f"{name:>{width}}  {meaning}" for name, meaning in explain.items()]


def _mean(values, digits):
    """The mean of some numbers and its standard error, as text."""
    mean = mean_of(values)
    error = "" if len(values) == 1 else f" ± {mean.error:.{digits}f}"
    return _finite(mean, f"{mean:.{digits}f}{error}")


def _finite(value, text):
    """The text, if the value is finite."""
    if math.isfinite(value):
        return text
    return "infinite" if value == math.inf else "unknown"


def _masses(masses):
    if len(masses) > 4:
        return f"{min(masses):.3f} to {max(masses):.3f}"
    return " ".join(f"{mass:.3f}" for mass in masses)
