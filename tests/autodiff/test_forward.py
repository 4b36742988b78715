"""Slopes and Laplacians that travel forward, against reverse mode applied once and twice."""

import numpy as np
import pytest

from tinyebm import ops
from tinyebm.autodiff.forward import Jets, push_forward, slopes_and_laplacian
from tinyebm.autodiff.tape import grad, hvp, stop_gradient, vjp

rng = np.random.default_rng
A, B = rng(0).standard_normal((3, 4)), rng(1).standard_normal((4, 3))
COLUMN = lambda x: ops.reshape(x[:, 0], (-1, 1))

FUNCTIONS = {  # of rows of x (n, 3), one number each
    "square": lambda x: ops.sum(x * x, axis=1),
    "network": lambda x: (ops.silu(ops.tanh(x @ A) @ B) @ A)[:, 1],
    "softplus": lambda x: ops.sum(ops.softplus(x @ A), axis=1) - ops.softplus_sum(x @ A),
    "sigmoid": lambda x: ops.sigmoid(x @ A)[:, 2] + ops.sum(ops._silu_slope(x), axis=1),
    "product": lambda x: x[:, 0] * x[:, 1] * x[:, 2] * x[:, 0],
    "ratio": lambda x: x[:, 0] / (2 + x[:, 1] * x[:, 1]) + 1.5 / (3 + x[:, 2]),
    "powers": lambda x: ops.sum(x**3 + (4 + x) ** 0.5 + x**0 + x**1, axis=1),
    "waves": lambda x: ops.sum(ops.sin(x) * ops.cos(2 * x) + ops.exp(-x) * ops.log(4 + x), axis=1),
    "logsumexp": lambda x: ops.logsumexp(x @ A, axis=1),
    "two sides": lambda x: ops.sum((x @ (A @ B)) * x, axis=1) - ops.sum(ops.swap_last_axes(x @ A) @ x, axis=0)[0] * 0 * x[:, 0],
    "kinks": lambda x: ops.sum(ops.relu(x) * x + ops.abs(x) + ops.minimum(x * x, 0.3), axis=1),
    "choice": lambda x: ops.where(stop_gradient(x[:, 0]) > 0, x[:, 1] * x[:, 1], ops.exp(x[:, 2])),
    "pieces": lambda x: ops.sum(ops.concatenate([COLUMN(x * x), x[:, 1:] * x[:, :2]], axis=1) ** 2, axis=1),
    "repeated": lambda x: ops.sum(x[:, [0, 0, 2]] * x[:, [2, 1, 1]], axis=1),
    "linear": lambda x: (x @ A)[:, 0] - 2.0,
}


def both(f, x):
    """Slopes (n, d) and Laplacian (n,) of f by forward propagation."""
    directions = [np.broadcast_to(row, x.shape) for row in np.eye(x.shape[1])]
    slopes, laplacian = slopes_and_laplacian(f, x, directions)
    return np.stack(slopes, axis=1), laplacian


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_reverse_mode(name):
    """Slopes are the gradient, the Laplacian is the sum of second differences along the axes by Hessian-vector products.

    Catches a cross term left out or halved, a slope's square with its sign, a primitive taken for elementwise.
    """
    f, x = FUNCTIONS[name], rng(2).uniform(-1.5, 1.5, (5, 3))
    slopes, laplacian = both(f, x)
    value, pullback = vjp(f, x)
    trace = np.zeros(5)
    for i in range(3):
        v = np.zeros((5, 3))
        v[:, i] = 1.0
        trace += hvp(lambda x: ops.sum(f(x)), x, v)[:, i]

    np.testing.assert_allclose(slopes, pullback(np.ones_like(value))[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(laplacian, trace, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("f", [lambda x: np.ones(5), lambda x: ops.sum(stop_gradient(x), axis=1)])
def test_constants_have_no_slope(f):
    """Catches None, or an array of another shape, for a function that does not look at x."""
    slopes, laplacian = both(f, rng(0).standard_normal((5, 3)))
    assert slopes.shape == (5, 3) and laplacian.shape == (5,) and not slopes.any() and not laplacian.any()


@pytest.mark.parametrize("order", [1, 2])
def test_an_outer_gradient_sees_through(order):
    """Both differentiate by parameters, once and twice, as central differences do.  Catches a slope that is a constant to it."""
    x, a, h = rng(3).standard_normal((4, 2)), np.array(0.7), 1e-4

    def loss(a):
        directions = [np.broadcast_to(row, x.shape) for row in np.eye(2)]
        slopes, laplacian = slopes_and_laplacian(lambda x: ops.sum(ops.tanh(a * x) * x, axis=1), x, directions)
        return sum(ops.sum(s * s) for s in slopes) + ops.sum(laplacian * laplacian)

    slope = grad(loss)
    if order == 1:
        assert abs(slope(a) - (loss(a + h) - loss(a - h)) / (2 * h)) < 1e-6
    else:
        assert abs(grad(slope)(a) - (slope(a + h) - slope(a - h)) / (2 * h)) < 1e-5


def test_directions_need_not_be_axes():
    """Along v alone: the slope v·∇f and the second derivative vᵀ∇²f v.  Catches a fixed basis."""
    x, v = rng(4).standard_normal((3, 2)), np.array([0.6, -1.1])
    f = lambda x: x[:, 0] ** 2 * x[:, 1]
    (slope,), bend = slopes_and_laplacian(f, x, [np.broadcast_to(v, x.shape)])
    a, b = x.T

    np.testing.assert_allclose(slope, 2 * a * b * v[0] + a**2 * v[1], rtol=1e-13)
    np.testing.assert_allclose(bend, 2 * b * v[0] ** 2 + 4 * a * v[0] * v[1], rtol=1e-12)


def test_push_forward_is_the_derivative_along_a_direction():
    """Of two arguments, either of which may stand still.  Catches a tangent given to the wrong argument."""
    a, b, t = rng(5).standard_normal((3, 4))
    np.testing.assert_allclose(push_forward(lambda a, b: a * b, [a, b], [t, None]), t * b)
    np.testing.assert_allclose(push_forward(lambda a, b: a * b, [a, b], [t, 2 * t]), t * b + 2 * a * t)
    assert push_forward(lambda a, b: a * b, [a, b], [None, None]) is None
    assert Jets().age < Jets().age
