"""Contrastive divergence and its relatives: the model phase from a few steps of a chain.

    gradient = mean_i ∇_θ E_θ(x_i) - mean_j ∇_θ E_θ(y_j)                     (1)

x are data, y *negatives*.  The names say where the chains start, and mean just
that: contrastive divergence at the data (Hinton 2002, Neural Computation
14:1771), persistent CD where they stopped last time (Tieleman 2008, ICML), a
short run at the space's initial law (Nijkamp et al. 2019, NeurIPS).  Perfect
samples need no chain: they start, and stay, at p.

With `alpha` the loss gains alpha (mean_i E(x_i)² + mean_j E(y_j)²), the
regulariser of Du & Mordatch (2019, arXiv:1903.08689), over data and negatives.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff.tape import vjp
from tinyebm.common.backend import beside, host_generator, to_host
from tinyebm.common.checks import require_count, require_fraction, require_nonnegative
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.density import Density, exponents, on_host
from tinyebm.exact.nodes.quadrature import heavy_atoms, quadrature
from tinyebm.exact.sampling import Boxes, boxes_of, sample
from tinyebm.exact.structure import hidden_layer
from tinyebm.objectives.step import Step, require_batch
from tinyebm.replay.tiles import add, fold
from tinyebm.samplers.chains import Chains, require_kernel, require_steps, walk


@dataclass(frozen=True)
class ContrastiveDivergence:
    """CD-k: negatives after k kernel steps from the data themselves."""

    kernel: Any
    k: int = 1
    alpha: float = 0.0

    def __post_init__(self):
        require_kernel(self.kernel)
        require_steps(self.k)
        require_nonnegative("alpha", self.alpha)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        x = require_batch(p, x)
        negatives, info = walk(self.kernel, p, x, self.k, rng)
        return Step(*contrast(p, x, negatives, self.alpha, info), state=None)


@dataclass(frozen=True)
class PersistentContrastiveDivergence:
    """PCD-k: negatives after k kernel steps of chains that are never returned to the data.

    A batch borrows as many of the `chains` as it has rows; each begins anew from
    `space.initial` with probability `restart`.  The state is the pool, (chains, d).
    """

    kernel: Any
    k: int = 1
    chains: int = 1024
    restart: float = 0.05
    alpha: float = 0.0

    def __post_init__(self):
        require_kernel(self.kernel)
        require_steps(self.k)
        require_nonnegative("alpha", self.alpha)
        Chains(self.chains, self.restart)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d) whose state is the pool of chains."""
        x = require_batch(p, x)
        pool = Chains(self.chains, self.restart)
        chains = pool.start(p.space, rng).astype(x.dtype) if state is None else state["chains"]
        slots, start = pool.lend(chains, min(len(x), self.chains), p.space, rng)
        negatives, info = walk(self.kernel, p, start, self.k, rng)
        return Step(
            *contrast(p, x, negatives, self.alpha, info),
            state={"chains": pool.give_back(chains, slots, negatives)},
        )


@dataclass(frozen=True)
class ShortRun:
    """Negatives after k kernel steps from fresh draws of `space.initial`, as many as data."""

    kernel: Any
    k: int = 100
    alpha: float = 0.0

    def __post_init__(self):
        require_kernel(self.kernel)
        require_steps(self.k)
        require_nonnegative("alpha", self.alpha)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        x = require_batch(p, x)
        negatives, info = walk(
            self.kernel, p, p.space.initial(len(x), rng).astype(x.dtype), self.k, rng
        )
        return Step(*contrast(p, x, negatives, self.alpha, info), state=None)


