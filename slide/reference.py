"""The algorithm in plain NumPy: one function a kernel, with the kernel's name. The tests' oracle.

Written to be read, not to be fast; imports NumPy and the random numbers that kernels and oracle are defined by.
Only tests import it.
"""

import numpy as np

from slide.counter_rng import FILL, ORDER, POOL, UNIFORM, below, draw, group_key, key, shuffle_row

# ---- Rows of a CSR matrix (slide/_kernels/rows.pyx) ---------------------------------------------------------------


def take_rows(starts, indptr, ids, values):
    """(ids, values) of the slices that begin at starts, side by side, each as long as indptr says."""
    where = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], np.diff(indptr))
    return ids[where], values[where]


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


def softmax_rows(W, bias, indptr, ids, x_indptr, x_cols, x, weights, label_ptr, slots, group_size, scale, smooth):
    """(delta, dx, loss): softmax over each group's active set against targets spread evenly over the labels.

    An active neuron counts weights[a] times, once where there are no weights.
    """
    weights = weights if len(weights) else np.ones(len(ids))
    z = forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, False)
    n = len(label_ptr) - 1
    delta, loss = np.zeros_like(z), np.zeros(n)
    for i in range(n):
        g, s = divmod(i, group_size)
        mine = slots[label_ptr[i] : label_ptr[i + 1]]
        if len(mine) == 0:
            continue
        logits = z[indptr[g] : indptr[g + 1], s]
        count = weights[indptr[g] : indptr[g + 1]]
        p = count * np.exp(logits - logits.max())
        p /= p.sum()
        target = smooth * count / count.sum()
        target[mine] += (1 - smooth) / len(mine)
        delta[indptr[g] : indptr[g + 1], s] = scale * (p - target)
        loss[i] = -np.log(p[mine] + 1e-38).mean()
    return delta, input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta), loss


# ---- Sampled layers, the row's side (slide/_kernels/transpose.pyx, update.pyx, hogwild.pyx, optimizer.pxd) --------


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


def update_rows(indptr, ids, coef, x_indptr, x_cols, x, w, m, v, bias, use_adam, hyper, seed=0, step=0):
    """Gradient and optimizer of every touched row, in place; of sparse inputs only the columns of its groups.

    Weights, and moments, may be the bits of bfloat16 (uint16): seed and step say how they are rounded.
    """
    wide = [widen(a) if a.dtype == np.uint16 else a for a in (w, m, v)]
    for r, pairs in transpose_rows(indptr, ids).items():
        grad, columns = gradient_row(pairs, coef, x_indptr, x_cols, x, w.shape[1])
        step_row(r, grad, columns, *wide, use_adam, hyper)
        bias_grad = sum(coef[pair].sum() for pair, _ in pairs)
        step_row(r, bias_grad, slice(None), *bias[:, :, None], use_adam, (*hyper[:4], 0.0))
        if w.dtype == np.uint16:
            narrow_row(r, *wide, w, m, v, seed, step)


def gradient_row(pairs, coef, x_indptr, x_cols, x, width):
    """(gradient of a row, which columns its groups have)"""
    lanes, grad, columns = coef.shape[1], np.zeros(width), np.zeros(width, bool)
    for pair, g in pairs:
        a, b = x_indptr[g], x_indptr[g + 1]
        inputs = x[a * lanes : b * lanes].reshape(lanes, b - a)
        grad[_columns(x_cols, a, b)] += coef[pair] @ inputs
        columns[_columns(x_cols, a, b)] = True
    return grad[columns], columns


def step_row(r, grad, columns, w, m, v, use_adam, hyper):
    """The optimizer on some columns of row r, in place."""
    lr, decay = hyper[0], hyper[4]
    if not use_adam:
        w[r, columns] = (1 - decay) * w[r, columns] - lr * grad
        return
    entries = [w[r, columns], m[r, columns], v[r, columns]]
    adam(*entries, grad, *hyper)
    w[r, columns], m[r, columns], v[r, columns] = entries


