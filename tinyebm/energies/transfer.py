"""log Z of lattices: the transfer matrix of any strip, and Kaufman's formula for a large torus.

A column has r sites, q^r states s, a weight e^{u(s)} of its own, and bonds to the next column,
b(s, t) = Σ_i b(s_i, t_i), of coupling J.  With the symmetric transfer matrix

    S = D^½ T D^½,    D = diag e^{u(s)},    T(s, t) = e^{J b(s, t)},           (1)

c columns, open or joined to a torus, have (Kramers & Wannier 1941, Phys. Rev. 60:252)

    Z_open = dᵀ S^{c-1} d,  d = D^½ 1,        Z_torus = tr S^c.                (2)

T is a Kronecker product over the sites, so S is never stored: with the sites in two halves, T v is
two products of small matrices.  All is written with `tinyebm.ops`, which gives the derivatives.
"""

import math

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import recomputed
from tinyebm.autodiff.tape import primitive, stop_gradient
from tinyebm.spaces.grids import Enumeration

BLOCK = 2**18  # numbers in a block of columns that are multiplied by S together
TINY = 1e-280  # a smaller sum has lost digits to underflow


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
        b of eq. (1) for two sites, elementwise.
    u : array (q^r,)
        The exponents of the states of a column, in the order of their numbers.

    Cost: c products of O(q^{3r/2}) each for an open strip.  For a torus half as many for each class
    of columns that are equal up to rotation and reflection (687 classes of 2^14 columns), whose
    diagonal entries of S^c are equal.
    """
    halves = [Enumeration(values, n).all()[0] for n in (r // 2, r - r // 2)]
    counts = [bond(s[:, None], s).sum(axis=2) for s in halves]  # bonds between two half columns
    shape = tuple(map(len, halves))

    # the largest exponents are subtracted, so that nothing overflows
    J = float(stop_gradient(coupling))
    tops = [float((J * count).max()) for count in counts]
    top_u = float(stop_gradient(u).max())
    log_scale = sum(tops) + top_u  # of S

    def transfer(exponents):
        """The function v -> S v for v (..., q^(r//2), q^(r-r//2)), and d, from J and u in one
        array."""
        J, u = exponents[0], exponents[1:]
        first, second = (ops.exp(J * n - top) for n, top in zip(counts, tops, strict=True))
        d = ops.reshape(ops.exp(0.5 * (u - top_u)), shape)
        return lambda v: d * (first @ (v * d) @ second), d

    def log_diagonal(exponents, states):
        """log (S^c)_ss for some states s: half of the power from the left, half from the right."""
        turn, _ = transfer(exponents)
        unit = (np.arange(u.size) == states[:, None]) * 1.0
        v, log_v = _power(turn, unit.reshape(-1, *shape), c // 2)
        w, log_w = _power(turn, v, c % 2)
        entries = ops.sum(v * w, axis=(1, 2))
        positive = stop_gradient(entries) > 0  # the others underflow, and have no derivative
        log_entries = ops.log(ops.where(positive, entries, 1.0)) + (2 * log_v + log_w)
        return ops.where(positive, log_entries, -np.inf)

    exponents = ops.concatenate([ops.reshape(coupling, (1,)), u])
    if not torus:
        turn, d = transfer(exponents)
        v, log_v = _power(turn, d, c - 1)
        return ops.log(ops.sum(v * d)) + (float(log_v) + log_scale * (c - 1) + top_u)
    states, sizes = _classes(values, r)
    parts = [(part,) for part in np.array_split(states, -(-len(states) * u.size // BLOCK))]
    logs = recomputed(log_diagonal, lambda: parts, joined=True)(exponents)
    return ops.logsumexp(logs + np.log(sizes)) + log_scale * c


def _power(turn, v, n):
    """S^n v as (direction, log of its scale) for v (..., a, b): divided by its largest entry at
    every step."""
    log_scale = np.zeros(v.shape[:-2])
    for _ in range(n):
        v = turn(v)
        top = stop_gradient(v).max(axis=(-2, -1))
        top = np.where(top > 0, top, 1.0)
        v = v * (1 / top[..., None, None])
        log_scale = log_scale + np.log(top)
    return v, log_scale


def _classes(values, r):
    """The classes of columns under rotation and reflection: (a state of each by its number,
    sizes)."""
    columns = Enumeration(values, r)
    states, _ = columns.all()
    turned = [np.roll(s, k, axis=1) for k in range(r) for s in (states, states[:, ::-1])]
    return np.unique(np.min([columns.index(s) for s in turned], axis=0), return_counts=True)


# ------------------------------------------------------------------- Kaufman's formula


def log_z_of_torus(rows, cols, coupling):
    """log Z of the Ising model without field on a torus, for J of either sign (Kaufman 1949, Phys.
    Rev. 76:1232, eq. 49).

    With m rows and n columns, cosh γ_k = cosh 2J coth 2J - cos(π k / n) for k = 0, ..., 2n - 1, and
    γ_0 = 2J + log tanh J:

        Z = ½ (2 sinh 2J)^{mn/2} [Π_odd 2 cosh(mγ/2) + Π_odd 2 sinh(mγ/2)
                                  + Π_even 2 cosh(mγ/2) + Π_even 2 sinh(mγ/2)].              (3)

    Every bond counts, so a side of 2 is bound twice.  The sum of the two products of a parity is
    twice the real part of one product,

        Π e^{mγ/2} (1 + e^{-mγ} j)    with  j² = 1,                                          (4)

    a number a + b j each.  Z is an analytic function of J, so (3) holds for J ≤ 0, too; (4) is
    written in w = e^{-2|J|} and tanh |J|, in which nothing overflows and nothing is singular.

    None where the terms cancel or underflow: where sides are odd and J is far below 0, so that not
    all neighbours can differ.
    """
    m, n = (cols, rows) if rows % 2 else (rows, cols)
    sign = -1.0 if float(stop_gradient(coupling)) < 0 else 1.0
    w = ops.exp(-2 * sign * coupling)  # at most 1
    tanh = (1 - w) / (1 + w)
    unit = max(float(stop_gradient(w)), float(stop_gradient(tanh)))

    # the factors of k = 0 and of k = n, in units of w^{-m}; those of J < 0 are exchanged
    log = m * ops.log(1 + w)
    at_0 = (sign * tanh / unit) ** m, (w / unit) ** m, log + m * math.log(unit)
    at_n = 1.0, (sign * w * tanh) ** m, log
    if sign < 0:
        at_0, at_n = (at_n[1], at_n[0], at_n[2]), (at_0[1], at_0[0], at_0[2])
    even = _times(at_0, _product(np.arange(2, 2 * n, 2), m, n, sign, w))
    odd = _product(np.arange(1, 2 * n, 2), m, n, sign, w)
    if n % 2:
        odd = _times(at_n, odd)
    else:
        even = _times(at_n, even)

    top = max(float(stop_gradient(log)) for _, _, log in (even, odd))
    terms = [real * ops.exp(log - top) for real, _, log in (even, odd)]
    total = terms[0] + terms[1]
    size = sum(abs(float(stop_gradient(term))) for term in terms)
    if float(stop_gradient(total)) < max(0.1 * size, TINY):
        return None
    return 2 * sign * rows * cols * coupling + top + ops.log(total) - math.log(2)


def _times(first, second):
    """The product of two numbers (a + b j) e^log, each given as (a, b, log); j² = 1."""
    (a, b, log), (c, d, more) = first, second
    return a * c + b * d, a * d + b * c, log + more


def _product(k, m, n, sign, w):
    """The product of eq. (4) over these k, but 0 and n: (1, b, log), in units of w^{-m} for each.

    e^{-γ} = ± w (1 - w²) / B, so that with x = e^{-mγ} a factor is B^{m/2} (1 + x j), and 1 + x j is
    sqrt(1 - x²) (cosh t + j sinh t) with t = artanh x: the t of all factors add up.
    """
    k = k[k != n]
    z = w * (1 - w * w)
    gap = 0.5 * (1 - 2 * w - w * w) ** 2 + z * (1 - sign * np.cos(math.pi * k / n))
    B = gap + z + ops.sqrt(gap * (gap + 2 * z))
    x = (sign * z / B) ** m
    t = ops.sum(_artanh(x))
    log_2cosh = t + ops.softplus(-2 * t)
    log = 0.5 * ops.sum(m * ops.log(B) + ops.log(1 - x * x)) + log_2cosh
    return 1.0, ops.tanh(t), log


@primitive(lambda g, y, x: g / (1 - x * x))
def _artanh(x):
    return np.arctanh(x)
