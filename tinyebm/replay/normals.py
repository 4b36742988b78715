"""Standard normal numbers, many at a time."""

import numpy as np

# keep 23 random bits of 32, and give them the exponent of [1, 2)
BITS = np.uint32(9), np.uint32(0x3F800000)


def normals(rng, out):
    """Fill a contiguous array with independent draws of N(0, 1).

    Single precision uses the transform of Box & Muller (1958, Ann. Math. Statist. 29:610), on the
    bits of the generator: two uniform numbers u, v of 23 bits give

        √(-2 log u) (cos 2πv, sin 2πv),      u in (0, 1].

    So no draw exceeds √(2 · 23 log 2) = 5.65, beyond which N(0, 1) has a mass of 1.6e-8.  Double
    precision uses NumPy's ziggurat, whose draws are not bounded.
    """
    flat = out.reshape(-1)
    pairs = flat.size // 2
    if out.dtype != np.float32 or pairs < 64 or flat.size % 2:
        rng.standard_normal(out=flat, dtype=out.dtype)
        return
    bits = rng.integers(0, 1 << 64, size=pairs, dtype=np.uint64).view(np.uint32)
    np.right_shift(bits, BITS[0], bits)
    np.bitwise_or(bits, BITS[1], bits)
    uniform = bits.view(np.float32)  # in [1, 2)
    radius, angle, cosines, sines = uniform[:pairs], uniform[pairs:], flat[:pairs], flat[pairs:]
    np.subtract(np.float32(2), radius, radius)
    np.log(radius, radius)
    np.multiply(radius, np.float32(-2), radius)
    np.sqrt(radius, radius)
    np.multiply(angle, np.float32(2 * np.pi), angle)
    np.cos(angle, cosines)
    np.sin(angle, sines)
    np.multiply(cosines, radius, cosines)
    np.multiply(sines, radius, sines)