@dataclass(frozen=True)
class PerfectSamples:
    """Negatives drawn from p itself, exactly and independently: what a chain that mixes at once
    would give.

    The gradient has no bias (on R^d and in a box: beyond the mass that cells leave out): its
    expectation is the exact likelihood's.  What separates it from `ExactLikelihood` is the noise of
    a finite number of negatives, and what separates contrastive divergence from it is the chain.

    Parameters
    ----------
    draws : int, optional
        Negatives per step, by default as many as data.
    rtol, refresh : float, int
        On R^d and in a box the cells that rejection sampling proposes from are found anew every
        `refresh` steps, and those without mass left out, together less than rtol / 100; and anew at
        once when the model has moved so far that the outermost of the cells hold a mass of rtol.

    In dimension ≤ 3, on states that can be listed, and for energies with structure (see
    `te.sample`). The state is the list of cells, empty on states.  Cost: an energy for every cell,
    and two for every draw.
    """

    draws: int | None = None
    rtol: float = 1e-3
    refresh: int = 10
    alpha: float = 0.0

    def __post_init__(self):
        if self.draws is not None:
            require_count(self.draws, "draws must be a positive number of negatives")
        require_count(self.refresh, "refresh must be a positive number of steps")
        require_nonnegative("alpha", self.alpha)
        require_fraction("rtol", self.rtol)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d)."""
        x = require_batch(p, x)
        n = self.draws or len(x)
        if p.space.discrete or hidden_layer(p):
            negatives = sample(p, n, rng)
        else:
            host, state = on_host(p), None if state is None else to_host(state)
            if state is None or state["age"] >= self.refresh or _outgrown(host, state, self.rtol):
                state = {**_heavy_cells(host, self.rtol), "age": np.array(0)}
            cells = Boxes(
                **{name: state[name] for name in ("low", "high", "states", "corners", "index")}
            )
            (negatives,) = beside(p.theta, cells.sample(host, n, host_generator(rng)))
            state = {**state, "age": state["age"] + 1}
        return Step(*contrast(p, x, negatives.astype(x.dtype), self.alpha), state=state)


def _heavy_cells(p, rtol):
    """The cells of p's quadrature that carry mass, as a tree of arrays."""
    q = quadrature(p, rtol)
    heavy = heavy_atoms(p, q, rtol)[2]
    every, cells = boxes_of(q.grid), boxes_of(q.grid, heavy)
    # kept cells around each corner
    shared = np.bincount(every.index[:, heavy].reshape(-1), minlength=len(every.corners))
    outer = (np.bincount(every.index.reshape(-1)) > shared)[every.index[:, heavy]].any(axis=0)
    return {**vars(cells), "outer": outer}


def _outgrown(p, state, rtol):
    """Whether cells that have neighbours without mass hold a mass of rtol by now."""
    log_mass = exponents(p, state["states"]) + np.log(state["high"] - state["low"]).sum(axis=1)
    mass = np.exp(log_mass - log_mass.max())
    return float(mass[state["outer"]].sum()) > rtol * float(mass.sum())


def contrast(p, data, negatives, alpha=0.0, info=None) -> tuple[Tree, dict]:
    """(gradient, metrics) of eq. (1) and its regulariser, with which metrics hold the energies'
    root mean square, "energy_rms".

    Both batches pass through the energy at once; each is divided by its own size.
    """
    n, m = len(data), len(negatives)
    x = np.concatenate([data, negatives])
    weights = np.where(np.arange(n + m, like=x) < n, 1 / n, -1 / m).astype(x.dtype)
    settings = (2 * alpha,) if alpha else ()
    gradient, data_energy, model_energy, *squares = fold(
        _contrast, add, p, [(x, weights)], 0.0, settings
    )
    metrics = {
        "loss": data_energy - model_energy,
        "energy_data": data_energy,
        "energy_model": model_energy,
    }
    if squares:
        metrics["energy_rms"] = np.sqrt(squares[0] / 2)
    metrics |= {
        name: info[name]
        for name in ("acceptance", "clipped")
        if info and info.get(name) is not None
    }
    return gradient, metrics


def _contrast(p, x, weights, *twice_alpha):
    """(Σ w ∇E, Σ w E over data, Σ -w E over negatives), weights w being negative for negatives.

    With a regulariser, which adds to the first, also Σ |w| E².
    """
    energies, pullback = vjp(lambda theta: p.energy(theta, x), p.theta)
    means = (np.maximum(weights, 0) * energies).sum(), (np.maximum(-weights, 0) * energies).sum()
    if not twice_alpha:
        return pullback(weights)[0], *means
    share = np.abs(weights) * energies
    return pullback(weights + twice_alpha[0] * share)[0], *means, (share * energies).sum()
