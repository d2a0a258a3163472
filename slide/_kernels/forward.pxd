# What layers of other number formats share with float32: the softmax over an active set, ReLU.
from libc.stdint cimport int32_t, int64_t

cdef void softmax_row(float *z, int64_t n, int64_t lanes, const float *weights, const int32_t *slots,
                      const int64_t *label_ptr, int64_t m, float scale, float smooth, float *loss) noexcept nogil
cdef void relu_row(float *x, int64_t n) noexcept nogil
