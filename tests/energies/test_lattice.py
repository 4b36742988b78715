"""Lattices: energies bond by bond, and the classic numbers of Ising's and Potts's models."""

import math

import numpy as np
import pytest

import tinyebm as te

rng = np.random.default_rng  # every test makes its own
TORI = {"torus_double": (True, False), "torus_simple": (True, True), "open": (False, True)}
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 5), (5, 1), (2, 2), (2, 3), (3, 2), (3, 4), (4, 3)]


def bonds(shape, periodic, simple):
    """Pairs of sites, found by walking right and down from every site; wrapped pairs only once if `simple`."""
    rows, cols = shape
    found = []
    for i in range(rows):
        for j in range(cols):
            for k, m in ((i, j + 1), (i + 1, j)):
                if periodic or (k < rows and m < cols):
                    found.append((i * cols + j, k % rows * cols + m % cols))
    if simple:
        found = {frozenset(pair) for pair in found if pair[0] != pair[1]}
    return [tuple(pair) for pair in found]


def ising(shape, J, h=0.0, periodic=True, simple=True):
    theta = {"coupling": np.array(J), "field": np.array(h)}
    return te.Density(te.Ising(shape, periodic, simple), theta, te.Spins(math.prod(shape)))


def plain(p):
    """The same density without its structure: Z is a sum over states."""
    return te.Density(lambda theta, x: p.energy(theta, x), p.theta, p.space)


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_energy_bond_by_bond(shape, periodic, simple):
    """Catches rows and columns exchanged, bonds that wrap an open side, and sides of 1 and 2 that are bound wrongly."""
    d, x = math.prod(shape), te.Cells(3, math.prod(shape)).initial(20, rng(0))
    pairs, s = bonds(shape, periodic, simple), 2.0 * (x > 0) - 1
    spin = [-0.7 * sum(row[i] * row[j] for i, j in pairs) + 0.4 * sum(row) for row in s]
    potts = [-0.7 * sum(row[i] == row[j] for i, j in pairs) for row in x]
    p = ising(shape, 0.7, -0.4, periodic, simple)

    assert p.energy.dim == te.Potts(3, shape).dim == d
    np.testing.assert_allclose(p.energy(p.theta, s), spin, atol=1e-13)
    np.testing.assert_allclose(te.Potts(3, shape, periodic, simple)({"coupling": np.array(0.7)}, x), potts, atol=1e-13)


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (3, 3), (5, 3)], ids=str)
def test_a_site_sees_its_bonds(shape, periodic, simple):
    """On spins, bits and three values: J times the sum over its bonds, found by walking; no others are `neighbours`.

    Catches a neighbour counted once on a ring of two, the wrong edge of an open side, and a bond of a site with itself.
    """
    d, pairs = math.prod(shape), bonds(shape, periodic, simple)
    for values in ((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0, 2.0)):
        x = rng(0).choice(values, (9, d))
        for energy, bond in ((te.Ising(shape, periodic, simple), lambda s, t: s * t),
                             (te.Potts(3, shape, periodic, simple), lambda s, t: 1.0 * (s == t))):
            theta = {"coupling": np.array(0.7)} | ({"field": np.array(-0.4)} if isinstance(energy, te.Ising) else {})
            u = np.zeros((9, d, len(values)))
            for i in range(d):
                for k, a in enumerate(values):
                    s = np.where(np.arange(d) == i, a, x)
                    u[:, i, k] = 0.7 * sum(bond(s[:, m], s[:, n]) for m, n in pairs if i in (m, n)) - 0.4 * a * ("field" in theta)
            found = energy.site_logits(theta, x, np.arange(d), values)
            expected = u[..., 1] - u[..., 0] if len(values) == 2 else u - u[..., :1]
            np.testing.assert_allclose(found if len(values) == 2 else found - found[..., :1], expected, atol=1e-13)
    seen = [{j for pair in pairs if i in pair for j in pair} | {i} for i in range(d)]
    assert [set(row) | {i} for i, row in enumerate(te.Ising(shape, periodic, simple).neighbours())] == seen


@pytest.mark.parametrize("name", ["2x2_torus_double", "2x2_torus_simple", "2x2_open", "3x3_torus_simple", "3x3_open",
                                  "4x4_torus_simple", "4x4_open"])  # fmt: skip
