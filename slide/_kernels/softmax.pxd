# The softmax over the active sets of all groups, for layers of every number format.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.chunks cimport Layer


cdef struct Softmax:
    # What a softmax needs beside a layer: see `softmax_rows`.
    const float *weights
    const int64_t *label_ptr
    const int32_t *slots
    int64_t n_samples
    int64_t group_size
    float scale
    float smooth
    float *delta
    float *dx
    float *loss


cdef Softmax softmax_of(const float[::1] weights, const int64_t[::1] label_ptr, const int32_t[::1] slots,
                        int64_t group_size, float scale, float smooth, float[:, ::1] delta, float[:, ::1] dx,
                        float[::1] loss) noexcept
cdef void softmax_layer(const Layer *layer, const Softmax *softmax, float *work, int threads) noexcept nogil
