"""Faults of `density`: (name, file, what stands there, what is put in its place, the tests that must see it)."""

MUTANTS = [
    ("one equal leaf is enough", "common/tree.py", "and all(map(same, a, b))", "and any(map(same, a, b))",
     "common/test_tree.py"),
    ("arrays that are near are the same", "common/tree.py", "a.tobytes() == b.tobytes()", "np.allclose(a, b)",
     "common/test_tree.py"),
    ("a Density is compared by its arrays", "density.py", "@compared\n@dataclass(frozen=True, eq=False)\nclass Density",
     "@dataclass(frozen=True)\nclass Density", "test_density.py"),
    ("low energy is unlikely", "density.py", "return p.space.log_base(x) - energies", "return p.space.log_base(x) + energies",
     "test_density.py"),
    ("the base measure left out", "density.py", "return p.space.log_base(x) - energies", "return -energies", "test_density.py"),
    ("an RBM on real numbers", "density.py", "if sites and not self.space.discrete:", "if False:", "test_density.py"),
    ("parameters of single precision under an error bar", "density.py",
     'if every(lambda leaf: getattr(leaf, "dtype", FLOATS[0]) is FLOATS[0], p.theta):', "if True:", "spaces/test_rows.py"),
    ("parameters without a sign", "density.py", 'object.__setattr__(self, "theta", parameters(self.theta))', "pass",
     "spaces/test_rows.py"),
]
