"""From buckets to active sets: one active set for each group of consecutive samples, by one thread.

In:   located, the buckets of the samples in each table (see tables.pyx), buckets and items of the tables
Out:  GroupSets, which `compact_rows` makes CSR of
Steps of a training batch: `vanilla_rows`, `frequent_rows` or `uniform_rows` retrieve; `complete_rows` adds labels and
draws. `seen` (one bit a neuron: see marks.pxd) and `counts` are one row for each thread, all zero before and after: a
group clears what it set.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from slide._kernels.marks cimport is_marked, mark, unmark
from slide._kernels.prefetch cimport prefetch_read
from slide._kernels.rng cimport below, draw, key

cdef enum:    # what a group's random numbers are for: one stream each
    ORDER = 0
    UNIFORM = 1
    FILL = 2
    POOL = 3


cdef class GroupSets:
    """Where sets are written: the ids of group g to ids[offsets[g]:offsets[g + 1]], their number to sizes[g]."""

    cdef const int64_t[::1] offsets
    cdef int32_t[::1] ids
    cdef int64_t[::1] sizes

    def __init__(self, const int64_t[::1] offsets, int32_t[::1] ids, int64_t[::1] sizes):
        self.offsets, self.ids, self.sizes = offsets, ids, sizes


cdef inline bint has_room(GroupSets sets, int64_t group) noexcept nogil:
    return sets.offsets[group + 1] > sets.offsets[group]


cdef inline uint64_t group_key(uint64_t seed, uint64_t step, int64_t group) noexcept nogil:
    # Step 0 is prediction, where a row's set must not depend on the rows that come with it.
    return key(seed, step, group if step > 0 else 0)


# ---- What tables hold, up to a size --------------------------------------------------------------------------------


def vanilla_rows(const uint32_t[:, ::1] located, const uint32_t[:, :, ::1] buckets, const int32_t[:, ::1] items,
                 int64_t group_size, int64_t active, uint64_t seed, uint64_t step, int32_t[:, ::1] order,
                 uint64_t[:, ::1] seen, GroupSets sets, int threads):
    """The ids of each group's buckets, tables in random order, until there are `active`."""
    cdef int64_t g, n = located.shape[1]
    cdef int me
    for g in prange(sets.sizes.shape[0], nogil=True, schedule="dynamic", num_threads=threads,
                    use_threads_if=sets.sizes.shape[0] > 1):
        me = threadid()
        sets.sizes[g] = 0
        if has_room(sets, g):
            shuffle_row(&order[me, 0], <int32_t>located.shape[0], draw(group_key(seed, step, g), ORDER))
            sets.sizes[g] = vanilla_row(located, buckets, items, g * group_size, min(n, (g + 1) * group_size),
                                        active, &order[me, 0], &seen[me, 0], &sets.ids[sets.offsets[g]])
            unmark(&seen[me, 0], &sets.ids[sets.offsets[g]], sets.sizes[g])


cdef void shuffle_row(int32_t* order, int32_t n, uint64_t stream) noexcept nogil:
    """A random order of 0..n-1 (Fisher and Yates)."""
    cdef int32_t i, j, other
    for i in range(n):
        order[i] = i
    for i in range(n - 1, 0, -1):
        j = <int32_t>below(draw(stream, i), i + 1)
        other = order[i]
        order[i] = order[j]
        order[j] = other


cdef int64_t vanilla_row(const uint32_t[:, ::1] located, const uint32_t[:, :, ::1] buckets,
                         const int32_t[:, ::1] items, int64_t first, int64_t last, int64_t active,
                         const int32_t* order, uint64_t* seen, int32_t* out) noexcept nogil:
    cdef int64_t i, n_tables = located.shape[0], size = 0
    cdef int32_t k, t, following
    cdef uint32_t j, n
    cdef const uint32_t* bucket
    cdef const int32_t* slots
    for k in range(n_tables):
        t = order[k]
        following = order[min(k + 1, n_tables - 1)]
        for i in range(first, last):
            bucket = &buckets[following, located[following, i], 0]
            prefetch_read(&items[following, bucket[0]])
            bucket = &buckets[t, located[t, i], 0]
            slots = &items[t, bucket[0]]
            n = bucket[1]
            for j in range(n):
                if mark(seen, slots[j]):
                    out[size] = slots[j]
                    size = size + 1
                    if size == active:
                        return size
    return size


# ---- The most frequent of what tables hold -------------------------------------------------------------------------


def frequent_rows(const uint32_t[:, ::1] located, const uint32_t[:, :, ::1] buckets, const int32_t[:, ::1] items,
                  int64_t group_size, uint32_t m, int64_t active, uint16_t[:, ::1] counts,
                  uint32_t[:, ::1] histograms, GroupSets sets, int threads):
    """The `active` most frequent ids of each group's buckets among those found at least m times (m >= 1).

    In the order in which they were first found, tables from 0; of equal counts the first found are kept.
    Counts end at 65,535. histograms: (threads, 65536).
    """
    cdef int64_t g, n = located.shape[1]
    cdef int me
    for g in prange(sets.sizes.shape[0], nogil=True, schedule="dynamic", num_threads=threads,
                    use_threads_if=sets.sizes.shape[0] > 1):
        me = threadid()
        sets.sizes[g] = 0
        if has_room(sets, g):
            sets.sizes[g] = frequent_row(located, buckets, items, g * group_size, min(n, (g + 1) * group_size), m,
                                         active, &counts[me, 0], &histograms[me, 0], &sets.ids[sets.offsets[g]])


