"""SimHash codes: the signs of sparse signed sums, over a block of dense rows at a time or a row's non-zeros."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint32_t

from slide._kernels.hashing.shared cimport Codes, HashInput, codes_of, gather_block, hash_input, store_codes
from slide._kernels.simd.vec cimport INTERLEAVED as N_INTERLEAVED, N_LANES, ops

INTERLEAVED = N_INTERLEAVED


def simhash_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const int32_t[:, :, ::1] terms, Py_ssize_t K,
    uint32_t[:, :] codes, float[:, ::1] blocks, uint32_t[:, ::1] lanes, int threads
):
    """Codes of the rows `ids`, None for all. terms: (ceil(K L / 8), n_terms, 8), entries 2 j + (sign < 0).

    blocks: (threads, 32 dim) and lanes: (threads, 16 L), rows aligned to 64 bytes.
    """
    cdef HashInput source = hash_input(rows, ids)
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t L = codes.shape[1], block
    for block in prange((source.n + N_LANES - 1) // N_LANES, nogil=True, schedule="guided", num_threads=threads):
        simhash_block(&source, block * N_LANES, &terms[0, 0, 0], terms.shape[1], K, L, &out,
                      &blocks[threadid(), 0], &lanes[threadid(), 0])


cdef void simhash_block(
    const HashInput *rows, Py_ssize_t first, const int32_t *terms, Py_ssize_t n_terms, Py_ssize_t K, Py_ssize_t L,
    const Codes *codes, float *block, uint32_t *lanes
) noexcept nogil:
    cdef Py_ssize_t n_rows = gather_block(rows, first, 2, block)
    ops.block_negate(block, rows.dim)
    ops.block_simhash(block, terms, n_terms, K, L, lanes)
    store_codes(lanes, n_rows, L, codes, first)


cdef void simhash_csr_row(
    const int32_t *ids, const float *values, Py_ssize_t nnz, const int64_t *starts,
    const int32_t *entries, Py_ssize_t K, Py_ssize_t L, float *sums, uint32_t *codes
) noexcept nogil:
    """entries: 2 * projection + (sign < 0), of coordinate j from starts[j] on; sums: (K L,) scratch."""
    cdef Py_ssize_t i, e, table, k
    cdef float value
    cdef uint32_t code
    for i in range(K * L):
        sums[i] = 0
    for i in range(nnz):
        value = values[i]
        for e in range(starts[ids[i]], starts[ids[i] + 1]):
            sums[entries[e] >> 1] += -value if entries[e] & 1 else value
    for table in range(L):
        code = 0
        for k in range(K):
            code = (code << 1) | <uint32_t>(sums[table * K + k] > 0)
        codes[table] = code


def simhash_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const int64_t[::1] starts,
    const int32_t[::1] entries, Py_ssize_t K, uint32_t[:, ::1] codes, float[:, ::1] sums, int threads
):
    """sums: (threads, K L)."""
    cdef Py_ssize_t row
    for row in prange(indptr.shape[0] - 1, nogil=True, schedule="static", num_threads=threads):
        simhash_csr_row(
            &ids[0] + indptr[row], &values[0] + indptr[row], indptr[row + 1] - indptr[row], &starts[0],
            &entries[0], K, codes.shape[1], &sums[threadid(), 0], &codes[row, 0]
        )
