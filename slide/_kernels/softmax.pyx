"""The softmax over an active set: logits, their exponentials, deltas and gradients of inputs, in two visits of a chunk.

Blocks are as in forward.pyx. At the first visit a chunk's exponentials are taken less its own largest logits; at the
second, when those of all the group's chunks are known, they become deltas.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport logf
from libc.stdint cimport int32_t, int64_t

from slide._kernels.chunks cimport (
    Chunk, Layer, Span, advance, chunks_of, rows_a_chunk, rows_of, shared, slots_before, span_of_group,
    span_of_thread, start_of, tile_of,
)
from slide._kernels.forward cimport add_partials, gradient_chunk, layer_of, partial_size, zero_group
from slide._kernels.simd.vec cimport ops


cdef struct Sums:
    # A row of lanes each: of every chunk the largest logits (later exp(those - the group's)) and the sums of
    # exponentials (later the factors of its deltas), of every group the same sum and what is spread evenly. Then the
    # inputs' gradients of chunks.
    float *top
    float *total
    float *of_group
    float *even
    float *partial


cdef inline Sums sums_in(const Layer *layer, float *work) noexcept nogil:
    cdef Sums sums
    cdef int64_t size = slots_before(layer, layer.n_groups) * layer.ld
    sums.top = work
    sums.total = sums.top + size
    sums.of_group = sums.total + size
    sums.even = sums.of_group + layer.n_groups * layer.ld
    sums.partial = sums.even + layer.n_groups * layer.ld
    return sums


cdef void exp_chunks(const Layer *layer, const Softmax *softmax, Span span, const Sums *sums,
                     float *tile) noexcept nogil:
    """Logits, and their exponentials less the chunk's largest, as often as their rows count."""
    cdef Chunk *chunk = &span.chunk
    cdef float *z
    cdef const float *weights
    cdef float *top
    cdef float *total
    while span.left > 0:
        z = softmax.delta + start_of(layer, chunk)
        top = sums.top + chunk.slot * layer.ld
        total = sums.total + chunk.slot * layer.ld
        layer.logits(layer, chunk, tile, z)
        weights = weights_of(layer, softmax, chunk)
        if layer.ld == 1:
            top[0] = ops.row_max(z, chunk.n)
            total[0] = ops.row_exp(z, chunk.n, top[0])
            if weights != NULL:
                total[0] = weigh_row(z, weights, chunk.n)
        else:
            ops.lane_exp(z, layer.ld, chunk.n, layer.ld, weights, top, total)
        advance(layer, &span)


cdef inline const float *weights_of(const Layer *layer, const Softmax *softmax, const Chunk *chunk) noexcept nogil:
    if softmax.weights == NULL:
        return NULL
    return softmax.weights + layer.indptr[chunk.group] + chunk.low


cdef inline float weigh_row(float *e, const float *weights, int64_t n) noexcept nogil:
    """Exponentials times their weights; returns the sum."""
    cdef int64_t a
    cdef float total = 0.0
    for a in range(n):
        e[a] *= weights[a]
        total += e[a]
    return total


cdef void close_group(const Layer *layer, const Softmax *softmax, int64_t group, const Sums *sums) noexcept nogil:
    """From the sums of a group's chunks its samples' losses and the factors of its deltas."""
    cdef int64_t n_chunks = chunks_of(layer, group), first = group * softmax.group_size, ld = layer.ld, s, k, low, high
    cdef float *shift = sums.top + slots_before(layer, group) * ld
    cdef float *total = sums.total + slots_before(layer, group) * ld
    cdef float *of_all = sums.of_group + group * ld
    cdef float *even = sums.even + group * ld
    cdef float mass = mass_of(layer, softmax, group), factor
    if ld == 1:
        of_all[0] = total[0]
        shift[0] = 1.0
    else:  # the maxima, in even, and their own sums are of no further use
        ops.lane_exp(shift, ld, n_chunks, ld, NULL, even, of_all)
        add_chunks(total, shift, n_chunks, ld, of_all)
    for s in range(ld):
        factor = even[s] = 0.0
        if s < min(softmax.group_size, softmax.n_samples - first):
            low = softmax.label_ptr[first + s]
            high = softmax.label_ptr[first + s + 1]
            softmax.loss[first + s] = loss_of(layer, softmax, group, s, low, high, shift, of_all[s])
            if high > low:
                factor = softmax.scale / of_all[s]
                even[s] = softmax.scale * softmax.smooth / mass
        for k in range(n_chunks):
            total[k * ld + s] = factor * shift[k * ld + s]


