# %% [markdown]
# # 04 What does learning do to a landscape?
#
# An energy with parameters $\theta$ is a family of densities,
# $p_\theta = e^{-E_\theta} / Z_\theta$. Learning looks for the parameters that make the data most
# likely. Here nothing is sampled from the *model*: $Z$, and averages under $p_\theta$, are
# computed.
#
# **You need** notebooks 01 to 03. **You will** derive the gradient of the likelihood and check it,
# train energies in one and two dimensions without a sampler, see what each of that gradient's two
# terms is for, and watch a model memorise its data. Running time: about twenty seconds.
#
# > **A question first.** "Make the data likely: lower their energy." Suppose we do just that, and
# > minimise $\mathbb{E}_{\text{data}}[E_\theta]$ by gradient descent. The unnormalised likelihood
# > $e^{-E}$ of the data rises and rises. And the true likelihood? Does it rise too, stay, or fall?

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
# The *negative log-likelihood*, NLL, of data is the mean of
# $-\log p_\theta(x) = E_\theta(x) + \log Z_\theta$. Its gradient needs that of $\log Z_\theta$.
# With the derivative taken inside the integral,
#
# $$\nabla_\theta \log Z = \frac{1}{Z} \int \nabla_\theta\, e^{-E(x)}\,dx
# = -\int \nabla_\theta E(x)\, \frac{e^{-E(x)}}{Z}\,dx = -\mathbb{E}_{p_\theta}[\nabla_\theta E],$$
#
# and therefore
#
# $$\nabla_\theta\, \mathrm{NLL} = \mathbb{E}_{\text{data}}[\nabla_\theta E_\theta]
# - \mathbb{E}_{p_\theta}[\nabla_\theta E_\theta].$$
#
# Descent on it *lowers* the energy where the data are and *raises* it where the model's own mass
# is. Some texts maximise the likelihood, or model $-E$, and write the opposite signs. Whatever the
# signs, remember: *down at the data, up at the model*.
#
# By hand, on a grid: the mean of $\nabla_\theta E$ under a distribution is the gradient of the mean
# energy, with the masses of the nodes held fixed.

# %%
population = te.datasets.load("bimodal")  # 0.65 N(-1.5, 0.5²) + 0.35 N(1.5, 0.4²)
space = te.Box(-8, 8, 1)
nodes, log_w = space.atoms(801)  # nodes and the logarithms of their weights
data_mass = np.exp(population.log_prob(nodes) + log_w)

net = te.MLP((1, 32, 32, 1), gain=2**0.5)  # initial weights of He et al. (2015)
start = net.init(np.random.default_rng(0))


def model_mass(theta):
    """The model's mass at every node: e^{-E} times the weight, over their sum, which is Z."""
    u = log_w - net(theta, nodes)
    mass = np.exp(u - u.max())
    return mass / mass.sum()


def mean_gradient(theta, mass):
    """The sum over the nodes of mass · ∇_θ E, nested like theta."""
    return te.grad(lambda theta: ops.sum(mass * net(theta, nodes)))(theta)


by_hand = mean_gradient(start, data_mass - model_mass(start))
by_package = te.nll_gradient(te.Density(net, start, space), population)
for a, b in zip(by_hand, by_package, strict=True):
    assert np.allclose(a["W"], b["W"], atol=1e-7) and np.allclose(a["b"], b["b"], atol=1e-7)

# %% [markdown]
# Is the derivation right? Compare it with finite differences of the NLL, which is computed here,
# not estimated.

# %%
def exact_nll(theta):
    return float(te.nll(te.Density(net, theta, space), population, rtol=1e-11))


def shifted(theta, layer, where, h):
    """theta with h added to one weight."""
    W = theta[layer]["W"].copy()
    W[where] += h
    return [part | {"W": W} if i == layer else part for i, part in enumerate(theta)]


h, rng, pairs = 1e-4, np.random.default_rng(1), []
for layer in range(3):
    for _ in range(8):  # eight random weights of each layer
        where = tuple(rng.integers(start[layer]["W"].shape))
        up, down = (exact_nll(shifted(start, layer, where, step)) for step in (h, -h))
        pairs.append((by_package[layer]["W"][where], (up - down) / (2 * h)))
formula, difference = np.array(pairs).T
gap = np.abs(formula - difference).max()
print(f"24 weights: the formula and the differences agree to {gap:.0e}")
assert gap < 1e-5

