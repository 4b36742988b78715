"""From names to things: the energies, kernels, objectives and schedules that `compare` and the command line speak of."""

import re

from tinyebm.energies.boltzmann import BoltzmannMachine
from tinyebm.energies.mlp import MLP
from tinyebm.energies.rbm import RBM
from tinyebm.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence, ShortRun
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.pseudolikelihood import Pseudolikelihood
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.gwg import GibbsWithGradients
from tinyebm.samplers.langevin import ULA
from tinyebm.spaces import Reals

ENERGIES = ("mlp", "rbm", "boltzmann")
STEPS = {False: 500, True: 2000}  # updates by default, by whether the space is discrete: there they are cheaper


def space_of(data, dim):
    """The space that a Target or Data says it lives in, or R^dim."""
    return getattr(data, "space", None) or Reals(dim)


def named_energy(name, space, hidden=None, activation="silu", confinement=1.0):
    """The energy that a name stands for; None is an MLP on R^d and an RBM on bits.

    `hidden` holds the widths of the hidden layers, by default 64, 64 for an MLP and 8 for an RBM.
    """
    name = name or ("rbm" if space.discrete else "mlp")
    if name == "mlp":
        return MLP((space.dim, *(hidden or (64, 64)), 1), activation, 0.0 if space.discrete else confinement)
    if name not in ENERGIES:
        raise ValueError(f"unknown energy {name!r}: the names are {', '.join(ENERGIES)}")
    if not space.discrete:
        raise ValueError(f"the energy {name!r} is for bits, and the data live on {space}: use mlp")
    if name == "boltzmann":
        return BoltzmannMachine(space.dim)
    if len(hidden or (8,)) != 1:
        raise ValueError(f"an RBM has one hidden layer, got widths {hidden}")
    return RBM(space.dim, *(hidden or (8,)))


def default_kernel(energy, space, step_size=0.01):
    """The sampler that suits an energy: Langevin on R^d; on bits by layers for an RBM, by gradients for a network."""
    if not space.discrete:
        return ULA(step_size)
    if hasattr(energy, "visible_logits") and energy.other_layer(space):
        return BlockGibbs()
    return GibbsWithGradients() if hasattr(energy, "activation") else Gibbs()


def named_objective(method, kernel):
    """The objective that a name like "cd-10" stands for."""
    if method == "mle":
        return ExactLikelihood(rtol=1e-3)
    if method == "pl":
        return Pseudolikelihood()
    found = re.fullmatch(r"(cd|pcd|short)-([1-9]\d*)", method)
    if not found:
        raise ValueError(f"unknown method {method!r}: the methods are mle, cd-K, pcd-K, short-K and, on bits, pl; "
                         f"for example cd-10")
    k = int(found[2])
    if found[1] == "cd":
        return ContrastiveDivergence(kernel, k)
    return PersistentContrastiveDivergence(kernel, k, restart=0.0) if found[1] == "pcd" else ShortRun(kernel, k)


def schedule(learning_rate, data, steps):
    """A learning rate that falls linearly to zero over the second half; None means 0.03 on a population, else 0.01."""
    top = learning_rate or (0.03 if hasattr(data, "entropy") else 0.01)
    return lambda step: top * min(1.0, 2 * (1 - step / steps))


def describe(energy, kernel):
    """(the energy, the kernel) in words, for a heading."""
    if hasattr(energy, "activation"):
        model = f"{'-'.join(map(str, energy.sizes[1:-1]))} {energy.activation} network"
    else:
        model = repr(energy)
    return model, f"Langevin step size {kernel.step_size:g}" if hasattr(kernel, "step_size") else repr(kernel)
