# %% [markdown]
# # 05 Can noise turn descent into sampling?
#
# Notebook 04 needed averages under the model and computed them on a grid. In high dimension one needs *samples* from $p =
# e^{-E}/Z$. Langevin's
# idea (1908, for pollen in water): go downhill a little, then shake.
#
# **You need** notebooks 01 to 04. **You will** turn gradient descent into a sampler by one term, follow not only its samples but
# their exact
# *law*, see what a finite step does to it, repair that, and read the true temperature off a recipe. Running time: ten seconds.
#
# > **A question first.** "With infinitely many steps Langevin sampling is exact." True or false, for a step size that stays fixed?

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DASHES, DATA, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import plots

guess = ...  # "true" or "false"

# %% [markdown]
# ## 1. Descent, and noise
#
# The *score* $\nabla \log p = -\nabla E$ points to where $p$ grows; $Z$ has dropped out. Following it leads to the nearest peak
# and stays there. Langevin
# dynamics adds noise of just the right size:
#
# $$x' = x + \varepsilon\, \nabla \log p(x) + \sqrt{2 \varepsilon}\; \xi, \qquad \xi \sim N(0, I).$$
#
# One step by hand, and one by the package (`te.ULA`, the *unadjusted Langevin algorithm*), with the same random numbers:

# %%
moons = te.datasets.load("two_moons")  # its density is known, and so is its score
x = np.random.default_rng(0).uniform(-4, 4, (400, 2))
step_size = 0.01

noise = np.random.default_rng(1).standard_normal(x.shape)
by_hand = x + step_size * te.score(moons, x) + np.sqrt(2 * step_size) * noise
assert np.allclose(by_hand, te.ULA(step_size).step(moons, x, np.random.default_rng(1)).x)

# %%
figure, axes = plt.subplots(2, 4, figsize=(7.8, 3.9), sharex=True, sharey=True)
window = [(-4, 4), (-3, 3)]
for row, (temperature, name) in zip(axes, ((0.0, "descent only"), (1.0, "with noise")), strict=True):
    points, done = x, 0
    for ax, steps in zip(row, (0, 10, 100, 1000), strict=True):
        points, _ = te.run(te.ULA(step_size, temperature), moons, points, steps - done, np.random.default_rng(2))
        done = steps
        plots.density(moons, ax, window, resolution=50, interpolation="nearest", alpha=0.35)
        plots.data(points, ax, window, color=MODEL if temperature else BLACK, s=3)
        ax.set(title=f"{steps} steps")
    row[0].set_ylabel(name)
show(figure, "Figure 5.1: 400 points run downhill (top) or follow Langevin dynamics (bottom). Pale: the density.",
     alt="Two rows of pictures of 400 points over two faint moons. Without noise they end on the thin ridges of the moons. With "
         "noise "
         "they spread over the moons' whole width.")

# %% [markdown]
# ## 2. The law, not the samples
#
# A cloud of points is a blurred picture of a *law*. In one dimension the law itself can be followed: probabilities on a grid,
# moved by the
# transition density of one step. `kernel.push(law, p)` does that, and nothing is random. A double well, $E(x) = 2 (x^2 - 1)^2$,
# from
# three starts:

# %%
well = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Box(-3, 3, 1))
target = te.probabilities(well, 200)
nodes = well.space.atoms(200)[0][:, 0]
kernel = te.ULA(0.01)


def total_variation(a, b):
    """Half the summed difference: the largest by which two laws differ on any set."""
    return 0.5 * np.abs(a - b).sum()


starts = {
    "a point in the left well": np.exp(-0.5 * ((nodes + 1) / 0.1) ** 2),
    "a point between the wells": np.exp(-0.5 * (nodes / 0.1) ** 2),
    "uniform": np.ones(200) * np.exp(well.space.atoms(200)[1]),
}
P = te.transition_matrix(well, kernel, 200)
assert np.allclose(target @ P, kernel.push(target, well))  # a push is a product with the transition matrix
distances = {}
for name, law in starts.items():
    law, found = law / law.sum(), []
    for _ in range(3001):
        found.append(total_variation(law, target))
        law = law @ P
    distances[name] = found
