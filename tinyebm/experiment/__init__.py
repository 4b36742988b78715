"""Experiments: one model trained by many methods, and exact numbers about every result.

Read in this order:

    setups               the network, kernel and objective of each name
    train                the setting that all methods share, and the training of one method
    judging              the exact numbers about a fitted model: a row of the table
    race                 the time of training, and the result of each method in equal time
    compare              `compare`, which uses the four files above
    report, figures      the result as a table and as a picture
    sweeps, replicas     any function over settings and seeds; a comparison over seeds
    workers, results     the runs of a sweep in other processes; their results in a file

A method is an objective, `gradient(p, x, rng, state=None) -> Step`.  An objective of your own needs
no change here: `te.compare(target, {"mle": None, "mine": objective})`.  To give it a name, add a
row to `setups.named_objective`, and its class to `setups.CONSISTENT`.
"""
