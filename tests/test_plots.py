"""Pictures: the numbers that were drawn, and where on the page they lie."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import tinyebm as te
from tinyebm import plots

NORMAL = te.Density(te.GaussianEnergy(1), {"mean": np.array([2.0]), "precision": np.array([[4.0]])}, te.Reals(1))
MEAN, COVARIANCE = np.array([3.0, -5.0]), np.array([[0.5, 0.2], [0.2, 2.0]])
PLANE = te.Density(te.GaussianEnergy(2), {"mean": MEAN, "precision": np.linalg.inv(COVARIANCE)}, te.Reals(2))
SPACE = te.Density(te.GaussianEnergy(3), {"mean": np.zeros(3), "precision": np.eye(3)}, te.Reals(3))
SLOPE = te.Density(lambda theta, x: 3.0 * x[:, 0] + 7.0, {}, te.Box(0, 1, 1))
WINDOW = [(-1.0, 6.0), (-11.0, 3.0)]  # no centre of symmetry: a transpose shows


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def draw(figure):
    """Warnings of a layout that cannot be done appear only when the canvas is drawn."""
    figure.canvas.draw()
    return figure


@pytest.mark.parametrize("plot", [
    lambda ax: plots.data(np.array([[0.0], [1.0]]), ax), lambda ax: plots.data(np.eye(2), ax),
    lambda ax: plots.density(NORMAL, ax), lambda ax: plots.density(PLANE, ax), lambda ax: plots.energy(NORMAL, ax),
    lambda ax: plots.energy(PLANE, ax), lambda ax: plots.curves({"a": ([1, 2], [3, 4])}, ax)])
def test_every_function_draws_on_the_axes_it_is_given(plot):
    """Catches a picture on the current axes instead, and a function that returns nothing."""
    figure, (ax, other) = plt.subplots(1, 2)
    assert plot(ax) is ax and ax.has_data() and not other.has_data()

    made = plot(None)
    assert made.figure is not figure and made.has_data()


def test_data_on_the_line_are_a_density():
    """Catches counts, bars that ignore the window, and another column."""
    x = np.array([[0.1], [0.1], [0.3], [0.9]])
    bars = plots.data(x, window=[(0.0, 2.0)], bins=4).patches

    assert [bar.get_height() for bar in bars] == pytest.approx([1.5, 0.5, 0.0, 0.0])
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1.0)


def test_data_in_the_plane_are_points():
    """Catches x and y exchanged, and rows left out."""
    x = np.random.default_rng(0).standard_normal((50, 2))
    ax = plots.data(x, window=WINDOW, color="#ff0000")

    assert np.array_equal(ax.collections[0].get_offsets(), x)
    assert [ax.get_xlim(), ax.get_ylim()] == WINDOW
    assert ax.collections[0].get_facecolor()[0, :3].tolist() == [1, 0, 0]


def test_density_on_the_line():
    """Catches exp(-E) without Z, log p, and a curve that does not hold all the mass."""
    t, p = plots.density(NORMAL).lines[0].get_data()

    assert p == pytest.approx(np.sqrt(2 / math.pi) * np.exp(-2 * (t - 2) ** 2), rel=1e-4)
    assert np.trapezoid(p, t) == pytest.approx(1.0, abs=3e-4)


def test_density_stops_at_the_walls():
    """Catches mass outside a box."""
    t, p = plots.density(SLOPE).lines[0].get_data()
    inside = (t >= 0) & (t <= 1)

    assert p[inside] == pytest.approx(3 * np.exp(-3 * t[inside]) / (1 - math.exp(-3)), rel=1e-4)
    assert t[0] < 0 and t[-1] > 1 and not p[~inside].any()


def test_density_in_the_plane():
    """The image, read by its extent and origin: catches a transpose, a flip, and a density without Z."""
    ax = plots.density(PLANE, window=WINDOW, resolution=101)
    image = ax.images[0]
    p = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    x, y = np.meshgrid(np.linspace(left, right, 101), np.linspace(bottom, top, 101))  # (row, column): y along the rows
    z = np.stack([x, y], axis=-1) - MEAN
    exact = np.exp(-0.5 * np.einsum("...i,ij,...j", z, np.linalg.inv(COVARIANCE), z)) / (2 * math.pi * math.sqrt(0.96))

    assert image.origin == "lower" and [(left, right), (bottom, top)] == WINDOW
    assert p == pytest.approx(exact, rel=1e-4)
    assert p.sum() * (7 / 100) * (14 / 100) == pytest.approx(1.0, abs=1e-3)
    assert [ax.get_xlim(), ax.get_ylim()] == WINDOW


def test_bright_is_likely_on_the_page():
    """The rendered page itself: catches an image upside down whatever its origin says, and a map of colours reversed."""
    figure, ax = plt.subplots()
    plots.density(PLANE, ax, [(-6.0, 6.0), (-8.0, 8.0)])
    ax.set_position([0, 0, 1, 1])
    ax.axis("off")
    figure.canvas.draw()
    page = np.asarray(figure.canvas.buffer_rgba())[..., :3].sum(axis=2).astype(float)

    row, column = np.unravel_index(page.argmax(), page.shape)
    assert column / page.shape[1] == pytest.approx((3 + 6) / 12, abs=0.02)
    assert 1 - row / page.shape[0] == pytest.approx((-5 + 8) / 16, abs=0.02)


def test_energy_on_the_line():
    """Catches a density, an energy upside down, and a lowest value that is not 0."""
    t, u = plots.energy(NORMAL).lines[0].get_data()
    assert u - 2 * (t - 2) ** 2 == pytest.approx(-2 * ((t - 2) ** 2).min(), abs=1e-9)

    t, u = plots.energy(SLOPE).lines[0].get_data()
    inside = (t >= 0) & (t <= 1)
    assert u[inside] == pytest.approx(3 * (t[inside] - t[inside][0]), abs=1e-9)  # the minimum is the box's, not the window's


def test_energy_holds_the_base_measure():
    """Catches a Gaussian base measure that is left out: the picture would be flat."""
    flat = te.Density(lambda theta, x: 0.0 * x[:, 0], {}, te.Reals(1, base_scale=0.5))
    t, u = plots.energy(flat).lines[0].get_data()

    assert u - 2 * t**2 == pytest.approx(-2 * (t**2).min(), abs=1e-9)


def test_energy_in_the_plane():
    """Catches a transpose, and a cut at 15 nats that is lost: the tails would take all the colours."""
    ax = plots.energy(PLANE, window=WINDOW, levels=[0, 0.5, 15.0])
    inner = ax.collections[0].get_paths()[0].vertices  # the band below 0.5 nats
    z = inner - MEAN
    level = 0.5 * np.einsum("ni,ij,nj->n", z, np.linalg.inv(COVARIANCE), z)

    assert level == pytest.approx(0.5, abs=0.02)
    assert np.all(abs(inner.max(axis=0) - MEAN - np.sqrt(np.diag(COVARIANCE))) < 0.05)
    assert plots.energy(PLANE, window=WINDOW).collections[0].get_array().max() <= 15.0


def test_view_holds_all_but_a_ten_thousandth():
    """Quantiles of normals at 5e-5, and a tenth more: catches axes exchanged, one tail forgotten, a margin of nothing."""
    for window, mean, sigma in [(plots.view(NORMAL), [2.0], [0.5]), (plots.view(PLANE), MEAN, np.sqrt(np.diag(COVARIANCE)))]:
        for (low, high), m, s in zip(window, mean, sigma, strict=True):
            half = 3.89 * s * 1.2
            assert (low, high) == (pytest.approx(m - half, abs=0.4 * s), pytest.approx(m + half, abs=0.4 * s))
    assert plots.view(NORMAL, margin=0.0)[0][1] < plots.view(NORMAL)[0][1]


def test_curves_are_the_numbers_given():
    """Catches x and y exchanged, and lines told apart by colour alone, or by nothing."""
    series = {f"method {i}": (np.arange(1, 5), np.arange(1, 5) ** (i + 1.0)) for i in range(7)}
    ax = plots.curves(series, xlabel="seconds", ylabel="nats")
    lines = ax.lines

    for line, (name, (x, y)) in zip(lines, series.items(), strict=True):
        assert line.get_label() == name and np.array_equal(line.get_xydata(), np.stack([x, y], axis=1))
    dashes = [str(line._unscaled_dash_pattern) for line in lines]
    assert len(set(dashes)) == 7 and len({to_rgba(line.get_color()) for line in lines}) == 7
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(series)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("seconds", "nats", "log")
    assert plots.curves(series, log=False).get_yscale() == "linear"
    assert plots.curves({}).get_legend() is None


def test_model():
    """Catches panels in another order, a wrong log Z in the title, and data drawn that were not given."""
    alone, beside = draw(plots.model(PLANE)), draw(plots.model(NORMAL, np.array([[1.0], [2.5]])))
    assert len(alone.axes) == 2 and [ax.get_title()[:6] for ax in beside.axes] == ["data", "energy", "exp(-E"]

    log_z = float(alone.axes[1].get_title().split()[-1])
    assert log_z == pytest.approx(math.log(2 * math.pi) + 0.5 * math.log(0.96), abs=1e-4)
    assert len(plots.model(NORMAL, te.datasets.load("bimodal")).axes) == 3


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


def test_what_has_no_picture_is_refused():
    """Catches three dimensions drawn as two, and data beside a model of another dimension."""
    for refused in (lambda: plots.model(SPACE), lambda: plots.density(SPACE), lambda: plots.energy(SPACE),
                    lambda: plots.data(np.zeros((5, 3)))):
        with pytest.raises(ValueError, match="not 3"):
            refused()
    for p, x in ((NORMAL, np.zeros((5, 2))), (PLANE, np.zeros((5, 1)))):
        with pytest.raises(ValueError, match="columns"):
            plots.model(p, x)
