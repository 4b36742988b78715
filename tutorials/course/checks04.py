"""The exercises of notebook 04."""

import numpy as np

import tinyebm as te
from course.near import function, near, number


def slope(answer):
    """Against the exact gradient of a Gaussian energy, for three means."""
    x = np.array([0.3, -1.0, 2.5, 2.6])
    for m in (-1.0, 0.0, 2.0):
        p = te.Density(te.GaussianEnergy(1), {"mean": np.array([m]), "precision": np.eye(1)}, te.Reals(1))
        wanted, found = float(te.nll_gradient(p, x[:, None])["mean"][0]), function(answer)(m, x)
        if np.size(found) != 1:
            return f"one number is wanted, a mean over the data, not {np.size(found)}"
        if abs(number(found) + wanted) < 1e-8:
            return "the sign is the other way"
        if not abs(number(found) - wanted) < 1e-8:
            return f"at m = {m}, x = {x.tolist()} the derivative is {wanted:.4f}, and the function says {number(found):.4f}"


def energies(answer):
    """By L-BFGS on the exact likelihood of ten observations."""
    x = np.repeat([0.0, 1.0, 2.0], [5, 3, 2])[:, None]
    if isinstance(answer, str) or np.size(answer) != 3:
        return f"three numbers are wanted, not {answer!r}"
    found = np.asarray(answer, dtype=float).reshape(-1)
    wanted = te.mle(te.TabularEnergy(3), x, te.Cells(3), gtol=1e-9, progress=False).theta["energy"]
    if np.allclose(found, wanted[0] - wanted, atol=1e-3):
        return "these make the rarest state the likeliest"
    if np.allclose(found - found[0], wanted - wanted[0], atol=1e-3):
        return None if abs(found[0]) < 1e-3 else "right but for a constant: set the first to 0"
    return "not yet: what energies give probabilities of 0.5, 0.3 and 0.2?"


def draws():
    """The variance of x² over 10^-4, by quadrature."""
    p = te.Density(te.Quartic(), {"a": np.array(-4.0), "b": np.array(2.0)}, te.Reals(1))
    mean = te.expectation(p, lambda x: x[:, 0] ** 2)
    return (te.expectation(p, lambda x: x[:, 0] ** 4) - mean**2) / 1e-4


CHECKS = {
    "4.1": slope,
    "4.2": energies,
    "4.3": near(draws, relative=0.02, slips=[(lambda: draws() ** 0.5, "the standard error is sd / √n: square it")]),
}
