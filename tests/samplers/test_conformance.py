"""What every kernel passes, those of the package and the example of the page of `samplers`."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import tinyebm as te
from examples import of_page
from tinyebm.common.tree import tree_map

rng = np.random.default_rng  # every test makes its own


Flip = of_page(te.samplers, "Flip")


def network(space):
    net = te.MLP((2, 4, 1), activation="tanh", confinement=1.0)
    return te.Density(net, net.init(rng(5)), space)


def well(space):
    return te.Density(te.DoubleWell(), {"barrier": np.array(1.0)}, space)


def rough(space, seed=0):
    """A density with an energy of its own for every state: no symmetry is left that could hide a mistake."""
    grid = space.grid()
    return te.Density(lambda theta, x: theta[grid.index(x)], rng(seed).normal(0, 1, grid.size), space)


def machine(space):
    d = space.dim
    theta = {"W": rng(0).normal(0, 1, d * (d - 1) // 2), "b": rng(1).normal(0, 1, d)}
    return te.Density(te.BoltzmannMachine(d), theta, space)


def lattice(energy, space):
    """A lattice, rough enough that no value is drawn like another."""
    theta = {"coupling": np.array(0.4), "field": np.array(-0.3)}
    return te.Density(energy, theta if isinstance(energy, te.Ising) else {"coupling": np.array(0.7)}, space)


def rbm(visible, hidden):
    shapes = {"W": (visible, hidden), "b": (visible,), "c": (hidden,)}
    theta = {name: rng(2).normal(0, 1, shape) for name, shape in shapes.items()}
    return te.Density(te.RBM(visible, hidden), theta, te.Bits(visible))


CONTINUOUS = [
    (te.ULA(0.05), well(te.Reals(1, extent=5))), (te.ULA(0.1, 0.5), network(te.Box(-1.2, 1.2, 2, panels=4))),
    (te.MALA(0.05), well(te.Reals(1, extent=5))), (te.MALA(0.1), network(te.Box(-1.2, 1.2, 2, panels=4))),
    (te.HMC(0.3, 3), well(te.Reals(1))), (te.HMC(0.5, 2), network(te.Box(-1.2, 1.2, 2))),
    (te.Recipe(0.1, 0.3), network(te.Reals(2))), (te.Recipe(0.1, 0.3, clip=0.5, clamp=(-1.0, 1.0)), network(te.Box(-1.2, 1.2, 2)))]
DISCRETE = [
    *[(te.Gibbs(scan), rough(space)) for scan in ("systematic", "random")
      for space in (te.Bits(3), te.Spins(3), te.Cells(3, dim=2), te.Cells(4))],
    *[(te.Gibbs(scan), p) for scan in ("systematic", "random", "coloured")
      for p in (lattice(te.Ising((1, 3)), te.Spins(3)), lattice(te.Ising((2, 2), simple=False), te.Spins(4)),
                lattice(te.Potts(3, (1, 3)), te.Cells(3, 3)), machine(te.Bits(3)), rbm(4, 2))],
    (te.Gibbs("coloured"), lattice(te.Ising((1, 5)), te.Spins(5))), (te.Gibbs("coloured"), rough(te.Bits(3))),
    (te.BlockGibbs(), rbm(3, 2)), (te.BlockGibbs(), rbm(2, 5)), (te.BlockGibbs(), rbm(1, 1)),
    (te.GibbsWithGradients(), machine(te.Bits(3))), (te.GibbsWithGradients(), machine(te.Spins(4))),
    (Flip(), rbm(3, 2))]  # fmt: skip
EVERY = [*CONTINUOUS, *DISCRETE]
name = lambda part: repr(part.space) if hasattr(part, "space") else type(part).__name__ if isinstance(part, Flip) else repr(part)


def of_type(p, dtype):
    return te.Density(p.energy, tree_map(lambda leaf: leaf.astype(dtype), p.theta), p.space)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel, p", EVERY, ids=name)
def test_a_move(kernel, p, dtype):
    """New rows of the shape and type of the old, which are left alone; decisions a row or none; points of the space.

    Catches noise, values or steps of double precision, acceptance written into x, walls that are crossed.
    """
    x = p.space.initial(50, rng(0)).astype(dtype)
    before = x.copy()
    y, accepted, log_ratio, *_ = kernel.step(of_type(p, dtype), x, rng(1))

    assert y.shape == x.shape and y.dtype == dtype and p.space.contains(y).all()
    np.testing.assert_array_equal(x, before)
    if accepted is None:
        assert log_ratio is None
    else:
        assert accepted.shape == log_ratio.shape == (50,) and accepted.dtype == bool
        np.testing.assert_array_equal(y[~accepted], x[~accepted])


@pytest.mark.parametrize("kernel, p", EVERY, ids=name)
def test_all_chance_is_the_generator_s(kernel, p):
    """The same seed, the same numbers; another seed, others.  Catches a global generator, and one that is not used."""
    x = p.space.initial(200, rng(0))
    one, same, other = (kernel.step(p, x, rng(seed)).x for seed in (1, 1, 2))

    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("kernel, p", EVERY, ids=name)
def test_rows_of_another_shape_are_refused(kernel, p):
    """Catches rows that broadcast, and a generator that is none."""
    x = p.space.initial(4, rng(0))
    for wrong in (x[0], x[:, :, None], np.concatenate([x, x], axis=1)):
        with pytest.raises(ValueError, match=f"x must have shape .n, {p.space.dim}"):
            kernel.step(p, wrong, rng(1)) if not isinstance(kernel, Flip) else te.run(kernel, p, wrong, 1, rng(1))
    with pytest.raises(ValueError, match="rng must be a generator"):
        te.run(kernel, p, x, 1, 0)


@pytest.mark.parametrize("steps, n", [(1, 60_000), (3, 20_000)])
@pytest.mark.parametrize("kernel, p", DISCRETE, ids=name)
def test_steps_have_the_distribution_of_pushes_on_states(kernel, p, steps, n, chi_square):
    """Counts of (start, end) from uneven probabilities, |z| < 5: every row of the matrix, one step and three.

    Catches one site or one uniform for all chains, a value that is never drawn, an inverted conditional, hidden units at
    their means, a proposal that is always accepted; a push of something else.
    """
    states, log_w = p.space.atoms()
    n_states = len(states)
    mass = np.arange(1.0, n_states + 1) / (n_states * (n_states + 1) / 2)
    start = rng(1).choice(n_states, n, p=mass)
    x, _ = te.run(kernel, p, states[start], steps, rng(2))
    counts = np.zeros((n_states, n_states))
    np.add.at(counts, (start, p.space.grid().index(x)), 1)

    P = te.transition_matrix(p, kernel)
    assert abs(chi_square(counts, mass[:, None] * np.linalg.matrix_power(P, steps))) < 5


# ------------------------------------------------------------- step and push on continuous spaces

def features(x, edges):
    """What is compared: the cell of a product of `edges` that x lies in, x itself, and second moments."""
    cells = (len(edges) + 1) ** x.shape[1]
    cell = sum(np.digitize(x[:, a], edges) * (len(edges) + 1) ** a for a in range(x.shape[1]))
    pairs = itertools.combinations_with_replacement(range(x.shape[1]), 2)
    return np.column_stack([cell[:, None] == np.arange(cells), x, *(x[:, a] * x[:, b] for a, b in pairs)])


def triangular(space, n):
    """Per axis density 2t on the unit interval, t = √u, stretched to the box: (samples, its density, edges of panels)."""
    width = space.high - space.low
    density = lambda x: np.prod(2 * (x - space.low) / width**2, axis=1)
    return (space.low + width * np.sqrt(rng(0).random((n, space.dim))), density,
            np.linspace(space.low, space.high, space.panels + 1)[1:-1])


def normal(space, n, nodes):
    """N(0.5, 0.6²) per axis: (samples, its density, edges half-way between atoms)."""
    density = lambda x: np.prod(stats.norm.pdf(x, 0.5, 0.6), axis=1)
    step = 2 * space.extent / (nodes - 1)
    edges = -space.extent + step * (np.round((np.linspace(-1.5, 1.5, 7) + space.extent) / step) + 0.5)
    return 0.5 + 0.6 * rng(0).standard_normal((n, space.dim)), density, edges


@pytest.mark.parametrize("p, nodes, step_size", [
    (well(te.Reals(1, extent=5)), 512, 0.05), (well(te.Box(-1.2, 1.2, 1, panels=8)), 128, 0.05),
    (network(te.Reals(2, extent=5)), 65, 0.1), (network(te.Box(-1.2, 1.2, 2, panels=4)), 32, 0.1)], ids=name)  # fmt: skip
@pytest.mark.parametrize("kernel", [te.ULA, te.MALA])
def test_three_steps_have_the_distribution_of_three_pushes(kernel, p, nodes, step_size):
    """From one distribution, in cells and in moments: all |z| < 5.

    Catches, in either of the two, walls that clip or wrap instead of reflecting (ULA) or rejecting (MALA), a missing
    Hastings term, noise 1.5 times too large; and a run of two steps or four.
    """
    n, kernel = 50_000, kernel(step_size)
    x, density, edges = triangular(p.space, n) if p.space.bounded else normal(p.space, n, nodes)
    atoms, log_w = p.space.atoms(nodes)
    mass = density(atoms) * np.exp(log_w)

    x, _ = te.run(kernel, p, x, 3, rng(1))
    for _ in range(3):
        mass = kernel.push(mass, p)

    f, expected = features(x, edges), mass @ features(atoms, edges)
    seen = np.abs(expected) * n > 50  # the count in too rare a cell is not normal
    z = (f.mean(axis=0) - expected)[seen] / (f.std(axis=0)[seen] / math.sqrt(n))
    assert np.abs(z).max() < 5
    assert p.space.contains(x).all()


# ------------------------------------------------------------------------------------ invariance

@pytest.mark.parametrize("kernel, p", [pair for pair in EVERY if getattr(pair[0], "invariant", False)], ids=name)
def test_what_says_so_leaves_p_invariant(kernel, p):
    """Exact draws after a step, by their moments, |z| < 5; by its push p itself, to rounding.

    Catches an acceptance of another p, and a kernel that claims what only its parent does.
    """
    x = te.sample(p, 40_000, rng(0))
    y = kernel.step(p, x, rng(1)).x
    moments = lambda x: np.hstack([x, x**2, x[:, :1] * x[:, -1:] ** 3, np.cos(3 * x)])
    exact = np.array([te.expectation(p, lambda x, j=j: moments(x)[:, j]) for j in range(moments(y).shape[1])], dtype=float)
    varies = (spread := moments(y).std(axis=0)) > 1e-9
    z = (moments(y).mean(axis=0) - exact)[varies] / spread[varies] * math.sqrt(len(y))
    assert np.abs(z).max() < 5

    if hasattr(kernel, "push"):
        before = te.probabilities(p) if p.space.discrete else te.probabilities(p, 300 if p.space.dim == 1 else 40)
        assert np.abs(kernel.push(before, p) - before).max() < 1e-14
        assert abs(kernel.push(np.eye(len(before))[1], p).sum() - 1) < 1e-12


# ----------------------------------------------------------------- kernels of one's own, by parts

class Lazy:
    """Stays with probability 0.7, else jumps to the state (or the atom) of a fair draw: all parts of a kernel, by name."""

    def __init__(self, *parts):
        for part in parts:
            setattr(self, part, getattr(self, f"_{part}"))

    def step(self, p, x, rng):
        jump = rng.random((len(x), 1)) > 0.7
        return te.Move(np.where(jump, p.space.initial(len(x), rng), x))

    def _push(self, probabilities, p):
        return 0.7 * probabilities + 0.3 * probabilities.sum() / len(probabilities)

    def _operator(self, p, grid):
        weights = np.exp(grid.all()[1])
        return lambda mass: 0.7 * mass + 0.3 * mass.sum() * weights / weights.sum()

    def _spread(self, p, x, mass, grid):
        return self._operator(p, grid)(mass.sum() * np.eye(grid.size)[0]) - 0.7 * mass.sum() * np.eye(grid.size)[0], 0.7 * mass

    def __repr__(self):
        return "Lazy()"


ASKED = {
    "matrix": lambda p, kernel: te.transition_matrix(p, kernel, None if p.space.discrete else 30),
    "gap": lambda p, kernel: te.spectral_gap(p, kernel, None if p.space.discrete else 30),
    "exact CD": lambda p, kernel: te.exact_cd_gradient(p, uneven(p), kernel, 2)["W" if p.space.discrete else "barrier"],
    "neglected": lambda p, kernel: te.neglected_term(p, uneven(p), kernel, 2)["W" if p.space.discrete else "barrier"],
}  # fmt: skip


def uneven(p):
    """Uneven probabilities over the atoms."""
    x = p.space.atoms(None if p.space.discrete else 30)[0]
    weight = np.exp(-0.5 * ((x - 0.7) ** 2).sum(axis=1))
    return weight / weight.sum()


def matrix_of(p):
    """The transition matrix of Lazy."""
    log_w = p.space.atoms(None if p.space.discrete else 30)[1]
    return 0.7 * np.eye(len(log_w)) + 0.3 * np.exp(log_w) / np.exp(log_w).sum()


@pytest.mark.parametrize("parts", [("push",), ("operator",), ("push", "operator")], ids=str)
@pytest.mark.parametrize("p", [rbm(3, 2), well(te.Box(-1.5, 1.5, 1))], ids=name)
def test_a_push_or_an_operator_suffices(p, parts):
    """Without a parent: matrix, gap, exact CD and its neglected term.  Catches a kernel that must inherit to be followed."""
    kernel, P = Lazy(*parts), matrix_of(p)
    if parts == ("push",) and not p.space.discrete:
        P = 0.7 * np.eye(30) + 0.3 / 30
    np.testing.assert_allclose(ASKED["matrix"](p, kernel), P, atol=1e-15)
    assert abs(ASKED["gap"](p, kernel) - 0.3) < 1e-12

    mass = uneven(p)
    after = mass @ P @ P
    energy = lambda theta: p.energy(theta, p.space.atoms(None if p.space.discrete else 30)[0])
    slope = te.vjp(energy, p.theta)[1](mass - after)[0]["W" if p.space.discrete else "barrier"]
    np.testing.assert_allclose(ASKED["exact CD"](p, kernel), slope, atol=1e-14)
    np.testing.assert_array_equal(ASKED["neglected"](p, kernel), 0 * slope)  # its pushes do not depend on θ


def test_the_exact_objective_fits_by_a_push():
    """One update; the gradient is the function's.  Catches an objective that knows the package's kernels alone."""
    p, x = rbm(3, 2), te.Bits(3).initial(20, rng(0))
    objective = te.ExactContrastiveDivergence(Lazy("push"), 3)
    exact = te.exact_cd_gradient(p, x, Lazy("push"), 3)
    tree_map(np.testing.assert_array_equal, objective.gradient(p, x, rng(0)).gradient, exact)
    te.fit(p.energy, x, p.space, objective, steps=2, progress=False, exact=False)


def test_rows_and_densities_on_a_line():
    """An operator follows a Density, and rows of data ask for a spread.  Catches rows that are moved to atoms."""
    p, data = well(te.Box(-1.5, 1.5, 1)), well(te.Box(-1.5, 1.5, 1))
    kernel = Lazy("operator")
    found = te.exact_cd_gradient(p, data, kernel, 1, nodes=60)["barrier"]
    by_masses = te.exact_cd_gradient(p, te.probabilities(data, 60), kernel, 1)["barrier"]
    assert abs(found - by_masses) < 1e-12 and abs(found) > 0.01
    with pytest.raises(ValueError, match="Lazy.. has no spread for rows of data on Box.*: use te.ULA or te.MALA, or give prob"):
        te.exact_cd_gradient(p, np.zeros((3, 1)), kernel, 1)


@pytest.mark.parametrize("k", [1, 3])
def test_a_spread_starts_at_rows(k):
    """A part 0.7^k is still there, the rest is uniform.  Catches rows that take one step more or less than the rest."""
    p, x = well(te.Box(-1.5, 1.5, 1)), np.array([[-1.0], [0.2], [0.7]])
    slope = lambda x: (x[:, 0] ** 2 - 1) ** 2  # of the energy by its barrier
    atoms, log_w = p.space.atoms()
    uniform = np.exp(log_w) @ slope(atoms) / np.exp(log_w).sum()
    found = te.exact_cd_gradient(p, x, Lazy("operator", "spread"), k)["barrier"]
    assert abs(found - (1 - 0.7**k) * (slope(x).mean() - uniform)) < 1e-12


def test_a_push_alone_is_asked_for_the_space_s_own_grid():
    """Also of a kernel that says how far it moves.  Catches probabilities over the atoms of another grid."""
    seen = []
    kernel = type("Counting", (Lazy,), {
        "push": lambda self, probabilities, p: seen.append(len(probabilities)) or probabilities,
        "drift": lambda self, p, x: x, "noise_scale": 0.3})("spread")  # fmt: skip
    p = well(te.Box(-1.5, 1.5, 1))
    te.exact_cd_gradient(p, np.array([[-1.0], [0.2]]), kernel, 3)
    te.exact_cd_gradient(p, p, kernel, 1)
    assert set(seen) == {p.space.grid().size}


@pytest.mark.parametrize("ask", [*ASKED, "objective"])
def test_without_a_push_one_line_says_what_to_write(ask):
    """Catches an AttributeError, and a refusal that does not help."""
    refused = lambda: te.ExactContrastiveDivergence(Lazy()) if ask == "objective" else ASKED[ask](rbm(3, 2), Lazy())
    with pytest.raises(ValueError, match=r"Lazy\(\) has no push: write push\(probabilities, p\) -> probabilities") as error:
        refused()
    assert "\n" not in str(error.value)


def test_annealing_by_a_kernel_of_one_s_own():
    """It takes a step that says `invariant = True`, and refuses one that does not.  Catches a list of the package's kernels."""
    p = rbm(3, 2)
    found = te.ais(p, 500, rng(0), temperatures=30, kernel=Flip())
    assert abs(found - te.log_partition(p)) < 5 * found.error
    with pytest.raises(ValueError, match="does not say `invariant = True`"):
        te.ais(p, 50, rng(0), temperatures=5, kernel=Lazy())
