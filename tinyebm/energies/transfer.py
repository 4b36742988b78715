"""Partition functions of lattices, column by column: the transfer matrix, and Kaufman's closed
form.

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

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import primitive, stop_gradient, vjp
from tinyebm.spaces.grids import Enumeration

BLOCK = 2**18  # entries of a block of columns that are carried through the powers of S
TINY = 1e-280  # the smallest sum whose terms have not lost digits to underflow


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
    largest = (
        float((J * counts[0]).max()),
        float((J * counts[1]).max()),
        0.5 * float(stop_gradient(u).max()),
    )

    def step(exponents):
        """S v / e^top as a function of v (..., q^(r//2), q^(r-r//2)), and D^½ / e^(top of u / 2),
        from J and u in one array."""
        first, second = (
            ops.exp(exponents[0] * count - top) for count, top in zip(counts, largest, strict=False)
        )
        root = ops.reshape(ops.exp(0.5 * exponents[1:] - largest[2]), shape)
        return lambda v: root * (first @ (v * root) @ second), root

    def log_trace(exponents, states, weights):
        """log Σ weight (S^c)_ss over some states s: both halves of the power start at e_s."""
        turn, _ = step(exponents)
        start = (np.arange(u.size) == states[:, None]) * 1.0
        v, log_v = _power(turn, start.reshape(-1, *shape), c // 2)
        w, log_w = _power(turn, v, c % 2)
        log_scale = 2 * log_v + log_w  # (states,)
        total = ops.sum(
            ops.sum(v * w, axis=(1, 2)) * (weights * np.exp(log_scale - log_scale.max()))
        )
        if float(stop_gradient(total)) == 0.0:  # what underflows has no weight, and no derivative
            return exponents[0] * 0.0 - np.inf
        return ops.log(total) + log_scale.max()

    exponents = ops.concatenate([ops.reshape(coupling, (1,)), u])
    per_column = largest[0] + largest[1] + 2 * largest[2]  # log of what S was divided by
    if not torus:
        turn, root = step(exponents)
        v, log_scale = _power(turn, root, c - 1)
        return ops.log(ops.sum(v * root)) + (
            float(log_scale) + per_column * (c - 1) + 2 * largest[2]
        )
    states, weights = _classes(values, r)
    parts = [
        slice(i, i + max(1, BLOCK // u.size))
        for i in range(0, len(states), max(1, BLOCK // u.size))
    ]
    traces = [
        recomputed(lambda e, part=part: log_trace(e, states[part], weights[part]))(exponents)
        for part in parts
    ]
    return (
        ops.logsumexp(ops.concatenate([ops.reshape(trace, (1,)) for trace in traces]))
        + per_column * c
    )


def _power(turn, v, n):
    """S^n v as (direction, log scale (...)) for v of shape (..., a, b): divided by its largest
    entry at every step."""
    log_scale = np.zeros(v.shape[:-2])
    for _ in range(n):
        v = turn(v)
        top = stop_gradient(v).max(axis=(-2, -1))
        top = np.where(top > 0, top, 1.0)
        v, log_scale = v * (1 / top[..., None, None]), log_scale + np.log(top)
    return v, log_scale


def _classes(values, r):
    """One column of every class that rotations and reflections make: (numbers of their states,
    sizes of the classes)."""
    columns = Enumeration(values, r)
    states, _ = columns.all()
    turned = [np.roll(s, k, axis=1) for k in range(r) for s in (states, states[:, ::-1])]
    return np.unique(np.min([columns.index(s) for s in turned], axis=0), return_counts=True)


def log_z_of_torus(rows, cols, coupling):
    """log Z of the Ising model without field on a torus, for J of either sign (Kaufman 1949, Phys.
    Rev. 76:1232, eq. 49).

    With m rows and n columns, cosh γ_k = cosh 2J coth 2J - cos(π k / n) for k = 0, ..., 2n - 1, and
    γ_0 = 2J + log tanh J:

        Z = ½ (2 sinh 2J)^{mn/2} [Π_odd 2 cosh(mγ/2) + Π_odd 2 sinh(mγ/2)
                                  + Π_even 2 cosh(mγ/2) + Π_even 2 sinh(mγ/2)].              (3)

    Every bond counts, so a side of 2 is bound twice.  Z is an entire function of J, so (3) holds
    for J ≤ 0, too, where it is written in functions that are analytic at every real J.  Of k other
    than 0 and n they are B > 0 and x, in units of w = e^{-2|J|}:

        e^{-γ} = ± w (1 - w²) / B,     x = e^{-mγ},     t = Σ_k artanh x;

    at k = 0 and n, where γ may change its sign, e^{mγ/2} and e^{-mγ/2} are powers a and b of w and
    tanh J, and the sum of the two products is Π B^{m/2} √(1 - x²) · 2 (a cosh t + b sinh t).

    None where the sums cancel or underflow: where sides are odd and J is far below 0, so that
    neighbours cannot all differ.
    """
    m, n = (cols, rows) if rows % 2 else (rows, cols)
    sign = -1.0 if float(stop_gradient(coupling)) < 0 else 1.0
    w = ops.exp(-2 * sign * coupling)  # at most 1
    tanh = (1 - w) / (1 + w)
    unit = max(float(stop_gradient(w)), float(stop_gradient(tanh)))
    # (a, b) of k = 0, n; J > 0
    crossing, other = ((sign * tanh / unit) ** m, (w / unit) ** m), (1.0, (sign * w * tanh) ** m)
    ends = [crossing, other] if sign > 0 else [other[::-1], crossing[::-1]]
    (a, b), (c, d) = ends
    both = [(a * c + b * d, a * d + b * c), (1.0, 0.0)]  # if n is even, so are 0 and n
    logs, factors = [], []
    for parity, (of_cosh, of_sinh) in enumerate(ends if n % 2 else both):
        log, tanh_t = _products(np.arange(parity, 2 * n, 2), m, n, sign, w)
        crosses = parity == (0 if sign > 0 else n % 2)
        logs.append(log + (m * math.log(unit) if crosses else 0.0))
        factors.append(of_cosh + of_sinh * tanh_t)
    top = max(float(stop_gradient(log)) for log in logs)
    even, odd = (factor * ops.exp(log - top) for factor, log in zip(factors, logs, strict=True))
    total = even + odd
    if float(stop_gradient(total)) < max(
        0.1 * (abs(float(stop_gradient(even))) + abs(float(stop_gradient(odd)))), TINY
    ):
        return None
    return 2 * sign * rows * cols * coupling + top + ops.log(total) - math.log(2)


def _products(k, m, n, sign, w):
    """(log Π B^{m/2} √(1 - x²) 2 cosh t, tanh t) over these k, of which 0 and n give (1 + w)^m."""
    inner = k[k % n > 0]
    z = w * (1 - w * w)
    gap = 0.5 * (1 - 2 * w - w * w) ** 2 + z * (1 - sign * np.cos(math.pi * inner / n))
    B = gap + z + ops.sqrt(gap * (gap + 2 * z))
    x = (sign * z / B) ** m
    t = ops.sum(_artanh(x))
    log = 0.5 * ops.sum(m * ops.log(B) + ops.log(1 - x * x)) + t + ops.softplus(-2 * t)
    return log + (len(k) - len(inner)) * m * ops.log(1 + w), ops.tanh(t)


@primitive(lambda g, y, x: g / (1 - x * x))
def _artanh(x):
    return np.arctanh(x)


def vanishing(x, name, order):
    """0, of which the derivatives by x, up to that order, are 0, too; a higher one, which nobody
    knows here, is refused.

    >>> from tinyebm import grad
    >>> float(grad(lambda x: vanishing(x, "x", 1))(2.0))
    0.0
    """

    def pull(left):
        def zero(g, y, x):
            if not left:
                raise ValueError(
                    f"of log Z of a large lattice the derivatives by its {name} are known to order "
                    f"{order} here, and not higher"
                )
            return g * flat(left - 1)(x)

        return zero

    flat = lambda left: primitive(pull(left))(lambda x: 0.0 * x)
    return flat(order)(x)


def recomputed(function):
    """The function of one array, with a derivative that runs it again instead of remembering what
    it did.

    For a long computation whose tape would not fit in memory: it costs one more run
    (Griewank & Walther 2008, Evaluating Derivatives, ch. 12).

    >>> from tinyebm import grad
    >>> float(grad(grad(recomputed(lambda x: x * x * x)))(2.0))
    12.0
    """
    return primitive(lambda g, y, x: vjp(function, x)[1](g)[0])(function)
