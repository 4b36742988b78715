"""tinyebm: energy-based models in NumPy, with every approximation next to the exact answer."""

from tinyebm import ops
from tinyebm.autodiff import grad, hvp, stop_gradient, value_and_grad, vjp
from tinyebm.density import Density, laplacian, score
from tinyebm.energies.analytic import (
    Banana,
    DoubleWell,
    Funnel,
    GaussianEnergy,
    GaussianMixtureEnergy,
    Quartic,
    Ring,
)
from tinyebm.energies.mlp import MLP
from tinyebm.energies.tabular import TabularEnergy
from tinyebm.errors import DivergentPartitionError, QuadratureError
from tinyebm.exact.gradient import nll_gradient
from tinyebm.exact.partition import Estimate, entropy, expectation, log_partition, log_prob, probabilities
from tinyebm.exact.sampling import sample
from tinyebm.spaces import Box, Cells, Grid, Reals
