# %% [markdown]
# # 06 What does CD-k really optimise?
#
# The exact gradient needs an average under the model (notebook 04). Contrastive divergence (Hinton
# 2002) replaces it: start a Markov chain *at the data*, let it take $k$ steps, and use the points
# where it ends. It is cheap and often works, but what it does is usually seen only through sampling
# noise. Here we compute it exactly, without any noise.
#
# **You need** notebooks 04 and 05. **You will** write CD, compute its exact expectation, meet three
# ways in which it goes wrong without any noise, and see how to give the package a kernel of your
# own. Running time: about ten seconds.
#
# > **A question first.** Suppose one step of a model's chain leaves the *data's* distribution as it
# > is, to a part in a thousand. CD-1 is satisfied: its gradient is almost zero. Is the model right,
# > to about a part in a thousand? Answer yes or no.

# %%
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import BLACK, DASHES, DATA, EXACT, MODEL, OTHER, SAMPLES, check, show
from tinyebm import ops, plots
from tinyebm.samplers.metropolis import Move

guess = ...  # "yes" or "no"

# %% [markdown]
# ## 1. The rule
#
# The gradient of the NLL (notebook 04) is
# $\mathbb{E}_{\text{data}}[\nabla_\theta E] - \mathbb{E}_{p_\theta}[\nabla_\theta E]$. *Contrastive
# divergence*, CD-$k$, keeps the first mean and replaces the second. It starts a chain *at every
# data point*, lets it take $k$ steps of a kernel that leaves the current model $p_\theta$ as it is
# (here MALA), and averages over the points where the chains end:
#
# $$\text{CD-}k = \mathbb{E}_{\text{data}}[\nabla_\theta E]
# - \mathbb{E}_{\text{data after } k \text{ steps}}[\nabla_\theta E].$$
#
# These end points are the *negatives*: where they are, the energy is pushed up.
#
# A note on names. Some courses (tutorial 8 of the UvA course is one) say "contrastive divergence"
# when the chains start elsewhere: in a buffer, which is *persistent* CD (PCD), or in noise, which
# is a *short run*. Both are in notebook 07. Here CD always starts at the data, as in Hinton (2002).
#
# By hand, and by the package, for a mixture of two Gaussians:

# %%
space = te.Box(-8, 8, 1)
mixture = te.GaussianMixtureEnergy(2, 1)


def two_modes(w, at=2.5, scale=0.7):
    """w N(-at, scale²) + (1 - w) N(at, scale²)."""
    theta = {"logits": np.log([w, 1 - w]), "mean": np.array([[-at], [at]]),
             "log_scale": np.log([scale, scale])}
    return te.Density(mixture, theta, space)


data = two_modes(0.7)
model, kernel = two_modes(0.5, at=2.0), te.MALA(0.125)
x = te.sample(data, 500, np.random.default_rng(0))

y = kernel.step(model, x, np.random.default_rng(1)).x
mean_energy = lambda theta, rows: ops.mean(mixture(theta, rows))
at_data, at_negatives = (te.grad(mean_energy)(model.theta, rows) for rows in (x, y))

found = te.ContrastiveDivergence(kernel, k=1).gradient(model, x, np.random.default_rng(1)).gradient
assert all(np.allclose(at_data[name] - at_negatives[name], found[name]) for name in found)

# %% [markdown]
# Now without noise. Instead of samples, push the data's whole distribution through $k$ steps
# (notebook 05). The result is the exact distribution of the negatives. The mean of
# $\nabla_\theta E$ under it gives CD-$k$ exactly; `te.exact_cd_gradient` computes this. The sampled
# rule scatters around this exact value, and the scatter shrinks like $1/\sqrt n$:

# %%
law = te.probabilities(data, 400)  # the data's distribution, on a grid
exact = te.exact_cd_gradient(model, law, kernel, 1)["mean"][0, 0]  # w.r.t. the left mode's mean
spread = {}
for n in (100, 10_000):
    draws = []
    for i in range(200):
        rows = te.sample(data, n, np.random.default_rng(2 * i))
        rng = np.random.default_rng(2 * i + 1)
        step = te.ContrastiveDivergence(kernel, 1).gradient(model, rows, rng)
        draws.append(step.gradient["mean"][0, 0])
    spread[n] = np.std(draws)
    print(f"n = {n:6}: mean of 200 gradients {np.mean(draws):.4f}, spread {spread[n]:.4f}; "
          f"exact {exact:.4f}")
    assert abs(np.mean(draws) - exact) < 5 * spread[n] / 200**0.5
