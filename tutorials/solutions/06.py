# Solutions of notebook 06: of every exercise one, and after "wrong" an answer that must not pass.

# %% ex="6.1"
likelihood, ten_steps = by_weight(0.6, (10,))
times_smaller = likelihood / ten_steps

# %% ex="6.1 wrong"
times_smaller = 4000  # that is CD-1's, at another place

# %% ex="6.2"
def cd_gradient(energy, k):
    return data - data @ np.linalg.matrix_power(transition(energy), k)  # by repeated squaring

# %% ex="6.2 wrong"
def cd_gradient(energy, k):
    return data @ np.linalg.matrix_power(transition(energy), k) - data  # uphill

# %% ex="6.3"
smallest_k = min(k for k in (30, 100, 300, 1000) if divergence(learn(k)) < 0.01)

# %% ex="6.3 wrong"
smallest_k = 30
