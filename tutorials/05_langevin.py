# %% [markdown]
# # 05 Can noise turn descent into sampling?
#
# Notebook 04 needed averages under the model and computed them on a grid. In high dimension one
# needs *samples* from $p = e^{-E}/Z$. The method of this notebook is named after Langevin (1908),
# who described the motion of a particle in water by friction and random kicks: go downhill a
# little, then shake.
#
# **You need** notebooks 01 to 04. **You will** turn gradient descent into a sampler by adding one
# term, follow not only its samples but their exact *distribution*, see what a finite step does to
# it, repair that, and read the true temperature off a recipe. Running time: about five seconds.
#
# > **A question first.** "With infinitely many steps Langevin sampling is exact." True or false,
# > for a step size that stays fixed?

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import plots

guess = ...  # "true" or "false"

# %% [markdown]
# ## 1. Descent, and noise
#
# In notebook 04 the gradient was with respect to the parameters. From here on it is with respect to
# the state $x$. The *score* $\nabla_x \log p = -\nabla_x E$ points in the direction in which $p$
# grows fastest, and does not involve $Z$. Following it leads uphill in $p$, which is downhill in
# $E$, to a peak or, as in the picture below, to the crest of a ridge, and stays there. Langevin
# dynamics adds noise of just the right size:
#
# $$x' = x + \varepsilon\, \nabla_x \log p(x) + \sqrt{2 \varepsilon}\; \xi, \qquad \xi \sim N(0, I).$$
#
# Start at a random point (here uniform in a square), repeat the step $K$ times, and keep the last
# point: that is the whole sampler. Infinitely many steps of vanishing size would give an exact
# sample. In practice one takes $K$ steps of a fixed size; sections 2 and 3 say what either costs.
#
# One step by hand, and one by the package (`te.ULA`, the *unadjusted Langevin algorithm*), with the
# same random numbers. (The package takes a temperature $T$, too, which multiplies the noise by
# $\sqrt T$: $T = 0$ is plain descent.)

# %%
moons = te.datasets.load("two_moons")  # its density is known, and so is its score
x = np.random.default_rng(0).uniform(-4, 4, (400, 2))
step_size = 0.01

noise = np.random.default_rng(1).standard_normal(x.shape)
by_hand = x + step_size * te.score(moons, x) + np.sqrt(2 * step_size) * noise
assert np.allclose(by_hand, te.ULA(step_size).step(moons, x, np.random.default_rng(1)).x)

# %%
window = [(-4, 4), (-3, 3)]
figure, axes = plt.subplots(2, 4, figsize=(7.8, 3.9), sharex=True, sharey=True)
for row, temperature, name in zip(axes, (0.0, 1.0), ("descent only", "with noise"), strict=True):
    kernel, points, done = te.ULA(step_size, temperature), x, 0
    rng = np.random.default_rng(2)
    for ax, steps in zip(row, (0, 10, 100, 1000), strict=True):
        points, _ = te.run(kernel, moons, points, steps - done, rng)
        done = steps
        plots.density(moons, ax, window, resolution=50, interpolation="nearest", alpha=0.35)
        plots.data(points, ax, window, color=BLACK, s=3, alpha=0.7)
        ax.set(title=f"{steps} steps")
    row[0].set_ylabel(name)
show(figure, "Figure 5.1: 400 points run downhill (top) or follow Langevin dynamics (bottom). "
             "Pale: the density.",
     alt="Two rows of pictures of 400 points over two faint moons. Without noise they end on "
         "the thin ridges of the moons. With noise they spread over the moons' whole width.")

# %% [markdown]
# ## 2. Distributions instead of samples
#
# A cloud of points is a blurred picture of a *distribution*. In one dimension the distribution
# itself can be followed: probabilities on a grid, moved by the transition density of one step.
# `kernel.push(probabilities, p)` does that (a *kernel* is the rule for one step of a chain), and
# nothing is random. To say how far two distributions are apart we use the *total variation*: half
# the sum of the absolute differences of their probabilities. It is 0 if they are equal, 1 if they
# do not overlap, and no event's probability differs by more.
#
# Our example is a double well, $E(x) = 2 (x^2 - 1)^2$, in a box with walls at $\pm 3$ that reflect.
# (The walls matter; section 3 says why.)

