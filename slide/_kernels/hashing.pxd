# What the hash kernels share: blocks of sixteen rows, and bins that borrow.
from libc.stdint cimport int32_t, uint32_t, uint64_t

from slide._kernels.rng cimport below


cdef extern from "hashing_lanes.h" nogil:
    enum:
        LANES
    void fill_block(const float *rows, Py_ssize_t live, Py_ssize_t dim, Py_ssize_t step, float *block)
    void negate_block(Py_ssize_t dim, float *block)
    void hide_zeros(Py_ssize_t dim, float *block)
    void simhash_lanes(
        const float *block, const int32_t *terms, Py_ssize_t n_terms, Py_ssize_t K, Py_ssize_t L,
        uint32_t *codes)
    bint wta_lanes(
        const float *block, const int32_t *bins, Py_ssize_t width, Py_ssize_t K, Py_ssize_t L, int bits,
        int32_t nobody, int32_t *positions, uint32_t *codes)


cdef enum:
    ATTEMPTS = 64


cdef inline Py_ssize_t lender(
    const int32_t *positions, Py_ssize_t stride, Py_ssize_t n_bins, Py_ssize_t empty, uint64_t a, uint64_t b
) noexcept nogil:
    """The filled bin that `empty` borrows from, or -1: a walk by multiply-add-shift of (bin, attempt)."""
    cdef Py_ssize_t attempt, _step, candidate = 0
    for attempt in range(ATTEMPTS):
        candidate = below(a * <uint64_t>(empty * ATTEMPTS + attempt) + b, <uint32_t>n_bins)
        if positions[candidate * stride] >= 0:
            return candidate
    # So few bins are filled that chance takes long: walk on, bin by bin.
    for _step in range(n_bins):
        candidate = candidate + 1 if candidate + 1 < n_bins else 0
        if positions[candidate * stride] >= 0:
            return candidate
    return -1


cdef inline void densify_row(
    const int32_t *positions, Py_ssize_t stride, Py_ssize_t K, Py_ssize_t L, int bits,
    uint64_t a, uint64_t b, uint32_t *codes
) noexcept nogil:
    """Packs a row's codes; an empty bin (negative) borrows, and a row with no filled bin codes as 0."""
    cdef Py_ssize_t table, k, hash_, source
    cdef uint32_t code
    cdef bint barren = False
    for table in range(L):
        code = 0
        for k in range(K):
            hash_ = table * K + k
            source = hash_
            if positions[hash_ * stride] < 0 and not barren:
                source = lender(positions, stride, K * L, hash_, a, b)
                barren = source < 0
            code = (code << bits) | (0 if barren else <uint32_t>positions[source * stride])
        codes[table] = code


cdef inline void store_codes(
    const uint32_t *lanes, Py_ssize_t live, Py_ssize_t L, uint32_t *codes
) noexcept nogil:
    """(L, 16) codes of a block to `live` rows of L codes."""
    cdef Py_ssize_t lane, table
    for lane in range(live):
        for table in range(L):
            codes[lane * L + table] = lanes[table * LANES + lane]
