"""The full softmax as blocked matrix products: every neuron active, nothing of n x n_neurons but the logits.

In:   the samples as panels (see layers/panels.py), rows of weights, labels by block of neurons
Out:  what the loss is made of, gradients of the inputs, rows of weights in place
Steps:
  1. exponentials_rows  logits of each block, and their exponentials less the largest of each sample in it
  2. logits_of_labels   the samples' logits of their own labels
  3. backward_rows      deltas, gradients of inputs and weights, and the optimizer
Blocks of neurons are the unit of work. Logits of a block become exponentials while they are in the cache, relative to
their maximum in that block; so two visits are enough, and what the second needs to put the blocks on one scale is one
factor for each block and sample. In the second visit a block's weights, gradients and moments stay in the cache from
the product to the optimizer. Each block has one thread, and each run of blocks its own sum of input gradients, so the
result does not depend on the number of threads.

Logits are z (blocks x block size x ld): a neuron a row, a sample a column, the columns filled up to whole panels.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.optimizer cimport OptimizerStep, add_ahead, step_of, step_weights
from slide._kernels.simd.vec cimport Ahead, ops
from slide._kernels.weights cimport Float32Rows

cdef enum:
    MOST_BLOCKS = 16  # that a thread takes at once, so that it knows the next one, whose memory it fetches
    STEP_NEURONS = 24  # whose gradients are made before the optimizer takes them: whole tiles of every set


# ---- 1. Exponentials -----------------------------------------------------------------------------------------------


def exponentials_rows(const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias,
                      float[:, :, ::1] z, float[:, ::1] top, float[:, ::1] total, int threads):
    """z[b] = exp(logits - top[b]) of block b, top[b] its maximum and total[b] its sum for each sample.

    panels (panels x d x width): the samples, a column each; top, total: blocks x columns of all panels.
    """
    cdef int64_t at_once = max(<int64_t>1, min(<int64_t>MOST_BLOCKS, z.shape[0] // (8 * threads))), b
    for b in prange(z.shape[0], nogil=True, num_threads=threads, schedule="dynamic", chunksize=at_once):
        exponentials_block(b, panels, W, bias, z, &top[b, 0], &total[b, 0])


cdef void exponentials_block(int64_t b, const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias,
                             float[:, :, ::1] z, float *top, float *total) noexcept nogil:
    cdef int64_t width = ops.panel, d = W.shape[1], ld = z.shape[2], first = b * z.shape[1], p, i
    cdef int64_t size = block_size(b, z.shape[1], W.shape[0]), next_size = block_size(b + 1, z.shape[1], W.shape[0])
    cdef float *logits
    cdef Ahead ahead
    ahead.n = ahead.lines = 0
    if next_size > 0:
        add_ahead(&ahead, &z[b, size, 0], next_size * ld * sizeof(float))
        add_ahead(&ahead, &W[first + size, 0], next_size * d * sizeof(float))
    for p in range(panels.shape[0]):
        logits = &z[b, 0, p * width]
        for i in range(p * width, (p + 1) * width):
            top[i] = <float>-3e38
        ops.panel_product(&W[first, 0], d, size, &panels[p, 0, 0], d, &bias[first], logits, ld, top + p * width,
                          &ahead)
        ops.panel_exp(logits, ld, size, top + p * width, total + p * width)


cdef inline int64_t block_size(int64_t b, int64_t block, int64_t n_neurons) noexcept nogil:
    """Neurons of block b; none or fewer after the last."""
    return min(block, n_neurons - b * block)


# ---- 2. What the loss is made of -----------------------------------------------------------------------------------


def logits_of_labels(const float[:, ::1] x, const float[:, ::1] W, const float[::1] bias,
                     const int64_t[::1] label_ptr, const int32_t[::1] labels, float[::1] out, int threads):
    """out[i] = the mean logit of sample i's labels, 0 where it has none."""
    cdef int64_t i
    cdef const int32_t *first = &labels[0] if labels.shape[0] else NULL
    for i in prange(x.shape[0], nogil=True, num_threads=threads, schedule="static"):
        out[i] = mean_logit_row(&x[i, 0], &W[0, 0], &bias[0], W.shape[1], first + label_ptr[i],
                                label_ptr[i + 1] - label_ptr[i])


cdef inline float mean_logit_row(const float *x, const float *W, const float *bias, int64_t d, const int32_t *labels,
                                 int64_t n) noexcept nogil:
    cdef float z = 0.0, total = 0.0
    cdef int64_t k
    for k in range(n):
        ops.row_logits(W, d, bias, labels + k, 1, NULL, d, x, &z)
        total += z / <float>n
    return total


# ---- 3. Backward and the optimizer ---------------------------------------------------------------------------------


cdef class LabelsByBlock:
    """The label entries of a batch, in the order of their neurons.

    block_ptr (blocks + 1)  block b has the entries block_ptr[b]:block_ptr[b + 1]
    label, sample           of each entry, int32
    target (n)              what is subtracted from the delta of each of a sample's labels
    """

    cdef const int64_t[::1] block_ptr
    cdef const int32_t[::1] label
    cdef const int32_t[::1] sample
    cdef const float[::1] target

    def __init__(self, const int64_t[::1] block_ptr, const int32_t[::1] label, const int32_t[::1] sample,
                 const float[::1] target):
        self.block_ptr, self.label, self.sample, self.target = block_ptr, label, sample, target