# ---- bfloat16 (slide/_kernels/bfloat16.pyx) -----------------------------------------------------------------------
# The forward side is that of float32 on the widened weights.


def widen(bits):
    """float32 of which `bits` (uint16) are the upper halves."""
    return (np.asarray(bits, np.uint32) << np.uint32(16)).view(np.float32)


def upper_half(x, added):
    """The upper halves of x + added, as bits; a NaN stays one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    with np.errstate(over="ignore"):
        return np.where(np.isnan(x), 0x7FC0, (bits + added) >> np.uint32(16)).astype(np.uint16)


def narrow(x):
    """float32 to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return upper_half(x, np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))


def draw_bits(stream, i):
    """32 random bits for the places i of a stream of 64 bits (Wellons' lowbias32)."""
    low, high = np.uint32(int(stream) & 0xFFFFFFFF), np.uint32(int(stream) >> 32)
    with np.errstate(over="ignore"):
        x = np.asarray(i, np.uint32) * np.uint32(0x9E3779B9) + low
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15)) ^ high) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def narrow_at_random(x, stream, half=0):
    """A row of float32 to one of both neighbours, up with the share of the way that lies behind."""
    return upper_half(x, (draw_bits(stream, np.arange(len(x))) >> np.uint32(16 * half)) & np.uint32(0xFFFF))


def narrow_row(r, w, m, v, bits_w, bits_m, bits_v, seed, step):
    """Stores row r of float32 weights, and of moments where bits_m are uint16, after an update."""
    stream = key(seed, step, r)
    bits_w[r] = narrow_at_random(w[r], stream)
    if bits_m.dtype == np.uint16 and len(bits_m):
        bits_m[r], bits_v[r] = narrow(m[r]), narrow_at_random(v[r], stream, 1)


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


def winners(rows, bins, empty):
    """The position of each bin's largest coordinate, the first of equals; `empty` if none is above -inf."""
    best = np.full((len(rows), len(bins)), -np.inf, np.float32)
    positions = np.full(best.shape, empty, np.int32)
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


def bound_rows(rows, mean, variance, errors):
    """rows . mean + errors * sqrt(rows**2 . variance)"""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows @ mean + np.float32(errors) * np.sqrt(rows**2 @ variance)


def range_rows(rows, mean, variance, errors, least, bits, codes):
    """(n, L) codes without the lowest bits[t] bits of table t, and ABSENT where a row's bound is below least[t]."""
    held = bound_rows(rows, mean, variance, errors)[:, None] >= least
    bits = np.asarray(bits, np.uint32)
    return np.where((bits == 0) | held, codes >> bits << bits, np.uint32(ABSENT))


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


def hadamard(x):
    """The Walsh-Hadamard transform, not normalised, along the first axis (a power of two) of x, overwriting it."""
    size, n = x.shape
    other, half = np.empty_like(x), 1
    while half < size:
        a, b = (v.reshape(-1, 2, half, n) for v in (x, other))
        np.add(a[:, 0], a[:, 1], out=b[:, 0])
        np.subtract(a[:, 0], a[:, 1], out=b[:, 1])
        x, other, half = other, x, 2 * half
    return x


def nearest(x, out):
    """out (pieces, n): 2 * the place of the largest magnitude along the middle axis, + 1 where it is negative."""
    best = np.zeros((x.shape[0], x.shape[2]), np.float32)
    out[...] = 0
    for place in range(x.shape[1]):
        value = x[:, place]
        size = np.abs(value)
        better = size > best
        np.copyto(best, size, where=better)
        np.copyto(out, 2 * place + (value < 0), where=better)


