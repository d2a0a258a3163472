"""Pairs by group -> pairs by row: for each row of weights, which groups wanted it.

A pair is one entry of an active set: group g wanted row ids[pair].
In:   active sets (indptr, ids)
Out:  PairsByRow
The pairs of one group are its rows already. Few pairs are sorted by one thread, many by all, which share them by parts
of the rows first. Pairs of a row keep their order either way.
"""

from cython.parallel cimport prange
from libc.string cimport memset

from slide._kernels.simd.vec cimport GRADIENT_ROWS

cdef enum:
    DIGIT = 10  # bits, at most, that are sorted by in one pass
    MOST_PASSES = 4

PARTS = N_PARTS
MIN_SHARED_PAIRS = 200_000  # fewer are sorted by one thread before others would wake up


cdef class PairsByRow:
    """The arrays that a transposition is written to, and room to sort in.

    part_ptr (PARTS + 1), n_touched (PARTS)
              part p, a unit of work, has the touched rows at part_ptr[p]:part_ptr[p] + n_touched[p]
    touched (3 x pairs)
              of a touched row: its id, where its pairs begin, how many there are
    pairs (2 x pairs)
              by row, the pair and its group
    keys (2 x pairs), group_of (pairs)
              scratch
    Rows of a part ascend where groups are several.
    """

    def __init__(self, part_ptr, n_touched, touched, pairs, keys, group_of):
        self.arrays = part_ptr, n_touched, touched, pairs, keys, group_of
        self.part_ptr, self.n_touched = part_ptr, n_touched
        self.rows, self.starts, self.counts = touched
        self.pair, self.group = pairs
        self.keys, self.group_of = keys, group_of

    def __reduce__(self):
        return type(self), self.arrays


def transpose_rows(const int64_t[::1] indptr, const int32_t[::1] ids, int64_t n_rows, PairsByRow by_row,
                   int32_t[:, ::1] cursors, int threads):
    """The pairs of n_rows rows of weights, into by_row. cursors (groups x PARTS) is scratch."""
    cdef int64_t n_groups = indptr.shape[0] - 1, n = ids.shape[0]
    if n == 0:
        by_row.n_touched[:] = 0
    elif n_groups == 1:
        keep_group(&ids[0], n, by_row)
    elif n < MIN_SHARED_PAIRS:
        sort_pairs(&indptr[0], n_groups, &ids[0], n_rows, by_row)
    else:
        sort_parts(indptr, ids, n_rows, by_row, cursors, threads)


cdef void keep_group(const int32_t *ids, int64_t n, PairsByRow by_row) noexcept nogil:
    """The pairs of one group are its rows, each once: in their order, coefficients lie side by side."""
    cdef int64_t k
    share_rows(n, GRADIENT_ROWS, by_row)
    for k in range(n):
        by_row.rows[k] = ids[k]
        by_row.starts[k] = <int32_t>k
        by_row.counts[k] = 1
        by_row.pair[k] = <int32_t>k
        by_row.group[k] = 0


cdef void share_rows(int64_t n_rows, int64_t multiple, PairsByRow by_row) noexcept nogil:
    """Parts of equally many of the first n_rows places, a multiple of `multiple` each."""
    cdef int64_t p, size = (n_rows + N_PARTS * multiple - 1) // (N_PARTS * multiple) * multiple
    for p in range(N_PARTS + 1):
        by_row.part_ptr[p] = min(p * size, n_rows)
    for p in range(N_PARTS):
        by_row.n_touched[p] = <int32_t>(by_row.part_ptr[p + 1] - by_row.part_ptr[p])


cdef void sort_pairs(const int64_t *indptr, int64_t n_groups, const int32_t *ids, int64_t n_rows,
                     PairsByRow by_row) noexcept nogil:
    """By one thread."""
    cdef int64_t g, k, n = indptr[n_groups]
    cdef uint64_t *keys = &by_row.keys[0, 0]
    cdef int32_t *group_of = &by_row.group_of[0]
    for g in range(n_groups):
        for k in range(indptr[g], indptr[g + 1]):
            keys[k] = key_of(ids[k], k)
            group_of[k] = <int32_t>g
    share_rows(list_rows(radix_sort(keys, keys + n, n, n_rows), 0, n, by_row), 1, by_row)


cdef inline uint64_t key_of(int32_t row, int64_t pair) noexcept nogil:
    return <uint64_t>row << 32 | <uint64_t>pair


