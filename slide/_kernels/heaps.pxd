# The k largest of what is offered, as a heap: its least entry comes first, and places without an id before any.
# n offers take n log(k) at most. Ties go to the smaller id.
from libc.stdint cimport int32_t, int64_t


cdef inline bint is_better(float z, int32_t id_, float other, int32_t other_id) noexcept nogil:
    return id_ >= 0 and (other_id < 0 or z > other or (z == other and id_ < other_id))


cdef inline void offer(float z, int32_t id_, int64_t k, float *values, int32_t *ids) noexcept nogil:
    """To a heap of k, whose least entry makes room for it if it is better."""
    if is_better(z, id_, values[0], ids[0]):
        replace_least(z, id_, k, values, ids)


cdef inline void replace_least(float z, int32_t id_, int64_t k, float *values, int32_t *ids) noexcept nogil:
    cdef int64_t place = 0, below = 1
    while below < k:
        if below + 1 < k and is_better(values[below], ids[below], values[below + 1], ids[below + 1]):
            below += 1
        if not is_better(z, id_, values[below], ids[below]):
            break
        values[place] = values[below]
        ids[place] = ids[below]
        place = below
        below = 2 * place + 1
    values[place] = z
    ids[place] = id_


cdef inline void sort_heap(int64_t k, float *values, int32_t *ids) noexcept nogil:
    """Best first: one after the other the least goes to the end."""
    cdef int64_t last
    cdef float z
    cdef int32_t id_
    for last in range(k - 1, 0, -1):
        z = values[last]
        id_ = ids[last]
        values[last] = values[0]
        ids[last] = ids[0]
        replace_least(z, id_, last, values, ids)
