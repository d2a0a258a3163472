"""Sampled layers whose weights, and moments if asked, are stored as bfloat16: the upper half of a float32.

Memory holds 16 bits, arithmetic is float32 all the same: on the group's side rows are widened in tiles that stay in the
cache while all lanes pass, and products and sums are those of forward.pyx in its order, so that results are bit for
bit those of float32 kernels on the same weights. (Where the processor multiplies bfloat16, logits come from its
products instead.) A row that is updated is widened, stepped as ever and narrowed again.

What is narrowed: weights and second moments at random (Gupta et al. 2015, "Deep learning with limited numerical
precision"). They grow by less than the 2**-9 of themselves that rounding to the nearest keeps (1 - beta2 is 2**-10),
so to the nearest they would stand still; at random the mean is right. First moments move by a tenth of their distance
to the gradient and are rounded to the nearest. The random bits are a function of (seed, step, row, column).

Inputs are dense. Lane blocks and pairs are as in forward.pyx and transpose.pyx; bits are uint16.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t

from slide._kernels.chunks cimport Chunk, Layer, ids_of
from slide._kernels.forward cimport forward_layer, input_gradient_layer
from slide._kernels.optimizer cimport Rows, add_ahead, step_entry
from slide._kernels.prefetch cimport prefetch_read_l2, prefetch_write_l2
from slide._kernels.rng cimport key
from slide._kernels.softmax cimport Softmax, softmax_layer, softmax_of
from slide._kernels.transpose cimport N_PARTS
from slide._kernels.update cimport gradient_rows
from slide._kernels.simd.vec cimport BESIDE, N_LANES, TILE, AdamStep, Ahead, ops

cdef enum:
    LINE = 32  # entries of a cache line

ctypedef fused moment:
    float
    uint16_t

cdef int32_t[TILE] IN_ORDER  # the ids of the rows of a tile
for _place in range(TILE):
    IN_ORDER[_place] = _place

TILE_ROWS = TILE


cdef struct Bits:
    # Weights and moments of one layer; m and v are NULL where moments are float32.
    uint16_t *w
    uint16_t *m
    uint16_t *v


def widen_rows(const uint16_t[:, ::1] bits, float[:, ::1] out, int threads):
    cdef int64_t i, n = bits.shape[0], d = bits.shape[1]
    if d == 0:
        return
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        ops.widen(&bits[i, 0], d, &out[i, 0])


def narrow_rows(const float[:, ::1] x, uint16_t[:, ::1] out, int threads):
    """To the nearest, ties to even."""
    cdef int64_t i, n = x.shape[0], d = x.shape[1]
    if d == 0:
        return
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        ops.narrow(&x[i, 0], d, &out[i, 0])


cdef int64_t widen_tile(const uint16_t *W, const float *bias, const int32_t *ids, int64_t n,
                        int64_t more, int64_t d, float *tile) noexcept nogil:
    """The first rows of n, TILE at most, as float32 side by side, their biases (unless NULL) after them; returns how
    many. `more` rows follow these n.

    Asks for the same rows of the next tile, which come from memory while this one is worked on.
    """
    cdef int64_t m = min(n, <int64_t>TILE), k, j
    for k in range(m):
        if k + TILE < n + more:
            for j in range((d + LINE - 1) // LINE):
                prefetch_read_l2(W + ids[k + TILE] * d + j * LINE)
        ops.widen(W + ids[k] * d, d, tile + k * d)
        if bias != NULL:
            tile[TILE * d + k] = bias[ids[k]]
    return m


cdef void logits(const Layer *layer, const Chunk *chunk, float *tile, float *out) noexcept nogil:
    cdef int64_t d = layer.stride, m, low = 0, lane, block
    cdef const int32_t *ids = ids_of(layer, chunk)
    cdef const float *x = layer.x + layer.x_indptr[chunk.group] * layer.ld
    if layer.ld > 1 and ops.lane_logits_bfloat16 != NULL:
        for block in range(layer.ld // N_LANES):
            lane = block * N_LANES
            ops.lane_logits_bfloat16(<const uint16_t *>layer.w, d, layer.bias, ids, chunk.n, x + lane, out + lane,
                                     layer.ld)
        return
    while low < chunk.n:
        m = widen_tile(<const uint16_t *>layer.w, layer.bias, ids + low, chunk.n - low, chunk.more, d, tile)
        if layer.ld == 1:
            ops.row_logits(tile, d, tile + TILE * d, IN_ORDER, m, NULL, d, x, out + low)
        else:
            ops.lane_logits(tile, d, tile + TILE * d, IN_ORDER, m, 0, NULL, d, x, out + low * layer.ld, layer.ld)
        low += m


cdef void input_gradient(const Layer *layer, const Chunk *chunk, const float *delta, float *tile,
                         float *dx) noexcept nogil:
    cdef int64_t d = layer.stride, m, low = 0
    while low < chunk.n:
        m = widen_tile(<const uint16_t *>layer.w, NULL, ids_of(layer, chunk) + low, chunk.n - low, chunk.more, d, tile)
        if layer.ld == 1:
            ops.row_input_gradient(tile, d, IN_ORDER, m, NULL, d, delta + low, dx)
        else:
            ops.lane_input_gradient(tile, d, IN_ORDER, m, 0, NULL, d, delta + low * layer.ld, dx, layer.ld)
        low += m


cdef Layer layer_of(const uint16_t[:, ::1] W, const float *bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                    const int64_t[::1] x_indptr, const float *x, int64_t ld, float[:, ::1] tiles) noexcept:
    cdef Layer layer
    layer.w, layer.stride, layer.bias = &W[0, 0], W.shape[1], bias
    layer.n_groups, layer.ld = indptr.shape[0] - 1, ld
    layer.indptr, layer.x_indptr, layer.x = &indptr[0], &x_indptr[0], x
    layer.ids = &ids[0] if ids.shape[0] > 0 else NULL
    layer.cols = NULL
    layer.tiles, layer.tile_size = &tiles[0, 0], tiles.shape[1]
    layer.logits, layer.input_gradient = logits, input_gradient
    return layer


def forward_rows(const uint16_t[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const float[:, ::1] x, bint relu, float[:, ::1] out,
                 float[:, ::1] tiles, int threads):
    """As forward.forward_rows; tiles is threads x TILE * (width + 1)."""
    cdef Layer layer = layer_of(W, &bias[0], indptr, ids, x_indptr, &x[0, 0], out.shape[1], tiles)
    with nogil:
        forward_layer(&layer, relu, &out[0, 0], threads)


def input_gradient_rows(const uint16_t[:, ::1] W, const int64_t[::1] indptr, const int32_t[::1] ids,
                        const int64_t[::1] x_indptr, const float[:, ::1] delta, float[:, ::1] dx, float[::1] work,
                        float[:, ::1] tiles, int threads):
    """As forward.input_gradient_rows; tiles is threads x TILE * (width + 1)."""
    cdef Layer layer = layer_of(W, NULL, indptr, ids, x_indptr, NULL, delta.shape[1], tiles)
    with nogil:
        input_gradient_layer(&layer, &delta[0, 0], &dx[0, 0], &work[0], threads)


def softmax_rows(const uint16_t[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const float[:, ::1] x, const float[::1] weights,
                 const int64_t[::1] label_ptr, const int32_t[::1] slots, int64_t group_size, float scale,
                 float smooth, float[:, ::1] delta, float[:, ::1] dx, float[::1] loss, float[::1] work,
                 float[:, ::1] tiles, int threads):
    """As softmax.softmax_rows; tiles is threads x TILE * (width + 1)."""
    cdef Layer layer = layer_of(W, &bias[0], indptr, ids, x_indptr, &x[0, 0], delta.shape[1], tiles)
    cdef Softmax softmax = softmax_of(weights, label_ptr, slots, group_size, scale, smooth, delta, dx, loss)
    with nogil:
        softmax_layer(&layer, &softmax, &work[0], threads)


cdef inline void step_row(const Rows *rows, const Bits *bits, int64_t r, float *g, float bias_g, float *work,
                          bint adam, int32_t step, uint64_t seed, const AdamStep *p,
                          const AdamStep *bias_p) noexcept nogil:
    """The optimizer on row r, whose gradient is g; work is a row."""
    cdef int64_t d = rows.width, at = r * rows.width
    cdef uint64_t stream = key(seed, step, r)
    if not adam:
        ops.widen(bits.w + at, d, work)
        ops.sgd(work, g, d, p.lr, p.decay)
        ops.narrow_at_random(work, d, stream, 0, bits.w + at)
    elif bits.m != NULL:
        ops.adam_bfloat16_moments(bits.w + at, bits.m + at, bits.v + at, g, d, p, stream)
    else:
        ops.adam_bfloat16(bits.w + at, rows.m + at, rows.v + at, g, d, p, stream)
    step_entry(&rows.bias[r], &rows.bias_m[r], &rows.bias_v[r], bias_g, adam, bias_p)


cdef inline void plan_row(Ahead *ahead, const Rows *rows, const Bits *bits, int64_t r, bint adam) noexcept nogil:
    """Weights and moments of a row are planned to be prefetched, its bias is."""
    cdef int64_t d = rows.width, at = r * rows.width
    add_ahead(ahead, bits.w + at, 2 * d)
    if bits.m != NULL:
        add_ahead(ahead, bits.m + at, 2 * d)
        add_ahead(ahead, bits.v + at, 2 * d)
    elif adam:
        add_ahead(ahead, rows.m + at, 4 * d)
        add_ahead(ahead, rows.v + at, 4 * d)
    prefetch_write_l2(rows.bias + r)
    prefetch_write_l2(rows.bias_m + r)
    prefetch_write_l2(rows.bias_v + r)


cdef void update_part(const Rows *rows, const Bits *bits, const int32_t *ids, const int32_t *start,
                      const int32_t *count, int64_t n, const int32_t *pair, const int32_t *group, const float *coef,
                      int64_t lanes, const int64_t *x_indptr, const float *x, bint adam, int32_t step, uint64_t seed,
                      const AdamStep *p, float *scratch) noexcept nogil:
    """As update.update_part."""
    cdef Ahead ahead
    cdef AdamStep no_decay = p[0]
    cdef int64_t k = 0, planned = 0, width = rows.width, done, r
    cdef float *bias_g = scratch + BESIDE * width
    no_decay.decay = 0.0
    while k < n:
        ahead.n = ahead.lines = 0
        while planned < min(k + BESIDE, n):
            plan_row(&ahead, rows, bits, ids[planned], adam)
            add_ahead(&ahead, coef + <int64_t>pair[start[planned]] * lanes, lanes * sizeof(float))
            planned += 1
        done = gradient_rows(start + k, count + k, n - k, pair, group, coef, lanes, x_indptr, x, width, scratch,
                             bias_g, &ahead)
        for r in range(done):
            step_row(rows, bits, ids[k + r], scratch + r * width, bias_g[r], bias_g + BESIDE, adam, step, seed, p,
                     &no_decay)
        k += done
        planned = max(planned, k)


def update_rows(const int64_t[::1] part_ptr, const int32_t[::1] n_touched, const int32_t[:, ::1] touched,
                const int32_t[:, ::1] pairs, const float[:, ::1] coef, const int64_t[::1] x_indptr,
                const float[::1] x, uint16_t[:, ::1] w, moment[:, ::1] m, moment[:, ::1] v, float[:, ::1] bias,
                bint adam, tuple hyper, int32_t step, uint64_t seed, float[:, ::1] scratch,
                int threads):
    """As update.update_rows; bias has its rows, m and v none with SGD. scratch is
    threads x (BESIDE * (width + 1) + width)."""
    cdef Rows rows
    cdef Bits bits
    cdef AdamStep p
    cdef int64_t part, low
    p.lr, p.beta1, p.beta2, p.eps, p.decay = hyper
    if coef.shape[0] == 0 or w.shape[1] == 0:
        return
    rows.width = w.shape[1]
    rows.m = rows.v = NULL
    bits.w = &w[0, 0]
    bits.m = bits.v = NULL
    if m.shape[0] > 0:
        if moment is float:
            rows.m, rows.v = &m[0, 0], &v[0, 0]
        else:
            bits.m, bits.v = &m[0, 0], &v[0, 0]
    rows.bias, rows.bias_m, rows.bias_v = &bias[0, 0], &bias[1, 0], &bias[2, 0]
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        low = part_ptr[part]
        update_part(&rows, &bits, &touched[0, 0] + low, &touched[1, 0] + low, &touched[2, 0] + low, n_touched[part],
                    &pairs[0, 0], &pairs[1, 0], &coef[0, 0], coef.shape[1], &x_indptr[0], &x[0], adam, step, seed, &p,
                    &scratch[threadid(), 0])
