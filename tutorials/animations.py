"""The moving pictures of the project: `python tutorials/animations.py [hero] [tug_of_war]` writes figures/NAME.gif and NAME.png.

hero: a network learns two moons by exact maximum likelihood: its energy, its density with Z, Langevin particles that follow it,
and below the exact negative log-likelihood.  tug_of_war: the same on the line, with the force on the energy.
"""

import argparse
import os
import pathlib

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import PillowWriter

import tinyebm as te
from tinyebm import plots

FIGURES = pathlib.Path(__file__).parent / "figures"
WINDOW = [(-4.5, 4.5), (-3.5, 3.5)]
LARGEST = 1_500_000  # bytes of a file
PER_SECOND = 6  # frames
HELD = 12  # how often the last frame is repeated


def film(energy, population, space, updates, rate, count):
    """Exact maximum likelihood: (update, density, exact NLL) at about `count` updates, the early ones closer to each other."""
    wanted = (2 * np.round(np.geomspace(1, updates // 2, count)).astype(int)).tolist()
    begun = te.Density(energy, energy.init(np.random.default_rng(0)), space)
    frames = [(0, begun, te.nll(begun, population, 1e-4).value)]

    def look(step, p, record):
        if step in wanted:
            frames.append((step, p, record["nll"]))

    te.fit(energy, population, space, te.ExactLikelihood(rtol=1e-3), te.adam(rate), steps=updates, batch_size=1000,
           theta=begun.theta, log_every=2, progress="learn", callback=look)
    return frames


def hero(figure, updates=320):
    """Draw the frames of the hero, one after the other; yields after each."""
    moons = te.datasets.load("two_moons")
    falling = lambda i: 0.02 * min(1.0, 2 * (1 - i / updates))
    frames = film(te.MLP((2, 32, 32, 1), confinement=0.5), moons, te.Reals(2), updates, falling, 46)
    rng, particles = np.random.default_rng(0), np.random.default_rng(1).standard_normal((300, 2)) * 2
    for i, (_, p, _) in enumerate(frames):
        particles, _ = te.run(te.ULA(0.01), p, particles, 40 if i else 0, rng)
        yield _draw_hero(figure, frames, i, particles, moons)


def _draw_hero(figure, frames, i, particles, moons):
    figure.clear()
    top = figure.subfigures(2, 1, height_ratios=[2.4, 1])
    axes, below = top[0].subplots(1, 3, sharey=True), top[1].subplots()
    step, p, _ = frames[i]
    plots.energy(p, axes[0], WINDOW, resolution=60, levels=12)
    plots.density(p, axes[1], WINDOW, resolution=80, interpolation="nearest")
    plots.density(p, axes[2], WINDOW, resolution=60, interpolation="nearest", alpha=0.3)
    plots.data(particles, axes[2], WINDOW, color=plots.VERMILION, s=4)
    z = np.exp(float(te.log_partition(p, 1e-5)))
    titles = ("energy E(x), bright is low", f"exp(−E)/Z, Z = {z:.3g} by quadrature", "Langevin particles")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
    _draw_likelihood(below, frames, i, moons)


def _draw_likelihood(ax, frames, i, population):
    """The exact NLL against updates, and where frame i is."""
    steps, values = [step for step, *_ in frames], [nll for *_, nll in frames]
    ax.plot(steps, values, color="0.6")
    ax.plot(steps[i], values[i], "o", color=plots.VERMILION)
    ax.axhline(population.entropy, color=plots.BLACK, linestyle=":", linewidth=1)
    ax.text(steps[-1], population.entropy, "entropy of the population", ha="right", va="top", fontsize=8)
    room = values[0] - population.entropy
    ax.set(xlim=(-0.02 * steps[-1], 1.02 * steps[-1]), ylim=(population.entropy - 0.35 * room, values[0] + 0.1 * room))
    ax.set_xlabel(f"updates: {steps[i]}", fontsize=9)
    ax.set_ylabel("NLL, exact", fontsize=9)
    ax.tick_params(labelsize=8)


def tug_of_war(figure, updates=600):
    """Draw the frames of the tug of war, one after the other; yields after each."""
    population = te.datasets.load("bimodal")
    frames = film(te.MLP((1, 32, 32, 1), gain=2**0.5), population, te.Box(-8, 8, 1), updates, 5e-3, 46)
    for i in range(len(frames)):
        yield _draw_tug(figure, frames, i, population)


def _draw_tug(figure, frames, i, population):
    figure.clear()
    above, middle, below = figure.subplots(3, 1, height_ratios=[1.5, 1, 1])
    t = np.linspace(-4, 4, 321)
    data, model = np.exp(population.log_prob(t[:, None])), np.exp(te.log_prob(frames[i][1], t[:, None]))
    above.fill_between(t, data, color=plots.BLUE, alpha=0.3)
    above.plot(t, model, color=plots.VERMILION)
    above.set(ylim=(0, 0.62), xticks=[])
    above.set_title("the data's density (blue) and the model's (orange)", fontsize=9)
    push = model - data
    middle.fill_between(t, push, 0, where=push < 0, color=plots.BLUE, alpha=0.6)
    middle.fill_between(t, push, 0, where=push > 0, color=plots.VERMILION, alpha=0.6)
    middle.axhline(0, color=plots.BLACK, linewidth=0.8)
    middle.set(ylim=(-0.6, 0.6))
    middle.set_title("their difference: the energy is pulled down (blue) and pushed up (orange)", fontsize=9)
    for ax in (above, middle):
        ax.tick_params(labelsize=8)
    _draw_likelihood(below, frames, i, population)


def write(name, make, width, height):
    """figures/name.gif, whose last frame stays for a while, and that frame as name.png; nothing larger than a page bears."""
    figure, new = plt.figure(figsize=(width, height), dpi=80, layout="constrained"), FIGURES / f"new-{name}.gif"
    writer = PillowWriter(fps=PER_SECOND)
    with writer.saving(figure, new, dpi=80):
        for _ in make(figure):
            writer.grab_frame()
        for _ in range(HELD):
            writer.grab_frame()
    plots.save(figure, FIGURES / f"{name}.png")
    if (size := new.stat().st_size) > LARGEST:
        new.unlink()
        raise SystemExit(f"{name}.gif has {size} bytes, more than {LARGEST}")
    new.replace(FIGURES / f"{name}.gif")
    print(f"{name}.gif: {(FIGURES / f'{name}.gif').stat().st_size // 1000} kB")


EVERY = {"hero": (hero, 8.4, 3.9), "tug_of_war": (tug_of_war, 6.0, 4.6)}  # name: what draws it, width and height in inches


def main(argv=None):
    """Make the films whose names are given, all by default."""
    parser = argparse.ArgumentParser(description="Make the animations of the project.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(EVERY)}; all by default")
    names = parser.parse_args(argv).names or EVERY
    if unknown := [name for name in names if name not in EVERY]:
        parser.error(f"there is no film {', '.join(unknown)}: they are {', '.join(EVERY)}")
    for name in names:
        write(name, *EVERY[name])


if __name__ == "__main__":
    main()
