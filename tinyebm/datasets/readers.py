"""Tables in files: numbers in columns, with or without names above them.

A text file does not say what separates its columns, whether commas are decimal points, whether line
1 holds names, and whether the first column only numbers the rows.  The reader decides this from the
text and reports it in notes.  If two readings are possible, it refuses the file and says what to
change.
"""

import csv
import gzip
import io
import math
import re
import zlib

import numpy as np

MARKS = {";": "semicolons", "\t": "tabs", ",": "commas", " ": "blanks"}  # tried in this order
WORDS = {"true": 1.0, "false": 0.0}  # in any case
# names of columns that number the rows
NUMBERING = ("index", "id", "row", "rownames", "row.names")
# entries for missing values, in any case
MISSING = ("", "na", "n/a", "null", "none", "-", "?", ".")
WHOLE = re.compile(r"[+-]?\d+")
QUOTED = re.compile(r'\s*("[^"]*"[\s,;]*)+')  # a line of cells in quotes


def read_csv(path, header=None):
    """(The table (n, d) in a text file, the names of its columns, notes on how it was read).

    `header` says whether line 1 holds names; by default the reader decides.

    Raises ValueError, with line and column, if the text is not a table of finite numbers.
    """
    text, notes = _text(path)
    mark, lines = _split(path, text, notes)
    first, second = [*filter(str.strip, text.splitlines()), "", ""][:2]
    if header is None and lines:
        named = QUOTED.fullmatch(first) and not QUOTED.fullmatch(second)
        header = _holds_names(path, lines, named)
    names, body = (lines[0][1], lines[1:]) if header and lines else ([], lines)
    if not body:
        raise ValueError(f"{path}: there are no rows of numbers")

    table = [cells for _, cells in body]
    quoted = second.lstrip().startswith('"')
    names, index = _without_index(path, mark, names, table, quoted, notes)
    comma = _decimal_commas(path, [cell for cells in table for cell in cells[index:]], notes)
    width, rows = len(names) or len(table[0]), []
    for line, cells in body:
        if len(cells) != width:
            raise ValueError(
                f"{path}, line {line}: {len(cells)} entries, but the first has {width}"
            )
        rows.append([_number(cell, comma) for cell in cells[index:]])
        for j, value in enumerate(rows[-1], index):
            if value is None or not math.isfinite(value):
                where = f"{path}, line {line}, column {j + 1}"
                raise ValueError(f"{where}: {cells[j]!r} is not a finite number")
    made_up = numbered_columns(rows[0])
    pairs = zip(names[index:] or made_up, made_up, strict=True)
    return np.array(rows), tuple(name or made for name, made in pairs), notes


# ------------------------------------------------------------------------------- lines and cells


