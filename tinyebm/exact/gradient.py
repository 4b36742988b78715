"""The exact gradient of the negative log-likelihood, by its two phases.

    -∇_θ mean_i log p_θ(x_i)  =  mean_i ∇_θ E_θ(x_i)  -  E_{p_θ}[∇_θ E_θ(x)]     (1)

The second phase is -∇_θ log Z: it falls out of differentiating a logsumexp over
atoms.  Here it is streamed, block by block, so that memory does not grow with
the grid.
"""

import math
from dataclasses import replace

import numpy as np

from tinyebm.autodiff import ones_like, vjp
from tinyebm.density import require_rows
from tinyebm.errors import QuadratureError
from tinyebm.exact.likelihood import data_law
from tinyebm.exact.partition import quadrature, require_finite, require_normalisable
from tinyebm.exact.structure import closed_form, hidden_layer
from tinyebm.grids import BLOCK
from tinyebm.tree import tree_map


def weighted_energy_gradient(p, x, weights):
    """Σ_i weights_i ∇_θ E_θ(x_i), a tree like theta, in blocks of rows."""
    total = None
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        _, pullback = vjp(lambda theta, rows=rows: p.energy(theta, x[rows]), p.theta)
        part = pullback(weights[rows])[0]
        total = part if total is None else tree_map(lambda a, b: a + b, total, part)
    return total


def model_phase(p, grid):
    """(log Z, E_p[∇_θ E_θ]) over a grid in one streaming pass.

    An online softmax that carries the gradient: with m the largest exponent so
    far, both sums are kept in units of e^m and rescaled when m grows.
    """
    top, total, gradient = -np.inf, 0.0, tree_map(np.zeros_like, p.theta)
    for x, log_w in grid.blocks():
        energies, pullback = vjp(lambda theta, x=x: p.energy(theta, x), p.theta)
        u = p.space.log_base(x) + log_w - energies
        if np.isnan(block_top := float(u.max())):
            raise QuadratureError(f"the energy is nan at x = {x[np.isnan(u)][0].tolist()}")
        new_top = max(top, block_top)
        if new_top == -np.inf:
            continue
        shrink = math.exp(top - new_top)
        mass = np.exp(u - new_top)
        part = pullback(mass)[0]
        gradient = tree_map(lambda g, h, shrink=shrink: shrink * g + h, gradient, part)
        top, total = new_top, shrink * total + float(mass.sum())
    if total == 0.0:
        raise QuadratureError("the energy is +inf everywhere")
    return top + math.log(total), tree_map(lambda g: g / total, gradient)


def exact_phase(p, rtol=1e-8, finer=False):
    """(log Z, E_p[∇_θ E_θ]) by the cheapest exact road: structure, a sum over states, or quadrature.

    `finer` takes the grid one refinement beyond the one on which log Z holds to `rtol`.
    """
    require_normalisable(p)
    if closed_form(p) is not None:
        log_z, pullback = vjp(lambda theta: closed_form(replace(p, theta=theta)), p.theta)
        return require_finite(p, log_z), pullback(-ones_like(log_z))[0]
    if hidden := hidden_layer(p):
        return model_phase(hidden, hidden.space.grid())
    if p.space.discrete:
        return model_phase(p, p.space.grid())
    q = quadrature(p, rtol)
    return model_phase(p, q.finer() if finer else q.grid)


def nll_gradient(p, x, rtol=1e-8):
    """The exact gradient of the mean negative log-likelihood of the rows of x, eq. (1): a tree like theta.

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
    x, mass = data_law(x)
    require_rows(p, x)
    if not np.all(p.space.contains(x)):
        raise ValueError(f"some rows lie outside {p.space}: their likelihood is zero, and has no gradient")
    data = weighted_energy_gradient(p, x, mass)
    _, model = exact_phase(p, rtol)
    return tree_map(lambda a, b: a - b, data, model)
