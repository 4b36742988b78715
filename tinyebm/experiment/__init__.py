"""Experiments: one model trained by many methods, and every result judged exactly.

Read in this order:

    setups               which network, kernel and objective a name stands for
    train                what all methods share, and the run of one method
    judging              the exact numbers about a fitted model: a row of the table
    race                 the time that training takes, and what is reached in equal time
    compare              `compare`: train, judge and race, put together
    report, figures      the result as a table and as a picture
    sweeps, replicas     any function over settings and seeds; a comparison over seeds

A method is an objective, `gradient(p, x, rng, state=None) -> Step`.  One of your own needs no
change here: `te.compare(target, {"mle": None, "mine": objective})`.  To give one a name, add a row
to `setups.named_objective`, and its class to `setups.CONSISTENT`.
"""
