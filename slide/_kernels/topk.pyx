"""The k largest logits: exact, by blocked products that never hold n x n_neurons, or of an active set."""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from scipy.linalg.cython_blas cimport sgemm

from slide._kernels.vec cimport ops

cdef enum:
    STRIDE = 64


cdef inline void insert_row(float z, int32_t id_, int64_t k, float *values, int32_t *ids) noexcept nogil:
    """Into a list sorted by value, then by id, that keeps its first k."""
    cdef int64_t place = k - 1
    if not (z > values[place] or (z == values[place] and id_ < ids[place]) or ids[place] < 0):
        return
    while place > 0 and (ids[place - 1] < 0 or z > values[place - 1] or
                         (z == values[place - 1] and id_ < ids[place - 1])):
        values[place] = values[place - 1]
        ids[place] = ids[place - 1]
        place -= 1
    values[place] = z
    ids[place] = id_


cdef inline void scan_row(const float *z, int64_t n, int32_t first, int64_t k, float *values,
                          int32_t *ids) noexcept nogil:
    cdef int64_t part, j, i, size
    for part in range((n + STRIDE - 1) // STRIDE):
        j = part * STRIDE
        size = min(<int64_t>STRIDE, n - j)
        if ids[k - 1] < 0 or ops.row_max(z + j, size) > values[k - 1]:
            for i in range(j, j + size):
                insert_row(z[i], first + <int32_t>i, k, values, ids)


cdef inline void topk_chunk(const float *x, int n, int d, const float *w, const float *bias, int64_t n_neurons,
                            int64_t block, int64_t k, float *z, float *values, int32_t *ids) noexcept nogil:
    cdef float one = 1.0
    cdef int64_t part, first, i
    cdef int size
    for part in range((n_neurons + block - 1) // block):
        first = part * block
        size = <int>min(block, n_neurons - first)
        for i in range(n):
            copy_row(bias + first, size, z + i * size)
        sgemm(b"T", b"N", &size, &n, &d, &one, <float *>w + first * d, &d, <float *>x, &d, &one, z, &size)
        for i in range(n):
            scan_row(z + i * size, size, <int32_t>first, k, values + i * k, ids + i * k)


cdef inline void copy_row(const float *source, int64_t n, float *out) noexcept nogil:
    cdef int64_t j
    for j in range(n):
        out[j] = source[j]


def topk_rows(const float[:, ::1] x, const float[:, ::1] W, const float[::1] bias, int64_t chunk, int64_t block,
              float[:, ::1] scratch, float[:, ::1] values, int32_t[:, ::1] ids, int threads):
    """The k neurons of largest x . W + bias for each row; ids must come in as -1. Ties go to the smaller id.

    scratch is threads x (chunk * block).
    """
    cdef int64_t n = x.shape[0], n_chunks = (n + chunk - 1) // chunk, c, low
    for c in prange(n_chunks, nogil=True, num_threads=threads, schedule="dynamic"):
        low = c * chunk
        topk_chunk(&x[low, 0], <int>min(chunk, n - low), <int>x.shape[1], &W[0, 0], &bias[0], W.shape[0], block,
                   values.shape[1], &scratch[threadid(), 0], &values[low, 0], &ids[low, 0])


def topk_active(const int64_t[::1] indptr, const int32_t[::1] active, const float[:, ::1] z, float[:, ::1] values,
                int32_t[:, ::1] ids, int threads):
    """The same among each row's active neurons (one lane: a group is a row); what is missing stays -1."""
    cdef int64_t i, a
    for i in prange(values.shape[0], nogil=True, num_threads=threads, schedule="dynamic"):
        for a in range(indptr[i], indptr[i + 1]):
            insert_row(z[a, 0], active[a], values.shape[1], &values[i, 0], &ids[i, 0])
