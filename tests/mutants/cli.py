"""Faults of `cli`: (name, file, what stands there, what is put in its place, the tests that must see it)."""

MUTANTS = [
    ("--raw against a standardised model", "cli/commands.py", 'if a.raw and notes.get("standardise"):', "if False:",
     "cli/test_mistakes.py"),
    ("held-out rows under the name of those trained on", "cli/commands.py", '"nll_trained_on": data.x[trained]',
     '"nll_trained_on": data.x[~trained]', "cli/test_parser.py"),
    ("a column that is found out in silence", "cli/commands.py", '_note(a, a.data, getattr(data, "notes", ()))', "pass",
     "cli/test_parser.py"),
    ("a console of few characters ends the command", "cli/console.py", "stream.reconfigure(errors=\"tinyebm\")", "pass",
     "cli/test_console.py"),
    ("a table is printed before it is saved", "cli/commands.py",
     "        paths = found.save(a.out)\n    show(found.table(), wrote(paths))",
     "        show(found.table())\n        paths = found.save(a.out)\n    show(wrote(paths))", "cli/test_console.py"),
]
