"""Signs of sums of a few random coordinates: a hash family for slide, compiled outside of it.

    pip install --no-build-isolation examples/my_hash  # see setup.py
    python -m slide train ... --hash my_hash:MyHash

It is SimHash with projections drawn in another way. Sixteen rows lie side by side, and one vector operation adds a
coordinate of eight of them: with AVX2 about as fast as slide's own, which has a wider build for AVX-512 besides.
"""
import numpy as np

from slide.hashing import HashFamily, SimHash

from libc.stdint cimport int32_t, uint32_t

from slide.hashing cimport RowHasher
from slide.hashing.lanes cimport LANES, fill_block

cdef extern from *:
    """
    #include "hashing_lanes.h"

    /* Four sums at a time, so that the additions need not wait for each other. A coordinate has LANES floats twice in
     * the block: itself, and negated. terms: (hashes / 4, n_terms, 4) places of such; codes: (L, LANES). */
    SLIDE_CLONES static void sign_codes(float *block, ptrdiff_t dim, const int32_t *terms, ptrdiff_t n_terms,
                                        ptrdiff_t K, ptrdiff_t L, uint32_t *codes)
    {
        const lanes_f *vectors = (const lanes_f *)block;
        const lanes_f zero = {0};
        lanes_u *out = (lanes_u *)codes, code[VECTORS] = {{0}};
        ptrdiff_t bit = 0;
        for (ptrdiff_t j = 0; j < dim; j++)
            for (int lane = 0; lane < LANES; lane++) block[(2 * j + 1) * LANES + lane] = -block[2 * j * LANES + lane];
        for (ptrdiff_t hash = 0; hash < K * L; hash += 4) {
            lanes_f sums[4][VECTORS] = {{{0}}};
            for (ptrdiff_t i = 0; i < n_terms; i++, terms += 4)
                for (int s = 0; s < 4; s++)
                    for (int v = 0; v < VECTORS; v++) sums[s][v] += vectors[(ptrdiff_t)terms[s] * VECTORS + v];
            for (int s = 0; s < 4 && hash + s < K * L; s++) {
                for (int v = 0; v < VECTORS; v++) code[v] = code[v] + code[v] - (lanes_u)(sums[s][v] > zero);
                if (++bit < K) continue;
                bit = 0;
                for (int v = 0; v < VECTORS; v++) {
                    *out++ = code[v];
                    code[v] ^= code[v];
                }
            }
        }
    }
    """
    void sign_codes(
        float *block, Py_ssize_t dim, const int32_t *terms, Py_ssize_t n_terms, Py_ssize_t K, Py_ssize_t L,
        uint32_t *codes
    ) noexcept nogil


cdef class SignHasher(RowHasher):
    cdef const int32_t[:, :, ::1] terms
    cdef Py_ssize_t K

    def __init__(self, dim, K, L, terms):
        # A block of sixteen rows, each coordinate twice, and its codes.
        super().__init__(dim, L, scratch=4 * LANES * (2 * dim + L))
        self.K = K
        self.terms = terms

    cdef void hash_block(self, const float *rows, Py_ssize_t n, uint32_t *codes, char *scratch) noexcept nogil:
        cdef float *block = <float *>scratch
        cdef uint32_t *lanes = <uint32_t *>(block + 2 * LANES * self.dim)
        cdef Py_ssize_t row, table
        fill_block(rows, n, self.dim, 2, block)
        sign_codes(block, self.dim, &self.terms[0, 0, 0], self.terms.shape[1], self.K, self.L, lanes)
        for row in range(n):
            for table in range(self.L):
                codes[row * self.L + table] = lanes[table * LANES + row]


class MyHash(HashFamily):
    """A bit a hash: is the sum of a third of the coordinates, each with a random sign, above 0? Follows the cosine."""

    bits_per_hash = 1

    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, seed)
        rng = np.random.default_rng(seed)
        n_terms, n_hashes = max(1, round(dim / 3)), -(-K * L // 4) * 4
        columns = np.array([np.sort(rng.permutation(dim)[:n_terms]) for _ in range(n_hashes)])
        self.places = 2 * columns + rng.integers(0, 2, columns.shape)
        terms = self.places.reshape(-1, 4, n_terms).transpose(0, 2, 1)
        self.hasher = SignHasher(dim, K, L, np.ascontiguousarray(terms, np.int32))

    def codes_reference(self, rows):
        rows = self.dense(rows)
        both = np.stack([rows, -rows], axis=2).reshape(len(rows), -1)
        sums = np.zeros((len(rows), self.K * self.L), np.float32)
        for i in range(self.places.shape[1]):
            sums += both[:, self.places[: self.K * self.L, i]]
        return self.pack(sums > 0)

    similarity = SimHash.similarity
    collision_probability = SimHash.collision_probability
