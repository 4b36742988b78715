# %% [markdown]
# # 01 When is a function a density?
#
# Take any function $E(x)$ and call it an *energy*. Low energy shall mean likely. This notebook turns energies into probability
# densities, $p(x) = e^{-E(x)} / Z$, and asks when that works.
#
# **You need** NumPy and a little probability. **You will** say what a density must satisfy, turn functions into densities on a
# line, in the
# plane and on a finite set, and decide whether a network *can* be the energy of one. Running time: a few seconds.
#
# > **A question first.** A freshly initialised network with two inputs and one output is a smooth function on the plane. Out of a
# > hundred
# > such networks, how many are energies of a density on the whole plane, that is, how many have a finite $Z$? Write down your guess
# > before you read on; the answer comes with a proof in section 6.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DATA, EXACT, MODEL, OTHER, check, show
from tinyebm import ops, plots

guess = ...  # how many in a hundred?

# %% [markdown]
# ## 1. Three questions to one data set
#
# Here are two half moons. One can ask them three different questions.
#
# * *Classification*: given a point, which moon is it from? The answer is $p(y \mid x)$.
# * *Regression*: given the first coordinate, what is the second, on average? The answer is a function of $x_1$.
# * *Density estimation*: where do points lie at all? The answer is $p(x)$.
#
# The first two never ask whether the point they are given is a likely one. The third asks nothing else.

# %%
moons = te.datasets.load("two_moons")  # a population whose density is known
x = moons.sample(600, np.random.default_rng(0))
y = moons.mode(x)  # which moon, 0 or 1


def loss(theta):
    """Logistic regression: the mean negative log-probability of the labels."""
    logit = x @ theta["w"] + theta["b"]
    return ops.mean(ops.softplus(logit) - y * logit)


theta = {"w": np.zeros(2), "b": np.array(0.0)}
for _ in range(300):
    slope = te.grad(loss)(theta)
    theta = {name: theta[name] - slope[name] for name in theta}

far = np.array([[50.0, -50.0]])
certainty = 1 / (1 + np.exp(-(far @ theta["w"] + theta["b"]).item()))
print(f"at (50, -50) the classifier says: moon 1 with probability {certainty:.6f}")
print(f"at (50, -50) the density says: log p = {moons.log_prob(far).item():.0f}, no data come from there")
assert certainty > 0.999 and moons.log_prob(far).item() < -1000

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.8), sharey=True)
window = [(-4.5, 4.5), (-3.5, 3.5)]
t1, t2 = np.linspace(*window[0], 91), np.linspace(*window[1], 71)
plane = np.stack(np.meshgrid(t1, t2), axis=-1)
axes[0].contourf(t1, t2, 1 / (1 + np.exp(-(plane @ theta["w"] + theta["b"]))), 10)
inside = (t1 > x[:, 0].min()) & (t1 < x[:, 0].max())
axes[1].plot(t1[inside], np.polyval(np.polyfit(*x.T, 5), t1[inside]), color=MODEL)
plots.density(moons, axes[2], window, resolution=90, interpolation="nearest")
for ax, title in zip(axes, ("which moon? p(y | x)", "what is x₂? E[x₂ | x₁]", "where are data? p(x)"), strict=True):
    plots.data(x[::3], ax, window, color="white" if ax is not axes[1] else DATA)
    ax.set(title=title, xlabel="x₁")
axes[0].set_ylabel("x₂")
show(figure, "Figure 1.1: three questions to the same points: the class, the mean of x₂, the density.",
     alt="Left, the plane cut by a straight boundary between two certain halves. Middle, a wavy regression line through two "
         "half moons. Right, a density that is bright on the two moons and dark everywhere else.")

# %% [markdown]
# ## 2. Two rules
#
# A function $p$ is a density if
#
# 1. $p(x) \ge 0$ everywhere, and
# 2. $\int p(x)\,dx = 1$.
#
# Rule 2 is what makes density estimation hard: raising $p$ in one place lowers it somewhere else. Neither rule follows from the
# other:
# $\tfrac12 + 2x$ integrates to 1 over $[-1, 1]$, and is negative on the left.
#
# The exponential gives rule 1 for free, whatever the sign of $E$. Dividing by $Z = \int e^{-E(x)}\,dx$ gives rule 2. By hand:

