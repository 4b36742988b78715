# %% [markdown]
# # 02 Why not just compute Z?
#
# A density is $p = e^{-E}/Z$ (notebook 01), and $Z$ is an integral. Computers integrate. So what is the problem?
#
# **You need** notebook 01 and the mean and variance of a sample. **You will** integrate to fourteen digits, see the price grow
# with the
# dimension, estimate $Z$ by random points, and find out what such an estimate does to *learning*. Running time: a few seconds.
#
# > **A question first.** "$Z$ is intractable, so we approximate it by a single Monte Carlo sample": you will find this sentence in
# > courses. Take
# > one point $x$ uniformly from a box of volume $V$ and set $\hat Z = V e^{-E(x)}$. It is unbiased: $\mathbb{E}\,\hat Z = Z$. Is
# > the gradient
# > of $\log \hat Z$ then, on average, the gradient of $\log Z$? Answer yes or no.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DATA, DASHES, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import ops

guess = ...  # "yes" or "no"

# %% [markdown]
# ## 1. The astonishing trapezoid
#
# Here is an energy on the line: a small network with a confinement. The trapezoidal rule with $n$ nodes, all of equal weight, is
# the oldest
# way to integrate. For smooth functions that fade away at both ends it is also one of the best: its error falls *faster than any
# power* of $1/n$.

# %%
net = te.MLP((1, 16, 1), activation="tanh", confinement=1.0)
theta = net.init(np.random.default_rng(0))
line = te.Density(net, theta, te.Reals(1))
exact = te.log_partition(line, rtol=1e-10)

errors = {}
for n in (6, 8, 12, 16, 24, 32, 48, 64, 96, 128):
    t = np.linspace(-7.5, 7.5, n)
    log_z = np.log(np.exp(-net(theta, t[:, None])).sum() * (t[1] - t[0]))
    errors[n] = abs(log_z - exact)
print("\n".join(f"{n:4} nodes: log Z is off by {error:.1e}" for n, error in errors.items()))
assert errors[24] < 1e-3 and errors[48] < 1e-5 and errors[96] < 1e-11

# %% [markdown]
# The package does the same and decides by itself how many nodes are enough, and where they must lie. What it returns is an
# `Estimate`: a
# number that carries its error.

# %%
found = te.log_partition(line)
print(found, "| value", found.value, "| error", found.error)
assert np.allclose(found, log_z)

# %% [markdown]
# **Exercise 2.1.** In ten dimensions, with 40 nodes per axis and a hundred million energies per second: how many *years* does one
# $Z$ take? (A year
# has $3.156 \cdot 10^7$ seconds.)

# %% ex="2.1"
years = ...

check("2.1", years)

# %% [markdown]
# ## 2. The price
#
# A grid in $d$ dimensions has $n^d$ nodes. The error still falls as fast per axis; the bill does not.

# %%
nodes, curves = (4, 6, 8, 12, 16, 24, 32, 48, 64), {}
for d in (1, 2, 3):
    net_d = te.MLP((d, 16, 1), activation="tanh", confinement=1.0)
    cube = te.Density(net_d, net_d.init(np.random.default_rng(0)), te.Reals(d, extent=7.5))
    truth, points = te.log_partition(cube, rtol=1e-9), []
    for n in nodes[: {1: 9, 2: 9, 3: 7}[d]]:
        states, log_w = cube.space.atoms(n)
        points.append((n**d, max(abs(ops.logsumexp(log_w - net_d(cube.theta, states)) - truth), 1e-13)))
    curves[f"d = {d}"] = np.array(points).T
assert all(error[-1] < 1e-7 for _, error in curves.values())

figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.2))
for (name, (size, error)), color, dash in zip(curves.items(), (DATA, MODEL, SAMPLES), DASHES, strict=False):
    left.loglog(size, error, dash, color=color, marker="o", markersize=4, label=name)
left.set(xlabel="nodes", ylabel="error of log Z")
left.legend()
dims = np.array([1, 2, 3, 6, 10, 20, 64])
right.semilogy(dims, 32.0**dims / 1e8, color=BLACK, marker="o", markersize=4)
for seconds, name in ((1, "a second"), (3.156e7, "a year"), (4.35e17, "the age of the universe")):
    right.axhline(seconds, color=OTHER, linestyle=":")
    right.text(64, seconds * 1e2, name, ha="right", fontsize=9)
