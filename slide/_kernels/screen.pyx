"""The best few candidates for the top of a wide layer, by rows of 4 bits, in some clusters of its neurons.

In:   inputs (n x d) and what `slide.search.TopIndex` holds: centers of clusters, and the rows of each in blocks
Out:  scores and ids (n x kept) of the candidates of each input, best first; ties go to the smaller id
Steps:
  1. products_rows  the scores of all centers for each input, and the inputs' coordinates in another basis
  2. encode_rows    the coordinates in 8 bits
  3. choose_rows    the clusters of largest score
  4. search_rows    the candidates:
     group          the inputs of each cluster
     screen         cluster by cluster, while its rows are in the cache: scores of its rows, and each input's heap, for
                    each part of the clusters
     join           the heaps of the parts
     All three are done for an input's few best clusters first, so that few rows of the others enter its heap.

A block is SCREEN_ROWS rows of weights side by side: of each group of 8 columns 4 bytes a row, whose low halves are the
columns 0 to 3 and whose high halves are 4 to 7. Places of a block without a neuron have id -1.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabsf, rintf
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from slide._kernels.heaps cimport offer, sort_heap
from slide._kernels.simd.vec cimport SCREEN_ROWS, Query, ops

cdef enum:
    TILE_INPUTS = 12  # rows of a product at a time; a multiple of those that stay in registers in any set
    BINS = 256
    TILE_QUERIES = 8  # that share a block of weights while it is in the cache

ROWS = SCREEN_ROWS
cdef double MIDDLE = 7.5  # of the codes 0 to 15 of weights
cdef double LEAST = 1e-30  # the largest of an input, below which all of it counts as 0


def products_rows(const float[:, ::1] x, const float[:, :, ::1] panels, const float[::1] bias, float[:, ::1] out,
                  int threads):
    """out (n x columns of all panels) = x (n x d) times panels (panels x d x width) + bias.

    The sums of a row are taken in one order, whatever other rows there are.
    """
    cdef int64_t n_tiles = (x.shape[0] + TILE_INPUTS - 1) // TILE_INPUTS, tile
    for tile in prange(n_tiles, nogil=True, num_threads=threads, schedule="static"):
        products_tile(x, tile * TILE_INPUTS, panels, bias, out)


cdef void products_tile(const float[:, ::1] x, int64_t first, const float[:, :, ::1] panels, const float[::1] bias,
                        float[:, ::1] out) noexcept nogil:
    cdef int64_t count = min(<int64_t>TILE_INPUTS, x.shape[0] - first), width = ops.panel, p, i, j
    for p in range(panels.shape[0]):
        ops.panel_product(&x[first, 0], x.shape[1], count, &panels[p, 0, 0], x.shape[1], NULL,
                          &out[first, p * width], out.shape[1], NULL, NULL)
    for i in range(first, first + count):
        for j in range(bias.shape[0]):
            out[i, j] += bias[j]


def encode_rows(const float[:, ::1] x, int8_t[:, ::1] codes, float[:, ::1] factors, int threads):
    """codes (n x width) of the first columns of x, and factors (n x 2) of each row: step, with x = step * code, nearly,
    and zero = step * 7.5 * (sum of codes)."""
    cdef int64_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads, schedule="static"):
        encode_row(&x[i, 0], codes.shape[1], &codes[i, 0], &factors[i, 0])


cdef void encode_row(const float *x, int64_t width, int8_t *codes, float *factors) noexcept nogil:
    cdef float most = 0, step, inverse
    cdef int64_t j, total = 0
    for j in range(width):
        most = max(most, fabsf(x[j]))
    step = most / 127
    inverse = 1 / step if most > <float>LEAST else 0
    for j in range(width):
        codes[j] = <int8_t>rintf(x[j] * inverse)
        total += codes[j]
    factors[0], factors[1] = step, <float>(<double>(step * <float>MIDDLE) * total)


def choose_rows(const float[:, ::1] scores, int64_t n_clusters, int64_t few, float[:, ::1] scratch,
                int32_t[:, ::1] chosen, int threads):
    """chosen (n x probes): the clusters of largest score, of the first n_clusters, of each row; the `few` best come
    before the others, and both rise. Ties go to the smaller. scratch: threads x n_clusters."""
    cdef int64_t i
    for i in prange(scores.shape[0], nogil=True, num_threads=threads, schedule="static"):
        choose_row(&scores[i, 0], n_clusters, few, &scratch[threadid(), 0], &chosen[i, 0], chosen.shape[1])


cdef void choose_row(const float *scores, int64_t n, int64_t few, float *work, int32_t *chosen,
                     int64_t probes) noexcept nogil:
    cdef int64_t j, best = 0, other = few, equal_best = few, equal = probes
    cdef float least_best = nth_largest(scores, n, few, work), least = nth_largest(scores, n, probes, work)
    for j in range(n):
        equal_best -= scores[j] > least_best
        equal -= scores[j] > least
    for j in range(n):
        if scores[j] < least or (scores[j] == least and equal <= 0):
            continue
        equal -= scores[j] == least
        if scores[j] > least_best or (scores[j] == least_best and equal_best > 0):
            equal_best -= scores[j] == least_best
            chosen[best] = <int32_t>j
            best += 1
        else:
            chosen[other] = <int32_t>j
            other += 1


cdef inline float nth_largest(const float *x, int64_t n, int64_t nth, float *work) noexcept nogil:
    """The nth largest, from 1 on, of x (n): found among those of its bin, of BINS between the least and the largest.

    work: n.
    """
    cdef int64_t[BINS] counts
    cdef float least = x[0], most = x[0], factor
    cdef int64_t j, bin_, m = 0, above = 0
    for j in range(n):
        least = min(least, x[j])
        most = max(most, x[j])
    if not most > least:
        return least
    factor = <float>(0.999 * BINS) / (most - least)
    for j in range(BINS):
        counts[j] = 0
    for j in range(n):
        counts[<int64_t>((x[j] - least) * factor)] += 1
    bin_ = BINS - 1
    while above + counts[bin_] < nth:
        above += counts[bin_]
        bin_ -= 1
    for j in range(n):
        work[m] = x[j]
        m += <int64_t>((x[j] - least) * factor) == bin_
    return nth_of_some(work, m, nth - above)


cdef inline float nth_of_some(float *x, int64_t n, int64_t nth) noexcept nogil:
    """The nth largest, from 1 on, of x (n), which is rearranged (Hoare's selection)."""
    cdef int64_t low = 0, high = n - 1, i, j
    cdef float pivot, swap
    while low < high:
        pivot = x[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while x[i] > pivot:
                i += 1
            while x[j] < pivot:
                j -= 1
            if i <= j:
                swap = x[i]
                x[i] = x[j]
                x[j] = swap
                i += 1
                j -= 1
        if nth - 1 <= j:
            high = j
        elif nth - 1 >= i:
            low = i
        else:
            break
    return x[nth - 1]


cdef class Blocks:
    """Rows of weights, cluster by cluster.

    first (clusters + 1)         the blocks of cluster c are first[c]:first[c + 1]
    codes (blocks x groups x 4 * SCREEN_ROWS)
    scale, shift (blocks x SCREEN_ROWS), ids alike: of each row; its score is as `Query` says
    """

    def __init__(self, const int64_t[::1] first, const uint8_t[:, :, ::1] codes, const float[:, ::1] scale,
                 const float[:, ::1] shift, const int32_t[:, ::1] ids):
        self.first, self.codes, self.scale, self.shift, self.ids = first, codes, scale, shift, ids


def search_rows(Blocks blocks, const int8_t[:, ::1] codes, const float[:, ::1] factors, const float[:, ::1] scores,
                const int32_t[:, ::1] chosen, int64_t few, int64_t[::1] cluster_ptr, int32_t[::1] inputs,
                int64_t[::1] part_ptr, float[::1] floors, float[:, :, ::1] values, int32_t[:, :, ::1] ids, int threads):
    """values[0], ids[0] (n x kept): of each input the rows of largest score in the clusters it chose, best first; where
    they are fewer, ids is -1. Returns the blocks that were screened, of all inputs.

    codes, factors (n x 8 * groups, n x 2) as of `encode_rows`, scores (n x clusters at least), and chosen (n x probes)
    as of `choose_rows`. Scratch: cluster_ptr (clusters + 1), inputs (n * probes), part_ptr (parts + 1), floors (n), and
    the heaps of all parts, values and ids (parts x n x kept).
    """
    cdef int64_t screened
    with nogil:
        floors[:] = -INFINITY
        ids[:, :, :] = -1
        group(chosen, 0, few, cluster_ptr, inputs)
        screened = share_out(blocks, cluster_ptr, part_ptr)
        screen(blocks, codes, factors, scores, cluster_ptr, inputs, part_ptr, floors, values, ids, threads)
        join(values, ids, floors, False, threads)
        group(chosen, few, chosen.shape[1], cluster_ptr, inputs)
        screened += share_out(blocks, cluster_ptr, part_ptr)
        screen(blocks, codes, factors, scores, cluster_ptr, inputs, part_ptr, floors, values, ids, threads)
        join(values, ids, floors, True, threads)
    return screened


cdef void group(const int32_t[:, ::1] chosen, int64_t low, int64_t high, int64_t[::1] cluster_ptr,
                int32_t[::1] inputs) noexcept nogil:
    """The inputs that have cluster c among chosen[:, low:high], rising: inputs[cluster_ptr[c]:cluster_ptr[c + 1]]."""
    cdef int64_t n_clusters = cluster_ptr.shape[0] - 1, i, j, c
    cluster_ptr[:] = 0
    for i in range(chosen.shape[0]):
        for j in range(low, high):
            cluster_ptr[chosen[i, j] + 1] += 1
    for c in range(n_clusters):
        cluster_ptr[c + 1] += cluster_ptr[c]
    for i in range(chosen.shape[0]):
        for j in range(low, high):
            c = chosen[i, j]
            inputs[cluster_ptr[c]] = <int32_t>i
            cluster_ptr[c] += 1
    for c in range(n_clusters, 0, -1):
        cluster_ptr[c] = cluster_ptr[c - 1]
    cluster_ptr[0] = 0


cdef int64_t share_out(Blocks blocks, const int64_t[::1] cluster_ptr, int64_t[::1] part_ptr) noexcept nogil:
    """The clusters of each part, part_ptr[p]:part_ptr[p + 1], which take about as long; the blocks that are screened
    in all."""
    cdef int64_t n_clusters = cluster_ptr.shape[0] - 1, parts = part_ptr.shape[0] - 1, c, part = 1
    cdef int64_t total = 0, before = 0
    for c in range(n_clusters):
        total += effort(blocks, cluster_ptr, c)
    part_ptr[0] = 0
    for c in range(n_clusters):
        while part < parts and before * parts >= total * part:
            part_ptr[part] = c
            part += 1
        before += effort(blocks, cluster_ptr, c)
    for c in range(part, parts + 1):
        part_ptr[c] = n_clusters
    return total


cdef inline int64_t effort(Blocks blocks, const int64_t[::1] cluster_ptr, int64_t c) noexcept nogil:
    """Blocks that are screened in cluster c, of all inputs."""
    return (cluster_ptr[c + 1] - cluster_ptr[c]) * (blocks.first[c + 1] - blocks.first[c])


cdef void screen(Blocks blocks, const int8_t[:, ::1] codes, const float[:, ::1] factors, const float[:, ::1] scores,
                 const int64_t[::1] cluster_ptr, const int32_t[::1] inputs, const int64_t[::1] part_ptr,
                 const float[::1] floors, float[:, :, ::1] values, int32_t[:, :, ::1] ids,
                 int threads) noexcept nogil:
    """Offers the rows of the clusters to the heaps of the inputs that chose them, unless they are below floors."""
    cdef int64_t part
    for part in prange(values.shape[0], num_threads=threads, schedule="dynamic"):
        screen_part(blocks, codes, factors, scores, cluster_ptr, inputs, part_ptr[part], part_ptr[part + 1],
                    floors, values, ids, part)


cdef void join(float[:, :, ::1] values, int32_t[:, :, ::1] ids, float[::1] floors, bint last,
               int threads) noexcept nogil:
    """The heaps of all parts joined in the first, the others emptied; floors become the least of it, where it is full.
    last: the candidates are sorted, and no more are offered."""
    cdef int64_t part, i, j, kept = values.shape[2]
    for i in prange(values.shape[1], num_threads=threads, schedule="static"):
        for part in range(1, values.shape[0]):
            for j in range(kept):
                offer(values[part, i, j], ids[part, i, j], kept, &values[0, i, 0], &ids[0, i, 0])
                ids[part, i, j] = -1
        if ids[0, i, 0] >= 0:
            floors[i] = values[0, i, 0]
        if last:
            sort_heap(kept, &values[0, i, 0], &ids[0, i, 0])


cdef void screen_part(Blocks blocks, const int8_t[:, ::1] codes, const float[:, ::1] factors,
                      const float[:, ::1] scores, const int64_t[::1] cluster_ptr, const int32_t[::1] inputs,
                      int64_t first, int64_t last, const float[::1] floors, float[:, :, ::1] values,
                      int32_t[:, :, ::1] ids, int64_t part) noexcept nogil:
    cdef int64_t c, low, count
    for c in range(first, last):
        low = cluster_ptr[c]
        while low < cluster_ptr[c + 1]:
            count = min(<int64_t>TILE_QUERIES, cluster_ptr[c + 1] - low)
            screen_tile(blocks, c, codes, factors, scores, &inputs[low], count, floors, values, ids, part)
            low += count


cdef void screen_tile(Blocks blocks, int64_t c, const int8_t[:, ::1] codes, const float[:, ::1] factors,
                      const float[:, ::1] scores, const int32_t *inputs, int64_t n, const float[::1] floors,
                      float[:, :, ::1] values, int32_t[:, :, ::1] ids, int64_t part) noexcept nogil:
    """All rows of cluster c for n inputs."""
    cdef Query[TILE_QUERIES] queries
    cdef float[TILE_QUERIES * SCREEN_ROWS] out
    cdef float[TILE_QUERIES] top
    cdef int64_t b, k, i
    for k in range(n):
        i = inputs[k]
        queries[k].codes = &codes[i, 0]
        queries[k].step, queries[k].zero, queries[k].base = factors[i, 0], factors[i, 1], scores[i, c]
    for b in range(blocks.first[c], blocks.first[c + 1]):
        ops.screen(&blocks.codes[b, 0, 0], blocks.codes.shape[1], &blocks.scale[b, 0], &blocks.shift[b, 0], queries, n,
                   out, top)
        for k in range(n):
            i = inputs[k]
            if top[k] >= floors[i] and (ids[part, i, 0] < 0 or top[k] >= values[part, i, 0]):
                offer_block(out + k * SCREEN_ROWS, &blocks.ids[b, 0], floors[i], values.shape[2],
                            &values[part, i, 0], &ids[part, i, 0])


cdef inline void offer_block(const float *z, const int32_t *found, float floor, int64_t kept, float *values,
                             int32_t *ids) noexcept nogil:
    cdef int64_t j
    for j in range(SCREEN_ROWS):
        if z[j] >= floor and (ids[0] < 0 or z[j] >= values[0]):
            offer(z[j], found[j], kept, values, ids)
