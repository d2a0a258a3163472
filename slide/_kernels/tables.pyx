"""Hash tables in compact form: codes to buckets, the counting-sort build, incremental insertion.

A table is one row of `buckets` (per bucket: its first slot, its size) and one row of `items` (the slots).
The ids of a bucket lie side by side, oldest first; its capacity ends where the next bucket starts. What has the code
ABSENT is in the bucket after the last one, which is always empty.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from slide._kernels.prefetch cimport prefetch_write
from slide._kernels.rng cimport below, draw, key

cdef enum:
    BLOCK = 64    # items a block of the transpose: its codes stay in the L1 cache
    AHEAD = 24    # items between a prefetch and its use
    ALONE = 2048  # fewer rows are located sooner than a second thread wakes up


cdef uint32_t ABSENT = 0xFFFFFFFF


cdef inline uint32_t fold(uint32_t code, uint64_t a, uint64_t b, int shift, uint32_t mask) noexcept nogil:
    return <uint32_t>((a * code + b) >> shift) & mask if code != ABSENT else mask + 1


cdef void locate_row(const uint32_t* codes, int64_t n, int64_t n_tables, int64_t row, int64_t table,
                     const uint64_t* folds, int shift, uint32_t mask, uint32_t* located, int64_t stride) noexcept nogil:
    """Buckets of `n` items in every table: located[t * stride + i] from codes[i * row + t * table]."""
    cdef int64_t i, t
    for t in range(n_tables):
        for i in range(n):
            located[t * stride + i] = fold(codes[i * row + t * table], folds[2 * t], folds[2 * t + 1], shift, mask)


def locate_rows(const uint32_t[:, :] codes, const uint64_t[:, ::1] folds, int shift, uint32_t mask,
                uint32_t[:, ::1] located, int threads):
    """located (L, n): the bucket of each item in each table, ((a * code + b) mod 2**64 >> shift) & mask; mask + 1 of
    ABSENT."""
    cdef int64_t n = codes.shape[0], n_tables = codes.shape[1], block
    cdef int64_t row = codes.strides[0] // 4, table = codes.strides[1] // 4
    if n == 0:
        return
    for block in prange((n + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads,
                        use_threads_if=n >= ALONE):
        locate_row(&codes[0, 0] + block * BLOCK * row, min(<int64_t>BLOCK, n - block * BLOCK), n_tables, row, table,
                   &folds[0, 0], shift, mask, &located[0, block * BLOCK], n)


cdef inline uint64_t arrival(uint32_t bucket, uint32_t count) noexcept nogil:
    """The number of the draw for arrival `count` (from 1) at `bucket`."""
    return (<uint64_t>bucket << 32) | count


cdef int64_t locate_items(const uint32_t* codes, int64_t n, const uint64_t* folds, int shift, uint32_t mask,
                          uint32_t absent, uint32_t* located, int32_t* present) noexcept nogil:
    """Buckets of items 0..n-1, and the items that are in one; returns how many."""
    cdef int64_t i, m = 0
    cdef uint32_t bucket
    for i in range(n):
        bucket = fold(codes[i], folds[0], folds[1], shift, mask)
        located[i] = bucket
        present[m] = <int32_t>i
        m += bucket != absent
    return m


cdef void lay_out_row(const uint32_t* located, const int32_t* present, int64_t m, uint32_t* buckets, int64_t n_buckets,
                      uint32_t bucket_size, bint reservoir) noexcept nogil:
    """Lays the buckets out: first slots, and sizes: of a reservoir those to come, of a queue minus the number of items
    that will have been forgotten."""
    cdef int64_t k, b
    cdef uint32_t start = 0, count
    memset(buckets, 0, 2 * (n_buckets + 1) * sizeof(uint32_t))
    for k in range(m):
        buckets[2 * located[present[k]] + 1] += 1
    for b in range(n_buckets + 1):
        count = buckets[2 * b + 1]
        buckets[2 * b] = start
        buckets[2 * b + 1] = min(bucket_size, count) if reservoir else <uint32_t>min(0, <int32_t>(bucket_size - count))
        start += min(bucket_size, count + count // 4 + 1)


cdef void fill_fifo(const uint32_t* located, const int32_t* present, int64_t m, uint32_t* buckets,
                    int32_t* items) noexcept nogil:
    """Inserts the items, from when a bucket's size is no longer negative."""
    cdef int64_t k
    cdef int32_t size
    cdef uint32_t* bucket
    for k in range(m):
        if k + 2 * AHEAD < m:
            prefetch_write(&buckets[2 * located[present[k + 2 * AHEAD]]])
            bucket = &buckets[2 * located[present[k + AHEAD]]]
            prefetch_write(&items[<int64_t>bucket[0] + <int32_t>bucket[1]])
        bucket = &buckets[2 * located[present[k]]]
        size = <int32_t>bucket[1]
        bucket[1] = <uint32_t>(size + 1)
        if size >= 0:
            items[bucket[0] + size] = present[k]


cdef void fill_reservoir(const uint32_t* located, const int32_t* present, int64_t m, uint32_t* buckets,
                         int64_t n_buckets, int32_t* items, uint32_t* arrivals, uint32_t bucket_size,
                         uint64_t stream) noexcept nogil:
    cdef int64_t k, b
    cdef uint32_t count, slot, bucket
    for b in range(n_buckets):
        arrivals[b] = 0
    for k in range(m):
        bucket = located[present[k]]
        count = arrivals[bucket] + 1
        arrivals[bucket] = count
        slot = count - 1
        if count > bucket_size:
            slot = below(draw(stream, arrival(bucket, count)), count)
            if slot >= bucket_size:
                continue
        items[buckets[2 * bucket] + slot] = present[k]


