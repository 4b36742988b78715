"""Training, from data to θ: `fit` takes steps of any objective, `mle` maximises the likelihood.

Read in this order:

    loop                 the formulas of an update, and the loop over updates
    fit                  what surrounds the loop: checks of the arguments, log points, checkpoints
    start, watch         what a run starts with; which numbers it refuses to go on with
    history              the entries of the history, and the file that keeps them
    optimize             rules of an update, and L-BFGS
    maximum_likelihood   `mle`; it needs `optimize` and `start` alone

The family here are the optimisers.  Each is a pair of functions of trees:

    optimizer.init(theta) -> state        optimizer.update(gradient, state, theta) -> (theta, state)

To add one, write a function that returns an `Optimizer`, like `optimize.momentum`.  The state has
to be a tree of arrays, so that it can be saved.  Objectives are in `tinyebm.objectives`.
"""
