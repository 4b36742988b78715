# %% [markdown]
# # 02 Why not just compute Z?
#
# A density is $p = e^{-E}/Z$ (notebook 01), and $Z$ is an integral. Computers integrate. So what is
# the problem?
#
# **You need** notebook 01 and the mean and variance of a sample. **You will** integrate to twelve
# digits, see the price grow with the dimension, estimate $Z$ by random points, and find out what
# such an estimate does to *learning*. Running time: a few seconds.
#
# > **A question first.** "$Z$ is intractable, so we approximate it by a single Monte Carlo sample":
# > you will find this sentence in courses. Take one point $x$ uniformly from a box of volume $V$
# > and set $\hat Z = V e^{-E(x)}$. It is unbiased: $\mathbb{E}\,\hat Z = Z$ ($\mathbb{E}$ is the
# > mean, $E$ the energy). Is the gradient of $\log \hat Z$ then, on average, the gradient of
# > $\log Z$? Answer yes or no.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DASHES, DATA, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import ops

guess = ...  # "yes" or "no"

# %% [markdown]
# ## 1. The astonishing trapezoid
#
# Here is an energy on the line: a small network with a confinement. The trapezoidal rule with $n$
# nodes, all of equal weight, is one of the oldest ways to integrate. For smooth functions that fade
# away at both ends it is also one of the best: its error falls *faster than any power* of $1/n$.

# %%
net = te.MLP((1, 16, 1), activation="tanh", confinement=1.0)
theta = net.init(np.random.default_rng(0))


def trapezoid(n):
    """log Z by the trapezoidal rule with n nodes on [-9, 9]."""
    t = np.linspace(-9, 9, n)
    return np.log(np.exp(-net(theta, t[:, None])).sum() * (t[1] - t[0]))


best = trapezoid(1000)
errors = {n: abs(trapezoid(n) - best) for n in (8, 12, 16, 24, 32, 48, 64, 96, 128)}
for n, error in errors.items():
    print(f"{n:4} nodes: log Z is off by {error:.1e}")
assert errors[32] < 1e-3 and errors[64] < 1e-6 and errors[128] < 1e-12

# %% [markdown]
# The package does the same, and decides by itself how many nodes are enough and where they must
# lie. What it returns is an `Estimate`: a number that carries (a bound on) its error.

# %%
line = te.Density(net, theta, te.Reals(1))
found = te.log_partition(line)
print(found, "| value", found.value, "| error", found.error)
assert np.allclose(found, best)

# %% [markdown]
# ## 2. The price
#
# For a network the integral has no formula: it must be computed from values of $E$, and every
# update of $\theta$ changes $E$, so it must be computed again, thousands of times. A grid in $d$
# dimensions has $n^d$ nodes. Per axis, the error falls as fast as before, but the number of nodes
# explodes.

# %%
curves = {}
for d, most in ((1, 64), (2, 64), (3, 32)):
    net_d = te.MLP((d, 16, 1), activation="tanh", confinement=1.0)
    cube = te.Density(net_d, net_d.init(np.random.default_rng(0)), te.Reals(d, extent=7.5))
    truth, points = te.log_partition(cube, rtol=1e-9), []
    for n in (4, 6, 8, 12, 16, 24, 32, 48, 64):
        if n <= most:
            states, log_weights = cube.space.atoms(n)  # n nodes on each of d axes
            log_z = ops.logsumexp(log_weights - net_d(cube.theta, states))
            points.append((n**d, max(abs(log_z - truth), 1e-13)))  # below is rounding
    curves[f"d = {d}"] = np.array(points).T
assert all(error[-1] < 1e-7 for _, error in curves.values())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.2))
for name, color, dash in zip(curves, (DATA, MODEL, SAMPLES), DASHES, strict=False):
    left.loglog(*curves[name], dash, color=color, marker="o", markersize=4, label=name)
