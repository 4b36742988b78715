"""The term of the gradient that contrastive divergence leaves out.

The objective of CD-k is (Hinton 2002, Neural Computation 14:1771, section 3)

    CD_k(θ) = KL(p_0 ‖ p_θ) - KL(p_k ‖ p_θ),      p_k = p_0 P_θ^k,          (1)

with p_0 the distribution of the data and P_θ the kernel.  Its gradient has three terms,

    E_0[∂E] - E_k[∂E] - Σ_x ∂p_k(x)/∂θ · (log p_k(x) + E_θ(x)),             (2)

and the update of CD keeps the first two, because the third needs p_k itself.  Here p_k is computed
(`objectives.chain_law`), and the third term is a derivative through the pushes.  The first two
terms are not the gradient of any function (Sutskever & Tieleman 2010, AISTATS).  All three together
are the gradient of (1).
"""

from dataclasses import replace

import numpy as np

from tinyebm.autodiff.tape import vjp
from tinyebm.common.checks import require_memory
from tinyebm.common.kinds import AnyData, Kernel, Nodes, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, atom_exponents, in_double
from tinyebm.objectives.chain_law import after_steps, chain_from
from tinyebm.objectives.exact_contrastive import exact_cd_gradient
from tinyebm.samplers.flows import require_conserved
from tinyebm.samplers.kernels import require_steps
from tinyebm.spaces.rows import as_data


def neglected_term(p: Density, data: AnyData, kernel: Kernel, k: int, nodes: Nodes = None) -> Tree:
    """The third term of eq. (2), like theta: the gradient of eq. (1) minus `exact_cd_gradient`.

    Parameters
    ----------
    p, data, kernel, k, nodes
        As in `exact_cd_gradient`.

    Raises
    ------
    ValueError
        If KL(p_k‖p) is infinite.  This happens if the kernel leaves point masses at rows of a
        continuous space, as MALA does (then give a Density or probabilities as data), or if the
        chain reaches points where p is 0.
    QuadratureError
        As `exact_cd_gradient`, with a cost about eight times as large; and if the derivative would
        need more than 4 GiB of memory.

    The errors are those of `exact_cd_gradient`.  Cost: k pushes and their derivatives, for which
    each push is computed again, block by block: on N states of d sites about 2 k + 6 d arrays of N
    numbers are in memory, on a continuous space k of them and one block of the kernel's matrix.

    >>> from tinyebm import Bits, BoltzmannMachine, Density, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> neglected_term(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), 1)["W"].round(6)
    array([-0.07469])
    """
    require_steps(k)
    p = in_double(p)
    _, start, grid = chain_from(p, as_data(data), kernel, k, nodes)
    if p.space.discrete:
        arrays = 2 * k + 6 * p.space.dim  # as large as the list of states
        require_memory(f"the derivative of {k} steps over {grid.size} states", arrays * grid.size)

    def p_k(theta):
        *_, (on_grid, stay) = after_steps(replace(p, theta=theta), kernel, k, start, grid)
        if np.any(stay != 0):
            raise ValueError(
                f"{kernel!r} leaves point masses at the rows of the data, and KL(p_k‖p) is "
                "infinite: give the data as a Density, or as probabilities over the atoms of "
                f"{p.space}"
            )
        return on_grid

    after, pullback = vjp(p_k, p.theta)
    require_conserved(1.0, float(after.sum()))
    reached, u = after > 0, atom_exponents(p, grid)  # u = log w - E of atoms of weight w
    if (u[reached] == -np.inf).any():
        raise ValueError("KL(p_k‖p) is infinite: the chain reaches points where p is 0")
    surprise = np.zeros_like(after)  # log p_k / w + E, where p_k log p_k = 0 for p_k = 0
    surprise[reached] = np.log(after[reached]) - u[reached]
    return pullback(-surprise)[0]


def full_cd_gradient(
    p: Density, data: AnyData, kernel: Kernel, k: int, nodes: Nodes = None
) -> Tree:
    """The gradient of eq. (1), all three terms, a tree like theta.

    Its arguments and errors are those of `neglected_term`.

    >>> from tinyebm import Bits, BoltzmannMachine, Density, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> full_cd_gradient(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), 1)["W"].round(6)
    array([-0.040243])
    """
    data = as_data(data)
    kept = exact_cd_gradient(p, data, kernel, k, nodes)
    return tree_map(lambda a, b: a + b, kept, neglected_term(p, data, kernel, k, nodes))
