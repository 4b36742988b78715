"""The words of signatures: what arrays, trees, energies, spaces, kernels and laws are to those who
write their own.

None of them is a base class: whatever has these methods is one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray  # or CuPy's, where the parameters live on a GPU
Tree: TypeAlias = Any  # nested dicts, lists and tuples of arrays
AnyData: TypeAlias = Any  # rows (n, d), Data; or a whole population: Target, Density, Law
Nodes: TypeAlias = int | Sequence[int] | None  # per axis; None is the default
Energy: TypeAlias = Callable[[Any, Any], Any]  # (theta, x (n, d)) -> (n,), in nats
Generator: TypeAlias = np.random.Generator  # or CuPy's


class StartsNearData(Protocol):
    """What an energy with a location and a scale may offer beside `init(rng)`, for `mle` to begin
    with."""

    def init_from_data(self, x: Array, mass: Array, rng: Generator) -> Tree:
        """theta near the rows x (n, d) of weight mass (n,), which sum to 1, in whatever units."""


class Space(Protocol):
    """Where x lives, and the measure μ there (`tinyebm.spaces`, `tinyebm.spaces.discrete`)."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    @property
    def discrete(self) -> bool:
        """Whether states can be listed."""

    @property
    def bounded(self) -> bool:
        """Whether it has walls, or finitely many states."""

    def atoms(self, nodes: Any = None) -> tuple[Array, Array]:
        """States (N, dim) and log weights (N,)."""

    def grid(self, nodes: Any = None) -> Any:
        """The same, in blocks."""

    def log_base(self, x: Any) -> Any:
        """Log density of μ against Lebesgue or counting measure, (n,)."""

    def initial(self, n: int, rng: Generator) -> Array:
        """n starting points (n, dim)."""

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
    """What can be drawn from, with a normalised log density (`tinyebm.spaces.laws`, a Target)."""

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
