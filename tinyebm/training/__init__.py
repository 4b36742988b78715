"""From data to theta: `fit` (steps of any objective) and `mle` (L-BFGS on the exact likelihood).

Read `fit`; `start` is what a run begins with, `watch` what stops it, `history` what it writes down,
`optimize` the rules of an update.  `maximum_likelihood` stands for itself.
"""
