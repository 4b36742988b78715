"""The floor: the matrix products of a job in tiles that stay in the cache, an exponential per hidden unit, the normal numbers."""

import numpy as np
import problems as pb

from tinyebm.replay.normals import normals

TILE = 256


class Tile:
    """Arrays of one tile, and the two sweeps through a network."""

    def __init__(self, sizes, n, dtype):
        rng, hidden = np.random.default_rng(0), sizes[:-1]
        self.A = [rng.random((b, a + 1)).astype(dtype) for a, b in zip(hidden, hidden[1:], strict=False)]
        self.B = [np.ascontiguousarray(a[:, :-1].T) for a in self.A]
        self.X = [-rng.random((h + 1, n)).astype(dtype) for h in hidden]
        self.U = [np.empty((h, n), dtype) for h in hidden]
        self.G = [np.empty_like(a) for a in self.A]

    def forward(self, times=1):
        for a, x, u, y in zip(self.A, self.X, self.U[1:], self.X[1:], strict=False):
            for _ in range(times):
                np.dot(a, x, u)
            np.exp2(y[:-1], u)

    def backward(self, times=1, to_points=True):
        for layer in range(len(self.B) - 1, -1 if to_points else 0, -1):
            for _ in range(times):
                np.dot(self.B[layer], self.U[layer + 1], self.U[layer])

    def by_weights(self, times=1):
        for g, u, x in zip(self.G, self.U[1:], self.X, strict=False):
            for _ in range(times):
                np.dot(u, x.T, g)


def chains(tile, n, steps, count):
    rng, d = np.random.Generator(np.random.SFC64(0)), len(tile.X[0]) - 1
    noise = np.empty((steps if d <= 8 else 1, d, n), "float32")
    for _ in range(0, count, n):
        for step in range(steps):
            if step % len(noise) == 0:
                normals(rng, noise)
            tile.forward()
            tile.backward()


def langevin(net, chains_):
    n = min(TILE, chains_)
    tile = Tile(pb.NETS[net], n, "float32")
    return lambda: chains(tile, n, pb.STEPS, chains_), lambda: []


def contrastive(net, updates=10):
    tile = Tile(pb.NETS[net], TILE, "float32")

    def call():
        for _ in range(updates):
            chains(tile, TILE, pb.CD_STEPS, pb.BATCH)
            for _ in range(0, 2 * pb.BATCH, TILE):
                tile.forward()
                tile.backward(to_points=False)
                tile.by_weights()

    return call, lambda: []


def sweeps(sizes, points, dtype, tile=TILE, forward=1, backward=1, by_weights=1, to_points=False):
    """A forward pass, a backward pass and a derivative by weights over all points, each some times."""
    part = Tile(sizes, tile, dtype)

    def call():
        for _ in range(0, points, tile):
            part.forward(forward)
            part.backward(backward, to_points)
            part.by_weights(by_weights)

    return call, lambda: []


def score_matching(net, exact):  # exact: value, d slopes and the Laplacian go forward and back
    times = pb.NETS[net][0] + 2 if exact else 2
    call, nothing = sweeps(pb.NETS[net], pb.SCORE_BATCH, "float32", forward=times, backward=times, by_weights=times,
                           to_points=not exact)
    rng, noise = np.random.default_rng(0), np.empty((pb.NETS[net][0], pb.SCORE_BATCH), "float32")
    return call if exact else lambda: (normals(rng, noise), call()), nothing


JOBS = {
    "langevin": lambda net, chains: langevin(net, chains),
    "contrastive": contrastive,
    "likelihood": lambda net: sweeps(pb.NETS[net], pb.GRID**2 + pb.BATCH, "float64"),
    "score_matching": score_matching,
    "bits_net": lambda: sweeps((pb.BITS, 64, 64, 1), 2**pb.BITS, "float64"),
}
