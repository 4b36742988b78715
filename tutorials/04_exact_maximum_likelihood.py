# %% [markdown]
# # 04 What does learning do to a landscape?
#
# An energy with parameters $\theta$ is a family of densities, $p_\theta = e^{-E_\theta} / Z_\theta$. Learning picks the member
# under which the
# data are likely. Here nothing is sampled and nothing is approximate: $Z$ is computed, and so is the gradient.
#
# **You need** notebooks 01 to 03. **You will** derive the gradient of the likelihood and check it, train energies in one and two
# dimensions
# without a sampler, see what each of its two terms is for, and watch a model learn its data by heart. Running time: ten seconds.
#
# > **A question first.** "Make the data likely: lower their energy." Suppose we do just that, minimise
# > $\mathbb{E}_{\text{data}}[E_\theta]$ by
# > gradient descent. The unnormalised likelihood $e^{-E}$ of the data rises and rises. And the true likelihood? Rises too, stays,
# > or falls?

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DATA, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import ops, plots

guess = ...  # "rises", "stays", "falls"

# %% [markdown]
# ## 1. Two terms
#
# The *negative log-likelihood*, NLL, of data is the mean of $-\log p_\theta(x) = E_\theta(x) + \log Z_\theta$. Its gradient needs
# that of
# $\log Z_\theta$:
#
# $$\nabla \log Z = \frac{1}{Z} \int \nabla e^{-E(x)}\,dx = -\int \nabla E(x)\, \frac{e^{-E(x)}}{Z}\,dx =
# -\mathbb{E}_{p_\theta}[\nabla E],$$
#
# and therefore
#
# $$\nabla\, \mathrm{NLL} = \mathbb{E}_{\text{data}}[\nabla E_\theta] - \mathbb{E}_{p_\theta}[\nabla E_\theta].$$
#
# Descent on it *lowers* the energy where the data are and *raises* it where the model's own mass is. Some texts maximise the
# likelihood, or
# model $-E$, and write the signs the other way round. The rule to remember has none: *down at the data, up at the model*.
#
# By hand, on a grid of 801 nodes:

# %%
population = te.datasets.load("bimodal")  # 0.65 N(-1.5, 0.5²) + 0.35 N(1.5, 0.4²)
space = te.Box(-8, 8, 1)
nodes, log_w = space.atoms(801)
data_mass = np.exp(population.log_prob(nodes) + log_w)
net = te.MLP((1, 32, 32, 1))


def start(seed):
    """The network's own start, with twice the variance in the hidden layers."""
    theta = net.init(np.random.default_rng(seed))
    return [{"W": layer["W"] * (2**0.5 if i < 2 else 1.0), "b": layer["b"]} for i, layer in enumerate(theta)]


def model_mass(theta):
    """The model's mass at every node: e^{-E} times the weight, over their sum, which is Z."""
    u = log_w - net(theta, nodes)
    mass = np.exp(u - u.max())
    return mass / mass.sum()


def mean_slope(theta, mass):
    """Σ mass ∇E, a tree like theta."""
    return te.grad(lambda theta: ops.sum(mass * net(theta, nodes)))(theta)


theta = start(0)
by_hand = mean_slope(theta, data_mass - model_mass(theta))
p = te.Density(net, theta, space)
by_package = te.nll_gradient(p, population)
for a, b in zip(by_hand, by_package, strict=True):
    assert np.allclose(a["W"], b["W"], atol=1e-7) and np.allclose(a["b"], b["b"], atol=1e-7)

# %% [markdown]
# Is the derivation right? Differences will tell. The NLL itself is exact, so its difference quotients are, too.

# %%
pairs = []
for layer, leaf, index in [(layer, "W", place) for i in range(8) for layer, place in enumerate([(0, i), (i, i), (i, 0)])]:
    values = []
    for h in (1e-4, -1e-4):
        moved = [dict(part) for part in theta]
        moved[layer][leaf] = moved[layer][leaf].copy()
        moved[layer][leaf][index] += h
        values.append(float(te.nll(te.Density(net, moved, space), population, rtol=1e-11)))
    pairs.append(((values[0] - values[1]) / 2e-4, by_package[layer][leaf][index]))