assert 8 < spread[100] / spread[10_000] < 13

# %% [markdown]
# Why "contrastive divergence"? Hinton set out to lower the *difference of two divergences*,
#
# $$\mathrm{KL}(\text{data} \,\|\, p_\theta) - \mathrm{KL}(\text{data after } k \text{ steps}
# \,\|\, p_\theta).$$
#
# Its gradient has the two terms above and a third, which says that the chain itself changes with
# $\theta$. The third is hard to estimate and is left out. What is left is in general the gradient
# of *no* function (Sutskever & Tieleman 2010): strictly speaking, CD-$k$ optimises nothing. It is
# an update rule, and it vanishes when the model's distribution is the data's. Here the third term,
# too, can be computed:

# %%
neglected = te.neglected_term(model, law, kernel, 1)["mean"][0, 0]
likelihood = te.nll_gradient(model, data)["mean"][0, 0]
print(f"CD-1 {exact:.3f}, the term it neglects {neglected:.3f}; of the NLL {likelihood:.3f}")


def difference(shift):
    """KL(data‖p) - KL(data after a step‖p), with the left mode's mean moved."""
    mean = model.theta["mean"] + np.array([[shift], [0.0]])
    p = te.Density(mixture, model.theta | {"mean": mean}, space)
    q, after = te.probabilities(p, 400), kernel.push(law, p)
    return law @ np.log(law / q) - after @ np.log(after / q)


slope = (difference(1e-4) - difference(-1e-4)) / 2e-4
print(f"the slope of the difference, by finite differences: {slope:.3f}")
assert abs(slope - (exact + neglected)) < 1e-4 and abs(neglected / exact - 0.72) < 0.03

# %% [markdown]
# The gradient of the difference is the sum of the first two numbers: what is left out is nearly
# three quarters of what is kept. (And with it the sum is still well short of the gradient of the
# NLL.)
#
# ## 2. Blind
#
# **The first surprise.** Let only one number be learned: the weight $w$ of the left of two
# well-separated modes $N_L$ and $N_R$. In the data it is 0.7. With $p_w = w N_L + (1-w) N_R$ the
# energy is $-\log p_w$, and $\partial E/\partial w = -(N_L - N_R)/p_w$. Here is the derivative with
# respect to $w$ that each rule follows.

# %%
mixture_nodes = space.atoms(400)[0][:, 0]


def normal(x, mean, scale=0.7):
    return np.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))


left_mode, right_mode = normal(mixture_nodes, -2.5), normal(mixture_nodes, 2.5)
ks = (1, 10, 100, 1000, 10_000)


def by_weight(w, ks=ks):
    """The derivative of the NLL with respect to w, and a list: what CD-k follows, for every k."""
    q = two_modes(w)
    slope = -(left_mode - right_mode) / (w * left_mode + (1 - w) * right_mode)  # ∂E/∂w at the nodes
    P = te.transition_matrix(q, kernel, 400)
    exact = law @ slope - te.probabilities(q, 400) @ slope
    return exact, [law @ slope - law @ np.linalg.matrix_power(P, k) @ slope for k in ks]


exact, cd = by_weight(0.5)
gap = te.spectral_gap(two_modes(0.5), kernel, 400)
print(f"at w = 0.5: exact {exact:.3f}")
for k, value in zip(ks, cd, strict=True):
    print(f"  CD-{k:<5}: {value:8.1e}, {value / exact:.5f} of it; "
          f"1 - (1 - gap)^k = {1 - (1 - gap) ** k:.5f}")
at_truth = max(abs(by_weight(0.7)[0]), *map(abs, by_weight(0.7)[1]))
print(f"at w = 0.7: exact and CD are all below {at_truth:.0e}")

assert np.allclose(np.array(cd) / exact, 1 - (1 - gap) ** np.array(ks), rtol=0.05)
assert abs(exact + 0.80) < 0.005 and abs(cd[0] + 2.0e-4) < 1e-5 and abs(cd[2] + 0.019) < 5e-4
assert abs(cd[4] + 0.73) < 0.005 and at_truth < 2e-12