left.set(xlabel="nodes", ylabel="error of log Z")
left.legend()
dims = np.array([1, 2, 3, 6, 10, 20, 64])
seconds_for = 32.0**dims / 1e8
assert seconds_for[3] < 60 and 2 < seconds_for[4] / (3.156e7 / 12) < 8  # seconds, and months
right.semilogy(dims, seconds_for, color=BLACK, marker="o", markersize=4)
for seconds, name in ((1, "a second"), (3.156e7, "a year"), (4.35e17, "the age of the universe")):
    right.axhline(seconds, color=OTHER, linestyle=":")
    right.text(64, seconds * 1e2, name, ha="right", fontsize=9)
right.set(xlabel="dimension", ylabel="seconds, at 32 nodes per axis")
show(figure, "Figure 2.1: left, the same accuracy needs many more nodes in each further "
             "dimension; right, at 32 nodes per axis and a hundred million energies per "
             "second, six dimensions take seconds, ten take months.",
     alt="Left, three falling curves of error against the number of nodes: the one for three "
         "dimensions needs tens of thousands of nodes where the one for a single dimension "
         "needs about sixty. Right, the time on a logarithmic axis: a straight line that "
         "passes a year near dimension ten and the age of the universe below dimension twenty.")

# %% [markdown]
# **Exercise 2.1.** In ten dimensions, with 40 nodes per axis and a hundred million energies per
# second: how many *years* does one $Z$ take? (Two digits are enough. A year has $3.156 \cdot 10^7$
# seconds.)

# %% ex="2.1"
years = ...

check("2.1", years)

# %% [markdown]
# On a finite space the integral is a sum, and the bill is the number of states: $2^d$ for $d$ bits.
# Twenty spins have a million states; summing over them takes a fraction of a second. The 64 pixels
# of a small black-and-white digit have $1.8 \cdot 10^{19}$.
#
# Here are twenty spins $s_i = \pm 1$ in a ring, each coupled to its neighbours: the Ising model,
# $E(s) = -J \sum_i s_i s_{i+1} - h \sum_i s_i$.

# %%
ring = te.Ising((1, 20))
parameters = {"coupling": np.array(0.5), "field": np.array(0.1)}


def plain(theta, x):
    """The same energy, as a plain function, whose structure the package cannot see."""
    return ring(theta, x)


by_sum = te.log_partition(te.Density(plain, parameters, te.Spins(20)))  # all 2^20 states
by_structure = te.log_partition(te.Density(ring, parameters, te.Spins(20)))  # products of 2 x 2
print("by the sum:      ", by_sum)
print("by its structure:", by_structure)
assert np.allclose(by_sum, by_structure)

# %% [markdown]
# Sometimes *structure* makes a sum cheap whatever its length: for the ring of spins a product of 2
# × 2 matrices does it. A general network has no such structure. There the standard advice, since
# the 1940s, is to draw points at random.

# %% [markdown]
# ## 3. Random points
#
# Draw $x_1, \dots, x_n$ uniformly from a box of volume $V$, outside of which there is practically
# no mass. Then
#
# $$\hat Z_n = \frac Vn \sum_i e^{-E(x_i)}, \qquad \mathbb{E}\,\hat Z_n = Z,$$
#
# and the standard error, relative to $Z$, is $c/\sqrt n$ in any dimension. (What $c$ is, exercise
# 2.4 asks.) So far so good. But learning wants $\log Z$, and what is the mean of $\log \hat Z_n$?
#
# **Exercise 2.2.** The logarithm is a concave function. Which of the two always holds,
# $\mathbb{E} \log \hat Z_n \le \log Z$ or $\mathbb{E} \log \hat Z_n \ge \log Z$? Answer `"<="` or
# `">="`.

# %% ex="2.2"
relation = ...

check("2.2", relation)

# %% [markdown]
# How large is the gap? Take $E(x) = a x^2 + b x^4$ with $a = -4$ and $b = 2$, a double well, and
# the box $[-2.5, 2.5]$. For one point $\log \hat Z_1 = \log V - E(x)$, whose mean is an ordinary
# integral; for more we draw many sets of points. (For large $n$ it is about $-c^2/2n$, by expanding
# the logarithm.)

# %%
a, b, half = -4.0, 2.0, 2.5
double_well = te.Density(te.Quartic(), {"a": np.array(a), "b": np.array(b)}, te.Reals(1))
log_z = te.log_partition(double_well).value
rng = np.random.default_rng(0)


