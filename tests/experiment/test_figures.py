"""Whole figures: which panel says what, and that its numbers are the ones it names."""

import dataclasses
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tinyebm as te
from tinyebm.experiment import figures

NORMAL = te.Density(te.GaussianEnergy(1), {"mean": np.array([2.0]), "precision": np.array([[4.0]])}, te.Reals(1))
COVARIANCE = np.array([[0.5, 0.2], [0.2, 2.0]])
AT = {"mean": np.array([3.0, -5.0]), "precision": np.linalg.inv(COVARIANCE)}
PLANE = te.Density(te.GaussianEnergy(2), AT, te.Reals(2))
SPACE = te.Density(te.GaussianEnergy(3), {"mean": np.zeros(3), "precision": np.eye(3)}, te.Reals(3))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def draw(figure):
    """Warnings of a layout that cannot be done appear only when the canvas is drawn."""
    figure.canvas.draw()
    return figure


def test_model():
    """Catches panels in another order, a wrong log Z in the title, and data drawn that were not given."""
    alone, beside = draw(figures.model(PLANE)), draw(figures.model(NORMAL, np.array([[1.0], [2.5]])))
    assert [ax.get_title()[:6] for ax in alone.axes] == ["energy", "exp(-E", "", ""]  # two panels, two scales of colour
    assert [ax.get_title()[:6] for ax in beside.axes] == ["data", "energy", "exp(-E"]

    log_z = float(alone.axes[1].get_title().split()[-1])
    assert log_z == pytest.approx(math.log(2 * math.pi) + 0.5 * math.log(0.96), abs=1e-4)
    assert len(figures.model(NORMAL, te.datasets.load("bimodal")).axes) == 3


@pytest.mark.parametrize(("target", "methods"), [("bimodal", ["cd-1"]), ("faithful", ["cd-1", "short-1", "cd-2"])])
def test_comparison(target, methods):
    """A panel for the data, one per method and two of curves: catches densities under other methods' titles."""
    found = te.compare(target, methods, steps=2, hidden=(4,), batch_size=16, learning_rate=0.5, ema=0, progress=False)
    figure = draw(found.plot())
    panels = [ax for ax in figure.axes if ax.get_visible()]

    assert [ax.get_title().split(":")[0] for ax in panels] == ["data", *methods, "", ""]
    assert [ax.get_xlabel() for ax in panels[-2:]] == ["updates", "seconds of training"]
    for ax, fit in zip(panels[1:], found.fits.values(), strict=False):
        if target == "bimodal":
            t, p = ax.lines[0].get_data()
            assert p == pytest.approx(np.exp(te.log_prob(fit.density, t[:, None])), rel=1e-3)
        else:
            left, right, bottom, top = ax.images[0].get_extent()
            assert ax.images[0].get_array()[0, -1] == pytest.approx(
                np.exp(te.log_prob(fit.density, np.array([[right, bottom]])))[0], rel=1e-3)
    for ax, column in zip(panels[-2:], (0, 1), strict=True):
        for line, method in itertools.zip_longest(ax.lines, methods):
            expected = [(point[column], point[2]) for point in found.curves[method]]
            assert line.get_label() == method and np.array_equal(line.get_xydata(), np.array(expected))


@pytest.mark.parametrize(("target", "options"), [("bars_and_stripes_3x3", {"hidden": (3,)}),
                                                  ("digit_patches", {"hidden": (3,), "energy": "rbm"})])
def test_comparison_on_bits(target, options):
    """Catches draws under another method's title, and data that are not the target's."""
    found = te.compare(target, ["mle", "cd-1"], steps=2, batch_size=16, ema=0, progress=False, **options)
    figure = draw(found.plot())
    panels = [ax for ax in figure.axes if ax.get_visible()]
    side = math.isqrt(found.settings["dim"])

    assert [ax.get_title().split(":")[0] for ax in panels] == ["data", "mle", "cd-1", "", ""]
    first = lambda ax: np.asarray(ax.images[0].get_array(), dtype=float)[:side, :side].reshape(-1)
    data = te.datasets.load(target)
    assert (first(panels[0]) == (data.states if hasattr(data, "states") else data.x)).all(axis=1).any()
    for ax, fit in zip(panels[1:3], found.fits.values(), strict=True):
        np.testing.assert_array_equal(first(ax), te.sample(fit.density, 42, np.random.default_rng(0))[0])