pairs = np.array(pairs)
print(f"largest gap of 24 difference quotients: {np.abs(pairs[:, 0] - pairs[:, 1]).max():.1e}")
assert np.abs(pairs[:, 0] - pairs[:, 1]).max() < 1e-5

figure, ax = plt.subplots(figsize=(3.6, 3.4))
ax.plot(pairs[:, 1], pairs[:, 0], "o", color=MODEL)
ends = [pairs.min(), pairs.max()]
ax.plot(ends, ends, color=BLACK, linestyle=":")
ax.set(xlabel="E_data[∇E] − E_p[∇E]", ylabel="difference quotient of the NLL")
show(figure, "Figure 4.1: 24 parameters: the two-term gradient against differences of the exact NLL.",
     alt="A scatter of points that lie on the diagonal: gradients by the formula agree with difference quotients.")

# %% [markdown]
# **Exercise 4.1.** For $E(x) = (x - m)^2 / 2$ write `slope(m, x)`: the gradient of the NLL by $m$, for an array `x` of data.

# %% ex="4.1"
slope = ...

check("4.1", slope)

# %% [markdown]
# ## 2. A tug of war
#
# In one dimension one can watch. The data pull the energy down with the force $p_{\text{data}}(x)$, the model pushes it up with
# $p_\theta(x)$.
# Where they balance nothing moves: the gradient vanishes when the two laws agree on every $\nabla E$.

# %%
def train(theta, steps, push_up=True):
    """Adam on the exact gradient, or on its first term alone; yields (update, theta)."""
    optimizer = te.adam(5e-3)
    state = optimizer.init(theta)
    for i in range(steps):
        yield i, theta
        mass = data_mass - model_mass(theta) if push_up else data_mass
        theta, state = optimizer.update(mean_slope(theta, mass), state, theta)
    yield steps, theta


film = dict(train(start(0), 600))
figure, axes = plt.subplots(2, 4, figsize=(7.8, 3.8), sharex=True, sharey="row")
t = np.linspace(-4, 4, 161)[:, None]
for column, update in zip(axes.T, (0, 20, 100, 600), strict=True):
    p = te.Density(net, film[update], space)
    truth, model = np.exp(population.log_prob(t)), np.exp(te.log_prob(p, t))
    column[0].plot(t, truth, color=DATA, label="data")
    column[0].plot(t, model, "--", color=MODEL, label="model")
    column[1].fill_between(t[:, 0], truth - model, 0, where=truth > model, color=DATA, alpha=0.6)
    column[1].fill_between(t[:, 0], truth - model, 0, where=truth < model, color=MODEL, alpha=0.6)
    column[0].set(title=f"{update} updates\nKL {float(te.kl(population, p, 1e-6)):.3g}")
    column[1].set(xlabel="x", ylim=(-0.5, 0.6))
axes[0, 0].legend(fontsize=8)
axes[0, 0].set_ylabel("density")
axes[1, 0].set_ylabel("pull on the energy")
show(figure, "Figure 4.2: a tug of war. Blue: the data pull the energy down; orange: the model's own mass pushes it up.",
     alt="Four stages of training from left to right. The model's dashed curve comes to lie on the data's curve with its two "
         "peaks; "
         "the signed force below it, large at first, fades to nothing.")

# %% [markdown]
# ## 3. One term is not enough
#
# **The surprise.** Now leave the second term out, and only lower the energy of the data.

# %%
def followed(push_up, steps):
    """What happens to the data's mean energy and to the exact KL(data‖model)."""
    rows = []
    for update, theta in train(start(0), steps, push_up):
        if update % 20 == 0:
            p = te.Density(net, theta, space)
            rows.append((update, float(data_mass @ net(theta, nodes)), float(te.kl(population, p, 1e-5))))
    return np.array(rows).T


