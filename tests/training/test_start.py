"""Where rows live when nobody says: where their Data say, where the energy is at home, or R^d, with a word on 0 and 1."""

import warnings

import numpy as np
import pytest

import tinyebm as te
from tinyebm import datasets
from tinyebm.training.start import space_of

B = np.random.default_rng(0).integers(0, 2, (30, 4))
QUICK = {"progress": False}
KINDS = [int, bool, np.uint8, np.int8, float, np.float32]


@pytest.mark.parametrize(("data", "space"), [("bars_and_stripes", te.Bits(16)), ("digit_patches", te.Bits(16)),
                                             ("two_moons", te.Reals(2)), ("faithful", te.Reals(2))])
def test_spaces_of_data(data, space):
    """Catches bits that are taken for real numbers."""
    data = datasets.load(data)
    assert space_of(data, getattr(data, "x", None)) == space
    assert space_of(np.zeros((4, 3)), np.zeros((4, 3))) == te.Reals(3)


@pytest.mark.parametrize(("energy", "rows", "space"), [
    (te.RBM(4, 2), B, te.Bits(4)), (te.RBM(4, 2), 2 * B - 1, te.Spins(4)), (te.BoltzmannMachine(4), B, te.Bits(4)),
    (te.BoltzmannMachine(4), 2 * B - 1, te.Spins(4)), (te.Ising((2, 2)), 2 * B - 1, te.Spins(4)),
    (te.Potts(3, (2, 2)), B + (np.arange(4) == 2), te.Cells(3, 4)), (te.TabularEnergy(5), B[:, :1] * 4, te.Cells(5)),
    (te.RBM(4, 2), np.zeros((3, 4)), te.Bits(4))])
def test_an_energy_is_at_home(energy, rows, space):
    """In `fit` and `mle`.  Catches an RBM on R^d, where Z is infinite."""
    objective = te.ContrastiveDivergence(te.Gibbs(), 1)
    assert te.fit(energy, rows, objective=objective, steps=1, **QUICK).density.space == space
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", te.ConvergenceWarning)
        assert te.mle(energy, rows, max_steps=1, **QUICK).density.space == space


@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_every_type(kind):
    """The same numbers whatever type the rows have.  Catches int, bool and uint8 refused, or squared in 8 bits."""
    rows, energy = B.astype(kind), te.BoltzmannMachine(4)
    same = te.mle(energy, B * 1.0, **QUICK)
    found = te.mle(energy, rows, **QUICK)
    step = lambda x: te.fit(energy, x, objective=te.Pseudolikelihood(), steps=3, **QUICK).theta["b"]
    exact = 1e-12 if kind is not np.float32 else 1e-6

    assert found.history["nll"][-1] == pytest.approx(same.history["nll"][-1], abs=1e-7)
    assert te.nll(same.density, rows) == pytest.approx(te.nll(same.density, B * 1.0), abs=exact)
    np.testing.assert_allclose(step(rows), step(B * 1.0), atol=exact)
    compared = te.compare(rows, methods=["mle"], steps=3, race=False, **QUICK)
    assert compared.data.space == te.Bits(4) and compared.settings["energy"] == "RBM(visible=4, hidden=8)"


@pytest.mark.parametrize(("energy", "rows", "message"), [
    (te.RBM(4, 2), np.full((3, 4), 0.3), r"is for Bits\(dim=4\) or Spins\(dim=4\), and not all rows .*: \[0.3, 0.3, 0.3, 0.3\]"),
    (te.Ising((2, 2)), B, r"is for Spins\(dim=4\), and not all rows"), (te.TabularEnergy(3), [[0.0], [3.0]], r"there: \[3.0\]"),
    (te.RBM(4, 2), np.ones((3, 4)), r"may be states of Bits\(dim=4\) or Spins\(dim=4\): give space="),
    (te.RBM(4, 2), B[:, :3], "for x of dimension 4, the space .* has 3|outside|dimension 3")])
def test_rows_that_are_no_states(energy, rows, message):
    for run in (te.mle, lambda *given, **quick: te.fit(*given, objective=te.Pseudolikelihood(), steps=1, **quick)):
        with pytest.raises(ValueError, match=message) as caught:
            run(energy, np.array(rows), **QUICK)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::tinyebm.common.errors.ConvergenceWarning")
def test_zeros_and_ones_on_the_line_are_said():
    """A network is at home everywhere: R^d by default, with a warning, and without where a space is given.  Catches silence."""
    net, exact = te.MLP((2, 3, 1), confinement=1.0), te.ExactLikelihood(rtol=1e-2)
    runs = [lambda *given: te.mle(net, *given, max_steps=1, rtol=1e-2, **QUICK),
            lambda *given: te.fit(net, *given, objective=exact, steps=1, **QUICK)]
    for run in runs:
        for rows, name in ((B[:, :2], "Bits"), (2.0 * B[:, :2] - 1, "Spins")):
            with pytest.warns(UserWarning, match=rf"points of R\^2: give space={name}\(dim=2\), or Reals\(2\)") as said:
                assert run(rows).density.space == te.Reals(2)
            assert said[0].filename == __file__
        assert run(B[:, :2], te.Reals(2)).density.space == te.Reals(2) and run(B[:, :2], te.Bits(2)).density.space == te.Bits(2)
        assert run(B[:, :2] * 0.5).density.space == te.Reals(2) and run(B[:, :2] * 0).density.space == te.Reals(2)
