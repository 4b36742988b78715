"""Pictures: every function takes an Axes (or makes one) and returns it.

Colours are those of Okabe & Ito (2008), told apart by the colour-blind;
densities are drawn in `cividis`, which prints well in grey.
"""

import matplotlib.pyplot as plt
import numpy as np

from tinyebm.backend import to_numpy
from tinyebm.exact.likelihood import exponents
from tinyebm.exact.partition import log_partition, quadrature

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CYCLE = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
RTOL = 1e-5


def data(x, ax=None, window=None, **style):
    """Draw rows x (n, d): dots in the plane, a histogram on the line (a density, area 1)."""
    _require_flat(x.shape[1])
    ax, x = _axes(ax), to_numpy(x)
    if x.shape[1] == 1:
        usual = {"bins": 60, "density": True, "color": BLUE, "alpha": 0.35, "range": window and window[0]}
        ax.hist(x[:, 0], **usual | style)
    else:
        ax.scatter(x[:, 0], x[:, 1], **{"s": 4, "color": BLUE, "alpha": 0.5, "linewidths": 0} | style)
    return _frame(ax, window, x.shape[1])


def density(p, ax=None, window=None, resolution=200, **style):
    """Draw the normalised density of p: a curve in 1-D, an image in 2-D (dark is low, bright is high)."""
    _require_flat(p.space.dim)
    ax, window = _axes(ax), window or view(p)
    if p.space.dim == 1:
        t = np.linspace(*window[0], 4 * resolution)
        ax.plot(t, np.exp(_log_density(p, t[:, None])), **{"color": VERMILION} | style)
    else:
        x, shape = _mesh(window, resolution)
        image = np.exp(_log_density(p, x)).reshape(shape)
        ax.imshow(image.T, origin="lower", extent=[*window[0], *window[1]], aspect="auto",
                  **{"cmap": "cividis", "interpolation": "bilinear"} | style)
    return _frame(ax, window, p.space.dim)


def energy(p, ax=None, window=None, resolution=200, levels=15, **style):
    """Draw E(x), base measure included, in nats above its minimum: a curve in 1-D, contours up to 15 nats in 2-D."""
    _require_flat(p.space.dim)
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


def curves(series, ax=None, xlabel="updates", ylabel="KL, nats", log=True):
    """Draw {name: (x, y)} as lines of different colours and dashes, with a legend."""
    ax = _axes(ax)
    for (name, (x, y)), colour, dash in zip(series.items(), CYCLE * 9, DASHES * 9, strict=False):
        ax.plot(x, y, color=colour, linestyle=dash, label=name, linewidth=1.8)
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if series:
        ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def comparison(found):
    """The figure of a `Comparison`: data, one density per method, the divergence against updates and against seconds."""
    points, window, dim = _scene(found)
    _require_flat(dim)
    panels = max(3, len(found.fits) + 1)
    figure = plt.figure(figsize=(2.7 * panels, 6.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    _densities(found, points, window, top.subplots(1, panels))
    finite = "entropy" not in found.truth
    label = "exact NLL of the training data, nats" if finite else "exact KL(data‖model), nats"
    for ax, column, xlabel in zip(bottom.subplots(1, 2), (0, 1), ("updates", "seconds of training"), strict=True):
        series = {name: ([c[column] for c in curve], [c[2] for c in curve]) for name, curve in found.curves.items() if curve}
        curves(series, ax, xlabel, label, log=not finite)
        if finite:
            _trim(ax, series)
    return figure


def _densities(found, points, window, axes):
    """The upper row of `comparison`: the data, then every fitted density in the same window."""
    data(points, axes[0], window).set_title(f"data: {found.name}")
    columns = getattr(found.data, "columns", None)
    if columns and len(window) == 2:
        units = "" if np.all(found.data.scale == 1) else ", standardised"
        axes[0].set(xlabel=columns[0] + units, ylabel=columns[1] + units)
    rows = {row["method"]: row for row in found.rows}
    for ax, (method, fitted) in zip(axes[1:], found.fits.items(), strict=False):
        ax.set_title(_title(method, rows[method]))
        if len(window) == 1:
            data(points, ax, window)
        if np.isfinite(rows[method]["nll"]):
            density(fitted.density, ax, window)
        else:
            ax.text(0.5, 0.5, "Z is infinite or unknown", ha="center", transform=ax.transAxes)
    for ax in axes[len(found.fits) + 1 :]:
        ax.set_visible(False)


def save(figure, path):
    """Write a figure to an image file, close it, and return the path."""
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def model(p, points=None):
    """A figure of one model: its energy, and its exact density with log Z, beside the data it was fitted to."""
    _require_flat(p.space.dim)
    window = view(p)
    if hasattr(points, "sample"):
        points = points.sample(1000, np.random.default_rng(0))
    points = getattr(points, "x", points)
    if points is not None and points.shape[1] != p.space.dim:
        raise ValueError(f"the data have {points.shape[1]} columns, the model has dimension {p.space.dim}")
    panels = 2 if points is None else 3
    figure, axes = plt.subplots(1, panels, figsize=(4 * panels, 3.6), layout="constrained")
    if points is not None:
        data(points, axes[0], window).set_title("data")
    energy(p, axes[-2], window).set_title("energy E(x), nats above its minimum")
    if points is not None and p.space.dim == 1:
        data(points, axes[-1], window)
    density(p, axes[-1], window).set_title(f"exp(-E(x)) / Z,  log Z = {float(log_partition(p, RTOL)):.4f}")
    return figure


def view(p, margin=0.1):
    """A window [(low, high), ...] around what p calls probable: all but 1e-4 of its mass, per axis, and a margin."""
    q = quadrature(p, 1e-3)
    x, log_w = q.grid.all()
    mass = np.exp(exponents(p, x) + log_w - q.log_z)
    window = []
    for t in x.T:
        order = np.argsort(t)
        cumulative = np.cumsum(mass[order])
        low, high = (t[order][np.searchsorted(cumulative, level * cumulative[-1])] for level in (5e-5, 1 - 5e-5))
        window.append((low - margin * (high - low), high + margin * (high - low)))
    return window


def _require_flat(dim):
    if dim > 2:
        raise ValueError(f"pictures are for dim 1 and 2, not {dim}")


def _scene(found):
    """Points to draw, a window around them, and their dimension."""
    source = found.data
    if hasattr(source, "sample"):
        points = source.sample(1000, np.random.default_rng(0))
    else:
        points = getattr(source, "x", source)
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.15 * (high - low)
    return points, list(zip(low - pad, high + pad, strict=True)), points.shape[1]


def _title(method, row):
    if row.get("kl") is not None and np.isfinite(row["kl"]) and method != "mle":
        return f"{method}: KL {row['kl']:.3f}"
    return f"{method}: NLL {row['nll']:.3f}"


def _trim(ax, series):
    """Keep a diverging curve from flattening the others: cut the axis two nats above the best value."""
    values = np.concatenate([y for _, y in series.values()])
    values = values[np.isfinite(values)]
    if len(values):
        ax.set_ylim(values.min() - 0.05, min(values.max(), values.min() + 2) + 0.05)


def _energies(p, x):
    return np.where(p.space.contains(x), -exponents(p, x), np.inf)


def _log_density(p, x):
    log_p = exponents(p, x) - float(log_partition(p, RTOL))
    return np.where(p.space.contains(x), log_p, -np.inf)


def _mesh(window, resolution):
    t = np.stack(np.meshgrid(*[np.linspace(*side, resolution) for side in window[:2]], indexing="ij"), axis=-1)
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
