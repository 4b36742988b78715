"""Energies of low dimension with a formula, whose log Z, mean or modes are known.

Every energy is parametric, so the result of a training method can be compared with the exact
maximum of the likelihood.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import to_numpy
from tinyebm.common.checks import require_count, require_parameters
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.spaces.continuous import Reals
from tinyebm.spaces.rows import rows

ROUNDING = 1e-13  # of a variance next to the largest, and of a standard deviation next to the mean


def scalars(rng, **values):
    """Parameters of shape (), by name, as arrays on the device of the generator."""
    beside = rng.standard_normal((1,))
    return {name: np.asarray(value, like=beside) for name, value in values.items()}


def is_plain(space):
    """Whether a space is R^d with Lebesgue measure (a class that inherits from Reals is not)."""
    return type(space) is Reals and space.base_scale is None


def _width(x, mass):
    """The root mean square distance per coordinate of rows of some mass from their mean; 1 if all
    are equal."""
    mean = mass @ x
    width = math.sqrt(float(mass @ np.square(x - mean).mean(axis=1)))
    return width if width > ROUNDING * np.abs(mean).max() else 1.0


@dataclass(frozen=True)
class GaussianEnergy:
    """E(x) = ½ (x - m)ᵀ P (x - m); log Z = (d/2) log 2π - ½ log det P.

    theta = {"mean": (d,), "precision": (d, d)}, P symmetric positive definite.

    >>> normal = GaussianEnergy(1)
    >>> theta = {"mean": np.array([1.0]), "precision": np.array([[4.0]])}
    >>> normal(theta, np.array([[1.0], [2.0]]))
    array([0., 2.])
    """

    dim: int

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """The standard normal."""
        mean = rng.standard_normal((self.dim,)) * 0.0
        i = np.arange(self.dim, like=mean)
        return {"mean": mean, "precision": (i[:, None] == i[None, :]) * 1.0}

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """Mean and precision of the rows x (n, d) of probability mass (n,).

        Independent coordinates of equal variance where the rows span no volume.
        """
        mean = mass @ x
        z = x - mean
        covariance = (z * mass[:, None]).T @ z
        size = np.trace(covariance) + ROUNDING * mean @ mean
        if np.linalg.eigvalsh(covariance)[0] <= ROUNDING * size:
            covariance = np.eye(self.dim) * _width(x, mass) ** 2
        return {"mean": mean, "precision": np.linalg.inv(covariance)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        require_parameters(self, theta, mean=(self.dim,), precision=(self.dim, self.dim))
        x = rows(x, self.dim)
        z = x - theta["mean"]
        return 0.5 * ops.sum((z @ theta["precision"]) * z, axis=1)

    def modes(self, theta: Tree) -> Array:
        """The mean, (1, d)."""
        return theta["mean"][None]

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """(d/2) log 2π - ½ log det P on R^d; None elsewhere, or if P is not positive definite."""
        require_parameters(self, theta, mean=(self.dim,), precision=(self.dim, self.dim))
        if not is_plain(space):
            return None
        P = 0.5 * (theta["precision"] + ops.transpose(theta["precision"], (1, 0)))
        if not np.linalg.eigvalsh(to_numpy(stop_gradient(P))).min() > 0:
            return None
        return 0.5 * (self.dim * math.log(2 * math.pi) - ops.log_det(P))


@dataclass(frozen=True)
class GaussianMixtureEnergy:
    """E(x) = -log Σ_k w_k N(x; m_k, σ_k² I), so Z = 1; w = softmax(logits).

    theta = {"logits": (n,), "mean": (n, d), "log_scale": (n,)}, log_scale = log σ.

    >>> mixture = GaussianMixtureEnergy(2, 1)
    >>> theta = {"logits": np.zeros(2), "mean": np.zeros((2, 1)), "log_scale": np.zeros(2)}
    >>> mixture(theta, np.zeros((1, 1))).round(6)  # ½ log 2π
    array([0.918939])
    """

    n: int
    dim: int

    def __post_init__(self):
        require_count(self.n, "n must be a positive number of components")
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """Equal weights, unit scales, standard normal means."""
        mean = rng.standard_normal((self.n, self.dim))
        zeros = mean[:, 0] * 0.0
        return {"logits": zeros, "mean": mean, "log_scale": zeros}

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """Equal weights, means at rows far apart, scales of the data / n^{1/d}.

        Rows are drawn with probability ∝ squared distance from the means so far (Arthur &
        Vassilvitskii 2007, k-means++).
        """
        mean, far = [], mass
        for _ in range(self.n):
            chances = far if far.any() else mass
            mean.append(x[rng.choice(len(x), p=chances / chances.sum())])
            far = mass * np.min([np.square(x - m).sum(axis=1) for m in mean], axis=0)
        log_scale = np.full(self.n, math.log(_width(x, mass)) - math.log(self.n) / self.dim)
        return {"logits": np.zeros(self.n), "mean": np.array(mean), "log_scale": log_scale}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        self._require(theta)
        x = rows(x, self.dim)
        z = (x[:, None, :] - theta["mean"]) * ops.exp(-theta["log_scale"])[:, None]  # (rows, n, d)
        log_norm = self.dim * (theta["log_scale"] + 0.5 * math.log(2 * math.pi))  # (n,)
        log_w = theta["logits"] - ops.logsumexp(theta["logits"])
        return -ops.logsumexp(log_w - log_norm - 0.5 * ops.sum(z * z, axis=2), axis=1)

    def modes(self, theta: Tree) -> Array:
        """The means of the components, (n, d)."""
        return theta["mean"]

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """0 on R^d; None elsewhere."""
        self._require(theta)
        return 0.0 * ops.sum(theta["log_scale"]) if is_plain(space) else None

    def _require(self, theta):
        shapes = {"logits": (self.n,), "mean": (self.n, self.dim), "log_scale": (self.n,)}
        require_parameters(self, theta, **shapes)


@dataclass(frozen=True)
class DoubleWell:
    """E(x) = h (x² - 1)²: wells at ±1, a barrier of h nats between them.

    theta = {"barrier": ()}.  With u = h/2, Z = (π/2) e^{-u} [I_{-1/4}(u) + I_{1/4}(u)].

    >>> DoubleWell()({"barrier": np.array(3.0)}, np.array([[0.0], [1.0]]))
    array([3., 0.])
    """

    dim = 1

    def init(self, rng: Generator) -> Tree:
        """A barrier of 2 nats."""
        return scalars(rng, barrier=2.0)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 1)."""
        require_parameters(self, theta, barrier=())
        x = rows(x, self.dim)
        return theta["barrier"] * ops.square(x[:, 0] * x[:, 0] - 1.0)


