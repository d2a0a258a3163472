"""Cross-polytope codes: rotations by signs and Hadamard transforms, of sixteen rows at a time, through RowHasher."""
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from slide._kernels.hashing.lanes cimport LANES, fill_block
from slide._kernels.hashing.row_hasher cimport RowHasher
from slide._kernels.simd.vec cimport ops


cdef class CrossPolytopeHasher(RowHasher):
    """signs: (rotations, 3, size), +-1; size, a power of two, is at least dim and a multiple of width."""
    cdef const float[:, :, ::1] signs
    cdef Py_ssize_t K, width, bits

    def __init__(self, dim, K, L, width, bits, const float[:, :, ::1] signs):
        n_rotations, size = signs.shape[0], signs.shape[2]
        super().__init__(dim, L, scratch=4 * LANES * (dim + size + n_rotations * (size // width)))
        self.K, self.width, self.bits = K, width, bits
        self.signs = signs

    cdef void hash_block(self, const float *rows, Py_ssize_t n, uint32_t *codes, char *scratch) noexcept nogil:
        cdef Py_ssize_t row, table, k, r, size = self.signs.shape[2], n_pieces = size // self.width
        cdef float *block = <float *>scratch
        cdef float *rotated = block + LANES * self.dim
        cdef uint32_t *hashes = <uint32_t *>(rotated + LANES * size)
        cdef uint32_t code
        fill_block(rows, n, self.dim, 1, block)
        for r in range(self.signs.shape[0]):
            memcpy(rotated, block, sizeof(float) * LANES * self.dim)
            memset(rotated + LANES * self.dim, 0, sizeof(float) * LANES * (size - self.dim))
            ops.block_rotate(rotated, size, &self.signs[r, 0, 0])
            ops.block_nearest_vertex(rotated, n_pieces, self.width, hashes + r * n_pieces * LANES)
        for row in range(n):
            for table in range(self.L):
                code = 0
                for k in range(self.K):
                    code = (code << self.bits) | hashes[(table * self.K + k) * LANES + row]
                codes[row * self.L + table] = code
