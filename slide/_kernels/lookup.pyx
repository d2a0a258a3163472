"""The first layer on sparse input: for each sample a sum of weight rows, one row a feature.

In:   the samples as CSR rows; W (features x width), bias (width)
Out:  out (samples x width)
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from slide._kernels.transpose cimport PairsByRow, sort_pairs
from slide._kernels.simd.vec cimport ops

cdef enum:
    TASK_SAMPLES = 8  # that a thread takes at once

cdef struct Lookup:
    const int64_t *indptr
    const int32_t *ids
    const float *values
    const float *w
    const float *bias
    int64_t width
    int64_t n
    bint relu
    float *out


def lookup_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const float[:, ::1] W,
                const float[::1] bias, bint relu, float[:, ::1] out, int threads):
    """out[i] = bias + sum_k values[k] * W[ids[k]] over the entries k of CSR row i, then ReLU if asked."""
    cdef int64_t task
    cdef Lookup look
    if out.shape[0] == 0:
        return
    look = lookup_of(indptr, ids, values, W, bias, relu, out)
    for task in prange(n_tasks(&look), nogil=True, num_threads=threads, schedule="dynamic"):
        lookup_task(&look, task)


def lookup_and_sort_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
                         const float[:, ::1] W, const float[::1] bias, bint relu, float[:, ::1] out,
                         PairsByRow by_row, int threads):
    """As `lookup_rows`; meanwhile one thread sorts the entries for the update, as `transpose.transpose_rows` does.

    There is at least one entry.
    """
    cdef int64_t task
    cdef Lookup look = lookup_of(indptr, ids, values, W, bias, relu, out)
    for task in prange(-1, n_tasks(&look), nogil=True, num_threads=threads, schedule="dynamic"):
        if task < 0:
            sort_pairs(&indptr[0], look.n, &ids[0], W.shape[0], by_row)
        else:
            lookup_task(&look, task)


cdef Lookup lookup_of(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
                      const float[:, ::1] W, const float[::1] bias, bint relu, float[:, ::1] out) noexcept:
    cdef Lookup look
    look.indptr = &indptr[0]
    look.ids, look.values = (&ids[0] if ids.shape[0] else NULL), (&values[0] if ids.shape[0] else NULL)
    look.w, look.bias, look.width, look.relu = &W[0, 0], &bias[0], W.shape[1], relu
    look.n, look.out = out.shape[0], &out[0, 0]
    return look


cdef inline int64_t n_tasks(const Lookup *look) noexcept nogil:
    return (look.n + TASK_SAMPLES - 1) // TASK_SAMPLES


cdef inline void lookup_task(const Lookup *look, int64_t task) noexcept nogil:
    cdef int64_t i
    for i in range(task * TASK_SAMPLES, min((task + 1) * TASK_SAMPLES, look.n)):
        lookup_row(look, i)


cdef void lookup_row(const Lookup *look, int64_t i) noexcept nogil:
    cdef int64_t j, start = look.indptr[i]
    cdef float *out = look.out + i * look.width
    for j in range(look.width):
        out[j] = look.bias[j]
    ops.row_lookup(look.w, look.width, look.ids + start, look.values + start, look.indptr[i + 1] - start, out)
    if look.relu:
        for j in range(look.width):
            out[j] = max(out[j], <float>0.0)