# %%
well = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Box(-3, 3, 1))
states, log_w = well.space.atoms(200)  # nodes, not evenly spaced, and the logs of their widths
nodes, widths = states[:, 0], np.exp(log_w)
target = te.probabilities(well, 200)
kernel = te.ULA(0.01)
P = te.transition_matrix(well, kernel, 200)
assert np.allclose(target @ P, kernel.push(target, well))  # a push is a product with this matrix


def total_variation(a, b):
    """Half the sum of the absolute differences."""
    return 0.5 * np.abs(a - b).sum()


def distances(start, steps=3000, goal=target):
    """The total variation from p (or from another goal) after 0, 1, ..., steps."""
    q, found = start / start.sum(), []
    for _ in range(steps + 1):
        found.append(total_variation(q, goal))
        q = q @ P
    return np.array(found)


paths = {
    "near -1, in the left well": distances(np.exp(-50 * (nodes + 1) ** 2) * widths),
    "near 0, between the wells": distances(np.exp(-50 * nodes**2) * widths),
    "uniform": distances(widths),
}
for name, path in paths.items():
    print(f"{name:25}: {path[100]:.4f} after 100 steps, {path[-1]:.4f} after 3000")
assert all(0.02 < path[-1] < 0.03 for path in paths.values()) and paths["uniform"].min() < 0.015

figure, ax = plt.subplots(figsize=(6.6, 3.0))
shown = {name: (np.arange(1501), path[:1501]) for name, path in paths.items()}
plots.curves(shown, ax, xlabel="steps K", ylabel="total variation from p")
show(figure, "Figure 5.2: how far the distribution after K steps is from p, from three starts, "
             "without a random number. All end on one floor, which is not zero.",
     alt="Three falling curves of total variation against the number of steps. The uniform "
         "start falls fastest, and even dips below where it ends; the start in one well takes "
         "hundreds of steps. All flatten at the same small value.")

# %% [markdown]
# Two things stand out. How many steps are needed depends on the start: $K$ is a *hyperparameter*.
# And the curves end on a floor that more steps do not lower. (The uniform start dips below it
# because it passes close to $p$ on its way to somewhere else.)
#
# ## 3. Infinitely many steps
#
# **The surprise.** The floor comes from the step size. A discretised motion has a stationary
# distribution of its own: one that a step leaves as it is. For the normal distribution $N(0, s^2)$
# it can be computed by hand: the variance is not $s^2$ but
#
# $$\frac{s^2}{1 - \varepsilon / (2s^2)}, \qquad \varepsilon < 2 s^2,$$
#
# and beyond $\varepsilon = 2s^2$ every step overshoots by more than the last, and the chain
# explodes.

# %%
theta = {"mean": np.zeros(1), "precision": np.eye(1)}
normal = te.Density(te.GaussianEnergy(1), theta, te.Reals(1))
sampled = {}
for epsilon in (0.1, 0.4, 0.8, 1.125, 1.4):
    x, _ = te.run(te.ULA(epsilon), normal, np.zeros((100_000, 1)), 80, np.random.default_rng(3))
    sampled[epsilon] = x.var(), x.var() * (2 / len(x)) ** 0.5
for epsilon, (found, error) in sampled.items():
    formula = 1 / (1 - epsilon / 2)
    print(f"ε = {epsilon:5}: variance {found:.4f} ± {error:.4f}, formula {formula:.4f}")
    assert abs(found - formula) < 5 * error

x, _ = te.run(te.ULA(2.1), normal, np.zeros((1000, 1)), 80, np.random.default_rng(3))
print(f"ε = 2.1: variance {x.var():.0f} after 80 steps, and growing")
assert x.var() > 1000

