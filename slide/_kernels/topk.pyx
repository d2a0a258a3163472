"""The k largest logits: exact, by blocked products that never hold n x n_neurons, or of an active set."""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.simd.vec cimport ops


cdef inline void insert_row(float z, int32_t id_, int64_t k, float *values, int32_t *ids) noexcept nogil:
    """Into a list sorted by value, then by id, that keeps its first k."""
    cdef int64_t place = k - 1
    if not (z > values[place] or (z == values[place] and id_ < ids[place]) or ids[place] < 0):
        return
    while place > 0 and (ids[place - 1] < 0 or z > values[place - 1] or
                         (z == values[place - 1] and id_ < ids[place - 1])):
        values[place] = values[place - 1]
        ids[place] = ids[place - 1]
        place -= 1
    values[place] = z
    ids[place] = id_


cdef inline void scan_column(const float *z, int64_t ld, int64_t size, int32_t first, int64_t k, float *values,
                             int32_t *ids) noexcept nogil:
    cdef int64_t j
    for j in range(size):
        if ids[k - 1] < 0 or z[j * ld] > values[k - 1]:
            insert_row(z[j * ld], first + <int32_t>j, k, values, ids)


cdef inline void topk_panel(const float *panel, int64_t n, int64_t d, const float *w, const float *bias,
                            int64_t size, int32_t first, int64_t k, float *z, float *values,
                            int32_t *ids) noexcept nogil:
    """One panel of n samples and one block of neurons; z: their logits, and the largest of each sample before them.

    Ids come in rising order: later ones must be larger than what the list has to enter it.
    """
    cdef int64_t i, width = ops.panel
    cdef float *top = z
    for i in range(width):
        top[i] = <float>-3e38
    z = z + width
    ops.panel_product(w, d, size, panel, d, bias, z, width, top, NULL)
    for i in range(n):
        if ids[i * k + k - 1] < 0 or top[i] > values[i * k + k - 1]:
            scan_column(z + i, width, size, first, k, values + i * k, ids + i * k)


cdef inline void topk_part(const float *panels, int64_t n_panels, int64_t n, int64_t d, const float *w,
                           const float *bias, int64_t first, int64_t last, int64_t block, int64_t k, float *z,
                           float *values, int32_t *ids) noexcept nogil:
    """n samples of some panels among the neurons first:last, block by block while its weights are in the cache."""
    cdef int64_t b, p, low, width = ops.panel
    for b in range((last - first + block - 1) // block):
        low = first + b * block
        for p in range(n_panels):
            topk_panel(panels + p * d * width, min(width, n - p * width), d, w + low * d, bias + low,
                       min(block, last - low), <int32_t>low, k, z, values + p * width * k, ids + p * width * k)


def topk_rows(const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias, int64_t chunk,
              int64_t block, float[:, ::1] scratch, float[:, :, ::1] values, int32_t[:, :, ::1] ids, int threads):
    """The k neurons of largest x . W + bias for each row: in values[0], ids[0]; ties go to the smaller id.

    panels (panels x d x width): the samples, a column each, `chunk` panels a task. values, ids (parts x n x k): one
    list for each part of the neurons, values as they come, ids -1. scratch is threads x ((block + 1) * width).
    """
    cdef int64_t n_parts = values.shape[0], n = values.shape[1], k = values.shape[2], width = ops.panel
    cdef int64_t n_chunks = (panels.shape[0] + chunk - 1) // chunk, task, c, part, low, i, j
    cdef int64_t n_blocks = (W.shape[0] + block - 1) // block
    for task in prange(n_chunks * n_parts, nogil=True, num_threads=threads, schedule="dynamic"):
        c = task // n_parts
        part = task % n_parts
        low = c * chunk * width
        topk_part(&panels[c * chunk, 0, 0], min(chunk, panels.shape[0] - c * chunk), n - low, W.shape[1], &W[0, 0],
                  &bias[0], part * n_blocks // n_parts * block,
                  min(W.shape[0], (part + 1) * n_blocks // n_parts * block), block, k, &scratch[threadid(), 0],
                  &values[part, low, 0], &ids[part, low, 0])
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        for part in range(1, n_parts):
            for j in range(k):
                if ids[part, i, j] >= 0:
                    insert_row(values[part, i, j], ids[part, i, j], k, &values[0, i, 0], &ids[0, i, 0])


def topk_active(const int64_t[::1] indptr, const int32_t[::1] active, const float[:, ::1] z, float[:, ::1] values,
                int32_t[:, ::1] ids, int threads):
    """The same among each row's active neurons (one lane: a group is a row); what is missing stays -1."""
    cdef int64_t i, a
    for i in prange(values.shape[0], nogil=True, num_threads=threads, schedule="dynamic"):
        for a in range(indptr[i], indptr[i + 1]):
            insert_row(z[a, 0], active[a], values.shape[1], &values[i, 0], &ids[i, 0])
