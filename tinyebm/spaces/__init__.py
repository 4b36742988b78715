"""Where x lives: the spaces, their measures, grids of nodes or states, and simple distributions.

continuous  Reals, Box
discrete    Bits, Spins, Cells
grids       quadrature rules and lists of states, given out in blocks
rows        whatever users bring as rows (n, d) of floating-point numbers
laws        Normal, Uniform, Independent: distributions that are easy to draw from

A space has `dim`, `discrete` and `bounded`, and the methods

    grid(nodes), atoms(nodes)   states and log weights of a sum that stands for ∫ dμ
    log_base(x)                 log density of μ, (n,)
    initial(n, rng)             n starting points of a chain, (n, d)
    contains(x)                 which rows are in the space, (n,)

A continuous space adds `fold(x)` and `images(t, reach)`, which say what its walls do to a step; a
bounded one `low` and `high`, and `counts` and `variants` for its quadrature.  A discrete space adds
`values`, those of one site, and `others(x)`.
"""

from tinyebm.spaces.continuous import Box, Reals
from tinyebm.spaces.discrete import Bits, Cells, Spins
from tinyebm.spaces.laws import Independent, Normal, Uniform
