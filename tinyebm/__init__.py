"""tinyebm: energy-based models in NumPy, with every approximation next to the exact answer.

    p(x) = exp(-E(x)) μ(dx) / Z        E in nats, low energy is likely; x is (n, d), E is (n,)

Functions, their derivatives, and where x lives
    ops                             tanh, logsumexp, ...: NumPy's functions, with derivatives
    grad, value_and_grad, vjp       derivatives by the first argument, or by another one
    hvp, stop_gradient              a Hessian times a vector; an array as a constant
    plain                           `with plain():` runs every formula as it is written
    Reals, Box                      R^d and boxes
    Bits, Spins, Cells              {0, 1}^d, {-1, 1}^d, {0, ..., n_i - 1}

Energies, energy(theta, x) -> (n,)
    MLP                             a network, with an optional confinement |x|²/2
    GaussianEnergy, GaussianMixtureEnergy, DoubleWell, Quartic
    Ring, Banana, Funnel            formulas on R^d
    TabularEnergy                   any function of finitely many states
    BoltzmannMachine, Ising, Potts  sums over pairs of sites
    RBM, GaussianBernoulliRBM       restricted Boltzmann machines

Densities
    Density, score, laplacian       an energy with parameters on a space; ∇ log p; its divergence
    Normal, Uniform, Independent    simple distributions to start from
    datasets, Target                populations with known densities, real data, your own tables

Exact answers, most of them an Estimate(value, error)
    log_partition, log_prob         log Z; normalised log densities
    probabilities                   the probabilities of all states
    expectation, entropy            integrals under p
    nll, nll_gradient               the mean negative log-likelihood of data, and its gradient
    sample                          independent draws
    kl, total_variation             distances between densities
    fisher_divergence, mmd          distances that need no Z
    auroc                           how well scores tell two samples apart

Chains, kernel.step(p, x, rng) -> Move
    ULA, MALA, HMC                  on continuous spaces
    Gibbs, BlockGibbs               on states
    GibbsWithGradients              on states; the gradient of log p chooses the site
    Recipe                          Langevin samplers with published settings
    run, Chains, Move               many steps; a pool of chains; the result of one step
    transition_matrix               a kernel as a matrix
    spectrum, spectral_gap          its eigenvalues; how fast its chain forgets the start
    split_rhat, autocorrelation     whether chains have converged
    effective_sample_size           how many independent draws would be as accurate
    ais, reverse_ais                log Z by annealing, from below and from above

Objectives, objective.gradient(p, x, rng, state) -> Step
    ExactLikelihood, PerfectSamples maximum likelihood by quadrature, and by independent draws
    ContrastiveDivergence           chains that start at the data
    PersistentContrastiveDivergence chains that continue from update to update
    ShortRun                        chains that start at random points
    ExactContrastiveDivergence      contrastive divergence without Monte Carlo
    exact_cd_gradient               its gradient
    full_cd_gradient, neglected_term the term that contrastive divergence leaves out
    ScoreMatching, SlicedScoreMatching, DenoisingScoreMatching
    NoiseContrastive, Pseudolikelihood, RatioMatching, Step

Training
    fit, Fit                        steps of any objective
    mle                             L-BFGS on the exact likelihood
    sgd, momentum, adam, Optimizer  update rules
    save_model, load_model          a density in a file

Experiments
    compare, Comparison             one model trained by many methods, with exact results
    replicate, Replicas             the same for many seeds
    sweep, Sweep                    any function over settings and seeds
    plots                           pictures

Errors: QuadratureError, DivergentPartitionError; a warning: ConvergenceWarning.

Words of this package
    atoms       the points x_i, with log weights, over which the sum for Z runs
    push        one step of a chain applied to a distribution instead of to samples
    window      a box in R^d; the mass of the density outside of it is below the accepted error
    tile        a block of rows that fits into a processor's cache
"""

