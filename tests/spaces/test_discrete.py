"""Discrete spaces: their states, in order; uniform draws; what is a state; what is too much to list."""

import itertools
import tracemalloc

import numpy as np
import pytest

import tinyebm as te

SPACES = [te.Bits(1), te.Bits(4), te.Spins(3), te.Cells(3), te.Cells(3, dim=3), te.Cells(4, dim=2), te.Cells(1, dim=2)]


def by_hand(space):
    """All states, by the definition of the three spaces."""
    values = {te.Bits: lambda: (0, 1), te.Spins: lambda: (-1, 1), te.Cells: lambda: range(space.n)}[type(space)]()
    return np.array(list(itertools.product(values, repeat=space.dim)), dtype=float)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_atoms_are_all_states_in_order(space):
    """Catches the last site as the most significant, 0 among the spins, a missing value, and a weight that is not one."""
    x, log_w = space.atoms()

    np.testing.assert_array_equal(x, by_hand(space))
    assert x.dtype == float and log_w.shape == (len(x),) and not log_w.any()
    assert not np.any(space.log_base(x)) and space.contains(x).all()


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_initial_states_are_uniform(space, chi_square):
    """|z| < 5 over all states.  Catches a last value that never comes, and sites that share one draw."""
    x = space.initial(8000, np.random.default_rng(0))
    states = by_hand(space)
    counts = (x[:, None] == states).all(axis=2).sum(axis=0)

    assert x.shape == (8000, space.dim) and counts.sum() == 8000
    if len(states) > 1:
        assert abs(chi_square(counts, np.full(len(states), 1 / len(states)))) < 5


@pytest.mark.parametrize(("space", "rows", "inside"), [
    (te.Bits(2), [[0, 1], [1, 1], [-1, 1], [0.5, 0], [2, 0], [np.nan, 0]], [True, True, False, False, False, False]),
    (te.Spins(2), [[-1, 1], [0, 1], [1, 0.999], [-1, np.inf]], [True, False, False, False]),
    (te.Cells(3, dim=2), [[2, 0], [3, 0], [0, -1], [1.5, 1]], [True, False, False, False])], ids=repr)  # fmt: skip
def test_contains(space, rows, inside):
    """Catches the values of another space, `any` for `all`, and rounding."""
    assert space.contains(np.array(rows, dtype=float)).tolist() == inside


@pytest.mark.parametrize("space", [te.Bits(4), te.Spins(3), te.Cells(3, dim=3), te.Cells(5, dim=2)], ids=repr)
def test_others_are_the_other_values(space):
    """With the value itself they are all values, each once.  Catches 1 - x for spins, and cells that leave {0, ..., n-1}."""
    x = by_hand(space)
    others = space.others(x)

    assert others.shape == (len(space.values) - 1, *x.shape)
    values = np.broadcast_to(np.array(space.values)[:, None, None], (len(space.values), *x.shape))
    np.testing.assert_array_equal(np.sort(np.concatenate([x[None], others]), axis=0), values)


# ------------------------------------------------------------------------------- too many states

@pytest.mark.parametrize("space", [te.Bits(27), te.Bits(40), te.Spins(40), te.Bits(4000), te.Cells(3, dim=17)], ids=repr)
@pytest.mark.parametrize("ask", [te.log_partition, te.probabilities, lambda p: te.sample(p, 1, np.random.default_rng(0)),
                                 lambda p: te.nll_gradient(p, p.space.initial(3, np.random.default_rng(0))),
                                 lambda p: te.Gibbs().push(None, p)])  # fmt: skip
def test_too_many_states_are_refused(space, ask):
    """A clear error, at once, that names the number and the ways out.  Catches an attempt to list 2^40 states."""
    p = te.Density(lambda theta, x: x @ theta, np.zeros(space.dim), space)

    with pytest.raises(te.QuadratureError) as error:
        ask(p)
    message = str(error.value)
    assert f"{len(space.values)}^{space.dim} states" in message and "2^26" in message
    assert all(way in message for way in ("annealed importance sampling", "Pseudolikelihood", "contrastive divergence"))


def test_two_to_the_26_states_are_not_refused():
    """Catches a limit that is off by one: asked for a block only."""
    x, _ = next(te.Bits(26).grid().blocks())

    assert x.shape[1] == 26 and not x[0].any()


@pytest.mark.parametrize("ask", [te.log_partition, te.entropy, lambda p: te.nll_gradient(p, np.zeros((1, 18)))])
def test_memory_is_bounded(ask):
    """Less than 4 MiB at its peak for 2^18 states, which together are 36 MiB.  Catches states listed at once."""
    machine = te.BoltzmannMachine(18)
    p = te.Density(machine, machine.init(np.random.default_rng(0)), te.Bits(18))
    tracemalloc.start()
    try:
        ask(p)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * 2**20


@pytest.mark.parametrize(("make", "message"), [
    (lambda: te.Bits(0), "dim must be a positive integer, got 0"), (lambda: te.Spins(1.5), "dim .* got 1.5"),
    (lambda: te.Bits(True), "got True"), (lambda: te.Cells(0, 2), "the number of states must be a positive integer, got 0"),
    (lambda: te.Cells(2, -1), "dim must be a positive integer, got -1"),
    (lambda: te.Spins(3).grid(5), r"a site of Spins\(dim=3\) has 2 values, not 5")])  # fmt: skip
def test_nonsense_is_refused(make, message):
    """Catches a bad size that is rounded or let through."""
    with pytest.raises(ValueError, match=message):
        make()


def test_numpys_integers_do_not_overflow():
    """Catches 2^64 = 0 states in a space whose dim came from an array's shape."""
    space = te.Spins(np.prod((8, 8)))

    assert type(space.dim) is int and space.grid().size == 2**64 and not space.grid().listable
    assert te.Ising(np.array([8, 8])).dim == 64 and te.Cells(np.int64(3), np.int32(2)) == te.Cells(3, 2)


@pytest.mark.parametrize("kernel", [te.ULA(0.1), te.MALA(0.1)])
def test_langevin_is_for_the_reals(kernel):
    """Catches negatives that never leave the data, without a word."""
    p = te.Density(te.RBM(3, 2), te.RBM(3, 2).init(np.random.default_rng(0)), te.Bits(3))
    for ask in (lambda: kernel.step(p, np.zeros((2, 3)), np.random.default_rng(0)), lambda: te.exact_cd_gradient(
            p, np.zeros((2, 3)), kernel, 1)):  # fmt: skip
        with pytest.raises(ValueError, match="is discrete"):
            ask()


def test_layers_of_another_space_are_refused():
    """Catches 0 and 1 drawn for spins: an RBM on them has other conditional laws."""
    p = te.Density(te.RBM(3, 2), te.RBM(3, 2).init(np.random.default_rng(0)), te.Spins(3))
    with pytest.raises(ValueError, match="does not know the visible layer"):
        te.BlockGibbs().step(p, np.ones((2, 3)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="lie outside Bits"):
        te.mle(te.BoltzmannMachine(3), np.array([[-1.0, 1.0, 1.0]]), te.Bits(3), progress=False)


def test_a_list_that_needs_too_much_memory_is_refused():
    """2^25 states of 25 sites.  Catches 6 GiB taken without a word, and a smaller list that is refused."""
    with pytest.raises(te.QuadratureError, match="a list of all 33554432 states of 25 sites: it would need about 6.2 GiB"):
        te.Bits(25).atoms()
    assert len(te.Bits(16).atoms()[0]) == 2**16