@dataclass(frozen=True)
class Quartic:
    """E(x) = a x² + b x⁴, b > 0; a < 0 makes two wells.

    theta = {"a": (), "b": ()}.  For a > 0, u = a²/8b: Z = ½ √(a/b) e^u K_{1/4}(u).

    >>> Quartic()({"a": np.array(-2.0), "b": np.array(1.0)}, np.array([[1.0], [2.0]]))
    array([-1.,  8.])
    """

    dim = 1

    def init(self, rng: Generator) -> Tree:
        """a = b = 1."""
        return scalars(rng, a=1.0, b=1.0)

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """a = 1/4m₂ and b = 1/8m₄ with the moments m₂ and m₄; 1 and 1 if all rows are 0.

        These a and b satisfy E[x E'(x)] = 2a m₂ + 4b m₄ = 1, which holds for every density.
        """
        m2, m4 = (float(mass @ x[:, 0] ** k) for k in (2, 4))
        return {"a": np.array(0.25 / m2), "b": np.array(0.125 / m4)} if m4 > 0 else self.init(rng)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 1)."""
        require_parameters(self, theta, a=(), b=())
        x = rows(x, self.dim)
        square = x[:, 0] * x[:, 0]
        return theta["a"] * square + theta["b"] * square * square


@dataclass(frozen=True)
class Ring:
    """E(x) = (|x| - R)² / 2s² in the plane.

    theta = {"radius": (), "scale": ()}.
    Z = 2π [s² e^{-R²/2s²} + R s √(π/2) (1 + erf(R / s√2))].

    >>> Ring()({"radius": np.array(5.0), "scale": np.array(1.0)}, np.array([[3.0, 4.0]]))
    array([0.])
    """

    dim = 2

    def init(self, rng: Generator) -> Tree:
        """Radius 2, scale 0.3."""
        return scalars(rng, radius=2.0, scale=0.3)

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """Mean and standard deviation of |x|."""
        r = np.sqrt(np.square(x).sum(axis=1))[:, None]
        return {"radius": np.array(float(mass @ r[:, 0])), "scale": np.array(_width(r, mass))}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 2).  At the centre, where |x| has a kink, the gradient is 0."""
        require_parameters(self, theta, radius=(), scale=())
        x = rows(x, self.dim)
        square = ops.sum(x * x, axis=1)
        off = square > 0
        r = ops.where(off, ops.sqrt(ops.where(off, square, 1.0)), 0.0)
        return 0.5 * ops.square((r - theta["radius"]) / theta["scale"])