right.set(xlabel="dimension", ylabel="seconds, at 32 nodes per axis")
show(figure, "Figure 2.1: the same accuracy costs ever more nodes (left); beyond six dimensions nobody waits for it (right).",
     alt="Left, three falling curves of error against the number of nodes: the one for three dimensions needs tens of thousands of "
         "nodes where the one for a single dimension needs thirty. Right, the time on a logarithmic axis: a straight line that "
         "passes a year near dimension ten and the age of the universe below dimension twenty.")

# %% [markdown]
# On a finite space the integral is a sum, and the bill is the number of states: $2^d$ for $d$ bits. Twenty spins are a million
# states, a fraction of a
# second. The 64 pixels of a small black-and-white digit are $1.8 \cdot 10^{19}$ states.

# %%
chain = te.Ising((1, 20))  # twenty spins in a ring, each bound to its neighbours
parameters = {"coupling": np.array(0.5), "field": np.array(0.1)}
by_sum = te.log_partition(te.Density(lambda theta, x: chain(theta, x), parameters, te.Spins(20)))  # 2^20 states
by_structure = te.log_partition(te.Density(chain, parameters, te.Spins(20)))  # a product of matrices
print(by_sum, by_structure, sep="\n")
assert np.allclose(by_sum, by_structure)

# %% [markdown]
# Sometimes *structure* makes a sum cheap whatever its length: for the ring of spins a product of 2 × 2 matrices does it. A general
# network has no
# such structure. For it the advice of half a century is: draw points at random.

# %% [markdown]
# ## 3. Random points
#
# Draw $x_1, \dots, x_n$ uniformly from a box of volume $V$ that holds the mass. Then
#
# $$\hat Z_n = \frac Vn \sum_i e^{-E(x_i)}, \qquad \mathbb{E}\,\hat Z_n = Z,$$
#
# in any dimension, with a relative error of size $1/\sqrt n$. So far so good. But learning wants $\log Z$, and the logarithm is a
# bent
# function: by Jensen's inequality the mean of $\log \hat Z$ is *not* $\log Z$. Take $E(x) = 2x^4 - 4x^2$, a double well, and the
# box $[-2.5, 2.5]$.

# %%
a, b, half = -4.0, 2.0, 2.5
double_well = te.Density(te.Quartic(), {"a": np.array(a), "b": np.array(b)}, te.Reals(1))
log_z = float(te.log_partition(double_well))
rng = np.random.default_rng(0)


def draws(n, repeats):
    """Many estimates at once: (repeats, n) uniform points and their weights e^{-E}."""
    x = rng.uniform(-half, half, (repeats, n))
    return x, np.exp(-(a * x**2 + b * x**4))


bias = {}
for n in (1, 2, 5, 10, 100, 1000):
    _, w = draws(n, max(4000, 800_000 // n))
    logs = np.log(2 * half * w.mean(axis=1)) - log_z
    bias[n] = logs.mean()
    print(f"n = {n:4}: E[log Ẑ] - log Z = {bias[n]:7.4f} ± {logs.std() / len(logs) ** 0.5:.4f}")
assert abs(bias[1] + 8.026) < 0.1 and abs(bias[10] + 0.08) < 0.01 and abs(bias[100] + 0.008) < 0.006

# %% [markdown]
# **Exercise 2.2.** Is $\mathbb{E} \log \hat Z$ never above, or never below, $\log Z$? Answer `"<="` or `">="`.

# %% ex="2.2"
relation = ...

check("2.2", relation)

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.7))
for ax, n, color in zip(axes, (1, 10, 100), (MODEL, DATA, SAMPLES), strict=True):
    _, w = draws(n, 20_000)
    logs = np.log(2 * half * w.mean(axis=1)) - log_z
    ax.hist(np.clip(logs, -12, None), bins=50, density=True, color=color, alpha=0.6)
    ax.axvline(0, color=BLACK, linestyle=":")
    ax.axvline(logs.mean(), color=color)
    ax.set(title=f"n = {n}, mean {logs.mean():.2f}", xlabel="log Ẑ − log Z", yticks=[])
show(figure, "Figure 2.2: estimates of log Z from n points. Dotted: the truth; solid: their mean. (All below −12 is drawn there.)",
     alt="Three histograms. For one point a wide one with a heap far to the left, its mean at minus eight. For ten points a skewed "
         "one near zero. For a hundred a narrow, nearly symmetric one at zero.")

