"""Hash tables in compact form: codes to buckets, the counting-sort build, incremental insertion.

In:   codes of items or inputs, a code in every table
Out:  located, the bucket of each in each table; Tables, which are built from codes or follow items that move
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
    TASK_ITEMS = 64         # of a task of the transpose: their codes stay in the L1 cache
    FETCHED_ITEMS = 24      # items between a prefetch and its use
    MIN_SHARED_ROWS = 2048  # fewer are located before a second thread wakes up


cdef uint32_t ABSENT = 0xFFFFFFFF


cdef class Tables:
    """L tables of some items.

    located (L x items)      the bucket of each item, where it may have been forgotten
    buckets (L x buckets + 1 x 2), items (L x slots)
    arrivals (L x buckets)   of the reservoir only: how many items came to each bucket
    bucket_size              the most slots that a bucket gets
    reservoir                what a full bucket does: a reservoir, else a queue that forgets the oldest
    seed                     decides the reservoir's draws
    """

    cdef uint32_t[:, ::1] located
    cdef uint32_t[:, :, ::1] buckets
    cdef int32_t[:, ::1] items
    cdef uint32_t[:, ::1] arrivals
    cdef uint32_t bucket_size
    cdef bint reservoir
    cdef uint64_t seed

    def __init__(self, uint32_t[:, ::1] located, uint32_t[:, :, ::1] buckets, int32_t[:, ::1] items,
                 uint32_t[:, ::1] arrivals, uint32_t bucket_size, bint reservoir, uint64_t seed):
        self.located, self.buckets, self.items, self.arrivals = located, buckets, items, arrivals
        self.bucket_size, self.reservoir, self.seed = bucket_size, reservoir, seed


# ---- Codes to buckets ----------------------------------------------------------------------------------------------


def locate_rows(const uint32_t[:, :] codes, const uint64_t[:, ::1] folds, int shift, uint32_t mask,
                uint32_t[:, ::1] located, int threads):
    """located (L, n): the bucket of each item in each table, ((a * code + b) mod 2**64 >> shift) & mask; mask + 1 of
    ABSENT."""
    cdef int64_t n = codes.shape[0], n_tables = codes.shape[1], task
    cdef int64_t row = codes.strides[0] // 4, table = codes.strides[1] // 4
    if n == 0:
        return
    for task in prange((n + TASK_ITEMS - 1) // TASK_ITEMS, nogil=True, schedule="static", num_threads=threads,
                       use_threads_if=n >= MIN_SHARED_ROWS):
        locate_row(&codes[0, 0] + task * TASK_ITEMS * row, min(<int64_t>TASK_ITEMS, n - task * TASK_ITEMS), n_tables,
                   row, table, &folds[0, 0], shift, mask, &located[0, task * TASK_ITEMS], n)


cdef void locate_row(const uint32_t* codes, int64_t n, int64_t n_tables, int64_t row, int64_t table,
                     const uint64_t* folds, int shift, uint32_t mask, uint32_t* located, int64_t stride) noexcept nogil:
    """Buckets of `n` items in every table: located[t * stride + i] from codes[i * row + t * table]."""
    cdef int64_t i, t
    for t in range(n_tables):
        for i in range(n):
            located[t * stride + i] = fold(codes[i * row + t * table], folds[2 * t], folds[2 * t + 1], shift, mask)


cdef inline uint32_t fold(uint32_t code, uint64_t a, uint64_t b, int shift, uint32_t mask) noexcept nogil:
    return <uint32_t>((a * code + b) >> shift) & mask if code != ABSENT else mask + 1


# ---- The build -----------------------------------------------------------------------------------------------------


def build_rows(const uint32_t[:, ::1] codes, const uint64_t[:, ::1] folds, int shift, uint32_t mask, Tables tables,
               uint64_t step, int32_t[:, ::1] present, int threads):
    """Locates items 0..n-1 by their codes (L, n) as `locate_rows`, and fills every table with them in this order.

    codes may be `located` itself. present: (threads, n) scratch.
    """
    cdef int64_t t, m
    cdef int me
    for t in prange(codes.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        me = threadid()
        m = locate_items(tables, t, &codes[t, 0], &folds[t, 0], shift, mask, &present[me, 0])
        lay_out_row(tables, t, &present[me, 0], m)
        if tables.reservoir:
            fill_reservoir(tables, t, &present[me, 0], m, key(tables.seed, step, t))
        else:
            fill_fifo(tables, t, &present[me, 0], m)


cdef int64_t locate_items(Tables tables, int64_t t, const uint32_t* codes, const uint64_t* folds, int shift,
                          uint32_t mask, int32_t* present) noexcept nogil:
    """Buckets of all items, and the items that are in one; returns how many."""
    cdef int64_t n = tables.located.shape[1], i, m = 0
    cdef uint32_t* located = &tables.located[t, 0]
    cdef uint32_t absent = <uint32_t>(tables.buckets.shape[1] - 1), bucket
    for i in range(n):
        bucket = fold(codes[i], folds[0], folds[1], shift, mask)
        located[i] = bucket
        present[m] = <int32_t>i
        m += bucket != absent
    return m


cdef void lay_out_row(Tables tables, int64_t t, const int32_t* present, int64_t m) noexcept nogil:
    """Lays the buckets out: first slots, and sizes: of a reservoir those to come, of a queue minus the number of items
    that will have been forgotten."""
    cdef int64_t n = tables.buckets.shape[1], k, b
    cdef const uint32_t* located = &tables.located[t, 0]
    cdef uint32_t* buckets = &tables.buckets[t, 0, 0]
    cdef uint32_t start = 0, count, size = tables.bucket_size
    memset(buckets, 0, 2 * n * sizeof(uint32_t))
    for k in range(m):
        buckets[2 * located[present[k]] + 1] += 1
    for b in range(n):
        count = buckets[2 * b + 1]
        buckets[2 * b] = start
        buckets[2 * b + 1] = min(size, count) if tables.reservoir else <uint32_t>min(0, <int32_t>(size - count))
        start += min(size, count + count // 4 + 1)


cdef void fill_fifo(Tables tables, int64_t t, const int32_t* present, int64_t m) noexcept nogil:
    """Inserts the items, from when a bucket's size is no longer negative."""
    cdef const uint32_t* located = &tables.located[t, 0]
    cdef uint32_t* buckets = &tables.buckets[t, 0, 0]
    cdef int32_t* items = &tables.items[t, 0]
    cdef uint32_t* bucket
    cdef int64_t k
    cdef int32_t size
    for k in range(m):
        if k + 2 * FETCHED_ITEMS < m:
            prefetch_write(&buckets[2 * located[present[k + 2 * FETCHED_ITEMS]]])
            bucket = &buckets[2 * located[present[k + FETCHED_ITEMS]]]
            prefetch_write(&items[<int64_t>bucket[0] + <int32_t>bucket[1]])
        bucket = &buckets[2 * located[present[k]]]
        size = <int32_t>bucket[1]
        bucket[1] = <uint32_t>(size + 1)
        if size >= 0:
            items[bucket[0] + size] = present[k]


