"""Whole figures: a comparison of methods, and one model beside its data."""

import numpy as np

from tinyebm import plots
from tinyebm.common.kinds import is_population
from tinyebm.exact.partition import log_partition

WIDEST = 6  # panels side by side


def comparison(found):
    """The figure of a `Comparison`: the data, a density per method, and divergence against updates
    and against seconds.

    In 2-D the densities share one scale of brightness.  On states there are exact draws instead,
    or probabilities where the states are cells of a lattice.
    """
    count = 1 + len(found.fits)
    rows = -(-count // WIDEST)
    columns = max(3, -(-count // rows))
    figure = plots.sheet(2.7 * columns, 3.1 * (rows + 1))
    top, bottom = figure.subfigures(2, 1, height_ratios=(rows, 1))
    axes = top.subplots(rows, columns, squeeze=False).reshape(-1)
    for ax in axes[count:]:
        ax.set_visible(False)
    _draw_fits(found, axes)

    finite = "entropy" not in found.truth
    label = "exact NLL of the training data, nats" if finite else "exact KL(data‖model), nats"
    curves = {name: np.array(curve).T for name, curve in found.curves.items() if curve}
    labels = ("updates", "seconds of training")
    for i, ax in enumerate(bottom.subplots(1, 2)):
        series = {name: (curve[i], curve[2]) for name, curve in curves.items()}
        plots.curves(series, ax, labels[i], label, log=not finite)
        if finite:
            _trim(ax, [curve[2] for curve in curves.values()])
    return figure


def model(p, data=None):
    """A figure of one model: its energy and its exact density with log Z, beside the data.

    On states there are exact draws, or probabilities where they are cells of a lattice.
    """
    discrete = p.space.discrete
    window = None if discrete else _window(p, data)
    panels = (data is not None) + (1 if discrete else 2)
    figure = plots.sheet(4.3 * panels, 3.8)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    if data is not None:
        _draw_data(data, axes[0], window).set_title("data")
    log_z = f"log Z = {float(log_partition(p, plots.RTOL)):.4f}"
    if discrete:
        ax = plots.states(p, axes[-1], getattr(data, "cell", None))
        ax.set_title(f"exact draws,  {log_z}")
        return figure

    plots.energy(p, axes[-2], window).set_title("energy E(x), nats above its minimum")
    if data is not None and p.space.dim == 1:
        _draw_data(data, axes[-1], window)
    plots.density(p, axes[-1], window).set_title(f"exp(-E(x)) / Z,  {log_z}")
    for ax in axes:
        _label(ax, data, p.space.dim)
    if p.space.dim == 2:
        contours, image = axes[-2].collections[-1], axes[-1].images[-1]
        figure.colorbar(contours, ax=axes[-2], label="E, cut at 15 nats: bright is likely")
        figure.colorbar(image, ax=axes[-1], label="density")
    return figure


def _draw_fits(found, axes):
    """The upper row of `comparison`: the data, then the model of every method."""
    discrete = _discrete(found.data)
    window = None if discrete else _around(_points(found.data), margin=0.15)
    _draw_data(found.data, axes[0], window).set_title(f"data: {found.name}")
    if not discrete:
        _label(axes[0], found.data, len(window))
    rows, top = {row["method"]: row for row in found.rows}, None
    for ax, (method, fitted) in zip(axes[1:], found.fits.items(), strict=False):
        ax.set_title(_title(method, rows[method]))
        if discrete:
            plots.states(fitted.density, ax, getattr(found.data, "cell", None))
            continue
        if len(window) == 1:
            _draw_data(found.data, ax, window)
        if not np.isfinite(rows[method]["nll"]):
            ax.text(0.5, 0.5, "Z is infinite or unknown", ha="center", transform=ax.transAxes)
        elif len(window) == 1:
            plots.density(fitted.density, ax, window)
            top = top or 1.8 * ax.lines[-1].get_ydata().max()
            ax.set_ylim(0, top)
        else:
            plots.density(fitted.density, ax, window, vmin=top and 0.0, vmax=top)
            top = top or ax.images[-1].get_array().max()


def _draw_data(data, ax, window):
    """Rows as `plots.data`; on states as tiles, or a population's probabilities on a lattice."""
    if not _discrete(data):
        return plots.data(_points(data), ax, window)
    if getattr(data, "cell", None):
        return plots.states(data, ax, data.cell)
    rng, x = np.random.default_rng(0), _points(data)
    return plots.tiles(x if is_population(data) else x[rng.integers(0, len(x), 42)], ax)


def _points(data):
    """Rows (n, d): 1000 draws of a population, or all rows of Data or of an array."""
    if is_population(data):
        return data.sample(1000, np.random.default_rng(0))
    return getattr(data, "x", data)


def _discrete(data):
    return getattr(getattr(data, "space", None), "discrete", False)


def _window(p, data):
    """A window that holds nearly all mass of p, and all points of the data."""
    plots.require_flat(p.space.dim)
    window = plots.view(p)
    if data is None:
        return window
    points = _points(data)
    if points.shape[1] != p.space.dim:
        raise ValueError(
            f"the data have {points.shape[1]} columns, the model has dimension {p.space.dim}"
        )
    sides = zip(_around(points, margin=0.05), window, strict=True)
    return [(min(a[0], b[0]), max(a[1], b[1])) for a, b in sides]


def _around(points, margin):
    """A window that holds all points, and a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    pad = margin * (high - low)
    return list(zip(low - pad, high + pad, strict=True))


def _label(ax, data, dim):
    """Name the axes after the columns of the data and their units; or x, or x1 and x2."""
    names = getattr(data, "columns", None) or ()
    units = "" if np.all(getattr(data, "scale", 1) == 1) else ", standardised"
    names = [name + units for name in names] or (["x"] if dim == 1 else ["x1", "x2"])
    ax.set_xlabel(names[0])
    if dim == 2:
        ax.set_ylabel(names[1])


def _title(method, row):
    # not for the model that KL is measured from
    if np.isfinite(row.get("kl", np.nan)) and row["kl"] > row["kl_error"]:
        return f"{method}: KL {row['kl']:.3f}"
    return f"{method}: NLL {row['nll']:.3f}" if np.isfinite(row["nll"]) else method


def _trim(ax, curves):
    """Cut the axis two nats above the best value: a diverging curve would flatten the others."""
    values = np.concatenate([[], *curves])
    values = values[np.isfinite(values)]
    if len(values):
        ax.set_ylim(values.min() - 0.05, min(values.max(), values.min() + 2) + 0.05)
