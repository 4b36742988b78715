# %% [markdown]
# # 01 When is a function a density?
#
# Take any function $E(x)$ and call it an *energy*. Low energy means high probability. This notebook
# turns energies into probability densities, $p(x) = e^{-E(x)} / Z$, and asks when that works.
#
# **You need** NumPy and a little probability. **You will** say what a density must satisfy, turn
# functions into densities on a line, in the plane and on a finite set, and decide whether a network
# *can* be the energy of one. Running time: a few seconds.
#
# > **A question first.** A freshly initialised network with two inputs and one output is a smooth
# > function on the plane. Out of a hundred such networks, how many are energies of a density on the
# > whole plane, that is, how many have a finite $Z$? Write down your guess below before you read
# > on. Section 6 shows how to tell, and counts.
#
# (Every `assert` in this course is a claim of the text that the notebook checks while it runs. In
# an exercise replace the dots by your answer; where a function is asked for, replace the whole line
# `name = ...` by a `def name(...):`. The last line of the cell checks it.)

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DATA, EXACT, MODEL, OTHER, check, show
from tinyebm import ops, plots

guess = ...  # how many in a hundred have a finite Z?

# %% [markdown]
# ## 1. Three questions about one data set
#
# Here are two half moons. We can ask three questions about them.
#
# * *Classification*: given a point, which moon is it from? The answer is $p(y \mid x)$.
# * *Regression*: given the first coordinate, what is the second, on average? The answer is a
#   function of $x_1$.
# * *Density estimation*: where do points tend to lie? The answer is $p(x)$.
#
# The first two never ask whether the point they are given is a likely one. The third asks nothing
# else. In symbols: $p(y \mid x)$ sums to one over the two classes, separately at every $x$. Nothing
# ties one $x$ to another, so it can be certain where no data ever come. $p(x)$ has to share one
# unit of probability among *all* $x$.
#
# (`te.grad` below gives the gradient of a function; notebook 03 builds it. `te.ops` holds the
# functions that it can differentiate.)

# %%
moons = te.datasets.load("two_moons")  # a population whose density is known
x = moons.sample(600, np.random.default_rng(0))
y = moons.mode(x)  # which moon, 0 or 1


def loss(theta):
    """Logistic regression: the mean of -log p(y | x)."""
    logit = x @ theta["w"] + theta["b"]
    return ops.mean(ops.softplus(logit) - y * logit)  # softplus(z) = log(1 + e^z)


theta = {"w": np.zeros(2), "b": np.array(0.0)}
for _ in range(300):
    gradient = te.grad(loss)(theta)
    theta = {name: theta[name] - gradient[name] for name in theta}


def classify(x):
    """The probability of moon 1."""
    return 1 / (1 + np.exp(-(x @ theta["w"] + theta["b"])))


far = np.array([[50.0, -50.0]])
print("at (50, -50)")
print(f"  the classifier says: moon 1, with probability {classify(far).item():.6f}")
print(f"  the density says: log p = {moons.log_prob(far).item():.0f}, there are no data here")
assert classify(far).item() > 0.999 and moons.log_prob(far).item() < -1000

# %%
window = [(-4.5, 4.5), (-3.5, 3.5)]
t1, t2 = np.linspace(*window[0], 91), np.linspace(*window[1], 71)
plane = np.stack(np.meshgrid(t1, t2), axis=-1)
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.8), sharey=True)

axes[0].contourf(t1, t2, classify(plane), 10, alpha=0.5)
for moon, color in ((0, DATA), (1, MODEL)):
    plots.data(x[y == moon][::2], axes[0], window, color=color, s=6, alpha=1.0)

inside = (t1 > x[:, 0].min()) & (t1 < x[:, 0].max())
polynomial = np.polyfit(x[:, 0], x[:, 1], 5)
plots.data(x[::2], axes[1], window, color=DATA)
axes[1].plot(t1[inside], np.polyval(polynomial, t1[inside]), color=MODEL)