@dataclass(frozen=True)
class Banana:
    """E(x, y) = x² / 2s₁ + (y - b x² + b s₁)² / 2s₂: a sheared Gaussian, Z = 2π √(s₁ s₂).

    theta = {"b": (), "s1": (), "s2": ()}; s₁, s₂ are variances.

    >>> theta = {"b": np.array(1.0), "s1": np.array(1.0), "s2": np.array(0.5)}
    >>> Banana()(theta, np.array([[2.0, 3.0]]))
    array([2.])
    """

    dim = 2

    def init(self, rng: Generator) -> Tree:
        """b = 0.3, s₁ = 4, s₂ = 0.5."""
        return scalars(rng, b=0.3, s1=4.0, s2=0.5)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 2)."""
        require_parameters(self, theta, b=(), s1=(), s2=())
        x = rows(x, self.dim)
        first, second = x[:, 0], x[:, 1]
        bent = second - theta["b"] * (first * first - theta["s1"])
        return 0.5 * (first * first / theta["s1"] + bent * bent / theta["s2"])

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """log 2π + ½ log s₁ s₂ on R²; None elsewhere, or if a variance is not positive."""
        require_parameters(self, theta, b=(), s1=(), s2=())
        s1, s2 = theta["s1"], theta["s2"]
        if not is_plain(space) or not (stop_gradient(s1) > 0 and stop_gradient(s2) > 0):
            return None
        return math.log(2 * math.pi) + 0.5 * (ops.log(s1) + ops.log(s2))


@dataclass(frozen=True)
class Funnel:
    """E(v, x) = v² / 2s² + Σ_i (x_i² e^{-v} + v) / 2 (Neal 2003, Slice sampling, section 8).

    v is the first coordinate, N(0, s²); each other coordinate is N(0, e^v) given v.
    theta = {"scale": ()}, s.  Z = √(2π) s (2π)^{(dim-1)/2}.

    >>> Funnel(2)({"scale": np.array(3.0)}, np.array([[0.0, 2.0]]))
    array([2.])
    """

    dim: int

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """s = 3."""
        return scalars(rng, scale=3.0)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, dim)."""
        require_parameters(self, theta, scale=())
        x = rows(x, self.dim)
        v, rest = x[:, 0], x[:, 1:]
        z = ops.sum(rest * rest, axis=1) * ops.exp(-v) + (self.dim - 1) * v
        return 0.5 * (ops.square(v / theta["scale"]) + z)

    def log_partition(self, theta: Tree, space: Any) -> Any:
        """(dim/2) log 2π + log |s| on R^dim; None elsewhere, or if s = 0."""
        require_parameters(self, theta, scale=())
        if not is_plain(space) or not stop_gradient(theta["scale"]) != 0:
            return None
        return 0.5 * self.dim * math.log(2 * math.pi) + ops.log(ops.abs(theta["scale"]))