# %% [markdown]
# ## 4. What it does to learning
#
# Training needs the *gradient* of $\log Z$. For the parameter $a$ of $E = a x^2 + b x^4$ it is $\partial \log Z / \partial a =
# -\mathbb{E}_p[x^2]$, an
# average under the model. And the gradient of $\log \hat Z_n$?
#
# $$\frac{\partial}{\partial a} \log \hat Z_n = -\frac{\sum_i w_i\, x_i^2}{\sum_i w_i}, \qquad w_i = e^{-E(x_i)}.$$
#
# For $n = 1$ the weight stands above and below the line, and *cancels*.
#
# **Exercise 2.3.** Write `gradient_1(x)`, the gradient by $a$ of $\log \hat Z_1$ from a single point $x$.

# %% ex="2.3"
gradient_1 = ...

check("2.3", gradient_1)

# %% [markdown]
# **The surprise.** So the gradient from one uniform point knows nothing of the model at all: on average it is the one of the
# *proposal*.

# %%
truth = -te.expectation(double_well, lambda x: x[:, 0] ** 2).value
uniform = -(half**2) / 3  # minus the mean of x² over the box
slopes = {}
for n in bias:
    x, w = draws(n, max(4000, 800_000 // n))
    slopes[n] = -((w * x**2).sum(axis=1) / w.sum(axis=1)).mean()
    print(f"n = {n:4}: mean gradient {slopes[n]:.3f}")
print(f"truth: {truth:.3f}; under the uniform law: {uniform:.3f}")
assert abs(truth + 0.852) < 1e-3 and abs(slopes[1] - uniform) < 0.01 and abs(slopes[2] + 1.19) < 0.02
assert abs(slopes[100] - truth) < 0.005
print("your guess was", guess if guess is not ... else "not written down", "- it is no")

# %%
figure, ax = plt.subplots(figsize=(6.4, 2.8))
ax.semilogx(list(slopes), list(slopes.values()), color=MODEL, marker="o", label="mean gradient of log Ẑ_n")
ax.axhline(truth, color=EXACT, linestyle="--", label="gradient of log Z")
ax.axhline(uniform, color=OTHER, linestyle=":", label="that of the uniform law")
ax.set(xlabel="points n", ylabel="∂/∂a")
ax.legend(loc="lower right")
show(figure, "Figure 2.3: with one point the gradient is that of the proposal; with ten it begins to be the model's.",
     alt="A rising curve of the mean gradient against the number of points, from minus 2.08 at one point, where it meets the "
         "dotted line of the uniform law, to the dashed line of the true gradient at minus 0.85 from about ten points on.")

# %% [markdown]
# So when is one sample enough? When it is drawn *from the model itself*. Then the gradient needs no $\hat Z$ and no weight:
# $-\nabla E(x)$ with
# $x \sim p$ has the right mean, for one sample as for a million. That is the sentence that courses mean. All the difficulty has
# moved into
# "drawn from the model", and notebooks 05 to 07 are about that.

# %%
x = te.sample(double_well, 100_000, np.random.default_rng(1))  # exact draws
one_sample_gradients = -(x[:, 0] ** 2)
error = one_sample_gradients.std() / len(x) ** 0.5
print(f"mean of one-sample gradients {one_sample_gradients.mean():.4f} ± {error:.4f}, truth {truth:.4f}")
assert abs(one_sample_gradients.mean() - truth) < 5 * error

# %% [markdown]
# **Exercise 2.4.** For $Z$ itself random points look fine: the error does not know the dimension. Does it? For $E = |x|^2/2$ and
# uniform points in
# $[-5, 5]^{10}$, how many of them are needed for a relative standard error of $\hat Z$ of 1 %? To within 5 %.
# <details><summary>Hint</summary>The relative variance of one weight is a product over the axes, minus one.</details>

# %% ex="2.4"
points_needed = ...

check("2.4", points_needed)

# %% [markdown]
# ## What broke, and why
#
# * *The grid* broke at the dimension: $n^d$. What did not break is its accuracy.
# * *One Monte Carlo sample of $Z$* broke learning: the weights cancel, and the gradient belongs to the proposal. With more samples
# the bias falls
#   like $1/n$, if the proposal finds the mass at all; in high dimension it does not (exercise 2.4).
#
# ## Summary
#
# In one, two or three dimensions, and on a few bits, $Z$ is computed, with an error one can state: this course does so whenever it
# can, and sets
# everything else beside it. Elsewhere one estimates $\log Z$ (annealed importance sampling, Neal 2001, in notebook 09), or trains
# without it. Trefethen & Weideman (2014, *The exponentially convergent trapezoidal rule*) explain section 1. Next,
# [03](03_autodiff_by_hand.ipynb): where gradients of energies come from.
