"""How fast tinyebm is beside the frameworks: `python tests/benchmarks/peers.py` (about two hours for everything).

Each library answers in a process of its own, in an environment of its own that this command makes.  Before a cell is
timed, the gradients of all libraries must agree.  Samples of the libraries alternate.  On one core a cell shows the median
CPU time of a process pinned to it, on two cores the least wall time.  Below a table stands why a library failed.

    python tests/benchmarks/peers.py --jobs A,C --cores 1      some of the cells
    python tests/benchmarks/peers.py --table results.json      the table of earlier results
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import problems as pb

HERE = Path(__file__).parent
NUMPY = ("numpy==2.4.6", "scipy==1.17.1")
JAX = (*NUMPY, "jax==0.10.2", "jaxlib==0.10.2", "ml_dtypes==0.6.0", "opt_einsum==3.4.0")
PACKAGES = {  # with all that they need, so that an environment made next year is this one
    "torch": [NUMPY[0], "torch==2.13.0", "ebmkit==0.16.0", "torchebm==0.8.9", "filelock==4.3.1", "fsspec==2026.9.0",
              "Jinja2==3.1.6", "MarkupSafe==3.0.4", "mpmath==1.3.0", "networkx==3.6.1", "setuptools==84.2.1", "sympy==1.14.0",
              "typing_extensions==4.16.0"],
    "jax": [*JAX],
    "autograd": [*NUMPY, "autograd==1.9.1"],
    "thrml": [*JAX, "thrml==0.1.4", "equinox==0.13.8", "jaxtyping==0.3.11", "typing_extensions==4.16.0", "wadler_lindig==0.1.8"],
}  # fmt: skip
TOLERANCE = {"float32": 2e-4, "float64": 1e-11}  # of the largest entry of a gradient
LONG, LEAST_SAMPLES = 2.0, 3  # seconds of a call from which on so many samples do
COMPILED = {"langevin": (128, 512)}  # chains for which torch.compile, minutes a cell, is timed

# library as shown -> (module, environment, {job: name there}, minor variants of a job)
LIBRARIES = {
    "tinyebm": ("jobs_tinyebm", None, {}),
    "floor": ("jobs_floor", None, {}),
    "torch eager": ("jobs_torch", "torch", {}),
    "torch.compile": ("jobs_torch", "torch", "{}_compiled"),
    "ebmkit": ("jobs_torch", "torch", "ebmkit_{}"),
    "torchebm": ("jobs_torch", "torch", "torchebm_{}"),
    "jax": ("jobs_jax", "jax", {}),
    "jax scan": ("jobs_jax", "jax", "{}_scan"),
    "jax tiled": ("jobs_jax", "jax", "{}_tiled"),
    "jax forward": ("jobs_jax", "jax", "{}_forward"),
    "autograd": ("jobs_autograd", "autograd", {}),
    "numpy": ("jobs_numpy", None, {}),
    "thrml": ("jobs_thrml", "thrml", {}),
}
EVERYBODY = ("tinyebm", "floor", "jax", "torch eager", "ebmkit", "torchebm")


def cells():
    """(job letter, title, job, problem, type, libraries) of every cell."""
    for net in pb.NETS:
        for chains in pb.CHAINS:
            more = ("torch.compile",) if chains in COMPILED["langevin"] else ()
            small = ("autograd",) if net.startswith("2-") else ()
            everybody = (*EVERYBODY, "jax scan", *more, *small)
            yield "A", f"{net}, {chains}", "langevin", {"net": net, "chains": chains}, "float32", everybody
    for net in pb.NETS:
        yield "B", net, "contrastive", {"net": net}, "float32", (*EVERYBODY, "torch.compile")
    for net in list(pb.NETS)[:2]:
        everybody = ("tinyebm", "floor", "jax", "jax tiled", "torch eager", "torch.compile", "autograd")
        yield "C", net, "likelihood", {"net": net}, "float64", everybody
        yield "C", f"{net}, own nodes, 1e-8", "own_nodes", {"net": net}, "float64", ("tinyebm",)
    within = {"updates": 100}
    yield "C", "100 exact updates within te.fit, 2-64-64-1 on two_moons", "exact_updates", within, "float64", ("tinyebm", "jax")
    yield "C", "te.mle of 2-64-64-1 on two_moons, 30 steps", "to_the_end", {"steps": 30}, "float64", ("tinyebm",)
    for net in list(pb.NETS)[:3]:
        yield "D1", net, "score_matching", {"net": net, "exact": True}, "float32", (*EVERYBODY, "jax forward", "autograd")
    for net in list(pb.NETS):
        problem = {"net": net, "exact": False}
        yield "D2", net, "score_matching", problem, "float32", (*EVERYBODY, "torch.compile", "autograd")
    yield "E", "Boltzmann machine, 20 bits", "boltzmann", {}, "float64", ("tinyebm", "jax", "torch eager")
    yield "E", "20-64-64-1 on 20 bits", "bits_net", {}, "float64", ("tinyebm", "floor", "jax", "torch eager")
    yield "E", "AIS, 2-64-64-1, 256 chains", "annealing", {}, "float64", ("tinyebm", "jax", "torch eager")
    for side in pb.BONDS:
        problem = {"side": side, "sweeps": 100}
        yield "G", f"Ising {side} x {side}", "ising", problem, "float64", ("tinyebm", "numpy", "thrml")
        yield "G", f"Ising {side} x {side}, in order", "ising", problem | {"scan": "systematic"}, "float64", ("tinyebm",)
    yield "G", "Boltzmann machine, 64 bits", "machine", {"sweeps": 100}, "float64", ("tinyebm", "numpy")


def python_of(environment, root):
    """The interpreter of a library's environment, made if it is not there or has other packages."""
    if environment is None:
        return sys.executable
    folder, wanted = root / environment, "\n".join(PACKAGES[environment])
    python, made = folder / "bin" / "python", folder / "packages.txt"
    if not made.exists() or made.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[environment]], check=True)
        made.write_text(wanted)
    return python


