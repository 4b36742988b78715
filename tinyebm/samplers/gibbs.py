"""Gibbs sampling: redraw some sites from their law given all others.

    P(x_i = a | x_-i) = e^{u(x with x_i = a)} / Σ_b e^{u(x with x_i = b)},    u = log p + const    (1)

(Geman & Geman 1984, IEEE PAMI 6:721).  The kernels live on discrete spaces, where a law is
a vector of probabilities over all states.  Seen as an array with one axis per
site, a push through (1) sums axis i out and multiplies the conditional law in: O(N)
work for N states, and never an (N, N) matrix.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import ENERGY, part_of, require_choice
from tinyebm.common.kinds import Array, Generator
from tinyebm.density import Density, atom_exponents, exponent
from tinyebm.exact.structure import other_layer
from tinyebm.samplers.flows import push
from tinyebm.samplers.metropolis import Move, require_start

SCANS = ("systematic", "random")


@dataclass(frozen=True)
class Gibbs:
    """Eq. (1) for every site in turn ("systematic"), or for one site drawn at random per step
    ("random").

    Both leave p invariant; the random scan is reversible, the systematic one is not. On Bits, Spins
    and Cells, for finite energies; a row becomes nan where no value of a site is possible, or an
    energy is nan. Cost of a step: q d energies per chain (systematic) or q (random); of a push: O(d
    N) for N states.
    """

    scan: str = "systematic"
    invariant = True

    def __post_init__(self):
        require_choice("scan", self.scan, SCANS)

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """One sweep (systematic), or one site (random), from the rows of x (n, d): a Move that is
        never rejected."""
        _require_discrete(p, self)
        x = require_start(p, x, rng)
        sites = np.arange(p.space.dim, like=x)
        if self.scan == "random":
            return Move(_redraw(p, x, sites == rng.integers(0, p.space.dim, size=(len(x), 1)), rng))
        for i in range(p.space.dim):
            x = _redraw(p, x, sites == i, rng)
        return Move(x)

    def push(self, probabilities: Array, p: Density) -> Array:
        """The law after one step from `probabilities` over all states, (N,)."""
        return push(self, probabilities, p)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push`, set up once to be applied often."""
        _require_discrete(p, self)
        u = atom_exponents(p, grid).reshape(grid.shape)
        if not np.isfinite(stop_gradient(u)).all():
            raise ValueError(
                f"Gibbs moves laws of finite energies, and some energies on {p.space} are nan or "
                "infinite"
            )

        def redraw(law, i):
            return law.sum(axis=i, keepdims=True) * ops.exp(
                u - ops.logsumexp(u, axis=i, keepdims=True)
            )

        def systematic(mass):
            law = mass.reshape(grid.shape)
            for i in range(law.ndim):
                law = redraw(law, i)
            return law.reshape(-1)

        def random(mass):
            law = mass.reshape(grid.shape)
            return sum(redraw(law, i) for i in range(law.ndim)).reshape(-1) / law.ndim

        return systematic if self.scan == "systematic" else random


@dataclass(frozen=True)
class BlockGibbs:
    """A whole layer at a time: h ~ P(h | v), then v ~ P(v | h) (Hinton 2002).

    For energies with two layers, RBM and GaussianBernoulliRBM; leaves p(v) invariant and is
    reversible. `push` is for RBM alone.  A layer's law given the other is a product over units, so
    the push from v to h, or back, is one matrix product between the halves of a layer: 2^visible
    (2^hidden + 2^{visible/2}) multiplications, roughly.
    """

    invariant = True

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """One step down and up from the visible states x (n, visible): a Move that is never
        rejected."""
        _require_layers(p, "hidden_logits", "draw_visible")
        x = require_start(p, x, rng)
        z = p.energy.hidden_logits(p.theta, x)
        if not on_gpu(z) and np.isnan(z).any():
            raise ValueError(
                f"x or theta holds nan: at row {int(np.argmax(np.isnan(z).any(axis=1)))} hidden "
                "units have no law"
            )
        h = (rng.random(z.shape, dtype=z.dtype) < ops.sigmoid(z)).astype(z.dtype)
        return Move(p.energy.draw_visible(p.theta, h, rng).astype(x.dtype))

    def push(self, probabilities: Array, p: Density) -> Array:
        """The law after one step from `probabilities` over all visible states, (N,)."""
        return push(self, probabilities, p)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push`, set up once to be applied often."""
        _require_layers(p, "hidden_logits", "visible_logits")
        hidden = type(grid)(grid.values, p.energy.hidden)
        down = lambda mass: _push_layer(mass, grid, lambda v: p.energy.hidden_logits(p.theta, v))
        up = lambda mass: _push_layer(mass, hidden, lambda h: p.energy.visible_logits(p.theta, h))
        return lambda mass: up(down(mass))


def _redraw(p, x, site, rng):
    """x with one site of every row drawn anew by eq. (1); `site` is a mask that broadcasts to (n,
    d)."""
    values = p.space.values
    candidates = np.concatenate([np.where(site, value, x) for value in values])  # (q n, d)
    u = exponent(p, candidates).reshape(len(values), len(x))
    total = ops.logsumexp(u, axis=0)
    with np.errstate(invalid="ignore"):  # no law: nan
        law = np.exp(u - total)
    # (n,), 0, ..., q-1
    chosen = (np.cumsum(law, axis=0)[:-1] <= rng.random(len(x), dtype=law.dtype)).sum(axis=0)
    drawn = np.where(
        np.isfinite(total), np.asarray(values, dtype=x.dtype, like=x)[chosen], math.nan
    )
    return np.where(site, drawn[:, None], x)


def _push_layer(mass, grid, logits):
    """Σ_x mass(x) Π_j P(y_j | x) for all states y of the other layer, whose units have the given
    logits."""
    law, done = 0.0, 0
    for x, _ in grid.blocks():
        z = logits(x)  # (m, units)
        on, off = ops.sigmoid(z), ops.sigmoid(-z)
        half = z.shape[1] // 2
        first, second = (
            _products(off[:, part], on[:, part]) for part in (slice(half), slice(half, None))
        )
        law = law + (first * mass[done : done + len(x), None]).T @ second
        done += len(x)
    return law.reshape(-1)


def _products(off, on):
    """Π_j of off_j or on_j for all states of the units, (m, 2^units), the first unit the most
    significant."""
    pairs = ops.concatenate([off[:, :, None], on[:, :, None]], axis=2)  # (m, units, 2)
    law = np.ones_like(stop_gradient(off), shape=(len(off), 1))
    for j in range(off.shape[1]):
        law = (law[:, :, None] * pairs[:, j, None]).reshape(len(off), -1)
    return law


def _require_discrete(p, kernel):
    if not p.space.discrete:
        raise ValueError(
            f"{type(kernel).__name__} redraws sites with a few values each: {p.space} is not "
            "discrete"
        )


def _require_layers(p, *methods):
    if not all(part_of(p.energy, method, ENERGY) for method in methods):
        raise ValueError(
            f"BlockGibbs needs two layers of units, as in RBM (push: RBM alone), not {p.energy!r}"
        )
    if other_layer(p.energy, p.space) is None:
        raise ValueError(
            f"BlockGibbs does not know the visible layer of {p.energy!r} on {p.space}: use Gibbs, "
            "or another space"
        )
