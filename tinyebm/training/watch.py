"""Checks of a training run: inf and nan stop it, and some numbers lead to a warning.

`look` computes the numbers to check in an update, and `require_sound` checks them.  These are two
functions, because on a GPU the numbers stay there until the next log point, so that no update
waits.  Chains that have left their space also stop the run.
"""

import math

import numpy as np

from tinyebm.common.backend import on_gpu, to_numpy
from tinyebm.common.tree import tree_flatten
from tinyebm.samplers.chains import caveat_of

FLAT = 1e-2  # nats: an energy with a smaller root mean square is practically constant
STARTS = (
    "persistent chains and short runs start at draws of space.initial, contrastive divergence at "
    "the data: is the density 0 there?"
)
CURES = {  # what is not finite -> what may help
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
    """The numbers that must be finite after an update: {name: number or 0-d array}, causes first.

    These are the metrics of a `Step`.  For its chains, its gradient and the new parameters the
    number is 0, or nan if one of their numbers is not finite (or a chain is outside the space).
    """
    chains = step.state.get("chains") if isinstance(step.state, dict) else None
    chains = getattr(step.state, "moved", chains)  # of a `Pool` the rows that are new
    seen = {} if chains is None else {"chains": _nan_unless([space.contains(chains)])}
    return {
        **seen,
        "gradient": _nan_unless(map(np.isfinite, tree_flatten(step.gradient)[0])),
        **step.metrics,
        "parameters": _nan_unless(map(np.isfinite, tree_flatten(theta)[0])),
    }


def require_sound(space, updates):
    """Raise FloatingPointError at the first update with a number that is not finite."""
    columns = {name: [update.seen[name] for update in updates] for name in updates[0].seen}
    for name, column in columns.items():
        if on_gpu(column[0]):  # one transfer for all updates
            columns[name] = to_numpy(np.stack(column))
    for i, update in enumerate(updates):
        lost = [name for name, column in columns.items() if not np.isfinite(column[i])]
        if lost:  # the first is the cause of the others
            message = CURES.get(lost[0], OTHER).format(
                space=space, name=lost[0], value=columns[lost[0]][i]
            )
            raise FloatingPointError(f"update {update.number}: {message}")


def caveats(objective, history):
    """Yield the warnings about a run that has ended, in words."""
    if "clipped" in history:  # the objective runs a `Recipe`
        caveat = caveat_of(objective.kernel, objective.k, history["clipped"][-1])
        if caveat:
            yield f"at the last update {caveat}"
    flat = [size for size in history.get("energy_rms", ()) if size < FLAT]
    if flat:
        yield (
            f"the energies have collapsed: on data and negatives they are {flat[0]:.1e} nats in "
            "root mean square, so the model is as good as uniform there; try a smaller alpha"
        )


def _nan_unless(conditions):
    """0.0 if all entries of some arrays of truth values are true, else nan."""
    sound = True
    for condition in conditions:
        sound = sound & condition.all()
    return np.where(sound, 0.0, math.nan)
