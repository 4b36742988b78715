"""thrml, JAX under jit, as its examples write it: two blocks like a chessboard, `sample_states` under vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import problems as pb
from thrml import Block, SamplingSchedule, SpinNode, sample_states
from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init


def ising(side, sweeps):
    nodes = np.array([SpinNode() for _ in range(side * side)]).reshape(side, side)
    pairs = [(a, b) for axis in (0, 1) for a, b in zip(nodes.flat, np.roll(nodes, -1, axis).flat, strict=True)]
    biases, weights = jnp.zeros(side * side), jnp.full(len(pairs), pb.COUPLING)
    model = IsingEBM(list(nodes.flat), pairs, biases, weights, jnp.array(1.0))
    white = np.add.outer(np.arange(side), np.arange(side)) % 2 == 0
    blocks = [Block(list(nodes[white])), Block(list(nodes[~white]))]
    program, key = IsingSamplingProgram(model, blocks, []), jax.random.key(0)

    def sampler(sweeps):
        schedule = SamplingSchedule(n_warmup=sweeps, n_samples=1, steps_per_sample=1)
        one = lambda key, start: sample_states(key, program, schedule, start, [], [Block(list(nodes.flat))])[0][0]
        return jax.jit(jax.vmap(one))

    start = hinton_init(key, model, blocks, (pb.GIBBS_CHAINS,))
    keys, run = jax.random.split(key, pb.GIBBS_CHAINS), sampler(sweeps)

    def answer():
        pb.require_bonds(2.0 * np.asarray(sampler(pb.BURN_IN)(keys, start)).reshape(-1, side, side) - 1)
        return []

    return lambda: run(keys, start).block_until_ready(), answer


JOBS = {"ising": ising}
