"""How much sooner a sweep of 20 seeds and four methods ends with two workers than with one.

    python tests/benchmarks/sweeping.py
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import tinyebm as te
from tinyebm.experiment.setups import named_objective

GRID, SEEDS = {"method": ["mle", "cd-1", "cd-10", "pcd-10"]}, 20


def run(seed, method):
    """The exact NLL of one method after a hundred updates."""
    target, net = te.datasets.load("two_moons"), te.MLP((2, 64, 64, 1), confinement=1.0)
    found = te.fit(net, target, objective=named_objective(method, te.ULA(0.01)), steps=100, seed=seed, exact=False, progress=False)
    return float(te.nll(found.density, target, 1e-4))


def main():
    """One after the other, then by two processes."""
    start = time.perf_counter()
    alone = te.sweep(run, GRID, SEEDS, progress=False)
    middle = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        spread = te.sweep(run, GRID, SEEDS, executor, progress=False)
    one, two = middle - start, time.perf_counter() - middle
    print(f"{one:.1f} s alone, {two:.1f} s with two workers: {one / two:.2f} times as fast; the same numbers: {alone == spread}")


if __name__ == "__main__":
    main()
