"""Hash tables in compact form: codes to buckets, the counting-sort build, incremental insertion.

A table is one row of `buckets` (per bucket: its first slot, its size) and one row of `items` (the slots).
The ids of a bucket lie side by side, oldest first; its capacity ends where the next bucket starts.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from slide._kernels.rng cimport below, draw, key

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define SLIDE_PREFETCH(address) __builtin_prefetch((const void *)(address), 1, 3)
    #else
    #define SLIDE_PREFETCH(address) ((void)0)
    #endif
    """
    void SLIDE_PREFETCH(const void *address) noexcept nogil

cdef enum:
    BLOCK = 64    # items a block of the transpose: its codes stay in the L1 cache
    AHEAD = 24    # items between a prefetch and its use
    ALONE = 2048  # fewer rows are located sooner than a second thread wakes up


cdef void locate_row(const uint32_t* codes, int64_t n, int64_t n_tables, const uint64_t* folds,
                     int shift, uint32_t mask, uint32_t* located, int64_t stride) noexcept nogil:
    """Buckets of `n` items in every table: located[t * stride + i] from codes[i * n_tables + t]."""
    cdef int64_t i, t
    cdef uint64_t a, b
    for t in range(n_tables):
        a = folds[2 * t]
        b = folds[2 * t + 1]
        for i in range(n):
            located[t * stride + i] = <uint32_t>((a * codes[i * n_tables + t] + b) >> shift) & mask


def locate_rows(const uint32_t[:, ::1] codes, const uint64_t[:, ::1] folds, int shift, uint32_t mask,
                uint32_t[:, ::1] located, int threads):
    """located (L, n): the bucket of each item in each table, ((a * code + b) mod 2**64 >> shift) & mask."""
    cdef int64_t n = codes.shape[0], n_tables = codes.shape[1], block
    if n == 0:
        return
    for block in prange((n + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads,
                        use_threads_if=n >= ALONE):
        locate_row(&codes[block * BLOCK, 0], min(<int64_t>BLOCK, n - block * BLOCK), n_tables, &folds[0, 0],
                   shift, mask, &located[0, block * BLOCK], n)


cdef inline uint64_t arrival(uint32_t bucket, uint32_t count) noexcept nogil:
    """The number of the draw for arrival `count` (from 1) at `bucket`."""
    return (<uint64_t>bucket << 32) | count


cdef void reverse(int32_t* slots, int64_t n) noexcept nogil:
    cdef int64_t i
    cdef int32_t other
    for i in range(n // 2):
        other = slots[i]
        slots[i] = slots[n - 1 - i]
        slots[n - 1 - i] = other


cdef void count_row(const uint32_t* located, int64_t n, uint32_t* buckets, int64_t n_buckets,
                    uint32_t bucket_size) noexcept nogil:
    """Gives every bucket its first slot; sizes are zero afterwards."""
    cdef int64_t i, b
    cdef uint32_t start = 0, count
    for b in range(n_buckets + 1):
        buckets[2 * b + 1] = 0
    for i in range(n):
        buckets[2 * located[i] + 1] += 1
    for b in range(n_buckets + 1):
        count = buckets[2 * b + 1]
        buckets[2 * b] = start
        buckets[2 * b + 1] = 0
        start += min(bucket_size, count + count // 4 + 1)


cdef void fill_row(const uint32_t* located, int64_t n, uint32_t* buckets, int64_t n_buckets, int32_t* items,
                   uint32_t* arrivals, uint32_t bucket_size, bint reservoir, uint64_t stream) noexcept nogil:
    """Inserts items 0..n-1; a full FIFO bucket is a ring meanwhile and is put in order at the end."""
    cdef int64_t i, b
    cdef uint32_t count, slot
    cdef uint32_t* bucket
    for i in range(n):
        if i + 2 * AHEAD < n:
            SLIDE_PREFETCH(&buckets[2 * located[i + 2 * AHEAD]])
            bucket = &buckets[2 * located[i + AHEAD]]
            SLIDE_PREFETCH(&items[bucket[0] + bucket[1]])
        bucket = &buckets[2 * located[i]]
        count = bucket[1] + 1
        bucket[1] = count
        slot = count - 1
        if count > bucket_size:
            if reservoir:
                slot = below(draw(stream, arrival(located[i], count)), count)
                if slot >= bucket_size:
                    continue
            else:
                slot = slot % bucket_size
        items[bucket[0] + slot] = <int32_t>i
    for b in range(n_buckets):
        count = buckets[2 * b + 1]
        if reservoir:
            arrivals[b] = count
        if count > bucket_size:
            buckets[2 * b + 1] = bucket_size
            slot = count % bucket_size
            if not reservoir and slot:
                reverse(&items[buckets[2 * b]], slot)
                reverse(&items[buckets[2 * b] + slot], bucket_size - slot)
                reverse(&items[buckets[2 * b]], bucket_size)


def build_rows(const uint32_t[:, ::1] located, uint32_t[:, :, ::1] buckets, int32_t[:, ::1] items,
               uint32_t[:, ::1] arrivals, uint32_t bucket_size, bint reservoir, uint64_t seed, uint64_t step,
               int threads):
    """Fills every table with items 0..n-1 in this order. arrivals: (L, buckets), of the reservoir only."""
    cdef int64_t n = located.shape[1], n_buckets = buckets.shape[1] - 1, t
    for t in prange(located.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        count_row(&located[t, 0], n, &buckets[t, 0, 0], n_buckets, bucket_size)
        fill_row(&located[t, 0], n, &buckets[t, 0, 0], n_buckets, &items[t, 0],
                 &arrivals[t, 0] if reservoir else NULL, bucket_size, reservoir, key(seed, step, t))


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


cdef void update_row(const int32_t* ids, int64_t m, const uint32_t* moved, uint32_t* located,
                     uint32_t* buckets, int32_t* items, uint32_t* arrivals, bint reservoir,
                     uint64_t stream) noexcept nogil:
    cdef int64_t j
    cdef int32_t item
    for j in range(m):
        if j + AHEAD < m:
            SLIDE_PREFETCH(&buckets[2 * located[ids[j + AHEAD]]])
            SLIDE_PREFETCH(&buckets[2 * moved[j + AHEAD]])
        item = ids[j]
        if located[item] == moved[j]:
            continue
        remove_item(&buckets[2 * located[item]], items, item)
        located[item] = moved[j]
        insert_item(buckets, items, arrivals, moved[j], item, reservoir, stream)


def reinsert_rows(const int32_t[::1] ids, const uint32_t[:, ::1] moved, uint32_t[:, ::1] located,
                  uint32_t[:, :, ::1] buckets, int32_t[:, ::1] items, uint32_t[:, ::1] arrivals, bint reservoir,
                  uint64_t seed, uint64_t step, int threads):
    """Moves the items `ids` (m,), in this order, to the buckets `moved` (L, m); `located` follows."""
    cdef int64_t m = ids.shape[0], t
    if m == 0:
        return
    for t in prange(located.shape[0], nogil=True, schedule="dynamic", num_threads=threads):
        update_row(&ids[0], m, &moved[t, 0], &located[t, 0], &buckets[t, 0, 0], &items[t, 0],
                   &arrivals[t, 0] if reservoir else NULL, reservoir, key(seed, step, t))