one_term, both = followed(False, 200), followed(True, 600)
print(f"one term:  E_data[E] {one_term[1, 0]:.2f} -> {one_term[1, -1]:.0f},  KL {one_term[2, 0]:.2f} -> {one_term[2, -1]:.0f}")
print(f"both:      E_data[E] {both[1, 0]:.2f} -> {both[1, -1]:.2f},  KL {both[2, 0]:.2f} -> {both[2, -1]:.4f}")
assert abs(one_term[1, 0] - 0.25) < 0.01 and abs(one_term[1, -1] + 4360) < 60 and 15_000 < one_term[2, -1] < 18_000
assert abs(both[2, 0] - 9.0) < 0.05 and both[2, -1] < 0.002 and both[1, -1] > both[1, 0]
print("your guess was", guess if guess is not ... else "not written down", "- it falls")

# %% [markdown]
# The unnormalised likelihood of the data grew by a factor $e^{4360}$, while the true likelihood *collapsed*: the network found
# that the
# cheapest way to lower the energy at the data is to lower it everywhere, and more so elsewhere. So $e^{-E}$ alone cannot be
# maximised. With both
# terms the mean energy of the data even went *up*, while the model became right: an energy of data, by itself, measures nothing.
#
# (A trap on the way: whoever guards a logarithm by $\log(q + 10^{-300})$ sees this KL stop at 690, wherever it is. Work with
# logarithms, as
# `te.kl` does.)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.8, 3.0))
titles = ("only down at the data", "down at the data, up at the model")
for ax, (update, mean_energy, kl), title in zip(axes, (one_term, both), titles, strict=True):
    ax.plot(update, -mean_energy, "--", color=OTHER)
    ax.set(xlabel="updates", title=title)
    ax.set_ylabel("−E_data[E] (dashed)", color=OTHER)
    twin = ax.twinx()
    twin.semilogy(update, kl, color=MODEL)
    twin.set_ylabel("KL(data‖model), nats", color=MODEL)
    twin.spines["right"].set_visible(True)
show(figure, "Figure 4.3: what looks like progress (dashed) and what is (solid, lower is better).",
     alt="Left, trained by the first term alone: the unnormalised log-likelihood rises steeply, and so does the KL divergence, to "
         "sixteen thousand nats. Right, by both terms: the former falls a little while the divergence drops to one thousandth.")

# %% [markdown]
# **Exercise 4.2.** On a finite set the energies themselves are the parameters. Three states were seen in shares 0.5, 0.3 and 0.2.
# What are
# the energies at maximum likelihood, with the first set to 0? An array of three numbers.

# %% ex="4.2"
energies = ...

check("4.2", energies)

# %% [markdown]
# ## 4. The same in the plane
#
# Two moons, a network of 32 + 32 units, and the exact gradient at every update: the package chooses the nodes, and knows the error.

# %%
moons = te.datasets.load("two_moons")
plane = te.MLP((2, 32, 32, 1), confinement=0.5)
frames = {}
rate = lambda i: 0.02 * min(1.0, 2 - i / 150)  # falls to zero over the second half
fitted = te.fit(plane, moons, te.Reals(2), te.ExactLikelihood(rtol=1e-3), te.adam(rate), steps=300, batch_size=1000, log_every=10,
                progress=False, callback=lambda step, p, _: frames.update({step: p}))
gaps = dict(zip(fitted.history["step"], fitted.history["kl"], strict=True))
print({step: round(gaps[step], 3) for step in (0, 10, 50, 100, 300)}, "KL(data‖model), exact")
assert gaps[0] > 1 and gaps[300] < 0.1

figure, axes = plt.subplots(1, 4, figsize=(7.8, 2.5), sharey=True)
for ax, step in zip(axes, (10, 50, 100, 300), strict=True):
    plots.density(frames[step], ax, [(-4, 4), (-3, 3)], resolution=70, interpolation="nearest")
    ax.set(title=f"{step} updates\nNLL {fitted.history['nll'][fitted.history['step'].index(step)]:.3f}", xlabel="x₁")