cdef inline float mass_of(const Layer *layer, const Softmax *softmax, int64_t group) noexcept nogil:
    """The sum of a group's weights."""
    cdef float mass = 0.0
    cdef int64_t a
    if softmax.weights == NULL:
        return rows_of(layer, group)
    for a in range(layer.indptr[group], layer.indptr[group + 1]):
        mass += softmax.weights[a]
    return mass


cdef inline void add_chunks(const float *total, const float *shift, int64_t n_chunks, int64_t ld,
                            float *of_all) noexcept nogil:
    """The sums of exponentials of all chunks, in their order, less the largest logits of all."""
    cdef int64_t k, s
    for s in range(ld):
        of_all[s] = 0.0
    for k in range(n_chunks):
        for s in range(ld):
            of_all[s] += total[k * ld + s] * shift[k * ld + s]


cdef inline float loss_of(const Layer *layer, const Softmax *softmax, int64_t group, int64_t s, int64_t low,
                          int64_t high, const float *shift, float total) noexcept nogil:
    """Mean cross entropy over the labels low:high of lane s, from exponentials and their sum."""
    cdef const float *e = softmax.delta + layer.indptr[group] * layer.ld
    cdef int64_t k, slot, ld = layer.ld, a_chunk = rows_a_chunk(layer, group)
    cdef float loss = 0.0
    for k in range(low, high):
        slot = softmax.slots[k]
        loss -= logf(e[slot * ld + s] * shift[slot // a_chunk * ld + s] / total + <float>1e-38)
    return loss / (high - low) if high > low else loss


cdef void delta_chunks(const Layer *layer, const Softmax *softmax, Span span, const Sums *sums, float *partial,
                       float *tile) noexcept nogil:
    """Deltas factor * exp - even - target, and what comes of them for the inputs."""
    cdef Chunk *chunk = &span.chunk
    cdef float *z
    cdef const float *weights
    cdef const float *factor
    cdef const float *even
    while span.left > 0:
        z = softmax.delta + start_of(layer, chunk)
        factor = sums.total + chunk.slot * layer.ld
        even = sums.even + chunk.group * layer.ld
        weights = weights_of(layer, softmax, chunk)
        if layer.ld == 1:
            row_deltas(z, chunk.n, weights, factor[0], even[0])
        else:
            ops.lane_deltas(z, layer.ld, chunk.n, layer.ld, weights, factor, even)
        subtract_targets(layer, softmax, chunk, z)
        if softmax.dx != NULL:
            gradient_chunk(layer, chunk, softmax.delta, softmax.dx, partial, tile)
        advance(layer, &span)


cdef void row_deltas(float *z, int64_t n, const float *weights, float factor, float even) noexcept nogil:
    cdef int64_t a
    for a in range(n):
        z[a] = z[a] * factor - even * (weights[a] if weights != NULL else 1)


cdef inline void subtract_targets(const Layer *layer, const Softmax *softmax, const Chunk *chunk,
                                  float *z) noexcept nogil:
    """From the deltas z of a chunk the targets of those labels that are in it."""
    cdef int64_t first = chunk.group * softmax.group_size, s, k, place, low, high
    for s in range(min(softmax.group_size, softmax.n_samples - first)):
        low = softmax.label_ptr[first + s]
        high = softmax.label_ptr[first + s + 1]
        for k in range(low, high):
            place = softmax.slots[k] - chunk.low
            if 0 <= place < chunk.n:
                z[place * layer.ld + s] -= softmax.scale * (1 - softmax.smooth) / (high - low)


cdef void softmax_group(const Layer *layer, const Softmax *softmax, int64_t g, const Sums *sums,
                        float *tile) noexcept nogil:
    exp_chunks(layer, softmax, span_of_group(layer, g), sums, tile)
    close_group(layer, softmax, g, sums)
    if softmax.dx != NULL:
        zero_group(layer, g, softmax.dx)
    delta_chunks(layer, softmax, span_of_group(layer, g), sums, NULL, tile)


cdef void softmax_layer(const Layer *layer, const Softmax *softmax, float *work, int threads) noexcept nogil:
    cdef Sums sums = sums_in(layer, work)
    cdef int64_t g
    cdef int t
    if not shared(layer, threads):
        for g in prange(layer.n_groups, num_threads=threads, schedule="dynamic"):
            softmax_group(layer, softmax, g, &sums, tile_of(layer, threadid()))
        return
    for t in prange(threads, num_threads=threads, schedule="static"):
        exp_chunks(layer, softmax, span_of_thread(layer, t, threads), &sums, tile_of(layer, t))
    for g in range(layer.n_groups):
        close_group(layer, softmax, g, &sums)
    for t in prange(threads, num_threads=threads, schedule="static"):
        delta_chunks(layer, softmax, span_of_thread(layer, t, threads), &sums, sums.partial, tile_of(layer, t))
    if softmax.dx != NULL:
        add_partials(layer, sums.partial, softmax.dx, threads)


def work_size(const int64_t[::1] indptr, const int64_t[::1] x_indptr, int64_t ld, bint gradient, int threads):
    """Floats that `softmax_rows` takes as `work`, with or without gradients of inputs."""
    cdef Layer layer
    layer.n_groups, layer.ld = indptr.shape[0] - 1, ld
    layer.indptr, layer.x_indptr = &indptr[0], &x_indptr[0]
    size = 2 * (slots_before(&layer, layer.n_groups) + layer.n_groups) * ld
    if gradient and shared(&layer, threads):
        size += slots_before(&layer, layer.n_groups) * partial_size(&layer)
    return size


def softmax_rows(const float[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] x,
                 const float[::1] weights, const int64_t[::1] label_ptr, const int32_t[::1] slots,
                 int64_t group_size, float scale, float smooth, float[:, ::1] delta, float[:, ::1] dx, float[::1] loss,
                 float[::1] work, int threads):
    """Forward, softmax over the active set, output deltas and input gradients of every group.

    An active neuron counts as often as its weight says, of which there may be none: once. `slots[k]` is the place of
    label entry k in its group's active set; the target is (1 - smooth) / (number of labels) for each label, and smooth
    spread over the active set by its weights. Deltas are scale * (softmax - target); a sample without labels gets
    none. A dx without rows is not computed. work: see `work_size`.
    """
    cdef Layer layer = layer_of(W, &bias[0], indptr, ids, x_indptr, x_cols, &x[0, 0], delta.shape[1])
    cdef Softmax softmax = softmax_of(weights, label_ptr, slots, group_size, scale, smooth, delta, dx, loss)
    with nogil:
        softmax_layer(&layer, &softmax, &work[0], threads)


cdef Softmax softmax_of(const float[::1] weights, const int64_t[::1] label_ptr, const int32_t[::1] slots,
                        int64_t group_size, float scale, float smooth, float[:, ::1] delta, float[:, ::1] dx,
                        float[::1] loss) noexcept:
    cdef Softmax softmax
    softmax.weights = &weights[0] if weights.shape[0] > 0 else NULL
    softmax.label_ptr, softmax.group_size, softmax.n_samples = &label_ptr[0], group_size, loss.shape[0]
    softmax.slots = &slots[0] if slots.shape[0] > 0 else NULL
    softmax.scale, softmax.smooth = scale, smooth
    softmax.delta, softmax.loss = &delta[0, 0], &loss[0]
    softmax.dx = &dx[0, 0] if dx.shape[0] > 0 else NULL
    return softmax
