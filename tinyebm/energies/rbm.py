"""Restricted Boltzmann machines: a visible and a hidden layer, with bonds only between them.

The energy here is a function of the visible layer v, the *free energy* F(v) = -log Σ_h e^{-E(v,h)}.
Given one layer, the units of the other are independent, so either layer can be summed out: Z is
also a sum over the 2^hidden states of the hidden layer (`other_layer`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.checks import require_count, require_parameters
from tinyebm.common.kinds import Array, Energy, Generator, Tree
from tinyebm.energies.analytic import is_plain
from tinyebm.energies.conditionals import of_values
from tinyebm.spaces.rows import rows


@dataclass(frozen=True)
class RBM:
    """F(v) = -b·v - Σ_j softplus(c_j + (vᵀW)_j) on Bits(visible), a restricted Boltzmann machine.

    Its energy is E(v, h) = -b·v - c·h - vᵀWh with h in {0,1}^hidden.
    theta = {"W": (visible, hidden), "b": (visible,), "c": (hidden,)} (Smolensky 1986; Hinton 2002,
    Neural Computation 14:1771).

    >>> machine = RBM(4, 2)
    >>> theta = machine.init(np.random.default_rng(0))
    >>> machine(theta, np.zeros((1, 4))) + 2 * np.log(2)
    array([0.])
    """

    visible: int
    hidden: int
    sites = (0.0, 1.0), (-1.0, 1.0)

    def __post_init__(self):
        _check(self)

    @property
    def dim(self) -> int:
        """Number of visible units."""
        return self.visible

    def init(self, rng: Generator) -> Tree:
        """Weights N(0, 1/100), no biases."""
        return _init(self, rng)

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Free energies (n,) of the visible states x (n, visible)."""
        _require(self, theta)
        x = rows(x, self.visible)
        return -(x @ theta["b"]) - ops.softplus_sum(self.hidden_logits(theta, x))

    def site_logits(self, theta: Tree, x: Array, sites: Array, values: tuple) -> Array:
        """log P(v_i = a | the other visible units) of some sites (`tinyebm.energies`),

        a b_i + Σ_j softplus(z_j + (a - v_i) W_ij),    z the logits of the hidden units.
        """
        _require(self, theta)
        z, W = self.hidden_logits(theta, x), theta["W"]
        rest = lambda i: z - x[:, i, None] * W[i]
        return np.stack([self._logits_of(theta, rest(i), i, values) for i in sites], axis=1)

    def in_turn(self, theta: Tree, x: Array, values: tuple) -> Iterator[Array]:
        """`site_logits` of one site after the other, while x changes (`tinyebm.energies`).

        The hidden logits z follow the changes: a site costs O(n · hidden).
        """
        _require(self, theta)
        z, W = self.hidden_logits(theta, x), theta["W"]
        for i in range(self.visible):
            z = z - x[:, i, None] * W[i]
            yield self._logits_of(theta, z, i, values)
            z = z + x[:, i, None] * W[i]

    def _logits_of(self, theta, z, i, values):
        """The logits of unit i, given those of the hidden units at v_i = 0, (n, hidden)."""
        W, b = theta["W"][i], theta["b"][i]
        return of_values([a * b + ops.softplus_sum(z + a * W) for a in values])

    def hidden_logits(self, theta: Tree, v: Array) -> Array:
        """log P(h_j = 1 | v) / P(h_j = 0 | v), (n, hidden)."""
        return v @ theta["W"] + theta["c"]

    def visible_logits(self, theta: Tree, h: Array) -> Array:
        """log P(v_i = 1 | h) / P(v_i = 0 | h), (n, visible)."""
        return h @ theta["W"].T + theta["b"]

    def draw_visible(self, theta: Tree, h: Array, rng: Generator) -> Array:
        """One draw of v given each row of h, (n, visible)."""
        z = self.visible_logits(theta, h)
        return (rng.random(z.shape, dtype=z.dtype) < ops.sigmoid(z)).astype(z.dtype)

    def hidden_energy(self, theta: Tree, h: Array) -> Array:
        """-log Σ_v e^{-E(v,h)}, (n,): the free energy of the hidden states h (n, hidden)."""
        return -(h @ theta["c"]) - ops.softplus_sum(self.visible_logits(theta, h))

    def other_layer(self, space: Any) -> tuple[Energy, int] | None:
        """(energy of the hidden bits with the same Z, their number); None if v is not bits."""
        bits = getattr(space, "values", None) == (0.0, 1.0)
        return (self.hidden_energy, self.hidden) if bits else None

    def tempered(self, theta: Tree, logits: Array, beta: float) -> Tree:
        """θ of a machine between independent visible bits with these logits (beta = 0) and this one
        (beta = 1).

        The energies E(v, h), not the free energies, are mixed linearly (Salakhutdinov & Murray
        2008, ICML).
        """
        b = (1 - beta) * logits + beta * theta["b"]
        return {"W": beta * theta["W"], "b": b, "c": beta * theta["c"]}


