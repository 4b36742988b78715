"""Faults of `experiment`: (name, file, what stands there, what is put in its place, the tests that must see it)."""

MUTANTS = [
    ("all seeds of a sweep alike", "experiment/sweeps.py", "spawn_key=(j, i)).generate", "spawn_key=(j, 0)).generate",
     "experiment/test_sweeps.py"),
    ("held-out rows among those trained on", "experiment/train.py", "x[order[cut:]], x[order[:cut]]", "x, x[order[:cut]]",
     "experiment/test_compare.py"),
    ("the angle in radians", "experiment/judging.py", "math.degrees(math.acos(cosine))", "math.acos(cosine)",
     "experiment/test_compare.py"),
    ("a comparison judges by the parent's law", "experiment/judging.py", "part_of(objective.kernel, name, KERNEL)",
     "hasattr(objective.kernel, name)",
     "samplers/test_own.py"),
    ("a comparison trained on all rows, so says its file", "experiment/compare.py",
     'origin(self.data, split(self.data, self.settings["seed"])[2])', "origin(self.data)", "experiment/test_compare.py"),
    ("an objective of one's own is a named one", "experiment/setups.py", "name if given[name] is None else given[name]", "name",
     "experiment/test_compare.py"),
    ("an objective of one's own is trusted", "experiment/setups.py", 'CONSISTENT.get(kind, "-")', 'CONSISTENT.get(kind, "yes")', "experiment/test_compare.py"),
    ("the angle of a stranger", "experiment/judging.py", "type(objective) not in CHAINS", "not hasattr(objective, 'kernel')",
     "experiment/test_compare.py"),
    ("the time of the slowest", "experiment/race.py", "min(run.seconds for run in runs.values())",
     "max(run.seconds for run in runs.values())", "experiment/test_compare.py"),
]
