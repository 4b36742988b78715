"""Z of lattices without enumeration: the transfer matrix against sums over states, Kaufman's formula against the matrix."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.energies.transfer import _classes, log_z_of_torus

rng = np.random.default_rng  # every test makes its own
SHAPES = [(1, 1), (1, 2), (2, 2), (2, 1), (3, 2), (2, 5), (3, 3), (4, 3), (1, 7), (3, 4)]


def ising(shape, J, h=0.0, periodic=True, simple=True):
    theta = {"coupling": np.array(J), "field": np.array(h)}
    return te.Density(te.Ising(shape, periodic, simple), theta, te.Spins(math.prod(shape)))


def plain(p):
    """The same density without its structure: Z is a sum over states."""
    return te.Density(lambda theta, x: p.energy(theta, x), p.theta, p.space)


def same(p, q, x, atol=1e-12):
    """log Z and its derivatives agree."""
    assert abs(te.log_partition(p) - te.log_partition(q)) < atol
    ours, theirs = te.nll_gradient(p, x), te.nll_gradient(q, x)
    for name in p.theta:
        assert abs(ours[name] - theirs[name]) < 10 * atol


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_columns_equal_enumeration(shape, periodic, simple):
    """log Z, and its derivatives by J and h, of either sign; Potts's model with three colours.

    Catches a power of S that is off by one, half a field, a halved or forgotten bond in the
    column, a wrap that `simple` should not count, weights of classes, and a torus that is open.
    """
    d = math.prod(shape)
    for J, h in ((0.5, 0.3), (-0.6, 0.2), (0.9, -0.4), (0.0, 1.0), (0.7, 0.0)):
        p = ising(shape, J, h, periodic, simple)
        same(p, plain(p), p.space.initial(3, rng(0)))
    if d <= 9:
        for J in (0.8, -0.5):
            p = te.Density(te.Potts(3, shape, periodic, simple), {"coupling": np.array(J)}, te.Cells(3, d))
            same(p, plain(p), p.space.initial(3, rng(0)))


def test_classes_are_orbits():
    """Of columns of r spins: as many as Burnside counts for rotations and reflections, and 2^r columns in all.

    Catches an orbit taken twice, which no sum of weights would show, and reflections forgotten.
    """
    for r in range(1, 11):
        rotations = sum(2 ** math.gcd(r, k) for k in range(r))
        reflections = r * 2 ** ((r + 1) // 2) if r % 2 else r // 2 * (2 ** (r // 2) + 2 ** (r // 2 + 1))
        states, weights = _classes((-1.0, 1.0), r)
        assert len(states) == (rotations + reflections) // (2 * r) and weights.sum() == 2**r
    assert len(_classes((-1.0, 1.0), 14)[0]) == 687


@pytest.mark.parametrize("shape", [(2, 500), (3, 101), (2, 3)], ids=str)
def test_long_tori_by_eigenvalues(shape):
    """Σ λ^c over the eigenvalues of e^{J s·t + ...}, with NumPy, of 4 x 4 and 8 x 8.  Catches overflow, and odd or even c alone.

    The columns of two are bound once here, as `simple` says.
    """
    (r, c), J, h = shape, 0.4, -0.15
    s = 2.0 * ((np.arange(2**r)[:, None] >> np.arange(r)) & 1) - 1
    inner = sum(s[:, i] * s[:, (i + 1) % r] for i in range(r)) / (2 if r == 2 else 1)
    u = J * inner + h * s.sum(axis=1)
    values = np.linalg.eigvalsh(np.exp(J * s @ s.T + (u[:, None] + u) / 2))
    log_z = c * math.log(values.max()) + math.log(((values / values.max()) ** c).sum())

    assert abs(te.log_partition(ising(shape, J, h)) - log_z) < 1e-13 * log_z
    assert abs(te.log_partition(ising(shape[::-1], J, h)) - log_z) < 1e-13 * log_z


def test_long_chains():
    """n log 2 + (n - 1) log cosh J at n = 10000.  Catches overflow, and a chain of n bonds."""
    n, J = 10_000, -0.7
    log_z = n * math.log(2) + (n - 1) * math.log(math.cosh(J))

    assert abs(te.log_partition(ising((1, n), J, periodic=False)) - log_z) < 1e-13 * log_z


@pytest.mark.parametrize("J", [0.05, 0.2, 0.4406867935097715, 0.45, 0.8, 2.0, 0.0, -0.05, -0.4406867935097715, -0.45, -0.6, -2.0])
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (5, 5), (6, 9), (2, 2), (2, 5), (4, 4), (1, 5), (8, 7), (1, 1)], ids=str)
def test_kaufman_equals_columns(shape, J):
    """log Z, its first and its second derivative, on both sides of the critical couplings and of 0; sides of 1 and 2 bound twice.

    Catches a lost sign of γ_0, odd and even exchanged, rows for columns, (2 sinh 2J)^n for its root, a pole at J = 0, and the Z
    of |J| where an odd side hinders neighbours from differing.
    """
    if J == -2.0 and all(side % 2 for side in shape):
        return  # two odd sides: the sums cancel, see below
    columns = lambda J: te.Ising(shape, simple=False).log_partition({"coupling": J, "field": np.array(0.0)}, te.Spins(1))
    kaufman, J = (lambda J: log_z_of_torus(*shape, J)), np.array(J)

    assert abs(kaufman(J) - columns(J)) < 1e-12 * (1 + abs(columns(J)))
    assert abs(te.grad(kaufman)(J) - te.grad(columns)(J)) < 1e-10
    assert abs(te.hvp(kaufman, J, np.array(1.0)) - te.hvp(columns, J, np.array(1.0))) < 1e-8


def test_large_tori():
    """40 x 90 has neither a column nor a list of states: at J > 0, h = 0 Kaufman's formula is used, and turns with the torus.

    Catches overflow of e^{mγ/2}, a derivative by h that is not 0, and a formula used where it does not hold.
    """
    for J in (0.01, 0.44, 3.0):
        log_z, turned = te.log_partition(ising((40, 90), J)), te.log_partition(ising((90, 40), J))
        assert abs(log_z - turned) < 1e-12 * log_z
        weak = 3600 * (math.log(2) + 2 * math.log(math.cosh(J)))  # and loops of four bonds: 3600 tanh(J)^4
        assert J != 0.01 or abs(log_z - weak - 3600 * math.tanh(J) ** 4) < 3600 * 4 * J**6
    for J in (0.3, -0.3):  # far from the critical point a site does not know how large the torus is
        assert te.log_partition(ising((2000, 2000), J)) / 2000**2 == pytest.approx(te.log_partition(ising((80, 80), J)) / 80**2)
    assert te.nll_gradient(ising((16, 16), 0.4), np.ones((1, 256)))["field"] == -256
    for p in (ising((16, 16), -0.4, -0.1), ising((16, 16), 0.4, 0.1), ising((16, 16), 0.4, periodic=False)):
        with pytest.raises(te.QuadratureError, match=r"2\^256 states are too many .* at J = -?0.4, h = .* a side of at most 14"):
            te.log_partition(p)


@pytest.mark.parametrize("J", [0.01, 0.3, 0.5, 1.0, 7.0])
def test_even_tori_do_not_know_the_sign_of_the_coupling(J):
    """One sublattice turned over: log Z and its second derivative are even in J, the first is odd; exactly, to rounding.

    Catches a list of 2^256 states wanted where J < 0, and a derivative by |J|.
    """
    for shape in ((16, 16), (18, 40)):
        log_z = lambda J, shape=shape: ising(shape, 0.0).energy.log_partition({"coupling": J, "field": np.array(0.0)}, te.Spins(1))
        up, down, one = np.array(J), np.array(-J), np.array(1.0)

        assert abs(log_z(up) - log_z(down)) < 1e-13 * log_z(up)
        assert abs(te.grad(log_z)(up) + te.grad(log_z)(down)) < 1e-10
        assert abs(te.hvp(log_z, up, one) - te.hvp(log_z, down, one)) < 1e-8


def test_odd_tori_below_zero():
    """15 x 16 at J = -20: 16 rows of 15 spins have one bond each that cannot be satisfied, in 30 ways altogether.

    17 x 17 at -0.2 by the series in tanh J: 34 loops of odd length 17, so small that only their order can be asked.
    Catches differences of nearly equal products that are all rounding, and an odd side taken for an even one.
    """
    p = ising((15, 16), -20.0)
    assert te.log_partition(p) == pytest.approx(448 * 20.0 + math.log(30), rel=1e-14)
    assert te.nll_gradient(p, np.ones((1, 240)))["coupling"] == pytest.approx(-480 - 448, rel=1e-12)

    odd = te.log_partition(ising((17, 17), 0.2)) - te.log_partition(ising((17, 17), -0.2))
    assert 0 < odd < 2 * 34 * math.tanh(0.2) ** 17 * math.exp(17 * 2 * 0.2)
    assert te.log_partition(ising((16, 17), -0.2)) < te.log_partition(ising((16, 17), 0.2))


@pytest.mark.parametrize(("shape", "J"), [((15, 15), -1.0), ((17, 15), -300.0), ((15, 16), -24.0), ((128, 129), -3.0)])
def test_what_cancels_or_underflows_is_refused(shape, J):
    """Catches a logarithm of rounding errors: at 15 x 15 and J = -1 ten digits of log Z would be wrong, and no error said so."""
    with pytest.raises(te.QuadratureError, match="at J = -.*if a side is odd, unless J is far below 0"):
        te.log_partition(ising(shape, J))


def test_digits_that_cancel_are_few(monkeypatch):
    """Two odd sides and J < 0, wherever it is not refused: within the error that `log_partition` states.

    Catches a limit of cancellation that is too generous.
    """
    refused = 0
    for J in -np.arange(0.02, 2.0, 0.02):
        p = ising((9, 9), J)
        truth = te.log_partition(p)
        monkeypatch.setattr("tinyebm.energies.lattice.LARGEST_COLUMN", 1)
        try:
            found = te.log_partition(p)
            assert abs(found - truth) <= found.error
        except te.QuadratureError:
            refused += 1
        monkeypatch.undo()
    assert 60 < refused < 80


def test_derivatives_that_no_formula_gives_are_refused():
    """Catches a susceptibility of 0: Kaufman's formula gives the first derivative by h alone."""
    log_z = lambda h: te.Ising((16, 16)).log_partition({"coupling": np.array(0.3), "field": h}, te.Spins(256))
    assert te.grad(log_z)(np.array(0.0)) == 0.0
    with pytest.raises(ValueError, match="the first derivative by this parameter is known"):
        te.hvp(log_z, np.array(0.0), np.array(1.0))


