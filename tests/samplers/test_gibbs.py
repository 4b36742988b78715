"""Gibbs kernels: `push` against transition matrices written out in loops, `step` against `push`, both against p."""

import itertools
import math

import numpy as np
import pytest

import tinyebm as te

rng = np.random.default_rng  # every test makes its own
SMALL = [te.Bits(3), te.Spins(3), te.Cells(3, dim=2), te.Cells(4), te.Bits(1)]
LARGE = [te.Bits(7), te.Spins(6), te.Cells(3, dim=4), te.Cells(5, dim=2)]
LAYERS = [(1, 1), (1, 3), (3, 1), (2, 3), (3, 2), (4, 5), (5, 2)]
SCANS = ["systematic", "random", "coloured"]


def rough(space, seed=0, scale=1.0):
    """A density with an energy of its own for every state: no symmetry is left that could hide a mistake."""
    grid = space.grid()
    return te.Density(lambda theta, x: theta[grid.index(x)], rng(seed).normal(0, scale, grid.size), space)


def rbm(visible, hidden, seed=0):
    r = rng(seed)
    theta = {"W": r.normal(0, 1.5, (visible, hidden)), "b": r.normal(0, 1, visible), "c": r.normal(0, 1, hidden)}
    return te.Density(te.RBM(visible, hidden), theta, te.Bits(visible))


def bits(n):
    return list(itertools.product((0, 1), repeat=n))


def gibbs_by_definition(p, scan, order=None):
    """The transition matrix: at site i, P(x with x_i = a | x) = e^{-E} over the sum of e^{-E} over a; sites in order."""
    states = list(itertools.product(p.space.values, repeat=p.space.dim))
    weight = {s: math.exp(-p.energy(p.theta, np.array([s]))[0]) for s in states}
    sites = []
    for i in order or range(p.space.dim):
        T = np.zeros((len(states), len(states)))
        for row, s in enumerate(states):
            turned = [s[:i] + (a,) + s[i + 1 :] for a in p.space.values]
            for t in turned:
                T[row, states.index(t)] += weight[t] / sum(weight[t] for t in turned)
        sites.append(T)
    return sum(sites) / len(sites) if scan == "random" else np.linalg.multi_dot([*sites, np.eye(len(states))])


def block_by_definition(p):
    """The transition matrix Σ_h P(h | v) P(v' | h), from the table of e^{-E(v,h)}."""
    v, h = np.array(bits(p.energy.visible)), np.array(bits(p.energy.hidden))
    table = np.exp(v @ p.theta["W"] @ h.T + (v @ p.theta["b"])[:, None] + h @ p.theta["c"])
    return (table / table.sum(axis=1, keepdims=True)) @ (table / table.sum(axis=0)).T


def uneven(n):
    """A law far from any of ours: probabilities 1, 2, ..., n over their sum."""
    return np.arange(1.0, n + 1) / (n * (n + 1) / 2)



# ------------------------------------------------------------------------------ site by site

