"""Gibbs sampling: draw some sites again from their distribution given all others.

    P(x_i = a | x_-i) = e^{u(x with x_i = a)} / Σ_b e^{u(x with x_i = b)},    u = log p + const    (1)

(Geman & Geman 1984, IEEE PAMI 6:721).  An energy may offer formulas for (1), `site_logits`
(`tinyebm.energies`).  Of other energies, the energies of all candidates are computed.

The kernels live on discrete spaces, where a distribution is a vector of probabilities over all
states.  Seen as an array with one axis per site, a push through (1) sums over axis i and multiplies
by the conditional distribution,

    p'(x) = P(x_i | x_-i) Σ_a p(x with x_i = a),                                                   (2)

which costs O(N) for N states, and needs no (N, N) matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.autodiff import ops
from tinyebm.autodiff.blocks import in_one_array, recomputed
from tinyebm.autodiff.tape import stop_gradient
from tinyebm.common.backend import on_gpu
from tinyebm.common.checks import ENERGY, part_of, require_choice
from tinyebm.common.kinds import Array, Generator
from tinyebm.density import Density, atom_exponents, exponent
from tinyebm.exact.structure import other_layer
from tinyebm.samplers import flows
from tinyebm.samplers.kernels import Move, require_start
from tinyebm.samplers.sites import counted_sweeps, draw, offers_sites, redraw_one, sets, sweep
from tinyebm.spaces.grids import Enumeration

SCANS = ("systematic", "random", "coloured")
NUMBERS = 2**22  # in the candidates of all chains at a time: 32 MiB


@dataclass(frozen=True)
class Gibbs:
    """Gibbs sampling of single sites, eq. (1): a sweep over all of them, or one random site.

    Parameters
    ----------
    scan : "systematic", "coloured" or "random"
        A step redraws every site in the order 0, 1, ... ("systematic"); or every site, colour by
        colour ("coloured"); or one random site of each row ("random").

    All scans leave p invariant; only the random one is reversible.  They run on Bits, Spins and
    Cells, for finite energies.  A row becomes nan if no value of a site is possible or if an energy
    is nan.  A push costs O(d N) for N states.

    Two sites of the same colour do not depend on each other, so all sites of a colour are redrawn
    at the same time.  Ising and Potts have two colours, like a chessboard, or up to five on a torus
    with an odd side (`tinyebm.samplers.sites`).  An energy without `neighbours` has a colour per
    site, and the coloured scan is then the systematic one.

    Cost of a sweep, per chain: Ising and Potts O(d), the coloured scan in half the time of the
    systematic one or less; BoltzmannMachine O(d²), about one product x @ W; RBM O(visible ·
    hidden); any other energy q d energies, where q is the number of values of a site.  A step of
    the random scan costs q energies, or less on a lattice.

    >>> from tinyebm import Cells, Density, TabularEnergy
    >>> p = Density(TabularEnergy(2), {"energy": np.log([3.0, 1.0])}, Cells(2))
    >>> Gibbs().push(np.array([1.0, 0.0]), p)
    array([0.25, 0.75])

    64 chains on a lattice of 32 x 32 spins:

    >>> from tinyebm import Ising, Spins, run
    >>> theta = {"coupling": np.array(0.3), "field": np.array(0.0)}
    >>> p = Density(Ising((32, 32)), theta, Spins(1024))
    >>> rng = np.random.default_rng(0)
    >>> x, _ = run(Gibbs("coloured"), p, p.space.initial(64, rng), 100, rng)
    >>> bool(abs(-p.energy({**theta, "coupling": 1.0}, x).mean() / 1024 - 0.7045) < 0.05)  # exact
    True
    """

    scan: str = "systematic"
    invariant = True
    push, work = flows.push, flows.work

    def __post_init__(self):
        require_choice("scan", self.scan, SCANS)

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move from the rows of x (n, d), never rejected: one sweep, or one random site."""
        _require_discrete(p, self)
        x = require_start(p, x, rng)
        sites, fast = np.arange(p.space.dim, like=x), offers_sites(p, x)
        if self.scan == "random":
            chosen = rng.integers(0, p.space.dim, size=(len(x), 1))
            if fast and part_of(p.energy, "neighbours", ENERGY):
                return Move(redraw_one(p, x, chosen, rng))
            return Move(_redraw(p, x, sites == chosen, rng))
        if fast:
            counted = counted_sweeps(p, x, self.scan, rng)
            return Move(counted[0] if counted else sweep(p, x, self.scan, rng))
        for i in self._order(p):
            x = _redraw(p, x, sites == i, rng)
        return Move(x)

    @staticmethod
    def all_at_once(kernels, p, x, rng, record):
        """(x, trajectory or None) after sweeps by counts of neighbours; None if they do not do.

        The kernels must be one Gibbs itself: a class that inherits from it may have another step.
        """
        kernel = kernels[0]
        one = all(k is kernel for k in kernels) and type(kernel) is Gibbs
        x = require_start(p, x, rng)
        if not one or kernel.scan == "random" or not offers_sites(p, x):
            return None
        return counted_sweeps(p, x, kernel.scan, rng, len(kernels), record)

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push`, set up once to be applied often."""
        _require_discrete(p, self)
        u = atom_exponents(p, grid).reshape(grid.shape)
        if not np.isfinite(stop_gradient(u)).all():
            raise ValueError(
                "Gibbs pushes distributions by finite energies, and some energies on "
                f"{p.space} are nan or infinite"
            )

        order = self._order(p)

        def redraw(u, mass, i):  # eq. (2)
            given_others = lambda u: ops.exp(u - ops.logsumexp(u, axis=i, keepdims=True))
            conditional = recomputed(given_others)(u)
            return mass.sum(axis=i, keepdims=True) * conditional

        def moved(u, mass):
            if self.scan == "random":
                return sum(redraw(u, mass, i) for i in order) / p.space.dim
            for i in order:
                mass = redraw(u, mass, i)
            return mass

        return lambda mass: recomputed(moved)(u, mass.reshape(grid.shape)).reshape(-1)

    def _order(self, p):
        """The sites in the order of a sweep."""
        if self.scan == "coloured":
            return np.concatenate(sets(p, self.scan)).tolist()
        return range(p.space.dim)


@dataclass(frozen=True)
class BlockGibbs:
    """Gibbs sampling of whole layers: h ~ P(h | v), then v ~ P(v | h) (Hinton 2002).

    It is for energies with two layers, RBM and GaussianBernoulliRBM.  It leaves p(v) invariant and
    is reversible.  `push` is for RBM only.  Given the other layer the units of a layer are
    independent, so the push from v to h, or back, is one matrix product between the halves of a
    layer: about 2^visible (2^hidden + 2^{visible/2}) multiplications.

    >>> from tinyebm import Bits, Density, RBM, probabilities
    >>> machine = RBM(4, 2)
    >>> p = Density(machine, machine.init(np.random.default_rng(0)), Bits(4))
    >>> before = probabilities(p)
    >>> bool(abs(BlockGibbs().push(before, p) - before).max() < 1e-14)
    True
    """

    invariant = True
    push = flows.push

    def step(self, p: Density, x: Array, rng: Generator) -> Move:
        """A Move, never rejected: from the rows of x (n, visible) to the hidden layer and back."""
        _require_layers(p, "hidden_logits", "draw_visible")
        x = require_start(p, x, rng)
        z = p.energy.hidden_logits(p.theta, x)
        if not on_gpu(z) and np.isnan(z).any():
            row = int(np.argmax(np.isnan(z).any(axis=1)))
            raise ValueError(
                f"x or theta holds nan: at row {row} hidden units have no distribution"
            )
        h = (rng.random(z.shape, dtype=z.dtype) < ops.sigmoid(z)).astype(z.dtype)
        return Move(p.energy.draw_visible(p.theta, h, rng).astype(x.dtype))

    def operator(self, p: Density, grid: Any) -> Callable[[Array], Array]:
        """`push`, set up once to be applied often."""
        _require_layers(p, "hidden_logits", "visible_logits")
        energy, hidden = p.energy, Enumeration(grid.values, p.energy.hidden)
        hidden.require_listable()
        down = lambda mass: _push_layer(mass, grid, energy.hidden_logits, p.theta)
        up = lambda mass: _push_layer(mass, hidden, energy.visible_logits, p.theta)
        return lambda mass: up(down(mass))

    def work(self, p: Density, grid: Any, rows: int) -> float:
        """Twice 2^hidden products a row; 256 cost as much as a probability (`tinyebm.samplers`)."""
        return rows * 2**p.energy.hidden / 128


def _redraw(p, x, site, rng):
    """x with one site of every row drawn again by eq. (1); the mask `site` broadcasts to (n, d)."""
    size = max(1, NUMBERS // (len(p.space.values) * x.shape[1]))
    if len(x) > size:
        parts = [slice(i, i + size) for i in range(0, len(x), size)]
        sites = [site[part] if site.ndim == 2 else site for part in parts]
        return np.concatenate(
            [_redraw(p, x[part], site, rng) for part, site in zip(parts, sites, strict=True)]
        )
    candidates = np.concatenate([np.where(site, value, x) for value in p.space.values])  # (q n, d)
    u = exponent(p, candidates).reshape(len(p.space.values), len(x))
    drawn = draw(u, rng.random(len(x), dtype=u.dtype), p.space.values)  # (n,)
    return np.where(site, drawn.astype(x.dtype)[:, None], x)


def _push_layer(mass, grid, logits, theta):
    """Σ_x mass(x) Π_j P(y_j | x) for all states y of the other layer, in blocks of x.

    `logits` are those of its units.  A block is one matrix product of two halves of that layer.
    """
    vector, back = in_one_array(theta)

    def blocks():
        done = 0
        for x, _ in grid.blocks():
            yield x, slice(done, done + len(x))
            done += len(x)

    def moved(vector, mass, x, rows):
        z = logits(back(vector), x)  # (m, units)
        half = z.shape[1] // 2
        first, second = _given(z[:, :half]), _given(z[:, half:])
        return (first * mass[rows, None]).T @ second

    return recomputed(moved, blocks)(vector, mass).reshape(-1)


def _given(z):
    """Π_j P(y_j | x) = e^{y·z - Σ_j log(1 + e^{z_j})} for all states y of units with logits z (m,
    units), (m, 2^units)."""
    y = Enumeration((0.0, 1.0), z.shape[1]).all()[0]
    return ops.exp(z @ y.T - ops.sum(ops.softplus(z), axis=1, keepdims=True))


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
