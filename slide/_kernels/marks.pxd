# A set of neurons, one bit each, all zero before and after: who marks unmarks.
from libc.stdint cimport int32_t, int64_t, uint64_t


cdef inline bint mark(uint64_t* seen, int32_t item) noexcept nogil:
    """Marks an item; True where it was not marked before."""
    cdef uint64_t bit = <uint64_t>1 << (item & 63)
    cdef bint new = (seen[item >> 6] & bit) == 0
    seen[item >> 6] |= bit
    return new


cdef inline void unmark(uint64_t* seen, const int32_t* items, int64_t n) noexcept nogil:
    """Clears what these items set, and what shares their words."""
    cdef int64_t i
    for i in range(n):
        seen[items[i] >> 6] = 0


cdef inline bint is_marked(const uint64_t* seen, int32_t item) noexcept nogil:
    return (seen[item >> 6] >> (item & 63)) & 1