plots.density(moons, axes[2], window, resolution=90, interpolation="nearest")
titles = ("which moon? p(y | x)", "x₂ on average, given x₁", "where are data? p(x)")
for ax, title in zip(axes, titles, strict=True):
    ax.set(title=title, xlabel="x₁")
axes[0].set_ylabel("x₂")
show(figure, "Figure 1.1: three questions about the same points: the class, the mean of x₂, "
             "the density.",
     alt="Left, two half moons of points in two colours, and the plane cut by a straight "
         "boundary into two certain halves. Middle, a wavy regression line through the points. "
         "Right, a density that is bright on the two moons and dark everywhere else.")

# %% [markdown]
# ## 2. Two rules
#
# A function $p$ is a density if
#
# 1. $p(x) \ge 0$ everywhere, and
# 2. $\int p(x)\,dx = 1$.
#
# Neither rule follows from the other: on $[-1, 1]$ the function $\tfrac12 + 2x$ integrates to 1 and
# is negative on the left, while the constant 1 is positive and integrates to 2. Rule 2 is what
# makes density estimation hard: whoever raises $p$ in one place must lower it somewhere else.
#
# The exponential gives rule 1 for free, whatever the sign of $E$. Dividing by
# $Z = \int e^{-E(x)}\,dx$, the *partition function*, gives rule 2. By hand, for
# $E(x) = x^4/4 - x^2/2$:

# %%
def energy(t):
    return t**4 / 4 - t**2 / 2


t = np.linspace(-6, 6, 2001)
step = t[1] - t[0]
unnormalised = np.exp(-energy(t))
Z = unnormalised.sum() * step  # the trapezoidal rule: at both ends the integrand is zero
p = unnormalised / Z

print(f"Z = {Z:.10f}")
assert (p >= 0).all() and abs(p.sum() * step - 1) < 1e-12

signed = 0.5 + 2 * np.linspace(-1, 1, 2001)  # integrates to one, and is no density
assert abs(signed.mean() * 2 - 1) < 1e-12 and not (signed >= 0).all()

# %% [markdown]
# The package does the same, and also reports how large its error may be. An energy takes parameters
# $\theta$ and an array $x$ of shape (n, d), one point in each row, and returns n numbers (hence
# `t[:, None]` below). A `Density` is an energy, its parameters, and the space that $x$ lives in.
# `te.Reals(1)` is the real line.

# %%
quartic = te.Density(te.Quartic(), {"a": np.array(-0.5), "b": np.array(0.25)}, te.Reals(1))
log_z = te.log_partition(quartic)
print("log Z =", log_z)
assert np.allclose(np.log(Z), log_z)
assert np.allclose(p, np.exp(te.log_prob(quartic, t[:, None])))

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
show(figure, "Figure 1.2: from an energy (top) to something positive (middle) to a density "
             "(bottom).",
     alt="Three curves over x. Top: an energy with two valleys at minus one and one. Middle: "
         "its negative exponential, with two peaks there. Bottom: the same divided by its "
         "area, shaded, with area one.")

# %% [markdown]
# > **About signs.** Some courses let the network be $f = -E$ and still call it an energy: there the
# > *highest* value is the most likely. Whenever you read code, look for the sign in front of the
# > network first. With $f$ one writes $p = e^{f}/Z$ and $\nabla_x \log p = \nabla_x f$; a sampler
# > said to go for "higher energy" climbs $f$, that is, it goes to *lower* $E$. Here it is always
# > $p = e^{-E}/Z$.
#
# **Exercise 1.1.** Compute $Z$ of $E(x) = x^4$ on a grid of your own choice, to seven decimals.
# (There is a formula with the gamma function, and the check uses it. You do not need it.)

# %% ex="1.1"
my_Z = ...

check("1.1", my_Z)

# %% [markdown]
# ## 3. An integral, or a sum
#
# On a finite set the integral is a sum, and *any* list of numbers is an energy: nothing can
# diverge. The package treats both alike; only the space changes. (The network below has a
# `confinement`, a term $0.05\,x^2$, so that its energy grows; section 6 says why. Its activation is
# SiLU, $z / (1 + e^{-z})$, a smooth relative of $\mathrm{relu}(z) = \max(0, z)$.)

