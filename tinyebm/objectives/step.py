"""What every objective returns, what it accepts as a batch, and the contrast of two batches.

    gradient = mean_i ∇_θ E_θ(x_i) - mean_j ∇_θ E_θ(y_j)                     (1)

of data x and negatives y, draws of the model or of a chain.  Descending it lowers the energy of
data and raises that of negatives.  With `alpha` the loss gains alpha (mean_i E(x_i)² +
mean_j E(y_j)²), the regulariser of Du & Mordatch (2019, arXiv:1903.08689).
"""

from typing import Any, NamedTuple

import numpy as np

from tinyebm.autodiff.tape import vjp
from tinyebm.common.kinds import Tree
from tinyebm.density import rows_of
from tinyebm.replay.door import add, reduce_rows
from tinyebm.spaces.rows import clean


class Step(NamedTuple):
    """A descent direction of the loss (a tree like theta), the metrics to record, and the state
    that the next call needs.

    `metrics` maps names to scalars; `state` is a tree of arrays, or None.

    >>> Step(gradient={"w": np.array(0.5)}, metrics={"loss": 1.2}, state=None).metrics
    {'loss': 1.2}
    """

    gradient: Any
    metrics: dict
    state: Any


def require_batch(p, x):
    """x as a batch: floating-point rows (n, d), at least one, without nan; ValueError if it is
    none."""
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
    alpha also "energy_rms", the root mean square of the energies; and what `info` says of the
    chain, "acceptance" and "clipped".  Both batches pass through the energy at once; each is
    divided by its own size.
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
    """(Σ w ∇E, Σ w E over data, Σ -w E over negatives), weights w being negative for negatives.

    With a regulariser the first is Σ (w + 2 alpha |w| E) ∇E, and Σ |w| E² is appended.
    """
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    means = (np.maximum(weights, 0) * energies).sum(), (np.maximum(-weights, 0) * energies).sum()
    if not twice_alpha:
        return pullback(weights)[0], *means
    share = np.abs(weights) * energies
    return pullback(weights + twice_alpha[0] * share)[0], *means, (share * energies).sum()