cdef int64_t frequent_row(const uint32_t[:, ::1] located, const uint32_t[:, :, ::1] buckets,
                          const int32_t[:, ::1] items, int64_t first, int64_t last, uint32_t m,
                          int64_t active, uint16_t* counts, uint32_t* histogram, int32_t* out) noexcept nogil:
    cdef int64_t i, t, n_tables = located.shape[0], size = 0, following
    cdef uint32_t j, n, count, most = 0
    cdef const uint32_t* bucket
    cdef const int32_t* slots
    for t in range(n_tables):
        following = min(t + 1, n_tables - 1)
        for i in range(first, last):
            bucket = &buckets[following, located[following, i], 0]
            prefetch_read(&items[following, bucket[0]])
            bucket = &buckets[t, located[t, i], 0]
            slots = &items[t, bucket[0]]
            n = bucket[1]
            for j in range(n):
                count = counts[slots[j]]
                if count == 0:
                    out[size] = slots[j]
                    size = size + 1
                count += count < 65535
                counts[slots[j]] = <uint16_t>count
                most = max(most, count)
    return select_row(counts, most, histogram, m, active, out, size)


cdef int64_t select_row(uint16_t* counts, uint32_t most, uint32_t* histogram, uint32_t m, int64_t active,
                        int32_t* out, int64_t n) noexcept nogil:
    """Keeps, in their order, the `active` ids of out[:n] of the highest counts >= m; clears the counts."""
    cdef int64_t i, size = 0, spare
    cdef uint32_t c, count
    for c in range(most + 1):
        histogram[c] = 0
    for i in range(n):
        histogram[counts[out[i]]] += 1
    c = most
    spare = active
    while c >= m and histogram[c] <= spare:
        spare -= histogram[c]
        c -= 1
    # Counts above c are kept, and of count c the first `spare`.
    if c < m:
        c = m - 1
        spare = 0
    for i in range(n):
        count = counts[out[i]]
        counts[out[i]] = 0
        if count > c or (count == c and spare > 0):
            spare -= count == c
            out[size] = out[i]
            size = size + 1
    return size


# ---- Uniform draws -------------------------------------------------------------------------------------------------


def uniform_rows(int64_t active, int64_t n_neurons, uint64_t seed, uint64_t step, uint64_t[:, ::1] seen,
                 int32_t[:, ::1] ids, int threads):
    """ids (groups, active): distinct, uniformly drawn for each group."""
    cdef int64_t g
    cdef int me
    for g in prange(ids.shape[0], nogil=True, schedule="dynamic", num_threads=threads,
                    use_threads_if=ids.shape[0] > 1):
        me = threadid()
        fill_row(&ids[g, 0], 0, active, n_neurons, &seen[me, 0], draw(group_key(seed, step, g), UNIFORM))
        unmark(&seen[me, 0], &ids[g, 0], active)


cdef int64_t fill_row(int32_t* out, int64_t size, int64_t target, int64_t n_neurons, uint64_t* seen,
                      uint64_t stream) noexcept nogil:
    """Appends uniformly drawn unseen ids to out[:size], all of which are marked, until there are `target`."""
    cdef uint64_t i = 0
    cdef int32_t item
    if 2 * target <= n_neurons:
        while size < target:
            item = <int32_t>below(draw(stream, i), <uint32_t>n_neurons)
            i += 1
            if mark(seen, item):
                out[size] = item
                size = size + 1
        return size
    # Too few are unseen to find them by chance: selection sampling over them (Knuth, volume 2, algorithm S).
    i = n_neurons - size
    for item in range(<int32_t>n_neurons):
        if size >= target:
            break
        if is_marked(seen, item):
            continue
        if below(draw(stream, item), <uint32_t>i) < target - size:
            seen[item >> 6] |= <uint64_t>1 << (item & 63)
            out[size] = item
            size = size + 1
        i -= 1
    return size


# ---- Labels, what was retrieved, and draws -------------------------------------------------------------------------


cdef class IdLists:
    """Lists of ids as CSR: those of list i are ids[indptr[i]:indptr[i + 1]]."""

    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] ids

    def __init__(self, const int64_t[::1] indptr, const int32_t[::1] ids):
        self.indptr, self.ids = indptr, ids