# %% [markdown]
# **Exercise 5.1.** On $N(0, s^2)$ a step is
# $x' = (1 - \varepsilon/s^2)\,x + \sqrt{2\varepsilon}\,\xi$. Write `variance(s, epsilon, k)`: the
# exact variance of $x$ after $k$ steps from $x = 0$. (For $k \to \infty$ the variance must
# reproduce itself, $v = (1 - \varepsilon/s^2)^2 v + 2\varepsilon$, which gives the formula above.)
#
# <details><summary>Hint</summary>
#
# After one more step the variance is $(1 - \varepsilon/s^2)^2\,v + 2\varepsilon$: a loop will do.
#
# </details>

# %% ex="5.1"
variance = ...

check("5.1", variance)

# %% [markdown]
# For the double well there is no formula, but we can push probabilities until they no longer
# change. That is where the walls come in: without them this energy, which is steeper than
# quadratic, has no stationary distribution at *any* fixed step size. A step that lands too far out
# is thrown back even farther, and the chain explodes. With small steps that takes very long; with
# $\varepsilon = 0.08$ nearly every chain has gone after 2000.

# %%
def stationary(epsilon):
    """Where ULA ends up, on 400 nodes: 2^14 pushes."""
    P = te.transition_matrix(well, te.ULA(epsilon), 400)
    return te.probabilities(well, 400) @ np.linalg.matrix_power(P, 2**14)


table = {epsilon: total_variation(stationary(epsilon), te.probabilities(well, 400))
         for epsilon in (0.00125, 0.005, 0.02, 0.045, 0.08, 0.125)}
for epsilon, distance in table.items():
    print(f"ε = {epsilon:7}, noise √(2ε) = {np.sqrt(2 * epsilon):.2f}: "
          f"total variation from p {distance:.4f}")
for epsilon, expected in {0.00125: 0.003, 0.005: 0.012, 0.02: 0.055, 0.045: 0.159}.items():
    assert abs(table[epsilon] - expected) < 0.0005
assert abs(table[0.08] - 0.2788) < 0.0005 and abs(table[0.125] - 0.3530) < 0.0005

no_walls = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Reals(1))
with np.errstate(over="ignore", invalid="ignore"):
    x, _ = te.run(te.ULA(0.08), no_walls, np.ones((2000, 1)), 2000, np.random.default_rng(4))
gone = np.mean(~(np.abs(x) < 10))
print(f"without walls, at ε = 0.08, {gone:.0%} of 2000 chains have left for infinity")
assert gone > 0.9
print("your guess:", guess if guess is not ... else "not written down", "| the answer: false")

# %% [markdown]
# (For such long steps the answer depends on what becomes of the chains that go astray: at
# $\varepsilon$ = 0.08 and 0.125 the walls hold the distance at 0.28 and 0.35; without walls it
# tends to 1.)

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7.8, 3.0))
grid = np.linspace(0, 1.6, 200)
left.plot(grid, 1 / (1 - grid / 2), color=EXACT, label="formula")
found = [found for found, _ in sampled.values()]
left.plot(list(sampled), found, "o", color=SAMPLES, label="chains")
left.axhline(1, color=BLACK, linestyle=":")
left.set(xlabel="step size ε", title="variance on N(0, 1)", ylim=(0.5, 5.5))
left.legend()
middle.loglog(list(table), list(table.values()), "o-", color=MODEL)
middle.set(xlabel="step size ε", title="total variation,\ndouble well")
for epsilon, color, dash in ((0.045, MODEL, "-."), (0.125, OTHER, (0, (5, 1)))):
    style = {"linestyle": dash, "color": color, "label": f"ε = {epsilon}"}
    plots.law(stationary(epsilon), well.space, right, **style)  # masses over widths
plots.law(target, well.space, right, color=BLACK, linewidth=1, label="p")
right.set(xlabel="x", title="density", xlim=(-2.5, 2.5), ylim=(0, 1.0))
right.legend(fontsize=9, ncols=2, loc="upper center")
show(figure, "Figure 5.3: what Langevin dynamics with a fixed step really samples. The "
             "Gaussian becomes too wide; of the double well the peaks become broader and the "
             "valley fuller.",
     alt="Left, the variance as a function of the step size rises from one and bends up "
         "towards infinity; dots lie on the curve. Middle, the distance from p grows with the "
         "step size, first in proportion. Right, a density with two peaks, and the stationary "
         "densities of longer steps, whose peaks sink and widen.")

