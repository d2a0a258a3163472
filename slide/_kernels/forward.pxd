# What layers of every number format share: the loops over groups, the softmax over an active set, ReLU.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.vec cimport N_LANES, TILE


cdef struct Chunk:
    # Some rows of a group's active set: low to low + n. `more` rows follow that its thread will take next; `slot` is
    # the chunk's place among all of them.
    int64_t group
    int64_t low
    int64_t n
    int64_t more
    int64_t slot


cdef struct Layer

ctypedef void (*LogitsOf)(const Layer *, const Chunk *, float *tile, float *out) noexcept nogil
ctypedef void (*GradientOf)(const Layer *, const Chunk *, const float *delta, float *tile, float *dx) noexcept nogil

cdef struct Layer:
    # The weights of a layer, the active sets and the inputs of its groups. cols is NULL where a group has all columns.
    # logits writes those of a chunk; input_gradient adds to dx what comes of its deltas. Both may use a tile, of which
    # every thread has one.
    const void *w
    const float *bias
    int64_t stride
    int64_t n_groups
    int64_t ld
    const int64_t *indptr
    const int32_t *ids
    const int64_t *x_indptr
    const int32_t *cols
    const float *x
    float *tiles
    int64_t tile_size
    LogitsOf logits
    GradientOf input_gradient


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


cdef inline int64_t slots_before(const Layer *layer, int64_t group) noexcept nogil:
    """At least as many as the chunks of the groups before this one."""
    return layer.indptr[group] // TILE + group


cdef inline int64_t rows_of(const Layer *layer, int64_t group) noexcept nogil:
    return layer.indptr[group + 1] - layer.indptr[group]


cdef inline int64_t columns_of(const Layer *layer, int64_t group) noexcept nogil:
    return layer.x_indptr[group + 1] - layer.x_indptr[group]


cdef inline const int32_t *ids_of(const Layer *layer, const Chunk *chunk) noexcept nogil:
    return layer.ids + layer.indptr[chunk.group] + chunk.low


cdef Softmax softmax_of(const float[::1] weights, const int64_t[::1] label_ptr, const int32_t[::1] slots,
                        int64_t group_size, float scale, float smooth, float[:, ::1] delta, float[:, ::1] dx,
                        float[::1] loss) noexcept
cdef void forward_layer(const Layer *layer, bint relu, float *out, int threads) noexcept nogil
cdef void input_gradient_layer(const Layer *layer, const float *delta, float *dx, float *work,
                               int threads) noexcept nogil
cdef void softmax_layer(const Layer *layer, const Softmax *softmax, float *work, int threads) noexcept nogil
