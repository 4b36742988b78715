"""Where arrays live, and where random numbers come from.

Code elsewhere calls plain `np.f(x)` on array arguments, which NumPy hands to
the library x belongs to.  Only this file knows that CuPy exists.
"""

from dataclasses import dataclass

import numpy as np


def to_numpy(x):
    """Return x as a NumPy array, copied from the GPU if it lives there.

    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    return x.get() if type(x).__module__.partition(".")[0] == "cupy" else np.asarray(x)


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

    def at(self, step):
        """The generator of one step, on this stream's device.

        The seed sequence is keyed by (seed, step) as `numpy.random.SeedSequence`
        prescribes for independent streams.
        """
        entropy = np.random.SeedSequence(self.seed, spawn_key=(step,))
        if self.device == "cpu":
            return np.random.Generator(np.random.PCG64(entropy))
        if self.device == "gpu":
            try:
                import cupy
            except ImportError as error:
                raise ImportError('device="gpu" needs CuPy: pip install "tinyebm[gpu]"') from error
            return cupy.random.default_rng(int(entropy.generate_state(1, np.uint64)[0]))
        raise ValueError(f'device must be "cpu" or "gpu", got {self.device!r}')
