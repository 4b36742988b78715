"""Contrastive divergence and its relatives: negatives from a few steps of a Markov chain.

The gradient is the contrast of data and negatives (eq. 1 of `objectives.step`).  The objectives
differ in the points where their chains start:

    ContrastiveDivergence             at the data (Hinton 2002, Neural Computation 14:1771)
    PersistentContrastiveDivergence   where they stopped last time (Tieleman 2008, ICML)
    ShortRun                          at draws of `space.initial` (Nijkamp et al. 2019, NeurIPS)

After k steps the negatives are not yet draws of p, so all three gradients are biased; the exact
bias is in `objectives.exact_contrastive`.  `objectives.perfect` draws negatives without a chain.
"""

from dataclasses import dataclass
from typing import Any

from tinyebm.common.checks import require_nonnegative
from tinyebm.common.kinds import Array, Generator, Tree
from tinyebm.density import Density
from tinyebm.objectives.step import Step, contrast, require_batch
from tinyebm.samplers.chains import Chains, Pool
from tinyebm.samplers.kernels import require_kernel, require_steps, walk


def _require_chain(objective):
    """Raise ValueError if the kernel, the number of steps k or alpha is wrong."""
    require_kernel(objective.kernel)
    require_steps(objective.k)
    require_nonnegative("alpha", objective.alpha)


@dataclass(frozen=True)
class ContrastiveDivergence:
    """CD-k: negatives after k kernel steps from the data.

    Parameters
    ----------
    kernel : ULA, MALA, Gibbs, ..., or a function of the step that returns one
    k : int
        Steps of the kernel.
    alpha : float
        Strength of the regulariser of `objectives.step`.

    >>> import numpy as np
    >>> from tinyebm import Density, DoubleWell, Reals, ULA
    >>> well, rng = DoubleWell(), np.random.default_rng(0)
    >>> p = Density(well, {"barrier": np.array(1.0)}, Reals(1))
    >>> step = ContrastiveDivergence(ULA(0.05), k=2).gradient(p, np.ones((100, 1)), rng)
    >>> sorted(step.metrics)
    ['energy_data', 'energy_model', 'loss']
    """

    kernel: Any
    k: int = 1
    alpha: float = 0.0

    def __post_init__(self):
        _require_chain(self)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        x = require_batch(p, x)
        negatives, info = walk(self.kernel, p, x, self.k, rng)
        return Step(*contrast(p, x, negatives, self.alpha, info), state=None)


@dataclass(frozen=True)
class PersistentContrastiveDivergence:
    """PCD-k: negatives after k kernel steps of chains that continue from update to update.

    An update moves as many chains of a pool as the batch has rows (at most all of them).  Before
    that each of these chains restarts at a draw of `space.initial` with probability `restart`.  The
    state is the pool, {"chains": (chains, d)}.

    Parameters
    ----------
    kernel, k, alpha
        As in `ContrastiveDivergence`.
    chains : int
        Size of the pool.
    restart : float
        Probability that a chain restarts before it moves.

    >>> import numpy as np
    >>> from tinyebm import Bits, BlockGibbs, Density, RBM
    >>> rng, machine = np.random.default_rng(0), RBM(4, 2)
    >>> p = Density(machine, machine.init(rng), Bits(4))
    >>> objective = PersistentContrastiveDivergence(BlockGibbs(), chains=64)
    >>> step = objective.gradient(p, np.ones((10, 4)), rng)
    >>> step.state["chains"].shape
    (64, 4)
    """

    kernel: Any
    k: int = 1
    chains: int = 1024
    restart: float = 0.05
    alpha: float = 0.0

    def __post_init__(self):
        _require_chain(self)
        Chains(self.chains, self.restart)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d) whose state is the pool of chains."""
        x, pool = require_batch(p, x), Chains(self.chains, self.restart)
        points = pool.start(p.space, rng).astype(x.dtype) if state is None else state["chains"]
        slots, start = pool.lend(points, min(len(x), self.chains), p.space, rng)
        negatives, info = walk(self.kernel, p, start, self.k, rng)
        after = Pool({"chains": pool.give_back(points, slots, negatives)})
        after.moved = after["chains"] if state is None else negatives
        return Step(*contrast(p, x, negatives, self.alpha, info), after)


@dataclass(frozen=True)
class ShortRun:
    """Negatives after k kernel steps from new draws of `space.initial`, as many as data.

    The parameters are those of `ContrastiveDivergence`.

    >>> import numpy as np
    >>> from tinyebm import Density, DoubleWell, Reals, ULA
    >>> well, rng = DoubleWell(), np.random.default_rng(0)
    >>> p = Density(well, {"barrier": np.array(1.0)}, Reals(1))
    >>> ShortRun(ULA(0.05), k=20).gradient(p, np.ones((100, 1)), rng).gradient["barrier"].shape
    ()
    """

    kernel: Any
    k: int = 100
    alpha: float = 0.0

    def __post_init__(self):
        _require_chain(self)

    def gradient(self, p: Density, x: Array, rng: Generator, state: Tree = None) -> Step:
        """A Step for the rows of x (n, d); no state."""
        x = require_batch(p, x)
        start = p.space.initial(len(x), rng).astype(x.dtype)
        negatives, info = walk(self.kernel, p, start, self.k, rng)
        return Step(*contrast(p, x, negatives, self.alpha, info), state=None)
