# %% [markdown]
# # 03 How does a network become an energy?
#
# Training an energy needs its slope by the parameters, $\nabla_\theta E$. Sampling from it needs its slope by the state, $\nabla_x
# E$. Both come
# from one idea, *reverse-mode automatic differentiation*, which fits on a page. Here is the page.
#
# **You need** notebook 01, NumPy, the chain rule. **You will** write an automatic differentiator, print its tape, catch wrong
# derivatives with
# finite differences, look at the forces of two networks, and see how the package makes it fast. Running time: a few seconds.
#
# > **A question first.** Take a network $E(x) = w \cdot h(x) + b$ and train it by the exact gradient of the likelihood for a
# > thousand
# > updates. How far does the last bias $b$ move? Write down: far, a little, or not at all.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from course import DATA, MODEL, OTHER, check, show
from tinyebm import ops

guess = ...  # "far", "a little", "not at all"

# %% [markdown]
# ## 1. A tape
#
# A program is a list of simple operations. If each knows its own derivative, the chain rule gives that of the whole: go through
# the list
# *backwards*, and hand every intermediate value $v$ its *adjoint* $\bar v = \partial E / \partial v$. An operation $y = f(a, b)$
# passes on
#
# $$\bar a \mathrel{+}= \bar y\, \frac{\partial y}{\partial a}, \qquad \bar b \mathrel{+}= \bar y\, \frac{\partial y}{\partial b}.$$
#
# That is all. A `Node` holds a value and remembers where it came from; the list of nodes is the *tape*.

