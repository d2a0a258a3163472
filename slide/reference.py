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


# ---- Lane blocks (slide/_kernels/lanes.pyx) -----------------------------------------------------------------------


def pack_rows(x, group_size, lanes):
    """(n, d) rows as the blocks of their groups: out[g * d + j, s] = x[g * group_size + s, j]."""
    n, d = x.shape
    n_groups = -(-n // group_size)
    out = np.zeros((n_groups * d, lanes), np.float32)
    for g in range(n_groups):
        part = x[g * group_size : (g + 1) * group_size]
        out[g * d : (g + 1) * d, : len(part)] = part.T
    return out


def unpack_rows(block, group_size, n, d):
    """The inverse of pack_rows."""
    return np.array([block[i // group_size * d : (i // group_size + 1) * d, i % group_size] for i in range(n)])


def sample_major_rows(indptr, block):
    """Each group's (columns x lanes) block as lanes x columns, flat."""
    return np.concatenate([block[a:b].T.ravel() for a, b in zip(indptr[:-1], indptr[1:], strict=True)])


# ---- The first layer (slide/_kernels/lookup.pyx) ------------------------------------------------------------------


def lookup_rows(indptr, ids, values, W, bias, relu):
    out = np.array([bias + values[a:b] @ W[ids[a:b]] for a, b in zip(indptr[:-1], indptr[1:], strict=True)])
    return np.maximum(out, 0) if relu else out


# ---- Sampled layers, the group's side (slide/_kernels/forward.pyx) ------------------------------------------------


def _columns(x_cols, a, b):
    return x_cols[a:b] if len(x_cols) or a == b else slice(None)


def forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, relu):
    """Logits (or ReLU activations) of every group's active neurons, (entries x lanes)."""
    out = np.zeros((len(ids), x.shape[1]))
    for g in range(len(indptr) - 1):
        active = ids[indptr[g] : indptr[g + 1]]
        a, b = x_indptr[g], x_indptr[g + 1]
        out[indptr[g] : indptr[g + 1]] = W[active][:, _columns(x_cols, a, b)] @ x[a:b] + bias[active, None]
    return np.maximum(out, 0) if relu else out


def input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta):
    out = np.zeros((x_indptr[-1], delta.shape[1]))
    for g in range(len(indptr) - 1):
        active, a, b = ids[indptr[g] : indptr[g + 1]], x_indptr[g], x_indptr[g + 1]
        out[a:b] = W[active][:, _columns(x_cols, a, b)].T @ delta[indptr[g] : indptr[g + 1]]
    return out


def softmax_rows(W, bias, indptr, ids, x_indptr, x_cols, x, label_ptr, slots, group_size, scale, smooth):
    """(delta, dx, loss): softmax over each group's active set against targets spread evenly over the labels."""
    z = forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, False)
    n = len(label_ptr) - 1
    delta, loss = np.zeros_like(z), np.zeros(n)
    for i in range(n):
        g, s = divmod(i, group_size)
        mine = slots[label_ptr[i] : label_ptr[i + 1]]
        if len(mine) == 0:
            continue
        logits = z[indptr[g] : indptr[g + 1], s]
        p = np.exp(logits - logits.max())
        p /= p.sum()
        target = np.full(len(p), smooth / len(p))
        target[mine] += (1 - smooth) / len(mine)
        delta[indptr[g] : indptr[g + 1], s] = scale * (p - target)
        loss[i] = -np.log(p[mine] + 1e-38).mean()
    return delta, input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta), loss


# ---- Sampled layers, the row's side (slide/_kernels/update.pyx, hogwild.pyx, optimizer.pxd) -----------------------


def transpose_rows(indptr, ids):
    """{row: [(pair, group), ...]}: the pairs of each touched row, in the order of the groups."""
    rows = {}
    for g in range(len(indptr) - 1):
        for pair in range(indptr[g], indptr[g + 1]):
            rows.setdefault(int(ids[pair]), []).append((pair, g))
    return rows


def adam(w, m, v, g, lr, beta1, beta2, eps, decay):
    """One step of Adam in place; lr and eps carry the bias corrections, decay = learning rate * weight decay."""
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    w[...] = (1 - decay) * w - lr * m / (np.sqrt(v) + eps)


def update_rows(indptr, ids, coef, x_indptr, x_cols, x, w, m, v, bias, last, use_adam, hyper, step):
    """Gradient and optimizer of every touched row, in place; of sparse inputs only the columns of its groups."""
    lr, beta1, beta2, _, decay = hyper
    lanes = coef.shape[1]
    for r, pairs in transpose_rows(indptr, ids).items():
        grad, columns = np.zeros(w.shape[1]), np.zeros(w.shape[1], bool)
        for pair, g in pairs:
            a, b = x_indptr[g], x_indptr[g + 1]
            inputs = x[a * lanes : b * lanes].reshape(lanes, b - a)
            grad[_columns(x_cols, a, b)] += coef[pair] @ inputs
            columns[_columns(x_cols, a, b)] = True
        bias_grad = sum(coef[pair].sum() for pair, _ in pairs)
        if len(last):
            missed = step - last[r] - 1
            if missed > 0 and last[r] > 0:
                m[r] *= beta1**missed
                v[r] *= beta2**missed
                bias[1, r] *= beta1**missed
                bias[2, r] *= beta2**missed
            last[r] = step
        if not use_adam:
            w[r, columns] = (1 - decay) * w[r, columns] - lr * grad[columns]
            bias[0, r] -= lr * bias_grad
            continue
        entries = [w[r, columns], m[r, columns], v[r, columns]]
        adam(*entries, grad[columns], *hyper)
        w[r, columns], m[r, columns], v[r, columns] = entries
        adam(bias[0, r : r + 1], bias[1, r : r + 1], bias[2, r : r + 1], bias_grad, *hyper[:4], 0.0)


