"""The exact gradient of the negative log-likelihood, by its two phases.

    -∇_θ mean_i log p_θ(x_i)  =  mean_i ∇_θ E_θ(x_i)  -  E_{p_θ}[∇_θ E_θ(x)]     (1)

The first phase is a mean over the data.  The second is -∇_θ log Z, an expectation under the model,
summed over a grid together with log Z (`sums.model_phase`), or the derivative of its formula.
"""

from dataclasses import replace

import numpy as np

from tinyebm.autodiff.tape import ones_like, vjp
from tinyebm.common.backend import beside
from tinyebm.common.checks import require_fraction
from tinyebm.common.kinds import AnyData, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, in_double, on_host, rows_of
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.structure import (
    closed_form,
    hidden_layer,
    require_finite,
    require_normalisable,
)
from tinyebm.exact.sums import model_phase
from tinyebm.replay.door import add, reduce_rows


def weighted_energy(p, x, weights):
    """(Σ_i weights_i E_θ(x_i), its gradient by θ), in one pass over the rows."""
    return reduce_rows(_weighted_energy, add, p, [(rows_of(p, x), weights)], 0.0)


def weighted_energy_gradient(p, x, weights):
    """Σ_i weights_i ∇_θ E_θ(x_i), a tree like theta."""
    return reduce_rows(_weighted_gradient, add, p, [(rows_of(p, x), weights)], 0.0)


def _weighted_energy(p, x, weights):
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    return (weights * energies).sum(), pullback(weights)[0]


def _weighted_gradient(p, x, weights):
    return vjp(lambda theta: p.energy(theta, x), p.theta)[1](weights)[0]


def exact_phase(p, rtol=1e-8, finer=False, rows=None):
    """(log Z, E_p[∇_θ E_θ]) by the cheapest exact method: a formula, a sum, or quadrature.

    If `finer`, the grid is one refinement finer than `rtol` requires for log Z.  Near rows of data
    (n, d) p may have peaks.
    """
    p = require_normalisable(p)
    require_fraction("rtol", rtol)
    host = on_host(p)
    if closed_form(host) is not None:
        log_z, pullback = vjp(lambda theta: closed_form(replace(p, theta=theta)), host.theta)
        (gradient,) = pullback(-ones_like(log_z))
        return require_finite(p, log_z), tree_map(lambda g: beside(p.theta, g)[0], gradient)
    if hidden := hidden_layer(p):
        return model_phase(hidden, hidden.space.grid())
    if p.space.discrete:
        return model_phase(p, p.space.grid())
    q = quadrature(p, rtol, rows=rows)
    return model_phase(p, q.finer() if finer else q.grid)


def nll_gradient(p: Density, x: AnyData, rtol: float = 1e-8) -> Tree:
    """The gradient of the mean negative log-likelihood of the rows of x, eq. (1), like theta.

    x is an array (n, d), or a Target or Density in place of a sample.  Cost: a forward and a
    backward pass over the data and the grid.

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
