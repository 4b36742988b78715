"""`python -m tinyebm`, and the `tinyebm` command."""

import os
import subprocess
import sys

from tinyebm.cli import main


def run():
    """Start the command line with one BLAS thread, unless the environment says otherwise.

    The matrices here are small: a second BLAS thread gains little on an idle machine
    and costs a factor of ten on a busy one, where the threads wait for each other
    spinning.  BLAS reads the number when NumPy loads, so a fresh interpreter it is.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        sys.exit(main())
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "tinyebm", *sys.argv[1:]]
    if os.name == "posix":
        os.execv(sys.executable, command)
    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    run()
