"""The arrays of a run are those of its generator: NumPy's, a stand-in for CuPy's, or CuPy's own where a GPU is.

On the stand-in every result equals NumPy's to the last bit (with replay turned off: it is for NumPy alone), nothing on
the way may meet the other library's arrays, and launches and waits are counted.
"""

import sys

import numpy as np
import pytest

import cupy_double
import tinyebm as te
from tinyebm.common.backend import Stream, on_gpu, to_numpy
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.density import atom_exponents, score_and_laplacian
from tinyebm.exact.gradient import exact_phase
from tinyebm.replay import door, plans

NET = te.MLP((2, 8, 8, 1), confinement=0.5)


@pytest.fixture(params=["double", "cupy"])
def device(request, monkeypatch):
    """device(f, *args): f on the CPU as it stands, and f where CuPy's arrays are, with whatever they return in NumPy."""
    if request.param == "cupy":
        cupy = pytest.importorskip("cupy")
        if not cupy.cuda.is_available():
            pytest.skip("no GPU")
    else:
        monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    monkeypatch.setattr(plans, "replayable", lambda *args, **kwargs: False)
    monkeypatch.setattr(door, "UNTILED", 10**9)  # sums in one order

    def compare(function, exact=True):
        here, there = (flat(function(Stream(0, where))) for where in ("cpu", "gpu"))
        assert len(here) == len(there) > 0
        assert any(on_gpu(x) for x in there), "nothing came back from the device"
        for a, b in zip(here, there, strict=True):
            b = to_numpy(b)
            assert np.asarray(a).dtype == b.dtype and np.shape(a) == b.shape
            if request.param == "double":
                np.testing.assert_array_equal(a, b)
            elif exact:  # CuPy draws other numbers, and rounds otherwise
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            else:
                assert np.isfinite(b).all()

    return compare


