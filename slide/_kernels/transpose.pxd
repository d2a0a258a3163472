# Pairs of an active set by row: what visits every row once, and what sorts beside other work.
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    N_PARTS = 64

cdef struct Plan:
    # See transpose_rows.
    int64_t *part_ptr
    int32_t *n_touched
    int32_t *rows
    int32_t *starts
    int32_t *counts
    int32_t *pair
    int32_t *group

cdef Plan plan_in(int64_t[::1] part_ptr, int32_t[::1] n_touched, int32_t[:, ::1] touched,
                  int32_t[:, ::1] pairs) noexcept
cdef void sort_pairs(const int64_t *indptr, int64_t n_groups, const int32_t *ids, int64_t n_rows, uint64_t *keys,
                     int32_t *group_of, const Plan *plan) noexcept nogil
