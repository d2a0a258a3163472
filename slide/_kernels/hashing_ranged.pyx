"""Ranged codes: a bound on each row's logits, and which tables hold a row of that bound."""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint32_t

from slide._kernels.hashing cimport Codes, Rows, codes_of, row_at, rows_of
from slide._kernels.vec cimport ops

cdef enum:
    BLOCK = 64


def bound_rows(
    const float[:, ::1] rows, const float[::1] mean, const float[::1] variance, float errors, float[::1] out,
    int threads
):
    """out[i] = row . mean + errors * sqrt(row**2 . variance), of rows (n, dim)."""
    cdef Py_ssize_t i, dim = rows.shape[1]
    for i in prange(rows.shape[0], nogil=True, schedule="static", num_threads=threads):
        out[i] = ops.row_bound(&rows[i, 0], &mean[0], &variance[0], dim, errors)


cdef inline void range_codes(uint32_t *code, Py_ssize_t stride, Py_ssize_t n, const float *bounds, float least,
                             int32_t bits) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        code[i * stride] = code[i * stride] >> bits << bits if bounds[i] >= least else 1


cdef void range_block(
    const Rows *rows, Py_ssize_t first, const float *mean, const float *variance, float errors, const float *least,
    const int32_t *bits, Py_ssize_t L, const Codes *codes
) noexcept nogil:
    cdef float bounds[BLOCK]
    cdef Py_ssize_t i, table, live = min(<Py_ssize_t>BLOCK, rows.n - first)
    cdef uint32_t *code
    for i in range(live):
        bounds[i] = ops.row_bound(row_at(rows, first + i), mean, variance, rows.dim, errors)
    for table in range(L):
        if bits[table] == 0:
            continue
        code = codes.values + first * codes.row + table * codes.table
        if codes.row == 1:  # known to the compiler, which then takes many at once
            range_codes(code, 1, live, bounds, least[table], bits[table])
        else:
            range_codes(code, codes.row, live, bounds, least[table], bits[table])


def range_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const float[::1] mean, const float[::1] variance, float errors,
    const float[::1] least, const int32_t[::1] bits, uint32_t[:, :] codes, int threads
):
    """Clears the lowest bits[t] bits of the codes of table t; those of rows with a bound below least[t] become 1.

    codes (n, L), of any strides, of the rows `ids`, None for all. Where bits[t] is 0 they stay as they are.
    """
    cdef Rows source = rows_of(rows, ids)
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t block, L = codes.shape[1]
    for block in prange((source.n + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads):
        range_block(&source, block * BLOCK, &mean[0], &variance[0], errors, &least[0], &bits[0], L, &out)
