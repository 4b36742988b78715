"""Running a kernel: for some steps, and for ever."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyebm.backend import on_gpu
from tinyebm.checks import number, require_count
from tinyebm.density import Density, drift
from tinyebm.kinds import Array, Generator, Kernel, Space
from tinyebm.replay.chains import chains
from tinyebm.samplers.metropolis import require_start


def run(kernel: Kernel | Callable[[int], Kernel], p: Density, x: Array, steps: int, rng: Generator,
        record: int | None = None) -> tuple[Array, dict]:
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
        "acceptance": mean fraction of accepted proposals (None if the kernel never
        rejects); "trajectory": (1 + steps // record, n, d), or None; of a `Recipe` also "clipped", the mean
        fraction of gradient components that it clipped.

    `ULA` on NumPy arrays takes all steps of a block of chains before those of the next, blocks side by side on as many
    threads as NumPy's matrix products use.  Its noise comes from generators seeded by one draw of rng: other numbers than
    calls of `step`, the same on any number of threads; in single precision within 5.65 standard deviations
    (`tinyebm.replay.normals`).

    Raises
    ------
    ValueError
        If x is not (n, d), floating-point and inside the space, or the kernel is for other spaces.

    Warns
    -----
    UserWarning
        If a `Recipe` ran at another temperature than 1 (at the last step) or clipped gradients: with both numbers.
    """
    x = require_start(p, x, rng)
    require_count(len(x), "x must have one row at least")
    if not on_gpu(x) and not np.all(p.space.contains(x)):  # on a GPU nothing waits to be looked at
        raise ValueError(f"some rows of x are nan or lie outside {p.space}, for example {x[~p.space.contains(x)][0].tolist()}")
    x, info = walk(kernel, p, x, steps, rng, record)
    if "clipped" in info and (caveat := caveat_of(kernel, steps, float(info["clipped"]))):
        warnings.warn(caveat, stacklevel=2)
    return x, info


def walk(kernel, p, x, steps, rng, record=None):
    """`run` without its warnings: what the objectives call at every update."""
    require_kernel(kernel)
    require_count(steps, "steps must be an integer >= 0", least=0)
    if record is not None:
        require_count(record, "record must be a positive number of steps")
    kernels = [kernel_at(kernel, i) for i in range(1, steps + 1)] if callable(kernel) else [kernel] * steps
    if steps and all(hasattr(k, "diffusion") for k in {id(k): k for k in kernels}.values()) and not p.space.discrete:
        x = require_start(p, x, rng)
        found = chains(drift, p, x, [k.diffusion for k in kernels], rng, record)
        if found is not None:
            return found[0], {"acceptance": None, "trajectory": found[1]}
    trajectory, accepted, clipped = [x], [], []
    for i, k in enumerate(kernels, 1):
        x, taken, _, *cut = k.step(p, x, rng)
        if taken is not None:
            accepted.append(taken.mean())
        clipped += cut  # of a ClippedMove
        if record is not None and i % record == 0:
            trajectory.append(x)
    mean = lambda values: sum(values) / len(values) if values else None
    info = {"acceptance": mean(accepted), "trajectory": np.stack(trajectory) if record is not None else None}
    return x, info | ({"clipped": mean(clipped)} if clipped else {})


def caveat_of(kernel, steps, clipped):
    """What the last of some steps really did, in the words of a `Recipe`; None where there is nothing to say."""
    last = kernel_at(kernel, steps)
    return last.caveat(clipped) if hasattr(last, "caveat") else None


def kernel_at(kernel, step):
    """The kernel of a step, of one kernel for all or of a function of the step."""
    if not callable(kernel):
        return kernel
    found = kernel(step)
    if isinstance(found, type) or not hasattr(found, "step"):
        raise ValueError(f"the kernel of step {step} must be one, like te.ULA(0.01), got {found!r}")
    return found


def require_kernel(kernel):
    """Refuse what is neither a kernel nor a function of the step."""
    if isinstance(kernel, type) or not (callable(kernel) or hasattr(kernel, "step")):
        raise ValueError(f"a kernel is an instance, like te.ULA(0.01), or a function of the step that returns one, got {kernel!r}")


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
            raise ValueError(f"a pool of {self.size} chains cannot lend {n}: use chains >= the batch size")
        slots = np.argsort(rng.random(self.size))[:n]
        fresh = space.initial(n, rng).astype(pool.dtype)
        return slots, np.where((rng.random(n) < self.restart)[:, None], fresh, pool[slots])

    def give_back(self, pool: Array, slots: Array, x: Array) -> Array:
        """A new pool with the points x in the slots they were lent from."""
        pool = pool.copy()
        pool[slots] = x
        return pool
