"""The exercises of notebook 06."""

import numpy as np

import tinyebm as te
from course.near import near, number


def weights():
    """The derivative by the logits of w, exact and by CD-10: their ratio is that of the derivatives by w."""
    energy, space = te.GaussianMixtureEnergy(2, 1), te.Box(-8, 8, 1)

    def make(w):
        theta = {"logits": np.log([w, 1 - w]), "mean": np.array([[-2.5], [2.5]]), "log_scale": np.log([0.7, 0.7])}
        return te.Density(energy, theta, space)

    short = te.exact_cd_gradient(make(0.6), te.probabilities(make(0.7), 400), te.MALA(0.125), 10)["logits"][0]
    return te.nll_gradient(make(0.6), make(0.7))["logits"][0] / short


def data():
    """The distribution of the table's data."""
    cells = np.arange(60)
    parts = [np.exp(-0.125 * (cells - at) ** 2) for at in (14, 30)]
    return 0.7 * parts[0] / parts[0].sum() + 0.3 * parts[1] / parts[1].sum()


def flat_steps():
    """At the flat start the chain's eigenvectors are cosines, cos(π j (i + 1/2) / 60), with eigenvalues cos(π j / 60)."""
    i = np.arange(60)
    vectors = np.cos(np.pi * np.outer(i, i + 0.5) / 60) * np.sqrt(2 / 60)  # row j is the j-th
    parts, values = (vectors @ data())[1:], np.cos(np.pi * i / 60)[1:]
    largest = np.abs(data() - 1 / 60).max()
    return next(k for k in range(1, 100_000) if np.abs((parts * values**k) @ vectors[1:]).max() <= 0.01 * largest)


def divergence(k):
    """KL after 4000 updates by exact CD-k at a rate of 2."""
    p, energy, i = data(), np.zeros(60), np.arange(59)
    for _ in range(4000):
        P = np.zeros((60, 60))
        P[i, i + 1] = 0.5 * np.minimum(1, np.exp(energy[:-1] - energy[1:]))
        P[i + 1, i] = 0.5 * np.minimum(1, np.exp(energy[1:] - energy[:-1]))
        P[np.arange(60), np.arange(60)] = 1 - P.sum(axis=1)
        energy = energy - 2.0 * (p - p @ np.linalg.matrix_power(P, k))
    q = np.exp(energy.min() - energy)
    return (p * np.log(p / (q / q.sum()))).sum()


def smallest(answer):
    """The choice, and the one below it, are tried."""
    choices, k = (30, 100, 300, 1000), number(answer)
    if k not in choices:
        return f"answer with one of {', '.join(map(str, choices))}"
    kl = divergence(int(k))
    if kl >= 0.01:
        return f"with k = {k:.0f} the KL is {kl:.3f}"
    below = max([c for c in choices if c < k], default=None)
    return None if below is None or divergence(below) >= 0.01 else "a smaller one will do"


CHECKS = {
    "6.1": near(weights, relative=0.01, slips=[(lambda: 1 / weights(), "that is the fraction: turn it over")]),
    "6.2": near(flat_steps),
    "6.3": smallest,
}
