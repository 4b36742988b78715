"""Where x lives: `continuous` (R^d and boxes), `discrete` (bits, spins, cells), each with its
measure and its nodes.

`grids` holds nodes and weights in blocks, `rows` brings what users give into rows (n, d), `laws`
are simple distributions with `sample(n, rng)` and a normalised `log_prob(x)`.
"""

from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.spaces.laws import Independent, Normal, Uniform
