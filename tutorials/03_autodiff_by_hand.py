# %% [markdown]
# # 03 How does a network become an energy?
#
# A network with one output *is* an energy (whether of a density, notebook 01 decides). To use it
# one needs two gradients: training needs the one with respect to the parameters, $\nabla_\theta E$;
# sampling needs the one with respect to the point $x$ (samplers call it the *state*), $\nabla_x E$.
# Both come from one idea, *reverse-mode automatic differentiation*, which fits on a page. Here is
# the page.
#
# **You need** notebook 01, NumPy, the chain rule. **You will** write an automatic differentiator,
# print its tape, catch wrong derivatives with finite differences, look at the forces of two
# networks, and, if you like, see how a tape becomes a program that can be run again. Running time:
# a few seconds.
#
# > **A question first.** Take a network $E(x) = w \cdot h(x) + b$ and train it by the exact
# > gradient of the likelihood for sixty updates. How far does the last bias $b$ move? Write down:
# > far, a little, or not at all.

# %%
from collections import namedtuple

import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import DATA, MODEL, OTHER, check, show
from tinyebm import ops, plots

guess = ...  # "far", "a little", "not at all"

# %% [markdown]
# ## 1. A tape
#
# A program is a list of simple operations. If each knows its own derivative, the chain rule gives
# that of the whole: go through the list *backwards*, and give every intermediate value $v$ its
# *adjoint* $\bar v = \partial E / \partial v$. An operation $y = f(a, b)$ passes on
#
# $$\bar a \mathrel{+}= \bar y\, \frac{\partial y}{\partial a}, \qquad
# \bar b \mathrel{+}= \bar y\, \frac{\partial y}{\partial b}.$$
#
# It is $\mathrel{+}=$ because a value may be used more than once, and what comes back from its uses
# adds up. And backwards is the right order: everything that used a value comes after it in the
# list, so when we reach the value, its adjoint is complete.
#
# That is all. A `Node` holds a value and remembers where it came from; the list of nodes is the
# *tape*.

# %%
tape = []  # every Node that is made is appended here


