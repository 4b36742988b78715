"""Running a kernel: many steps of many chains, and a pool of chains that is kept between runs."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import number, require_count
from tinyebm.common.kinds import Array, Generator, Kernel, Space
from tinyebm.density import Density
from tinyebm.samplers.kernels import kernel_at, offers, require_kernel, require_start, walk
from tinyebm.samplers.metropolis import (
    possible,
    require_possible,
    without_walls,
)

SEEN = 50  # steps between the points of a trajectory that are checked
MANY = 50  # steps after which a chain that never moved leads to a warning
CHANCE = 0.01  # no warning if chance explains it with a larger probability


def run(
    kernel: Kernel | Callable[[int], Kernel],
    p: Density,
    x: Array,
    steps: int,
    rng: Generator,
    record: int | None = None,
) -> tuple[Array, dict]:
    """Apply kernel.step `steps` times to the rows of x; return (x, info).

    Parameters
    ----------
    kernel : ULA, MALA, ..., or a function of the step
        A function of the step 1, ..., steps that returns a kernel anneals: for example
        `lambda i: te.ULA(0.01, temperature=max(1.0, 10.0 * 0.95**i))`.
    p : Density
    x : array (n, d)
        Where the chains start, one per row.
    steps : int
    rng : generator
    record : int, optional
        Keep the points every `record` steps, the start included.

    Returns
    -------
    x : array (n, d)
        The points after the last step.
    info : dict
        "acceptance": mean fraction of accepted proposals (None if the kernel never rejects, else
        also "acceptance_per_chain", (n,)); "trajectory": (1 + steps // record, n, d), or None; of a
        `Recipe` also "clipped", the mean fraction of gradient components that it clipped.

    `ULA` (no class that inherits from it) on NumPy arrays takes all steps of a block of chains
    before those of the next block, in parallel on as many threads as NumPy's matrix products use.
    Its noise comes from generators seeded by one draw of rng.  So the numbers differ from calls of
    `step`, but do not depend on the number of threads.  In single precision the noise is within
    5.65 standard deviations (`tinyebm.replay.normals`).

    Raises
    ------
    ValueError
        If x is not (n, d), floating-point and inside the space, if the density is 0, infinite or
        nan at one of its rows (not checked on a GPU), or the kernel is for other spaces.

    Warns
    -----
    UserWarning
        If a `Recipe` ran at another temperature than 1 (at the last step) or clipped gradients;
        the warning has both numbers.  If chains left the space, became nan, or reached a point of
        density 0, as ULA can.  If some chains never moved in 50 steps or more, and not by chance.
        (Not on a GPU; not about nan and inf under np.errstate(invalid="ignore").)

    >>> from tinyebm import GaussianEnergy, MALA, Reals
    >>> rng, normal = np.random.default_rng(0), GaussianEnergy(2)
    >>> p = Density(normal, normal.init(rng), Reals(2))
    >>> x, info = run(MALA(0.5), p, np.zeros((1000, 2)), 20, rng, record=10)
    >>> x.shape, info["trajectory"].shape, bool(0.7 < info["acceptance"] < 0.95)
    ((1000, 2), (3, 1000, 2), True)
    """
    require_kernel(kernel)
    require_count(steps, "steps must be an integer >= 0", least=0)
    if record is not None:
        require_count(record, "record must be a positive number of steps")
    x = require_start(p, x, rng)
    require_count(len(x), "x must have one row at least")
    look = not on_gpu(x)  # a check there would wait for the device
    walls = look and not without_walls(p)
    if look and not np.all(inside := p.space.contains(x)):
        raise ValueError(
            f"some rows of x are nan or lie outside {p.space}, for example {x[~inside][0].tolist()}"
        )
    if walls:
        require_possible(p, x)
    x, info = walk(kernel, p, x, steps, rng, record, strict=True)
    said = []
    if "clipped" in info:
        said.append(caveat_of(kernel, steps, float(info["clipped"])))
    if look and steps:
        walls = walls and info["acceptance"] is None  # which a kernel that rejects does not cross
        said += [_lost(p, x, info["trajectory"], record, walls), _stuck(info, steps)]
    for words in filter(None, said):
        warnings.warn(words, stacklevel=2)
    return x, info


def _lost(p, x, trajectory, record, walls):
    """A warning in words if chains are, or were, at points that p cannot produce; else None.

    Of a trajectory the points SEEN steps apart are checked.  `walls`: whether chains may have
    reached points of density 0.
    """
    rows, n = x, len(x)
    if trajectory is not None:
        every = -(-SEEN // record)
        rows = np.concatenate([x, trajectory[every::every].reshape(-1, x.shape[1])])
    outside, finite = ~p.space.contains(rows), np.isfinite(rows).all(axis=1)
    if np.geterr()["invalid"] == "ignore":  # nan and inf are expected
        outside &= finite
    count = lambda lost: f"{len(set(np.flatnonzero(lost) % n))} of {n} chains"
    if outside.any():
        return (
            f"{count(outside)} left {p.space} or became nan: try a smaller step_size, or an energy "
            "that is nowhere nan or -inf"
        )
    if walls and (empty := finite & ~possible(p, rows)).any():
        return (
            f"{count(empty)} came to points where the density is 0, infinite or nan: a kernel that "
            "never rejects does not see walls; use te.MALA, te.HMC or a te.Box"
        )
    return None


def _stuck(info, steps):
    """A warning in words if some chains never moved, and not by chance; else None."""
    rates = info.get("acceptance_per_chain")
    if rates is None or steps < MANY or (rates > 0).all():
        return None
    moving = rates[rates > 0]
    rate = float(moving.mean()) if len(moving) else 1.0
    if len(rates) * (1 - rate) ** steps > CHANCE:
        return None
    rest = f", while the others accepted {rate:.2g} of their proposals" if len(moving) else ""
    return (
        f"{len(rates) - len(moving)} of {len(rates)} chains never moved in {steps} steps{rest}: "
        "start them elsewhere, or try a smaller step_size (info['acceptance_per_chain'] tells "
        "which they are)"
    )


def caveat_of(kernel, steps, clipped):
    """The warning of a `Recipe` at the last of some steps, in words; None if there is none."""
    caveat = offers(kernel_at(kernel, steps), "caveat")
    return caveat and caveat(clipped)


class Pool(dict):
    """The state {"chains": (chains, d)} of an objective; `moved` holds the rows that are new in it.

    `fit` checks the new rows alone: the others were checked when they were new.
    """

    moved: Any = None


@dataclass(frozen=True)
class Chains:
    """A pool of persistent chains (a replay buffer), of which some restart before they move.

    The pool itself is an array (size, d), which is passed in and returned: no state is hidden.

    Parameters
    ----------
    size : int
        Number of chains.
    restart : float
        The probability that a lent chain restarts from `space.initial` (5 % in Du & Mordatch
        2019, section 3.3).

    >>> from tinyebm import Box
    >>> pool, space, rng = Chains(8, restart=0.0), Box(-1, 1, 2), np.random.default_rng(0)
    >>> points = pool.start(space, rng)
    >>> slots, x = pool.lend(points, 3, space, rng)
    >>> points = pool.give_back(points, slots, x + 1)
    >>> points.shape, int((points[slots] == x + 1).sum())
    ((8, 2), 6)
    """

    size: int
    restart: float = 0.05

    def __post_init__(self):
        require_count(self.size, "size must be a positive number of chains")
        if not 0 <= number(self.restart) <= 1:
            raise ValueError(f"restart must be a probability, got {self.restart!r}")

    def start(self, space: Space, rng: Generator) -> Array:
        """A new pool (size, d)."""
        return space.initial(self.size, rng)

    def lend(self, pool: Array, n: int, space: Space, rng: Generator) -> tuple[Array, Array]:
        """(slots (n,), points (n, d)): n different chains of the pool, some of them restarted."""
        if n > self.size:
            raise ValueError(
                f"a pool of {self.size} chains cannot lend {n}: use chains >= the batch size"
            )
        slots = np.argsort(rng.random(self.size))[:n]
        fresh, points = space.initial(n, rng), pool[slots]
        restarts = (rng.random(n) < self.restart)[:, None]
        np.copyto(points, fresh, where=restarts, casting="unsafe")
        return slots, points

    def give_back(self, pool: Array, slots: Array, x: Array) -> Array:
        """The pool with the points x in the slots from which they were lent, a new array."""
        pool = np.empty_like(pool) if len(slots) == len(pool) else pool.copy()
        pool[slots] = x
        return pool