# %%
figure, ax = plt.subplots(figsize=(3.8, 3.4))
ax.plot(formula, difference, "o", color=MODEL)
ax.axline((0, 0), slope=1, color=BLACK, linestyle=":")
ax.set(xlabel=r"$\mathbb{E}_{\mathrm{data}}[\nabla E] - \mathbb{E}_p[\nabla E]$",
       ylabel="difference quotient of the NLL")
show(figure, "Figure 4.1: the two-term gradient of 24 weights against differences of the exact "
             "NLL.",
     alt="A scatter of points that lie on the diagonal: gradients by the formula agree with "
         "difference quotients.")

# %% [markdown]
# **Exercise 4.1.** For $E(x) = (x - m)^2 / 2$ write `slope(m, x)`: the derivative of the NLL with
# respect to $m$, one number, for a one-dimensional array `x` of data. Which of the two terms is
# zero? For which $m$ is the whole derivative zero?

# %% ex="4.1"
slope = ...

check("4.1", slope)

# %% [markdown]
# ## 2. A tug of war
#
# How far is the model from the data? When the data are a whole population, with a density
# $p_{\text{data}}$, the NLL has two parts,
#
# $$\mathrm{NLL} = H + \mathrm{KL}(\text{data} \,\|\, p_\theta), \qquad
# H = -\mathbb{E}_{\text{data}}[\log p_{\text{data}}], \qquad
# \mathrm{KL} = \mathbb{E}_{\text{data}}[\log p_{\text{data}} - \log p_\theta].$$
#
# The first is the *entropy* of the data, which nothing can change. The second is the
# *Kullback–Leibler divergence*; it is never negative, and zero only if the two distributions agree.
#
# In one dimension we can watch it fall. If the energy were free at every $x$, the derivative of the
# NLL with respect to $E(x)$ would be $p_{\text{data}}(x) - p_\theta(x)$: the data pull the energy
# down, the model pushes it up, and where the two densities agree nothing moves. Descent goes
# against the derivative, so the picture shows $p_\theta - p_{\text{data}}$, the direction in which
# it would move $E$. (We use *Adam*, Kingma & Ba 2015: gradient descent with momentum, and a step
# size of its own for each parameter.)

# %%
def train(steps, push_up=True):
    """Adam on the exact gradient, or on its first term alone; theta after 0, 1, ... updates."""
    optimizer, theta = te.adam(5e-3), start
    state, path = optimizer.init(theta), [theta]
    for _ in range(steps):
        mass = data_mass - model_mass(theta) if push_up else data_mass
        theta, state = optimizer.update(mean_gradient(theta, mass), state, theta)
        path.append(theta)
    return [te.Density(net, theta, space) for theta in path]


both = train(600)

figure, axes = plt.subplots(2, 4, figsize=(7.8, 3.8), sharex=True, sharey="row")
t = np.linspace(-4, 4, 161)
truth = np.exp(population.log_prob(t[:, None]))
for (above, below), update in zip(axes.T, (0, 20, 100, 600), strict=True):
    model = np.exp(te.log_prob(both[update], t[:, None]))
    above.plot(t, truth, color=DATA, label="data")
    above.plot(t, model, "--", color=MODEL, label="model")
    kl = te.kl(population, both[update], rtol=1e-6).value
    above.set(title=f"{update} updates\nKL {kl:.3g}")
    push = model - truth
    assert update or push[50] < -0.4  # at x = -1.5 the untrained model has too little
    below.fill_between(t, push, 0, where=push < 0, color=DATA, alpha=0.6)
    below.fill_between(t, push, 0, where=push > 0, color=MODEL, alpha=0.6)
    below.set(xlabel="x", ylim=(-0.6, 0.5))
axes[0, 0].legend(fontsize=8)
axes[0, 0].set_ylabel("density")
axes[1, 0].set_ylabel("model − data")
show(figure, "Figure 4.2: a tug of war. Below, the model's density minus the data's: where it "
             "is negative (blue) the energy is pulled down, where it is positive (orange) it "
             "is pushed up. (At the start nearly all of the model is at the right wall, x = 8, "
             "outside the picture.)",
     alt="Four stages of training from left to right. The model's dashed curve comes to lie on "
         "the data's curve with its two peaks; the difference below, large at first, fades to "
         "nothing.")

# %% [markdown]
# ## 3. One term is not enough
#
# **The surprise.** Now leave the second term out, and only lower the energy of the data.

