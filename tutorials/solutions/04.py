# Solutions of notebook 04: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="4.1"
def slope(m, x):
    return m - x.mean()  # E_data[m - x] less E_p[m - x] = 0

# %% ex="4.1 wrong"
def slope(m, x):
    return x.mean() - m

# %% ex="4.1 wrong 2"
def slope(m, x):
    return m - x  # one for every point

# %% ex="4.2"
energies = -np.log(np.array([0.5, 0.3, 0.2]) / 0.5)

# %% ex="4.2 wrong"
energies = np.log(np.array([0.5, 0.3, 0.2]) / 0.5)

# %% ex="4.2 wrong 2"
energies = -np.log([0.5, 0.3, 0.2])  # the first is not 0

# %% ex="4.3"
well = te.Density(te.Quartic(), {"a": np.array(-4.0), "b": np.array(2.0)}, te.Reals(1))
second, fourth = (te.expectation(well, lambda x, k=k: x[:, 0] ** k) for k in (2, 4))
draws_needed = (fourth - second**2) / 0.01**2

# %% ex="4.3 wrong"
draws_needed = 1 / 0.01**2

# %% ex="4.3 wrong 2"
draws_needed = 50.1  # sd / 0.01, not squared
