"""Contrastive divergence without Monte Carlo: the expected gradient of CD-k.

The negatives of CD-k have the distribution p_k = p_data P^k, which `objectives.chain_law` computes.
So the expected gradient is

    E_data[∇_θ E_θ] - E_{p_k}[∇_θ E_θ].                                     (1)

The gradient of the likelihood is E_data[∇E] - E_p[∇E].  The difference is the bias of CD-k.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyebm.common.kinds import AnyData, Array, Generator, Kernel, Nodes, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, in_double
from tinyebm.exact.gradient import weighted_energy_gradient
from tinyebm.objectives.chain_law import after_steps, chain_from
from tinyebm.objectives.step import Step
from tinyebm.samplers.flows import require_conserved, require_push
from tinyebm.samplers.kernels import require_steps
from tinyebm.spaces.rows import as_data

BLOCK = 2**16  # atoms at a time


def exact_cd_gradient(
    p: Density,
    data: AnyData,
    kernel: Kernel,
    k: int | Iterable[int],
    nodes: Nodes = None,
    start: AnyData = None,
) -> Tree:
    """Eq. (1), a tree like theta: a descent direction of the loss; a list of them for several k.

    Parameters
    ----------
    p : Density
        The model, on a discrete space or in dimension ≤ 3.
    data : rows (n, d), probabilities (N,) over `p.space.atoms(...)`, or a population
    kernel : ULA, MALA, Gibbs, ...; or one with a `push` of its own
        On a continuous space rows need a kernel with `spread`, like ULA and MALA.
    k : int, or a list of them
        Steps of the kernel.  A list, in any order, costs as much as its largest k alone, because
        there is one chain.  It has one grid, that of the largest k.
    nodes : int or one per axis, optional
        Nodes per axis of the grid; by default fine enough for the kernel's noise.
    start : like data, but not probabilities on a continuous space; optional
        The start of the chains, if it is not the data: for example a persistent pool.

    Raises
    ------
    ValueError
        If the kernel has no push.
    QuadratureError
        If the grid needs too many nodes for the noise, or if the steps would take more than about
        an hour: they compute more than 2^37 transition probabilities.

    Warns
    -----
    UserWarning
        If the steps take more than about two minutes, with their cost; a progress bar follows.

    Errors: 1e-9 and better with ULA.  MALA's acceptance has a kink, which the trapezoidal rule
    integrates with an error of about (h/σ)² / 12, where h is the distance of nodes and σ the noise.
    This is 1e-5 on the line, and at most 1e-3 of the size of a gradient in the plane.

    A push of N atoms costs O(N²), for ULA as one matrix product.  The first step of n data costs
    O(n N).

    >>> from tinyebm import Bits, BoltzmannMachine, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> exact_cd_gradient(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), 1)["W"].round(6)
    array([0.034447])
    >>> few, many = exact_cd_gradient(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), [1, 10])
    >>> few["W"].round(6), many["W"].round(6)
    (array([0.034447]), array([-0.024633]))
    """
    if not np.iterable(k):
        return exact_cd_gradient(p, data, kernel, [k], nodes, start)[0]
    wanted: Any = list(k)
    for steps in wanted or [wanted]:
        require_steps(steps)
    p, most = in_double(p), max(wanted)
    chain = chain_from(p, as_data(data), kernel, most, nodes, as_data(start))
    walk = enumerate(after_steps(p, kernel, most, chain.start, chain.grid), 1)
    found = {i: _gradient(p, chain, *masses) for i, masses in walk if i in wanted}
    return [found[steps] for steps in wanted]


def _gradient(p, chain, on_grid, stay):
    """Eq. (1) for a chain with these masses on its grid and still at the rows of its start."""
    of_data, of_start, grid = chain
    if not p.space.discrete:
        require_conserved(1.0, float(on_grid.sum() + np.sum(stay)))

    # Σ weight ∇E over rows and atoms: positive weights are of the data, negative ones of p_k
    (x, mass), (y, _) = of_data, of_start
    at_rows = [(x, mass - stay)] if of_start is of_data else [(x, mass), (y, -stay)]
    at_atoms = (mass if x is None else 0.0) - on_grid
    add = lambda a, b: tree_map(np.add, a, b)
    gradient, done = tree_map(np.zeros_like, p.theta), 0
    for rows, weights in at_rows:
        if rows is not None:
            gradient = add(gradient, weighted_energy_gradient(p, rows, weights))
    for atoms, _ in grid.blocks(BLOCK):
        weights, done = at_atoms[done : done + len(atoms)], done + len(atoms)
        gradient = add(gradient, weighted_energy_gradient(p, atoms, weights))
    return gradient


@dataclass(frozen=True)
class ExactContrastiveDivergence:
    """CD-k with infinitely many chains per datum: eq. (1) at every step.  No metrics, no state.

    Parameters
    ----------
    kernel, k
        As in `exact_cd_gradient`, with its errors and its warning; k is one number.

    >>> from tinyebm import Bits, BoltzmannMachine, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> step = ExactContrastiveDivergence(Gibbs()).gradient(p, np.eye(2), None)
    >>> step.gradient["W"].round(6), step.metrics
    (array([0.449988]), {})
    """

    kernel: Any
    k: int = 1
    exact = True

    def __post_init__(self):
        require_push(self.kernel)
        require_steps(self.k)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); rng is not used."""
        gradient = exact_cd_gradient(p, x, self.kernel, self.k)
        return Step(tree_map(lambda g, t: g.astype(t.dtype), gradient, p.theta), {}, None)