cdef void fill_reservoir(Tables tables, int64_t t, const int32_t* present, int64_t m, uint64_t stream) noexcept nogil:
    cdef const uint32_t* located = &tables.located[t, 0]
    cdef uint32_t* arrivals = &tables.arrivals[t, 0]
    cdef int64_t k
    cdef uint32_t count, slot, bucket
    memset(arrivals, 0, tables.arrivals.shape[1] * sizeof(uint32_t))
    for k in range(m):
        bucket = located[present[k]]
        count = arrivals[bucket] + 1
        arrivals[bucket] = count
        slot = count - 1
        if count > tables.bucket_size:
            slot = below(draw(stream, arrival(bucket, count)), count)
            if slot >= tables.bucket_size:
                continue
        tables.items[t, tables.buckets[t, bucket, 0] + slot] = present[k]


cdef inline uint64_t arrival(uint32_t bucket, uint32_t count) noexcept nogil:
    """The number of the draw for arrival `count` (from 1) at `bucket`."""
    return (<uint64_t>bucket << 32) | count


# ---- Items that move -----------------------------------------------------------------------------------------------


def reinsert_rows(const int32_t[::1] ids, const uint32_t[:, ::1] moved, Tables tables, uint64_t step,
                  int32_t[:, ::1] movers, int threads):
    """Moves the items `ids` (m,), in this order, to the buckets `moved` (L, m).

    movers: (threads, m) scratch.
    """
    cdef int64_t n, t
    cdef int me
    if ids.shape[0] == 0:
        return
    for t in prange(moved.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        me = threadid()
        n = movers_row(ids, &moved[t, 0], &tables.located[t, 0], &movers[me, 0])
        move_row(tables, t, &ids[0], &moved[t, 0], &movers[me, 0], n, key(tables.seed, step, t))


cdef int64_t movers_row(const int32_t[::1] ids, const uint32_t* moved, const uint32_t* located,
                        int32_t* movers) noexcept nogil:
    """The places in `ids` of those items whose bucket changes; returns how many."""
    cdef int64_t m = ids.shape[0], j, n = 0
    for j in range(m):
        if j + 2 * FETCHED_ITEMS < m:
            prefetch_write(&located[ids[j + 2 * FETCHED_ITEMS]])
        movers[n] = <int32_t>j
        n += located[ids[j]] != moved[j]
    return n


cdef void move_row(Tables tables, int64_t t, const int32_t* ids, const uint32_t* moved, const int32_t* movers,
                   int64_t n, uint64_t stream) noexcept nogil:
    cdef uint32_t* located = &tables.located[t, 0]
    cdef uint32_t* buckets = &tables.buckets[t, 0, 0]
    cdef int32_t* items = &tables.items[t, 0]
    cdef int64_t k
    cdef int32_t item
    cdef uint32_t to
    for k in range(n):
        if k + 2 * FETCHED_ITEMS < n:
            prefetch_write(&buckets[2 * located[ids[movers[k + 2 * FETCHED_ITEMS]]]])
            prefetch_write(&buckets[2 * moved[movers[k + 2 * FETCHED_ITEMS]]])
            prefetch_write(&items[buckets[2 * located[ids[movers[k + FETCHED_ITEMS]]]]])
            prefetch_write(&items[buckets[2 * moved[movers[k + FETCHED_ITEMS]]]])
        item = ids[movers[k]]
        to = moved[movers[k]]
        remove_item(&buckets[2 * located[item]], items, item)
        located[item] = to
        if to < tables.buckets.shape[1] - 1:
            insert_item(tables, t, to, item, stream)


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


cdef inline void insert_item(Tables tables, int64_t t, uint32_t b, int32_t item, uint64_t stream) noexcept nogil:
    cdef uint32_t* bucket = &tables.buckets[t, b, 0]
    cdef int32_t* slots = &tables.items[t, bucket[0]]
    cdef uint32_t size = bucket[1], capacity = bucket[2] - bucket[0], slot = size, count = 0
    if tables.reservoir:
        count = tables.arrivals[t, b] = tables.arrivals[t, b] + 1
    if size < capacity:
        bucket[1] = size + 1
    elif tables.reservoir:
        slot = below(draw(stream, arrival(b, count)), count)
        if slot >= capacity:
            return
    else:
        for slot in range(capacity - 1):
            slots[slot] = slots[slot + 1]
        slot = capacity - 1
    slots[slot] = item


# ---- Slots without an id -------------------------------------------------------------------------------------------


def clear_rows(Tables tables, int threads):
    """items = 0 in every slot that holds no id: what a build or an update left there means nothing."""
    cdef int64_t t
    for t in prange(tables.items.shape[0], nogil=True, schedule="static", num_threads=threads):
        clear_row(tables, t)


cdef void clear_row(Tables tables, int64_t t) noexcept nogil:
    cdef const uint32_t* buckets = &tables.buckets[t, 0, 0]
    cdef int64_t n_buckets = tables.buckets.shape[1], b, used, end
    for b in range(n_buckets):
        used = <int64_t>buckets[2 * b] + buckets[2 * b + 1]
        end = buckets[2 * b + 2] if b + 1 < n_buckets else tables.items.shape[1]
        memset(&tables.items[t, 0] + used, 0, (end - used) * sizeof(int32_t))
