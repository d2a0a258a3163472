"""Every row of weights whose logit may reach a floor, and few others: bounds of what the codes of a row leave out.

In:   inputs as `screen.pyx` codes them, its blocks of rows, and what bounds their errors (see slide/search/bounds.py)
Out:  ids (n x room) of the rows that may, of each input, in the order of blocks
Steps, for TILE_QUERIES inputs at a time:
  1. may_reach    the inputs for which a block may have such a row
  2. ops.screen   the scores of its rows for those
  3. keep_rows    the rows whose score, and the bound of its error, reach the floor

A comparison with what is not a number never leaves out a row.
"""

from cython.parallel cimport prange
from libc.stdint cimport int8_t, int32_t, int64_t

from slide._kernels.screen cimport Blocks
from slide._kernels.simd.vec cimport SCREEN_ROWS, Query, ops

cdef enum:
    TILE_QUERIES = 8
    RADIUS = 0  # columns of edges
    SHIFT = 1
    RESIDUAL = 2
    LENGTH = 3


cdef struct Limit:
    float input  # the norm of the input: the factor of a row's distance from its center, and of its residual
    float coding  # what the codes of the input leave out: the factor of a row's length
    float floor


def bounded_rows(Blocks blocks, const float[:, ::1] residual, const float[:, ::1] length, const float[:, ::1] edges,
                 const int8_t[:, ::1] codes, const float[:, ::1] factors, const float[:, ::1] scores,
                 const float[:, ::1] limits, int32_t[:, ::1] ids, int64_t[:, ::1] counts, int threads):
    """ids[i, :counts[i, 0]]: the rows r, of blocks b in cluster c, that have

        scores[i, c] + edges[b, SHIFT] + input * edges[b, RADIUS] >= floor, and
        score(i, r) + input * residual[r] + coding * length[r] >= floor

    with input, coding, floor = limits[i], and score as `Query` says. counts (n x 2): how many these are, of which no
    more than ids has room for are in it, and the blocks that were screened for the input.

    residual, length (blocks x SCREEN_ROWS): of what the codes of a row leave out, and of what they stand for; edges
    (blocks x 4): the largest distance from the center, shift, residual and length of the rows of a block.
    """
    cdef int64_t tile, n_tiles = (codes.shape[0] + TILE_QUERIES - 1) // TILE_QUERIES
    for tile in prange(n_tiles, nogil=True, num_threads=threads, schedule="dynamic"):
        bounded_tile(blocks, residual, length, edges, codes, factors, scores, limits, ids, counts, tile * TILE_QUERIES)


cdef void bounded_tile(Blocks blocks, const float[:, ::1] residual, const float[:, ::1] length,
                       const float[:, ::1] edges, const int8_t[:, ::1] codes, const float[:, ::1] factors,
                       const float[:, ::1] scores, const float[:, ::1] limits, int32_t[:, ::1] ids,
                       int64_t[:, ::1] counts, int64_t first) noexcept nogil:
    cdef int64_t n = min(<int64_t>TILE_QUERIES, codes.shape[0] - first), c, b, k, i, m
    cdef Query[TILE_QUERIES] queries
    cdef Query[TILE_QUERIES] some
    cdef Limit[TILE_QUERIES] limit
    cdef int64_t[TILE_QUERIES] which
    cdef float[TILE_QUERIES * SCREEN_ROWS] out
    cdef float[TILE_QUERIES] top
    for k in range(n):
        i = first + k
        queries[k].codes, queries[k].step, queries[k].zero = &codes[i, 0], factors[i, 0], factors[i, 1]
        limit[k].input, limit[k].coding, limit[k].floor = limits[i, 0], limits[i, 1], limits[i, 2]
        counts[i, 0], counts[i, 1] = 0, 0
    for c in range(blocks.first.shape[0] - 1):
        for k in range(n):
            queries[k].base = scores[first + k, c]
        for b in range(blocks.first[c], blocks.first[c + 1]):
            m = may_reach(&edges[b, 0], queries, limit, n, which)
            if m == 0:
                continue
            for k in range(m):
                some[k] = queries[which[k]]
            ops.screen(&blocks.codes[b, 0, 0], blocks.codes.shape[1], &blocks.scale[b, 0], &blocks.shift[b, 0], some, m,
                       out, top)
            for k in range(m):
                i = first + which[k]
                counts[i, 1] += 1
                if not top[k] + most_error(&edges[b, 0], &limit[which[k]]) < limit[which[k]].floor:
                    counts[i, 0] = keep_rows(out + k * SCREEN_ROWS, &residual[b, 0], &length[b, 0],
                                             &blocks.ids[b, 0], limit[which[k]], counts[i, 0], ids.shape[1], &ids[i, 0])


cdef inline int64_t may_reach(const float *edges, const Query *queries, const Limit *limit, int64_t n,
                              int64_t *which) noexcept nogil:
    cdef int64_t k, m = 0
    for k in range(n):
        which[m] = k
        m += not queries[k].base + edges[SHIFT] + limit[k].input * edges[RADIUS] < limit[k].floor
    return m


cdef inline float most_error(const float *edges, const Limit *limit) noexcept nogil:
    return limit.input * edges[RESIDUAL] + limit.coding * edges[LENGTH]


cdef inline int64_t keep_rows(const float *z, const float *residual, const float *length, const int32_t *found,
                              Limit limit, int64_t kept, int64_t room, int32_t *ids) noexcept nogil:
    cdef int64_t j
    for j in range(SCREEN_ROWS):
        if found[j] >= 0 and not z[j] + (limit.input * residual[j] + limit.coding * length[j]) < limit.floor:
            if kept < room:
                ids[kept] = found[j]
            kept += 1
    return kept