cdef const uint64_t *radix_sort(uint64_t *keys, uint64_t *others, int64_t n, int64_t n_rows) noexcept nogil:
    """Sorts keys by their rows; returns where they are then, keys or others. Those of a row keep their order."""
    cdef int32_t place[MOST_PASSES][1 << DIGIT]
    cdef int64_t bits = bits_of(n_rows), passes = (bits + DIGIT - 1) // DIGIT, k, d
    cdef int64_t digit = (bits + passes - 1) // passes, p
    cdef uint64_t mask = (<uint64_t>1 << digit) - 1
    cdef int32_t count, total
    cdef uint64_t *swapped
    memset(place, 0, passes * sizeof(place[0]))
    for k in range(n):
        for p in range(passes):
            place[p][(keys[k] >> (32 + p * digit)) & mask] += 1
    for p in range(passes):
        total = 0
        for d in range(<int64_t>1 << digit):
            count = place[p][d]
            place[p][d] = total
            total += count
        for k in range(n):
            d = (keys[k] >> (32 + p * digit)) & mask
            others[place[p][d]] = keys[k]
            place[p][d] += 1
        swapped = keys
        keys = others
        others = swapped
    return keys


cdef int64_t bits_of(int64_t n) noexcept nogil:
    """Bits of the numbers below n."""
    cdef int64_t bits = 1
    while (<int64_t>1 << bits) < n:
        bits += 1
    return bits


cdef int64_t list_rows(const uint64_t *keys, int64_t low, int64_t n, PairsByRow by_row) noexcept nogil:
    """Rows and pairs of n sorted keys, from place `low` on; returns the number of rows."""
    cdef int32_t *rows = &by_row.rows[low]
    cdef int32_t *starts = &by_row.starts[low]
    cdef int32_t *counts = &by_row.counts[low]
    cdef int32_t *pairs = &by_row.pair[low]
    cdef int32_t *groups = &by_row.group[low]
    cdef const int32_t *group_of = &by_row.group_of[0]
    cdef int64_t k, at = -1
    cdef int32_t row, pair
    for k in range(n):
        row = <int32_t>(keys[k] >> 32)
        pair = <int32_t>keys[k]
        if k == 0 or row != rows[at]:
            at += 1
            rows[at] = row
            starts[at] = <int32_t>(low + k)
            counts[at] = 0
        counts[at] += 1
        pairs[k] = pair
        groups[k] = group_of[pair]
    return at + 1


cdef void sort_parts(const int64_t[::1] indptr, const int32_t[::1] ids, int64_t n_rows, PairsByRow by_row,
                     int32_t[:, ::1] cursors, int threads) noexcept:
    """By all threads: pairs are put into parts, and each part is sorted by one."""
    cdef int64_t n_groups = indptr.shape[0] - 1, n = ids.shape[0], g, p, low, size
    cdef uint64_t *keys = &by_row.keys[0, 0]
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        count_parts(&ids[0] + indptr[g], indptr[g + 1] - indptr[g], &cursors[g, 0])
    place_parts(cursors[:n_groups], by_row.part_ptr)
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        scatter_pairs(&ids[0] + indptr[g], indptr[g], indptr[g + 1] - indptr[g], <int32_t>g, &cursors[g, 0], by_row)
    for p in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        low = by_row.part_ptr[p]
        size = by_row.part_ptr[p + 1] - low
        by_row.n_touched[p] = <int32_t>list_rows(radix_sort(keys + low, keys + n + low, size, n_rows), low, size,
                                                 by_row)


cdef inline int64_t part_of(int32_t row) noexcept nogil:
    return (row >> 4) & (N_PARTS - 1)


cdef inline void count_parts(const int32_t *ids, int64_t n, int32_t *counts) noexcept nogil:
    """How many pairs of a group each part has."""
    cdef int64_t k
    for k in range(N_PARTS):
        counts[k] = 0
    for k in range(n):
        counts[part_of(ids[k])] += 1


cdef void place_parts(int32_t[:, ::1] cursors, int64_t[::1] part_ptr) noexcept nogil:
    """Counts (groups, PARTS) to the places at which each group's pairs of each part begin: parts, in them groups."""
    cdef int64_t g, p
    cdef int32_t count
    cdef int32_t next_place[N_PARTS]
    for p in range(N_PARTS + 1):
        part_ptr[p] = 0
    for g in range(cursors.shape[0]):
        for p in range(N_PARTS):
            part_ptr[p + 1] += cursors[g, p]
    for p in range(N_PARTS):
        part_ptr[p + 1] += part_ptr[p]
        next_place[p] = <int32_t>part_ptr[p]
    for g in range(cursors.shape[0]):
        for p in range(N_PARTS):
            count = cursors[g, p]
            cursors[g, p] = next_place[p]
            next_place[p] += count


cdef inline void scatter_pairs(const int32_t *ids, int64_t start, int64_t n, int32_t group, int32_t *cursor,
                               PairsByRow by_row) noexcept nogil:
    """A group's pairs, the first of them `start`, to their parts."""
    cdef int64_t k
    cdef uint64_t *keys = &by_row.keys[0, 0]
    cdef int32_t *group_of = &by_row.group_of[start]
    for k in range(n):
        keys[cursor[part_of(ids[k])]] = key_of(ids[k], start + k)
        cursor[part_of(ids[k])] += 1
        group_of[k] = group
