"""Langevin dynamics: drift along the score, plus noise.

    x' = x + ε ∇log p(x) + √(2 ε T) ξ,      ξ ~ N(0, I)                     (1)

Each kernel has two methods.  `step` moves samples.  `push` moves distributions: probabilities over
the atoms t_j of the space, with weights w_j, by the transition density of (1).  Given x, the
coordinates of x' are independent normals with means m(x) = x + ε ∇log p(x).  So on a product grid
the transition matrix of (1) is a product of one-dimensional matrices

    G_a[i, j] = N(t_j; m_a(x_i), 2εT) w_j.                                  (2)

A push in the plane is one matrix product (G_1 ∘ p)ᵀ G_2.  It costs O(n⁴) for n² atoms, and needs no
(n², n²) matrix.

At the walls of a box ULA reflects the chain, and MALA rejects the proposal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import add, attrgetter
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import is_differentiated, over_rows, recomputed
from tinyebm.autodiff.ops import fused
from tinyebm.autodiff.tape import zeros_like
from tinyebm.common.checks import plain, require_nonnegative, require_positive
from tinyebm.common.kinds import Array, Generator, Space
from tinyebm.density import Density, exponent_and_score
from tinyebm.replay.door import many_steps
from tinyebm.samplers import flows
from tinyebm.samplers.kernels import Move, require_continuous, require_start
from tinyebm.samplers.metropolis import accept

SETTINGS = attrgetter("step_size", "noise_scale")
LARGEST_MATRIX = 2**22  # most entries of a transition matrix that is kept: 32 MiB


@dataclass(frozen=True)
class ULA:
    """The unadjusted Langevin algorithm, eq. (1) (Roberts & Tweedie 1996, Bernoulli 2:341).

    Parameters
    ----------
    step_size : float
        ε > 0, in units of [x]².  The noise of a step has standard deviation √(2εT).
    temperature : float
        T ≥ 0 is a factor of the variance of the noise.  T = 1 samples p up to a bias of
        order ε.  T = 0 is gradient descent on the energy.

    On N(0, s²) the stationary variance is s² / (1 - ε / 2s²), not s².

    >>> from tinyebm import Density, GaussianEnergy, Reals, run
    >>> rng, normal = np.random.default_rng(0), GaussianEnergy(1)
    >>> p = Density(normal, normal.init(rng), Reals(1))
    >>> x, _ = run(ULA(0.5), p, np.zeros((20_000, 1)), 20, rng)
    >>> bool(abs(x.var() - 1 / (1 - 0.5 / 2)) < 0.05)
    True
    """

    step_size: float
    temperature: float = 1.0
    # its transition density has no kink; its stationary distribution is not p
    smooth, invariant = True, False
    push, work = flows.push, flows.work

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        require_nonnegative("temperature", self.temperature)
        plain(self, "step_size", "temperature")

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise of one step, √(2εT)."""
        return math.sqrt(2 * self.step_size * self.temperature)

    def drift(self, p: Density, x: Array) -> Array:
        """Where one step without noise takes the rows of x, (n, d)."""
        return moved(p, x, zeros_like(x), self.step_size, 0.0)

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move that is never rejected: one step of eq. (1) from the rows of x (n, d)."""
        require_continuous(p, self)
        x = require_start(p, x, rng)
        noise = rng.standard_normal(x.shape, dtype=x.dtype)
        return Move(p.space.fold(moved(p, x, noise, self.step_size, self.noise_scale)))

    @staticmethod
    def all_at_once(kernels, p, x, rng, record):
        """(x, trajectory or None) after the steps of ULA kernels; None if they cannot be replayed.

        Each must be a ULA itself: a class that inherits from it may have another step.
        """
        if set(map(type, kernels)) != {ULA}:
            return None
        require_continuous(p, kernels[0])
        schedule = list(map(SETTINGS, kernels))
        return many_steps(moved, p, require_start(p, x, rng), schedule, rng, record)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` on a product grid, as a function of masses; mass that leaves the grid is lost.

        Small matrices G_a are kept, others are computed again for every push, block by block.
        """
        mean = self._mean(p, grid.all()[0], grid)
        most = LARGEST_MATRIX if is_differentiated(p) else 4 * LARGEST_MATRIX
        if len(mean) * sum(grid.shape) > most:
            return lambda mass: self._spread(p, mean, mass, grid)
        factors = []
        for a, n in enumerate(grid.shape):
            factor = lambda mean, rows, a=a: self._factor(p, mean[rows], grid, a)
            blocks = flows.row_blocks(LARGEST_MATRIX, len(mean), n)
            factors.append(recomputed(factor, blocks, joined=True)(mean))
        return lambda mass: flows.contract(mass, factors)

    def spread(self, p: Density, x: Array, mass: Array, grid: Any) -> tuple[Array, Array]:
        """Masses at the rows of x one step later: (on the grid (N,), still at the rows: zeros)."""
        return self._spread(p, self._mean(p, x, grid), mass, grid), np.zeros_like(mass)

    def _spread(self, p, mean, mass, grid):
        """The masses on the grid of steps with these means (m, d), in blocks of rows."""

        def moved(mean, mass, rows):
            factors = [self._factor(p, mean[rows], grid, a) for a in range(len(grid.axes))]
            return flows.contract(mass[rows], factors)

        blocks = flows.row_blocks(LARGEST_MATRIX, len(mean), sum(grid.shape))
        return recomputed(moved, blocks)(mean, mass)

    def _mean(self, p, x, grid):
        """The means (m, d) of steps from the rows of x to atoms of a grid."""
        require_continuous(p, self)
        flows.require_resolution(self.noise_scale, grid)
        return p.space.fold(over_rows(self.drift, p, x))

    def _factor(self, p, mean, grid, a):
        """The matrix G_a (m, n_a) of eq. (2); in a box with mirror images of the nodes."""
        nodes, log_w = grid.axes[a]
        images = p.space.images(nodes, 9 * self.noise_scale)
        density = sum(flows.normal(image, mean[:, a], self.noise_scale) for image in images)
        return np.exp(log_w) * density


