# Solutions of notebook 07: of every exercise one, and after "wrong" an answer that must not pass.

# %% ex="7.1"
mean_age = 1 / 0.05

# %% ex="7.1 wrong"
mean_age = np.log(2) / 0.05  # the half-life

# %% ex="7.2"
largest_rate = max(rate for rate in (0.25, 0.5, 1.0, 2.0) if persistent(2, rate)[1][-1] < 0.01)

# %% ex="7.2 wrong"
largest_rate = 0.25

# %% ex="7.3"
moved_by_a_step = total_variation(kernel.push(p_data, te.Density(line, learned[0], space)), p_data)

# %% ex="7.3 wrong"
moved_by_a_step = 0.352  # that is how wrong the density is
