"""The algorithm in plain NumPy: one function a kernel, with the kernel's name. The tests' oracle.

Written to be read, not to be fast; imports nothing but NumPy.
"""

import numpy as np

# ---- Random numbers (slide/_kernels/rng.pxd) ----------------------------------------------------------------------


def mix(x):
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014) on uint64 arrays."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(seed, a, b):
    """A stream for (seed, a, b); draw number i of it is `draw(key, i)`."""
    with np.errstate(over="ignore"):
        return mix(mix(mix(np.uint64(seed) + GOLDEN) ^ np.asarray(a, np.uint64)) + np.asarray(b, np.uint64) * GOLDEN)


def draw(stream, i):
    with np.errstate(over="ignore"):
        return mix(stream + (np.asarray(i, np.uint64) + np.uint64(1)) * GOLDEN)


def below(random, n):
    """Maps 64 random bits to 0..n-1 (multiply-shift on the upper half)."""
    return ((np.asarray(random, np.uint64) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)


# ---- Hash tables (slide/_kernels/tables.pyx) ---------------------------------------------------------------
# A table is a list of buckets, a bucket a list of ids, oldest first.


def locate_rows(codes, folds, shift, mask):
    """located (L, n): the bucket of each item in each table."""
    with np.errstate(over="ignore"):
        folded = folds[:, :1] * codes.T.astype(np.uint64) + folds[:, 1:]
    return ((folded >> np.uint64(shift)) & np.uint64(mask)).astype(np.uint32)


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
            counts[t, b] += 1
            arrive(tables[t][b], item, bucket_size, int(counts[t, b]), reservoir, stream, b)
    return tables, counts


def capacities(counts, bucket_size):
    """The slots of the buckets that `counts` items hash to when the tables are built."""
    return np.minimum(bucket_size, counts + counts // 4 + 1)


def update_rows(ids, moved, located, tables, capacity, counts, reservoir, seed, step):
    """Moves the items `ids` (m,) to the buckets `moved` (L, m); changes located, tables and counts."""
    for t, table in enumerate(tables):
        stream = key(seed, step, t)
        for item, b in zip(ids.tolist(), moved[t].tolist(), strict=True):
            old = located[t, item]
            if old == b:
                continue
            if item in table[old]:
                table[old].remove(item)
            located[t, item] = b
            counts[t, b] += 1
            arrive(table[b], item, capacity[t, b], int(counts[t, b]), reservoir, stream, b)


# ---- Sampling (slide/_kernels/sampling.pyx) ----------------------------------------------------------------
# Active sets are lists of lists of ids; `tables` as above; `located` (L, n) the samples' buckets.

ORDER, UNIFORM, FILL = 0, 1, 2


def groups(n, group_size):
    """The sample numbers of each group."""
    return [range(first, min(n, first + group_size)) for first in range(0, n, group_size)]


def shuffle_row(n, stream):
    """A random order of 0..n-1 (Fisher and Yates)."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(below(draw(stream, i), i + 1))
        order[i], order[j] = order[j], order[i]
    return order


def found(located, tables, samples, order):
    """Every id in the samples' buckets, repeats included, tables in the given order."""
    return [item for t in order for i in samples for item in tables[t][located[t, i]]]


def vanilla_rows(located, tables, group_size, active, seed, step):
    sets = []
    for g, samples in enumerate(groups(located.shape[1], group_size)):
        order = shuffle_row(len(tables), draw(key(seed, step, g), ORDER))
        sets.append(list(dict.fromkeys(found(located, tables, samples, order)))[:active])
    return sets


def frequent_rows(located, tables, group_size, m, active):
    sets = []
    for samples in groups(located.shape[1], group_size):
        ids = found(located, tables, samples, range(len(tables)))
        distinct = list(dict.fromkeys(ids))
        often = [item for item in distinct if ids.count(item) >= m]
        kept = set(sorted(often, key=lambda item: -ids.count(item))[:active])
        sets.append([item for item in distinct if item in kept])
    return sets


def fill_row(ids, target, n_neurons, stream):
    """`ids` and then uniformly drawn others until there are `target`."""
    ids, i = list(ids), 0
    if 2 * target <= n_neurons:
        while len(ids) < target:
            item = int(below(draw(stream, i), n_neurons))
            i += 1
            if item not in ids:
                ids.append(item)
        return ids
    unseen = [item for item in range(n_neurons) if item not in ids]
    for passed, item in enumerate(unseen):
        if below(draw(stream, item), len(unseen) - passed) < max(target - len(ids), 0):
            ids.append(item)
    return ids


def uniform_rows(n_groups, active, n_neurons, seed, step):
    return [fill_row([], active, n_neurons, draw(key(seed, step, g), UNIFORM)) for g in range(n_groups)]


def complete_rows(retrieved, labels, group_size, minimum, n_neurons, seed, step):
    """(active sets, label_slots) for `labels`, a list of ids for each sample."""
    sets, slots = [], []
    for g, samples in enumerate(groups(len(labels), group_size)):
        true = [label for i in samples for label in labels[i]]
        ids = list(dict.fromkeys([*true, *retrieved[g]]))
        sets.append(fill_row(ids, minimum, n_neurons, draw(key(seed, step, g), FILL)))
        slots += [sets[-1].index(label) for label in true]
    return sets, slots
