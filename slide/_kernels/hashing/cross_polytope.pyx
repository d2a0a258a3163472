"""Cross-polytope codes: rotations by signs and Hadamard transforms, of sixteen rows at a time, through RowHasher."""
from libc.stdint cimport uint32_t

from slide._kernels.hashing.row_hasher cimport RowHasher
from slide._kernels.hashing.lanes cimport LANES, fill_block

cdef extern from *:
    """
    #include <string.h>
    #include "hashing_lanes.h"

    /* hash of each piece of `width` coordinates: 2 * the place of the largest magnitude, + 1 where it is negative. */
    SLIDE_CLONES static void nearest_lanes(const float *block, ptrdiff_t n_pieces, ptrdiff_t width, uint32_t *hashes)
    {
        const lanes_f zero = {0};
        const lanes_f *x = (const lanes_f *)block;
        lanes_u *out = (lanes_u *)hashes;
        for (ptrdiff_t p = 0; p < n_pieces; p++, x += width * VECTORS)
            for (int v = 0; v < VECTORS; v++) {
                lanes_f best = zero;
                lanes_u hash = (lanes_u)zero;
                for (ptrdiff_t j = 0; j < width; j++) {
                    lanes_f value = x[j * VECTORS + v], size = (lanes_f)((lanes_u)value & 0x7fffffffu);
                    lanes_u better = (lanes_u)(size > best);
                    lanes_u here = (uint32_t)(2 * j) + ((lanes_u)(value < zero) & 1u);
                    best = (lanes_f)((better & (lanes_u)size) | (~better & (lanes_u)best));
                    hash = (better & here) | (~better & hash);
                }
                *out++ = hash;
            }
    }

    /* (sum, difference) in place of each two of n_pairs neighbouring stretches of `half` coordinates. */
    static inline __attribute__((always_inline)) void butterflies(lanes_f *x, ptrdiff_t n_pairs, ptrdiff_t half)
    {
        for (ptrdiff_t pair = 0; pair < n_pairs; pair++, x += 2 * half * VECTORS)
            for (ptrdiff_t i = 0; i < half * VECTORS; i++) {
                lanes_f a = x[i], b = x[i + half * VECTORS];
                x[i] = a + b;
                x[i + half * VECTORS] = a - b;
            }
    }

    /* Three rounds of signs (3, size) and a Walsh-Hadamard transform, in place. */
    SLIDE_CLONES static void rotate_lanes(float *block, ptrdiff_t size, const float *signs)
    {
        lanes_f *x = (lanes_f *)block;
        for (int round = 0; round < 3; round++, signs += size) {
            for (ptrdiff_t j = 0; j < size; j++)
                for (int v = 0; v < VECTORS; v++) x[j * VECTORS + v] *= signs[j];
            for (ptrdiff_t half = 1; half < size; half *= 2) butterflies(x, size / (2 * half), half);
        }
    }

    static void polytope_lanes(const float *block, ptrdiff_t dim, ptrdiff_t size, const float *signs,
                               ptrdiff_t n_rotations, ptrdiff_t width, float *work, uint32_t *hashes)
    {
        for (ptrdiff_t r = 0; r < n_rotations; r++, signs += 3 * size, hashes += size / width * LANES) {
            memcpy(work, block, sizeof(float) * LANES * dim);
            memset(work + LANES * dim, 0, sizeof(float) * LANES * (size - dim));
            rotate_lanes(work, size, signs);
            nearest_lanes(work, size / width, width, hashes);
        }
    }
    """
    void polytope_lanes(
        const float *block, Py_ssize_t dim, Py_ssize_t size, const float *signs, Py_ssize_t n_rotations,
        Py_ssize_t width, float *work, uint32_t *hashes
    ) noexcept nogil


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
        cdef Py_ssize_t row, table, k, size = self.signs.shape[2]
        cdef float *block = <float *>scratch
        cdef float *work = block + LANES * self.dim
        cdef uint32_t *hashes = <uint32_t *>(work + LANES * size)
        cdef uint32_t code
        fill_block(rows, n, self.dim, 1, block)
        polytope_lanes(
            block, self.dim, size, &self.signs[0, 0, 0], self.signs.shape[0], self.width, work, hashes
        )
        for row in range(n):
            for table in range(self.L):
                code = 0
                for k in range(self.K):
                    code = (code << self.bits) | hashes[(table * self.K + k) * LANES + row]
                codes[row * self.L + table] = code