class Node:
    """A number on the tape: its value, its name, and (parent, local derivative) pairs."""

    def __init__(self, value, name, parents=()):
        self.value, self.name, self.parents, self.adjoint = value, name, parents, 0.0
        tape.append(self)

    def __add__(self, other):  # both must be Nodes
        return Node(self.value + other.value, "+", [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Node(self.value * other.value, "×", [(self, other.value), (other, self.value)])


def tanh(a):
    y = np.tanh(a.value)
    return Node(y, "tanh", [(a, 1 - y * y)])


def backward(output):
    """Fill in the adjoint of every node on the tape."""
    for node in tape:
        node.adjoint = 0.0
    output.adjoint = 1.0
    for node in reversed(tape):
        for parent, slope in node.parents:
            parent.adjoint += node.adjoint * slope


# %% [markdown]
# A network with one input, two hidden units and one output, at one point:
#
# $$E(x) = w_1 \tanh(v_1 x + c_1) + w_2 \tanh(v_2 x + c_2) + b.$$

# %%
tape.clear()
x = Node(0.5, "x")
v1, c1, w1 = Node(1.2, "v₁"), Node(-0.3, "c₁"), Node(0.8, "w₁")
v2, c2, w2 = Node(-0.7, "v₂"), Node(0.4, "c₂"), Node(1.5, "w₂")
b = Node(0.1, "b")
h1, h2 = tanh(v1 * x + c1), tanh(v2 * x + c2)
E = w1 * h1 + w2 * h2 + b
backward(E)

print("entry  what    value  adjoint   from entries")
for i, node in enumerate(tape):
    origin = ", ".join(str(tape.index(parent)) for parent, _ in node.parents)
    print(f"{i:5}  {node.name:5} {node.value:7.4f}  {node.adjoint:7.4f}   {origin}".rstrip())
slope_at_x = x.adjoint  # dE/dx

# %% [markdown]
# One backward sweep gave the derivative with respect to *every* entry: the parameters and $x$. The
# package does the same on arrays. Its tape holds whole matrices, its operations are the functions
# of `tinyebm.ops`, and each derivative is again made of these functions, so that one can
# differentiate twice. (The functions are NumPy's, or CuPy's where the arrays are on a GPU.)

# %%
net = te.MLP((1, 2, 1), activation="tanh")
theta = [{"W": np.array([[1.2, -0.7]]), "b": np.array([-0.3, 0.4])},
         {"W": np.array([[0.8], [1.5]]), "b": np.array([0.1])}]
point = np.array([[0.5]])

by_theta = te.grad(lambda theta: ops.sum(net(theta, point)))(theta)
by_x = te.grad(lambda x: ops.sum(net(theta, x)))(point)
assert np.allclose(by_theta[0]["W"], [[v1.adjoint, v2.adjoint]])
assert np.allclose(by_theta[0]["b"], [c1.adjoint, c2.adjoint])
assert np.allclose(by_theta[1]["W"], [[w1.adjoint], [w2.adjoint]])
assert np.allclose(by_theta[1]["b"], [b.adjoint]) and np.allclose(by_x, slope_at_x)

# %%
place = {x: (0, 1), v1: (0, 2.6), v2: (0, -0.6), c1: (1, 3.3), c2: (1, -1.3),
         w1: (3, 3.3), w2: (3, -1.3), b: (5, 2.8)}
inner = [node for node in tape if node.parents]  # in the order in which they were computed
spots = [(1, 1.8), (2, 2.0), (3, 1.8), (1, 0.2), (2, 0.0), (3, 0.2), (4, 1.9), (4, 0.1), (5, 1.0),
         (6, 1.2)]
place.update(zip(inner, spots, strict=True))

figure, ax = plt.subplots(figsize=(7.8, 3.9))
arrow = {"arrowstyle": "->", "color": "0.6", "shrinkA": 18, "shrinkB": 18}
for node in tape:
    for parent, _ in node.parents:
        ax.annotate("", place[node], place[parent], arrowprops=arrow)
for node, (u, v) in place.items():
    edge = DATA if node.parents else OTHER
    ax.text(u, v, node.name, ha="center", va="center", fontsize=10, weight="bold",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": edge})
    ax.text(u, v - 0.42, f"{node.value:.2f}", ha="center", va="center", fontsize=8, color=DATA)
    ax.text(u, v + 0.44, f"{node.adjoint:.2f}", ha="center", va="center", fontsize=8, color=MODEL)
ax.set(xlim=(-0.5, 6.6), ylim=(-2.0, 4.0))
ax.axis("off")
show(figure, "Figure 3.1: the same tape as a graph. Below each box its value (blue), above it "
             "the adjoint (orange).",
     alt="A graph that flows from left to right: x, weights and biases enter products, sums "
         "and hyperbolic tangents, and end in one sum, the energy. Every box carries its value "
         "and its adjoint; that of the last bias is one.")

# %% [markdown]
# **Exercise 3.1.** Teach the tape another function: write `softplus(a)` for a `Node`,
# $y = \log(1 + e^a)$. It returns a `Node`.

# %% ex="3.1"
softplus = ...

check("3.1", softplus)

# %% [markdown]
# ## 2. Is it right?
#
# A wrong derivative raises no error: training just goes quietly wrong. So every derivative is
# compared with a *central difference*,
#
# $$\frac{E(x + h) - E(x - h)}{2h} = E'(x) + O(h^2) + \frac{O(\epsilon)}{h},$$
#
# where $\epsilon$ is the rounding error, about $10^{-16}$ in double and $10^{-7}$ in single
# precision. Neither a large nor a tiny $h$ will do. The sum $h^2 + \epsilon/h$ is smallest near
# $h = \epsilon^{1/3}$, which is about $5 \cdot 10^{-6}$ or $5 \cdot 10^{-3}$.

# %% varies
def difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def energy_in(dtype):
    """The energy of the network as a function of one number, computed in a precision."""
    typed = [{name: leaf.astype(dtype) for name, leaf in layer.items()} for layer in theta]
    return lambda t: net(typed, np.full((1, 1), t, dtype))[0]


steps = 10.0 ** np.arange(-12, 1)
errors = {}
for dtype in (np.float64, np.float32):
    f = energy_in(dtype)
    found = [float(difference(f, dtype(0.5), dtype(h))) for h in steps]
    errors[dtype.__name__] = np.abs(np.array(found) - slope_at_x)
best = {name: steps[error.argmin()] for name, error in errors.items()}
for name, h in best.items():
    print(f"{name}: smallest error {errors[name].min():.0e}, at h = {h:.0e}")
assert 1e-7 < best["float64"] < 1e-4 and 1e-4 < best["float32"] < 1e-1
large = errors["float64"][steps >= 1e-4]
assert 50 < large[1] / large[0] < 200  # ten times the step, a hundred times the error

# %%
figure, ax = plt.subplots(figsize=(6.2, 3.0))
for (dtype, values), color, dash in zip(errors.items(), (DATA, MODEL), ("-", "--"), strict=True):
    ax.loglog(steps, values, dash, color=color, marker="o", markersize=4, label=dtype)
ax.set(xlabel="h", ylabel="error of the difference")
ax.legend()
show(figure, "Figure 3.2: a difference is best at h near the cube root of the rounding error. "
             "(float32 is flat on the left: x + h rounds to x, and the difference is zero.)",
     alt="Two V-shaped curves of error against the step h on logarithmic axes. In double "
         "precision the lowest point is near ten to the minus six, with an error of about ten "
         "to the minus eleven; in single precision it is between a thousandth and a hundredth, "
         "far higher up, and small steps have a constant, large error.")

# %% [markdown]
# **Exercise 3.2.** One of these derivatives is wrong. Find out which, by differences, and answer
# with its name.

# %%
suspects = {  # name: (function, its derivative, so they say)
    "square root": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "silu": (lambda x: x / (1 + np.exp(-x)),
             lambda x: (1 + x / (1 + np.exp(x))) / (1 + np.exp(-x))),
    "log cosh": (lambda x: np.log(np.cosh(x)), np.tanh),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x))),
    "arctan": (np.arctan, lambda x: 1 / (1 + x * x)),
}

