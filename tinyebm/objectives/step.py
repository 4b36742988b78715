"""The result of every objective, a Step; the check of a batch; and the contrast of two batches,

    gradient = mean_i ∇_θ E_θ(x_i) - mean_j ∇_θ E_θ(y_j).                    (1)

Here x are data, and y are negatives: draws of the model or of a chain.  A step against the gradient
lowers the energy of data and raises the energy of negatives.  With `alpha` the loss has the further
term alpha (mean_i E(x_i)² + mean_j E(y_j)²), the regulariser of Du & Mordatch (2019,
arXiv:1903.08689).
"""

from typing import Any, NamedTuple

import numpy as np

from tinyebm.autodiff.tape import vjp
from tinyebm.common.kinds import Tree
from tinyebm.common.tree import compared
from tinyebm.density import rows_of
from tinyebm.replay.door import add, reduce_rows
from tinyebm.spaces.rows import clean


@compared
class Step(NamedTuple):
    """The gradient of the loss (a tree like theta), metrics to record, and a state.

    `metrics` maps names to scalars.  `state` is an argument of the next call: a tree of arrays, or
    None.

    >>> Step(gradient={"w": np.array(0.5)}, metrics={"loss": 1.2}, state=None).metrics
    {'loss': 1.2}
    """

    gradient: Any
    metrics: dict
    state: Any


def require_batch(p, x):
    """x as floating-point rows (n, d), n > 0, without nan; ValueError if it has no such rows."""
    x = rows_of(p, x)
    if len(x) == 0:
        raise ValueError(
            f"a batch has one row at least, of floating-point numbers, got {x.dtype} of shape "
            f"{x.shape}"
        )
    return clean(x)


def contrast(p, data, negatives, alpha=0.0, info=None) -> tuple[Tree, dict]:
    """(gradient, metrics) of eq. (1) and its regulariser.

    Metrics: "loss", the difference of the mean energies "energy_data" and "energy_model"; with
    alpha also "energy_rms", the root mean square of the energies; and "acceptance" and "clipped"
    of the chain, if `info` has them.  The energies of both batches are computed together; each
    batch is divided by its own size.
    """
    n, m = len(data), len(negatives)
    x = np.concatenate([data, negatives])
    weights = np.where(np.arange(n + m, like=x) < n, 1 / n, -1 / m).astype(x.dtype)
    settings = (2 * alpha,) if alpha else ()
    gradient, of_data, of_model, *squares = reduce_rows(
        _contrast, add, p, [(x, weights)], 0.0, settings
    )
    metrics = {"loss": of_data - of_model, "energy_data": of_data, "energy_model": of_model}
    if squares:
        metrics["energy_rms"] = np.sqrt(squares[0] / 2)
    for name in ("acceptance", "clipped"):
        if info and info.get(name) is not None:
            metrics[name] = info[name]
    return gradient, metrics


def _contrast(p, x, weights, *twice_alpha):
    """(Σ w ∇E, Σ w E over data, Σ -w E over negatives); the weights w of negatives are negative.

    With a regulariser the first sum is Σ (w + 2 alpha |w| E) ∇E, and Σ |w| E² is appended.
    """
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    means = (np.maximum(weights, 0) * energies).sum(), (np.maximum(-weights, 0) * energies).sum()
    if not twice_alpha:
        return pullback(weights)[0], *means
    share = np.abs(weights) * energies
    return pullback(weights + twice_alpha[0] * share)[0], *means, (share * energies).sum()
