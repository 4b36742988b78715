"""From names to things: the energies, kernels, objectives and schedules that `compare` and the
command line speak of."""

import math
import re

import numpy as np

from tinyebm.common.checks import ENERGY, KERNEL, did_you_mean, part_of
from tinyebm.energies.boltzmann import BoltzmannMachine
from tinyebm.energies.mlp import MLP
from tinyebm.energies.rbm import RBM
from tinyebm.exact.structure import other_layer
from tinyebm.objectives.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    ShortRun,
)
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.noise_contrastive import NoiseContrastive
from tinyebm.objectives.perfect import PerfectSamples
from tinyebm.objectives.pseudolikelihood import Pseudolikelihood, RatioMatching
from tinyebm.objectives.score_matching import (
    DenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.gwg import GibbsWithGradients
from tinyebm.samplers.langevin import ULA

METHOD_NAMES = (
    "mle, perfect, cd-K, pcd-K, short-K (K chain steps), nce-R (R draws of noise per datum); on "
    "R^d also sm, ssm-M (M projections), dsm-S (noise S); on bits pl, rm"
)
EXAMPLES = (
    "mle",
    "perfect",
    "cd-1",
    "cd-10",
    "pcd-1",
    "pcd-10",
    "short-50",
    "nce-1",
    "sm",
    "ssm-1",
    "dsm-0.1",
    "pl",
    "rm",
)
ENERGIES = ("mlp", "rbm", "boltzmann")


def default_steps(data, space):
    """Updates: 2000 on discrete spaces, where they are cheap; else 800 on a population and 500 on
    finite data."""
    return 2000 if space.discrete else 800 if hasattr(data, "entropy") else 500


def drawable(data, space):
    """Whether there is a picture of a model: on R^d up to the plane, of states as square images or
    on a lattice."""
    square = math.isqrt(space.dim) ** 2 == space.dim or getattr(data, "cell", None) is not None
    return square if space.discrete else space.dim < 3


def named_energy(name, space, hidden=None, activation="silu", confinement=1.0):
    """The energy that a name stands for; None is an MLP on R^d and an RBM on bits.

    `hidden` holds the widths of the hidden layers, by default 64, 64 for an MLP and 8 for an RBM.
    """
    name = name or ("rbm" if space.discrete else "mlp")
    if hidden is not None and np.ndim(hidden) != 1:
        raise ValueError(f"hidden is a tuple of widths, like (64, 64), got {hidden!r}")
    if name == "mlp":
        return MLP(
            (space.dim, *(hidden or (64, 64)), 1),
            activation,
            0.0 if space.discrete else confinement,
        )
    if name not in ENERGIES:
        raise ValueError(
            f"unknown energy {name!r}: {did_you_mean(name, ENERGIES)}the names are "
            f"{', '.join(ENERGIES)}"
        )
    if not space.discrete:
        raise ValueError(f"the energy {name!r} is for bits, and the data live on {space}: use mlp")
    if name == "boltzmann" and hidden:
        raise ValueError(f"a Boltzmann machine has no hidden layer, got widths {hidden}")
    if name == "boltzmann":
        return BoltzmannMachine(space.dim)
    if len(hidden or (8,)) != 1:
        raise ValueError(f"an RBM has one hidden layer, got widths {hidden}")
    return RBM(space.dim, *(hidden or (8,)))


def default_kernel(energy, space, step_size=0.01):
    """The sampler that suits an energy: Langevin on R^d; on bits by layers for an RBM, by gradients
    for a network."""
    if not space.discrete:
        return ULA(step_size)
    if part_of(energy, "visible_logits", ENERGY) and other_layer(energy, space):
        return BlockGibbs()
    return GibbsWithGradients() if hasattr(energy, "activation") else Gibbs()


def all_methods(energy, space):
    """The names of one method of every kind that suits an energy on a space."""
    chains = ("mle", "perfect", "cd-1", "cd-10", "pcd-10", "short-50")
    if not space.discrete:
        curved = ("sm", "ssm-1") if getattr(energy, "smooth", True) else ()
        return (*chains, *curved, "dsm-0.1", "nce-1")
    return (*chains, "pl", "rm", "nce-1") if len(space.values) == 2 else (*chains, "pl", "nce-1")


def named_objective(method, kernel, noise=None):
    """The objective that a name like "cd-10" stands for; `noise()` is the law that "nce-R"
    contrasts with."""
    whole, number = r"([1-9]\d*)", r"(\d+\.?\d*|\.\d+)"
    makers = {
        "mle": lambda: ExactLikelihood(rtol=1e-3),
        "perfect": PerfectSamples,
        f"cd-{whole}": lambda k: ContrastiveDivergence(kernel, int(k)),
        f"pcd-{whole}": lambda k: PersistentContrastiveDivergence(kernel, int(k), restart=0.0),
        f"short-{whole}": lambda k: ShortRun(kernel, int(k)),
        "sm": ScoreMatching,
        f"ssm-{whole}": lambda m: SlicedScoreMatching(int(m)),
        f"dsm-{number}": lambda sigma: DenoisingScoreMatching(float(sigma)),
        f"nce-{whole}": lambda ratio: NoiseContrastive(noise(), int(ratio)),
        "pl": Pseudolikelihood,
        "rm": RatioMatching,
    }
    for pattern, make in makers.items():
        if found := re.fullmatch(pattern, str(method)):
            return make(*found.groups())
    raise ValueError(
        f"unknown method {method!r}: {did_you_mean(method, EXAMPLES)}the methods are "
        f"{METHOD_NAMES}; as cd-10"
    )


def consistency(objective, space):
    """Whether infinite data and patience lead to the truth, if the model holds it: "yes", "no", or
    "at rest".

    At rest: the truth is a zero of the expected gradient, but the gradient of contrastive
    divergence belongs to no function of which the truth would be the minimum.
    """
    if isinstance(objective, (ShortRun, DenoisingScoreMatching)) or getattr(
        objective, "alpha", 0.0
    ):
        # another law is at rest: that of the short run, of the smoothed data, of smaller energies
        return "no"
    if isinstance(objective, (ScoreMatching, SlicedScoreMatching)):
        return "no" if space.bounded else "yes"  # walls: see tinyebm.objectives.score_matching
    if isinstance(objective, (ContrastiveDivergence, PersistentContrastiveDivergence)):
        persistent = isinstance(objective, PersistentContrastiveDivergence)
        if (
            not part_of(objective.kernel, "invariant", KERNEL)
            or persistent
            and objective.restart > 0
        ):
            # the chains' own law is at rest: of a kernel with a bias, of chains that now and then
            # begin anew
            return "no"
        return "yes" if persistent else "at rest"
    return "yes"


def schedule(learning_rate, data, steps):
    """A learning rate that falls linearly to zero over the second half; None means 0.03 on a
    population, else 0.01."""
    top = learning_rate or (0.03 if hasattr(data, "entropy") else 0.01)
    return lambda step: top * min(1.0, 2 * (1 - step / steps))


def describe(energy, kernel):
    """(the energy, the kernel) in words, for a heading."""
    if hasattr(energy, "activation"):
        model = f"{'-'.join(map(str, energy.sizes[1:-1]))} {energy.activation} network"
    else:
        model = repr(energy)
    plain = type(kernel) is ULA and kernel.temperature == 1
    return model, f"Langevin step size {kernel.step_size:g}" if plain else repr(kernel)