cdef class Fill:
    """How sets are filled: with draws from n_neurons until they have `minimum` ids, random by seed, step and group.

    Of the draws a share pool_share is from `pool` (any length, ids may repeat), as far as it has enough, the others
    are uniform.
    """

    cdef const int32_t[::1] pool
    cdef double pool_share
    cdef int64_t minimum
    cdef int64_t n_neurons
    cdef uint64_t seed
    cdef uint64_t step

    def __init__(self, const int32_t[::1] pool, double pool_share, int64_t minimum, int64_t n_neurons, uint64_t seed,
                 uint64_t step):
        self.pool, self.pool_share, self.minimum, self.n_neurons = pool, pool_share, minimum, n_neurons
        self.seed, self.step = seed, step


def complete_rows(IdLists retrieved, IdLists labels, Fill fill, int64_t group_size, uint64_t[:, ::1] seen,
                  int32_t[:, ::1] places, int32_t[::1] label_slots, int64_t[:, ::1] parts, GroupSets sets,
                  int threads):
    """Each group's labels (a list for each sample), then what was retrieved (for each group), then draws.

    places: (threads, n_neurons), any content. label_slots: the place of each label entry in its group's set.
    parts (groups, 4): how many ids a group has after its labels, after what was retrieved and after the draws from
    the pool, and the number of those draws.
    """
    cdef int64_t g, n = labels.indptr.shape[0] - 1
    cdef int me
    for g in prange(sets.sizes.shape[0], nogil=True, schedule="dynamic", num_threads=threads,
                    use_threads_if=sets.sizes.shape[0] > 1):
        me = threadid()
        sets.sizes[g] = 0
        parts[g, 0] = parts[g, 1] = parts[g, 2] = parts[g, 3] = 0
        if has_room(sets, g):
            sets.sizes[g] = complete_row(
                labels, labels.indptr[min(n, g * group_size)], labels.indptr[min(n, (g + 1) * group_size)], retrieved,
                g, fill, &seen[me, 0], &places[me, 0], &label_slots[0], &parts[g, 0], &sets.ids[sets.offsets[g]]
            )


cdef int64_t complete_row(IdLists labels, int64_t first, int64_t last, IdLists retrieved, int64_t g, Fill fill,
                          uint64_t* seen, int32_t* places, int32_t* slots, int64_t* parts,
                          int32_t* out) noexcept nogil:
    """One group, of the label entries first:last; returns the size of its set."""
    cdef uint64_t stream = group_key(fill.seed, fill.step, g)
    cdef int64_t i, size = 0
    cdef int32_t item
    for i in range(first, last):
        item = labels.ids[i]
        if mark(seen, item):
            places[item] = <int32_t>size
            out[size] = item
            size = size + 1
        slots[i] = places[item]
    parts[0] = size
    for i in range(retrieved.indptr[g], retrieved.indptr[g + 1]):
        if mark(seen, retrieved.ids[i]):
            out[size] = retrieved.ids[i]
            size = size + 1
    parts[1] = size
    if fill.pool.shape[0] > 0:
        size = fill_from_pool_row(out, size, size + <int64_t>(fill.pool_share * (fill.minimum - size)), fill.pool,
                                  seen, draw(stream, POOL), &parts[3])
    parts[2] = size
    size = fill_row(out, size, fill.minimum, fill.n_neurons, seen, draw(stream, FILL))
    unmark(seen, out, size)
    return size


cdef int64_t fill_from_pool_row(int32_t* out, int64_t size, int64_t target, const int32_t[::1] pool,
                                uint64_t* seen, uint64_t stream, int64_t* draws) noexcept nogil:
    """Appends unseen ids drawn from a pool, in which they may repeat, until there are `target`, or draws of no use
    (four for each id that is missing) have been made. draws: how many were made."""
    cdef int64_t most = 4 * (target - size)
    cdef int32_t item
    while size < target and draws[0] < most:
        item = pool[below(draw(stream, draws[0]), <uint32_t>pool.shape[0])]
        draws[0] += 1
        if mark(seen, item):
            out[size] = item
            size = size + 1
    return size


# ---- Room for sets, and CSR of them --------------------------------------------------------------------------------


def bound_rows(const uint32_t[:, ::1] located, const uint32_t[:, :, ::1] buckets, int64_t group_size,
               int64_t[::1] bounds, int threads):
    """bounds (groups,): the ids, repeats included, in the buckets of each group's samples."""
    cdef int64_t g, i, t, n = located.shape[1], total
    for g in prange(bounds.shape[0], nogil=True, schedule="static", num_threads=threads):
        total = 0
        for t in range(located.shape[0]):
            for i in range(g * group_size, min(n, (g + 1) * group_size)):
                total = total + buckets[t, located[t, i], 1]
        bounds[g] = total


def compact_rows(GroupSets sets, const int64_t[::1] indptr, int32_t[::1] ids):
    """Moves each group's ids to ids[indptr[g]:indptr[g + 1]]."""
    cdef int64_t g
    with nogil:
        for g in range(indptr.shape[0] - 1):
            if indptr[g + 1] > indptr[g]:
                memcpy(&ids[indptr[g]], &sets.ids[sets.offsets[g]], (indptr[g + 1] - indptr[g]) * sizeof(int32_t))
