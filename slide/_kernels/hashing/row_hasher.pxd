# distutils: extra_compile_args=-DCYTHON_USE_TYPE_SPECS=1
# Types are made at run time: wheels of the stable ABI have no others, and a static type must not come of one of them.
# What a compiled hash family of one's own implements: cimport it as `from slide.hashing cimport RowHasher`.
from libc.stdint cimport uint32_t


cdef enum:
    BLOCK_ROWS = 16


cdef class RowHasher:
    cdef readonly Py_ssize_t dim, L, scratch

    cdef void hash_block(
        self, const float *rows, Py_ssize_t n, uint32_t *codes, char *scratch
    ) noexcept nogil
