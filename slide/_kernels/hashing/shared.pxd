# What the hash kernels share: blocks of rows side by side, and densification: an empty bin borrows from a donor bin.
from libc.stdint cimport int32_t, uint32_t, uint64_t

from slide._kernels.prefetch cimport prefetch_read
from slide._kernels.rng cimport below, mix
from slide._kernels.simd.vec cimport N_LANES, ops


cdef enum:
    ATTEMPTS = 64             # random draws of a donor bin, then the next ones in order
    PREFETCHED_COLUMNS = 512  # of each row of the next block


cdef struct HashInput:
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


cdef inline HashInput hash_input(const float[:, ::1] values, const int32_t[::1] ids) noexcept:
    """The rows `ids` of `values`, all where ids is None."""
    cdef HashInput rows
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


cdef inline const float *row_at(const HashInput *rows, Py_ssize_t i) noexcept nogil:
    return rows.values + rows.dim * (i if rows.ids == NULL else rows.ids[i])


cdef inline Py_ssize_t gather_block(
    const HashInput *rows, Py_ssize_t first, Py_ssize_t step, float *block
) noexcept nogil:
    """Rows first, first + 1, ... side by side, the last one again where there are too few; returns how many.

    block: (dim, step, N_LANES), of which the first of each `step` is written.
    """
    cdef Py_ssize_t n_rows = min(<Py_ssize_t>N_LANES, rows.n - first), lane, j
    cdef const float *lanes[N_LANES]
    cdef const float *ahead
    for lane in range(N_LANES):
        lanes[lane] = row_at(rows, first + min(lane, n_rows - 1))
    ops.block_fill(lanes, rows.dim, step, block)
    for lane in range(N_LANES):
        ahead = row_at(rows, min(first + N_LANES + lane, rows.n - 1))
        for j in range(0, min(rows.dim, <Py_ssize_t>PREFETCHED_COLUMNS), 16):
            prefetch_read(ahead + j)
    return n_rows


cdef inline void store_codes(
    const uint32_t *lanes, Py_ssize_t n_rows, Py_ssize_t L, const Codes *codes, Py_ssize_t first
) noexcept nogil:
    """(L, N_LANES) codes of a block to rows first, first + 1, ... of `codes`."""
    cdef Py_ssize_t lane, table
    cdef uint32_t *out = codes.values + first * codes.row
    if codes.row == 1 and n_rows == N_LANES:
        for table in range(L):
            for lane in range(N_LANES):
                out[table * codes.table + lane] = lanes[table * N_LANES + lane]
        return
    for lane in range(n_rows):
        for table in range(L):
            out[lane * codes.row + table * codes.table] = lanes[table * N_LANES + lane]


cdef inline Py_ssize_t donor_bin(
    const int32_t *positions, Py_ssize_t stride, Py_ssize_t n_bins, Py_ssize_t empty, uint64_t a, uint64_t b
) noexcept nogil:
    """The filled bin that `empty` borrows from, or -1 if every bin is empty.

    Double hashing: a bin's walk has a start and a step of its own, of one mixed number. With a step for all bins, a
    and b of some seeds would lead them to the same few donors.
    """
    cdef uint64_t walk = mix(a * <uint64_t>empty + b), step = walk << 32
    cdef Py_ssize_t _attempt, _step, candidate = 0
    for _attempt in range(ATTEMPTS):
        candidate = below(walk, <uint32_t>n_bins)
        if positions[candidate * stride] >= 0:
            return candidate
        walk += step
    # So few bins are filled that random draws take long: on, bin by bin.
    for _step in range(n_bins):
        candidate = candidate + 1 if candidate + 1 < n_bins else 0
        if positions[candidate * stride] >= 0:
            return candidate
    return -1


cdef inline uint32_t densify_table(
    const int32_t *positions, Py_ssize_t stride, Py_ssize_t K, Py_ssize_t L, Py_ssize_t table, int bits,
    uint64_t a, uint64_t b, bint *all_empty
) noexcept nogil:
    """A row's code in one table: an empty bin (negative) borrows, and a row whose bins are all empty has code 0.

    all_empty is kept from table to table of a row, False for the first.
    """
    cdef Py_ssize_t hash_, source
    cdef uint32_t code = 0
    for hash_ in range(table * K, table * K + K):
        source = hash_
        if positions[hash_ * stride] < 0 and not all_empty[0]:
            source = donor_bin(positions, stride, K * L, hash_, a, b)
            all_empty[0] = source < 0
        code = (code << bits) | (0 if all_empty[0] else <uint32_t>positions[source * stride])
    return code


cdef inline void densify_row(
    const int32_t *positions, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b, const Codes *codes,
    Py_ssize_t row
) noexcept nogil:
    """Packs a row's codes from its (K L,) positions."""
    cdef Py_ssize_t table
    cdef bint all_empty = False
    for table in range(L):
        codes.values[row * codes.row + table * codes.table] = densify_table(
            positions, 1, K, L, table, bits, a, b, &all_empty
        )


cdef inline void densify_lanes(
    const int32_t *positions, Py_ssize_t n_rows, Py_ssize_t K, Py_ssize_t L, int bits, uint64_t a, uint64_t b,
    uint32_t *lanes
) noexcept nogil:
    """Packs again those codes of a block, (L, N_LANES), whose highest bit says that a bin is empty."""
    cdef Py_ssize_t table, lane
    cdef bint all_empty
    for lane in range(n_rows):
        all_empty = False
        for table in range(L):
            if lanes[table * N_LANES + lane] >> 31:
                lanes[table * N_LANES + lane] = densify_table(
                    positions + lane, N_LANES, K, L, table, bits, a, b, &all_empty
                )