# %%
def energy(t):
    return t**4 / 4 - t**2 / 2


t = np.linspace(-6, 6, 2001)
step = t[1] - t[0]
unnormalised = np.exp(-energy(t))
Z = unnormalised.sum() * step  # the trapezoidal rule: at both ends nothing is left
p = unnormalised / Z

print(f"Z = {Z:.10f}")
assert (p >= 0).all() and abs(p.sum() * step - 1) < 1e-12

# %% [markdown]
# And by the package, which says how far off it may be. An energy is a function of parameters $\theta$ and of rows of $x$; a
# `Density` is an
# energy, its parameters, and the space that $x$ lives in.

# %%
quartic = te.Density(te.Quartic(), {"a": np.array(-0.5), "b": np.array(0.25)}, te.Reals(1))
log_z = te.log_partition(quartic)
print(log_z)
assert np.allclose(np.log(Z), log_z) and np.allclose(p, np.exp(te.log_prob(quartic, t[:, None])))

# %%
figure, axes = plt.subplots(3, 1, figsize=(6, 4.6), sharex=True)
near = np.abs(t) < 3
axes[0].plot(t[near], energy(t[near]), color=BLACK)
axes[1].plot(t[near], unnormalised[near], color=OTHER)
axes[2].plot(t[near], p[near], color=MODEL)
axes[2].fill_between(t[near], p[near], color=MODEL, alpha=0.3)
axes[2].text(0, 0.1, "area 1", ha="center")
axes[1].text(0, 0.3, f"area Z = {Z:.4f}", ha="center")
for ax, label in zip(axes, ("E(x)", "exp(−E(x))", "p(x)"), strict=True):
    ax.set(ylabel=label)
axes[1].set_ylim(0)
axes[2].set(xlabel="x", ylim=(0, None))
show(figure, "Figure 1.2: from an energy (top) to something positive (middle) to a density (bottom).",
     alt="Three curves over x. Top: an energy with two valleys at minus one and one. Middle: its negative exponential, with two "
         "peaks there. Bottom: the same divided by its area, shaded, with area one.")

# %% [markdown]
# > **About signs.** Some courses model $f = -E$ and speak of an energy all the same: there the *highest* value is the most likely.
# > Whenever you
# > read code, look for the sign in front of the network first. Here it is always $p = e^{-E}/Z$.
#
# **Exercise 1.1.** Compute $Z$ of $E(x) = x^4/4 - x^2/2$ on a grid of your own choice, to eight digits. (There is a formula with
# Bessel
# functions, and the check uses it. You need none.)

# %% ex="1.1"
my_Z = ...

check("1.1", my_Z)

# %% [markdown]
# ## 3. An integral, or a sum
#
# On a finite set the integral is a sum, and *any* list of numbers is an energy: nothing can diverge. The package makes no
# difference
# between the two; only the space is another.

# %%
rng = np.random.default_rng(1)
table = te.Density(te.TabularEnergy(60), {"energy": rng.standard_normal(60)}, te.Cells(60))
by_hand = np.log(np.exp(-table.theta["energy"]).sum())
print("sum:     ", te.log_partition(table))

net = te.MLP((1, 32, 32, 1), confinement=0.1)
curve = te.Density(net, net.init(rng), te.Reals(1))
print("integral:", te.log_partition(curve))

assert np.allclose(by_hand, te.log_partition(table))
assert abs(te.probabilities(table).sum() - 1) < 1e-12

# %% [markdown]
# ## 4. Freedom
#
# What may an energy look like? Like anything that grows fast enough. A network, a formula, a picture: after $e^{-\cdot}$ and a
# division it is a
# density. That freedom is the point of energy-based models. Its price is $Z$, and the next notebook pays it.

# %%
def smiley(theta, x):
    """A face, drawn in energy: low on the outline, the eyes and the mouth."""
    r = ops.sqrt(ops.sum(x * x, axis=1) + 1e-9)
    outline = 8 * ops.square(r - 2.5)
    eyes = [6 * ((x[:, 0] - side) ** 2 + (x[:, 1] - 0.8) ** 2) for side in (-0.9, 0.9)]
    mouth = 8 * ops.square(r - 1.4) + 6 * ops.softplus(3 * (x[:, 1] + 0.3))
    parts = ops.concatenate([ops.reshape(-e, (1, -1)) for e in (outline, *eyes, mouth)])
    return -ops.logsumexp(parts, axis=0)


