"""Pictures: the numbers that were drawn, and where on the page they lie."""

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
    lambda ax: plots.energy(PLANE, ax), lambda ax: plots.curves({"a": ([1, 2], [3, 4])}, ax),
    lambda ax: plots.law(te.probabilities(SLOPE), SLOPE.space, ax)])
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


@pytest.mark.parametrize("p", [NORMAL, SLOPE], ids=["line", "box"])
def test_a_law_is_drawn_as_its_density(p):
    """The probabilities of uneven nodes, over their widths, are p there.  Catches masses drawn as they are."""
    mass = te.probabilities(p, rtol=1e-6)
    nodes, height = plots.law(mass, p.space, color="#ff0000").lines[0].get_data()

    np.testing.assert_allclose(height, np.exp(te.log_prob(p, nodes[:, None])), rtol=1e-6, atol=1e-9)
    band = plots.law(mass, p.space, filled=True).collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0 and band[:, 1].max() == pytest.approx(height.max())


def test_tiles_are_the_rows():
    """Catches images transposed, out of order, or one pixel into their neighbour."""
    x = (np.random.default_rng(0).random((9, 4)) < 0.5) * 1.0
    image = np.asarray(plots.tiles(x, columns=3, rows=4).images[0].get_array(), dtype=float)

    assert image.shape == (4 * 3 - 1, 3 * 3 - 1)
    for i, row in enumerate(x):
        top, left = 3 * (i // 3), 3 * (i % 3)
        np.testing.assert_array_equal(image[top : top + 2, left : left + 2], row.reshape(2, 2))
    assert np.isnan(image[2]).all() and np.isnan(image[:, 2]).all() and np.isnan(image[9:]).all()
    with pytest.raises(ValueError, match="5 is no square"):
        plots.tiles(np.zeros((3, 5)))


def test_states_of_a_lattice_lie_where_they_belong():
    """The law of a Gray-coded toy against its states, cell by cell: catches a transpose and states out of order."""
    target = te.datasets.load("two_moons_bits")
    image = np.asarray(plots.states(target, cell=target.cell).images[0].get_array())
    i, j = np.divmod(target.cell(target.states), 256)

    assert image[j, i] == pytest.approx(target.probabilities, abs=1e-15) and image.sum() == pytest.approx(1)


def test_states_are_exact_draws():
    """Catches tiles that are not draws of the model: one state has all the mass here."""
    p = te.Density(te.BoltzmannMachine(4), {"W": np.zeros(6), "b": np.array([40.0, -40.0, -40.0, 40.0])}, te.Bits(4))
    image = np.asarray(plots.states(p).images[0].get_array(), dtype=float)

    np.testing.assert_array_equal(image[:2, :2], np.eye(2))


def test_what_has_no_picture_is_refused():
    """Catches three dimensions drawn as two, and data beside a model of another dimension."""
    for refused in (lambda: plots.density(SPACE), lambda: plots.energy(SPACE),
                    lambda: plots.data(np.zeros((5, 3)))):
        with pytest.raises(ValueError, match="not 3"):
            refused()
    for n, space in ((7, te.Reals(2)), (60, te.Cells(60)), (801, te.Box(-8, 8, 1))):
        with pytest.raises(ValueError, match=f"a line's nodes, not from {n} of "):
            plots.law(np.full(n, 1 / n), space)
