"""The density of an energy: p_θ(dx) = e^{-E_θ(x)} μ(dx) / Z_θ.

Low energy means high probability.  This file computes the quantities that do not need Z: the
exponent, the score and its divergence.  `tinyebm.exact` computes those that need Z.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import few_rows, over_blocks
from tinyebm.autodiff.forward import slopes_and_laplacian
from tinyebm.autodiff.tape import ones_like, vjp
from tinyebm.common.backend import beside, to_host
from tinyebm.common.checks import REAL
from tinyebm.common.kinds import Array
from tinyebm.common.tree import compared, every, tree_map
from tinyebm.replay.door import by_rows
from tinyebm.spaces.discrete import space_with
from tinyebm.spaces.grids import CHUNK
from tinyebm.spaces.own import complete
from tinyebm.spaces.rows import FLOATS, clean, double, parameters, rows


@compared
@dataclass(frozen=True, eq=False)
class Density:
    """The density e^{-E_θ(x)} μ(dx) / Z_θ of an energy E with parameters θ on a space.

    Parameters
    ----------
    energy : callable (theta, x) -> (n,)
        The energy in nats of each row of x (n, d).  It depends only on theta and on that row.
        Write it with `te.ops` if you need derivatives, and do not test whether theta or x are
        instances of `np.ndarray`.  An energy of discrete states (RBM, Ising, ...) lists in `sites`
        the values that a coordinate may have.
    theta : tree of arrays
        Parameters: an array, or nested dicts, lists and tuples of arrays.  Whole numbers become
        floating-point numbers.
    space : Reals, Box, Bits, Spins, Cells
        Where x lives, and the measure μ.

    Two Densities are equal if energy, space and parameters are, the parameters bit for bit.  A
    Density has no hash, because its arrays may be modified.

    >>> import tinyebm as te
    >>> bowl = lambda theta, x: 0.5 * theta["k"] * te.ops.sum(x * x, axis=1)
    >>> p = Density(bowl, {"k": np.array(4.0)}, te.Reals(2))
    >>> round(float(te.log_partition(p)), 6)  # log(2π/4)
    0.451583
    """

    energy: Any
    theta: Any
    space: Any

    def __post_init__(self):
        if not callable(self.energy) or isinstance(self.energy, type):
            raise ValueError(
                "energy must be a function (theta, x) -> (n,), like te.MLP((2, 64, 1)), got "
                f"{self.energy!r}"
            )
        object.__setattr__(self, "space", complete(self.space))
        object.__setattr__(self, "theta", parameters(self.theta))
        dim = getattr(self.energy, "dim", self.space.dim)
        if dim != self.space.dim:
            raise ValueError(
                f"the energy {self.energy!r} is for x of dimension {dim}, the space {self.space} "
                f"has {self.space.dim}"
            )
        sites = getattr(self.energy, "sites", ())
        if sites and not self.space.discrete:
            homes = " or ".join(str(space_with(values, dim)) for values in sites)
            raise ValueError(
                f"the energy {self.energy!r} is for states: its space is {homes}, not {self.space}"
            )


def require_density(p):
    """Raise ValueError unless p is a Density or a Target."""
    if isinstance(p, type) or not (hasattr(p, "energy") and hasattr(p, "space")):
        raise ValueError(
            "a Density, or a Target, is wanted: te.Density(energy, theta, space), got "
            f"{type(p).__name__}"
        )


def rows_of(p, x):
    """x as floating-point rows (n, d), d the dimension of p's space (`tinyebm.spaces.rows`)."""
    require_density(p)
    return rows(x, p.space.dim)


def in_double(p):
    """The Density with parameters in double precision, for exact answers."""
    require_density(p)
    if every(lambda leaf: getattr(leaf, "dtype", FLOATS[0]) is FLOATS[0], p.theta):
        return p
    return Density(
        p.energy,
        tree_map(lambda leaf: double(leaf) if hasattr(leaf, "dtype") else leaf, p.theta),
        p.space,
    )