# %% [markdown]
# **Exercise 5.2.** Of the step sizes $\varepsilon$ = 0.001, 0.003, 0.006 and 0.012: which is the
# largest whose stationary distribution on the double well is within 0.01 of $p$, in total
# variation?
#
# <details><summary>Hint</summary>
#
# `stationary` and `total_variation` are above; use 400 nodes.
#
# </details>

# %% ex="5.2"
largest = ...

check("5.2", largest)

# %% [markdown]
# ## 4. The repair
#
# *MALA*, the Metropolis-adjusted Langevin algorithm, treats a Langevin step $x \to y$ as a
# proposal, accepts it with probability
#
# $$\min\Bigl(1,\ \frac{p(y)\, q(x \mid y)}{p(x)\, q(y \mid x)}\Bigr),$$
#
# where $q$ is the density of a step, and otherwise stays at $x$. With it, $p$ is stationary for
# *every* step size. Leave out the two $q$'s (the *Hastings* correction), a classic mistake, and the
# repair does more harm than good. From a uniform start, after $2^{14}$ steps:

# %%
epsilon, n = 0.02, 300
proposal = te.transition_matrix(well, te.ULA(epsilon), n)
mass, w = te.probabilities(well, n), np.exp(well.space.atoms(n)[1])


def adjusted(hastings=True):
    """The transition matrix with acceptance, with or without the two q's."""
    p, q = mass / w, np.maximum(proposal / w, 1e-300)  # densities; q[i, j] is q(j | i)
    ratio = p[None, :] / p[:, None] * (q.T / q if hastings else 1.0)
    P = proposal * np.minimum(1, ratio)
    np.fill_diagonal(P, 0)
    return P + np.diag(1 - P.sum(axis=1))  # the rest stays where it is


mala = te.transition_matrix(well, te.MALA(epsilon), n)
inside = np.abs(well.space.atoms(n)[0][:, 0]) < 2.5  # at a wall ULA reflects, MALA refuses
assert np.allclose(adjusted()[inside], mala[inside], rtol=0, atol=1e-12)
kernels = {"MALA": mala, "without the q's": adjusted(False), "no acceptance at all (ULA)": proposal}
settled = {name: w / w.sum() @ np.linalg.matrix_power(P, 2**14) for name, P in kernels.items()}
for name, q in settled.items():
    print(f"{name:26}: total variation from p {total_variation(q, mass):.3f}")
squared = mass**2 / w / (mass**2 / w).sum()  # p², normalised
to_square = total_variation(settled["without the q's"], squared)
print(f"without the q's           : total variation from p² {to_square:.3f}")
assert total_variation(settled["MALA"], mass) < 1e-8
assert abs(total_variation(settled["without the q's"], mass) - 0.162) < 0.001
assert abs(total_variation(settled["no acceptance at all (ULA)"], mass) - 0.055) < 0.001
assert to_square < 0.05

# %% [markdown]
# The proposals already lean uphill, by about a factor of $p(y)/p(x)$. Without the $q$'s that factor
# is counted twice, and the chain samples something near $p^2$, a temperature of one half; smaller
# steps only bring it closer to that.
#
# What MALA cannot repair is a barrier. Between two wells a chain waits for a time that grows
# *exponentially* with the height. The *spectral gap*, one minus the second-largest absolute value
# of an eigenvalue of the transition matrix, says how fast a chain forgets where it began: the
# distance shrinks like $(1 - \text{gap})^K$. That is the straight part of the solid curve in Figure
# 5.2: here it is once more, measured from where ULA ends up.

# %%
end = target @ np.linalg.matrix_power(P, 2**14)
path = distances(np.exp(-50 * (nodes + 1) ** 2) * widths, 1000, goal=end)
slope = np.log(path[1000] / path[500]) / 500
gap = te.spectral_gap(well, kernel, 200)
print(f"per step log(distance) changes by {slope:.5f}; log(1 - gap) = {np.log(1 - gap):.5f}")
assert abs(slope / np.log(1 - gap) - 1) < 1e-3

