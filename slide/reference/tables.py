"""Twin of slide/_kernels/tables.pyx: hash tables.

A table is a list of buckets, a bucket a list of ids, oldest first.
"""

import numpy as np

from slide.counter_rng import below, draw, key

ABSENT = 2**32 - 1


def locate_rows(codes, folds, shift, mask):
    """located (L, n): the bucket of each item in each table, mask + 1 of ABSENT."""
    with np.errstate(over="ignore"):
        folded = folds[:, :1] * codes.T.astype(np.uint64) + folds[:, 1:]
    located = (folded >> np.uint64(shift)) & np.uint64(mask)
    return np.where(codes.T == ABSENT, np.uint64(mask + 1), located).astype(np.uint32)


def arrive(bucket, item, capacity, count, reservoir, stream, number):
    """Arrival `count` (from 1) at bucket `number`, a list that is changed in place."""
    if len(bucket) < capacity:
        bucket.append(item)
    elif reservoir:
        slot = below(draw(stream, (number << 32) | count), count)
        if slot < capacity:
            bucket[int(slot)] = item
    else:
        bucket.pop(0)
        bucket.append(item)


def build_rows(located, n_buckets, bucket_size, reservoir, seed, step):
    """(tables, counts (L, n_buckets)): items 0..n-1 inserted in order, and the arrivals at each bucket."""
    counts = np.zeros((len(located), n_buckets), dtype=np.int64)
    tables = [[[] for _ in range(n_buckets)] for _ in located]
    for t, row in enumerate(located):
        stream = key(seed, step, t)
        for item, b in enumerate(row.tolist()):
            if b == n_buckets:
                continue
            counts[t, b] += 1
            arrive(tables[t][b], item, bucket_size, int(counts[t, b]), reservoir, stream, b)
    return tables, counts


def capacities(counts, bucket_size):
    """The slots of the buckets that `counts` items hash to when the tables are built."""
    return np.minimum(bucket_size, counts + counts // 4 + 1)


def clear_rows(buckets, items):
    """items (L, slots) with 0 in every slot that holds no id."""
    cleared = np.zeros_like(items)
    for t, table in enumerate(buckets.astype(np.int64)):
        for start, size in table:
            cleared[t, start : start + size] = items[t, start : start + size]
    return cleared


def reinsert_rows(ids, moved, located, tables, capacity, counts, reservoir, seed, step):
    """Moves the items `ids` (m,) to the buckets `moved` (L, m); changes located, tables and counts."""
    for t, table in enumerate(tables):
        stream = key(seed, step, t)
        for item, b in zip(ids.tolist(), moved[t].tolist(), strict=True):
            old = located[t, item]
            if old == b:
                continue
            if old < len(table) and item in table[old]:
                table[old].remove(item)
            located[t, item] = b
            if b == len(table):
                continue
            counts[t, b] += 1
            arrive(table[b], item, capacity[t, b], int(counts[t, b]), reservoir, stream, b)