def exponent(p, x):
    """log μ-density(x) - E_θ(x), shape (n,): log p(x) + log Z.

    The density is with respect to Lebesgue (or counting) measure, so a Gaussian
    base measure adds its log density.

    Raises
    ------
    ValueError
        If x is not (n, d) or the energy's result is not (n,).
    """
    x = rows_of(p, x)
    energies = p.energy(p.theta, x)
    if getattr(energies, "shape", None) != x.shape[:1] or energies.dtype.kind not in REAL:
        raise ValueError(
            f"an energy must return one number per row: shape {x.shape[:1]}, got "
            f"{getattr(energies, 'shape', type(energies).__name__)} of "
            f"{getattr(energies, 'dtype', 'no dtype')}"
        )
    return p.space.log_base(x) - energies


def exponents(p, x):
    """The exponent of any number of rows, (n,), computed in blocks of bounded memory."""
    x = rows_of(p, x)
    return by_rows(exponent, p, x)


def atom_exponents(p, grid):
    """log(w_i e^{-E(x_i)}) of every atom of a grid, (N,), computed block by block."""
    return over_blocks(lambda p, x, log_w: exponents(p, x) + log_w, p, lambda: atoms_of(p, grid))


def atoms_of(p, grid):
    """The atoms of a grid, (states, log weights) by blocks, on the device of p's parameters."""
    size = max(CHUNK // p.space.dim, 4096)  # fewer rows at a time are slower
    return (beside(p.theta, *block) for block in grid.blocks(size))


def on_host(p):
    """The Density with parameters in NumPy arrays, for code that branches on numbers."""
    theta = to_host(p.theta)
    return p if theta is p.theta else Density(p.energy, theta, p.space)


def exponent_and_score(p, x):
    """The exponent (n,) and its gradient by x, the score (n, d), in one pass."""
    x = rows_of(p, x)
    return by_rows(_exponent_and_score, p, x)


def _exponent_and_score(p, x):
    value, pullback = vjp(lambda x: exponent(p, x), x)
    return value, pullback(ones_like(value))[0]


def score(p: Density, x: Array) -> Array:
    """The score ∇_x log p(x), shape (n, d), in units of 1/[x]; under Lebesgue measure it is -∇E.

    x (n, d) is any array or table of numbers without nan; the result has the precision of x.

    >>> from tinyebm import ops, Reals
    >>> normal = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(2))
    >>> score(normal, np.array([[1.0, -2.0]]))
    array([[-1.,  2.]])
    """
    return by_rows(_exponent_and_score, p, clean(rows_of(p, x)))[1]


def score_and_laplacian(p, x):
    """The score (n, d) and its divergence (n,), in one forward pass (`tinyebm.autodiff.forward`)."""
    x = rows_of(p, x)
    parts = [by_rows(_score_and_laplacian, p, part) for part in few_rows(x)]
    return tuple(map(ops.concatenate, zip(*parts, strict=True))) if len(parts) > 1 else parts[0]


def _score_and_laplacian(p, x):
    (axes,) = beside(x, np.eye(x.shape[1], dtype=x.dtype))
    basis = [np.broadcast_to(axis, x.shape) for axis in axes]
    slopes, trace = slopes_and_laplacian(lambda x: exponent(p, x), x, basis)
    return ops.concatenate([ops.reshape(s, (-1, 1)) for s in slopes], axis=1), trace


def laplacian(p: Density, x: Array) -> Array:
    """The divergence of the score, tr ∇² log p(x), shape (n,), in units of 1/[x]².

    It costs d + 1 forward passes, so it is meant for small d.

    Raises
    ------
    ValueError
        On a discrete space, and for an energy with kinks (relu), where second derivatives do not
        exist.

    >>> from tinyebm import ops, Reals
    >>> normal = Density(lambda theta, x: 0.5 * ops.sum(x * x, axis=1), {}, Reals(2))
    >>> laplacian(normal, np.zeros((1, 2)))
    array([-2.])
    """
    x = clean(rows_of(p, x))
    if p.space.discrete or not getattr(p.energy, "smooth", True):
        raise ValueError(
            f"there is no Laplacian of {p.energy!r} on {p.space}: it takes second derivatives by x"
        )
    return score_and_laplacian(p, x)[1]
