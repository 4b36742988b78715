"""The exact likelihood of data, whatever the data are: rows, a table, or a whole population."""

import numpy as np

from tinyebm.density import exponents, in_double
from tinyebm.estimate import Estimate
from tinyebm.exact.partition import log_partition, quadrature
from tinyebm.kinds import AnyData, AnyDensity, Array
from tinyebm.rows import as_data, clean_data


def data_law(data: AnyData) -> tuple[Array, Array]:
    """Data as weighted rows: (x (n, d), probabilities (n,)).

    An array or `Data` weighs each row 1/n.  A Target or Density is represented by
    the atoms of its quadrature: expectations under the population, not a sample.
    Both arrays are in double precision, whatever came in (`tinyebm.rows`).

    Raises
    ------
    ValueError
        If rows are not of shape (n, d) with n > 0, or not finite.
    """
    data = as_data(data)
    if hasattr(data, "law"):  # a Target
        return data.law
    if hasattr(data, "energy"):  # a Density
        data = in_double(data)
        q = quadrature(data)
        x, log_w = q.grid.all()
        mass = np.exp(exponents(data, x) + log_w - q.log_z)
        kept = mass > 1e-20
        return x[kept], mass[kept] / mass.sum()
    x = clean_data(getattr(data, "x", data))
    return x, np.zeros_like(x, shape=len(x)) + 1 / len(x)


def nll(p: AnyDensity, data: AnyData, rtol: float = 1e-8) -> Estimate:
    """The exact mean negative log-likelihood of the data under p, an Estimate in nats; inf for data outside the space.

    For a Target or Density as data, the cross-entropy -E_data[log p].

    >>> from tinyebm import Box, Density
    >>> uniform = Density(lambda theta, x: 0.0 * x[:, 0], {}, Box(0, 8, 1))
    >>> round(nll(uniform, np.array([[1.0], [2.0]])) / np.log(2), 9)
    3.0
    """
    p, (x, mass) = in_double(p), data_law(data)
    if not np.all(p.space.contains(x)):
        return Estimate(np.inf, 0.0)
    log_z = log_partition(p, rtol, rows=x)
    return Estimate(float(log_z) - float(mass @ exponents(p, x)), log_z.error)
