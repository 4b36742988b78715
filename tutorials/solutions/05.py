# Solutions of notebook 05: of every exercise one, and after "wrong" an answer that must not pass.

# %% ex="5.1"
def variance(s, epsilon, k):
    keep = (1 - epsilon / s**2) ** 2
    return 2 * epsilon * (1 - keep**k) / (1 - keep)

# %% ex="5.1 wrong"
def variance(s, epsilon, k):
    return s**2 / (1 - epsilon / (2 * s**2))  # that is after infinitely many

# %% ex="5.2"
largest = max(e for e in (0.002, 0.004, 0.008, 0.016)
              if total_variation(stationary(e)[1], te.probabilities(well, stationary(e)[0])) < 0.01)

# %% ex="5.2 wrong"
largest = 0.016

# %% ex="5.3"
factor = uva.temperature  # then energy / T is the original one

# %% ex="5.3 wrong"
factor = 1 / uva.temperature
