"""The exact likelihood of rows, tables and populations: closed forms, errors, and what lies outside."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.exact.likelihood import data_law

ROWS = np.random.default_rng(0).normal(0.4, 1.3, size=(1300, 1))  # three blocks of rows


def normal(mean, variance, shift=0.0):
    """N(mean, variance) whose energy is `shift` nats too high."""
    theta = {"mean": np.array([mean]), "precision": np.array([[1 / variance]])}
    return te.Density(lambda theta, x: te.GaussianEnergy(1)(theta, x) + shift, theta, te.Reals(1))


def cross_entropy(mean, variance, p_mean, p_variance):
    """-E[log N(x; p_mean, p_variance)] for x of that mean and variance."""
    return 0.5 * (math.log(2 * math.pi * p_variance) + (variance + (mean - p_mean) ** 2) / p_variance)


@pytest.mark.parametrize("shift", [0.0, 2000.0, -2000.0])
@pytest.mark.parametrize("form", ["rows", "Data", "Density", "Target"])
def test_nll_is_the_cross_entropy(form, shift):
    """In closed form, whatever constant the energies have.  Catches log Z left out, of the data's density too, an overflow,
    and a block of rows that is lost."""
    target = te.datasets.load("bimodal")
    table = te.datasets.Data("toy", ROWS, "", "", ("x",), 0.0, 1.0)
    data = {"rows": ROWS, "Data": table, "Density": normal(0.7, 2.0, shift), "Target": target}[form]
    mean, variance = {"Density": (0.7, 2.0)}.get(form, (ROWS.mean(), ROWS.var()))
    if form == "Target":  # 0.65 N(-1.5, 0.5²) + 0.35 N(1.5, 0.4²)
        mean = 0.65 * -1.5 + 0.35 * 1.5
        variance = 0.65 * (1.5**2 + 0.5**2) + 0.35 * (1.5**2 + 0.4**2) - mean**2
    found = te.nll(normal(-0.2, 0.6, shift), data)

    assert found == pytest.approx(cross_entropy(mean, variance, -0.2, 0.6), rel=1e-8)


@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
def test_the_error_is_that_of_log_z(rtol):
    """Catches an error that is dropped or halved, and an accuracy that does not arrive."""
    p = te.Density(te.MLP((1, 8, 1), "relu", 1.0), te.MLP((1, 8, 1)).init(np.random.default_rng(1)), te.Reals(1))

    assert te.nll(p, ROWS, rtol).error == te.log_partition(p, rtol, rows=ROWS).error > 0


@pytest.mark.parametrize(("space", "row"), [(te.Box(-3, 3, 1), [3.1]), (te.Cells(4), [1.5]), (te.Cells(4), [4.0])])
def test_data_outside_the_space_are_impossible(space, row):
    """Infinite, certainly so.  Catches a finite loss for data to which the model gives probability zero."""
    p = te.Density(lambda theta, x: 0.5 * x[:, 0] ** 2, {}, space)
    found = te.nll(p, np.array([[1.0], row]))

    assert (found, found.error) == (math.inf, 0.0)
    assert te.nll(p, np.array([[1.0]])) < math.inf


@pytest.mark.parametrize("c", [-2000.0, 0.0, 2000.0])
def test_the_law_of_a_density(c):
    """Its moments and a mass of one.  Catches e^{-E} taken for a probability: 0 or infinite here."""
    x, mass = data_law(normal(0.7, 2.0, c))

    assert mass.sum() == pytest.approx(1, abs=1e-12) and mass.min() > 0
    assert (mass @ x[:, 0], mass @ (x[:, 0] - 0.7) ** 2) == (pytest.approx(0.7), pytest.approx(2.0))


@pytest.mark.parametrize("space", [te.Reals(1), te.Box(-1, 2, 1), te.Bits(3)])
def test_probability_masses_of_a_density_sum_to_one(space):
    """Also where log Z is so large that e^{u - log Z} is wrong by 1e-10.  Catches masses that are not normalised."""
    off = []
    for c in (1e6, 1.1e6, 1.2e6, 1.3e6):
        p = te.Density(lambda theta, x, c=c: (theta * x * x).sum(axis=1) - c, np.array(0.5), space)
        off.append(abs(data_law(p)[1].sum() - 1))
    assert max(off) < 1e-14


def test_rows_weigh_alike():
    """Catches weights 1 / (n - 1), and weights or rows of the precision that came in."""
    x, mass = data_law(ROWS[:7].astype("float32"))

    assert x.dtype == mass.dtype == np.float64 and np.array_equal(mass, np.full(7, 1 / 7))


@pytest.mark.parametrize(("x", "message"), [
    (np.zeros(3), r"rows \(n, d\)"), (np.zeros((0, 2)), r"n > 0"), (np.zeros((2, 1), complex), "complex128"),
    ([[1.0], [1.0, 2.0]], "got list"), (np.array([[np.nan]]), r"nan or inf: clean it first \(row 0"),
    (np.array([[1.0], [np.inf]]), r"nan or inf: clean it first \(row 1 of 2")])  # fmt: skip
def test_what_are_no_rows(x, message):
    """Catches NaN averaged into a likelihood, and an empty mean."""
    with pytest.raises(ValueError, match=message):
        data_law(x)
