"""Whole figures: a comparison of methods, and one model beside its data."""

import numpy as np

from tinyebm import plots
from tinyebm.exact.partition import log_partition

WIDEST = 6  # panels side by side


def comparison(found):
    """The figure of a `Comparison`: data, one density per method, the divergence against updates
    and against seconds.

    On R^d the densities share the scale of the first one; on bits there are exact draws, or the law
    of the cells.
    """
    rows = -(-(len(found.fits) + 1) // WIDEST)
    panels = max(3, -(-(len(found.fits) + 1) // rows))
    figure = plots.sheet(2.7 * panels, 3.1 * (rows + 1))
    top, bottom = figure.subfigures(2, 1, height_ratios=(rows, 1))
    draw = _laws if _discrete(found.data) else _densities
    draw(found, top.subplots(rows, panels, squeeze=False).reshape(-1))
    finite = "entropy" not in found.truth
    label = "exact NLL of the training data, nats" if finite else "exact KL(data‖model), nats"
    for ax, column, xlabel in zip(
        bottom.subplots(1, 2), (0, 1), ("updates", "seconds of training"), strict=True
    ):
        series = {
            name: ([c[column] for c in curve], [c[2] for c in curve])
            for name, curve in found.curves.items()
            if curve
        }
        plots.curves(series, ax, xlabel, label, log=not finite)
        if finite:
            _trim(ax, series)
    return figure


def model(p, points=None):
    """A figure of one model: its energy, and its exact density with log Z, beside the data it was
    fitted to.

    On a discrete space: exact draws, or the law of the cells, beside the data.
    """
    if _discrete(p):
        return _discrete_model(p, points)
    plots.require_flat(p.space.dim)
    columns, window = _columns(points), plots.view(p)
    if hasattr(points, "sample"):
        points = points.sample(1000, np.random.default_rng(0))
    points = getattr(points, "x", points)
    panels = 2
    if points is not None:
        if points.shape[1] != p.space.dim:
            raise ValueError(
                f"the data have {points.shape[1]} columns, the model has dimension {p.space.dim}"
            )
        panels, window = 3, _around(points, window)

    figure = plots.sheet(4.3 * panels, 3.8)
    axes = figure.subplots(1, panels)
    if points is not None:
        plots.data(points, axes[0], window).set_title("data")
    plots.energy(p, axes[-2], window).set_title("energy E(x), nats above its minimum")
    if points is not None and p.space.dim == 1:
        plots.data(points, axes[-1], window)
    plots.density(p, axes[-1], window).set_title(
        f"exp(-E(x)) / Z,  log Z = {float(log_partition(p, plots.RTOL)):.4f}"
    )
    for ax in axes:
        _label(ax, columns, p.space.dim)
    if p.space.dim == 2:
        figure.colorbar(
            axes[-2].collections[-1], ax=axes[-2], label="E, cut at 15 nats: bright is likely"
        )
        figure.colorbar(axes[-1].images[-1], ax=axes[-1], label="density")
    return figure


def _discrete_model(p, points):
    panels = 1 + (points is not None)
    figure = plots.sheet(4.3 * panels, 3.8)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    if points is not None:
        _draw_states(points, axes[0]).set_title("data")
    title = f"exact draws,  log Z = {float(log_partition(p)):.4f}"
    plots.states(p, axes[-1], getattr(points, "cell", None)).set_title(title)
    return figure


def _densities(found, axes):
    """The upper row of `comparison` on R^d: the data, then every fitted density in the same
    window."""
    source = found.data
    points = (
        source.sample(1000, np.random.default_rng(0))
        if hasattr(source, "sample")
        else getattr(source, "x", source)
    )
    plots.require_flat(points.shape[1])
    window = _around(points, margin=0.15)
    plots.data(points, axes[0], window).set_title(f"data: {found.name}")
    rows, top = {row["method"]: row for row in found.rows}, None
    for ax, (method, fitted) in zip(axes[1:], found.fits.items(), strict=False):
        ax.set_title(_title(method, rows[method]))
        if len(window) == 1:
            plots.data(points, ax, window)
        if not np.isfinite(rows[method]["nll"]):
            ax.text(0.5, 0.5, "Z is infinite or unknown", ha="center", transform=ax.transAxes)
        elif len(window) == 1:
            plots.density(fitted.density, ax, window)
            top = top or 1.8 * ax.lines[-1].get_ydata().max()
            ax.set_ylim(0, top)
        else:
            plots.density(fitted.density, ax, window, **({"vmin": 0.0, "vmax": top} if top else {}))
            top = top or ax.images[-1].get_array().max()
    for i, ax in enumerate(axes):
        ax.set_visible(i <= len(found.fits))
    _label(axes[0], _columns(source), len(window))


def _laws(found, axes):
    """The upper row of `comparison` on a discrete space: the data, then draws (or the law) of every
    fit."""
    _draw_states(found.data, axes[0]).set_title(f"data: {found.name}")
    rows = {row["method"]: row for row in found.rows}
    for ax, (method, fitted) in zip(axes[1:], found.fits.items(), strict=False):
        plots.states(fitted.density, ax, getattr(found.data, "cell", None)).set_title(
            _title(method, rows[method])
        )
    for i, ax in enumerate(axes):
        ax.set_visible(i <= len(found.fits))


def _draw_states(data, ax):
    """Data on a discrete space: rows as tiles, or the law of a population on a lattice."""
    if getattr(data, "cell", None):
        return plots.states(data, ax, data.cell)
    rng = np.random.default_rng(0)
    return plots.tiles(
        data.sample(42, rng)
        if hasattr(data, "sample")
        else data.x[rng.integers(0, len(data.x), 42)],
        ax,
    )


def _discrete(thing):
    return getattr(getattr(thing, "space", None), "discrete", False)


def _around(points, window=None, margin=0.05):
    """A window that holds all points, and another window."""
    low, high = points.min(axis=0), points.max(axis=0)
    pad = margin * (high - low)
    found = list(zip(low - pad, high + pad, strict=True))
    return (
        found
        if window is None
        else [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(found, window, strict=True)]
    )


def _columns(data):
    """The names of the columns of data, with what was done to their units."""
    names = getattr(data, "columns", None) or ("x",)
    units = "" if np.all(getattr(data, "scale", 1) == 1) else ", standardised"
    return (
        tuple(name + units for name in names)
        if len(names) > 1 or getattr(data, "columns", None)
        else None
    )


def _label(ax, columns, dim):
    """Name the axes after the columns, or x."""
    names = columns or ("x",) if dim == 1 else columns or ("x1", "x2")
    ax.set_xlabel(names[0])
    if dim == 2:
        ax.set_ylabel(names[1])


def _title(method, row):
    # not the model that KL is measured from
    if np.isfinite(row.get("kl", np.nan)) and row["kl"] > row["kl_error"]:
        return f"{method}: KL {row['kl']:.3f}"
    return f"{method}: NLL {row['nll']:.3f}" if np.isfinite(row["nll"]) else method


def _trim(ax, series):
    """Keep a diverging curve from flattening the others: cut the axis two nats above the best
    value."""
    values = np.concatenate([y for _, y in series.values()] or [[]])
    values = values[np.isfinite(values)]
    if len(values):
        ax.set_ylim(values.min() - 0.05, min(values.max(), values.min() + 2) + 0.05)
