"""Tables in files: the literal text that pandas, R, Excel and NumPy write, read to the bit; what is ambiguous is refused."""

import gzip
import io

import numpy as np
import pytest

from tinyebm.datasets.load import load
from tinyebm.datasets.readers import read_csv, write_csv

X = [[0.5, -1.25], [1 / 3, 2e-07], [10.0, 3.0]]
INDEX, SEMI, COMMA = "column 1 numbers the rows", "semicolons between the columns", "decimal commas"
TABS, BLANKS = "tabs between the columns", "blanks between the columns"
NAMES, NUMBERS, YEARS = ("length (m)", "width, m"), ("0", "1"), ("2019", "2020")
PANDAS = [  # DataFrame(X).to_csv(...), the names, what is said
    ("length (m),\"width, m\"\n0.5,-1.25\n0.3333333333333333,2e-07\n10.0,3.0\n", NAMES, []),
    (",length (m),\"width, m\"\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n", NAMES, [INDEX]),
    (",0,1\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n", NUMBERS, [INDEX]),
    (",2019,2020\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n", YEARS, [INDEX]),
    (";0;1\n0;0,5;-1,25\n1;0,3333333333333333;2e-07\n2;10,0;3,0\n", NUMBERS, [SEMI, INDEX, COMMA]),
    (";length (m);width, m\n0;0,5;-1,25\n1;0,3333333333333333;2e-07\n2;10,0;3,0\n", NAMES, [SEMI, INDEX, COMMA]),
    ("length (m);width, m\n0,5;-1,25\n0,3333333333333333;2e-07\n10,0;3,0\n", NAMES, [SEMI, COMMA]),
    ("\t0\t1\n0\t0.5\t-1.25\n1\t0.3333333333333333\t2e-07\n2\t10.0\t3.0\n", NUMBERS, [TABS, INDEX]),
    (" 0 1\n0 0.5 -1.25\n1 0.3333333333333333 2e-07\n2 10.0 3.0\n", NUMBERS, [BLANKS, INDEX]),
    (",0,1\n0,\"0,5\",\"-1,25\"\n1,\"0,3333333333333333\",2e-07\n2,\"10,0\",\"3,0\"\n", NUMBERS, [INDEX, COMMA]),
    ('"","0","1"\n"0","0.5","-1.25"\n"1","0.3333333333333333","2e-07"\n"2","10.0","3.0"\n', NUMBERS, [INDEX]),
    ('"",2019,2020\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n', YEARS, [INDEX]),
    (",a,b\n7,0.5,-1.25\n3,0.3333333333333333,2e-07\n5,10.0,3.0\n", ("a", "b"), [INDEX]),  # a sample of rows
    (",a,b\n2020-01-01,0.5,-1.25\n2020-01-02,0.3333333333333333,2e-07\n2020-01-03,10.0,3.0\n", ("a", "b"), [INDEX]),
    ("index,a,b\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n", ("a", "b"), [INDEX]),
    ("Unnamed: 0,a,b\n0,0.5,-1.25\n1,0.3333333333333333,2e-07\n2,10.0,3.0\n", ("a", "b"), [INDEX]),
]
R = [  # write.csv, write.csv2 and write.table, with and without quotes and row names
    ('"","a","b"\n"1",0.5,-1.25\n"2",0.3333333333333333,2e-07\n"3",10,3\n', ("a", "b"), [INDEX]),
    ('"","2019","2020"\n"1",0.5,-1.25\n"2",0.3333333333333333,2e-07\n"3",10,3\n', YEARS, [INDEX]),
    ('"2019","2020"\n0.5,-1.25\n0.3333333333333333,2e-07\n10,3\n', YEARS, []),
    ('"";"a";"b"\n"1";0,5;-1,25\n"2";0,3333333333333333;2e-07\n"3";10;3\n', ("a", "b"), [SEMI, INDEX, COMMA]),
    ('"a" "b"\n"1" 0.5 -1.25\n"2" 0.3333333333333333 2e-07\n"3" 10 3\n', ("a", "b"), [BLANKS, INDEX]),
    ('"a" "b"\n"Mazda RX4" 0.5 -1.25\n"Fiat" 0.3333333333333333 2e-07\n"Volvo, red" 10 3\n', ("a", "b"), [BLANKS, INDEX]),
    ('"","a","b"\n"Mazda RX4",0.5,-1.25\n"Fiat",0.3333333333333333,2e-07\n"Volvo, red",10,3\n', ("a", "b"), [INDEX]),
    ("a\tb\n1\t0.5\t-1.25\n2\t0.3333333333333333\t2e-07\n3\t10\t3\n", ("a", "b"), [TABS, INDEX]),
    ('"rownames","a","b"\n"1",0.5,-1.25\n"2",0.3333333333333333,2e-07\n"3",10,3\n', ("a", "b"), [INDEX]),
]
OTHERS = [  # Excel, and savetxt
    ("\ufeffa;b\r\n0,5;-1,25\r\n0,3333333333333333;2E-07\r\n10;3\r\n", ("a", "b"), [SEMI, COMMA]),
    ("\ufeffa,b\r\n0.5,-1.25\r\n0.3333333333333333,2.00E-07\r\n10,3\r\n", ("a", "b"), []),
    ("sep=;\r\na;b\r\n0,5;-1,25\r\n0,3333333333333333;0,0000002\r\n10;3\r\n", ("a", "b"), [SEMI, COMMA]),
    ("a,b,\n0.5,-1.25,\n0.3333333333333333,2e-07,\n10,3,\n", ("a", "b"), []),
    ("a;b\n0,5;-1,25;\n0,3333333333333333;2e-07;\n10;3;\n", ("a", "b"), [SEMI, COMMA]),
    ("# a b\n5.0e-01 -1.25e+00\n3.333333333333333e-01 2.0e-07\n1.0e+01 3.0e+00\n", None, ["lines that begin with #", BLANKS]),
    ("  0.5  -1.25\n  0.3333333333333333   2e-07 \n\n 10 3\n", None, [BLANKS]),
    ('"a\nb",c\n0.5,-1.25\n0.3333333333333333,2e-07\n10,3\n', ("a\nb", "c"), []),
    ("#,b\n0.5,-1.25\n0.3333333333333333,2e-07\n10,3\n", ("#", "b"), []),
]


