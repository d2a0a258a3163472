# What layers of other number formats share with float32: parts of groups, the softmax over an active set, ReLU.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.vec cimport N_LANES


cdef struct Part:
    # Some lanes of a group: lane to lane + lanes of ld.
    int64_t group
    int64_t lane
    int64_t lanes
    int64_t ld


cdef inline int64_t lanes_a_part(int64_t n_groups, int64_t ld, int threads) noexcept nogil:
    """Lanes that a thread takes at once: all of a group's, or fewer where there are fewer groups than threads."""
    cdef int64_t blocks = ld // N_LANES, parts = (threads + n_groups - 1) // max(n_groups, 1)
    if blocks < 2 or parts < 2:
        return ld
    return (blocks + parts - 1) // parts * N_LANES


cdef inline int64_t parts_a_group(int64_t lanes, int64_t ld) noexcept nogil:
    return (ld + lanes - 1) // lanes


cdef inline Part part_of_group(int64_t k, int64_t lanes, int64_t ld) noexcept nogil:
    """The k-th part of all."""
    cdef Part part
    cdef int64_t parts = parts_a_group(lanes, ld)
    part.group = k // parts
    part.lane = k % parts * lanes
    part.lanes = min(lanes, ld - part.lane)
    part.ld = ld
    return part


cdef void softmax_part(float *z, int64_t n, const Part *part, const float *weights, const int32_t *slots,
                       const int64_t *label_ptr, int64_t m, float scale, float smooth, float *loss) noexcept nogil
cdef void relu_part(float *x, int64_t n, const Part *part) noexcept nogil
cdef void zero_part(float *x, int64_t n, const Part *part) noexcept nogil
