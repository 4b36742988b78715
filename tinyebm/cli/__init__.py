"""The command line: `parser` reads the arguments, `commands` does the work.

To add a command, write a function of the parsed arguments in `commands`, whose docstring is the
description that `--help` shows, and give it a name and options in `parser._parser`.  Whatever is
wrong with the arguments is raised as a ValueError of one line; `parser.main` prints it.

>>> main(["sample", "nowhere.npz"])  # and on stderr: No such file
2
"""

from tinyebm.cli.parser import main
