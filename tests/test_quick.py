"""The quick suite, `python -m pytest -m quick`: that it enters every file of the package."""


def test_the_quick_suite_enters_every_file(never_run):
    """Catches a new file that none of the quick tests runs: name its test in the table QUICK of conftest.py."""
    assert never_run == []