# %%
rng = np.random.default_rng(1)
table = te.Density(te.TabularEnergy(60), {"energy": rng.standard_normal(60)}, te.Cells(60))
by_hand = np.log(np.exp(-table.theta["energy"]).sum())
print("a sum over 60 cells:        log Z =", te.log_partition(table))

net = te.MLP((1, 32, 32, 1), confinement=0.1)  # 1 input, two hidden layers of 32, 1 output
curve = te.Density(net, net.init(rng), te.Reals(1))
print("an integral over the line:  log Z =", te.log_partition(curve))

assert np.allclose(by_hand, te.log_partition(table))
assert abs(te.probabilities(table).sum() - 1) < 1e-12

# %% [markdown]
# ## 4. Freedom
#
# What may an energy look like? In a box, like any bounded function; on the whole plane, like
# anything that grows fast enough. A network, a formula, a picture: after $e^{-\cdot}$ and a
# division it is a density. Models that are normalised by construction pay with their form: a
# Gaussian has one shape, a normalising flow must be invertible, an autoregressive model must choose
# an order. An energy only has to return one number. That freedom is the point of energy-based
# models.

# %%
def smiley(theta, x):
    """A face, drawn in energy: low on the outline, the eyes and the mouth."""
    r = ops.sqrt(ops.sum(x * x, axis=1) + 1e-9)
    outline = 8 * ops.square(r - 2.5)
    eyes = [6 * ((x[:, 0] - side) ** 2 + (x[:, 1] - 0.8) ** 2) for side in (-0.9, 0.9)]
    mouth = 8 * ops.square(r - 1.4) + 6 * ops.softplus(3 * (x[:, 1] + 0.3))
    parts = ops.concatenate([ops.reshape(-e, (1, -1)) for e in (outline, *eyes, mouth)])
    return -ops.logsumexp(parts, axis=0)  # a soft minimum of the parts


draw = np.random.default_rng(2)
bumpy = te.MLP((2, 64, 64, 1), activation="tanh", gain=3.0)  # three times the usual weights
weights = bumpy.init(draw)
for layer in weights[:-1]:
    layer["b"] = 2 * draw.standard_normal(64)
weights[-1]["W"] = 2 * weights[-1]["W"]
gallery = {
    "a network": (bumpy, weights),
    "a ring": (te.Ring(), te.Ring().init(rng)),
    "a banana": (te.Banana(), te.Banana().init(rng)),
    "waves": (lambda theta, x: 2 * ops.sin(3 * x[:, 0]) * ops.cos(2 * x[:, 1]), {}),
    "2 (|x₁| + |x₂|)": (lambda theta, x: 2 * ops.sum(ops.abs(x), axis=1), {}),
    "a face": (smiley, {}),
}
figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.6))
for ax, (name, (E, parameters)) in zip(axes.flat, gallery.items(), strict=True):
    wild = te.Density(E, parameters, te.Box(-4, 4, 2))
    plots.density(wild, ax, [(-4, 4), (-4, 4)], resolution=80, interpolation="nearest")
    ax.set(title=name, xticks=[], yticks=[], aspect="equal")
show(figure, "Figure 1.3: the densities of six energies in the box [−4, 4]².",
     alt="Six square pictures of densities: the patches of a random network, a ring, a bent "
         "banana, a chequered pattern of waves, a diamond-shaped peak, and a smiling face.")

# %% [markdown]
# ## 5. What does not matter, and what does
#
# Adding a constant to $E$ multiplies $e^{-E}$ and $Z$ alike: $p$ stays what it is. So the energy of
# a single point means nothing on its own; only *differences* of energies do. A *temperature* $T$,
# in $e^{-E/T}$, does matter: it divides every difference by $T$.
#
# How much it matters can be measured by the *entropy* $-\int p \log p$, which is large when mass is
# spread out. With natural logarithms its unit is the *nat*. (A density, unlike a probability, may
# exceed 1, and its entropy may be negative.)
#
# **Exercise 1.2.** Add 5 to an energy everywhere. By how much does $\log Z$ change?

