"""MinHash codes: a row's largest coordinates as a set, and the first member of the set in each bin."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from slide._kernels.hashing.shared cimport Codes, HashInput, codes_of, densify_row, hash_input, row_at


cdef inline uint64_t rank(float value, uint32_t coordinate) noexcept nogil:
    """Orders by value and, among equals, the lower coordinate above the higher one."""
    cdef uint32_t bits
    memcpy(&bits, &value, sizeof(bits))
    bits = ~bits if bits >> 31 else bits | <uint32_t>0x80000000
    return <uint64_t>bits << 32 | <uint32_t>~coordinate


cdef inline void sink(uint64_t *heap, Py_ssize_t n, uint64_t item) noexcept nogil:
    """Replaces the root, the smallest, of a binary heap by `item`."""
    cdef Py_ssize_t at = 0, child = 1
    while child < n:
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if item <= heap[child]:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = item


cdef inline void rise(uint64_t *heap, Py_ssize_t at, uint64_t item) noexcept nogil:
    while at > 0 and item < heap[(at - 1) >> 1]:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = item


cdef Py_ssize_t top_row(
    const int32_t *ids, const float *values, Py_ssize_t n, Py_ssize_t top_k, uint64_t *heap
) noexcept nogil:
    """Fills `heap` with the ranks of the top_k largest of n values, zeros and NaN left out; returns how many.

    ids: the values' coordinates, or NULL for 0..n-1.
    """
    cdef Py_ssize_t i, size = 0
    cdef uint64_t item
    for i in range(n):
        if values[i] == 0 or values[i] != values[i]:
            continue
        item = rank(values[i], <uint32_t>(i if ids == NULL else ids[i]))
        if size < top_k:
            rise(heap, size, item)
            size += 1
        elif item > heap[0]:
            sink(heap, top_k, item)
    return size


cdef void minhash_row(
    const uint64_t *members, Py_ssize_t n_members, const int64_t *slots, Py_ssize_t n_permutations,
    int slot_bits, const uint8_t *labels, Py_ssize_t width, Py_ssize_t K, Py_ssize_t L, int bits,
    uint64_t a, uint64_t b, int32_t *positions, const Codes *codes, Py_ssize_t at
) noexcept nogil:
    """members: ranks; slots as for `dwta_csr_row`; labels: (K L, width), the hash of each place."""
    cdef Py_ssize_t i, p, bin_
    cdef int64_t slot
    cdef int32_t position
    cdef const int64_t *row
    for i in range(K * L):
        positions[i] = -1
    for i in range(n_members):
        row = slots + n_permutations * <Py_ssize_t>(<uint32_t>~members[i])
        for p in range(n_permutations):
            slot = row[p]
            if slot < 0:
                continue
            bin_ = slot >> slot_bits
            position = <int32_t>(slot & ((<int64_t>1 << slot_bits) - 1))
            # As unsigned, the -1 of an empty bin is above every position.
            if <uint32_t>position < <uint32_t>positions[bin_]:
                positions[bin_] = position
    for i in range(K * L):
        if positions[i] >= 0:
            positions[i] = labels[i * width + positions[i]]
    densify_row(positions, K, L, bits, a, b, codes, at)


def minhash_rows(
    const float[:, ::1] rows, const int32_t[::1] ids, const int64_t[:, ::1] slots, int slot_bits,
    const uint8_t[:, ::1] labels, Py_ssize_t K, int bits, uint64_t a, uint64_t b, uint32_t[:, :] codes,
    uint64_t[:, ::1] heaps, int32_t[:, ::1] positions, int threads
):
    """Codes of the rows `ids`, None for all. heaps: (threads, top_k); positions: (threads, K L)."""
    cdef HashInput source = hash_input(rows, ids)
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t row, n_members
    cdef int me
    for row in prange(source.n, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        n_members = top_row(NULL, row_at(&source, row), source.dim, heaps.shape[1], &heaps[me, 0])
        minhash_row(
            &heaps[me, 0], n_members, &slots[0, 0], slots.shape[1], slot_bits, &labels[0, 0], labels.shape[1],
            K, codes.shape[1], bits, a, b, &positions[me, 0], &out, row
        )


def minhash_csr_rows(
    const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values, const int64_t[:, ::1] slots,
    int slot_bits, const uint8_t[:, ::1] labels, Py_ssize_t K, int bits, uint64_t a, uint64_t b,
    uint32_t[:, ::1] codes, uint64_t[:, ::1] heaps, int32_t[:, ::1] positions, int threads
):
    """Scratch as for `minhash_rows`."""
    cdef Codes out = codes_of(codes)
    cdef Py_ssize_t row, n_members
    cdef int me
    for row in prange(indptr.shape[0] - 1, nogil=True, schedule="static", num_threads=threads):
        me = threadid()
        n_members = top_row(
            &ids[0] + indptr[row], &values[0] + indptr[row], indptr[row + 1] - indptr[row], heaps.shape[1],
            &heaps[me, 0]
        )
        minhash_row(
            &heaps[me, 0], n_members, &slots[0, 0], slots.shape[1], slot_bits, &labels[0, 0], labels.shape[1],
            K, codes.shape[1], bits, a, b, &positions[me, 0], &out, row
        )