def test_model_on_bits():
    """Catches a model without data, or data without a model."""
    p = te.Density(te.RBM(9, 2), te.RBM(9, 2).init(np.random.default_rng(0)), te.Bits(9))

    assert len(draw(figures.model(p)).axes) == 1
    titles = [ax.get_title() for ax in draw(figures.model(p, te.datasets.load("bars_and_stripes_3x3"))).axes]
    assert titles[0] == "data" and float(titles[1].split()[-1]) == pytest.approx(te.log_partition(p), abs=1e-4)


def test_what_has_no_picture_is_refused():
    """Catches three dimensions drawn as two, and data beside a model of another dimension."""
    with pytest.raises(ValueError, match="not 3"):
        figures.model(SPACE)
    for p, x in ((NORMAL, np.zeros((5, 2))), (PLANE, np.zeros((5, 1)))):
        with pytest.raises(ValueError, match="columns"):
            figures.model(p, x)


def test_comparison_on_a_population_and_on_rows():
    """KL on a logarithmic axis, likelihoods on a linear one that is cut two nats above the best; titles say the number.

    Catches the two exchanged, NLL under the name of KL, one diverging curve that flattens the others.
    """
    for target, log in (("bimodal", True), (np.random.default_rng(0).standard_normal((40, 1)), False)):
        found = te.compare(target, ["cd-1", "cd-2"], steps=2, hidden=(4,), batch_size=16, ema=0, progress=False)
        curves = {"cd-1": [(1, 0.1, 1.5), (2, 0.2, 9.0)], "cd-2": [(1, 0.1, 1.4), (2, 0.2, 1.2)]}
        panels = [ax for ax in draw(dataclasses.replace(found, curves=curves).plot()).axes if ax.get_visible()]
        row = found.rows[0]

        assert [ax.get_yscale() for ax in panels[-2:]] == ["log" if log else "linear"] * 2
        assert panels[1].get_title() == (f"cd-1: KL {row['kl']:.3f}" if log else f"cd-1: NLL {row['nll']:.3f}")
        if not log:
            assert all(ax.get_ylim() == pytest.approx((1.15, 3.25)) for ax in panels[-2:])


def test_comparison_leaves_a_margin_around_the_data():
    """15 % of their width on either side.  Catches points on the frame."""
    x = np.random.default_rng(0).uniform([0.0, 10.0], [1.0, 14.0], (40, 2))
    found = te.compare(x, ["cd-1"], steps=2, hidden=(4,), progress=False)
    panel = found.plot().axes[0]

    for seen, t in zip((panel.get_xlim(), panel.get_ylim()), x.T, strict=True):
        assert seen == pytest.approx((t.min() - 0.15 * np.ptp(t), t.max() + 0.15 * np.ptp(t)))


def test_comparison_of_a_model_without_a_density():
    """Z = ∞: words in the place of a picture.  Catches a figure lost for one bad row."""
    found = te.compare("bimodal", ["cd-1", "cd-2"], steps=2, hidden=(4,), activation="tanh", confinement=0.0, progress=False)
    panels = draw(found.plot()).axes

    assert [[text.get_text() for text in ax.texts] for ax in panels[1:3]] == [["Z is infinite or unknown"]] * 2
    assert not panels[1].lines


def test_log_z_in_the_title_is_exact():
    """To its four decimals, for a network of kinks.  Catches an accuracy of some percent."""
    net = te.MLP((2, 8, 1), "relu", 1.0)
    theta = [{"W": 3 * layer["W"], "b": layer["b"] + 1.0} for layer in net.init(np.random.default_rng(0))]
    p = te.Density(net, theta, te.Reals(2))

    titles = [ax.get_title() for ax in figures.model(p).axes]
    assert any(title.endswith(f"log Z = {float(te.log_partition(p, 1e-6)):.4f}") for title in titles)
