"""Names and defaults of `compare` and the command line: energies, kernels, methods, learning rates.

`named_energy` and `named_objective` make the object of a name; the other functions choose defaults.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyebm.common.checks import ENERGY, did_you_mean, part_of
from tinyebm.common.kinds import is_population
from tinyebm.energies.boltzmann import BoltzmannMachine
from tinyebm.energies.mlp import MLP
from tinyebm.energies.rbm import RBM
from tinyebm.exact.structure import other_layer
from tinyebm.objectives.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    ShortRun,
)
from tinyebm.objectives.exact_contrastive import ExactContrastiveDivergence
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
from tinyebm.samplers.kernels import offers
from tinyebm.samplers.langevin import ULA

METHOD_NAMES = (
    "mle, perfect, cd-K, pcd-K, short-K (K chain steps), nce-R (R draws of noise per datum); on "
    "R^d also sm, ssm-M (M projections), dsm-S (noise S); on bits pl, rm"
)
EXAMPLES = "mle perfect cd-1 cd-10 pcd-1 pcd-10 short-50 nce-1 sm ssm-1 dsm-0.1 pl rm".split()
ENERGIES = ("mlp", "rbm", "boltzmann")


def default_steps(data, space):
    """The number of updates: 2000 on discrete spaces, else 800 on a population, 500 on rows."""
    return 2000 if space.discrete else 800 if is_population(data) else 500


def drawable(data, space):
    """Whether a model can be drawn: in 1-D and 2-D; states as square images, or on a lattice."""
    if not space.discrete:
        return space.dim < 3
    return math.isqrt(space.dim) ** 2 == space.dim or getattr(data, "cell", None) is not None


def named_energy(name, space, hidden=None, activation="silu", confinement=1.0):
    """The energy of a name; for None an MLP on R^d, and an RBM on discrete spaces.

    `hidden` lists the widths of the hidden layers, by default 64, 64 of an MLP and 8 of an RBM.
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
    """The default kernel: Langevin on R^d, block Gibbs for an RBM, else Gibbs of single sites.

    For a network on states it is Gibbs with gradients.
    """
    if not space.discrete:
        return ULA(step_size)
    if part_of(energy, "visible_logits", ENERGY) and other_layer(energy, space):
        return BlockGibbs()
    return GibbsWithGradients() if hasattr(energy, "activation") else Gibbs()


def all_methods(energy, space):
    """The names of one method of each kind that is possible for an energy on a space."""
    chains = ("mle", "perfect", "cd-1", "cd-10", "pcd-10", "short-50")
    if not space.discrete:
        curved = ("sm", "ssm-1") if getattr(energy, "smooth", True) else ()
        return (*chains, *curved, "dsm-0.1", "nce-1")
    return (*chains, "pl", "rm", "nce-1") if len(space.values) == 2 else (*chains, "pl", "nce-1")


def named_objective(method, kernel, noise=None):
    """The objective of a name like "cd-10", whose chains run `kernel`.

    An objective is returned unchanged.  `noise()` makes the noise distribution of "nce-R".
    """
    if hasattr(method, "gradient") and not isinstance(method, type):
        return method
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


def objectives_of(methods, energy, space, kernel, noise):
    """The objectives {name: objective} of `compare`'s argument `methods`: names, a dict, or "all".

    In a dict the value is an objective, None for the method of that name, or another method's name.
    """
    if isinstance(methods, str) and methods == "all":
        methods = all_methods(energy, space)
    names = list(methods) if isinstance(methods, Mapping) or np.ndim(methods) else []
    are_text = all(isinstance(name, str) for name in names)
    if not names or not are_text or len(set(names)) < len(names):
        hint = "" if are_text else "; objectives are given as {name: objective}"
        raise ValueError(
            f"methods is a list of names, like ['mle', 'cd-10'], none twice, got {methods!r}{hint}"
        )
    if folders := [name for name in names if Path(name).name != name]:
        raise ValueError(f"a method's name is that of a file, without a folder: {folders[0]!r}")
    given = methods if isinstance(methods, Mapping) else dict.fromkeys(names)
    return {
        name: named_objective(name if given[name] is None else given[name], kernel, noise)
        for name in names
    }


# whether infinite data and updates lead to the true density, apart from the exceptions below
CONSISTENT = {
    ExactLikelihood: "yes",
    PerfectSamples: "yes",
    NoiseContrastive: "yes",
    Pseudolikelihood: "yes",
    RatioMatching: "yes",
    ScoreMatching: "yes",
    SlicedScoreMatching: "yes",
    DenoisingScoreMatching: "no",  # it leads to the distribution of the data with noise
    ShortRun: "no",
    PersistentContrastiveDivergence: "yes",
    ContrastiveDivergence: "at rest",
    ExactContrastiveDivergence: "at rest",
}
CHAINS = (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    ExactContrastiveDivergence,
    ShortRun,
)


def consistency(objective, space):
    """Whether infinite data and updates lead to the true density, if the model contains it.

    "yes", "no", or "-" for the user's objectives.  For contrastive divergence "at rest": the
    expected gradient is 0 at the true density, but it is not the gradient of a function that has
    its minimum there.
    """
    kind = type(objective)
    shifted = (
        getattr(objective, "alpha", 0.0)  # smaller energies
        or getattr(objective, "restart", 0.0)  # chains that are restarted do not end at p
        or (kind in CHAINS and not offers(objective.kernel, "invariant"))
        # walls: see tinyebm.objectives.score_matching
        or (kind in (ScoreMatching, SlicedScoreMatching) and space.bounded)
    )
    return "no" if shifted and kind in CONSISTENT else CONSISTENT.get(kind, "-")


@dataclass(frozen=True)
class Falling:
    """A learning rate that is constant, and falls linearly to 0 over the second half of a run.

    A run that goes on after `steps` steps is the same run, so its length is not compared.
    """

    top: float
    steps: int = field(compare=False)

    def __call__(self, step):
        return self.top * min(1.0, 2 * (1 - step / self.steps))


def schedule(learning_rate, data, steps):
    """A learning rate that falls linearly to 0 over the second half of the steps.

    It starts at `learning_rate`, by default 0.03 on a population and 0.01 on finite data.
    """
    top = learning_rate or (0.03 if is_population(data) else 0.01)
    return Falling(top, steps)


def describe(energy, kernel):
    """(the energy, the kernel) in words, for the heading of a table."""
    if hasattr(energy, "activation"):
        model = f"{'-'.join(map(str, energy.sizes[1:-1]))} {energy.activation} network"
    else:
        model = repr(energy)
    plain = type(kernel) is ULA and kernel.temperature == 1
    return model, f"Langevin step size {kernel.step_size:g}" if plain else repr(kernel)