print({name: round(float(found[-1]), 4) for name, found in distances.items()}, "after 3000 steps")
assert 0.01 < min(found[-1] for found in distances.values()) and max(found[-1] for found in distances.values()) < 0.03

figure, ax = plt.subplots(figsize=(6.6, 3.0))
for (name, found), color, dash in zip(distances.items(), (MODEL, DATA, SAMPLES), DASHES, strict=False):
    ax.semilogy(found, dash, color=color, label=name)
ax.set(xlabel="steps K", ylabel="total variation from p", xlim=(-20, 1500))
ax.legend()
show(figure, "Figure 5.2: how far the law after K steps is from p, without a random number. All end on one floor, which is not "
     "zero.",
     alt="Three falling curves of total variation against the number of steps. The uniform start falls fastest, and even dips "
         "below "
         "where it ends; the start in one well takes hundreds of steps. All flatten at the same small value.")

# %% [markdown]
# Two things are to be seen. How many steps are needed depends on the start and on the barrier: $K$ is a *setting* of a sampler,
# not a detail. And the
# curves end on a floor that more steps do not lower.
#
# ## 3. Infinitely many steps
#
# **The surprise.** The floor is the step size. A discretised motion has a stationary law of its own. For the normal law $N(0,
# s^2)$ it can be
# computed by hand: the variance is not $s^2$ but
#
# $$\frac{s^2}{1 - \varepsilon / 2s^2}, \qquad \varepsilon < 2 s^2,$$
#
# and beyond $\varepsilon = 2s^2$ every step overshoots by more than the last, and the chain explodes.

# %%
normal = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
sampled = {}
for epsilon in (0.1, 0.4, 0.8, 1.125, 1.4):
    x, _ = te.run(te.ULA(epsilon), normal, np.zeros((100_000, 1)), 80, np.random.default_rng(3))
    sampled[epsilon] = x.var(), x.var() * (2 / len(x)) ** 0.5
for epsilon, (variance, error) in sampled.items():
    print(f"ε = {epsilon:5}: variance {variance:.4f} ± {error:.4f}, formula {1 / (1 - epsilon / 2):.4f}")
    assert abs(variance - 1 / (1 - epsilon / 2)) < 5 * error

# %% [markdown]
# **Exercise 5.1.** On $N(0, s^2)$ a step is $x' = (1 - \varepsilon/s^2)\,x + \sqrt{2\varepsilon}\,\xi$. Write `variance(s,
# epsilon, k)`: the exact variance of $x$ after
# $k$ steps from $x = 0$.

# %% ex="5.1"
variance = ...

check("5.1", variance)

# %% [markdown]
# For the double well there is no formula, but the stationary law is the eigenvector of the transition matrix. Here `jump` is the
# size of the noise of
# one step, $\sqrt{2\varepsilon}$.

# %%
def stationary(epsilon, p=well):
    """The law that a step of ULA leaves as it is, and the nodes it lives on."""
    n = max(60, int(np.ceil(np.pi / 2 * 6 / (0.5 * np.sqrt(2 * epsilon)))))
    P = te.transition_matrix(p, te.ULA(epsilon), n)
    values, vectors = np.linalg.eig(P.T)
    law = np.abs(vectors[:, np.argmax(values.real)].real)
    return n, law / law.sum()


table = {}
for jump in (0.05, 0.1, 0.2, 0.3):
    n, law = stationary(jump**2 / 2)
    table[jump] = total_variation(law, te.probabilities(well, n, rtol=1e-3))
    print(f"noise {jump:4}, ε = {jump**2 / 2:.5f}: total variation {table[jump]:.4f}")
for jump, expected in {0.05: 0.003, 0.1: 0.012, 0.2: 0.055, 0.3: 0.159}.items():
    assert abs(table[jump] - expected) < 0.003
