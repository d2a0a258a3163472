# Pairs of an active set by row: what visits every row once, and what sorts beside other work.
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    N_PARTS = 64


cdef class PairsByRow:
    cdef tuple arrays  # what it was made of
    cdef readonly int64_t[::1] part_ptr
    cdef readonly int32_t[::1] n_touched
    cdef readonly int32_t[::1] rows
    cdef readonly int32_t[::1] starts
    cdef readonly int32_t[::1] counts
    cdef readonly int32_t[::1] pair
    cdef readonly int32_t[::1] group
    cdef uint64_t[:, ::1] keys
    cdef int32_t[::1] group_of


cdef void sort_pairs(const int64_t *indptr, int64_t n_groups, const int32_t *ids, int64_t n_rows,
                     PairsByRow by_row) noexcept nogil