def read(folder, text, header=None, name="table.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, False, "reals", header)


@pytest.mark.parametrize(("text", "names", "said"), PANDAS + R + OTHERS)
def test_what_others_write_comes_back(tmp_path, text, names, said):
    """Catches an index or a header of numbers among the data, commas that are lost, and what is found out and not said."""
    data = read(tmp_path, text)
    x = np.round(data.x, 15) if names is None else data.x

    np.testing.assert_array_equal(x, np.round(X, 15) if names is None else X)
    assert data.columns == (names or ("column 1", "column 2"))
    assert len(data.notes) == len(said) and all(map(str.startswith, data.notes, said)), data.notes


@pytest.mark.parametrize("name", ["t.tsv", "t.txt", "T.TXT", "t.csv.gz", "t.tsv.gz", "t.txt.gz"])
def test_endings(tmp_path, name):
    """Catches a file that is not unpacked, and an ending that is left in the name."""
    text = "a\tb\n1\t2.5\n3\t4\n3\t5\n"
    data = read(tmp_path, gzip.compress(text.encode()) if name.endswith("gz") else text, name=name)

    assert data.x.tolist() == [[1, 2.5], [3, 4], [3, 5]] and data.name == name[0] and data.columns == ("a", "b")


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_text_of_excel(tmp_path, coding):
    """Catches every second byte taken for a character."""
    mark = {"utf-16": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[coding]
    data = read(tmp_path, mark + "Länge\tb\r\n1,5\t2\r\n3\t4\r\n".encode(coding))

    assert data.x.tolist() == [[1.5, 2], [3, 4]] and data.columns == ("Länge", "b")


AMBIGUOUS = ["0,1\n0.5,-1.25\n0.25,3.5\n", "0;1\n0,5;1,5\n", "2019,2020\n1.5,2.5\n3.5,4.5\n", "2019,2020\n3,5\n4,7\n2,9\n",
             "0\n1\n1\n0\n", "0,1\n1,1\n0,0\n", "7\n0.5\n0.25\n", "1e6,2e6\n3.5,5\n4,7\n2,9\n3,8\n1,6\n"]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_first_line_of_numbers_may_be_names(tmp_path, text):
    """Refused with the remedy, which works both ways.  Catches names that become a row, and a row that becomes names."""
    with pytest.raises(ValueError, match=r"line 1: .* may be names of columns.*header=True.*--header") as caught:
        read(tmp_path, text)
    named, unnamed = read(tmp_path, text, True), read(tmp_path, text, False)

    assert "\n" not in str(caught.value)
    assert np.array_equal(named.x, unnamed.x[1:]) and len(unnamed.x) == len(text.splitlines())
    assert unnamed.columns[0] == "column 1" and named.columns[0] == text.replace(";", ",").replace("\n", ",").split(",")[0]
    assert (named.header, unnamed.header) == (True, False)


@pytest.mark.parametrize("text", ["1,2\n3,5\n5,4\n", "1,2\n3,4\n", "1.0,2.0\n2.5,1.5\n", "3,1\n2,2.5\n0.5,7\n", "0,0\n1,1\n0,1\n",
                                  "5\n3\n4\n", "0.0,1.0\n1.0,1.0\n", "-1,1\n1,1\n", "40\n2.5\n90.5\n7\n"])
def test_a_first_row_stays_a_row(tmp_path, text):
    """Catches plain tables without names that are refused, or lose their first row."""
    data = read(tmp_path, text)
    np.testing.assert_array_equal(data.x, [[float(cell) for cell in line.split(",")] for line in text.split()])


@pytest.mark.parametrize(("text", "message"), [
    ("a;b\n1,500;2,250\n3,125;1,000\n", "the comma in 1,500 may stand before decimals, or between thousands"),
    ('"1,234","5,678"\n"2,345","1,111"\n', "the comma in 1,234 may"), ("a;b\n1,5;2.5\n3;4\n", "the comma in 1,5 may"),
    ("a;b\n1.234,5;2\n3;4\n", "line 2, column 1: '1.234,5' is not"), ("a;b\n1,234,567;2\n3;4\n", "line 2, column 1: '1,234,567'"),
    ("a;b\n1 234;2\n3;4\n", "line 2, column 1: '1 234'"), ("x\n1,5\n2,7\n", "1,5 may be one number with a decimal comma, or two"),
    ("x\n3,5\n2,7\n", "3,5 may be one number with a decimal comma, or two"),
    (",a\n0.5,1\n0.7,2\n", "line 1: column 1 has no name, and does not number the rows"),
    (",,a\n1,2,0.5\n1,3,0.3\n2,2,10.0\n", "line 1: column 1 has no name"), (",5\n1,2\n3,4\n", "line 1, column 1: ''"),
    (",a,b\n0,0.5,\n1,0.3,2\n", "line 2, column 3: ''"), ('"a";"b"\n1,5;NA\n2;3\n', "line 2, column 2: 'NA'"),
    ("a,b\n0.5,NaN\n0.3,2\n", "line 2, column 2: 'NaN'"), ('s\n""\n1.0\n', "line 2, column 1: ''"),
    ("a,b\n1,\n2,\n", "column 2: ''"),
    ("NA,NA\n1,2\n3,4\n", "line 1, column 1: 'NA'"), (",\n1,2\n3,4\n", "line 1, column 1: ''"),
    ("who,a\nu,0.5\nv,0.3\n", "line 2, column 1: 'u'"), ("a,b\n1,2,3\n4,5,6\n", "line 2: 3 entries, but the first has 2"),
    ("1 2\n1 2 3\n", "line 2: 3 entries"), ("a|b\n1|2\n", "'1[|]2'"), ('a,b\n"1,2\n', "cannot read .*unexpected end"),
    ("1,5,2\n3,x,4\n", "line 2, column 2: 'x'"), ("a,b\n1,2\n,\n", "line 3, column 1: ''")])
def test_what_is_not_sure_is_refused(tmp_path, text, message):
    """Catches thousands taken for decimals, a missing value that is skipped, and a line that is guessed at."""
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "table" in str(caught.value) and "\n" not in str(caught.value)


def test_a_column_that_counts_is_said(tmp_path):
    """Under a name of its own, or none, it may be data.  Catches silence."""
    for text in ("time,a\n1,2.5\n2,3\n", "0,2.5\n1,3\n"):
        data = read(tmp_path, text)
        assert data.x.shape == (2, 2) and data.notes == ("column 1 counts the rows, and is kept as data",)
    assert read(tmp_path, "a\n1\n2\n").notes == ()


@pytest.mark.parametrize("name", ["length", "length (m)", "a;b", "one two three"])
def test_one_column(tmp_path, name):
    """Catches a name of several words taken for several names."""
    data = read(tmp_path, f"{name}\n1.5\n2\n")
    assert data.x.tolist() == [[1.5], [2]] and data.columns == (name,) and data.notes == ()


def test_words_of_logic(tmp_path):
    """Catches True and False, as pandas and R write bits, taken for names or refused."""
    for text in (",a,b\n0,False,True\n1,True,True\n", "False,True\nTrue,True\n", '"","a","b"\n"1",FALSE,TRUE\n"2",TRUE,TRUE\n'):
        data = read(tmp_path, text)
        assert data.x.tolist() == [[0, 1], [1, 1]] and data.notes[-1] == "true and false are 1 and 0"


@pytest.mark.parametrize("content", [b"\xe9,\xff\n1,2\n", gzip.compress(b"a,b\n1,2\n")[:-9], b"\xff\xfe1"])
def test_damaged_texts(tmp_path, content):
    """Catches a UnicodeDecodeError, an EOFError, and Latin letters read as others."""
    with pytest.raises(ValueError, match="cannot read .*table"):
        read(tmp_path, content, name="table.csv" if content[:2] != b"\x1f\x8b" else "table.csv.gz")


STRANGE = ["2019", "a,b", 'the "best"', "a\nb", "x;y", "#1", "1,5", "nan", "True", " b", "", "Länge"]


@pytest.mark.parametrize("names", [*([name, "plain"] for name in STRANGE), *(["plain", name] for name in STRANGE), ["0", "1"],
                                   ["2019"], ["a;b"], ["#"], ["column 1", "column 2"], None])
def test_what_is_written_is_read(tmp_path, names):
    """To the bit, under any names.  Catches a name that is not quoted, digits that are lost, names taken for a row."""
    x = np.random.default_rng(0).standard_normal((5, len(names or "12"))) * 10.0 ** np.arange(-2, 3)[:, None]
    file = io.BytesIO()
    write_csv(file, x, names)
    (tmp_path / "x.csv").write_bytes(file.getvalue())
    if names and names[0] == "":  # a column without a name is an index, or refused
        return
    again, columns, notes = read_csv(tmp_path / "x.csv")

    assert np.array_equal(again, x) and notes == []
    assert columns == tuple(name.strip() or f"column {j}" for j, name in enumerate(names or ["x1", "x2"], 1))


@pytest.mark.parametrize("x", [np.array([[1, 0], [0, 0]]), np.array([[True, False], [False, True]]),
                               np.array([[1, 2], [3, 4]], ">i4"), np.asfortranarray([[1.5, 2], [3, 4]]),
                               np.array([[1, 2], [3, 4]], ">f8"),
                               np.float16([[1.5, 2], [3, 4]]),
                               np.array([1, 2, 3], np.uint8)])
def test_arrays_of_every_real_type(tmp_path, x):
    """Catches booleans refused, bytes in the wrong order, and rows for columns."""
    np.save(tmp_path / "x.npy", x)
    data = load(tmp_path / "x.npy", False, "reals")

    assert data.x.dtype == np.float64 and np.array_equal(data.x, x.astype(float).reshape(len(x), -1)) and data.notes == ()


def test_structured_arrays_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([(1.0, 2)], dtype=[("a", "f8"), ("b", "i4")]))
    with pytest.raises(ValueError, match="wanted a table of real numbers"):
        load(tmp_path / "x.npy")
