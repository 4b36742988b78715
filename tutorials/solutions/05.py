# Solutions of notebook 05: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="5.1"
def variance(s, epsilon, k):
    keep = (1 - epsilon / s**2) ** 2
    return 2 * epsilon * (1 - keep**k) / (1 - keep)

# %% ex="5.1 wrong"
def variance(s, epsilon, k):
    return s**2 / (1 - epsilon / (2 * s**2))  # that is after infinitely many

# %% ex="5.1 wrong 2"
def variance(s, epsilon, k):
    keep = (1 - epsilon / s**2) ** 2
    return 2 * epsilon * (1 - keep ** (k + 1)) / (1 - keep)  # one step too many

# %% ex="5.2"
largest = max(epsilon for epsilon in (0.001, 0.003, 0.006, 0.012)
              if total_variation(stationary(epsilon), te.probabilities(well, 400)) < 0.01)

# %% ex="5.2 wrong"
largest = 0.006  # it is 0.015 away

# %% ex="5.3"
factor = uva.temperature  # then energy / T is the original one

# %% ex="5.3 wrong"
factor = 1 / uva.temperature

# %% ex="5.3 wrong 2"
factor = 1.3e-6