def energy(x):
    return a * x**2 + b * x**4


def draws(n, repeats):
    """Many sets of points at once: (repeats, n) uniform points and their weights e^{-E}."""
    x = rng.uniform(-half, half, (repeats, n))
    return x, np.exp(-energy(x))


mean_energy = a * half**2 / 3 + b * half**4 / 5  # E at uniform points
exact_1 = np.log(2 * half) - mean_energy - log_z
print(f"n =    1: mean of log Ẑ - log Z: {exact_1:.4f}, exactly")
assert abs(exact_1 + 8.0265) < 1e-4

bias = {}
for n in (1, 2, 5, 10, 100, 1000):
    _, w = draws(n, 4_000_000 // n)
    errors = np.log(2 * half * w.mean(axis=1)) - log_z
    bias[n] = errors.mean()
    error = errors.std() / len(errors) ** 0.5
    print(f"n = {n:4}: mean of log Ẑ - log Z: {bias[n]:7.4f} ± {error:.4f}")
_, w = draws(1, 4_000_000)
c2 = w.var() / w.mean() ** 2  # the c² of exercise 2.4, here in one dimension
print("-c²/2n:", ", ".join(f"{-c2 / (2 * n):.4f} for n = {n}" for n in (10, 100, 1000)))
assert abs(bias[1] - exact_1) < 0.04 and abs(bias[10] + 0.081) < 0.003
assert abs(bias[100] + c2 / 200) < 0.003 and abs(bias[1000] + c2 / 2000) < 0.002

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.7), sharex=True)
for ax, n, color in zip(axes, (1, 10, 100), (MODEL, DATA, SAMPLES), strict=True):
    _, w = draws(n, 20_000)
    errors = np.log(2 * half * w.mean(axis=1)) - log_z
    ax.hist(np.clip(errors, -4, None), bins=np.linspace(-4, 1.5, 56), density=True, color=color,
            alpha=0.6)
    ax.axvline(0, color=BLACK, linestyle=":")
    ax.set(title=f"n = {n}", xlabel="log Ẑ − log Z", yticks=[])
show(figure, "Figure 2.2: estimates of log Z from n points. Dotted: the truth. (All below −4 "
             "is drawn at −4.)",
     alt="Three histograms. For one point a wide one, with a heap at the far left end. For ten "
         "points one that peaks at zero, with a long tail to the left. For a hundred a narrow, "
         "nearly symmetric one at zero.")

# %% [markdown]
# ## 4. What it does to learning
#
# Training needs the *gradient* of $\log Z$ with respect to the parameters. In general it is
#
# $$\nabla_\theta \log Z = \frac1Z \int -\nabla_\theta E(x)\; e^{-E(x)}\,dx =
# -\mathbb{E}_p[\nabla_\theta E],$$
#
# an average under the model. For the parameter $a$ of $E = a x^2 + b x^4$ this says
# $\partial \log Z / \partial a = -\mathbb{E}_p[x^2]$. And the gradient of $\log \hat Z_n$?
#
# $$\frac{\partial}{\partial a} \log \hat Z_n = -\frac{\sum_i w_i\, x_i^2}{\sum_i w_i},
# \qquad w_i = e^{-E(x_i)}.$$
#
# For $n = 1$ the only weight appears in the numerator and in the denominator, and *cancels*.
#
# **Exercise 2.3.** Write `gradient_1(x)`, the derivative with respect to $a$ of $\log \hat Z_1$
# from a single point, the number `x`.

# %% ex="2.3"
gradient_1 = ...

check("2.3", gradient_1)

# %% [markdown]
# **The surprise.** So with one uniform point the weight, the only thing that knows where the model
# puts its mass, is gone. On average we get $-\mathbb{E}[\nabla_\theta E]$ under the distribution
# that the points were drawn from, called the *proposal*, instead of under the model.