# %%
class Node:
    """A number on a tape: its value, its name, and (parent, local derivative) pairs."""

    def __init__(self, value, name, parents=()):
        self.value, self.name, self.parents, self.adjoint = value, name, parents, 0.0
        tape.append(self)

    def __add__(self, other):
        return Node(self.value + other.value, "+", [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Node(self.value * other.value, "×", [(self, other.value), (other, self.value)])


def tanh(a):
    y = np.tanh(a.value)
    return Node(y, "tanh", [(a, 1 - y * y)])


def backward(output):
    """Fill in the adjoint of every node before the output."""
    output.adjoint = 1.0
    for node in reversed(tape):
        for parent, slope in node.parents:
            parent.adjoint += node.adjoint * slope


# %% [markdown]
# A network with one input, two hidden units and one output, at one point:
#
# $$E(x) = w_1 \tanh(v_1 x + c_1) + w_2 \tanh(v_2 x + c_2) + b.$$

# %%
tape = []
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
    print(f"{i:5}  {node.name:5} {node.value:7.4f}  {node.adjoint:7.4f}   {origin}")

# %% [markdown]
# One sweep found the slope by *every* entry: by the parameters and by $x$. The package does the same on arrays. Its tape holds
# whole matrices, its
# operations are a table of some thirty functions (`tinyebm.ops`), and each derivative is again made of these functions, so that one
# can differentiate twice.

# %%
net = te.MLP((1, 2, 1), activation="tanh")
theta = [{"W": np.array([[1.2, -0.7]]), "b": np.array([-0.3, 0.4])}, {"W": np.array([[0.8], [1.5]]), "b": np.array([0.1])}]
point = np.array([[0.5]])

by_theta = te.grad(lambda theta: ops.sum(net(theta, point)))(theta)
by_x = te.grad(lambda x: ops.sum(net(theta, x)))(point)
assert np.allclose(by_theta[0]["W"], [[v1.adjoint, v2.adjoint]]) and np.allclose(by_theta[0]["b"], [c1.adjoint, c2.adjoint])
assert np.allclose(by_theta[1]["W"], [[w1.adjoint], [w2.adjoint]]) and np.allclose(by_x, x.adjoint)

# %%
figure, ax = plt.subplots(figsize=(7.8, 3.0))
place = {x: (0, 1), v1: (0, 2.2), v2: (0, -0.2), c1: (1, 2.6), c2: (1, -0.6), w1: (3, 2.6), w2: (3, -0.6), b: (5, 2.4)}
inner = [node for node in tape if node.parents]
for node, spot in zip(inner, [(1, 1.7), (2, 1.9), (3, 1.8), (1, 0.3), (2, 0.1), (3, 0.2), (4, 1.8), (4, 0.2), (5, 1.0), (6, 1.2)],
                      strict=True):
    place[node] = spot
for node in tape:
    for parent, _ in node.parents:
        ax.annotate("", place[node], place[parent], arrowprops={"arrowstyle": "->", "color": "0.6", "shrinkA": 16, "shrinkB": 16})
for node, (u, v) in place.items():
    ax.text(u, v, node.name, ha="center", va="center", fontsize=10, weight="bold",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": DATA if node.parents else OTHER})
    ax.text(u, v - 0.33, f"{node.value:.2f}", ha="center", va="center", fontsize=8, color=DATA)
    ax.text(u, v + 0.36, f"{node.adjoint:.2f}", ha="center", va="center", fontsize=8, color=MODEL)
ax.set(xlim=(-0.5, 6.6), ylim=(-1.1, 3.2))
ax.axis("off")
show(figure, "Figure 3.1: the same tape as a graph. Below each box its value (blue), above it the adjoint (orange).",
     alt="A graph that flows from left to right: x, weights and biases enter products, sums and hyperbolic tangents, and end in "
         "one "
         "sum, the energy. Every box carries its value, and its adjoint; that of the last bias is one.")

# %% [markdown]
# **Exercise 3.1.** Teach the tape another function: write `softplus(a)` for a `Node`, $y = \log(1 + e^a)$.

# %% ex="3.1"
softplus = ...

check("3.1", softplus)

# %% [markdown]
# ## 2. Is it right?
#
# A wrong derivative raises no error: training just goes somewhere else. So every derivative is compared with a *central
# difference*,
#
# $$\frac{E(x + h) - E(x - h)}{2h} = E'(x) + O(h^2) + \frac{O(\text{rounding})}{h}.$$
#
# Neither a large nor a tiny $h$ will do: in between there is a best one.

# %%
def difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


steps = 10.0 ** np.arange(-12, 1)
errors = {}
for dtype in ("float64", "float32"):
    typed = [{name: leaf.astype(dtype) for name, leaf in layer.items()} for layer in theta]
    f = lambda t, typed=typed, dtype=dtype: net(typed, np.full((1, 1), t, dtype))[0]
    cast = np.dtype(dtype).type
    errors[dtype] = [abs(float(difference(f, cast(0.5), cast(h))) - x.adjoint) + 1e-17 for h in steps]
assert min(errors["float64"]) < 1e-10 and min(errors["float32"]) > 1e-7

figure, ax = plt.subplots(figsize=(6.2, 3.0))
for (dtype, values), color, dash in zip(errors.items(), (DATA, MODEL), ("-", "--"), strict=True):
    ax.loglog(steps, values, dash, color=color, marker="o", markersize=4, label=dtype)
ax.set(xlabel="h", ylabel="error of the difference")
ax.legend()
show(figure, "Figure 3.2: a difference is best at h near the cube root of the rounding error.",
     alt="Two V-shaped curves of error against the step h on logarithmic axes. In double precision the lowest point is near ten to "
         "the "
         "minus five, with an error of about ten to the minus eleven; in single precision it is near one hundredth, far higher up.")

# %% [markdown]
# **Exercise 3.2.** One of these derivatives is wrong. Find out which, by differences, and answer with its name.

# %%
suspects = {
    "square root": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "silu": (lambda x: x / (1 + np.exp(-x)), lambda x: (1 + x / (1 + np.exp(x))) / (1 + np.exp(-x))),
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
# $-\nabla_x E$ is a *force*: it points to lower energy. A sampler moves along it (notebook 05), so it should not jump. Here are
# the forces of two
# networks with the same weights, one with SiLU, one with ReLU. Note how the energy is differentiated at 400 points at once: the
# energies
# of different rows do not depend on each other's points, so the slope of their *sum* holds every row's own slope.

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.6))
t = np.linspace(-3, 3, 18)
points = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
fine = np.linspace(-3, 3, 61)
plane = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
jumps = {}
for ax, activation in zip(axes, ("silu", "relu"), strict=True):
    energy = te.MLP((2, 16, 1), activation=activation)
    weights = [{name: 2 * leaf for name, leaf in layer.items()} for layer in energy.init(np.random.default_rng(2))]
    force = -te.grad(lambda x, energy=energy, weights=weights: ops.sum(energy(weights, x)))(points)
    p = te.Density(energy, weights, te.Reals(2))
    assert np.allclose(force, te.score(p, points))  # the package call: the score is minus the slope of the energy
    ax.contourf(fine, fine, energy(weights, plane).reshape(61, 61), 12, cmap="cividis_r")
    ax.quiver(*points.T, *force.T, color="white", width=0.004)
    ax.set(title=activation, xlabel="x₁", ylabel="x₂", aspect="equal")
    along = te.score(p, np.stack([np.linspace(-3, 3, 6001), np.zeros(6001)], axis=1))
    jumps[activation] = np.abs(np.diff(along, axis=0)).max()
print({name: round(float(jump), 4) for name, jump in jumps.items()}, "largest change of the force over a step of 0.001")
assert jumps["relu"] > 50 * jumps["silu"]
show(figure, "Figure 3.3: energies (bright is low) and forces. With ReLU the force is constant between straight kinks, where it "
     "jumps.",
     alt="Two maps of energy with arrows. Left, SiLU: arrows turn smoothly. Right, ReLU: the plane falls into flat facets, within "
         "each "
         "of which all arrows are equal.")

# %% [markdown]
# **Exercise 3.3.** For score matching (notebook 08) one needs second derivatives: write `curvature(energy, x)`, the sum over
# coordinates of
# $\partial^2 E / \partial x_i^2$ at every row of `x` (n, 2), for a function `energy(x)` of rows. `te.hvp(f, x, v)` gives $\nabla^2
# f\, v$.

# %% ex="3.3"
curvature = ...

check("3.3", curvature)

# %% [markdown]
# ## 4. The parameter that never learns
#
# **The surprise.** The exact gradient of the mean negative log-likelihood has two terms (notebook 04 derives it):
#
# $$\nabla_\theta\, \mathrm{NLL} = \mathbb{E}_{\text{data}}[\nabla_\theta E] - \mathbb{E}_p[\nabla_\theta E].$$
#
# For the last bias $\partial E / \partial b = 1$ at every $x$: look at its adjoint in Figure 3.1. So its gradient is $1 - 1 = 0$.
# For ever.

# %%
energy = te.MLP((2, 16, 16, 1), confinement=0.5)
data = te.datasets.load("two_moons").sample(500, np.random.default_rng(0))
start = energy.init(np.random.default_rng(1))
gradient = te.nll_gradient(te.Density(energy, start, te.Reals(2)), data)
print("largest gradient of a weight:", f"{np.abs(gradient[-1]['W']).max():.3f}", "| of the last bias:", gradient[-1]["b"])
assert abs(gradient[-1]["b"].item()) < 1e-12 < np.abs(gradient[-1]["W"]).max()

trained = te.fit(energy, data, te.Reals(2), te.ExactLikelihood(), te.sgd(0.1), steps=60, theta=start, progress=False)
moved = [np.abs(a["b"] - b["b"]).max() for a, b in zip(trained.theta, start, strict=True)]
print("biases moved by", [f"{m:.1e}" for m in moved], "- your guess was", guess if guess is not ... else "not written down")
assert moved[0] > 1e-3 and moved[-1] < 1e-12

# %% [markdown]
# The height of an energy is not identifiable: it cancels against $Z$. That is no defect, but it means that an energy *value* says
# nothing by
# itself, and that some recipes add a term to the loss just to keep it from drifting (notebook 10).
#
# ## 5. Why it is fast: the tape as a program
#
# A tape is written anew for every batch. But for the same energy it is always the *same list of NumPy calls*. So the package
# writes the list
# down once, throws away what nobody needs, and afterwards only calls NumPy. The idea in a few lines:

# %%
class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that writes down the NumPy functions it meets."""

    def __init__(self, value, place, program):
        self.value, self.place, self.program = value, place, program

    def __array_ufunc__(self, function, method, *inputs, **options):
        call = function if method == "__call__" else getattr(function, method)
        known = [a.value if isinstance(a, Traced) else a for a in inputs]
        places = [("entry", a.place) if isinstance(a, Traced) else ("constant", a) for a in inputs]
        self.program.append((call, places, options))
        return Traced(call(*known, **options), len(self.program), self.program)


def replay(program, x):
    """Run the list on another input: no tape, no Python objects but arrays."""
    entries = [x]
    for call, places, options in program:
        entries.append(call(*[entries[a] if kind == "entry" else a for kind, a in places], **options))
    return entries[-1]


def small_energy(x):
    hidden = np.tanh(x @ theta[0]["W"] + theta[0]["b"])
    return np.add.reduce(hidden * theta[1]["W"][:, 0], axis=1) + theta[1]["b"]


program = []
small_energy(Traced(np.zeros((4, 1)), 0, program))
print("\n".join(f"{i + 1}: {getattr(call, '__name__', call)}" for i, (call, _, _) in enumerate(program)))
fresh = np.random.default_rng(5).standard_normal((1000, 1))
assert np.allclose(replay(program, fresh), small_energy(fresh)) and np.allclose(replay(program, fresh), net(theta, fresh))

# %% [markdown]
# There is a trap: what is not a NumPy call of the traced array is *frozen*. A function that looks at numbers and decides cannot be
# replayed, and must be refused.
#
# **Exercise 3.4.** `shifty` adds 1 if its input's first number is positive. It is traced with an input of zeros, then replayed
# with ones.
# By how much is the replayed result off? (Work it out, then look at `replay(...)` if you like.)

# %%
def shifty(x):
    value = x.value if isinstance(x, Traced) else x
    return x + 1.0 if value[0] > 0 else x * 1.0


# %% ex="3.4"
off_by = ...

check("3.4", off_by)

# %% [markdown]
# ## What broke, and why
#
# * *A derivative was wrong* (exercise 3.2), and only differences told. The package compares every one of its rules with
# differences, to
#   second order.
# * *A bias did not learn.* Nothing is broken: it has no effect on $p$.
# * *A replayed branch was stale.* A recording knows only what was done, not why.
#
# ## Summary
#
# Reverse mode: write the operations on a tape, go back through it, pass adjoints on. One sweep costs a few times the function
# itself, however many
# parameters there are, and gives slopes by parameters and by states alike. Griewank & Walther (2008, *Evaluating derivatives*) is
# the book; Baydin,
# Pearlmutter, Radul & Siskind (2018, JMLR 18:153) the survey. Next, [04](04_exact_maximum_likelihood.ipynb): what learning does to
# a landscape.
