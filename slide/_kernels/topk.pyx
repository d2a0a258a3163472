"""The k largest logits: exact, by blocked products that never hold n x n_neurons, or of an active set.

In:   samples as panels (see layers/panels.py) and weights; or the logits of active sets
Out:  values and ids (n x k) of the largest of each sample, sorted; ties go to the smaller id
Steps of topk_rows, a task for some panels and a part of the neurons:
  1. topk_part   block by block of neurons, panel by panel: a product, and each sample's list of its largest
  2. insert_row  the lists of the parts are joined
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.simd.vec cimport ops


cdef struct TopLists:
    # The k largest so far of each of n samples.
    int64_t n
    int64_t k
    float *values
    int32_t *ids


def topk_rows(const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias, int64_t task_panels,
              int64_t block, float[:, ::1] scratch, float[:, :, ::1] values, int32_t[:, :, ::1] ids, int threads):
    """The k neurons of largest x . W + bias for each row: in values[0], ids[0].

    panels (panels x d x width): the samples, a column each, `task_panels` of them a task. values, ids (parts x n x k):
    one list for each part of the neurons, values as they come, ids -1. scratch is threads x ((block + 1) * width).
    """
    cdef int64_t n_parts = values.shape[0], n_blocks = (W.shape[0] + block - 1) // block
    cdef int64_t n_tasks = (panels.shape[0] + task_panels - 1) // task_panels * n_parts, task, part, first, i, j
    for task in prange(n_tasks, nogil=True, num_threads=threads, schedule="dynamic"):
        part = task % n_parts
        first = task // n_parts * task_panels
        topk_part(panels, first, min(first + task_panels, panels.shape[0]), W, bias, block,
                  part * n_blocks // n_parts, (part + 1) * n_blocks // n_parts, &scratch[threadid(), 0],
                  lists_from(first * ops.panel, values, ids, part))
    for i in prange(values.shape[1], nogil=True, num_threads=threads, schedule="static"):
        for part in range(1, n_parts):
            for j in range(values.shape[2]):
                if ids[part, i, j] >= 0:
                    insert_row(values[part, i, j], ids[part, i, j], values.shape[2], &values[0, i, 0], &ids[0, i, 0])


cdef inline TopLists lists_from(int64_t sample, float[:, :, ::1] values, int32_t[:, :, ::1] ids,
                                int64_t part) noexcept nogil:
    cdef TopLists lists
    lists.n, lists.k = values.shape[1] - sample, values.shape[2]
    lists.values, lists.ids = &values[part, sample, 0], &ids[part, sample, 0]
    return lists


cdef void topk_part(const float[:, :, ::1] panels, int64_t first, int64_t last, const float[:, ::1] W,
                    const float[::1] bias, int64_t block, int64_t first_block, int64_t last_block, float *z,
                    TopLists lists) noexcept nogil:
    """Samples of the panels first:last and some blocks of neurons, each while its weights are in the cache."""
    cdef TopLists some
    cdef int64_t b, p, done
    for b in range(first_block, last_block):
        for p in range(first, last):
            done = (p - first) * ops.panel
            some.n, some.k = min(<int64_t>ops.panel, lists.n - done), lists.k
            some.values, some.ids = lists.values + done * lists.k, lists.ids + done * lists.k
            topk_panel(&panels[p, 0, 0], W, bias, b * block, min(block, W.shape[0] - b * block), z, &some)


cdef inline void topk_panel(const float *panel, const float[:, ::1] W, const float[::1] bias, int64_t first,
                            int64_t size, float *z, TopLists *lists) noexcept nogil:
    """One panel of samples and one block of neurons; z: the largest logit of each sample, and then all of them.

    Ids come in rising order: later ones must be larger than what the list has to enter it.
    """
    cdef int64_t i, width = ops.panel, k = lists.k
    cdef float *top = z
    for i in range(width):
        top[i] = <float>-3e38
    z = z + width
    ops.panel_product(&W[first, 0], W.shape[1], size, panel, W.shape[1], &bias[first], z, width, top, NULL)
    for i in range(lists.n):
        if lists.ids[i * k + k - 1] < 0 or top[i] > lists.values[i * k + k - 1]:
            scan_column(z + i, width, size, <int32_t>first, k, lists.values + i * k, lists.ids + i * k)


cdef inline void scan_column(const float *z, int64_t ld, int64_t size, int32_t first, int64_t k, float *values,
                             int32_t *ids) noexcept nogil:
    cdef int64_t j
    for j in range(size):
        if ids[k - 1] < 0 or z[j * ld] > values[k - 1]:
            insert_row(z[j * ld], first + <int32_t>j, k, values, ids)


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


def topk_active(const int64_t[::1] indptr, const int32_t[::1] active, const float[:, ::1] z, float[:, ::1] values,
                int32_t[:, ::1] ids, int threads):
    """The same among each row's active neurons (one lane: a group is a row); what is missing stays -1."""
    cdef int64_t i, a
    for i in prange(values.shape[0], nogil=True, num_threads=threads, schedule="dynamic"):
        for a in range(indptr[i], indptr[i + 1]):
            insert_row(z[a, 0], active[a], values.shape[1], &values[i, 0], &ids[i, 0])
