"""What contrastive divergence leaves out of its own gradient.

CD-k sets out to descend (Hinton 2002, Neural Computation 14:1771, section 3)

    CD_k(θ) = KL(p_0 ‖ p_θ) - KL(p_k ‖ p_θ),      p_k = p_0 P_θ^k,          (1)

p_0 the data's law, P_θ the kernel.  Its gradient has three terms,

    E_0[∂E] - E_k[∂E] - Σ_x ∂p_k(x)/∂θ · (log p_k(x) + E_θ(x)),             (2)

and the update keeps the first two, for the third needs the law p_k itself.  Here that law
is known: the third term is a derivative through the pushes.  The kept terms are the gradient of no
function (Sutskever & Tieleman 2010, AISTATS); all three together are that of (1).
"""

from dataclasses import replace

import numpy as np

from tinyebm.autodiff.tape import vjp
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import AnyData, Nodes, PushKernel, Tree
from tinyebm.common.tree import tree_map
from tinyebm.density import Density, atom_exponents, in_double
from tinyebm.objectives.exact_contrastive import (
    exact_cd_gradient,
    laws_on_grid,
    push_rows,
    state_law,
)
from tinyebm.samplers.chains import require_steps
from tinyebm.samplers.flows import require_conserved, require_push
from tinyebm.spaces.rows import as_data

# times the most negative probability of a pushed law (HMC's, of rounding): below, no logarithm
# means anything
RIPPLES = 3
# nats of KL(p_k‖p) from atoms that a push gives negative probabilities, which HMC does by 1e-8
MOST_NOISE = 1e-4


def neglected_term(
    p: Density, data: AnyData, kernel: PushKernel, k: int, nodes: Nodes = None
) -> Tree:
    """The third term of eq. (2), a tree like theta: the gradient of eq. (1) minus
    `exact_cd_gradient`.

    Parameters
    ----------
    p, data, kernel, k, nodes
        As in `exact_cd_gradient`.

    Raises
    ------
    ValueError
        If KL(p_k‖p) is infinite: a kernel leaves point masses at rows of a continuous space, as
        MALA does (give a Density or probabilities as data), or the data lie where p is 0.
    QuadratureError
        As `exact_cd_gradient`, and if a kernel's law is too rough where p is small, as HMC's on a
        wide grid.

    Errors: as of `exact_cd_gradient`; with HMC up to a hundredth of the term, more where it is
    almost 0.

    Cost: k pushes and their derivatives, all of whose intermediate laws are held in memory.

    >>> from tinyebm import Bits, BoltzmannMachine, Density, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> neglected_term(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), 1)["W"].round(6)
    array([-0.07469])
    """
    require_push(kernel)
    p, data = in_double(p), as_data(data)
    if p.space.discrete:
        require_steps(k)
        grid = p.space.grid()
        x, mass = None, state_law(p.space, data)
    else:
        _, _, x, mass, grid = laws_on_grid(p, data, kernel, k, nodes)
        atoms = grid.all()[0]

    def law(theta):
        """p_k on the grid."""
        q = replace(p, theta=theta)
        if x is None:
            push, after = kernel.operator(q, grid), mass
            for _ in range(k):
                after = push(after)
            return after
        on_grid, stay = push_rows(q, x, mass, kernel, k, grid)
        if not np.any(stay != 0):
            return on_grid
        if x.shape != atoms.shape or (x != atoms).any():
            raise ValueError(
                f"{kernel!r} leaves point masses at the rows of the data, and KL(p_k‖p) is "
                "infinite: give the data as a Density, or as probabilities over the atoms of "
                f"{p.space}"
            )
        return on_grid + stay

    after, pullback = vjp(law, p.theta)
    require_conserved(1.0, float(after.sum()))
    reached = after > max(0.0, RIPPLES * -float(after.min()))
    u = atom_exponents(p, grid)
    if (reached & (u == -np.inf)).any():
        raise ValueError("KL(p_k‖p) is infinite: the law of the chain reaches points where p is 0")
    # log p_k / w + E, less log Z
    surprise = np.log(np.where(after == 0, 1.0, np.abs(after))) - np.where(u == -np.inf, 0.0, u)
    if not (error := float((np.abs(after) * np.abs(surprise))[after < 0].sum())) <= MOST_NOISE:
        raise QuadratureError(
            f"{kernel!r} gives some atoms negative probabilities, which make KL(p_k‖p) wrong by "
            f"{error:.1e} nats: give the data as probabilities over atoms no farther than p "
            "reaches (Reals(dim, extent=...)), use more nodes, or ULA or MALA"
        )
    return pullback(-np.where(reached, surprise, 0.0))[0]


def full_cd_gradient(
    p: Density, data: AnyData, kernel: PushKernel, k: int, nodes: Nodes = None
) -> Tree:
    """The gradient of eq. (1), all three terms: a tree like theta; arguments and errors as
    `neglected_term`.

    >>> from tinyebm import Bits, BoltzmannMachine, Density, Gibbs
    >>> p = Density(BoltzmannMachine(2), {"W": np.array([1.0]), "b": np.zeros(2)}, Bits(2))
    >>> full_cd_gradient(p, np.array([[1.0, 1.0], [0.0, 1.0]]), Gibbs(), 1)["W"].round(6)
    array([-0.040243])
    """
    data = as_data(data)
    kept = exact_cd_gradient(p, data, kernel, k, nodes)
    return tree_map(lambda a, b: a + b, kept, neglected_term(p, data, kernel, k, nodes))
