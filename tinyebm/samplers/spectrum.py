"""A kernel as a matrix, and its eigenvalues, which say how fast a chain forgets its start.

On N atoms a kernel is a stochastic matrix P.  Its largest eigenvalue is 1.  The distance to the
stationary distribution after k steps falls like |λ₂|^k, and so does the bias of CD-k.
"""

import numpy as np

from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array, Kernel, Nodes
from tinyebm.common.progress import Progress
from tinyebm.density import Density, atom_exponents, in_double
from tinyebm.samplers.flows import (
    operator_of,
    require_conserved,
    require_push,
    takes_minutes,
    work_of,
)

LARGEST = 4096  # atoms: a matrix of 128 MiB


def transition_matrix(p: Density, kernel: Kernel, nodes: Nodes = None) -> Array:
    """P (N, N): P[i, j] is the probability of a step from atom i of the space to atom j.

    The atoms are all states of a discrete space, or those of `p.space.atoms(nodes)`.  Rows near the
    edge of such a grid may sum to less than one.  Cost: N pushes.

    Raises
    ------
    ValueError
        If the kernel has no push.
    QuadratureError
        If there are more than 4096 atoms, or if the pushes would take more than about an hour.

    >>> from tinyebm import Cells, Density, Gibbs, TabularEnergy
    >>> p = Density(TabularEnergy(2), {"energy": np.array([0.0, np.log(3)])}, Cells(2))
    >>> transition_matrix(p, Gibbs())
    array([[0.75, 0.25],
           [0.75, 0.25]])
    """
    p = in_double(p)
    require_push(kernel)
    grid = p.space.grid(nodes)
    if grid.size > LARGEST:
        raise QuadratureError(
            f"a transition matrix of {p.space} would be {grid.size} x {grid.size}; it is for at "
            f"most {LARGEST} atoms: use kernel.push, which never forms it"
        )
    push = operator_of(kernel, p, grid)
    P, work = np.eye(grid.size), work_of(kernel, p, grid, grid.size, grid.size)
    bar = Progress("matrix", grid.size, takes_minutes(f"{grid.size} steps of {kernel!r}", work))
    for i, row in enumerate(P):
        row[:] = push(row.copy())
        bar(i + 1)
    return P


def spectrum(p: Density, kernel: Kernel, nodes: Nodes = None) -> Array:
    """The eigenvalues of the transition matrix, (N,), the largest in modulus first.

    They are real for a reversible kernel.  Cost: O(N³).

    >>> from tinyebm import Cells, Density, Gibbs, TabularEnergy
    >>> p = Density(TabularEnergy(3), {"energy": np.zeros(3)}, Cells(3, dim=1))
    >>> bool(np.allclose(spectrum(p, Gibbs()), [1, 0, 0]))  # one site: forgotten at once
    True
    """
    p = in_double(p)
    P, u = transition_matrix(p, kernel, nodes), atom_exponents(p, p.space.grid(nodes))
    mass = np.exp(u - u.max())  # of p, up to a constant
    require_conserved(1.0, float(mass @ P.sum(axis=1) / mass.sum()))
    S = u[:, None] - u
    with np.errstate(over="ignore", invalid="ignore"):
        np.exp(np.divide(S, 2, S), S)
        S *= P  # symmetric if p_i P_ij = p_j P_ji
    near = (bool((np.abs(S[i] - S[:, i]) <= 1e-10).all()) for i in range(len(S)))
    if np.isfinite(S).all() and all(near):
        values = np.linalg.eigvalsh((S + S.T) / 2)
    else:
        values = np.linalg.eigvals(P)
    return values[np.argsort(-np.abs(values))]


def spectral_gap(p: Density, kernel: Kernel, nodes: Nodes = None) -> float:
    """1 - |λ₂|, between 0 (some set of states is never left) and 1 (one step forgets everything).

    The bias of exact CD-k falls like (1 - gap)^k.  Cost: O(N³).

    >>> from tinyebm import Bits, BoltzmannMachine, Density, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.zeros(1), "b": np.zeros(2)}, Bits(2))
    >>> round(spectral_gap(p, Gibbs("random")), 6)  # without couplings 1 / d
    0.5
    """
    values = np.abs(spectrum(p, kernel, nodes))
    return float(1 - values[1]) if len(values) > 1 else 1.0
