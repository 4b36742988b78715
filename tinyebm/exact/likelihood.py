"""The exact likelihood of data: rows, a table, or a distribution in place of a sample from it."""

import numpy as np

from tinyebm.common.estimate import Estimate
from tinyebm.common.kinds import AnyData, AnyDensity, Array
from tinyebm.density import Density, exponents, in_double
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.rows import as_data, clean_data

# the integral of a user's density may differ from 1 by this much, beyond its error
NORMALISED = 1e-6
WANTED = (
    "a population has sample(n, rng) -> (n, d) and a normalised log_prob(x) -> (n,), like te.Normal"
)


def density_of(thing):
    """The Density of a Fit, or of a distribution with `sample` and `log_prob` (energy -log p).

    A distribution without a `space` is on R^d, where d is the dimension of its draws.  Numbers
    become an array.  Everything else is returned unchanged.

    Raises
    ------
    ValueError
        If log_prob does not integrate to 1, or if the distribution is one of another package.
    """
    if isinstance(thing, tuple) and hasattr(thing, "density"):  # a Fit
        return thing.density
    thing = as_data(thing)
    if isinstance(thing, type) or hasattr(thing, "energy"):
        return thing
    if not (hasattr(thing, "sample") and hasattr(thing, "log_prob")):
        if any(hasattr(thing, name) for name in ("log_prob", "rvs", "score_samples")):
            raise ValueError(f"{WANTED}: {thing!r} is not one")
        return thing
    space = getattr(thing, "space", None) or Reals(_columns(thing))
    p = Density(lambda theta, x: -thing.log_prob(x), {}, space)
    log_z = log_partition(p)
    if abs(log_z) > log_z.error + NORMALISED:
        raise ValueError(
            f"log_prob of {thing!r} integrates to e^({float(log_z):.6g}), and that of a population "
            "integrates to 1"
        )
    return p


def _columns(thing):
    """The number of columns of the draws of a distribution."""
    try:
        shape = np.shape(thing.sample(1, np.random.default_rng(0)))
    except TypeError as error:
        raise ValueError(f"{WANTED}: {thing!r}.sample(1, rng) failed, {error}") from error
    if len(shape) != 2 or shape[0] != 1:
        raise ValueError(f"{WANTED}: {thing!r}.sample(1, rng) has shape {shape}, not (1, d)")
    return shape[1]


def data_law(data: AnyData) -> tuple[Array, Array]:
    """Data as weighted rows: (x (n, d), probabilities (n,)).

    Each row of an array, or of `Data`, has probability 1/n.  For a distribution (a Target, a
    Density, or an object with `sample` and `log_prob`) the rows are the atoms of its quadrature:
    sums over them are expectations without sampling noise.  Both arrays are in double precision.

    Raises
    ------
    ValueError
        If rows are not of shape (n, d) with n > 0, or not finite.
    """
    data = density_of(data)
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
    """The mean negative log-likelihood of the data under p, an Estimate in nats.

    It is inf if a row is outside the space.  For a distribution as data (Target, Density) it is the
    cross-entropy -E_data[log p].

    >>> from tinyebm import Box, Density
    >>> uniform = Density(lambda theta, x: 0.0 * x[:, 0], {}, Box(0, 8, 1))
    >>> round(nll(uniform, np.array([[1.0], [2.0]])) / np.log(2), 9)
    3.0
    """
    p, (x, mass) = in_double(p), data_law(data)
    if not np.all(p.space.contains(x)):
        return Estimate(np.inf, 0.0)
    log_z = log_partition(p, rtol, rows=x)
    return Estimate(float(log_z) - float((mass * exponents(p, x)).sum()), log_z.error)
