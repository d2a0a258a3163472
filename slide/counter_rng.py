"""Counter-based random numbers: a value is a function of what it is for (seed, step, row, draw), never of a thread.

The same numbers as slide/_kernels/rng.pxd, for Python: arrays of uint64 in and out.
"""

import numpy as np

# What a group's random numbers are for: one stream each (slide/_kernels/sampling.pyx).
ORDER, UNIFORM, FILL, POOL = 0, 1, 2, 3


def mix(x):
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014) on uint64 arrays."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(seed, a, b):
    """A stream for (seed, a, b); draw number i of it is `draw(key, i)`."""
    with np.errstate(over="ignore"):
        return mix(mix(mix(np.uint64(seed) + GOLDEN) ^ np.asarray(a, np.uint64)) + np.asarray(b, np.uint64) * GOLDEN)


def draw(stream, i):
    with np.errstate(over="ignore"):
        return mix(stream + (np.asarray(i, np.uint64) + np.uint64(1)) * GOLDEN)


def below(random, n):
    """Maps 64 random bits to 0..n-1 (multiply-shift on the upper half)."""
    return ((np.asarray(random, np.uint64) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)


def group_key(seed, step, group):
    """A group's stream; at step 0, prediction, all groups have one."""
    return key(seed, step, group if step else 0)


def shuffle_row(n, stream):
    """A random order of 0..n-1 (Fisher and Yates)."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(below(draw(stream, i), i + 1))
        order[i], order[j] = order[j], order[i]
    return order