# %% ex="3.2"
culprit = ...

check("3.2", culprit)

# %% [markdown]
# ## 3. Forces
#
# $-\nabla_x E$ is a *force*: it points to lower energy. It is also $\nabla_x \log p$, the *score*:
# $\log p = -E - \log Z$, and $Z$ does not depend on $x$. So a force needs no $Z$; it exists even
# where $Z$ is infinite. A sampler moves along it in finite steps (notebook 05), and does best where
# the force does not jump. Here are the forces of two networks with the same weights, one with SiLU,
# one with ReLU.
#
# Note how an energy is differentiated at many points at once: the energy of one row does not depend
# on the other rows, so the gradient of the *sum* of energies holds every row's own gradient.

# %%
t = np.linspace(-3, 3, 12)
points = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
cut = np.stack([np.linspace(-3, 3, 6001), np.ones(6001)], axis=1)  # the line x₂ = 1

figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.7))
jumps = {}
for ax, activation, color, dash in zip(axes, ("silu", "relu"), (DATA, MODEL), ("-", "--"),
                                       strict=False):
    energy = te.MLP((2, 16, 1), activation=activation)
    weights = [{name: 2 * leaf for name, leaf in layer.items()}
               for layer in energy.init(np.random.default_rng(2))]

    def total(x, energy=energy, weights=weights):
        return ops.sum(energy(weights, x))

    force = -te.grad(total)(points)
    p = te.Density(energy, weights, te.Reals(2))
    assert np.allclose(force, te.score(p, points))  # the package call: ∇ log p = -∇E

    plots.energy(p, ax, [(-3, 3), (-3, 3)], resolution=61, levels=12, alpha=0.6)
    ax.quiver(*points.T, *force.T, width=0.008)
    ax.set(title=activation, xlabel="x₁", aspect="equal")
    along = te.score(p, cut)[:, 0]
    jumps[activation] = np.abs(np.diff(along)).max()
    axes[2].plot(cut[:, 0], along, linestyle=dash, color=color, label=activation)
axes[0].set_ylabel("x₂")
axes[2].set(title="x₁-force along x₂ = 1", xlabel="x₁")
axes[2].legend(fontsize=9)
print("largest change of the x₁-force over a step of 0.001:",
      ", ".join(f"{name} {jump:.4f}" for name, jump in jumps.items()))
assert jumps["relu"] > 50 * jumps["silu"]
show(figure, "Figure 3.3: energies (bright is low) and forces. With ReLU the force is constant "
             "on facets and jumps between them.",
     alt="Two maps of energy with arrows that look alike, and a plot of the first component of "
         "the force along a line: with SiLU a smooth curve, with ReLU a staircase with sudden "
         "jumps.")

# %% [markdown]
# **Exercise 3.3.** Score matching (notebook 08) needs second derivatives: write
# `curvature(energy, x)`, the sum over coordinates of $\partial^2 E / \partial x_i^2$ at every row
# of `x` (n, 2), for a function `energy(x)` of rows. The package has `te.hvp(f, x, v)`, the product
# $\nabla^2 f\, v$ of the matrix of second derivatives with `v`; here `f` must return one number,
# and `v` has the shape of `x`. For example, $x_1^2 x_2$ has the second derivatives
# $2x_2, 2x_1; 2x_1, 0$:

# %%
total = lambda x: ops.sum(x[:, 0] ** 2 * x[:, 1])   # x₁² x₂
print(te.hvp(total, np.array([[3.0, 5.0]]), np.array([[1.0, 0.0]])))

# %% ex="3.3"
curvature = ...

check("3.3", curvature)

# %% [markdown]
# ## 4. The parameter that never learns
#
# **The surprise.** The exact gradient of the mean negative log-likelihood (NLL) has two terms,
# which notebook 04 derives: an average over the data and one over the model,
#
# $$\nabla_\theta\, \mathrm{NLL} = \mathbb{E}_{\text{data}}[\nabla_\theta E]
# - \mathbb{E}_p[\nabla_\theta E].$$
#
# For the last bias $\partial E / \partial b = 1$ at every $x$: look at its adjoint in Figure 3.1.
# So its gradient is $1 - 1 = 0$, at every update. It is the constant of notebook 01, section 5,
# which does not change $p$. (`te.fit` trains; `te.ExactLikelihood` says by which gradient.)

