"""The command line: `parser` reads the arguments, `commands` does the work.

To add a command, write a function of the parsed arguments in `commands`.  `--help` shows its
docstring.  Give the command a name and options in `parser._parser`.  A mistake in the arguments
raises a ValueError of one line, and `parser.main` prints it.

>>> main(["sample", "nowhere.npz"])  # and on stderr: No such file
2
"""

from tinyebm.cli.parser import main
