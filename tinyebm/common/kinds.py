"""The types in the signatures of this package: what an energy, a space, a kernel must have.

None of these classes has to be a base class: any object with the same methods is accepted.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray  # or CuPy's, where the parameters live on a GPU
Tree: TypeAlias = Any  # nested dicts, lists and tuples of arrays
AnyData: TypeAlias = Any  # rows (n, d) or Data; or a whole population: Target, Density, Law
Nodes: TypeAlias = int | Sequence[int] | None  # per axis; None is the default
Energy: TypeAlias = Callable[[Any, Any], Any]  # (theta, x (n, d)) -> (n,), in nats
Generator: TypeAlias = np.random.Generator  # or CuPy's


def is_population(data):
    """Whether data are a population, which can be sampled, and not a table of rows."""
    return hasattr(data, "sample")


class Space(Protocol):
    """A space for x with a measure μ: the members that your own space must have.

    These members are optional (`tinyebm.spaces.own` holds the defaults):

    log_base(x)   log density (n,) of μ against the measure of the weights of the atoms; by
                  default 0, because the two are equal
    fold(x)       points (n, dim) that Langevin dynamics moved out of the space, moved back into
                  it; by default x
    values        the values of a coordinate of a discrete space, if all their combinations are
                  states; Gibbs sampling needs them, and there is no default
    """

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    @property
    def discrete(self) -> bool:
        """Whether states can be listed."""

    def atoms(self, nodes: Any = None) -> tuple[Array, Array]:
        """States (N, dim) and log weights (N,), with Σ e^{log w} f(x) for ∫ f.

        On a discrete space all states, of weight 1.  On a continuous one quadrature nodes, about
        `nodes` per axis, a number or None for the default: the sum must converge as they grow.
        """

    def initial(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, dim) from μ, normalised: where chains start."""

    def contains(self, x: Array) -> Array:
        """Which rows of x lie in the space, (n,)."""


class AnyDensity(Protocol):
    """A Density, or a Target, which has the same members."""

    @property
    def energy(self) -> Energy:
        """Energies of states."""

    @property
    def theta(self) -> Tree:
        """Their parameters."""

    @property
    def space(self) -> Any:
        """Where states live."""


class Law(Protocol):
    """A distribution to draw from, with a normalised log density: te.Normal, a Target, ..."""

    def sample(self, n: int, rng: Generator) -> Array:
        """n independent draws (n, d)."""

    def log_prob(self, x: Any) -> Any:
        """Normalised log density of the rows of x, (n,), in nats."""


class Kernel(Protocol):
    """One step of a Markov chain (`tinyebm.samplers`): any object with a `step` is a kernel.

    It may also have

        invariant = True                 its step leaves p invariant
        push(probabilities, p)           probabilities over the atoms of p's space one step later
        operator(p, grid)                the push on any grid, as a function of probabilities
        drift(p, x), noise_scale         a step without its noise; the size of the noise
        spread(p, x, mass, grid)         masses at rows x one step later: (on the grid, still at x)
        work(p, grid, rows)              how many transition probabilities a step computes

    If a method is needed and missing, an error names it.
    """

    def step(self, p: Any, x: Array, rng: Generator) -> Any:
        """A Move from the rows of x (n, d)."""


class Objective(Protocol):
    """An objective of training (`tinyebm.objectives`): any object with a `gradient`."""

    def gradient(self, p: Any, x: Array, rng: Generator, state: Any = None) -> Any:
        """A Step for the rows of x (n, d): a descent direction, metrics, and the state of the next
        call (None at first)."""
