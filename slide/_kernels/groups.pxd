# A batch at a sampled layer, group by group, and the tiles of its active sets that threads go through.
#
# One thread has a group and goes through its tiles, so that what it needs again is still in a cache. Where there are
# fewer groups than threads, every thread has some of all tiles instead. What sums over rows is summed tile by tile
# either way, so that the result is the same, bit for bit.
from libc.stdint cimport int32_t, int64_t

from slide._kernels.simd.vec cimport N_LANES, TILE_ROWS


cdef class Groups:
    cdef int64_t n
    cdef int64_t lanes
    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] ids
    cdef const int64_t[::1] x_indptr
    cdef const int32_t[::1] x_cols
    cdef const float[::1] x


cdef inline int64_t rows_of(Groups groups, int64_t group) noexcept nogil:
    """The size of a group's active set."""
    return groups.indptr[group + 1] - groups.indptr[group]


cdef inline int64_t columns_of(Groups groups, int64_t group) noexcept nogil:
    """How many columns a group's inputs have."""
    return groups.x_indptr[group + 1] - groups.x_indptr[group]


cdef inline const int32_t *column_ids(Groups groups, int64_t group) noexcept nogil:
    """Which ones; NULL: all, in order."""
    return &groups.x_cols[groups.x_indptr[group]] if groups.x_cols.shape[0] > 0 else NULL


cdef inline const float *inputs_of(Groups groups, int64_t group) noexcept nogil:
    return &groups.x[0] + groups.x_indptr[group] * groups.lanes


cdef struct Tile:
    # Some rows of a group's active set, which are worked on while they are in the cache.
    int64_t group
    int64_t first      # row of the active set
    int64_t n          # rows
    int64_t following  # rows that its thread takes next
    int64_t index      # place among the tiles of all groups


cdef inline const int32_t *ids_of(Groups groups, const Tile *tile) noexcept nogil:
    return &groups.ids[0] + groups.indptr[tile.group] + tile.first


cdef inline int64_t start_of(Groups groups, const Tile *tile) noexcept nogil:
    """Where a tile begins in blocks of active rows."""
    return (groups.indptr[tile.group] + tile.first) * groups.lanes


cdef inline int64_t tile_rows(Groups groups, int64_t group) noexcept nogil:
    """Rows of a full tile. Groups of few lanes are never shared, and gain nothing by tiles."""
    return TILE_ROWS if groups.lanes > N_LANES else max(rows_of(groups, group), <int64_t>1)


cdef inline int64_t tiles_of(Groups groups, int64_t group) noexcept nogil:
    """How many tiles a group has."""
    cdef int64_t size = tile_rows(groups, group)
    return (rows_of(groups, group) + size - 1) // size


cdef inline int64_t tiles_before(Groups groups, int64_t group) noexcept nogil:
    """At least as many as the tiles of the groups before this one: the index of its first."""
    return groups.indptr[group] // TILE_ROWS + group


cdef inline bint threads_share_tiles(Groups groups, int threads) noexcept nogil:
    return groups.n < threads and groups.lanes > N_LANES


cdef struct TileRange:
    # Consecutive tiles of one thread: the current one, and how many are left with it.
    Tile tile
    int64_t left


cdef inline TileRange tiles_of_group(Groups groups, int64_t group) noexcept nogil:
    return tiles_from(groups, group, 0, tiles_of(groups, group))


cdef inline TileRange tiles_of_thread(Groups groups, int thread, int threads) noexcept nogil:
    """Of all tiles, in their order, those of one thread."""
    cdef int64_t count = 0, low, high, g
    for g in range(groups.n):
        count += tiles_of(groups, g)
    low = thread * count // threads
    high = (thread + 1) * count // threads
    g = 0
    count = high - low
    while count > 0 and low >= tiles_of(groups, g):
        low -= tiles_of(groups, g)
        g += 1
    return tiles_from(groups, g, low * TILE_ROWS, count)


cdef inline TileRange tiles_from(Groups groups, int64_t group, int64_t first, int64_t count) noexcept nogil:
    cdef TileRange tiles
    tiles.tile.group, tiles.tile.first, tiles.left = group, first, count
    tiles.tile.n = tiles.tile.following = tiles.tile.index = 0
    if count > 0:
        measure(groups, &tiles)
    return tiles


cdef inline void advance(Groups groups, TileRange *tiles) noexcept nogil:
    """To the next tile, if there is one left."""
    tiles.left -= 1
    if tiles.left == 0:
        return
    tiles.tile.first += tiles.tile.n
    while tiles.tile.first == rows_of(groups, tiles.tile.group):
        tiles.tile.group += 1
        tiles.tile.first = 0
    measure(groups, tiles)


cdef inline void measure(Groups groups, TileRange *tiles) noexcept nogil:
    """The rest of a tile whose group and first row are known."""
    cdef Tile *tile = &tiles.tile
    cdef int64_t rest = rows_of(groups, tile.group) - tile.first
    tile.n = min(rest, tile_rows(groups, tile.group))
    tile.following = rest - tile.n if tiles.left > 1 else 0
    tile.index = tiles_before(groups, tile.group) + tile.first // TILE_ROWS
