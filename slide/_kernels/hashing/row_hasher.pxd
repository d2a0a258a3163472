# What a compiled hash family of one's own implements: cimport it as `from slide.hashing cimport RowHasher`.
from libc.stdint cimport uint32_t


cdef enum:
    BLOCK_ROWS = 16


cdef class RowHasher:
    cdef readonly Py_ssize_t dim, L, scratch

    cdef void hash_block(
        self, const float *rows, Py_ssize_t n, uint32_t *codes, char *scratch
    ) noexcept nogil
