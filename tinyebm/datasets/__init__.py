"""What there is to fit: populations known exactly, real data, and tables of one's own.

Read `load`, then `targets` (what a population knows of itself); `toys` and `patterns` are the
populations, `readers` reads other people's files.  Anything
with `sample(n, rng)` and a normalised `log_prob(x)` is a population, and is accepted wherever a
name is.
"""

from tinyebm.datasets.load import NAMES, Data, bars_and_stripes, load
from tinyebm.datasets.targets import PatternTarget, Target
