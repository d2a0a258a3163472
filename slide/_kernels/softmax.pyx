"""The softmax over active sets: logits, loss, deltas and the gradient of the inputs, in two visits of every tile.

In:   rows of weights, groups with their active sets and inputs (as forward.pyx), targets
Out:  delta (pairs x lanes): scale * (softmax - target), by sample; dx, shaped as the inputs; loss of each sample
Steps, group by group:
  1. exp_tiles     logits of each tile, and their exponentials less the tile's own largest
  2. close_group   from the maxima and sums of all tiles: the losses, and what makes deltas of exponentials
  3. delta_tiles   the deltas of each tile, and what comes of them for the inputs (forward.gradient_tile)
A tile is multiplied in weights.pyx or bfloat16.pyx.

Where the rows of active sets are shared out, each owner enters twice: `open_rows` takes step 1 and gives the sums of
its own rows, `close_rows` takes steps 2 and 3 with those of all.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport expf, logf
from libc.stdint cimport int32_t, int64_t

from slide._kernels.forward cimport add_partials, gradient_tile, partial_size, zero_group
from slide._kernels.groups cimport (
    Groups, Tile, TileRange, advance, rows_of, start_of, threads_share_tiles, tile_rows, tiles_before, tiles_of,
    tiles_of_group, tiles_of_thread,
)
from slide._kernels.simd.vec cimport ops
from slide._kernels.weights cimport WeightRows


cdef class Targets:
    """What a softmax over active sets is held against.

    label_ptr, slots  slots[label_ptr[i]:label_ptr[i + 1]] are the places of sample i's labels in its group's active set
    counts            labels of each sample, those that are elsewhere included
    weights           how many neurons each active one counts for, an entry each; empty: itself alone
    group_size        samples of a group
    scale             factor of each sample's deltas
    smooth            the share of the target that is spread over the active set by its weights, not over the labels
    """

    cdef const int64_t[::1] label_ptr
    cdef const int32_t[::1] slots
    cdef const int64_t[::1] counts
    cdef const float[::1] weights
    cdef int64_t n_samples
    cdef int64_t group_size
    cdef const float[::1] scale
    cdef float smooth

    def __init__(self, const int64_t[::1] label_ptr, const int32_t[::1] slots, const int64_t[::1] counts,
                 const float[::1] weights, int64_t group_size, const float[::1] scale, float smooth):
        self.label_ptr, self.slots, self.counts, self.weights = label_ptr, slots, counts, weights
        self.n_samples, self.group_size = label_ptr.shape[0] - 1, group_size
        self.scale, self.smooth = scale, smooth


cdef struct Buffers:
    # Outputs; then a row of lanes for each tile: its largest logits (later exp(those - the group's)) and its sums of
    # exponentials (later the factors of its deltas); one for each group: the sums, and what is spread evenly; then the
    # gradients of the inputs by tile, where threads share them.
    float *delta
    float *dx      # NULL where it is not asked for
    float *loss
    float *top
    float *total
    float *group_total
    float *even
    float *partial


def softmax_rows(WeightRows rows, Groups groups, Targets targets, float[:, ::1] delta, float[:, ::1] dx,
                 float[::1] loss, float[::1] work, float[:, ::1] room, int threads):
    """Forward, softmax over the active set, output deltas and input gradients of every group.

    A sample without labels has no deltas and no loss. A dx without rows is not computed. work (see `work_size`) and
    room (as `forward_rows`) are scratch.
    """
    cdef Buffers at = buffers_in(groups, delta, dx, loss, &work[0])
    cdef int64_t g
    if threads_share_tiles(groups, threads):
        shared_softmax(rows, groups, targets, &at, room, threads)
        return
    for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
        softmax_group(rows, groups, targets, g, &at, &room[threadid(), 0])


cdef void softmax_group(WeightRows rows, Groups groups, Targets targets, int64_t g, const Buffers *at,
                        float *room) noexcept nogil:
    exp_tiles(rows, groups, targets, tiles_of_group(groups, g), at, room)
    close_group(groups, targets, g, at)
    if at.dx != NULL:
        zero_group(groups, g, at.dx)
    delta_tiles(rows, groups, targets, tiles_of_group(groups, g), at, NULL, room)


cdef void shared_softmax(WeightRows rows, Groups groups, Targets targets, const Buffers *at, float[:, ::1] room,
                         int threads) noexcept:
    """The same where threads share the tiles of each group: they meet after every step."""
    cdef int64_t g
    cdef int t
    for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
        exp_tiles(rows, groups, targets, tiles_of_thread(groups, t, threads), at, &room[t, 0])
    for g in range(groups.n):
        close_group(groups, targets, g, at)
    for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
        delta_tiles(rows, groups, targets, tiles_of_thread(groups, t, threads), at, at.partial, &room[t, 0])
    if at.dx != NULL:
        add_partials(groups, at.partial, at.dx, threads)


def open_rows(WeightRows rows, Groups groups, Targets targets, float[:, ::1] delta, float[:, ::1] dx,
              float[::1] loss, float[::1] work, float[:, ::1] room, int threads, float[:, ::1] sums,
              float[::1] mass):
    """The first visit of active sets that are shared out; the other arrays are for `close_rows`.

    sums (3 x samples): largest logit (-3e38 of none), sum of exponentials less that, sum of the logits of its labels,
    all of these rows and as often as they count; mass (groups): the sum of their weights.
    """
    cdef Buffers at = buffers_in(groups, delta, dx, loss, &work[0])
    cdef int64_t g
    cdef int t
    if threads_share_tiles(groups, threads):
        for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            exp_tiles(rows, groups, targets, tiles_of_thread(groups, t, threads), &at, &room[t, 0])
        for g in range(groups.n):
            open_group(groups, targets, g, &at, sums, mass)
        return
    for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
        exp_tiles(rows, groups, targets, tiles_of_group(groups, g), &at, &room[threadid(), 0])
        open_group(groups, targets, g, &at, sums, mass)


def close_rows(WeightRows rows, Groups groups, Targets targets, float[:, ::1] delta, float[:, ::1] dx,
               float[::1] loss, float[::1] work, float[:, ::1] room, int threads, const float[:, ::1] sums,
               const float[::1] mass):
    """The second visit, after `open_rows` with the same arrays; sums and mass are those of all owners together."""
    cdef Buffers at = buffers_in(groups, delta, dx, loss, &work[0])
    cdef int64_t g
    cdef int t
    if threads_share_tiles(groups, threads):
        for g in range(groups.n):
            close_shared_group(groups, targets, g, &at, sums, mass[g])
        for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            delta_tiles(rows, groups, targets, tiles_of_thread(groups, t, threads), &at, at.partial, &room[t, 0])
        if at.dx != NULL:
            add_partials(groups, at.partial, at.dx, threads)
        return
    for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
        close_shared_group(groups, targets, g, &at, sums, mass[g])
        if at.dx != NULL:
            zero_group(groups, g, at.dx)
        delta_tiles(rows, groups, targets, tiles_of_group(groups, g), &at, NULL, &room[threadid(), 0])


def work_size(Groups groups, bint gradient, int threads):
    """Floats that `softmax_rows` takes as `work`, with or without gradients of inputs."""
    size = 2 * (tiles_before(groups, groups.n) + groups.n) * groups.lanes
    if gradient and threads_share_tiles(groups, threads):
        size += tiles_before(groups, groups.n) * partial_size(groups)
    return size


cdef Buffers buffers_in(Groups groups, float[:, ::1] delta, float[:, ::1] dx, float[::1] loss, float *work) noexcept:
    cdef Buffers at
    cdef int64_t of_tiles = tiles_before(groups, groups.n) * groups.lanes, of_groups = groups.n * groups.lanes
    at.delta, at.loss = &delta[0, 0], &loss[0]
    at.dx = &dx[0, 0] if dx.shape[0] > 0 else NULL
    at.top = work
    at.total = at.top + of_tiles
    at.group_total = at.total + of_tiles
    at.even = at.group_total + of_groups
    at.partial = at.even + of_groups
    return at


# ---- 1. Exponentials -----------------------------------------------------------------------------------------------


cdef void exp_tiles(WeightRows rows, Groups groups, Targets targets, TileRange tiles, const Buffers *at,
                    float *room) noexcept nogil:
    """Logits, and their exponentials less the tile's largest, as often as their rows count."""
    cdef Tile *tile = &tiles.tile
    cdef int64_t lanes = groups.lanes
    cdef float *z
    cdef const float *weights
    while tiles.left > 0:
        z = at.delta + start_of(groups, tile)
        rows.logits(groups, tile, room, z)
        weights = weights_of(groups, targets, tile)
        if lanes == 1:
            exp_row(z, tile.n, weights, at.top + tile.index, at.total + tile.index)
        else:
            ops.lane_exp(z, lanes, tile.n, lanes, weights, at.top + tile.index * lanes, at.total + tile.index * lanes)
        advance(groups, &tiles)


