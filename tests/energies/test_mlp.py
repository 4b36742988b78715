"""The network against the oracle's derivatives and plain formulas; which spaces it refuses, and how it says so."""

import math

import numpy as np
import pytest
from scipy import special, stats

from tinyebm.autodiff.tape import grad
from tinyebm.common.errors import DivergentPartitionError
from tinyebm.density import Density, laplacian, score
from tinyebm.energies.mlp import ACTIVATIONS, MLP
from tinyebm.exact.partition import log_partition
from tinyebm.spaces.continuous import Box, Reals

FORMULAS = {"tanh": np.tanh, "silu": lambda z: z * special.expit(z), "softplus": lambda z: np.log1p(np.exp(z)),
            "relu": lambda z: z * (z > 0)}  # fmt: skip


def from_oracle(case):
    """The oracle's network, E = ½|x|² + Σ_j v_j tanh(W_j·x + b_j), as a Density, and its data."""
    numbers = np.array(case["parameters"]["theta"])
    W, b, v = numbers[:8].reshape(4, 2), numbers[8:12], numbers[12:]
    theta = [{"W": W.T.copy(), "b": b}, {"W": v[:, None], "b": np.zeros(1)}]
    return Density(MLP((2, 4, 1), "tanh", confinement=1.0), theta, Reals(2)), np.array(case["parameters"]["data"])


def test_derivatives_are_the_oracles(oracle):
    """E, ∇E, ΔE and ∂E/∂θ of symbolic algebra.  Catches a layer transposed, and confinement c|x|² for c|x|²/2."""
    case = oracle("mlp2d_tanh_derivatives")
    p, x = from_oracle(case)
    known, within = case["expected"], {"rtol": 0, "atol": case["tolerance"]}

    np.testing.assert_allclose(p.energy(p.theta, x), known["E"], **within)
    np.testing.assert_allclose(-score(p, x), known["grad_x"], **within)
    np.testing.assert_allclose(-laplacian(p, x), known["laplacian"], **within)
    for row, derivative in zip(x, known["dE_dtheta"], strict=True):
        by = grad(lambda theta, row=row: p.energy(theta, row[None])[0])(p.theta)
        found = np.concatenate([by[0]["W"].T.reshape(-1), by[0]["b"], by[1]["W"][:, 0]])
        np.testing.assert_allclose(found, derivative, **within)
        assert by[1]["b"] == 1.0


@pytest.mark.parametrize("activation", FORMULAS)
@pytest.mark.parametrize("sizes", [(3, 1), (1, 5, 1), (2, 4, 6, 3, 1)])
def test_energy_is_its_formula(activation, sizes):
    """Against loops over neurons.  Catches an activation on the last layer, a lost bias, and swapped activations."""
    rng = np.random.default_rng(len(sizes))
    net = MLP(sizes, activation, confinement=0.7)
    theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
    x = rng.standard_normal((6, sizes[0]))

    for row, energy in zip(x, net(theta, x), strict=True):
        h = row
        for depth, layer in enumerate(theta):
            z = [sum(h[i] * layer["W"][i, j] for i in range(len(h))) + layer["b"][j] for j in range(sizes[depth + 1])]
            h = z if depth == len(theta) - 1 else FORMULAS[activation](np.array(z))
        assert energy == pytest.approx(h[0] + 0.35 * (row**2).sum(), abs=1e-13)
    assert set(FORMULAS) == set(ACTIVATIONS)


def test_initial_weights_have_variance_one_over_fan_in():
    """|z| < 5 and a Kolmogorov-Smirnov test.  Catches 1/out, 2/in, and biases that are not zero."""
    net = MLP((3, 200, 50, 1))
    theta = net.init(np.random.default_rng(1))

    assert [layer["W"].shape for layer in theta] == [(3, 200), (200, 50), (50, 1)]
    assert not any(layer["b"].any() for layer in theta) and [len(layer["b"]) for layer in theta] == [200, 50, 1]
    for layer in theta:
        n_in, n = len(layer["W"]), layer["W"].size
        assert abs((layer["W"] ** 2).mean() * n_in - 1) / math.sqrt(2 / n) < 5
        assert stats.kstest(layer["W"].reshape(-1) * math.sqrt(n_in), "norm").pvalue > 1e-4


def test_gain_is_of_the_hidden_weights():
    """Twice the gain is twice the hidden weights, and no others.  Catches a gain of variances."""
    first, second = (MLP((3, 8, 4, 1), gain=gain).init(np.random.default_rng(1)) for gain in (1.0, 2.0))
    for a, b, ratio in zip(first, second, (2, 2, 1), strict=True):
        np.testing.assert_array_equal(ratio * a["W"], b["W"])


# ---------------------------------------------------------------------- is there a density?

def outcome(net, theta, space):
    """Whether the energy accepts the space."""
    try:
        net.require_normalisable(theta, space)
    except DivergentPartitionError:
        return "divergent"
    return "finite"