@dataclass(frozen=True)
class GaussianBernoulliRBM:
    """F(v) = |v - b|² / 2σ² - Σ_j softplus(c_j + (vᵀW)_j / σ) on R^visible, for h in {0,1}^hidden.

    v given h is N(b + σWh, σ² I), so p is a mixture of 2^hidden Gaussians (Welling, Rosen-Zvi &
    Hinton 2004, NeurIPS).  theta = {"W": (visible, hidden), "b": (visible,), "c": (hidden,),
    "log_scale": ()}, log_scale = log σ.

    >>> machine = GaussianBernoulliRBM(2, 3)
    >>> theta = machine.init(np.random.default_rng(0))
    >>> machine(theta, np.zeros((1, 2))) + 3 * np.log(2)
    array([0.])
    """

    visible: int
    hidden: int

    def __post_init__(self):
        _check(self)

    @property
    def dim(self) -> int:
        """Number of visible units."""
        return self.visible

    def init(self, rng: Generator) -> Tree:
        """Weights N(0, 1/100), no biases, σ = 1."""
        theta = _init(self, rng)
        return theta | {"log_scale": np.zeros_like(theta["b"], shape=())}

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """Small weights, the mean and the width of the rows x (n, visible) of mass (n,).

        c makes every h_j a fair coin at the mean.
        """
        theta, mean = self.init(rng), mass @ x
        sigma = math.sqrt(float(mass @ np.square(x - mean).mean(axis=1))) or 1.0
        c = -(mean / sigma) @ theta["W"]
        return theta | {"b": mean, "c": c, "log_scale": np.array(math.log(sigma))}

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Free energies (n,) of the visible states x (n, visible)."""
        _require(self, theta, log_scale=())
        x = rows(x, self.visible)
        z = (x - theta["b"]) * ops.exp(-theta["log_scale"])
        return 0.5 * ops.sum(z * z, axis=1) - ops.softplus_sum(self.hidden_logits(theta, x))

    def hidden_logits(self, theta: Tree, v: Array) -> Array:
        """log P(h_j = 1 | v) / P(h_j = 0 | v), (n, hidden)."""
        return (v * ops.exp(-theta["log_scale"])) @ theta["W"] + theta["c"]

    def draw_visible(self, theta: Tree, h: Array, rng: Generator) -> Array:
        """One draw of v given each row of h, (n, visible)."""
        mean, scale = h @ theta["W"].T, ops.exp(theta["log_scale"])
        return theta["b"] + scale * (mean + rng.standard_normal(mean.shape, dtype=mean.dtype))

    def hidden_energy(self, theta: Tree, h: Array) -> Array:
        """-log ∫ e^{-E(v,h)} dv, (n,): -c·h - b·Wh/σ - |Wh|²/2 - visible/2 log 2πσ²."""
        mean = h @ theta["W"].T  # (n, visible), in units of σ
        centre = theta["b"] * ops.exp(-theta["log_scale"])
        log_volume = self.visible * (0.5 * math.log(2 * math.pi) + theta["log_scale"])
        return -(h @ theta["c"]) - mean @ centre - 0.5 * ops.sum(mean * mean, axis=1) - log_volume

    def other_layer(self, space: Any) -> tuple[Energy, int] | None:
        """(energy of the hidden bits with the same Z, their number); None but on R^d."""
        return (self.hidden_energy, self.hidden) if is_plain(space) else None


def _check(model):
    for name in ("visible", "hidden"):
        require_count(getattr(model, name), f"{name} must be a positive number of units")


def _shapes(model):
    v, h = model.visible, model.hidden
    return {"W": (v, h), "b": (v,), "c": (h,)}


def _require(model, theta, **more):
    require_parameters(model, theta, **_shapes(model), **more)


def _init(model, rng):
    shapes = _shapes(model)
    W = rng.standard_normal(shapes.pop("W")) * 0.1
    return {"W": W} | {name: np.zeros_like(W, shape=shape) for name, shape in shapes.items()}
