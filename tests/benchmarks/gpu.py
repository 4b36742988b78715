"""Langevin steps and a CD-20 step on a GPU, beside NumPy on all cores, PyTorch and JAX.

    python tests/benchmarks/gpu.py           on a machine with a GPU and CuPy, in under five minutes
    python tests/benchmarks/gpu.py --json results.json

The network is 2-128-128-1 with SiLU, in single precision.  Scores are checked first, to 1e-4 of float64.  Times are a
step's: of 60 steps in a row, or of as many as fit into the time, the least of some repeats, the device waited for.
A library that is not there is left out; what fails is reported and stops nothing else.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import time

import numpy as np

import tinyebm as te
from tinyebm.common.backend import Stream, to_numpy

CHAINS, STEPS, STEP = (4096, 65536, 1048576), 60, 0.01
NET = te.MLP((2, 128, 128, 1))
PATIENCE = 8.0  # seconds for a cell
GOALS = [  # what, chains, least ratio of the plain NumPy time over CuPy's, or most seconds a step
    ("at least 5 times plain NumPy", 4096, 5.0, None), ("at least 50 times plain NumPy", 65536, 50.0, None),
    ("at least 80 times plain NumPy", 1048576, 80.0, None), ("at most 375 µs a step", 4096, None, 375e-6),
    ("at most 6 ms a step", 1048576, None, 6e-3),
]  # fmt: skip


def weights():
    """(W, b) of every layer, float64."""
    theta = NET.init(np.random.default_rng(0))
    return [{"W": layer["W"], "b": 0.1 * np.random.default_rng(1).standard_normal(len(layer["b"]))} for layer in theta]


def points(n):
    return np.random.default_rng(2).standard_normal((n, 2))


def seconds_of(run, wait, units=1):
    """Seconds a unit: the least of some calls, within PATIENCE."""
    run()
    wait()
    best, spent = math.inf, 0.0
    while spent < PATIENCE / 2 and (spent < 0.5 or best == math.inf):
        start = time.perf_counter()
        run()
        wait()
        best, spent = min(best, time.perf_counter() - start), spent + time.perf_counter() - start
    return best / units


def steps_for(seconds_a_step):
    """How many steps to time: 60, or as many as fit."""
    return max(1, min(STEPS, int(PATIENCE / 4 / max(seconds_a_step, 1e-9))))


def density(stream, dtype="float32"):
    theta = [{name: a.astype(dtype) for name, a in layer.items()} for layer in weights()]
    return te.Density(NET, stream.place(theta), te.Reals(2))


def relative_error(found, truth):
    return float(np.linalg.norm(np.asarray(found, "float64") - truth) / np.linalg.norm(truth))


# ------------------------------------------------------------------------------------------ tinyebm


def tinyebm(device, wait):
    """{(job, chains): seconds} of tinyebm on one device."""
    stream = Stream(0, device)
    p = density(stream)
    truth = te.score(density(Stream(0), "float64"), points(4096))
    error = relative_error(to_numpy(te.score(p, stream.place(points(4096).astype("float32")))), truth)
    print(f"  score on {device}: {error:.1e} of float64 {'met' if error <= 1e-4 else 'MISSED'}: at most 1e-4", flush=True)
    kernel, objective, found = te.ULA(STEP), te.ContrastiveDivergence(te.ULA(STEP), 20), {}
    for n in CHAINS:
        x = stream.place(points(n).astype("float32"))
        one = seconds_of(lambda x=x: te.run(kernel, p, x, 1, stream.at(1)), wait)
        steps = steps_for(one)
        found["step", n] = seconds_of(lambda x=x, steps=steps: te.run(kernel, p, x, steps, stream.at(1)), wait, steps)
        if 20 * found["step", n] < PATIENCE:
            found["CD-20", n] = seconds_of(lambda x=x: objective.gradient(p, x, stream.at(1)), wait)
    return found


def plain():
    """tinyebm on NumPy without replay: the calls as they stand."""
    with te.plain():
        return tinyebm("cpu", lambda: None)


def on_gpu():
    """tinyebm on CuPy's arrays."""
    import cupy

    return tinyebm("gpu", cupy.cuda.get_current_stream().synchronize)


# ------------------------------------------------------------------------------------- PyTorch and JAX


