"""The table: numbers under their names, errors beside them, and nothing that is not a number printed as one."""

import math
import re

import pytest

from tinyebm.experiment.compare import Comparison
from tinyebm.experiment.report import LEGEND, table

SETTINGS = {"steps": 30, "batch_size": 64, "model": "16-8 tanh network", "sampler": "Langevin step size 0.05",
            "rows": [30, 10]}
GOOD = {"method": "mle", "updates": 30, "seconds": 1.26, "nll": 1.23456, "nll_error": 2e-7, "kl": 0.012345, "kl_error": 3e-7,
        "tv": 0.1, "tv_error": 4e-3, "modes": [0.25, 0.75], "angle": 0.0, "norm_ratio": 1.0, "status": "ok"}
BIASED = GOOD | {"method": "cd-10", "seconds": 12.0, "nll": 123.5, "kl": 5.4321, "modes": [1 / 3, 2 / 3], "angle": 90.4,
                 "norm_ratio": 0.056}
INFINITE = GOOD | {"method": "pcd-1", "nll": math.inf, "nll_error": math.nan, "kl": math.nan, "kl_error": math.nan,
                   "tv": math.nan, "tv_error": math.nan, "modes": math.inf, "angle": math.nan, "norm_ratio": math.nan}
LOST = {"method": "short-1", "updates": 30, "seconds": 0.0, "status": "update 7: the gradient is not finite"}
POPULATION = {"entropy": 1.25, "modes": [0.5, 0.5]}


def comparison(rows, truth=POPULATION, reference="the population toy"):
    return Comparison("toy", reference, truth, rows, {}, {}, None, SETTINGS)


def test_table_of_a_population():
    """The whole text: catches digits or errors lost, a number under another's name, a column shifted by a missing cell."""
    text = table(comparison([GOOD, BIASED, INFINITE, LOST]))
    assert "\n".join(line.rstrip() for line in text.splitlines()) == """\
toy: 16-8 tanh network, 30 updates of 64 rows, Langevin step size 0.05

method   updates  seconds               NLL              KL              TV        modes  angle  |g|/|g*|
---------------------------------------------------------------------------------------------------------
mle           30      1.3    1.2346 ± 2e-07  0.0123 ± 3e-07  0.1000 ± 4e-03  0.250 0.750     0°      1.00
cd-10         30     12.0  123.5000 ± 2e-07  5.4321 ± 3e-07  0.1000 ± 4e-03  0.333 0.667    90°      0.06
pcd-1         30      1.3          infinite         unknown         unknown                   -         -
short-1       30      0.0
truth                                1.2500               0               0  0.500 0.500

  seconds  training alone, without the exact evaluation
      NLL  exact mean negative log-likelihood under the population, nats (lower is better)
       KL  KL(p‖model), p = the population toy, nats
       TV  total variation distance to the same p, 0 to 1
    modes  probability that the model gives to each mode
    angle  at the end of training, between the gradient g the method follows on average and the exact one, g*
 |g|/|g*|  ratio of their norms: near 0 the method sees nothing left to learn, though the likelihood does
short-1: update 7: the gradient is not finite"""


def test_table_of_finite_data():
    """Catches an entropy claimed for data that have none, and the training data's NLL said to be a population's."""
    test = {"test_nll": 1.5, "test_nll_error": 1e-6}
    text = table(comparison([GOOD | test, BIASED | test], {"modes": [0.4, 0.6]}, "the model of row mle"))
    lines = text.splitlines()

    assert lines[2].split() == "method updates seconds NLL test NLL KL TV modes angle |g|/|g*|".split()
    assert lines[4].split()[:9] == "mle 30 1.3 1.2346 ± 2e-07 1.5000 ± 1e-06".split()
    assert lines[6].split() == ["data", "0.400", "0.600"]
    assert "      NLL  exact mean negative log-likelihood of the 30 training rows, nats (lower is better)" in lines
    assert " test NLL  the same on the 10 held-out rows" in lines
    assert "       KL  KL(p‖model), p = the model of row mle, nats" in lines


@pytest.mark.parametrize("rows", [[GOOD, BIASED, INFINITE, LOST], [LOST, GOOD], [INFINITE], [GOOD | {"seconds": 12345.6}]])
@pytest.mark.parametrize("truth", [POPULATION, {}, {"entropy": -0.3}, {"modes": [0.1] * 10}])
def test_columns_are_aligned(rows, truth):
    """Every line as long as the rule, every cell ending where its name ends: catches widths of the heading alone."""
    lines = table(comparison(rows, truth)).splitlines()
    rule = next(i for i, line in enumerate(lines) if set(line) == {"-"})
    block = [lines[rule - 1], *lines[rule + 1 : rule + 1 + len(rows) + bool(truth)]]

    assert {len(line) for line in block} == {len(lines[rule])}
    ends = [match.end() for match in re.finditer(r"test NLL|\S+", block[0])][1:]
    for line in block:
        for cell in (line[start:end] for start, end in zip(ends, ends[1:], strict=False)):
            assert not cell.strip() or (cell.startswith("  ") and cell[-1] != " ")


