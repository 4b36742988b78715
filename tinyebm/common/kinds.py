"""The types in the signatures of this package: what an energy, a space, a kernel must have.

None of these classes is a base class: whatever has the methods of one is one.
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
    """Whether data are a population, from which one draws, and not a table of rows."""
    return hasattr(data, "sample")


class Space(Protocol):
    """Where x lives, and a measure μ on it: what a space of one's own must have.

    It may have more, with these defaults (`tinyebm.spaces.own`):

    log_base(x)   log density (n,) of μ against the measure that the atoms' weights sum up; by
                  default 0: the two are the same
    fold(x)       points (n, dim) that Langevin dynamics moved out of the space, brought back; by
                  default x
    values        the values of a coordinate of a discrete space, if all their combinations are
                  states: Gibbs sampling needs them, and has no default
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
    """A Density, or what can stand for one: a Target."""

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
    """One step of a Markov chain (`tinyebm.samplers`): whatever has a `step` is a kernel.

    It may also have

        invariant = True                 its step leaves p as it is
        push(probabilities, p)           probabilities over the atoms of p's space one step later
        operator(p, grid)                a function that does so for any grid, set up once
        drift(p, x), noise_scale         where a step leads without its noise, and the noise's size
        spread(p, x, mass, grid)         masses at rows x one step later: (on the grid, still at x)

    and what it lacks is refused, with the name of what to write, only where it is needed.
    """

    def step(self, p: Any, x: Array, rng: Generator) -> Any:
        """A Move from the rows of x (n, d)."""


class Objective(Protocol):
    """What training descends (`tinyebm.objectives`): whatever has a `gradient` is an objective."""

    def gradient(self, p: Any, x: Array, rng: Generator, state: Any = None) -> Any:
        """A Step for the rows of x (n, d): a descent direction, metrics, and the state of the next
        call (None at first)."""