def pytorch(graphs):
    """PyTorch on CUDA, step by step, or one captured graph a step."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    layers = [(torch.tensor(a["W"], dtype=torch.float32, device="cuda"), torch.tensor(a["b"], dtype=torch.float32, device="cuda"))
              for a in weights()]

    def energy(x):
        for W, b in layers[:-1]:
            x = torch.nn.functional.silu(x @ W + b)
        return (x @ layers[-1][0] + layers[-1][1])[:, 0]

    def step(x):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(energy(x).sum(), x)[0]
        return x.detach() - STEP * slope + math.sqrt(2 * STEP) * torch.randn_like(x)

    found = {}
    for n in CHAINS:
        x = torch.tensor(points(n), dtype=torch.float32, device="cuda")
        if not graphs:
            def run(x=x):
                for _ in range(STEPS):
                    x = step(x)
        else:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    x.copy_(step(x))
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                x.copy_(step(x))

            def run(graph=graph):
                for _ in range(STEPS):
                    graph.replay()
        found["step", n] = seconds_of(run, torch.cuda.synchronize, STEPS)
    return found


def jax():
    """JAX, all steps in one compiled loop."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_default_matmul_precision", "highest")
    layers = [(jnp.asarray(a["W"], jnp.float32), jnp.asarray(a["b"], jnp.float32)) for a in weights()]

    def energy(x):
        for W, b in layers[:-1]:
            x = jax.nn.silu(x @ W + b)
        return (x @ layers[-1][0] + layers[-1][1]).sum()

    slope = jax.grad(energy)

    @jax.jit
    def chain(x, key):
        def step(_, state):
            x, key = state
            key, own = jax.random.split(key)
            return x - STEP * slope(x) + math.sqrt(2 * STEP) * jax.random.normal(own, x.shape, x.dtype), key
        return jax.lax.fori_loop(0, STEPS, step, (x, key))[0]

    key = jax.random.key(0)
    where = jax.devices()[0].platform
    print(f"  on {where}", flush=True)
    starts = {n: jnp.asarray(points(n), jnp.float32) for n in (CHAINS if where == "gpu" else CHAINS[:1])}
    return {("step", n): seconds_of(lambda x=x: chain(x, key).block_until_ready(), lambda: None, STEPS) for n, x in starts.items()}


LIBRARIES = {
    "tinyebm on CuPy": on_gpu,
    "tinyebm on NumPy, all cores": lambda: tinyebm("cpu", lambda: None),
    "tinyebm on NumPy, no replay": plain,
    "PyTorch eager, CUDA": lambda: pytorch(False),
    "PyTorch, CUDA graphs": lambda: pytorch(True),
    "JAX": jax,
}


def main():
    """Measure what is there, print the table and the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=pathlib.Path, help="write the seconds there too")
    options = parser.parse_args()
    start, results = time.perf_counter(), {}
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores, {card()}")
    for name, measure in LIBRARIES.items():
        print(name, flush=True)
        try:
            results[name] = measure()
        except Exception as error:  # not installed, no device, out of memory: the others go on
            print(f"  not measured: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}")
    print("\nmilliseconds" + " " * 20 + "".join(f"{job} x {n}".rjust(19) for job in ("step", "CD-20") for n in CHAINS))
    for name, found in results.items():
        cells = [f"{1e3 * found[job, n]:.3f}" if (job, n) in found else "" for job in ("step", "CD-20") for n in CHAINS]
        print(f"{name:<32}" + "".join(cell.rjust(19) for cell in cells))
    ours, base = results.get("tinyebm on CuPy"), results.get("tinyebm on NumPy, no replay", {})
    for what, n, ratio, most in GOALS if ours else ():
        reached = base["step", n] / ours["step", n] if ratio else ours["step", n]
        met = reached >= ratio if ratio else reached <= most
        print(f"{'met   ' if met else 'MISSED'} {what}, {n} chains: {reached:.1f} times" if ratio else
              f"{'met   ' if met else 'MISSED'} {what}, {n} chains: {1e6 * reached:.0f} µs")
    if not ours:
        print("no goal was judged: CuPy or the GPU is missing")
    print(f"{time.perf_counter() - start:.0f} s in all")
    if options.json:
        rows = {name: {f"{job} {n}": seconds for (job, n), seconds in found.items()} for name, found in results.items()}
        options.json.write_text(json.dumps(rows, indent=1))


def card():
    """The GPU and CuPy's version, in words."""
    try:
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(0)
        return f"CuPy {cupy.__version__} on {properties['name'].decode()}"
    except Exception:
        return "no CuPy or no GPU"


if __name__ == "__main__":
    main()