def scratch_size(int64_t block, int64_t columns):
    """Floats of scratch that a thread of backward_rows needs, for so many columns in all panels of its inputs."""
    return block + STEP_NEURONS * columns


def backward_rows(Float32Rows rows, const float[:, :, ::1] panels, float[:, :, ::1] z, const float[:, ::1] factor,
                  const float[::1] even, LabelsByBlock labels, tuple hyper, float[:, :, ::1] dx,
                  float[:, ::1] scratch, int threads):
    """Deltas, input gradients, weight gradients and optimizer, block by block.

    panels (panels x n x width): the samples, a row each.
    factor (blocks x columns): what makes scale * probability of z; even (columns): scale * smooth / n_neurons. Columns
    beyond n have factor and even 0. The target of a label is scale * (1 - smooth) / number of labels.
    dx (runs x d x columns, zeroed) has one sum for each run of blocks; with runs x 0 x columns there are none.
    scratch is threads x scratch_size.
    """
    cdef OptimizerStep step = step_of(rows.adam, hyper)
    cdef int64_t n_blocks = z.shape[0], n_runs = dx.shape[0], run, b
    for run in prange(n_runs, nogil=True, num_threads=threads, schedule="dynamic"):
        for b in range(run * n_blocks // n_runs, (run + 1) * n_blocks // n_runs):
            backward_block(rows, b, panels, z, factor, &even[0], labels, &step, dx, run, &scratch[threadid(), 0])


cdef void backward_block(Float32Rows rows, int64_t b, const float[:, :, ::1] panels, float[:, :, ::1] z,
                         const float[:, ::1] factor, const float *even, LabelsByBlock labels,
                         const OptimizerStep *step, float[:, :, ::1] dx, int64_t run, float *scratch) noexcept nogil:
    cdef int64_t first = b * z.shape[1], size = block_size(b, z.shape[1], rows.w.shape[0]), ld = z.shape[2], p, c
    cdef int64_t columns = factor.shape[1], d = rows.width, width = ops.panel
    cdef float *bias_g = scratch
    cdef Ahead ahead = block_ahead(rows, b + 1, z)
    ops.panel_deltas(&z[b, 0, 0], ld, size, columns, &factor[b, 0], even, bias_g)
    subtract_targets(labels, b, first, &z[b, 0, 0], ld, bias_g)
    if dx.shape[1] > 0:
        for p in range(columns // width):
            c = p * width
            ops.panel_add_transposed(&rows.w[first, 0], d, d, &z[b, 0, c], ld, size, &dx[run, 0, c], columns, &ahead)
    update_block(rows, first, size, panels, &z[b, 0, 0], ld, step, scratch + z.shape[1], bias_g, &ahead)


cdef inline Ahead block_ahead(Float32Rows rows, int64_t b, const float[:, :, ::1] z) noexcept nogil:
    """What block b is made from, to be prefetched."""
    cdef Ahead ahead
    cdef int64_t first = b * z.shape[1], size = block_size(b, z.shape[1], rows.w.shape[0])
    cdef int64_t n_bytes = size * rows.width * sizeof(float)
    ahead.n = ahead.lines = 0
    if size > 0:
        if rows.adam:
            add_ahead(&ahead, &rows.m[first, 0], n_bytes)
            add_ahead(&ahead, &rows.v[first, 0], n_bytes)
        add_ahead(&ahead, &rows.w[first, 0], n_bytes)
        add_ahead(&ahead, &z[b, 0, 0], size * z.shape[2] * sizeof(float))
    return ahead


cdef inline void subtract_targets(LabelsByBlock labels, int64_t b, int64_t first, float *z, int64_t ld,
                                  float *bias_g) noexcept nogil:
    cdef int64_t k, row
    cdef int32_t sample
    for k in range(labels.block_ptr[b], labels.block_ptr[b + 1]):
        row = labels.label[k] - first
        sample = labels.sample[k]
        z[row * ld + sample] -= labels.target[sample]
        bias_g[row] -= labels.target[sample]


cdef void update_block(Float32Rows rows, int64_t first, int64_t size, const float[:, :, ::1] panels, const float *z,
                       int64_t ld, const OptimizerStep *step, float *g, const float *bias_g,
                       Ahead *ahead) noexcept nogil:
    """Gradients of some neurons at a time, and the optimizer on them."""
    cdef int64_t part, low, count, p, width = ops.panel, n = panels.shape[1], columns = panels.shape[0] * width
    for part in range((size + STEP_NEURONS - 1) // STEP_NEURONS):
        low = part * STEP_NEURONS
        count = min(<int64_t>STEP_NEURONS, size - low)
        for p in range(panels.shape[0]):
            ops.panel_product(z + low * ld, ld, count, &panels[p, 0, 0], n, NULL, g + p * width, columns, NULL, ahead)
        step_neurons(rows, first + low, count, g, columns, step)
    step_weights(&rows.bias[0, first], &rows.bias[1, first], &rows.bias[2, first], bias_g, size, rows.adam,
                 &step.biases)


cdef inline void step_neurons(Float32Rows rows, int64_t first, int64_t count, const float *g, int64_t columns,
                              const OptimizerStep *step) noexcept nogil:
    """The optimizer on `count` neurons from `first` on, whose gradients lie `columns` floats apart."""
    cdef int64_t d = rows.width, r
    if columns == d:  # all side by side
        count, d = 1, count * d
    for r in range(first, first + count):
        step_weights(&rows.w[r, 0], &rows.m[r, 0], &rows.v[r, 0], g + (r - first) * columns, d, rows.adam,
                     &step.weights)