print("your guess was", guess if guess is not ... else "not written down", "- it is false")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.1))
grid = np.linspace(0, 1.6, 200)
left.plot(grid, 1 / (1 - grid / 2), color=EXACT, label="formula")
left.errorbar(list(sampled), [v for v, _ in sampled.values()], [5 * e for _, e in sampled.values()], fmt="o", color=SAMPLES,
              label="100 000 chains (± 5 se)")
left.axhline(1, color=BLACK, linestyle=":")
left.set(xlabel="step size ε", ylabel="variance on N(0, 1)", ylim=(0.5, 5.5))
left.legend()
for jump, color, dash in ((0.1, DATA, "--"), (0.3, MODEL, "-."), (0.5, OTHER, (0, (5, 1)))):
    n, law = stationary(jump**2 / 2)
    states, log_w = well.space.atoms(n)
    right.plot(states, law / np.exp(log_w), linestyle=dash, color=color, label=f"noise {jump}")
right.plot(nodes, target / np.exp(well.space.atoms(200)[1]), color=BLACK, linewidth=1, label="p")
right.set(xlabel="x", ylabel="density", xlim=(-2.5, 2.5))
right.legend(fontsize=9)
show(figure, "Figure 5.3: the laws that Langevin dynamics with a fixed step really samples: too wide.",
     alt="Left, the variance as a function of the step size rises from one and bends up towards infinity; dots with error bars lie "
         "on the curve. Right, a density with two peaks, and the stationary laws of longer and longer steps, whose peaks sink and "
         "widen.")

# %% [markdown]
# (In a box with walls there is a stationary law for any step. On the whole line the double well's quartic walls throw a chain that
# steps too far out ever
# farther: with noise 0.5 it is only a question of time.)

# %%
open_well = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Reals(1))
with np.errstate(over="ignore", invalid="ignore"):
    x, _ = te.run(te.ULA(0.125), open_well, np.ones((2000, 1)), 500, np.random.default_rng(4))
print(f"{np.mean(~(np.abs(x) < 10)):.0%} of 2000 chains have left for infinity after 500 steps")
assert np.mean(~(np.abs(x) < 10)) > 0.9

# %% [markdown]
# **Exercise 5.2.** Of the step sizes $\varepsilon$ = 0.002, 0.004, 0.008 and 0.016: which is the largest whose stationary law on
# the double well is within 0.01 of
# $p$, in total variation?

# %% ex="5.2"
largest = ...

check("5.2", largest)

# %% [markdown]
# ## 4. The repair
#
# *MALA*, the Metropolis-adjusted algorithm, treats a Langevin step $x \to y$ as a proposal and accepts it with probability
#
# $$\min\Bigl(1,\ \frac{p(y)\, q(x \mid y)}{p(x)\, q(y \mid x)}\Bigr),$$
#
# where $q$ is the density of a step. Forget the two $q$ (the *Hastings* correction) and it samples something else; that is the
# most common mistake in
# hand-written samplers. With it, $p$ is stationary for *every* step size.

# %%
for epsilon in (0.02, 0.1, 0.3):
    mala, n = te.MALA(epsilon), 120
    law = te.probabilities(well, n)
    drift = total_variation(mala.push(law, well), law)
    x, info = te.run(mala, well, te.sample(well, 2000, np.random.default_rng(5)), 50, np.random.default_rng(6))
    print(f"ε = {epsilon}: one push moves p by {drift:.0e}; {info['acceptance']:.0%} of the steps are accepted")
    assert drift < 1e-13

# %% [markdown]
# What MALA cannot repair is a barrier. Between two wells a chain waits for a time that grows *exponentially* with the height. The
# *spectral gap* of the transition matrix tells how fast the chain forgets where it began: the distance to $p$ shrinks like $(1 -
# \text{gap})^K$.

# %%
heights = np.arange(1.0, 8.5, 0.5)
gaps = []
for h in heights:
    p = te.Density(te.DoubleWell(), {"barrier": np.array(h)}, te.Box(-1.8, 1.8, 1))
    gaps.append(te.spectral_gap(p, te.MALA(0.003), 160))