def build_rows(const uint32_t[:, ::1] codes, const uint64_t[:, ::1] folds, int shift, uint32_t mask,
               uint32_t[:, ::1] located, uint32_t[:, :, ::1] buckets, int32_t[:, ::1] items,
               uint32_t[:, ::1] arrivals, uint32_t bucket_size, bint reservoir, uint64_t seed, uint64_t step,
               int32_t[:, ::1] present, int threads):
    """Locates items 0..n-1 by their codes (L, n) as `locate_rows`, and fills every table with them in this order.

    codes may be `located` itself. arrivals: (L, buckets), of the reservoir only. present: (threads, n) scratch.
    """
    cdef int64_t n = located.shape[1], n_buckets = buckets.shape[1] - 1, t, m
    cdef int me
    for t in prange(located.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        me = threadid()
        m = locate_items(&codes[t, 0], n, &folds[t, 0], shift, mask, <uint32_t>n_buckets, &located[t, 0],
                         &present[me, 0])
        lay_out_row(&located[t, 0], &present[me, 0], m, &buckets[t, 0, 0], n_buckets, bucket_size, reservoir)
        if reservoir:
            fill_reservoir(&located[t, 0], &present[me, 0], m, &buckets[t, 0, 0], n_buckets, &items[t, 0],
                           &arrivals[t, 0], bucket_size, key(seed, step, t))
        else:
            fill_fifo(&located[t, 0], &present[me, 0], m, &buckets[t, 0, 0], &items[t, 0])


cdef inline void remove_item(uint32_t* bucket, int32_t* items, int32_t item) noexcept nogil:
    cdef int32_t* slots = items + bucket[0]
    cdef uint32_t size = bucket[1], i = 0
    while i < size and slots[i] != item:
        i += 1
    if i == size:
        return
    bucket[1] = size - 1
    while i + 1 < size:
        slots[i] = slots[i + 1]
        i += 1


cdef inline void insert_item(uint32_t* buckets, int32_t* items, uint32_t* arrivals, uint32_t b, int32_t item,
                             bint reservoir, uint64_t stream) noexcept nogil:
    cdef int32_t* slots = items + buckets[2 * b]
    cdef uint32_t size = buckets[2 * b + 1], capacity = buckets[2 * b + 2] - buckets[2 * b], slot = size
    if reservoir:
        arrivals[b] += 1
    if size < capacity:
        buckets[2 * b + 1] = size + 1
    elif reservoir:
        slot = below(draw(stream, arrival(b, arrivals[b])), arrivals[b])
        if slot >= capacity:
            return
    else:
        for slot in range(capacity - 1):
            slots[slot] = slots[slot + 1]
        slot = capacity - 1
    slots[slot] = item


cdef int64_t movers_row(const int32_t* ids, int64_t m, const uint32_t* moved, const uint32_t* located,
                        int32_t* movers) noexcept nogil:
    """The places in `ids` of those items whose bucket changes; returns how many."""
    cdef int64_t j, n = 0
    for j in range(m):
        if j + 2 * AHEAD < m:
            prefetch_write(&located[ids[j + 2 * AHEAD]])
        movers[n] = <int32_t>j
        n += located[ids[j]] != moved[j]
    return n


cdef void update_row(const int32_t* ids, const int32_t* movers, int64_t n, const uint32_t* moved, uint32_t* located,
                     uint32_t* buckets, uint32_t n_buckets, int32_t* items, uint32_t* arrivals, bint reservoir,
                     uint64_t stream) noexcept nogil:
    cdef int64_t k
    cdef int32_t item
    cdef uint32_t to
    for k in range(n):
        if k + 2 * AHEAD < n:
            prefetch_write(&buckets[2 * located[ids[movers[k + 2 * AHEAD]]]])
            prefetch_write(&buckets[2 * moved[movers[k + 2 * AHEAD]]])
            prefetch_write(&items[buckets[2 * located[ids[movers[k + AHEAD]]]]])
            prefetch_write(&items[buckets[2 * moved[movers[k + AHEAD]]]])
        item = ids[movers[k]]
        to = moved[movers[k]]
        remove_item(&buckets[2 * located[item]], items, item)
        located[item] = to
        if to < n_buckets:
            insert_item(buckets, items, arrivals, to, item, reservoir, stream)


def reinsert_rows(const int32_t[::1] ids, const uint32_t[:, ::1] moved, uint32_t[:, ::1] located,
                  uint32_t[:, :, ::1] buckets, int32_t[:, ::1] items, uint32_t[:, ::1] arrivals, bint reservoir,
                  uint64_t seed, uint64_t step, int32_t[:, ::1] movers, int threads):
    """Moves the items `ids` (m,), in this order, to the buckets `moved` (L, m); `located` follows.

    movers: (threads, m) scratch.
    """
    cdef int64_t m = ids.shape[0], n, t
    cdef int me
    if m == 0:
        return
    for t in prange(located.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        me = threadid()
        n = movers_row(&ids[0], m, &moved[t, 0], &located[t, 0], &movers[me, 0])
        update_row(&ids[0], &movers[me, 0], n, &moved[t, 0], &located[t, 0], &buckets[t, 0, 0],
                   <uint32_t>(buckets.shape[1] - 1), &items[t, 0], &arrivals[t, 0] if reservoir else NULL, reservoir,
                   key(seed, step, t))
