"""Kernels of Markov chains: `step(p, x, rng) -> Move`, one step from each of the rows x (n, d).

A kernel may offer more:

    push(probabilities, p) -> (N,)      the distribution after one step, over p's atoms
    operator(p, grid) -> function       the same on a given grid, set up once
    drift(p, x) -> (n, d)               the step without its noise

`chains.run` makes many steps.  Read `langevin`, then `chains`; `hmc`, `gibbs`, `gwg` and `recipes`
are its siblings, `metropolis` is what accepts or rejects, `flows` are what pushes share, `spectrum`
is what a transition matrix tells.
"""