# %%
def followed(path):
    """Of every 20th model: the update, the mean energy of the data, log Z, and the exact KL."""
    rows = []
    for update in range(0, len(path), 20):
        p = path[update]
        mean_energy = data_mass @ net(p.theta, nodes)
        rows.append((update, mean_energy, te.log_partition(p).value,
                     te.kl(population, p, rtol=1e-5).value))
    return np.array(rows).T


one_term = train(200, push_up=False)
rows = {"one term": followed(one_term), "both terms": followed(both)}
for name, (update, mean_energy, log_z, kl) in rows.items():
    for i in (0, -1):
        nll = mean_energy[i] + log_z[i]
        print(f"{name:10} after {update[i]:3.0f}: mean energy of the data {mean_energy[i]:8.2f} "
              f"+ log Z {log_z[i]:8.2f} = NLL {nll:8.2f},  KL {kl[i]:.4f}")

_, energies, _, kl = rows["one term"]
assert abs(energies[0] - 0.25) < 0.01 and abs(energies[-1] + 4360) < 60 and 15_000 < kl[-1] < 18_000
_, energies, _, kl = rows["both terms"]
assert abs(kl[0] - 9.0) < 0.05 and kl[-1] < 0.0015 and abs(energies[-1] - 0.67) < 0.03
print("your guess:", guess if guess is not ... else "not written down", "| the answer: it falls")

# %% [markdown]
# The unnormalised likelihood grew by a factor of $e^{4360}$ per data point (in the geometric mean),
# while the true likelihood *collapsed*. Look at $\log Z$: lowering the energy at the data lowers it
# elsewhere too, and nothing stops it there. The network fell deepest at the wall of the box, where
# there are no data at all, and stayed highest in the midst of the data; $\log Z$ grew to 21 000.
#
# Another network or optimiser would not help. Subtract a constant $c$ from any energy: $e^{-E}$ at
# every data point grows by the factor $e^c$, as large as you like, and $p$ has not changed at all
# (notebook 01, section 5). So the unnormalised likelihood has no maximum, and its size says
# nothing. In the likelihood, $-\log Z$ falls by the same $c$ and cancels it: $Z$ is what makes low
# energy cost something.
#
# With both terms the mean energy of the data ended *higher* (0.67) than it began (0.25), while the
# model became right: the mean energy of the data, by itself, measures nothing.
#
# (A trap on the way: if you protect a logarithm as $\log(p_\theta + 10^{-300})$, this KL can never
# exceed about 690, however wrong the model is. Work with logarithms, as `te.kl` does.)

# %%
figure, axes = plt.subplots(2, 2, figsize=(7.8, 4.2), sharex="col")
titles = ("only down at the data", "down at the data, up at the model")
for (above, below), (update, mean_energy, _, kl), title in zip(axes.T, rows.values(), titles,
                                                              strict=True):
    above.plot(update, -mean_energy, "--", color=OTHER)
    above.set(title=title)
    below.semilogy(update, kl, color=MODEL)
    below.set(xlabel="updates")
axes[0, 0].set_ylabel("mean of −E\nover the data")
axes[1, 0].set_ylabel("KL(data‖model)\nin nats")
show(figure, "Figure 4.3: above, the unnormalised log-likelihood; below, how far the model "
             "really is from the data (lower is better).",
     alt="Left, trained by the first term alone: the unnormalised log-likelihood rises "
         "steeply, and so does the divergence, to more than sixteen thousand nats. Right, by "
         "both terms: the former dips, rises above one, and ends below where it began, while "
         "the divergence drops to one thousandth.")

# %%
landscape = net(one_term[200].theta, nodes)
lowest, highest = nodes[landscape.argmin(), 0], nodes[landscape.argmax(), 0]
print(f"after 200 updates of one term the energy is lowest at x = {lowest:.1f}, "
      f"and highest at x = {highest:.1f}")
assert lowest < -7.9 and -2.5 < highest < 2.3

figure, axes = plt.subplots(1, 2, figsize=(7.8, 2.9))
t = np.linspace(-8, 8, 321)[:, None]
for ax, path, title in zip(axes, (one_term, both), titles, strict=True):
    energies = {f"{update} updates": (t, net(path[update].theta, t)) for update in (0, 100, 200)}
    plots.curves(energies, ax, xlabel="x", ylabel="E(x)", log=False)
    ax.axvspan(-2.5, 2.3, color="0.9", zorder=0)
    ax.set(title=title)