class Worker:
    """A process that serves one module's jobs."""

    def __init__(self, module, python, threads):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([python, HERE / "worker.py", module, str(threads)], cwd=HERE, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.errors.seek(0)
        return {"error": reason(status, self.errors.read().decode(errors="replace"))}

    def ask(self, **message):
        with suppress(BrokenPipeError):  # of a process that has ended: `read` says why
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        return self.read()

    def close(self):
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def reason(status, errors):
    """Why a process ended, from its status and what it wrote about errors: the last line of that."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1][:200] if lines and status > 0 else f"the process ended with status {status}"


def measure(cell, threads, root, samples, scratch):
    """{library: seconds, or why there are none} of one cell."""
    _, title, job, problem, dtype, libraries = cell
    workers, found, repeat, answers = {}, {}, {}, {}
    for library in libraries:
        module, environment, names = LIBRARIES[library]
        worker = Worker(module, python_of(environment, root), threads)
        name = names.format(job) if names else job
        file = str(Path(scratch) / f"{library}.npz")
        reply = worker.ask(do="setup", job=name, problem=problem, file=file)
        if "error" in reply:
            found[library] = {"error": reply["error"]}
            worker.close()
            continue
        with np.load(file) as numbers:
            answers[library] = [numbers[key] for key in numbers]
        workers[library], repeat[library] = worker, max(1, round(0.15 / max(reply["second_s"], 1e-9)))
        found[library] = {"first_s": reply["setup_s"] + reply["first_s"], "samples": []}
    require_agreement(title, answers, TOLERANCE[dtype])
    for sample in range(samples):
        for library, worker in workers.items():
            own = found[library]
            if "error" in own or (sample >= LEAST_SAMPLES and own["samples"][0] > LONG):
                continue
            reply = worker.ask(do="run", repeat=repeat[library])
            if "error" in reply:
                own |= reply
            else:
                own["samples"].append(reply["cpu" if threads == 1 else "wall"])
    for library, worker in workers.items():
        middle = median if threads == 1 else min  # wall time only grows by what else the machine does
        if "error" not in found[library]:
            found[library] |= {"seconds": middle(found[library]["samples"]), **worker.ask(do="memory")}
        worker.close()
    return found


def require_agreement(title, answers, tolerance):
    """Stop if two libraries differ in what they compute."""
    together = lambda numbers: np.concatenate([a.ravel() for a in numbers])
    for library, numbers in answers.items():
        if numbers and answers["tinyebm"]:
            truth, other = together(answers["tinyebm"]), together(numbers)
            gap = np.abs(truth - other).max() / np.abs(truth).max()
            if not gap <= tolerance:
                raise SystemExit(f"{title}: {library} differs from tinyebm by {gap:.1e}")


STARTS = {  # job -> [(title, name there, problem, libraries)]
    "F": [(f"{n} updates", "contrastive", {"net": "2-128-128-1", "updates": n},
           ("tinyebm", "jax", "torch eager", "ebmkit", "torchebm")) for n in (1, 500, 2000)],
    "G": [(f"Ising {side} x {side}, 1000 sweeps from the start of a process", "ising", {"side": side, "sweeps": 1000},
           ("tinyebm", "numpy", "thrml")) for side in (8, 16)],
}  # fmt: skip


def starts(letter, root, samples=3):
    """{title: {library: seconds from the start of a process to the end of a call}}, on one core."""
    line = ("import sys; sys.path.insert(0, {here!r}); sys.argv = ['', {module!r}, '1']; import worker, importlib; "
            "importlib.import_module({module!r}).JOBS[{name!r}](**{problem!r})[0]()")
    found = {}
    for title, job, problem, libraries in STARTS.get(letter, ()):
        for library in libraries:
            module, environment, names = LIBRARIES[library]
            name = names.format(job) if names else job
            code = line.format(here=str(HERE), module=module, name=name, problem=problem)
            found.setdefault(title, {})[library] = start([python_of(environment, root), "-c", code], samples)
    return found


def start(command, samples):
    """The median seconds of a command from start to end, or why it failed."""
    times = []
    for _ in range(samples):
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        times.append(time.perf_counter() - began)
        if done.returncode:
            return {"error": reason(done.returncode, done.stderr)}
    return {"seconds": median(times)}


def table(results):
    """The results as Markdown: milliseconds of tinyebm, and everybody else's time as a multiple of it; why a library failed."""
    lines = []
    for cores, jobs in sorted(results["cells"].items()):
        for letter in sorted({key.split(": ")[0] for key in jobs}):
            rows = {key.split(": ")[1]: cell for key, cell in jobs.items() if key.split(": ")[0] == letter}
            others = [name for name in LIBRARIES if name != "tinyebm" and any(name in row for row in rows.values())]
            lines += ["", f"**{letter}, {cores} core{'s' * (cores != '1')}**", "",
                      "| | tinyebm, ms | " + " | ".join(others) + " |", "|---|---|" + "---|" * len(others)]
            for title, row in rows.items():
                ours = row["tinyebm"]["seconds"]
                ratio = lambda name, row=row, ours=ours: "" if name not in row else (
                    "failed" if "seconds" not in row[name] else f"{row[name]['seconds'] / ours:.2f}")
                lines.append(f"| {title} | {1e3 * ours:.3g} | " + " | ".join(ratio(name) for name in others) + " |")
            failed = {f"{name} failed: {row[name]['error']}" for row in rows.values() for name in row if "seconds" not in row[name]}
            lines += ["", *sorted(failed)] if failed else []
    return "\n".join(lines[1:]) + "\n"


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="A,B,C,D1,D2,E,F,G")
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--only", default="", help="cells whose title holds this")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "tinyebm-peers")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    results = json.loads(options.out.read_text()) if options.out.exists() else {"cells": {}}
    results |= {"machine": machine, "packages": PACKAGES}
    for threads in options.cores.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            for cell in cells():
                if cell[0] in options.jobs.split(",") and options.only in cell[1]:
                    found = measure(cell, int(threads), options.envs, options.samples, scratch)
                    results["cells"].setdefault(threads, {})[f"{cell[0]}: {cell[1]}"] = found
                    options.out.write_text(json.dumps(results, indent=1))
                    report = {name: f"{1e3 * f['seconds']:.3g} ms" if "seconds" in f else f["error"] for name, f in found.items()}
                    print(threads, cell[0], cell[1], report, flush=True)
        for letter in options.jobs.split(",") if threads == "1" and not options.only else ():
            for title, found in starts(letter, options.envs).items():
                results["cells"].setdefault(threads, {})[f"{letter}: {title}"] = found
                print(letter, title, found, flush=True)
            options.out.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
