# Solutions of notebook 06: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="6.1"
likelihood, (ten_steps,) = by_weight(0.6, (10,))
times_smaller = likelihood / ten_steps  # by the gap: 1 / (1 - (1 - gap) ** 10), with the gap at w = 0.6

# %% ex="6.1 wrong"
times_smaller = 4000  # that is CD-1's, at another place

# %% ex="6.1 wrong 2"
times_smaller = by_weight(0.6, (10,))[1][0] / by_weight(0.6, (10,))[0]  # the other way round

# %% ex="6.2"
flat, exact_gradient = transition(np.zeros(60)), p_data - 1 / 60
missing, steps_needed = p_data - 1 / 60, 0  # CD-k less the exact gradient is the uniform law less the pushed one
while np.abs(missing).max() > 0.01 * np.abs(exact_gradient).max():
    missing, steps_needed = missing @ flat, steps_needed + 1

# %% ex="6.2 wrong"
steps_needed = 1 / te.spectral_gap(te.Density(te.TabularEnergy(60), {"energy": np.zeros(60)}, te.Cells(60)), Neighbour())

# %% ex="6.3"
smallest_k = min(k for k in (30, 100, 300, 1000) if divergence(learn(k)) < 0.01)

# %% ex="6.3 wrong"
smallest_k = 100

# %% ex="6.3 wrong 2"
smallest_k = 1000