@dataclass(frozen=True)
class MALA:
    """The Metropolis-adjusted Langevin algorithm: eq. (1) with T = 1, accepted or rejected.

    It leaves p invariant for every step_size ε > 0, in units of [x]² (Roberts & Tweedie 1996).  Let
    a_ij be the density at atom j of a proposal from atom i, times the weight w_j.  The
    probabilities of accepted moves,

        flow_ij = min(a_ij, a_ji e^{u_j - u_i} w_j / w_i),                  (3)

    leave p invariant on any grid, to rounding.  The probability of a rejection at i is
    1 - Σ_j flow_ij.  A push costs O(N²) for N atoms, in blocks of bounded memory.

    >>> from tinyebm import Density, DoubleWell, Reals, probabilities
    >>> well = DoubleWell()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> before = probabilities(p, 100)
    >>> bool(abs(MALA(0.1).push(before, p) - before).max() < 1e-14)
    True
    """

    step_size: float
    # its acceptance probability has a kink where it reaches 1; it leaves p invariant
    smooth, invariant = False, True
    # a proposal is a step of ULA at T = 1
    temperature, noise_scale, drift = 1.0, ULA.noise_scale, ULA.drift
    push, work = flows.push, flows.work

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        plain(self, "step_size")

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move: one proposal per row of x (n, d), accepted or not."""
        require_continuous(p, self)
        x = require_start(p, x, rng)
        evaluate = lambda x: exponent_and_score(p, x)
        # a proposal that diverges has the ratio -inf or nan, and is rejected
        with np.errstate(invalid="ignore", over="ignore"):
            y, log_ratio = self._propose(x, evaluate(x), evaluate, rng)
        return accept(x, y, log_ratio, rng, p, p.space.contains(y))

    def step_from(
        self,
        x: Array,
        here: tuple[Array, Array],
        evaluate: Callable[[Array], tuple[Array, Array]],
        space: Space,
        rng: Generator,
    ) -> Move:
        """The Move of `step`, if (exponent, score) are known at x and evaluate(y) computes them."""
        y, log_ratio = self._propose(x, here, evaluate, rng)
        return accept(x, y, log_ratio, rng, None, space.contains(y))

    def _propose(self, x, here, evaluate, rng):
        """Proposals y by eq. (1) with density q, and log p(y) q(x|y) - log p(x) q(y|x), (n,)."""
        (u, s), noise = here, rng.standard_normal(x.shape, dtype=x.dtype)
        y = diffuse(x, s, noise, self.step_size, self.noise_scale)
        u_y, s_y = evaluate(y)
        forward = y - x - self.step_size * s
        backward = x - y - self.step_size * s_y
        difference = (forward * forward).sum(axis=1) - (backward * backward).sum(axis=1)
        return y, u_y - u + difference / (2 * self.noise_scale * self.noise_scale)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` on a product grid, as a function of masses; a small matrix is kept."""
        x = grid.all()[0]
        if grid.size**2 > (LARGEST_MATRIX if is_differentiated(p) else 4 * LARGEST_MATRIX):
            return lambda mass: add(*self.spread(p, x, mass, grid))
        here, flows_from, blocks = self._flows(p, x, grid)
        flow = recomputed(flows_from, blocks, joined=True)(here, here)
        stay = 1 - flow.sum(axis=1)
        return lambda mass: mass @ flow + mass * stay

    def spread(self, p: Density, x: Array, mass: Array, grid: Any) -> tuple[Array, Array]:
        """Masses at the rows of x one step later: (on the grid (N,), still at the rows (m,))."""
        here, flows_from, blocks = self._flows(p, x, grid)
        there = over_rows(flows.slopes, p, grid.all()[0])

        def moved(mass, here, there, rows):
            flow = flows_from(here, there, rows)
            left = mass[rows] * (1 - flow.sum(axis=1))
            return ops.concatenate([mass[rows] @ flow, ops.scatter(left, rows, mass.shape)])

        both = recomputed(moved, blocks)(mass, here, there)
        return both[: grid.size], both[grid.size :]

    def _flows(self, p, x, grid):
        """(`flows.slopes` at the rows of x, the function P(accepted move) of some rows, blocks)."""
        require_continuous(p, self)
        flows.require_resolution(self.noise_scale, grid)
        y, log_w = grid.all()
        step_size, twice_variance = self.step_size, 2 * self.noise_scale**2
        log_norm = 0.5 * x.shape[1] * math.log(math.pi * twice_variance)

        def flows_from(here, there, rows):  # slopes at x and at y -> (rows, N)
            u, s, u_y, s_y = here[rows, :1], here[rows, 1:], there[:, 0], there[:, 1:]
            gap = y.T[:, None] - x[rows].T[:, :, None]  # (d, rows, N)
            forward = ((gap - step_size * s.T[:, :, None]) ** 2).sum(axis=0)
            backward = ((gap + step_size * s_y.T[:, None]) ** 2).sum(axis=0)
            with np.errstate(invalid="ignore"):
                log_ratio = ops.where(u_y == -np.inf, -np.inf, u_y - u)
            log_flow = ops.minimum(-forward / twice_variance, log_ratio - backward / twice_variance)
            return ops.exp(log_flow + (log_w - log_norm))

        blocks = flows.row_blocks(LARGEST_MATRIX, len(x), len(y))
        return over_rows(flows.slopes, p, x), flows_from, blocks


@fused
def diffuse(x, s, noise, step_size, noise_scale):
    """Eq. (1) for rows x with scores s: the Langevin step of ULA and MALA."""
    return x + step_size * s + noise_scale * noise


def moved(p, x, noise, step_size, noise_scale):
    """The rows of x after eq. (1) with this noise, (n, d), without walls: a step of ULA."""
    return diffuse(x, exponent_and_score(p, x)[1], noise, step_size, noise_scale)
