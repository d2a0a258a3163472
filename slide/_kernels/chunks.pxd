# A sampled layer as the group's side sees it, and its active rows chunk by chunk, group after group.
#
# One thread has a group and goes through its chunks, so that what it needs again is still in a cache. Where there are
# fewer groups than threads, every thread has some of all chunks instead: what sums over rows is summed chunk by chunk
# either way, so that the result is the same, bit for bit.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.simd.vec cimport N_LANES, TILE


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


cdef inline int64_t slots_before(const Layer *layer, int64_t group) noexcept nogil:
    """At least as many as the chunks of the groups before this one."""
    return layer.indptr[group] // TILE + group


cdef inline int64_t rows_of(const Layer *layer, int64_t group) noexcept nogil:
    return layer.indptr[group + 1] - layer.indptr[group]


cdef inline int64_t columns_of(const Layer *layer, int64_t group) noexcept nogil:
    return layer.x_indptr[group + 1] - layer.x_indptr[group]


cdef inline const int32_t *ids_of(const Layer *layer, const Chunk *chunk) noexcept nogil:
    return layer.ids + layer.indptr[chunk.group] + chunk.low


cdef inline int64_t start_of(const Layer *layer, const Chunk *chunk) noexcept nogil:
    """Where a chunk begins in the blocks of active rows."""
    return (layer.indptr[chunk.group] + chunk.low) * layer.ld


cdef inline int64_t rows_a_chunk(const Layer *layer, int64_t group) noexcept nogil:
    """Groups of few lanes are never shared, and gain nothing by chunks."""
    return TILE if layer.ld > N_LANES else max(rows_of(layer, group), <int64_t>1)


cdef inline bint shared(const Layer *layer, int threads) noexcept nogil:
    return layer.n_groups < threads and layer.ld > N_LANES


cdef struct Span:
    # Chunks of one thread: this one, and `left` in all with it.
    Chunk chunk
    int64_t left


cdef inline Span empty_span() noexcept nogil:
    cdef Span span
    span.left = span.chunk.group = span.chunk.low = span.chunk.n = span.chunk.more = span.chunk.slot = 0
    return span


cdef inline void measure(const Layer *layer, Span *span) noexcept nogil:
    """The rest of a chunk whose group and first row are known."""
    cdef Chunk *chunk = &span.chunk
    cdef int64_t rest = rows_of(layer, chunk.group) - chunk.low
    chunk.n = min(rest, rows_a_chunk(layer, chunk.group))
    chunk.more = rest - chunk.n if span.left > 1 else 0
    chunk.slot = slots_before(layer, chunk.group) + chunk.low // TILE


cdef inline void advance(const Layer *layer, Span *span) noexcept nogil:
    span.left -= 1
    if span.left == 0:
        return
    span.chunk.low += span.chunk.n
    while span.chunk.low == rows_of(layer, span.chunk.group):
        span.chunk.group += 1
        span.chunk.low = 0
    measure(layer, span)


cdef inline int64_t chunks_of(const Layer *layer, int64_t group) noexcept nogil:
    cdef int64_t a_chunk = rows_a_chunk(layer, group)
    return (rows_of(layer, group) + a_chunk - 1) // a_chunk


cdef inline Span span_of_group(const Layer *layer, int64_t group) noexcept nogil:
    cdef Span span = empty_span()
    span.chunk.group = group
    span.left = chunks_of(layer, group)
    if span.left > 0:
        measure(layer, &span)
    return span


cdef inline Span span_of_thread(const Layer *layer, int thread, int threads) noexcept nogil:
    """Of all chunks, in their order, those of one thread."""
    cdef Span span = empty_span()
    cdef int64_t count = 0, low, g
    for g in range(layer.n_groups):
        count += chunks_of(layer, g)
    low = thread * count // threads
    span.left = (thread + 1) * count // threads - low
    if span.left == 0:
        return span
    while low >= chunks_of(layer, span.chunk.group):
        low -= chunks_of(layer, span.chunk.group)
        span.chunk.group += 1
    span.chunk.low = low * TILE
    measure(layer, &span)
    return span


cdef inline float *tile_of(const Layer *layer, int thread) noexcept nogil:
    return layer.tiles + thread * layer.tile_size
