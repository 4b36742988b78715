"""A multilayer perceptron as an energy."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.common.checks import require_choice, require_nonnegative, require_parameters, whole
from tinyebm.common.errors import DivergentPartitionError
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.energies.analytic import is_plain
from tinyebm.energies.recession import min_recession
from tinyebm.spaces.rows import rows

ROUNDING = 1e-14  # relative to the product of the layers' norms: a smaller growth may be 0
BOUNDS = {"tanh": (1.0, 0.7699), "silu": (1.0999, 0.5), "softplus": (1.0, 0.25)}  # of |φ'|, |φ''|
ACTIVATIONS = {"tanh": ops.tanh, "silu": ops.silu, "softplus": ops.softplus, "relu": ops.relu}


@dataclass(frozen=True)
class MLP:
    """E_θ(x) = W_Lᵀ φ(... φ(W_1ᵀ x + b_1) ...) + b_L + c |x|² / 2.

    Parameters
    ----------
    sizes : tuple of int
        Widths (d, hidden, ..., hidden, 1).
    activation : "tanh", "silu", "softplus" or "relu"
        By default SiLU (Ramachandran et al. 2017).  It is smooth, so the drift of Langevin dynamics
        is continuous, and quadrature converges fast.
    confinement : float
        c ≥ 0, in units of 1/[x]².  On R^d with Lebesgue measure Z is finite for every θ if c > 0.
        If c = 0, most random networks have Z = ∞.
    gain : float
        Hidden weights start as N(0, gain²/in).  Usual values are 1 (LeCun et al. 1998, Efficient
        BackProp, section 4.6) and, for ReLU, √2 (He et al. 2015).

    theta is a list of {"W": (in, out), "b": (out,)}.

    >>> net = MLP((2, 8, 1))
    >>> theta = net.init(np.random.default_rng(0))
    >>> net(theta, np.zeros((5, 2))).shape
    (5,)
    """

    sizes: tuple = (2, 64, 64, 1)
    activation: str = "silu"
    confinement: float = 0.0
    gain: float = 1.0
    finite = True  # if θ is finite, the energy is finite at every x

    def __post_init__(self):
        sizes = tuple(self.sizes) if np.ndim(self.sizes) == 1 else ()
        if len(sizes) < 2 or sizes[-1] != 1 or not all(whole(n, 1) for n in sizes):
            raise ValueError(f"sizes must be positive integers (d, ..., 1), got {self.sizes!r}")
        object.__setattr__(self, "sizes", tuple(map(int, sizes)))
        require_choice("activation", self.activation, ACTIVATIONS)
        require_nonnegative("confinement", self.confinement)
        require_nonnegative("gain", self.gain)

    @property
    def dim(self) -> int:
        """Dimension of x."""
        return self.sizes[0]

    @property
    def smooth(self) -> bool:
        """Whether the energy has no kinks: False for ReLU."""
        return self.activation != "relu"

    def init(self, rng: Generator) -> Tree:
        """Weights N(0, gain²/in), those of the last layer N(0, 1/in); biases zero."""
        theta, gains = [], [self.gain] * (len(self.sizes) - 2) + [1.0]
        for (n_in, n_out), gain in zip(itertools.pairwise(self.sizes), gains, strict=True):
            W = rng.standard_normal((n_in, n_out)) * (gain / math.sqrt(n_in))
            theta.append({"W": W, "b": np.zeros_like(W, shape=(n_out,))})
        return theta

    def __call__(self, theta: Tree, x: Array) -> Array:
        """Energies (n,) of the rows of x (n, d)."""
        self._require_layers(theta)
        h = x = rows(x, self.dim)
        activation = ACTIVATIONS[self.activation]
        for layer in theta[:-1]:
            h = activation(h @ layer["W"] + layer["b"])  # (n, hidden)
        E = ops.reshape(h @ theta[-1]["W"] + theta[-1]["b"], (-1,))
        return E + ops.sum(x * x, axis=1) * (0.5 * self.confinement) if self.confinement else E

    def _require_layers(self, theta):
        widths = list(itertools.pairwise(self.sizes))
        layers = len(theta) if isinstance(theta, (list, tuple)) else 0
        if layers != len(widths):
            raise ValueError(
                f"theta does not belong to {self!r}: it is a list of {len(widths)} layers, got "
                f"{type(theta).__name__}{f' of {layers}' if layers else ''}"
            )
        for layer, (n_in, n_out) in zip(theta, widths, strict=True):
            require_parameters(self, layer, W=(n_in, n_out), b=(n_out,))

    def min_recession(self, theta: Tree) -> tuple[float, Array]:
        """(least growth of E per unit length, its direction), without confinement.

        Z on R^d is finite if and only if this growth is positive (`tinyebm.energies.recession`).
        It is 0 for tanh, which is bounded.
        """
        if self.activation == "tanh" and len(self.sizes) > 2:
            return 0.0, np.eye(self.dim)[0]
        return min_recession([layer["W"] for layer in theta])

    def curvature(self, theta: Tree) -> float:
        """A bound on the second derivatives of E by x, in every direction; inf for ReLU.

        No peak of p is narrower than (this bound)^{-1/2}.  Let z = Jx be the inputs of the units of
        a layer, with |dE/dφ(z_j)| ≤ g_j.  The layer adds at most sup|φ''| |diag(√g) J|².  Norms of
        the inner layers bound their Jacobians.
        """
        if not self.smooth:
            return math.inf
        slope, bend = BOUNDS[self.activation]
        weights = [np.abs(layer["W"]) for layer in theta]
        g, total, norms = np.ones(1), self.confinement, [1.0]
        for layer in theta[:-2]:
            norms.append(norms[-1] * slope * float(np.linalg.norm(layer["W"], 2)))
        for i in range(len(theta) - 2, -1, -1):
            g = weights[i + 1] @ g * (slope if i < len(theta) - 2 else 1.0)
            total += bend * float(np.linalg.norm(theta[i]["W"] * np.sqrt(g), 2) * norms[i]) ** 2
        return total

    def require_normalisable(self, theta: Tree, space: Any) -> None:
        """Raise DivergentPartitionError if ∫ e^{-E} dμ = ∞ on this space."""
        if not is_plain(space) or self.confinement > 0:
            return
        growth, direction = self.min_recession(theta)
        if growth <= ROUNDING * math.prod(float(np.linalg.norm(layer["W"])) for layer in theta):
            raise DivergentPartitionError(
                f"Z is infinite: along the direction {np.round(direction, 3).tolist()} the energy "
                f"grows like {growth:.3g} |x|, and it must grow in every direction. Add "
                "confinement=0.1 (say) to MLP, or use Box(...) or Reals(dim, base_scale=...)"
            )