def test_small_squares(oracle, name):
    """log Z, mean and variance of the bond sum: by structure (its first and second derivatives by J) and by enumeration.

    Catches a transfer matrix with a wrong boundary, weights of classes, and a derivative lost in a checkpoint.
    """
    case = oracle(f"ising_{name}")
    L, (periodic, simple) = case["parameters"]["L"], TORI[case["parameters"]["boundary"]]
    for expected in case["expected"]:
        p = ising((L, L), expected["K"], 0.0, periodic, simple)
        log_z = lambda J, p=p: p.energy.log_partition({**p.theta, "coupling": J}, p.space)
        J, bond_sum = p.theta["coupling"], lambda x, p=p: -plain(p).energy({**p.theta, "coupling": 1.0}, x)
        both = te.expectation(plain(p), lambda x, f=bond_sum: np.stack([f(x), f(x) ** 2], axis=1))

        for value in (log_z(J), te.log_partition(p), te.log_partition(plain(p))):
            assert abs(value - expected["logZ"]) < 1e-11
        for mean in (te.grad(log_z)(J), both[0]):
            assert abs(mean - expected["mean_bond_sum"]) < 1e-11
        assert abs(te.hvp(log_z, J, np.array(1.0)) - expected["var_bond_sum"]) < 1e-11
        assert abs(both[1] - both[0] ** 2 - expected["var_bond_sum"]) < 1e-10


def test_states_of_zero_energy(oracle):
    """The numbers of OEIS A364781, in which sides of 1 and 2 are bound twice.  Catches every bond counted once."""
    for size, count in oracle("ising_zero_energy_counts_oeis_A364781")["expected"].items():
        if "x" in size:
            p = ising(tuple(map(int, size.split("x"))), 1.0, simple=False)
            assert int((p.energy(p.theta, p.space.atoms()[0]) == 0).sum()) == count, size


def test_onsager_at_the_critical_point(oracle):
    """log Z per site of 8² (transfer matrix), 32² and 128² (Kaufman), towards ln 2 / 2 + 2G / π with 0.64 / L².

    Catches Kaufman's last product without the sign of γ_0, which is zero here.
    """
    expected, K = oracle("ising_onsager_critical_free_energy")["expected"], math.log(1 + math.sqrt(2)) / 2
    for L in (8, 32, 128):
        log_z = te.log_partition(ising((L, L), K))
        assert abs(log_z / L**2 - expected[f"L{L}"]) < 1e-10
    assert abs(log_z - expected["limit"] * L**2 - expected["L2_times_excess_at_128"]) < 1e-9  # of 15000


def test_rings_and_chains(oracle):
    """λ₊ⁿ + λ₋ⁿ with a field, cosh^{n-1} for an open chain, Potts's ring.  Catches a field of half or twice its strength."""
    case = oracle("ising_ring_field")
    for (n, K, h), expected in zip(case["parameters"]["cases"], case["expected"], strict=True):
        for shape in ((1, n), (n, 1)):
            for p in (ising(shape, K, h), plain(ising(shape, K, h)), ising(shape, K, -h)):
                assert abs(te.log_partition(p) - expected["logZ"]) < 1e-12

    case = oracle("ising_open_chain")
    n, K = case["parameters"]["n"], case["parameters"]["K"]
    for J in (K, -K):
        assert abs(te.log_partition(ising((1, n), J, periodic=False)) - case["expected"]["logZ"]) < 1e-12

    case = oracle("potts_ring")
    for (q, n, K), expected in zip(case["parameters"]["cases"], case["expected"], strict=True):
        for shape in ((1, n), (n, 1)):
            p = te.Density(te.Potts(q, shape), {"coupling": np.array(K)}, te.Cells(q, n))
            assert abs(te.log_partition(p) - expected["logZ"]) < 1e-12
            assert abs(te.log_partition(plain(p)) - expected["logZ"]) < 1e-12


def test_two_colours_are_two_spins():
    """[a = b] = (1 + st) / 2: Potts's model with q = 2 and 2J is Ising's, but for J a bond.  Catches a factor 2."""
    spins = te.log_partition(ising((3, 4), 0.35))
    colours = te.log_partition(te.Density(te.Potts(2, (3, 4)), {"coupling": np.array(0.7)}, te.Cells(2, 12)))

    assert abs(colours - spins - 0.35 * len(bonds((3, 4), True, True))) < 1e-12


@pytest.mark.parametrize("name", ["Ising", "Potts"])
def test_starts_are_scalars(name):
    """Catches θ that is not an array, or a start at a state of no interaction."""
    theta = (te.Ising((2, 3)) if name == "Ising" else te.Potts(3, (2, 3))).init(rng(0))

    assert all(leaf.shape == () and leaf.dtype == float for leaf in theta.values())
    assert theta == ({"coupling": 0.1, "field": 0.0} if name == "Ising" else {"coupling": 0.1})


@pytest.mark.parametrize(("make", "message"), [
    (lambda: te.Ising(4), r"shape must be two positive integers \(rows, cols\), got 4"), (lambda: te.Ising((4,)), "got"),
    (lambda: te.Ising((2, 3, 4)), "got"), (lambda: te.Potts(3, (0, 3)), "got"), (lambda: te.Ising((2.5, 3)), "got"),
    (lambda: te.Potts(1, (2, 2)), "q must be a number of values >= 2, got 1"), (lambda: te.Potts(True, (2, 2)), "got True"),
    (lambda: te.Ising((True, 3)), "got")])  # fmt: skip
def test_nonsense_is_refused(make, message):
    """Catches a lattice of other dimensions than two, and counts that are none."""
    with pytest.raises(ValueError, match=message):
        make()
