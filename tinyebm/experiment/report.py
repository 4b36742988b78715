"""Numbers for people: a comparison as a table of aligned text."""

import json
import math

from tinyebm.common.estimate import mean_of

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


# column -> key of a row, digits of its mean
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
    finite = "entropy" not in comparison.truth
    rows = [_cells(row) for row in comparison.rows]
    for row in rows:
        if reached := comparison.in_time.get("methods", {}).get(row["method"]):
            value = reached.get("kl", reached["nll"])
            row["in time"] = f"{value:.4f}" if math.isfinite(value) else _with_error(value, 0)
    truth = {"method": "data" if finite else "truth"}
    if not finite:
        truth |= {"NLL": f"{comparison.truth['entropy']:.4f}", "KL": "0", "TV": "0"}
    if "modes" in comparison.truth:
        truth["modes"] = _masses(comparison.truth["modes"])
    if len(truth) > 1:
        rows.append(truth)
    columns, text = _aligned(rows)
    trained, held_out = comparison.settings.get("rows") or ("", "")
    names = comparison.truth.get("mode_names")
    words = {
        "of": f"of the {trained} training rows" if finite else "under the population",
        "held_out": held_out,
        "budget": f"{comparison.in_time.get('seconds') or 0:.1f}",
        "what": "KL" if "KL" in columns else "NLL",
        "reference": comparison.reference,
        "modes": ": " + ", ".join(names) if names else "",
    }
    learned = [
        f"{row['method']}: the learned log normaliser is {row['log_normaliser']:.4f}, the exact "
        f"log Z of the last parameters {row['log_z']:.4f}"
        for row in comparison.rows
        if "log_normaliser" in row
    ]
    failed = [
        f"{row['method']}: {row['status']}" for row in comparison.rows if row["status"] != "ok"
    ]
    return "\n".join(
        [
            _heading(comparison),
            "",
            *text,
            "",
            *_legend(columns, words),
            *learned,
            *failed,
            *getattr(comparison.data, "notes", ()),
        ]
    )


def replicas_table(replicas):
    """Many comparisons as text: per method means over the runs that ended well, with their standard
    errors."""
    rows, runs = [], replicas.settings["runs"]
    for method, found in replicas.rows.items():
        ended = [row for row in found if row["status"] == "ok"]
        row = {
            "method": method,
            "consistent": found[0].get("consistent", ""),
            "updates": str(replicas.settings["steps"]),
            "runs": f"{len(ended)}/{runs}",
        }
        for column, (key, digits) in NUMBERS.items():
            values = [row[key] for row in ended if key in row]
            if values and not all(map(math.isnan, values)):
                row[column] = _mean_with_error(values, digits)
        rows.append(row)
    columns, text = _aligned(rows)
    trained, held_out = replicas.settings.get("rows") or ("", "")
    finite = "entropy" not in replicas.truth
    words = {
        "of": f"of the {trained} training rows" if finite else "under the population",
        "held_out": held_out,
        "reference": replicas.reference,
    }
    note = f"mean over {runs} seeds ± its standard error" if runs > 1 else "one seed"
    return "\n".join([_heading(replicas), note, "", *text, "", *_legend(columns, words)])


def _aligned(rows):
    """(names of the columns that any row has, the lines of a table)."""
    order = ("method", "consistent", "updates", "runs", *list(LEGEND)[1:])
    columns = [name for name in order if any(row.get(name) for row in rows)]
    lines = [columns] + [[row.get(name, "") for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    align = [str.ljust] + [str.rjust] * (len(columns) - 1)
    text = [
        "  ".join(put(cell, w) for put, cell, w in zip(align, line, widths, strict=True))
        for line in lines
    ]
    return columns, [text[0], "-" * len(text[0]), *text[1:]]


def _legend(columns, words):
    """A line for every column that needs one."""
    explain = {name: LEGEND[name].format(**words) for name in columns if name in LEGEND}
    width = max(9, *map(len, explain))
    return [f"{name:>{width}}  {meaning}" for name, meaning in explain.items()]


def _mean_with_error(values, digits):
    """The mean of some numbers and its standard error."""
    mean = mean_of(values)
    if not math.isfinite(mean):
        return "infinite" if mean == math.inf else "unknown"
    return f"{mean:.{digits}f}" + ("" if len(values) == 1 else f" ± {mean.error:.{digits}f}")


def json_text(found):
    """A tree of names and numbers as JSON, which has no word for them: nan and ±inf become "nan",
    "inf", "-inf".

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


def _heading(comparison):
    s = comparison.settings
    return f"{comparison.name}: {s['model']}, {s['steps']} updates of {s['batch_size']} rows, {s['sampler']}"


def _cells(row):
    cells = {
        "method": row["method"],
        "consistent": row.get("consistent", ""),
        "updates": str(row["updates"]),
        "seconds": f"{row['seconds']:.1f}",
    }
    for column, key in (("NLL", "nll"), ("test NLL", "test_nll"), ("KL", "kl"), ("TV", "tv")):
        if key in row:
            cells[column] = _with_error(row[key], row[f"{key}_error"])
    if isinstance(row.get("modes"), list):
        cells["modes"] = _masses(row["modes"])
    if "angle" in row:
        cells["angle"] = "-" if math.isnan(row["angle"]) else f"{row['angle']:.0f}°"
        cells["|g|/|g*|"] = "-" if math.isnan(row["norm_ratio"]) else f"{row['norm_ratio']:.2f}"
    return cells


def _with_error(value, error):
    """A number and its error: 0.0123 ± 4e-07."""
    if not math.isfinite(value):
        return "infinite" if value == math.inf else "unknown"
    return f"{value:.4f} ± {error:.0e}"


def _masses(masses):
    if len(masses) > 4:
        return f"{min(masses):.3f} to {max(masses):.3f}"
    return " ".join(f"{mass:.3f}" for mass in masses)
