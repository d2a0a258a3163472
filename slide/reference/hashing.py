"""Twins of slide/_kernels/hashing/: hash codes."""

import numpy as np

from slide.counter_rng import below, mix
from slide.reference.tables import ABSENT


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


def winners(rows, bins, empty):
    """The position of each bin's largest coordinate, the first of equals; `empty` if none is above -inf."""
    best = np.full((len(rows), len(bins)), -np.inf, np.float32)
    positions = np.full(best.shape, empty, np.int32)
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
    with np.errstate(over="ignore"):
        number = mix(np.uint64(a) * np.arange(n_bins, dtype=np.uint64) + np.uint64(b))
    step = number << np.uint64(32)
    dense = np.where((positions < 0).all(axis=1, keepdims=True), 0, positions)
    for attempt in range(ATTEMPTS + n_bins):
        if (dense >= 0).all():
            break
        if attempt < ATTEMPTS:
            with np.errstate(over="ignore"):
                walk = below(number + np.uint64(attempt) * step, n_bins).astype(np.int64)
        else:
            walk = (walk + 1) % n_bins
        dense = np.where(dense < 0, positions[:, walk], dense)
    return dense


def wta_rows(rows, bins, K, bits):
    return pack(winners(rows, bins, 0), K, bits)


def dwta_rows(rows, bins, K, bits, a, b):
    present = np.where(rows == 0, np.float32(-np.inf), rows)
    return pack(densify(winners(present, bins, -1), a, b), K, bits)


def bound_rows(rows, mean, variance, errors):
    """rows . mean + errors * sqrt(rows**2 . variance)"""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows @ mean + np.float32(errors) * np.sqrt(rows**2 @ variance)


def range_rows(rows, mean, variance, errors, least, bits, codes):
    """(n, L) codes without the lowest bits[t] bits of table t, and ABSENT where a row's bound is below least[t]."""
    held = bound_rows(rows, mean, variance, errors)[:, None] >= least
    bits = np.asarray(bits, np.uint32)
    return np.where((bits == 0) | held, codes >> bits << bits, np.uint32(ABSENT))


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


def hadamard(x):
    """The Walsh-Hadamard transform, not normalised, along the first axis (a power of two) of x, overwriting it."""
    size, n = x.shape
    other, half = np.empty_like(x), 1
    while half < size:
        a, b = (v.reshape(-1, 2, half, n) for v in (x, other))
        np.add(a[:, 0], a[:, 1], out=b[:, 0])
        np.subtract(a[:, 0], a[:, 1], out=b[:, 1])
        x, other, half = other, x, 2 * half
    return x


def nearest(x, out):
    """out (pieces, n): 2 * the place of the largest magnitude along the middle axis, + 1 where it is negative."""
    best = np.zeros((x.shape[0], x.shape[2]), np.float32)
    out[...] = 0
    for place in range(x.shape[1]):
        value = x[:, place]
        size = np.abs(value)
        better = size > best
        np.copyto(best, size, where=better)
        np.copyto(out, 2 * place + (value < 0), where=better)


def cross_polytope_rows(rows, signs, width, K, L, bits):
    """signs (rotations, 3, size): rotations cut in pieces of `width` coordinates, a hash each."""
    n, size = len(rows), signs.shape[2]
    hashes = np.empty((len(signs), size // width, n), np.int32)
    padded = np.zeros((size, n), np.float32)
    padded[: rows.shape[1]] = rows.T
    with np.errstate(invalid="ignore", over="ignore"):
        for three, found in zip(signs, hashes, strict=True):
            rotated = padded
            for each in three:
                rotated = hadamard(rotated * each[:, None])
            nearest(rotated.reshape(-1, width, n), found)
    return pack(hashes.reshape(-1, n)[: K * L].T, K, bits)


CODES = {
    "simhash": lambda f, rows: simhash_rows(rows, f._indices, f._signs, f.K),
    "wta": lambda f, rows: wta_rows(rows, f._bins, f.K, f.bits_per_hash),
    "dwta": lambda f, rows: dwta_rows(rows, f._bins, f.K, f.bits_per_hash, f._a, f._b),
    "minhash": lambda f, rows: minhash_rows(rows, f.top_k, f._bins, f._labels, f.K, f.bits, f._a, f._b),
    "cross-polytope": lambda f, rows: cross_polytope_rows(rows, f._signs, f.width, f.K, f.L, f.bits_per_hash),
    "ranged": lambda f, rows: range_rows(
        rows, f._mean, f._variance, f.errors, f._least, f._bits, codes(f._inner, rows)
    ),
}


def codes(family, rows):
    """What `family.codes` returns of dense float32 rows (n, dim), for the families of this package."""
    return CODES[family.name](family, rows)