axes[0].set_ylabel("x₂")
show(figure, f"Figure 4.4: exact maximum likelihood learns two moons. No NLL is below their entropy, {moons.entropy:.3f}.",
     alt="Four densities in the plane: first a blur, then a bent band, then two moons that become sharper; the negative "
         "log-likelihood above each falls.")

# %% [markdown]
# And notebook 01's question? This network has a confinement, so its $Z$ was finite from the start. One without, trained in a box,
# *becomes*
# the energy of a density on the whole plane: where there are no data the energy was pushed up, in every direction.

# %%
bare = te.MLP((2, 32, 32, 1))
begun = bare.init(np.random.default_rng(1))
boxed = te.fit(bare, moons, te.Box(-6, 6, 2), te.ExactLikelihood(rtol=1e-3), te.adam(0.01), steps=150, batch_size=1000, theta=begun,
               exact=False, progress=False)
print(f"least growth of the energy per unit of length: {bare.min_recession(begun)[0]:.2f} before, "
      f"{bare.min_recession(boxed.theta)[0]:.2f} after")
assert bare.min_recession(begun)[0] < 0 < bare.min_recession(boxed.theta)[0]

# %% [markdown]
# **Exercise 4.3.** Later we can only *sample* the second term. Of the density $e^{-2x^4 + 4x^2}/Z$ (`te.Quartic()` with a = -4, b
# = 2): how many
# independent exact draws give $\mathbb{E}_p[x^2]$ with a standard error of 0.01? To within 2 %.

# %% ex="4.3"
draws_needed = ...

check("4.3", draws_needed)

# %% [markdown]
# ## 5. By heart
#
# With a population, more training is better. With few data it is not: the model learns *them*. Sixty points of the moons, and the
# exact NLL on
# them and on the whole population.

# %%
few = moons.sample(60, np.random.default_rng(3))
learned = []
te.fit(plane, few, te.Reals(2), te.ExactLikelihood(rtol=1e-3), te.adam(0.02), steps=240, log_every=8, progress=False, exact=False,
       callback=lambda step, p, _: learned.append((step, float(te.nll(p, few, 1e-4)), float(te.nll(p, moons, 1e-4)))))
step, on_few, on_all = np.array(learned).T
best = int(step[on_all.argmin()])
print(f"NLL of the population: {on_all.min():.2f} after {best} updates, {on_all[-1]:.2f} at the end; of 60 points {on_few[-1]:.2f}")
assert best < 160 and on_all[-1] > on_all.min() + 0.1 and on_few[-1] < on_few[step == best]

figure, ax = plt.subplots(figsize=(6.2, 2.9))
ax.plot(step, on_few, color=DATA, label="the 60 points")
ax.plot(step, on_all, "--", color=MODEL, label="the population")
ax.axhline(moons.entropy, color=EXACT, linestyle=":", label="entropy of the population")
ax.plot(best, on_all.min(), "o", color=SAMPLES)
ax.set(xlabel="updates", ylabel="exact NLL, nats", ylim=(None, 4.0))
ax.legend()
show(figure, "Figure 4.5: the likelihood of the training points goes on rising after that of the population has turned.",
     alt="Two falling curves that part: the one of the sixty points keeps falling below the entropy, the one of the population "
         "turns "
         "upwards; its lowest point is marked.")

# %% [markdown]
# ## What broke, and why
#
# * *The one-term loss* fell to minus infinity: it has no minimum. What bounds a likelihood is $Z$.
# * *The energy of the data* rose while the model became right. Energies are comparable within one model, never between two.
# * *The training likelihood* went below the entropy of the population. No model can do that on fresh data: it is the mark of
# learning by heart.
#
# ## Summary
#
# The gradient of the NLL is a difference of two means of the same slope: at the data and at the model. In few dimensions both are
# computed. What is hard
# in high dimension is only the second: the rest of this course replaces it by samples, and this notebook's answer stands beside
# each replacement.
# The rule is that of Boltzmann machines (Ackley, Hinton & Sejnowski 1985), of exponential families, and of every energy-based
# model since. Next,
# [05](05_langevin.ipynb): sampling.