@pytest.mark.parametrize("activation", ["silu", "softplus", "relu"])
def test_networks_that_fall_need_help(activation):
    """361 of 400 diverge on R²; none on a box, with a base measure or confinement.  Catches each exemption lost."""
    nets = [MLP((2, 32, 32, 1), activation, confinement) for confinement in (0.0, 1e-3)]
    divergent = 0
    for seed in range(400):
        theta = nets[0].init(np.random.default_rng(seed))
        divergent += outcome(nets[0], theta, Reals(2)) == "divergent"
        helped = [(nets[1], Reals(2)), (nets[0], Box(-9, 9, 2)), (nets[0], Reals(2, base_scale=10.0))]
        assert {outcome(net, theta, space) for net, space in helped} == {"finite"}

    assert divergent / 400 == 0.9025


def test_tanh_never_grows():
    """A bounded energy has no density on R^d.  Catches its weights judged as if tanh were ReLU."""
    for seed in range(20):
        net = MLP((2, 8, 1), "tanh")
        theta = net.init(np.random.default_rng(seed))
        assert outcome(net, theta, Reals(2)) == "divergent"
        assert outcome(MLP((2, 8, 1), "tanh", 0.1), theta, Reals(2)) == "finite"
    assert outcome(MLP((2, 1), "tanh"), [{"W": np.ones((2, 1)), "b": np.zeros(1)}], Reals(2)) == "divergent"


def test_a_growing_network_has_a_density():
    """E = Σ_i softplus(x_i) + softplus(-x_i) grows like |x|₁: Z = 1 in closed form.  Catches false refusals."""
    W = np.concatenate([np.eye(2), -np.eye(2)], axis=1)
    theta = [{"W": W, "b": np.zeros(4)}, {"W": np.ones((4, 1)), "b": np.zeros(1)}]

    assert abs(log_partition(Density(MLP((2, 4, 1), "softplus"), theta, Reals(2)))) < 1e-10


def test_the_refusal_names_the_direction_and_the_cure():
    """Catches a message that only says no, and quadrature that runs before the question is settled."""
    theta = [{"W": np.array([[0.6], [0.8]]), "b": np.zeros(1)}]
    p = Density(MLP((2, 1)), theta, Reals(2))

    with pytest.raises(DivergentPartitionError, match="Z is infinite") as refusal:
        log_partition(p)
    for part in (r"[-0.6, -0.8]", "-1 |x|", "confinement=", "Box(", "base_scale="):
        assert part in str(refusal.value)
    assert isinstance(refusal.value, ValueError)


def test_one_dimension_and_no_hidden_layer():
    """E = -3x + 1.  Catches code that needs a hidden layer, or a confinement that enters the growth."""
    net, theta = MLP((1, 1), confinement=2.0), [{"W": np.array([[-3.0]]), "b": np.ones(1)}]
    growth, direction = net.min_recession(theta)

    assert growth == -3.0 and direction == 1.0
    assert score(Density(net, theta, Reals(1)), np.array([[5.0]])).item() == pytest.approx(3.0 - 10.0)


@pytest.mark.parametrize(("options", "message"), [
    ({"sizes": (2, 8)}, r"\(d, ..., 1\), got \(2, 8\)"), ({"sizes": (1,)}, r"got \(1,\)"),
    ({"sizes": (2, 0, 1)}, r"got \(2, 0, 1\)"), ({"sizes": (2, 2.5, 1)}, "sizes must be positive integers"),
    ({"activation": "gelu"}, "one of tanh, silu, softplus, relu, got 'gelu'"),
    ({"confinement": -0.1}, "confinement must be finite and >= 0, got -0.1"), ({"confinement": math.inf}, "got inf"),
    ({"confinement": math.nan}, "got nan"), ({"gain": -1.0}, "gain must be finite and >= 0, got -1.0")])  # fmt: skip
def test_nonsense_is_refused(options, message):
    """Catches a network that would fail later, or run with another activation than was asked for."""
    with pytest.raises(ValueError, match=message):
        MLP(**options)


def test_sizes_may_be_a_list():
    """Catches a model that cannot be hashed or compared, since its sizes came from a file."""
    assert MLP([2, 4, 1]) == MLP((2, 4, 1)) and hash(MLP([2, 4, 1])) == hash(MLP((2, 4, 1)))
    assert MLP([2, 4, 1]).dim == 2 and MLP().smooth and not MLP(activation="relu").smooth


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.1])
@pytest.mark.parametrize("activation", ["relu", "silu", "softplus"])
def test_a_dead_cone_has_infinite_z(activation, angle):
    """Three units that leave a half-plane free, turned: catches a growth of 1e-17 that passes for growth."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    theta = [{"W": turn @ np.array([[1.0, 0.3, 0.8], [0.2, 1.0, -0.9]]), "b": np.zeros(3)},
             {"W": np.array([[0.7], [1.1], [0.4]]), "b": np.zeros(1)}]

    with pytest.raises(DivergentPartitionError, match="Z is infinite"):
        MLP((2, 3, 1), activation).require_normalisable(theta, Reals(2))
