"""Kernels of Markov chains: the result of a step, the optional parts, and `walk` for many steps.

A kernel moves chains by `step(p, x, rng) -> Move`.  All other parts are optional.  `offers` finds
them; a part is used only if it belongs to the same step.
"""

from typing import Any, NamedTuple

import numpy as np

from tinyebm.common.checks import KERNEL, part_of, require_count, require_generator, require_own
from tinyebm.common.tree import compared
from tinyebm.density import rows_of


@compared
class Move(NamedTuple):
    """The result of a step: points (n, d), which proposals were accepted (n,), log ratios (n,).

    `accepted` and `log_ratio` are None for a kernel that never rejects.

    >>> Move(np.zeros((2, 1))).accepted is None
    True
    """

    x: Any
    accepted: Any = None
    log_ratio: Any = None


class Stranded(ValueError):
    """A chain is at a point of density 0, inf or nan; `move` is the Move of its step."""

    def __init__(self, message, move=None):
        super().__init__(message)
        self.move = move


def is_kernel(thing):
    """Whether an object is a kernel: an instance with a `step`."""
    return hasattr(thing, "step") and not isinstance(thing, type)


def offers(kernel, name):
    """The part of a kernel with this name, or None if it has none that belongs to its step.

    If a class inherits from a kernel and writes another step (or push, or drift), the inherited
    parts belong to the step of the parent, and are not used (`common.checks.part_of`).
    """
    return part_of(kernel, name, KERNEL)


def require_start(p, x, rng):
    """x as floating-point rows (n, d); ValueError if it is not rows, or rng not a generator."""
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
    """The kernel of a step, given one kernel for all steps or a function of the step."""
    if is_kernel(kernel):
        return kernel
    found = kernel(step)
    if not is_kernel(found):
        raise ValueError(f"the kernel of step {step} must be one, like te.ULA(0.01), got {found!r}")
    require_own(found, "step", ("drift",))
    return found


def require_kernel(kernel):
    """Raise ValueError unless it is a function of the step, or a kernel whose drift is its own."""
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

    Objectives call it at every update.  If `strict`, a step from a row where the density is 0 or
    infinite raises Stranded.  In training energies may become infinite; `fit` checks them itself.
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
    # Gibbs keeps the chains of a site together
    return (np.ascontiguousarray(x) if type(x) is np.ndarray else x), info
