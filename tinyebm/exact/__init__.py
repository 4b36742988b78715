"""Z and what follows from it, each number with its error.

Every answer is a sum over the atoms of a grid: all states of a discrete space, or the nodes of a
quadrature.  `nodes.quadrature.quadrature(p, rtol)` returns a grid on which the relative error of Z
is at most rtol.  Read in this order:

sums        log Z, E_p[f] and E_p[∇E] over one grid, in blocks
structure   energies with a formula of log Z, or with fewer hidden states to sum over
partition   log_partition
normalised  log_prob, probabilities, expectation, entropy
likelihood  the likelihood of rows, or of a whole distribution
gradient    the gradient of the likelihood, by its two phases
sampling    independent draws
means       E_p[f] by quadrature, for smooth functions f and for functions with jumps
nodes/      how the nodes are chosen; skip it on a first reading

To add an exact quantity, write a function of a Density p.  Take q = quadrature(p, rtol), and sum
over q.grid.  The difference to the sums over q.variants() is a part of the error.
`means.settled_mean` does both.
"""
