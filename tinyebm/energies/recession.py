"""How a ReLU network grows: its recession function, minimised over directions.

An MLP whose activation is linear at infinity (ReLU, SiLU, softplus: all tend
to max(z, 0)) grows linearly along every ray,

    E_∞(u) = lim_{t→∞} E(t u) / t = W_Lᵀ relu(... relu(W_1ᵀ u)),             (1)

the same network without biases and with ReLUs.  Then ∫ e^{-E} < ∞ over R^d if
and only if E_∞(u) > 0 in every direction u.
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
        Exact in one and two dimensions, where the pieces of (1) can be listed
        (their number grows like the number of hidden units).  In d ≥ 3 the least
        value over 200 great circles, each through the best direction so far: an
        upper bound, found by exact searches in two dimensions.

    >>> value, direction = min_recession([np.array([[1.0, -1.0]]), np.array([[1.0], [3.0]])])
    >>> value, direction
    (1.0, array([1.]))
    """
    d = weights[0].shape[0]
    if d == 1:
        return min(
            ((_forward(weights, np.array([[s]])).item(), np.array([s])) for s in (1.0, -1.0)),
            key=lambda found: found[0],
        )
    if d == 2:
        return _min_on_circle(weights)
    rng = np.random.default_rng(0)
    best, at = np.inf, rng.standard_normal(d)
    for _ in range(200):
        # (2, d), orthonormal rows
        plane = np.linalg.qr(np.stack([at, rng.standard_normal(d)], axis=1))[0].T
        value, angle = _min_on_circle([plane @ weights[0], *weights[1:]])
        if value < best:
            best, at = value, angle @ plane
    return best, at


def _forward(weights, x):
    for W in weights[:-1]:
        x = np.maximum(x @ W, 0.0)
    return (x @ weights[-1])[:, 0]


def _min_on_circle(weights):
    """Walk once round the circle, stopping at every direction where some ReLU switches.

    Between two neighbouring stops the network is linear, so the activations at a
    new stop are those of its neighbours, interpolated.
    """
    # (m, 2), counterclockwise
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

    # on the arc from a to b the function is u -> c·u; inside, its least value is -|c| at u = -c/|c|
    a, b, va, vb = rays[:-1], rays[1:], value[:-1], value[1:]
    det = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    wide = det > 0
    c = (
        np.stack([va * b[:, 1] - vb * a[:, 1], vb * a[:, 0] - va * b[:, 0]], axis=1)[wide]
        / det[wide, None]
    )
    inside = (c[:, 1] * a[wide, 0] - c[:, 0] * a[wide, 1] < 0) & (
        c[:, 0] * b[wide, 1] - c[:, 1] * b[wide, 0] < 0
    )
    directions = np.concatenate([rays, -c[inside]])
    length = np.linalg.norm(directions, axis=1)
    values = np.concatenate([value, -np.sum(c[inside] ** 2, axis=1)]) / length
    i = np.argmin(values)
    return float(values[i]), directions[i] / length[i]
