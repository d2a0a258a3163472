"""Pairs by group -> pairs by row: for each row of weights, which groups wanted it.

A pair is one entry of an active set: group g wanted row ids[pair]. Few pairs are sorted by one thread, many by all,
which share them by parts of the rows first. Pairs of a row keep their order either way.
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from slide._kernels.simd.vec cimport BESIDE

cdef enum:
    DIGIT = 10  # bits, at most, that are sorted by in one pass
    MOST_PASSES = 4

PARTS = N_PARTS
ALONE = 200_000  # pairs below which one thread has sorted them before others would wake up


cdef Plan plan_in(int64_t[::1] part_ptr, int32_t[::1] n_touched, int32_t[:, ::1] touched,
                  int32_t[:, ::1] pairs) noexcept:
    cdef Plan plan
    plan.part_ptr, plan.n_touched = &part_ptr[0], &n_touched[0]
    plan.rows, plan.starts, plan.counts = &touched[0, 0], &touched[1, 0], &touched[2, 0]
    plan.pair, plan.group = &pairs[0, 0], &pairs[1, 0]
    return plan


cdef void share_rows(int64_t n_rows, int64_t step, const Plan *plan) noexcept nogil:
    """Parts of the first n_rows places of a plan: of equally many, multiples of `step`."""
    cdef int64_t p, size = (n_rows + N_PARTS * step - 1) // (N_PARTS * step) * step
    for p in range(N_PARTS + 1):
        plan.part_ptr[p] = min(p * size, n_rows)
    for p in range(N_PARTS):
        plan.n_touched[p] = <int32_t>(plan.part_ptr[p + 1] - plan.part_ptr[p])


cdef void keep_group(const int32_t *ids, int64_t n, const Plan *plan) noexcept nogil:
    """The pairs of one group are its rows, each once: in their order, coefficients lie side by side."""
    cdef int64_t k
    share_rows(n, BESIDE, plan)
    for k in range(n):
        plan.rows[k] = ids[k]
        plan.starts[k] = <int32_t>k
        plan.counts[k] = 1
        plan.pair[k] = <int32_t>k
        plan.group[k] = 0


cdef inline uint64_t key_of(int32_t row, int64_t pair) noexcept nogil:
    return <uint64_t>row << 32 | <uint64_t>pair


cdef int64_t bits_of(int64_t n) noexcept nogil:
    """Bits of the numbers below n."""
    cdef int64_t bits = 1
    while (<int64_t>1 << bits) < n:
        bits += 1
    return bits


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


cdef int64_t list_rows(const uint64_t *keys, int64_t low, int64_t n, const int32_t *group_of,
                       const Plan *plan) noexcept nogil:
    """Rows and pairs of n sorted keys, from place `low` of a plan on; returns the number of rows."""
    cdef int64_t k, at = low - 1
    cdef int32_t row, pair
    for k in range(n):
        row = <int32_t>(keys[k] >> 32)
        pair = <int32_t>keys[k]
        if k == 0 or row != plan.rows[at]:
            at += 1
            plan.rows[at] = row
            plan.starts[at] = <int32_t>(low + k)
            plan.counts[at] = 0
        plan.counts[at] += 1
        plan.pair[low + k] = pair
        plan.group[low + k] = group_of[pair]
    return at + 1 - low


cdef void sort_pairs(const int64_t *indptr, int64_t n_groups, const int32_t *ids, int64_t n_rows, uint64_t *keys,
                     int32_t *group_of, const Plan *plan) noexcept nogil:
    """A plan by one thread. keys (2 x pairs) and group_of (pairs) are scratch."""
    cdef int64_t g, k, n = indptr[n_groups]
    for g in range(n_groups):
        for k in range(indptr[g], indptr[g + 1]):
            keys[k] = key_of(ids[k], k)
            group_of[k] = <int32_t>g
    share_rows(list_rows(radix_sort(keys, keys + n, n, n_rows), 0, n, group_of, plan), 1, plan)


cdef inline int64_t part_of(int32_t row) noexcept nogil:
    return (row >> 4) & (N_PARTS - 1)


cdef inline void count_row(const int32_t *ids, int64_t n, int32_t *counts) noexcept nogil:
    cdef int64_t k
    for k in range(N_PARTS):
        counts[k] = 0
    for k in range(n):
        counts[part_of(ids[k])] += 1


cdef void place_parts(int32_t[:, ::1] cursors, int64_t *part_ptr) noexcept nogil:
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


cdef inline void scatter_row(const int32_t *ids, int64_t start, int64_t n, int32_t group, int32_t *cursor,
                             uint64_t *keys, int32_t *group_of) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        keys[cursor[part_of(ids[k])]] = key_of(ids[k], start + k)
        cursor[part_of(ids[k])] += 1
        group_of[start + k] = group


cdef void sort_parts(const int64_t[::1] indptr, const int32_t[::1] ids, int64_t n_rows, int32_t[:, ::1] cursors,
                     uint64_t *keys, int32_t *group_of, const Plan *plan, int threads):
    """A plan by all threads: pairs are put into parts, and each part is sorted by one."""
    cdef int64_t n_groups = indptr.shape[0] - 1, n = ids.shape[0], g, p, low, size
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        count_row(&ids[0] + indptr[g], indptr[g + 1] - indptr[g], &cursors[g, 0])
    place_parts(cursors[:n_groups], plan.part_ptr)
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        scatter_row(&ids[0] + indptr[g], indptr[g], indptr[g + 1] - indptr[g], <int32_t>g, &cursors[g, 0], keys,
                    group_of)
    for p in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        low = plan.part_ptr[p]
        size = plan.part_ptr[p + 1] - low
        plan.n_touched[p] = <int32_t>list_rows(radix_sort(keys + low, keys + n + low, size, n_rows), low, size,
                                               group_of, plan)


def transpose_rows(const int64_t[::1] indptr, const int32_t[::1] ids, int64_t n_rows, int32_t[:, ::1] cursors,
                   uint64_t[:, ::1] keys, int32_t[::1] group_of, int64_t[::1] part_ptr, int32_t[::1] n_touched,
                   int32_t[:, ::1] touched, int32_t[:, ::1] pairs, int threads):
    """Pairs by group -> pairs by row, of n_rows.

    cursors (groups x PARTS), keys (2 x pairs) and group_of (pairs) are scratch. Out: part p has rows
    touched[0, part_ptr[p]:part_ptr[p] + n_touched[p]], whose pairs begin at touched[1] and count touched[2] in
    pairs[0] (the pair) and pairs[1] (its group). Rows of a part ascend where groups are several.
    """
    cdef int64_t n_groups = indptr.shape[0] - 1, n = ids.shape[0]
    cdef Plan plan
    if n == 0:
        n_touched[:] = 0
        return
    plan = plan_in(part_ptr, n_touched, touched, pairs)
    if n_groups == 1:
        keep_group(&ids[0], n, &plan)
    elif n < ALONE:
        sort_pairs(&indptr[0], n_groups, &ids[0], n_rows, &keys[0, 0], &group_of[0], &plan)
    else:
        sort_parts(indptr, ids, n_rows, cursors, &keys[0, 0], &group_of[0], &plan, threads)
