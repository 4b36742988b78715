"""`python -m tinyebm`, and the `tinyebm` command."""

import os
import signal
import subprocess
import sys

# BLAS and the C library read these when they load.  The matrices here are small: a second
# BLAS thread gains little on an idle machine and costs a factor of ten on a busy one, where
# threads wait for each other spinning.  And memory that is given back to the system after
# every array has to be mapped again for the next: a third of the time, without the last two.
SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
}


def run():
    """Run the command line in an interpreter started with SETTINGS, unless the environment says
    otherwise."""
    try:
        from tinyebm.cli.parser import main  # here, so that Ctrl-C prints no traceback
    except KeyboardInterrupt:
        sys.exit(130)
    missing = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    if not missing:
        sys.exit(main())
    os.environ.update(missing)
    # as it was started: -m would put the user's folder on the path
    command = [sys.executable, *sys.orig_argv[1:]]
    if os.name == "posix":
        os.execv(sys.executable, command)
    # Ctrl-C reaches the child, too, which decides how to end
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.call(command)
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(status)


if __name__ == "__main__":
    run()
