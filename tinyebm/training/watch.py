"""What a training run must not become: nan or infinite, with chains outside their space, or with an
energy without relief.

A run is watched at every update.  On a GPU what was seen stays there until a log point, so that no
update waits.
"""

import math
import operator
from functools import reduce

import numpy as np

from tinyebm.common.backend import on_gpu, to_numpy
from tinyebm.common.tree import tree_flatten

FLAT = 1e-2  # nats: an energy that stays within them on data and negatives says nothing
STARTS = (
    "persistent chains and short runs start at draws of space.initial, contrastive divergence at "
    "the data: is the density 0 there?"
)
CURES = {  # what was lost -> what may help
    "chains": "some persistent chains are nan or outside {space}: try a smaller step_size, "
    f"or confinement= in the energy; {STARTS}",
    "gradient": "the gradient is not finite. The chains or the energy have diverged: "
    f"try a smaller learning rate or step_size, clip=, or alpha=; {STARTS}",
    "parameters": "the parameters would not be finite, though the gradient is: "
    "try a smaller learning rate",
}
OTHER = (
    "the {name} is {value}, though the gradient is finite: the energy is nan or infinite "
    f"somewhere; {STARTS}"
)


def look(space, step, theta):
    """What to watch of an update, {name: 0-d array or number, nan if lost}, causes first: its
    `Step`, and the new parameters."""
    chains = (step.state or {}).get("chains")
    seen = {} if chains is None else {"chains": _nan_unless(space.contains(chains).all())}
    return {
        **seen,
        "gradient": _all_finite(step.gradient),
        **step.metrics,
        "parameters": _all_finite(theta),
    }


def require_sound(space, updates):
    """Refuse the first of some updates, (number, what `look` saw), in which something is not
    finite: FloatingPointError."""
    numbers, seen = zip(*updates, strict=True)
    columns = {name: [row[name] for row in seen] for name in seen[0]}
    columns = {
        name: to_numpy(np.stack(column)) if on_gpu(column[0]) else column
        for name, column in columns.items()
    }
    for i, number in enumerate(numbers):
        lost = [name for name, column in columns.items() if not np.isfinite(column[i])]
        if lost:  # the first is the cause of the others
            message = CURES.get(lost[0], OTHER).format(
                space=space, name=lost[0], value=columns[lost[0]][i]
            )
            raise FloatingPointError(f"update {number}: {message}")


def flatness(metrics):
    """A warning in words if the energies of data and negatives have collapsed, else None."""
    spread = metrics.get("energy_rms")
    if spread is None or not float(spread) < FLAT:
        return None
    return (
        f"the energies have collapsed: on data and negatives they are {float(spread):.1e} nats in "
        "root mean square, so the model is as good as uniform there; try a smaller alpha"
    )


def _all_finite(tree):
    return _nan_unless(
        reduce(operator.and_, [np.isfinite(leaf).all() for leaf in tree_flatten(tree)[0]])
    )


def _nan_unless(sound):
    return np.where(sound, 0.0, math.nan)
