"""JAX, as its users write it: jit around scan and grad; in C also tiled by hand, in D1 with a forward Laplacian."""

import jax
import jax.numpy as jnp
import numpy as np
import problems as pb
from jax import lax

jax.config.update("jax_enable_x64", True)
tmap = jax.tree_util.tree_map


def parameters(sizes, dtype):
    return [(jnp.asarray(W), jnp.asarray(b)) for W, b in pb.weights(sizes, dtype)]


def energy(P, x):
    for W, b in P[:-1]:
        z = x @ W + b
        x = z * jax.nn.sigmoid(z)
    return (x @ P[-1][0] + P[-1][1])[:, 0]


slope = jax.grad(lambda x, P: energy(P, x).sum())
flat = lambda G: [a for layer in G for a in layer]


def langevin(net, chains, scan=False):
    P, x0 = parameters(pb.NETS[net], "float32"), jnp.asarray(pb.points(chains, pb.NETS[net][0], "float32")[0])
    eps, sigma = np.float32(pb.STEP), np.float32(pb.NOISE)

    def loop(P, x, key):
        if scan:
            noise = jax.random.normal(key, (pb.STEPS, *x.shape), x.dtype)
            return lax.scan(lambda x, n: (x - eps * slope(x, P) + sigma * n, None), x, noise)[0]

        def body(i, state):
            x, key = state
            key, part = jax.random.split(key)
            return x - eps * slope(x, P) + sigma * jax.random.normal(part, x.shape, x.dtype), key

        return lax.fori_loop(0, pb.STEPS, body, (x, key))[0]

    run, key = jax.jit(loop), jax.random.key(0)
    return lambda: run(P, x0, key).block_until_ready(), lambda: [-slope(x0[:100], P)]


def adam(P, g, m, v, t, rate):
    """(P, m, v, t) after an update by the gradient g; t counts them."""
    f, t = P[0][0].dtype.type, t + 1
    m = tmap(lambda m, g: f(0.9) * m + f(0.1) * g, m, g)
    v = tmap(lambda v, g: f(0.999) * v + f(0.001) * g * g, v, g)
    rate = f(rate) * jnp.sqrt(1 - f(0.999) ** t) / (1 - f(0.9) ** t)
    return tmap(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + f(1e-8)), P, m, v), m, v, t


def contrastive(net, updates=10):
    sizes = pb.NETS[net]
    P = parameters(sizes, "float32")
    x, x0 = (jnp.asarray(a) for a in pb.points(pb.BATCH, sizes[0], "float32"))
    eps, sigma = np.float32(pb.STEP), np.float32(pb.NOISE)
    contrast = jax.grad(lambda P, y: energy(P, x).mean() - energy(P, y).mean())

    def update(P, m, v, t, key):
        key, part = jax.random.split(key)
        noise = jax.random.normal(part, (pb.CD_STEPS, *x.shape), x.dtype)
        y = lax.scan(lambda y, n: (y - eps * slope(y, P) + sigma * n, None), x, noise)[0]
        return *adam(P, contrast(P, y), m, v, t, 1e-3), key

    return many(update, P, updates), lambda: flat(contrast(P, x0))


def many(update, P, updates):
    """A function that makes many updates of (P, m, v, t, key), and goes on from there when it is called again."""
    step, zero = jax.jit(update), tmap(jnp.zeros_like, P)
    state = [(P, zero, zero, jnp.zeros((), P[0][0].dtype), jax.random.key(0))]

    def call():
        for _ in range(updates):
            state[0] = step(*state[0])
        jax.block_until_ready(state[0][0])

    return call


def exact_updates(updates):
    """Exact maximum likelihood on the grid of C, by batches of given data."""
    P, data = parameters(pb.NETS["2-64-64-1"], "float64"), jnp.asarray(pb.points(10_000, 2, "float64")[0])
    states, log_w = (jnp.asarray(a) for a in pb.grid())
    confined = lambda P, x: energy(P, x) + 0.5 * (x * x).sum(1)
    loss = lambda P, x: confined(P, x).mean() + jax.scipy.special.logsumexp(log_w - confined(P, states))

    def update(P, m, v, t, key):
        key, part = jax.random.split(key)
        x = data[jax.random.randint(part, (pb.BATCH,), 0, len(data))]
        return *adam(P, jax.grad(loss)(P, x), m, v, t, pb.RATE), key

    return many(update, P, updates), lambda: []


def likelihood(net, tiles=0):
    P, x = parameters(pb.NETS[net], "float64"), jnp.asarray(pb.points(pb.BATCH, 2, "float64")[0])
    states, log_w = (jnp.asarray(a) for a in pb.grid())

    def log_z(P):
        if not tiles:
            return jax.scipy.special.logsumexp(log_w - energy(P, states))
        part = jax.checkpoint(energy)
        return jax.scipy.special.logsumexp(log_w.reshape(tiles, -1) - lax.map(lambda q: part(P, q), states.reshape(tiles, -1, 2)))

    run = jax.jit(lambda P: (log_z(P), jax.grad(lambda P: energy(P, x).mean() + log_z(P))(P)))
    return (lambda: jax.block_until_ready(run(P))), lambda: (lambda z, g: [z, *flat(g)])(*run(P))