# %%
truth = -te.expectation(double_well, lambda x: x[:, 0] ** 2).value
uniform = -(half**2) / 3  # minus the mean of x² over the box
gradients = {}
for n in bias:
    x, w = draws(n, max(4000, 800_000 // n))
    gradients[n] = -((w * x**2).sum(axis=1) / w.sum(axis=1)).mean()
    print(f"n = {n:4}: mean gradient {gradients[n]:.3f}")
print(f"truth: {truth:.3f}; under the uniform distribution: {uniform:.3f}")
assert abs(truth + 0.852) < 1e-3 and abs(gradients[1] - uniform) < 0.01
assert abs(gradients[2] + 1.19) < 0.015 and abs(gradients[100] - truth) < 0.005
print("your guess:", guess if guess is not ... else "not written down", "| the answer: no")

# %%
figure, ax = plt.subplots(figsize=(6.4, 2.8))
ax.semilogx(list(gradients), list(gradients.values()), "o-", color=MODEL, label="from n points")
ax.axhline(truth, color=EXACT, linestyle="--", label="gradient of log Z")
ax.axhline(uniform, color=OTHER, linestyle=":", label="average under the proposal")
ax.set(xlabel="points n", ylabel="derivative w.r.t. a, mean")
ax.legend(loc="lower right")
show(figure, "Figure 2.3: with one point the mean gradient is an average under the proposal. "
             "With five it overshoots a little, and then settles on the model's.",
     alt="The mean gradient against the number of points: from minus 2.08 at one point, where "
         "it meets the dotted line of the proposal, it rises, passes the dashed line of the "
         "true gradient at minus 0.85 by five points, and settles on it from above.")

# %% [markdown]
# So when is one sample enough? When it is drawn *from the model itself*. Then the gradient needs no
# $\hat Z$ and no weight: $-\nabla_\theta E(x)$ with $x \sim p$ has the right mean, for one sample
# as for a million. That is what those courses mean to say. All the difficulty has moved into "drawn
# from the model", and notebooks 05 to 07 are about that.

# %%
x = te.sample(double_well, 100_000, np.random.default_rng(1))  # exact draws
one_sample = -(x[:, 0] ** 2)
error = one_sample.std() / len(x) ** 0.5
print(f"mean of one-sample gradients: {one_sample.mean():.4f} ± {error:.4f}, truth {truth:.4f}")
assert abs(one_sample.mean() - truth) < 5 * error

# %% [markdown]
# **Exercise 2.4.** How large is the $c$ of $c/\sqrt n$? For $E = |x|^2/2$ and uniform points in
# $[-5, 5]^{10}$, how many points does a relative standard error of 1 % in $\hat Z$ take? (Your
# answer may be off by 5 %.)
#
# <details><summary>Hint</summary>
#
# For one weight, $\mathbb{E}[w^2] / \mathbb{E}[w]^2$ is a product over the axes; minus one it is
# the relative variance.
#
# </details>

# %% ex="2.4"
points_needed = ...

check("2.4", points_needed)

# %% [markdown]
# ## What broke, and why
#
# * *The grid* broke at the dimension: $n^d$. What did not break is its accuracy.
# * *One Monte Carlo sample of $Z$* broke learning: its only weight cancels, and the average is
#   taken under the proposal instead of the model. With more samples the bias falls, eventually like
#   $1/n$, if the proposal finds the mass at all. In high dimension it does not: exercise 2.4 asks
#   for hundreds of millions of points where one dimension needs eighteen thousand.
#
# ## Summary
#
# In one, two or three dimensions, and on a few bits, $Z$ is computed, with an error one can state:
# this course does so whenever it can, and sets everything else beside it. Elsewhere one estimates
# $\log Z$ (annealed importance sampling, Neal 2001, in notebook 09), or trains without it.
# Trefethen & Weideman (2014, *The exponentially convergent trapezoidal rule*) explain section 1.
#
# When may random points stand for $Z$? *For $Z$ itself*: always in the mean, if the box holds the
# mass, but with a relative error that can grow exponentially with $d$. *For $\log Z$*: with a bias,
# downwards, which vanishes as $n$ grows. *For the gradient of $\log Z$*: from any other
# distribution only as a weighted mean over many points (*self-normalised importance sampling*);
# from the model itself even with one point, and no weight.
#
# What learning needs is only $\nabla_\theta E$, averaged over samples of the model. Next,
# [03](03_autodiff_by_hand.ipynb): how to get that gradient, and the one that sampling needs, from
# any network.
