"""The group's side of a sampled layer: logits of its active rows, gradients of its inputs. (softmax.pyx joins them.)

Blocks are lane blocks (see lanes.pyx): `x` the inputs, whose group g owns rows
x_indptr[g]:x_indptr[g + 1] and columns x_cols of them (empty: all columns in order); `out` and `delta` the active
neurons, rows indptr[g]:indptr[g + 1].
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from slide._kernels.chunks cimport (
    Chunk, Layer, Span, advance, chunks_of, columns_of, ids_of, shared, slots_before, span_of_group, span_of_thread,
    start_of, tile_of,
)
from slide._kernels.simd.vec cimport ops


cdef void float_logits(const Layer *layer, const Chunk *chunk, float *tile, float *out) noexcept nogil:
    cdef int64_t start = layer.x_indptr[chunk.group], d = columns_of(layer, chunk.group)
    cdef const int32_t *cols = layer.cols + start if layer.cols != NULL else NULL
    cdef const float *x = layer.x + start * layer.ld
    if layer.ld == 1:
        ops.row_logits(<const float *>layer.w, layer.stride, layer.bias, ids_of(layer, chunk), chunk.n, cols, d, x, out)
    else:
        ops.lane_logits(<const float *>layer.w, layer.stride, layer.bias, ids_of(layer, chunk), chunk.n, chunk.more,
                        cols, d, x, out, layer.ld)


cdef void float_input_gradient(const Layer *layer, const Chunk *chunk, const float *delta, float *tile,
                               float *dx) noexcept nogil:
    cdef int64_t start = layer.x_indptr[chunk.group], d = columns_of(layer, chunk.group)
    cdef const int32_t *cols = layer.cols + start if layer.cols != NULL else NULL
    if layer.ld == 1:
        ops.row_input_gradient(<const float *>layer.w, layer.stride, ids_of(layer, chunk), chunk.n, cols, d, delta, dx)
    else:
        ops.lane_input_gradient(<const float *>layer.w, layer.stride, ids_of(layer, chunk), chunk.n, chunk.more, cols,
                                d, delta, dx, layer.ld)


cdef void forward_chunks(const Layer *layer, Span span, bint relu, float *out, float *tile) noexcept nogil:
    cdef int64_t i
    cdef float *z
    while span.left > 0:
        z = out + start_of(layer, &span.chunk)
        layer.logits(layer, &span.chunk, tile, z)
        for i in range(span.chunk.n * layer.ld if relu else 0):
            z[i] = max(z[i], <float>0.0)
        advance(layer, &span)


cdef void forward_layer(const Layer *layer, bint relu, float *out, int threads) noexcept nogil:
    cdef int64_t g
    cdef int t
    if not shared(layer, threads):
        for g in prange(layer.n_groups, num_threads=threads, schedule="dynamic"):
            forward_chunks(layer, span_of_group(layer, g), relu, out, tile_of(layer, threadid()))
        return
    for t in prange(threads, num_threads=threads, schedule="static"):
        forward_chunks(layer, span_of_thread(layer, t, threads), relu, out, tile_of(layer, t))


cdef int64_t partial_size(const Layer *layer) noexcept nogil:
    """Floats of the inputs' gradient that one chunk gives, of the group that has most columns."""
    cdef int64_t g, most = 0
    for g in range(layer.n_groups):
        most = max(most, columns_of(layer, g))
    return most * layer.ld


cdef void gradient_chunk(const Layer *layer, const Chunk *chunk, const float *delta, float *dx, float *partial,
                         float *tile) noexcept nogil:
    """Adds to dx, or writes to the chunk's place in `partial`, where that is not NULL."""
    cdef int64_t size
    cdef float *into = dx + layer.x_indptr[chunk.group] * layer.ld
    if partial != NULL:
        size = columns_of(layer, chunk.group) * layer.ld
        into = partial + chunk.slot * partial_size(layer)
        memset(into, 0, size * sizeof(float))
    layer.input_gradient(layer, chunk, delta + start_of(layer, chunk), tile, into)


cdef void gradient_chunks(const Layer *layer, Span span, const float *delta, float *dx, float *partial,
                          float *tile) noexcept nogil:
    while span.left > 0:
        gradient_chunk(layer, &span.chunk, delta, dx, partial, tile)
        advance(layer, &span)


