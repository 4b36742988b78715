"""The planted faults: that each can be planted, and that those who judge them can tell a fault that is seen from one that is not.

The run itself is `python tests/mutation.py`.
"""

import pytest

import mutation
from mutants import MUTANTS

TRAPS = ("noise 1.5 times", "drift halved", "without Hastings", "divided by the number of data", "not normalised", 
         "at the wrong rate", "other slots", "behind a finite loss", "shape of the broadcast",
         "averages log weights",
         "a minus before the trace", "on the data alone")  # fmt: skip


def test_all_can_be_planted():
    """Sixty and more, the traps among them.  Catches a table that no longer fits the source, and a name used twice."""
    for mutant in MUTANTS:
        compile(mutation.planted(*mutant), mutant[1], "exec")
        assert (mutation.ROOT / "tests" / mutant[-1]).is_file()
    names = [name for name, *_ in MUTANTS]
    assert len(set(names)) == len(names) >= 60 and all(any(trap in name for name in names) for trap in TRAPS)


@pytest.mark.parametrize(("test", "survive"), [("samplers/test_langevin.py", 0), ("common/test_tree.py", 1)])
def test_the_judge(monkeypatch, capsys, test, survive):
    """A real fault, shown to tests that see it and to tests that cannot.  Catches a judge who lets all pass, or none."""
    [fault] = [mutant for mutant in MUTANTS if mutant[0] == "Langevin noise 1.5 times too large"]
    monkeypatch.setattr(mutation, "MUTANTS", [(*fault[:-1], test)])
    assert mutation.main([], 1) == survive
    assert capsys.readouterr().out.startswith("SURVIVED" if survive else "killed")
