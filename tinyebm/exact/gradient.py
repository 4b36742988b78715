"""The exact gradient of the negative log-likelihood, by its two phases.

    -∇_θ mean_i log p_θ(x_i)  =  mean_i ∇_θ E_θ(x_i)  -  E_{p_θ}[∇_θ E_θ(x)]     (1)

The second phase is -∇_θ log Z: it falls out of differentiating a logsumexp over
atoms.  Here it is streamed, block by block, so that memory does not grow with
the grid.
"""

import math
from dataclasses import replace

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import ones_like, vjp
from tinyebm.common.backend import beside
from tinyebm.common.checks import require_fraction
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyData, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, atoms_of, in_double, on_host, rows_of
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.partition import quadrature, require_finite, require_normalisable
from tinyebm.exact.structure import closed_form, hidden_layer
from tinyebm.exact.sums import first_nan, merge
from tinyebm.replay.door import add, fold


def weighted_energy_gradient(p, x, weights):
    """Σ_i weights_i ∇_θ E_θ(x_i), a tree like theta."""
    x = rows_of(p, x)
    return fold(_weighted_gradient, add, p, [(x, weights)], 0.0)


def _weighted_gradient(p, x, weights):
    return vjp(lambda theta: p.energy(theta, x), p.theta)[1](weights)[0]


def model_phase(p, grid):
    """(log Z, E_p[∇_θ E_θ]) over a grid in one streaming pass.

    An online softmax that carries the gradient: both sums are kept in units of e^m, with m the
    largest exponent so far.
    """
    top, total, gradient = fold(_model_phase, merge, p, atoms_of(p, grid), -np.inf)
    if math.isnan(top):
        raise QuadratureError(f"the energy is nan at x = {first_nan(p, grid)}")
    if total == 0.0:
        raise QuadratureError("the energy is +inf everywhere")
    return float(top) + math.log(total), tree_map(lambda g: g / total, gradient)


def _model_phase(p, x, log_w):
    """(m, Σ e^{u - m}, Σ e^{u - m} ∇_θ E_θ) of exponents u with the largest m."""
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    u = p.space.log_base(x) + log_w - energies
    top = u.max()
    mass = ops.exp(u - ops.where(np.isfinite(top), top, 0.0))
    return top, mass.sum(), pullback(mass)[0]


def exact_phase(p, rtol=1e-8, finer=False, rows=None):
    """(log Z, E_p[∇_θ E_θ]) by the cheapest exact road: structure, a sum over states, or
    quadrature.

    `finer` takes the grid one refinement beyond the one on which log Z holds to `rtol`; `rows` of
    data (n, d) show where p may have peaks.
    """
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    host = on_host(p)
    if closed_form(host) is not None:
        log_z, pullback = vjp(lambda theta: closed_form(replace(p, theta=theta)), host.theta)
        return require_finite(p, log_z), tree_map(
            lambda g: beside(p.theta, g)[0], pullback(-ones_like(log_z))[0]
        )
    if hidden := hidden_layer(p):
        return model_phase(hidden, hidden.space.grid())
    if p.space.discrete:
        return model_phase(p, p.space.grid())
    q = quadrature(p, rtol, rows=rows)
    return model_phase(p, q.finer() if finer else q.grid)


def nll_gradient(p: Density, x: AnyData, rtol: float = 1e-8) -> Tree:
    """The exact gradient of the mean negative log-likelihood of the rows of x, eq. (1): a tree like
    theta.

    x is an array (n, d), or a Target or Density for its whole population.

    Cost: forward and backward passes over the data and the quadrature's grid.

    Raises
    ------
    DivergentPartitionError, QuadratureError
        As `log_partition`.
    ValueError
        If x is not (n, d), or a row lies outside the space.

    >>> from tinyebm import Density, GaussianEnergy, Reals
    >>> normal = GaussianEnergy(1)
    >>> p = Density(normal, normal.init(np.random.default_rng(0)), Reals(1))
    >>> nll_gradient(p, np.array([[2.0], [4.0]]))["mean"].round(9)
    array([-3.])
    """
    p, (x, mass) = in_double(p), data_law(x)
    x = rows_of(p, x)
    if not np.all(p.space.contains(x)):
        raise ValueError(
            f"some rows lie outside {p.space}: their likelihood is zero, and has no gradient"
        )
    data = weighted_energy_gradient(p, x, mass)
    _, model = exact_phase(p, rtol, rows=x)
    return tree_map(lambda a, b: a - b, data, model)
