"""Running a kernel: for some steps, and for ever."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import KERNEL, number, part_of, require_count, require_own
from tinyebm.common.kinds import Array, Generator, Kernel, Space
from tinyebm.density import Density
from tinyebm.replay.door import many_steps
from tinyebm.samplers.langevin import ULA, moved
from tinyebm.samplers.metropolis import (
    Stranded,
    possible,
    require_possible,
    require_start,
    without_walls,
)

SEEN = 50  # steps between the points of a trajectory that are looked at
# steps after which a chain that never moved is suspect; the probability that one of them was
# unlucky
MANY, CHANCE = 50, 0.01


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
    x : array (n, d)
        One chain per row.
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
    before those of the next, blocks side by side on as many threads as NumPy's matrix products use.
    Its noise comes from generators seeded by one draw of rng: other numbers than calls of `step`,
    the same on any number of threads; in single precision within 5.65 standard deviations
    (`tinyebm.replay.normals`).

    Raises
    ------
    ValueError
        If x is not (n, d), floating-point and inside the space, if the density is 0, infinite or
        nan at one of its rows (not looked at on a GPU), or the kernel is for other spaces.

    Warns
    -----
    UserWarning
        If a `Recipe` ran at another temperature than 1 (at the last step) or clipped gradients:
        with both numbers.  If chains left the space, became nan, or came, as ULA can, to where the
        density is 0; if some never moved in 50 steps or more, and not by chance.  (Not on a GPU;
        not of nan and inf under np.errstate(invalid="ignore").)
    """
    x = require_start(p, x, rng)
    require_count(len(x), "x must have one row at least")
    if not on_gpu(x):  # there nothing waits to be looked at
        if not np.all(p.space.contains(x)):
            raise ValueError(
                f"some rows of x are nan or lie outside {p.space}, for example "
                f"{x[~p.space.contains(x)][0].tolist()}"
            )
        if walls := not without_walls(p):
            require_possible(p, x)
    x, info = walk(kernel, p, x, steps, rng, record, strict=True)
    words = [caveat_of(kernel, steps, float(info["clipped"])) if "clipped" in info else None]
    if not on_gpu(x) and steps:
        words += [
            _lost(p, x, info["trajectory"], record, walls and info["acceptance"] is None),
            _stuck(info, steps),
        ]
    for word in filter(None, words):
        warnings.warn(word, stacklevel=2)
    return x, info