def test_single_precision_of_theta_is_no_error():
    """Catches sums in the precision of θ under an error bar of double precision."""
    for J, h in ((0.4, 0.0), (-0.4, 0.0), (0.0, 0.0)):
        single = te.Density(te.Ising((16, 16)), {"coupling": np.float32(J), "field": np.float32(h)}, te.Spins(256))
        double = ising((16, 16), float(np.float32(J)), float(np.float32(h)))
        assert te.log_partition(single) == te.log_partition(double)


def test_lattices_that_can_be_listed_are():
    """One site of 20000 values, whose transfer matrix is too large.  Catches a refusal of what a sum gives."""
    p = te.Density(te.Potts(20_000, (1, 1), simple=False), {"coupling": np.array(0.3)}, te.Cells(20_000, 1))
    assert te.log_partition(p) == pytest.approx(math.log(20_000) + 0.6, rel=1e-13)
    with pytest.raises(te.QuadratureError, match=r"3\^81 states .* only with a side of at most 8 or at J = 0; te.ais"):
        te.log_partition(te.Density(te.Potts(3, (9, 9)), {"coupling": np.array(0.3)}, te.Cells(3, 81)))


def test_the_advice_of_the_refusals_works():
    """te.ais, te.run with te.Gibbs(), Pseudolikelihood and contrastive divergence on 16 x 16 spins in a field, at J < 0.

    log Z against the torus without field, whose Z is known.  Catches advice to use what is refused.
    """
    p, kernel = ising((16, 16), -0.2), te.Gibbs()
    found = te.ais(p, 40, rng(0), temperatures=60)
    assert abs(found - te.log_partition(p)) < 5 * found.error < 1.0

    p = ising((16, 16), -0.2, 0.1)
    x, _ = te.run(kernel, p, p.space.initial(8, rng(0)), 2, rng(1))
    for objective in (te.Pseudolikelihood(), te.ContrastiveDivergence(kernel, 1)):
        assert np.isfinite(objective.gradient(p, x, rng(2)).gradient["coupling"])


