"""The digits of results, and how many threads linear algebra has."""

import os
import subprocess
import sys

import pytest

from tinyebm.replay import blas

DIGITS = """
import hashlib, numpy as np, tinyebm as te
from tinyebm.common.tree import ravel

net, moons = te.MLP((2, 64, 64, 1), confinement=1.0), te.datasets.load("two_moons")
quick = dict(steps=2, log_every=2, progress=False)
p = te.Density(net, net.init(np.random.default_rng(0)), te.Reals(2))
found = [te.run(te.ULA(0.01), p, np.zeros((2000, 2)), 9, np.random.default_rng(0))[0], te.nll(p, moons), te.log_partition(p),
         te.sample(p, 99, np.random.default_rng(0)), moons.entropy]
noise = te.Normal([0, 0], np.eye(2))
for objective in (te.ContrastiveDivergence(te.ULA(0.01), 3), te.ExactLikelihood(), te.NoiseContrastive(noise)):
    for dtype in ("float64", "float32"):
        fit = te.fit(net, moons, objective=objective, dtype=dtype, **quick)
        found += [ravel(fit.theta)[0], *fit.history.values()]
class Product:
    def gradient(self, p, x, rng, state=None):
        a, b = np.random.default_rng(1).random((2, 200_000))
        return te.Step(te.ExactLikelihood().gradient(p, x, rng).gradient, {"loss": float(a @ b)}, None)
found.append(te.fit(te.GaussianEnergy(2), moons, te.Reals(2), Product(), exact=False, **quick).history["loss"][-1])
wide = lambda theta, x: te.ops.sum(te.ops.tanh(x @ theta["a"]) @ theta["b"], axis=1) + te.ops.sum(x * x, axis=1)
draw = np.random.default_rng(0).standard_normal
theta = {"a": draw((2, 256)), "b": draw((256, 256)) / 256}
fit = te.fit(wide, moons, te.Reals(2), te.ScoreMatching(), theta=theta, exact=False, batch_size=4096, **quick)
found.append(ravel(fit.theta)[0])
found.append(ravel(te.mle(te.MLP((1, 64, 64, 1), confinement=1.0), draw((30_000, 1)), max_steps=2).theta)[0])
print([hashlib.sha256(np.ascontiguousarray(part, float).tobytes()).hexdigest()[:8] for part in found])
"""


def test_numbers_do_not_depend_on_threads():
    """The same seed, digits, and history with one and two threads of linear algebra.

    Catches a product outside of the tiles that the library's threads share.
    """
    if blas._library() is None:
        pytest.skip("NumPy uses a library whose threads cannot be held")
    found = set()
    for threads in "12":
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-W", "ignore", "-c", DIGITS]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        found.add(run.stdout)
    assert len(found) == 1