def score_matching(net, exact, forward=False):
    sizes = pb.NETS[net]
    d, f = sizes[0], np.float32
    P, (x, z) = parameters(sizes, "float32"), (jnp.asarray(a) for a in pb.points(pb.SCORE_BATCH, d, "float32"))

    def denoising(P, z):
        return (0.5 * ((z / f(pb.SIGMA) - slope(x + f(pb.SIGMA) * z, P)) ** 2).sum(1)).mean()

    def by_jvp(P):
        trace = 0
        for i in range(d):
            s, column = jax.jvp(lambda y: slope(y, P), (x,), (jnp.zeros_like(x).at[:, i].set(1),))
            trace = trace + column[:, i]
        return (0.5 * (s**2).sum(1) - trace).mean()

    def by_forward_laplacian(P):
        n = len(x)
        basis = jnp.broadcast_to(jnp.eye(d, dtype=x.dtype)[:, None], (d, n, d))
        H = jnp.concatenate([x[None], basis, jnp.zeros((1, n, d), x.dtype)])
        for W, b in P[:-1]:
            Z = jnp.dot(H.reshape(-1, H.shape[-1]), W).reshape(d + 2, n, -1)
            y = Z[0] + b
            s = jax.nn.sigmoid(y)
            h = y * s
            h1, h2, J = s + h * (1 - s), s * (1 - s) * (2 + y * (1 - 2 * s)), Z[1:-1]
            H = jnp.concatenate([h[None], h1 * J, (h1 * Z[-1] + h2 * (J * J).sum(0))[None]])
        out = (H @ P[-1][0])[..., 0]
        return (0.5 * (out[1:-1] ** 2).sum(0) - out[-1]).mean()

    if exact:
        run = jax.jit(jax.grad(by_forward_laplacian if forward else by_jvp))
        return (lambda: jax.block_until_ready(run(P))), lambda: flat(run(P))
    gradient = jax.grad(denoising)

    @jax.jit
    def update(P, key):
        key, own = jax.random.split(key)
        return gradient(P, jax.random.normal(own, x.shape, x.dtype)), key

    key = [jax.random.key(0)]

    def call():
        found, key[0] = jax.block_until_ready(update(P, key[0]))
        return found

    return call, lambda: flat(gradient(P, z))


def boltzmann():
    W, b = (jnp.asarray(a) for a in pb.couplings())
    x = jnp.asarray(pb.states())
    log_z = lambda W, b: jax.scipy.special.logsumexp(0.5 * ((x @ W) * x).sum(1) + x @ b)
    run = jax.jit(jax.value_and_grad(log_z, (0, 1)))
    return (lambda: jax.block_until_ready(run(W, b))), lambda: (lambda z, g: [z, -g[1]])(*run(W, b))


def bits_net():
    P, x = parameters((pb.BITS, 64, 64, 1), "float64"), jnp.asarray(pb.states())
    run = jax.jit(jax.value_and_grad(lambda P: jax.scipy.special.logsumexp(-energy(P, x))))
    return (lambda: jax.block_until_ready(run(P))), lambda: (lambda z, g: [z, *[-a for a in flat(g)]])(*run(P))


def annealing():
    """AIS from N(0, I) by MALA, as `te.ais` does it."""
    P, eps = parameters((2, 64, 64, 1), "float64"), 0.1
    base = lambda x: -0.5 * (x * x).sum(1)
    betas = jnp.linspace(0, 1, pb.TEMPERATURES + 1) ** 2
    log_f = lambda x, beta: base(x) - beta * energy(P, x)
    both = lambda x, beta: (log_f(x, beta), jax.grad(lambda x: log_f(x, beta).sum())(x))

    def anneal(key):
        def body(state, step):
            x, log_w, key = state
            before, beta = step
            key, a, b = jax.random.split(key, 3)
            log_w = log_w - (beta - before) * energy(P, x)
            u, s = both(x, beta)
            y = x + eps * s + jnp.sqrt(2 * eps) * jax.random.normal(a, x.shape, x.dtype)
            u_y, s_y = both(y, beta)
            forward, backward = ((y - x - eps * s) ** 2).sum(1), ((x - y - eps * s_y) ** 2).sum(1)
            accepted = jnp.log(jax.random.uniform(b, u.shape)) < u_y - u + (forward - backward) / (4 * eps)
            return (jnp.where(accepted[:, None], y, x), log_w, key), None

        key, part = jax.random.split(key)
        start = (jax.random.normal(part, (pb.BATCH, 2), jnp.float64), jnp.zeros(pb.BATCH), key)
        (_, log_w, _), _ = lax.scan(body, start, (betas[:-1], betas[1:]))
        return jax.scipy.special.logsumexp(log_w) - jnp.log(pb.BATCH)

    run, key = jax.jit(anneal), jax.random.key(0)
    return (lambda: run(key).block_until_ready()), lambda: []


JOBS = {
    "langevin": langevin, "langevin_scan": lambda net, chains: langevin(net, chains, True), "contrastive": contrastive,
    "likelihood": likelihood, "likelihood_tiled": lambda net: likelihood(net, 100), "score_matching": score_matching,
    "score_matching_forward": lambda net, exact: score_matching(net, exact, True), "boltzmann": boltzmann, "bits_net": bits_net,
    "annealing": annealing, "exact_updates": exact_updates,
}