# ---- The full softmax (slide/_kernels/full.pyx, topk.pyx) ---------------------------------------------------------


def full_softmax(x, W, bias, label_ptr, labels, scale, smooth):
    """(delta, dx, loss) with every neuron active; delta is n x n_neurons."""
    z = x @ W.T + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    delta, loss = np.zeros_like(p), np.zeros(len(x))
    for i in range(len(x)):
        mine = labels[label_ptr[i] : label_ptr[i + 1]]
        if len(mine) == 0:
            continue
        target = np.full(len(W), smooth / len(W))
        target[mine] += (1 - smooth) / len(mine)
        delta[i] = scale * (p[i] - target)
        loss[i] = -np.log(p[i, mine]).mean()
    return delta, delta @ W, loss


def topk_rows(z, k):
    """(values, ids) of the k largest of each row, ties to the smaller id."""
    ids = np.argsort(-z, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(z, ids, axis=1), ids


# ---- Hash codes (slide/_kernels/hashing_*.pyx) ------------------------------------------------------------


def pack(hashes, K, bits):
    """(n, K L) hashes of `bits` bits to (n, L) codes, the first of K hashes in the highest bits."""
    hashes = np.asarray(hashes, np.uint32).reshape(len(hashes), hashes.shape[1] // K, K)
    codes = np.zeros(hashes.shape[:2], np.uint32)
    for k in range(K):
        codes = (codes << np.uint32(bits)) | hashes[:, :, k]
    return codes


def simhash_rows(rows, indices, signs, K):
    """A bit a projection: is the sum of signs * rows[indices], in the order of the indices, above 0?"""
    sums = np.zeros((len(rows), len(indices)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(indices.shape[1]):
            sums += rows[:, indices[:, i]] * signs[:, i]
    return pack(sums > 0, K, 1)


def winners(rows, bins, nobody):
    """The position of each bin's largest coordinate, the first of equals; `nobody` if none is above -inf."""
    best = np.full((len(rows), len(bins)), -np.inf, np.float32)
    positions = np.full(best.shape, nobody, np.int32)
    for j in range(bins.shape[1]):
        x = rows[:, bins[:, j]]
        better = x > best
        best[better] = x[better]
        positions[better] = j
    return positions


ATTEMPTS = 64


def densify(positions, a, b):
    """Empty bins (negative) take the position of the first filled bin on their walk; a row with none is 0."""
    n_bins = positions.shape[1]
    bins = np.arange(n_bins, dtype=np.uint64)
    walk = bins.astype(np.int64)
    dense = np.where((positions < 0).all(axis=1, keepdims=True), 0, positions)
    for attempt in range(ATTEMPTS + n_bins):
        if (dense >= 0).all():
            break
        if attempt < ATTEMPTS:
            with np.errstate(over="ignore"):
                x = bins * np.uint64(ATTEMPTS) + np.uint64(attempt)
                walk = below(np.uint64(a) * x + np.uint64(b), n_bins).astype(np.int64)
        else:
            walk = (walk + 1) % n_bins
        dense = np.where(dense < 0, positions[:, walk], dense)
    return dense


def wta_rows(rows, bins, K, bits):
    return pack(winners(rows, bins, 0), K, bits)


def dwta_rows(rows, bins, K, bits, a, b):
    present = np.where(rows == 0, np.float32(-np.inf), rows)
    return pack(densify(winners(present, bins, -1), a, b), K, bits)


def top_coordinates(rows, top_k):
    """(n, dim) bool: the top_k largest of each row, the lower coordinate of equals; never a zero or NaN."""
    present = (rows != 0) & ~np.isnan(rows)
    order = np.argsort(np.where(present, -rows, np.inf), axis=1, kind="stable")
    # A present -inf sorts level with the absent: bring the present first.
    absent = ~np.take_along_axis(present, order, axis=1)
    order = np.take_along_axis(order, np.argsort(absent, axis=1, kind="stable"), axis=1)
    chosen = np.zeros(rows.shape, bool)
    np.put_along_axis(chosen, order[:, :top_k], True, axis=1)
    return chosen & present


def minhash_rows(rows, top_k, bins, labels, K, bits, a, b):
    """labels: (K L, width), the hash of each place of each bin."""
    members = top_coordinates(rows, top_k)[:, bins]
    first = members.argmax(axis=2)
    hashes = np.where(members.any(axis=2), labels[np.arange(len(bins)), first].astype(np.int32), -1)
    return pack(densify(hashes, a, b), K, bits)


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


def reinsert_rows(ids, moved, located, tables, capacity, counts, reservoir, seed, step):
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
