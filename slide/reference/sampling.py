"""Twin of slide/_kernels/sampling.pyx.

Active sets are lists of lists of ids; `tables` as in tables.py; `located` (L, n) the samples' buckets.
"""

from slide.counter_rng import FILL, ORDER, POOL, UNIFORM, below, draw, group_key, shuffle_row


def groups(n, group_size):
    """The sample numbers of each group."""
    return [range(first, min(n, first + group_size)) for first in range(0, n, group_size)]


def found(located, tables, samples, order):
    """Every id in the samples' buckets, repeats included, tables in the given order."""
    return [item for t in order for i in samples for item in (*tables[t], [])[located[t, i]]]


def vanilla_rows(located, tables, group_size, active, seed, step):
    sets = []
    for g, samples in enumerate(groups(located.shape[1], group_size)):
        order = shuffle_row(len(tables), draw(group_key(seed, step, g), ORDER))
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
    return [fill_row([], active, n_neurons, draw(group_key(seed, step, g), UNIFORM)) for g in range(n_groups)]


def fill_from_pool_row(ids, target, pool, stream):
    """(`ids` and others drawn from a pool, the number of draws): four at most for each id that is missing."""
    ids, draws, most = list(ids), 0, 4 * (target - len(ids))
    while len(ids) < target and draws < most:
        item = int(pool[below(draw(stream, draws), len(pool))])
        draws += 1
        ids += [] if item in ids else [item]
    return ids, draws


def complete_rows(retrieved, labels, pool, pool_share, group_size, minimum, n_neurons, seed, step):
    """(active sets, label_slots, parts) for `labels`, a list of ids for each sample; see sampling.complete."""
    sets, slots, parts = [], [], []
    for g, samples in enumerate(groups(len(labels), group_size)):
        true = [label for i in samples for label in labels[i]]
        ids = list(dict.fromkeys([*true, *retrieved[g]]))
        part, draws = [len(set(true)), len(ids)], 0
        if len(pool):
            target = len(ids) + int(pool_share * (minimum - len(ids)))
            ids, draws = fill_from_pool_row(ids, target, pool, draw(group_key(seed, step, g), POOL))
        parts.append([*part, len(ids), draws])
        sets.append(fill_row(ids, minimum, n_neurons, draw(group_key(seed, step, g), FILL)))
        slots += [sets[-1].index(label) for label in true]
    return sets, slots, parts