heights = np.arange(1.0, 8.5, 0.5)
gaps = []
for h in heights:
    p = te.Density(te.DoubleWell(), {"barrier": np.array(h)}, te.Box(-1.8, 1.8, 1))  # a narrow box:
    gaps.append(te.spectral_gap(p, te.MALA(0.003), 160))  # 160 nodes must resolve short steps
scale = np.array(gaps) / (heights * np.exp(-heights))
print("gap / (h e^{-h}):", scale[[0, 4, 8, 14]].round(4), "for h = 1, 3, 5, 8")
assert np.ptp(scale[heights >= 3]) < 0.02 * scale[-1]

figure, ax = plt.subplots(figsize=(6.2, 2.9))
ax.semilogy(heights, 1 / np.array(gaps), "o", color=MODEL, label="1 / gap of MALA, ε = 0.003")
ax.semilogy(heights, np.exp(heights) / heights / scale[-1], color=BLACK, linewidth=1,
            label="a constant times exp(h) / h")
ax.set(xlabel="barrier h, nats", ylabel="steps to forget")
ax.legend()
show(figure, "Figure 5.4: the relaxation time, 1 / gap, against the height of the barrier.",
     alt="Dots that rise along a nearly straight line on a logarithmic axis, from a few "
         "hundred steps at a barrier of one nat to eighty thousand at eight; below three they "
         "lie a little under it.")

# %% [markdown]
# For high barriers the gap is nearly proportional to $h\, e^{-h}$: $e^{-h}$ is how rare the top of
# the barrier is, and the factor $h$ comes from the curvature (Kramers 1940).
#
# Can a running chain tell that it is stuck? Two numbers are in use. States of a chain resemble each
# other; if $\rho_t$ is their correlation at lag $t$, $N$ states are worth about
# $N / (1 + 2 \sum_t \rho_t)$ independent draws, the *effective sample size*. *Split R-hat* cuts
# each chain in half and compares the spread between the pieces with the spread within: it is 1 when
# they agree; Vehtari et al. (2021), whose rank-normalised form the package computes, ask for less
# than 1.01.

# %%
deep = te.Density(te.DoubleWell(), {"barrier": np.array(10.0)}, te.Box(-3, 3, 1))
starts = {"all in the left well": np.full((8, 1), -1.0),
          "four in each well": np.repeat([-1.0, 1.0], 4)[:, None]}
verdicts = {}
for name, x in starts.items():
    _, info = te.run(te.MALA(0.02), deep, x, 2000, np.random.default_rng(7), record=1)
    chains = info["trajectory"]
    verdicts[name] = te.split_rhat(chains)[0], (chains > 0).mean()
    print(f"8 chains of 2000 steps, {name}: acceptance {info['acceptance']:.0%}, "
          f"R-hat {verdicts[name][0]:.2f}, "
          f"effective sample size {te.effective_sample_size(chains)[0]:.0f}")
(rhat, right), (mixed_rhat, _) = verdicts.values()
assert rhat < 1.01 and right == 0 and mixed_rhat > 1.5

# %% [markdown]
# In the first line every number looks perfect, and the chains have missed half of the mass. No
# diagnostic computed from the chains can see a place that none of them has visited.
#
# ## 5. The temperature of a recipe
#
# Recipes for images often have a *step* and a *noise* of their own:
# $x' = x - \varepsilon \nabla_x E + \sigma \xi$. Compare with Langevin dynamics for $e^{-E/T}$, the
# temperature of notebook 01: its noise is $\sqrt{2 \varepsilon T}\,\xi$. So the recipe runs at
#
# $$T = \frac{\sigma^2}{2 \varepsilon}.$$
#
# Only at $T = 1$ do the chains sample $e^{-E}$ (for small steps). Here are the settings of two
# well-known notebooks: tutorial 8 of the UvA deep learning course (Lippe), and the energy-based
# example of `intro_dgm` (Tomczak).

