"""The exact likelihood of data, whatever the data are: rows, a table, or a whole population."""

from typing import Any

import numpy as np

from tinyebm.density import exponents
from tinyebm.estimate import Estimate
from tinyebm.exact.partition import log_partition, quadrature
from tinyebm.kinds import AnyData, AnyDensity, Array


def data_law(data: AnyData) -> tuple[Array, Array]:
    """Data as weighted rows: (x (n, d), probabilities (n,)).

    An array or `Data` weighs each row 1/n.  A Target or Density is represented by
    the atoms of its quadrature: expectations under the population, not a sample.

    Raises
    ------
    ValueError
        If an array is not of shape (n, d) with n > 0, floating-point and finite.
    """
    if hasattr(data, "law"):  # a Target
        return data.law
    if hasattr(data, "energy"):  # a Density
        q = quadrature(data)
        x, log_w = q.grid.all()
        mass = np.exp(exponents(data, x) + log_w - q.log_z)
        kept = mass > 1e-20
        return x[kept], mass[kept] / mass.sum()
    rows: Any = getattr(data, "x", data)
    if getattr(rows, "dtype", np.dtype(object)).kind in "iub":
        rows = rows.astype(float)
    if np.ndim(rows) != 2 or len(rows) == 0 or getattr(rows, "dtype", np.dtype(object)).kind != "f":
        raise ValueError(f"data must be a floating-point array of rows (n, d), n > 0, got {type(rows).__name__} of shape "
                         f"{np.shape(rows)}")
    if not np.isfinite(rows).all():
        raise ValueError("data holds nan or inf: clean it first")
    return rows, np.zeros_like(rows, shape=len(rows)) + 1 / len(rows)


def nll(p: AnyDensity, data: AnyData, rtol: float = 1e-8) -> Estimate:
    """The exact mean negative log-likelihood of the data under p, an Estimate in nats; inf for data outside the space.

    For a Target or Density as data, the cross-entropy -E_data[log p].

    >>> from tinyebm import Box, Density
    >>> uniform = Density(lambda theta, x: 0.0 * x[:, 0], {}, Box(0, 8, 1))
    >>> round(nll(uniform, np.array([[1.0], [2.0]])) / np.log(2), 9)
    3.0
    """
    x, mass = data_law(data)
    if not np.all(p.space.contains(x)):
        return Estimate(np.inf, 0.0)
    log_z = log_partition(p, rtol, rows=x)
    return Estimate(float(log_z) - float(mass @ exponents(p, x)), log_z.error)
