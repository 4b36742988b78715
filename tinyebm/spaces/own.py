"""Defaults for the optional members of a user's space.

`tinyebm.common.kinds.Space` lists the required and the optional members.  A Density completes its
space, so all other code can use every member.
"""

import math
from dataclasses import dataclass
from typing import Any

from tinyebm.common.checks import require_space
from tinyebm.common.errors import QuadratureError
from tinyebm.common.kinds import Array, Nodes
from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.spaces.grids import Atoms

FIRST_NODES = {1: 256, 2: 48, 3: 24}  # per axis: where the refinement of a continuous space starts


class MissingMember(QuadratureError, AttributeError):
    """A number cannot be computed on a user's space, because the space lacks a member."""


@dataclass(frozen=True)
class OwnSpace:
    """A user's space, with a default for every optional member that it lacks.

    On a continuous space the number of atoms grows until log Z has settled.  Quadrature uses
    `counts` and `variants` for that.
    """

    space: Any
    bounded = True  # the atoms cover the whole space
    tail = 0.0  # the mass outside of the atoms

    def __getattr__(self, name):
        if name == "space" or name.startswith("__"):  # asked for while a copy is being made
            raise AttributeError(name)
        if not hasattr(self.space, name):
            raise MissingMember(
                f"{self.space!r} has no {name!r}, and what was asked for does not work without it"
            )
        return getattr(self.space, name)

    def __repr__(self):
        return repr(self.space)

    def log_base(self, x: Array) -> Any:
        """Log density of μ: by default 0."""
        own = getattr(self.space, "log_base", None)
        return own(x) if own else 0.0

    def fold(self, x: Array) -> Array:
        """Points outside of the space, moved back into it: by default x itself."""
        own = getattr(self.space, "fold", None)
        return own(x) if own else x

    def grid(self, nodes: Nodes = None) -> Atoms:
        """The atoms, in blocks."""
        return Atoms(*self.space.atoms(nodes[0] if isinstance(nodes, tuple) else nodes))

    def counts(self, refinement: float) -> tuple:
        """Nodes per axis at a refinement."""
        return (math.ceil(FIRST_NODES[self.space.dim] * refinement),) * self.space.dim

    def variants(self, counts: tuple) -> list:
        """A grid with other nodes; the difference of its sums is the error."""
        return [self.grid(counts[0] + 1)]


def complete(space: Any) -> Any:
    """A space with all members: a space of this package itself, any other as an OwnSpace.

    Raises ValueError if the argument is not a space.

    >>> complete(Bits(2))
    Bits(dim=2)
    """
    require_space(space)
    known = Reals, Box, Bits, Spins, Cells, OwnSpace
    return space if isinstance(space, known) else OwnSpace(space)
