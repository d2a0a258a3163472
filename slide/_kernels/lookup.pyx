"""The first layer on sparse input: a sum of weight rows, one row a feature."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint64_t

from slide._kernels.transpose cimport Plan, plan_in, sort_pairs
from slide._kernels.simd.vec cimport ops

cdef enum:
    BLOCK = 8  # samples that a thread takes at once

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


cdef Lookup lookup_of(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
                      const float[:, ::1] W, const float[::1] bias, bint relu, float[:, ::1] out) noexcept:
    cdef Lookup look
    look.indptr = &indptr[0]
    look.ids, look.values = (&ids[0] if ids.shape[0] else NULL), (&values[0] if ids.shape[0] else NULL)
    look.w, look.bias, look.width, look.relu = &W[0, 0], &bias[0], W.shape[1], relu
    look.n, look.out = out.shape[0], &out[0, 0]
    return look


cdef void lookup_row(const Lookup *look, int64_t i) noexcept nogil:
    cdef int64_t j, start = look.indptr[i]
    cdef float *out = look.out + i * look.width
    for j in range(look.width):
        out[j] = look.bias[j]
    ops.row_lookup(look.w, look.width, look.ids + start, look.values + start, look.indptr[i + 1] - start, out)
    if look.relu:
        for j in range(look.width):
            out[j] = max(out[j], <float>0.0)


cdef inline void lookup_block(const Lookup *look, int64_t block) noexcept nogil:
    cdef int64_t i
    for i in range(block * BLOCK, min((block + 1) * BLOCK, look.n)):
        lookup_row(look, i)


cdef inline int64_t n_blocks(const Lookup *look) noexcept nogil:
    return (look.n + BLOCK - 1) // BLOCK


def lookup_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const float[:, ::1] W,
                const float[::1] bias, bint relu, float[:, ::1] out, int threads):
    """out[i] = bias + sum_k values[k] * W[ids[k]] over the entries k of CSR row i, then ReLU if asked."""
    cdef int64_t block
    cdef Lookup look
    if out.shape[0] == 0:
        return
    look = lookup_of(indptr, ids, values, W, bias, relu, out)
    for block in prange(n_blocks(&look), nogil=True, num_threads=threads, schedule="dynamic"):
        lookup_block(&look, block)


def lookup_and_sort_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
                         const float[:, ::1] W, const float[::1] bias, bint relu, float[:, ::1] out,
                         uint64_t[:, ::1] keys, int32_t[::1] group_of, int64_t[::1] part_ptr,
                         int32_t[::1] n_touched, int32_t[:, ::1] touched, int32_t[:, ::1] pairs, int threads):
    """As `lookup_rows`; meanwhile one thread makes the plan of the rows' update, as `transpose.transpose_rows` does.

    There is at least one entry, and room for the plan.
    """
    cdef int64_t block
    cdef Lookup look = lookup_of(indptr, ids, values, W, bias, relu, out)
    cdef Plan plan = plan_in(part_ptr, n_touched, touched, pairs)
    for block in prange(-1, n_blocks(&look), nogil=True, num_threads=threads, schedule="dynamic"):
        if block < 0:
            sort_pairs(&indptr[0], look.n, &ids[0], W.shape[0], &keys[0, 0], &group_of[0], &plan)
        else:
            lookup_block(&look, block)
