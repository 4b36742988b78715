# Solutions of notebook 03: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="3.1"
def softplus(a):
    return Node(np.log1p(np.exp(a.value)), "softplus", [(a, 1 / (1 + np.exp(-a.value)))])

# %% ex="3.1 wrong"
def softplus(a):
    return Node(np.log1p(np.exp(a.value)), "softplus", [(a, 1 / (1 + np.exp(a.value)))])  # the sigmoid of -a

# %% ex="3.1 wrong 2"
def softplus(a):
    return Node(np.log1p(np.exp(-a.value)), "softplus", [(a, 1 / (1 + np.exp(-a.value)))])  # another value

# %% ex="3.2"
culprit = [name for name, (f, slope) in suspects.items() if abs(difference(f, 0.7, 1e-5) - slope(0.7)) > 1e-6][0]

# %% ex="3.2 wrong"
culprit = "log cosh"

# %% ex="3.3"
def curvature(energy, x):
    total = lambda x: ops.sum(energy(x))
    along = [np.zeros_like(x) + axis for axis in np.eye(2)]
    return sum(te.hvp(total, x, v)[:, i] for i, v in enumerate(along))

# %% ex="3.3 wrong"
def curvature(energy, x):
    total = lambda x: ops.sum(energy(x))
    return te.hvp(total, x, np.ones_like(x)).sum(axis=1)  # with the mixed derivatives

# %% ex="3.4"
program.clear()
shifty(Entry(np.zeros(3), 0))
off_by = (np.ones(3) + 1.0 - replay(np.ones(3))).max()

# %% ex="3.4 wrong"
off_by = 0.0  # as if a branch were recorded