def test_legend_explains_the_columns_that_are_there_and_no_other():
    """Catches a column without an explanation, and one explained that is missing."""
    nothing_to_compare = {k: v for k, v in GOOD.items() if k.split("_")[0] not in ("kl", "tv", "modes")}
    text = table(comparison([nothing_to_compare], {}, "nothing"))
    explained = [line[:9].strip() for line in text[text.index("\n\n", text.index("---")):].splitlines()[2:]]

    assert explained == ["seconds", "NLL", "angle", "|g|/|g*|"]
    assert set(explained) <= set(LEGEND)


def test_many_modes_are_shown_by_their_extremes():
    """Catches eight masses in a row, and extremes exchanged."""
    rows = [GOOD | {"modes": [0.05, 0.35, 0.2, 0.15, 0.25]}, GOOD | {"modes": [0.1, 0.2, 0.3, 0.4]}]
    text = table(comparison(rows, {"entropy": 1.0, "modes": [0.2] * 5}))

    assert "0.050 to 0.350" in text and "0.100 0.200 0.300 0.400" in text and "0.200 to 0.200" in text


def test_when_every_method_fails():
    """Catches a table that cannot be made without one success."""
    text = table(comparison([LOST, LOST | {"method": "cd-1"}], {}, "nothing"))

    assert text.splitlines()[2].split() == ["method", "updates", "seconds"]
    assert text.endswith("short-1: update 7: the gradient is not finite\ncd-1: update 7: the gradient is not finite")


TRUST = [GOOD | {"consistent": "yes"}, BIASED | {"consistent": "at rest"}, LOST | {"consistent": "no"},
         GOOD | {"method": "nce-1", "consistent": "yes", "log_normaliser": 1.23456, "log_z": -0.5, "angle": math.nan,
                 "norm_ratio": math.nan}]  # fmt: skip
RACE = {"seconds": 1.26, "methods": {"mle": {"updates": 30, "nll": 1.2, "kl": 0.5},
                                     "cd-10": {"updates": 3, "nll": 2.0, "kl": math.inf}, "nce-1": {"updates": 9, "nll": math.nan}}}


def test_table_with_consistency_and_equal_seconds():
    """The new columns' whole text: catches a value under another method, NLL where KL is meant, a learned number left out."""
    found = Comparison("toy", "the population toy", {"entropy": 1.25}, TRUST, {}, {}, None, SETTINGS, RACE)
    lines = [line.rstrip() for line in table(found).splitlines()]

    assert lines[2].split() == "method consistent updates seconds NLL KL in time TV modes angle |g|/|g*|".split()
    starts = {name: lines[2].index(name) + len(name) for name in ("consistent", "in time")}
    cells = {line.split()[0]: line for line in lines[4:8]}
    for method, label, reached in (("mle", "yes", "0.5000"), ("cd-10", "at rest", "infinite"), ("short-1", "no", ""),
                                   ("nce-1", "yes", "unknown")):  # fmt: skip
        assert cells[method][: starts["consistent"]].endswith("  " + label)
        assert cells[method][: starts["in time"]].endswith("  " + reached if reached else cells[method])
    assert cells["nce-1"].split()[-2:] == ["-", "-"]
    text = table(found)
    assert "\n   in time  the same KL after as many updates as the method makes in 1.3 s, the learning rate falling over" in text
    assert "\nconsistent  whether infinite data lead to the truth, if the model holds it; at rest: truth is where the" in text
    assert "nce-1: the learned log normaliser is 1.2346, the exact log Z of the last parameters -0.5000" in lines
    assert text.endswith("short-1: update 7: the gradient is not finite")


def test_in_time_without_a_reference():
    """Finite data without an mle row have no KL.  Catches a column named after what is not there."""
    rows = [{k: v for k, v in row.items() if not k.startswith(("kl", "tv"))} for row in TRUST[:2]]
    race = {"seconds": 12.0, "methods": {"mle": {"updates": 30, "nll": 1.2}, "cd-10": {"updates": 3, "nll": 2.0}}}
    text = table(Comparison("toy", "nothing", {}, rows, {}, {}, None, SETTINGS, race))

    assert "the same NLL after as many updates as the method makes in 12.0 s" in text and "1.2000" in text and "2.0000" in text


def test_names_of_modes():
    """Catches names that are lost, and a colon for none."""
    named = table(comparison([GOOD], POPULATION | {"mode_names": ["left", "right"]}))

    assert "    modes  probability that the model gives to each mode: left, right" in named
    assert "each mode:" not in table(comparison([GOOD]))