def cross_polytope_rows(rows, signs, width, K, L, bits):
    """signs (rotations, 3, size): rotations cut in pieces of `width` coordinates, a hash each."""
    n, size = len(rows), signs.shape[2]
    hashes = np.empty((len(signs), size // width, n), np.int32)
    padded = np.zeros((size, n), np.float32)
    padded[: rows.shape[1]] = rows.T
    with np.errstate(invalid="ignore", over="ignore"):
        for three, found in zip(signs, hashes, strict=True):
            rotated = padded
            for each in three:
                rotated = hadamard(rotated * each[:, None])
            nearest(rotated.reshape(-1, width, n), found)
    return pack(hashes.reshape(-1, n)[: K * L].T, K, bits)


CODES = {
    "simhash": lambda f, rows: simhash_rows(rows, f._indices, f._signs, f.K),
    "wta": lambda f, rows: wta_rows(rows, f._bins, f.K, f.bits_per_hash),
    "dwta": lambda f, rows: dwta_rows(rows, f._bins, f.K, f.bits_per_hash, f._a, f._b),
    "minhash": lambda f, rows: minhash_rows(rows, f.top_k, f._bins, f._labels, f.K, f.bits, f._a, f._b),
    "cross-polytope": lambda f, rows: cross_polytope_rows(rows, f._signs, f.width, f.K, f.L, f.bits_per_hash),
    "ranged": lambda f, rows: range_rows(
        rows, f._mean, f._variance, f.errors, f._least, f._bits, codes(f._inner, rows)
    ),
}


def codes(family, rows):
    """What `family.codes` returns of dense float32 rows (n, dim), for the families of this package."""
    return CODES[family.name](family, rows)


# ---- Hash tables (slide/_kernels/tables.pyx) ---------------------------------------------------------------
# A table is a list of buckets, a bucket a list of ids, oldest first.


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


# ---- Sampling (slide/_kernels/sampling.pyx) ----------------------------------------------------------------
# Active sets are lists of lists of ids; `tables` as above; `located` (L, n) the samples' buckets.

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


def inclusion_rows(sets, retrieved, frequency, draws, missed):
    """The weights of each group's ids: see sampling.inclusion."""
    weights = []
    for g, ids in enumerate(sets):
        probability = 1 - missed[g] * (1 - np.minimum(frequency[ids], 1 - 1e-6)) ** draws[g]
        probability[np.isin(ids, retrieved[g])] = 1.0
        weights.append(1 / np.maximum(probability, 1 / len(frequency)))
    return weights


# ---- The XMC-repository text format (slide/_kernels/parse.pyx) ---------------------------------------------


def scan_decimal(token):
    """(sign, digits, exponent) of sign * digits * 10**exponent; None where the token is no decimal number."""
    signs = (b"+", b"-")
    body, e, power = token[token[:1] in signs :].lower().partition(b"e")
    whole, _, fraction = body.partition(b".")
    if not (whole + fraction).isdigit() or (e and not power[power[:1] in signs :].isdigit()):
        return None
    exponent = (int(power) if e else 0) - len(fraction)
    return -1 if token[:1] == b"-" else 1, int(whole + fraction), exponent


def round_decimal(sign, digits, exponent):
    """The float32 nearest to sign * digits * 10**exponent in whole-number arithmetic, ties to even."""
    top = len(str(digits)) + exponent
    if digits == 0 or top < -60:
        return np.float32(sign * 0.0)
    if top > 60:
        return np.float32(sign * np.inf)
    over, under = (digits * 10**exponent, 1) if exponent >= 0 else (digits, 10**-exponent)

    def distance(candidate):
        units = int(min(float(candidate), 2.0**128) * 2.0**149)  # every float32 is a multiple of 2**-149
        return abs(over * 2**149 - units * under), candidate.view(np.uint32) & 1

    with np.errstate(over="ignore"):
        near = np.float32(over / under)
        around = np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(np.inf))
    return np.float32(sign) * min(around, key=distance)


def parse_row(line, n_features, n_labels):
    """(fault, its position in the line, labels, features, values) of a line without its end."""
    at, labels, features, values = 0, [], [], []
    first, *rest = line.replace(b"\t", b" ").split(b" ")
    for piece in first.split(b",") if first else ():
        if not piece.isdigit() or int(piece) >= n_labels:
            return 2 if piece.isdigit() else 1, at, labels, features, values
        labels.append(int(piece))
        at += len(piece) + 1
    at = len(first) + 1
    for token in rest:
        feature, colon, number = token.partition(b":")
        decimal = scan_decimal(number)
        fault = 5 if decimal is None else 0
        if feature.isdigit() and int(feature) >= n_features:
            fault = 4
        if not feature.isdigit() or not colon:
            fault = 3
        if token and fault:
            return fault, at, labels, features, values
        if token:
            features.append(int(feature))
            values.append(round_decimal(*decimal))
        at += len(token) + 1
    return 0, at, labels, features, values


def parse_rows(
    text, n_features, n_labels, max_rows, label_ptr, labels, feature_ptr, features, values, doubts, report
):
    """As the kernel, but every number is rounded here: `doubts` stays empty."""
    text = bytes(text)
    at = row = n_found = n_values = fault = 0
    label_ptr[0] = feature_ptr[0] = 0
    while at < len(text) and row < max_rows and not fault:
        end = text.index(b"\n", at)
        line = text[at:end].removesuffix(b"\r")
        fault, place, *found = parse_row(line, n_features, n_labels)
        labels[n_found : n_found + len(found[0])] = found[0]
        features[n_values : n_values + len(found[1])] = found[1]
        values[n_values : n_values + len(found[1])] = found[2]
        n_found += len(found[0])
        n_values += len(found[1])
        at = at + place if fault else end + 1
        if not fault:
            row += 1
            label_ptr[row], feature_ptr[row] = n_found, n_values
    report[:] = row, at, n_found, n_values, 0
    return fault


def sort_rows(ptr, ids, values):
    """Sorts each row of (ptr, ids, values) by id, in place; the first row with a repeated id, or -1."""
    for row, (start, end) in enumerate(zip(ptr[:-1], ptr[1:], strict=True)):
        order = np.argsort(ids[start:end], kind="stable")
        ids[start:end], values[start:end] = ids[start:end][order], values[start:end][order]
        if len(set(ids[start:end].tolist())) < end - start:
            return row
    return -1


def write_decimal(value):
    """The fewest digits that read back as the float32 `value`."""
    mantissa, _, power = np.format_float_scientific(value, trim="-").partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, exponent = whole + fraction, int(power) - len(fraction)
    sign = "-" if mantissa.startswith("-") else ""
    if exponent < -15 or exponent > 6:
        return f"{sign}{digits}e{exponent}"
    digits = (digits + "0" * exponent).zfill(1 - exponent)
    return sign + (f"{digits[:exponent]}.{digits[exponent:]}" if exponent < 0 else digits)


def format_rows(label_ptr, labels, feature_ptr, features, values, first, last, text):
    """Writes rows first..last-1 to `text`; returns the bytes."""
    lines = []
    for row in range(first, last):
        own = labels[label_ptr[row] : label_ptr[row + 1]]
        words = range(feature_ptr[row], feature_ptr[row + 1])
        line = ",".join(map(str, own)) + "".join(f" {features[k]}:{write_decimal(values[k])}" for k in words)
        lines.append((line or " ") + "\n")
    found = np.frombuffer("".join(lines).encode(), np.uint8)
    text[: len(found)] = found
    return len(found)


# ---- Bandwidth of a machine (slide/_kernels/bandwidth.pyx) -------------------------------------------------


def sum_rows(W, ids, ones, out):
    out += W[ids].reshape(len(out), len(ones), -1).sum(axis=1)


def scale_rows(w, m, v, ids, factor):
    for matrix in (w, m, v):
        matrix[ids] *= np.float32(factor)