@pytest.fixture
def double(monkeypatch):
    """The stand-in, installed as cupy."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    return cupy_double


def flat(found):
    """The arrays and numbers in nested tuples, lists and dicts."""
    return [np.asarray(x) if isinstance(x, (int, float)) else x for x in tree_flatten(found)[0] if x is not None]


def placed(stream, energy, dtype="float64", seed=0):
    """The same parameters on any device."""
    theta = tree_map(lambda a: a.astype(dtype), energy.init(np.random.default_rng(seed)))
    return stream.place(theta)


def rows(stream, n=50, d=2, dtype="float64"):
    return stream.place(np.random.default_rng(1).standard_normal((n, d)).astype(dtype))


def bits(stream, n, d):
    return stream.place(np.random.default_rng(1).integers(0, 2, size=(n, d)) * 1.0)


CONTINUOUS = {
    "silu": NET,
    "tanh": te.MLP((2, 8, 8, 1), "tanh", 0.5),
    "softplus": te.MLP((2, 8, 1), "softplus", 0.5),
    "relu": te.MLP((2, 8, 1), "relu", 0.5),
    "gaussian": te.GaussianEnergy(2),
    "mixture": te.GaussianMixtureEnergy(3, 2),
    "gaussian-bernoulli": te.GaussianBernoulliRBM(2, 3),
}
DISCRETE = {
    "boltzmann": (te.BoltzmannMachine(5), te.Bits(5)),
    "rbm": (te.RBM(5, 3), te.Bits(5)),
    "mlp": (te.MLP((5, 4, 1)), te.Bits(5)),
    "ising": (te.Ising((2, 3)), te.Spins(6)),
    "open": (te.Ising((2, 3), False), te.Spins(6)),
    "potts": (te.Potts(3, (2, 3)), te.Cells(3, 6)),
    "tabular": (te.TabularEnergy(6), te.Cells(6)),
}


# ---------------------------------------------------------------------------------- energies, derivatives


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_energies_and_their_derivatives_to_second_order(device, name, dtype):
    energy = CONTINUOUS[name]

    def derivatives(stream):
        theta, x = placed(stream, energy, dtype), rows(stream, dtype=dtype)
        p = te.Density(energy, theta, te.Reals(2))
        total = lambda x: te.ops.sum(energy(theta, x))
        by_theta = te.grad(lambda theta: te.ops.sum(energy(theta, x) ** 2))(theta)
        found = [energy(theta, x), te.score(p, x), te.hvp(total, x, x), by_theta]
        return [*found, *score_and_laplacian(p, x)] if name not in ("relu",) else found

    device(derivatives)


@pytest.mark.parametrize("name", DISCRETE)
def test_energies_on_states(device, name):
    energy, space = DISCRETE[name]
    states = space.grid().all()[0]

    def derivatives(stream):
        theta, x = placed(stream, energy), stream.place(states)
        return energy(theta, x), te.grad(lambda theta: te.ops.sum(energy(theta, x) ** 2))(theta)

    device(derivatives)


# ------------------------------------------------------------------------------------------- samplers


@pytest.mark.parametrize("space", [te.Reals(2), te.Box(-2, 2, 2)], ids=["R^2", "box"])
@pytest.mark.parametrize("kernel", [te.ULA(0.05), te.ULA(0.05, temperature=2.0), te.MALA(0.1), te.HMC(0.2, 3)], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samplers_on_vectors(device, kernel, space, dtype):
    def chain(stream):
        p, x = te.Density(NET, placed(stream, NET, dtype), space), space.fold(rows(stream, dtype=dtype))
        end, info = te.run(kernel, p, x, 6, stream.at(1), record=2)
        return end, info

    device(chain, exact=False)


@pytest.mark.parametrize("name, kernel", [
    ("boltzmann", te.Gibbs()), ("boltzmann", te.Gibbs("random")), ("mlp", te.GibbsWithGradients()), ("rbm", te.BlockGibbs()),
    ("rbm", te.Gibbs()), ("ising", te.Gibbs()), ("ising", te.Gibbs("coloured")), ("ising", te.Gibbs("random")),
    ("potts", te.Gibbs("coloured")), ("potts", te.Gibbs("random")), ("open", te.Gibbs()), ("rbm", te.Gibbs("coloured")),
    ("ising", te.GibbsWithGradients()), ("boltzmann", te.GibbsWithGradients()),
], ids=repr)  # fmt: skip
def test_samplers_on_states(device, name, kernel):
    energy, space = DISCRETE[name]

    def chain(stream):
        p = te.Density(energy, placed(stream, energy), space)
        return te.run(kernel, p, stream.place(space.grid().all()[0][::3]), 4, stream.at(1))[0]

    device(chain, exact=False)


# ----------------------------------------------------------------------------------------- exact answers


@pytest.mark.parametrize("name, space", [
    ("silu", te.Reals(2)), ("silu", te.Box(-3, 3, 2)), ("silu", te.Reals(2, base_scale=1.0)), ("relu", te.Reals(2)),
    ("gaussian", te.Reals(2)), ("mixture", te.Reals(2)), ("gaussian-bernoulli", te.Reals(2)),
], ids=repr)  # fmt: skip
def test_log_z_and_the_gradient_of_the_likelihood(device, name, space):
    energy = CONTINUOUS[name]

    def answers(stream):
        p, x = te.Density(energy, placed(stream, energy), space), rows(stream)
        log_z = te.log_partition(p, 1e-5)
        return float(log_z), log_z.error, float(te.nll(p, x, 1e-5)), te.nll_gradient(p, x, 1e-5), te.log_prob(p, x, log_z)

    device(answers)


@pytest.mark.parametrize("name", DISCRETE)
def test_sums_over_states(device, name):
    energy, space = DISCRETE[name]

    def answers(stream):
        p = te.Density(energy, placed(stream, energy), space)
        log_z, gradient = exact_phase(p)
        entropy = te.entropy(p)
        return log_z, float(te.log_partition(p)), gradient, atom_exponents(p, space.grid()), float(entropy)

    device(answers)


# ------------------------------------------------------------------------------------------------ fitting

OBJECTIVES = {
    "cd": te.ContrastiveDivergence(te.ULA(0.05), 3),
    "cd, regularised": te.ContrastiveDivergence(te.MALA(0.05), 2, alpha=0.1),
    "pcd": te.PersistentContrastiveDivergence(te.ULA(0.05), 2, chains=40),
    "short": te.ShortRun(te.ULA(0.05), 3),
    "mle": te.ExactLikelihood(rtol=1e-3, refresh=2),
    "sm": te.ScoreMatching(),
    "ssm": te.SlicedScoreMatching(2),
    "dsm": te.DenoisingScoreMatching(0.2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_fit_on_vectors(device, name, dtype):
    data = np.random.default_rng(1).standard_normal((60, 2))

    def fitted(stream):
        found = te.fit(NET, data, te.Reals(2), OBJECTIVES[name], te.adam(1e-2), steps=5, batch_size=16, log_every=5,
                       device=stream.device, theta=NET.init(np.random.default_rng(0)), dtype=dtype, clip=1.0, ema=0.9,
                       data_noise=0.1, progress=False)
        history = {name: np.array(values) for name, values in found.history.items()}
        return found.theta, history, found.state

    device(fitted, exact=False)


@pytest.mark.parametrize("name, objective", [
    ("rbm", te.ContrastiveDivergence(te.BlockGibbs(), 2)), ("rbm", te.PersistentContrastiveDivergence(te.Gibbs(), 1, chains=40)),
    ("boltzmann", te.ExactLikelihood()), ("boltzmann", te.Pseudolikelihood()), ("mlp", te.RatioMatching()),
    ("mlp", te.ContrastiveDivergence(te.GibbsWithGradients(), 2)),
], ids=repr)  # fmt: skip
def test_fit_on_states(device, name, objective):
    energy, space = DISCRETE[name]
    data = space.grid().all()[0][::2]

    def fitted(stream):
        found = te.fit(energy, data, space, objective, te.sgd(1e-2), steps=4, batch_size=8, device=stream.device,
                       theta=energy.init(np.random.default_rng(0)), progress=False)
        return found.theta, {name: np.array(values) for name, values in found.history.items()}

    device(fitted, exact=False)


@pytest.mark.parametrize("name", [*te.datasets.toys.TOYS, "bars_and_stripes", "two_moons_bits"])
def test_populations_are_drawn_where_the_generator_lives(device, name):
    target = te.datasets.load(name)
    device(lambda stream: target.sample(100, stream.at(0)), exact=False)


def test_fit_draws_from_populations(device):
    target = te.datasets.load("two_moons")

    def fitted(stream):
        found = te.fit(NET, target, objective=OBJECTIVES["cd"], steps=3, batch_size=16, device=stream.device,
                       theta=NET.init(np.random.default_rng(0)), progress=False)
        return found.theta, {name: np.array(values) for name, values in found.history.items()}

    device(fitted, exact=False)


@pytest.mark.parametrize("name, space", [("silu", te.Reals(2)), ("rbm", te.Bits(5)), ("mlp", te.Bits(5))])
def test_exact_draws_come_back_to_the_device(double, name, space):
    """From a generator of either kind; from a host's they are the draws of the host."""
    energy = CONTINUOUS[name] if name in CONTINUOUS else DISCRETE[name][0]
    here, there = (te.Density(energy, placed(Stream(0, where), energy), space) for where in ("cpu", "gpu"))
    drawn, other = te.sample(there, 40, np.random.default_rng(0)), te.sample(there, 40, Stream(0, "gpu").at(1))

    assert on_gpu(drawn) and on_gpu(other) and space.contains(to_numpy(other)).all()
    np.testing.assert_array_equal(to_numpy(drawn), te.sample(here, 40, np.random.default_rng(0)))


