"""The full softmax as blocked matrix products: every neuron active, nothing of n x n_neurons but the logits.

Blocks of neurons are the unit of work. Logits of a block become exponentials while they are in the cache, relative to
their maximum in that block; so two visits are enough, and what the second needs to put the blocks on one scale is one
factor a block and sample. In the second visit a block's weights, gradients and moments stay in the cache from the
product to the optimizer. Each block has one thread, and each chunk of blocks its own sum of input gradients, so the
result does not depend on the number of threads.

Logits lie a row a neuron: z (blocks x block size x ld), a sample a column, the columns filled up to whole panels.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.optimizer cimport Rows, add_ahead
from slide._kernels.simd.vec cimport AdamStep, Ahead, ops

cdef enum:
    TOGETHER = 16  # blocks that a thread takes at once, so that it knows the next one, whose memory it fetches
    TILES = 24  # neurons whose gradients are made before the optimizer takes them: whole tiles of every set


cdef inline void exponentials_block(const float *panels, int64_t n_panels, const float *w, const float *bias,
                                    int64_t d, int64_t size, int64_t next_size, int64_t ld, float *z, float *top,
                                    float *total) noexcept nogil:
    cdef int64_t p, i, width = ops.panel
    cdef Ahead ahead
    ahead.n = ahead.lines = 0
    if next_size > 0:
        add_ahead(&ahead, z + size * ld, next_size * ld * sizeof(float))
        add_ahead(&ahead, w + size * d, next_size * d * sizeof(float))
    for p in range(n_panels):
        for i in range(p * width, (p + 1) * width):
            top[i] = <float>-3e38
        ops.panel_product(w, d, size, panels + p * d * width, d, bias, z + p * width, ld, top + p * width,
                          &ahead)
        ops.panel_exp(z + p * width, ld, size, top + p * width, total + p * width)


def exponentials_rows(const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias,
                      float[:, :, ::1] z, float[:, ::1] top, float[:, ::1] total, int threads):
    """z[b] = exp(logits - top[b]) of block b, top[b] its maximum and total[b] its sum for each sample.

    panels (panels x d x width): the samples, a column each; top, total: blocks x columns of all panels.
    """
    cdef int64_t block = z.shape[1], n = W.shape[0], b, size
    cdef int64_t together = max(<int64_t>1, min(<int64_t>TOGETHER, z.shape[0] // (8 * threads)))
    for b in prange(z.shape[0], nogil=True, num_threads=threads, schedule="dynamic", chunksize=together):
        size = min(block, n - b * block)
        exponentials_block(&panels[0, 0, 0], panels.shape[0], &W[b * block, 0], &bias[b * block], W.shape[1], size,
                           min(block, n - b * block - size), z.shape[2], &z[b, 0, 0], &top[b, 0], &total[b, 0])


cdef inline float mean_logit_row(const float *x, const float *W, const float *bias, int64_t d, const int32_t *labels,
                                 int64_t n) noexcept nogil:
    cdef float z = 0.0, total = 0.0
    cdef int64_t k
    for k in range(n):
        ops.row_logits(W, d, bias, labels + k, 1, NULL, d, x, &z)
        total += z / <float>n
    return total


def logits_of_labels(const float[:, ::1] x, const float[:, ::1] W, const float[::1] bias,
                     const int64_t[::1] label_ptr, const int32_t[::1] labels, float[::1] out, int threads):
    """out[i] = the mean logit of sample i's labels, 0 where it has none."""
    cdef int64_t i
    cdef const int32_t *first = &labels[0] if labels.shape[0] else NULL
    for i in prange(x.shape[0], nogil=True, num_threads=threads, schedule="static"):
        out[i] = mean_logit_row(&x[i, 0], &W[0, 0], &bias[0], W.shape[1], first + label_ptr[i],
                                label_ptr[i + 1] - label_ptr[i])


cdef inline void deltas_block(float *z, int64_t ld, int64_t columns, int64_t size, const float *factor,
                              const float *even, float *bias_g, const int32_t *label, const int32_t *sample,
                              int64_t low, int64_t high, int64_t first, const float *target) noexcept nogil:
    cdef int64_t k
    ops.panel_deltas(z, ld, size, columns, factor, even, bias_g)
    for k in range(low, high):
        z[(label[k] - first) * ld + sample[k]] -= target[sample[k]]
        bias_g[label[k] - first] -= target[sample[k]]


