"""The first layer on sparse input: a sum of weight rows, one row a feature."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from slide._kernels.vec cimport ops


cdef inline void lookup_row(const float *W, const float *bias, int64_t width, const int32_t *ids, const float *values,
                            int64_t n, bint relu, float *out) noexcept nogil:
    cdef int64_t j
    for j in range(width):
        out[j] = bias[j]
    ops.row_lookup(W, width, ids, values, n, out)
    if relu:
        for j in range(width):
            out[j] = max(out[j], <float>0.0)


def lookup_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const float[:, ::1] W,
                const float[::1] bias, bint relu, float[:, ::1] out, int threads):
    """out[i] = bias + sum_k values[k] * W[ids[k]] over the entries k of CSR row i, then ReLU if asked."""
    cdef int64_t i, start
    cdef const int32_t *first_id = &ids[0] if ids.shape[0] else NULL
    cdef const float *first_value = &values[0] if ids.shape[0] else NULL
    for i in prange(out.shape[0], nogil=True, num_threads=threads, schedule="dynamic", chunksize=8):
        start = indptr[i]
        lookup_row(&W[0, 0], &bias[0], W.shape[1], first_id + start, first_value + start, indptr[i + 1] - start, relu,
                   &out[i, 0])
