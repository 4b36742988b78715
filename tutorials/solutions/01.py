# Solutions of notebook 01: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="1.1"
t = np.linspace(-4, 4, 2001)
my_Z = np.exp(-(t**4)).sum() * (t[1] - t[0])

# %% ex="1.1 wrong"
my_Z = 1.81  # too few digits

# %% ex="1.1 wrong 2"
my_Z = 1.81281  # six digits

# %% ex="1.2"
change_of_log_z = -5.0

# %% ex="1.2 wrong"
change_of_log_z = 5.0  # the wrong sign

# %% ex="1.2 wrong 2"
change_of_log_z = -5.001

# %% ex="1.3"
added_entropy = 0.5 * np.log(2)  # whatever the entropy was before

# %% ex="1.3 wrong"
added_entropy = np.log(2)

# %% ex="1.3 wrong 2"
added_entropy = 0.35

# %% ex="1.4"
def least_growth(weights):
    angle = np.linspace(0, 2 * np.pi, 20001)
    h = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for W in weights[:-1]:
        h = np.maximum(h @ W, 0)
    return (h @ weights[-1]).min()

# %% ex="1.4 wrong"
def least_growth(weights):
    angle = np.linspace(0, 2 * np.pi, 20001)
    h = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for W in weights:
        h = np.maximum(h @ W, 0)  # the last layer has no activation
    return h.min()

# %% ex="1.4 wrong 2"
def least_growth(weights):  # as if it were never positive
    angle = np.linspace(0, 2 * np.pi, 20001)
    h = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for W in weights[:-1]:
        h = np.maximum(h @ W, 0)
    return min(0.0, (h @ weights[-1]).min())