def _lost(p, x, trajectory, record, walls):
    """A warning in words if chains are, or were seen, where no draw of p can be; else None.

    Of a trajectory points fifty steps apart are looked at.  `walls`: whether chains may have come
    to where the density is 0.
    """
    rows, n = x, len(x)
    if trajectory is not None:
        every = -(-SEEN // record)
        rows = np.concatenate([x, trajectory[every::every].reshape(-1, x.shape[1])])
    outside = ~p.space.contains(rows)
    if np.geterr()["invalid"] == "ignore":  # who silences NumPy's warnings of nan and inf knows
        outside &= np.isfinite(rows).all(axis=1)
    empty = (
        np.isfinite(rows).all(axis=1) & ~outside & ~possible(p, rows) if walls else outside & False
    )
    if not (outside.any() or empty.any()):
        return None
    count = lambda lost: f"{len(set(np.flatnonzero(lost) % n))} of {n} chains"
    if outside.any():
        return (
            f"{count(outside)} left {p.space} or became nan: try a smaller step_size, or an energy "
            "that is nowhere nan or -inf"
        )
    return (
        f"{count(empty)} came to points where the density is 0, infinite or nan: a kernel that "
        "never rejects does not see walls; use te.MALA, te.HMC or a te.Box"
    )


def _stuck(info, steps):
    """A warning in words if some chains never moved, and not by chance; else None."""
    rates = info.get("acceptance_per_chain")
    if rates is None or steps < MANY or (rates > 0).all():
        return None
    moved = rates[rates > 0]
    rate = float(moved.mean()) if len(moved) else 1.0
    if len(rates) * (1 - rate) ** steps > CHANCE:
        return None
    rest = f", while the others accepted {rate:.2g} of their proposals" * bool(len(moved))
    return (
        f"{len(rates) - len(moved)} of {len(rates)} chains never moved in {steps} steps{rest}: "
        "start them elsewhere, or try a smaller step_size (info['acceptance_per_chain'] tells "
        "which they are)"
    )


def walk(kernel, p, x, steps, rng, record=None, strict=False):
    """`run` without its warnings, and without its refusals unless `strict`: what the objectives
    call at every update."""
    require_kernel(kernel)
    require_count(steps, "steps must be an integer >= 0", least=0)
    if record is not None:
        require_count(record, "record must be a positive number of steps")
    kernels = [kernel_at(kernel, i) for i in range(1, steps + 1)]
    # what another kernel's step does, it alone knows
    if steps and all(type(k) is ULA for k in kernels) and not p.space.discrete:
        x = require_start(p, x, rng)
        schedule = [(k.step_size, k.noise_scale) for k in kernels]
        found = many_steps(moved, p, x, schedule, rng, record)
        if found is not None:
            return found[0], {"acceptance": None, "trajectory": found[1]}
    trajectory, accepted, decided, clipped = [x], 0, 0, []
    for i, k in enumerate(kernels, 1):
        try:
            x, taken, _, *cut = k.step(p, x, rng)
        # training meets infinite energies there, and refuses by itself
        except Stranded as stranded:
            if strict or stranded.move is None:
                raise
            x, taken, _, *cut = stranded.move
        if taken is not None:
            accepted, decided = accepted + taken, decided + 1
        clipped += cut  # of a ClippedMove
        if record is not None and i % record == 0:
            trajectory.append(x)
    info = {"acceptance": None, "trajectory": np.stack(trajectory) if record is not None else None}
    if decided:
        rates = accepted / decided
        info |= {"acceptance": rates.mean(), "acceptance_per_chain": rates}
    return x, info | ({"clipped": sum(clipped) / len(clipped)} if clipped else {})


def caveat_of(kernel, steps, clipped):
    """What the last of some steps really did, in the words of a `Recipe`; None where there is
    nothing to say."""
    last = kernel_at(kernel, steps)
    return last.caveat(clipped) if part_of(last, "caveat", KERNEL) else None


def kernel_at(kernel, step):
    """The kernel of a step, of one kernel for all or of a function of the step."""
    if hasattr(kernel, "step"):
        return kernel
    found = kernel(step)
    if isinstance(found, type) or not hasattr(found, "step"):
        raise ValueError(f"the kernel of step {step} must be one, like te.ULA(0.01), got {found!r}")
    require_own(found, "step", ("drift",))
    return found


def require_kernel(kernel):
    """Refuse what is neither a kernel nor a function of the step, and a kernel whose own drift its
    step does not know."""
    if isinstance(kernel, type) or not (callable(kernel) or hasattr(kernel, "step")):
        raise ValueError(
            "a kernel is an instance, like te.ULA(0.01), or a function of the step that returns "
            f"one, got {kernel!r}"
        )
    require_own(kernel, "step", ("drift",))


def require_steps(k):
    """Refuse a k that is no positive number of steps."""
    require_count(k, "k must be a positive number of kernel steps")


@dataclass(frozen=True)
class Chains:
    """A pool of persistent chains (a replay buffer) that restarts a fraction of what it lends.

    The pool itself, an array (size, d), is passed in and returned: no hidden
    state.  `restart` is the probability that a lent chain begins anew from
    `space.initial` (5 % in Du & Mordatch 2019, section 3.3).
    """

    size: int
    restart: float = 0.05

    def __post_init__(self):
        require_count(self.size, "size must be a positive number of chains")
        if not 0 <= number(self.restart) <= 1:
            raise ValueError(f"restart must be a probability, got {self.restart!r}")

    def start(self, space: Space, rng: Generator) -> Array:
        """A fresh pool (size, d)."""
        return space.initial(self.size, rng)

    def lend(self, pool: Array, n: int, space: Space, rng: Generator) -> tuple[Array, Array]:
        """(slots (n,), points (n, d)): n different chains of the pool, some of them restarted."""
        if n > self.size:
            raise ValueError(
                f"a pool of {self.size} chains cannot lend {n}: use chains >= the batch size"
            )
        slots = np.argsort(rng.random(self.size))[:n]
        fresh = space.initial(n, rng).astype(pool.dtype)
        return slots, np.where((rng.random(n) < self.restart)[:, None], fresh, pool[slots])

    def give_back(self, pool: Array, slots: Array, x: Array) -> Array:
        """A new pool with the points x in the slots they were lent from."""
        pool = pool.copy()
        pool[slots] = x
        return pool
