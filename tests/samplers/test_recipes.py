"""Recipes: a step written out number by number, the temperature and the clipped fraction that they own up to."""

import contextlib
import math
import re
import warnings

import numpy as np
import pytest

import tinyebm as te
from tinyebm import ops

rng = np.random.default_rng  # every test makes its own


def saddle(space):
    """E = x₁⁴ / 4 - x₁ x₂: its slope is (x₁³ - x₂, -x₁)."""
    return te.Density(lambda theta, x: ops.power(x[:, 0], 4) / 4 - x[:, 0] * x[:, 1], {}, space)


def normal(variance, space=None):
    theta = {"mean": np.zeros(1), "precision": np.array([[1 / variance]])}
    return te.Density(te.GaussianEnergy(1), theta, space or te.Reals(1))


def by_hand(recipe, x, z):
    """Eq. (1) in loops: (new points, clipped components)."""
    clamp = lambda t: t if recipe.clamp is None else min(max(t, recipe.clamp[0]), recipe.clamp[1])
    out, clipped = [], 0
    for row, noise in zip(x, z, strict=True):
        a, b = (t + recipe.noise * n for t, n in zip(row, noise, strict=True))
        if recipe.clamp_noise:
            a, b = clamp(a), clamp(b)
        slope = [a**3 - b, -a]
        if recipe.clip is not None:
            clipped += sum(abs(s) > recipe.clip for s in slope)
            slope = [math.copysign(min(abs(s), recipe.clip), s) for s in slope]
        out.append([clamp(t - recipe.step_size * s) for t, s in zip((a, b), slope, strict=True)])
    return np.array(out), clipped


RECIPES = [te.Recipe(0.1, 0.3), te.Recipe(0.1, 0.3, clip=0.5), te.Recipe(0.3, 0.2, clip=0.5, clamp=(-1.0, 1.0)),
           te.Recipe(0.3, 0.2, clip=0.5, clamp=(-1.0, 1.0), clamp_noise=False), te.Recipe.uva_tutorial_8(),
           te.Recipe.du_mordatch_2019()]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_is_the_formula(recipe, given):
    """Given noise; points, and the clipped fraction by counting.

    Catches the slope before the noise, clamps in another order or one of them left out, a clip on one side, or on the norm.
    """
    x, z = rng(0).uniform(-1, 1, (200, 2)), 2 * rng(1).standard_normal((200, 2))
    move, (expected, clipped) = recipe.step(saddle(te.Reals(2)), x, given(z)), by_hand(recipe, x, z)

    np.testing.assert_allclose(move.x, expected, rtol=0, atol=1e-14)
    assert move.accepted is None and move.clipped == clipped / 400


def test_both_published_recipes():
    """η, σ, the clip, the clamp and whether it follows the noise too; T = 1.25e-6.  Catches numbers that change unseen."""
    uva, cifar = te.Recipe.uva_tutorial_8(), te.Recipe.du_mordatch_2019()

    assert (uva.step_size, uva.noise, uva.clip, uva.clamp, uva.clamp_noise) == (10.0, 0.005, 0.03, (-1.0, 1.0), True)
    assert (cifar.step_size, cifar.noise, cifar.clip, cifar.clamp, cifar.clamp_noise) == (10.0, 0.005, 0.01, (0.0, 1.0), False)
    assert uva.temperature == pytest.approx(0.005**2 / 20, rel=1e-15) and uva.temperature == cifar.temperature


def test_the_walls_of_a_box_reflect_without_a_clamp():
    """A clamp would leave points at the walls, a fold none.  Catches a clamp by default, and walls without effect."""
    x = rng(0).uniform(-1, 1, (300, 2))
    folded = te.Recipe(0.1, 1.0).step(saddle(te.Box(-1, 1, 2)), x, rng(1)).x
    clamped = te.Recipe(0.1, 1.0, clamp=(-1.0, 1.0)).step(saddle(te.Box(-1, 1, 2)), x, rng(1)).x

    assert (np.abs(folded) < 1).all() and (np.abs(clamped) == 1).mean() > 0.1


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_without_clips_it_is_ula(temperature):
    """σ = √(2ηT): five steps of noise, then drift, are a first noise, four steps of drift, then noise, and a last drift.

    The same chain to rounding, from the same noise; at T = 1 no warning, which would be an error here.  Catches noise √η.
    """
    p, recipe, kernel = saddle(te.Reals(2)), te.Recipe(0.05, math.sqrt(0.1 * temperature)), te.ULA(0.05, temperature)
    x, again = rng(0).uniform(-1, 1, (100, 2)), rng(1)
    with contextlib.nullcontext() if temperature == 1 else pytest.warns(UserWarning, match="it runs at .* = 0.3, not 1$"):
        ours = te.run(recipe, p, x, 5, rng(1))[0]

    theirs = te.run(kernel, p, x + recipe.noise * again.standard_normal(x.shape), 4, again)[0]
    np.testing.assert_allclose(ours, kernel.drift(p, theirs), rtol=0, atol=1e-13)


