"""Hamiltonian Monte Carlo: long moves along the level sets of energy plus kinetic energy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.checks import plain, require_count, require_positive
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array, Generator
from tinyebm.density import Density, exponent_and_score
from tinyebm.samplers.flows import flow_operator, flow_spread, push, require_conserved, row_blocks
from tinyebm.samplers.metropolis import Move, accept, require_start
from tinyebm.spaces.grids import Grid, trapezoid

FASTEST = 8.5  # where a push cuts off the normal law of a velocity: 2e-17 is beyond
MOST_TRAJECTORIES = 2**23
# velocities on the line at least: to the kink of the acceptance their sum converges like count^-2
# only
KINKED = 2001
IMPOSSIBLE = -745.0  # e^x is 0 beyond
ROUGH = 1e-4  # a negative probability, beside the largest, that shows a law finer than the atoms


@dataclass(frozen=True)
class HMC:
    """`steps` leapfrog steps of a particle of mass one with a fresh velocity r ~ N(0, I), accepted
    or not.

        r ← r + (ε/2) ∇log p(x),   x ← x + ε r,   r ← r + (ε/2) ∇log p(x)               (1)
        acceptance min(1, e^{H(x, r) - H(x', r')}),   H(x, r) = -log p(x) + |r|²/2      (2)

    (Duane, Kennedy, Pendleton & Roweth 1987, Physics Letters B 195:216; Neal 2011, Handbook of
    MCMC, ch. 5). Leaves p invariant and is reversible.  In a box a trajectory that ends outside is
    rejected.

    Parameters
    ----------
    step_size : float
        ε > 0, in units of [x], a time: one leapfrog step is `MALA(ε²/2)`.
    steps : int
        Leapfrog steps of a trajectory; it lasts ε · steps.

    Cost of a step: steps + 1 energies and their gradients per chain.
    """

    step_size: float
    steps: int
    invariant = True
    # of a push the atoms hold smooth laws alone: the kink of the acceptance is in the sum over
    # velocities
    smooth = True

    def __post_init__(self):
        require_positive("step_size", self.step_size)
        require_count(self.steps, "steps must be a positive number of leapfrog steps")
        plain(self, "step_size")

    @property
    def noise_scale(self) -> float:
        """How far a velocity of one standard deviation carries where nothing pulls, ε · steps."""
        return self.step_size * self.steps

    def drift(self, p: Density, x: Array) -> Array:
        """Where a trajectory that begins at rest takes the rows of x, (n, d)."""
        return self.trajectory(p, x, np.zeros_like(x))[0]

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """One trajectory from every row of x (n, d), accepted or not: a Move."""
        if p.space.discrete:
            raise ValueError(
                f"HMC moves along slopes, and {p.space} is discrete: use Gibbs or its relatives"
            )
        x = require_start(p, x, rng)
        r = rng.standard_normal(x.shape, dtype=x.dtype)
        y, log_ratio = self.trajectory(p, x, r)
        return accept(x, y, log_ratio, rng, p, p.space.contains(y))

    def trajectory(self, p: Density, x: Array, r: Array) -> tuple[Array, Array]:
        """Where eq. (1) takes rows x with velocities r, (n, d), and the exponent of eq. (2),
        (n,)."""
        u, s = exponent_and_score(p, x)
        before = u - 0.5 * (r * r).sum(axis=1)
        # a trajectory that flies away ends in nan or inf: rejected
        with np.errstate(invalid="ignore", over="ignore"):
            for _ in range(self.steps):
                r = r + 0.5 * self.step_size * s
                x = x + self.step_size * r
                u, s = exponent_and_score(p, x)
                r = r + 0.5 * self.step_size * s
            return x, u - 0.5 * (r * r).sum(axis=1) - before

    def push(self, probabilities: Array, p: Density) -> Array:
        """The law after one step from `probabilities` over `p.space.atoms(nodes)`: shape (N,), same
        total.

        A sum over nodes of the velocity (trapezoidal rule); what lands between atoms is dealt out
        to them by cardinal sines, which is exact for the law of all trajectories if the atoms
        resolve it.  On Reals(1) and, if trajectories are short, Reals(2).  The acceptance has a
        kink, and so has the law: p is invariant to about 1e-6 where one in a thousand trajectories
        is rejected, to 1e-4 where one in ten is.

        Raises QuadratureError if the law is finer than the atoms or leaves them, or the velocities
        are too many.
        """
        pushed = push(self, probabilities, p)
        require_conserved(float(probabilities.sum()), float(pushed.sum()))
        return pushed

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push` on a given product grid, set up once to be applied often."""
        push = flow_operator(lambda x: self._flows(p, x, grid), grid)
        return lambda mass: _require_resolved(push(mass))

    def spread(self, p: Density, x: Array, mass: Array, grid: Any) -> tuple[Array, Array]:
        """Masses at the rows of x, one step later: (masses of the grid's atoms (N,), what stays at
        x (m,))."""
        moved, stay = flow_spread(self._flows(p, x, grid), mass)
        return _require_resolved(moved), stay

    def _flows(self, p, x, grid):
        """Blocks of the accepted transition probabilities from rows of x to the atoms, (rows, N),
        and the rejected, (rows,)."""
        if p.space.discrete or p.space.bounded:
            raise ValueError(
                f"HMC pushes laws on R^d, where no wall cuts its trajectories, not on {p.space}"
            )
        d, spacing = x.shape[1], min(float(nodes[1] - nodes[0]) for nodes, _ in grid.axes)
        count = math.ceil(FASTEST * (self.noise_scale / spacing + FASTEST / math.pi)) + 1
        count = max(count, KINKED) if d == 1 else count
        if len(x) * count**d > MOST_TRAJECTORIES:
            raise QuadratureError(
                f"a push of HMC from {len(x)} points needs {count}^{d} velocities each, more than "
                f"{MOST_TRAJECTORIES} trajectories in all: use fewer nodes, or shorter trajectories"
            )
        r, log_w = Grid((trapezoid(count, -FASTEST, FASTEST),) * d).all()
        weight = np.exp(log_w - 0.5 * (r * r).sum(axis=1)) / (2 * math.pi) ** (d / 2)  # (M,)
        for rows in row_blocks(len(x), len(r) * max(grid.shape)):
            start = x[rows]
            n = len(start)
            y, accepted = self._accepted(
                p, np.repeat(start, len(r), axis=0), np.concatenate([r] * n)
            )
            moved = ops.reshape(accepted, (n, len(r))) * weight
            # what leaves the grid does not stay
            flow, stay = ops.reshape(moved, (n, 1, len(r))), 1 - moved.sum(axis=1)
            for a, (nodes, _) in enumerate(grid.axes):
                shares = ops.reshape(_cardinal_sines(y[:, a], nodes), (n, len(r), len(nodes)))
                if a + 1 < d:
                    flow = flow * ops.swap_last_axes(shares)  # (n, n_1, M)
                else:
                    flow = ops.reshape(flow @ shares, (n, grid.size))
            yield flow, stay, rows

    def _accepted(self, p, x, r):
        """Ends of trajectories, (n, d), and the probabilities that they are accepted, (n,); x and 0
        for what flies away."""
        y, log_ratio = self.trajectory(p, x, r)
        back = (stop_gradient(log_ratio) > IMPOSSIBLE) & p.space.contains(stop_gradient(y))
        # the derivative of a trajectory to infinity is no number, not even times 0: run without
        if not back.all():
            end, exponent = self.trajectory(p, x[back], r[back])
            y = ops.scatter(end, back, x.shape) + np.where(back[:, None], 0.0, x)
            log_ratio = ops.where(back, ops.scatter(exponent, back, back.shape), -math.inf)
        return y, ops.exp(ops.minimum(0.0, log_ratio))


def _require_resolved(law):
    """Refuse a law whose probabilities oscillate below zero."""
    values = stop_gradient(law)
    if not float(values.min()) >= -ROUGH * float(values.max()):
        raise QuadratureError(
            "the law after a trajectory is finer than the atoms: use more nodes, or longer or "
            "shorter trajectories (half a period of an oscillation leads back to a point)"
        )
    return law


def _cardinal_sines(y, nodes):
    """sinc((y_i - t_j) / h), (m, n): what a mass at y_i gives to evenly spaced nodes t_j, so that
    smooth sums keep its place."""
    place = (y - float(nodes[0])) / float(nodes[1] - nodes[0])
    nearest = np.round(stop_gradient(place))
    # of the same rounded place in sine and denominator: their ratio holds arbitrarily near to a
    # node
    beside = place - nearest
    z = math.pi * (ops.reshape(beside, (-1, 1)) + (nearest[:, None] - np.arange(len(nodes))))
    signs = np.where((nearest[:, None] - np.arange(len(nodes))) % 2 == 0, 1.0, -1.0)
    hit = z == 0
    return ops.where(
        hit, 1.0, ops.reshape(ops.sin(math.pi * beside), (-1, 1)) * signs / ops.where(hit, 1.0, z)
    )
