"""Langevin dynamics: drift along the score, plus noise.

    x' = x + ε ∇log p(x) + √(2 ε T) ξ,      ξ ~ N(0, I)                     (1)

Each kernel is one operator seen twice.  `step` moves samples.  `push` moves distributions:
probabilities over the atoms t_j of the space with weights w_j, by the transition density of (1)
on those atoms.  Given x the coordinates of x' are independent normals with means
m(x) = x + ε ∇log p(x), so on a product grid the kernel of (1) is a product of one-dimensional
matrices

    G_a[i, j] = N(t_j; m_a(x_i), 2εT) w_j,                                  (2)

and a push in the plane is one matrix product (G_1 ∘ p)ᵀ G_2: O(n⁴) work for n² atoms, and never
an (n², n²) matrix.

In a box the walls reflect (ULA) or reject (MALA).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
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
LARGEST_MATRIX = 2**22  # entries of a transition matrix that is kept: 32 MiB


@dataclass(frozen=True)
class ULA:
    """The unadjusted Langevin algorithm, eq. (1) (Roberts & Tweedie 1996, Bernoulli 2:341).

    Parameters
    ----------
    step_size : float
        ε > 0, in units of [x]².  A step of noise has standard deviation √(2εT).
    temperature : float
        T ≥ 0 scales the noise variance; T = 1 samples p up to a bias of order ε,
        T = 0 is gradient descent on the energy.

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
    # its transition density has no kink; it leaves another distribution than p invariant
    smooth, invariant = True, False
    push = flows.push

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
        """(x, trajectory or None) after the steps of ULA kernels, replayed; None if they cannot be.

        They are of this very class: one that inherits from it may have another step.
        """
        if set(map(type, kernels)) != {ULA}:
            return None
        require_continuous(p, kernels[0])
        schedule = list(map(SETTINGS, kernels))
        return many_steps(moved, p, require_start(p, x, rng), schedule, rng, record)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` on a product grid, set up once to be applied often; mass that leaves the grid is
        not noticed."""
        factors = self._factors(p, grid.all()[0], grid)
        return lambda mass: _contract(mass, factors)

    def spread(self, p: Density, x: Array, mass: Array, grid: Any) -> tuple[Array, Array]:
        """Masses at the rows of x one step later: (masses of the grid's atoms (N,), zeros: nothing
        stays at the rows)."""
        return _contract(mass, self._factors(p, x, grid)), np.zeros_like(mass)

    def _factors(self, p, x, grid):
        """The matrices G_a (m, n_a) of eq. (2); walls reflect, so a box adds the mirror images of
        its nodes."""
        require_continuous(p, self)
        flows.require_resolution(self.noise_scale, grid)
        mean, factors = p.space.fold(self.drift(p, x)), []
        for a, (nodes, log_w) in enumerate(grid.axes):
            images = p.space.images(nodes, 9 * self.noise_scale)
            density = sum(_normal(image, mean[:, a], self.noise_scale) for image in images)
            factors.append(np.exp(log_w) * density)
        return factors


@dataclass(frozen=True)
class MALA:
    """The Metropolis-adjusted Langevin algorithm: eq. (1) with T = 1 proposes, p decides.

    Leaves p invariant for every step_size ε > 0, in units of [x]² (Roberts & Tweedie 1996).  With
    a_ij the proposal's density at atom j times the atom's weight w_j, the probabilities

        flow_ij = min(a_ij, a_ji e^{u_j - u_i} w_j / w_i)                   (3)

    of accepted moves leave p invariant on any grid, to rounding; the rest, 1 - Σ_j flow_ij, stays
    at i.  A push costs O(N²) work for N atoms, in blocks of bounded memory.

    >>> from tinyebm import Density, DoubleWell, Reals, probabilities
    >>> well = DoubleWell()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> before = probabilities(p, 100)
    >>> bool(abs(MALA(0.1).push(before, p) - before).max() < 1e-14)
    True
    """

    step_size: float
    # its acceptance has a kink where the proposal becomes certain; it leaves p invariant
    smooth, invariant = False, True
    # a proposal is a step of ULA at T = 1
    temperature, noise_scale, drift = 1.0, ULA.noise_scale, ULA.drift
    push = flows.push

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        plain(self, "step_size")

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move: one proposal per row of x (n, d), accepted or not."""
        require_continuous(p, self)
        x = require_start(p, x, rng)
        evaluate = lambda x: exponent_and_score(p, x)
        # a proposal that flies away has the ratio -inf or nan: rejected
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
        """`step` where (exponent, score) are known at x, and come from evaluate(y) at the proposals
        y: the same Move."""
        y, log_ratio = self._propose(x, here, evaluate, rng)
        return accept(x, y, log_ratio, rng, None, space.contains(y))

    def _propose(self, x, here, evaluate, rng):
        """Proposals y by eq. (1), and log p(y) q(x|y) - log p(x) q(y|x) of their density q, (n,)."""
        (u, s), noise = here, rng.standard_normal(x.shape, dtype=x.dtype)
        y = diffuse(x, s, noise, self.step_size, self.noise_scale)
        u_y, s_y = evaluate(y)
        forward = y - x - self.step_size * s
        backward = x - y - self.step_size * s_y
        difference = (forward * forward).sum(axis=1) - (backward * backward).sum(axis=1)
        return y, u_y - u + difference / (2 * self.noise_scale * self.noise_scale)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` on a product grid, set up once to be applied often: its matrix, if that is not too
        large."""
        x = grid.all()[0]

        def streamed(mass):
            moved, left = self.spread(p, x, mass, grid)
            return moved + left

        if grid.size**2 > LARGEST_MATRIX:
            return streamed
        blocks = [(flow, stay) for flow, stay, _ in self._flows(p, x, grid)]
        flow, stay = map(ops.concatenate, zip(*blocks, strict=True))
        return lambda mass: mass @ flow + mass * stay

    def spread(self, p: Density, x: Array, mass: Array, grid: Any) -> tuple[Array, Array]:
        """Masses at the rows of x one step later: (masses of the grid's atoms (N,), masses that
        stay at the rows (m,))."""
        moved: Any = 0.0
        left = []
        for flow, stay, rows in self._flows(p, x, grid):
            moved = moved + mass[rows] @ flow
            left.append(mass[rows] * stay)
        return moved, ops.concatenate(left)

    def _flows(self, p, x, grid):
        """For blocks of rows of x: probabilities of accepted moves to the atoms (m, N), those of
        rejections (m,), and which rows."""
        require_continuous(p, self)
        flows.require_resolution(self.noise_scale, grid)
        y, log_w = grid.all()
        (u, s), (u_y, s_y) = exponent_and_score(p, x), exponent_and_score(p, y)
        step_size, twice_variance = self.step_size, 2 * self.noise_scale**2
        log_norm = 0.5 * x.shape[1] * math.log(math.pi * twice_variance)
        size = max(1, LARGEST_MATRIX // (4 * len(y)))
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            gap = y.T[:, None] - x[rows].T[:, :, None]  # (d, m, N)
            forward = ((gap - step_size * s[rows].T[:, :, None]) ** 2).sum(axis=0)
            backward = ((gap + step_size * s_y.T[:, None]) ** 2).sum(axis=0)
            with np.errstate(invalid="ignore"):
                log_ratio = ops.where(u_y == -np.inf, -np.inf, u_y - u[rows, None])
            log_flow = ops.minimum(-forward / twice_variance, log_ratio - backward / twice_variance)
            flow = ops.exp(log_flow + (log_w - log_norm))
            yield flow, 1 - flow.sum(axis=1), rows


@fused
def diffuse(x, s, noise, step_size, noise_scale):
    """Eq. (1): rows x with scores s, a step later.  Every Langevin step of the package is this
    line."""
    return x + step_size * s + noise_scale * noise


def moved(p, x, noise, step_size, noise_scale):
    """Where eq. (1) takes the rows of x with this noise, (n, d), walls apart: a step of ULA, and
    what `run` replays."""
    return diffuse(x, exponent_and_score(p, x)[1], noise, step_size, noise_scale)


def _contract(mass, factors):
    """Σ_i mass_i Π_a G_a[i, j_a] for every atom j."""
    if len(factors) == 1:
        return mass @ factors[0]
    first = factors[0] * mass[:, None]  # (m, n_1)
    if len(factors) == 2:
        return (first.T @ factors[1]).reshape(-1)
    return ops.concatenate([_contract(first[:, j], factors[1:]) for j in range(first.shape[1])])


def _normal(t, mean, scale):
    """N(t_j; mean_i, scale²), (m, n)."""
    return ops.exp(-0.5 * ((t - mean[:, None]) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