net = te.MLP((2, 64, 64, 1), activation="tanh")
gallery = {
    "a network": (net, [{name: 3 * rng.standard_normal(leaf.shape) / len(leaf) ** 0.5 for name, leaf in layer.items()}
                        for layer in net.init(rng)]),
    "a ring": (te.Ring(), te.Ring().init(rng)),
    "a banana": (te.Banana(), te.Banana().init(rng)),
    "waves": (lambda theta, x: 2 * ops.sin(3 * x[:, 0]) * ops.cos(2 * x[:, 1]), {}),
    "|x| + |y|": (lambda theta, x: 2 * ops.sum(ops.abs(x), axis=1), {}),
    "a face": (smiley, {}),
}
figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.6))
for ax, (name, (E, parameters)) in zip(axes.flat, gallery.items(), strict=True):
    wild = te.Density(E, parameters, te.Box(-4, 4, 2))
    plots.density(wild, ax, [(-4, 4), (-4, 4)], resolution=80, interpolation="nearest")
    ax.set(title=name, xticks=[], yticks=[], aspect="equal")
show(figure, "Figure 1.3: six energies in the box [−4, 4]², as densities.",
     alt="Six square pictures of densities: blobs of a random network, a ring, a bent banana, a chequered pattern of waves, a "
         "diamond-shaped peak, and a smiling face.")

# %% [markdown]
# ## 5. What an energy may forget
#
# Adding a constant to $E$ multiplies $e^{-E}$ and $Z$ alike: $p$ stays what it is. So an energy at a single point means nothing;
# only *differences*
# of energies do. A *temperature* $T$, in $e^{-E/T}$, does matter: it stretches differences.
#
# **Exercise 1.2.** Adding 5 to an energy everywhere: by how much does $\log Z$ change?

# %% ex="1.2"
change_of_log_z = ...

check("1.2", change_of_log_z)

# %%
well = te.DoubleWell()  # E = h (x² - 1)²: two valleys and a barrier of h nats between them
figure, ax = plt.subplots(figsize=(7.5, 2.8))
t = np.linspace(-2.2, 2.2, 400)
for T, color, dash in ((0.5, MODEL, "-"), (1.0, DATA, "--"), (4.0, EXACT, "-.")):
    warm = te.Density(well, {"barrier": np.array(2.0 / T)}, te.Reals(1))
    ax.plot(t, np.exp(te.log_prob(warm, t[:, None])), dash, color=color, label=f"T = {T}, entropy {te.entropy(warm):.2f} nats")
ax.set(xlabel="x", ylabel="p(x)", ylim=(0, None))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
show(figure, "Figure 1.4: one energy at three temperatures. Heat spreads the mass.",
     alt="Three densities with peaks at minus one and one: sharp ones when cold, broad ones that run into each other when hot.")

# %% [markdown]
# **Exercise 1.3.** "Twice the temperature, twice the entropy": is that so? For $E(x) = x^2/2$ on the line, how many nats of
# entropy does a
# doubling of $T$ add?

# %% ex="1.3"
added_entropy = ...

check("1.3", added_entropy)

# %% [markdown]
# ## 6. When Z is infinite
#
# On a whole plane $e^{-E}$ must fade away in *every* direction. Does a network do that? Far out, along a ray $x = tu$, biases do
# not matter any
# more, and each activation of SiLU, softplus or ReLU kind is a straight line: $E(tu)/t$ tends to the value at $u$ of the network
# *without biases and
# with ReLU*,
#
# $$E_\infty(u) = W_L^\top\, \mathrm{relu}(\dots\, \mathrm{relu}(W_1^\top u)).$$
#
# This is the *recession function*. If it is positive for all directions $u$, the energy grows at least like a cone, and $Z <
# \infty$. If it is
# negative for one, $e^{-E}$ *grows* along that ray, and $Z = \infty$.

