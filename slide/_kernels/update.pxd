# What layers of other number formats share with float32: the gradient of a row, and how rows fall into parts.
from libc.stdint cimport int32_t, int64_t

cdef enum:
    N_PARTS = 64

cdef float gradient_row(const int32_t *pair, const int32_t *group, int64_t n, const float *coef, int64_t lanes,
                        const int64_t *x_indptr, const float *x, int64_t width, float *g) noexcept nogil
