"""The exercises of notebook 05."""

import numpy as np

import tinyebm as te
from course.near import function, near, number


def variance(answer):
    """By the recursion of the variance, step by step."""
    for s, epsilon, k in ((1.0, 0.3, 4), (2.0, 0.5, 10), (0.5, 0.1, 1), (1.0, 1.5, 25)):
        v = 0.0
        for _ in range(k):
            v = (1 - epsilon / s**2) ** 2 * v + 2 * epsilon
        found = number(function(answer)(s, epsilon, k))
        if not abs(found / v - 1) < 1e-9:
            return f"for s = {s}, ε = {epsilon}, k = {k} the variance is {v:.4f}, and the function says {found:.4f}"


def largest(answer):
    """By the eigenvector of the transition matrix, on nodes just fine enough."""
    p = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Box(-3, 3, 1))
    choices, value = (0.001, 0.003, 0.006, 0.012), number(answer)
    if value not in choices:
        return f"answer with one of {', '.join(map(str, choices))}"
    distances = {}
    for epsilon in choices:
        n = int(np.ceil(3 * 6 / np.sqrt(2 * epsilon)))  # three nodes for every standard deviation of the noise
        values, vectors = np.linalg.eig(te.transition_matrix(p, te.ULA(epsilon), n).T)
        rest = np.abs(vectors[:, values.real.argmax()].real)
        distances[epsilon] = 0.5 * np.abs(rest / rest.sum() - te.probabilities(p, n)).sum()
    good = max(epsilon for epsilon, distance in distances.items() if distance < 0.01)
    if value < good:
        return "a larger one will do"
    return None if value == good else f"at ε = {value} the total variation is {distances[value]:.4f}"


def factor():
    """On N(0, 1) with small steps the variance of the chain for c E is 0.005² / (2 · 10 c): it must be one."""
    return 0.005**2 / 20


CHECKS = {
    "5.1": variance,
    "5.2": largest,
    "5.3": near(factor, relative=1e-3, slips=[(lambda: 1 / factor(), "the other way round: at temperature T it is e^{-E/T}")]),
}
