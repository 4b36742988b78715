"""What a kernel is, what it may offer beside its step, and how objectives run it.

A kernel moves chains by `step(p, x, rng) -> Move`.  Everything else is optional and found by
`offers`, so that a part is used only if it belongs to the kernel's own step.
"""

from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.checks import KERNEL, part_of, require_count, require_generator, require_own
from tinyebm.density import rows_of


class Move(NamedTuple):
    """What a step did: new points (n, d), which proposals were accepted (n,), their log ratios (n,).

    `accepted` and `log_ratio` are None for a kernel that never rejects.

    >>> Move(np.zeros((2, 1))).accepted is None
    True
    """

    x: Any
    accepted: Any = None
    log_ratio: Any = None


class Stranded(ValueError):
    """A chain stands where the density is 0, infinite or nan; `move` is the Move that its step
    would have returned."""

    def __init__(self, message, move=None):
        super().__init__(message)
        self.move = move


def is_kernel(thing):
    """Whether it is an instance with a `step`: whatever has one is a kernel."""
    return hasattr(thing, "step") and not isinstance(thing, type)


def offers(kernel, name):
    """The kernel's part of that name, or None if it has none that goes with its step.

    A class that inherits from a kernel and writes another step (or push, or drift) does not offer
    what it inherits: that belongs to the parent's step (`common.checks.part_of`).
    """
    return part_of(kernel, name, KERNEL)


def require_start(p, x, rng):
    """x as floating-point rows (n, d) that a kernel of p can move; ValueError unless it is, and rng
    a generator."""
    x = rows_of(p, x)
    require_generator(rng)
    return x


def require_continuous(p, kernel):
    """Raise ValueError on a discrete space, for a kernel that moves by small steps."""
    if p.space.discrete:
        raise ValueError(
            f"{type(kernel).__name__} moves by small steps, and {p.space} is discrete: use Gibbs "
            "or its relatives"
        )


def kernel_at(kernel, step):
    """The kernel of a step: of one kernel for all, or of a function of the step."""
    if is_kernel(kernel):
        return kernel
    found = kernel(step)
    if not is_kernel(found):
        raise ValueError(f"the kernel of step {step} must be one, like te.ULA(0.01), got {found!r}")
    require_own(found, "step", ("drift",))
    return found


def require_kernel(kernel):
    """Raise ValueError unless it is a kernel or a function of the step, and its step goes with its
    drift."""
    if isinstance(kernel, type) or not (callable(kernel) or is_kernel(kernel)):
        raise ValueError(
            "a kernel is an instance, like te.ULA(0.01), or a function of the step that returns "
            f"one, got {kernel!r}"
        )
    require_own(kernel, "step", ("drift",))


def require_steps(k):
    """Raise ValueError unless k is a positive number of steps."""
    require_count(k, "k must be a positive number of kernel steps")


def walk(kernel, p, x, steps, rng, record=None, strict=False):
    """Many steps: (x, info) as `run` returns them, without its checks and warnings.

    Objectives call it at every update.  A step from a row where the density is 0 or infinite raises
    Stranded only if `strict`; in training energies may become infinite, and `fit` refuses by itself.
    """
    kernels = []
    for i in range(1, steps + 1):
        kernels.append(kernel_at(kernel, i))
    all_at_once = getattr(kernels[0], "all_at_once", None) if kernels else None
    if all_at_once:
        found = all_at_once(kernels, p, x, rng, record)
        if found is not None:
            return found[0], {"acceptance": None, "trajectory": found[1]}
    trajectory, accepted, decided, clipped = [x], 0, 0, []
    for i, k in enumerate(kernels, 1):
        try:
            move = k.step(p, x, rng)
        except Stranded as stranded:
            if strict or stranded.move is None:
                raise
            move = stranded.move
        x, taken, _, *cut = move
        if taken is not None:
            accepted, decided = accepted + taken, decided + 1
        clipped += cut  # of a ClippedMove
        if record is not None and i % record == 0:
            trajectory.append(x)
    info = {"acceptance": None, "trajectory": np.stack(trajectory) if record is not None else None}
    if decided:
        rates = accepted / decided
        info |= {"acceptance": rates.mean(), "acceptance_per_chain": rates}
    if clipped:
        info["clipped"] = sum(clipped) / len(clipped)
    return x, info
