"""How time and memory of tinyebm grow: `OPENBLAS_NUM_THREADS=1 python tests/benchmarks/growth.py` writes growth.png beside it.

Time is the least of a few runs; memory is the peak that NumPy allocates in a first call, programs included, on top of
what was there before.  The lines have the slope that theory predicts, through the last point.
"""

import time
import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import problems as pb
from jobs_tinyebm import model

import tinyebm as te
from tinyebm.density import exponent_and_score
from tinyebm.exact.gradient import exact_phase
from tinyebm.exact.sums import model_phase
from tinyebm.replay.plans import _PLANS
from tinyebm.spaces.grids import Grid, trapezoid


def of_points(n):
    p, x = model((2, 64, 64, 1), "float32"), pb.points(n, 2, "float32")[0]
    return lambda: exponent_and_score(p, x)


def of_parameters(width):
    p, x = model((2, width, width, 1), "float32"), pb.points(512, 2, "float32")[0]
    return lambda: exponent_and_score(p, x)


def of_chains(n):
    p, x, rng = model((2, 64, 64, 1), "float32"), pb.points(n, 2, "float32")[0], np.random.default_rng(0)
    return lambda: te.run(te.ULA(pb.STEP), p, x, 20, rng)


def of_nodes(side):
    p, grid = model((2, 64, 64, 1), "float64"), Grid((trapezoid(side, -4, 4),) * 2)
    return lambda: model_phase(p, grid)


def of_bits(bits):
    machine = te.BoltzmannMachine(bits)
    p = te.Density(machine, machine.init(np.random.default_rng(0)), te.Bits(bits))
    return lambda: exact_phase(p)


# what grows: (job of a size, sizes, what is counted, its name, bytes of memory that theory predicts for each, beside a constant)
PANELS = {
    "score of points": (of_points, [2**k for k in range(9, 19)], lambda n: n, "points", 12),
    "score by a network": (of_parameters, [16, 32, 64, 128, 256, 512, 1024], lambda h: h * h + 4 * h, "parameters", 16),
    "20 Langevin steps": (of_chains, [2**k for k in range(7, 16)], lambda n: n, "chains", 8),
    "log Z and its gradient": (of_nodes, [50, 100, 200, 400, 800], lambda n: n * n, "grid nodes", 0),
    "log Z of a Boltzmann machine": (of_bits, range(8, 23, 2), lambda n: 2**n, "states", 0),
}


def measure(job):
    """(seconds, peak bytes)."""
    job()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    _PLANS.clear()  # so that the memory of programs counts
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    job()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return min(seconds), peak


def main():
    """Measure, print and draw."""
    figure, axes = plt.subplots(2, len(PANELS), figsize=(17, 6), layout="constrained")
    for (above, below), (title, (job, sizes, count, name, each)) in zip(axes.T, PANELS.items(), strict=True):
        x = np.array([count(size) for size in sizes], float)
        seconds, peak = np.array([measure(job(size)) for size in sizes]).T
        slope = np.polyfit(np.log(x[len(x) // 2 :]), np.log(seconds[len(x) // 2 :]), 1)[0]
        above.loglog(x, seconds, "o", color="#0072B2", label=f"measured, slope {slope:.2f}")
        above.loglog(x, seconds[-1] * x / x[-1], "--", color="#D55E00", label="theory, slope 1")
        above.set(title=title, xlabel=name, ylabel="seconds")
        below.loglog(x, peak / 1e6, "o", color="#0072B2", label="measured")
        theory = f"theory, const + {each} bytes each" if each else "theory, a constant"
        below.loglog(x, (peak[len(x) // 2] + each * (x - x[len(x) // 2])) / 1e6, "--", color="#D55E00", label=theory)
        below.set(xlabel=name, ylabel="peak memory, MB", ylim=(0.05, 200))
        for ax in (above, below):
            ax.legend(fontsize=7, loc="upper left")
        print(f"{title}: slope of time {slope:.2f}, theory 1; memory {peak[0] / 1e6:.3g} to {peak[-1] / 1e6:.3g} MB")
    figure.savefig(Path(__file__).parent / "growth.png", dpi=80)


if __name__ == "__main__":
    main()