def _text(path):
    """(The text of a file without comments and trailing blanks, notes)."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")  # as Excel's "Unicode text"
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"cannot read {path}: not in UTF-8 ({error}): save it as CSV UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    text = re.sub(r'\A"?sep=.+', "", text)  # a line of Excel's
    text, comments = re.subn(r"(?m)^#(?![,;\t]).*$", "", text)
    notes = ["lines that begin with # are left out"] if comments else []
    return re.sub(r"(?m) +(?=\r?$)", "", text), notes


def _split(path, text, notes):
    """(The separator of the columns of a text, [(line number, cells)])."""
    found, failure = {}, None
    for mark in MARKS:
        try:
            found[mark] = _records(text, mark)
        except csv.Error as error:
            failure = error
            continue
        if _fits([cells for _, cells in found[mark][1:] or found[mark]]):
            break
    else:  # none fits, or there is one column only: what splits the second line, or a comma
        if not found:
            raise ValueError(f"cannot read {path}: {failure}")
        splits = lambda mark: any(len(cells) > 1 for _, cells in found[mark][:2][-1:])
        mark = next(filter(splits, found), "," if "," in found else next(iter(found)))
    if mark != ",":
        notes.append(f"{MARKS[mark]} between the columns")

    lines = found[mark]
    body = [cells for _, cells in lines[1:]]
    if body and len(body[0]) > 1 and not any(cells[-1] for cells in body):
        first, width = lines[0][1], len(body[0]) - 1  # a mark ends every line
        if len(first) == width or not first[-1]:
            lines = [(line, cells[:width]) for line, cells in lines]
    return mark, lines


def _records(text, mark):
    """[(line number, cells)] of a text with a mark between its columns, without blank lines."""
    text = text.replace("\t", " ") if mark == " " else text
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True
    )
    return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]


def _fits(body):
    """Whether all lines hold equally many cells, more than one, and numbers from the second on."""
    if not body or len(body[0]) < 2 or any(len(cells) != len(body[0]) for cells in body):
        return False
    return all(_number(cell, True) is not None for cells in body for cell in cells[1:] if cell)


def _number(cell, comma=False):
    """The number that a cell spells, or None; with `comma`, a comma may be its decimal point."""
    try:
        cell = cell.replace(",", ".") if comma else cell
        return None if "_" in cell else float(cell)  # 1_000 is a number of Python's alone
    except ValueError:
        return WORDS.get(cell.lower())


# --------------------------------------------------------------------------- names, index, decimals


def _holds_names(path, lines, quoted):
    """Whether line 1 holds names; ValueError where its numbers may be names, or a row."""
    (_, first), body = lines[0], [cells for _, cells in lines[1:]]
    values = [_number(cell, comma=True) for cell in first]
    if all(cell.lower() in MISSING for cell in first):
        return False
    if quoted or set(values) == {None}:
        return True
    # a column that counts, without a name or beyond the names
    unnamed = body and (not first[0] or len(body[0]) == len(first) + 1)
    if unnamed and _counts([cells[0] for cells in body]):
        return True
    if None in values or not body or any(len(cells) != len(first) for cells in body):
        return False

    table = np.array([[_number(cell, comma=True) for cell in cells] for cells in body], dtype=float)
    low, high = table.min(axis=0), table.max(axis=0)  # nan if a cell is not a number
    with np.errstate(over="ignore", invalid="ignore"):
        apart = ((values < 2 * low - high) | (values > 2 * high - low)).all()
    whole = all(map(WHOLE.fullmatch, first))
    apart = apart and len(body) >= (2 if whole else 5)
    alone = whole and not any(WHOLE.fullmatch(cell) for cells in body for cell in cells)
    if apart or alone or whole and values == list(range(len(first))):
        raise ValueError(
            f"{path}, line 1: {', '.join(first)} may be names of columns, or a row of numbers: say "
            "which by header=True or header=False (--header yes or no)"
        )
    return False


def _counts(cells):
    """Whether cells count from 0 or 1."""
    return len(cells) > 1 and any(
        cells == list(map(str, range(start, start + len(cells)))) for start in (0, 1)
    )


def _without_index(path, mark, names, body, quoted, notes):
    """(Names, one per column of the file; 1 if the first column numbers or names rows, else 0)."""
    column = [cells[0] for cells in body]
    counts, words = _counts(column), all(cell and _number(cell) is None for cell in column)
    if names and len(body[0]) == len(names) + 1:  # as R's write.table
        if mark == "," and len(names) == 1 and not quoted:
            raise ValueError(
                f"{path}: {','.join(body[0])} may be one number with a decimal comma, or two: "
                "write decimal points"
            )
        index = counts or words or quoted
        names = [""] * index + names
    elif names and names[0].lower() in ("", "unnamed: 0"):
        index = words or len(set(column)) == len(column) and all(map(WHOLE.fullmatch, column))
        if not index:
            raise ValueError(
                f"{path}, line 1: column 1 has no name, and does not number the rows: give it a "
                "name"
            )
    else:
        index = bool(names) and names[0].lower() in NUMBERING and (counts or words)
    if index:
        notes.append("column 1 numbers the rows, or names them, and is left out")
    elif counts and len(body[0]) > 1:
        notes.append("column 1 counts the rows, and is kept as data")
    return names, int(index)


def _decimal_commas(path, cells, notes):
    """Whether commas are decimal points; ValueError where they may separate thousands."""
    commas = [cell for cell in cells if "," in cell and _number(cell, comma=True) is not None]
    thousands = all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in commas)
    if commas and (thousands or any("." in cell for cell in cells)):
        raise ValueError(
            f"{path}: the comma in {commas[0]} may stand before decimals, or between thousands: "
            "write decimal points, and nothing between thousands"
        )
    if commas:
        notes.append("decimal commas")
    if any(cell.lower() in WORDS for cell in cells):
        notes.append("true and false are 1 and 0")
    return bool(commas)


def write_csv(file, x, names=None):
    """Write a table (n, d) and names of its columns to a binary file, as `read_csv` reads it."""
    names = names or [f"x{j + 1}" for j in range(x.shape[1])]
    strange = any(_number(name, True) is not None or name.startswith("#") for name in names)
    quoting = csv.QUOTE_ALL if strange else csv.QUOTE_MINIMAL  # in quotes a number is a name
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerow(names)
    csv.writer(text, lineterminator="\n").writerows(x.tolist())
    text.detach()


# --------------------------------------------------------------------------------------- arrays


def read_npy(path, header=None):
    """(The table (n, d) in a .npy file, made-up names of columns, no notes); nothing is
    unpickled."""
    try:
        with path.open("rb") as file:
            x = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged header raises errors of many kinds
        raise ValueError(f"cannot read {path}: {error}") from error
    if x.dtype.kind not in "iufb" or x.ndim not in (1, 2) or x.size == 0:
        raise ValueError(
            f"{path}: wanted a table of real numbers, got {x.dtype} of shape {x.shape}"
        )
    x = x.astype(float).reshape(len(x), -1)
    for i, j in np.argwhere(~np.isfinite(x)):
        raise ValueError(f"{path}, row {i + 1}, column {j + 1}: {x[i, j]} is not a finite number")
    return x, numbered_columns(x[0]), []


def numbered_columns(row):
    """Names for columns that have none, one for each entry of a row.

    >>> numbered_columns([0.5, 1.5])
    ('column 1', 'column 2')
    """
    return tuple(f"column {j + 1}" for j in range(len(row)))


TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
READERS = dict.fromkeys(TEXTS, read_csv) | {".npy": read_npy}


def reader_of(name):
    """(The reader of a file of this name, or None; the name without folder and ending)."""
    folderless = re.split(r"[/\\]", name)[-1]
    for ending, reader in READERS.items():
        if name.lower().endswith(ending):
            return reader, folderless[: -len(ending)]
    return None, folderless
