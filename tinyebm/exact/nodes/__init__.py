"""How the nodes of a quadrature are chosen; skip this on a first reading.

scans       log p on a grid of nodes; how narrow a peak it can find
peaks       the positions and the widths of the peaks
window      a box in R^d that holds the mass, and the trapezoidal rule on it
adapt       boxes that are halved where a density is not smooth
quadrature  all of these together: a grid on which the relative error of Z is at most rtol
follow      a grid that follows a density while its parameters change, in training

A quadrature rule has three methods.  `counts(refinement)` is the number of nodes per axis,
`grid(counts)` is the grid, and `variants(counts)` lists grids with other nodes and the same
accuracy.  `Box` and `Window` are such rules.
"""