# %% ex="1.2"
change_of_log_z = ...

check("1.2", change_of_log_z)

# %%
well = te.DoubleWell()  # E = h (x² - 1)²: two valleys and a barrier of h nats between them
t = np.linspace(-2.2, 2.2, 400)
entropies = []
figure, ax = plt.subplots(figsize=(7.5, 2.8))
for T, color, dash in ((0.5, MODEL, "-"), (1.0, DATA, "--"), (4.0, EXACT, "-.")):
    warm = te.Density(well, {"barrier": np.array(2.0 / T)}, te.Reals(1))  # h = 2, and E/T has h/T
    entropies.append(float(te.entropy(warm)))
    label = f"T = {T}, entropy {entropies[-1]:.2f} nats"
    ax.plot(t, np.exp(te.log_prob(warm, t[:, None])), dash, color=color, label=label)
assert entropies == sorted(entropies)
ax.set(xlabel="x", ylabel="p(x)", ylim=(0, None))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
show(figure, "Figure 1.4: one energy at three temperatures. Heat spreads the mass.",
     alt="Three densities with peaks at minus one and one: sharp ones when cold, broad ones "
         "that run into each other when hot.")

# %% [markdown]
# **Exercise 1.3.** "Twice the temperature, twice the entropy": is that so? For $E(x) = x^2/2$ on
# the line, how many nats of entropy does doubling $T$ add? (To three decimals.)

# %% ex="1.3"
added_entropy = ...

check("1.3", added_entropy)

# %% [markdown]
# ## 6. When Z is infinite
#
# On the whole plane $e^{-E}$ must fade away in *every* direction. Does a network do that? Far out
# along a ray, $x = tu$, biases no longer matter, and SiLU and softplus look like relu: $E(tu)/t$
# tends to the value at $u$ of the network *without biases and with relu*,
#
# $$E_\infty(u) = W_L^\top\, \mathrm{relu}(\dots\, \mathrm{relu}(W_1^\top u)).$$
#
# This is the *recession function*: the growth of the energy per unit of length. If it is positive
# in all directions $u$, the energy grows at least like a cone, and $Z < \infty$. If it is negative
# in one, then by continuity it is so in a whole sector around it: there $e^{-E}$ *grows* outwards,
# and $Z = \infty$. And if it is zero in one direction, $E$ stays bounded in a strip along that ray,
# and $Z = \infty$ again. So $Z$ is finite *if and only if* the least growth is positive. (A network
# with tanh is bounded, so its $Z$ on the plane is always infinite.)

# %%
def recession(theta, u):
    """Growth of the energy per unit of length, in the directions u (n, 2)."""
    h = u
    for layer in theta[:-1]:
        h = np.maximum(h @ layer["W"], 0)
    return (h @ theta[-1]["W"])[:, 0]


net = te.MLP((2, 32, 32, 1))  # SiLU
theta = net.init(np.random.default_rng(4))
angle = np.linspace(0, 2 * np.pi, 721)
u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
growth = recession(theta, u)

rng = np.random.default_rng(0)
biased = [{"W": layer["W"], "b": rng.standard_normal(len(layer["b"]))} for layer in theta]
t = 1e7
off = np.abs(net(biased, t * u) / t - growth).max()
print(f"E(tu) / t at t = 10^7, with random biases, is off by {off:.0e}")
assert off < 1e-6

least, direction = net.min_recession(theta)  # the package finds the least value exactly
print(f"least growth {least:.4f} per unit of length, in direction {direction.round(3)}")
assert least <= growth.min() + 1e-12 and growth.min() - least < 1e-3

try:
    te.log_partition(te.Density(net, theta, te.Reals(2)))
except te.DivergentPartitionError as error:
    print("refused:", error)

# %% [markdown]
# **The surprise.** Now count. Of 400 freshly drawn networks, how many have a finite $Z$?

