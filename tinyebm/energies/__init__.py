"""Energies: callable frozen dataclasses, `energy(theta, x) -> (n,)`, in nats, for rows x (n, d).

A function of (theta, x) written with `te.ops` is an energy, too; a class may offer more:

    init(rng) -> theta                          where a fit begins
    init_from_data(x, mass, rng) -> theta       the same, in the units of the data
    sites -> ((0.0, 1.0),)                      the values of a coordinate, if x is discrete
    log_partition(theta, space) -> float        log Z by a formula
    modes(theta, space) -> (m, d)               where quadrature should look
    curvature(theta, space) -> float            a bound on the second derivative, for scans

Read `mlp` and `analytic`, then `rbm`; `tabular`, `boltzmann` and `lattice` are discrete.
`transfer` sums the states of a lattice; `recession` decides whether Z of a network is finite.
"""