cdef inline const float *weights_of(Groups groups, Targets targets, const Tile *tile) noexcept nogil:
    """The weights of a tile's rows; NULL: 1."""
    if targets.weights.shape[0] == 0:
        return NULL
    return &targets.weights[0] + groups.indptr[tile.group] + tile.first


cdef inline void exp_row(float *z, int64_t n, const float *weights, float *top, float *total) noexcept nogil:
    top[0] = ops.row_max(z, n)
    total[0] = ops.row_exp(z, n, top[0])
    if weights != NULL:
        total[0] = weigh_row(z, weights, n)


cdef inline float weigh_row(float *e, const float *weights, int64_t n) noexcept nogil:
    """Exponentials times their weights; returns the sum."""
    cdef int64_t a
    cdef float total = 0.0
    for a in range(n):
        e[a] *= weights[a]
        total += e[a]
    return total


# ---- 2. Losses and the factors of deltas ---------------------------------------------------------------------------


cdef void close_group(Groups groups, Targets targets, int64_t group, const Buffers *at) noexcept nogil:
    """From the sums of a group's tiles its samples' losses and the factors of its deltas."""
    cdef int64_t n_tiles = tiles_of(groups, group), lanes = groups.lanes, first = group * targets.group_size
    cdef int64_t s, k
    cdef float *shift = at.top + tiles_before(groups, group) * lanes
    cdef float *total = at.total + tiles_before(groups, group) * lanes
    cdef float *group_total = at.group_total + group * lanes
    cdef float *even = at.even + group * lanes
    cdef float mass = mass_of(groups, targets, group), factor
    if lanes == 1:
        group_total[0] = total[0]
        shift[0] = 1.0
    else:  # the maxima, in even, and their own sums are of no further use
        ops.lane_exp(shift, lanes, n_tiles, lanes, NULL, even, group_total)
        add_tiles(total, shift, n_tiles, lanes, group_total)
    for s in range(lanes):
        factor = even[s] = 0.0
        if s < min(targets.group_size, targets.n_samples - first):
            at.loss[first + s] = loss_of(groups, targets, group, s, at.delta, shift, group_total[s])
            if targets.counts[first + s] > 0:
                factor = targets.scale[first + s] / group_total[s]
                even[s] = targets.scale[first + s] * targets.smooth / mass
        for k in range(n_tiles):
            total[k * lanes + s] = factor * shift[k * lanes + s]


