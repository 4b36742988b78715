"""The quick suite on several Pythons, and on the lowest versions that pyproject.toml allows.

    python .ci/pythons.py            on every Python of this machine, from the oldest allowed one on
    python .ci/pythons.py --list     only says which ones it finds, and which are missing
    python .ci/pythons.py --bounds   prints the lowest versions, as `pip install` takes them
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
OLDEST = int(re.search(r'requires-python = ">=3\.(\d+)"', PROJECT)[1])
NEWEST = 14  # the newest Python that is expected is 3.14; newer ones run the tests if they are there
LATER = 30  # no Python is looked for from 3.30 on
WHEELS = 12  # the newest Python for which the lowest versions of NumPy and SciPy are built is 3.12
VERSION = "import ensurepip, sys, venv; print(sys.version_info[1])"
BIN = "Scripts" if os.name == "nt" else "bin"


def bounds():
    """The lowest allowed version of each package that the tests need, like numpy==2.0."""
    lists = [re.search(rf"^{name} = (\[.*\])$", PROJECT, re.M)[1] for name in ("dependencies", "test")]
    return [package.replace(">=", "==") for text in lists for package in json.loads(text)]


def candidates(minor):
    """Where Python 3.minor may be: in the folder of pyenv, on the path, and the one that runs this."""
    root = os.environ.get("PYENV_ROOT")
    if not root and shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
    folders = (pathlib.Path(root) / "versions").glob(f"3.{minor}.*") if root else ()
    patches = {int(folder.name.split(".")[2]): folder for folder in folders if folder.name.split(".")[2].isdigit()}
    found = [str(patches[patch] / "bin" / "python") for patch in sorted(patches, reverse=True)]
    return [*found, shutil.which(f"python3.{minor}"), sys.executable]


def works(python, minor):
    """Whether a path leads to Python 3.minor, and it can make environments."""
    try:
        said = subprocess.run([python, "-c", VERSION], capture_output=True, text=True)
    except (OSError, TypeError):  # no such file; no path
        return False
    return said.returncode == 0 and said.stdout.strip() == str(minor)


def pythons():
    """{minor version: path}: one Python of each version on this machine."""
    found = {}
    for minor in range(OLDEST, LATER):
        for python in candidates(minor):
            if works(python, minor):
                found[minor] = python
                break
    return found


def passes(python, *packages):
    """Whether the quick suite passes in a fresh environment with these packages."""
    settings = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = pathlib.Path(folder) / BIN / "python"
        if subprocess.run([inside, "-m", "pip", "install", "-q", *packages], cwd=ROOT).returncode:
            return False
        tests = [inside, "-m", "pytest", "-m", "quick", "-p", "no:cacheprovider"]
        return subprocess.run(tests, cwd=ROOT, env=settings).returncode == 0


def named(minors):
    """Minor versions as words."""
    return ", ".join(f"3.{minor}" for minor in minors) or "none"


def main():
    """Run the quick suite everywhere; exit with 1 if it fails anywhere."""
    if "--bounds" in sys.argv:
        print(*bounds())
        return 0
    found = pythons()
    missing = [minor for minor in range(OLDEST, max([NEWEST, *found]) + 1) if minor not in found]
    print(f"Python found: {named(found)}; missing: {named(missing)}", flush=True)
    if "--list" in sys.argv or not found:
        return 0 if found else 1
    failed = []
    for minor, python in found.items():
        print(f"\nPython 3.{minor}", flush=True)
        if not passes(python, ".[test]"):
            failed.append(f"Python 3.{minor}")
    oldest = min(found)
    if oldest <= WHEELS:
        print(f"\nPython 3.{oldest} with", *bounds(), flush=True)
        if not passes(found[oldest], ".[test]", *bounds()):
            failed.append("the lowest versions")
    else:
        print(f"\nThe lowest versions were not tried: they need Python 3.{WHEELS} or older")
    print("\nThe quick suite", f"fails on {', '.join(failed)}" if failed else "passes on all of them")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