show(figure, "Figure 4.4: the landscapes (grey: where the data are). Left, the energy falls "
             "everywhere, most at the wall, and least in the midst of the data.",
     alt="Left, three energies: a flat one at the start, and two that fall from the middle to "
         "both walls, the later one steeply, to minus twenty thousand at the left. Right, an "
         "energy that slopes down to the right at the start, then two with a valley at each of "
         "the peaks of the data, whose sides rise higher with training.")

# %% [markdown]
# **Exercise 4.2.** On a finite set the energies themselves are the parameters. Three states were
# seen in shares 0.5, 0.3 and 0.2. What are the energies at maximum likelihood, with the first set
# to 0? A list of three numbers, to three decimals.

# %% ex="4.2"
energies = ...

check("4.2", energies)

# %% [markdown]
# ## 4. The same in the plane
#
# Two moons, and a network with two hidden layers of 32 units. The model's term is exact: the
# package chooses the grid, and reports the error of what it computes. The data's term is the mean
# over 1000 fresh points at every update.

# %%
moons = te.datasets.load("two_moons")
plane = te.MLP((2, 32, 32, 1), confinement=0.5)


def learn(data, steps, **options):
    """Exact maximum likelihood with a learning rate that falls to zero over the second half."""
    def rate(step):
        return 0.02 * min(1.0, 2 - 2 * step / steps)

    return te.fit(plane, data, te.Reals(2), te.ExactLikelihood(rtol=1e-3), te.adam(rate),
                  steps=steps, batch_size=1000, progress=False, **options)


frames = {}
fitted = learn(moons, 300, log_every=10, callback=lambda step, p, _: frames.update({step: p}))
history = {step: (nll, kl) for step, nll, kl in
           zip(*(fitted.history[name] for name in ("step", "nll", "kl")), strict=True)}
for step in (10, 50, 100, 300):
    print(f"after {step:3} updates: NLL {history[step][0]:.3f}, KL {history[step][1]:.3f}")
assert history[10][1] > 0.5 and history[300][1] < 0.1

figure, axes = plt.subplots(1, 4, figsize=(7.8, 2.5), sharey=True)
for ax, step in zip(axes, (10, 50, 100, 300), strict=True):
    plots.density(frames[step], ax, [(-4, 4), (-3, 3)], resolution=70, interpolation="nearest")
    ax.set(title=f"{step} updates\nNLL {history[step][0]:.3f}", xlabel="x₁")
axes[0].set_ylabel("x₂")
show(figure, "Figure 4.5: exact maximum likelihood learns two moons. The NLL of the population "
             f"cannot fall below its entropy, {moons.entropy:.3f}.",
     alt="Four densities in the plane: first a blur, then a ring-like band, then two moons "
         "that become sharper; the negative log-likelihood above each falls.")

# %% [markdown]
# Nothing in the network knows of moons. The same one, from the same start, learns other shapes:

# %%
figure, axes = plt.subplots(1, 4, figsize=(7.8, 2.4))
for (left, right), name in zip(axes.reshape(2, 2), ("eight_gaussians", "pinwheel"), strict=True):
    other = te.datasets.load(name)
    p = learn(other, 200, exact=False).density
    window = plots.view(other)
    plots.data(other.sample(1000, np.random.default_rng(0)), left, window)
    plots.density(p, right, window, resolution=70, interpolation="nearest")
    left.set(title=name.replace("_", " "), xticks=[], yticks=[])
    kl = te.kl(other, p, rtol=1e-2).value
    right.set(title=f"KL {kl:.2f}", xticks=[], yticks=[])
    assert kl < 0.5
show(figure, "Figure 4.6: two other populations, points and learned densities, after 200 "
             "updates.",
     alt="Eight blobs on a circle and the density learned from them, which has eight bright "
         "spots; a pinwheel with five arms and its learned density, with the same five arms.")

# %% [markdown]
# Notebook 01 found that nine in ten untrained networks have $Z = \infty$ on the plane. Does
# training repair that? Here are four such networks, without confinement, trained in a box. The
# number is the least growth of the energy, the minimum of the recession function: $Z$ is finite if
# it is positive.

# %%
bare = te.MLP((2, 32, 32, 1))
for seed in (1, 2, 3, 4):
    begun = bare.init(np.random.default_rng(seed))
    boxed = te.fit(bare, moons, te.Box(-6, 6, 2), te.ExactLikelihood(rtol=1e-3), te.adam(0.01),
                   steps=150, batch_size=1000, theta=begun, exact=False, progress=False)
    before, after = (bare.min_recession(theta)[0] for theta in (begun, boxed.theta))
    print(f"start {seed}: least growth {before:5.2f} before, {after:.2f} after")
    assert before < 0 and after > 2

