"""Ranged codes: a bound on each row's logits, and which tables hold a row of that bound."""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint32_t

from slide._kernels.hashing.shared cimport Codes, HashInput, codes_of, hash_input, row_at
from slide._kernels.simd.vec cimport ops

cdef uint32_t ABSENT = 0xFFFFFFFF  # see tables.pyx


def bound_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const float[::1] mean, const float[::1] variance, float errors,
    float[::1] out, int threads
):
    """out[i] = row . mean + errors * sqrt(row**2 . variance), of the rows `ids` of rows (n, dim), None for all."""
    cdef HashInput source = hash_input(rows, ids)
    cdef Py_ssize_t i
    for i in prange(source.n, nogil=True, schedule="static", num_threads=threads):
        out[i] = ops.row_bound(row_at(&source, i), &mean[0], &variance[0], source.dim, errors)


cdef inline void spread(const int32_t *places, const float *bounds, Py_ssize_t n_held, const uint32_t *held,
                        float least, int32_t bits, uint32_t *code, Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        code[i * stride] = ABSENT
    for i in range(n_held):
        code[places[i] * stride] = held[i] >> bits << bits if bounds[i] >= least else ABSENT


def range_rows(
    const int32_t[::1] places, const float[::1] bounds, const uint32_t[:, ::1] held, const float[::1] least,
    const int32_t[::1] bits, uint32_t[:, :] codes, int threads
):
    """codes (n, tables), of any strides: ABSENT, but of the rows `places` whose bounds are least[t] or more.

    Row places[i] has bounds[i] and, in table t, held[t, i] without its lowest bits[t] bits.
    """
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t table, n = codes.shape[0], n_held = places.shape[0]
    cdef const int32_t *where = &places[0] if n_held else NULL
    cdef const float *bound = &bounds[0] if n_held else NULL
    cdef const uint32_t *values = &held[0, 0] if n_held else NULL
    for table in prange(codes.shape[1], nogil=True, schedule="dynamic", num_threads=threads):
        if out.row == 1:  # known to the compiler, which then writes whole lines
            spread(where, bound, n_held, values + table * n_held, least[table], bits[table],
                   out.values + table * out.table, 1, n)
        else:
            spread(where, bound, n_held, values + table * n_held, least[table], bits[table],
                   out.values + table * out.table, out.row, n)
