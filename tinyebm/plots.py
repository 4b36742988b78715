"""Pictures: what draws takes an Axes (or makes one) and returns it.

Colours are those of Okabe & Ito (2008), told apart by the colour-blind;
densities are drawn in `cividis`, which prints well in grey.
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
    """Draw rows x (n, d): dots in the plane, a histogram on the line (a density, area 1)."""
    require_flat(x.shape[1])
    ax, x = _axes(ax), to_numpy(x)
    if x.shape[1] == 1:
        usual = {
            "bins": 60,
            "density": True,
            "color": BLUE,
            "alpha": 0.35,
            "range": window and window[0],
        }
        ax.hist(x[:, 0], **usual | style)
    else:
        ax.scatter(
            x[:, 0], x[:, 1], **{"s": 4, "color": BLUE, "alpha": 0.5, "linewidths": 0} | style
        )
    return _frame(ax, window, x.shape[1])


def density(p, ax=None, window=None, resolution=200, **style):
    """Draw the normalised density of p: a curve in 1-D, an image in 2-D (dark is low, bright is
    high)."""
    require_flat(p.space.dim)
    ax, window = _axes(ax), window or view(p)
    if p.space.dim == 1:
        t = np.linspace(*window[0], 4 * resolution)
        ax.plot(t, np.exp(_log_density(p, t[:, None])), **{"color": VERMILION} | style)
    else:
        x, shape = _mesh(window, resolution)
        image = np.exp(_log_density(p, x)).reshape(shape)
        ax.imshow(
            image.T,
            origin="lower",
            extent=[*window[0], *window[1]],
            aspect="auto",
            **{"cmap": "cividis", "interpolation": "bilinear"} | style,
        )
    return _frame(ax, window, p.space.dim)


def energy(p, ax=None, window=None, resolution=200, levels=15, **style):
    """Draw E(x), base measure included, in nats above its minimum: a curve in 1-D, contours up to
    15 nats in 2-D."""
    require_flat(p.space.dim)
    ax, window = _axes(ax), window or view(p)
    if p.space.dim == 1:
        t = np.linspace(*window[0], 4 * resolution)
        u = _energies(p, t[:, None])
        ax.plot(t, u - u.min(), **{"color": BLACK} | style)
    else:
        x, shape = _mesh(window, resolution)
        u = _energies(p, x).reshape(shape)
        t = [np.linspace(*window[i], resolution) for i in (0, 1)]
        ax.contourf(*t, np.minimum(u - u.min(), 15.0).T, levels, **{"cmap": "cividis_r"} | style)
    return _frame(ax, window, p.space.dim)


def law(probabilities, space, ax=None, filled=False, **style):
    """Draw probabilities (N,) of the nodes of a space on the line as a density, each over its
    node's width: a curve, or filled."""
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
    """Draw rows x (n, side²) as small square images, on is dark: the first columns · rows of
    them."""
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1]:
        raise ValueError(f"tiles are square images, and {x.shape[1]} is no square number of pixels")
    ax, x = _axes(ax), to_numpy(x)[: columns * rows]
    wall = np.full((rows, side + 1, columns, side + 1), np.nan)  # a gap after every tile
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
    """Draw a density on a discrete space: exact draws as `tiles`, or its law where states are cells
    of a square lattice."""
    if cell is None:
        return tiles(sample(p, 42, np.random.default_rng(seed)), ax)
    ax, law = _axes(ax), np.zeros(p.space.grid().size)
    law[cell(p.space.grid().all()[0])] = probabilities(p)
    side = math.isqrt(len(law))
    ax.imshow(law.reshape(side, side).T, origin="lower", cmap="cividis")
    ax.axis("off")
    return ax


def curves(series, ax=None, xlabel="updates", ylabel="KL, nats", log=True):
    """Draw {name: (x, y)} as lines of different colours and dashes, with a legend."""
    ax = _axes(ax)
    for i, (name, (x, y)) in enumerate(series.items()):
        # 49 different pairs
        colour, dash = CYCLE[i % len(CYCLE)], DASHES[(i + i // len(CYCLE)) % len(DASHES)]
        ax.plot(
            x,
            y,
            color=colour,
            linestyle=dash,
            label=name,
            linewidth=1.8,
            marker="o" if len(x) == 1 else None,
        )
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if series:
        ax.legend(frameon=False, ncols=1 + len(series) // 7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def sheet(width, height):
    """An empty figure, in inches, that lays out what is drawn on it."""
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
    """A window [(low, high), ...] around what p calls probable: all but 1e-4 of its mass, per axis,
    and a margin."""
    q = quadrature(p, 1e-3)
    x, log_w = q.grid.all()
    mass = np.exp(exponents(p, x) + log_w - q.log_z)
    window = []
    for t in x.T:
        order = np.argsort(t)
        cumulative = np.cumsum(mass[order])
        low, high = (
            t[order][np.searchsorted(cumulative, level * cumulative[-1])]
            for level in (5e-5, 1 - 5e-5)
        )
        window.append((low - margin * (high - low), high + margin * (high - low)))
    return window


def require_flat(dim):
    """Refuse what has more than two dimensions."""
    if dim > 2:
        raise ValueError(f"pictures are for dim 1 and 2, not {dim}")


def _energies(p, x):
    return np.where(p.space.contains(x), -exponents(p, x), np.inf)


def _log_density(p, x):
    log_p = exponents(p, x) - float(log_partition(p, RTOL))
    return np.where(p.space.contains(x), log_p, -np.inf)


def _mesh(window, resolution):
    t = np.stack(
        np.meshgrid(*[np.linspace(*side, resolution) for side in window[:2]], indexing="ij"),
        axis=-1,
    )
    return t.reshape(-1, 2), t.shape[:2]


def _axes(ax):
    return plt.subplots()[1] if ax is None else ax


def _frame(ax, window, dim):
    if window:
        ax.set_xlim(*window[0])
        if dim > 1:
            ax.set_ylim(*window[1])
    ax.spines[["top", "right"]].set_visible(False)
    return ax
