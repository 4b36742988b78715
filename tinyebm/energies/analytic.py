"""Energies with a formula: each has known answers, and parameters that can be fitted."""

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

# Scalars of theta are arrays of shape (), made next to the generator's (NumPy's or CuPy's).


def _is_plain(space):
    """Whether a space is R^d with Lebesgue measure, and nothing that inherits from it."""
    return type(space) is Reals and space.base_scale is None


def _scalar(rng, value):
    return np.asarray(value, like=rng.standard_normal((1,)))


def _width(x, mass):
    """The root mean square distance per coordinate of weighted rows from their mean; 1 if they are
    all equal."""
    mean = mass @ x
    width = math.sqrt(float(mass @ np.square(x - mean).mean(axis=1)))
    return width if width > ROUNDING * np.abs(mean).max() else 1.0


@dataclass(frozen=True)
class GaussianEnergy:
    """E(x) = ½ (x - m)ᵀ P (x - m); log Z = (d/2) log 2π - ½ log det P.

    theta = {"mean": (d,), "precision": (d, d)}, P symmetric positive definite.
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
        """Mean and precision of the rows x (n, d) of weight mass (n,); independent coordinates
        where they span no volume."""
        mean = mass @ x
        z = x - mean
        covariance = (z * mass[:, None]).T @ z
        if np.linalg.eigvalsh(covariance)[0] <= ROUNDING * (
            np.trace(covariance) + ROUNDING * mean @ mean
        ):
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
        """(d/2) log 2π - ½ log det P on R^d; None elsewhere, and for a precision that is not
        positive definite."""
        require_parameters(self, theta, mean=(self.dim,), precision=(self.dim, self.dim))
        if not _is_plain(space):
            return None
        P = 0.5 * (theta["precision"] + ops.transpose(theta["precision"], (1, 0)))
        if not np.linalg.eigvalsh(to_numpy(stop_gradient(P))).min() > 0:
            return None
        return 0.5 * (self.dim * math.log(2 * math.pi) - ops.log_det(P))


@dataclass(frozen=True)
class GaussianMixtureEnergy:
    """E(x) = -log Σ_k w_k N(x; m_k, σ_k² I), so Z = 1; w = softmax(logits).

    theta = {"logits": (n,), "mean": (n, d), "log_scale": (n,)}, log_scale = log σ.
    """

    n: int
    dim: int

    def __post_init__(self):
        require_count(self.n, "n must be a positive number of components")
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """Equal weights, unit scales, standard normal means."""
        mean = rng.standard_normal((self.n, self.dim))
        return {"logits": mean[:, 0] * 0.0, "mean": mean, "log_scale": mean[:, 0] * 0.0}

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """Equal weights, means at rows drawn far apart (Arthur & Vassilvitskii 2007, k-means++),
        scales of the data / n^{1/d}."""
        mean, far = [], mass
        for _ in range(self.n):
            mean.append(
                x[rng.choice(len(x), p=far / far.sum() if far.any() else mass / mass.sum())]
            )
            far = mass * np.min([np.square(x - m).sum(axis=1) for m in mean], axis=0)
        log_scale = math.log(_width(x, mass)) - math.log(self.n) / self.dim
        return {
            "logits": np.zeros(self.n),
            "mean": np.array(mean),
            "log_scale": np.full(self.n, log_scale),
        }

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        require_parameters(
            self, theta, logits=(self.n,), mean=(self.n, self.dim), log_scale=(self.n,)
        )
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
        require_parameters(
            self, theta, logits=(self.n,), mean=(self.n, self.dim), log_scale=(self.n,)
        )
        return 0.0 * ops.sum(theta["log_scale"]) if _is_plain(space) else None


@dataclass(frozen=True)
class DoubleWell:
    """E(x) = h (x² - 1)²: wells at ±1, a barrier of h nats between them.

    theta = {"barrier": ()}.  With u = h/2, Z = (π/2) e^{-u} [I_{-1/4}(u) + I_{1/4}(u)].
    """

    dim = 1

    def init(self, rng: Generator) -> Tree:
        """A barrier of 2 nats."""
        return {"barrier": _scalar(rng, 2.0)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 1)."""
        require_parameters(self, theta, barrier=())
        x = rows(x, self.dim)
        return theta["barrier"] * ops.square(x[:, 0] * x[:, 0] - 1.0)


@dataclass(frozen=True)
class Quartic:
    """E(x) = a x² + b x⁴, b > 0; a < 0 makes two wells.

    theta = {"a": (), "b": ()}.  For a > 0, u = a²/8b: Z = ½ √(a/b) e^u K_{1/4}(u).
    """

    dim = 1

    def init(self, rng: Generator) -> Tree:
        """a = b = 1."""
        return {"a": _scalar(rng, 1.0), "b": _scalar(rng, 1.0)}

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """a = 1/4m₂ and b = 1/8m₄ of the moments m, as E[x E'(x)] = 2a m₂ + 4b m₄ = 1 wants; a = b
        = 1 if all rows are 0."""
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
    """

    dim = 2

    def init(self, rng: Generator) -> Tree:
        """Radius 2, scale 0.3."""
        return {"radius": _scalar(rng, 2.0), "scale": _scalar(rng, 0.3)}

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
    """

    dim = 2

    def init(self, rng: Generator) -> Tree:
        """b = 0.3, s₁ = 4, s₂ = 0.5."""
        return {"b": _scalar(rng, 0.3), "s1": _scalar(rng, 4.0), "s2": _scalar(rng, 0.5)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of x (n, 2)."""
        require_parameters(self, theta, b=(), s1=(), s2=())
        x = rows(x, self.dim)
        first, second = x[:, 0], x[:, 1]
        bent = second - theta["b"] * (first * first - theta["s1"])
        return 0.5 * (first * first / theta["s1"] + bent * bent / theta["s2"])


@dataclass(frozen=True)
class Funnel:
    """E(v, x) = v² / 2s² + Σ_i (x_i² e^{-v} + v) / 2 (Neal 2003, Slice sampling, section 8).

    v is the first coordinate, N(0, s²); each other coordinate is N(0, e^v) given v.
    theta = {"scale": ()}, s.  Z = √(2π) s (2π)^{(dim-1)/2}.
    """

    dim: int

    def __post_init__(self):
        require_count(self.dim, "dim must be a positive integer")

    def init(self, rng: Generator) -> Tree:
        """s = 3."""
        return {"scale": _scalar(rng, 3.0)}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, dim)."""
        require_parameters(self, theta, scale=())
        x = rows(x, self.dim)
        v, rest = x[:, 0], x[:, 1:]
        z = ops.sum(rest * rest, axis=1) * ops.exp(-v) + (self.dim - 1) * v
        return 0.5 * (ops.square(v / theta["scale"]) + z)
