"""Forward-mode derivatives: slopes along some directions, and the Laplacian.

Of y = f(x) with x itself a function of t = (t_1, ..., t_d), the chain rule gives

    ∂_i y  =  Df(x) [∂_i x]                                                  (1)
    Δ y    =  Df(x) [Δ x]  +  Σ_i D²f(x) [∂_i x, ∂_i x].                     (2)

So value, slopes and Laplacian pass through a network together in one forward sweep, instead of d
backward sweeps (the forward Laplacian of Li et al. 2024, Nature Machine Intelligence 6:209).
Primitives need no further rules: a VJP is linear in its cotangent, and its transpose, which is a
VJP again, is Df.
"""

from tinyebm.autodiff.tape import Tape, Var, ones_like, vjp, zeros_like

ELEMENTWISE = set("exp log sin cos tanh sigmoid silu _silu_slope softplus abs power".split())


class Jets:
    """A tape whose entries are (slopes along d directions, Laplacian) of values; None is zero."""

    def __init__(self):
        self.age = next(Tape._clock)

    def record(self, function, vjps, args, kwargs, parents):
        """Run a primitive on unwrapped arguments, with eqs. (1) and (2); as `Tape.record`."""

        def f(*xs):
            full = list(args)
            for (i, _), x in zip(parents, xs, strict=True):
                full[i] = x
            return function(*full, **kwargs)

        xs = [args[i] for i, _ in parents]
        if function.__name__ in ELEMENTWISE:
            ((_, (slopes, laplacian)),) = parents
            return Var(f(*xs), self, _elementwise(f, xs[0], slopes, laplacian))
        directions = [
            list(column) for column in zip(*(slopes for _, (slopes, _) in parents), strict=True)
        ]
        slopes = [push_forward(f, xs, d) for d in directions]
        laplacian = push_forward(f, xs, [laplacian for _, (_, laplacian) in parents])
        for d in directions:
            bend = push_forward(lambda *xs, d=d: push_forward(f, xs, d), xs, d)
            laplacian = _add(laplacian, bend)
        return Var(f(*xs), self, (slopes, laplacian))


def _elementwise(f, x, slopes, laplacian):
    """Eqs. (1) and (2) where Df and D²f are diagonal.

    ∂_i y = f' ∂_i x,    Δy = f' Δx + f'' Σ_i (∂_i x)²
    """
    first = lambda x: push_forward(f, [x], [ones_like(x)])
    f1, f2 = first(x), push_forward(first, [x], [ones_like(x)])
    squares = None
    for s in slopes:
        squares = _add(squares, None if s is None else s * s)
    return [_times(s, f1) for s in slopes], _add(_times(laplacian, f1), _times(squares, f2))


def push_forward(f, xs, tangents):
    """Df(xs)[tangents], the directional derivative; None for the zero direction."""
    y, pullback = vjp(f, *xs)
    total = None
    for i, t in enumerate(tangents):
        if t is not None:
            _, transpose = vjp(lambda g, i=i: pullback(g)[i], zeros_like(y))
            total = _add(total, transpose(t)[0])
    return total


def _add(a, b):
    return b if a is None else a if b is None else a + b


def _times(a, b):
    return None if a is None else a * b


def slopes_and_laplacian(f, x, directions):
    """([∂_i f(x), ...], Δf(x)) along directions, which are arrays like x."""
    jets = Jets()
    y = f(Var(x, jets, (directions, None)))
    if not (isinstance(y, Var) and y.tape is jets):
        return [zeros_like(y) for _ in directions], zeros_like(y)
    slopes, laplacian = y.entry
    full = lambda a: zeros_like(y.value) if a is None else a
    return list(map(full, slopes)), full(laplacian)