def test_the_warning_says_what_the_run_did():
    """T and the fraction clipped over the whole run, by counting; once a run.  Catches the last step's fraction."""
    recipe, x = te.Recipe(0.5, 0.5, clip=0.5), rng(0).uniform(-2, 2, (50, 2))
    with pytest.warns(UserWarning) as seen:
        _, info = te.run(recipe, saddle(te.Reals(2)), x, 3, rng(1))

    again, counts = rng(1), []
    for _ in range(3):
        x, clipped = by_hand(recipe, x, again.standard_normal((50, 2)))
        counts.append(clipped / 100)
    assert info["clipped"] == pytest.approx(np.mean(counts), rel=1e-14) and abs(counts[-1] - np.mean(counts)) > 0.005
    assert [str(warning.message) for warning in seen] == [
        f"{recipe!r} does not sample exp(-E): it runs at temperature noise² / (2 step_size) = 0.25, not 1, and "
        f"{np.mean(counts):.2g} of the gradients' components were clipped"]
    assert seen[0].filename == __file__


@pytest.mark.parametrize("recipe, clipped, words", [
    (te.Recipe(0.5, 1.0), 0.0, None), (te.Recipe(0.5, 1.0, clip=9.0), 0.0, None),
    (te.Recipe(0.5, 1.0, clip=9.0), 0.25, r"exp\(-E\): 0.25 of the gradients' components were clipped$"),
    (te.Recipe(0.5, 1.01), 0.0, "temperature noise² / .* = 1.02, not 1$"), (te.Recipe(0.5, 0.0), 0.0, "= 0, not 1$"),
    (te.Recipe(0.5, 1.0, clamp=(-1.0, 2.0)), 0.0, r"exp\(-E\): clamping heaps mass up at -1 and 2$")])  # fmt: skip
def test_caveats(recipe, clipped, words):
    """Catches a warning of Langevin dynamics proper, and clips and clamps that are let pass since T = 1."""
    said = recipe.caveat(clipped)
    assert said is None if words is None else re.search(words, said)


@pytest.mark.parametrize("objective", [te.ContrastiveDivergence, te.ShortRun, te.PersistentContrastiveDivergence])
def test_objectives_are_silent_and_record(objective):
    """No warning at every update (an error here), but the fraction among the metrics.  Catches either the other way round."""
    recipe, p, x = te.Recipe(0.5, 0.5, clip=0.5), normal(0.5), rng(0).standard_normal((40, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = objective(recipe, 3).gradient(p, x, rng(1)).metrics

    assert 0 < metrics["clipped"] < 1
    if objective is te.ContrastiveDivergence:
        with pytest.warns(UserWarning):
            assert metrics["clipped"] == te.run(recipe, p, x, 3, rng(1))[1]["clipped"]


@pytest.mark.parametrize("step_size, noise", [(0.3, 0.2), (0.05, 0.5)])
def test_a_long_run_has_the_variance_of_its_temperature(step_size, noise):
    """On N(0, s²), with a = 1 - η/s², exactly a²σ² / (1 - a²) = T s² (1 - O(η)): |z| < 5.

    Catches T = σ² / η, noise scaled by √η once more, and a clip that is not off.
    """
    recipe, s2, n = te.Recipe(step_size, noise), 0.6, 40_000
    with pytest.warns(UserWarning, match=f"= {noise**2 / (2 * step_size):.3g}, not 1"):
        x, _ = te.run(recipe, normal(s2), np.zeros((n, 1)), 100, rng(0))
    a = 1 - step_size / s2
    exact = a**2 * noise**2 / (1 - a**2)

    assert abs((x**2).mean() / exact - 1) < 5 * math.sqrt(2 / n)
    assert exact / (recipe.temperature * s2) == pytest.approx(a**2 / (1 - step_size / (2 * s2)), rel=1e-12)



@pytest.mark.parametrize("make, message", [
    (lambda: te.Recipe(0.0, 0.1), "step_size must be positive"), (lambda: te.Recipe(math.nan, 0.1), "got nan"),
    (lambda: te.Recipe(0.1, -0.1), "noise must be finite and >= 0"), (lambda: te.Recipe(0.1, math.inf), "noise .* got inf"),
    (lambda: te.Recipe(0.1, 0.1, clip=0.0), "clip must be positive"), (lambda: te.Recipe(0.1, 0.1, clip=-1.0), "got -1.0"),
    (lambda: te.Recipe(0.1, 0.1, clamp=(1.0, 1.0)), "low < high"), (lambda: te.Recipe(0.1, 0.1, clamp=(1.0,)), "a pair"),
    (lambda: te.Recipe(0.1, 0.1).step(saddle(te.Bits(2)), np.zeros((3, 2)), rng(0)), "use Gibbs or its relatives"),
    (lambda: te.exact_cd_gradient(normal(1.0), np.zeros((3, 1)), te.Recipe(0.1, 0.1), 1), "Recipe.* has no push: write push"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
