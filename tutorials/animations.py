"""The picture at the top of the project, still and moving: `python tutorials/hero.py` writes figures/hero.png and figures/hero.gif.

A network learns two moons by exact maximum likelihood: its energy, its density with Z, Langevin particles that follow it, and below
the exact negative log-likelihood.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import PillowWriter

import tinyebm as te
from tinyebm import plots

FIGURES = pathlib.Path(__file__).parent / "figures"
WINDOW, UPDATES, EVERY, LARGEST = [(-4.5, 4.5), (-3.5, 3.5)], 320, 8, 1_500_000


def learn():
    """(update, density, exact NLL) at every frame, and the population."""
    moons, frames = te.datasets.load("two_moons"), []
    net = te.MLP((2, 32, 32, 1), confinement=0.5)
    rate = lambda i: 0.02 * min(1.0, 2 * (1 - i / UPDATES))
    te.fit(net, moons, te.Reals(2), te.ExactLikelihood(rtol=1e-3), te.adam(rate), steps=UPDATES, batch_size=1000, log_every=EVERY,
           progress="learn", callback=lambda step, p, record: frames.append((step, p, record["nll"])))
    return frames, moons


def draw(figure, frames, i, particles, moons):
    """Frame i on an emptied figure."""
    figure.clear()
    top = figure.subfigures(2, 1, height_ratios=[2.4, 1])
    axes, below = top[0].subplots(1, 3, sharey=True), top[1].subplots()
    step, p, _ = frames[i]
    plots.energy(p, axes[0], WINDOW, resolution=60, levels=12)
    plots.density(p, axes[1], WINDOW, resolution=80, interpolation="nearest")
    plots.density(p, axes[2], WINDOW, resolution=60, interpolation="nearest", alpha=0.3)
    plots.data(particles, axes[2], WINDOW, color=plots.VERMILION, s=4)
    z = np.exp(float(te.log_partition(p, 1e-5)))
    titles = ("energy E(x)", f"exp(−E)/Z, Z = {z:.3g} by quadrature", "Langevin particles")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
    steps, values = [step for step, *_ in frames], [nll for *_, nll in frames]
    below.plot(steps, values, color="0.6")
    below.plot(step, values[i], "o", color=plots.VERMILION)
    below.axhline(moons.entropy, color=plots.BLACK, linestyle=":", linewidth=1)
    below.set(xlim=(0, UPDATES * 1.02), ylim=(moons.entropy - 0.1, values[0] + 0.1))
    below.set_xlabel("updates", fontsize=9)
    below.set_ylabel("NLL, exact", fontsize=9)
    below.tick_params(labelsize=8)


def main():
    """Learn, draw, write; refuse what is too large to be looked at on a page."""
    frames, moons = learn()
    figure = plt.figure(figsize=(8.4, 3.9), dpi=80, layout="constrained")
    rng, particles = np.random.default_rng(0), np.random.default_rng(1).standard_normal((300, 2)) * 2
    writer = PillowWriter(fps=6)
    with writer.saving(figure, FIGURES / "hero.gif", dpi=80):
        for i, (_, p, _) in enumerate(frames):
            particles, _ = te.run(te.ULA(0.01), p, particles, 40, rng)
            draw(figure, frames, i, particles, moons)
            writer.grab_frame()
    plots.save(figure, FIGURES / "hero.png")
    size = (FIGURES / "hero.gif").stat().st_size
    if size > LARGEST:
        raise SystemExit(f"hero.gif has {size} bytes, more than {LARGEST}")
    print(f"hero.gif: {size // 1000} kB, hero.png: {(FIGURES / 'hero.png').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