# %%
net = te.MLP((2, 32, 32, 1))  # SiLU
theta = net.init(np.random.default_rng(6))
angle = np.linspace(0, 2 * np.pi, 721)
u = np.stack([np.cos(angle), np.sin(angle)], axis=1)

h = u
for layer in theta[:-1]:
    h = np.maximum(h @ layer["W"], 0)
recession = (h @ theta[-1]["W"])[:, 0]

t = 1e5
assert np.abs(net(theta, t * u) / t - recession).max() < 1e-4
least, direction = net.min_recession(theta)  # the package finds the least value exactly
print(f"least growth {least:.4f} per unit of length, in direction {direction.round(3)}")
assert least <= recession.min() + 1e-12 and recession.min() - least < 1e-3

try:
    te.log_partition(te.Density(net, theta, te.Reals(2)))
except te.DivergentPartitionError as error:
    print("refused:", error)

# %% [markdown]
# **The surprise.** Now count. Of 400 freshly drawn networks, how many have a direction in which the energy falls for ever?

# %%
for sizes, expected in {(2, 32, 32, 1): 0.9025, (2, 128, 128, 1): 0.905, (2, 32, 1): 0.92}.items():
    candidate = te.MLP(sizes)
    falls = [candidate.min_recession(candidate.init(np.random.default_rng(seed)))[0] <= 1e-12 for seed in range(400)]
    print(f"{'-'.join(map(str, sizes)):>11}: Z = ∞ for {np.mean(falls):.2%}")
    assert abs(np.mean(falls) - expected) <= 0.005

print("your guess was", guess if guess is not ... else "not written down")

# %% [markdown]
# Nine in ten! A network at its start is *not* the energy of a density on the plane. Two things help. Training by the exact
# likelihood repairs it, as
# notebook 04 does: a model that puts its mass where the data are raises the energy everywhere else. And one can guarantee it: add
# $\tfrac c2 |x|^2$, which beats every cone. In the package that is `confinement=c`. (A box has no far away: there every energy
# will do.)

# %%
figure = plt.figure(figsize=(7.6, 3.4))
left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="polar")
t = np.linspace(-50, 50, 81)
plane = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
picture = left.contourf(t, t, net(theta, plane).reshape(81, 81), 15, cmap="cividis_r")
figure.colorbar(picture, ax=left, label="E(x)")
left.set(xlabel="x₁", ylabel="x₂", title="a random network, from afar")
right.plot(angle, recession, color=BLACK)
right.plot(angle, 0 * angle, ":", color=BLACK)
right.fill_between(angle, recession, 0, where=recession < 0, color=MODEL, alpha=0.4)
right.set(title="growth per unit of length", yticks=[-0.5, 0, 0.5], ylim=(-1.0, 0.8))
show(figure, "Figure 1.5: an energy seen from afar, and its growth. Inside of the dotted circle, at zero, it falls for ever.",
     alt="Left, an energy over a large square: a landscape of flat wedges, some of which fall outwards. Right, a polar plot of the "
         "growth in every direction; a wide sector lies below zero and is shaded.")

# %% [markdown]
# **Exercise 1.4.** Write `least_growth(weights)` for a network with two inputs: given its weight matrices `[W1, ..., WL]`, the
# least value of
# $E_\infty$ over all directions, to three digits. <details><summary>Hint</summary>A fine grid of angles will do.</details>

# %% ex="1.4"
least_growth = ...

check("1.4", least_growth)

# %% [markdown]
# ## What broke, and why
#
# * *Z was infinite.* Nothing in the network looks wrong, training code would run, and samples might even look fine for a while. The
#   question must be asked of the *space* and the energy together. In a box, on states, or with a confinement, it does not arise.
# * *The classifier was certain far from all data.* It was never asked whether $x$ is likely. That is what a density is for.
#
# ## Summary
#
# A density is non-negative and integrates to one. Any energy gives one by $e^{-E}/Z$, if $Z$ is finite: an integral on a
# continuous space, a sum on a
# discrete one. Constants in the energy mean nothing, temperature does. LeCun, Chopra, Hadsell, Ranzato & Huang (2006, *A tutorial
# on energy-based
# learning*) tell the wider story, in which energies need not be normalised at all. Next, [02](02_the_price_of_Z.ipynb): why not
# just compute $Z$?