@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("space", SMALL, ids=repr)
def test_push_is_the_matrix_of_the_definition(space, scan):
    """Catches the energy's sign, sites in reverse order, sweeps for single sites, and matrices transposed."""
    p, kernel = rough(space), te.Gibbs(scan)
    T, law = gibbs_by_definition(p, scan), uneven(space.grid().size)

    np.testing.assert_allclose(kernel.push(law, p), law @ T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(te.transition_matrix(p, kernel), T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("energy, space, order", [
    (te.Ising((2, 3)), te.Spins(6), [0, 4, 1, 3, 2, 5]), (te.Ising((3, 3)), te.Spins(9), [0, 4, 8, 1, 3, 2, 6, 5, 7]),
    (te.Ising((2, 2), simple=False), te.Bits(4), [0, 3, 1, 2]), (te.Potts(3, (1, 4)), te.Cells(3, 4), [0, 2, 1, 3]),
    (te.Potts(2, (1, 5)), te.Cells(2, 5), [0, 2, 1, 3, 4]), (te.RBM(3, 2), te.Bits(3), [0, 1, 2])], ids=repr)  # fmt: skip
def test_push_colour_by_colour(energy, space, order):
    """Colours found by hand.  Catches a push in the order of the numbers, or of other colours than those of a step."""
    theta = energy.init(rng(0))
    p = te.Density(energy, {name: leaf + rng(1).normal(0, 0.5, leaf.shape) for name, leaf in theta.items()}, space)
    T, law = gibbs_by_definition(p, "coloured", order), uneven(space.grid().size)

    assert np.concatenate(te.samplers.sites.sets(p, "coloured")).tolist() == order
    np.testing.assert_allclose(te.Gibbs("coloured").push(law, p), law @ T, rtol=0, atol=1e-14)
    before = te.probabilities(p)
    for scan in SCANS:
        assert np.abs(te.Gibbs(scan).push(before, p) - before).max() < 1e-14


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("space", LARGE, ids=repr)
def test_push_keeps_p(space, scan):
    """To 1e-14, and the mass of any law.  Catches a conditional law that is not normalised, or is another site's."""
    p, kernel = rough(space, scale=2.0), te.Gibbs(scan)

    law = te.probabilities(p)
    assert np.abs(kernel.push(law, p) - law).max() < 1e-14
    assert abs(kernel.push(uneven(len(law)), p).sum() - 1) < 1e-14



def test_one_site_is_one_site():
    """A step of the random scan changes at most one site, and every one of them.  Catches a whole sweep, or the first site."""
    x = te.Spins(6).initial(4000, rng(0))
    changed = te.Gibbs("random").step(rough(te.Spins(6), scale=0.1), x, rng(1)).x != x

    assert changed.sum(axis=1).max() == 1 and (changed.sum(axis=0) > 4000 / 6 / 2 - 5 * 19).all()
    assert te.Gibbs().step(rough(te.Spins(6), scale=0.1), x, rng(1))[1:] == (None, None)


def test_certain_conditionals():
    """Energies a thousand apart.  Catches e^{-E} of single states, which is 0 / 0, and draws of what has no mass."""
    p = te.Density(lambda theta, x: 1000.0 * (x[:, 0] - x[:, 1]), {}, te.Bits(2))
    law = te.Gibbs().push(np.full(4, 0.25), p)

    assert law.tolist() == [0, 1, 0, 0]  # x = (0, 1)
    assert te.Gibbs().step(p, te.Bits(2).atoms()[0], rng(0)).x.tolist() == [[0, 1]] * 4



def test_what_gibbs_is_not_for():
    with pytest.raises(ValueError, match="scan must be one of systematic, random, coloured, got 'sweep'"):
        te.Gibbs("sweep")
    for ask in (lambda p: te.Gibbs().step(p, np.zeros((2, 1)), rng(0)), lambda p: te.Gibbs().push(np.ones(8) / 8, p)):
        with pytest.raises(ValueError, match="Gibbs redraws sites with a few values each: Reals.* is not discrete"):
            ask(te.Density(te.Quartic(), te.Quartic().init(rng(0)), te.Reals(1)))


# ---------------------------------------------------------------------------- layer by layer

@pytest.mark.parametrize(("visible", "hidden"), LAYERS)
def test_block_push_is_the_matrix_of_the_definition(visible, hidden):
    """Odd and single units too.  Catches units lost between the halves of a layer, states of a half in reverse, W transposed."""
    p = rbm(visible, hidden)
    T, law = block_by_definition(p), uneven(2**visible)

    np.testing.assert_allclose(te.BlockGibbs().push(law, p), law @ T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(te.transition_matrix(p, te.BlockGibbs()), T, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("visible", "hidden"), [*LAYERS, (12, 5), (5, 12), (11, 11)])
def test_block_push_keeps_p(visible, hidden):
    """To 1e-14; 12 visible units come in several blocks.  Catches a block of states paired with the first block's mass."""
    p = rbm(visible, hidden)
    law = te.probabilities(p)

    assert np.abs(te.BlockGibbs().push(law, p) - law).max() < 1e-14
    assert abs(te.BlockGibbs().push(uneven(len(law)), p).sum() - 1) < 1e-13


def test_numbers_of_a_small_machine(oracle):
    """The oracle's first row of the transition matrix, and its spectrum.  Catches h -> v -> h in place of v -> h -> v."""
    case = oracle("rbm_4x3_exact")
    p = te.Density(te.RBM(4, 3), {name: np.array(case["parameters"][name]) for name in "Wbc"}, te.Bits(4))
    row, values = te.transition_matrix(p, te.BlockGibbs())[0], te.spectrum(p, te.BlockGibbs())

    np.testing.assert_allclose(row, case["expected"]["transition_matrix_row0"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(values[:6], case["expected"]["transition_eigenvalues"], rtol=0, atol=1e-12)



def test_gaussian_visible_units():
    """From one v, E[v'] = b + σ W π and cov v' = σ² (1 + W diag(π(1 - π)) Wᵀ), π_j = sigm(c_j + (vᵀW)_j / σ): |z| < 5.

    Catches a hidden layer at its mean, v not divided by σ, noise of another scale.
    """
    n, sigma, r = 100_000, 1.7, rng(3)
    W, b, c, v = r.normal(0, 1, (2, 3)), r.normal(0, 1, 2), r.normal(0, 1, 3), np.array([[0.8, -1.1]])
    theta = {"W": W, "b": b, "c": c, "log_scale": np.array(math.log(sigma))}
    p = te.Density(te.GaussianBernoulliRBM(2, 3), theta, te.Reals(2))
    x = te.BlockGibbs().step(p, np.repeat(v, n, axis=0), rng(4)).x

    on = 1 / (1 + np.exp(-(c + v[0] @ W / sigma)))
    mean, covariance = b + sigma * W @ on, sigma**2 * (np.eye(2) + W * (on * (1 - on)) @ W.T)
    centred = x - mean
    products = centred[:, :, None] * centred[:, None]
    assert np.abs(centred.mean(axis=0) / np.sqrt(np.diag(covariance) / n)).max() < 5
    assert np.abs((products.mean(axis=0) - covariance) / (products.std(axis=0) / math.sqrt(n))).max() < 5


def test_what_block_gibbs_is_not_for():
    p = te.Density(te.BoltzmannMachine(3), te.BoltzmannMachine(3).init(rng(0)), te.Bits(3))
    for ask in (lambda: te.BlockGibbs().step(p, np.zeros((2, 3)), rng(0)), lambda: te.BlockGibbs().push(np.ones(8) / 8, p)):
        with pytest.raises(ValueError, match="BlockGibbs needs two layers of units"):
            ask()
    machine = te.GaussianBernoulliRBM(1, 2)
    with pytest.raises(ValueError, match="push: RBM alone"):
        te.BlockGibbs().push(np.ones(512) / 512, te.Density(machine, machine.init(rng(0)), te.Reals(1)))


# ---------------------------------------------------------------------------- impossible states

def test_sites_without_a_law_become_nan():
    """Of three bits neighbours are never both on: 110 is impossible with each value of its last site; its first site heals it.

    Catches the first value taken for a draw where no value is possible, or an energy is nan.
    """
    both = lambda x: x[:, 0] * x[:, 1] + x[:, 1] * x[:, 2]
    hard = te.Density(lambda theta, x: te.ops.where(both(x) > 0.5, np.inf, 0.0 * x[:, 0]), {}, te.Bits(3))
    holed = te.Density(lambda theta, x: te.ops.where(x[:, 2] > 0.5, np.nan, 0.0 * x[:, 0]), {}, te.Bits(3))
    last = te.samplers.gibbs._redraw(hard, np.array([[1.0, 1, 0], [0, 1, 1], [0, 0, 0]]), np.arange(3) == 2,
                                     np.random.default_rng(0))

    assert np.isnan(last[0, 2]) and last[1, 2] == 0.0 and last[2, 2] in (0.0, 1.0)
    for dtype in ("float32", "float64"):
        x = np.repeat(np.array([[1.0, 1, 0], [0, 0, 0]], dtype), 200, axis=0)
        moved = te.Gibbs().step(hard, x, np.random.default_rng(0)).x
        assert moved.dtype == dtype and hard.space.contains(moved).all() and np.isfinite(hard.energy({}, moved)).all()
        assert np.isnan(te.Gibbs().step(holed, x, np.random.default_rng(0)).x).any(axis=1).all()


def test_layers_of_nan_are_refused():
    """Catches hidden units that are off where they have no law."""
    rbm = te.RBM(3, 2)
    theta = rbm.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="x or theta holds nan: at row 0 hidden units have no distribution"):
        te.BlockGibbs().step(te.Density(rbm, theta | {"c": np.array([0.0, np.nan])}, te.Bits(3)), np.zeros((2, 3)),
                             np.random.default_rng(0))


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_in_blocks_of_chains_are_the_same(scan, dtype, monkeypatch):
    """Catches chains that are redrawn at the sites, or with the random numbers, of others."""
    p, x = rough(te.Cells(3, dim=4)), te.Cells(3, dim=4).initial(101, rng(0)).astype(dtype)
    whole = te.Gibbs(scan).step(p, x, rng(1)).x
    monkeypatch.setattr("tinyebm.samplers.gibbs.NUMBERS", 3 * 4 * 17)
    np.testing.assert_array_equal(te.Gibbs(scan).step(p, x, rng(1)).x, whole)
