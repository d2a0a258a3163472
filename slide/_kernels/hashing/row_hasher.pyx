"""Rows in, codes out, whatever the hash: the parallel loop around a RowHasher's one method."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

BLOCK = BLOCK_ROWS


cdef class RowHasher:
    """A compiled hash, to be subclassed in Cython: `hash_block` is all that it needs.

    dim, L : the width of a row, and codes a row; those of the family that has this `hasher`.
    scratch : bytes that `hash_block` gets to work in, 0 by default; every thread has its own, aligned to 64
        bytes, with any content.

    hash_block(rows, n, codes, scratch) writes the codes (n, L) of n rows (n, dim), 1 to 16 (BLOCK_ROWS) of
    them, both C-contiguous. It runs without the GIL on several threads at once: it may read the hasher's
    attributes, and write nothing but codes and scratch. Rows that lie sparse come as dense ones.
    """

    def __init__(self, Py_ssize_t dim, Py_ssize_t L, Py_ssize_t scratch=0):
        self.dim = dim
        self.L = L
        self.scratch = scratch

    def __repr__(self):
        return f"{type(self).__name__}(dim={self.dim}, L={self.L}, scratch={self.scratch})"

    cdef void hash_block(
        self, const float *rows, Py_ssize_t n, uint32_t *codes, char *scratch
    ) noexcept nogil:
        """Overridden; as it is here, every code is 0."""
        cdef Py_ssize_t i
        for i in range(n * self.L):
            codes[i] = 0


cdef void hash_part(
    RowHasher hasher, const float *rows, Py_ssize_t n, uint32_t *out, Py_ssize_t by_row, Py_ssize_t by_table,
    uint32_t *codes, char *scratch
) noexcept nogil:
    """The code of row i in table t to out[i * by_row + t * by_table]; codes: (16, L)."""
    cdef Py_ssize_t row, table
    hasher.hash_block(rows, n, codes, scratch)
    for table in range(hasher.L):
        for row in range(n):
            out[row * by_row + table * by_table] = codes[row * hasher.L + table]


def hash_rows(
    RowHasher hasher, const float[:, ::1] rows, uint32_t[:, :] out, uint32_t[:, ::1] codes,
    uint8_t[:, ::1] scratch, int threads
):
    """out (n, L), of any strides, of rows (n, dim); codes: (threads, 16 L); scratch: (threads, >= hasher.scratch)."""
    cdef Py_ssize_t block, first, n = rows.shape[0]
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS, nogil=True, schedule="guided", num_threads=threads):
        first = block * BLOCK_ROWS
        hash_part(
            hasher, &rows[first, 0], min(<Py_ssize_t>BLOCK_ROWS, n - first), &out[first, 0], out.strides[0] // 4,
            out.strides[1] // 4, &codes[threadid(), 0], <char *>&scratch[threadid(), 0]
        )


cdef inline void scatter(
    const int64_t *indptr, const int32_t *ids, const float *values, Py_ssize_t n, Py_ssize_t dim, bint clear,
    float *rows
) noexcept nogil:
    """Puts the values of n CSR rows into dense ones of zeros, or zeros in their place."""
    cdef Py_ssize_t row, i
    for row in range(n):
        for i in range(indptr[row], indptr[row + 1]):
            rows[row * dim + ids[i]] = 0 if clear else values[i]


def hash_csr_rows(
    RowHasher hasher, const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
    uint32_t[:, :] out, float[:, ::1] blocks, uint32_t[:, ::1] codes, uint8_t[:, ::1] scratch, int threads
):
    """out (n, L) of CSR rows that hold a value; blocks: (threads, 16 dim), zero before and after; else as above."""
    cdef Py_ssize_t block, first, live, n = out.shape[0]
    cdef int me
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        first = block * BLOCK_ROWS
        live = min(<Py_ssize_t>BLOCK_ROWS, n - first)
        scatter(&indptr[first], &ids[0], &values[0], live, hasher.dim, False, &blocks[me, 0])
        hash_part(
            hasher, &blocks[me, 0], live, &out[first, 0], out.strides[0] // 4, out.strides[1] // 4, &codes[me, 0],
            <char *>&scratch[me, 0]
        )
        scatter(&indptr[first], &ids[0], &values[0], live, hasher.dim, True, &blocks[me, 0])
