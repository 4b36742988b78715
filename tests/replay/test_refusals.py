"""What goes wrong: rows that are infinite or nan, functions that cannot be replayed, and the user's own mistakes."""

from dataclasses import dataclass

import numpy as np
import pytest

import tinyebm as te
from tinyebm import density, ops
from tinyebm.exact.gradient import weighted_energy_gradient
from tinyebm.exact.sums import log_sum
from tinyebm.spaces.grids import Grid


def points(n):
    return np.random.default_rng(1).standard_normal((n, 2))


@dataclass(frozen=True)
class Wild:
    """x² / 2, but for one point."""

    value: float

    def __call__(self, theta, x):
        return ops.where(np.abs(x[:, 0] - theta["at"]) < 0.5, self.value, 0.5 * x[:, 0] * x[:, 0])


@pytest.mark.parametrize("wild", [np.inf, np.nan, -np.inf])
@pytest.mark.parametrize("place", [0, 40, 99])
def test_wild_rows_stay_alone(wild, place):
    """An energy that is infinite or nan in one row, the last one included, which fills the tile up.  Catches a row that leaks."""
    energy = Wild(wild)
    x = np.arange(100.0)[:, None]
    p = te.Density(energy, {"at": np.array(float(place))}, te.Reals(1))

    found = density.exponents(p, x)
    np.testing.assert_array_equal(found, density.exponent(p, x))
    assert np.isfinite(np.delete(found, place)).all() and not np.isfinite(found[place])


@pytest.mark.parametrize(("wild", "says", "place"), [
    (wild, says, place) for wild, says in ((np.inf, None), (np.nan, "nan"), (-np.inf, "-inf somewhere")) for place in (0, 57, 113)])
def test_wild_atoms(wild, says, place):
    """log Z says what is wrong, wherever it is.  Catches an atom of weight zero that is mistaken for one of the grid."""
    p = te.Density(Wild(wild), {"at": np.array(float(place))}, te.Box(-0.5, 113.5, 1))
    grid = Grid(((np.arange(114.0), np.zeros(114)),))
    if says is None:
        assert log_sum(p, grid) == pytest.approx(np.log(np.exp(-0.5 * np.delete(np.arange(114.0), place) ** 2).sum()), rel=1e-13)
    else:
        with pytest.raises(te.QuadratureError, match=says):
            log_sum(p, grid)


REFUSED = {
    "a branch": lambda theta, x: ops.sum(x * x, axis=1) if float(np.asarray(x).mean()) < 9 else None,
    "a plain array": lambda theta, x: np.linalg.norm(np.asarray(x), axis=1) + 0 * theta["m"],
    "another function": lambda theta, x: np.einsum("ij,ij->i", x, x) - theta["m"],
    "an index": lambda theta, x: theta["table"][np.abs(x[:, 0]).astype(int) % 3],
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_run_as_it_stands(name):
    """For few points and many, in blocks.  Catches a refusal that reaches the user, and a last block that is lost."""
    p = te.Density(REFUSED[name], {"m": np.array(0.5), "table": np.arange(3.0)}, te.Reals(2))
    for n in (1, 5000, 8193):
        np.testing.assert_array_equal(density.exponents(p, points(n)), density.exponent(p, points(n)))


@pytest.mark.parametrize(("energy", "error", "says"), [
    (lambda theta, x: ops.sum(x * x) * theta["W"][0, 0], ValueError, r"one number per row: shape \(\d+,\), got \(\)"),
    (lambda theta, x: x @ theta["W"], ValueError, "matmul"),
    (lambda theta, x: theta["missing"], KeyError, "missing"),
    (lambda theta, x: 1 / 0, ZeroDivisionError, "division")])
@pytest.mark.parametrize("ask", ["exponent", "gradient", "chain"])
def test_mistakes_speak_for_themselves(energy, error, says, ask):
    """The user's own error, not one about replay.  Catches `except` around more than the trace."""
    p = te.Density(energy, {"W": np.ones((3, 3))}, te.Reals(2))
    if ask == "gradient" and error is ValueError and "number" in says:
        says = "cotangent"
    with pytest.raises(error, match=says):
        {"exponent": lambda: density.exponents(p, points(5000)), "chain": lambda: te.run(te.ULA(0.1), p, points(5000), 2,
        np.random.default_rng(0)),
         "gradient": lambda: weighted_energy_gradient(p, points(5000), np.ones(5000))}[ask]()  # fmt: skip
