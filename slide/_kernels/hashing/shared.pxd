# What the hash kernels share: blocks of rows side by side, and bins that borrow.
from libc.stdint cimport int32_t, uint32_t, uint64_t

from slide._kernels.rng cimport below


cdef extern from "hashing_impl.h" nogil:
    enum:
        LANES
        SUMS

    ctypedef struct HashOps "slide_hash_ops":
        void (*fill)(const float *const *, Py_ssize_t, Py_ssize_t, float *) noexcept nogil
        void (*negate)(Py_ssize_t, float *) noexcept nogil
        bint (*hide_zeros)(Py_ssize_t, float *) noexcept nogil
        void (*simhash)(const float *, const int32_t *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                        uint32_t *) noexcept nogil
        void (*wta)(const float *, const int32_t *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, int32_t,
                    int32_t *, uint32_t *) noexcept nogil

    const HashOps *slide_find_hash_ops(const char *set)


cdef extern from *:
    """
    #if defined(__GNUC__)
    #define SLIDE_PREFETCH_ROW(address) __builtin_prefetch((const void *)(address), 0, 3)
    #else
    #define SLIDE_PREFETCH_ROW(address) ((void)0)
    #endif
    """
    void SLIDE_PREFETCH_ROW(const void *address) noexcept nogil


cdef enum:
    ATTEMPTS = 64


cdef struct Rows:
    # Dense rows (., dim); `ids` names n of them, NULL for the first n in order.
    const float *values
    const int32_t *ids
    Py_ssize_t n
    Py_ssize_t dim


cdef struct Codes:
    # Where the code of row i in table t goes: values[i * row + t * table].
    uint32_t *values
    Py_ssize_t row
    Py_ssize_t table


cdef inline Rows rows_of(const float[:, ::1] values, const int32_t[::1] ids) noexcept:
    cdef Rows rows
    rows.values, rows.ids = &values[0, 0], NULL
    rows.n, rows.dim = values.shape[0], values.shape[1]
    if ids is not None:
        rows.ids, rows.n = &ids[0], ids.shape[0]
    return rows


cdef inline Codes codes_of(uint32_t[:, :] values) noexcept:
    cdef Codes codes
    codes.values = &values[0, 0]
    codes.row, codes.table = values.strides[0] // 4, values.strides[1] // 4
    return codes


cdef inline const float *row_at(const Rows *rows, Py_ssize_t i) noexcept nogil:
    return rows.values + rows.dim * (i if rows.ids == NULL else rows.ids[i])


cdef inline Py_ssize_t fill_block(
    const HashOps *ops, const Rows *rows, Py_ssize_t first, Py_ssize_t step, float *block
) noexcept nogil:
    """Rows first, first + 1, ... side by side, the last one again where there are too few; returns how many."""
    cdef Py_ssize_t live = min(<Py_ssize_t>LANES, rows.n - first), lane, j
    cdef const float *lanes[LANES]
    cdef const float *ahead
    for lane in range(LANES):
        lanes[lane] = row_at(rows, first + min(lane, live - 1))
    ops.fill(lanes, rows.dim, step, block)
    for lane in range(LANES):
        ahead = row_at(rows, min(first + LANES + lane, rows.n - 1))
        for j in range(0, min(rows.dim, <Py_ssize_t>512), 16):
            SLIDE_PREFETCH_ROW(ahead + j)
    return live


cdef inline void store_codes(const uint32_t *lanes, Py_ssize_t live, Py_ssize_t L, const Codes *codes,
                             Py_ssize_t first) noexcept nogil:
    """(L, LANES) codes of a block to rows first, first + 1, ... of `codes`."""
    cdef Py_ssize_t lane, table
    cdef uint32_t *out = codes.values + first * codes.row
    if codes.row == 1 and live == LANES:
        for table in range(L):
            for lane in range(LANES):
                out[table * codes.table + lane] = lanes[table * LANES + lane]
        return
    for lane in range(live):
        for table in range(L):
            out[lane * codes.row + table * codes.table] = lanes[table * LANES + lane]


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


cdef inline uint32_t densify_table(
    const int32_t *positions, Py_ssize_t stride, Py_ssize_t K, Py_ssize_t L, Py_ssize_t table, int bits,
    uint64_t a, uint64_t b, bint *barren
) noexcept nogil:
    """A row's code in one table; an empty bin (negative) borrows, and a row with no filled bin codes as 0."""
    cdef Py_ssize_t hash_, source
    cdef uint32_t code = 0
    for hash_ in range(table * K, table * K + K):
        source = hash_
        if positions[hash_ * stride] < 0 and not barren[0]:
            source = lender(positions, stride, K * L, hash_, a, b)
            barren[0] = source < 0
        code = (code << bits) | (0 if barren[0] else <uint32_t>positions[source * stride])
    return code


cdef inline void densify_row(
    const int32_t *positions, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b, const Codes *codes,
    Py_ssize_t row
) noexcept nogil:
    """Packs a row's codes from its (K L,) positions."""
    cdef Py_ssize_t table
    cdef bint barren = False
    for table in range(L):
        codes.values[row * codes.row + table * codes.table] = densify_table(
            positions, 1, K, L, table, bits, a, b, &barren
        )


cdef inline void densify_lanes(
    const int32_t *positions, Py_ssize_t live, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b,
    uint32_t *lanes
) noexcept nogil:
    """Packs again those codes of a block, (L, LANES), whose highest bit says that a bin is empty."""
    cdef Py_ssize_t table, lane
    cdef bint barren
    for lane in range(live):
        barren = False
        for table in range(L):
            if lanes[table * LANES + lane] >> 31:
                lanes[table * LANES + lane] = densify_table(
                    positions + lane, LANES, K, L, table, bits, a, b, &barren
                )
