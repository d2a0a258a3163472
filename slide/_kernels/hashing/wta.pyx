"""Winner-take-all codes, plain and densified: which coordinate of a bin is the largest."""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from slide._kernels.hashing.shared cimport (
    Codes, HashInput, codes_of, densify_lanes, densify_row, gather_block, hash_input, store_codes
)
from slide._kernels.simd.vec cimport N_LANES, ops


cdef struct Bins:
    # (K L, width) coordinates; a code holds K positions of `bits` bits.
    const int32_t *values
    Py_ssize_t width
    Py_ssize_t K
    Py_ssize_t L
    int bits


cdef Bins bins_of(const int32_t[:, ::1] values, Py_ssize_t K, Py_ssize_t L, int bits) noexcept:
    cdef Bins bins
    bins.values, bins.width, bins.K, bins.L, bins.bits = &values[0, 0], values.shape[1], K, L, bits
    return bins


def wta_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const int32_t[:, ::1] bins, Py_ssize_t K, int bits,
    uint32_t[:, :] codes, float[:, ::1] blocks, uint32_t[:, ::1] lanes, int threads
):
    """Codes of the rows `ids`, None for all, in the first tables: as many as codes has columns.

    blocks: (threads, 16 dim), lanes: (threads, 16 L), 64-byte aligned.
    """
    cdef HashInput source = hash_input(rows, ids)
    cdef Codes out = codes_of(codes)
    cdef Bins cut = bins_of(bins, K, codes.shape[1], bits)
    cdef Py_ssize_t block
    for block in prange((source.n + N_LANES - 1) // N_LANES, nogil=True, schedule="guided", num_threads=threads):
        wta_block(&source, block * N_LANES, &cut, &out, &blocks[threadid(), 0], &lanes[threadid(), 0])


cdef void wta_block(
    const HashInput *rows, Py_ssize_t first, const Bins *bins, const Codes *codes, float *block,
    uint32_t *lanes
) noexcept nogil:
    cdef Py_ssize_t n_rows = gather_block(rows, first, 1, block)
    ops.block_wta(block, bins.values, bins.width, bins.K, bins.L, bins.bits, 0, NULL, lanes)
    store_codes(lanes, n_rows, bins.L, codes, first)


def wta_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, Py_ssize_t dim,
    const int32_t[:, ::1] bins, Py_ssize_t K, int bits, uint32_t[:, ::1] codes, float[:, ::1] blocks,
    uint32_t[:, ::1] lanes, int threads
):
    """Scratch as for `wta_rows`."""
    cdef Codes out = codes_of(codes)
    cdef Bins cut = bins_of(bins, K, codes.shape[1], bits)
    cdef Py_ssize_t n = indptr.shape[0] - 1, block, n_rows
    cdef int me
    for block in prange((n + N_LANES - 1) // N_LANES, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        n_rows = min(<Py_ssize_t>N_LANES, n - block * N_LANES)
        fill_csr_block(&indptr[block * N_LANES], &ids[0], &values[0], n_rows, dim, &blocks[me, 0])
        ops.block_wta(&blocks[me, 0], cut.values, cut.width, K, cut.L, bits, 0, NULL, &lanes[me, 0])
        store_codes(&lanes[me, 0], n_rows, cut.L, &out, block * N_LANES)


cdef void fill_csr_block(
    const int64_t *indptr, const int32_t *ids, const float *values, Py_ssize_t n_rows, Py_ssize_t dim,
    float *block
) noexcept nogil:
    cdef Py_ssize_t lane, i
    for i in range(dim * N_LANES):
        block[i] = 0
    for lane in range(n_rows):
        for i in range(indptr[lane], indptr[lane + 1]):
            block[ids[i] * <Py_ssize_t>N_LANES + lane] = values[i]


def dwta_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const int32_t[:, ::1] bins, Py_ssize_t K, int bits,
    uint64_t a, uint64_t b, uint32_t[:, :] codes, float[:, ::1] blocks, uint32_t[:, ::1] lanes,
    int32_t[:, ::1] positions, int threads
):
    """Arguments as for `wta_rows`; positions: (threads, 16 K L), 64-byte aligned."""
    cdef HashInput source = hash_input(rows, ids)
    cdef Codes out = codes_of(codes)
    cdef Bins cut = bins_of(bins, K, bins.shape[0] // K, bits)
    cdef Py_ssize_t block, tables = codes.shape[1]
    cdef int me
    for block in prange((source.n + N_LANES - 1) // N_LANES, nogil=True, schedule="guided", num_threads=threads):
        me = threadid()
        dwta_block(&source, block * N_LANES, &cut, tables, a, b, &out, &blocks[me, 0], &lanes[me, 0],
                   &positions[me, 0])


cdef void dwta_block(
    const HashInput *rows, Py_ssize_t first, const Bins *bins, Py_ssize_t tables, uint64_t a,
    uint64_t b, const Codes *codes, float *block, uint32_t *lanes, int32_t *positions
) noexcept nogil:
    cdef Py_ssize_t n_rows = gather_block(rows, first, 1, block)
    # Only where a coordinate is absent can a bin be empty, and borrow from one of any table: rows of weights seldom
    # need their positions.
    cdef bint sparse = ops.block_hide_zeros(block, rows.dim)
    cdef Py_ssize_t L = bins.L if sparse else tables
    ops.block_wta(block, bins.values, bins.width, bins.K, L, bins.bits, -1, positions if sparse else NULL, lanes)
    if sparse:
        densify_lanes(positions, n_rows, bins.K, bins.L, bins.bits, a, b, lanes)
    store_codes(lanes, n_rows, tables, codes, first)


cdef void dwta_csr_row(
    const int32_t *ids, const float *values, Py_ssize_t nnz, const int64_t *slots,
    Py_ssize_t n_permutations, int slot_bits, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b,
    float *best, int32_t *positions, const Codes *codes, Py_ssize_t row
) noexcept nogil:
    """slots: (dim, permutations), entries bin << slot_bits | position, or -1 outside every bin."""
    cdef Py_ssize_t i, p, bin_
    cdef int64_t slot
    cdef int32_t position
    cdef float value
    for i in range(K * L):
        best[i] = -INFINITY
        positions[i] = -1
    for i in range(nnz):
        value = values[i]
        if value == 0 or not value > -INFINITY:
            continue
        for p in range(n_permutations):
            slot = slots[ids[i] * n_permutations + p]
            if slot < 0:
                continue
            bin_ = slot >> slot_bits
            position = <int32_t>(slot & ((<int64_t>1 << slot_bits) - 1))
            if value > best[bin_] or (value == best[bin_] and position < positions[bin_]):
                best[bin_] = value
                positions[bin_] = position
    densify_row(positions, K, L, bits, a, b, codes, row)


def dwta_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const int64_t[:, ::1] slots,
    int slot_bits, Py_ssize_t K, int bits, uint64_t a, uint64_t b, uint32_t[:, ::1] codes, float[:, ::1] best,
    int32_t[:, ::1] positions, int threads
):
    """best and positions: (threads, K L)."""
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t row
    cdef int me
    for row in prange(indptr.shape[0] - 1, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        dwta_csr_row(
            &ids[0] + indptr[row], &values[0] + indptr[row], indptr[row + 1] - indptr[row], &slots[0, 0],
            slots.shape[1], slot_bits, K, codes.shape[1], bits, a, b, &best[me, 0], &positions[me, 0],
            &out, row
        )
