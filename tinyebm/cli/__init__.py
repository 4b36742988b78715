"""The command line: `parser` says what can be typed, `commands` does it."""

from tinyebm.cli.parser import main