# %% [markdown]
# CD-1's resting place is right here: at the truth it vanishes, as the exact derivative does,
# because MALA leaves $p$ as it is. But elsewhere it is *two to four thousand times too small*. In
# one step hardly any probability crosses the middle, so CD-1 can hardly tell how the mass is shared
# between the modes. It sees within modes, and is blind between.
#
# Notebook 05's spectral gap predicts how blind: CD-$k$ sees a fraction of about
# $1 - (1 - \text{gap})^k$ of the exact gradient, with the gap of the model at hand.

# %%
gaps = {w: te.spectral_gap(two_modes(w), kernel, 400) for w in (0.1, 0.3, 0.5, 0.8)}
weights = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.66, 0.74, 0.8, 0.9, 0.95])
exact_w, cd_w = zip(*(by_weight(w) for w in weights), strict=True)
exact_w, cd_w = np.array(exact_w), np.array(cd_w)  # (12,), (12, 5)
print(f"exact / CD-1 from {min(exact_w / cd_w[:, 0]):.0f} to {max(exact_w / cd_w[:, 0]):.0f}")
assert 1500 < min(exact_w / cd_w[:, 0]) and max(exact_w / cd_w[:, 0]) < 4500

figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.4))
left.plot(weights, exact_w, color=BLACK, label="exact")
for i, (k, color) in enumerate(zip(ks, (MODEL, DATA, SAMPLES, EXACT, OTHER), strict=True)):
    left.plot(weights, cd_w[:, i], linestyle=DASHES[i + 1], color=color, label=f"CD-{k}")
    right.semilogy(weights, cd_w[:, i] / exact_w, linestyle=DASHES[i + 1], color=color)
    predicted = [1 - (1 - gap_w) ** k for gap_w in gaps.values()]
    right.plot(list(gaps), predicted, "o", color=BLACK, markersize=4)
left.axhline(0, color="0.7", linewidth=0.8)
left.set_yscale("symlog", linthresh=1e-4)
left.set(xlabel="weight w of the left mode", title="derivative with respect to w")
left.legend(fontsize=8, loc="upper left")
right.annotate("4000 times too small", (0.5, cd[0] / exact), (0.1, 8e-4), fontsize=9)
right.set(xlabel="weight w of the left mode", title="as a fraction of the exact one")
show(figure, "Figure 6.1: what each rule follows. All cross zero at the truth, 0.7, but CD-1's "
             "derivative is thousands of times smaller than the exact one. (Dots: the "
             "prediction from the spectral gap.)",
     alt="Left, six rising curves on a symmetric logarithmic axis that all cross zero at "
         "weight 0.7; those of CD with fewer steps are flatter by powers of ten. Right, their "
         "ratios to the exact one: nearly level lines, just below one for ten thousand steps, "
         "a fifth for a thousand, and down to a four-thousandth for one step, each through its "
         "predicted dots.")

# %% [markdown]
# **Exercise 6.1.** By what factor is the derivative of CD-10 smaller than the exact one at
# $w = 0.6$? Compute it, or predict it from the spectral gap at *this* $w$: the variable `gap` is
# the one at 0.5. (Your answer may be off by 1 %.)

# %% ex="6.1"
times_smaller = ...

check("6.1", times_smaller)

# %% [markdown]
# ## 3. Spurious modes, with no noise at all
#
# Now a table: 60 cells in a row, each with an energy of its own to be learned. A table can
# represent any distribution. The chain is Metropolis's: it proposes one of the two neighbours, and
# accepts with probability $\min(1, p(y)/p(x))$.
#
# The package has no such kernel, so we write one, with three methods. `step` moves samples and says
# what it did (a `Move`: the new states, what was accepted, and the log of the ratio). `operator`
# returns the function that moves probabilities by one step (its `grid` matters only in continuous
# spaces), and `push` applies it once.

# %%
def transition(energy):
    """The transition matrix of the chain between neighbouring cells."""
    n = len(energy)
    P, i = np.zeros((n, n)), np.arange(n - 1)
    P[i, i + 1] = 0.5 * np.minimum(1, np.exp(energy[:-1] - energy[1:]))
    P[i + 1, i] = 0.5 * np.minimum(1, np.exp(energy[1:] - energy[:-1]))
    return P + np.diag(1 - P.sum(axis=1))