cdef void zero_group(const Layer *layer, int64_t group, float *dx) noexcept nogil:
    memset(dx + layer.x_indptr[group] * layer.ld, 0, columns_of(layer, group) * layer.ld * sizeof(float))


cdef void add_partial_row(const Layer *layer, int64_t group, int64_t j, const float *partial, int64_t size,
                          float *dx) noexcept nogil:
    """Row j of a group's gradient, the chunks' added up in their order."""
    cdef int64_t k, i, first = slots_before(layer, group)
    cdef float *out = dx + (layer.x_indptr[group] + j) * layer.ld
    cdef const float *part
    memset(out, 0, layer.ld * sizeof(float))
    for k in range(first, first + chunks_of(layer, group)):
        part = partial + k * size + j * layer.ld
        for i in range(layer.ld):
            out[i] += part[i]


cdef void add_partials(const Layer *layer, const float *partial, float *dx, int threads) noexcept nogil:
    cdef int64_t g, j, size = partial_size(layer)
    for g in range(layer.n_groups):
        for j in prange(columns_of(layer, g), num_threads=threads, schedule="static"):
            add_partial_row(layer, g, j, partial, size, dx)


cdef void input_gradient_layer(const Layer *layer, const float *delta, float *dx, float *partial,
                               int threads) noexcept nogil:
    cdef int64_t g
    cdef int t
    if not shared(layer, threads):
        for g in prange(layer.n_groups, num_threads=threads, schedule="dynamic"):
            zero_group(layer, g, dx)
            gradient_chunks(layer, span_of_group(layer, g), delta, dx, NULL, tile_of(layer, threadid()))
        return
    for t in prange(threads, num_threads=threads, schedule="static"):
        gradient_chunks(layer, span_of_thread(layer, t, threads), delta, dx, partial, tile_of(layer, t))
    add_partials(layer, partial, dx, threads)


def work_size(const int64_t[::1] indptr, const int64_t[::1] x_indptr, int64_t ld, int threads):
    """Floats that `input_gradient_rows` takes as `work`."""
    cdef Layer layer
    layer.n_groups, layer.ld = indptr.shape[0] - 1, ld
    layer.indptr, layer.x_indptr = &indptr[0], &x_indptr[0]
    return slots_before(&layer, layer.n_groups) * partial_size(&layer) if shared(&layer, threads) else 0


cdef Layer layer_of(const float[:, ::1] W, const float *bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                    const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float *x, int64_t ld) noexcept:
    cdef Layer layer
    layer.w, layer.stride, layer.bias = &W[0, 0], W.shape[1], bias
    layer.n_groups, layer.ld = indptr.shape[0] - 1, ld
    layer.indptr, layer.x_indptr, layer.x = &indptr[0], &x_indptr[0], x
    layer.ids = &ids[0] if ids.shape[0] > 0 else NULL
    layer.cols = &x_cols[0] if x_cols.shape[0] > 0 else NULL
    layer.tiles, layer.tile_size = NULL, 0
    layer.logits, layer.input_gradient = float_logits, float_input_gradient
    return layer


def forward_rows(const float[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] x, bint relu,
                 float[:, ::1] out, int threads):
    """out[a] = W[ids[a], x_cols] . x + bias[ids[a]] for the active neurons a of every group, then ReLU if asked."""
    cdef Layer layer = layer_of(W, &bias[0], indptr, ids, x_indptr, x_cols, &x[0, 0], out.shape[1])
    with nogil:
        forward_layer(&layer, relu, &out[0, 0], threads)


def input_gradient_rows(const float[:, ::1] W, const int64_t[::1] indptr, const int32_t[::1] ids,
                        const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] delta,
                        float[:, ::1] dx, float[::1] work, int threads):
    """dx[j] = sum_a W[ids[a], x_cols[j]] * delta[a] for every group. work: see `work_size`."""
    cdef Layer layer = layer_of(W, NULL, indptr, ids, x_indptr, x_cols, NULL, delta.shape[1])
    with nogil:
        input_gradient_layer(&layer, &delta[0, 0], &dx[0, 0], &work[0], threads)
