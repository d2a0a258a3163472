# What layers of every number format share: logits and gradients of inputs, for all groups.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.chunks cimport Chunk, Layer


cdef void forward_layer(const Layer *layer, bint relu, float *out, int threads) noexcept nogil
cdef void input_gradient_layer(const Layer *layer, const float *delta, float *dx, float *partial,
                               int threads) noexcept nogil
cdef void gradient_chunk(const Layer *layer, const Chunk *chunk, const float *delta, float *dx, float *partial,
                         float *tile) noexcept nogil
cdef void zero_group(const Layer *layer, int64_t group, float *dx) noexcept nogil
cdef void add_partials(const Layer *layer, const float *partial, float *dx, int threads) noexcept nogil
cdef int64_t partial_size(const Layer *layer) noexcept nogil
cdef Layer layer_of(const float[:, ::1] W, const float *bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                    const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float *x, int64_t ld) noexcept
