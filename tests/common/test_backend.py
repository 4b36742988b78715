"""Random streams: reproducible, different at every step and seed, independent; arrays back from the GPU."""

import sys
import types

import numpy as np
import pytest

from tinyebm.common.backend import Stream, to_numpy


def normals(seed, step, n=1):
    return Stream(seed).at(step).standard_normal(n)


@pytest.mark.parametrize("seed", [0, 12345])
@pytest.mark.parametrize("step", [0, 7])
def test_a_step_is_the_child_that_numpy_would_spawn(seed, step):
    """`SeedSequence.spawn` is NumPy's own way to independent streams; ours needs no earlier steps."""
    child = np.random.SeedSequence(seed).spawn(step + 1)[step]

    np.testing.assert_array_equal(normals(seed, step, 5), np.random.default_rng(child).standard_normal(5))


def test_a_step_does_not_depend_on_what_was_drawn_before():
    """Catches a stream with a state: a resumed run would draw other numbers than an uninterrupted one."""
    stream = Stream(3)
    uninterrupted = [stream.at(step).random(4) for step in range(10)]

    np.testing.assert_array_equal(Stream(3).at(9).random(4), uninterrupted[9])
    np.testing.assert_array_equal(stream.at(2).random(4), uninterrupted[2])


def test_no_two_steps_or_seeds_share_numbers():
    """Catches seed + step, for which step 1 of seed 0 is step 0 of seed 1."""
    draws = [normals(seed, step)[0] for seed in range(40) for step in range(40)]

    assert len(set(draws)) == 1600


def test_steps_are_uncorrelated():
    """Sample correlations of independent normals, times √n, are standard normal themselves.

    Over all pairs among 40 (seed, step): the largest stays below 5, the mean
    square is 1 up to its own standard error.  Catches streams that overlap.
    """
    n = 4000
    draws = np.stack([normals(seed, step, n) for seed in range(4) for step in range(10)])
    z = np.corrcoef(draws)[np.triu_indices(40, 1)] * np.sqrt(n)
    lagged = np.sum(draws[:, 1:] * np.roll(draws, 1, axis=0)[:, :-1], axis=1) / np.sqrt(n - 1)

    assert np.abs(z).max() < 5
    assert np.abs(lagged).max() < 5
    assert abs(np.mean(z**2) - 1) / np.sqrt(2 / z.size) < 5


def test_means_over_steps():
    """The first number of every step, over steps, is a normal sample: catches steps that start alike."""
    first = np.array([normals(0, step)[0] for step in range(4000)])

    assert abs(np.mean(first)) * np.sqrt(4000) < 5
    assert abs(np.mean(first**2) - 1) / np.sqrt(2 / 4000) < 5
    assert abs(np.mean(first[1:] * first[:-1])) * np.sqrt(3999) < 5


def test_unknown_device():
    with pytest.raises(ValueError, match='"cpu" or "gpu", got \'tpu\''):
        Stream(0, device="tpu").at(0)


def test_gpu_without_cupy_says_what_to_install(monkeypatch):
    """Catches a silent fall-back to the CPU, and an ImportError that names no package."""
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy now fails

    with pytest.raises(ImportError, match=r'pip install "tinyebm\[gpu\]"'):
        Stream(0, device="gpu").at(0)


def test_gpu_generators_are_seeded_by_seed_and_step(monkeypatch):
    """With a CuPy that only records its seeds: all differ, and the same (seed, step) gives the same."""
    random = types.SimpleNamespace(default_rng=lambda seed: seed)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(random=random))

    seeds = [Stream(seed, device="gpu").at(step) for seed in range(20) for step in range(20)]

    states = [tuple(seed.generate_state(4)) for seed in seeds]  # of NumPy's SeedSequence, which CuPy takes
    assert len(set(states)) == 400
    assert states[27] == tuple(Stream(1, device="gpu").at(7).generate_state(4))


def test_streams_are_values():
    """Frozen and compared by what they hold, so that they can be stored with a run."""
    assert Stream(1) == Stream(1, "cpu") != Stream(2)
    with pytest.raises(AttributeError):
        Stream(1).seed = 2


def test_to_numpy_copies_from_the_gpu():
    """By the library's name alone: no import of CuPy, and NumPy arrays are not copied."""
    on_gpu = type("ndarray", (), {"__module__": "cupy._core.core", "get": lambda self: np.arange(3)})()
    x = np.arange(3)

    assert to_numpy(x) is x
    assert to_numpy(on_gpu).tolist() == [0, 1, 2]
    assert to_numpy(2.5).shape == ()
