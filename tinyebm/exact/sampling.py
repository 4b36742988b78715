"""Independent draws from a density of low dimension, without a Markov chain.

`sample` draws once.  `Exact` is for many draws: it keeps log Z, the boxes and the entropy.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import beside, host_generator
from tinyebm.common.checks import ENERGY, part_of, require_draws
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyDensity, Array, Generator, is_population
from tinyebm.density import Density, exponent, exponents, in_double, on_host
from tinyebm.exact.likelihood import data_law, density_of
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.normalised import entropy
from tinyebm.exact.partition import log_partition
from tinyebm.exact.structure import hidden_layer
from tinyebm.spaces.own import OwnSpace


def sample(p: AnyDensity, n: int, rng: Generator) -> Array:
    """n independent draws from p, (n, d).

    In a continuous space they come by rejection.  The boxes around the atoms of a quadrature tile
    the domain.
    A box c of volume |c| is drawn with probability ∝ e^{B_c} |c|, a point x uniformly in it, and x
    is kept with probability e^{u(x) - B_c}, with u = log p + const.  B_c is the largest u at the
    atom and the corners, plus some slack.  A point with u(x) > B_c shows that the slack is too
    small; then it is doubled, and all points are drawn again (empirical supremum rejection: Caffo,
    Booth & Davis 2002, Biometrika 89:745).

    On a discrete space the distribution function of the states is inverted.  For a restricted
    Boltzmann machine with few hidden units this gives the hidden states, and the visible states are
    drawn given these.

    Cost: about 2 energies per draw, and once about 2 per atom (2^d + 1 if the grid is no product);
    on a discrete space two passes over all states.  Draws are made on the host, and sent to where
    p's parameters are.

    >>> from tinyebm import Density, Quartic, Reals
    >>> well = Quartic()
    >>> p = Density(well, well.init(np.random.default_rng(0)), Reals(1))
    >>> sample(p, 3, np.random.default_rng(1)).shape
    (3, 1)
    """
    p = in_double(p)
    require_draws(n, rng)
    return beside(p.theta, _sample(on_host(p), n, host_generator(rng)))[0]


def _sample(p, n, rng):
    draw_visible, hidden = part_of(p.energy, "draw_visible", ENERGY), hidden_layer(p)
    if draw_visible and hidden:
        return draw_visible(p.theta, sample(hidden, n, rng), rng)
    if p.space.discrete:
        return _sample_states(p, n, rng)
    if isinstance(p.space, OwnSpace):
        return _sample_own_space(p, n, rng)
    return boxes_of(quadrature(p, rtol=1e-3).grid).sample(p, n, rng)


@dataclass(frozen=True)
class Boxes:
    """Boxes around atoms, for draws by rejection.

    `low`, `high` and the atoms' `states` are (N, d).  Neighbours share corners: `corners` (M, d)
    lists every corner once, and those of box i are corners[index[:, i]], index (2^d, N).
    """

    low: Any
    high: Any
    states: Any
    corners: Any
    index: Any

    def sample(self, p, n, rng, at_states=None):
        """n independent draws (n, d) from p restricted to the boxes (`exact.sampling.sample`).

        `at_states` are the exponents at the atoms, if they are known.
        """
        at_corners = exponents(p, self.corners)[self.index].max(axis=0)
        at_states = exponents(p, self.states) if at_states is None else at_states
        bound = np.maximum(at_states, at_corners)
        volume = np.prod(self.high - self.low, axis=1)
        slack = 0.1
        while True:
            log_bound = bound + slack
            mass = np.exp(log_bound - log_bound.max()) * volume
            draws = _reject(p, self.low, self.high, log_bound, mass, n, rng)
            if draws is not None:
                return draws
            slack *= 2


def boxes_of(grid, kept=slice(None)):
    """The Boxes around the atoms of a grid, or around the kept ones.

    Raises QuadratureError for atoms of a user's space, which are points without volume.
    """
    if not hasattr(grid, "cells"):
        raise QuadratureError(
            "the atoms of this space have no cells to propose draws from: use te.sample, or a chain"
        )
    states = grid.all()[0][kept]
    low, high = (end[kept] for end in grid.cells())
    sides = itertools.product((False, True), repeat=states.shape[1])
    corners = np.concatenate([np.where(side, high, low) for side in sides])
    # corners are numbered by the places of their coordinates, of which an axis has few
    number = np.zeros(len(corners), dtype=np.int64)
    for column in corners.T:
        values, place = np.unique(column, return_inverse=True)
        number = number * len(values) + place
    _, first, index = np.unique(number, return_index=True, return_inverse=True)
    return Boxes(low, high, states, corners[first], index.reshape(-1, len(states)))


@dataclass(frozen=True)
class Exact:
    """A Density with `sample` and `log_prob`; log Z, boxes, atoms and entropy are computed once.

    `source`, if there is one, is the user's distribution with the density p.  It makes the draws,
    and may give their modes.

    >>> from tinyebm import Box, Density, ops
    >>> exact = Exact(Density(lambda theta, x: ops.sum(x * x, axis=1), {}, Box(-1, 1, 1)))
    >>> exact.sample(3, np.random.default_rng(0)).shape, exact.log_prob(np.zeros((1, 1))).round(6)
    ((3, 1), array([-0.401222]))
    """

    p: Density
    source: Any = None
    energy = property(lambda self: self.p.energy, doc="The energy of the Density.")
    theta = property(lambda self: self.p.theta, doc="Its parameters.")
    space = property(lambda self: self.p.space, doc="Its space.")
    mode = property(
        lambda self: getattr(self.source, "mode", None),
        doc="A function from rows to the numbers of their modes, or None.",
    )
    modes = property(lambda self: self.source.modes, doc="How many modes the source has.")
    mode_names = property(
        lambda self: getattr(self.source, "mode_names", ()), doc="The names of the modes."
    )

    @property
    def name(self):
        """The name of the source, or of the energy."""
        if self.source is None:
            return getattr(self.p.energy, "__name__", repr(self.p.energy))
        return getattr(self.source, "name", type(self.source).__name__)

    @cached_property
    def law(self):
        """The atoms of a quadrature (N, d) and their probabilities (N,)."""
        return data_law(self.p)

    @cached_property
    def entropy(self):
        """-E[log p] in nats."""
        return float(entropy(self.p))

    @cached_property
    def _log_z(self):
        return float(log_partition(self.p))

    @cached_property
    def _boxes(self):
        return boxes_of(quadrature(self.p, rtol=1e-3).grid)

    def sample(self, n, rng):
        """n independent draws (n, d)."""
        require_draws(n, rng)
        if self.source is not None:
            return self.source.sample(n, rng)
        if hidden_layer(self.p):
            return sample(self.p, n, rng)
        if isinstance(self.space, OwnSpace) and not self.space.discrete:
            return sample(self.p, n, rng)
        if not self.space.discrete:
            return self._boxes.sample(self.p, n, rng)
        x, mass = self.law
        return x[_invert(mass, n, rng)]

    def log_prob(self, x):
        """Normalised log density, (n,), in nats, -inf outside the space; differentiable by x."""
        return ops.where(
            self.space.contains(stop_gradient(x)), exponent(self.p, x) - self._log_z, -np.inf
        )


def population(data):
    """Data for training: rows and Targets as they are, other distributions as `Exact`."""
    p = density_of(data)
    if not hasattr(p, "energy") or hasattr(p, "sample"):
        return p
    return Exact(p, data if is_population(data) else None)


def law_of(thing):
    """A distribution with `sample` and `log_prob`: the argument itself, or `Exact` of a Density."""
    has = lambda *names: all(hasattr(thing, name) for name in names)
    if isinstance(thing, type) or not (has("energy") or has("sample", "log_prob")):
        raise ValueError(
            "a law to draw from is wanted, like te.Normal(mean, covariance), or a Density, got "
            f"{thing!r}"
        )
    return thing if has("sample") else Exact(thing)


def _sample_states(p, n, rng):
    """n draws from a discrete space, (n, d), in one pass over its states.

    A uniform number u is mapped to the first state at which the distribution function exceeds u.
    The u are sorted, so that the draws of each block of states are contiguous.
    """
    log_z, below = quadrature(p).log_z, 0.0
    levels = rng.random(n)
    order = np.argsort(levels)
    levels, draws, done = levels[order], np.zeros((n, p.space.dim)), 0
    for x, _ in p.space.grid().blocks():
        cumulative = below + np.cumsum(np.exp(exponent(p, x) - log_z))
        below = float(cumulative[-1])
        end = np.searchsorted(levels, below)
        draws[order[done:end]] = x[np.searchsorted(cumulative, levels[done:end], side="right")]
        done = end
    # the sum of all probabilities may be rounded to less than u
    draws[order[done:]] = x[np.searchsorted(cumulative, below)]
    return draws


def _sample_own_space(p, n, rng):
    """n draws (n, d) on a user's continuous space, by rejection from its base measure.

    A draw x is kept with probability e^{-E(x) - b}.  b is the largest -E at the atoms, plus some
    slack.  If -E is larger at a draw, b is increased and all draws are made again.
    """
    levels = lambda x: exponents(p, x) - p.space.log_base(x)  # -E
    bound = float(levels(quadrature(p, rtol=1e-3).grid.states).max()) + 0.1
    kept, missing = [], n
    while missing > 0:
        x = p.space.initial(2 * missing + 16, rng)
        log_ratio = levels(x) - bound
        if np.any(log_ratio > 0):
            bound += 2 * float(log_ratio.max())
            kept, missing = [], n
            continue
        kept.append(x[np.log1p(-rng.random(len(x))) < log_ratio])
        missing -= len(kept[-1])
    return np.concatenate([np.zeros((0, p.space.dim)), *kept])[:n]


def _invert(mass, n, rng):
    """n indices drawn with probabilities ∝ mass."""
    cumulative = np.cumsum(mass)
    return np.minimum(
        np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right"), len(mass) - 1
    )


def _reject(p, low, high, log_bound, mass, n, rng):
    """n accepted points (n, d), or None if log p is above the bound at one of them."""
    kept, missing = [np.zeros((0, low.shape[1]))], n
    while missing > 0:
        cell = _invert(mass, 2 * missing + 16, rng)
        x = low[cell] + (high - low)[cell] * rng.random((len(cell), low.shape[1]))
        log_ratio = exponent(p, x) - log_bound[cell]
        if np.any(log_ratio > 0):
            return None
        kept.append(x[np.log1p(-rng.random(len(cell))) < log_ratio])
        missing -= len(kept[-1])
    return np.concatenate(kept)[:n]