slope = np.polyfit(heights[6:], np.log(gaps[6:]), 1)[0]
print(f"for every nat of barrier the gap shrinks by a factor of {np.exp(-slope):.2f}")
assert 2.0 < np.exp(-slope) < np.e

_, info = te.run(te.MALA(0.02), well, np.full((8, 1), -1.0), 2000, np.random.default_rng(7), record=1)
ess = te.effective_sample_size(info["trajectory"])[0]
print(f"8 chains of 2000 steps are worth {ess:.0f} independent draws; split R-hat {te.split_rhat(info['trajectory'])[0]:.2f}")

figure, ax = plt.subplots(figsize=(6.2, 2.9))
ax.semilogy(heights, 1 / np.array(gaps), color=MODEL, marker="o", markersize=4)
ax.set(xlabel="barrier, nats", ylabel="steps to forget, 1 / gap")
show(figure, "Figure 5.4: the steps that MALA (ε = 0.003) needs to cross a barrier.",
     alt="A nearly straight rising line on a logarithmic axis: from a few hundred steps at a barrier of one nat to nearly a "
         "hundred thousand at eight.")

# %% [markdown]
# ## 5. The temperature of a recipe
#
# Recipes on images often have a *step* and a *noise* of their own: $x' = x - \eta \nabla E + \sigma \xi$. Compare with Langevin
# dynamics at temperature $T$,
# whose noise is $\sqrt{2 \eta T}$:
#
# $$T = \frac{\sigma^2}{2 \eta}.$$
#
# Only $T = 1$ samples $e^{-E}$. Read the numbers of two well-known notebooks:

# %%
uva = te.Recipe.uva_tutorial_8()  # step 10, noise 0.005, gradients clipped at 0.03
print(f"step 10, noise 0.005: T = {uva.temperature:.3g}")
print(f"step 1, noise 0.01: T = {te.Recipe(1.0, 0.01).temperature:.3g}")
assert np.isclose(uva.temperature, 1.25e-6) and np.isclose(te.Recipe(1.0, 0.01).temperature, 5e-5)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    x, _ = te.run(te.Recipe(0.01, 0.005), well, np.random.default_rng(8).uniform(-2, 2, (500, 1)), 300, np.random.default_rng(9))
print("the package says:", caught[0].message)
draws = te.sample(well, 20_000, np.random.default_rng(1))
print(f"spread within the right well: {x[x > 0].std():.4f}, of p: {draws[draws > 0].std():.3f}")
assert x[x > 0].std() < 0.05

# %% [markdown]
# Such chains are gradient descent with a little jitter. They may draw fine pictures; they do not sample $e^{-E}/Z$, and what is
# learned with them
# is not its density. This is said of the numbers, not of their authors: the notebooks teach well, and the pictures are real.
#
# **Exercise 5.3.** By what number must one multiply the energy so that step 10 with noise 0.005 becomes honest Langevin dynamics,
# at $T = 1$, for $e^{-E}$ of
# the *original* energy? (Think of which energy is sampled at temperature $T$.)

# %% ex="5.3"
factor = ...

check("5.3", factor)

# %% [markdown]
# ## What broke, and why
#
# * *Descent* found the ridges: the most likely points are not typical ones.
# * *Fixed steps* have a stationary law of their own, wider than $p$; too long ones have none.
# * *Barriers* keep a correct chain in one well for exponentially long. No acceptance rate shows it; several chains, and split
# R-hat, may.
#
# ## Summary
#
# Langevin dynamics needs only the slope of $E$. Infinitely many steps are exact for MALA, and for ULA in the limit of small steps,
# but not at a fixed one
# (Roberts & Tweedie 1996, Bernoulli 2:341). In practice one makes $K$ steps, and $K$ is a setting that shapes what is learned: see
# [06](06_contrastive_divergence_exactly.ipynb).
