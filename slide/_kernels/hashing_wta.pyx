"""Winner-take-all codes, plain and densified: which coordinate of a bin is the largest."""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from slide._kernels.hashing cimport LANES, densify_row, fill_block, hide_zeros, store_codes, wta_lanes


cdef void fill_csr_block(
    const int64_t *indptr, const int32_t *ids, const float *values, Py_ssize_t live, Py_ssize_t dim,
    float *block
) noexcept nogil:
    cdef Py_ssize_t lane, i
    for i in range(dim * LANES):
        block[i] = 0
    for lane in range(live):
        for i in range(indptr[lane], indptr[lane + 1]):
            block[ids[i] * <Py_ssize_t>LANES + lane] = values[i]


def wta_rows(
    const float[:, ::1] rows, const int32_t[:, ::1] bins, Py_ssize_t K, int bits, uint32_t[:, ::1] codes,
    float[:, ::1] blocks, int32_t[:, ::1] positions, uint32_t[:, ::1] lanes, int threads
):
    """blocks: (threads, 16 dim), positions: (threads, 16 K L), lanes: (threads, 16 L), 64-byte aligned."""
    cdef Py_ssize_t n = rows.shape[0], dim = rows.shape[1], L = codes.shape[1]
    cdef Py_ssize_t block, first, live
    cdef int me
    for block in prange((n + LANES - 1) // LANES, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        first = block * LANES
        live = min(<Py_ssize_t>LANES, n - first)
        fill_block(&rows[first, 0], live, dim, 1, &blocks[me, 0])
        wta_lanes(
            &blocks[me, 0], &bins[0, 0], bins.shape[1], K, L, bits, 0, &positions[me, 0], &lanes[me, 0]
        )
        store_codes(&lanes[me, 0], live, L, &codes[first, 0])


def wta_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, Py_ssize_t dim,
    const int32_t[:, ::1] bins, Py_ssize_t K, int bits, uint32_t[:, ::1] codes,
    float[:, ::1] blocks, int32_t[:, ::1] positions, uint32_t[:, ::1] lanes, int threads
):
    """Scratch as for `wta_rows`."""
    cdef Py_ssize_t n = indptr.shape[0] - 1, L = codes.shape[1]
    cdef Py_ssize_t block, first, live
    cdef int me
    for block in prange((n + LANES - 1) // LANES, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        first = block * LANES
        live = min(<Py_ssize_t>LANES, n - first)
        fill_csr_block(&indptr[first], &ids[0], &values[0], live, dim, &blocks[me, 0])
        wta_lanes(
            &blocks[me, 0], &bins[0, 0], bins.shape[1], K, L, bits, 0, &positions[me, 0], &lanes[me, 0]
        )
        store_codes(&lanes[me, 0], live, L, &codes[first, 0])


def dwta_rows(
    const float[:, ::1] rows, const int32_t[:, ::1] bins, Py_ssize_t K, int bits, uint64_t a, uint64_t b,
    uint32_t[:, ::1] codes, float[:, ::1] blocks, int32_t[:, ::1] positions, uint32_t[:, ::1] lanes,
    int threads
):
    """Scratch as for `wta_rows`."""
    cdef Py_ssize_t n = rows.shape[0], dim = rows.shape[1], L = codes.shape[1]
    cdef Py_ssize_t block, first, live, lane
    cdef int me
    for block in prange((n + LANES - 1) // LANES, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        first = block * LANES
        live = min(<Py_ssize_t>LANES, n - first)
        fill_block(&rows[first, 0], live, dim, 1, &blocks[me, 0])
        hide_zeros(dim, &blocks[me, 0])
        if wta_lanes(
            &blocks[me, 0], &bins[0, 0], bins.shape[1], K, L, bits, -1, &positions[me, 0], &lanes[me, 0]
        ):
            for lane in range(live):
                densify_row(&positions[me, lane], LANES, K, L, bits, a, b, &codes[first + lane, 0])
        else:
            store_codes(&lanes[me, 0], live, L, &codes[first, 0])


cdef void dwta_csr_row(
    const int32_t *ids, const float *values, Py_ssize_t nnz, const int64_t *slots,
    Py_ssize_t n_permutations, int slot_bits, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b,
    float *best, int32_t *positions, uint32_t *codes
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
    densify_row(positions, 1, K, L, bits, a, b, codes)


def dwta_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const int64_t[:, ::1] slots,
    int slot_bits, Py_ssize_t K, int bits, uint64_t a, uint64_t b, uint32_t[:, ::1] codes, float[:, ::1] best,
    int32_t[:, ::1] positions, int threads
):
    """best and positions: (threads, K L)."""
    cdef Py_ssize_t row
    cdef int me
    for row in prange(indptr.shape[0] - 1, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        dwta_csr_row(
            &ids[0] + indptr[row], &values[0] + indptr[row], indptr[row + 1] - indptr[row], &slots[0, 0],
            slots.shape[1], slot_bits, K, codes.shape[1], bits, a, b, &best[me, 0], &positions[me, 0],
            &codes[row, 0]
        )
