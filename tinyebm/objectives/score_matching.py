"""Score matching: fit the gradient of log p, in which Z does not appear.

The Fisher divergence between the data's distribution and p_θ is, up to a constant of the data
(Hyvärinen 2005, JMLR 6:695, theorem 1),

    J(θ) = E_data[ ½ |s(x)|² + tr ∇s(x) ],      s = ∇ log p_θ,              (1)

by integration by parts.  Its boundary terms vanish on R^d if the data's density times s vanishes at
infinity.  In a box they vanish only if the data's density vanishes at the walls.

ScoreMatching           (1) with the exact trace
SlicedScoreMatching     the trace from random projections: E_v[vᵀ ∇s v], v = ±1 in every coordinate
DenoisingScoreMatching  no second derivative by x: it predicts the noise that was added

All three depend only on the gradient of log p.  If two regions are separated by low density, the
loss hardly depends on how the mass divides between them.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import few_rows
from tinyebm.autodiff.tape import vjp
from tinyebm.common.checks import require_count, require_generator, require_positive
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.density import Density, score, score_and_laplacian
from tinyebm.objectives.step import Step, require_batch
from tinyebm.replay.door import add, plain, reduce_rows


@dataclass(frozen=True)
class ScoreMatching:
    """The gradient of eq. (1), its mean over the rows of x; no state, no randomness.

    If the model contains the true density, this minimises J for infinite data.  The energy must
    have no kinks (no relu).  Metrics: "loss", J in units of 1/[x]².  Cost: the value, d slopes and
    a Laplacian are computed in forward mode, then differentiated: about 3 (d + 2) forward passes.

    >>> import numpy as np
    >>> from tinyebm import GaussianEnergy, Reals
    >>> theta = {"mean": np.zeros(1), "precision": np.eye(1)}
    >>> p = Density(GaussianEnergy(1), theta, Reals(1))
    >>> float(ScoreMatching().gradient(p, np.array([[2.0]]), None).metrics["loss"])  # 2²/2 - 1
    1.0
    """

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        _require_curvature(self, p)
        return _descend(self, _exact_loss, p, (x,))


@dataclass(frozen=True)
class SlicedScoreMatching:
    """Eq. (1) with the trace estimated without bias from `projections` random directions per row.

        tr ∇s ≈ mean_m v_mᵀ ∇s v_m,    v_m in {-1, +1}^d at random              (2)

    (Song, Garg, Shi & Ermon 2019, UAI; |s|² is exact, their variance-reduced form).  The mean over
    v is eq. (1), so the population minimiser is the same.  Metrics: "loss".  Cost: about
    2 (1 + projections) backward passes for any d.

    >>> import numpy as np
    >>> from tinyebm import GaussianEnergy, Reals
    >>> theta = {"mean": np.zeros(3), "precision": np.eye(3)}
    >>> p, rng = Density(GaussianEnergy(3), theta, Reals(3)), np.random.default_rng(0)
    >>> step = SlicedScoreMatching().gradient(p, np.zeros((5, 3)), rng)
    >>> round(float(step.metrics["loss"]), 9)  # -tr P
    -3.0
    """

    projections: int = 1

    def __post_init__(self):
        require_count(self.projections, "projections must be a positive number of directions")

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        _require_curvature(self, p)
        x = require_batch(p, x)
        require_generator(rng)
        directions = [
            np.where(rng.random(x.shape) < 0.5, -1.0, 1.0).astype(x.dtype)
            for _ in range(self.projections)
        ]
        return _descend(self, _sliced_loss, p, (x, *directions))


@dataclass(frozen=True)
class DenoisingScoreMatching:
    """The gradient of the mean of ½ |s(x + σ z) + z/σ|² over the rows of x, z ~ N(0, I).

    (Vincent 2011, Neural Computation 23:1661).  The population minimiser is the data's distribution
    *smoothed by N(0, σ² I)*, not that distribution itself: of data N(0, v) it is N(0, v + σ²).

    Parameters
    ----------
    sigma : float
        σ > 0, in units of [x].

    Metrics: "loss", in units of 1/[x]²; at the minimum it is not 0.  Cost: 3 backward passes.

    >>> import numpy as np
    >>> from tinyebm import DoubleWell, Reals
    >>> p = Density(DoubleWell(), {"barrier": np.array(1.0)}, Reals(1))
    >>> step = DenoisingScoreMatching(0.3).gradient(p, np.ones((9, 1)), np.random.default_rng(0))
    >>> step.gradient["barrier"].shape
    ()
    """

    sigma: float

    def __post_init__(self):
        require_positive("sigma", self.sigma)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        x = require_batch(p, x)
        require_generator(rng)
        z, sigma = rng.standard_normal(x.shape, dtype=x.dtype), float(self.sigma)
        return _descend(self, _denoising_loss, p, (x + sigma * z, z * (1 / sigma)))


def _require_curvature(objective, p):
    """Refuse energies with kinks: their Laplacian is infinite at kinks, where no rows lie."""
    if not getattr(p.energy, "smooth", True):
        raise ValueError(
            f"{type(objective).__name__} needs second derivatives, and {p.energy!r} has kinks: use "
            "another activation (silu, softplus, tanh) or DenoisingScoreMatching"
        )


def _exact_loss(p, x):
    s, trace = score_and_laplacian(p, x)
    return 0.5 * ops.sum(s * s, axis=1) + trace


def _sliced_loss(p, x, *directions):
    s, pullback = vjp(lambda x: score(p, x), x)
    traces = sum(ops.sum(pullback(v)[0] * v, axis=1) for v in directions)
    return 0.5 * ops.sum(s * s, axis=1) + traces * (1 / len(directions))


def _denoising_loss(p, noisy, direction):
    miss = score(p, noisy) + direction
    return 0.5 * ops.sum(miss * miss, axis=1)


def _descend(objective, loss, p, rows):
    """The Step of the mean over rows of loss(p, *rows), by reverse mode through the score."""
    if p.space.discrete:
        raise ValueError(
            f"{type(objective).__name__} matches slopes, and {p.space} has none: use "
            "Pseudolikelihood or RatioMatching"
        )
    rows = (require_batch(p, rows[0]), *rows[1:])
    weights = np.zeros_like(rows[0], shape=len(rows[0])) + 1 / len(rows[0])
    chunks = [(*rows, weights)]
    if loss is _exact_loss:
        chunks = [(x, weights[: len(x)]) for x in few_rows(rows[0])]
    # a program of very many slopes would take more memory than its speed is worth
    with plain() if len(chunks) > 1 else nullcontext():
        gradient, value = reduce_rows(GRADIENTS[loss], add, p, chunks, 0.0)
    return Step(gradient, {"loss": value}, None)


def _gradient_of(loss):
    def gradient(p, *rows):
        *rows, weights = rows
        value, pullback = vjp(
            lambda theta: ops.sum(loss(Density(p.energy, theta, p.space), *rows) * weights), p.theta
        )
        return pullback(np.ones_like(value))[0], value

    return gradient


# (gradient, loss) of the sum
GRADIENTS = {loss: _gradient_of(loss) for loss in (_exact_loss, _sliced_loss, _denoising_loss)}