cdef inline float mass_of(Groups groups, Targets targets, int64_t group) noexcept nogil:
    """The sum of a group's weights."""
    cdef float mass = 0.0
    cdef int64_t a
    if targets.weights.shape[0] == 0:
        return rows_of(groups, group)
    for a in range(groups.indptr[group], groups.indptr[group + 1]):
        mass += targets.weights[a]
    return mass


cdef inline void add_tiles(const float *total, const float *shift, int64_t n_tiles, int64_t lanes,
                           float *group_total) noexcept nogil:
    """The sums of exponentials of all tiles, in their order, less the largest logits of all."""
    cdef int64_t k, s
    for s in range(lanes):
        group_total[s] = 0.0
    for k in range(n_tiles):
        for s in range(lanes):
            group_total[s] += total[k * lanes + s] * shift[k * lanes + s]


cdef inline float loss_of(Groups groups, Targets targets, int64_t group, int64_t s, const float *delta,
                          const float *shift, float total) noexcept nogil:
    """Mean cross entropy over the labels of lane s, from exponentials and their sum; 0 where it has none."""
    cdef int64_t lanes = groups.lanes, size = tile_rows(groups, group), sample = group * targets.group_size + s
    cdef int64_t k, slot, low = targets.label_ptr[sample], high = targets.label_ptr[sample + 1]
    cdef const float *e = delta + groups.indptr[group] * lanes
    cdef float loss = 0.0
    for k in range(low, high):
        slot = targets.slots[k]
        loss -= logf(e[slot * lanes + s] * shift[slot // size * lanes + s] / total + <float>1e-38)
    return loss / (high - low) if high > low else loss


cdef void open_group(Groups groups, Targets targets, int64_t group, const Buffers *at, float[:, ::1] sums,
                     float[::1] mass) noexcept nogil:
    """The sums of a group's tiles, for the sums of all owners."""
    cdef int64_t n_tiles = tiles_of(groups, group), size = tile_rows(groups, group), lanes = groups.lanes
    cdef int64_t first = group * targets.group_size, s, k, sample
    cdef const float *top = at.top + tiles_before(groups, group) * lanes
    cdef const float *total = at.total + tiles_before(groups, group) * lanes
    cdef const float *e = at.delta + groups.indptr[group] * lanes
    cdef float most, added, labels
    mass[group] = mass_of(groups, targets, group)
    for s in range(min(targets.group_size, targets.n_samples - first)):
        sample = first + s
        most, added, labels = <float>-3e38, 0.0, 0.0
        for k in range(n_tiles):
            most = max(most, top[k * lanes + s])
        for k in range(n_tiles):
            added = added + total[k * lanes + s] * expf(top[k * lanes + s] - most)
        for k in range(targets.label_ptr[sample], targets.label_ptr[sample + 1]):
            labels = labels + label_logit(e, top, targets.slots[k], size, lanes, s)
        sums[0, sample], sums[1, sample], sums[2, sample] = most, added, labels


cdef inline float label_logit(const float *e, const float *top, int64_t slot, int64_t size, int64_t lanes,
                              int64_t s) noexcept nogil:
    return logf(e[slot * lanes + s] + <float>1e-38) + top[slot // size * lanes + s]


cdef void close_shared_group(Groups groups, Targets targets, int64_t group, const Buffers *at,
                             const float[:, ::1] sums, float mass) noexcept nogil:
    """From the sums of all owners a group's losses and the factors of its deltas."""
    cdef int64_t n_tiles = tiles_of(groups, group), lanes = groups.lanes, first = group * targets.group_size
    cdef int64_t s, k, sample
    cdef const float *top = at.top + tiles_before(groups, group) * lanes
    cdef float *total = at.total + tiles_before(groups, group) * lanes
    cdef float *even = at.even + group * lanes
    cdef float factor, most
    for s in range(lanes):
        factor = even[s] = most = 0.0
        sample = first + s
        if s < min(targets.group_size, targets.n_samples - first):
            most = sums[0, sample]
            at.loss[sample] = 0.0
            if targets.counts[sample] > 0:
                at.loss[sample] = logf(sums[1, sample]) + most - sums[2, sample] / targets.counts[sample]
                factor = targets.scale[sample] / sums[1, sample]
                even[s] = targets.scale[sample] * targets.smooth / mass
        for k in range(n_tiles):
            total[k * lanes + s] = factor * expf(top[k * lanes + s] - most) if factor != 0 else 0


# ---- 3. Deltas -----------------------------------------------------------------------------------------------------


cdef void delta_tiles(WeightRows rows, Groups groups, Targets targets, TileRange tiles, const Buffers *at,
                      float *partial, float *room) noexcept nogil:
    """Deltas factor * exp - even - target, and what comes of them for the inputs."""
    cdef Tile *tile = &tiles.tile
    cdef int64_t lanes = groups.lanes
    cdef float *z
    cdef const float *weights
    cdef const float *factor
    cdef const float *even
    while tiles.left > 0:
        z = at.delta + start_of(groups, tile)
        factor = at.total + tile.index * lanes
        even = at.even + tile.group * lanes
        weights = weights_of(groups, targets, tile)
        if lanes == 1:
            delta_row(z, tile.n, weights, factor[0], even[0])
        else:
            ops.lane_deltas(z, lanes, tile.n, lanes, weights, factor, even)
        subtract_targets(groups, targets, tile, z)
        if at.dx != NULL:
            gradient_tile(rows, groups, tile, at.delta, at.dx, partial, room)
        advance(groups, &tiles)


cdef inline void delta_row(float *z, int64_t n, const float *weights, float factor, float even) noexcept nogil:
    cdef int64_t a
    for a in range(n):
        z[a] = z[a] * factor - even * (weights[a] if weights != NULL else 1)


cdef inline void subtract_targets(Groups groups, Targets targets, const Tile *tile, float *z) noexcept nogil:
    """From the deltas z of a tile the targets of those labels that are in it."""
    cdef int64_t first = tile.group * targets.group_size, s, k, place, low, high
    for s in range(min(targets.group_size, targets.n_samples - first)):
        low = targets.label_ptr[first + s]
        high = targets.label_ptr[first + s + 1]
        for k in range(low, high):
            place = targets.slots[k] - tile.first
            if 0 <= place < tile.n:
                z[place * groups.lanes + s] -= (
                    targets.scale[first + s] * (1 - targets.smooth) / targets.counts[first + s]
                )
