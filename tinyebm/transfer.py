"""Partition functions of lattices, column by column: the transfer matrix, and Kaufman's closed form.

Let a column have r sites and states s, with the exponent u(s) of its own and a sum of
bonds b(s, t) = Σ_i b(s_i, t_i) to the next column, of coupling J.  With the symmetric matrix

    S = D^½ T D^½,    D = diag e^{u(s)},    T(s, t) = e^{J b(s, t)},           (1)

c columns have, open or joined to a torus (Kramers & Wannier 1941, Phys. Rev. 60:252),

    Z_open = dᵀ S^{c-1} d,  d = D^½ 1,        Z_torus = tr S^c.                (2)

T is a Kronecker product over sites, so S is never formed: the sites are split into two
halves and T v is a pair of small matrix products.  Everything is written with
`tinyebm.ops`: derivatives by J and by u come for free.
"""

import math

import numpy as np

from tinyebm import ops
from tinyebm.autodiff import primitive, stop_gradient, vjp
from tinyebm.grids import Enumeration

BLOCK = 2**18  # entries of a block of columns that are carried through the powers of S


def log_z_of_columns(values, r, c, torus, coupling, bond, u):
    """log Z of eq. (2), a scalar.

    Parameters
    ----------
    values : tuple
        The values of a site.
    r, c : int
        Sites in a column; columns.
    torus : bool
        Whether the last column is bound to the first.
    coupling : scalar
        J of eq. (1).
    bond : callable (s, t) -> array
        b of eq. (1), elementwise, for arrays of values.
    u : array (q^r,)
        The exponents of a column's states, in the order of their numbers.

    Cost: c products of O(2^{3r/2}) each for an open strip.  On a torus half as many
    for each class of columns that are equal up to rotation and reflection (1182
    rotations, 687 with reflections, at r = 14), for these have equal diagonal entries of S^c.
    """
    halves = [Enumeration(values, n).all()[0] for n in (r // 2, r - r // 2)]
    counts = [bond(s[:, None], s).sum(axis=2) for s in halves]
    shape = tuple(map(len, halves))

    J = float(stop_gradient(coupling))
    largest = (float((J * counts[0]).max()), float((J * counts[1]).max()), 0.5 * float(stop_gradient(u).max()))

    def step(exponents):
        """S v / e^top as a function of v (..., q^(r//2), q^(r-r//2)), and D^½ / e^(top of u / 2), from J and u in one array."""
        first, second = (ops.exp(exponents[0] * count - top) for count, top in zip(counts, largest, strict=False))
        root = ops.reshape(ops.exp(0.5 * exponents[1:] - largest[2]), shape)
        return lambda v: root * (first @ (v * root) @ second), root

    def log_trace(exponents, states, weights):
        """log Σ weight (S^c)_ss over some states s: both halves of the power start at e_s."""
        turn, _ = step(exponents)
        start = (np.arange(u.size) == states[:, None]) * 1.0
        v, log_v = _power(turn, start.reshape(-1, *shape), c // 2)
        w, log_w = _power(turn, v, c % 2)
        log_scale = 2 * log_v + log_w  # (states,)
        total = ops.sum(ops.sum(v * w, axis=(1, 2)) * (weights * np.exp(log_scale - log_scale.max())))
        if float(stop_gradient(total)) == 0.0:  # what underflows has no weight, and no derivative
            return exponents[0] * 0.0 - np.inf
        return ops.log(total) + log_scale.max()

    exponents = ops.concatenate([ops.reshape(coupling, (1,)), u])
    per_column = largest[0] + largest[1] + 2 * largest[2]  # log of what S was divided by
    if not torus:
        turn, root = step(exponents)
        v, log_scale = _power(turn, root, c - 1)
        return ops.log(ops.sum(v * root)) + (float(log_scale) + per_column * (c - 1) + 2 * largest[2])
    states, weights = _classes(values, r)
    parts = [slice(i, i + max(1, BLOCK // u.size)) for i in range(0, len(states), max(1, BLOCK // u.size))]
    traces = [recomputed(lambda e, part=part: log_trace(e, states[part], weights[part]))(exponents) for part in parts]
    return ops.logsumexp(ops.concatenate([ops.reshape(trace, (1,)) for trace in traces])) + per_column * c


def _power(turn, v, n):
    """S^n v as (direction, log scale (...)) for v of shape (..., a, b): divided by its largest entry at every step."""
    log_scale = np.zeros(v.shape[:-2])
    for _ in range(n):
        v = turn(v)
        top = stop_gradient(v).max(axis=(-2, -1))
        top = np.where(top > 0, top, 1.0)
        v, log_scale = v * (1 / top[..., None, None]), log_scale + np.log(top)
    return v, log_scale


def _classes(values, r):
    """One column of every class that rotations and reflections make: (numbers of their states, sizes of the classes)."""
    columns = Enumeration(values, r)
    states, _ = columns.all()
    turned = [np.roll(s, k, axis=1) for k in range(r) for s in (states, states[:, ::-1])]
    return np.unique(np.min([columns.index(s) for s in turned], axis=0), return_counts=True)


def log_z_of_torus(rows, cols, coupling):
    """log Z of the Ising model without field on a torus, J > 0 (Kaufman 1949, Phys. Rev. 76:1232, eq. 49).

    Σ_k over the even and the odd numbers below 2 cols, with m = rows and
    cosh γ_k = cosh 2J coth 2J - cos(π k / cols), γ_0 = 2J + log tanh J:

        Z = ½ (2 sinh 2J)^{rows cols / 2} [Π_odd 2 cosh(m γ/2) + Π_odd 2 sinh(m γ/2)
                                           + Π_even 2 cosh(m γ/2) + Π_even 2 sinh(m γ/2)].

    Every bond counts, so a side of 2 is bound twice.  γ_0 changes its sign at the
    critical coupling, and the last product with it.
    """
    minus = ops.exp(-2 * coupling)
    q = minus * minus
    y = 0.5 * (1 + q) * (1 + q) / (1 - q) - minus * np.cos(math.pi * np.arange(1, 2 * cols) / cols)  # e^-2J cosh γ_1, ...
    gamma = 2 * coupling + ops.log(y) + ops.log(1 + ops.sqrt(1 - q / (y * y)))
    a = 0.5 * rows * gamma  # m γ_1/2, m γ_2/2, ...
    a_0 = 0.5 * rows * (2 * coupling + ops.log((1 - minus) / (1 + minus)))
    far = abs(float(stop_gradient(a_0)))  # keeps e^{±a_0} from overflowing

    odd, even = a[0::2], a[1::2]
    log_cosh = lambda a: ops.sum(a + ops.softplus(-2 * a))  # log Π 2 cosh a
    log_sinh = lambda a: ops.sum(a + ops.log(1 - ops.exp(-2 * a)))
    up, down = ops.exp(a_0 - far), ops.exp(-a_0 - far)
    logs = [log_cosh(odd), log_sinh(odd), log_cosh(even) + far, log_sinh(even) + far]
    top = max(float(stop_gradient(log)) for log in logs)
    factors = (1.0, 1.0, up + down, up - down)
    total = sum(factor * ops.exp(log - top) for factor, log in zip(factors, logs, strict=True))
    log_2sinh = 2 * coupling + ops.log(1 - q)
    return 0.5 * rows * cols * log_2sinh - math.log(2) + top + ops.log(total)


def recomputed(function):
    """The function of one array, with a derivative that runs it again instead of remembering what it did.

    For a long computation whose tape would not fit in memory: it costs one more run
    (Griewank & Walther 2008, Evaluating Derivatives, ch. 12).

    >>> from tinyebm import grad
    >>> float(grad(grad(recomputed(lambda x: x * x * x)))(2.0))
    12.0
    """
    return primitive(lambda g, y, x: vjp(function, x)[1](g)[0])(function)