# %%
uva = te.Recipe.uva_tutorial_8()
print(f"UvA tutorial 8, step 10, noise 0.005: T = {uva.temperature:.3g}")
print(f"intro_dgm, step 1, noise 0.01:        T = {te.Recipe(1.0, 0.01).temperature:.3g}")
assert np.isclose(uva.temperature, 1.25e-6)
assert np.isclose(te.Recipe(1.0, 0.01).temperature, 5e-5)

# %% [markdown]
# (The UvA recipe adds the noise before it takes the gradient, which changes nothing in $T$; the
# package's `Recipe` does the same. It also takes sixty steps per image in training, and clips the
# gradient at 0.03, and images to [-1, 1], so it is not quite Langevin dynamics at any temperature.)
# What such a temperature does is easy to see. On the double well a chain with step 10 would
# explode; with step 0.01 and the same noise, $T$ = 0.00125:

# %%
cold, start = te.Recipe(0.01, 0.005), np.random.default_rng(8).uniform(-2, 2, (500, 1))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    x, _ = te.run(cold, well, start, 300, np.random.default_rng(9))
print("the package says:", caught[0].message)
draws = te.sample(well, 20_000, np.random.default_rng(1))
print(f"spread within the right well: {x[x > 0].std():.4f}, and of p: {draws[draws > 0].std():.3f}")
keep = 1 - 0.01 * 16  # E'' is 16 at the bottom of a well: x - 1 becomes keep (x - 1 + noise)
expected = keep * 0.005 / np.sqrt(1 - keep**2)
narrow = np.sqrt(cold.temperature / 16)
print(f"of such a chain near the bottom: {expected:.4f}; of e^(-E/T): {narrow:.4f}")
right = x[x > 0]
assert abs(right.std() - expected) < 5 * expected / np.sqrt(2 * len(right))

# %% [markdown]
# (The chain is looked at after the descent, before the next noise: so it is even a little narrower
# than $e^{-E/T}$.)
#
# Such chains are gradient descent with a little jitter. They may draw fine pictures, but they do
# not sample $e^{-E}/Z$, and a model trained with them does not have that density.
#
# **Exercise 5.3.** Keep step 10 and noise 0.005, and replace $E$ by $cE$. For which $c$ do the
# chains sample $e^{-E}$, as far as the step size allows?

# %% ex="5.3"
factor = ...

check("5.3", factor)

# %% [markdown]
# (The drift is then $10\,c$ per unit of slope: honest, and far too slow for the sixty steps of the
# recipe. Speed is what the low temperature buys.)
#
# ## What broke, and why
#
# * *Descent* found the ridges: the most likely points are not typical ones.
# * *Fixed steps* change what is sampled. On a Gaussian, or between walls, ULA has a stationary
#   distribution of its own; on the line, under a quartic energy, it has none.
# * *Barriers* keep a correct chain in one well for exponentially many steps. The acceptance rate
#   does not show it, and R-hat shows it only if the chains *start* in different wells.
#
# ## Summary
#
# Langevin dynamics needs only the gradient of $E$. Infinitely many steps are exact for MALA, and
# for ULA in the limit of small steps, but not at a fixed one (Roberts & Tweedie
# [1996](https://doi.org/10.2307/3318418), Bernoulli 2:341). As a way to draw samples it was
# proposed by Parisi ([1981](https://doi.org/10.1016/0550-3213(81)90056-0)) and by Grenander &
# Miller (1994, J. R. Stat. Soc. B 56:549), the acceptance step by Rossky, Doll & Friedman (1978, J.
# Chem. Phys. 69:4628) and by Besag (1994, in the discussion of Grenander & Miller); R-hat and
# effective sample sizes are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner
# ([2021](https://doi.org/10.1214/20-BA1221)).
#
# In practice one takes $K$ steps, and $K$ is a hyperparameter that shapes what is learned. Next,
# [06](06_contrastive_divergence_exactly.ipynb): what CD-k does with $k$ steps from the data.