from tinyebm import datasets
from tinyebm.autodiff import ops
from tinyebm.autodiff.tape import grad, hvp, stop_gradient, value_and_grad, vjp
from tinyebm.common.errors import ConvergenceWarning, DivergentPartitionError, QuadratureError
from tinyebm.common.estimate import Estimate
from tinyebm.datasets.targets import Target
from tinyebm.density import Density, laplacian, score
from tinyebm.diagnostics.ais import ais, reverse_ais
from tinyebm.diagnostics.chains import autocorrelation, effective_sample_size, split_rhat
from tinyebm.diagnostics.detection import auroc
from tinyebm.diagnostics.divergences import fisher_divergence, kl, total_variation
from tinyebm.diagnostics.mmd import mmd
from tinyebm.energies.analytic import (
    Banana,
    DoubleWell,
    Funnel,
    GaussianEnergy,
    GaussianMixtureEnergy,
    Quartic,
    Ring,
)
from tinyebm.energies.boltzmann import BoltzmannMachine
from tinyebm.energies.lattice import Ising, Potts
from tinyebm.energies.mlp import MLP
from tinyebm.energies.rbm import RBM, GaussianBernoulliRBM
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.likelihood import nll
from tinyebm.exact.normalised import entropy, expectation, log_prob, probabilities
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.experiment.compare import Comparison, compare
from tinyebm.experiment.replicas import Replicas, replicate
from tinyebm.experiment.sweeps import Sweep, sweep
from tinyebm.objectives.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    ShortRun,
)
from tinyebm.objectives.exact_contrastive import ExactContrastiveDivergence, exact_cd_gradient
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.neglected_term import full_cd_gradient, neglected_term
from tinyebm.objectives.noise_contrastive import NoiseContrastive
from tinyebm.objectives.perfect import PerfectSamples
from tinyebm.objectives.pseudolikelihood import Pseudolikelihood, RatioMatching
from tinyebm.objectives.score_matching import (
    DenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from tinyebm.objectives.step import Step
from tinyebm.replay.door import plain
from tinyebm.samplers.chains import Chains, run
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.gwg import GibbsWithGradients
from tinyebm.samplers.hmc import HMC
from tinyebm.samplers.kernels import Move
from tinyebm.samplers.langevin import MALA, ULA
from tinyebm.samplers.recipes import Recipe
from tinyebm.samplers.spectrum import spectral_gap, spectrum, transition_matrix
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.spaces.laws import Independent, Normal, Uniform
from tinyebm.storage.models import load_model, save_model
from tinyebm.training.fit import Fit, fit
from tinyebm.training.maximum_likelihood import mle
from tinyebm.training.optimize import Optimizer, adam, momentum, sgd
from tinyebm.version import __version__

__all__ = [
    "adam", "ais", "auroc", "autocorrelation", "Banana", "Bits", "BlockGibbs", "BoltzmannMachine",
    "Box", "Cells", "Chains", "compare", "Comparison", "ContrastiveDivergence",
    "ConvergenceWarning", "datasets", "DenoisingScoreMatching", "Density",
    "DivergentPartitionError", "DoubleWell", "effective_sample_size", "entropy", "Estimate",
    "exact_cd_gradient", "ExactContrastiveDivergence", "ExactLikelihood", "expectation",
    "fisher_divergence", "fit", "Fit", "full_cd_gradient", "Funnel", "GaussianBernoulliRBM",
    "GaussianEnergy", "GaussianMixtureEnergy", "Gibbs", "GibbsWithGradients", "grad", "HMC",
    "hvp", "Independent", "Ising", "kl", "laplacian", "load_model", "log_partition", "log_prob",
    "MALA", "mle", "MLP", "mmd", "momentum", "Move", "neglected_term", "nll", "nll_gradient",
    "NoiseContrastive", "Normal", "ops", "Optimizer", "PerfectSamples",
    "PersistentContrastiveDivergence", "plain", "plots", "Potts", "probabilities",
    "Pseudolikelihood", "QuadratureError", "Quartic", "RatioMatching", "RBM", "Reals", "Recipe",
    "Replicas", "replicate", "reverse_ais", "Ring", "run", "sample", "save_model", "score",
    "ScoreMatching", "sgd", "ShortRun", "SlicedScoreMatching", "spectral_gap", "spectrum",
    "Spins", "split_rhat", "Step", "stop_gradient", "Sweep", "sweep", "TabularEnergy", "Target",
    "total_variation", "transition_matrix", "ULA", "Uniform", "value_and_grad", "vjp",
]  # fmt: skip


def __dir__():
    """The public names, and nothing else."""
    return [*__all__, "__version__"]


def __getattr__(name):
    """The module `plots`, imported at its first use, because it loads Matplotlib."""
    if name == "plots":
        import importlib

        return importlib.import_module("tinyebm.plots")
    raise AttributeError(f"module 'tinyebm' has no attribute {name!r}")
