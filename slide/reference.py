"""The algorithm in plain NumPy: one function a kernel, with the kernel's name. The tests' oracle.

Written to be read, not to be fast; imports nothing but NumPy.
"""

import numpy as np

# ---- Random numbers (slide/_kernels/rng.pxd) ----------------------------------------------------------------------


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


# ---- Hash codes (slide/_kernels/hashing_*.pyx) ------------------------------------------------------------


def pack(hashes, K, bits):
    """(n, K L) hashes of `bits` bits to (n, L) codes, the first of K hashes in the highest bits."""
    hashes = np.asarray(hashes, np.uint32).reshape(len(hashes), hashes.shape[1] // K, K)
    codes = np.zeros(hashes.shape[:2], np.uint32)
    for k in range(K):
        codes = (codes << np.uint32(bits)) | hashes[:, :, k]
    return codes


def simhash_rows(rows, indices, signs, K):
    """A bit a projection: is the sum of signs * rows[indices], in the order of the indices, above 0?"""
    sums = np.zeros((len(rows), len(indices)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(indices.shape[1]):
            sums += rows[:, indices[:, i]] * signs[:, i]
    return pack(sums > 0, K, 1)


def winners(rows, bins, nobody):
    """The position of each bin's largest coordinate, the first of equals; `nobody` if none is above -inf."""
    best = np.full((len(rows), len(bins)), -np.inf, np.float32)
    positions = np.full(best.shape, nobody, np.int32)
    for j in range(bins.shape[1]):
        x = rows[:, bins[:, j]]
        better = x > best
        best[better] = x[better]
        positions[better] = j
    return positions


ATTEMPTS = 64


def densify(positions, a, b):
    """Empty bins (negative) take the position of the first filled bin on their walk; a row with none is 0."""
    n_bins = positions.shape[1]
    bins = np.arange(n_bins, dtype=np.uint64)
    walk = bins.astype(np.int64)
    dense = np.where((positions < 0).all(axis=1, keepdims=True), 0, positions)
    for attempt in range(ATTEMPTS + n_bins):
        if (dense >= 0).all():
            break
        if attempt < ATTEMPTS:
            with np.errstate(over="ignore"):
                x = bins * np.uint64(ATTEMPTS) + np.uint64(attempt)
                walk = below(np.uint64(a) * x + np.uint64(b), n_bins).astype(np.int64)
        else:
            walk = (walk + 1) % n_bins
        dense = np.where(dense < 0, positions[:, walk], dense)
    return dense


def wta_rows(rows, bins, K, bits):
    return pack(winners(rows, bins, 0), K, bits)


def dwta_rows(rows, bins, K, bits, a, b):
    present = np.where(rows == 0, np.float32(-np.inf), rows)
    return pack(densify(winners(present, bins, -1), a, b), K, bits)


def top_coordinates(rows, top_k):
    """(n, dim) bool: the top_k largest of each row, the lower coordinate of equals; never a zero or NaN."""
    present = (rows != 0) & ~np.isnan(rows)
    order = np.argsort(np.where(present, -rows, np.inf), axis=1, kind="stable")
    # A present -inf sorts level with the absent: bring the present first.
    absent = ~np.take_along_axis(present, order, axis=1)
    order = np.take_along_axis(order, np.argsort(absent, axis=1, kind="stable"), axis=1)
    chosen = np.zeros(rows.shape, bool)
    np.put_along_axis(chosen, order[:, :top_k], True, axis=1)
    return chosen & present


def minhash_rows(rows, top_k, bins, labels, K, bits, a, b):
    """labels: (K L, width), the hash of each place of each bin."""
    members = top_coordinates(rows, top_k)[:, bins]
    first = members.argmax(axis=2)
    hashes = np.where(members.any(axis=2), labels[np.arange(len(bins)), first].astype(np.int32), -1)
    return pack(densify(hashes, a, b), K, bits)
