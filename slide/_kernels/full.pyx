"""The full softmax as blocked matrix products: every neuron active, nothing of n x n_neurons but the logits.

Blocks of neurons are the unit of work: their weights, gradients and moments stay in the cache from the product to
the optimizer. Each block is one single-threaded BLAS call, and each chunk of blocks has one thread and its own sum
of input gradients, so the result does not depend on the number of threads.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from scipy.linalg.cython_blas cimport sgemm

from slide._kernels.optimizer cimport Rows
from slide._kernels.vec cimport AdamStep, ops


cdef inline void product_nt(const float *a, const float *b, int n, int m, int k, float *out, int ld) noexcept nogil:
    """out (n x m, row stride ld) = a (n x k) b (m x k)^T, all row-major."""
    cdef float one = 1.0, zero = 0.0
    sgemm(b"T", b"N", &m, &n, &k, &one, <float *>b, &k, <float *>a, &k, &zero, out, &ld)


cdef inline void add_product_nn(const float *a, int ld, const float *b, int n, int m, int k,
                                float *out) noexcept nogil:
    """out (n x m) += a (n x k, row stride ld) b (k x m)."""
    cdef float one = 1.0
    sgemm(b"N", b"N", &m, &n, &k, &one, <float *>b, &m, <float *>a, &ld, &one, out, &m)


cdef inline void product_tn(const float *a, int ld, const float *b, int n, int m, int k, float *out) noexcept nogil:
    """out (k x m) = a (n x k, row stride ld)^T b (n x m)."""
    cdef float one = 1.0, zero = 0.0
    sgemm(b"N", b"T", &m, &k, &n, &one, <float *>b, &m, <float *>a, &ld, &zero, out, &m)


cdef inline void logits_block(const float *x, const float *w, const float *bias, int n, int d, int size, int ld,
                              float *z, float *top) noexcept nogil:
    cdef int64_t i, j
    product_nt(x, w, n, size, d, z, ld)
    for i in range(n):
        for j in range(size):
            z[i * ld + j] += bias[j]
        top[i] = ops.row_max(z + i * ld, size)


def logits_rows(const float[:, ::1] x, const float[:, ::1] W, const float[::1] bias, float[:, :, ::1] z,
                float[:, ::1] top, int threads):
    """z[b] = logits of block b (n x block size); top[b] the maximum of each sample there."""
    cdef int64_t n_blocks = z.shape[0], ld = z.shape[2], b
    cdef int n = <int>x.shape[0], d = <int>x.shape[1], size
    for b in prange(n_blocks, nogil=True, num_threads=threads, schedule="dynamic"):
        size = <int>min(ld, W.shape[0] - b * ld)
        logits_block(&x[0, 0], &W[b * ld, 0], &bias[b * ld], n, d, size, <int>ld, &z[b, 0, 0], &top[b, 0])


def normalise_rows(float[:, :, ::1] z, int64_t n_neurons, const float[:, ::1] top, float[::1] most,
                   const int64_t[::1] label_ptr, const int32_t[::1] labels, float[:, ::1] total, float[::1] loss,
                   int threads):
    """z <- exp(z - most); total[b] the sums of each block; loss the cross entropy, its normaliser still to add."""
    cdef int64_t n_blocks = z.shape[0], n = z.shape[1], ld = z.shape[2], b, i, k
    for i in range(n):
        most[i] = top[0, i]
        for b in range(1, n_blocks):
            most[i] = max(most[i], top[b, i])
        loss[i] = 0.0
        for k in range(label_ptr[i], label_ptr[i + 1]):
            loss[i] -= (z[labels[k] // ld, i, labels[k] % ld] - most[i]) / <float>(label_ptr[i + 1] - label_ptr[i])
    for b in prange(n_blocks, nogil=True, num_threads=threads, schedule="dynamic"):
        for i in range(n):
            total[b, i] = ops.row_exp(&z[b, i, 0], min(ld, n_neurons - b * ld), most[i])


cdef inline void deltas_block(float *z, int64_t ld, int64_t n, int64_t size, const float *factor,
                              const float *even, float *bias_g, const int32_t *label, const int32_t *sample,
                              int64_t low, int64_t high, int64_t first, const float *target) noexcept nogil:
    cdef int64_t i, j, k
    for i in range(n):
        for j in range(size):
            z[i * ld + j] = z[i * ld + j] * factor[i] - even[i]
    for k in range(low, high):
        z[sample[k] * ld + label[k] - first] -= target[sample[k]]
    for j in range(size):
        bias_g[j] = 0.0
    for i in range(n):
        for j in range(size):
            bias_g[j] += z[i * ld + j]


cdef inline void apply_block(const Rows *rows, int64_t first, int64_t size, const float *g, const float *bias_g,
                             bint adam, const AdamStep *p, const AdamStep *bias_p) noexcept nogil:
    cdef int64_t at = first * rows.width, n = size * rows.width
    if adam:
        ops.adam(rows.w + at, rows.m + at, rows.v + at, g, n, p)
        ops.adam(rows.bias + first, rows.bias_m + first, rows.bias_v + first, bias_g, size, bias_p)
    else:
        ops.sgd(rows.w + at, g, n, p.lr, p.decay)
        ops.sgd(rows.bias + first, bias_g, size, p.lr, 0.0)


def backward_rows(const float[:, ::1] x, float[:, :, ::1] z, const float[::1] factor, const float[::1] target,
                  const float[::1] even, const int64_t[::1] block_ptr, const int32_t[::1] label,
                  const int32_t[::1] sample,
                  float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, float[:, ::1] bias, bint adam, tuple hyper,
                  float[:, :, ::1] dx, float[:, ::1] scratch, int threads):
    """Deltas, input gradients, weight gradients and optimizer, block by block.

    factor (n): scale / normaliser; target (n): scale * (1 - smooth) / number of labels; even (n): scale *
    smooth / n_neurons; label entries sorted by block at block_ptr.
    dx (chunks x n x d, zeroed) has one sum a chunk; with chunks x 0 x d there are none. scratch is threads x (block
    size x (d + 1)).
    """
    cdef Rows rows
    cdef AdamStep p, no_decay
    cdef int64_t n_blocks = z.shape[0], ld = z.shape[2], n_chunks = dx.shape[0], chunk, b, first
    cdef int n = <int>x.shape[0], d = <int>x.shape[1], size, thread
    cdef float *g
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
        thread = threadid()
        g = &scratch[thread, 0]
        for b in range(chunk * n_blocks // n_chunks, (chunk + 1) * n_blocks // n_chunks):
            first = b * ld
            size = <int>min(ld, w.shape[0] - first)
            deltas_block(&z[b, 0, 0], ld, n, size, &factor[0], &even[0], g + ld * d,
                         &label[0] if label.shape[0] else NULL, &sample[0] if sample.shape[0] else NULL,
                         block_ptr[b], block_ptr[b + 1], first, &target[0])
            if dx.shape[1] > 0:
                add_product_nn(&z[b, 0, 0], <int>ld, &w[first, 0], n, d, size, &dx[chunk, 0, 0])
            product_tn(&z[b, 0, 0], <int>ld, &x[0, 0], n, d, size, g)
            apply_block(&rows, first, size, g, g + ld * d, adam, &p, &no_decay)
