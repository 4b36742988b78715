"""Pictures of data, densities, energies and curves, drawn by Matplotlib.

Every function draws on a given Axes or on a new one, and returns it.  Colours are those of Okabe &
Ito (2008), which colour-blind readers can distinguish.  Densities are drawn in `cividis`, which
prints well in grey.

>>> import numpy as np
>>> import tinyebm as te
>>> normal = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
>>> ax = te.plots.density(normal)
>>> te.plots.energy(normal, ax).lines[1].get_ydata().min().round(2)
np.float64(0.0)
"""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tinyebm.common.backend import to_numpy
from tinyebm.density import exponents
from tinyebm.exact.nodes.quadrature import quadrature
from tinyebm.exact.normalised import probabilities
from tinyebm.exact.partition import log_partition
from tinyebm.exact.sampling import sample
from tinyebm.storage.files import whole_file

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
BLACK = "#000000"
CYCLE = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
RTOL = 1e-5


def data(x, ax=None, window=None, **style):
    """Draw rows x (n, d): a histogram of area 1 in 1-D, dots in 2-D."""
    require_flat(x.shape[1])
    ax, x = _axes(ax), to_numpy(x)
    if x.shape[1] == 1:
        usual = {"bins": 60, "density": True, "color": BLUE, "alpha": 0.35}
        ax.hist(x[:, 0], **usual | {"range": window and window[0]} | style)
    else:
        usual = {"s": 4, "color": BLUE, "alpha": 0.5, "linewidths": 0}
        ax.scatter(x[:, 0], x[:, 1], **usual | style)
    return _frame(ax, window, x.shape[1])


def density(p, ax=None, window=None, resolution=200, **style):
    """Draw the normalised density of p: a curve in 1-D, an image in 2-D (bright is high)."""
    ax, window, (t, *_), u = _on_grid(p, ax, window, resolution)
    height = np.exp(u - float(log_partition(p, RTOL)))
    if p.space.dim == 1:
        ax.plot(t, height, **{"color": VERMILION} | style)
    else:
        usual = {"cmap": "cividis", "interpolation": "bilinear", "aspect": "auto"}
        ax.imshow(height.T, origin="lower", extent=[*window[0], *window[1]], **usual | style)
    return _frame(ax, window, p.space.dim)


def energy(p, ax=None, window=None, resolution=200, levels=15, **style):
    """Draw E(x), base measure included, in nats above its minimum: a curve in 1-D, contours in 2-D.

    The contours end at 15 nats.
    """
    ax, window, t, u = _on_grid(p, ax, window, resolution)
    if p.space.dim == 1:
        ax.plot(*t, u.max() - u, **{"color": BLACK} | style)
    else:
        cut = np.minimum(u.max() - u, 15.0)
        ax.contourf(*t, cut.T, levels, **{"cmap": "cividis_r"} | style)
    return _frame(ax, window, p.space.dim)


def law(probabilities, space, ax=None, filled=False, **style):
    """Draw probabilities (N,) of the nodes of a space in 1-D as a density: a curve, or filled.

    The density at a node is its probability divided by its width, the quadrature weight.
    """
    grid = None if space.discrete or space.dim > 1 else space.grid(len(probabilities))
    if grid is None or grid.size != len(probabilities):
        raise ValueError(
            "a law is drawn from the probabilities of a line's nodes, not from "
            f"{len(probabilities)} of {space}"
        )
    ax, ((nodes, log_w),) = _axes(ax), grid.axes
    height = to_numpy(probabilities) / np.exp(log_w)
    if filled:
        ax.fill_between(nodes, height, **{"color": "0.85"} | style)
    else:
        ax.plot(nodes, height, **{"color": VERMILION} | style)
    return _frame(ax, None, 1)


