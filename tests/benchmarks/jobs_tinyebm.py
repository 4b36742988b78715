"""tinyebm, through its public face."""

import tempfile
from pathlib import Path

import numpy as np
import problems as pb

import tinyebm as te
from tinyebm.exact.sums import model_phase
from tinyebm.objectives.step import contrast
from tinyebm.spaces.grids import Grid, trapezoid


def model(net, dtype, space=None):
    """The Density of a net."""
    sizes = pb.NETS[net] if isinstance(net, str) else net
    theta = [{"W": W, "b": b} for W, b in pb.weights(sizes, dtype)]
    return te.Density(te.MLP(sizes), theta, space or te.Reals(sizes[0]))


def flat(tree):
    """(W, b) of every layer, in order."""
    return [layer[name] for layer in tree for name in ("W", "b")]


def langevin(net, chains):
    p, rng = model(net, "float32"), np.random.default_rng(0)
    x, _ = pb.points(chains, p.space.dim, "float32")
    return (lambda: te.run(te.ULA(pb.STEP), p, x, pb.STEPS, rng),
            lambda: [te.run(te.ULA(1.0, temperature=0.0), p, x[:100], 1, rng)[0] - x[:100]])


def contrastive(net, updates=10):
    p = model(net, "float32")
    x, y = pb.points(pb.BATCH, p.space.dim, "float32")
    objective = te.ContrastiveDivergence(te.ULA(pb.STEP), pb.CD_STEPS)
    return (lambda: te.fit(p.energy, x, p.space, objective, te.adam(1e-3), steps=updates, theta=p.theta, dtype="float32",
                           exact=False, progress=False),
            lambda: flat(contrast(p, x, y)[0]))


def likelihood(net):
    p = model(net, "float64")
    x, _ = pb.points(pb.BATCH, 2, "float64")
    rule = Grid((trapezoid(pb.GRID, -pb.EXTENT, pb.EXTENT),) * 2)

    def gradient():
        log_z, expected = model_phase(p, rule)
        data = te.exact.gradient.weighted_energy_gradient(p, x, np.full(len(x), 1 / len(x)))
        return [log_z, *[a - b for a, b in zip(flat(data), flat(expected), strict=True)]]

    return gradient, gradient


def own_nodes(net):
    p = model(net, "float64", te.Box(-pb.EXTENT, pb.EXTENT, 2))
    x, _ = pb.points(pb.BATCH, 2, "float64")
    x = np.clip(x, -pb.EXTENT, pb.EXTENT)
    return lambda: te.nll_gradient(p, x, rtol=1e-8), lambda: [te.log_partition(p)]


def exact_updates(updates):
    """Updates in the middle of a training: each call continues the same run from its file."""
    target, net = te.datasets.load("two_moons"), te.MLP(pb.NETS["2-64-64-1"], confinement=1.0)
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name, "run.npz")

    def train(steps, **options):
        te.fit(net, target, objective=te.ExactLikelihood(rtol=1e-3), optimizer=te.adam(pb.RATE), steps=steps, batch_size=pb.BATCH,
               log_every=pb.BEFORE, exact=False, progress=False, checkpoint=file, **options)

    train(pb.BEFORE)
    middle = file.read_bytes()

    def call():
        Path(folder.name, "run.npz").write_bytes(middle)  # the folder lives as long as this function
        train(pb.BEFORE + updates, resume=True)

    return call, lambda: []


def to_the_end(steps):
    target, net = te.datasets.load("two_moons"), te.MLP((2, 64, 64, 1))
    return lambda: te.mle(net, target, progress=False, max_steps=steps), lambda: []


def score_matching(net, exact):
    p, rng = model(net, "float32"), np.random.default_rng(0)
    x, z = pb.points(pb.SCORE_BATCH, p.space.dim, "float32")
    objective = te.ScoreMatching() if exact else te.DenoisingScoreMatching(pb.SIGMA)
    fixed = type("Fixed", (), {"standard_normal": staticmethod(lambda shape, dtype: z)})
    return lambda: objective.gradient(p, x, rng), lambda: flat(objective.gradient(p, x, fixed).gradient)


def boltzmann():
    W, b = pb.couplings()
    p = te.Density(te.BoltzmannMachine(pb.BITS), {"W": W[np.triu_indices(pb.BITS, 1)], "b": b}, te.Bits(pb.BITS))
    run = lambda: (lambda found: [found[0], found[1]["b"]])(te.exact.gradient.exact_phase(p))
    return run, run


def bits_net():
    p = model((pb.BITS, 64, 64, 1), "float64", te.Bits(pb.BITS))
    run = lambda: (lambda found: [found[0], *flat(found[1])])(te.exact.gradient.exact_phase(p))
    return run, run


def annealing():
    p = model("2-64-64-1", "float64", te.Reals(2, base_scale=1.0))
    rng = np.random.default_rng(0)
    return (lambda: te.ais(p, pb.BATCH, rng, temperatures=pb.TEMPERATURES, kernel=te.MALA(0.1)),
            lambda: [])


def ising(side, sweeps, scan="coloured"):
    p = te.Density(te.Ising((side, side)), {"coupling": np.array(pb.COUPLING), "field": np.array(0.0)}, te.Spins(side**2))
    x, rng = pb.spins(side), np.random.default_rng(0)
    chains = lambda steps: te.run(te.Gibbs(scan), p, x, steps, rng)[0]
    return lambda: chains(sweeps), lambda: pb.require_bonds(chains(pb.BURN_IN).reshape(-1, side, side)) or []


def machine(sweeps):
    (W, b), rng = pb.machine(), np.random.default_rng(0)
    p = te.Density(te.BoltzmannMachine(len(b)), {"W": W[np.triu_indices(len(b), 1)], "b": b}, te.Bits(len(b)))
    x = p.space.initial(pb.GIBBS_CHAINS, rng)
    return lambda: te.run(te.Gibbs(), p, x, sweeps, rng), lambda: []


JOBS = {
    "langevin": langevin, "contrastive": contrastive, "likelihood": likelihood, "own_nodes": own_nodes, "to_the_end": to_the_end,
    "exact_updates": exact_updates,
    "score_matching": score_matching, "boltzmann": boltzmann, "bits_net": bits_net, "annealing": annealing,
    "ising": ising, "machine": machine,
}
