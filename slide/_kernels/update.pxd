# What layers of other number formats share with float32: the gradient of a row.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.simd.vec cimport Ahead

cdef int64_t gradient_rows(const int32_t *start, const int32_t *count, int64_t n, const int32_t *pair,
                           const int32_t *group, const float *coef, int64_t lanes, const int64_t *x_indptr,
                           const float *x, int64_t width, float *g, float *bias_g,
                           Ahead *ahead) noexcept nogil