def test_structure_is_for_its_own_values():
    """Ising's energy on bits, and Potts's on other numbers of cells, are sums over states.  Catches Z of spins for bits."""
    theta = {"coupling": np.array(0.5), "field": np.array(0.2)}
    for p in (te.Density(te.Ising((2, 3)), theta, te.Bits(6)), te.Density(te.Potts(3, (2, 2)), theta, te.Cells(4, 4)),
              te.Density(te.Potts(3, (2, 2)), theta, te.Cells(2, 4))):
        assert p.energy.log_partition(theta, p.space) is None
        assert te.log_partition(p) == te.log_partition(plain(p))


@pytest.mark.parametrize("J", [60.0, 150.0, 400.0])
@pytest.mark.parametrize("shape", [(4, 5), (1, 6), (20, 20)])
def test_frozen_lattices(shape, J):
    """All spins alike, Z = 2 e^{2 J n} with two bonds a site: catches overflow of e^{J r}, and 0 / 0 in the derivative."""
    model = te.Ising(shape)
    n, bonds = model.dim, model.dim * (1 if 1 in shape else 2)
    theta = {"coupling": np.array(J), "field": np.array(0.0)}
    p = te.Density(model, theta, te.Spins(n))

    assert te.log_partition(p) == pytest.approx(bonds * J + np.log(2), rel=1e-14)
    gradient = te.nll_gradient(p, np.ones((1, n)))
    assert abs(gradient["coupling"]) < 1e-9 and abs(gradient["field"] + n) < 1e-9