# %%
energy = te.MLP((2, 16, 16, 1), confinement=0.5)
data = te.datasets.load("two_moons").sample(500, np.random.default_rng(0))
start = energy.init(np.random.default_rng(1))
gradient = te.nll_gradient(te.Density(energy, start, te.Reals(2)), data)
print(f"gradient of the last layer: of a weight up to {np.abs(gradient[-1]['W']).max():.3f}, "
      f"of the bias below 1e-12: {np.abs(gradient[-1]['b'].item()) < 1e-12}")
assert abs(gradient[-1]["b"].item()) < 1e-12 < np.abs(gradient[-1]["W"]).max()

trained = te.fit(energy, data, te.Reals(2), te.ExactLikelihood(), te.sgd(0.1), steps=60,
                 theta=start, progress=False)
moved = [np.abs(a["b"] - b["b"]).max() for a, b in zip(trained.theta, start, strict=True)]
for layer, far in enumerate(moved, 1):
    print(f"after 60 updates the biases of layer {layer} have moved by up to {far:.3f}")
assert moved[0] > 1e-3 and moved[-1] < 1e-12
print("your guess:", guess if guess is not ... else "not written down", "| the answer: not at all")

# %% [markdown]
# The height of an energy is not identifiable: it cancels against $Z$. An energy *value* by itself
# says nothing. The last bias stays where it is, but the other parameters change the height as they
# learn, and no gradient calls it back; so some recipes add a term to the loss that keeps it near
# zero (notebook 10).
#
# ## 5. The tape as a program (optional)
#
# Nothing later depends on this section. A tape is written anew for every batch. But for the same
# energy it is always the *same list of NumPy calls*. So the package writes the list down once,
# drops what is not needed, and afterwards only makes the calls. The idea in a few lines: everything
# that depends on the input is an `Entry`, a value with its place in the list.

# %%
Entry = namedtuple("Entry", ["value", "place"])  # place 0 is the input
program = []


def call(f, *inputs):
    """Call a NumPy function, and write the call down."""
    values = [a.value if isinstance(a, Entry) else a for a in inputs]
    program.append((f, inputs))
    return Entry(f(*values), len(program))


def replay(x):
    """Make the calls of the list again, for another input."""
    entries = [x]
    for f, inputs in program:
        entries.append(f(*[entries[a.place] if isinstance(a, Entry) else a for a in inputs]))
    return entries[-1]


x = Entry(np.zeros((4, 1)), 0)
hidden = call(np.tanh, call(np.add, call(np.matmul, x, theta[0]["W"]), theta[0]["b"]))
call(np.add, call(np.matmul, hidden, theta[1]["W"][:, 0]), theta[1]["b"])
print("the program:", ", ".join(f.__name__ for f, _ in program))

fresh = np.random.default_rng(5).standard_normal((1000, 1))
assert np.allclose(replay(fresh), net(theta, fresh))

# %% [markdown]
# There is a trap: only the calls are written down. Anything else, such as an `if` that looks at
# numbers and decides, is *frozen* as it went the first time. So what looks at its numbers must not
# be recorded, and the package refuses to.
#
# **Exercise 3.4.** `shifty` adds 1 if its input's first number is positive. Suppose it is recorded
# with an input of zeros, then replayed with ones. By how much, in absolute value, is the replayed
# result off? (Work it out; then try it, if you like, after `program.clear()`.)

# %%
def shifty(x):
    if x.value[0] > 0:
        return call(np.add, x, 1.0)
    return call(np.multiply, x, 1.0)


# %% ex="3.4"
off_by = ...

check("3.4", off_by)

# %% [markdown]
# ## What broke, and why
#
# * *A derivative was wrong* (exercise 3.2), and only finite differences revealed it. The package
#   compares every one of its rules with differences, to second order.
# * *A bias did not learn.* Nothing is broken: it has no effect on $p$.
# * *A replayed branch was stale.* A recording knows only what was done, not why.
#
# ## Summary
#
# Reverse mode: write the operations on a tape, go back through it, pass adjoints on. One sweep
# costs a few times the function itself, however many parameters there are, and gives derivatives
# with respect to parameters and states alike. Griewank & Walther ([2008, *Evaluating
# derivatives*](https://doi.org/10.1137/1.9780898717761)) is the book; Baydin, Pearlmutter, Radul &
# Siskind ([2018](https://jmlr.org/papers/v18/17-468.html), JMLR 18:153) the survey.
#
# With $\nabla_\theta E$ in hand we can train. Next, [04](04_exact_maximum_likelihood.ipynb): what
# learning does to a landscape.
