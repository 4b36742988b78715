# Solutions of notebook 07: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="7.1"
loans = 1 / 0.05  # the mean of a geometric distribution

# %% ex="7.1 wrong"
loans = np.log(2) / 0.05  # the half-life

# %% ex="7.1 wrong 2"
loans = 19

# %% ex="7.2"
largest_rate = max(rate for rate in (0.5, 1.0, 2.0, 4.0) if learn(3, rate)[1][150:].max() < 0.01)

# %% ex="7.2 wrong"
largest_rate = 1.0  # 0.018 at its worst

# %% ex="7.3"
moved_by_a_step = total_variation(mala.push(p_nodes, te.Density(line, learned[0], space)), p_nodes)

# %% ex="7.3 wrong"
moved_by_a_step = total_variation(mala.push(p_nodes, te.Density(line, learned[2], space)), p_nodes)  # another start

# %% ex="7.3 wrong 2"
moved_by_a_step = 2 * total_variation(mala.push(p_nodes, te.Density(line, learned[0], space)), p_nodes)