def test_what_is_no_lattice_is_refused():
    """Catches Z of nine spins given for eight, and nan given for Z."""
    theta = {"coupling": np.array(0.3), "field": np.array(0.0)}
    with pytest.raises(ValueError, match=r"dimension 9, the space Spins\(dim=8\) has 8"):
        te.log_partition(te.Density(te.Ising((3, 3)), theta, te.Spins(8)))
    with pytest.raises(te.QuadratureError, match="came out as nan"):
        te.log_partition(te.Density(te.Ising((3, 3)), {**theta, "coupling": np.array(np.nan)}, te.Spins(9)))


@pytest.mark.parametrize(("shape", "J", "h"), [
    ((12, 12), 400.0, 0.1), ((4, 6), -300.0, 0.0), ((6, 6), -400.0, 0.2), ((4, 4), 3.0, -500.0)])  # fmt: skip
def test_frozen_lattices_in_many_blocks(shape, J, h):
    """Ground states have all the weight: one in a field, two checkerboards if J < 0.  Catches start columns that underflow."""
    n = shape[0] * shape[1]
    p = te.Density(te.Ising(shape), {"coupling": np.array(J), "field": np.array(h)}, te.Spins(n))
    board = (-1.0) ** np.add.outer(np.arange(shape[0]), np.arange(shape[1])).reshape(1, -1)
    ground = board if J < 0 else np.full((1, n), np.sign(h))

    assert te.log_partition(p) == pytest.approx(-p.energy(p.theta, ground)[0] + (np.log(2) if J < 0 else 0.0), rel=1e-14)
    gradient = te.nll_gradient(p, ground)
    assert abs(gradient["coupling"]) < 1e-9 and abs(gradient["field"]) < 1e-9


def test_frustration_beyond_floats_is_refused():
    """Odd sides, J = -200: overlaps of e^-800 and less.  Catches a gradient of nan without a word."""
    p = te.Density(te.Ising((3, 3)), {"coupling": np.array(-200.0), "field": np.array(0.0)}, te.Spins(9))
    for ask in (te.log_partition, lambda p: te.nll_gradient(p, np.ones((1, 9)))):
        with pytest.raises(te.QuadratureError, match="too large"):
            ask(p)


@pytest.mark.parametrize("periodic", [True, False])
def test_independent_sites_of_any_lattice(monkeypatch, periodic):
    """J = 0: N log(2 cosh h), N log q, and slopes as of a small lattice whose columns are forbidden.

    Catches a lattice in a field that is refused where its spins are independent, and a slope by J without the bonds.
    """
    assert te.log_partition(ising((16, 20), 0.0, -0.7, periodic)) == pytest.approx(320 * math.log(2 * math.cosh(0.7)), rel=1e-14)
    potts = te.Potts(3, (9, 10), periodic)
    p = te.Density(potts, {"coupling": np.array(0.0)}, te.Cells(3, 90))
    assert te.log_partition(p) == pytest.approx(90 * math.log(3), rel=1e-14)

    for p, small in ((ising((3, 4), 0.0, 0.6, periodic), te.Spins(12)),
                     (te.Density(te.Potts(3, (3, 3), periodic), {"coupling": np.array(0.0)}, te.Cells(3, 9)), te.Cells(3, 9))):
        slope = lambda p=p, small=small: te.grad(lambda theta: p.energy.log_partition(theta, small))(p.theta)
        truth = slope()
        monkeypatch.setattr("tinyebm.energies.lattice.LARGEST_COLUMN", 1)
        found = slope()
        monkeypatch.undo()
        assert found.keys() == truth.keys()
        for name in truth:
            np.testing.assert_allclose(found[name], truth[name], rtol=1e-12)