# %% [markdown]
# It does, in all four: where there are no data the energy was pushed up. (How steeply depends on
# the run: sharper data, more units and more updates give steeper walls.) But a box forces nothing
# beyond its walls; only a confinement guarantees it.
#
# **Exercise 4.3.** Later we can only *estimate* the second term, from samples. Take
# $E = 2x^4 - 4x^2$ (`te.Quartic()` with $a = -4$, $b = 2$). How many independent draws from $p$
# estimate $\mathbb{E}_p[x^2]$ with a standard error of 0.01? (Your answer may be off by 2 %.)

# %% ex="4.3"
draws_needed = ...

check("4.3", draws_needed)

# %% [markdown]
# ## 5. Overfitting
#
# With a whole population, more training helps. With few data it stops helping: the model memorises
# *them*. Here are sixty points of the moons, and the exact NLL on them and on the whole population.

# %%
few = moons.sample(60, np.random.default_rng(3))
learned = []


def look(step, p, _):
    learned.append((step, te.nll(p, few, rtol=1e-4).value, te.nll(p, moons, rtol=1e-4).value))


te.fit(plane, few, te.Reals(2), te.ExactLikelihood(rtol=1e-3), te.adam(0.02), steps=240,
       log_every=8, callback=look, exact=False, progress=False)
step, on_few, on_all = np.array(learned).T
best = on_all.argmin()
print(f"the population's NLL is lowest, {on_all[best]:.2f}, after {step[best]:.0f} updates; "
      f"at the end it is {on_all[-1]:.2f}")
scores = -moons.log_prob(few)
error = scores.std() / 60**0.5
print(f"the NLL of the 60 points ends at {on_few[-1]:.2f}; under the true density it is "
      f"{scores.mean():.2f}, and for 60 points drawn at random {moons.entropy:.2f} ± {error:.2f}")
assert step[best] < 160 and on_all[-1] > on_all[best] + 0.1
assert on_few[-1] < on_few[best] and on_few[-1] < moons.entropy - 3 * error

# %%
figure, ax = plt.subplots(figsize=(6.4, 2.9))
ax.plot(step, on_few, color=DATA, label="the 60 points")
ax.plot(step, on_all, "--", color=MODEL, label="the population")
ax.axhline(moons.entropy, color=EXACT, linestyle=":", label="entropy of the population")
ax.plot(step[best], on_all[best], "o", color=SAMPLES, label=f"best, after {step[best]:.0f} updates")
ax.set(xlabel="updates", ylabel="exact NLL, nats", ylim=(None, 4.0))
ax.legend()
show(figure, "Figure 4.7: the NLL of the training points goes on falling after that of the "
             "population has turned.",
     alt="Two falling curves that part: the one of the sixty points keeps falling below the "
         "entropy, the one of the population turns upwards; its lowest point is marked.")

# %% [markdown]
# How can the NLL of the sixty points fall below the entropy, when section 2 says that it is at
# least $H$? That holds for the mean over the whole population. A mean over sixty points has no such
# bound: a density with a narrow spike on each of them makes it as low as you like. That is
# overfitting at its extreme.
#
# In practice nobody has the population. Its NLL is estimated on *held-out* data, and training stops
# at the minimum: *early stopping*.
#
# ## What broke, and why
#
# * *The one-term loss* is unbounded below: subtracting a constant from $E$ lowers it and changes
#   nothing. $\log Z$ takes that gain away.
# * *The mean energy of the data* rose while the model became right. Energies can be compared within
#   one model, never between two.
# * *The NLL of the training points* went on falling while the population's rose: the model
#   memorised its 60 points, and rates them far higher than the true density does.
#
# ## Summary
#
# The gradient of the NLL is a difference of two means of $\nabla_\theta E$: over the data, and over
# the model. In few dimensions both are computed. In high dimension only the second is hard: the
# rest of this course estimates it from samples, and compares each substitute with the exact answer
# computed here. The rule is that of Boltzmann machines (Ackley, Hinton & Sejnowski
# [1985](https://doi.org/10.1207/s15516709cog0901_7), Cognitive Science 9:147), of exponential
# families, and of every energy-based model trained by maximum likelihood since.
#
# Next, [05](05_langevin.ipynb): sampling.
