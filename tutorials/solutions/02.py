# Solutions of notebook 02: of every exercise one, and after "wrong" answers that must not pass.

# %% ex="2.1"
years = 40**10 / 1e8 / 3.156e7  # about three and a third

# %% ex="2.1 wrong"
years = 40 * 10 / 1e8 / 3.156e7

# %% ex="2.1 wrong 2"
years = 3.2

# %% ex="2.2"
relation = "<="  # the logarithm is concave

# %% ex="2.2 wrong"
relation = ">="

# %% ex="2.3"
def gradient_1(x):
    return -(x**2)

# %% ex="2.3 wrong"
def gradient_1(x):
    return -(x**2) * np.exp(-(a * x**2 + b * x**4))  # the weight has cancelled

# %% ex="2.4"
relative = 10 * np.sqrt(np.pi) / (2 * np.pi)  # of one axis: V ∫ e^{-x²} dx / (∫ e^{-x²/2} dx)²
points_needed = (relative**10 - 1) / 0.01**2

# %% ex="2.4 wrong"
points_needed = 1 / 0.01**2  # as if c were one

# %% ex="2.4 wrong 2"
points_needed = 3.4e8  # a little too many
