"""A sampled layer forward and back: logits of the active rows, and what their gradients are for the inputs.

In:   rows of weights, groups with their active sets and inputs (lane blocks, see lanes.pyx)
Out:  forward_rows: out (pairs x lanes), a row for each active neuron; input_gradient_rows: dx, shaped as the inputs
Both go through the tiles of every group (see groups.pxd); a tile is multiplied in weights.pyx or bfloat16.pyx.
softmax.pyx does both in one visit for the output layer.
"""

from cython.parallel cimport prange, threadid
from libc.string cimport memset

from slide._kernels.groups cimport (
    TileRange, advance, columns_of, start_of, threads_share_tiles, tiles_before, tiles_of, tiles_of_group,
    tiles_of_thread,
)


def forward_rows(WeightRows rows, Groups groups, bint relu, float[:, ::1] out, float[:, ::1] room, int threads):
    """out[a] = W[ids[a], x_cols] . x + bias[ids[a]] for the active neurons a of every group, then ReLU if asked.

    room (threads x what the format of the rows asks for) is scratch.
    """
    cdef int64_t g
    cdef int t
    if not threads_share_tiles(groups, threads):
        for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
            forward_tiles(rows, groups, tiles_of_group(groups, g), relu, &out[0, 0], &room[threadid(), 0])
        return
    for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
        forward_tiles(rows, groups, tiles_of_thread(groups, t, threads), relu, &out[0, 0], &room[t, 0])


cdef void forward_tiles(WeightRows rows, Groups groups, TileRange tiles, bint relu, float *out,
                        float *room) noexcept nogil:
    cdef int64_t i
    cdef float *z
    while tiles.left > 0:
        z = out + start_of(groups, &tiles.tile)
        rows.logits(groups, &tiles.tile, room, z)
        for i in range(tiles.tile.n * groups.lanes if relu else 0):
            z[i] = max(z[i], <float>0.0)
        advance(groups, &tiles)


def input_gradient_rows(WeightRows rows, Groups groups, const float[:, ::1] delta, float[:, ::1] dx, float[::1] work,
                        float[:, ::1] room, int threads):
    """dx[j] = sum_a W[ids[a], x_cols[j]] * delta[a] for every group. work: see `work_size`; room: as `forward_rows`."""
    cdef int64_t g
    cdef int t
    if not threads_share_tiles(groups, threads):
        for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
            zero_group(groups, g, &dx[0, 0])
            gradient_tiles(rows, groups, tiles_of_group(groups, g), &delta[0, 0], &dx[0, 0], NULL,
                           &room[threadid(), 0])
        return
    for t in prange(threads, nogil=True, num_threads=threads, schedule="static"):
        gradient_tiles(rows, groups, tiles_of_thread(groups, t, threads), &delta[0, 0], &dx[0, 0], &work[0],
                       &room[t, 0])
    add_partials(groups, &work[0], &dx[0, 0], threads)


def work_size(Groups groups, int threads):
    """Floats that `input_gradient_rows` takes as `work`."""
    return tiles_before(groups, groups.n) * partial_size(groups) if threads_share_tiles(groups, threads) else 0


cdef int64_t partial_size(Groups groups) noexcept nogil:
    """Floats of the inputs' gradient that one tile gives, of the group that has most columns."""
    cdef int64_t g, most = 0
    for g in range(groups.n):
        most = max(most, columns_of(groups, g))
    return most * groups.lanes


cdef void zero_group(Groups groups, int64_t group, float *dx) noexcept nogil:
    memset(dx + groups.x_indptr[group] * groups.lanes, 0, columns_of(groups, group) * groups.lanes * sizeof(float))


cdef void gradient_tiles(WeightRows rows, Groups groups, TileRange tiles, const float *delta, float *dx, float *partial,
                         float *room) noexcept nogil:
    while tiles.left > 0:
        gradient_tile(rows, groups, &tiles.tile, delta, dx, partial, room)
        advance(groups, &tiles)


cdef void gradient_tile(WeightRows rows, Groups groups, const Tile *tile, const float *delta, float *dx, float *partial,
                        float *room) noexcept nogil:
    """Adds to dx, or writes to the tile's place in `partial`, where that is not NULL."""
    cdef float *into = dx + groups.x_indptr[tile.group] * groups.lanes
    if partial != NULL:
        into = partial + tile.index * partial_size(groups)
        memset(into, 0, columns_of(groups, tile.group) * groups.lanes * sizeof(float))
    rows.add_input_gradient(groups, tile, delta + start_of(groups, tile), room, into)


cdef void add_partials(Groups groups, const float *partial, float *dx, int threads) noexcept nogil:
    """dx of groups whose tiles were shared."""
    cdef int64_t g, j, size = partial_size(groups)
    for g in range(groups.n):
        for j in prange(columns_of(groups, g), num_threads=threads, schedule="static"):
            add_partial_row(groups, g, j, partial, size, dx)


cdef void add_partial_row(Groups groups, int64_t group, int64_t j, const float *partial, int64_t size,
                          float *dx) noexcept nogil:
    """Row j of a group's gradient, those of its tiles added up in their order."""
    cdef int64_t k, i, first = tiles_before(groups, group), lanes = groups.lanes
    cdef float *out = dx + (groups.x_indptr[group] + j) * lanes
    cdef const float *part
    memset(out, 0, lanes * sizeof(float))
    for k in range(first, first + tiles_of(groups, group)):
        part = partial + k * size + j * lanes
        for i in range(lanes):
            out[i] += part[i]
