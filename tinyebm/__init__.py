"""tinyebm: energy-based models in NumPy, with every approximation next to the exact answer."""

from tinyebm import datasets, ops
from tinyebm.autodiff import grad, hvp, stop_gradient, value_and_grad, vjp
from tinyebm.compare import Comparison, compare
from tinyebm.density import Density, laplacian, score
from tinyebm.diagnostics.ais import ais, reverse_ais
from tinyebm.diagnostics.chains import autocorrelation, effective_sample_size, split_rhat
from tinyebm.diagnostics.detection import auroc
from tinyebm.diagnostics.divergences import fisher_divergence, kl, total_variation
from tinyebm.diagnostics.mmd import mmd
from tinyebm.discrete import Bits, Cells, Spins
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
from tinyebm.errors import ConvergenceWarning, DivergentPartitionError, QuadratureError
from tinyebm.estimate import Estimate
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.likelihood import nll
from tinyebm.exact.normalised import entropy, expectation, log_prob, probabilities
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.laws import Independent, Normal, Uniform
from tinyebm.maximum_likelihood import mle
from tinyebm.objectives.contrastive import (
    ContrastiveDivergence,
    PerfectSamples,
    PersistentContrastiveDivergence,
    ShortRun,
)
from tinyebm.objectives.exact_contrastive import ExactContrastiveDivergence, exact_cd_gradient
from tinyebm.objectives.likelihood import ExactLikelihood
from tinyebm.objectives.neglected_term import full_cd_gradient, neglected_term
from tinyebm.objectives.noise_contrastive import NoiseContrastive
from tinyebm.objectives.pseudolikelihood import Pseudolikelihood, RatioMatching
from tinyebm.objectives.score_matching import DenoisingScoreMatching, ScoreMatching, SlicedScoreMatching
from tinyebm.optimize import adam, momentum, sgd
from tinyebm.replicas import Replicas, replicate
from tinyebm.samplers.chains import Chains, run
from tinyebm.samplers.gibbs import BlockGibbs, Gibbs
from tinyebm.samplers.gwg import GibbsWithGradients
from tinyebm.samplers.hmc import HMC
from tinyebm.samplers.langevin import MALA, ULA
from tinyebm.samplers.recipes import Recipe
from tinyebm.samplers.spectrum import spectral_gap, spectrum, transition_matrix
from tinyebm.spaces import Box, Reals
from tinyebm.sweeps import Sweep, sweep
from tinyebm.train import Fit, fit
from tinyebm.version import __version__
