"""Training, from data to θ: `fit` takes steps of any objective, `mle` maximises the likelihood.

Read in this order:

    loop                 the formulas of an update, and the loop over updates
    fit                  `fit`: checks of the arguments, log points and checkpoints around the loop
    start, watch         the start of a run; the checks of its numbers, which may stop it
    history              the entries of the history, and the file that keeps them
    optimize             update rules, and L-BFGS
    maximum_likelihood   `mle`, exact maximum likelihood by L-BFGS

You can add optimisers.  An optimiser is a pair of functions of trees:

    optimizer.init(theta) -> state        optimizer.update(gradient, state, theta) -> (theta, state)

To add one, write a function that returns an `Optimizer`, like `optimize.momentum`.  The state must
be a tree of arrays, so that it can be saved.  Objectives are in `tinyebm.objectives`.
"""