@dataclass(frozen=True)
class Neighbour:
    """Propose the cell to the left or right; accept with probability min(1, p(y) / p(x))."""

    def step(self, p, x, rng):
        y = x + np.where(rng.random(x.shape) < 0.5, -1.0, 1.0)
        outside = ~p.space.contains(y)
        y[outside] = x[outside]  # there is no cell: stay
        log_ratio = p.energy(p.theta, x) - p.energy(p.theta, y)
        accepted = np.log(1 - rng.random(len(x))) < log_ratio
        return Move(np.where(accepted[:, None], y, x), accepted, log_ratio)

    def operator(self, p, grid):
        P = transition(p.theta["energy"])
        return lambda probabilities: probabilities @ P

    def push(self, probabilities, p):
        return self.operator(p, p.space.grid())(probabilities)


rough = te.Density(te.TabularEnergy(60), {"energy": np.random.default_rng(4).standard_normal(60)},
                   te.Cells(60))
P = transition(rough.theta["energy"])
assert np.allclose(te.probabilities(rough) @ P, te.probabilities(rough))  # it leaves p as it is

for start in (0, 14):  # and steps go where the matrix says
    x = np.full((20_000, 1), float(start))
    y = Neighbour().step(rough, x, np.random.default_rng(5)).x[:, 0].astype(int)
    shares = np.bincount(y, minlength=60) / len(x)
    error = np.sqrt(P[start] * (1 - P[start]) / len(x))
    print(f"from cell {start} to its right neighbour: {shares[start + 1]:.4f} of 20 000 steps, "
          f"{P[start, start + 1]:.4f} by the matrix")
    assert (np.abs(shares - P[start]) <= 5 * error + 1e-12).all()

# %% [markdown]
# In a table $\partial E(x)/\partial E_c$ is 1 if $x$ is cell $c$ and 0 otherwise, so the gradient
# of CD-$k$ is simply $p_{\text{data}} - p_{\text{data}} P^k$, and the exact gradient is
# $p_{\text{data}} - p_E$. Four thousand updates for each $k$, from a flat start:

# %%
cells = np.arange(60)


def bump(at):
    g = np.exp(-0.5 * ((cells - at) / 2.0) ** 2)
    return g / g.sum()


p_data = 0.7 * bump(14) + 0.3 * bump(30)


def probabilities(energy):
    """The table's distribution."""
    q = np.exp(energy.min() - energy)
    return q / q.sum()


def learn(k, updates=4000, rate=2.0):
    """The table's distribution after descent by exact CD-k, or by the likelihood if k is None."""
    energy = np.zeros(60)
    for _ in range(updates):
        if k is None:
            negatives = probabilities(energy)
        else:
            negatives = p_data @ np.linalg.matrix_power(transition(energy), k)
        energy = energy - rate * (p_data - negatives)
    return probabilities(energy)


def divergence(q):
    """KL(data‖q)."""
    return float(p_data @ np.log(p_data / q))


by_package = te.exact_cd_gradient(rough, p_data, Neighbour(), 3)["energy"]
assert np.allclose(by_package, p_data - p_data @ np.linalg.matrix_power(P, 3))

learned = {f"CD-{k}": learn(k) for k in (1, 10, 100, 1000)} | {"exact": learn(None)}
far, empty = cells > 40, p_data < 1e-4
for name, q in learned.items():
    print(f"{name:>8}: KL {divergence(q):.4f}, mass on cells 41 to 59: {q[far].sum():.4f}, "
          f"on all {empty.sum()} cells without data: {q[empty].sum():.4f}")
print(f"mass of the data on cells 41 to 59: {p_data[far].sum():.1e}")

expected = {"CD-1": (0.321, 0.169), "CD-10": (0.110, 0.080), "CD-100": (0.0193, 0.0145),
            "CD-1000": (0.0020, 0.0014), "exact": (0.0017, 0.0011)}
for name, (kl, mass) in expected.items():
    assert abs(divergence(learned[name]) / kl - 1) < 0.03
    assert abs(learned[name][far].sum() / mass - 1) < 0.05
assert 0.24 < learned["CD-1"][empty].sum() < 0.26

# %% [markdown]
# **The second surprise.** CD-1 leaves a quarter of all its mass on cells where there are no data to
# speak of, and two thirds of that lies to the right of cell 40. A chain that starts at a data point
# and takes one step hardly ever gets there, so almost nothing pushes the energy up: the mass is
# left over from the flat start. Probability where there are no data, in a region that the chains do
# not visit, is called a *spurious mode*. It needs neither sampling noise nor a badly chosen
# network. Here there is neither.
#
# It is slow, not stuck. Exact CD-1 stops only at the right table (its chain has no other stationary
# distribution), and with enough updates it creeps there:

# %%
slow = divergence(learn(1, updates=40_000))
print(f"CD-1 after ten times as many updates: KL {slow:.3f}")
assert abs(slow - 0.171) < 0.005

figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.2))
for (name, q), color, dash in zip(learned.items(), (MODEL, DATA, SAMPLES, EXACT, BLACK), DASHES,
                                  strict=False):
    left.semilogy(cells, q, linestyle=dash, color=color, label=name)
left.fill_between(cells, p_data, 1e-12, color="0.85", label="data")
left.set(xlabel="cell", title="probability", ylim=(1e-9, 1))
left.legend(fontsize=8, loc="lower right")
right.loglog((1, 10, 100, 1000), [divergence(q) for q in learned.values()][:-1], "o-", color=MODEL)
right.axhline(divergence(learned["exact"]), color=BLACK, linestyle=":")
right.text(1.2, divergence(learned["exact"]) * 1.1, "exact likelihood", fontsize=9)
right.set(xlabel="k", title="KL(data‖model) after 4000 updates")
show(figure, "Figure 6.2: tables learned by CD-k. Left, the plateaus where chains of k steps "
             "hardly go; right, the price in nats.",
     alt="Left, the learned probabilities of 60 cells on a logarithmic axis: left of cell 5 "
         "and right of cell 40 those of CD-1 stay on a plateau, with a bump of their own "
         "between the peaks; those of longer chains lie lower. Right, the divergence falls "
         "with k towards the dotted line of the exact likelihood.")

# %% [markdown]
# **Exercise 6.2.** At the flat start (all energies 0), find the smallest $k$ for which CD-$k$ is
# accurate to 1 %: each of its 60 components differs from that of the exact gradient by at most 1 %
# of the exact gradient's largest component, in absolute value.
#
# <details><summary>Hint</summary>
#
# At the flat start the model is uniform; push `p_data` with `transition(np.zeros(60))`.
#
# </details>

# %% ex="6.2"
steps_needed = ...

check("6.2", steps_needed)

# %% [markdown]
# **Exercise 6.3.** Of k = 30, 100, 300 and 1000: which is the smallest with a KL below 0.01 after
# the 4000 updates? (Make a guess from Figure 6.2 first.)

# %% ex="6.3"
smallest_k = ...

check("6.3", smallest_k)

# %% [markdown]
# ## 4. Satisfied and wrong
#
# **The third surprise.** We train a network by exact CD-1 with MALA steps, from three random
# starts. The data have two modes, at $\pm 3$, with masses 0.65 and 0.35. We watch what CD-1 can
# see, namely how far one step moves the data's distribution and CD's own loss, the difference of
# two mean energies; and what it cannot, the exact KL.

# %%
truth = two_modes(0.65, at=3.0, scale=0.4)
nodes, log_w = space.atoms(200)
net, short = te.MLP((1, 32, 32, 1), gain=2**0.5), te.MALA(0.02)
mean_gradient = te.grad(lambda theta, mass: ops.sum(mass * net(theta, nodes)))


def log_masses(energy):
    """The logarithms of the masses of the nodes."""
    u = log_w - energy
    return u - u.max() - np.log(np.exp(u - u.max()).sum())


log_data = log_masses(truth.energy(truth.theta, nodes))
p_nodes = np.exp(log_data)


def train_by_cd(seed, updates=600):
    """The final theta, and for every update (KL, how far a step moves the data, CD's loss)."""
    theta, optimizer, rows = net.init(np.random.default_rng(seed)), te.adam(5e-3), []
    state = optimizer.init(theta)
    for _ in range(updates):
        energy = net(theta, nodes)
        moved = short.push(p_nodes, te.Density(net, theta, space))
        rows.append((p_nodes @ (log_data - log_masses(energy)),
                     0.5 * np.abs(moved - p_nodes).sum(), (p_nodes - moved) @ energy))
        theta, state = optimizer.update(mean_gradient(theta, p_nodes - moved), state, theta)
    return theta, np.array(rows).T


