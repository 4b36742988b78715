"""Z and what follows from it, each number with its error.

Every answer is a sum over the atoms of a grid: all states of a discrete space, or the nodes of a
quadrature.  `nodes.quadrature.quadrature(p, rtol)` returns the grid on which log Z holds to rtol.
In the order to read:

sums        log Z, E_p[f] and E_p[∇E] over one grid, in blocks
structure   energies with a formula of log Z, or with fewer hidden states to sum over
partition   log_partition
normalised  log_prob, probabilities, expectation, entropy
likelihood  the likelihood of rows, or of a whole distribution
gradient    the gradient of the likelihood, by its two phases
sampling    independent draws
means       E_p[f] for functions f that jump
nodes/      where the nodes go; skip it on a first reading

A new exact quantity is a function of a Density p.  Take q = quadrature(p, rtol), sum over q.grid,
and add to the error the difference to q.variants() (`means.settled_mean` does both).
"""
