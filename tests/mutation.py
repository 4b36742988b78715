"""Plant faults, one at a time, and see whether the tests notice.

    python tests/mutation.py [words ...] [--workers 2]

Every fault of `mutants` (or those whose names hold one of the words) is planted in a copy of the package, and the tests that
are to see it run there until the first one fails.  A fault that no test sees *survives*: it is named, and the status is 1.  At
last the tests that failed run without any fault: one that fails then, too, has seen nothing.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).parent.parent
PARTS = ("tinyebm", "tests", "pyproject.toml", "README.md")
KILLED, SURVIVED = 1, 0  # pytest's status: a test failed, none did; any other: they could not run
HANGS, LONGEST = -1, 1800  # after so many seconds: no verdict, for the machine may be busy

VERDICTS = {KILLED: "killed", SURVIVED: "SURVIVED", HANGS: "HANGS"}


def planted(name, file, old, new, tests):
    """The source of a file with a fault in it; how lines are broken does not matter."""
    source = (ROOT / "tinyebm" / file).read_text(encoding="utf-8")
    text, places = without_spaces(source)
    wanted, _ = without_spaces(old)
    if text.count(wanted) != 1:
        raise ValueError(f"{name}: {text.count(wanted)} places in {file} read {old!r}, not one")
    first = text.index(wanted)
    start, end = places[first], places[first + len(wanted) - 1] + 1
    return source[:start] + new.strip() + source[end:]


def without_spaces(source):
    """(The characters of a source without white space and commas before closing brackets, where each of them stands)."""
    kept = [i for i, c in enumerate(source) if not c.isspace()]
    kept = [i for i, after in zip(kept, [*kept[1:], -1], strict=True) if source[i] != "," or source[after] not in ")]}"]
    return "".join(source[i] for i in kept), kept


def copy(folder):
    """A copy of the package and its tests."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
        else:
            shutil.copy(ROOT / part, folder / part)
    return folder


def run(folder, *tests):
    """(status of pytest, the test that failed first) in a copy, whose package and no other is imported."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return HANGS, ""
    failed = [line.removeprefix("FAILED ").partition(" - ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return done.returncode, failed[0] if failed else done.stdout[-300:] if done.returncode else ""


def judge(mutant, folders):
    """(name, status, first failing test, seconds) of one fault, planted in a free copy and taken out again."""
    name, file, *_, tests = mutant
    folder, began = folders.get(), time.monotonic()
    path = folder / "tinyebm" / file
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(planted(*mutant), encoding="utf-8")
        return name, *run(folder, tests), time.monotonic() - began
    finally:
        path.write_text(before, encoding="utf-8")
        folders.put(folder)


def main(words, workers):
    """Judge all faults, print a line for each; how many survive."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant[0] for word in words)]
    survivors, witnesses, began = [], {}, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(workers) as pool:
        folders = Queue()
        for i in range(workers):
            folders.put(copy(pathlib.Path(scratch) / str(i)))
        for name, status, test, seconds in pool.map(lambda mutant: judge(mutant, folders), chosen):
            print(f"{VERDICTS.get(status, 'BROKEN'):9} {seconds:5.1f} s  {name:60} {test}", flush=True)
            survivors += [name] if status != KILLED else []
            if test.startswith("tests/"):
                witnesses.setdefault(test, name)
        sound = folders.get()
        while witnesses and (found := run(sound, *(test.removeprefix("tests/") for test in witnesses)))[0] != SURVIVED:
            name = witnesses.pop(found[1])  # a test that fails without any fault has seen none
            print(f"{'FALSE':9} {name}: {found[1]} fails without it")
            survivors.append(name)
    print(f"{len(chosen)} faults, {len(survivors)} survive, in {time.monotonic() - began:.0f} s" + "".join(
        f"\n  survives: {name}" for name in survivors))
    return len(survivors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only faults whose names hold one of these")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes side by side (%(default)s)")
    given = parser.parse_args()
    sys.exit(min(1, main(given.words, given.workers)))