# %%
found = {}
for sizes in ((2, 32, 32, 1), (2, 128, 128, 1), (2, 32, 1)):
    net_of = te.MLP(sizes)
    thetas = [net_of.init(np.random.default_rng(seed)) for seed in range(400)]
    infinite = np.mean([net_of.min_recession(theta)[0] <= 1e-12 for theta in thetas])
    falling = np.mean([recession(theta, u) < 0 for theta in thetas])
    found[sizes] = infinite
    name = "-".join(map(str, sizes))
    print(f"{name:>11}: Z is finite for {100 * (1 - infinite):.2f} in a hundred networks; "
          f"on average the energy falls in {falling:.0%} of the directions")

for sizes, expected in {(2, 32, 32, 1): 0.9025, (2, 128, 128, 1): 0.905, (2, 32, 1): 0.92}.items():
    assert abs(found[sizes] - expected) <= 0.005
print("your guess:", f"{guess} in a hundred" if guess is not ... else "not written down")

# %% [markdown]
# Eight to ten in a hundred! The last layer's weights are as often negative as positive, so the
# energy falls in about half of all directions, and a finite $Z$ needs it to rise in *all* of them.
# A network at its start is usually *not* the energy of a density on the plane.
#
# Two things help. Training by exact likelihood inside a box usually makes $Z$ finite, as four runs
# in notebook 04 show: a model that puts its mass where the data are has raised the energy
# everywhere else. And one can guarantee it: add $\tfrac c2 |x|^2$, which beats every cone. In the
# package that is `confinement=c`. (A box has no "far away": there any bounded energy will do.)

# %%
t = np.linspace(-50, 50, 81)
plane = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.2))
picture = left.contourf(t, t, net(theta, plane).reshape(81, 81), 15, cmap="cividis_r")
figure.colorbar(picture, ax=left, label="E(x)")
left.set(xlabel="x₁", ylabel="x₂", title="a random network, from afar")
right.plot(np.degrees(angle), growth, color=BLACK)
right.axhline(0, color=BLACK, linewidth=0.8)
right.fill_between(np.degrees(angle), growth, 0, where=growth < 0, color=MODEL, alpha=0.4)
right.set(xlabel="direction, degrees", xticks=range(0, 361, 90), title="growth per unit of length")
show(figure, "Figure 1.5: an energy seen from afar (bright is low), and its growth in every "
             "direction. Where the curve is below zero, the energy falls forever.",
     alt="Left, an energy over a large square: a landscape of flat wedges, some of which fall "
         "outwards. Right, the growth as a function of the direction: a curve that is above "
         "zero for a part of the circle and below it, shaded, for the rest.")

# %% [markdown]
# **Exercise 1.4.** Write `least_growth(weights)` for a network with two inputs: given its weight
# matrices `[W1, ..., WL]`, however many, the least value of $E_\infty$ over all directions, to
# within 0.002.
#
# <details><summary>Hint</summary>
#
# A fine grid of angles will do.
#
# </details>

# %% ex="1.4"
least_growth = ...

check("1.4", least_growth)

# %% [markdown]
# ## What broke, and why
#
# * *Z was infinite.* Nothing in the network looks wrong, training code would run, and samples might
#   even look fine for a while. The question must be asked of the *space* and the energy together.
#   In a box, on a finite set, or with a confinement, it does not arise.
# * *The classifier was certain far from all data.* It was never asked whether $x$ is likely. That
#   is what a density is for.
#
# ## Summary
#
# A density is non-negative and integrates to one. Any energy gives one by $e^{-E}/Z$, if $Z$ is
# finite: an integral on a continuous space, a sum on a discrete one. Constants in the energy do not
# matter; temperature does. LeCun, Chopra, Hadsell, Ranzato & Huang (2006, *A tutorial on
# energy-based learning*) tell the wider story, in which energies need not be normalised at all.
#
# All this freedom has a price, and it is $Z$. Next, [02](02_the_price_of_Z.ipynb): why not just
# compute it?
