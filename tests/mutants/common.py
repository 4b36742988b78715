"""Faults of `common`: (name, file, what stands there, what is put in its place, the tests that must see it)."""

MUTANTS = [
    ("every step draws the same", "common/backend.py", "if self.attempt else (step,)", "if self.attempt else (0,)",
     "training/test_fit.py"),
    ("a standard error without its root", "common/estimate.py", "/ np.sqrt(len(values)) if", "/ len(values) if",
     "experiment/test_sweeps.py"),
    ("θ with its keys sorted", "common/tree.py", "[other[key] for other in trees])\n        return new",
     "[other[key] for other in trees])\n        return dict(sorted(new.items()))", "replay/test_changes.py"),
    ("whatever is inherited belongs to it", "common/checks.py",
     "return None if any(_age(thing, main) < age for main in mains) else getattr(thing, name, None)",
     "return getattr(thing, name, None)", "samplers/test_own.py"),
    ("steps of double precision", "common/checks.py", "object.__setattr__(part, name, value.item())", "pass",
     "spaces/test_rows.py"),
    ("a tuple for a list", "common/tree.py",
     "if type(tree) is not type(other) or len", "if not isinstance(other, (list, tuple)) or len",
     "common/test_tree.py"),
    ("a tree with more keys", "common/tree.py",
     "or tree.keys() != other.keys()", "or not tree.keys() <= other.keys()",
     "common/test_tree.py"),
    ("a tree for a leaf", "common/tree.py",
     "return not isinstance(other, (dict, list, tuple))", "return not isinstance(other, (list, tuple))",
     "common/test_tree.py"),
]