runs = [train_by_cd(seed) for seed in (0, 1, 2)]
models = [np.exp(log_masses(net(theta, nodes))) for theta, _ in runs]
masses = [q[nodes[:, 0] < 0].sum() for q in models]
depths = []
for seed, ((theta, (kl, moves, loss)), mass) in enumerate(zip(runs, masses, strict=True)):
    left_well, right_well = net(theta, np.array([[-3.0], [3.0]]))
    print(f"start {seed}: a step moves the data by {moves[-1]:.4f}, CD's loss {loss[-1]:7.4f}\n"
          f"         KL {kl[-1]:.4f}, least on the way {kl.min():.4f}; mass of the left mode "
          f"{mass:.3f}, E(3) - E(-3) = {right_well - left_well:.1f}")
    depths.append(right_well - left_well)
    assert moves[-1] < 0.0012 and np.abs(loss).max() < 0.03 and abs(loss[-1]) < 0.001

assert abs(depths[0] - 0.6) < 0.5 and -9 < depths[2] < depths[1] < -6
assert abs(masses[0] - 0.615) < 0.01 and masses[1] < 0.002 and masses[2] < 0.001
assert abs(runs[2][1][0].min() - 0.48) < 0.01 and runs[2][1][0][-1] > 4
print("your guess:", guess if guess is not ... else "not written down", "| the answer: no")

# %% [markdown]
# In truth the left mode has the mass 0.65, and $E(3) - E(-3)$ is $\log(0.65/0.35) = 0.6$. Two of
# the three models are wrong by seven or eight nats in this difference, and have lost the left mode.
# It is the one thing that CD-1 cannot feel: the depth of one well *relative to the other*. The
# parameters of a network are shared; while CD-1 fits the shape of each well, it moves that
# difference as a side effect, and hardly anything pulls it back. So the KL, after a good beginning,
# *rises*. (Start 0 is lucky, not typical.) And CD's own loss stays within ±0.03 from the first
# update to the last, whatever the KL: it cannot tell a good model from a bad one.

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.8, 3.0))
for seed, ((_, (kl, moves, _)), q) in enumerate(zip(runs, models, strict=True)):
    style = {"linestyle": DASHES[seed], "color": (DATA, MODEL, SAMPLES)[seed]}
    axes[0].semilogy(moves, **style)
    axes[1].semilogy(kl, label=f"start {seed}", **style)
    plots.law(q, space, axes[2], **style)
plots.law(p_nodes, space, axes[2], filled=True)
axes[0].set(xlabel="updates", title="what CD-1 sees:\nhow far a step moves the data")
axes[1].set(xlabel="updates", title="what it does not:\nKL(data‖model)")
axes[2].set(xlabel="x", title="the models\n(grey: data)", xlim=(-5, 5))
axes[1].legend(fontsize=9)
for ax in axes:
    ax.title.set_fontsize(10)
show(figure, "Figure 6.3: three starts. To CD-1 all three have succeeded.",
     alt="Left, three curves that fall to about one thousandth. Middle, the divergence: one "
         "falls to nearly zero, two fall and rise again to about four. Right, the densities: "
         "only one model has both modes; the others have lost the left.")

# %% [markdown]
# ## What broke, and why
#
# * *Between modes* that $k$ steps hardly ever connect, CD sees next to nothing of how the mass is
#   shared. In sections 2 and 3 the truth was in the family, and CD came to rest only there; but on
#   the way its gradient was too small, by a factor of thousands in section 2, and in section 3 it
#   also pointed elsewhere. When no $\theta$ gives the data, the resting place itself is in general
#   not that of maximum likelihood (Carreira-Perpiñán & Hinton 2005).
# * *Far from the data* almost nothing pushes the energy up. Start chains elsewhere, or keep them
#   running: notebook 07.
# * *CD's own loss* says nothing about the quality of a model: it was near zero for the good one and
#   for the bad ones.
#
# ## Summary
#
# CD-$k$ compares the data with themselves $k$ steps later. It asks whether the step changes the
# means of $\nabla_\theta E$: for a table that is a full test of stationarity, for a network only
# part of one, and in both a model can nearly pass and be far off. As $k$ grows the gradient
# approaches that of the likelihood; what is missing shrinks like $(1 - \text{gap})^k$.
#
# Hinton ([2002](https://doi.org/10.1162/089976602760128018), Neural Computation 14:1771);
# Carreira-Perpiñán & Hinton (2005, AISTATS) on its bias; Bengio & Delalleau
# ([2009](https://doi.org/10.1162/neco.2008.11-07-647), Neural Computation 21:1601) on what it
# leaves out; Sutskever & Tieleman (2010, AISTATS) on what it does not optimise.
#
# Next, [07](07_persistent_chains_and_short_runs.ipynb): chains that start elsewhere.
