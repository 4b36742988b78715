"""Where arrays live, and where random numbers come from.

Code elsewhere calls plain `np.f(x)` on array arguments, which NumPy hands to
the library x belongs to.  Arrays are born where the generator of a run lives.
Only this file knows that CuPy exists.
"""

from dataclasses import dataclass

import numpy as np

from tinyebm.common.checks import require_count
from tinyebm.common.tree import tree_flatten, tree_map


def on_gpu(x):
    """Whether x, an array or a generator, is CuPy's.

    >>> on_gpu(np.zeros(2))
    False
    """
    return type(x).__module__.partition(".")[0] == "cupy"


def to_numpy(x):
    """Return x as a NumPy array, copied from the GPU if it lives there.

    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    return x.get() if on_gpu(x) else np.asarray(x)


def to_host(tree):
    """The tree with NumPy arrays for leaves: itself if it has no others."""
    return tree_map(to_numpy, tree) if any(map(on_gpu, tree_flatten(tree)[0])) else tree


def beside(tree, *arrays):
    """The arrays, sent to where the leaves of a tree live: unchanged if they are there."""
    there = [leaf for leaf in tree_flatten(tree)[0] if on_gpu(leaf)]
    return tuple(x if on_gpu(x) or not there else np.asarray(x, like=there[0]) for x in arrays)


def host_generator(rng):
    """A generator of NumPy's: rng itself, or one seeded by a draw of a GPU's."""
    return np.random.default_rng(int(rng.integers(0, 2**62))) if on_gpu(rng) else rng


def gpu_kernel(formula):
    """A function by elementwise NumPy functions as a single kernel on CuPy arrays (`cupy.fuse`).

    Numbers meet arrays only: of two numbers cupy.fuse makes one of double precision.
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
    """An argument that cupy.fuse traces, taught to answer NumPy's functions by CuPy's."""

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
    """Random generators indexed by time: `Stream(seed).at(step)` is a fresh, independent Generator.

    The numbers of a step depend on (seed, step) alone, so a run resumed at
    step 500 draws what the uninterrupted run would have drawn.

    >>> bool(Stream(0).at(7).random() == Stream(0).at(7).random())
    True
    """

    seed: int
    device: str = "cpu"
    attempt: int = 0  # other numbers for a run that went wrong

    def __post_init__(self):
        require_count(self.seed, "seed must be an integer >= 0", least=0)

    def at(self, step):
        """The generator of one step, on this stream's device.

        The seed sequence is keyed by (seed, step) as `numpy.random.SeedSequence`
        prescribes for independent streams.
        """
        entropy = np.random.SeedSequence(
            self.seed, spawn_key=(step, self.attempt) if self.attempt else (step,)
        )
        if self.device == "cpu":
            return np.random.Generator(np.random.PCG64(entropy))
        if self.device == "gpu":
            return _cupy().random.default_rng(entropy)
        raise ValueError(f'device must be "cpu" or "gpu", got {self.device!r}')

    def place(self, tree):
        """The tree with its arrays on this stream's device, but counters (integers of no dimension)
        on the host."""
        if self.device != "gpu":
            return to_host(tree)
        return tree_map(
            lambda x: (
                x if on_gpu(x) or (x.ndim == 0 and x.dtype.kind == "i") else _cupy().asarray(x)
            ),
            tree,
        )