def test_perfect_samples_train_on_the_device(double):
    data = np.random.default_rng(1).standard_normal((60, 2))
    found = te.fit(NET, data, te.Reals(2), te.PerfectSamples(refresh=2), steps=5, batch_size=16, device="gpu", progress=False)

    assert on_gpu(found.theta[0]["W"]) and np.isfinite(found.history["nll"]).all()


def test_checkpoints_go_to_disk_and_back(device, tmp_path):
    """Interrupted and resumed on the device, a run gives the uninterrupted run's parameters."""
    data = np.random.default_rng(1).standard_normal((60, 2))

    def resumed(stream):
        options = dict(objective=OBJECTIVES["pcd"], batch_size=16, device=stream.device, progress=False, log_every=2,
                       theta=NET.init(np.random.default_rng(0)))
        path = tmp_path / f"{stream.device}.npz"
        te.fit(NET, data, te.Reals(2), steps=4, checkpoint=path, **options)
        again = te.fit(NET, data, te.Reals(2), steps=6, checkpoint=path, resume=True, **options)
        whole = te.fit(NET, data, te.Reals(2), steps=6, **options)
        for a, b in zip(flat(again.state), flat(whole.state), strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
        return again.theta

    device(resumed, exact=False)


def test_a_run_that_diverges_on_the_device_stops_at_a_log_point(monkeypatch):
    """By name and number of the update, though nothing waited for it."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    data = np.random.default_rng(1).standard_normal((60, 2))
    with pytest.raises(FloatingPointError, match="update [23]: the gradient is not finite"):
        te.fit(NET, data, te.Reals(2), te.ContrastiveDivergence(te.ULA(1e9), 5), te.sgd(1e30), steps=8, log_every=4,
               device="gpu", progress=False, exact=False)


# --------------------------------------------------------------------------------------- waits and launches


def test_a_langevin_step_waits_for_nothing_and_launches_eighteen_kernels(double):
    net, stream = te.MLP((2, 128, 128, 1)), Stream(0, "gpu")
    p, x = te.Density(net, placed(stream, net, "float32"), te.Reals(2)), rows(stream, dtype="float32")
    te.run(te.ULA(0.01), p, x, 1, stream.at(0))
    with double.counting() as count:
        te.run(te.ULA(0.01), p, x, 10, stream.at(1))
    assert count["sync"] == count["upload"] == 0
    assert count["launch"] <= 18 * 10


def test_launches_do_not_grow_with_the_number_of_chains(double):
    """Catches blocks of rows, which are for a cache: on a GPU each would launch everything anew."""
    p, launches = te.Density(NET, placed(Stream(0, "gpu"), NET, "float32"), te.Reals(2)), []
    for n in (10, 10_000):
        x = rows(Stream(0, "gpu"), n, dtype="float32")
        with double.counting() as count:
            te.ContrastiveDivergence(te.MALA(0.1), 2).gradient(p, x, Stream(0, "gpu").at(1))
        launches.append(count["launch"])

    assert launches[0] == launches[1] > 0


@pytest.mark.parametrize("name", ["cd", "cd, regularised", "pcd", "short", "dsm", "ssm", "sm"])
def test_fit_waits_at_log_points_alone(double, name):
    """Ten times as many updates between log points: no more waits."""
    data, waits = np.random.default_rng(1).standard_normal((60, 2)), []
    for steps in (4, 40):
        with double.counting() as count:
            te.fit(NET, data, te.Reals(2), OBJECTIVES[name], steps=steps, log_every=steps, batch_size=16, device="gpu", clip=1.0,
                   exact=False, progress=False)
        waits.append(count["sync"])
    assert waits[0] == waits[1] > 0


# ---------------------------------------------------------------------------------------- planted mistakes


def sound(energy=NET, kernel=None, init=None):
    """Whether ten Langevin steps in single precision stay on the device and in single precision, without a wait."""
    stream = Stream(0, "gpu")
    theta = tree_map(lambda a: a.astype("float32"), (init or energy.init)(stream.at(0)))
    p, x = te.Density(energy, theta, te.Reals(2)), stream.at(1).standard_normal((20, 2), dtype="float32")
    with cupy_double.counting() as count:
        x, _ = te.run(kernel or te.ULA(0.01), p, x, 10, stream.at(2))
    return on_gpu(x) and x.dtype == np.float32 and count["sync"] == count["upload"] == 0


class Planted:
    """ULA, but for one line."""

    def __init__(self, line):
        self.line = line

    def step(self, p, x, rng):
        return te.ULA(0.01).step(p, self.line(x, rng), rng)


def bias_of_numpys(rng):
    return [{"W": layer["W"], "b": np.zeros(layer["b"].shape)} for layer in NET.init(rng)]


def waits(x, rng):
    if not np.isfinite(x).all():
        raise FloatingPointError
    return x


MISTAKES = {
    "a bias by np.zeros": dict(init=bias_of_numpys),
    "rng.choice": dict(kernel=Planted(lambda x, rng: x[rng.choice(len(x), size=len(x))])),
    "rng.permutation": dict(kernel=Planted(lambda x, rng: x[rng.permutation(len(x))])),
    "np.linspace": dict(kernel=Planted(lambda x, rng: x + np.linspace(0, 1, 2))),
    "np.ones(like=)": dict(kernel=Planted(lambda x, rng: x * np.ones(2, like=x))),
    "isfinite in the loop": dict(kernel=Planted(waits)),
    "a float64 scalar": dict(kernel=Planted(lambda x, rng: x * np.float64(0.5))),
    "float() in the loop": dict(kernel=Planted(lambda x, rng: x / float(abs(x).max()))),
    "a mask as an index": dict(kernel=Planted(lambda x, rng: np.concatenate([x[x[:, 0] > 0], x[x[:, 0] <= 0]]))),
    "matplotlib's np.asarray": dict(kernel=Planted(lambda x, rng: np.asarray(x))),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistakes_are_seen(double, name):
    assert sound() and sound(kernel=Planted(lambda x, rng: x))
    try:
        assert not sound(**MISTAKES[name])
    except (TypeError, AttributeError, ValueError):
        pass  # refused, as by CuPy


def test_the_stand_in_knows_the_surface_of_the_cupy_that_is_installed():  # needs CuPy, no GPU
    cupy = pytest.importorskip("cupy")
    assert not {name for name in cupy_double.SURFACE["numpy"] if not hasattr(cupy, name)}
    assert cupy_double.SURFACE["version"].split(".")[0] == cupy.__version__.split(".")[0]
