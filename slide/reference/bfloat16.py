"""Twin of slide/_kernels/bfloat16.pyx: the format. Stages on such weights are those of float32 on the widened ones."""

import numpy as np

from slide.counter_rng import key


def widen(bits):
    """float32 of which `bits` (uint16) are the upper halves."""
    return (np.asarray(bits, np.uint32) << np.uint32(16)).view(np.float32)


def narrow(x):
    """float32 to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return upper_half(x, np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))


def narrow_at_random(x, stream, half=0):
    """A row of float32 to one of both neighbours, up with the share of the way that lies behind."""
    return upper_half(x, (draw_bits(stream, np.arange(len(x))) >> np.uint32(16 * half)) & np.uint32(0xFFFF))


def upper_half(x, added):
    """The upper halves of x + added, as bits; a NaN stays one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    with np.errstate(over="ignore"):
        return np.where(np.isnan(x), 0x7FC0, (bits + added) >> np.uint32(16)).astype(np.uint16)


def draw_bits(stream, i):
    """32 random bits for the places i of a stream of 64 bits (Wellons' lowbias32)."""
    low, high = np.uint32(int(stream) & 0xFFFFFFFF), np.uint32(int(stream) >> 32)
    with np.errstate(over="ignore"):
        x = np.asarray(i, np.uint32) * np.uint32(0x9E3779B9) + low
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15)) ^ high) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def narrow_row(r, w, m, v, bits_w, bits_m, bits_v, seed, step):
    """Stores row r of float32 weights, and of moments where bits_m are uint16, after an update."""
    stream = key(seed, step, r)
    bits_w[r] = narrow_at_random(w[r], stream)
    if bits_m.dtype == np.uint16 and len(bits_m):
        bits_m[r], bits_v[r] = narrow(m[r]), narrow_at_random(v[r], stream, 1)
