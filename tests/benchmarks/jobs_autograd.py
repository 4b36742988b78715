"""HIPS autograd: NumPy with derivatives, each step as it comes."""

import autograd.numpy as anp
import numpy as np
import problems as pb
from autograd import elementwise_grad, grad
from autograd.scipy.special import logsumexp


def energy(P, x):
    for W, b in P[:-1]:
        z = anp.dot(x, W) + b
        x = z / (1 + anp.exp(-z))
    return (anp.dot(x, P[-1][0]) + P[-1][1])[:, 0]


flat = lambda G: [a for layer in G for a in layer]
slope = grad(lambda x, P: anp.sum(energy(P, x)))


def langevin(net, chains):
    P, (x0, _), rng = pb.weights(pb.NETS[net], "float32"), pb.points(chains, pb.NETS[net][0], "float32"), np.random.default_rng(0)

    def call():
        x = x0
        for _ in range(pb.STEPS):
            x = x - np.float32(pb.STEP) * slope(x, P) + np.float32(pb.NOISE) * rng.standard_normal(x.shape, dtype=x.dtype)

    return call, lambda: [-slope(x0[:100], P)]


def likelihood(net):
    P, (x, _), (states, log_w) = pb.weights(pb.NETS[net], "float64"), pb.points(pb.BATCH, 2, "float64"), pb.grid()
    log_z = lambda P: logsumexp(log_w - energy(P, states))
    gradient = grad(lambda P: anp.mean(energy(P, x)) + log_z(P))
    return lambda: gradient(P), lambda: [log_z(P), *flat(gradient(P))]


def score_matching(net, exact):
    P, (x, z), f = pb.weights(pb.NETS[net], "float32"), pb.points(pb.SCORE_BATCH, pb.NETS[net][0], "float32"), np.float32
    of, rng = elementwise_grad(lambda y, P: energy(P, y)), np.random.default_rng(0)

    def loss(P, z):
        if not exact:
            return anp.mean(0.5 * anp.sum((z / f(pb.SIGMA) - of(x + f(pb.SIGMA) * z, P)) ** 2, 1))
        trace = sum(elementwise_grad(lambda y, i=i: of(y, P)[:, i])(x)[:, i] for i in range(x.shape[1]))
        return anp.mean(0.5 * anp.sum(of(x, P) ** 2, 1) - trace)

    gradient = grad(loss)
    return lambda: gradient(P, None if exact else rng.standard_normal(x.shape, dtype=x.dtype)), lambda: flat(gradient(P, z))


JOBS = {"langevin": langevin, "likelihood": likelihood, "score_matching": score_matching}
