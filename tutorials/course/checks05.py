"""The exercises of notebook 05."""

import numpy as np

import tinyebm as te


def variance(answer):
    """By the recursion of the variance, step by step."""
    for s, epsilon, k in ((1.0, 0.3, 4), (2.0, 0.5, 10), (0.5, 0.1, 1), (1.0, 1.5, 25)):
        v = 0.0
        for _ in range(k):
            v = (1 - epsilon / s**2) ** 2 * v + 2 * epsilon
        if not abs(float(answer(s, epsilon, k)) / v - 1) < 1e-9:
            return f"for s = {s}, ε = {epsilon} after {k} steps the variance is another"


def largest(answer):
    """By pushing p until it rests."""
    p = te.Density(te.DoubleWell(), {"barrier": np.array(2.0)}, te.Box(-3, 3, 1))
    good = []
    for epsilon in (0.002, 0.004, 0.008, 0.016):
        n = int(np.ceil(np.pi / 2 * 6 / (0.5 * np.sqrt(2 * epsilon))))
        law = te.probabilities(p, n)
        rest = law @ np.linalg.matrix_power(te.transition_matrix(p, te.ULA(epsilon), n), 2**14)
        good += [epsilon] if 0.5 * np.abs(rest - law).sum() < 0.01 else []
    return None if abs(float(answer) - max(good)) < 1e-9 else "not that one"


def factor(answer):
    """e^{-c E} at the recipe's temperature T is e^{-c E / T}: c = T; found by asking the recipe."""
    wanted = te.Recipe(step_size=10.0, noise=0.005).temperature
    return None if abs(float(answer) / wanted - 1) < 1e-6 else "not yet: at temperature T the law is exp(-energy / T)"


CHECKS = {"5.1": variance, "5.2": largest, "5.3": factor}
