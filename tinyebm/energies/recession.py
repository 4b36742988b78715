"""How fast a ReLU network grows: its recession function, minimised over directions.

An MLP whose activation is linear at infinity (ReLU, SiLU and softplus, which all tend to max(z, 0))
grows linearly along every ray,

    E_∞(u) = lim_{t→∞} E(t u) / t = W_Lᵀ relu(... relu(W_1ᵀ u)),             (1)

the same network with ReLUs and without biases.  ∫ e^{-E} over R^d is finite if and only if
E_∞(u) > 0 in every direction u.
"""

import numpy as np


def min_recession(weights):
    """The least value of eq. (1) over unit vectors, and the direction where it is reached.

    Parameters
    ----------
    weights : list of arrays (in, out)
        The layers of the network, x @ W, without biases; the last one is (h, 1).

    Returns
    -------
    (float, array (d,))
        Exact in one and two dimensions, where the linear pieces of (1) are listed (their number
        grows like the number of hidden units).  In d ≥ 3 an upper bound: the least value on 200
        great circles, each through the best direction so far and searched exactly.

    >>> value, direction = min_recession([np.array([[1.0, -1.0]]), np.array([[1.0], [3.0]])])
    >>> value, direction
    (1.0, array([1.]))
    """
    d = weights[0].shape[0]
    if d == 1:
        ends = np.array([[1.0], [-1.0]])
        values = _forward(weights, ends)
        i = np.argmin(values)
        return float(values[i]), ends[i]
    if d == 2:
        return _min_on_circle(weights)
    rng = np.random.default_rng(0)
    best, at = np.inf, rng.standard_normal(d)
    for _ in range(200):
        # an orthonormal basis of a plane through `at`, (2, d)
        plane = np.linalg.qr(np.stack([at, rng.standard_normal(d)], axis=1))[0].T
        value, angle = _min_on_circle([plane @ weights[0], *weights[1:]])
        if value < best:
            best, at = value, angle @ plane
    return best, at


def _forward(weights, x):
    """Eq. (1) for the rows of x, (n,)."""
    for W in weights[:-1]:
        x = np.maximum(x @ W, 0.0)
    return (x @ weights[-1])[:, 0]


def _min_on_circle(weights):
    """The least value of eq. (1) on the unit circle, and its direction.

    The circle is cut, layer by layer, at every direction where a ReLU switches.  Between two
    neighbouring cuts the network is linear, so the activations at a new cut are interpolated.
    """
    # directions, (m, 2), counterclockwise
    rays = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    hidden = rays
    for W in weights[:-1]:
        z = hidden @ W
        arc, unit = np.nonzero(z[:-1] * z[1:] < 0)
        along = np.abs(z[arc, unit]) / (np.abs(z[arc, unit]) + np.abs(z[arc + 1, unit]))
        order = np.lexsort((along, arc))
        arc, along = arc[order], along[order, None]
        between = lambda h, arc=arc, along=along: (1 - along) * h[arc] + along * h[arc + 1]
        rays, hidden = (np.insert(h, arc + 1, between(h), axis=0) for h in (rays, hidden))
        hidden = np.maximum(hidden @ W, 0.0)
    value = (hidden @ weights[-1])[:, 0]

    # from a to b the function is u -> c·u: its least value is -|c| at u = -c/|c|, if that is inside
    a, b, va, vb = rays[:-1], rays[1:], value[:-1], value[1:]
    det = _cross(a, b)
    wide = det > 0
    a, b, va, vb, det = a[wide], b[wide], va[wide], vb[wide], det[wide, None]
    c = np.stack([va * b[:, 1] - vb * a[:, 1], vb * a[:, 0] - va * b[:, 0]], axis=1) / det
    inside = (_cross(a, c) < 0) & (_cross(c, b) < 0)
    directions = np.concatenate([rays, -c[inside]])
    length = np.linalg.norm(directions, axis=1)
    values = np.concatenate([value, -np.sum(c[inside] ** 2, axis=1)]) / length
    i = np.argmin(values)
    return float(values[i]), directions[i] / length[i]


def _cross(a, b):
    """The cross products of the rows of a and b, (m,): positive if b lies to the left of a."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
