"""Where the nodes of a quadrature go; skip this on a first reading.

scans       log p on a grid of nodes; how narrow a peak may be and still be seen
peaks       where the peaks are, and how wide
window      a box in R^d that holds the mass, and the trapezoidal rule on it
adapt       boxes that are halved where a density is not smooth
quadrature  all of them together: a grid on which log Z holds to rtol

A rule has `counts(refinement)`, nodes per axis; `grid(counts)`; and `variants(counts)`, grids with
other nodes that are as good.  `Box` and `Window` are such rules.
"""
