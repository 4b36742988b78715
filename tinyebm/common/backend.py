"""NumPy or CuPy: the device of arrays, and random generators.

All other code calls `np.f(x)` on arrays, and NumPy passes the call to the library of x.  New arrays
are made on the device of the random generator.  Only this file imports CuPy.
"""

from dataclasses import dataclass

import numpy as np

from tinyebm.common.checks import require_count
from tinyebm.common.tree import tree_flatten, tree_map


def on_gpu(x):
    """Whether x is an array or a generator of CuPy.

    >>> on_gpu(np.zeros(2))
    False
    """
    return type(x).__module__.partition(".")[0] == "cupy"


def to_numpy(x):
    """Return x as a NumPy array, copied from the GPU if necessary.

    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    return x.get() if on_gpu(x) else np.asarray(x)


def as_array(x):
    """x as an array that a file gives back as it is: no number, and no view with gaps.

    NumPy makes numbers of arrays of no dimension in every operation.

    >>> as_array(np.ones(()) + 1)
    array(2.)
    """
    x = x if on_gpu(x) else np.asarray(x)
    return x if x.flags.forc else x.copy()


def to_host(tree):
    """The tree with NumPy arrays as leaves; a tree of NumPy arrays is returned unchanged."""
    return tree_map(to_numpy, tree) if any(map(on_gpu, tree_flatten(tree)[0])) else tree


def beside(tree, *arrays):
    """The arrays on the device of the leaves of a tree, copied only if necessary."""
    there = [leaf for leaf in tree_flatten(tree)[0] if on_gpu(leaf)]
    return tuple(x if on_gpu(x) or not there else np.asarray(x, like=there[0]) for x in arrays)


def host_generator(rng):
    """A NumPy generator: rng itself, or one that is seeded by a draw of a generator on a GPU."""
    return np.random.default_rng(int(rng.integers(0, 2**62))) if on_gpu(rng) else rng


def gpu_kernel(formula):
    """A formula of elementwise NumPy functions as a single kernel on CuPy arrays (`cupy.fuse`).

    The formula must not combine two numbers: cupy.fuse would make one of double precision.
    """
    fuse = _cupy().fuse(kernel_name="tinyebm_" + formula.__name__.strip("<>"))
    return fuse(lambda *args: formula(*[_Fusible(x) for x in args]).value)


def _cupy():
    try:
        import cupy
    except ImportError as error:
        raise ImportError('device="gpu" needs CuPy: pip install "tinyebm[gpu]"') from error
    return cupy


class _Fusible(np.lib.mixins.NDArrayOperatorsMixin):
    """An argument that cupy.fuse traces; a NumPy function of it calls that of CuPy."""

    def __init__(self, value):
        self.value = value

    def __array_ufunc__(self, ufunc, method, *args):
        return _Fusible(
            getattr(_cupy(), ufunc.__name__)(
                *[x.value if isinstance(x, _Fusible) else x for x in args]
            )
        )


@dataclass(frozen=True)
class Stream:
    """Random generators by step: `Stream(seed).at(step)` is a new Generator, independent of others.

    Its numbers depend only on (seed, step), so a run that is resumed at step 500 draws the same
    numbers as the uninterrupted run.

    >>> bool(Stream(0).at(7).random() == Stream(0).at(7).random())
    True
    """

    seed: int
    device: str = "cpu"
    attempt: int = 0  # after a failure the next attempt draws other numbers

    def __post_init__(self):
        require_count(self.seed, "seed must be an integer >= 0", least=0)

    def at(self, step):
        """The generator of one step, on this stream's device (`numpy.random.SeedSequence`)."""
        key = (step, self.attempt) if self.attempt else (step,)
        entropy = np.random.SeedSequence(self.seed, spawn_key=key)
        if self.device == "cpu":
            return np.random.Generator(np.random.PCG64(entropy))
        if self.device == "gpu":
            return _cupy().random.default_rng(entropy)
        raise ValueError(f'device must be "cpu" or "gpu", got {self.device!r}')

    def place(self, tree):
        """The tree with its arrays on this stream's device.

        Counters, integers of no dimension, stay on the host.
        """
        if self.device != "gpu":
            return to_host(tree)
        stays = lambda x: on_gpu(x) or (x.ndim == 0 and x.dtype.kind == "i")
        return tree_map(lambda x: x if stays(x) else _cupy().asarray(x), tree)
