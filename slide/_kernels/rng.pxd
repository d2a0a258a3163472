# Counter-based random numbers: a value is a function of what it is for (seed, step, row, draw), never of a thread.
from libc.stdint cimport uint32_t, uint64_t


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): a bijection that passes for random."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64_t key(uint64_t seed, uint64_t a, uint64_t b) noexcept nogil:
    """A stream for (seed, a, b); draw number i of it is `draw(key, i)`."""
    return mix(mix(mix(seed + <uint64_t>0x9E3779B97F4A7C15) ^ a) + b * <uint64_t>0x9E3779B97F4A7C15)


cdef inline uint64_t draw(uint64_t stream, uint64_t i) noexcept nogil:
    return mix(stream + (i + 1) * <uint64_t>0x9E3779B97F4A7C15)


cdef inline uint32_t below(uint64_t random, uint32_t n) noexcept nogil:
    """Maps 64 random bits to 0..n-1 (multiply-shift on the upper half; bias below n / 2**32)."""
    return <uint32_t>(((random >> 32) * <uint64_t>n) >> 32)