cdef inline void update_block(const Rows *rows, int64_t first, int64_t size, const float *z, int64_t ld,
                              const float *panels, int64_t n_panels, int64_t n, float *g, const float *bias_g,
                              bint adam, const AdamStep *p, const AdamStep *bias_p, Ahead *ahead) noexcept nogil:
    cdef int64_t part, low, count, c, at, d = rows.width, width = ops.panel
    for part in range((size + TILES - 1) // TILES):
        low = part * TILES
        count = min(<int64_t>TILES, size - low)
        at = (first + low) * d
        for c in range(n_panels):
            ops.panel_product(z + low * ld, ld, count, panels + c * n * width, n, NULL, g + c * width,
                              n_panels * width, NULL, ahead)
        if n_panels * width == d:
            step_span(rows, at, g, count * d, adam, p)
        else:
            for c in range(count):
                step_span(rows, at + c * d, g + c * n_panels * width, d, adam, p)
    if adam:
        ops.adam(rows.bias + first, rows.bias_m + first, rows.bias_v + first, bias_g, size, bias_p)
    else:
        ops.sgd(rows.bias + first, bias_g, size, p.lr, 0.0)


cdef inline Ahead block_ahead(const Rows *rows, int64_t first, int64_t size, const float *z,
                              int64_t ld) noexcept nogil:
    """What a block of `size` rows is made from."""
    cdef Ahead ahead
    cdef int64_t at = first * rows.width, n_bytes = size * rows.width * sizeof(float)
    ahead.n = ahead.lines = 0
    if size > 0:
        if rows.m != NULL:
            add_ahead(&ahead, rows.m + at, n_bytes)
            add_ahead(&ahead, rows.v + at, n_bytes)
        add_ahead(&ahead, rows.w + at, n_bytes)
        add_ahead(&ahead, z, size * ld * sizeof(float))
    return ahead


cdef inline void step_span(const Rows *rows, int64_t at, const float *g, int64_t n, bint adam,
                           const AdamStep *p) noexcept nogil:
    if adam:
        ops.adam(rows.w + at, rows.m + at, rows.v + at, g, n, p)
    else:
        ops.sgd(rows.w + at, g, n, p.lr, p.decay)


def scratch_size(int64_t block, int64_t columns):
    """Floats a thread of backward_rows' scratch, for so many columns in all panels of its inputs."""
    return block + TILES * columns


def backward_rows(const float[:, :, ::1] panels, float[:, :, ::1] z, const float[:, ::1] factor,
                  const float[::1] even, const float[::1] target, const int64_t[::1] block_ptr,
                  const int32_t[::1] label, const int32_t[::1] sample,
                  float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, float[:, ::1] bias, bint adam, tuple hyper,
                  float[:, :, ::1] dx, float[:, ::1] scratch, int threads):
    """Deltas, input gradients, weight gradients and optimizer, block by block.

    panels (panels x n x width): the samples, a row each.
    factor (blocks x columns): what makes scale * probability of z; even (columns): scale * smooth / n_neurons;
    target (n): scale * (1 - smooth) / number of labels; label entries sorted by block at block_ptr. Columns beyond n
    have factor and even 0.
    dx (chunks x d x columns, zeroed) has one sum a chunk; with chunks x 0 x columns there are none.
    scratch is threads x scratch_size.
    """
    cdef Rows rows
    cdef AdamStep p, no_decay
    cdef int64_t n_blocks = z.shape[0], block = z.shape[1], ld = z.shape[2], n_chunks = dx.shape[0], chunk, b, first
    cdef int64_t n = panels.shape[1], columns = factor.shape[1], width = ops.panel, size, c
    cdef float *bias_g
    cdef Ahead ahead
    p.lr, p.beta1, p.beta2, p.eps, p.decay = hyper
    no_decay = p
    no_decay.decay = 0.0
    rows.width = w.shape[1]
    rows.w = &w[0, 0]
    rows.m = &m[0, 0] if m.shape[0] else NULL
    rows.v = &v[0, 0] if v.shape[0] else NULL
    rows.bias = &bias[0, 0]
    rows.bias_m = &bias[1, 0]
    rows.bias_v = &bias[2, 0]
    for chunk in prange(n_chunks, nogil=True, num_threads=threads, schedule="dynamic"):
        bias_g = &scratch[threadid(), 0]
        for b in range(chunk * n_blocks // n_chunks, (chunk + 1) * n_blocks // n_chunks):
            first = b * block
            size = min(block, w.shape[0] - first)
            ahead = block_ahead(&rows, first + size, min(block, w.shape[0] - first - size),
                                &z[0, 0, 0] + (b + 1) * block * ld, ld)
            deltas_block(&z[b, 0, 0], ld, columns, size, &factor[b, 0], &even[0], bias_g,
                         &label[0] if label.shape[0] else NULL, &sample[0] if sample.shape[0] else NULL,
                         block_ptr[b], block_ptr[b + 1], first, &target[0])
            if dx.shape[1] > 0:
                for c in range(columns // width):
                    ops.panel_add_transposed(&w[first, 0], rows.width, rows.width, &z[b, 0, c * width], ld, size,
                                             &dx[chunk, 0, c * width], columns, &ahead)
            update_block(&rows, first, size, &z[b, 0, 0], ld, &panels[0, 0, 0], panels.shape[0], n, bias_g + block,
                         bias_g, adam, &p, &no_decay, &ahead)