def tiles(x, ax=None, columns=7, rows=6):
    """Draw the first columns · rows rows of x (n, side²) as small square images; 1 is dark."""
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1]:
        raise ValueError(f"tiles are square images, and {x.shape[1]} is no square number of pixels")
    ax, x = _axes(ax), to_numpy(x)[: columns * rows]
    wall = np.full((rows, side + 1, columns, side + 1), np.nan)  # nan: a gap after every tile
    for i, tile in enumerate((x - x.min()) / max(np.ptp(x), 1)):
        wall[i // columns, :side, i % columns, :side] = tile.reshape(side, side)
    ax.imshow(
        wall.reshape(rows * (side + 1), -1)[:-1, :-1],
        cmap="Blues",
        vmin=-0.15,
        vmax=1.0,
        interpolation="nearest",
    )
    ax.axis("off")
    return ax


def states(p, ax=None, cell=None, seed=0):
    """Draw a density on a discrete space: exact draws as `tiles`.

    If states are cells of a square lattice, `cell(states)` numbers them, and their probabilities
    are drawn as an image.
    """
    if cell is None:
        return tiles(sample(p, 42, np.random.default_rng(seed)), ax)
    ax, mass = _axes(ax), np.zeros(p.space.grid().size)
    mass[cell(p.space.grid().all()[0])] = probabilities(p)
    side = math.isqrt(len(mass))
    ax.imshow(mass.reshape(side, side).T, origin="lower", cmap="cividis")
    ax.axis("off")
    return ax


def curves(series, ax=None, xlabel="updates", ylabel="KL, nats", log=True):
    """Draw {name: (x, y)} as lines of different colours and dashes, with a legend."""
    ax = _axes(ax)
    for i, (name, (x, y)) in enumerate(series.items()):
        # 49 different pairs
        colour, dash = CYCLE[i % len(CYCLE)], DASHES[(i + i // len(CYCLE)) % len(DASHES)]
        [line] = ax.plot(x, y, color=colour, linestyle=dash, label=name, linewidth=1.8)
        line.set_marker("o" if len(x) == 1 else "")
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if series:
        ax.legend(frameon=False, ncols=1 + len(series) // 7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def sheet(width, height):
    """An empty figure of this size in inches with an automatic layout of its panels."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    return figure


def save(figure, path):
    """Write a figure to an image file, close it, and return the path."""
    kind = Path(path).suffix.lower().lstrip(".") or "png"
    kinds = figure.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise ValueError(
            f"{path}: images of type {kind!r} are not supported; the types are "
            f"{', '.join(sorted(kinds))}"
        )
    with whole_file(path) as file:
        figure.savefig(file, format=kind, dpi=120)
    plt.close(figure)
    return path


def view(p, margin=0.1):
    """A window [(low, high), ...] that holds all but 1e-4 of p's mass per axis, and a margin."""
    q = quadrature(p, 1e-3)
    x, log_w = q.grid.all()
    mass = np.exp(exponents(p, x) + log_w - q.log_z)
    window = []
    for t in x.T:
        order = np.argsort(t)
        cumulative = np.cumsum(mass[order])
        ends = np.searchsorted(cumulative, np.array([5e-5, 1 - 5e-5]) * cumulative[-1])
        low, high = t[order][ends]
        window.append((low - margin * (high - low), high + margin * (high - low)))
    return window


def require_flat(dim):
    """Raise ValueError for more than two dimensions."""
    if dim > 2:
        raise ValueError(f"pictures are for dim 1 and 2, not {dim}")


def _on_grid(p, ax, window, resolution):
    """(Axes, window, a list of coordinates per axis, log p + log Z on their grid; outside -inf)."""
    dim = p.space.dim
    require_flat(dim)
    window = window or view(p)
    n = resolution if dim == 2 else 4 * resolution
    t = [np.linspace(*side, n) for side in window[:dim]]
    grid = np.stack(np.meshgrid(*t, indexing="ij"), axis=-1)
    x = grid.reshape(-1, dim)
    u = np.where(p.space.contains(x), exponents(p, x), -np.inf)
    return _axes(ax), window, t, u.reshape(grid.shape[:-1])


def _axes(ax):
    return plt.subplots()[1] if ax is None else ax


def _frame(ax, window, dim):
    if window:
        ax.set_xlim(*window[0])
        if dim > 1:
            ax.set_ylim(*window[1])
    ax.spines[["top", "right"]].set_visible(False)
    return ax
